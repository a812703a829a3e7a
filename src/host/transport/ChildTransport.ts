/**
 * Hosts that a program on this machine can reach. A child process runs each script.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { address as addressOf, type Target } from "../../domain/Target.ts"
import { monotonicMillisOf } from "../../internal/monotonic.ts"
import * as ChildProcess from "../../internal/process.ts"
import { PromptUnavailable } from "../../terminal/Prompt.ts"
import { CommandTimeout, HostUnreachable } from "../RemoteHost.ts"
import type { Exec, ExecResult, Transport } from "./Transport.ts"

/** The maximum length of the standard output, in bytes. */
const maxStdout = 64 * 1024 * 1024

/** The number of bytes of the standard error that are kept. */
const maxStderr = 8 * 1024

/**
 * After a child has ended, its outputs are read until nothing arrives for `silence`, at most `patience` times. A daemon that the child leaves behind
 * may hold the outputs open, or write to them, forever.
 */
const silence = Duration.millis(300)
const patience = 30

/** The child that runs `sh` with these words on the host, in the login directory. */
export type Launch = (
  words: ReadonlyArray<string>,
  exec: Pick<Exec<unknown>, "stdin" | "step">
) => Effect.Effect<Omit<ChildProcess.Options, "stdin">>

/** Runs each script on the host of `target` with a child process of its own. */
export const execBy = (target: Target, launch: Launch): Transport["exec"] => {
  const address = addressOf(target)
  const unreachable = (reason: "lost" | "protocol" | "timeout", detail: string) =>
    new HostUnreachable({ address, reason, detail })

  const start = <E>(exec: Exec<E>, heard = () => {}): Effect.Effect<ExecResult, E | HostUnreachable> =>
    Effect.gen(function* () {
      const options = yield* launch(["-c", exec.script, "deployer", ...exec.args], exec)
      const child = yield* ChildProcess.run<E>({
        ...options,
        ...(exec.stdin === undefined ? {} : { stdin: exec.stdin })
      }).pipe(
        Effect.mapError((error) => unreachable("protocol", `${options.command} cannot be started: ${error.message}`))
      )

      const stdout: Array<Uint8Array> = []
      let received = 0
      let pieces = 0
      let stderr = Buffer.alloc(0)
      const readOut = Stream.runForEach(child.stdout, (chunk) => {
        heard()
        pieces += 1
        if (exec.onOutput !== undefined) return exec.onOutput(chunk, "stdout")
        received += chunk.length
        if (received > maxStdout) return unreachable("protocol", "it sent more than 64 MiB")
        stdout.push(chunk)
        return Effect.void
      })
      const readErr = Stream.runForEach(child.stderr, (chunk) => {
        pieces += 1
        if (exec.onOutput !== undefined) return exec.onOutput(chunk, "stderr")
        stderr = Buffer.concat([stderr, chunk]).subarray(-maxStderr)
        return Effect.void
      })
      const reading = yield* Effect.all([readOut, readErr], { concurrency: 2, discard: true }).pipe(
        Effect.mapError((error) =>
          error._tag === "HostUnreachable"
            ? error
            : unreachable("lost", `the output of sh cannot be read: ${error.message}`)
        ),
        Effect.forkScoped
      )
      const exitCode = yield* Effect.raceFirst(child.exitCode, Effect.zipRight(Fiber.join(reading), Effect.never))
      for (let turn = 0, seen = -1; turn < patience && seen !== pieces; turn++) {
        seen = pieces
        const ended = yield* Effect.timeoutOption(Fiber.join(reading), silence)
        if (Option.isSome(ended)) break
      }
      return { exitCode, stdout: Buffer.concat(stdout).toString(), stderr: stderr.toString() }
    }).pipe(Effect.scoped)

  return (exec) => {
    if (exec.wait === "command") {
      const limit = target.timeouts.command
      return start(exec).pipe(
        Effect.timeoutFail({
          duration: limit,
          onTimeout: () => new CommandTimeout({ address, command: exec.doing, waited: Duration.format(limit) })
        })
      )
    }
    const limit = target.timeouts.transfer
    return whileMoving(
      limit,
      unreachable("timeout", `no data moved for ${Duration.format(limit)}`),
      target.timeouts.command,
      exec.stdin ?? Stream.empty,
      (stdin, heard) => start({ ...exec, stdin }, heard)
    )
  }
}

/** Runs the program that `started` describes in this terminal. */
export const shellBy = (
  target: Target,
  started: Effect.Effect<Omit<ChildProcess.Options, "stdin">>
): Effect.Effect<number, HostUnreachable | PromptUnavailable> =>
  Effect.gen(function* () {
    const address = addressOf(target)
    if (!(yield* ChildProcess.hasTerminal)) {
      return yield* new PromptUnavailable({
        question: `Which commands should run on ${address}?`,
        hint: "run it from a terminal, or use start, stop and restart"
      })
    }
    return yield* Effect.mapError(
      Effect.flatMap(started, ChildProcess.runInTerminal),
      (error) =>
        new HostUnreachable({ address, reason: "protocol", detail: `the shell cannot be started: ${error.message}` })
    )
  })

/** Fails if for `limit` nobody pulls the stream and nothing is heard. After the stream's end, the limit is `afterEnd`. */
const whileMoving = <A, E, E2, E3>(
  limit: Duration.Duration,
  failure: E3,
  afterEnd: Duration.Duration,
  bytes: Stream.Stream<Uint8Array, E>,
  use: (bytes: Stream.Stream<Uint8Array, E>, heard: () => void) => Effect.Effect<A, E2>
): Effect.Effect<A, E2 | E3> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    let moved = monotonicMillisOf(clock)
    const heard = () => {
      moved = monotonicMillisOf(clock)
    }
    let allowed = limit
    const move = Effect.sync(heard)
    const watched = Stream.tap(bytes, () => move).pipe(
      Stream.ensuring(
        Effect.map(move, () => {
          allowed = afterEnd
        })
      )
    )
    const watch: Effect.Effect<never, E3> = Effect.gen(function* () {
      const left = moved + Duration.toMillis(allowed) - monotonicMillisOf(clock)
      if (left <= 0) return yield* Effect.fail(failure)
      yield* Effect.sleep(left)
      return yield* watch
    })
    return yield* Effect.raceFirst(use(watched, heard), watch)
  })
