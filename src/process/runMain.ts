/**
 * The one fiber of the process: signals interrupt it, its clean-up runs, and the process ends with the right status.
 */
import { constants } from "node:os"
import process from "node:process"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { hasColor } from "../internal/color.ts"
import { codeOf } from "../internal/files.ts"
import { Status } from "../terminal/Failure.ts"
import * as Main from "./main.ts"

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/** How long clean-up may take after a signal before the process ends without it, in milliseconds. */
const patience = 30_000

const say = (lines: ReadonlyArray<string>) => {
  if (lines.length === 0) return
  const red = (line: string) => line.replace(/^deployer:/, "\u001b[31m$&\u001b[39m")
  const shown = hasColor(process.stderr, process.env) ? lines.map(red) : lines
  process.stderr.write(`${shown.join("\n")}\n`)
}

// The reader went away (`| head`), maybe before the last writes.
const isUnread = (error: unknown): boolean => ["EPIPE", "ERR_STREAM_DESTROYED"].includes(codeOf(error) ?? "")

const unwritten = (error: Error) =>
  Cause.fail({ message: `The result could not be written to standard output: ${error.message}` })

/** The parts of a process that a program gets. */
export interface Given {
  readonly ending: Main.Ending
  /** Writes to standard output. */
  readonly write: (text: string) => void
}

/** Returns a writer for standard output. If that has room for one document alone, all other writers go to standard error. */
const takeStdout = (isData: boolean) => {
  const { stderr, stdout } = process
  const write = stdout.write.bind(stdout)
  if (isData) {
    // For `console.log` in a config, a builder or a hook: nobody else here writes past the program's console.
    Object.assign(stdout, { write: stderr.write.bind(stderr) })
  }
  return (text: string, done?: (error?: Error | null) => void) => write(text, "utf8", done)
}

/**
 * Runs a program to its end and ends the process. SIGINT, SIGTERM and SIGHUP interrupt it. Another signal does not skip the clean-up, which has a
 * bounded time instead. A reader of stdout that went away (`| head`) is not an error; a full disk is.
 */
export const runMain = <E>(
  program: (given: Given) => Effect.Effect<unknown, E>,
  { isData = false }: { readonly isData?: boolean } = {}
): void => {
  const write = takeStdout(isData)
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
    // The text that stdout still holds is written first.
    write("", (error) => {
      if (!(error instanceof Error) || isUnread(error) || Exit.isFailure(exit)) return leave(status)
      say(Main.report(unwritten(error)))
      leave(Status.failed)
    })
  }

  // The program did not end by itself, so nobody has written a document.
  const giveUp = (message: string, exitStatus: number) => {
    say([`deployer: ${message}`])
    if (isData) write(`${Main.document(Main.failure(Cause.fail({ message }), { status: exitStatus }))}\n`)
  }

  const stop = () => {
    fiber.unsafeInterruptAsFork(fiber.id())
    setTimeout(() => {
      const status = received === undefined ? Status.bug : 128 + received
      giveUp(`clean-up did not end within ${patience / 1000} seconds; the next command removes what is left`, status)
      leave(status)
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
  // Nobody is left to tell, and a half-deployed release for lack of a log would be worse.
  process.stderr.on("error", () => {})
  process.on("exit", (status) => {
    if (over) return
    const exitStatus = status === Status.done ? Status.failed : status
    giveUp("ended by a process.exit in the config, a builder or a hook, before the command was done", exitStatus)
    process.exitCode = exitStatus
  })

  const ending: Main.Ending = { exit: (exit) => crash ?? exit, signal: () => received }
  const fiber = Effect.runFork(program({ ending, write }))
  const keepAlive = setInterval(() => {}, 2 ** 31 - 1)
  fiber.addObserver((exit) => {
    clearInterval(keepAlive)
    end(crash ?? exit)
  })
}
