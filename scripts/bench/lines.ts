/**
 * The lines of the benchmark, in the order of the table.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Bench } from "./Bench.ts"
import * as info from "./info.ts"
import * as memory from "./memory.ts"
import { Missing, packingTimes } from "./packing.ts"
import { missingRow, type Row } from "./Row.ts"
import * as start from "./start.ts"
import * as status from "./status.ts"
import * as upload from "./upload.ts"

/** Figures that are measured together. */
export interface Line {
  /** Its name on the command line. */
  readonly key: string
  readonly what: string
  readonly rows: (bench: Bench) => Effect.Effect<ReadonlyArray<Row>, { readonly message: string }>
}

class PackingFailed extends Data.TaggedError("PackingFailed")<{ readonly message: string }> {}

const packing = (bench: Bench) =>
  Effect.try({
    try: () => {
      const folder = join(bench.folder, "packing")
      mkdirSync(folder)
      return packingTimes({ folder, rounds: bench.rounds, sizes: bench.quick ? [2] : [300, 50] })
    },
    catch: (error) => (error instanceof Missing ? error : new PackingFailed({ message: String(error) }))
  }).pipe(
    Effect.catchTag("Missing", ({ message }) =>
      Effect.succeed([missingRow({ line: "packing", unit: "s", target: "at most 1/3x the steps", missing: message })])
    )
  )

export const lines: ReadonlyArray<Line> = [
  { key: "start", what: "--version and --help beside bare Node", rows: start.rows },
  { key: "info", what: "manage info with 10,000 releases beside 10", rows: info.rows },
  {
    key: "status",
    what: "status of a host with 100,000 lines of journal and 200 releases beside one with 100 and 10",
    rows: status.rows
  },
  { key: "packing", what: "packing out of a container beside shell steps and pigz", rows: packing },
  { key: "round-trips", what: "a redeploy and a rollback at 100 ms", rows: upload.roundTrips },
  { key: "same", what: "the same release again", rows: upload.same },
  { key: "first", what: "the first upload beside scp and tar", rows: upload.first },
  { key: "redeploy", what: "a changed release beside rsync --link-dest", rows: upload.redeploy },
  { key: "others", what: "the same redeploy by other tools", rows: upload.others },
  { key: "memory", what: "memory and temporary disk, 50 MB beside 2 GB", rows: memory.rows }
]
