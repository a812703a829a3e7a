/**
 * Commands over the socket of the master `ssh`.
 */
import { Buffer } from "node:buffer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type Piped, piped } from "../../../../internal/pipes.ts"
import { Disconnected, NotStarted, type Session, type SessionOptions } from "../Connection.ts"
import { makeEnding } from "../ending.ts"
import { lastLine, notInstalled } from "./failure.ts"
import { commandArgs, type Master, runOnly } from "./master.ts"
import { makeStatusReader } from "./statusReader.ts"

/** The time that the host may take to end a command on request, in milliseconds. */
const patienceForKill = 3000

/** Starts a command. A host that allows no further session at the moment is asked again a few times. */
export const start = (
  master: Master,
  gone: Effect.Effect<never, Disconnected>,
  options: SessionOptions
): Effect.Effect<Session, Disconnected | NotStarted, Scope.Scope> =>
  startOnce(master, options).pipe(
    Effect.retry({
      while: (failure) => failure._tag === "NotStarted" && failure.isCrowded,
      times: options.retries ?? 6,
      schedule: Schedule.exponential(20)
    }),
    Effect.raceFirst(Effect.mapError(gone, (failure) => new NotStarted({ isCrowded: false, failure }))),
    Effect.map((session) => ({ ...session, ended: Effect.raceFirst(session.ended, gone) }))
  )

/** The maximum kept of the words with which `ssh` may refuse to start a command, in characters. */
const maxWords = 2000

const startOnce = (master: Master, options: SessionOptions) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    const begun = yield* Deferred.make<void, NotStarted>()
    let isOver = false
    let hasSpoken = false
    let words = ""
    let isWaiting = () => false
    const over = (status: number) => {
      isOver = true
      Deferred.unsafeDone(begun, Effect.void)
      Deferred.unsafeDone(ended, Effect.succeed(status))
    }
    const fail = (isCrowded: boolean, failure: Disconnected) => {
      isOver = true
      Deferred.unsafeDone(begun, new NotStarted({ isCrowded, failure }))
    }
    const ending = makeEnding(options, { end: over, isWaiting: () => isWaiting() })
    const reader = makeStatusReader(master.statusMark, (chunk) => options.onData(chunk, "stderr"))
    const receive = (chunk: Uint8Array, from: "stdout" | "stderr") => {
      ending.heard()
      if (from === "stdout") {
        hasSpoken = true
        Deferred.unsafeDone(begun, Effect.void)
        return options.onData(chunk, from)
      }
      if (words.length < maxWords) words += Buffer.from(chunk).toString()
      const before = reader.status()
      reader.read(chunk)
      const status = reader.status()
      if (before === undefined && status !== undefined) ending.exited(status)
    }
    const end = (status: number | undefined) => {
      reader.end()
      if (ending.closed()) return
      if (status !== 255) return over(status ?? 255)
      if (!hasSpoken && /refused by peer/i.test(words))
        return fail(true, new Disconnected({ reason: "protocol", detail: lastLine(words) }))
      // Either the connection is ending, which shows in a moment, or 255 is the login shell's own status.
      setTimeout(() => over(255), 300)
    }
    const child: Piped = yield* Effect.acquireRelease(
      Effect.sync(() =>
        piped({
          command: "ssh",
          args: commandArgs(master, options.command),
          onData: receive,
          onFailure: (message) =>
            fail(false, new Disconnected({ reason: "openssh", detail: `${notInstalled} (${message})` })),
          onEnd: end
        })
      ),
      (child) =>
        Effect.gen(function* () {
          const group = options.processGroup
          if (!isOver && group !== undefined) yield* runOnly(master, killLine(group), patienceForKill)
          child.kill()
        })
    )
    isWaiting = child.isWaiting
    yield* Deferred.await(begun)
    const session: Session = {
      ended: Deferred.await(ended),
      write: (chunk) => Effect.async<void>((resume) => child.write(chunk, () => resume(Effect.void))),
      endInput: child.endInput,
      type: (chunk) => child.write(chunk, () => {}),
      resize: () => {},
      pause: child.pause,
      resume: child.resume
    }
    return session
  })

/** Asks the process group of a command to end. Every login shell reads this line alike. */
const killLine = (group: number) => `exec sh -c 'kill -TERM -${group}'`
