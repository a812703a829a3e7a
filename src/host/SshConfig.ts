/**
 * The user's `~/.ssh/config`: what it says about a host. Pure. `Match` blocks and `Include` are left out.
 */
import { matchesHost } from "../internal/hostPattern.ts"

/** What the file says about one host; absent where it says nothing. */
export interface HostConfig {
  /** The real name or address behind the name on the command line. */
  readonly hostName: string | undefined
  readonly user: string | undefined
  readonly port: number | undefined
  /** As written: with `~` and `%` tokens. */
  readonly identityFiles: ReadonlyArray<string>
  /** A socket as written, `none`, or `SSH_AUTH_SOCK`. */
  readonly identityAgent: string | undefined
  /** Whether other keys than the identity files' must not be offered. */
  readonly identitiesOnly: boolean
  /** The jump host or proxy command that is asked for; there is no support for either. */
  readonly proxy: string | undefined
}

/** Reads what a file says about `host`. The first value of a keyword counts; identity files add up. */
export const lookup = (text: string, host: string): HostConfig => {
  const values = new Map<string, ReadonlyArray<string>>()
  let applies = true
  for (const line of text.split("\n")) {
    const [, word = "", rest = ""] = /^\s*([A-Za-z]+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line) ?? []
    const keyword = word.toLowerCase()
    const words = Array.from(rest.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? "")
    if (keyword === "host") {
      applies = matchesHost(words, host.toLowerCase())
    } else if (keyword === "match") {
      applies = words.length === 1 && words[0]?.toLowerCase() === "all"
    } else if (applies && words.length > 0) {
      const before = values.get(keyword)
      if (before === undefined) values.set(keyword, words)
      else if (keyword === "identityfile") values.set(keyword, [...before, ...words])
    }
  }
  const first = (keyword: string) => values.get(keyword)?.[0]
  const port = Number(first("port"))
  const proxy = first("proxyjump") ?? first("proxycommand")
  return {
    hostName: first("hostname")?.replaceAll("%h", host),
    user: first("user"),
    port: Number.isInteger(port) && port > 0 && port < 65536 ? port : undefined,
    identityFiles: values.get("identityfile") ?? [],
    identityAgent: first("identityagent"),
    identitiesOnly: first("identitiesonly")?.toLowerCase() === "yes",
    proxy: proxy?.toLowerCase() === "none" ? undefined : proxy
  }
}
