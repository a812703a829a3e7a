/**
 * The configuration of the system's `ssh`. The file is also used by the `ssh` that leads over a jump host. So everything that concerns the target alone
 * stands in options of the master's command line.
 */
import { join } from "node:path"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { quote } from "../../Transport.ts"
import type { Login } from "../SshConnection.ts"
import { SshSettings } from "../SshSettings.ts"

/** A host key that `ssh` was shown. */
export interface ShownKey {
  /** `SHA256:…` */
  readonly fingerprint: string
  /** As in known_hosts: `ssh-ed25519`. */
  readonly type: string
  /** The host's name in known_hosts: `host` or `[host]:port`. */
  readonly knownAs: string
}

/** The files for one host in a private folder. */
export interface Files {
  readonly folder: string
  /** The configuration. */
  readonly config: string
  /** The master's socket. */
  readonly socket: string
  /** The options for the target alone. */
  readonly options: ReadonlyArray<string>
  /** The last host key that `ssh` was shown, if any. */
  readonly shownKey: Effect.Effect<ShownKey | undefined>
  /** Removes the private key of a variable. */
  readonly forgetKey: Effect.Effect<void>
}

const text = (words: string): string => `"${words.replaceAll(/["\\]/g, "\\$&")}"`

/** Switches off features that are for other uses of `ssh`. They come first, because `ssh` takes the first value of each keyword. */
const fixed: ReadonlyArray<string> = [
  "ControlPersist no",
  "RemoteCommand none",
  "RequestTTY no",
  "ClearAllForwardings yes",
  "PermitLocalCommand no",
  "ForwardX11 no",
  "ForwardAgent no",
  "LogLevel INFO",
  "EscapeChar none",
  "Tunnel no"
]

/** Writes the files for a host. */
export const writeFiles = (login: Login, folder: string): Effect.Effect<Files, PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const settings = yield* SshSettings
    const fs = yield* FileSystem.FileSystem
    const { asked, hostKey, timeout } = login
    const shown = join(folder, "shown")
    const recorder = join(folder, "record")
    const record = `#!/bin/sh\n[ "$1" = HOSTNAME ] || exit 0\nprintf "%s %s %s\\n" "$2" "$3" "$4" >>${quote(shown)}\n`
    yield* fs.writeFileString(recorder, record, { mode: 0o700 })
    const options: Array<string> = []
    if (asked.user !== undefined) options.push(`User ${text(asked.user)}`)
    if (asked.port !== undefined) options.push(`Port ${asked.port}`)
    if (asked.jump !== undefined) options.push(`ProxyJump ${asked.jump}`)
    if (timeout !== undefined) options.push(`ConnectTimeout ${Math.ceil(Duration.toSeconds(timeout))}`)
    const key = join(folder, "key")
    if (asked.key?._tag === "Variable")
      yield* fs.writeFileString(key, Redacted.value(asked.key.content), { mode: 0o600 })
    if (asked.key !== undefined)
      options.push(`IdentityFile ${text(asked.key._tag === "File" ? asked.key.file : key)}`, "IdentitiesOnly yes")
    if (hostKey !== undefined) {
      const program = join(folder, "pinned")
      const known = `[ "$2" = ${quote(hostKey)} ] && printf "%s %s %s\\n" "$4" "$3" "$5"\nexit 0\n`
      yield* fs.writeFileString(program, `${record}${known}`, { mode: 0o700 })
      options.push(`KnownHostsCommand ${program} %I %f %t %H %K`, "StrictHostKeyChecking yes")
      options.push("UserKnownHostsFile none", "GlobalKnownHostsFile none")
    }
    const config = join(folder, "config")
    const lines = [
      "Host *",
      ...fixed,
      `Include ${text(settings.configFile)} ${text(settings.globalConfigFile)}`,
      "Host *",
      `ServerAliveInterval ${Math.ceil(Duration.toSeconds(settings.keepAlive))}`,
      "ConnectTimeout 15",
      `UserKnownHostsFile ${text(settings.knownHostsFile)}`,
      // Before OpenSSH 8.5, this keyword is unknown.
      "IgnoreUnknown KnownHostsCommand",
      `KnownHostsCommand ${recorder} %I %f %t %H`,
      ...(settings.agentSocket === undefined ? [] : [`IdentityAgent ${text(settings.agentSocket)}`]),
      ""
    ]
    yield* fs.writeFileString(config, lines.join("\n"), { mode: 0o600 })
    return {
      folder,
      config,
      socket: join(folder, "master"),
      options: options.flatMap((option) => ["-o", option]),
      shownKey: Effect.map(
        Effect.orElseSucceed(fs.readFileString(shown), () => ""),
        lastKey
      ),
      forgetKey: Effect.ignore(fs.remove(key, { force: true }))
    }
  })

const lastKey = (lines: string): ShownKey | undefined => {
  const [fingerprint, type, knownAs] = lines.trimEnd().split("\n").at(-1)?.split(" ") ?? []
  return fingerprint === undefined || type === undefined || knownAs === undefined
    ? undefined
    : { fingerprint, type, knownAs }
}

/** The option that makes `ssh` accept no host key of these types, so that the host shows another one. */
export const withoutTypes = (types: ReadonlyArray<string>): ReadonlyArray<string> =>
  types.length === 0
    ? []
    : [
        "-o",
        `HostKeyAlgorithms -*-cert-v01@openssh.com,${types.map((type) => (type === "ssh-rsa" ? "ssh-rsa,rsa-sha2-*" : type)).join(",")}`
      ]
