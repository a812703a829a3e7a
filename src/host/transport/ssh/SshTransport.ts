/**
 * The transport to a host with an sshd: commands, connections and shells over one authenticated connection.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { address as addressOf, type Target } from "../../../domain/Target.ts"
import { rawTerminal } from "../../../internal/rawTerminal.ts"
import type { Duplex } from "../../../internal/tcp.ts"
import { type Prompt, PromptUnavailable } from "../../../terminal/Prompt.ts"
import { replyBegin } from "../../protocol/reply.ts"
import { CommandTimeout, type ConnectFailure, type HostUnreachable } from "../../RemoteHost.ts"
import { DialFailed, type Endpoint } from "../Endpoint.ts"
import { type Exec, type ExecResult, quote, type Transport } from "../Transport.ts"
import { connectTo, unreachable } from "./SshConnection.ts"
import { SshSettings } from "./SshSettings.ts"
import * as Ssh from "./ssh2.ts"

/**
 * Connects to a target's host; the connection is closed with the scope. `root` is the project root, the base of a relative `sshKey`. All settings
 * that the target leaves open come from ssh_config.
 */
export const connect = (
  target: Target,
  root: string
): Effect.Effect<Transport, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { host, hostKey, port, sshKey, timeouts, user } = target
    const address = addressOf(target)
    const key = sshKey === undefined || /^[/~]/.test(sshKey) ? sshKey : `${root}/${sshKey}`
    const connection = yield* connectTo({
      address,
      asked: { host, port, user, sshKey: key },
      hostKey,
      timeout: timeouts.connect
    })
    const { firstAnswer } = yield* SshSettings
    return yield* makeTransport(target, address, connection, yield* makeStarter(connection), firstAnswer)
  }).pipe(Effect.withSpan("SshTransport.connect", { attributes: { target: target.key } }))

// Commands

/** By default, sshd allows ten sessions on a connection, and counts each a little longer than it lasts. */
const sessions = 5
/** Bytes. A host that sends more is broken. */
const stdoutLimit = 64 * 1024 * 1024
/** Bytes. */
const stderrLimit = 8 * 1024
/** Bytes of output that may wait for a slow reader before the host is told to pause. */
const pending = 1024 * 1024

const makeTransport = (
  target: Target,
  address: string,
  connection: Ssh.Connection,
  startCommand: Starter,
  firstAnswer: Duration.Duration
): Effect.Effect<Transport> =>
  Effect.map(Effect.makeSemaphore(sessions), (semaphore) => {
    const { command: commandWait, transfer: transferWait } = target.timeouts
    const fail = unreachable(address)

    /** A host that takes no data may be busy with earlier data, if it gives signs of life. `lastHeard` returns the time of its last output. */
    const feed = <E>(session: Ssh.Session, stdin: Stream.Stream<Uint8Array, E>, lastHeard: () => number) =>
      Effect.flatMap(Effect.clock, (clock) => {
        const silence = (since: number): Effect.Effect<never, Ssh.Disconnected> =>
          Effect.suspend(() => {
            const left =
              Math.max(since, lastHeard()) + Duration.toMillis(transferWait) - clock.unsafeCurrentTimeMillis()
            return left <= 0
              ? Effect.fail(
                  new Ssh.Disconnected({
                    reason: "timeout",
                    detail: `it took no data for ${Duration.format(transferWait)}`
                  })
                )
              : Effect.zipRight(Effect.sleep(left), silence(since))
          })
        return stdin.pipe(
          Stream.runForEach((chunk) =>
            Effect.suspend(() => Effect.raceFirst(session.write(chunk), silence(clock.unsafeCurrentTimeMillis())))
          ),
          Effect.zipRight(Effect.sync(session.endInput))
        )
      })

    const startOf = (wait: Exec<never>["wait"]) => (options: Ssh.SessionOptions) =>
      wait === "command"
        ? startCommand(options)
        : Effect.timeoutFail(startCommand(options), {
            duration: transferWait,
            onTimeout: () =>
              new Ssh.Disconnected({
                reason: "timeout",
                detail: `it started no command for ${Duration.format(transferWait)}`
              })
          })

    const bounded =
      (step: string) =>
      <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.timeoutFail(self, {
          duration: commandWait,
          onTimeout: () => new CommandTimeout({ address, command: step, waited: Duration.format(commandWait) })
        })

    const exec = <E = never>(exec: Exec<E>): Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout> =>
      Effect.gen(function* () {
        const output = yield* exec.onOutput === undefined ? collect : deliver(exec.onOutput)
        const heard = yield* Deferred.make<void>()
        const clock = yield* Effect.clock
        let lastHeard = clock.unsafeCurrentTimeMillis()
        const { onData } = output.listener
        // A login shell may print without end, and never begin the script.
        const awaited = exec.script.includes(replyBegin) ? replyBegin : ""
        let beginning = ""
        let hasBegun = false
        const hear = (chunk: Uint8Array) => {
          beginning = (beginning + Buffer.from(chunk).toString("latin1")).slice(-chunk.length - awaited.length)
          hasBegun = beginning.includes(awaited)
          if (hasBegun) Deferred.unsafeDone(heard, Effect.void)
        }
        const session = yield* startOf(exec.wait)({
          // A command whose input has ended can no longer be asked to end. So a command without input reads /dev/null instead.
          command: `${commandLine(exec.script, exec.args)}${exec.stdin === undefined ? " </dev/null" : ""}`,
          ...output.listener,
          onData: (chunk, from) => {
            lastHeard = clock.unsafeCurrentTimeMillis()
            if (!hasBegun) hear(chunk)
            onData(chunk, from)
          }
        })
        output.attach(session)
        const silent = Effect.timeoutFail(Deferred.await(heard), {
          duration: firstAnswer,
          onTimeout: () =>
            new Ssh.Disconnected({
              reason: "silent",
              detail: `${beginning === "" ? "not a word" : "nothing but output of its own"} within ${Duration.format(firstAnswer)}`
            })
        })
        const ended = Effect.raceFirst(
          Effect.raceFirst(session.ended, output.overflow),
          Effect.zipRight(silent, Effect.never)
        )
        // The command may end without having read everything, so neither waits for the other.
        const fed = exec.stdin === undefined ? Effect.void : feed(session, exec.stdin, () => lastHeard)
        const exitCode = yield* exec.wait === "command"
          ? Effect.raceFirst(ended, Effect.zipRight(fed, Effect.never))
          : Effect.gen(function* () {
              const done = yield* Effect.raceFirst(Effect.asSome(ended), Effect.zipRight(fed, Effect.succeedNone))
              return done._tag === "Some" ? done.value : yield* bounded(exec.doing)(ended)
            })
        return { exitCode, ...(yield* output.result) }
      }).pipe(
        Effect.scoped,
        exec.wait === "command" ? bounded(exec.doing) : (self) => self,
        Effect.catchIf((error) => error instanceof Ssh.Disconnected, fail),
        semaphore.withPermits(1)
      )

    const shell = (cwd: string) =>
      Effect.gen(function* () {
        const terminal = yield* rawTerminal
        if (terminal === undefined) {
          return yield* new PromptUnavailable({
            question: `What shall run on ${address}?`,
            hint: "a shell needs a terminal on standard input"
          })
        }
        const { columns, rows } = terminal.size()
        let pause = () => {}
        const session = yield* connection.start({
          command: commandLine(shellScript, [cwd]),
          pty: { term: terminal.kind, rows, cols: columns },
          onData: (chunk) => {
            if (!terminal.write(chunk)) pause()
          }
        })
        pause = session.pause
        terminal.on({
          input: session.type,
          inputEnd: session.endInput,
          resize: () => session.resize(terminal.size()),
          drain: session.resume
        })
        return yield* session.ended
      }).pipe(Effect.scoped, Effect.catchTag("Disconnected", fail))

    const dial = <A, E>(to: Endpoint, use: (stream: Duplex) => Effect.Effect<A, E>) =>
      connection.forward(to).pipe(
        Effect.mapError((error) =>
          error._tag === "Disconnected"
            ? fail(error)
            : new DialFailed({
                to,
                reason: error.prohibited ? "prohibited" : /refused/i.test(error.detail) ? "refused" : "unreachable",
                detail: error.detail
              })
        ),
        Effect.flatMap((stream) => Effect.raceFirst(use(stream), Effect.mapError(connection.gone, fail))),
        Effect.scoped
      )

    return { exec, dial, shell }
  })

// Starting

type Starter = (options: Ssh.SessionOptions) => Effect.Effect<Ssh.Session, Ssh.Disconnected, Scope.Scope>

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
const makeStarter = (connection: Ssh.Connection): Effect.Effect<Starter, never, Scope.Scope> =>
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

const commandLine = (script: string, args: ReadonlyArray<string>): string =>
  ["exec", "sh", "-c", quote(script), "deployer", ...args.map(quote)].join(" ")

const shellScript = `dir=$1
case $dir in
  "~") dir=$HOME ;;
  "~/"*) dir=$HOME/\${dir#??} ;;
  /*) ;;
  *) dir=$HOME/$dir ;;
esac
cd "$dir" 2>/dev/null || echo "$dir is not there; this is $PWD" >&2
exec "\${SHELL:-sh}" -l`

/** The destination of a command's output. */
interface Output {
  readonly listener: Pick<Ssh.SessionOptions, "onData" | "patience">
  readonly attach: (session: Ssh.Session) => void
  /** Fails if there is too much output; never succeeds. */
  readonly overflow: Effect.Effect<never, Ssh.Disconnected>
  /** Run this once the command has ended. */
  readonly result: Effect.Effect<Pick<ExecResult, "stdout" | "stderr">>
}

const collect: Effect.Effect<Output> = Effect.map(Deferred.make<never, Ssh.Disconnected>(), (overflow) => {
  const stdout: Array<Uint8Array> = []
  let size = 0
  let stderr = Buffer.alloc(0)
  return {
    listener: {
      onData: (chunk, from) => {
        if (from === "stderr") {
          stderr = Buffer.concat([stderr, chunk]).subarray(-stderrLimit)
          return
        }
        size += chunk.length
        if (size <= stdoutLimit) return stdout.push(chunk)
        stdout.length = 0
        const detail = `it answered with more than ${stdoutLimit} bytes`
        Deferred.unsafeDone(overflow, Effect.fail(new Ssh.Disconnected({ reason: "protocol", detail })))
      }
    },
    attach: () => {},
    overflow: Deferred.await(overflow),
    result: Effect.sync(() => ({ stdout: Buffer.concat(stdout).toString(), stderr: stderr.toString() }))
  }
})

const deliver = (onOutput: Exec<never>["onOutput"] & {}): Effect.Effect<Output, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mailbox = yield* Mailbox.make<readonly [chunk: Uint8Array, from: "stdout" | "stderr"]>()
    let waiting = 0
    let session: Ssh.Session | undefined
    const reader = yield* Mailbox.toStream(mailbox).pipe(
      Stream.runForEach(([chunk, from]) =>
        Effect.zipRight(
          onOutput(chunk, from),
          Effect.sync(() => {
            const before = waiting
            waiting -= chunk.length
            if (before >= pending && waiting < pending) session?.resume()
          })
        )
      ),
      Effect.forkScoped
    )
    return {
      listener: {
        // The user's own commands may leave a daemon behind that never closes its output.
        patience: 1000,
        onData: (chunk, from) => {
          waiting += chunk.length
          mailbox.unsafeOffer([chunk, from])
          if (waiting >= pending) session?.pause()
        }
      },
      attach: (started) => {
        session = started
      },
      overflow: Effect.never,
      result: Effect.as(Effect.zipRight(mailbox.end, Fiber.join(reader)), { stdout: "", stderr: "" })
    }
  })
