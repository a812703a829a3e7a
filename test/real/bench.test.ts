/** The benchmark still works: every line is walked once, with a little data. Its figures then say nothing. */
import { execFile } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { lines } from "../../scripts/bench/lines.ts"
import type { Row } from "../../scripts/bench/Row.ts"
import { missing, missingSshd, titled } from "../kit/sshd.ts"

const root = path.resolve(import.meta.dirname, "../..")

/** The test's own process stays free meanwhile. */
const bench = (...args: ReadonlyArray<string>) =>
  new Promise<{ readonly status: unknown; readonly stdout: string; readonly stderr: string }>((resolve) => {
    execFile(
      process.execPath,
      ["--import", "jiti/register", "scripts/bench.ts", ...args],
      { cwd: root, timeout: 240_000, maxBuffer: 10_000_000 },
      (error, stdout, stderr) => resolve({ status: error === null ? 0 : error.code, stdout, stderr })
    )
  })

interface Document {
  readonly quick: boolean
  readonly lines: ReadonlyArray<{ readonly key: string; readonly failure?: string; readonly rows: ReadonlyArray<Row> }>
}

/** These may be missing; those that are there must do their job. */
const absent = /not installed$|which a smoke run does not do$/

const test = missingSshd === undefined ? it : it.skip

describe("npm run bench", () => {
  test(titled("The benchmark measures every line in a smoke run.", missingSshd), async () => {
    const { status, stderr, stdout } = await bench("quick", "--json")
    assert.strictEqual(status, 0, stderr)
    const document: Document = JSON.parse(stdout)
    assert.isTrue(document.quick)
    assert.deepStrictEqual(
      document.lines.map(({ key }) => key),
      lines.map(({ key }) => key)
    )
    const hasRsync = missing("rsync") === undefined
    for (const { key, rows } of document.lines) {
      assert.isNotEmpty(rows, key)
      for (const row of rows) {
        const said = JSON.stringify(row)
        assert.isNotEmpty(row.ours, said)
        for (const value of [...row.ours, ...(row.theirs ?? [])]) assert.isAtLeast(value, 0, said)
        if (row.missing !== undefined) assert.match(row.missing, absent)
        if (hasRsync) assert.notMatch(row.missing ?? "", /rsync/)
      }
    }
  }, 250_000)

  it("The benchmark lists its lines if it is asked for an unknown one.", async () => {
    const { status, stderr } = await bench("fast")
    assert.strictEqual(status, 2)
    assert.include(stderr, `There is no line fast; there are ${lines.map(({ key }) => key).join(", ")}`)
  })
})
