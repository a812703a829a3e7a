/**
 * The SSH settings of the user's environment.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import { environment } from "./ssh2.ts"

const globalKnownHostsFiles: ReadonlyArray<string> = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]

/** The user's answers so far: one run connects more than once, and asks nothing twice. */
export interface Remembered {
  /** Passphrases that opened private keys, by the text of the key file. */
  readonly passphrases: Map<string, Redacted.Redacted<string>>
  /** Accepted lines of known_hosts, including those that could not be written. */
  readonly hostKeys: Set<string>
  /** Warnings that were shown, because each is needed only once. */
  readonly warnings: Set<string>
}

/** Makes an empty memory. */
export const makeRemembered = (): Remembered => ({ passphrases: new Map(), hostKeys: new Set(), warnings: new Set() })

/** The SSH settings of the user's environment. */
export class SshSettings extends Context.Reference<SshSettings>()("deployer/SshSettings", {
  defaultValue: () => {
    const { agentSocket, homeDir, machine, userName, variable, workingDir } = environment()
    return {
      /** The meaning of `~`, and the folder of `.ssh`. */
      homeDir,
      /** The folder of relative paths in ssh_config. */
      workingDir,
      /** The login for targets that name no user. */
      userName,
      /** The name of this machine. */
      machine,
      /** A variable of the environment. */
      variable,
      /** The user's ssh_config, for all settings that a target leaves open. */
      configFile: `${homeDir}/.ssh/config`,
      /** The machine's ssh_config, for all settings that both leave open. */
      globalConfigFile: "/etc/ssh/ssh_config",
      /** The socket of ssh-agent. Undefined if there is none. */
      agentSocket,
      /** Read, and appended to when the user accepts a key, unless the config names others. */
      knownHostsFile: `${homeDir}/.ssh/known_hosts`,
      /** Read only. */
      globalKnownHostsFiles,
      /** The time between two signs of life, unless the config sets another. If three in a row are missing, the connection counts as lost. */
      keepAlive: Duration.seconds(5),
      /** The time that a host may take to begin a script. A script answers at once, but a login shell that waits for something never starts it. */
      firstAnswer: Duration.seconds(30),
      remembered: makeRemembered()
    }
  }
}) {}
