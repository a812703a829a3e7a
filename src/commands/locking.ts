/**
 * Locks around commands: whatever changes a host does so alone.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { Lock, LockDetails, lockOwner, lockState, longestReason } from "../domain/Lock.ts"
import { Operator } from "../host/Operator.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { connect } from "./connect.ts"
import { Declined } from "./Declined.ts"
import { entry } from "./journal.ts"

/**
 * How long a command waits for a lock that somebody else has: one that was taken for the length of a command, and one that
 * is held on purpose. By default 5 seconds, in which the lock of a deployment that was killed is free again, and not at all.
 */
export class LockWait extends Context.Reference<LockWait>()("deployer/LockWait", {
  defaultValue: () => ({ taken: Duration.seconds(5), held: Duration.zero })
}) {}

const describe = Effect.fnUntraced(function* (reason: string, held: boolean) {
  const { job, name } = yield* Operator
  return LockDetails.make({
    by: name.slice(0, longestReason),
    reason,
    since: yield* DateTime.now,
    ...(job === undefined ? {} : { job: job.slice(0, longestReason) }),
    nonce: (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36),
    held
  })
})

/** Milliseconds to the next attempt to take a lock: nobody comes much later than a tenth of the time that they waited. */
const pauseAfter = (waited: number): number => Math.min(Math.max(1000, waited / 10), 15_000)

/** Takes the target's lock for the rest of the scope, waiting for it as long as `LockWait` says. Yields what is on the host then. */
export const takeLock = (session: HostSession, reason: string) =>
  Effect.gen(function* () {
    const details = yield* describe(reason, false)
    const wait = yield* LockWait
    const began = yield* Clock.currentTimeMillis
    const takenOver = [
      yield* entry("locked", undefined, { detail: `${reason}: taken over from somebody without a sign of life` })
    ]
    const attempt = (said: boolean): ReturnType<HostSession["lock"]> =>
      Effect.catchTag(session.lock(details, takenOver), "LockHeld", (held) =>
        Effect.gen(function* () {
          const duration = held.lock.details?.held === true ? wait.held : wait.taken
          const waited = (yield* Clock.currentTimeMillis) - began
          const left = Duration.toMillis(duration) - waited
          if (left <= 0) return yield* held
          if (!said) yield* Reporter.note(`Waiting up to ${Duration.format(duration)}: ${held.message}`)
          yield* Effect.sleep(Math.min(pauseAfter(waited), left))
          return yield* attempt(true)
        })
      )
    return yield* attempt(false)
  })

/** Runs an Effect under the target's lock, which is given back however it ends. */
export const locked =
  (session: HostSession, reason: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.scoped(Effect.zipRight(takeLock(session, reason), self))

/** A target was locked on purpose, or is not locked (any more). */
export class LockReport extends Schema.TaggedClass<LockReport>()("LockReport", {
  address: Schema.String,
  /** Absent: nobody has it now. */
  lock: Schema.optional(Lock),
  /** What was taken away; absent: there was nothing to take. */
  taken: Schema.optional(Lock)
}) {}

/** The reason for a lock is nothing that others can read on one line. */
export class LockReasonInvalid extends Schema.TaggedError<LockReasonInvalid>()("LockReasonInvalid", {
  /** How many characters it has. */
  length: Schema.Int
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `The reason for a lock is one line of at most ${longestReason} characters, and this one has ${this.length > longestReason ? `${this.length}: make it shorter` : "a line break or another control character: write it on one line"}`
  }
}

/** Keeps everybody from changing a target until it is unlocked. */
export const lock = Effect.fn("lock")(function* (options: { readonly target: string; readonly reason: string }) {
  const { length } = options.reason
  if (length > longestReason || /\p{Cc}/u.test(options.reason)) return yield* new LockReasonInvalid({ length })
  const session = yield* connect(options.target)
  yield* session.hold(yield* describe(options.reason, true), [
    yield* entry("locked", undefined, { detail: options.reason })
  ])
  const { lock } = yield* session.inspect
  return LockReport.make({ address: session.address, ...(lock === undefined ? {} : { lock }) })
}, Effect.scoped)

/** Takes a target's lock away, after showing whose it is and asking. */
export const unlock = Effect.fn("unlock")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  const { lock } = yield* session.inspect
  if (lock !== undefined) {
    yield* Reporter.note(`${session.address} is locked by ${lockOwner(lock)}; ${lockState(lock)}`)
    const agreed = yield* (yield* Prompt).confirm({
      message: "Take the lock away? Whoever has it can change nothing any more.",
      initial: false,
      safe: true,
      hint: "answer with yes"
    })
    if (!agreed) return yield* new Declined({ consequence: "the lock stays" })
    yield* session.unlock(lock, [yield* entry("unlocked", undefined, { detail: `was locked by ${lockOwner(lock)}` })])
  }
  return LockReport.make({ address: session.address, ...(lock === undefined ? {} : { taken: lock }) })
}, Effect.scoped)
