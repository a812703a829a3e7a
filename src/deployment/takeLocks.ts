/**
 * The locks of many targets at once: all of them, or none.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { HostState } from "../domain/HostState.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { LockWait, takeLock } from "./locking.ts"

/** The longest pause between two attempts. */
const maxPauseMillis = 5_000

/**
 * Takes the locks of all sessions for the rest of the scope, and returns the hosts' states at that time, in the order of the sessions. If one
 * is held by somebody else, the others are released before the next attempt: nobody waits while holding a lock, so two commands cannot block
 * each other. Waits as long as `LockWait` allows.
 */
export const takeLocks = Effect.fn("takeLocks")(function* (sessions: ReadonlyArray<HostSession>, reason: string) {
  const scope = yield* Effect.scope
  const wait = yield* LockWait
  const began = yield* monotonicMillis
  const all = Effect.gen(function* () {
    // All locks are given back at the same time. Each one needs a scope of its own, whose parts close one after the other.
    const child = yield* Scope.fork(scope, ExecutionStrategy.parallel)
    return yield* Effect.forEach(
      sessions,
      (session) =>
        Effect.flatMap(Scope.fork(child, ExecutionStrategy.sequential), (own) =>
          takeLock(session, reason).pipe(Scope.extend(own), Reporter.asMember(session.target.key))
        ),
      { concurrency: "unbounded" }
    ).pipe(
      Effect.onError((cause) => Scope.close(child, Exit.failCause(cause))),
      Effect.provideService(LockWait, { taken: Duration.zero, held: Duration.zero })
    )
  })
  const attempt = (isFirst: boolean): Effect.Effect<ReadonlyArray<HostState>, Effect.Effect.Error<typeof all>> =>
    Effect.catchTag(all, "LockHeld", (held) =>
      Effect.gen(function* () {
        const limit = held.lock.details?.held === true ? wait.held : wait.taken
        const left = Duration.toMillis(limit) - ((yield* monotonicMillis) - began)
        if (left <= 0) return yield* held
        if (isFirst) yield* Reporter.note(`Waiting up to ${Duration.format(limit)}: ${held.message}`)
        yield* Effect.sleep(Math.min(yield* Random.nextIntBetween(500, maxPauseMillis), left))
        return yield* attempt(false)
      })
    )
  return yield* attempt(true)
})
