/**
 * The way to a host's shell. Nothing else differs between SSH and this machine.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Duplex } from "../../internal/tcp.ts"
import type { PromptFailure } from "../../terminal/Prompt.ts"
import type { StepName } from "../protocol/Step.ts"
import type { CommandTimeout, HostUnreachable } from "../RemoteHost.ts"
import type { DialFailed, Endpoint } from "./Endpoint.ts"

/**
 * Quotes one word for a POSIX shell, and for fish, in which a backslash inside single quotes may have a meaning. Every word
 * that reaches a host passes through this function.
 */
export const quote = (word: string): string => `'${word.replaceAll(/['\\]/g, (char) => `'\\${char}'`)}'`

/** One run of `sh` on the host. */
export interface Exec<E> {
  /** The action, for errors such as "could not …". */
  readonly doing: string
  /** The step of the protocol, for a transport that answers without a shell. Undefined for a script that is not a step. */
  readonly step?: StepName
  /** The text of a POSIX script. Its arguments `$1`, `$2` … are `args`. */
  readonly script: string
  readonly args: ReadonlyArray<string>
  /** The script's standard input. If undefined, the input is empty. */
  readonly stdin?: Stream.Stream<Uint8Array, E>
  /** Called with the script's output as it arrives. If set, the output is not collected. */
  readonly onOutput?: (chunk: Uint8Array, from: "stdout" | "stderr") => Effect.Effect<void>
  /** `command`: the target's `timeouts.command` bounds the whole run; `transfer`: `timeouts.transfer` bounds each pause of stdin. */
  readonly wait: "command" | "transfer"
}

/** The result of a run. */
export interface ExecResult {
  readonly exitCode: number
  /** The standard output, at most 64 MiB. If a host sends more, the run fails with `HostUnreachable` (`protocol`). Empty with `onOutput`. */
  readonly stdout: string
  /** The last 8 KiB of the standard error. Empty with `onOutput`. */
  readonly stderr: string
}

/** A connection to one host. */
export interface Transport {
  readonly exec: <E = never>(exec: Exec<E>) => Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout>
  /** Opens a TCP connection from the host to an endpoint, and closes it after `use`. If the host is lost, `use` is interrupted. */
  readonly dial: <A, E>(
    to: Endpoint,
    use: (stream: Duplex) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | DialFailed | HostUnreachable>
  /** Counts the sessions that one connection allows, up to a number. Undefined if the transport has no connections. */
  readonly allowedSessions?: (upTo: number) => Effect.Effect<number, HostUnreachable>
  /**
   * Connects the user's terminal with a shell that begins in the directory `cwd` (absolute, or relative to the login directory). Returns the shell's
   * exit status.
   */
  readonly shell: (cwd: string) => Effect.Effect<number, HostUnreachable | PromptFailure>
}
