/** Journals as years, crashes and other hands leave them. */
import * as fc from "effect/FastCheck"
import { decisive, JournalEvent, lineage, maxEntry, parseEntry } from "../../src/domain/Journal.ts"

/** Refs of the releases that these journals are about. */
export const refs: ReadonlyArray<string> = [..."ABCDEF"].map((letter) => letter.repeat(32))

/** A line of a journal, as deployer writes it. */
export const entryLine = (
  event: string,
  ref?: string,
  fields: { readonly detail?: string; readonly from?: string; readonly at?: string; readonly by?: string } = {}
): string =>
  JSON.stringify({
    event,
    at: fields.at ?? "2026-01-02T03:04:05.000Z",
    by: fields.by ?? "tester@laptop",
    ...(ref === undefined ? {} : { release: { name: "my_app", ref } }),
    ...(fields.from === undefined ? {} : { from: fields.from }),
    ...(fields.detail === undefined ? {} : { detail: fields.detail })
  })

const odd = fc.constantFrom(
  'a "quote"',
  "back\\slash",
  ',"release":{"name":"x","ref":"',
  "tab\t and \u0001",
  "ünïcode €",
  ""
)

const entry = fc
  .tuple(
    fc.constantFrom(...JournalEvent.literals),
    fc.constantFrom(...refs),
    fc.option(
      fc.oneof(
        odd,
        fc.constantFrom("1 line of the journal cannot be read", "no link; 3 lines of the journal cannot be read; x")
      ),
      { nil: undefined }
    ),
    fc.option(fc.constantFrom(...refs), { nil: undefined }),
    odd
  )
  .map(([event, ref, detail, from, by]) => {
    const isAboutHost = event === "locked" || event === "unlocked" || event === "repaired"
    return entryLine(event, isAboutHost ? undefined : ref, {
      by,
      ...(detail === undefined ? {} : { detail }),
      ...(from === undefined ? {} : { from })
    })
  })

/** One that lacks a piece, has another one twice, or is none at all. */
const broken = fc
  .tuple(entry, fc.nat(), fc.nat(5), fc.constantFrom("", "}", '"', "\\", "{", "0", "\u0000\u0000", " ", "ü"))
  .map(([line, at, length, piece]) => {
    const place = at % line.length
    return line.slice(0, place) + piece + line.slice(place + length)
  })
  .map((line) => line.replaceAll("\n", " "))

const foreign = fc.constantFrom(
  "",
  "garbage",
  "{}",
  '{"event":"switched"}',
  entryLine("exploded", refs[0]),
  entryLine("unpinned", refs[0], { detail: "z".repeat(maxEntry) }),
  entryLine("unlinked"),
  entryLine("switched", refs[0]).replace('"my_app"', `"${"a".repeat(129)}"`),
  entryLine("switched", refs[0]).replace('"my_app"', `"${"a".repeat(128)}"`),
  entryLine("healthy", refs[1], { at: "2026-02-30T00:00:00Z" }),
  entryLine("healthy", refs[1], { at: "2026-00-30T00:00:00Z" }),
  entryLine("unhealthy", "A".repeat(31)),
  entryLine("rolledBack", refs[2], { from: "A" }),
  entryLine("pinned", refs[3]).replace(/\}$/, ',"from":"{AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'),
  entryLine("pinned", refs[3]).replace(/\}$/, ',"job":5}'),
  entryLine("pinned", refs[3]).replace(/\}$/, ',"sent_bytes":5,"is_late":true}')
)

/** Lines without their ends; nearly all are entries. */
export const journals = fc.array(
  fc.oneof({ arbitrary: entry, weight: 12 }, { arbitrary: broken, weight: 1 }, { arbitrary: foreign, weight: 1 }),
  { maxLength: 80 }
)

/** The meaning that a naive reader of all lines finds in them. */
export const facts = (lines: ReadonlyArray<string>) => {
  const told = lines.map((line) => parseEntry(line.replaceAll("\u0000", "?")))
  const entries = told.filter((entry) => entry !== undefined)
  let torn = 0
  for (const entry of told) {
    if (entry === undefined) torn++
    else if (entry.event === "repaired") {
      const [known = "0"] = entry.detail?.match(/\d+(?= lines? of the journal cannot be read)/) ?? []
      torn = Math.max(0, torn - Number(known))
    }
  }
  return {
    journal: decisive(entries),
    line: lineage(entries),
    torn
  }
}
