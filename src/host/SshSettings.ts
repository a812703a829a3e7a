/**
 * What SSH takes from the user's environment.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import { environment } from "../internal/ssh.ts"

const globalKnownHostsFiles: ReadonlyArray<string> = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]

/** What the user has said already: one run connects more than once, and asks nothing twice. */
export interface Remembered {
  /** Passphrases of private keys that they opened, by the text of the key. */
  readonly passphrases: Map<string, Redacted.Redacted<string>>
  /** Lines of known_hosts that were accepted, also if they could not be written. */
  readonly hostKeys: Set<string>
}

/** Nothing was said yet. */
export const makeRemembered = (): Remembered => ({ passphrases: new Map(), hostKeys: new Set() })

/** What SSH takes from the user's environment. */
export class SshSettings extends Context.Reference<SshSettings>()("deployer/SshSettings", {
  defaultValue: () => {
    const { agentSocket, homeDir, machine, userName, variable } = environment()
    return {
      /** What `~` stands for, and where `.ssh` is. */
      homeDir,
      /** The login on hosts whose target names none. */
      userName,
      /** The name of this machine. */
      machine,
      /** A variable of the environment. */
      variable,
      /** Read for what a target does not say itself. */
      configFile: `${homeDir}/.ssh/config`,
      /** Read for what neither says. */
      globalConfigFile: "/etc/ssh/ssh_config",
      /** The socket of ssh-agent; absent: there is none. */
      agentSocket,
      /** Read, and appended to when the user accepts a key, unless the config names others. */
      knownHostsFile: `${homeDir}/.ssh/known_hosts`,
      /** Read only. */
      globalKnownHostsFiles,
      /** The time between two signs of life, unless the config says another; after three without one the connection counts as lost. */
      keepAlive: Duration.seconds(5),
      /** So long may a host take to begin a script, which answers at once: a login shell that waits for something never does. */
      firstAnswer: Duration.seconds(30),
      remembered: makeRemembered()
    }
  }
}) {}
