import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import { explain } from "../../src/internal/sqlite.ts"

const failure = (code: string | undefined, message: string) =>
  new SqlError({ cause: Object.assign(new Error(message), code === undefined ? {} : { code }), message: "failed" })

describe("sqlite", () => {
  const cases: ReadonlyArray<readonly [string | undefined, string, string]> = [
    ["SQLITE_BUSY", "database is locked", "another process holds the database db"],
    ["SQLITE_BUSY_SNAPSHOT", "database is locked", "another process holds the database db"],
    ["SQLITE_NOTADB", "file is not a database", "the database db is damaged (file is not a database)"],
    ["SQLITE_CORRUPT", "malformed", "the database db is damaged (malformed)"],
    ["SQLITE_FULL", "disk is full", "no space left for the database db"],
    ["SQLITE_READONLY_DBMOVED", "readonly", "the database db cannot be written"],
    ["SQLITE_CANTOPEN", "unable to open", "the database db cannot be opened"],
    [undefined, "Cannot open database because the directory does not exist", "the database db cannot be opened"],
    [
      undefined,
      "Could not locate the bindings file. Tried:\n → x",
      "the SQLite module better-sqlite3 does not load here"
    ],
    [
      "ERR_DLOPEN_FAILED",
      "was compiled against a different Node.js",
      "the SQLite module better-sqlite3 does not load here"
    ],
    ["SQLITE_ERROR", "no such table: x", "the database db does not work: no such table: x"]
  ]
  for (const [code, message, expected] of cases) {
    it(`${code ?? message}: ${expected}`, () => {
      const { detail } = explain("db", failure(code, message))
      assert.isTrue(detail.startsWith(expected), detail)
      assert.notInclude(detail, "\n")
    })
  }

  it.scopedLive("a deployer without better-sqlite3 says so where the store is first used, and starts", () =>
    Effect.gen(function* () {
      // Outside the project no module can be found that was not bundled.
      const outdir = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "deployer-sqlite-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      yield* Effect.promise(() =>
        esbuild.build({
          entryPoints: [fileURLToPath(new URL("../store/child.ts", import.meta.url))],
          outdir,
          outExtension: { ".js": ".mjs" },
          bundle: true,
          splitting: true,
          external: ["better-sqlite3", "ssh2", "jiti"],
          platform: "node",
          format: "esm",
          target: "node20",
          banner: {
            js: 'import { createRequire as $createRequire } from "node:module"; const require = $createRequire(import.meta.url)'
          }
        })
      )
      const { stderr, stdout } = spawnSync(process.execPath, [join(outdir, "child.mjs"), outdir, "add", "a", "1"], {
        cwd: outdir,
        encoding: "utf8"
      })
      assert.strictEqual(stderr, "")
      assert.match(stdout, /^Could not open the release store: the SQLite module better-sqlite3 does not load here/)
      assert.include(stdout, "npm rebuild better-sqlite3")
    })
  )
})
