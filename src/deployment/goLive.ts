/**
 * Makes a release live and proves it: the switch, and the steps after it. Deployments and rollbacks both run this code.
 */

import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Schedule from "effect/Schedule"
import { linkBefore } from "../domain/HostState.ts"
import { releaseLabel, type Step } from "../domain/Plan.ts"
import { type HostSession, RemoteHost, type StepFailure } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { backLabel, backOfNow, goBack, isChecked, isDisplaced, noteHealthy, wholeBack } from "./goBack.ts"
import { entry } from "./journal.ts"
import { NotConfirmed, type RollbackFailed, RolledBack } from "./liveFailures.ts"
import { type Fault, isFault, type Live, noteFailed, prove } from "./prove.ts"

/** The dead-man's switch of a live release: its id, and the time when it acts, in milliseconds since 1970. */
interface Armed {
  readonly id: string
  readonly end: number
}

/** A release that is current and proven, before its deployment is final. */
export interface Proven {
  readonly live: Live
  /** Undefined if the host does not go back by itself. */
  readonly armed: Armed | undefined
  /** Whether the switch has already made the deployment final. */
  readonly isSettled: boolean
}

/**
 * Switches to a release and runs the steps after the switch. If one of them fails and the plan goes back, the host goes back: `RolledBack`,
 * or `RollbackFailed`.
 */
export const switchTo = Effect.fn("switchTo")(function* (session: HostSession, live: Live) {
  const { event, record, release, state, steps, unlocks } = live
  const arms = steps.find((step) => step._tag === "Arm")
  const switches = steps.find((step) => step._tag === "Switch")
  const armed = arms === undefined ? undefined : yield* Reporter.during(arms)(armWhole(session, live, arms))
  if (switches !== undefined) {
    const from = state.current._tag === "Linked" ? { from: state.current.ref } : {}
    const healthy = switches.settles ? [yield* entry("healthy", release)] : []
    yield* session
      .activate(release.ref, {
        entries: [yield* entry(event, release, from), ...healthy],
        armed: armed?.id,
        record: switches.records ? record : undefined,
        unlocks: unlocks && switches.settles
      })
      .pipe(
        Reporter.during(switches),
        Effect.onError((cause) => warnUnsettled(session, live, "may be")(cause))
      )
    const { current } = state
    const before = current._tag === "Foreign" ? ` (it led to ${current.to} before, which deployer did not make)` : ""
    yield* Reporter.note(`Switched current to ${releaseLabel(release)}${before}`)
    if (switches.settles) return { live, armed, isSettled: true }
  }
  yield* prove(session, release, live).pipe(
    Effect.onInterrupt(() => unsettled(session, live, "is")),
    Effect.catchIf(isFault, (fault) =>
      live.goesBack
        ? goBack(session, live, fault)
        : Effect.zipRight(
            noteFailed(session, release, fault, { live: release.ref }),
            Effect.fail<Fault | RolledBack | RollbackFailed>(fault)
          )
    ),
    Effect.tapErrorCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.void : warnUnsettled(session, live, "is")(cause)
    )
  )
  return { live, armed, isSettled: false }
})

/** Makes the deployment of a proven release final: the journal calls it healthy. */
export const settle = (session: HostSession, { armed, isSettled, live }: Proven) => {
  const step = live.steps.find(({ _tag }) => _tag === "Settle")
  const settled = isSettled ? Effect.void : settleNow(session, live, armed)
  return settled.pipe(step === undefined ? identity : Reporter.during(step))
}

/** Switches to a release, runs the steps after the switch, and journals the release as healthy. */
export const goLive = Effect.fn("goLive")(function* (session: HostSession, live: Live) {
  yield* settle(session, yield* switchTo(session, live))
})

const unsettled = (session: HostSession, { release, steps }: Live, is: string) =>
  Reporter.warn(
    steps.every(({ _tag }) => _tag !== "Arm")
      ? `${releaseLabel(release)} ${is} current on ${session.address}, and the steps after the switch are not done: the next deploy of it resumes there`
      : `${releaseLabel(release)} ${is} current on ${session.address}: unless it is confirmed, the host goes back by itself`
  )

// A missing answer does not mean that the step was not done. The user may also have interrupted it.
const warnUnsettled =
  (session: HostSession, live: Live, is: string) =>
  (cause: Cause.Cause<{ readonly _tag: string }>): Effect.Effect<void> => {
    const failure = Cause.failureOption(cause)
    // A host that refuses the switch has not switched, as the error says.
    const isAway =
      failure._tag === "None" ||
      failure.value._tag === "HostUnreachable" ||
      (failure.value._tag === "LockLost" && is === "is")
    return isAway || (is === "may be" && failure.value._tag === "CommandTimeout")
      ? unsettled(session, live, is)
      : Effect.void
  }

type Arm = Extract<Step, { readonly _tag: "Arm" }>

/** A placeholder: the host fills in the time when the event happens. */
const unknownTime = DateTime.unsafeMake(0)

const arm = Effect.fnUntraced(function* (
  session: HostSession,
  { back, release, state }: Live,
  { command, seconds }: Arm
) {
  const about = { at: unknownTime, detail: "nobody confirmed it in time: the host went back by itself" }
  const from = { ...about, from: release.ref }
  const id = yield* session.arm({
    ref: release.ref,
    back,
    restore: linkBefore(state),
    seconds,
    command,
    entries: [
      yield* entry("unhealthy", release, about),
      back === undefined ? yield* entry("unlinked", release, about) : yield* entry("rolledBack", back, from)
    ]
  })
  yield* Reporter.note(
    `Armed: unless it is confirmed within ${Duration.format(Duration.seconds(seconds))}, the host goes back by itself`
  )
  return { id, end: (yield* monotonicMillis) + seconds * 1000 }
})

/** The host must not go back by itself to a release that lacks files. */
const armWhole = Effect.fnUntraced(function* (session: HostSession, live: Live, step: Arm) {
  const back = yield* wholeBack(session, live.state, live.back)
  return yield* armForUs(session, { ...live, back }, step)
})

/**
 * Arming replaces an armed dead-man's switch of somebody else. If that one has acted in the meantime, ours gets another release to go back
 * to.
 */
const armForUs = Effect.fnUntraced(function* (session: HostSession, live: Live, step: Arm) {
  const first = yield* arm(session, live, step)
  const now = yield* withBackOfNow(session, live)
  return now.back?.ref === live.back?.ref ? first : yield* arm(session, now, step)
})

/**
 * If an abandoned dead-man's switch was armed at the time of the look, it may have acted since, in spite of the lock. So the way back is
 * determined again, after only our switch can be armed.
 */
const withBackOfNow = (session: HostSession, live: Live): Effect.Effect<Live, StepFailure> =>
  live.state.armed === undefined ? Effect.succeed(live) : Effect.map(session.inspect, (state) => backOfNow(state, live))

const settleNow = Effect.fnUntraced(function* (session: HostSession, live: Live, deadMan: Armed | undefined) {
  const { release } = live
  const wasChecked = isChecked(live)
  if (deadMan === undefined) return yield* noteHealthy(session, release, { ...live, wasChecked })
  const healthy = [yield* entry("healthy", release, { wasChecked })]
  const confirmed = yield* confirm(session, deadMan.id, release.ref, healthy).pipe(
    Effect.retry({
      while: (error) =>
        isDisplaced(error)
          ? Effect.succeed(false)
          : Effect.map(monotonicMillis, (now) => now < deadMan.end + graceMillis),
      schedule: confirmPause
    }),
    Effect.mapError((error) =>
      isDisplaced(error)
        ? error
        : new NotConfirmed({
            target: session.target.key,
            address: session.address,
            release: releaseLabel(release),
            reason: error.message
          })
    )
  )
  if (confirmed) return yield* Reporter.note(`Confirmed ${releaseLabel(release)} over a new connection`)
  return yield* new RolledBack({
    target: session.target.key,
    address: session.address,
    release: releaseLabel(release),
    reason: `${releaseLabel(release)} was not confirmed in time, and the host went back by itself`,
    ...backLabel(live)
  })
})

const confirm = (session: HostSession, id: string, ref: string, healthy: Parameters<HostSession["confirm"]>[2]) =>
  Effect.gen(function* () {
    const again = yield* (yield* RemoteHost).connect(session.target)
    return yield* again.confirm(id, ref, healthy)
  }).pipe(Effect.scoped)

/** How long after the deadline to keep asking the host for its decision. */
const graceMillis = 20_000
const confirmPause = Schedule.spaced(Duration.seconds(2))
