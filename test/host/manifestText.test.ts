import { assert, describe, it } from "@effect/vitest"
import { listedFiles, manifestLines } from "../../src/host/protocol/manifestText.ts"
import { oddSample, sample } from "../kit/packed.ts"

describe("a manifest on a host", () => {
  it("A manifest on a host names each mode once, and its files are read back with their modes.", () => {
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

  it("A manifest without its last line is rejected, and one without modes has no files.", () => {
    const lines = manifestLines(sample().manifest) ?? []
    assert.isUndefined(listedFiles(lines.slice(0, -1)))
    const modeless = lines.filter((line) => !line.startsWith("mode ")).slice(0, -1)
    assert.deepStrictEqual(listedFiles([...modeless, `end ${modeless.length}`]), [])
  })
})
