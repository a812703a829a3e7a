/**
 * The transport to a host with an sshd: checks its key, authenticates, runs commands.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { address as addressOf, type Target } from "../domain/Target.ts"
import { rawTerminal } from "../internal/rawTerminal.ts"
import * as Ssh from "../internal/ssh.ts"
import { type PublicKey, publicHalf, publicKeyOfLine } from "../internal/sshKeys.ts"
import type { Duplex } from "../internal/tcp.ts"
import { Prompt, PromptUnavailable } from "../terminal/Prompt.ts"
import { warn } from "../terminal/Reporter.ts"
import * as KnownHosts from "./KnownHosts.ts"
import {
  AuthenticationFailed,
  CommandTimeout,
  type ConnectFailure,
  HostKeyRejected,
  HostUnreachable,
  KeyUnusable
} from "./RemoteHost.ts"
import * as SshConfig from "./SshConfig.ts"
import { DialFailed, type Endpoint, type Exec, type ExecResult, quote, type Transport } from "./Transport.ts"

const globalKnownHostsFiles: ReadonlyArray<string> = ["/etc/ssh/ssh_known_hosts"]

/** What SSH takes from the user's environment. */
export class SshSettings extends Context.Reference<SshSettings>()("deployer/SshSettings", {
  defaultValue: () => {
    const { agentSocket, homeDir, userName } = Ssh.environment()
    return {
      /** What `~` stands for, and where `.ssh` is. */
      homeDir,
      /** The login on hosts whose target names none. */
      userName,
      /** Read for what a target does not say itself. */
      configFile: `${homeDir}/.ssh/config`,
      /** The socket of ssh-agent; absent: there is none. */
      agentSocket,
      /** Read, and appended to when the user accepts a key. */
      knownHostsFile: `${homeDir}/.ssh/known_hosts`,
      /** Read only. */
      globalKnownHostsFiles,
      /** The time between two signs of life; after three without one the connection counts as lost. */
      keepAlive: Duration.seconds(10)
    }
  }
}) {}

/**
 * Connects to a target's host; the connection is closed with the scope. `root` is the project root, to which a relative
 * `sshKey` belongs. What the target leaves open is taken from `~/.ssh/config`. Questions are about an unknown host key and
 * the passphrase of a private key; each is asked between two attempts to connect, so that no host loses its patience.
 */
export const connect = (
  target: Target,
  root: string
): Effect.Effect<Transport, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const address = addressOf(target)
    const ssh2 = yield* Ssh.load
    const place = yield* findPlace(target, root)
    const identities = yield* findIdentities(ssh2, place)
    const dial = yield* makeDial(ssh2, target, place, address)
    const connection = yield* dial(identities.ready.map((identity) => identity.method)).pipe(
      Effect.catchTag("Denied", () => unlockAndDial(ssh2, identities, address, dial))
    )
    return yield* makeTransport(target, address, connection)
  }).pipe(Effect.withSpan("SshTransport.connect", { attributes: { target: target.key } }))

/** Where a target leads to, once `~/.ssh/config` and the environment have had their say. */
interface Place {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly agentSocket: string | undefined
  /** Whether the agent may offer keys that are in none of the files. */
  readonly wholeAgent: boolean
  /** Private keys, as absolute paths. */
  readonly keyFiles: ReadonlyArray<string>
  /** Whether the target names its key: then it must be usable, and a question about it is expected. */
  readonly named: boolean
}

const findPlace = (target: Target, root: string) =>
  Effect.gen(function* () {
    const settings = yield* SshSettings
    const config = SshConfig.lookup(yield* readIfThere(settings.configFile), target.host)
    const host = config.hostName ?? target.host
    const user = target.user ?? config.user ?? settings.userName
    if (config.proxy !== undefined) {
      yield* warn(
        `${settings.configFile} reaches ${target.host} through "${config.proxy}", which deployer cannot: it connects directly`
      )
    }
    const { agentSocket, homeDir } = settings
    const tokens = new Map([
      ["%d", homeDir],
      ["%h", host],
      ["%r", user],
      ["%u", settings.userName],
      ["%%", "%"]
    ])
    const fromConfig = (path: string) =>
      expand(
        path.replace(/%./g, (token) => tokens.get(token) ?? token),
        homeDir,
        homeDir
      )
    const agent = config.identityAgent ?? "SSH_AUTH_SOCK"
    const usual = ["id_ed25519", "id_ecdsa", "id_rsa"].map((name) => `${homeDir}/.ssh/${name}`)
    const configured = config.identityFiles.map(fromConfig)
    return {
      host,
      port: target.port ?? config.port ?? 22,
      user,
      agentSocket: agent === "SSH_AUTH_SOCK" ? agentSocket : agent === "none" ? undefined : fromConfig(agent),
      wholeAgent: target.sshKey === undefined && !config.identitiesOnly,
      keyFiles:
        target.sshKey !== undefined
          ? [expand(target.sshKey, homeDir, root)]
          : configured.length > 0
            ? configured
            : usual,
      named: target.sshKey !== undefined
    } satisfies Place
  })

// Identities

/** Something to authenticate with, and how to call it in a sentence. */
interface Identity {
  readonly label: string
  readonly method: Ssh.Method
}

/** A private key that needs a passphrase. */
interface LockedKey {
  readonly file: string
  readonly content: Redacted.Redacted<string>
}

interface Identities {
  readonly ready: ReadonlyArray<Identity>
  readonly locked: ReadonlyArray<LockedKey>
  readonly named: boolean
}

const findIdentities = (ssh2: Ssh.Ssh2, { agentSocket, keyFiles, named, wholeAgent }: Place) =>
  Effect.gen(function* () {
    const agent =
      agentSocket === undefined
        ? undefined
        : yield* Effect.orElseSucceed(Ssh.openAgent(ssh2, agentSocket), () => undefined)
    const ready: Array<Identity> = []
    const locked: Array<LockedKey> = []
    /** Keys of the agent that belong to a locked file. */
    const own: Array<PublicKey> = []
    for (const file of keyFiles) {
      const key = yield* readKey(ssh2, file).pipe(
        // Files that the target does not name are often absent.
        Effect.catchTag("KeyUnusable", (unusable) => (named ? unusable : Effect.succeed(undefined)))
      )
      if (key === undefined) continue
      if (key._tag === "Ready") {
        ready.push(key.identity)
        continue
      }
      const half = yield* publicPart(key)
      const held = agent?.keys.find((other) => other.blob === half?.blob)
      if (agent === undefined || held === undefined) locked.push(key)
      else if (wholeAgent) own.push(held)
      else ready.push({ label: `${file} in ssh-agent`, method: agent.only([held]) })
    }
    if (wholeAgent && agent !== undefined && agent.keys.length > 0) {
      // A host gives up after a few keys, so that those which are likely to fit come first.
      const keys = [...own, ...agent.keys.filter((key) => !own.includes(key))]
      ready.unshift({ label: `ssh-agent with ${count(keys.length, "key")}`, method: agent.only(keys) })
    }
    return { ready, locked, named } satisfies Identities
  })

const count = (n: number, thing: string) => `${n} ${thing}${n === 1 ? "" : "s"}`

/** An absolute path; `~` and relative ones are resolved. */
const expand = (path: string, homeDir: string, root: string): string => {
  if (path === "~" || path.startsWith("~/")) return homeDir + path.slice(1)
  return path.startsWith("/") ? path : `${root}/${path}`
}

const readKey = (ssh2: Ssh.Ssh2, file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const content = yield* fs.readFileString(file).pipe(
      Effect.map(Redacted.make),
      Effect.mapError((error) => new KeyUnusable({ file, reason: isMissing(error) ? "missing" : "unreadable" }))
    )
    const opened = Ssh.openKey(ssh2, content)
    switch (opened._tag) {
      case "Opened":
        return { _tag: "Ready", identity: { label: file, method: { _tag: "Key", key: opened.key } } } as const
      case "Locked":
        return { _tag: "Locked", file, content } as const
      case "NotAKey":
        return yield* new KeyUnusable({ file, reason: "not-a-key" })
    }
  })

const isMissing = (error: PlatformError) => error._tag === "SystemError" && error.reason === "NotFound"

/** The public half of a locked key, where the file or the one beside it shows it. */
const publicPart = (key: LockedKey) =>
  Effect.gen(function* () {
    const half = publicHalf(Redacted.value(key.content))
    if (half !== undefined) return half
    const fs = yield* FileSystem.FileSystem
    return yield* fs.readFileString(`${key.file}.pub`).pipe(
      Effect.map(publicKeyOfLine),
      Effect.orElseSucceed(() => undefined)
    )
  })

/** Asks for the passphrase of one locked key after another until the host accepts one. */
const unlockAndDial = (
  ssh2: Ssh.Ssh2,
  { locked, named, ready }: Identities,
  address: string,
  dial: Dial
): Effect.Effect<Ssh.Connection, ConnectFailure, Prompt | FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const tried = ready.map((identity) => identity.label)
    for (const key of locked) {
      const unlocked = yield* unlock(ssh2, key).pipe(
        Effect.catchTag("PromptUnavailable", (unavailable) => (named ? unavailable : Effect.succeed(undefined)))
      )
      if (unlocked === undefined) {
        tried.push(`not ${key.file}, which needs its passphrase or ssh-agent`)
        continue
      }
      tried.push(key.file)
      const connection = yield* Effect.catchTag(dial([unlocked]), "Denied", () => Effect.succeed(undefined))
      if (connection !== undefined) return connection
    }
    return yield* new AuthenticationFailed({ address, tried })
  })

const unlock = (ssh2: Ssh.Ssh2, key: LockedKey, attempt = 1): Effect.Effect<Ssh.Method, ConnectFailure, Prompt> =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    const passphrase = yield* prompt.secret({
      message: attempt === 1 ? `Passphrase of ${key.file}` : `That does not open ${key.file}. Passphrase`,
      hint: `unlock the key beforehand with "ssh-add ${key.file}", so that ssh-agent answers for it`
    })
    const opened = Ssh.openKey(ssh2, key.content, passphrase)
    if (opened._tag === "Opened") return { _tag: "Key", key: opened.key }
    return yield* attempt < 3
      ? unlock(ssh2, key, attempt + 1)
      : new KeyUnusable({ file: key.file, reason: opened._tag === "Locked" ? "wrong-passphrase" : "not-a-key" })
  })

// Connecting

type Dial = (
  methods: ReadonlyArray<Ssh.Method>
) => Effect.Effect<Ssh.Connection, ConnectFailure | Ssh.Denied, Prompt | FileSystem.FileSystem | Scope.Scope>

const makeDial = (ssh2: Ssh.Ssh2, target: Target, { host, port, user }: Place, address: string) =>
  Effect.gen(function* () {
    const settings = yield* SshSettings
    // Keys accepted during this connect, in case the file cannot be written.
    const accepted: Array<KnownHosts.PublicKey> = []

    const attemptOnce = (methods: ReadonlyArray<Ssh.Method>) =>
      Effect.gen(function* () {
        const files = [settings.knownHostsFile, ...settings.globalKnownHostsFiles]
        const known = (yield* Effect.forEach(files, readKnownHosts)).flat()
        const judge = (key: KnownHosts.PublicKey) => {
          const verdict = KnownHosts.judge(known, host, port, key)
          return verdict === "unknown" && accepted.some((other) => other.blob === key.blob) ? "known" : verdict
        }
        return yield* Ssh.dial(ssh2, {
          host,
          port,
          user,
          hostKeyAlgorithms: KnownHosts.preferredAlgorithms(known, host, port),
          accepts: (key) => judge(key) === "known",
          methods: [...methods, { _tag: "None" }],
          keepAlive: Duration.toMillis(settings.keepAlive)
        }).pipe(
          keepOnSuccess,
          Effect.timeoutFail({
            duration: target.timeouts.connect,
            onTimeout: () =>
              new Ssh.Disconnected({
                reason: "timeout",
                detail: `no connection within ${Duration.format(target.timeouts.connect)}`
              })
          }),
          Effect.catchTags({
            Disconnected: unreachable(address),
            HostKeyRefused: ({ key }) => Effect.fail({ _tag: "Refused", key, verdict: judge(key) } as const)
          })
        )
      })

    // A host that hangs up after a few wrong keys gets the others on a new connection.
    const attempt = (methods: ReadonlyArray<Ssh.Method>): ReturnType<typeof attemptOnce> =>
      Effect.catchTag(attemptOnce(methods), "Denied", (denied) => {
        const untried = denied.untried.filter((method) => method._tag !== "None")
        return untried.length === 0 || untried.length >= methods.length ? denied : attempt(untried)
      })

    const rejected = (key: KnownHosts.PublicKey, reason: HostKeyRejected["reason"]) =>
      new HostKeyRejected({
        address,
        reason,
        keyType: key.type,
        fingerprint: KnownHosts.fingerprint(key),
        file: settings.knownHostsFile
      })

    const dial: Dial = (methods) =>
      Effect.catchTag(attempt(methods), "Refused", ({ key, verdict }) =>
        Effect.gen(function* () {
          if (verdict === "changed" || verdict === "revoked") return yield* rejected(key, verdict)
          const prompt = yield* Prompt
          const yes = yield* prompt
            .confirm({
              message: `The key of ${address} is not known: ${KnownHosts.describe(key)}. Trust it from now on?`,
              initial: false,
              safe: false
            })
            .pipe(Effect.catchTag("PromptUnavailable", () => Effect.succeed(false)))
          if (!yes) return yield* rejected(key, "unknown")
          accepted.push(key)
          yield* remember(settings.knownHostsFile, KnownHosts.line(host, port, key))
          return yield* attempt(methods).pipe(
            Effect.catchTag("Refused", (again) =>
              rejected(again.key, again.verdict === "revoked" ? "revoked" : "changed")
            )
          )
        })
      )
    return dial
  })

/** Closes what a failed attempt opened at once, and leaves what a successful one opened to the caller's scope. */
const keepOnSuccess = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const outer = yield* Effect.scope
      const inner = yield* Scope.fork(outer, outer.strategy)
      return yield* restore(self).pipe(
        Scope.extend(inner),
        Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(inner, exit)))
      )
    })
  )

const unreachable = (address: string) => (error: Ssh.Disconnected) =>
  new HostUnreachable({ address, reason: error.reason, detail: error.detail })

// known_hosts

const readKnownHosts = (file: string) => Effect.map(readIfThere(file), KnownHosts.parse)

/** The text of a file that need not be there. */
const readIfThere = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* fs
      .readFileString(file)
      .pipe(
        Effect.catchAll((error) =>
          isMissing(error)
            ? Effect.succeed("")
            : Effect.as(warn(`${file} cannot be read and is left out: ${error.message}`), "")
        )
      )
  })

/** Appends a line; where that is impossible, the key is trusted for this once. */
const remember = (file: string, line: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = file.slice(0, file.lastIndexOf("/"))
    if (folder !== "" && !(yield* fs.exists(folder))) {
      yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
    }
    const before = yield* Effect.orElseSucceed(fs.readFileString(file), () => "")
    const gap = before === "" || before.endsWith("\n") ? "" : "\n"
    yield* fs.writeFileString(file, `${gap}${line}\n`, { flag: "a", mode: 0o600 })
  }).pipe(Effect.catchAll((error) => warn(`The host's key could not be added to ${file}: ${error.message}`)))

// Commands

/** sshd allows ten sessions on a connection, unless told otherwise, and counts each a little longer than it lasts. */
const sessions = 5
/** Bytes; a host that sends more has gone mad. */
const stdoutLimit = 64 * 1024 * 1024
/** Bytes. */
const stderrLimit = 8 * 1024
/** Bytes of output that may wait for a slow reader before the host is told to pause. */
const pending = 1024 * 1024

const makeTransport = (target: Target, address: string, connection: Ssh.Connection): Effect.Effect<Transport> =>
  Effect.map(Effect.makeSemaphore(sessions), (semaphore) => {
    const { command: commandWait, transfer: transferWait } = target.timeouts
    const fail = unreachable(address)

    const feed = <E>(session: Ssh.Session, stdin: Stream.Stream<Uint8Array, E>) =>
      stdin.pipe(
        Stream.runForEach((chunk) =>
          Effect.timeoutFail(session.write(chunk), {
            duration: transferWait,
            onTimeout: () =>
              new Ssh.Disconnected({
                reason: "timeout",
                detail: `it took no data for ${Duration.format(transferWait)}`
              })
          })
        ),
        Effect.zipRight(Effect.sync(session.endInput))
      )

    const startOf = (wait: Exec<never>["wait"]) => (options: Ssh.SessionOptions) =>
      wait === "command"
        ? connection.start(options)
        : Effect.timeoutFail(connection.start(options), {
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
        const session = yield* startOf(exec.wait)({
          // Once its input has ended, a command cannot be asked to end any more: so no input is not an ended one.
          command: `${commandLine(exec.script, exec.args)}${exec.stdin === undefined ? " </dev/null" : ""}`,
          ...output.listener
        })
        output.attach(session)
        const ended = Effect.raceFirst(session.ended, output.overflow)
        // The command may end without having read everything, so neither waits for the other.
        const fed = exec.stdin === undefined ? Effect.void : feed(session, exec.stdin)
        const exitCode = yield* exec.wait === "command"
          ? Effect.raceFirst(ended, Effect.zipRight(fed, Effect.never))
          : Effect.gen(function* () {
              const done = yield* Effect.raceFirst(Effect.asSome(ended), Effect.zipRight(fed, Effect.succeedNone))
              return done._tag === "Some" ? done.value : yield* bounded(exec.step)(ended)
            })
        return { exitCode, ...(yield* output.result) }
      }).pipe(
        Effect.scoped,
        exec.wait === "command" ? bounded(exec.step) : (self) => self,
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

/** What becomes of a command's output. */
interface Output {
  readonly listener: Pick<Ssh.SessionOptions, "onData" | "patience">
  readonly attach: (session: Ssh.Session) => void
  /** Fails when there is too much; never succeeds. */
  readonly overflow: Effect.Effect<never, Ssh.Disconnected>
  /** To be asked for once the command has ended. */
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
