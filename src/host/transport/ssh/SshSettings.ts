/**
 * The SSH settings of the user's environment.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import { environment } from "./ssh2.ts"

const globalKnownHostsFiles: ReadonlyArray<string> = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]

/** The user's answers so far. One run connects more than once, but asks nothing twice. */
export interface Remembered {
  /** Passphrases that opened private keys, by the text of the key file. */
  readonly passphrases: Map<string, Redacted.Redacted<string>>
  /** Lines of known_hosts for the keys that the user accepted, including lines that could not be written. */
  readonly hostKeys: Set<string>
  /** Warnings that the user has seen, so that each appears only once. */
  readonly warnings: Set<string>
}

/** Makes an empty memory. */
export const makeRemembered = (): Remembered => ({ passphrases: new Map(), hostKeys: new Set(), warnings: new Set() })

/** The SSH settings of the user's environment. */
export class SshSettings extends Context.Reference<SshSettings>()("deployer/SshSettings", {
  defaultValue: () => {
    const { agentSocket, homeDir, machine, userName, variable, workingDir } = environment()
    return {
      /** The home directory, for `~` and for `.ssh`. */
      homeDir,
      /** The folder in which relative paths of ssh_config start. */
      workingDir,
      /** The login for targets that name no user. */
      userName,
      /** The name of this machine. */
      machine,
      /** A variable of the environment. */
      variable,
      /** The user's ssh_config, for all settings that a target does not set. */
      configFile: `${homeDir}/.ssh/config`,
      /** The machine's ssh_config, for all settings that neither the target nor the user's file sets. */
      globalConfigFile: "/etc/ssh/ssh_config",
      /** The socket of ssh-agent. Undefined if there is none. */
      agentSocket,
      /** The user's known_hosts, unless ssh_config names other files. Keys that the user accepts are appended to it. */
      knownHostsFile: `${homeDir}/.ssh/known_hosts`,
      /** The machine's known_hosts files. They are never changed. */
      globalKnownHostsFiles,
      /** The time between two signs of life, unless ssh_config sets it. After three missing ones in a row, the connection counts as lost. */
      keepAlive: Duration.seconds(5),
      /** The time that a host may take to begin a script. A login shell that waits for something never begins it. */
      firstAnswer: Duration.seconds(30),
      remembered: makeRemembered()
    }
  }
}) {}
