/**
 * Connections through the system's `ssh`. One master process authenticates, and all sessions use its socket, which is in a temporary folder. Every
 * feature of the user's `ssh` works: certificates, FIDO keys, PKCS#11, GSSAPI, each keyword of ssh_config.
 */
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type Piped, piped } from "../../../internal/pipes.ts"
import { listen, type Question } from "../../../internal/questionSocket.ts"
import * as Tcp from "../../../internal/tcp.ts"
import { Prompt, type PromptFailure } from "../../../terminal/Prompt.ts"
import { detail, warn } from "../../../terminal/Reporter.ts"
import { AuthenticationFailed, type ConnectFailure, HostKeyRejected, HostUnreachable } from "../../RemoteHost.ts"
import { quote } from "../Transport.ts"
import {
  type Connection,
  Disconnected,
  ForwardRefused,
  NotStarted,
  type Session,
  type SessionOptions
} from "./Connection.ts"
import type { Login } from "./SshConnection.ts"
import { SshSettings } from "./SshSettings.ts"

/** The master process, as seen by a further `ssh`. */
interface Master {
  readonly host: string
  /** The options that make a further `ssh` use the master's socket, and never open a connection of its own. */
  readonly words: ReadonlyArray<string>
  /** See {@link Connection}. */
  readonly statusMark: string
}

/** Connects and authenticates with the system's `ssh`. The prompt asks its questions. The scope ends the connection. */
export const connectTo = (
  login: Login
): Effect.Effect<Connection, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { address, asked } = login
    const fs = yield* FileSystem.FileSystem
    const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "deployer-ssh-" }))
    const config = join(folder, "config")
    yield* Effect.orDie(fs.writeFileString(config, yield* configText(login, folder), { mode: 0o600 }))
    const common = ["-F", config, "-S", join(folder, "master")]
    const questions = yield* answering(login, folder)
    const gone = yield* Deferred.make<never, Disconnected>()
    const ended = yield* Deferred.make<string>()
    let complaint = ""
    let isOpen = false
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        piped({
          command: "sh",
          args: ["-c", guard, "sh", "ssh", ...common, "-M", "-N", "-T", "--", asked.host],
          env: {
            SSH_ASKPASS: questions.program,
            SSH_ASKPASS_REQUIRE: "force",
            DISPLAY: process.env["DISPLAY"] ?? ":0"
          },
          onData: (chunk) => {
            complaint = `${complaint}${Buffer.from(chunk).toString()}`.slice(-4000)
          },
          onFailure: (message) => Deferred.unsafeDone(ended, Effect.succeed(message)),
          onEnd: (status) => {
            Deferred.unsafeDone(ended, Effect.succeed(status === 127 ? notStarted : complaint))
            if (isOpen)
              Deferred.unsafeDone(gone, Effect.fail(new Disconnected({ reason: "lost", detail: last(complaint) })))
          }
        })
      ),
      (master) => Effect.sync(master.kill)
    )
    yield* Effect.raceFirst(
      opened(join(folder, "master"), login.timeout ?? Duration.seconds(15), questions.isAsking),
      Effect.flatMap(Deferred.await(ended), (words) =>
        Effect.flatMap(questions.failure, (failure) => Effect.fail(failure ?? failureOf(login, words)))
      )
    ).pipe(
      Effect.catchTag(
        "Disconnected",
        (error) => new HostUnreachable({ address, reason: error.reason, detail: error.detail })
      )
    )
    isOpen = true
    // The master has it now.
    yield* Effect.ignore(fs.remove(join(folder, "key"), { force: true }))
    yield* detail(`ssh: ${address} is logged in by the system's ssh`)
    const statusMark = `deployer-${randomBytes(6).toString("hex")}`
    const master = {
      host: asked.host,
      statusMark,
      words: [...common, "-o", "ProxyCommand=false", "-o", "BatchMode=yes"]
    }
    const lost = Deferred.await(gone)
    return {
      gone: lost,
      statusMark: master.statusMark,
      start: (options) => start(master, lost, options),
      forward: (to) => forward(master, to),
      terminal: (command) => ({ command: "ssh", args: [...master.words, "-t", "--", master.host, command] })
    }
  })

/** Ends the master when this process ends, even if it is killed: the pipe on standard input closes then. */
const guard = `exec 3<&0
"$@" </dev/null 3<&- &
master=$!
{ cat <&3 >/dev/null; kill $master; } 2>/dev/null &
exec 3<&-
wait $master`

const notStarted =
  'the program ssh cannot be started: install OpenSSH\'s client, or remove ssh: "openssh" from the target'

const last = (words: string): string =>
  words
    .split("\n")
    .map((line) => line.replaceAll(/[\s\p{C}]+/gu, " ").trim())
    .filter((line) => line !== "")
    .at(-1) ?? "ssh gave no reason"

/** Succeeds once the master listens on its socket. The time that a question takes does not count. */
const opened = (socket: string, within: Duration.Duration, isAsking: () => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const step = 15
    let left = Duration.toMillis(within)
    while (!(yield* Effect.orElseSucceed(fs.exists(socket), () => false))) {
      if (left <= 0) {
        return yield* new Disconnected({ reason: "timeout", detail: `no connection within ${Duration.format(within)}` })
      }
      yield* Effect.sleep(step)
      if (!isAsking()) left -= step
    }
  })

// The configuration

const text = (words: string): string => `"${words.replaceAll(/["\\]/g, "\\$&")}"`

/**
 * The target's own settings, then the user's and the system's config, then deployer's defaults: `ssh` takes the first value of each keyword. Features
 * for other uses of `ssh` are switched off.
 */
const configText = ({ asked, hostKey, timeout }: Login, folder: string) =>
  Effect.gen(function* () {
    const settings = yield* SshSettings
    const fs = yield* FileSystem.FileSystem
    const own: Array<string> = [
      ...[
        "ControlPersist no",
        "RemoteCommand none",
        "RequestTTY no",
        "ClearAllForwardings yes",
        "PermitLocalCommand no"
      ],
      ...["ForwardX11 no", "ForwardAgent no", "LogLevel ERROR", "EscapeChar none", "Tunnel no"]
    ]
    if (asked.user !== undefined) own.push(`User ${text(asked.user)}`)
    if (asked.port !== undefined) own.push(`Port ${asked.port}`)
    if (asked.jump !== undefined) own.push(`ProxyJump ${asked.jump}`)
    if (timeout !== undefined) own.push(`ConnectTimeout ${Math.ceil(Duration.toSeconds(timeout))}`)
    if (asked.key?._tag === "File") own.push(`IdentityFile ${text(asked.key.file)}`, "IdentitiesOnly yes")
    if (asked.key?._tag === "Variable") {
      const file = join(folder, "key")
      yield* Effect.orDie(fs.writeFileString(file, Redacted.value(asked.key.content), { mode: 0o600 }))
      own.push(`IdentityFile ${text(file)}`, "IdentitiesOnly yes")
    }
    if (hostKey !== undefined) {
      const program = join(folder, "pinned")
      const script = `#!/bin/sh\nprintf "%s %s\\n" "$1" "$2" >>${quote(join(folder, "shown"))}\n[ "$1" = ${quote(hostKey)} ] && printf "%s %s %s\\n" "$4" "$2" "$3"\nexit 0\n`
      yield* Effect.orDie(fs.writeFileString(program, script, { mode: 0o700 }))
      own.push(`KnownHostsCommand ${program} %f %t %K %H`, "StrictHostKeyChecking yes")
      own.push("UserKnownHostsFile none", "GlobalKnownHostsFile none")
    }
    const alive = Math.ceil(Duration.toSeconds(settings.keepAlive))
    return [
      "Host *",
      ...own,
      `Include ${text(settings.configFile)} ${text(settings.globalConfigFile)}`,
      "Host *",
      `ServerAliveInterval ${alive}`,
      `UserKnownHostsFile ${text(settings.knownHostsFile)}`,
      ...(settings.agentSocket === undefined ? [] : [`IdentityAgent ${text(settings.agentSocket)}`]),
      ""
    ].join("\n")
  })

// Questions

/** Puts the questions of `ssh` to the user, one after another. */
const answering = ({ address }: Login, folder: string) =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    const queue = yield* Queue.unbounded<Question>()
    let isAsking = false
    let failure: PromptFailure | undefined
    const program = yield* listen(folder, (question) => Queue.unsafeOffer(queue, question))
    const answer = ({ text }: Question) => {
      const key = /(\S+) key fingerprint is (SHA256:\S+?)\.?\s/.exec(text)
      if (key !== null) {
        const message = `The key of ${address} is not known: ${key[1]} ${key[2]}. Trust it from now on?`
        return Effect.map(prompt.confirm({ message, initial: false, safe: false }), (yes) => (yes ? "yes" : "no")).pipe(
          Effect.catchTag("PromptUnavailable", () => Effect.succeed("no"))
        )
      }
      if (/\(yes\/no/.test(text))
        return Effect.map(prompt.confirm({ message: oneLine(text), initial: false, safe: false }), (yes) =>
          yes ? "yes" : "no"
        )
      // A key that waits for a touch needs no answer.
      if (/user presence/i.test(text)) return Effect.as(warn(oneLine(text)), "")
      const hint = "unlock the key beforehand with ssh-add, so that ssh-agent answers for it"
      return Effect.map(prompt.secret({ message: oneLine(text).replace(/:\s*$/, ""), hint }), Redacted.value)
    }
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.gen(function* () {
          const question = yield* Queue.take(queue)
          isAsking = true
          const given = yield* Effect.catchAll(answer(question), (error) =>
            Effect.sync((): undefined => {
              failure = error
            })
          )
          isAsking = false
          question.answer(given)
        })
      )
    )
    return { program, isAsking: () => isAsking, failure: Effect.sync(() => failure) }
  })

const oneLine = (words: string): string => words.replaceAll(/[\s\p{C}]+/gu, " ").trim()

// Failures

const reasons: ReadonlyArray<readonly [words: RegExp, reason: Disconnected["reason"]]> = [
  [/could not resolve/i, "unknown-name"],
  [/refused|no route|unreachable/i, "refused"],
  [/timed out|not responding/i, "timeout"],
  [/UNKNOWN port|proxy/i, "proxy"],
  [/reset|closed|broken pipe/i, "lost"]
]

const failureOf = ({ address, asked, hostKey, isJumpHost }: Login, words: string) => {
  const changed = /REMOTE HOST IDENTIFICATION HAS CHANGED/.test(words)
  if (changed || /host key verification failed|no \S+ host key is known/i.test(words)) {
    const [, file = "known_hosts"] = /(?:Offending \S+ key in|Add correct host key in) ([^\s:]+)/.exec(words) ?? []
    return new HostKeyRejected({
      address,
      reason: hostKey !== undefined ? "pinned" : changed ? "changed" : "unknown",
      keyType:
        /for the (\S+) key|no (\S+) host key/i
          .exec(words)
          ?.slice(1)
          .find((type) => type !== undefined) ?? "host",
      fingerprint: /(SHA256:[A-Za-z0-9+/]{43})/.exec(words)?.[1] ?? "of unknown fingerprint",
      file,
      knownAs: asked.port === undefined ? asked.host : `[${asked.host}]:${asked.port}`,
      ...(hostKey === undefined ? {} : { pinned: hostKey }),
      ...(isJumpHost === true ? { isJumpHost } : {})
    })
  }
  if (/permission denied|too many authentication failures/i.test(words)) {
    const methods = /\(([a-z,-]+)\)/.exec(words)?.[1]?.split(",") ?? []
    return new AuthenticationFailed({
      address,
      tried: ["all that ssh offers"],
      ...(methods.length > 0 && !methods.includes("publickey") ? { methods } : {})
    })
  }
  const reason = reasons.find(([pattern]) => pattern.test(words))?.[1] ?? "protocol"
  return new Disconnected({ reason, detail: last(words) })
}

// Sessions

/** The time that the host may take to end a command on request, in milliseconds. */
const patienceForKill = 3000

const start = (
  master: Master,
  gone: Effect.Effect<never, Disconnected>,
  options: SessionOptions
): Effect.Effect<Session, Disconnected | NotStarted, Scope.Scope> =>
  startOnce(master, options).pipe(
    Effect.retry({
      while: (failure) => failure._tag === "NotStarted" && failure.isCrowded,
      times: options.retries ?? 6,
      schedule: Schedule.exponential(20)
    }),
    Effect.raceFirst(Effect.mapError(gone, (failure) => new NotStarted({ isCrowded: false, failure }))),
    Effect.map((session) => ({ ...session, ended: Effect.raceFirst(session.ended, gone) }))
  )

/** Passes the standard error of a command on, without the line that has its exit status. */
const makeStatusReader = (mark: string, pass: (chunk: Uint8Array) => void) => {
  // In latin1, each byte is one character.
  let held = ""
  let status: number | undefined
  const deliver = (words: string) => {
    if (words !== "") pass(Buffer.from(words, "latin1"))
  }
  return {
    status: () => status,
    read: (chunk: Uint8Array) => {
      held += Buffer.from(chunk).toString("latin1")
      const found = new RegExp(`${mark} (\\d+)\\n`).exec(held)
      if (found !== null) {
        status = Number(found[1])
        deliver(held.slice(0, found.index) + held.slice(found.index + found[0].length))
        held = ""
        return
      }
      // Holds back text that may be the beginning of the mark.
      const from = held.lastIndexOf(mark[0] ?? "")
      const begins =
        from >= 0 && (mark.startsWith(held.slice(from)) || held.slice(from).startsWith(mark)) ? from : held.length
      deliver(held.slice(0, begins))
      held = held.slice(begins)
    },
    /** Passes the rest on, after the last chunk. */
    end: () => {
      deliver(held)
      held = ""
    }
  }
}

const startOnce = (master: Master, options: SessionOptions) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    const begun = yield* Deferred.make<void, NotStarted>()
    let isOver = false
    let hasSpoken = false
    let pid = ""
    let words = ""
    let silence: NodeJS.Timeout | undefined
    const reader = makeStatusReader(master.statusMark, (chunk) => options.onData(chunk, "stderr"))
    const over = (status: number) => {
      clearTimeout(silence)
      isOver = true
      Deferred.unsafeDone(ended, Effect.succeed(status))
    }
    // Another process may hold the outputs open after the command has ended.
    const waitForSilence = () => {
      const status = reader.status()
      if (status === undefined || options.patience === undefined) return
      clearTimeout(silence)
      silence = setTimeout(() => over(status), options.patience)
    }
    const child = yield* Effect.acquireRelease(
      Effect.sync(
        (): Piped =>
          piped({
            command: "ssh",
            args: [...master.words, "-T", "--", master.host, options.command],
            onData: (chunk, from) => {
              if (from === "stderr") {
                if (words.length < 2000) words += Buffer.from(chunk).toString()
                reader.read(chunk)
              } else {
                if (pid === "") pid = /deployer-sh (\d+)\n/.exec(Buffer.from(chunk).toString())?.[1] ?? ""
                hasSpoken = true
                Deferred.unsafeDone(begun, Effect.void)
                options.onData(chunk, from)
              }
              waitForSilence()
            },
            onFailure: (message) => {
              const failure = new Disconnected({ reason: "protocol", detail: `${notStarted} (${message})` })
              Deferred.unsafeDone(begun, new NotStarted({ isCrowded: false, failure }))
            },
            onEnd: (status) => {
              reader.end()
              const finish = () => {
                Deferred.unsafeDone(begun, Effect.void)
                over(reader.status() ?? status ?? 255)
              }
              if (status !== 255 || hasSpoken) return finish()
              if (/refused by peer/i.test(words)) {
                const failure = new Disconnected({ reason: "protocol", detail: last(words) })
                Deferred.unsafeDone(begun, new NotStarted({ isCrowded: true, failure }))
                over(255)
              }
              // Either the connection is ending, which shows in a moment, or 255 is the login shell's own status.
              else setTimeout(finish, 300)
            }
          })
      ),
      (child) =>
        Effect.gen(function* () {
          if (!isOver && pid !== "") yield* kill(master, pid)
          child.kill()
        })
    )
    yield* Deferred.await(begun)
    const session: Session = {
      ended: Deferred.await(ended),
      write: (chunk) => Effect.async<void>((resume) => child.write(chunk, () => resume(Effect.void))),
      endInput: child.endInput,
      type: (chunk) => child.write(chunk, () => {}),
      resize: () => {},
      pause: child.pause,
      resume: child.resume
    }
    return session
  })

/** Runs a line on the host for its effect alone. */
const runOnly = (master: Master, line: string, within: number) =>
  Effect.async<void>((resume) => {
    const child = piped({
      command: "ssh",
      args: [...master.words, "-T", "--", master.host, line],
      onData: () => {},
      onEnd: () => resume(Effect.void),
      onFailure: () => resume(Effect.void)
    })
    return Effect.sync(child.kill)
  }).pipe(Effect.timeoutOption(within), Effect.asVoid)

/** The time that a host may take to refuse to forward a connection, in milliseconds. */
const patienceForRefusal = 3000

/**
 * Opens a connection from the host. `ssh` reports only a refusal. The host answers requests in order, so the connection counts as open once the host has
 * run a later command.
 */
const forward = (master: Master, { host, port }: { readonly host: string; readonly port: number }) =>
  Effect.gen(function* () {
    const words = ["ssh", ...master.words, "-W", `[${host}]:${port}`, "--", master.host]
    const stream = yield* Tcp.program(words.map(quote).join(" "))
    const refused = Effect.async<never, ForwardRefused>((resume) => {
      stream.once("error", ({ message }) =>
        resume(new ForwardRefused({ prohibited: /prohibited/i.test(message), detail: last(message) }))
      )
    })
    yield* Effect.raceFirst(refused, Effect.zipRight(runOnly(master, "exit 0", patienceForRefusal), Effect.sleep(50)))
    return stream
  })

/** Asks the process group of a command to end, over a session of its own. */
const kill = (master: Master, pid: string) => runOnly(master, `exec sh -c 'kill -TERM -${pid}'`, patienceForKill)
