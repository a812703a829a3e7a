/**
 * Decodes the journal on the host: all of its decisive content, or its last lines.
 */
import * as Either from "effect/Either"
import type { HostState } from "../../domain/HostState.ts"
import { decisive, type JournalEntry, lineage, parseEntry, tornAfter } from "../../domain/Journal.ts"
import { answer, type Decoded, invalid, type Line, lines, unexpected } from "./answer.ts"

/** The decisive content of the journal. */
export type Chronicle = Pick<HostState, "journal" | "line" | "torn">

/** The journal's lines in order. Undefined for a torn one. */
const toldIn = (read: ReadonlyArray<Line>): ReadonlyArray<JournalEntry | undefined> =>
  read.flatMap(({ rest, word }) => (word === "journal" ? [parseEntry(rest)] : word === "torn" ? [undefined] : []))

const isFactLine = /^line((?: [0-9A-F]{32})*)$/
const isFactTorn = /^torn ([0-9]{1,15})$/

/** Combines the facts about the journal's beginning with its remaining lines. */
export const chronicleOf = (read: ReadonlyArray<Line>): Decoded<Chronicle> =>
  Either.gen(function* () {
    const facts = read.filter(({ word }) => word === "fact").map(({ rest }) => rest)
    const before = facts.flatMap((fact) => parseEntry(fact) ?? [])
    const lines = facts.flatMap((fact) => isFactLine.exec(fact)?.[1] ?? [])
    const counts = facts.flatMap((fact) => isFactTorn.exec(fact)?.[1] ?? [])
    if (before.length + lines.length + counts.length !== facts.length || lines.length > 1 || counts.length > 1)
      return yield* invalid(answer, "the facts of its journal are not what was selected")
    const told = toldIn(read)
    const entries = told.filter((entry) => entry !== undefined)
    const first = lines[0]?.split(" ").slice(1) ?? []
    return {
      journal: decisive([...before, ...entries]),
      line: lineage(entries, first),
      torn: tornAfter(Number(counts[0] ?? 0), told)
    }
  })

/** The journal that was too long for `inspect`. */
export const chronicle = (stdout: string): Decoded<Chronicle> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ word }) => !["fact", "journal", "torn", ""].includes(word))
    return odd === undefined ? chronicleOf(read) : unexpected(odd)
  })

/** The last lines of the journal. */
export const history = (
  stdout: string
): Decoded<{ readonly entries: ReadonlyArray<JournalEntry>; readonly torn: number }> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ word }) => !["journal", "torn", ""].includes(word))
    if (odd !== undefined) return unexpected(odd)
    const told = toldIn(read)
    const entries = told.filter((entry) => entry !== undefined)
    return Either.right({ entries, torn: told.length - entries.length })
  })
