/**
 * The known_hosts file: the keys that a host may show. These functions are pure; the SSH transport reads and writes the file.
 */
import { matchesHost } from "./hostPattern.ts"
import { fingerprint, isHashOf, type PublicKey, publicKeyOf } from "./keys.ts"

export { fingerprint, type PublicKey } from "./keys.ts"

/** One usable line of a known_hosts file. */
export interface KnownHost {
  /** Patterns with `*`, `?` and a leading `!`, or one hashed name. */
  readonly patterns: ReadonlyArray<string>
  /** `revoked`: the key must never be accepted. */
  readonly revoked: boolean
  readonly key: PublicKey
}

/**
 * The verdict of a file on a key that a host shows. `changed`: the host is known, but not with this key. A key of another type counts as changed too:
 * otherwise an attacker in between could show a key of another type, and the user would get a question instead of a refusal.
 */
export type Verdict = "known" | "unknown" | "changed" | "revoked"

/** Algorithms by which a host can prove its key, in the order of preference for an unknown host. */
const algorithms = [
  { keyType: "ssh-ed25519", names: ["ssh-ed25519"] },
  { keyType: "ecdsa-sha2-nistp256", names: ["ecdsa-sha2-nistp256"] },
  { keyType: "ecdsa-sha2-nistp384", names: ["ecdsa-sha2-nistp384"] },
  { keyType: "ecdsa-sha2-nistp521", names: ["ecdsa-sha2-nistp521"] },
  { keyType: "ssh-rsa", names: ["rsa-sha2-512", "rsa-sha2-256"] }
] as const

/** The name of a host key algorithm. */
export type HostKeyAlgorithm = (typeof algorithms)[number]["names"][number]

/** Parses a file. Skips comments, lines about certificate authorities, and invalid lines. */
export const parse = (text: string): ReadonlyArray<KnownHost> => text.split("\n").flatMap(parseLine)

const parseLine = (line: string): ReadonlyArray<KnownHost> => {
  const words = line.trim().split(/[ \t]+/)
  const marker = words[0]?.startsWith("@") === true ? words[0] : undefined
  const [names, type, blob] = marker === undefined ? words : words.slice(1)
  if (names === undefined || names === "" || names.startsWith("#") || blob === undefined) return []
  if (marker !== undefined && marker !== "@revoked") return []
  const key = publicKeyOf(Buffer.from(blob, "base64"))
  if (key === undefined || key.type !== type) return []
  return [{ patterns: names.split(","), revoked: marker !== undefined, key }]
}

/** Whether a file trusts a certificate authority for a host. Such lines are not parsed, because ssh2 knows no certificates. */
export const hasAuthority = (text: string, host: string, port: number): boolean =>
  text.split("\n").some((line) => {
    const [marker, names = ""] = line.trim().split(/[ \t]+/)
    return marker === "@cert-authority" && matchesHost(names.split(","), hostName(host, port))
  })

/** A host as known_hosts names it: `host`, or `[host]:port` if the port is not 22. */
export const hostName = (host: string, port: number): string =>
  port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`

const matches = (entry: KnownHost, name: string): boolean =>
  entry.patterns.some((pattern) => isHashOf(pattern, name)) || matchesHost(entry.patterns, name)

const isUsable = (entry: KnownHost) => algorithms.some((algorithm) => algorithm.keyType === entry.key.type)

const accepted = (entries: ReadonlyArray<KnownHost>, name: string) =>
  entries.filter((entry) => !entry.revoked && isUsable(entry) && matches(entry, name))

const isSame = (a: PublicKey, b: PublicKey) => a.type === b.type && a.blob === b.blob

/** Judges the key that a host shows. An entry without a port counts for other ports only if it has the same key, as with `ssh`. */
export const judge = (entries: ReadonlyArray<KnownHost>, host: string, port: number, key: PublicKey): Verdict => {
  const name = hostName(host, port)
  const bare = hostName(host, 22)
  const revoked = entries.some(
    (entry) => entry.revoked && isSame(entry.key, key) && (matches(entry, name) || matches(entry, bare))
  )
  if (revoked) return "revoked"
  const known = accepted(entries, name)
  if (known.some((entry) => isSame(entry.key, key))) return "known"
  if (known.length > 0) return "changed"
  return accepted(entries, bare).some((entry) => isSame(entry.key, key)) ? "known" : "unknown"
}

/** The algorithms to offer. Those of the host's known keys come first, so that the host shows a known key. */
export const preferredAlgorithms = (
  entries: ReadonlyArray<KnownHost>,
  host: string,
  port: number
): ReadonlyArray<HostKeyAlgorithm> => {
  const exact = accepted(entries, hostName(host, port))
  const known = exact.length > 0 ? exact : accepted(entries, hostName(host, 22))
  const isKnown = (algorithm: (typeof algorithms)[number]) =>
    known.some((entry) => entry.key.type === algorithm.keyType)
  return [...algorithms.filter(isKnown), ...algorithms.filter((algorithm) => !isKnown(algorithm))].flatMap(
    (algorithm) => algorithm.names
  )
}

/** Whether a host proves that key with that algorithm. */
export const proves = (name: HostKeyAlgorithm, key: PublicKey): boolean =>
  algorithms.some((algorithm) => algorithm.keyType === key.type && algorithm.names.some((other) => other === name))

/** The line to append for a key that the user accepted, without a newline. */
export const line = (host: string, port: number, key: PublicKey): string =>
  `${hostName(host, port)} ${key.type} ${key.blob}`

/** The common name of a key's type, with its fingerprint: `ED25519 SHA256:…`. */
export const describe = (key: PublicKey): string => {
  const kind = /^ecdsa-/.test(key.type) ? "ECDSA" : key.type.replace(/^ssh-/, "").toUpperCase()
  return `${kind} ${fingerprint(key)}`
}
