/**
 * Child processes for callers that need each byte as it comes.
 */
import { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"

/** The child to start, and the listener of its outputs. */
export interface PipedOptions {
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly onData: (chunk: Uint8Array, from: "stdout" | "stderr") => void
  /** Called once, after all output: with the exit status, or undefined if a signal ended the child. */
  readonly onEnd: (status: number | undefined) => void
  /** Called instead if the child could not be started. */
  readonly onFailure: (message: string) => void
}

/** A running child. */
export interface Piped {
  /** Calls back when the next chunk may be written. Never calls back if the child has ended. */
  readonly write: (chunk: Uint8Array, go: () => void) => void
  readonly endInput: () => void
  readonly pause: () => void
  readonly resume: () => void
  /** Whether output has arrived that was not passed on, because of a pause. */
  readonly isWaiting: () => boolean
  /** Asks the child and its whole process group to end. */
  readonly kill: () => void
}

/** Starts a child in a process group of its own, without a terminal. */
export const piped = ({ args, command, env = {}, onData, onEnd, onFailure }: PipedOptions): Piped => {
  const child = spawn(command, args, { stdio: "pipe", detached: true, env: { ...process.env, ...env } })
  // A pipe may break at any time. Without a listener, that would end this process.
  for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.on("error", () => {})
  child.stdout.on("data", (chunk: Uint8Array) => onData(chunk, "stdout"))
  child.stderr.on("data", (chunk: Uint8Array) => onData(chunk, "stderr"))
  let isStarted = true
  child.on("error", ({ message }) => {
    if (child.pid !== undefined) return
    isStarted = false
    onFailure(message)
  })
  child.on("close", (status) => {
    if (isStarted) onEnd(status ?? undefined)
  })
  return {
    write: (chunk, go) => {
      if (child.stdin.write(chunk)) go()
      else child.stdin.once("drain", go)
    },
    endInput: () => child.stdin.end(),
    pause: () => {
      child.stdout.pause()
      child.stderr.pause()
    },
    resume: () => {
      child.stdout.resume()
      child.stderr.resume()
    },
    isWaiting: () => child.stdout.isPaused() || child.stdout.readableLength > 0,
    kill: () => {
      child.stdout.resume()
      child.stderr.resume()
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) killGroup(child.pid)
    }
  }
}

/** The standard output of a program that ends by itself. Empty if it cannot be started or takes longer than three seconds. */
export const outputOf = (
  command: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    let text = ""
    const child = piped({
      command,
      args,
      env,
      onData: (chunk, from) => {
        if (from === "stdout") text += Buffer.from(chunk).toString()
      },
      onEnd: () => resume(Effect.succeed(text)),
      onFailure: () => resume(Effect.succeed(""))
    })
    child.endInput()
    return Effect.sync(child.kill)
  }).pipe(Effect.timeoutTo({ duration: 3000, onTimeout: () => "", onSuccess: (text) => text }))

const killGroup = (pid: number) => {
  try {
    process.kill(-pid, "SIGTERM")
  } catch {
    // It has ended by itself.
  }
}
