/**
 * The transport to a host with an sshd: commands, connections and shells over one authenticated connection.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { address as addressOf, type Target } from "../../../domain/Target.ts"
import { messageOf } from "../../../internal/messageOf.ts"
import { rawTerminal } from "../../../internal/rawTerminal.ts"
import { hide } from "../../../internal/redact.ts"
import type { Duplex } from "../../../internal/tcp.ts"
import { type Prompt, type PromptFailure, PromptUnavailable } from "../../../terminal/Prompt.ts"
import { type ConnectFailure, type HostUnreachable, KeyVariableUnusable } from "../../RemoteHost.ts"
import { shellBy } from "../ChildTransport.ts"
import { DialFailed, type Endpoint } from "../Endpoint.ts"
import type { Transport } from "../Transport.ts"
import * as Connection from "./Connection.ts"
import { connectWith } from "./clients.ts"
import { commandLine } from "./commandLine.ts"
import { type CommandContext, run } from "./commands.ts"
import { keyText } from "./keys.ts"
import { unreachable } from "./SshConnection.ts"
import type { NamedKey } from "./SshPlace.ts"
import { SshSettings } from "./SshSettings.ts"
import { makeSessions, type Sessions } from "./sessions.ts"
import { makeStarter, waitingLine } from "./waitingShells.ts"

/** The maximum number of commands at once. By default, sshd allows ten sessions on a connection, and counts each a little longer than it lasts. */
const sideBySide = 5

/**
 * Connects to a target's host. The connection closes with the scope. `root` is the project root; a relative `sshKey` starts there. If the target does
 * not set a property of the connection, ssh_config does.
 */
export const connect = (
  target: Target,
  root: string
): Effect.Effect<Transport, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { host, hostKey, port, timeouts, user } = target
    const address = addressOf(target)
    const key = yield* namedKey(target, root)
    const login = { address, asked: { host, port, user, key }, hostKey, timeout: timeouts.connect }
    const services = yield* Effect.context<Prompt | FileSystem.FileSystem>()
    const open = connectWith(target.ssh, login)
    const again = open.pipe(
      Effect.mapError(furtherFailure),
      Effect.mapInputContext((scope: Context.Context<Scope.Scope>) => Context.merge(services, scope))
    )
    const sessions = yield* makeSessions(address, yield* open, again)
    const { firstAnswer } = yield* SshSettings
    const context: CommandContext = { address, start: yield* makeStarter(sessions), timeouts, firstAnswer }
    const semaphore = yield* Effect.makeSemaphore(sideBySide)
    const transport: Transport = {
      exec: (exec) => semaphore.withPermits(1)(run(context, exec)),
      allowedSessions: (upTo) =>
        Effect.mapError(sessions.allowed({ upTo, command: waitingLine }), unreachable(address)),
      dial: (to, use) => dial(address, sessions, to, use),
      shell: (cwd) =>
        Effect.flatMap(Effect.mapError(sessions.alive, unreachable(address)), ({ terminal }) =>
          terminal === undefined
            ? shell(address, sessions, cwd)
            : shellBy(target, Effect.succeed(terminal(commandLine(shellScript, [cwd]))))
        )
    }
    return transport
  }).pipe(Effect.withSpan("SshTransport.connect", { attributes: { target: target.key } }))

/** The failure of a further connection to the same host. */
const furtherFailure = (failure: ConnectFailure): Connection.Disconnected => {
  const detail = `a further connection failed: ${messageOf(failure)}`
  return failure._tag === "HostUnreachable" && failure.reason !== "container" && failure.reason !== "unusable"
    ? new Connection.Disconnected({ reason: failure.reason, detail: failure.detail })
    : new Connection.Disconnected({ reason: "protocol", detail })
}

/** The private key that a target names, if any. */
const namedKey = (
  { sshKey, sshKeyVariable }: Target,
  root: string
): Effect.Effect<NamedKey | undefined, ConnectFailure> => {
  if (sshKey !== undefined) {
    return Effect.succeed({ _tag: "File", file: /^[/~]/.test(sshKey) ? sshKey : `${root}/${sshKey}` })
  }
  if (sshKeyVariable === undefined) return Effect.succeed(undefined)
  // Config reads the environment, unless a program sets another ConfigProvider.
  return Config.redacted(Config.nonEmptyString(sshKeyVariable)).pipe(
    Effect.tap((text) => hide([Redacted.value(text)])),
    Effect.mapBoth({
      onFailure: () => new KeyVariableUnusable({ variable: sshKeyVariable, reason: "missing" }),
      onSuccess: (text) => ({
        _tag: "Variable",
        variable: sshKeyVariable,
        content: Redacted.make(keyText(Redacted.value(text)))
      })
    })
  )
}

/** Connects the terminal with a shell that begins in a directory. */
const shell = (
  address: string,
  sessions: Sessions,
  cwd: string
): Effect.Effect<number, HostUnreachable | PromptFailure> =>
  Effect.gen(function* () {
    const terminal = yield* rawTerminal
    if (terminal === undefined) {
      return yield* new PromptUnavailable({
        question: `Which commands should run on ${address}?`,
        hint: "a shell needs a terminal on standard input"
      })
    }
    const { columns, rows } = terminal.size()
    let pause = () => {}
    const session = yield* sessions.start({
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
  }).pipe(Effect.scoped, Effect.catchTag("Disconnected", unreachable(address)))

/** The script of a shell that begins in `$1`. The login shell reads this script, so it is one line without single quotes. */
const shellScript = [
  `dir=$1; case $dir in "~") dir=$HOME;; "~/"*) dir=$HOME/\${dir#??};; /*) ;; *) dir=$HOME/$dir;; esac;`,
  'cd "$dir" 2>/dev/null || echo "There is no directory $dir; this is $PWD" >&2;',
  'case $SHELL in "") exec sh -l;; *elvish) exec "$SHELL";; *) exec "$SHELL" -l;; esac'
].join(" ")

/** Opens a TCP connection from the host, and closes it after its use. */
const dial = <A, E>(
  address: string,
  sessions: Sessions,
  to: Endpoint,
  use: (stream: Duplex) => Effect.Effect<A, E>
): Effect.Effect<A, E | DialFailed | HostUnreachable> => {
  const fail = unreachable(address)
  return Effect.gen(function* () {
    const connection = yield* Effect.mapError(sessions.alive, fail)
    const stream = yield* Effect.mapError(connection.forward(to), (error) =>
      error._tag === "Disconnected"
        ? fail(error)
        : new DialFailed({
            to,
            reason: error.prohibited ? "prohibited" : /refused/i.test(error.detail) ? "refused" : "unreachable",
            detail: error.detail
          })
    )
    return yield* Effect.raceFirst(use(stream), Effect.mapError(connection.gone, fail))
  }).pipe(Effect.scoped)
}
