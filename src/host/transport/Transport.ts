/**
 * The way to a host's shell: the only difference between SSH and this machine.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Duplex } from "../../internal/tcp.ts"
import type { PromptFailure } from "../../terminal/Prompt.ts"
import type { StepName } from "../protocol/Step.ts"
import type { CommandTimeout, HostUnreachable } from "../RemoteHost.ts"
import type { DialFailed, Endpoint } from "./Endpoint.ts"

/**
 * Quotes one word for a POSIX shell, and for fish, to which a backslash inside single quotes may mean something. Every word
 * that reaches a host passes through here.
 */
export const quote = (word: string): string => `'${word.replaceAll(/['\\]/g, (char) => `'\\${char}'`)}'`

/** One run of `sh` on the host. */
export interface Exec<E> {
  /** The action, for errors, as in "could not …". */
  readonly doing: string
  /** The step of the protocol that this is, for a transport that answers without a shell; undefined for any other script. */
  readonly step?: StepName
  /** The text of a POSIX script; it finds `args` as `$1`, `$2` … */
  readonly script: string
  readonly args: ReadonlyArray<string>
  /** Fed to the script's standard input. If undefined, the input is closed at once. */
  readonly stdin?: Stream.Stream<Uint8Array, E>
  /** Called with the script's output as it comes, instead of collecting it. */
  readonly onOutput?: (chunk: Uint8Array, from: "stdout" | "stderr") => Effect.Effect<void>
  /** `command`: the target's `timeouts.command` bounds the whole run; `transfer`: `timeouts.transfer` bounds each pause of stdin. */
  readonly wait: "command" | "transfer"
}

/** How the run ended. */
export interface ExecResult {
  readonly exitCode: number
  /** At most 64 MiB; a host that sends more is cut off with `HostUnreachable` (`protocol`). Empty with `onOutput`. */
  readonly stdout: string
  /** The last 8 KiB. Empty with `onOutput`. */
  readonly stderr: string
}

/** A connection to one host. */
export interface Transport {
  readonly exec: <E = never>(exec: Exec<E>) => Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout>
  /** Opens a TCP connection from the host to an endpoint, and closes it after `use`, which ends early if the host is lost. */
  readonly dial: <A, E>(
    to: Endpoint,
    use: (stream: Duplex) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | DialFailed | HostUnreachable>
  /**
   * Connects the user's terminal with a shell that begins in the directory `cwd` (absolute, or relative to the login directory). Returns the shell's
   * exit status.
   */
  readonly shell: (cwd: string) => Effect.Effect<number, HostUnreachable | PromptFailure>
}
