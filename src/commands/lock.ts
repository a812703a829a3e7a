/** `lock` and `unlock`: reserve a target. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { entry } from "../deployment/journal.ts"
import { describe } from "../deployment/locking.ts"
import { Lock, lockOwner, lockState, maxReason } from "../domain/Lock.ts"
import type { View } from "../terminal/Answer.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { connect } from "./connect.ts"
import { Declined } from "./Declined.ts"
import { target, task, value, yes } from "./Task.ts"

/** The result: a target is locked on purpose, or not locked. */
export class LockReport extends Schema.TaggedClass<LockReport>()("LockReport", {
  address: Schema.String,
  /** Undefined if nobody holds the lock now. */
  lock: Schema.optional(Lock),
  /** The removed lock. Undefined if there was none. */
  taken: Schema.optional(Lock)
}) {}

/** The reason for a lock is too long, or not on one line. */
export class LockReasonInvalid extends Schema.TaggedError<LockReasonInvalid>()("LockReasonInvalid", {
  /** Its length, in characters. */
  length: Schema.Int
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `The reason for a lock is one line of at most ${maxReason} characters, and this one has ${this.length > maxReason ? `${this.length}: make it shorter` : "a line break or another control character: write it on one line"}`
  }
}

/** Keeps everybody from changing a target until it is unlocked. */
export const lock = Effect.fn("lock")(function* (options: { readonly target: string; readonly reason: string }) {
  const { length } = options.reason
  if (length > maxReason || /\p{Cc}/u.test(options.reason)) return yield* new LockReasonInvalid({ length })
  const session = yield* connect(options.target)
  yield* session.hold(yield* describe(options.reason, true), [
    yield* entry("locked", undefined, { detail: options.reason })
  ])
  const { lock } = yield* session.inspect
  return LockReport.make({ address: session.address, ...(lock === undefined ? {} : { lock }) })
}, Effect.scoped)

/** Removes a target's lock, after showing its holder and asking. */
export const unlock = Effect.fn("unlock")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  const { lock } = yield* session.inspect
  if (lock !== undefined) {
    yield* Reporter.note(`${session.address} is locked by ${lockOwner(lock)}; ${lockState(lock)}`)
    const agreed = yield* (yield* Prompt).confirm({
      message: "Remove the lock? Its holder can then change nothing more.",
      initial: false,
      safe: true,
      hint: "answer with yes"
    })
    if (!agreed) return yield* new Declined({ consequence: "the lock stays" })
    yield* session.unlock(lock, [yield* entry("unlocked", undefined, { detail: `was locked by ${lockOwner(lock)}` })])
  }
  return LockReport.make({ address: session.address, ...(lock === undefined ? {} : { taken: lock }) })
}, Effect.scoped)

/** The failures of `lock`. */
export type LockError = Effect.Effect.Error<ReturnType<typeof lock>>
/** The services that `lock` needs. */
export type LockServices = Effect.Effect.Context<ReturnType<typeof lock>>

/** The failures of `unlock`. */
export type UnlockError = Effect.Effect.Error<ReturnType<typeof unlock>>
/** The services that `unlock` needs. */
export type UnlockServices = Effect.Effect.Context<ReturnType<typeof unlock>>

/** The current holder of the lock. */
export const lockView =
  ({ address, lock, taken }: LockReport): View =>
  () =>
    lock !== undefined
      ? `${address} is locked by ${lockOwner(lock)}`
      : taken !== undefined
        ? `The lock of ${address} was removed`
        : `${address} is not locked`

const report = { schema: LockReport, view: lockView }

/** The command. */
export const lockTask = task("lock", {
  group: "operate",
  description: "Locks the target, so that nobody can change anything there.",
  examples: [
    'deployer lock target=prod reason="migrating the database"',
    'deployer lock target=prod reason="no deployments before Monday"'
  ],
  options: {
    target,
    reason: value({
      name: "reason",
      placeholder: "WHY",
      description: "the reason, shown to everybody who meets the lock"
    })
  },
  report,
  run: lock
})

/** The command. */
export const unlockTask = task("unlock", {
  group: "operate",
  description: "Removes the target's lock, after showing its holder.",
  examples: ["deployer unlock target=prod", "deployer unlock target=prod yes"],
  options: { target, yes },
  report,
  run: unlock
})
