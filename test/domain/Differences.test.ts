import { assert, describe, it } from "@effect/vitest"
import { differences, type ListedFile, type Origin } from "../../src/domain/Differences.ts"
import type { Manifest, ManifestEntry } from "../../src/domain/Manifest.ts"
import * as samples from "../kit/samples.ts"
import { refOf } from "../kit/samples.ts"

const hash = (digit: string) => digit.repeat(64)

const file = (path: string, digit: string, fields: { readonly mode?: number; readonly size?: number } = {}) =>
  ({ _tag: "File", path, sha256: hash(digit), mode: 0o644, size: 1000, ...fields }) satisfies ManifestEntry

const origin = (ref: string, manifest: Manifest): Origin => ({
  ref: refOf(ref),
  files: manifest.flatMap((entry): ReadonlyArray<ListedFile> => (entry._tag === "File" ? [entry] : [])),
  lines: []
})

const old = [file("a/one", "1"), file("a/two", "2"), file("a/three", "3"), file("a/four", "4")]

describe("differences", () => {
  it("A partial upload sends new files and keeps those in the same place.", () => {
    const found = differences(
      [{ _tag: "Directory", path: "a", mode: 0o755 }, ...old.slice(0, 3), file("a/four", "5", { size: 70 })],
      [origin("A", old)]
    )
    assert.deepInclude(found, { files: 1, bytes: 70, kept: 3, moves: [], sent: new Set(["a/four"]) })
  })

  it("A partial upload takes a file from the host if only its place or its mode has changed.", () => {
    const wanted = [
      ...old.slice(0, 2),
      file("b/three", "3"),
      file("a/four", "4", { mode: 0o755 }),
      file("b/from another", "9")
    ]
    const found = differences(wanted, [origin("A", old), origin("B", [file("x", "9")])])
    assert.deepStrictEqual(found?.moves, [
      { ref: refOf("A"), from: "a/three", to: "b/three", mode: undefined },
      { ref: refOf("A"), from: "a/four", to: "a/four", mode: 0o755 },
      { ref: refOf("B"), from: "x", to: "b/from another", mode: undefined }
    ])
    assert.strictEqual(found?.bytes, 0)
  })

  it("A partial upload sends equal new files once, and tiny files without looking for them on the host.", () => {
    const found = differences(
      [...old, file("new", "7"), file("same", "7"), file("tiny", "1", { size: 10 })],
      [origin("A", old)]
    )
    assert.deepStrictEqual([...(found?.sent ?? [])], ["new", "tiny"])
    assert.deepStrictEqual(found?.moves, [{ ref: undefined, from: "new", to: "same", mode: undefined }])
  })

  it("A partial upload sends a hard link along with a new file, or makes it from a file on the host.", () => {
    const second = (path: string, to: string): ManifestEntry => ({ _tag: "Hardlink", path, to })
    const found = differences(
      [...old, file("new", "7"), second("new too", "new"), second("one too", "a/one")],
      [origin("A", old)]
    )
    assert.deepStrictEqual([...(found?.sent ?? [])], ["new", "new too"])
    assert.deepStrictEqual(found?.moves, [{ ref: undefined, from: "a/one", to: "one too", mode: undefined }])
  })

  it("A partial upload patches the largest files from their old versions if the store has those.", () => {
    const size = 5000
    const files = [
      ...old,
      file("lib-1.0/code", "5", { size }),
      file("lib-1.0/again", "6", { size }),
      file("x/again", "7", { size }),
      file("small", "8"),
      file("same place", "9", { size }),
      file("named twice", "a", { size }),
      { _tag: "Hardlink", path: "was a second name", to: "named twice" } as const
    ]
    const wanted: Manifest = [
      ...old,
      file("lib-1.1/code", "b", { size: 2 * size }),
      file("lib-1.1/again", "c", { size }),
      file("small", "d"),
      file("same place", "e", { size: 3 * size }),
      file("named twice", "f", { size }),
      { _tag: "Hardlink", path: "second name", to: "named twice" },
      file("was a second name", "12", { size }),
      file("new", "0", { size })
    ]
    const from = origin("A", files)
    assert.deepStrictEqual(
      [...(differences(wanted, [{ ...from, stored: { release: samples.release(), manifest: files } }])?.patches ?? [])],
      [
        ["same place", "same place"],
        ["lib-1.1/code", "lib-1.0/code"]
      ]
    )
    assert.isUndefined(differences(wanted, [from]))
  })

  it("A partial upload treats a single large file as one that changed a little.", () => {
    const manifest = [file("program", "1", { size: 1e8 })]
    const found = differences(
      [file("program", "2", { size: 1e8 })],
      [{ ...origin("A", manifest), stored: { release: samples.release(), manifest } }]
    )
    assert.deepInclude(found, { files: 1, bytes: 1e8, kept: 0, patches: new Map([["program", "program"]]) })
  })

  it("A partial upload builds on the release that shares most with the new one.", () => {
    const found = differences(old, [origin("A", old.slice(0, 1)), origin("B", old.slice(1))])
    assert.strictEqual(found?.origin.ref, refOf("B"))
    assert.deepInclude(found, { kept: 3, files: 0 })
  })

  it("There is no partial upload if most of the release is new or the host has nothing.", () => {
    assert.isUndefined(differences(old, []))
    assert.isUndefined(differences([file("a/one", "1", { size: 100 }), file("big", "8")], [origin("A", old)]))
    assert.isUndefined(differences([file("x", "8", { size: 0 })], [origin("A", old)]))
  })
})
