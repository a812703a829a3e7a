import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import {
  edited,
  editsBetween,
  moveLines,
  movesOf,
  type PatchStep,
  patchLine,
  patchStepOf
} from "../../src/host/protocol/assembly.ts"
import { refOf } from "../kit/samples.ts"

const word = FastCheck.stringMatching(/^[^/\n\0]{1,12}$/).filter((name) => name !== "." && name !== "..")
const path = FastCheck.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join("/"))
const count = FastCheck.integer({ min: 1, max: 1e9 })
const mode = FastCheck.integer({ min: 0o100, max: 0o7777 })

const move = FastCheck.record({
  ref: FastCheck.constantFrom(undefined, refOf("A"), refOf("B")),
  from: path,
  to: path,
  mode: FastCheck.option(mode, { nil: undefined })
})

const step: FastCheck.Arbitrary<PatchStep> = FastCheck.oneof(
  FastCheck.record({ _tag: FastCheck.constant("Base" as const), from: path }),
  FastCheck.record({ _tag: FastCheck.constant("Block" as const), size: count }),
  FastCheck.record({ _tag: FastCheck.constant("To" as const), path }),
  FastCheck.record({
    _tag: FastCheck.constant("Keep" as const),
    first: count,
    count: FastCheck.option(count, { nil: undefined })
  }),
  FastCheck.record({ _tag: FastCheck.constant("Add" as const), piece: count }),
  FastCheck.record({ _tag: FastCheck.constant("Mode" as const), mode }),
  FastCheck.record({ _tag: FastCheck.constant("Time" as const), piece: count })
)

describe("the assembly of a release from others", () => {
  it("The edits of any manifest give the wanted lines again.", () => {
    const lines = FastCheck.array(FastCheck.constantFrom("a", "b", "mode 644", "=1 2", "+x", ""))
    FastCheck.assert(
      FastCheck.property(lines, lines, (old, wanted) => {
        assert.deepStrictEqual(edited(old, editsBetween(old, wanted)), wanted)
      })
    )
  })

  it("Lines that stay cost one edit, and each new line costs one.", () => {
    const old = Array.from({ length: 5000 }, (_, n) => `line ${n}`)
    const wanted = old.with(17, "new").with(4000, "newer")
    assert.deepStrictEqual(editsBetween(old, wanted), ["=1 17", "+new", "=19 4000", "+newer", "=4002 5000"])
  })

  it("The lines of any moves give the moves again.", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(move), (moves) => {
        assert.deepStrictEqual(movesOf(moveLines(moves)), moves)
      })
    )
  })

  it("The line of any step of a patch gives the step again, and no other line does.", () => {
    FastCheck.assert(
      FastCheck.property(step, (step) => {
        assert.deepStrictEqual(patchStepOf(patchLine(step)), step)
      })
    )
    assert.isUndefined(patchStepOf("remove ./bin"))
  })

  it("Files that stay in one folder are taken together, and renamed ones one by one.", () => {
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
