/**
 * Resolves a host's name for SSH, with the ssh_config files and the environment.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { warn } from "../../../terminal/Reporter.ts"
import * as SshConfig from "./SshConfig.ts"
import { SshSettings } from "./SshSettings.ts"

/** A resolved host, and the settings of a connection to it. */
export interface Place {
  readonly host: string
  readonly port: number
  readonly user: string
  /** The host's name in known_hosts. With a `HostKeyAlias`, the port is 22, because known_hosts has the alias without a port. */
  readonly knownAs: { readonly host: string; readonly port: number }
  /** The user's known_hosts files. New keys are appended to the first one. */
  readonly knownHostsFiles: ReadonlyArray<string>
  readonly globalKnownHostsFiles: ReadonlyArray<string>
  readonly unknownKeys: SshConfig.HostConfig["unknownKeys"]
  readonly allowsOldRsa: boolean
  readonly agentSocket: string | undefined
  /** Whether the agent may offer keys that are in none of the files. */
  readonly wholeAgent: boolean
  /** Private keys. The paths of files are absolute. */
  readonly keys: ReadonlyArray<NamedKey>
  /** Whether the target names its key. If so, the key must be usable, and a question about it is expected. */
  readonly named: boolean
  /** The time limit in seconds. Undefined if the files do not set it. */
  readonly connectTimeout: number | undefined
  /** The time between two signs of life in milliseconds, and the number of missing ones after which the connection counts as lost. */
  readonly keepAlive: number
  readonly keepAliveCount: number
  readonly proxy: SshConfig.Proxy | undefined
  /** Whether a master `ssh` may share its connection to the host. */
  readonly sharesConnections: boolean
  /** The lines that deployer's own SSH does not follow, with their place. */
  readonly unfollowed: ReadonlyArray<string>
}

/** A private key that a target names: a file (an absolute path or one with `~`), or the text in a variable. */
export type NamedKey =
  | { readonly _tag: "File"; readonly file: string }
  | { readonly _tag: "Variable"; readonly variable: string; readonly content: Redacted.Redacted<string> }

/** Warns only once, although one run connects many times. */
export const warnOnce = (text: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { warnings } = (yield* SshSettings).remembered
    if (warnings.has(text)) return
    warnings.add(text)
    yield* warn(text)
  })

/** Resolves a host with the files and the environment. */
export const findPlace = (
  asked: SshConfig.Asked & { readonly key?: NamedKey | undefined }
): Effect.Effect<Place, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const settings = yield* SshSettings
    const { agentSocket, homeDir, workingDir } = settings
    const config = SshConfig.lookup(yield* readConfigs, asked, settings)
    const { hostKeyAlias, hostName, identityAgent = "SSH_AUTH_SOCK", identityFiles, port = 22 } = config
    // Relative paths start in the working directory, as with ssh.
    const relative = (path: string) => (path.startsWith("/") ? path : `${workingDir}/${path}`)
    const usual = ["id_ed25519", "id_ecdsa", "id_rsa"].map((name) => `${homeDir}/.ssh/${name}`)
    const configured = identityFiles.filter((file) => file.toLowerCase() !== "none").map(relative)
    return {
      host: hostName,
      port,
      user: config.user,
      knownAs: hostKeyAlias === undefined ? { host: hostName, port } : { host: hostKeyAlias, port: 22 },
      knownHostsFiles: (config.userKnownHostsFiles ?? [settings.knownHostsFile]).map(relative),
      globalKnownHostsFiles: config.globalKnownHostsFiles ?? settings.globalKnownHostsFiles,
      unknownKeys: config.unknownKeys,
      allowsOldRsa: config.allowsOldRsa,
      agentSocket:
        identityAgent === "SSH_AUTH_SOCK"
          ? agentSocket
          : identityAgent.toLowerCase() === "none"
            ? undefined
            : relative(identityAgent),
      wholeAgent: asked.key === undefined && !config.identitiesOnly,
      keys:
        asked.key === undefined
          ? (identityFiles.length > 0 ? configured : usual).map((file) => ({ _tag: "File", file }))
          : [
              asked.key._tag === "File"
                ? { _tag: "File", file: SshConfig.underHome(asked.key.file, homeDir) }
                : asked.key
            ],
      named: asked.key !== undefined,
      connectTimeout: config.connectTimeout,
      // Without signs of life, nobody would notice a dead connection. So 0 means the default.
      keepAlive: config.aliveInterval ? config.aliveInterval * 1000 : Duration.toMillis(settings.keepAlive),
      keepAliveCount: config.aliveCountMax || 3,
      proxy: config.proxy,
      sharesConnections: config.sharesConnections,
      unfollowed: [
        ...config.ignored.map((line) => `"${line}" in ${settings.configFile}`),
        ...config.unfollowed.map((setting) => `"${setting}" in ssh_config for ${asked.host}`)
      ]
    }
  })

// The files

/** The maximum depth of includes, as in OpenSSH. */
const deepest = 16

/** Reads the user's file and the machine's, with all the files that they include. */
export const readConfigs: Effect.Effect<
  ReadonlyArray<ReadonlyArray<SshConfig.ConfigLine>>,
  never,
  FileSystem.FileSystem
> = Effect.gen(function* () {
  const { configFile, globalConfigFile, homeDir } = yield* SshSettings
  const mine = yield* readConfig(configFile, `${homeDir}/.ssh`, homeDir, [])
  return [mine, yield* readConfig(globalConfigFile, "/etc/ssh", homeDir, [])]
})

/** Reads one file. `above` are the files that include this one. */
const readConfig = (
  file: string,
  folder: string,
  homeDir: string,
  above: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<SshConfig.ConfigLine>, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    if (above.includes(file) || above.length > deepest) {
      yield* warn(`${above.at(-1)} includes ${file}, which includes it again: the second time, deployer ignores it`)
      return []
    }
    const lines = SshConfig.parse(yield* readIfThere(file))
    return yield* Effect.forEach(lines, (line) =>
      line.keyword !== "include"
        ? Effect.succeed(line)
        : Effect.gen(function* () {
            const files = yield* Effect.forEach(line.words, (word) => {
              const path = SshConfig.underHome(word, homeDir)
              return filesOf(path.startsWith("/") ? path : `${folder}/${path}`)
            })
            const included = yield* Effect.forEach(files.flat(), (one) =>
              readConfig(one, folder, homeDir, [...above, file])
            )
            return { ...line, included }
          })
    )
  })

/** The files that match a path with `*`, `?` and `[…]`, sorted by name. */
const filesOf = (path: string): Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem> =>
  path
    .split("/")
    .slice(1)
    .reduce<Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem>>(
      (before, part) =>
        Effect.flatMap(before, (folders) =>
          /[*?[]/.test(part)
            ? Effect.map(
                Effect.forEach(folders, (folder) => namesIn(folder, part)),
                (found) => found.flat()
              )
            : Effect.succeed(folders.map((folder) => `${folder}/${part}`))
        ),
      Effect.succeed([""])
    )

const namesIn = (folder: string, pattern: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const fits = globOf(pattern)
    const names = yield* Effect.orElseSucceed(fs.readDirectory(folder === "" ? "/" : folder), () => [])
    return names
      .filter((name) => fits.test(name) && (pattern.startsWith(".") || !name.startsWith(".")))
      .sort()
      .map((name) => `${folder}/${name}`)
  })

const globOf = (pattern: string): RegExp => {
  const text = pattern.replace(/\[([!^]?)([^\]]+)\]|[*?]|[.+^${}()|[\]\\]/g, (part, not?: string, set?: string) => {
    if (part === "*") return ".*"
    if (part === "?") return "."
    return set === undefined ? `\\${part}` : `[${not ? "^" : ""}${set.replace(/[\\\]^]/g, "\\$&")}]`
  })
  return new RegExp(`^${text}$`, "s")
}

/** The text of an optional file. Empty if the file is missing. Empty, with a warning, if it cannot be read. */
export const readIfThere = (file: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* fs
      .readFileString(file)
      .pipe(
        Effect.catchAll((error) =>
          isMissing(error)
            ? Effect.succeed("")
            : Effect.as(warnOnce(`deployer ignores ${file}, because it cannot be read: ${error.message}`), "")
        )
      )
  })

/** Whether a file does not exist. */
export const isMissing = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"
