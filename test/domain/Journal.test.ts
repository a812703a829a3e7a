import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import {
  decisive,
  failureOf,
  isSettled,
  lastLink,
  lineage,
  notRemoved,
  parseEntry,
  pinned,
  standing
} from "../../src/domain/Journal.ts"
import { entryLine, facts, journals, refs } from "../kit/journals.ts"

describe("journal", () => {
  it("The decisive entries and the lineage say as much as the whole journal.", () => {
    fc.assert(
      fc.property(journals, fc.nat(), (lines, at) => {
        const entries = lines.flatMap((line) => parseEntry(line) ?? [])
        const kept = decisive(entries)
        const answers = (journal: typeof entries) => ({
          last: lastLink(journal),
          present: new Set(notRemoved(journal).map(({ ref }) => ref)),
          pins: pinned(journal),
          releases: refs.map((ref) => [standing(journal, ref), failureOf(journal, ref), isSettled(journal, ref)])
        })
        assert.deepStrictEqual(answers([...kept]), answers(entries))
        // The selection is the same, even if a part was selected before and more entries came after it.
        const half = at % (entries.length + 1)
        assert.deepStrictEqual(decisive([...decisive(entries.slice(0, half)), ...entries.slice(half)]), kept)
        assert.deepStrictEqual(lineage(entries.slice(half), lineage(entries.slice(0, half))), lineage(entries))
        assert.isAtMost(kept.length, 1 + 6 * refs.length)
      }),
      { numRuns: 500 }
    )
  })

  it("A release whose files were removed has yet to be proven when they come again, and a failure is remembered.", () => {
    const [one = "", two = ""] = refs
    const told = facts([
      entryLine("healthy", one),
      entryLine("unhealthy", two),
      entryLine("removed", one),
      entryLine("removed", two)
    ])
    assert.strictEqual(standing(told.journal, one), "unproven")
    assert.strictEqual(standing(told.journal, two), "unhealthy")
  })

  for (const [title, line, isEntry] of [
    ["The journal reads an entry as deployer writes it.", entryLine("switched", refs[0]), true],
    [
      "The journal reads an entry of a later version with an unknown field.",
      entryLine("pinned", refs[0]).replace(/\}$/, ',"sent_bytes":12}'),
      true
    ],
    ["The journal ignores an entry with an unknown event.", entryLine("exploded", refs[0]), false],
    [
      "The journal ignores an entry whose fields are in another order.",
      '{"at":"2026-01-02T03:04:05.000Z","event":"locked","by":"x"}',
      false
    ],
    ["The journal ignores an entry with an impossible date.", entryLine("locked").replace("-02T", "-32T"), false],
    ["The journal ignores a line that was cut.", entryLine("switched", refs[0]).slice(0, -5), false],
    ["The journal ignores a line with a short ref.", entryLine("switched", "ABC"), false]
  ] as const) {
    it(title, () => {
      assert.strictEqual(parseEntry(line) !== undefined, isEntry)
    })
  }
})
