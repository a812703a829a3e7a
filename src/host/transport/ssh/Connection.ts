/**
 * An authenticated connection to a host, whatever speaks the protocol.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Duplex } from "../../../internal/tcp.ts"

/** No connection could be made, or it is gone. */
export class Disconnected extends Data.TaggedError("Disconnected")<{
  readonly reason: "unknown-name" | "refused" | "timeout" | "silent" | "shell" | "lost" | "protocol" | "proxy"
  readonly detail: string
  /** Whether the host ended the connection before it said anything, as a busy sshd does (`MaxStartups`). */
  readonly isBusy?: boolean
}> {}

/** The command was not started, or nothing is known of it yet. `isCrowded`: the host allows no further session on this connection; else the connection was gone before. */
export class NotStarted extends Data.TaggedError("NotStarted")<{
  readonly isCrowded: boolean
  readonly failure: Disconnected
}> {}

/** The terminal of a command. */
export interface Terminal {
  /** As in `TERM`. */
  readonly term: string
  readonly rows: number
  readonly cols: number
}

/** A command to start on a host, and its listener. */
export interface SessionOptions {
  /** For the login shell. */
  readonly command: string
  /** If set, the command gets a terminal. */
  readonly pty?: Terminal
  /**
   * How long the output may be silent once the exit status has come, in milliseconds. Five times that is the limit for the whole rest of the output.
   * Undefined: until the output ends. A program left behind in the background may hold the output open, or write to it, until it ends. Read once the
   * exit status has come.
   */
  readonly patience?: number | undefined
  /** How often a host without a free session is asked again. Undefined: for more than a second. */
  readonly retries?: number
  /** Called with each chunk as it comes. */
  readonly onData: (chunk: Uint8Array, from: "stdout" | "stderr") => void
}

/** A running command. */
export interface Session {
  /** Its exit status, once it has ended and all its output has been passed on; 128+n after the signal n. */
  readonly ended: Effect.Effect<number, Disconnected>
  /** Succeeds when the next chunk may be written. Never succeeds if the command has ended. */
  readonly write: (chunk: Uint8Array) => Effect.Effect<void>
  /** Closes the command's standard input. */
  readonly endInput: () => void
  /** Writes at once, even if earlier bytes still wait: for keystrokes. */
  readonly type: (chunk: Uint8Array) => void
  readonly resize: (size: { readonly rows: number; readonly columns: number }) => void
  /** Stops and restarts the output; the host is told to wait. */
  readonly pause: () => void
  readonly resume: () => void
}

/** The host did not forward a connection: it must not (`prohibited`), or it could not. */
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
  /** Opens a TCP connection from the host to an endpoint. It is closed with the scope. */
  readonly forward: (to: {
    readonly host: string
    readonly port: number
  }) => Effect.Effect<Duplex, Disconnected | ForwardRefused, Scope.Scope>
  /**
   * The beginning of a line that tells the exit status of a command on its standard error, if the connection itself tells it only when nobody holds the
   * outputs open any more. The command has to write it.
   */
  readonly statusMark?: string
  /** The program that connects this process's own terminal with a command, if the connection cannot do that itself. */
  readonly terminal?: (command: string) => { readonly command: string; readonly args: ReadonlyArray<string> }
}
