import { constants, hostname, userInfo } from "node:os"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type {
  AuthHandlerMiddleware,
  BaseAgent,
  CipherAlgorithm,
  Client,
  ClientChannel,
  MacAlgorithm,
  ParsedKey,
  ServerHostKeyAlgorithm
} from "ssh2"
import { homeFolder } from "../../../internal/homeFolder.ts"
import type { Duplex } from "../../../internal/tcp.ts"
import * as Tcp from "../../../internal/tcp.ts"
import { detail } from "../../../terminal/Reporter.ts"
import {
  type Connection,
  Disconnected,
  ForwardRefused,
  NotStarted,
  type Session,
  type SessionOptions
} from "./Connection.ts"
import { type PublicKey, publicKeyOf } from "./keys.ts"

/** Loads the ssh2 package. It is slow to load, so this happens only for a connection. */
export const load = Effect.map(
  Effect.promise(() => import("ssh2")),
  (module) => module.default
)

/** The loaded package. */
export type Ssh2 = Effect.Effect.Success<typeof load>

const nameOfUser = () => {
  try {
    return userInfo().username
  } catch {
    // In a container the user may be a number without a name.
    return process.env["USER"] ?? "root"
  }
}

/** The SSH settings in this process's environment. */
export const environment = () => ({
  homeDir: homeFolder(),
  workingDir: process.cwd(),
  agentSocket: process.env["SSH_AUTH_SOCK"] === "" ? undefined : process.env["SSH_AUTH_SOCK"],
  userName: nameOfUser(),
  machine: hostname(),
  variable: (name: string): string | undefined => process.env[name]
})

/** The host showed a key that was not accepted. */
export class HostKeyRefused extends Data.TaggedError("HostKeyRefused")<{ readonly key: PublicKey }> {}

/** The host accepted none of the ways to authenticate. */
export class Denied extends Data.TaggedError("Denied")<{
  /** Those that it gave us no chance to try. */
  readonly untried: ReadonlyArray<Method>
  /** The methods that it offers, as it last named them. Empty if it named none. */
  readonly offered: ReadonlyArray<string>
  /** Whether it accepted a key and requires one of these methods as well. */
  readonly isPartial: boolean
}> {}

/** A way to authenticate. */
export type Method =
  | { readonly _tag: "Key"; readonly key: Redacted.Redacted<ParsedKey> }
  | { readonly _tag: "Agent"; readonly agent: BaseAgent }
  /** Some hosts recognize their users by the network. */
  | { readonly _tag: "None" }

/** The settings of a connection. */
export interface Dial {
  /** Opens the stream to speak over; it is closed with the scope. */
  readonly open: Effect.Effect<Duplex, Disconnected, Scope.Scope>
  readonly user: string
  /** In the order of preference. */
  readonly hostKeyAlgorithms: ReadonlyArray<ServerHostKeyAlgorithm>
  readonly accepts: (key: PublicKey) => boolean
  readonly methods: ReadonlyArray<Method>
  /** Milliseconds between two signs of life, and how many of them may be missing before the connection counts as lost. */
  readonly keepAlive: number
  readonly keepAliveCount: number
}

// GCM is fastest if the processor supports it, and nearly every processor does.
const ciphers: Array<CipherAlgorithm> = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "chacha20-poly1305@openssh.com",
  "aes128-ctr",
  "aes256-ctr"
]

// Hosts that know a variant with SHA-1 know one of these. They are needed only beside the counter modes.
const macs: Array<MacAlgorithm> = [
  "hmac-sha2-256-etm@openssh.com",
  "hmac-sha2-512-etm@openssh.com",
  "hmac-sha2-256",
  "hmac-sha2-512",
  "hmac-sha1"
]

const names = new Map<string, Disconnected["reason"]>([
  ["ENOTFOUND", "unknown-name"],
  ["EAI_AGAIN", "unknown-name"],
  ["EAI_FAIL", "unknown-name"],
  ["EAI_NODATA", "unknown-name"],
  ["EAI_NONAME", "unknown-name"],
  ["ECONNREFUSED", "refused"],
  ["EHOSTUNREACH", "refused"],
  ["EHOSTDOWN", "refused"],
  ["ENETUNREACH", "refused"],
  ["EADDRNOTAVAIL", "refused"],
  ["ETIMEDOUT", "timeout"],
  ["ECONNRESET", "lost"],
  ["EPIPE", "lost"],
  [Tcp.programFailed, "proxy"]
])

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : ""

/** What to do if the host and ssh2 have nothing in common. */
const uncommon: ReadonlyArray<readonly [words: RegExp, detail: string]> = [
  [
    /no matching key exchange/i,
    "it offers no key exchange that deployer knows: allow curve25519-sha256 in KexAlgorithms of its sshd_config"
  ],
  [
    /no matching host key/i,
    "it has no host key that deployer takes: make one of type Ed25519, or, if the host is old, set HostKeyAlgorithms +ssh-rsa for it in ~/.ssh/config"
  ],
  [
    /no matching .*cipher/i,
    "it offers no cipher that deployer knows: allow aes256-gcm@openssh.com or aes256-ctr in Ciphers of its sshd_config"
  ],
  [/no matching .*mac/i, "it offers no MAC that deployer knows: allow hmac-sha2-256 in MACs of its sshd_config"]
]

/** The reason of a failure, in one line. */
export const detailOf = (error: unknown): string => {
  // Several addresses of one name were tried. The first error tells enough.
  if (error instanceof AggregateError && error.errors.length > 0) return detailOf(error.errors[0])
  const text = error instanceof Error && error.message !== "" ? error.message : codeOf(error)
  // Some of the text is the host's own, which must not move a cursor here.
  const shown = text
    .replaceAll(/[\s\p{C}]+/gu, " ")
    .trim()
    .slice(0, 200)
  return shown === "" ? "no reason given" : shown
}

const levelOf = (error: unknown): unknown =>
  typeof error === "object" && error !== null && "level" in error ? error.level : undefined

/** A TCP connection to an sshd. */
export const openSocket = (to: {
  readonly host: string
  readonly port: number
}): Effect.Effect<Duplex, Disconnected, Scope.Scope> =>
  Effect.mapError(
    Tcp.connect(to),
    (error) => new Disconnected({ reason: names.get(error.code) ?? "protocol", detail: error.detail })
  )

/** A shell command that speaks for an sshd on its standard input and output. */
export const openProgram: (command: string) => Effect.Effect<Duplex, never, Scope.Scope> = Tcp.program

/**
 * Connects and authenticates. Interrupting it at any moment closes the socket; so does the end of the scope. Asks no questions: an unknown host key
 * and a locked private key are failures, and the caller dials again.
 */
export const dial = (
  ssh2: Ssh2,
  options: Dial
): Effect.Effect<Connection, Disconnected | HostKeyRefused | Denied, Scope.Scope> =>
  Effect.gen(function* () {
    const gone = yield* Deferred.make<never, Disconnected>()
    const socket = yield* options.open
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const client = new ssh2.Client()
        // A late error without a listener would end the process.
        client.on("error", () => {})
        return client
      }),
      (client) => Effect.sync(() => client.end())
    )
    const agreed: Array<string> = []
    client.on("handshake", ({ cs, kex, serverHostKey }) => agreed.push(`${kex}, ${serverHostKey}, ${cs.cipher}`))
    yield* handshake(client, socket, options, gone)
    yield* detail(`ssh: ${options.user} is logged in, with ${agreed[0]}`)
    yield* Effect.forkScoped(watch(socket, options, gone))
    const lost = Deferred.await(gone)
    return {
      gone: lost,
      start: (session) => start(client, socket, lost, session),
      forward: (to) => forward(client, lost, to)
    }
  })

const handshake = (client: Client, socket: Duplex, options: Dial, gone: Deferred.Deferred<never, Disconnected>) =>
  Effect.async<void, Disconnected | HostKeyRefused | Denied>((resume) => {
    let phase: "key" | "authentication" | "open" = "key"
    let offered: ReadonlyArray<string> = []
    let isPartial = false
    let isGreeted = false
    const denied = (untried: ReadonlyArray<Method>) => new Denied({ untried, offered, isPartial })
    let refused: PublicKey | undefined
    const fail = (failure: Disconnected | HostKeyRefused | Denied) => {
      if (phase !== "open") return resume(Effect.fail(failure))
      // A host may show another key when the keys of a long connection are renewed.
      const lost =
        failure instanceof Disconnected ? failure : new Disconnected({ reason: "lost", detail: "its host key changed" })
      Deferred.unsafeDone(gone, Effect.fail(lost))
    }
    const lost = (error: unknown) => {
      if (refused !== undefined) return fail(new HostKeyRefused({ key: refused }))
      // One key or the agent failing is no reason to give up: the next method follows.
      const level = levelOf(error)
      if (phase === "authentication" && (level === "agent" || level === "client-authentication")) return
      const words = detailOf(error)
      const detail = uncommon.find(([pattern]) => pattern.test(words))?.[1] ?? words
      if (phase === "authentication" && /authentication failures/i.test(detail)) {
        return fail(denied(left))
      }
      const known = names.get(codeOf(error))
      const isBusy = !isGreeted && (known === "lost" || /closed the connection|before handshake/i.test(detail))
      fail(new Disconnected({ reason: phase === "open" ? "lost" : (known ?? "protocol"), detail, isBusy }))
    }
    client.on("handshake", () => {
      isGreeted = true
    })
    client.on("error", lost)
    client.on("end", () => lost(new Error("the host closed the connection")))
    client.on("close", () => lost(new Error("the connection was closed")))
    client.on("ready", () => {
      phase = "open"
      resume(Effect.void)
    })

    const left = [...options.methods]
    const authHandler: AuthHandlerMiddleware = (
      methods: ReadonlyArray<string> | null,
      partial: boolean | null,
      next
    ) => {
      phase = "authentication"
      offered = methods ?? offered
      isPartial ||= partial === true
      const method = left.shift()
      if (method === undefined) return fail(denied([]))
      const username = options.user
      switch (method._tag) {
        case "Agent":
          return next({ type: "agent", username, agent: method.agent })
        case "Key":
          return next({ type: "publickey", username, key: Redacted.value(method.key) })
        case "None":
          return next({ type: "none", username })
      }
    }
    if (socket.destroyed) return lost(socket.errored ?? new Error("the connection was closed"))
    client.connect({
      sock: socket,
      username: options.user,
      authHandler,
      hostVerifier: (wire: Buffer) => {
        const key = publicKeyOf(wire) ?? { type: "unknown", blob: wire.toString("base64") }
        const accepted = options.accepts(key)
        if (!accepted) refused = key
        return accepted
      },
      algorithms: { cipher: ciphers, hmac: macs, serverHostKey: [...options.hostKeyAlgorithms], compress: ["none"] },
      readyTimeout: 0,
      keepaliveInterval: options.keepAlive,
      // The watch below decides: on a slow line an answer may be late behind megabytes that do arrive.
      keepaliveCountMax: Number.MAX_SAFE_INTEGER
    })
    hasten(client)
  })

/** A request to authenticate with a key, as ssh2's protocol makes it: without `sign` it only asks whether the host would accept the key. */
type AuthPK = (user: string, key: unknown, algorithm?: string, sign?: Sign) => void
type Sign = (data: Buffer, done: (signature: Buffer) => void) => void

const isAuthPK = (value: unknown): value is AuthPK => typeof value === "function"

const isPrivate = (key: unknown): key is ParsedKey =>
  Predicate.hasProperty(key, "isPrivateKey") && typeof key.isPrivateKey === "function" && key.isPrivateKey() === true

const hashes: Readonly<Record<string, string>> = { "rsa-sha2-256": "sha256", "rsa-sha2-512": "sha512" }

/**
 * Saves two round trips that ssh2 makes although the protocol does not require them. ssh2 has no option for that, so its protocol object is patched.
 * If that object looks unfamiliar, nothing is changed.
 */
const hasten = (client: Client): void => {
  const protocol: unknown = Reflect.get(client, "_protocol")
  signAtOnce(protocol)
  askAtOnce(protocol)
}

/** Unlocked keys sign in their first request. ssh2 would first ask the host whether it accepts them. */
const signAtOnce = (protocol: unknown): void => {
  if (!Predicate.hasProperty(protocol, "authPK") || !isAuthPK(protocol.authPK)) return
  const ask = protocol.authPK.bind(protocol)
  protocol.authPK = (user: string, key: unknown, algorithm?: string, sign?: Sign) => {
    if (sign !== undefined || !isPrivate(key)) return ask(user, key, algorithm, sign)
    ask(user, key, algorithm, (data, done) => {
      const signature = key.sign(data, algorithm === undefined ? undefined : hashes[algorithm])
      // ssh2's own way reports the problem.
      if (signature instanceof Error) ask(user, key, algorithm)
      else done(signature)
    })
  }
}

type Handler = (protocol: unknown, ...message: ReadonlyArray<unknown>) => void

const isHandler = (value: unknown): value is Handler => typeof value === "function"

/**
 * Begins authentication right after the request for it, once the host has announced its algorithms. Does not wait until the request is granted: RFC
 * 4253, section 10, requires that only if the key exchange did not prove the host's key.
 */
const askAtOnce = (protocol: unknown): void => {
  const handlers = Predicate.hasProperty(protocol, "_handlers") ? protocol._handlers : undefined
  if (!Predicate.hasProperty(handlers, "SERVICE_ACCEPT") || !Predicate.hasProperty(handlers, "EXT_INFO")) return
  const { EXT_INFO: learn, SERVICE_ACCEPT: begin } = handlers
  if (!isHandler(learn) || !isHandler(begin)) return
  let begun = false
  const beginOnce = (protocol: unknown) => {
    if (begun) return
    begun = true
    begin(protocol, "ssh-userauth")
  }
  handlers.SERVICE_ACCEPT = beginOnce
  handlers.EXT_INFO = (protocol: unknown, ...message: ReadonlyArray<unknown>) => {
    learn(protocol, ...message)
    beginOnce(protocol)
  }
}

/** Gives the connection up if nothing at all has come for this number of intervals, although the host was asked. */
const watch = (
  socket: Duplex,
  { keepAlive, keepAliveCount }: Pick<Dial, "keepAlive" | "keepAliveCount">,
  gone: Deferred.Deferred<never, Disconnected>
) =>
  Effect.gen(function* () {
    let heard = performance.now()
    socket.on("data", () => {
      heard = performance.now()
    })
    const patience = keepAlive * keepAliveCount
    // Data that came while this process was busy has not been read yet.
    const grace = Math.min(patience / 20, 250)
    const left = () => heard + patience - performance.now()
    while (left() > 0) {
      yield* Effect.sleep(Math.max(left() - grace, 1))
      if (left() <= grace) yield* Effect.sleep(grace)
    }
    const detail = `no sign of life for ${Math.round(patience / 1000)} seconds`
    yield* Deferred.fail(gone, new Disconnected({ reason: "lost", detail }))
    socket.destroy()
  })

const start = (client: Client, socket: Duplex, gone: Effect.Effect<never, Disconnected>, options: SessionOptions) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    const slot = yield* Effect.acquireRelease(
      Effect.sync((): { channel: ClientChannel | undefined; closed: boolean } => ({
        channel: undefined,
        closed: false
      })),
      (slot) =>
        Effect.sync(() => {
          slot.closed = true
          if (slot.channel !== undefined) abandon(slot.channel)
        })
    )
    const channel = yield* Effect.async<ClientChannel, Disconnected | NotStarted>((resume) => {
      const opened = (error: Error | undefined, channel: ClientChannel) => {
        if (error !== undefined) {
          const detail = `it did not start a command: ${detailOf(error)}`
          const failure = new Disconnected({ reason: "protocol", detail })
          return resume(/open failure/i.test(error.message) ? new NotStarted({ isCrowded: true, failure }) : failure)
        }
        // The caller has gone away while the host was answering.
        if (slot.closed) return abandon(channel)
        slot.channel = channel
        // Listeners are added before anything else can run: exit status and data may be here already.
        listen(socket, channel, options, (code) => Deferred.unsafeDone(ended, Effect.succeed(code)))
        resume(Effect.succeed(channel))
      }
      try {
        client.exec(options.command, options.pty === undefined ? {} : { pty: options.pty }, opened)
      } catch (error) {
        const failure = new Disconnected({ reason: "lost", detail: detailOf(error) })
        resume(new NotStarted({ isCrowded: false, failure }))
      }
    }).pipe(
      // sshd still counts the sessions that have just ended.
      Effect.retry({
        while: (failure) => failure._tag === "NotStarted" && failure.isCrowded,
        times: options.retries ?? 6,
        schedule: Schedule.exponential(20)
      }),
      Effect.raceFirst(Effect.mapError(gone, (failure) => new NotStarted({ isCrowded: false, failure })))
    )

    const session: Session = {
      ended: Effect.raceFirst(Deferred.await(ended), gone),
      write: (chunk) =>
        Effect.zipRight(
          Effect.async<void>((resume) => {
            if (channel.write(chunk)) return resume(Effect.void)
            const go = () => resume(Effect.void)
            channel.once("drain", go)
            return Effect.sync(() => channel.off("drain", go))
          }),
          // ssh2 hands everything that the window allows to the socket at once, however slow the line is.
          Effect.async<void>((resume) => {
            if (!socket.writableNeedDrain) return resume(Effect.void)
            const go = () => resume(Effect.void)
            socket.once("drain", go)
            return Effect.sync(() => socket.off("drain", go))
          })
        ),
      endInput: () => channel.end(),
      type: (chunk) => {
        if (channel.writable) channel.write(chunk)
      },
      resize: ({ columns, rows }) => channel.setWindow(rows, columns, 0, 0),
      pause: () => {
        channel.pause()
        channel.stderr.pause()
      },
      resume: () => {
        channel.resume()
        channel.stderr.resume()
      }
    }
    return session
  })

/** The reason codes of a host that does not forward connections. Other failures are described in words. */
const prohibitions: ReadonlySet<unknown> = new Set([1, 3])

const forward = (
  client: Client,
  gone: Effect.Effect<never, Disconnected>,
  to: { readonly host: string; readonly port: number }
) =>
  Effect.gen(function* () {
    const slot = yield* Effect.acquireRelease(
      Effect.sync((): { channel: ClientChannel | undefined; closed: boolean } => ({
        channel: undefined,
        closed: false
      })),
      (slot) =>
        Effect.sync(() => {
          slot.closed = true
          slot.channel?.destroy()
          // It is closed once everything was read.
          slot.channel?.resume()
        })
    )
    return yield* Effect.async<Duplex, Disconnected | ForwardRefused>((resume) => {
      const opened = (error: Error | undefined, channel: ClientChannel) => {
        if (error !== undefined) {
          // Without a reason, the connection itself is ending, which will be known in a moment.
          if (!("reason" in error)) return
          const detail = detailOf(error).replace(/^\(SSH\) Channel open failure: /, "")
          return resume(new ForwardRefused({ prohibited: prohibitions.has(error.reason), detail }))
        }
        channel.on("error", () => {})
        if (slot.closed) return channel.destroy()
        slot.channel = channel
        resume(Effect.succeed(channel))
      }
      try {
        client.forwardOut("127.0.0.1", 0, to.host, to.port, opened)
      } catch (error) {
        resume(new Disconnected({ reason: "lost", detail: detailOf(error) }))
      }
    }).pipe(Effect.raceFirst(gone))
  })

/** Asks a command to end and stops listening. Does nothing if the command has ended. */
const abandon = (channel: ClientChannel) => {
  channel.on("error", () => {})
  channel.signal("TERM")
  channel.close()
  channel.resume()
  channel.stderr.resume()
}

const listen = (
  socket: Duplex,
  channel: ClientChannel,
  options: SessionOptions,
  end: (exitCode: number) => void
): void => {
  let exitCode: number | undefined
  let exited = 0
  let silence: NodeJS.Timeout | undefined
  const waitForSilence = () => {
    const { patience } = options
    if (exitCode === undefined || patience === undefined) return
    clearTimeout(silence)
    const left = exited + 5 * patience - performance.now()
    silence = setTimeout(
      () => {
        if (channel.isPaused() || channel.readableLength > 0) return waitForSilence()
        end(exitCode ?? 255)
      },
      Math.min(patience, Math.max(left, 10))
    )
    silence.unref()
  }
  const receive = (from: "stdout" | "stderr") => (chunk: Uint8Array) => {
    waitForSilence()
    options.onData(chunk, from)
  }
  channel.on("data", receive("stdout"))
  channel.stderr.on("data", receive("stderr"))
  // Writing to a command that has ended is not a failure: its exit status tells enough.
  channel.on("error", () => {})
  channel.stderr.on("error", () => {})
  channel.on("exit", (code: number | null, signal?: string) => {
    exitCode = code ?? 128 + numberOf(signal)
    exited = performance.now()
    waitForSilence()
  })
  channel.on("close", () => {
    clearTimeout(silence)
    if (exitCode !== undefined) return end(exitCode)
    // Without an exit status, either the connection is ending, which will be known in a moment, or the host does not report one.
    setTimeout(() => {
      if (!socket.destroyed) end(255)
    }, 200)
  })
}

const numberOf = (signal: string | undefined): number => {
  const found = Object.entries(constants.signals).find(([name]) => name === signal)
  return found?.[1] ?? 127
}
