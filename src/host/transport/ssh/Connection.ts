/**
 * An authenticated connection to a host. It does not depend on the program that speaks the protocol.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Duplex } from "../../../internal/tcp.ts"

/** No connection could be made, or it is gone. */
export class Disconnected extends Data.TaggedError("Disconnected")<{
  readonly reason:
    | "unknown-name"
    | "refused"
    | "timeout"
    | "silent"
    | "shell"
    | "lost"
    | "protocol"
    | "proxy"
    | "openssh"
  readonly detail: string
  /** Whether the host ended the connection before it said anything, as a busy sshd does (`MaxStartups`). */
  readonly isBusy?: boolean
}> {}

/**
 * The command was not started, or its start is unknown. `isCrowded`: the host allows no further session on this connection. Otherwise the connection
 * ended first.
 */
export class NotStarted extends Data.TaggedError("NotStarted")<{
  readonly isCrowded: boolean
  readonly failure: Disconnected
}> {}

/** The terminal of a command. */
export interface Terminal {
  /** The value of `TERM`. */
  readonly term: string
  readonly rows: number
  readonly cols: number
}

/** The options of a command to start on a host. */
export interface SessionOptions {
  /** The command line, which the login shell runs. */
  readonly command: string
  /** If set, the command gets a terminal. */
  readonly pty?: Terminal
  /**
   * The milliseconds without output, after the exit status has arrived, at which the output counts as ended. The limit for the whole rest of the output
   * is five times that. Undefined: wait until the output ends. A program in the background may hold the output open, or write to it, for as long as it
   * runs. This property is read after the exit status has arrived.
   */
  readonly patience?: number | undefined
  /** The number of further requests if the host has no free session. Default: 6, which takes more than a second. */
  readonly retries?: number
  /**
   * The process group of the command on the host. Undefined if it is not known yet, or if nothing has to be asked to end. A connection that cannot signal
   * a command itself reads this property when the command is given up.
   */
  readonly processGroup?: number | undefined
  /** Called with each chunk of output as it arrives. */
  readonly onData: (chunk: Uint8Array, from: "stdout" | "stderr") => void
}

/** A running command. */
export interface Session {
  /** The exit status, once the command has ended and all its output has been passed on. It is 128+n after the signal n. */
  readonly ended: Effect.Effect<number, Disconnected>
  /** Succeeds when the next chunk may be written. Never succeeds if the command has ended. */
  readonly write: (chunk: Uint8Array) => Effect.Effect<void>
  /** Closes the command's standard input. */
  readonly endInput: () => void
  /** Writes keystrokes at once, without waiting for earlier bytes. */
  readonly type: (chunk: Uint8Array) => void
  readonly resize: (size: { readonly rows: number; readonly columns: number }) => void
  /** Stops the output; the host waits until `resume`. */
  readonly pause: () => void
  readonly resume: () => void
}

/** The host did not forward a connection, because its settings forbid it (`prohibited`) or because it failed. */
export class ForwardRefused extends Data.TaggedError("ForwardRefused")<{
  readonly prohibited: boolean
  readonly detail: string
}> {}

/** An authenticated connection. */
export interface Connection {
  /** Fails when the connection is gone; never succeeds. */
  readonly gone: Effect.Effect<never, Disconnected>
  /** Starts a command. If the scope closes before the command has ended, the command is asked to end. */
  readonly start: (options: SessionOptions) => Effect.Effect<Session, Disconnected | NotStarted, Scope.Scope>
  /** Opens a TCP connection from the host to an endpoint. The scope closes it. */
  readonly forward: (to: {
    readonly host: string
    readonly port: number
  }) => Effect.Effect<Duplex, Disconnected | ForwardRefused, Scope.Scope>
  /**
   * The beginning of a line with the exit status, which each command has to write to its standard error. Undefined if the connection itself reports the
   * status in time. Otherwise it does so only after every process has closed the command's outputs.
   */
  readonly statusMark?: string
  /** The program that connects the terminal of this process with a command. Undefined if the connection does that itself. */
  readonly terminal?: (command: string) => { readonly command: string; readonly args: ReadonlyArray<string> }
}
