/**
 * A target: one place on one host that holds the releases of one name.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { schemeHost, schemeMistake } from "./HostScheme.ts"
import { ReleaseName, Tag } from "./Release.ts"

/** The `host` that means this machine, without SSH. */
export const localHost = "local"

const oneLine = (what: string) =>
  Schema.String.pipe(
    Schema.pattern(/^[^\p{Cc}]+$/u, { message: () => `${what} must not be empty or hold control characters` })
  )

/**
 * A directory on a host. Absolute, relative to the login directory, or beginning with `~/` (the same directory).
 * Blanks, quotes and `$` are ordinary characters.
 */
export const HostPath = oneLine("a path").pipe(
  Schema.filter((path) => (/^~[^/]/.test(path) ? "must not name another user's home: write the path out" : undefined)),
  Schema.filter((path) => (path.split("/").includes("..") ? "must not contain '..'" : undefined)),
  Schema.filter((path) =>
    /^~?[./\s]*$/.test(path) ? "must be a directory of its own, not the root or the home directory" : undefined
  )
)

/** A label, or its value: it is typed on command lines. */
const Label = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, {
    message: () => "a label must consist of letters, digits, '.', '_' and '-'"
  })
)

/** One or more shell commands for the host, run one after another by `sh -c`. */
const Commands = Schema.Union(oneLine("a command"), Schema.Array(oneLine("a command")))

const Port = Schema.Int.pipe(Schema.between(1, 65535, { message: () => "must be a port number from 1 to 65535" }))

/** A duration in words (`"10 seconds"`, `"2 minutes"`) or in milliseconds. */
export const Wait = Schema.transformOrFail(Schema.Union(Schema.String, Schema.Number), Schema.DurationFromSelf, {
  strict: true,
  decode: (input, _, ast) =>
    Option.match(Option.filter(Duration.decodeUnknown(input), Duration.greaterThan(Duration.zero)), {
      onNone: () =>
        ParseResult.fail(new ParseResult.Type(ast, input, 'must be a duration such as "30 seconds" or "2 minutes"')),
      onSome: ParseResult.succeed
    }),
  encode: (duration) => ParseResult.succeed(Duration.toMillis(duration))
})

/** The bounded waits of one target. */
export const Timeouts = Schema.Struct({
  /**
   * From the first packet to an authenticated connection, not counting questions to the user. Default: the value in `~/.ssh/config`, or 15
   * seconds.
   */
  connect: Schema.optional(Wait),
  /** One step of deployer on the host, or one hook or start/stop/restart command. Default 15 minutes. */
  command: Schema.optionalWith(Wait, { default: () => Duration.minutes(15) }),
  /** How long a transfer may make no progress at all. Default 60 seconds. */
  transfer: Schema.optionalWith(Wait, { default: () => Duration.seconds(60) })
})

const defaultTimeouts = Schema.decodeSync(Timeouts)({})

/**
 * The check that a release is live and healthy: a command that ends with status 0, a URL that answers with a status from 200 to 399, or a
 * port that accepts connections. The host itself requests the URL or port.
 */
export const Health = Schema.Struct({
  /** Runs in the release's folder, as hooks do. */
  command: Schema.optional(oneLine("a command")),
  /** A URL that answers a GET request with a status from 200 to 399. Redirects are not followed. */
  http: Schema.optional(
    Schema.String.pipe(
      Schema.pattern(/^https?:\/\/[^\s/]\S*$/, { message: () => "must be a URL such as http://127.0.0.1:4000/health" })
    )
  ),
  /** A port of the host that accepts connections. */
  tcp: Schema.optional(Port),
  /** The time from the first attempt to the last success. Default 60 seconds. */
  timeout: Schema.optionalWith(Wait, { default: () => Duration.seconds(60) }),
  /** The time between two attempts. Default 1 second. */
  interval: Schema.optionalWith(Wait, { default: () => Duration.seconds(1) }),
  /** How many successes in a row are required. Default 2. */
  successes: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, 1000)), { default: () => 2 })
}).pipe(
  Schema.filter(({ command, http, tcp }) =>
    [command, http, tcp].filter((way) => way !== undefined).length === 1
      ? undefined
      : "needs one of command, http and tcp, and only one"
  )
)
/** The check that a release is live and healthy. */
export type Health = typeof Health.Type

/** A host name, also an alias of `~/.ssh/config` and in any script, or an address, for IPv6 also with its zone. */
const isHost = (host: string): boolean =>
  /^[\p{L}\p{M}\p{N}_][\p{L}\p{M}\p{N}._-]*$/u.test(host) || /^[0-9a-f.]*:[0-9a-f.:]+(?:%[\w.-]+)?$/i.test(host)

/** A login, a port or brackets belong in other fields: here they would be looked up as part of the name. */
const hostMistake = (host: string): string | undefined => {
  const alone = "must be a name or an address alone"
  if (schemeHost(host) !== undefined) return undefined
  const mistake = schemeMistake(host)
  if (mistake !== undefined) return mistake
  if (/\s/.test(host) || host.startsWith("-")) return alone
  const [, scheme, afterScheme = host] = /^([a-z]+:\/\/)(.*)$/i.exec(host) ?? []
  const [, login, afterLogin = afterScheme] = /^(.*)@([^@]*)$/.exec(afterScheme) ?? []
  const [, name, port] = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?\/?$/.exec(afterLogin) ?? []
  const isBracketed = name?.startsWith("[") === true
  if (scheme === undefined && login === undefined && port === undefined && !isBracketed)
    return isHost(host) ? undefined : alone
  const bare = isBracketed ? name?.slice(1, -1) : name
  if (!bare || !isHost(bare)) return alone
  const fields = [
    `host: ${JSON.stringify(bare)}`,
    ...(login ? [`user: ${JSON.stringify(login.split(":")[0])}`] : []),
    ...(port && Schema.is(Port)(Number(port)) ? [`port: ${Number(port)}`] : [])
  ]
  return `${alone}: write ${fields.join(", ")}`
}

const targetFields = {
  /**
   * A host name or address; `"local"`: this machine, without SSH; or `"docker://NAME"` or `"podman://NAME"`: a running container, over its
   * engine's `exec`.
   */
  host: oneLine("a host").pipe(Schema.filter(hostMistake)),
  /** Default: the port in `~/.ssh/config`, or 22. */
  port: Schema.optional(Port),
  /** The login. Default: the name of the local user, as for `ssh`. */
  user: Schema.optional(oneLine("a user")),
  /** The name of the release that this target runs. */
  name: ReleaseName,
  /** The directory on the host, absolute or relative to the login directory. */
  path: HostPath,
  /** The fingerprint of the host's key, as `ssh-keygen -l` prints it. Only this key is accepted, and known_hosts is not consulted. */
  hostKey: Schema.optional(
    Schema.String.pipe(
      Schema.pattern(/^SHA256:[A-Za-z0-9+/]{43}$/, {
        message: () =>
          'must be a fingerprint: SHA256: and 43 characters, without the rest of the line that "ssh-keygen -l" prints'
      })
    )
  ),
  /** A private key file; `~` and paths relative to the project root are allowed. Default: the agent, then the usual keys in `~/.ssh`. */
  sshKey: Schema.optional(oneLine("a path")),
  /**
   * The name of the environment variable that holds the text of the private key, for CI. The key is never written to a file, unless
   * the system's `ssh` connects: then a file that only this user can read holds it until the login has succeeded. Cannot be used with `sshKey`.
   */
  sshKeyVariable: Schema.optional(
    Schema.String.pipe(
      Schema.pattern(/^[A-Za-z_][A-Za-z0-9_]*$/, {
        message: () => "must be the name of an environment variable, such as DEPLOY_KEY, and not the key itself"
      })
    )
  ),
  /**
   * The client of SSH: deployer's own (`ssh2`), which starts faster, or the system's `ssh` (`openssh`), which also knows certificates, FIDO keys, PKCS#11,
   * GSSAPI and every keyword of ssh_config. With `auto`, deployer uses its own client unless only the system's `ssh` can do it and is installed.
   */
  ssh: Schema.optionalWith(Schema.Literal("auto", "ssh2", "openssh"), { default: () => "auto" as const }),
  /** Added to each release built for this target. */
  tags: Schema.optionalWith(Schema.Array(Tag), { default: () => [] }),
  /** Labels by which a command chooses targets (`where=zone:a`). */
  labels: Schema.optionalWith(Schema.Record({ key: Label, value: Label }), { default: () => ({}) }),
  /** A key of `builders`. Default: the builder with the target's key. */
  builder: Schema.optional(Schema.NonEmptyString),
  /** Runs in the unpacked release before the switch. If it fails, the old release stays current. */
  afterUnpack: Schema.optional(Commands),
  /** Runs in the release after the switch. */
  afterSwitch: Schema.optional(Commands),
  /** Starts the application. Default: `bin/<name> daemon`. */
  start: Schema.optional(oneLine("a command")),
  /** Stops the application. If set, a first release that fails is stopped with it. Default: `bin/<name> stop`, which only `deployer stop` runs. */
  stop: Schema.optional(oneLine("a command")),
  /** Restarts the application. If set, each deployment runs it after `afterSwitch`. Default: `bin/<name> restart`, which only `deployer restart` runs. */
  restart: Schema.optional(oneLine("a command")),
  /** Checked last. With `restart` or `health`, the host goes back to the previous release if any step after the switch fails. */
  health: Schema.optional(Health),
  /** Whether another target may have the same host and path. Both have to say so. */
  sharesPath: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** How many healthy releases of a name stay after each deployment. Default: all. */
  keep: Schema.optional(Schema.Int.pipe(Schema.between(1, 1000))),
  /**
   * Removes files that the login may not remove, such as a cache that the application wrote as another user into a pruned release: a
   * command that gets the path as its last argument, such as `sudo rm -rf`. If undefined, such files stay and are reported once.
   */
  removeWith: Schema.optional(oneLine("a command")),
  /** Whether files shared with other releases on the host are hard links instead of copies. Has no effect with `afterUnpack`. */
  hardLinks: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /**
   * The deployment must be confirmed over a new connection within this time after the switch, plus the timeout of `health`. Otherwise the
   * host goes back by itself.
   */
  deadMan: Schema.optional(Wait),
  /** Whether to refuse a host that can run no program of the release. */
  platformCheck: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  /** The bounded waits. */
  timeouts: Schema.optionalWith(Timeouts, { default: () => defaultTimeouts })
}

/** A target's settings in the config. */
export const TargetSettings = Schema.Struct(targetFields)
/** A target's settings in the config. */
export type TargetSettings = typeof TargetSettings.Type

/** A target of the config with its key. */
export interface Target extends TargetSettings {
  /** The key in `targets`. */
  readonly key: string
}

/** The actions of a target's application. */
export const actions = ["start", "stop", "restart"] as const
/** One of the actions of a target's application. */
export type Action = (typeof actions)[number]

/** The longest command that a sentence holds in full. */
const longestShown = 100

/** A command in a sentence. Of a command of `daemon`, it is the user's own part. */
export const shownCommand = (command: string): string => {
  const shown = /^: ((?:stop )?daemon '(?:[^']|'\\'')*'); /.exec(command)?.[1] ?? command
  return shown.length <= longestShown ? shown : `${shown.slice(0, longestShown)}…`
}

const elixirVerb = { start: "daemon", stop: "stop", restart: "restart" } as const

/** The target's own command for an action, or the default of an Elixir release. It runs in the current release's folder. */
export const actionCommand = (target: Target, action: Action): string =>
  target[action] ?? `bin/${target.name} ${elixirVerb[action]}`

/** The hooks: commands that run in a release's folder during a deployment. */
export const Hook = Schema.Literal("afterUnpack", "afterSwitch", "restart")
/** The hooks: commands that run in a release's folder during a deployment. */
export type Hook = typeof Hook.Type

/** The hook's commands in order. */
export const hookCommands = (target: Target, hook: Hook): ReadonlyArray<string> => {
  const commands = target[hook] ?? []
  return typeof commands === "string" ? [commands] : commands
}

/**
 * Whether a release shares files with others on the host through hard links. Not if commands run in it before the switch: through a shared
 * file they would change the older releases too.
 */
export const sharesFiles = (target: Target): boolean =>
  target.hardLinks && hookCommands(target, "afterUnpack").length === 0

/** Seconds after which the host goes back by itself. Undefined if it does not. */
export const deadManSeconds = ({ deadMan, health }: Target): number | undefined =>
  deadMan === undefined
    ? undefined
    : Math.ceil(Duration.toSeconds(deadMan) + Duration.toSeconds(health?.timeout ?? Duration.zero))

/** Whether a deployment to this target goes back by itself if a step after the switch fails. */
export const goesBack = (target: Target): boolean => target.health !== undefined || target.restart !== undefined

/** `user@host:port` for sentences, without unset or default parts; `this machine` if there is no SSH. */
export const address = (target: Pick<Target, "host" | "port" | "user">): string =>
  target.host === localHost
    ? "this machine"
    : schemeHost(target.host) !== undefined
      ? target.host
      : `${target.user === undefined ? "" : `${target.user}@`}${target.host}${target.port === undefined || target.port === 22 ? "" : `:${target.port}`}`

/** The place of a target's releases, as a key. A path below the login directory is a different place for each user. */
export const placeOf = ({ host, path, port, user }: Pick<Target, "host" | "path" | "port" | "user">): string => {
  const plain = path
    .replaceAll(/\/+/g, "/")
    .replaceAll(/(\/\.)+(?=\/|$)/g, "")
    .replace(/^~\//, "")
    .replace(/(?<=.)\/$/, "")
  return JSON.stringify([host.toLowerCase(), port ?? 22, plain, plain.startsWith("/") ? "" : (user ?? "")])
}
