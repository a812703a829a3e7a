/**
 * Two-way byte streams: TCP connections of this machine, and connections that are only pretended.
 */
import { connect as connectSocket } from "node:net"
import { Duplex } from "node:stream"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export type { Duplex } from "node:stream"

/** Nobody could be connected to. `code` is the system's own: `ECONNREFUSED`, `ENOTFOUND` …, or empty. */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  readonly code: string
  readonly detail: string
}> {}

/** The first reason where several addresses of one name were tried. */
const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError && error.errors.length > 0 ? firstOf(error.errors[0]) : error

/** Connects from this machine; the connection is closed with the scope. */
export const connect = (to: {
  readonly host: string
  readonly port: number
}): Effect.Effect<Duplex, ConnectFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => connectSocket({ host: to.host, port: to.port })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    yield* Effect.async<void, ConnectFailed>((resume) => {
      socket.once("connect", () => resume(Effect.void))
      // Stays, for a late error without a listener would end the process.
      socket.on("error", (error) => {
        const first = firstOf(error)
        const code = typeof first === "object" && first !== null && "code" in first ? String(first.code) : ""
        resume(new ConnectFailed({ code, detail: first instanceof Error ? first.message : code }))
      })
    })
    return socket
  })

/**
 * A connection to nobody: once an empty line was written to it, `answer` gets all that was written, and what it yields comes
 * back before the end. Nothing: silence for ever.
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
