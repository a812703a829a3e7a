/**
 * The way back of a release that was made live.
 */
import * as Effect from "effect/Effect"
import { type HostRelease, type HostState, linkBefore, previousRelease, wayBack } from "../domain/HostState.ts"
import { typed } from "../domain/Invocation.ts"
import { lastLink, standing } from "../domain/Journal.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import { shownCommand } from "../domain/Target.ts"
import { type HostSession, HostStepFailed, type StepFailure } from "../host/RemoteHost.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { entry, type Named } from "./journal.ts"
import { RollbackFailed, RolledBack } from "./liveFailures.ts"
import { type Fault, isFault, journaled, type Live, prove } from "./prove.ts"

/** The release with the way back from the host's present state, if a dead-man's switch was armed at the time of the look. */
export const backOfNow = (now: HostState, live: Live): Live =>
  live.state.armed === undefined ? live : { ...live, back: wayBack(now, live.release.ref) ?? stillThere(now, live) }

/** The planned release to go back to, unless it is gone or failed since. */
const stillThere = ({ journal, releases }: HostState, { back }: Live): HostRelease | undefined =>
  releases.find(({ ref }) => ref === back?.ref && standing(journal, ref) !== "unhealthy")

/** Somebody made another release current while this one was checked: then it is not live, whatever the checks say. */
export const isDisplaced = (error: { readonly _tag: string }): error is HostStepFailed =>
  error instanceof HostStepFailed && error.detail.includes("is no longer current")

/** Whether the plan checks the health of the release. */
export const isChecked = ({ steps }: Pick<Live, "steps">): boolean => steps.some(({ _tag }) => _tag === "Check")

/** A release stays live and healthy even if that cannot be journaled. */
export const noteHealthy = Effect.fnUntraced(function* (
  session: HostSession,
  release: Named,
  { unlocks, waits, wasChecked }: Pick<Live, "unlocks" | "waits"> & { readonly wasChecked: boolean }
) {
  yield* Effect.catchIf(
    session.note([yield* entry("healthy", release, { wasChecked })], { unlocks, live: release.ref }),
    // After a wait for other targets, a host that does not answer may have gone long ago.
    (error) =>
      error._tag !== "LockLost" && !isDisplaced(error) && !(waits === true && error._tag === "HostUnreachable"),
    (error) =>
      Reporter.warn(
        `${releaseLabel(release)} is live, but the journal could not be written: the next deploy tries again. ${error.message}`
      )
  )
})

const isCurrent = ({ current }: HostState, { ref }: Named): boolean => current._tag === "Linked" && current.ref === ref

/** The release or link that becomes current again, for errors. */
export const backLabel = ({ back, release, state }: Live) => {
  if (back !== undefined) return { back: releaseLabel(back) }
  const link = linkBefore(state)
  if (link === undefined) return {}
  return isCurrent(state, release) ? { stays: true } : { back: `the link to ${link}` }
}

/** The release to go back to: the planned one, or the nearest before it that is whole. Undefined if there is none. */
export const wholeBack = (
  session: HostSession,
  state: HostState,
  back: HostRelease | undefined
): Effect.Effect<HostRelease | undefined, StepFailure> =>
  Effect.gen(function* () {
    if (back === undefined) return undefined
    const verdicts = yield* session.verify([back.ref], "paths")
    const faults = verdicts.flatMap(({ faults }) => faults)
    if (faults.length === 0) return back
    yield* Reporter.warn(
      `${releaseLabel(back)} on ${session.address} is not whole (${faults.slice(0, 3).join(", ")}), so the host does not go back to it: repair it with ${typed("deploy", { target: session.target.key, release: shortRef(back.ref), retry: true })}`
    )
    return yield* wholeBack(session, state, previousRelease(state, back.ref))
  })

/** Whether a release is no longer current, though the host did not go back from it by itself. */
const isReplaced = (state: HostState, release: Named): boolean => {
  if (isCurrent(state, release)) return false
  const last = lastLink(state.journal)
  return last?.event === "rolledBack"
    ? last.from !== release.ref
    : last?.event !== "unlinked" || last.release?.ref !== release.ref
}

/** The failure if somebody made another release current meanwhile: nobody knows which release the check was about. */
const replaced = (session: HostSession, release: Named, message: string) =>
  new HostStepFailed({
    target: session.target.key,
    address: session.address,
    step: `judge ${releaseLabel(release)}`,
    detail: `deployer_${release.ref} is no longer current: somebody made another release current. Nothing was changed or journaled. ${message}`
  })

/**
 * Stops a failed first release with the target's own command while it is still current, because `deployer stop` has no release afterwards.
 * Returns whether that succeeded, or undefined if the target has no such command.
 */
const stopFirst = Effect.fnUntraced(function* (session: HostSession, { release, stop }: Live) {
  if (stop === undefined) return undefined
  yield* Reporter.note(`There is nothing to go back to. Stopping ${releaseLabel(release)}: ${shownCommand(stop)}`)
  const failure = yield* session.run(stop, { ref: release.ref, name: release.name }).pipe(
    Effect.map(({ status }) => (status === 0 ? undefined : `it ended with status ${status}`)),
    Effect.catchIf(isFault, ({ message }) => Effect.succeed(message))
  )
  if (failure === undefined) return true
  yield* Reporter.warn(`The stop command "${shownCommand(stop)}" of ${releaseLabel(release)} failed: ${failure}`)
  return false
})

/** Why a host goes back. */
interface Reason {
  /** A sentence for people, without its full stop. */
  readonly message: string
  /** A clause for the journal. */
  readonly journaled: string
  /** Whether the release failed on this host. Otherwise it is not marked. */
  readonly isOwn: boolean
  /** The failure if somebody made another release current meanwhile. */
  readonly replaced: HostStepFailed
}

const labels = (session: HostSession, live: Live, { message }: Reason) => ({
  target: session.target.key,
  address: session.address,
  release: releaseLabel(live.release),
  reason: message,
  ...backLabel(live)
})

/** Goes back, and tells how that ended. */
const leave = Effect.fnUntraced(function* (session: HostSession, planned: Live, reason: Reason) {
  const { release, state } = planned
  const orFailed = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>, live: Live) =>
    Effect.mapError(effect, (error) => new RollbackFailed({ ...labels(session, live, reason), failure: error.message }))
  const now = yield* orFailed(session.inspect, planned)
  if (isReplaced(now, release)) return yield* reason.replaced
  const chosen = backOfNow(now, planned)
  const back = yield* orFailed(wholeBack(session, now, chosen.back), planned)
  const stays = back === undefined && (chosen.back !== undefined || isCurrent(state, release))
  const live: Live = { ...chosen, back }
  const isFirst = back === undefined && !stays && linkBefore(state) === undefined
  const tell = reason.isOwn ? Reporter.warn : Reporter.note
  yield* tell(stays || isFirst ? reason.message : `${reason.message}: going back`)
  let stopped: boolean | undefined
  // A release that was once healthy is not marked for a failure of today, nor for one that it shares with the way back.
  const wasWell = standing(state.journal, release.ref) === "healthy"
  const unhealthy = reason.isOwn ? [yield* entry("unhealthy", release, { detail: reason.journaled })] : []
  const cause = reason.isOwn ? {} : { detail: reason.journaled }
  const returned = Effect.gen(function* () {
    if (back === undefined) {
      // There is nothing better.
      if (stays) return wasWell || unhealthy.length === 0 ? undefined : yield* session.note(unhealthy)
      const restore = linkBefore(state)
      if (restore === undefined) stopped = yield* stopFirst(session, live)
      const detail =
        restore === undefined ? "there was nothing to go back to" : `the link to ${restore} was put back`.slice(0, 1000)
      const unlinked = yield* entry("unlinked", release, { detail, ...cause })
      return yield* session.deactivate({
        ...(restore === undefined ? {} : { restore }),
        entries: [...unhealthy, unlinked]
      })
    }
    const returned = yield* entry("rolledBack", back, { from: release.ref, ...cause })
    yield* session.activate(back.ref, { entries: wasWell ? [returned] : [...unhealthy, returned] })
    yield* prove(session, back, planned).pipe(Reporter.about({ release: back, steps: [] }))
    if (wasWell && unhealthy.length > 0) yield* session.note(unhealthy)
    yield* noteHealthy(session, back, { unlocks: true, wasChecked: isChecked(planned) })
  })
  yield* orFailed(returned, live)
  return { live, stays, stopped, isMarked: back !== undefined || !stays || !wasWell }
})

/** Goes back because the release failed on this host: `RolledBack`, or `RollbackFailed`. */
export const goBack = Effect.fnUntraced(function* (session: HostSession, planned: Live, fault: Fault) {
  const reason: Reason = {
    message: fault.message,
    journaled: journaled(fault),
    isOwn: true,
    replaced: replaced(session, planned.release, fault.message)
  }
  const { isMarked, live, stays, stopped } = yield* leave(session, planned, reason)
  return yield* new RolledBack({
    ...labels(session, live, reason),
    ...(stopped === undefined ? {} : { stopped }),
    ...(stays ? { back: undefined, stays } : {}),
    ...(isMarked ? {} : { isMarked })
  })
})

/**
 * Goes back although the release is well on this host, for a reason elsewhere. The release is not marked as failed. Returns whether the release
 * stays, because there is nothing to go back to.
 */
export const recall = Effect.fnUntraced(function* (session: HostSession, live: Live, why: string) {
  const {
    live: left,
    stays,
    stopped
  } = yield* leave(session, live, {
    message: why,
    journaled: why,
    isOwn: false,
    replaced: replaced(session, live.release, why)
  })
  if (left.back === undefined && !stays && stopped !== true && linkBefore(live.state) === undefined) {
    yield* Reporter.warn(
      `Nothing is current on ${session.address} now, but processes of ${releaseLabel(live.release)} may still run: end them there with ${typed("ssh", { target: session.target.key })}`
    )
  }
  return { stays }
})
