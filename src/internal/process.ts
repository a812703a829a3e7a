/**
 * Child processes that start in a scope and end with it.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { statSync } from "node:fs"
import { constants } from "node:os"
import { PassThrough, type Readable, type Writable } from "node:stream"
import { type PlatformError, SystemError } from "@effect/platform/Error"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { homeFolder } from "./homeFolder.ts"

/** The child to start. */
export interface Options<E = never> {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd?: string
  /** Added to this process's own environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Fed with backpressure; closed at once if it is undefined. */
  readonly stdin?: Stream.Stream<Uint8Array, E>
  /** How the child is asked to end. Default: SIGTERM, and SIGKILL 2 seconds later. */
  readonly ending?: Ending
}

/** How a child is asked to end before its time. */
export interface Ending {
  readonly signal: NodeJS.Signals
  /** Milliseconds until SIGKILL follows. */
  readonly patience: number
}

/** A started child. Both outputs must be read: a child blocks on a full pipe. */
export interface Running<E = never> {
  readonly pid: number
  readonly stdout: Stream.Stream<Uint8Array, PlatformError>
  readonly stderr: Stream.Stream<Uint8Array, PlatformError>
  /** 128+n after the signal n. Fails if `stdin` fails: the child is ended then. */
  readonly exitCode: Effect.Effect<number, E>
}

const politely: Ending = { signal: "SIGTERM", patience: 2000 }

/** The time that the rest of the group gets once the child itself has ended, in milliseconds. */
const patienceForRest = 500

/**
 * Starts a child in a process group of its own. Closing the scope while it runs sends the group a signal and later SIGKILL (see {@link Ending}), and
 * never waits longer than twice that time. A child that has ended may leave others of its group behind: daemons do. Fails if the program or the
 * directory is missing.
 */
export const run = <E = never>(options: Options<E>): Effect.Effect<Running<E>, PlatformError, Scope.Scope> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number, E>()
    const child = yield* Effect.acquireRelease(start(options, "pipe", ended), (child) => end(child, options.ending))
    yield* Effect.forkScoped(feed(child, options, ended))
    return {
      pid: child.pid ?? 0,
      stdout: fromReadable(child.stdout, options.command),
      stderr: fromReadable(child.stderr, options.command),
      exitCode: Deferred.await(ended)
    }
  })

/** Runs a child that has this process's terminal, and returns its exit status; 128+n after the signal n. */
export const runInTerminal = (options: Omit<Options, "stdin">): Effect.Effect<number, PlatformError> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    yield* Effect.acquireRelease(start(options, "inherit", ended), (child) => end(child, options.ending))
    return yield* Deferred.await(ended)
  }).pipe(Effect.scoped)

/** Whether somebody can type. */
export const hasTerminal: Effect.Effect<boolean> = Effect.sync(() => process.stdin.isTTY === true)

/** A variable of this process's environment. */
export const variable = (name: string): Effect.Effect<string | undefined> => Effect.sync(() => process.env[name])

/** The home directory of the user that runs this process. */
export const home: Effect.Effect<string> = Effect.sync(homeFolder)

/** Whether the path is a directory. */
export const isDirectory = (path: string): Effect.Effect<boolean> =>
  Effect.sync(() => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true).pipe(
    Effect.catchAllDefect(() => Effect.succeed(false))
  )

const start = <E>(
  options: Options<E>,
  stdio: "pipe" | "inherit",
  ended: Deferred.Deferred<number, E>
): Effect.Effect<ChildProcess, PlatformError> =>
  Effect.async((resume) => {
    let child: ChildProcess
    try {
      child = spawn(options.command, [...options.args], {
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        env: { ...process.env, ...options.env },
        stdio,
        // With the terminal the child must stay in the foreground group.
        detached: stdio === "pipe"
      })
    } catch (cause) {
      // A word with a null byte, which no command line can hold.
      return resume(Effect.fail(spawnFailure(options, cause instanceof Error ? cause : new Error(String(cause)))))
    }
    // A pipe may break at any time, even when it is no longer in use. Without a listener that would be a crash.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.on("error", () => {})
    child.on("error", (cause) => resume(Effect.fail(spawnFailure(options, cause))))
    child.on("exit", (code, signal) =>
      Deferred.unsafeDone(ended, Effect.succeed(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    )
    child.on("spawn", () => resume(Effect.succeed(child)))
  })

const spawnFailure = <E>(options: Options<E>, cause: NodeJS.ErrnoException): PlatformError =>
  new SystemError({
    reason: cause.code === "ENOENT" ? "NotFound" : cause.code === "EACCES" ? "PermissionDenied" : "Unknown",
    module: "Command",
    method: "spawn",
    pathOrDescriptor: options.command,
    description: options.cwd === undefined ? cause.message : `${cause.message} (in ${options.cwd})`,
    cause
  })

const fromReadable = (readable: Readable | null, command: string): Stream.Stream<Uint8Array, PlatformError> =>
  NodeStream.fromReadable(
    () => readable ?? new PassThrough().end(),
    (cause) =>
      new SystemError({ reason: "Unknown", module: "Command", method: "read", pathOrDescriptor: command, cause }),
    // A child that writes while it ends would die of a closed pipe, in the middle of its clean-up.
    { closeOnDone: false }
  )

/** The platform's own sink neither waits for the pipe to drain nor survives a child that stops reading. */
const feed = <E>(
  child: ChildProcess,
  { ending, stdin: bytes }: Options<E>,
  ended: Deferred.Deferred<number, E>
): Effect.Effect<void> => {
  const stdin = child.stdin
  if (stdin === null) return Effect.void
  if (bytes === undefined) return Effect.sync(() => void stdin.end())
  return Stream.runForEachWhile(bytes, (chunk) => write(stdin, chunk)).pipe(
    Effect.zipRight(Effect.sync(() => void stdin.end())),
    // An end of input would look to the child as if everything had arrived.
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : Effect.zipRight(Deferred.failCause(ended, cause), end(child, ending))
    )
  )
}

/** Returns false if the reader is gone. */
const write = (stdin: Writable, chunk: Uint8Array): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    if (!stdin.writable) return resume(Effect.succeed(false))
    if (stdin.write(chunk)) return resume(Effect.succeed(true))
    const settle = () => {
      stdin.off("drain", settle)
      stdin.off("close", settle)
      resume(Effect.sync(() => stdin.writable))
    }
    stdin.on("drain", settle)
    stdin.on("close", settle)
    return Effect.sync(() => {
      stdin.off("drain", settle)
      stdin.off("close", settle)
    })
  })

/** Plain timers: whether a child dies must not depend on the clock of a test. */
const end = (child: ChildProcess, { patience, signal }: Ending = politely): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.destroy()
      return resume(Effect.void)
    }
    const began = performance.now()
    let killAt = began + patience
    let killed = false
    child.once("exit", () => {
      killAt = Math.min(killAt, performance.now() + patienceForRest)
    })
    const finish = () => {
      for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe?.destroy()
      resume(Effect.void)
    }
    const check = () => {
      const gone = child.exitCode !== null || child.signalCode !== null
      const now = performance.now()
      // If nobody reaps orphans (a container without an init), a killed group never looks empty.
      if (!send(child, 0) || (killed && gone) || now > began + 2 * patience) return finish()
      if (now > killAt && !killed) {
        killed = true
        send(child, "SIGKILL")
      }
      setTimeout(check, 10)
    }
    for (const pipe of [child.stdout, child.stderr]) pipe?.resume()
    send(child, signal)
    check()
  })

/** Signals the whole group if the child leads one. Returns false if no process is left. */
const send = (child: ChildProcess, signal: NodeJS.Signals | 0): boolean => {
  if (child.pid === undefined) return false
  if (child.stdin === null) return child.kill(signal)
  try {
    return process.kill(-child.pid, signal)
  } catch {
    return false
  }
}
