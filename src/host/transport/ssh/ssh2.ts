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
import { nodeRequire } from "../../../internal/nodeRequire.ts"
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
import { makeEnding } from "./ending.ts"
import { type PublicKey, publicKeyOf } from "./keys.ts"

/** Loads the ssh2 package. Loading is slow, so only a connection does it. */
export const load = Effect.sync((): typeof import("ssh2") => nodeRequire("ssh2"))

/** The loaded package. */
export type Ssh2 = Effect.Effect.Success<typeof load>

const nameOfUser = () => {
  try {
    return userInfo().username
  } catch {
    // In a container, the user may have a number but no name.
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
  /** The methods that were not tried, because the host ended the connection first. */
  readonly untried: ReadonlyArray<Method>
  /** The methods that the host last offered. Empty if it named none. */
  readonly offered: ReadonlyArray<string>
  /** Whether the host accepted a key and also requires one of these methods. */
  readonly isPartial: boolean
}> {}

/** A way to authenticate. */
export type Method =
  | { readonly _tag: "Key"; readonly key: Redacted.Redacted<ParsedKey> }
  | { readonly _tag: "Agent"; readonly agent: BaseAgent }
  /** No proof at all. Some hosts recognize their users by the network. */
  | { readonly _tag: "None" }

/** The settings of a connection. */
export interface Dial {
  /** Opens the stream of the connection. The stream closes with the scope. */
  readonly open: Effect.Effect<Duplex, Disconnected, Scope.Scope>
  readonly user: string
  /** The algorithms in the order of preference. */
  readonly hostKeyAlgorithms: ReadonlyArray<ServerHostKeyAlgorithm>
  readonly accepts: (key: PublicKey) => boolean
  readonly methods: ReadonlyArray<Method>
  /** The time between two signs of life in milliseconds, and the number of missing ones after which the connection counts as lost. */
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

// A host that has another MAC with SHA-1 also has one of these. Only the counter modes need a MAC.
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

/** The remedies if the host and ssh2 have no algorithm in common. */
const uncommon: ReadonlyArray<readonly [words: RegExp, detail: string]> = [
  [
    /no matching key exchange/i,
    "it offers no key exchange that deployer knows: allow curve25519-sha256 in KexAlgorithms of its sshd_config"
  ],
  [
    /no matching host key/i,
    "it has no host key that deployer accepts: make one of type Ed25519, or, if the host is old, set HostKeyAlgorithms +ssh-rsa for it in ~/.ssh/config"
  ],
  [
    /no matching .*cipher/i,
    "it offers no cipher that deployer knows: allow aes256-gcm@openssh.com or aes256-ctr in Ciphers of its sshd_config"
  ],
  [/no matching .*mac/i, "it offers no MAC that deployer knows: allow hmac-sha2-256 in MACs of its sshd_config"]
]

/** Whether a failure's detail says that the host and ssh2 have no algorithm in common. */
export const isUncommon = (detail: string): boolean => uncommon.some(([, remedy]) => remedy === detail)

/** The reason of a failure, in one line. */
export const detailOf = (error: unknown): string => {
  // ssh2 tried several addresses of one name. The first error is enough.
  if (error instanceof AggregateError && error.errors.length > 0) return detailOf(error.errors[0])
  const text = error instanceof Error && error.message !== "" ? error.message : codeOf(error)
  // Some of the text comes from the host, and must not control this terminal.
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

/** The standard input and output of a shell command that leads to an sshd. */
export const openProgram: (command: string) => Effect.Effect<Duplex, never, Scope.Scope> = Tcp.program

/**
 * Connects and authenticates. An interruption at any moment closes the socket, and so does the end of the scope. Asks no questions: an unknown host
 * key or a locked private key is a failure, after which the caller asks and dials again.
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
      // A long connection renews its session keys, and the host may show another host key then.
      const lost =
        failure instanceof Disconnected ? failure : new Disconnected({ reason: "lost", detail: "its host key changed" })
      Deferred.unsafeDone(gone, Effect.fail(lost))
    }
    const lost = (error: unknown) => {
      if (refused !== undefined) return fail(new HostKeyRefused({ key: refused }))
      // If a key or the agent fails, the next method follows.
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

/** ssh2's request to authenticate with a key. Without `sign`, it only asks whether the host would accept the key. */
type AuthPK = (user: string, key: unknown, algorithm?: string, sign?: Sign) => void
type Sign = (data: Buffer, done: (signature: Buffer) => void) => void

const isAuthPK = (value: unknown): value is AuthPK => typeof value === "function"

const isPrivate = (key: unknown): key is ParsedKey =>
  Predicate.hasProperty(key, "isPrivateKey") && typeof key.isPrivateKey === "function" && key.isPrivateKey() === true

const hashes: Readonly<Record<string, string>> = { "rsa-sha2-256": "sha256", "rsa-sha2-512": "sha512" }

/**
 * Saves two round trips that ssh2 makes although the protocol does not require them. ssh2 has no option for that, so this patches its protocol object.
 * If that object has an unknown form, it stays unchanged.
 */
const hasten = (client: Client): void => {
  const protocol: unknown = Reflect.get(client, "_protocol")
  signAtOnce(protocol)
  askAtOnce(protocol)
}

/** Signs the very first request with an unlocked key. ssh2 would first ask the host whether it accepts the key. */
const signAtOnce = (protocol: unknown): void => {
  if (!Predicate.hasProperty(protocol, "authPK") || !isAuthPK(protocol.authPK)) return
  const ask = protocol.authPK.bind(protocol)
  protocol.authPK = (user: string, key: unknown, algorithm?: string, sign?: Sign) => {
    if (sign !== undefined || !isPrivate(key)) return ask(user, key, algorithm, sign)
    ask(user, key, algorithm, (data, done) => {
      const signature = key.sign(data, algorithm === undefined ? undefined : hashes[algorithm])
      // The unpatched request reports the problem.
      if (signature instanceof Error) ask(user, key, algorithm)
      else done(signature)
    })
  }
}

type Handler = (protocol: unknown, ...message: ReadonlyArray<unknown>) => void

const isHandler = (value: unknown): value is Handler => typeof value === "function"

/**
 * Begins authentication once the host has announced its algorithms, without waiting until the host grants the request for it. RFC 4253, section 10,
 * requires that wait only if the key exchange did not prove the host's key.
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

/** Ends the connection if the host sends nothing for `keepAliveCount` intervals, although it gets a request in each of them. */
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
    // Time to read data that arrived while this process was busy.
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
        // The caller's scope closed while the host was answering.
        if (slot.closed) return abandon(channel)
        slot.channel = channel
        // Adds the listeners before anything else can run, because the exit status and data may have arrived already.
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
      // sshd still counts sessions that have just ended, so a refused session may succeed a moment later.
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
          // ssh2 gives everything that the window allows to the socket at once, even if the line is slow.
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

/** The reason codes of a host that does not forward connections. */
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
          // The channel closes only after everything is read.
          slot.channel?.resume()
        })
    )
    return yield* Effect.async<Duplex, Disconnected | ForwardRefused>((resume) => {
      const opened = (error: Error | undefined, channel: ClientChannel) => {
        if (error !== undefined) {
          // Without a reason, the connection itself is ending. `gone` reports that in a moment.
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

/** Asks a command to end, and stops listening to it. Does nothing if the command has ended. */
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
  const ending = makeEnding(options, { end, isWaiting: () => channel.isPaused() || channel.readableLength > 0 })
  const receive = (from: "stdout" | "stderr") => (chunk: Uint8Array) => {
    ending.heard()
    options.onData(chunk, from)
  }
  channel.on("data", receive("stdout"))
  channel.stderr.on("data", receive("stderr"))
  // A write to a command that has ended is not a failure, because the exit status tells the result.
  channel.on("error", () => {})
  channel.stderr.on("error", () => {})
  channel.on("exit", (code: number | null, signal?: string) => ending.exited(code ?? 128 + numberOf(signal)))
  channel.on("close", () => {
    if (ending.closed()) return
    // Either the connection is ending, which shows in a moment, or the host does not report a status.
    setTimeout(() => {
      if (!socket.destroyed) end(255)
    }, 200)
  })
}

const numberOf = (signal: string | undefined): number => {
  const found = Object.entries(constants.signals).find(([name]) => name === signal)
  return found?.[1] ?? 127
}
