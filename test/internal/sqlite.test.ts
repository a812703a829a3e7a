import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import * as sqlite from "../../src/internal/sqlite.ts"
import { missingZstd, nodeWithZstd } from "../kit/zstd.ts"

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
    ["SQLITE_ERROR", "no such table: x", "the database db does not work: no such table: x"]
  ]
  for (const [code, message, expected] of cases) {
    it(`The SQLite error "${code ?? message}" is explained as "${expected}".`, () => {
      const { detail } = sqlite.explain("db", failure(code, message))
      assert.isTrue(detail.startsWith(expected), detail)
      assert.notInclude(detail, "\n")
    })
  }

  /** The store's test program, in a folder where no module can be found that was not bundled. */
  const bundled = Effect.gen(function* () {
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
        external: ["ssh2", "jiti"],
        platform: "node",
        format: "esm",
        target: "node20",
        banner: {
          js: 'import { createRequire as $createRequire } from "node:module"; const require = $createRequire(import.meta.url)'
        }
      })
    )
    const run = (node: string, flags: ReadonlyArray<string>, ...args: ReadonlyArray<string>) =>
      spawnSync(node, [...flags, join(outdir, "child.mjs"), outdir, ...args], { cwd: outdir, encoding: "utf8" })
    const database = join(outdir, "deployer/config/deployer_store.db")
    mkdirSync(dirname(database), { recursive: true })
    return { database, folder: outdir, run }
  })

  const modules = fileURLToPath(new URL("../../node_modules", import.meta.url))
  /** How better-sqlite3 can be there and still not load. */
  const broken: ReadonlyArray<readonly [string, (folder: string) => void, string]> = [
    [
      "if it is missing",
      () => {},
      "better-sqlite3 is not installed: its install script needs github.com, or Python, make and a C++ compiler"
    ],
    [
      "if its install script did not run",
      (folder) => {
        for (const name of ["better-sqlite3/package.json", "better-sqlite3/lib", "bindings", "file-uri-to-path"]) {
          cpSync(join(modules, name), join(folder, name), { recursive: true })
        }
      },
      "better-sqlite3 has no binary: its install script did not run"
    ],
    [
      "if it was compiled for another Node",
      (folder) => {
        const file = join(folder, "better-sqlite3/index.js")
        const message =
          "The module 'x.node'\\nwas compiled against a different Node.js version using\\nNODE_MODULE_VERSION 1."
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, `throw Object.assign(new Error("${message}"), { code: "ERR_DLOPEN_FAILED" })`)
      },
      "better-sqlite3 was compiled for another version of Node"
    ]
  ]
  for (const [situation, prepare, reason] of broken) {
    it.scopedLive(`Without Node's own SQLite, better-sqlite3's failure is explained ${situation}.`, () =>
      Effect.gen(function* () {
        const { folder, run } = yield* bundled
        prepare(join(folder, "node_modules"))
        const hasOwn = process.getBuiltinModule?.("node:sqlite") !== undefined
        const { stderr, stdout } = run(process.execPath, hasOwn ? ["--no-experimental-sqlite"] : [], "add", "a", "1")
        assert.strictEqual(stderr, "")
        const { node } = process.versions
        assert.isTrue(
          stdout.startsWith(`Could not open the release store: SQLite does not load in Node ${node} (${reason}): use`),
          stdout
        )
        const flag = "set NODE_OPTIONS=--experimental-sqlite"
        if (process.allowedNodeEnvironmentFlags.has("--experimental-sqlite")) assert.include(stdout, flag)
        else assert.notInclude(stdout, flag)
        for (const words of [
          "use Node 22.13 or newer",
          "npm install -g --ignore-scripts=false --allow-scripts=better-sqlite3 effect-deployer",
          "pnpm add -g --allow-build=better-sqlite3 effect-deployer",
          "yarn config set enableScripts true"
        ]) {
          assert.include(stdout, words)
        }
        assert.strictEqual(stdout.trim().split("\n").length, 1)
      })
    )
  }

  it("The SQLite driver loads under jiti even after better-sqlite3 was imported.", () => {
    const root = fileURLToPath(new URL("../..", import.meta.url))
    const source = `
      await import("better-sqlite3").catch(() => {})
      const loaded = await import("./src/internal/sqliteDriver.ts")
      const { driver } = loaded.default ?? loaded
      const Effect = await import("effect/Effect")
      const open = await Effect.runPromise(driver)
      console.log(open(":memory:").run("SELECT 1 AS one", [])[0].one)`
    const { stderr, stdout } = spawnSync(
      process.execPath,
      ["--import", "jiti/register", "--input-type=module", "--eval", source],
      { cwd: root, encoding: "utf8" }
    )
    assert.strictEqual(stdout, "1\n", stderr)
  })

  describe.skipIf(missingZstd)("with Node's own SQLite", () => {
    const newer = nodeWithZstd ?? ""

    it.scopedLive(
      "Node's own SQLite writes a store without a native module or a warning, and any other Node reads it.",
      () =>
        Effect.gen(function* () {
          const { database, run } = yield* bundled
          const { stderr, stdout } = run(newer, [], "add", "my_app", "3")
          assert.strictEqual(stdout + stderr, "")
          const client = yield* sqlite.open(database)
          const sql = Context.get(client, SqlClient.SqlClient)
          assert.deepStrictEqual(
            (yield* sql`SELECT name, is_latest FROM releases ORDER BY id`).map((row) => ({ ...row })),
            [0, 0, 1].map((is_latest) => ({ name: "my_app", is_latest }))
          )
          // The other way round: the newer Node waits for this one's lock, and then reports it in the same words.
          yield* sql`BEGIN IMMEDIATE`
          assert.strictEqual(
            run(newer, [], "add", "my_app", "1").stdout,
            `Could not add a release of my_app: another process holds the database ${database}: try again when it is done\n`
          )
          yield* sql`ROLLBACK`
          assert.strictEqual(run(newer, [], "add", "my_app", "1").stdout, "")
          assert.deepStrictEqual({ ...(yield* sql`SELECT count(*) AS count FROM releases`)[0] }, { count: 4 })
        })
    )

    it.scopedLive("With Node's own SQLite, a damaged database fails with a sentence.", () =>
      Effect.gen(function* () {
        const { database, run } = yield* bundled
        writeFileSync(database, "this is no database".repeat(1000))
        assert.match(
          run(newer, [], "add", "my_app", "1").stdout,
          /^Could not open the release store: the database \S+ is damaged \(file is not a database\): move it away/
        )
      })
    )

    it("With Node's own SQLite, other warnings of Node are still shown.", () => {
      const source = `
        import * as Effect from "effect/Effect"
        import { driver } from ${JSON.stringify(fileURLToPath(new URL("../../src/internal/sqliteDriver.ts", import.meta.url)))}
        Effect.runSync(driver)
        process.emitWarning("after all", "ExperimentalWarning")`
      const { outputFiles } = esbuild.buildSync({
        stdin: { contents: source, resolveDir: import.meta.dirname },
        bundle: true,
        write: false,
        platform: "node",
        format: "esm"
      })
      const [{ text } = { text: "" }] = outputFiles
      const { stderr } = spawnSync(newer, ["--input-type=module"], { input: text, encoding: "utf8" })
      assert.include(stderr, "ExperimentalWarning: after all")
      assert.notInclude(stderr, "SQLite")
    })
  })
})
