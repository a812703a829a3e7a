import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LogFile from "../src/process/logFile.ts"
import * as Reporter from "../src/terminal/Reporter.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-log-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)
const run = { argv: ["deploy", "target=prod", "TOKEN=abcdef"], version: "1.2.3" }
const bytes = (text: string) => new TextEncoder().encode(text)
const linesOf = (file: string) =>
  fs
    .readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.replace(/^1970-01-01T00:00:\d\d\.\d{3}Z /, ""))

describe("the log of a run", () => {
  it.scoped("The log has everything that was reported, with its time and target, and how the command ended.", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "log")
      const error = yield* Effect.gen(function* () {
        yield* Reporter.note("Building")
        yield* Reporter.output(bytes("one\ntwo, password=hun"))
        yield* Reporter.output(bytes("ter2\nthree"))
        yield* Reporter.detail("3 ms").pipe(Reporter.during({ _tag: "Connect" }), Reporter.about({ target: "prod" }))
        return yield* Effect.fail({ message: "the host is away" })
      }).pipe(Effect.provide(LogFile.layer({ ...run, file })), Effect.flip)
      assert.deepInclude(error, { message: "the host is away" })
      assert.deepStrictEqual(linesOf(file), [
        "deployer 1.2.3: deployer deploy target=prod TOKEN=***",
        "Building",
        "one",
        "two, password=***",
        "prod: three",
        "prod: connect begins",
        "prod: 3 ms",
        "prod: connect ends after 0 ms",
        "deployer: the host is away",
        ""
      ])
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    })
  )

  it.scoped("The log of an earlier run stays, and the reporter beneath gets all events too.", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "log")
      fs.writeFileSync(file, "before\n")
      const events = yield* Effect.zipRight(
        Reporter.note("heard"),
        Effect.flatMap(Reporter.Reported, ({ events }) => events)
      ).pipe(Effect.provide(LogFile.layer({ ...run, file })), Effect.provide(Layer.fresh(Reporter.Reporter.collect)))
      assert.deepStrictEqual(events, [{ _tag: "Note", message: "heard" }])
      assert.strictEqual(linesOf(file)[0], "before")
      assert.strictEqual(linesOf(file).at(-2), "deployer: done")
    })
  )

  it.scoped("A log file that others could read is narrowed, and warns if that is not possible.", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "log")
      fs.writeFileSync(file, "before\n", { mode: 0o644 })
      fs.chmodSync(file, 0o644)
      yield* Effect.void.pipe(Effect.provide(LogFile.layer({ ...run, file })))
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      const events = Effect.flatMap(Reporter.Reported, ({ events }) => events).pipe(
        Effect.provide(LogFile.layer({ ...run, file: "/dev/null" })),
        Effect.provide(Layer.fresh(Reporter.Reporter.collect))
      )
      assert.deepStrictEqual(yield* events, [])
    })
  )

  it.scoped("A log file that cannot be written is refused before anything is done.", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "missing", "log")
      const error = yield* Effect.flip(Effect.provide(Effect.die("it ran"), LogFile.layer({ ...run, file })))
      assert.match(error.message, /^The log file .* cannot be written: ENOENT/)
    })
  )

  it.scoped("A named pipe is refused as a log, because opening it could block the process.", () =>
    Effect.gen(function* () {
      const file = path.join(yield* folder, "pipe")
      execFileSync("mkfifo", [file])
      const error = yield* Effect.flip(Effect.provide(Effect.die("it ran"), LogFile.layer({ ...run, file })))
      assert.match(error.message, /cannot be written: it is a named pipe, not a file$/)
    })
  )
})
