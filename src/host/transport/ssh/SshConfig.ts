/**
 * Reads the settings of one host from ssh_config, as OpenSSH does. These functions are pure; SshPlace finds and reads the files.
 */
import { matchesHost, matchesPattern } from "./hostPattern.ts"

/** One line with a setting. */
export interface ConfigLine {
  /** The keyword, in lower case. */
  readonly keyword: string
  /** The words after the keyword. They have no quotes, no backslashes before blanks and no comment. */
  readonly words: ReadonlyArray<string>
  /** The text after the keyword, as written. */
  readonly text: string
  /** The files of an `Include`, in order. */
  readonly included: ReadonlyArray<ReadonlyArray<ConfigLine>>
}

/** Parses a file. Leaves `included` empty, for the reader of the files to fill. */
export const parse = (text: string): ReadonlyArray<ConfigLine> =>
  text.split("\n").flatMap((line) => {
    const [, keyword, rest] = /^\s*([^\s="#]+)(?:\s*=\s*|\s+)(\S.*?)\s*$/.exec(line) ?? []
    if (keyword === undefined || rest === undefined) return []
    return [{ keyword: keyword.toLowerCase(), words: wordsOf(rest), text: rest, included: [] }]
  })

const wordsOf = (text: string): ReadonlyArray<string> => {
  const words: Array<string> = []
  let word: string | undefined
  let quote = ""
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    const next = text.charAt(at + 1)
    if (char === "\\" && (/['"\\]/.test(next) || (quote === "" && next === " "))) {
      word = `${word ?? ""}${next}`
      at += 1
    } else if (quote === "" && /\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (quote === "" && word === undefined && char === "#") return words
    else if (quote === "" && /['"]/.test(char)) {
      quote = char
      word ??= ""
    } else if (char === quote) quote = ""
    else word = `${word ?? ""}${char}`
  }
  return word === undefined ? words : [...words, word]
}

/** The requested host. Values given here take precedence over the files. */
export interface Asked {
  readonly host: string
  readonly user?: string | undefined
  readonly port?: number | undefined
  /** Jump hosts, as `ProxyJump` writes them. */
  readonly jump?: string | undefined
}

/** The user and the machine that connect. */
export interface Asker {
  readonly userName: string
  readonly homeDir: string
  /** The name of this machine. */
  readonly machine: string
  readonly variable: (name: string) => string | undefined
}

/** The intermediary of a connection. */
export type Proxy =
  /** One jump host, or several separated by commas, in the order of connection. */
  | { readonly _tag: "Jump"; readonly hosts: string }
  /** A shell command whose standard input and output lead to the host. */
  | { readonly _tag: "Command"; readonly command: string }

/** The settings of one host, with tokens and `~` expanded. A setting is undefined if the files do not contain it. */
export interface HostConfig {
  /** The real name or address of the requested host. */
  readonly hostName: string
  readonly user: string
  readonly port: number | undefined
  readonly identityFiles: ReadonlyArray<string>
  /** A socket, `none`, or `SSH_AUTH_SOCK`. */
  readonly identityAgent: string | undefined
  /** Whether only the keys of the identity files may be offered. */
  readonly identitiesOnly: boolean
  /** The host's name in known_hosts. */
  readonly hostKeyAlias: string | undefined
  /** The user's known_hosts files. An empty list means no files. */
  readonly userKnownHostsFiles: ReadonlyArray<string> | undefined
  readonly globalKnownHostsFiles: ReadonlyArray<string> | undefined
  /** The treatment of an unknown host key. `accept` asks no question. A changed key is always refused. */
  readonly unknownKeys: "ask" | "refuse" | "accept"
  /** The time limit in seconds. All durations of this interface are in seconds. */
  readonly connectTimeout: number | undefined
  readonly aliveInterval: number | undefined
  readonly aliveCountMax: number | undefined
  readonly proxy: Proxy | undefined
  /** Whether the host may prove itself with RSA and SHA-1, as only old hosts do. */
  readonly allowsOldRsa: boolean
  /** Whether a master `ssh` may share its connection to the host. */
  readonly sharesConnections: boolean
  /** The settings that deployer does not follow although the user may rely on them, as written. */
  readonly unfollowed: ReadonlyArray<string>
  /** The `Match` lines whose conditions are not understood, as written. Their blocks are skipped. */
  readonly ignored: ReadonlyArray<string>
}

/** Looks up a host in files. The first value of a keyword counts, but all identity files do. */
export const lookup = (files: ReadonlyArray<ReadonlyArray<ConfigLine>>, asked: Asked, asker: Asker): HostConfig => {
  const found: Found = {
    asked,
    asker,
    values: new Map(),
    identities: new Set(),
    ignored: new Set(),
    proxy: asked.jump === undefined ? undefined : { _tag: "Jump", hosts: asked.jump },
    final: undefined,
    wantsFinal: false
  }
  if (asked.user !== undefined) found.values.set("user", [asked.user])
  if (asked.port !== undefined) found.values.set("port", [String(asked.port)])
  const readAll = () => {
    for (const file of files) read(found, file, true, false)
  }
  readAll()
  if (found.wantsFinal) {
    found.final = resolvedName(found)
    found.values.set("hostname", [found.final])
    readAll()
  }
  return configOf(found)
}

// Reading

/** The settings that apply to the host, from the files read so far. */
interface Found {
  readonly asked: Asked
  readonly asker: Asker
  /** The words of each keyword. */
  readonly values: Map<string, ReadonlyArray<string>>
  readonly identities: Set<string>
  /** `Match` lines that are not understood. */
  readonly ignored: Set<string>
  proxy: Proxy | undefined
  /** The resolved name, which `Host` matches in the second round. Undefined in the first round. */
  final: string | undefined
  /** Whether a `Match final` requests the second round. */
  wantsFinal: boolean
}

const first = ({ values }: Found, keyword: string): string | undefined => values.get(keyword)?.[0]

const hostName = (found: Found): string => {
  const set = first(found, "hostname")
  return set === undefined ? found.asked.host : expand(set, { h: found.asked.host })
}

const resolvedName = (found: Found): string => found.final ?? hostName(found).toLowerCase()

/** Reads lines. `never` means that the including line is inactive, so that none of these lines applies. */
const read = (found: Found, lines: ReadonlyArray<ConfigLine>, applies: boolean, never: boolean): void => {
  let active = applies
  for (const line of lines) {
    if (line.keyword === "host") active = !never && matchesPattern(line.words, found.final ?? found.asked.host)
    else if (line.keyword === "match") active = matches(found, line, never) && !never
    else if (line.keyword === "include") for (const file of line.included) read(found, file, active, never || !active)
    else if (active) take(found, line)
  }
}

/** Takes the setting of an active line, unless an earlier line sets it. */
const take = (found: Found, { keyword, text, words }: ConfigLine): void => {
  const { identities, proxy, values } = found
  if (words[0] === undefined) return
  // OpenSSH treats that value as unset.
  if (keyword === "connecttimeout" && words[0] === "none") return
  if (keyword === "identityfile") identities.add(words[0])
  else if (keyword === "proxyjump") found.proxy ??= { _tag: "Jump", hosts: text.replace(/\s*#.*$/, "") }
  else if (keyword === "proxycommand") {
    // Only a command may follow "ProxyJump none".
    if (proxy === undefined || (proxy._tag === "Jump" && isNone(proxy.hosts))) {
      found.proxy = { _tag: "Command", command: text }
    }
  } else if (!values.has(keyword)) values.set(keyword, words)
}

/** Whether a `Match` line fits the host. Evaluates inactive lines (`never`) too, because they may still request the second round. */
const matches = (found: Found, { text }: ConfigLine, never: boolean): boolean => {
  const words = Array.from(text.matchAll(/"([^"]*)"|([^\s="]+)/g), ([, quoted, plain]) => quoted ?? plain ?? "")
  const comment = words.findIndex((word) => word.startsWith("#"))
  const left = comment < 0 ? words : words.slice(0, comment)
  let result = true
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    const negated = word.startsWith("!")
    const criterion = word.slice(negated ? 1 : 0).toLowerCase()
    const holds = fits(found, criterion, left)
    if (holds === undefined) {
      if (result && !never) found.ignored.add(`Match ${text}`)
      return false
    }
    if (holds === negated) result = false
  }
  return result
}

/** Whether the host fits a criterion. Takes the criterion's argument from the words that are `left`. Undefined for an unknown criterion. */
const fits = (found: Found, criterion: string, left: Array<string>): boolean | undefined => {
  const { asked, asker, final } = found
  if (criterion === "all") return left.length === 0
  if (criterion === "canonical" || criterion === "final") {
    found.wantsFinal ||= criterion === "final"
    return final !== undefined
  }
  const patterns = left.shift()?.split(",")
  if (patterns === undefined) return undefined
  switch (criterion) {
    case "host":
      return matchesHost(patterns, resolvedName(found))
    case "originalhost":
      return matchesHost(patterns, asked.host.toLowerCase())
    case "user":
      return matchesPattern(patterns, first(found, "user") ?? asker.userName)
    case "localuser":
      return matchesPattern(patterns, asker.userName)
    default:
      return undefined
  }
}

// Settings

/** The settings that were found, with their tokens expanded. */
const configOf = (found: Found): HostConfig => {
  const { asked, asker, identities, ignored, proxy, values } = found
  const host = resolvedName(found)
  const port = portOf(first(found, "port"))
  const user = first(found, "user") ?? asker.userName
  const alias = first(found, "hostkeyalias")?.toLowerCase()
  const near = { h: host, n: asked.host, p: String(port ?? 22), r: user }
  const { homeDir, machine, userName } = asker
  const short = machine.split(".")[0] ?? machine
  const all = { ...near, d: homeDir, k: alias ?? asked.host, L: short, l: machine, u: userName }
  const path = (text: string) => {
    const whole = text.replace(/\$\{([^}]*)\}/g, (written, name) => asker.variable(name) ?? written)
    return underHome(expand(whole, all), homeDir)
  }
  const paths = (keyword: string) =>
    values
      .get(keyword)
      ?.filter((word) => !isNone(word))
      .map(path)
  const agent = first(found, "identityagent")
  const strict = first(found, "stricthostkeychecking")?.toLowerCase() ?? "ask"
  return {
    hostName: host,
    user,
    port,
    identityFiles: [...identities].map((file) => (isNone(file) ? file : path(file))),
    identityAgent:
      agent === undefined || agent === "SSH_AUTH_SOCK" || isNone(agent)
        ? agent
        : agent.startsWith("$") && !agent.startsWith("${")
          ? asker.variable(agent.slice(1))
          : path(agent),
    identitiesOnly: /^(yes|true)$/i.test(first(found, "identitiesonly") ?? ""),
    hostKeyAlias: alias,
    userKnownHostsFiles: paths("userknownhostsfile"),
    globalKnownHostsFiles: paths("globalknownhostsfile"),
    unknownKeys: /^(yes|true)$/.test(strict) ? "refuse" : /^(no|false|off|accept-new)$/.test(strict) ? "accept" : "ask",
    connectTimeout: secondsOf(first(found, "connecttimeout")),
    aliveInterval: secondsOf(first(found, "serveraliveinterval")),
    aliveCountMax: numberOf(first(found, "serveralivecountmax")),
    proxy: proxyOf(proxy, near),
    allowsOldRsa: values.get("hostkeyalgorithms")?.some((list) => /(^|[+^,])ssh-rsa(,|$)/.test(list)) === true,
    sharesConnections: !isNone(first(found, "controlpath") ?? "none"),
    unfollowed: [...missed].flatMap(([keyword, name]) => {
      const value = first(found, keyword)
      return value === undefined || /^(no|none|any|false)$/i.test(value) ? [] : [`${name} ${value}`]
    }),
    ignored: [...ignored]
  }
}

/**
 * Settings that need a warning: without them, deployer makes a different connection, or none. Lists of algorithms need no warning, because many systems
 * set them for all hosts.
 */
const missed: ReadonlyMap<string, string> = new Map(
  [
    "AddressFamily",
    "BindAddress",
    "BindInterface",
    "CanonicalizeHostname",
    "CertificateFile",
    "HostbasedAuthentication",
    "KnownHostsCommand",
    "PKCS11Provider",
    "ProxyUseFdpass",
    "RefuseConnection",
    "RevokedHostKeys"
  ].map((name) => [name.toLowerCase(), name])
)

const isNone = (text: string) => text.toLowerCase() === "none"

const proxyOf = (proxy: Proxy | undefined, tokens: Readonly<Record<string, string>>): Proxy | undefined => {
  switch (proxy?._tag) {
    case undefined:
      return undefined
    case "Jump":
      return isNone(proxy.hosts) ? undefined : { _tag: "Jump", hosts: expand(proxy.hosts, tokens) }
    case "Command":
      return isNone(proxy.command) ? undefined : { _tag: "Command", command: expand(proxy.command, tokens) }
  }
}

const expand = (text: string, tokens: Readonly<Record<string, string>>): string =>
  text.replace(/%(.)/g, (token, letter) => (letter === "%" ? "%" : (tokens[letter] ?? token)))

/** Replaces a `~` at the beginning of a path with the home directory. */
export const underHome = (path: string, homeDir: string): string =>
  path === "~" || path.startsWith("~/") ? homeDir + path.slice(1) : path

const numberOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined

const portOf = (text: string | undefined): number | undefined => {
  const port = numberOf(text)
  return port !== undefined && port > 0 && port < 65536 ? port : undefined
}

const secondsIn = new Map([
  ["", 1],
  ["s", 1],
  ["m", 60],
  ["h", 3600],
  ["d", 86_400],
  ["w", 604_800]
])

/** The seconds of a duration such as `90` or `1m30s`. */
const secondsOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^(?:[0-9]{1,9}[smhdw]?)+$/i.test(text)
    ? Array.from(text.toLowerCase().matchAll(/([0-9]+)([smhdw]?)/g)).reduce(
        (total, [, amount, unit]) => total + Number(amount) * (secondsIn.get(unit ?? "") ?? 1),
        0
      )
    : undefined

/** A jump host. */
export interface Hop {
  readonly host: string
  readonly user: string | undefined
  readonly port: number | undefined
  /** The jump hosts before it. If undefined, the files decide. */
  readonly jump: string | undefined
}

/** The last of the jump hosts, which connects to the target. Undefined if it cannot be parsed. */
export const lastHop = (hosts: string): Hop | undefined => {
  const comma = hosts.lastIndexOf(",")
  const spec = hosts.slice(comma + 1).trim()
  const [, user, bracketed, plain, port] =
    /^(?:ssh:\/\/)?(?:(.+)@)?(?:\[([^\]]+)\]|([^[\]:@/]+))(?::([0-9]+))?\/?$/.exec(spec) ?? []
  const host = bracketed ?? plain
  if (host === undefined || (port !== undefined && portOf(port) === undefined)) return undefined
  return { host, user, port: portOf(port), jump: comma < 0 ? undefined : hosts.slice(0, comma).trim() }
}
