/**
 * The reasons for which the system's `ssh` fails, as its words tell them.
 */
import { AuthenticationFailed, type ConnectFailure, HostKeyRejected } from "../../../RemoteHost.ts"
import { Disconnected } from "../Connection.ts"
import type { Login } from "../SshConnection.ts"
import type { ShownKey } from "./settings.ts"

/** The remedy if the machine has no `ssh`. */
export const notInstalled = "the program ssh cannot be started: install OpenSSH's client"

const tooOld = ': "hostKey" of a target needs OpenSSH 8.5 or newer on this machine'

const linesOf = (words: string): ReadonlyArray<string> =>
  words
    .split("\n")
    .map((line) => line.replaceAll(/[\s\p{C}]+/gu, " ").trim())
    .filter((line) => line !== "")

/** Only says that the connection ended. Lines before such a line may say why. */
const isFarewell = (line: string): boolean =>
  /^(kex_exchange_identification:|ssh_exchange_identification:|Connection (closed|reset) by |stdio forwarding failed)/.test(
    line
  )

/** The last line that gives a reason. */
export const lastLine = (words: string): string => {
  const lines = linesOf(words)
  return lines.filter((line) => !isFarewell(line)).at(-1) ?? lines.at(-1) ?? "ssh gave no reason"
}

/** Ends the words if the way to the host failed: a proxy has no address. */
const wayEnded = /(closed|reset) by UNKNOWN port 65535/

/** Whether the host, or a jump host, ended the connection before it said anything, as a busy sshd does (`MaxStartups`). */
const isBusy = (words: string): boolean => /_exchange_identification: /.test(words) && linesOf(words).every(isFarewell)

const reasons: ReadonlyArray<readonly [words: RegExp, reason: Disconnected["reason"]]> = [
  [/bad configuration option|terminating, \d+ bad config|cannot be started|too long for unix domain/i, "openssh"],
  [wayEnded, "proxy"],
  [/could not resolve/i, "unknown-name"],
  [/refused|no route|unreachable/i, "refused"],
  [/timed out|not responding/i, "timeout"],
  [/unable to negotiate/i, "protocol"],
  [/reset|closed|broken pipe/i, "lost"]
]

/** The files that a login consulted. */
export interface Consulted {
  /** The last host key that `ssh` was shown, if any. */
  readonly shown: ShownKey | undefined
  /** The user's known_hosts file for the target. */
  readonly knownHosts: string
}

/** The failure of a login, from the words of `ssh`. */
export const failureOf = (login: Login, words: string, consulted: Consulted): ConnectFailure | Disconnected => {
  const { shown } = consulted
  const isJumpHost = login.isJumpHost === true || wayEnded.test(words)
  if (shown !== undefined && /host key verification failed|HOST KEY DETECTED/i.test(words))
    return rejected(login, words, shown, isJumpHost ? "known_hosts" : consulted.knownHosts, isJumpHost)
  const denied = /(?:^|\n)(?:(\S+@\S+): )?(?:Permission denied|.*too many authentication failures)/i.exec(words)
  if (denied !== null) {
    const methods = /\(([a-z,-]+)\)/.exec(words)?.[1]?.split(",") ?? []
    return new AuthenticationFailed({
      address: wayEnded.test(words) ? (denied[1] ?? login.address) : login.address,
      tried: [],
      detail: linesOf(denied.input.slice(denied.index))[0] ?? "",
      ...(methods.length > 0 ? { methods } : {})
    })
  }
  const reason = reasons.find(([pattern]) => pattern.test(words))?.[1] ?? "openssh"
  const remedy = /bad configuration option: knownhostscommand/i.test(words) ? tooOld : ""
  return new Disconnected({ reason, detail: `${lastLine(words)}${remedy}`, isBusy: isBusy(words) })
}

const rejected = (
  { address, hostKey }: Login,
  words: string,
  shown: ShownKey,
  knownHosts: string,
  isJumpHost: boolean
) => {
  const isOwn = !isJumpHost && hostKey !== undefined
  const [, file = knownHosts] = /(?:Offending \S+ key in|Add correct host key in) ([^\s:]+)/.exec(words) ?? []
  return new HostKeyRejected({
    address: isJumpHost ? shown.knownAs : address,
    reason: isOwn
      ? "pinned"
      : /REVOKED HOST KEY/.test(words)
        ? "revoked"
        : /IDENTIFICATION HAS CHANGED/.test(words)
          ? "changed"
          : "unknown",
    keyType: shown.type,
    fingerprint: shown.fingerprint,
    file,
    knownAs: shown.knownAs,
    ...(isOwn ? { pinned: hostKey } : {}),
    ...(isJumpHost ? { isJumpHost } : {})
  })
}
