/**
 * Runs a command over SSH: gives it its input, takes its output, and limits each wait.
 */
import { Buffer } from "node:buffer"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Target } from "../../../domain/Target.ts"
import { replyBegin } from "../../protocol/reply.ts"
import { CommandTimeout, type HostUnreachable } from "../../RemoteHost.ts"
import type { Exec, ExecResult } from "../Transport.ts"
import { commandLine } from "./commandLine.ts"
import { collect, deliver } from "./output.ts"
import { unreachable } from "./SshConnection.ts"
import * as Ssh from "./ssh2.ts"
import type { Starter } from "./waitingShells.ts"

/** The same for all commands on a connection. */
export interface CommandContext {
  /** The host, for errors. */
  readonly address: string
  readonly start: Starter
  readonly timeouts: Pick<Target["timeouts"], "command" | "transfer">
  /** The time that a host may take to begin a script. */
  readonly firstAnswer: Duration.Duration
}

/** Runs a script. Each command takes one session of the connection. */
export const run = <E = never>(
  context: CommandContext,
  exec: Exec<E>
): Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout> =>
  Effect.gen(function* () {
    const output = yield* exec.onOutput === undefined ? collect : deliver(exec.onOutput)
    const ear = yield* listening(exec.script)
    const { onData } = output.listener
    const session = yield* started(context, exec.wait, {
      // A command whose input has ended can no longer be asked to end. So a command without input reads /dev/null instead.
      command: `${commandLine(exec.script, exec.args)}${exec.stdin === undefined ? " </dev/null" : ""}`,
      ...output.listener,
      onData: (chunk, from) => {
        ear.hear(chunk)
        onData(chunk, from)
      }
    })
    output.attach(session)
    const ended = Effect.raceFirst(
      Effect.raceFirst(session.ended, output.overflow),
      Effect.zipRight(ear.begun(context.firstAnswer), Effect.never)
    )
    // The command may end without having read everything, so neither waits for the other.
    const fed =
      exec.stdin === undefined ? Effect.void : feed(session, exec.stdin, context.timeouts.transfer, ear.lastHeard)
    const exitCode = yield* exec.wait === "command"
      ? Effect.raceFirst(ended, Effect.zipRight(fed, Effect.never))
      : Effect.gen(function* () {
          const done = yield* Effect.raceFirst(Effect.asSome(ended), Effect.zipRight(fed, Effect.succeedNone))
          return done._tag === "Some" ? done.value : yield* bounded(context, exec.doing)(ended)
        })
    return { exitCode, ...(yield* output.result) }
  }).pipe(
    Effect.scoped,
    exec.wait === "command" ? bounded(context, exec.doing) : (self) => self,
    Effect.catchIf((error) => error instanceof Ssh.Disconnected, unreachable(context.address))
  )

/** Limits a run to the time of a command. */
const bounded =
  ({ address, timeouts }: CommandContext, doing: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.timeoutFail(self, {
      duration: timeouts.command,
      onTimeout: () => new CommandTimeout({ address, command: doing, waited: Duration.format(timeouts.command) })
    })

/** The session of a command. A transfer limits the start on its own, because it does not limit the whole run. */
const started = (
  { start, timeouts: { transfer } }: CommandContext,
  wait: Exec<never>["wait"],
  options: Ssh.SessionOptions
): Effect.Effect<Ssh.Session, Ssh.Disconnected, Scope.Scope> =>
  wait === "command"
    ? start(options)
    : Effect.timeoutFail(start(options), {
        duration: transfer,
        onTimeout: () =>
          new Ssh.Disconnected({
            reason: "timeout",
            detail: `it started no command for ${Duration.format(transfer)}`
          })
      })

/** Signs of life of a command. */
interface Ear {
  readonly hear: (chunk: Uint8Array) => void
  /** The time of the last output, or of the start, in milliseconds of the clock. */
  readonly lastHeard: () => number
  /** Succeeds once the script has begun. Fails if that takes longer. */
  readonly begun: (within: Duration.Duration) => Effect.Effect<void, Ssh.Disconnected>
}

/** A script of the protocol begins with its mark, and any other one with any output. */
const listening = (script: string): Effect.Effect<Ear> =>
  Effect.gen(function* () {
    const heard = yield* Deferred.make<void>()
    const clock = yield* Effect.clock
    let lastHeard = clock.unsafeCurrentTimeMillis()
    // A login shell may print without end, and never begin the script.
    const awaited = script.includes(replyBegin) ? replyBegin : ""
    let beginning = ""
    let hasBegun = false
    return {
      hear: (chunk) => {
        lastHeard = clock.unsafeCurrentTimeMillis()
        if (hasBegun) return
        beginning = (beginning + Buffer.from(chunk).toString("latin1")).slice(-chunk.length - awaited.length)
        hasBegun = beginning.includes(awaited)
        if (hasBegun) Deferred.unsafeDone(heard, Effect.void)
      },
      lastHeard: () => lastHeard,
      begun: (within) =>
        Effect.timeoutFail(Deferred.await(heard), {
          duration: within,
          onTimeout: () =>
            new Ssh.Disconnected({
              reason: "silent",
              detail: `${beginning === "" ? "not a word" : "nothing but output of its own"} within ${Duration.format(within)}`
            })
        })
    }
  })

/** Writes the input of a command. A host that takes no data for as long as `wait` may be busy with earlier data, if it gives signs of life. */
const feed = <E>(
  session: Ssh.Session,
  stdin: Stream.Stream<Uint8Array, E>,
  wait: Duration.Duration,
  lastHeard: () => number
): Effect.Effect<void, E | Ssh.Disconnected> =>
  Effect.flatMap(Effect.clock, (clock) =>
    stdin.pipe(
      Stream.runForEach((chunk) =>
        Effect.suspend(() =>
          Effect.raceFirst(session.write(chunk), silence(clock, wait, clock.unsafeCurrentTimeMillis(), lastHeard))
        )
      ),
      Effect.zipRight(Effect.sync(session.endInput))
    )
  )

/** Fails once nothing was heard for as long as `wait`, counted from `since` or later. */
const silence = (
  clock: Clock.Clock,
  wait: Duration.Duration,
  since: number,
  lastHeard: () => number
): Effect.Effect<never, Ssh.Disconnected> =>
  Effect.suspend(() => {
    const left = Math.max(since, lastHeard()) + Duration.toMillis(wait) - clock.unsafeCurrentTimeMillis()
    return left <= 0
      ? Effect.fail(new Ssh.Disconnected({ reason: "timeout", detail: `it took no data for ${Duration.format(wait)}` }))
      : Effect.zipRight(Effect.sleep(left), silence(clock, wait, since, lastHeard))
  })
