import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { editsBetween, listedFiles, manifestLines, moveLines } from "../../src/host/protocol/manifestText.ts"
import { oddSample, sample } from "../kit/packed.ts"
import { refOf } from "../kit/samples.ts"

/** What the host makes of edits. */
const apply = (old: ReadonlyArray<string>, edits: ReadonlyArray<string>): ReadonlyArray<string> =>
  edits.flatMap((edit) => {
    const [begin, end] = edit.slice(1).split(" ")
    return edit.startsWith("=") ? old.slice(Number(begin) - 1, Number(end)) : [edit.slice(1)]
  })

describe("a manifest on a host", () => {
  it("names modes once for all that follow, and all files with theirs", () => {
    const { manifest } = oddSample()
    const lines = manifestLines(manifest) ?? []
    assert.deepStrictEqual(lines.slice(0, 3), ["mode 755", "dir ./my_app", "dir ./my_app/bin"])
    assert.strictEqual(lines.at(-1), `end ${lines.length - 1}`)
    assert.sameDeepMembers(
      [...(listedFiles(lines) ?? [])].filter(({ path }) => path !== "my_app/second"),
      manifest.flatMap((entry) =>
        entry._tag === "File" ? [{ path: entry.path, mode: entry.mode, sha256: entry.sha256 }] : []
      )
    )
  })

  it("is none where its end is missing, and has no files where it tells no modes", () => {
    const lines = manifestLines(sample().manifest) ?? []
    assert.isUndefined(listedFiles(lines.slice(0, -1)))
    const modeless = lines.filter((line) => !line.startsWith("mode ")).slice(0, -1)
    assert.deepStrictEqual(listedFiles([...modeless, `end ${modeless.length}`]), [])
  })

  it("becomes another one by its edits, whatever the lines (property)", () => {
    const lines = FastCheck.array(FastCheck.constantFrom("a", "b", "mode 644", "=1 2", "+x", ""))
    FastCheck.assert(
      FastCheck.property(lines, lines, (old, wanted) => {
        assert.deepStrictEqual(apply(old, editsBetween(old, wanted)), wanted)
      })
    )
  })

  it("costs one edit for what stays, and one for each line that is new", () => {
    const old = Array.from({ length: 5000 }, (_, n) => `line ${n}`)
    const wanted = old.with(17, "new").with(4000, "newer")
    assert.deepStrictEqual(editsBetween(old, wanted), ["=1 17", "+new", "=19 4000", "+newer", "=4002 5000"])
  })

  it("takes files of one folder together, and renames by themselves", () => {
    const ref = refOf("A")
    assert.deepStrictEqual(
      moveLines([
        { ref, from: "a/b/x", to: "c/x", mode: undefined },
        { ref, from: "a/b/y", to: "c/y", mode: undefined },
        { ref, from: "a/b/z", to: "c/z", mode: 0o755 },
        { ref: undefined, from: "c/y", to: "z", mode: undefined }
      ]),
      [
        "into ./c/",
        `take deployer_${ref}/a/b/x`,
        `take deployer_${ref}/a/b/y`,
        `copy deployer_${ref}/a/b/z`,
        "own ./c/z",
        "mode 755",
        "of ./c/z",
        "copy tree/c/y",
        "as ./z"
      ]
    )
  })
})
