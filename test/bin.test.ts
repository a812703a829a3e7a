/** The binary as users run it: bundled, in a process of its own. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { helpPage } from "../src/process/helpPage.ts"
import type { TaskSpec } from "../src/Spec.ts"
import { tree } from "../src/tree.ts"
import { version } from "../src/Version.ts"
import { binary } from "./kit/build.ts"

let folder = ""
beforeAll(() => {
  assert.isTrue(fs.existsSync(binary), "the bundle was not built")
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-bin-"))
  // A project in which everything that could be opened is broken.
  fs.mkdirSync(path.join(folder, "deployer/config"), { recursive: true })
  fs.writeFileSync(path.join(folder, "deployer/config/deployer_config.ts"), "throw new Error('the config was loaded')")
  fs.writeFileSync(path.join(folder, "deployer/config/deployer_store.db"), "no database")
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const run = (argv: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [binary, ...argv], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, ...env }
  })
  return { status, out: stdout, err: stderr }
}
const shell = (script: string) =>
  spawnSync("sh", ["-c", script, process.execPath, binary], { cwd: folder, encoding: "utf8" })

const paths = (task: TaskSpec, above: ReadonlyArray<string> = []): ReadonlyArray<ReadonlyArray<string>> =>
  task.tasks.flatMap((child) => [[...above, child.name], ...paths(child, [...above, child.name])])
const tasks = paths(tree.spec)

describe("deployer", () => {
  it("The program says in one sentence that Node is too old.", () => {
    const file = path.join(folder, "older.cjs")
    // A Node of that age lacks `at`, too.
    fs.writeFileSync(
      file,
      'Object.defineProperty(process.versions, "node", { value: "16.5.0" }); delete Array.prototype.at'
    )
    const { err, out, status } = run(["deploy", "target=prod"], { NODE_OPTIONS: `--require ${file}` })
    assert.deepStrictEqual([status, out], [1, ""])
    assert.match(err, /^deployer: Node 16\.5\.0 is too old: deployer needs Node 20\.11 or a newer one.*\n$/)
  })

  it("The program runs without a home folder.", () => {
    for (const HOME of ["", "relative"]) {
      const { err, status } = run(["status", "target=prod"], { HOME })
      assert.strictEqual(status, 2, err)
      assert.match(err, /the config was loaded/)
    }
  })

  it("The program prints its version.", () => {
    for (const argv of [["--version"], ["version"], ["-version"], ["build", "--version"]]) {
      assert.deepStrictEqual(run(argv), { status: 0, out: `${version}\n`, err: "" })
    }
  })

  it("The program prints help for every task without opening the project.", () => {
    const before = fs.readdirSync(folder, { recursive: true })
    for (const argv of [[], ["--help"], ["help"], ...tasks.slice(0, 4).map((task) => [...task, "--help"])]) {
      const { err, out, status } = run(argv)
      assert.deepStrictEqual([status, err], [0, ""], argv.join(" "))
      assert.match(out, /^deployer /)
      assert.notInclude(out, "\u001b")
    }
    assert.deepStrictEqual(fs.readdirSync(folder, { recursive: true }), before)
    assert.isAbove(tasks.length, 12)
  })

  it("The program prints the same help as the parser, which answers lines with other words.", () => {
    for (const task of tasks.slice(0, 3)) {
      const quick = run([...task, "--help"])
      assert.strictEqual(quick.out, helpPage(tree.spec, task, { color: false }), task.join(" "))
      assert.deepStrictEqual(run([...task, "json=false", "--help"]), quick)
    }
  })

  it("The program colours its help if FORCE_COLOR is set, unless NO_COLOR is set too.", () => {
    assert.include(run(["--help"], { FORCE_COLOR: "1", NO_COLOR: "" }).out, "\u001b[")
    assert.notInclude(run(["--help"], { FORCE_COLOR: "1", NO_COLOR: "1" }).out, "\u001b")
  })

  it("The program explains a mistake in one line on stderr.", () => {
    assert.deepStrictEqual(run(["build", "traget=prod"]), {
      status: 2,
      out: "",
      err: 'deployer: "build" does not know "traget". Did you mean "target=prod"? See deployer build --help\n'
    })
    const config = run(["build", "target=prod"])
    assert.strictEqual(config.status, 2)
    assert.match(config.err, /^deployer: .*the config was loaded\n$/)
  })

  for (const name of ["bash", "zsh", "fish"]) {
    it(`The program writes a script that completes in ${name}.`, () => {
      const { err, out, status } = run(["completions", name])
      assert.deepStrictEqual([status, err], [0, ""])
      assert.match(out, /^(#compdef deployer\n)?# Completes deployer in .*:\n# {3}\S/)
      assert.deepStrictEqual(run(["completions", `shell=${name}`]).out, out)
      // fish reads no script from its input.
      const file = path.join(folder, name)
      fs.writeFileSync(file, out)
      const checked = spawnSync(name, ["-n", file], { encoding: "utf8" })
      if (checked.error === undefined) assert.strictEqual(checked.stderr, "")
    })
  }

  it("The program names the shells if a line names another one.", () => {
    const { err, out, status } = run(["completions", "csh"])
    assert.deepStrictEqual([status, out], [2, ""])
    assert.strictEqual(err, 'deployer: "shell" takes bash, zsh, fish, not "csh"\n')
  })

  it("The program ends quietly if nobody reads its output.", () => {
    const head = shell(`{ "$0" "$1" --help; echo "status $?" >&2; } | head -n 1`)
    assert.deepStrictEqual([head.stdout, head.stderr], ["deployer COMMAND key=value … flag …\n", "status 0\n"])
    const closed = shell(`"$0" "$1" --help >&- 2>&- <&-; echo "status $?"`)
    assert.strictEqual(closed.stdout, "status 0\n")
    const version = shell(`for i in 1 2 3; do { "$0" "$1" --version; echo "status $?" >&2; } | true; done`)
    assert.match(version.stderr, /^(status 0\n){3}$/)
  })

  it("The program fails with a sentence if its output cannot be written.", () => {
    for (const task of ["--version", "--help"]) {
      const full = shell(`"$0" "$1" ${task} > /dev/full; echo "status $?"`)
      assert.strictEqual(full.stdout, "status 1\n")
      assert.match(full.stderr, /^deployer: .* could not be written to standard output: ENOSPC.*\n$/)
    }
  })

  it("A config and builders written with Effect run on the Effect that the program brings along.", () => {
    const root = path.join(folder, "own")
    fs.mkdirSync(path.join(root, "deployer/config"), { recursive: true })
    fs.writeFileSync(
      path.join(root, "deployer/config/deployer_config.ts"),
      `
      import * as FileSystem from "@effect/platform/FileSystem"
      import { Effect, Schema, Stream } from "effect"
      import { config } from "effect-deployer"
      class NoLuck extends Schema.TaggedError<NoLuck>()("NoLuck", { message: Schema.String }) {}
      const target = { host: "local", name: "my_app", path: "my_app", sharesPath: true }
      export default Effect.gen(function* () {
        yield* Effect.sleep("1 millis")
        return config({
          targets: { fails: target, dies: target },
          builders: {
            fails: ({ temp }) => Effect.gen(function* () {
              const fs = yield* FileSystem.FileSystem
              yield* fs.writeFileString(temp + "/seen", "hello")
              const seen = yield* fs.stream(temp + "/seen").pipe(Stream.decodeText(), Stream.mkString)
              return yield* new NoLuck({ message: "the builder saw " + seen })
            }),
            dies: () => Effect.die(new Error("the builder broke"))
          }
        })
      })`
    )
    const failed = run(["build", "target=fails", `root=${root}`])
    assert.deepStrictEqual([failed.status, failed.out], [1, ""])
    assert.match(failed.err, /deployer: .*the builder saw hello\n$/)
    const died = run(["build", "target=dies", `root=${root}`])
    assert.strictEqual(died.status, 70)
    assert.match(died.err, /deployer: this is a bug[\s\S]*the builder broke/)
  })
})
