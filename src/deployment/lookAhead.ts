/**
 * A look at a target's host before a release exists: whether a deployment would be refused anyway.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { checks } from "../domain/Checks.ts"
import { lockOwner } from "../domain/Lock.ts"
import type { Target } from "../domain/Target.ts"
import { HostUnfit, LockHeld } from "../host/RemoteHost.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { LockWait } from "./locking.ts"
import { connectTo } from "./onHost.ts"

/**
 * Fails for each reason that a later deployment would fail for, if it can be known without a release: the host cannot be reached, cannot
 * take any release, or is locked on purpose. Changes nothing. Somebody's running deployment is only reported, because it will end.
 */
export const lookAhead = Effect.fn("lookAhead")(function* (target: Target) {
  const session = yield* connectTo(target)
  const { address } = session
  const state = yield* session.inspect
  const [unfit] = checks(state).flatMap(({ unfit }) => unfit ?? [])
  if (unfit !== undefined) return yield* new HostUnfit({ target: target.key, address, ...unfit })
  const { lock } = state
  if (lock === undefined) return
  const isHeld = lock.details?.held === true
  if (isHeld && !Duration.greaterThan((yield* LockWait).held, Duration.zero)) {
    return yield* new LockHeld({ target: target.key, address, lock })
  }
  yield* Reporter.note(`${address} is locked by ${lockOwner(lock)}: the deployment needs the lock after the build`)
}, Effect.scoped)
