/**
 * The one fiber of the process: signals interrupt it, its clean-up runs, and the process ends with the right status.
 */
import { constants } from "node:os"
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Main from "../Main.ts"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** How long clean-up may take after a signal before the process ends without it, in milliseconds. */
const patience = 30_000

const say = (lines: ReadonlyArray<string>) => process.stderr.write(`${lines.join("\n")}\n`)

const isBrokenPipe = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EPIPE"

/**
 * Runs a program to its end and ends the process. SIGINT, SIGTERM and SIGHUP interrupt it; another one meanwhile does not
 * skip the clean-up, which has a bounded time instead. A reader of stdout that went away (`| head`) is not an error.
 */
export const runMain = <E>(program: Effect.Effect<unknown, E>): void => {
  let received: number | undefined
  let crash: Exit.Exit<never> | undefined

  const end = (status: number) => {
    // Whatever stdout still holds is written first.
    process.stdout.write("", () => process.exit(status))
  }

  const stop = () => {
    fiber.unsafeInterruptAsFork(fiber.id())
    setTimeout(() => {
      say([`deployer: clean-up did not end within ${patience / 1000} seconds; the next command removes what is left`])
      process.exit(received === undefined ? Main.Status.bug : 128 + received)
    }, patience).unref()
  }

  for (const signal of signals) {
    process.on(signal, () => {
      if (received !== undefined) return say(["deployer: still cleaning up"])
      received = constants.signals[signal]
      if (crash === undefined) stop()
    })
  }
  const onCrash = (error: unknown) => {
    if (crash !== undefined) return
    crash = Exit.die(error)
    stop()
  }
  process.on("uncaughtException", onCrash)
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => (isBrokenPipe(error) ? undefined : onCrash(error)))
  }

  const fiber = Effect.runFork(program)
  const keepAlive = setInterval(() => {}, 2 ** 31 - 1)
  fiber.addObserver((exit) => {
    clearInterval(keepAlive)
    const ending = crash ?? exit
    if (Exit.isFailure(ending)) say(Main.report(ending.cause))
    end(Main.exitStatus(ending, received))
  })
}
