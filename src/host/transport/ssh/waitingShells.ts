/**
 * Shells that wait on the host for the next commands.
 */
import { Buffer } from "node:buffer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Reply from "../../protocol/reply.ts"
import * as Connection from "./Connection.ts"
import type { Sessions } from "./sessions.ts"

/** The first word that a waiting shell prints. It proves that the login shell has started the waiting shell, whose process id follows. */
export const ready = "deployer-sh"

/** The character for a line break in a command. A waiting shell reads the command as one line. */
const lineBreak = "\u0001"

/**
 * Makes any login shell replace itself with an `sh` that reads a command, in one line, from its standard input, and becomes that command. The command
 * gets the rest of the input. All shells read this line alike, even csh, fish and nushell: inside its single quotes there is no quote, no exclamation
 * mark, and no backslash before another backslash.
 */
export const waitingLine = `exec sh -c 'echo ${ready} $$;read -r _l;eval "$(printf %s "$_l"|LC_ALL=C tr "\\1" "\\n")"'`

/** The code for a `lineBreak` character that is part of the command. It stands in a word that {@link quote} has put between single quotes. */
const escaped = `'"$(printf "\\001")"'`

/** A command as a waiting shell reads it. */
const forWaiting = (command: string, statusMark: string | undefined): Buffer => {
  const whole = statusMark === undefined ? command : `(${command}); echo "${statusMark} $?" >&2`
  return Buffer.from(`${whole.replaceAll(lineBreak, escaped).replaceAll("\n", lineBreak)}\n`)
}

type Listener = Connection.SessionOptions["onData"]

/** A shell on the host that waits for a command. */
interface Waiting {
  readonly session: Connection.Session
  /** Whether the shell is still running. */
  readonly isReady: Effect.Effect<boolean>
  /** Passes the shell's output to the listener of a command from now on. */
  readonly hand: (to: Connection.SessionOptions) => void
  /** Succeeds once the login shell has started this shell. Fails if the login shell ends first. */
  readonly begun: Effect.Effect<void, Connection.Disconnected>
  /** The last output of the login shell before it started this shell. */
  readonly greeting: () => string
}

/** A started command. */
export interface Started extends Pick<Waiting, "session" | "begun" | "greeting"> {}

/** Starts a command, which ends with the scope. */
export type Start = (options: Connection.SessionOptions) => Effect.Effect<Started, Connection.Disconnected, Scope.Scope>

const waitingShell = <E>(
  start: (options: Connection.SessionOptions) => Effect.Effect<Connection.Session, E, Scope.Scope>,
  more: Pick<Connection.SessionOptions, "retries"> = {}
): Effect.Effect<Waiting, E, Scope.Scope> =>
  Effect.gen(function* () {
    const greeting = yield* makeGreeting
    const early: Array<Parameters<Listener>> = []
    let owner: Connection.SessionOptions | undefined
    const session = yield* start({
      ...more,
      command: waitingLine,
      get patience() {
        return owner?.patience
      },
      // A shell without a command has nothing to end: it ends with its input.
      get processGroup() {
        return owner === undefined ? undefined : greeting.processId()
      },
      onData: greeting.before((...chunk) => (owner === undefined ? early.push(chunk) : owner.onData(...chunk)))
    })
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
      greeting: greeting.words,
      begun: Effect.raceFirst(
        greeting.over,
        Effect.flatMap(session.ended, (status) => Effect.fail(greeting.instead(status)))
      )
    }
  })

/** The maximum output of a login shell that is kept for an error message, in characters. */
const maxGreeting = 1000

/** Separates the output of the login shell, which ends with the line `ready`, from the output of the command. */
const makeGreeting = Effect.map(Deferred.make<void>(), (over) => {
  const mark = new RegExp(`${ready} (\\d+)\\n`)
  let isOver = false
  let processId: number | undefined
  // In latin1, each byte is one character.
  let stdout = ""
  let stderr = ""
  const before =
    (pass: Listener): Listener =>
    (chunk, from) => {
      if (isOver) return pass(chunk, from)
      const text = Buffer.from(chunk).toString("latin1")
      if (from === "stderr") {
        stderr = `${stderr}${text}`.slice(-maxGreeting)
        return pass(chunk, from)
      }
      stdout += text
      const found = mark.exec(stdout)
      if (found === null) {
        stdout = stdout.slice(-maxGreeting)
        return
      }
      isOver = true
      processId = Number(found[1])
      Deferred.unsafeDone(over, Effect.void)
      const rest = stdout.slice(found.index + found[0].length)
      if (rest !== "") pass(Buffer.from(rest, "latin1"), from)
    }
  const words = () => Reply.clean(Buffer.from(stderr.trim() || stdout.trim(), "latin1").toString())
  const instead = (status: number) => {
    const output = words()
    const detail = `it ended with exit status ${status}${output === "" ? " and no output" : `: ${output}`}`
    return new Connection.Disconnected({ reason: "shell", detail })
  }
  return { before, over: Deferred.await(over), words, instead, processId: () => processId }
})

/** A shell that was started ahead. */
interface Ahead {
  readonly shell: Waiting
  readonly close: Effect.Effect<void>
}

/** The number of shells that wait or are being started. With two, one is ready even if each step takes only a single round trip. */
const ahead = 2

/**
 * Starts commands. Starting a shell takes two round trips, so the next shells start while a command runs, and wait. If the host has no session left
 * for waiting shells, each command starts its own shell.
 */
export const makeStarter = (sessions: Sessions): Effect.Effect<Start, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const next: Array<Fiber.Fiber<Ahead | undefined>> = []
    let isCrowded = false
    const shell = Effect.gen(function* () {
      const own = yield* Scope.make()
      const shell = yield* Scope.extend(waitingShell(sessions.startAhead, { retries: 0 }), own)
      return { shell, close: Scope.close(own, Exit.void) }
    }).pipe(
      Effect.catchAll(() =>
        Effect.sync(() => {
          isCrowded = true
          return undefined
        })
      )
    )
    const prepare = Effect.gen(function* () {
      while (!isCrowded && next.length < ahead) next.push(yield* Effect.forkIn(shell, scope))
    })
    const close = (waiting: Ahead | undefined) => waiting?.close ?? Effect.void
    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        next,
        (fiber) =>
          Effect.flatMap(Fiber.interrupt(fiber), Exit.match({ onFailure: () => Effect.void, onSuccess: close })),
        { discard: true }
      )
    )
    // Waits even for a shell that is still being started, because a new one would take longer.
    const take = Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        for (let first = next.shift(); first !== undefined; first = next.shift()) {
          const started = Effect.flatten(Fiber.await(first))
          const waiting = yield* restore(started).pipe(
            Effect.onInterrupt(() => Effect.forkIn(Effect.flatMap(started, close), scope))
          )
          if (waiting === undefined) continue
          yield* Effect.addFinalizer(() => waiting.close)
          return waiting.shell
        }
        return undefined
      })
    )
    return (options) =>
      Effect.gen(function* () {
        const taken = yield* take
        yield* prepare
        const isReady = taken !== undefined && (yield* taken.isReady)
        const { begun, greeting, hand, session } = isReady ? taken : yield* waitingShell(sessions.start)
        hand(options)
        // A login shell that ends at once reads nothing, so the write must not wait for it.
        yield* Effect.raceFirst(
          session.write(forWaiting(options.command, sessions.statusMark)),
          Effect.exit(session.ended)
        )
        return { session, begun, greeting }
      })
  })
