import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Schema from "effect/Schema"
import { build } from "esbuild"
import packageJson from "../package.json" with { type: "json" }
import { count, optional, task, value, word } from "../src/commands/Task.ts"
import { treeOf } from "../src/commandTree.ts"
import * as Main from "../src/process/main.ts"
import { Prompt } from "../src/terminal/Prompt.ts"
import { UsageError } from "../src/UsageError.ts"
import { version } from "../src/Version.ts"

class Held extends Data.TaggedError("Held")<{ readonly by: string }> {
  readonly exitStatus = 4
}

class Said extends Data.TaggedError("Said")<{ readonly message: string; readonly exitStatus: number }> {}

const interrupted = Cause.interrupt(FiberId.none)

describe("Main", () => {
  it("The program's version is the one in package.json.", () => {
    assert.strictEqual(version, packageJson.version)
  })

  it("The exit status comes from the first failure.", () => {
    const status = (cause: Cause.Cause<unknown>, signal?: number) => Main.exitStatus(Exit.failCause(cause), signal)
    assert.strictEqual(Main.exitStatus(Exit.succeed(3)), 0)
    assert.strictEqual(status(Cause.fail("anything")), 1)
    assert.strictEqual(status(Cause.fail(new UsageError({ message: "no" }))), 2)
    assert.strictEqual(status(Cause.fail(new Held({ by: "me" }))), 4)
    assert.strictEqual(status(Cause.fail({ exitStatus: 300 })), 1)
    assert.strictEqual(status(Cause.fail({ exitStatus: "2" })), 1)
    assert.strictEqual(status(Cause.die(new Held({ by: "me" }))), 70)
    assert.strictEqual(status(interrupted), 130)
    assert.strictEqual(status(interrupted, 15), 143)
    assert.strictEqual(status(Cause.empty), 130)
    assert.strictEqual(status(Cause.sequential(Cause.fail(new Held({ by: "me" })), Cause.die("finalizer"))), 4)
    assert.strictEqual(status(Cause.parallel(interrupted, Cause.fail(new UsageError({ message: "no" })))), 2)
  })

  it("The program reports an expected failure in a sentence, without a stack.", () => {
    const lines = (error: unknown) => Main.report(Cause.fail(error))
    assert.deepStrictEqual(lines(new Said({ message: "no such target", exitStatus: 2 })), ["deployer: no such target"])
    assert.deepStrictEqual(lines(new Said({ message: "two\n  lines", exitStatus: 2 })), ["deployer: two", "  lines"])
    assert.deepStrictEqual(lines("just words"), ["deployer: just words"])
    assert.deepStrictEqual(lines(new Held({ by: "me" })), ['deployer: Held {"by":"me"}'])
    assert.deepStrictEqual(lines({ _tag: "Odd", code: 7 }), ['deployer: Odd {"code":7}'])
    assert.deepStrictEqual(lines(new TypeError()), ["deployer: TypeError"])
    for (const odd of [undefined, null, 42, "", {}, [], () => 1, Symbol("x"), 10n, Object.create(null)]) {
      assert.match(lines(odd).join("\n"), /^deployer: \S/, String(typeof odd))
    }
    assert.deepStrictEqual(Main.report(Cause.parallel(Cause.fail("first"), Cause.fail("second"))), ["deployer: first"])
  })

  it("The program calls a defect a bug, shows its stack and says where to report it.", () => {
    const lines = Main.report(Cause.die(new RangeError("out of it"))).join("\n")
    assert.include(lines, "this is a bug")
    assert.include(lines, "RangeError: out of it")
    assert.include(lines, "Main.test.ts")
    assert.include(lines, "report it to the maintainers of deployer")
    const both = Main.report(Cause.sequential(Cause.fail("expected"), Cause.die("finalizer")))
    assert.strictEqual(both[0], "deployer: expected")
    assert.include(both.join("\n"), "finalizer")
  })

  it("The program reports an interruption in one word.", () => {
    assert.deepStrictEqual(Main.report(interrupted), ["deployer: interrupted"])
  })

  /** Runs a tree of one task, and returns its output and its end. */
  const run = (...argv: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const out: Array<unknown> = []
      const err: Array<unknown> = []
      const console = yield* Effect.console
      const report = { schema: Schema.Void, view: () => () => "" }
      const texts = {
        group: "look",
        description: "Greets.",
        examples: ["deployer greet name=you", "deployer greet name=me n=2"],
        report
      } as const
      const greet = task("greet", {
        ...texts,
        options: {
          name: value({ name: "name", description: "" }),
          n: optional(count({ name: "n", description: "" }, "a number"))
        },
        run: ({ name }) => Effect.zipRight(Console.log(`hello ${name}`), Console.error("from the task"))
      })
      const words = task("words", {
        ...texts,
        options: { words: word({ name: "w", description: "" }) },
        run: () => Effect.logInfo("logged")
      })
      const exit = yield* Main.run(treeOf([greet, words]), { version: "1.2.3", color: false })(argv).pipe(
        Effect.withConsole({
          ...console,
          log: (...args) => Effect.sync(() => out.push(...args)),
          error: (...args) => Effect.sync(() => err.push(...args)),
          unsafe: { ...console.unsafe, error: (...args: ReadonlyArray<unknown>) => err.push(...args) }
        }),
        Effect.provide(NodeContext.layer),
        Effect.provide(Prompt.layerScripted([])),
        Effect.exit
      )
      const said = Exit.isFailure(exit) ? Main.report(exit.cause) : []
      return { out: out.join("\n"), err: [...err, ...said].join("\n"), status: Main.exitStatus(exit) }
    })

  it.effect("A task writes to the program's console, on stdout and stderr.", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* run("greet", "name=you"), { out: "hello you", err: "from the task", status: 0 })
    })
  )

  it.effect("The program prints help without colours if the output does not support them.", () =>
    Effect.gen(function* () {
      for (const argv of [[], ["--help"], ["greet", "--help"]]) {
        const { out, err, status } = yield* run(...argv)
        assert.include(out, "greet")
        assert.notInclude(out, "\u001b")
        assert.strictEqual(err, "")
        assert.strictEqual(status, 0)
      }
      const { out } = yield* run("greet", "--help")
      assert.include(out, "  deployer greet name=NAME [n=N]\n")
      assert.strictEqual((yield* run("--version")).out, "1.2.3")
    })
  )

  it.effect("The program prints a usage error once.", () =>
    Effect.gen(function* () {
      const wrong = yield* run("greet", "name=you", "n=many")
      assert.strictEqual(wrong.status, 2)
      assert.strictEqual(wrong.out, "")
      assert.strictEqual(wrong.err.split("many").length, 2, wrong.err)
      assert.match(wrong.err, /^deployer: \S/)
      assert.notInclude(wrong.err, "\u001b")
      const unknown = yield* run("greet", "nmae=you")
      assert.strictEqual(
        unknown.err,
        'deployer: "greet" does not know "nmae". Did you mean "name=you"? See deployer greet --help'
      )
      assert.strictEqual(unknown.status, 2)
    })
  )

  it.effect("The log goes to stderr.", () =>
    Effect.gen(function* () {
      const { out, err } = yield* run("words", "w")
      assert.strictEqual(out, "")
      assert.include(err, "logged")
    })
  )
})

describe("a failure as data", () => {
  const encoded = (cause: Cause.Cause<unknown>, report?: unknown) =>
    JSON.parse(Main.document(Main.failure(cause, { status: 4, report })))

  it("A failure as data holds the fields of the error's schema, or at least its tag.", () => {
    assert.deepStrictEqual(encoded(Cause.fail(new UsageError({ message: "no" }))), {
      _tag: "Failure",
      exitStatus: 4,
      message: "no",
      error: { _tag: "UsageError", message: "no" }
    })
    assert.deepStrictEqual(encoded(Cause.fail(new Held({ by: "me" })), { done: 1 }), {
      _tag: "Failure",
      exitStatus: 4,
      message: 'Held {"by":"me"}',
      error: { _tag: "Held" },
      report: { done: 1 }
    })
    for (const odd of [undefined, null, 42, "", {}, [], () => 1, Symbol("x"), 10n, Object.create(null)]) {
      assert.deepStrictEqual(encoded(Cause.fail(odd)).error, { _tag: "Error" })
    }
  })

  it("A failure as data also covers an interruption and a bug.", () => {
    assert.deepStrictEqual(encoded(interrupted).error, { _tag: "Interrupted" })
    const bug = encoded(Cause.die(new Error("odd")))
    assert.match(bug.message, /^this is a bug: odd$/)
    assert.match(bug.error.details, /^Error: odd\n {4}at /)
  })
})

describe("the process", () => {
  let folder = ""
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-main-"))
    const source = `
      import * as Effect from "effect/Effect"
      import { runMain } from "./src/process/runMain.ts"
      const cleanUp = Effect.zipRight(Effect.sleep(1000), Effect.sync(() => process.stderr.write("cleaned\\n")))
      const programs = {
        done: Effect.sync(() => process.stdout.write("out")),
        fails: Effect.fail({ message: "no luck", exitStatus: 4 }),
        dies: Effect.die(new Error("odd")),
        waits: Effect.ensuring(Effect.zipRight(Effect.sync(() => process.stdout.write("ready")), Effect.never), cleanUp),
        exits: Effect.zipRight(Effect.sync(() => process.exit(0)), Effect.void),
        prints: Effect.sync(() => console.log("out")),
        goesOn: Effect.gen(function* () {
          process.stderr.write("progress\\n")
          yield* Effect.sleep(50)
          console.log("done all the same")
        }),
        lingers: Effect.sync(() => { setInterval(() => {}, 1000) }),
        throws: Effect.ensuring(Effect.zipRight(Effect.sync(() => { setTimeout(() => { throw new Error("aside") }, 10) }), Effect.never), cleanUp),
        floods: Effect.forever(Effect.zipRight(Effect.sleep(1), Effect.sync(() => process.stdout.write("x".repeat(10000) + "\\n")))).pipe(Effect.timeoutOption(500))
      }
      runMain(() => programs[process.argv[2]])`
    await build({
      stdin: { contents: source, resolveDir: path.resolve(import.meta.dirname, ".."), loader: "ts" },
      outfile: path.join(folder, "main.mjs"),
      ...{ bundle: true, platform: "node", format: "esm", logLevel: "silent" }
    })
  })
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  const run = (name: string, signals: ReadonlyArray<NodeJS.Signals> = []) =>
    new Promise<{ status: number | null; out: string; err: string }>((resolve) => {
      const child = spawn(process.execPath, [path.join(folder, "main.mjs"), name])
      let out = ""
      let err = ""
      const left = [...signals]
      child.stdout.on("data", (chunk) => {
        out += chunk
        const send = () => {
          const signal = left.shift()
          if (signal !== undefined) {
            child.kill(signal)
            setTimeout(send, 100)
          }
        }
        send()
      })
      child.stderr.on("data", (chunk) => {
        err += chunk
      })
      child.on("close", (status) => resolve({ status, out, err }))
    })

  it.concurrent("The process ends with the status of the program.", async () => {
    assert.deepEqual(await run("done"), { status: 0, out: "out", err: "" })
    assert.deepEqual(await run("fails"), { status: 4, out: "", err: "deployer: no luck\n" })
    const died = await run("dies")
    assert.strictEqual(died.status, 70)
    assert.include(died.err, "Error: odd")
  })

  it.concurrent("The process does not wait for handles that the program leaves open.", async () => {
    assert.strictEqual((await run("lingers")).status, 0)
  })

  it.concurrent("The process cleans up after each signal, and only once.", async () => {
    const [int, term, hup, twice] = await Promise.all([
      run("waits", ["SIGINT"]),
      run("waits", ["SIGTERM"]),
      run("waits", ["SIGHUP"]),
      run("waits", ["SIGINT", "SIGINT"])
    ])
    assert.deepEqual(int, { status: 130, out: "ready", err: "cleaned\ndeployer: interrupted\n" })
    assert.deepEqual([term.status, hup.status], [143, 129])
    assert.strictEqual(twice.status, 130)
    assert.strictEqual(twice.err, "deployer: still cleaning up\ncleaned\ndeployer: interrupted\n")
  })

  it.concurrent("The process cleans up after an uncaught exception.", async () => {
    const { status, err } = await run("throws")
    assert.strictEqual(status, 70)
    assert.match(err, /^cleaned\n[\s\S]*Error: aside/)
  })

  it.concurrent("The process fails if its result cannot be written, but not if its progress cannot.", async () => {
    const shell = (script: string) =>
      new Promise<string>((resolve) => {
        const child = spawn("sh", ["-c", script, process.execPath, path.join(folder, "main.mjs")])
        let text = ""
        for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += chunk))
        child.on("close", () => resolve(text))
      })
    assert.strictEqual(
      await shell('"$0" "$1" prints > /dev/full; echo "status $?"'),
      "deployer: The result could not be written to standard output: ENOSPC: no space left on device, write\nstatus 1\n"
    )
    assert.strictEqual(await shell('"$0" "$1" goesOn 2> /dev/full; echo "status $?"'), "done all the same\nstatus 0\n")
  })

  it.concurrent("A process.exit in the config, a builder or a hook counts as a failure.", async () => {
    const { err, status } = await run("exits")
    assert.strictEqual(status, 1)
    assert.strictEqual(
      err,
      "deployer: ended by a process.exit in the config, a builder or a hook, before the command was done\n"
    )
  })

  it.concurrent("The process ends quietly if nobody reads its output.", async () => {
    const child = spawn("sh", [
      "-c",
      `{ "$0" "$1" floods; echo $? >&2; } | head -n 1 | wc -c`,
      process.execPath,
      path.join(folder, "main.mjs")
    ])
    let text = ""
    child.stdout.on("data", (chunk) => (text += chunk))
    child.stderr.on("data", (chunk) => (text += chunk))
    await new Promise((resolve) => child.on("close", resolve))
    assert.deepEqual(text.trim().split("\n").sort(), ["0", "10001"])
  })
})
