/**
 * Authenticated connections: the way to a host, the host's key, and the user's keys.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { counted } from "../../../domain/Quantity.ts"
import { address as addressOf } from "../../../domain/Target.ts"
import type { Duplex } from "../../../internal/tcp.ts"
import { Prompt } from "../../../terminal/Prompt.ts"
import { detail, warn } from "../../../terminal/Reporter.ts"
import {
  AuthenticationFailed,
  type ConnectFailure,
  HostKeyRejected,
  HostUnreachable,
  KeyUnusable,
  KeyVariableUnusable
} from "../../RemoteHost.ts"
import * as Connection from "./Connection.ts"
import { type OpenedKey, openAgent, openKey } from "./identities.ts"
import * as KnownHosts from "./KnownHosts.ts"
import { keepOnSuccess } from "./keepOnSuccess.ts"
import { type PublicKey, publicHalf, publicKeyOfLine } from "./keys.ts"
import { type Asked, type Hop, lastHop } from "./SshConfig.ts"
import { findPlace, isMissing, type NamedKey, type Place, readIfThere, warnOnce } from "./SshPlace.ts"
import { SshSettings } from "./SshSettings.ts"
import { JumpHost, makeLimit, type Shared, SharedConnections } from "./sharedConnections.ts"
import * as Ssh from "./ssh2.ts"

/** The host to log in to. */
export interface Login {
  /** `user@host:port`, for messages. */
  readonly address: string
  readonly asked: Asked & { readonly key?: NamedKey | undefined }
  /** The fingerprint of the only key that the host may have, as `SHA256:…`. If set, known_hosts is not consulted. */
  readonly hostKey?: string | undefined
  /** Whether the connection only leads to another host. */
  readonly isJumpHost?: boolean
  /** The time limit from the first packet on, without the time of questions. Default: the timeout of ssh_config, or 15 seconds. */
  readonly timeout: Duration.Duration | undefined
}

/**
 * Connects and authenticates, over all the jump hosts that ssh_config names. The scope closes the whole chain. Asks whether to trust an unknown host
 * key, and asks for the passphrase of a private key. No connection is open during a question, so no host times out meanwhile.
 */
export const connectTo = (
  login: Login,
  hops = 0
): Effect.Effect<Connection.Connection, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const place = yield* findPlace(login.asked)
    for (const line of place.unfollowed)
      yield* warnOnce(
        `deployer's own SSH does not follow ${line}: the system's ssh does, and deployer uses it if it is installed and the target does not set ssh: "ssh2"`
      )
    yield* detail(`ssh: ${wayText(login, place)}`)
    const { shared } = yield* SharedConnections
    const limited =
      shared !== undefined && place.proxy === undefined ? shared.limit(`${place.host}:${place.port}`) : identity
    return yield* limited(logIn(login, place, hops))
  })

const logIn = (
  login: Login,
  place: Place,
  hops: number
): Effect.Effect<Connection.Connection, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const open = yield* openAhead(yield* findWay(login, place, hops))
    const ssh2 = yield* Ssh.load
    const identities = yield* findIdentities(ssh2, place)
    yield* detail(`ssh: ${login.address} is offered ${offerText(identities)}`)
    const dial = makeDial(ssh2, login, place, open)
    return yield* dial(identities.ready.map((identity) => identity.method)).pipe(
      Effect.catchTag("Denied", (denied) => unlockAndDial(ssh2, identities, login.address, dial, denied))
    )
  })

/** Describes the endpoint of a connection, the way to it, and the place of its key. */
const wayText = (
  { address, hostKey }: Login,
  { globalKnownHostsFiles, host, knownAs, knownHostsFiles, port, proxy, user }: Place
) => {
  const way = proxy === undefined ? "" : proxy._tag === "Jump" ? ` over ${proxy.hosts}` : " through a ProxyCommand"
  const files = [...knownHostsFiles, ...globalKnownHostsFiles].join(", ")
  const key = hostKey ?? `an entry of ${KnownHosts.hostName(knownAs.host, knownAs.port)} in ${files}`
  return `${address} is ${user} at ${host} port ${port}${way}; its key must be ${key}`
}

const offerText = ({ locked, ready }: Identities): string => {
  const offered = ready.map((identity) => identity.label)
  const waiting = locked.map(({ key }) => `${label(key)}, which needs its passphrase, if no other key is accepted`)
  return offered.length + waiting.length === 0 ? "no key" : [...offered, ...waiting].join(", ")
}

// Ways to the host

/** Opens the stream at once, in parallel with the work that follows. The first caller gets this stream, and that caller's scope closes it. */
const openAhead = (open: Open): Effect.Effect<Open, never, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const scope = yield* Scope.fork(outer, outer.strategy)
    const opening = yield* Effect.forkIn(Scope.extend(open, scope), scope)
    yield* Effect.yieldNow()
    let isTaken = false
    return Effect.suspend(() => {
      if (isTaken) return open
      isTaken = true
      return Effect.zipRight(
        Effect.addFinalizer((exit) => Scope.close(scope, exit)),
        Fiber.join(opening)
      )
    })
  })

/** The maximum number of jump hosts in a row. A longer chain counts as a circle. */
export const maxHops = 10

const findWay = (
  login: Login,
  { host, port, proxy, user }: Place,
  hops: number
): Effect.Effect<Open, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> => {
  const { address } = login
  const blocked = (detail: string) => new HostUnreachable({ address, reason: "proxy", detail })
  switch (proxy?._tag) {
    case undefined:
      return Effect.succeed(Ssh.openSocket({ host, port }))
    case "Command": {
      const { command } = proxy
      const odd = [host, user].find((word) => command.includes(word) && !isPlain(word))
      return odd === undefined
        ? Effect.succeed(Ssh.openProgram(command))
        : blocked(`"${odd}" must not be part of a shell command`)
    }
    case "Jump": {
      const hop = lastHop(proxy.hosts)
      if (hop === undefined) return blocked(`"${proxy.hosts}" names no jump host`)
      if (hops >= maxHops) return blocked(`its jump hosts lead in a circle, or there are more than ${maxHops} of them`)
      const at = addressOf(hop)
      return connectToJumpHost(hop, login.timeout, hops + 1).pipe(
        Effect.map((jump) =>
          Effect.catchTag(jump.forward({ host, port }), "ForwardRefused", ({ detail }) =>
            Effect.fail(
              new Connection.Disconnected({
                reason: "proxy",
                detail: `${at} does not connect to ${host}:${port}: ${detail}`
              })
            )
          )
        )
      )
    }
  }
}

/** Connects to a jump host, or uses the connection of another target that goes over it. */
const connectToJumpHost = (hop: Hop, timeout: Duration.Duration | undefined, hops: number) =>
  Effect.gen(function* () {
    const { shared } = yield* SharedConnections
    const { configFile } = yield* SshSettings
    const key = new JumpHost({ ...hop, hops, timeout: timeout && Duration.toMillis(timeout), configFile })
    return yield* shared === undefined ? connectTo(loginOf(key), hops) : RcMap.get(shared.jumpHosts, key)
  })

const loginOf = ({ host, jump, port, timeout, user }: JumpHost): Login => ({
  address: addressOf({ host, port, user }),
  asked: { host, port, user, jump },
  timeout: timeout === undefined ? undefined : Duration.millis(timeout),
  isJumpHost: true
})

/** Makes the connections to share. The scope ends those that are still in use. */
export const makeShared: Effect.Effect<Shared, never, Scope.Scope | Prompt | FileSystem.FileSystem> = Effect.gen(
  function* () {
    const jumpHosts: Shared["jumpHosts"] = yield* RcMap.make({
      lookup: (key: JumpHost) =>
        Effect.tap(connectTo(loginOf(key), key.hops), (connection) =>
          // A connection that is gone must not serve the next target.
          Effect.forkScoped(Effect.catchAll(connection.gone, () => RcMap.invalidate(jumpHosts, key)))
        )
    })
    return { jumpHosts, limit: makeLimit() }
  }
)

/** Whether a shell takes the word literally, and no program takes it for an option. */
const isPlain = (word: string): boolean => /^[^-\s'"`$\\;&<>|(){}\p{C}][^\s'"`$\\;&<>|(){}\p{C}]*$/u.test(word)

// Identities

/** A way to authenticate, and its name in messages. */
interface Identity {
  readonly label: string
  readonly method: Ssh.Method
}

/** A private key that needs a passphrase. */
interface LockedKey {
  readonly key: NamedKey
  readonly content: Redacted.Redacted<string>
}

interface Identities {
  readonly ready: ReadonlyArray<Identity>
  readonly locked: ReadonlyArray<LockedKey>
  readonly named: boolean
}

const findIdentities = (ssh2: Ssh.Ssh2, { agentSocket, keys, named, wholeAgent }: Place) =>
  Effect.gen(function* () {
    const agent =
      agentSocket === undefined ? undefined : yield* Effect.orElseSucceed(openAgent(ssh2, agentSocket), () => undefined)
    const ready: Array<Identity> = []
    const locked: Array<LockedKey> = []
    /** The agent's keys that a file names. */
    const own: Array<PublicKey> = []
    for (const each of keys) {
      const key = yield* readKey(ssh2, each).pipe(
        // If the target does not name its key, each key file is optional.
        Effect.catchTag("KeyUnusable", (unusable) => (named ? unusable : Effect.succeed(undefined)))
      )
      if (key === undefined) continue
      if (key._tag === "Ready") {
        ready.push(key.identity)
        continue
      }
      if (key._tag === "Public") {
        const held = agent?.keys.find((other) => other.blob === key.half.blob)
        if (held !== undefined && wholeAgent) own.push(held)
        else if (agent !== undefined && held !== undefined)
          ready.push({ label: `${label(each)} in ssh-agent`, method: agent.only([held]) })
        else if (named && each._tag === "File") return yield* new KeyUnusable({ file: each.file, reason: "public" })
        continue
      }
      const passphrase = (yield* SshSettings).remembered.passphrases.get(Redacted.value(key.content))
      const opened = passphrase && openKey(ssh2, key.content, passphrase)
      if (opened?._tag === "Opened") {
        ready.push({ label: label(each), method: { _tag: "Key", key: opened.key } })
        continue
      }
      const half = yield* publicPart(key)
      const held = agent?.keys.find((other) => other.blob === half?.blob)
      if (agent === undefined || held === undefined) locked.push(key)
      else if (wholeAgent) own.push(held)
      else ready.push({ label: `${label(each)} in ssh-agent`, method: agent.only([held]) })
    }
    if (wholeAgent && agent !== undefined && agent.keys.length > 0) {
      // A host gives up after a few keys, so the most likely keys come first.
      const held = [...own, ...agent.keys.filter((key) => !own.includes(key))]
      ready.unshift({ label: `ssh-agent with ${counted(held.length, "key")}`, method: agent.only(held) })
    }
    return { ready, locked, named } satisfies Identities
  })

/** The name of a key in messages. */
const label = (key: NamedKey): string => (key._tag === "File" ? key.file : `the variable ${key.variable}`)

const unusable = (key: NamedKey, reason: "not-a-key" | "putty" | "wrong-passphrase") =>
  key._tag === "File"
    ? new KeyUnusable({ file: key.file, reason })
    : new KeyVariableUnusable({ variable: key.variable, reason })

const readKey = (ssh2: Ssh.Ssh2, key: NamedKey) =>
  Effect.gen(function* () {
    const half = key._tag === "File" ? yield* publicFile(key.file) : undefined
    if (half !== undefined) return { _tag: "Public", half } as const
    const content = key._tag === "File" ? yield* readKeyFile(key.file) : key.content
    const opened = openKey(ssh2, content)
    switch (opened._tag) {
      case "Opened":
        return { _tag: "Ready", identity: { label: label(key), method: { _tag: "Key", key: opened.key } } } as const
      case "Locked":
        return { _tag: "Locked", key, content } as const
      case "PuttyOnly":
        return yield* unusable(key, "putty")
      case "NotAKey":
        return yield* unusable(key, "not-a-key")
    }
  })

/** The public key in a file, or in the `.pub` file beside a missing private key. Such a file names a key of the agent. */
const publicFile = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.orElse(fs.readFileString(file), () => fs.readFileString(`${file}.pub`))
    return publicKeyOfLine(text)
  }).pipe(Effect.orElseSucceed(() => undefined))

/** Whether others can use a file of this user. `ssh` makes the same check. */
const isExposed = ({ mode, uid }: FileSystem.File.Info): boolean =>
  (mode & 0o077) !== 0 && Option.contains(uid, process.getuid?.())

const readKeyFile = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const content = yield* fs.readFileString(file)
    const info = yield* fs.stat(file)
    if (isExposed(info)) {
      const mode = (info.mode & 0o777).toString(8).padStart(4, "0")
      yield* warnOnce(
        `The private key ${file} is open to others (mode ${mode}), and ssh would refuse it: run chmod 600 ${file}`
      )
    }
    return Redacted.make(content)
  }).pipe(Effect.mapError((error) => new KeyUnusable({ file, reason: isMissing(error) ? "missing" : "unreadable" })))

/** The public half of a locked key, from its file or from the `.pub` file beside it. Undefined if neither has it. */
const publicPart = (key: LockedKey) =>
  Effect.gen(function* () {
    const half = publicHalf(Redacted.value(key.content))
    if (half !== undefined || key.key._tag === "Variable") return half
    const fs = yield* FileSystem.FileSystem
    return yield* fs.readFileString(`${key.key.file}.pub`).pipe(
      Effect.map(publicKeyOfLine),
      Effect.orElseSucceed(() => undefined)
    )
  })

/** Asks for the passphrase of one locked key after another until the host accepts one. */
const unlockAndDial = (
  ssh2: Ssh.Ssh2,
  { locked, named, ready }: Identities,
  address: string,
  dial: Dial,
  first: Ssh.Denied
): Effect.Effect<Connection.Connection, ConnectFailure, Prompt | FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const tried = ready.map((identity) => identity.label)
    let denied = first
    for (const key of denied.isPartial ? [] : locked) {
      const unlocked = yield* unlock(ssh2, key).pipe(
        Effect.catchTag("PromptUnavailable", (unavailable) => (named ? unavailable : Effect.succeed(undefined)))
      )
      if (unlocked === undefined) {
        tried.push(`not ${label(key.key)}, which needs its passphrase or ssh-agent`)
        continue
      }
      tried.push(label(key.key))
      const connection = yield* Effect.catchTag(dial([unlocked]), "Denied", (again) => {
        denied = again
        return Effect.succeed(undefined)
      })
      if (connection !== undefined) return connection
    }
    const { isPartial, offered } = denied
    return yield* new AuthenticationFailed({
      address,
      tried,
      ...(isPartial ? { isPartial } : {}),
      ...(offered.length > 0 ? { methods: offered } : {})
    })
  })

const reasonOf = ({ _tag }: OpenedKey) =>
  _tag === "Locked" ? "wrong-passphrase" : _tag === "PuttyOnly" ? "putty" : "not-a-key"

const unlock = (ssh2: Ssh.Ssh2, key: LockedKey, attempt = 1): Effect.Effect<Ssh.Method, ConnectFailure, Prompt> =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    const name = label(key.key)
    const passphrase = yield* prompt.secret({
      message: attempt === 1 ? `Passphrase of ${name}` : `That does not open ${name}. Passphrase`,
      hint:
        key.key._tag === "File"
          ? `unlock the key beforehand with "ssh-add ${name}", so that ssh-agent answers for it`
          : "set the variable to a key without a passphrase"
    })
    const opened = openKey(ssh2, key.content, passphrase)
    if (opened._tag === "Opened") {
      const { remembered } = yield* SshSettings
      remembered.passphrases.set(Redacted.value(key.content), passphrase)
      return { _tag: "Key", key: opened.key }
    }
    return yield* attempt < 3 ? unlock(ssh2, key, attempt + 1) : unusable(key.key, reasonOf(opened))
  })

// Connecting

type Dial = (
  methods: ReadonlyArray<Ssh.Method>
) => Effect.Effect<Connection.Connection, ConnectFailure | Ssh.Denied, Prompt | FileSystem.FileSystem | Scope.Scope>

/** Opens the stream of a connection, once for each attempt. */
type Open = Effect.Effect<Duplex, Connection.Disconnected, Scope.Scope>

/** Whether to trust the unknown key of a host. Asks the user, unless the SSH config decides. */
const trusts = (address: string, { unknownKeys }: Place, key: KnownHosts.PublicKey) =>
  Effect.gen(function* () {
    if (unknownKeys !== "ask") return unknownKeys === "accept"
    const prompt = yield* Prompt
    return yield* prompt
      .confirm({
        message: `The key of ${address} is not known: ${KnownHosts.describe(key)}. Trust it from now on?`,
        initial: false,
        safe: false
      })
      .pipe(Effect.catchTag("PromptUnavailable", () => Effect.succeed(false)))
  })

/** A busy sshd turns away some connections at random (`MaxStartups`). The pauses are random too, so that clients do not all try again at once. */
export const nextTry = Schedule.exponential(300, 1.5).pipe(
  Schedule.jitteredWith({ min: 0.3, max: 1.7 }),
  Schedule.intersect(Schedule.recurs(7))
)

const makeDial = (
  ssh2: Ssh.Ssh2,
  { address, hostKey: pinned, isJumpHost = false, timeout }: Login,
  place: Place,
  open: Open
): Dial => {
  const { host, port } = place.knownAs
  const files = [...place.knownHostsFiles, ...place.globalKnownHostsFiles]
  const wait = timeout ?? Duration.seconds(place.connectTimeout ?? 15)

  /** `others` are keys that the host has shown although another key is pinned. This attempt asks the host for keys of other types. */
  const attemptOnce = (methods: ReadonlyArray<Ssh.Method>, others: ReadonlyArray<KnownHosts.PublicKey>) =>
    Effect.gen(function* () {
      const known = yield* Effect.forEach(pinned === undefined ? files : [], (file) =>
        Effect.map(readIfThere(file), (text) => ({ file, entries: KnownHosts.parse(text) }))
      )
      const entries = known.flatMap((one) => one.entries)
      const { hostKeys } = (yield* SshSettings).remembered
      const judge = (key: KnownHosts.PublicKey) => {
        if (pinned !== undefined) return KnownHosts.fingerprint(key) === pinned ? "known" : "pinned"
        const verdict = KnownHosts.judge(entries, host, port, key)
        return verdict === "unknown" && hostKeys.has(KnownHosts.line(host, port, key)) ? "known" : verdict
      }
      return yield* Ssh.dial(ssh2, {
        open,
        user: place.user,
        hostKeyAlgorithms: [
          ...KnownHosts.preferredAlgorithms(entries, host, port).filter(
            (name) => !others.some((key) => KnownHosts.proves(name, key))
          ),
          ...(place.allowsOldRsa ? ["ssh-rsa" as const] : [])
        ],
        accepts: (key) => judge(key) === "known",
        methods: [...methods, { _tag: "None" }],
        keepAlive: place.keepAlive,
        keepAliveCount: place.keepAliveCount
      }).pipe(
        keepOnSuccess,
        Effect.retry({ while: (error) => error._tag === "Disconnected" && error.isBusy === true, schedule: nextTry }),
        Effect.timeoutFail({
          duration: wait,
          onTimeout: () =>
            new Connection.Disconnected({ reason: "timeout", detail: `no connection within ${Duration.format(wait)}` })
        }),
        Effect.catchTags({
          Disconnected: unreachable(address),
          HostKeyRefused: ({ key }) => {
            const verdict = judge(key)
            const file = known.find((one) => KnownHosts.judge(one.entries, host, port, key) === verdict)?.file
            return Effect.fail({ _tag: "Refused", key, verdict, file: file ?? files[0] ?? "" } as const)
          }
        })
      )
    })

  // If a host ends the connection after a few wrong keys, a new connection offers the other keys.
  const attempt = (
    methods: ReadonlyArray<Ssh.Method>,
    others: ReadonlyArray<KnownHosts.PublicKey> = []
  ): ReturnType<typeof attemptOnce> =>
    Effect.catchTag(attemptOnce(methods, others), "Denied", (denied) => {
      const untried = denied.untried.filter((method) => method._tag !== "None")
      return untried.length === 0 || untried.length >= methods.length ? denied : attempt(untried, others)
    })

  const rejected = (key: KnownHosts.PublicKey, reason: HostKeyRejected["reason"], file: string) =>
    new HostKeyRejected({
      address,
      reason,
      keyType: key.type,
      fingerprint: KnownHosts.fingerprint(key),
      file,
      knownAs: KnownHosts.hostName(host, port),
      ...(pinned === undefined ? {} : { pinned }),
      ...(isJumpHost ? { isJumpHost } : {})
    })

  /** Asks for one type of key after another, because a host has a key of each type, and any of them may be the pinned one. */
  const dialPinned = (
    methods: ReadonlyArray<Ssh.Method>,
    others: ReadonlyArray<KnownHosts.PublicKey>
  ): ReturnType<Dial> => {
    const [first] = others
    return attempt(methods, others).pipe(
      Effect.catchTags({
        Refused: ({ key }) => dialPinned(methods, [...others, key]),
        HostUnreachable: (failure) =>
          first === undefined || failure.reason !== "protocol" ? failure : rejected(first, "pinned", "")
      })
    )
  }

  const dialKnown: Dial = (methods) =>
    Effect.catchTag(attempt(methods), "Refused", ({ file, key, verdict }) =>
      Effect.gen(function* () {
        if (verdict === "changed" || verdict === "revoked") return yield* rejected(key, verdict, file)
        if (!(yield* trusts(address, place, key))) return yield* rejected(key, "unknown", file)
        ;(yield* SshSettings).remembered.hostKeys.add(KnownHosts.line(host, port, key))
        const [mine] = place.knownHostsFiles
        if (mine !== undefined) yield* remember(mine, KnownHosts.line(host, port, key))
        return yield* attempt(methods).pipe(
          Effect.catchTag("Refused", (again) =>
            rejected(again.key, again.verdict === "revoked" ? "revoked" : "changed", again.file)
          )
        )
      })
    )

  return pinned === undefined ? dialKnown : (methods) => dialPinned(methods, [])
}

/** The failure of a connection to `address`. */
export const unreachable = (address: string) => (error: Connection.Disconnected) =>
  new HostUnreachable({ address, reason: error.reason, detail: error.detail })

/** Appends a line. Warns if that is impossible; the key then counts as known for this run only. */
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
