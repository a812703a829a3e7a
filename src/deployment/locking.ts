/**
 * Locks around commands: every command that changes a host does so alone.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { LockDetails, maxReason } from "../domain/Lock.ts"
import { Operator } from "../host/Operator.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { entry } from "./journal.ts"

/**
 * How long a command waits for somebody else's lock: `taken` for the lock of a running command, `held` for a lock held on purpose. By
 * default 5 seconds, in which the lock of a killed deployment becomes free, and not at all.
 */
export class LockWait extends Context.Reference<LockWait>()("deployer/LockWait", {
  defaultValue: () => ({ taken: Duration.seconds(5), held: Duration.zero })
}) {}

/** The details of a lock: its holder and purpose. */
export const describe = Effect.fnUntraced(function* (reason: string, held: boolean) {
  const { job, name } = yield* Operator
  return LockDetails.make({
    by: name.slice(0, maxReason),
    reason,
    since: yield* DateTime.now,
    ...(job === undefined ? {} : { job: job.slice(0, maxReason) }),
    nonce: (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36),
    held
  })
})

/** Milliseconds until the next attempt to take a lock: no attempt is later than needed by much more than a tenth of the time waited. */
const pauseAfter = (waited: number): number => Math.min(Math.max(1000, Math.ceil(waited / 10)), 15_000)

/**
 * Takes the target's lock for the rest of the scope, and waits for it as long as `LockWait` allows. Returns the host's state at that time.
 */
export const takeLock = (session: HostSession, reason: string) =>
  Effect.gen(function* () {
    const details = yield* describe(reason, false)
    const wait = yield* LockWait
    const began = yield* monotonicMillis
    const takenOver = [
      yield* entry("locked", undefined, { detail: `${reason}: taken over from somebody without a sign of life` })
    ]
    const attempt = (isAnnounced: boolean): ReturnType<HostSession["lock"]> =>
      Effect.catchTag(session.lock(details, takenOver), "LockHeld", (held) =>
        Effect.gen(function* () {
          const duration = held.lock.details?.held === true ? wait.held : wait.taken
          const waited = (yield* monotonicMillis) - began
          const left = Duration.toMillis(duration) - waited
          if (left <= 0) return yield* held
          if (!isAnnounced) yield* Reporter.note(`Waiting up to ${Duration.format(duration)}: ${held.message}`)
          yield* Effect.sleep(Math.min(pauseAfter(waited), left))
          return yield* attempt(true)
        })
      )
    return yield* attempt(false)
  }).pipe(Reporter.during({ _tag: "Lock" }))

/** Runs an Effect under the target's lock, which is released however the Effect ends. */
export const locked =
  (session: HostSession, reason: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.scoped(Effect.zipRight(takeLock(session, reason), self))
