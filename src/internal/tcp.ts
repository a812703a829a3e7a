/**
 * Two-way byte streams: TCP connections of this machine, programs that stand for one, and simulated connections.
 */
import { spawn } from "node:child_process"
import { connect as connectSocket } from "node:net"
import { Duplex } from "node:stream"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export type { Duplex } from "node:stream"

/** No connection could be made. `code` is the system's own: `ECONNREFUSED`, `ENOTFOUND` …, or empty. */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  readonly code: string
  readonly detail: string
}> {}

/** The first error, if several addresses of one name were tried. */
const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError && error.errors.length > 0 ? firstOf(error.errors[0]) : error

/** Connects from this machine; the connection is closed with the scope. */
export const connect = (to: {
  readonly host: string
  readonly port: number
}): Effect.Effect<Duplex, ConnectFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      // The traffic is many small packets, and none of them may wait for the next.
      Effect.sync(() => connectSocket({ host: to.host, port: to.port, noDelay: true })),
      (socket) =>
        Effect.sync(() => {
          socket.destroySoon()
          // A dead network takes no more bytes, and must not keep the process alive.
          socket.unref()
          setTimeout(() => socket.destroy(), 1000).unref()
        })
    )
    yield* Effect.async<void, ConnectFailed>((resume) => {
      socket.once("connect", () => resume(Effect.void))
      // The listener stays, because a late error without one would end the process.
      socket.on("error", (error) => {
        const first = firstOf(error)
        const code = typeof first === "object" && first !== null && "code" in first ? String(first.code) : ""
        resume(new ConnectFailed({ code, detail: first instanceof Error ? first.message : code }))
      })
    })
    return socket
  })

/** The `code` of the error with which the stream of a failed program ends. */
export const programFailed = "EPROGRAM"

/** The maximum kept of a program's standard error, in characters. */
const maxStderr = 500

/** Starts a shell command whose standard input and output are the stream. The scope ends the command and its whole process group. */
export const program = (command: string): Effect.Effect<Duplex, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => startProgram(command)),
    (stream) => Effect.sync(() => stream.destroy())
  )

const startProgram = (command: string): Duplex => {
  const child = spawn("sh", ["-c", command], { stdio: "pipe", detached: true })
  let stderr = ""
  const fail = (how: string) => {
    const error = new Error(`"${command}" ${how}${stderr.trim() === "" ? "" : `: ${stderr.trim()}`}`)
    stream.destroy(Object.assign(error, { code: programFailed }))
  }
  const stream: Duplex = new Duplex({
    read: () => child.stdout.resume(),
    write: (chunk, _encoding, done) => {
      // The end of the program tells that it reads no more.
      child.stdin.write(chunk, () => done())
    },
    final: (done) => {
      child.stdin.end(() => done())
    },
    destroy: (error, done) => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) killGroup(child.pid)
      done(error)
    }
  })
  // Late errors without a listener would end the process.
  for (const one of [stream, child.stdin, child.stdout, child.stderr]) one.on("error", () => {})
  child.stdout.on("data", (chunk) => {
    if (!stream.push(chunk)) child.stdout.pause()
  })
  child.stderr.setEncoding("utf8")
  child.stderr.on("data", (text: string) => {
    stderr = (stderr + text).slice(-maxStderr)
  })
  child.on("error", (error) => fail(`cannot be started: ${error.message}`))
  child.on("close", (code, signal) => {
    if (code === 0) stream.push(null)
    else fail(code === null ? `was ended by ${signal}` : `ended with exit status ${code}`)
  })
  return stream
}

const killGroup = (pid: number) => {
  try {
    process.kill(-pid, "SIGTERM")
  } catch {
    // It has ended by itself.
  }
}

/**
 * A simulated connection. After an empty line, `answer` gets everything written so far, and its result comes back before the end. Undefined: silence
 * forever.
 */
export const answering = (answer: (written: string) => string | undefined): Duplex => {
  let written = ""
  let answered = false
  const stream: Duplex = new Duplex({
    read: () => {},
    write: (chunk, _encoding, done) => {
      written += String(chunk)
      done()
      if (answered || !written.includes("\r\n\r\n")) return
      answered = true
      const back = answer(written)
      if (back === undefined) return
      stream.push(back)
      stream.push(null)
    }
  })
  return stream
}
