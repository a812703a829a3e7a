/**
 * The log of a run: every event with its time, without secrets, in a file that later runs continue.
 */
import * as fs from "node:fs"
import process from "node:process"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { plain } from "../internal/color.ts"
import { messageOf } from "../internal/messageOf.ts"
import { redactor, Secrets } from "../internal/redact.ts"
import { eventText } from "../terminal/Event.ts"
import { Reporter } from "../terminal/Reporter.ts"
import { UsageError } from "../UsageError.ts"
import { report } from "./main.ts"

/** The log of one run. */
export interface Log {
  /** Relative to the working directory. */
  readonly file: string
  /** The words of the command line. */
  readonly argv: ReadonlyArray<string>
  readonly version: string
}

const unwritable = (file: string, error: unknown) =>
  new UsageError({ message: `The log file ${file} cannot be written: ${messageOf(error) ?? "no reason was given"}` })

/** A pipe that nobody reads would block the process, signals included, so it is refused. */
const opened = (file: string): number => {
  if (fs.statSync(file, { throwIfNoEntry: false })?.isFIFO() === true) throw new Error("it is a named pipe, not a file")
  return fs.openSync(file, "a", 0o600)
}

/** Whether only this user can read an open file, after an attempt to make it so. A device has no content of its own. */
const isPrivate = (descriptor: number): boolean => {
  const stat = fs.fstatSync(descriptor)
  if (!stat.isFile() || (stat.mode & 0o077) === 0) return true
  try {
    fs.fchmodSync(descriptor, 0o600)
    // Some file systems accept the change without making it.
    return (fs.fstatSync(descriptor).mode & 0o077) === 0
  } catch {
    return false
  }
}

/** Writes each event to the log file before it passes to the reporter beneath. Others may not read the file. */
export const layer = ({ argv, file, version }: Log): Layer.Layer<Reporter, UsageError> =>
  Layer.scoped(
    Reporter,
    Effect.gen(function* () {
      const below = yield* Reporter
      const redact = redactor(process.env, yield* Secrets)
      const descriptor = yield* Effect.acquireRelease(
        Effect.try({ try: () => opened(file), catch: (error) => unwritable(file, error) }),
        (descriptor) => Effect.sync(() => fs.closeSync(descriptor))
      )
      if (!isPrivate(descriptor)) {
        yield* below.emit({ _tag: "Warning", message: `Other users can read the log file ${file}: chmod 600 ${file}` })
      }
      const decoder = new TextDecoder()
      let partial = ""
      let isBroken = false
      const append = (now: number, target: string | undefined, text: string) => {
        if (isBroken) return undefined
        const head = `${new Date(now).toISOString()} ${target === undefined ? "" : `${target}: `}`
        const lines = redact(plain(text)).split("\n")
        try {
          fs.writeSync(descriptor, lines.map((line) => `${head}${line}\n`).join(""))
          return undefined
        } catch (error) {
          // The command continues: a half-done deployment would be worse than a log that ends.
          isBroken = true
          return `${unwritable(file, error).message}: it ends here`
        }
      }
      const log = (target: string | undefined, text: string) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const problem = append(now, target, text)
          return problem === undefined ? Effect.void : below.emit({ _tag: "Warning", message: problem })
        })
      /** Whole lines of a program's output: a secret may come in two chunks. */
      const outputLines = (chunk: Uint8Array): string | undefined => {
        const text = partial + decoder.decode(chunk, { stream: true })
        const end = text.lastIndexOf("\n")
        partial = text.slice(end + 1)
        return end === -1 ? undefined : text.slice(0, end)
      }
      const rest = (target?: string) => {
        const text = partial
        partial = ""
        return text === "" ? Effect.void : log(target, text)
      }

      yield* log(undefined, `deployer ${version}: ${["deployer", ...argv].join(" ")}`)
      yield* Effect.addFinalizer((exit) =>
        Effect.zipRight(rest(), log(undefined, Exit.isSuccess(exit) ? "deployer: done" : report(exit.cause).join("\n")))
      )
      return {
        emit: (event) => {
          const text = event._tag === "Output" ? outputLines(event.chunk) : eventText(event)
          const logged =
            text === undefined
              ? Effect.void
              : event._tag === "Output"
                ? log(event.target, text)
                : Effect.zipRight(rest(event.target), log(event.target, text))
          return Effect.zipRight(logged, below.emit(event))
        }
      }
    })
  )
