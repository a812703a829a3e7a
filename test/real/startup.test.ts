/** How fast the real binary starts, and which parts it does not load until it needs them. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { binary } from "../kit/build.ts"
import { project } from "../kit/project.ts"

/** Writes down the CommonJS modules and the native ones of the process that loads it. */
const preload = `const fs = require("node:fs")
process.on("exit", () => {
  const native = process.report.getReport().sharedObjects
  fs.writeFileSync(__filename + ".loaded", [...Object.keys(require("node:module")._cache), ...native].join("\\n"))
})
`

const heavy = ["better-sqlite3", "jiti", "ssh2"] as const

const compiledIn = (cache: string) => fs.readdirSync(cache).filter((name) => name.endsWith(".mjs"))

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

describe("start", () => {
  it.scopedLive("Deployer loads the database, SSH and the config's compiler only if it needs them.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.configure({ prod: { host: "local" } })
      const file = path.join(here.folder, "preload.cjs")
      fs.writeFileSync(file, preload)
      const loadedBy = (...args: ReadonlyArray<string>) =>
        Effect.map(
          here.run(args, { env: { ...here.env, NODE_OPTIONS: `--require ${file}` } }),
          ({ status, stderr }) => {
            assert.strictEqual(status, 0, stderr)
            const loaded = fs.readFileSync(`${file}.loaded`, "utf8").split("\n")
            return heavy.filter((name) => loaded.some((module) => module.includes(`/node_modules/${name}/`)))
          }
        )
      for (const args of [["--version"], ["--help"], ["build", "--help"], ["completions", "bash"]]) {
        assert.deepStrictEqual(yield* loadedBy(...args), [], args.join(" "))
      }
      // The measurement can see them.
      const ofSqlite = process.getBuiltinModule?.("node:sqlite") === undefined ? ["better-sqlite3"] : []
      assert.deepStrictEqual(yield* loadedBy("manage", "info"), [...ofSqlite, "jiti"])
    })
  )

  it.scopedLive("Deployer compiles a config once, and again after a change.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.configure({ prod: { host: "local" } })
      const cache = path.join(here.home, ".cache/effect-deployer")
      const compiled = () => compiledIn(cache).map((name) => fs.readFileSync(path.join(cache, name), "utf8"))
      yield* here.good("manage", "info")
      assert.strictEqual(fs.statSync(cache).mode & 0o777, 0o700)
      const first = compiled()
      assert.lengthOf(first, 1)
      yield* here.good("manage", "info")
      assert.deepStrictEqual(compiled(), first)
      here.configure({ staging: { host: "local" } })
      assert.include((yield* here.run(["status", "target=staging"])).stderr, "at staging")
      assert.notDeepEqual(compiled(), first)
      for (let n = 0; n < 300; n++) fs.writeFileSync(path.join(cache, `of a project that is gone ${n}.mjs`), "")
      yield* here.good("manage", "info")
      assert.lengthOf(compiled(), 1)
    })
  )

  it.scopedLive("Deployer takes no compiled config from a folder that others can write to, and needs none.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.configure({ prod: { host: "local" } })
      const cache = path.join(here.home, ".cache/effect-deployer")
      yield* here.good("manage", "info")
      // Nothing is there yet, and the message about it names the target.
      const status = Effect.map(here.run(["status", "target=prod"]), ({ stderr }) => stderr)
      const [name = ""] = compiledIn(cache)
      const file = path.join(cache, name)
      const text = fs.readFileSync(file, "utf8")
      fs.writeFileSync(file, text.replace('"prod"', '"poisoned"'))
      assert.notStrictEqual(fs.readFileSync(file, "utf8"), text)
      // The poison works if the folder is trusted.
      assert.include(yield* status, "poisoned")
      fs.chmodSync(cache, 0o777)
      assert.include(yield* status, "at prod")
      fs.chmodSync(cache, 0o700)
      // One that cannot be written, as on a full disk.
      fs.rmSync(file)
      fs.symlinkSync("/nowhere/at/all", file)
      assert.include(yield* status, "at prod")
      fs.rmSync(cache, { recursive: true })
      fs.writeFileSync(cache, "")
      assert.include(yield* status, "at prod")
      fs.rmSync(cache)
      // As with sudo, when the home is somebody else's, or when there is none.
      if (process.geteuid?.() === 0) {
        fs.rmSync(path.join(here.home, ".cache"), { recursive: true })
        fs.chownSync(here.home, 4711, 4711)
        assert.include(yield* status, "at prod")
        assert.isFalse(fs.existsSync(path.join(here.home, ".cache")))
      }
      yield* here.run(["status", "target=prod"], { env: { ...here.env, HOME: "" } })
      assert.isFalse(fs.existsSync(path.join(here.root, ".cache")))
    })
  )

  it.scopedLive("Deployer compiles itself once, and uses no code that is damaged or that others can write.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.configure({ prod: { host: "local" } })
      const cache = path.join(here.home, ".cache/effect-deployer")
      const code = () => {
        const [name = "", ...others] = fs.readdirSync(cache).filter((name) => name.includes(".code"))
        assert.isEmpty(others)
        return path.join(cache, name)
      }
      /** Runs a command, and returns the time at which the compiled code was written, in milliseconds. */
      const run = Effect.map(here.good("manage", "info"), () => fs.statSync(code()).mtimeMs)
      const first = yield* run
      assert.strictEqual(fs.statSync(code()).mode & 0o777, 0o600)
      const whole = fs.readFileSync(code())
      assert.strictEqual(yield* run, first)
      for (const damaged of [
        whole.fill(0, whole.length - 4_096),
        whole.subarray(0, whole.length / 2),
        Buffer.alloc(0),
        Buffer.from("no code")
      ]) {
        fs.writeFileSync(code(), damaged)
        fs.utimesSync(code(), 1, 1)
        assert.isAbove(yield* run, 1_000)
      }
      const old = path.join(cache, "program-0123456789abcdef.code")
      fs.writeFileSync(old, "of a former version")
      fs.utimesSync(old, 1, 1)
      // Other options of V8 need other code, which is written only then; the old code is removed.
      yield* here.good("manage", "info")
      assert.isTrue(fs.existsSync(old))
      const other = yield* here.run(["manage", "info"], { env: { NODE_OPTIONS: "--max-semi-space-size=8" } })
      assert.strictEqual(other.status, 0, other.stderr)
      assert.isFalse(fs.existsSync(old))
      assert.lengthOf(
        fs.readdirSync(cache).filter((name) => name.endsWith(".code")),
        2
      )
      // Without a folder that it can trust, deployer works and writes none.
      for (const name of fs.readdirSync(cache)) fs.rmSync(path.join(cache, name))
      fs.chmodSync(cache, 0o777)
      yield* here.good("manage", "info")
      assert.isEmpty(fs.readdirSync(cache))
    })
  )

  it.each(["quick", "completer"])("Help and completion load neither Effect nor the commands: %s.", (part) => {
    const seen = new Set<string>()
    const read = (file: string): number => {
      if (seen.has(file)) return 0
      seen.add(file)
      const text = fs.readFileSync(file, "utf8")
      const own = new RegExp(`import\\("(\\./chunks/${part}-[^"]+)"\\)`, "g")
      const imports = [...text.matchAll(/(?:from|import)"(\.[^"]+)"/g), ...text.matchAll(own)].map(
        ([, name = ""]) => name
      )
      return imports.reduce((sum, name) => sum + read(path.join(path.dirname(file), name)), text.length)
    }
    // The whole of Effect's runtime, of the parser and of the commands is some 1.2 MB.
    assert.isAtMost(read(binary), 64_000, [...seen].join(", "))
    assert.isTrue([...seen].some((file) => file.includes(`/${part}-`)))
  })

  it("Version, help and completion take at most twice as long as Node itself.", () => {
    const millis = (...args: ReadonlyArray<string>) => {
      const began = performance.now()
      assert.strictEqual(spawnSync(process.execPath, args).status, 0)
      return performance.now() - began
    }
    const asked = [
      ["--version"],
      ["--help"],
      ["manage", "info", "--help"],
      ["completions", "bash"],
      ["complete", "bash", "=:", "--", "deployer deploy target="]
    ]
    // Side by side, so that other work on the machine meets all of them.
    const rounds = Array.from({ length: 15 }, () => {
      const bare = millis("-e", "0")
      return asked.map((args) => millis(binary, ...args) / bare)
    })
    for (const [index, args] of asked.entries()) {
      // 1.2 on a machine that does nothing else.
      assert.isAtMost(median(rounds.map((ratios) => ratios[index] ?? Number.NaN)), 2, args.join(" "))
    }
  })

  it.scopedLive("A command starts faster with the code that an earlier one compiled.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.configure({ prod: { host: "local" } })
      yield* here.good("manage", "info")
      const empty = path.join(here.folder, "empty")
      fs.mkdirSync(empty)
      const millis = (env: Readonly<Record<string, string>>) => {
        const began = performance.now()
        const options = { cwd: here.root, env: { ...here.env, ...env } }
        assert.strictEqual(spawnSync(process.execPath, [binary, "manage", "info"], options).status, 0)
        return performance.now() - began
      }
      // Side by side, so that other work on the machine meets both.
      const ratios = Array.from({ length: 15 }, () => {
        fs.rmSync(path.join(empty, "effect-deployer"), { recursive: true, force: true })
        return millis({}) / millis({ XDG_CACHE_HOME: empty })
      })
      // 0.6 on a machine that does nothing else.
      assert.isAtMost(median(ratios), 0.9)
    })
  )
})
