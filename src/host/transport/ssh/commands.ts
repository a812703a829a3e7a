/**
 * Runs a command over SSH: gives it its input, takes its output, and limits each wait.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Target } from "../../../domain/Target.ts"
import { monotonicMillisOf } from "../../../internal/monotonic.ts"
import { CommandTimeout, type HostUnreachable } from "../../RemoteHost.ts"
import type { Exec, ExecResult } from "../Transport.ts"
import * as Connection from "./Connection.ts"
import { commandLine } from "./commandLine.ts"
import { collect, deliver } from "./output.ts"
import { unreachable } from "./SshConnection.ts"
import type { Start, Started } from "./waitingShells.ts"

/** The settings that all commands on a connection share. */
export interface CommandContext {
  /** The host, for errors. */
  readonly address: string
  readonly start: Start
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
    const clock = yield* Effect.clock
    let lastHeard = monotonicMillisOf(clock)
    const { onData } = output.listener
    const begin = yield* started(context, exec.wait, {
      // The end of the input would make it impossible to ask the command to end. So a command without input reads /dev/null.
      command: `${commandLine(exec.script, exec.args)}${exec.stdin === undefined ? " </dev/null" : ""}`,
      ...output.listener,
      onData: (chunk, from) => {
        lastHeard = monotonicMillisOf(clock)
        onData(chunk, from)
      }
    })
    const { session } = begin
    output.attach(session)
    const ended = Effect.raceFirst(Effect.zipRight(soon(begin, context.firstAnswer), session.ended), output.overflow)
    // The command may end before it has read all its input, so its end does not wait for the input.
    const fed =
      exec.stdin === undefined ? Effect.void : feed(session, exec.stdin, context.timeouts.transfer, () => lastHeard)
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
    Effect.catchIf((error) => error instanceof Connection.Disconnected, unreachable(context.address))
  )

/** Limits the time of a run to `timeouts.command`. */
const bounded =
  ({ address, timeouts }: CommandContext, doing: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.timeoutFail(self, {
      duration: timeouts.command,
      onTimeout: () => new CommandTimeout({ address, command: doing, waited: Duration.format(timeouts.command) })
    })

/** Starts a command. A transfer has a limit for the start alone, because its whole run has none. */
const started = (
  { start, timeouts: { transfer } }: CommandContext,
  wait: Exec<never>["wait"],
  options: Connection.SessionOptions
): Effect.Effect<Started, Connection.Disconnected, Scope.Scope> =>
  wait === "command"
    ? start(options)
    : Effect.timeoutFail(start(options), {
        duration: transfer,
        onTimeout: () =>
          new Connection.Disconnected({
            reason: "timeout",
            detail: `it started no command for ${Duration.format(transfer)}`
          })
      })

/** Fails if the login shell does not start `sh` in time. It may wait for something, or print without end. */
const soon = ({ begun, greeting }: Started, within: Duration.Duration) =>
  Effect.timeoutFail(begun, {
    duration: within,
    onTimeout: () =>
      new Connection.Disconnected({
        reason: "silent",
        detail: `${greeting() === "" ? "no output" : "only output of its own"} within ${Duration.format(within)}`
      })
  })

/** Writes the input of a command. Fails if the host takes no data for `wait`, unless it gives signs of life: it may be busy with earlier data. */
const feed = <E>(
  session: Connection.Session,
  stdin: Stream.Stream<Uint8Array, E>,
  wait: Duration.Duration,
  lastHeard: () => number
): Effect.Effect<void, E | Connection.Disconnected> =>
  Effect.flatMap(Effect.clock, (clock) =>
    stdin.pipe(
      Stream.runForEach((chunk) =>
        Effect.suspend(() =>
          Effect.raceFirst(session.write(chunk), silence(clock, wait, monotonicMillisOf(clock), lastHeard))
        )
      ),
      Effect.zipRight(Effect.sync(session.endInput))
    )
  )

/** Fails if the host is silent for `wait`, counted from `since` or from its last sign of life. */
const silence = (
  clock: Clock.Clock,
  wait: Duration.Duration,
  since: number,
  lastHeard: () => number
): Effect.Effect<never, Connection.Disconnected> =>
  Effect.suspend(() => {
    const left = Math.max(since, lastHeard()) + Duration.toMillis(wait) - monotonicMillisOf(clock)
    return left <= 0
      ? Effect.fail(
          new Connection.Disconnected({ reason: "timeout", detail: `it took no data for ${Duration.format(wait)}` })
        )
      : Effect.zipRight(Effect.sleep(left), silence(clock, wait, since, lastHeard))
  })
