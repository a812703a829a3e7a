/**
 * Programs that use the socket of the master `ssh`.
 */
import * as Effect from "effect/Effect"
import { piped } from "../../../../internal/pipes.ts"

/** The master process, as seen by a further `ssh`. */
export interface Master {
  readonly host: string
  /** The options that make a further `ssh` use the master's socket, and never open a connection of its own. */
  readonly words: ReadonlyArray<string>
  /** See {@link Connection}. */
  readonly statusMark: string
}

/** The arguments of an `ssh` that runs a command line over the master. */
export const commandArgs = ({ host, words }: Master, line: string): ReadonlyArray<string> => [
  ...words,
  "-T",
  "--",
  host,
  line
]

/** Runs a line on the host for its effect alone, for at most `within` milliseconds. */
export const runOnly = (master: Master, line: string, within: number): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const child = piped({
      command: "ssh",
      args: commandArgs(master, line),
      onData: () => {},
      onEnd: () => resume(Effect.void),
      onFailure: () => resume(Effect.void)
    })
    return Effect.sync(child.kill)
  }).pipe(Effect.timeoutOption(within), Effect.asVoid)
