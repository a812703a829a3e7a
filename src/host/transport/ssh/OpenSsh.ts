/**
 * Connections through the system's `ssh`. One master process authenticates, and all sessions use its socket, which is in a temporary folder. If the
 * user's own master has a connection to the host, they use that one's socket. Every
 * feature of the user's `ssh` works: certificates, FIDO keys, PKCS#11, GSSAPI, each keyword of ssh_config.
 */
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { piped } from "../../../internal/pipes.ts"
import type { Prompt } from "../../../terminal/Prompt.ts"
import { detail } from "../../../terminal/Reporter.ts"
import { type ConnectFailure, type HostKeyRejected, HostUnreachable } from "../../RemoteHost.ts"
import { type Connection, Disconnected } from "./Connection.ts"
import { keepOnSuccess } from "./keepOnSuccess.ts"
import { failureOf, lastLine, notInstalled } from "./openssh/failure.ts"
import { forward } from "./openssh/forward.ts"
import type { Master } from "./openssh/master.ts"
import { askUser, type Questions } from "./openssh/questions.ts"
import { start } from "./openssh/session.ts"
import { type Files, withoutTypes, writeFiles } from "./openssh/settings.ts"
import { findUserMaster } from "./openssh/userMaster.ts"
import { type Login, nextTry, unreachable } from "./SshConnection.ts"
import { findPlace } from "./SshPlace.ts"

/** Connects and authenticates with the system's `ssh`. The prompt asks its questions. The scope ends the connection. */
export const connectTo = (
  login: Login
): Effect.Effect<Connection, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { files, questions } = yield* Effect.mapError(
      prepare(login),
      (error) => new HostUnreachable({ address: login.address, reason: "openssh", detail: messageOf(error) })
    )
    const master = yield* findUserMaster(login, files)
    if (master !== undefined) {
      yield* detail(`ssh: ${login.address} uses the connection of the ssh at ${master.socket}`)
      return connectionOver(login, ["-F", files.config, "-S", master.socket], master.gone)
    }
    const attempt = (refused: ReadonlyArray<string>) =>
      logIn(login, files, questions, withoutTypes(refused)).pipe(
        keepOnSuccess,
        Effect.retry({ while: (error) => error._tag === "Disconnected" && error.isBusy === true, schedule: nextTry }),
        Effect.catchTag("Disconnected", unreachable(login.address))
      )
    const connection = yield* login.hostKey === undefined ? attempt([]) : tryEachType(attempt)
    yield* files.forgetKey
    yield* detail(`ssh: ${login.address} is logged in by the system's ssh`)
    return connection
  })

/** The longest path of a temporary folder, in characters, at which the path of a socket is short enough for every system. */
const maxFolder = 50

const prepare = (login: Login) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = tmpdir().length > maxFolder ? "/tmp" : tmpdir()
    const folder = yield* fs.makeTempDirectoryScoped({ directory, prefix: "deployer-ssh-" })
    return { files: yield* writeFiles(login, folder), questions: yield* askUser(folder) }
  })

const messageOf = (error: { readonly message: string } | { readonly detail: string }): string =>
  `its files cannot be written: ${"detail" in error ? error.detail : error.message}`

/** Asks for one type of host key after another, because a host has a key of each type, and any of them may be the pinned one. */
const tryEachType = <R>(
  attempt: (refused: ReadonlyArray<string>) => Effect.Effect<Connection, ConnectFailure, R>,
  refused: ReadonlyArray<HostKeyRejected> = []
): Effect.Effect<Connection, ConnectFailure, R> => {
  const [first] = refused
  return Effect.catchAll(attempt(refused.map(({ keyType }) => keyType)), (failure) => {
    const isOther = failure._tag === "HostKeyRejected" && failure.reason === "pinned"
    if (isOther && refused.every(({ keyType }) => keyType !== failure.keyType))
      return tryEachType(attempt, [...refused, failure])
    return Effect.fail(
      first !== undefined && failure._tag === "HostUnreachable" && failure.reason === "protocol" ? first : failure
    )
  })
}

/**
 * Ends the master when this process ends, even if it is killed: the pipe on standard input closes then. The private folder, which may hold a key, goes
 * too. If the master ends by itself, the folder stays, because another attempt may need it.
 */
const guard = `exec 3<&0
folder=$1
shift
rm -f "$folder/ended"
"$@" </dev/null 3<&- &
master=$!
{
  cat <&3 >/dev/null
  [ -e "$folder/ended" ] || { kill $master; rm -rf "$folder" || rm -rf "$folder"; }
} 2>/dev/null &
exec 3<&-
wait $master
status=$?
{ : >"$folder/ended"; } 2>/dev/null
exit $status`

/** The maximum kept of the master's words, in characters. */
const maxWords = 4000

const logIn = (
  login: Login,
  files: Files,
  questions: Questions,
  more: ReadonlyArray<string>
): Effect.Effect<Connection, ConnectFailure | Disconnected, Scope.Scope | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const common = ["-F", files.config, "-S", files.socket]
    const { host } = login.asked
    const gone = yield* Deferred.make<never, Disconnected>()
    const ended = yield* Deferred.make<string>()
    let words = ""
    let isOpen = false
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        piped({
          command: "sh",
          args: [
            "-c",
            guard,
            "sh",
            files.folder,
            "ssh",
            ...common,
            ...more,
            ...files.options,
            "-M",
            "-N",
            "-T",
            "--",
            host
          ],
          env: {
            SSH_ASKPASS: questions.program,
            SSH_ASKPASS_REQUIRE: "force",
            DISPLAY: process.env["DISPLAY"] ?? ":0"
          },
          onData: (chunk) => {
            words = `${words}${Buffer.from(chunk).toString()}`.slice(-maxWords)
          },
          onFailure: (message) => Deferred.unsafeDone(ended, Effect.succeed(`${notInstalled} (${message})`)),
          onEnd: (status) => {
            Deferred.unsafeDone(ended, Effect.succeed(status === 127 ? notInstalled : words))
            if (isOpen)
              Deferred.unsafeDone(gone, Effect.fail(new Disconnected({ reason: "lost", detail: lastLine(words) })))
          }
        })
      ),
      (master) => Effect.sync(master.kill)
    )
    const failed = Effect.gen(function* () {
      const words = yield* Deferred.await(ended)
      const shown = yield* files.shownKey
      const [knownHosts = "known_hosts"] = (yield* findPlace(login.asked)).knownHostsFiles
      return yield* Effect.fail(questions.failure() ?? failureOf(login, words, { shown, knownHosts }))
    })
    yield* Effect.raceFirst(opened(files.socket, login.timeout ?? withoutTimeout, questions.isAsking), failed)
    isOpen = true
    return connectionOver(login, common, Deferred.await(gone))
  })

/** A connection whose sessions use the socket of a master. `common` names the configuration and the socket. */
const connectionOver = (
  { asked: { host } }: Login,
  common: ReadonlyArray<string>,
  gone: Effect.Effect<never, Disconnected>
): Connection => {
  const statusMark = `deployer-${randomBytes(6).toString("hex")}`
  const master: Master = { host, statusMark, words: [...common, ...quietly] }
  return {
    gone,
    statusMark,
    start: (options) => start(master, gone, options),
    forward: (to) => forward(master, to),
    terminal: (command) => ({ command: "ssh", args: [...master.words, "-t", "--", host, command] })
  }
}

/** The user's own master, whose connection needs no login. Undefined if there is none. */
export const findMaster = (login: Login) =>
  Effect.scoped(
    Effect.flatMap(prepare(login), ({ files }) => Effect.map(findUserMaster(login, files), (master) => master?.socket))
  ).pipe(Effect.orElseSucceed(() => undefined))

/** For programs that share the connection: they never open one of their own, and add no words to the output of a command. */
const quietly = ["-o", "ProxyCommand=false", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]

/** The limit if the target sets none. `ssh` has its own one for the connection, but none for the login. */
const withoutTimeout = Duration.minutes(2)

/** The time between two looks at the socket, in milliseconds. */
const step = 15

/** Succeeds once the master listens on its socket. The time that a question takes does not count. */
const opened = (socket: string, within: Duration.Duration, isAsking: () => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let left = Duration.toMillis(within)
    while (!(yield* Effect.orElseSucceed(fs.exists(socket), () => false))) {
      if (left <= 0) {
        return yield* new Disconnected({ reason: "timeout", detail: `no connection within ${Duration.format(within)}` })
      }
      yield* Effect.sleep(step)
      if (!isAsking()) left -= step
    }
  })
