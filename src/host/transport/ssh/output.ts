/**
 * Collects the output of a command, or passes it on.
 */
import { Buffer } from "node:buffer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Exec, ExecResult } from "../Transport.ts"
import * as Connection from "./Connection.ts"

/** The maximum length of the collected standard output, in bytes. A host that sends more is broken. */
const stdoutLimit = 64 * 1024 * 1024
/** The number of bytes of the standard error that are kept. */
const stderrLimit = 8 * 1024
/** The bytes of output that may wait for a slow reader. With more of them, the host has to pause. */
const pending = 1024 * 1024

/** The destination of a command's output. */
export interface Output {
  readonly listener: Pick<Connection.SessionOptions, "onData" | "patience">
  readonly attach: (session: Connection.Session) => void
  /** Fails if there is too much output. Never succeeds. */
  readonly overflow: Effect.Effect<never, Connection.Disconnected>
  /** The collected output. Run this after the command has ended. */
  readonly result: Effect.Effect<Pick<ExecResult, "stdout" | "stderr">>
}

/** Collects the output. Too much of it is a failure of the connection. */
export const collect: Effect.Effect<Output> = Effect.map(
  Deferred.make<never, Connection.Disconnected>(),
  (overflow) => {
    const stdout: Array<Uint8Array> = []
    let size = 0
    let stderr = Buffer.alloc(0)
    return {
      listener: {
        onData: (chunk, from) => {
          if (from === "stderr") {
            stderr = Buffer.concat([stderr, chunk]).subarray(-stderrLimit)
            return
          }
          size += chunk.length
          if (size <= stdoutLimit) return stdout.push(chunk)
          stdout.length = 0
          const detail = `it answered with more than ${stdoutLimit} bytes`
          Deferred.unsafeDone(overflow, Effect.fail(new Connection.Disconnected({ reason: "protocol", detail })))
        }
      },
      attach: () => {},
      overflow: Deferred.await(overflow),
      result: Effect.sync(() => ({ stdout: Buffer.concat(stdout).toString(), stderr: stderr.toString() }))
    }
  }
)

/** Passes the output on as it arrives. A slow reader makes the host pause. */
export const deliver = (onOutput: Exec<never>["onOutput"] & {}): Effect.Effect<Output, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mailbox = yield* Mailbox.make<readonly [chunk: Uint8Array, from: "stdout" | "stderr"]>()
    let waiting = 0
    let session: Connection.Session | undefined
    const reader = yield* Mailbox.toStream(mailbox).pipe(
      Stream.runForEach(([chunk, from]) =>
        Effect.zipRight(
          onOutput(chunk, from),
          Effect.sync(() => {
            const before = waiting
            waiting -= chunk.length
            if (before >= pending && waiting < pending) session?.resume()
          })
        )
      ),
      Effect.forkScoped
    )
    return {
      listener: {
        // The user's own commands may leave a daemon behind that never closes its output.
        patience: 1000,
        onData: (chunk, from) => {
          waiting += chunk.length
          mailbox.unsafeOffer([chunk, from])
          if (waiting >= pending) session?.pause()
        }
      },
      attach: (started) => {
        session = started
      },
      overflow: Effect.never,
      result: Effect.as(Effect.zipRight(mailbox.end, Fiber.join(reader)), { stdout: "", stderr: "" })
    }
  })
