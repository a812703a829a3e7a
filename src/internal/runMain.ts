/**
 * The one fiber of the process: signals interrupt it, its clean-up runs, and the process ends with the right status.
 */
import { constants } from "node:os"
import process from "node:process"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Main from "../Main.ts"
import { codeOf } from "./files.ts"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** How long clean-up may take after a signal before the process ends without it, in milliseconds. */
const patience = 30_000

const say = (lines: ReadonlyArray<string>) => process.stderr.write(`${lines.join("\n")}\n`)

// A reader that went away (`| head`), and what was still to be written when it had.
const isUnread = (error: unknown): boolean => ["EPIPE", "ERR_STREAM_DESTROYED"].includes(codeOf(error) ?? "")

const unwritten = (error: Error) =>
  Cause.fail({ message: `The result could not be written to standard output: ${error.message}` })

/**
 * Runs a program to its end and ends the process. SIGINT, SIGTERM and SIGHUP interrupt it; another one meanwhile does not
 * skip the clean-up, which has a bounded time instead. A reader of stdout that went away (`| head`) is not an error, a full
 * disk under it is.
 */
export const runMain = <E>(program: Effect.Effect<unknown, E>): void => {
  let received: number | undefined
  let crash: Exit.Exit<never, unknown> | undefined
  let over = false

  const leave = (status: number) => {
    over = true
    process.exit(status)
  }

  const end = (exit: Exit.Exit<unknown, unknown>) => {
    if (Exit.isFailure(exit)) say(Main.report(exit.cause))
    const status = Main.exitStatus(exit, received)
    // Whatever stdout still holds is written first.
    process.stdout.write("", (error) => {
      if (!(error instanceof Error) || isUnread(error) || Exit.isFailure(exit)) return leave(status)
      say(Main.report(unwritten(error)))
      leave(Main.Status.failed)
    })
  }

  const stop = () => {
    fiber.unsafeInterruptAsFork(fiber.id())
    setTimeout(() => {
      say([`deployer: clean-up did not end within ${patience / 1000} seconds; the next command removes what is left`])
      leave(received === undefined ? Main.Status.bug : 128 + received)
    }, patience).unref()
  }

  for (const signal of signals) {
    process.on(signal, () => {
      if (received !== undefined) return say(["deployer: still cleaning up"])
      received = constants.signals[signal]
      if (crash === undefined) stop()
    })
  }
  const abort = (exit: Exit.Exit<never, unknown>) => {
    if (crash !== undefined) return
    crash = exit
    stop()
  }
  process.on("uncaughtException", (error) => abort(Exit.die(error)))
  process.stdout.on("error", (error) => (isUnread(error) ? undefined : abort(Exit.failCause(unwritten(error)))))
  // Nobody is left to be told, and a release half deployed for the lack of a log would be worse.
  process.stderr.on("error", () => {})
  process.on("exit", (status) => {
    if (over) return
    say(["deployer: ended by a process.exit in the config, a builder or a hook, before the command was done"])
    process.exitCode = status === Main.Status.done ? Main.Status.failed : status
  })

  const fiber = Effect.runFork(program)
  const keepAlive = setInterval(() => {}, 2 ** 31 - 1)
  fiber.addObserver((exit) => {
    clearInterval(keepAlive)
    end(crash ?? exit)
  })
}
