/**
 * How long it takes until the program says something.
 */
import * as Effect from "effect/Effect"
import type { Bench } from "./Bench.ts"
import { run } from "./measure.ts"
import { within } from "./Row.ts"

export const rows = (bench: Bench) =>
  Effect.forEach(["--version", "--help"], (flag) =>
    Effect.gen(function* () {
      const ours: Array<number> = []
      const theirs: Array<number> = []
      // They are short, so more of them are needed, and the first one of each only warms the disk.
      for (let round = -1; round < bench.rounds * 3 - 2; round++) {
        const deployer = yield* bench.deployer([flag])
        const bare = yield* run({ words: [process.execPath, "-e", "0"], env: bench.env })
        if (round < 0) continue
        ours.push(deployer.millis)
        theirs.push(bare.millis)
      }
      return within(2, { line: `deployer ${flag}`, unit: "ms", ours, theirs, than: "bare node" })
    })
  )
