/**
 * Shells that wait on the host for the next commands.
 */
import { Buffer } from "node:buffer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { commandLine } from "./commandLine.ts"
import type * as Ssh from "./ssh2.ts"

/** Starts a command, which ends with the scope. */
export type Starter = (options: Ssh.SessionOptions) => Effect.Effect<Ssh.Session, Ssh.Disconnected, Scope.Scope>

/** The line that ends a command for a waiting shell. */
const go = "deployer go"

/** Reads a command from its standard input, possibly several lines long, and becomes that command. The rest of the input is the command's. */
export const waitingScript = `text=
nl="
"
while IFS= read -r line; do
  [ "$line" = "${go}" ] && eval "$text"
  text=$text$line$nl
done`

/** A shell on the host that waits for a command. */
interface Waiting {
  readonly session: Ssh.Session
  /** Whether it is still running. */
  readonly isReady: Effect.Effect<boolean>
  /** Passes its output to the listener of a command from now on. */
  readonly hand: (to: Ssh.SessionOptions) => void
  readonly close: Effect.Effect<void>
}

const waitingShell = (connection: Ssh.Connection): Effect.Effect<Waiting, Ssh.Disconnected> =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const early: Array<Parameters<Ssh.SessionOptions["onData"]>> = []
    let owner: Ssh.SessionOptions | undefined
    const session = yield* connection
      .start({
        command: commandLine(waitingScript, []),
        retries: 0,
        get patience() {
          return owner?.patience
        },
        onData: (...chunk) => (owner === undefined ? early.push(chunk) : owner.onData(...chunk))
      })
      .pipe(Scope.extend(scope))
    return {
      session,
      isReady: Effect.match(Effect.timeoutOption(session.ended, 0), {
        onFailure: () => false,
        onSuccess: Option.isNone
      }),
      hand: (to) => {
        owner = to
        for (const chunk of early) to.onData(...chunk)
      },
      close: Scope.close(scope, Exit.void)
    }
  })

/** The number of shells that wait or are being started: one is always ready, even if each step ends after a single round trip. */
const ahead = 2

/**
 * Starts commands. Starting a shell takes two round trips, so the next shells are started ahead, while one works, and wait. If a host has no session
 * left for them, commands do without.
 */
export const makeStarter = (connection: Ssh.Connection): Effect.Effect<Starter, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const next: Array<Fiber.Fiber<Waiting | undefined>> = []
    let isCrowded = false
    const shell = Effect.matchEffect(waitingShell(connection), {
      onFailure: () =>
        Effect.sync(() => {
          isCrowded = true
          return undefined
        }),
      onSuccess: Effect.succeed
    })
    const prepare = Effect.gen(function* () {
      while (!isCrowded && next.length < ahead) next.push(yield* Effect.forkIn(shell, scope))
    })
    const close = (shell: Waiting | undefined) => shell?.close ?? Effect.void
    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        next,
        (fiber) =>
          Effect.flatMap(Fiber.interrupt(fiber), Exit.match({ onFailure: () => Effect.void, onSuccess: close })),
        { discard: true }
      )
    )
    // A shell that is being started is ready sooner than a new one.
    const take = Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        for (let first = next.shift(); first !== undefined; first = next.shift()) {
          const started = Effect.flatten(Fiber.await(first))
          const shell = yield* restore(started).pipe(
            Effect.onInterrupt(() => Effect.forkIn(Effect.flatMap(started, close), scope))
          )
          if (shell === undefined) continue
          yield* Effect.addFinalizer(() => close(shell))
          return shell
        }
        return undefined
      })
    )
    return (options) =>
      Effect.gen(function* () {
        const taken = options.pty === undefined ? yield* take : undefined
        yield* prepare
        if (taken === undefined || !(yield* taken.isReady)) return yield* connection.start(options)
        taken.hand(options)
        yield* taken.session.write(Buffer.from(`${options.command}\n${go}\n`))
        return taken.session
      })
  })
