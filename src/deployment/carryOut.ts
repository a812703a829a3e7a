/**
 * Carries out a plan: the steps of a deployment, without a question.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { HostRelease, recordOf, Unfinished } from "../domain/HostState.ts"
import { type DeployPlan, hookSteps, releaseLabel, type Step } from "../domain/Plan.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { goLive } from "./goLive.ts"
import { isLiveStep, type Live, noteFailed, runHook } from "./prove.ts"
import { prune } from "./prune.ts"
import { stage, verify, type Wish } from "./stage.ts"

/** Carries out all steps of a plan, under a lock. */
export const carryOut = Effect.fn("carryOut")(function* (session: HostSession, plan: DeployPlan, wish: Wish) {
  const live = yield* makeReady(session, plan, wish)
  if (live === undefined) return
  yield* goLive(session, live)
  yield* removeOld(session, plan)
})

/** Removes the releases beyond those that the target keeps, if the plan has that step. */
export const removeOld = (session: HostSession, { steps }: Pick<AnyPlan, "steps">) => {
  const step = steps.find(({ _tag }) => _tag === "Prune")
  return step?._tag === "Prune" ? Reporter.during(step)(prune(session, step)) : Effect.void
}

/** Carries out the steps before the switch. Returns the release to make live, or undefined if the plan has no steps for that. */
export const makeReady = Effect.fn("makeReady")(function* (session: HostSession, plan: DeployPlan, wish: Wish) {
  const { back, goesBack, release, state, steps, stop } = plan
  const lives = steps.findIndex(isLiveStep)
  const until = lives < 0 ? steps.length : lives
  let record = recordOf(release, state, yield* DateTime.now)
  const before = steps.slice(0, until)
  const { current } = state
  const isLive = current._tag === "Linked" ? `${shortRef(current.ref)} is still current` : "nothing was switched"
  const interrupted = Reporter.warn(
    `Interrupted before the switch: ${isLive} on ${session.address}, and the next deploy of ${releaseLabel(release)} continues there`
  )
  const isRun = (step: Step | undefined) => step?._tag === "Run"
  let isReplaced = false
  for (const [index, step] of before.entries()) {
    const replaces = yield* carryOutStep(session, plan, wish, record, step).pipe(Effect.onInterrupt(() => interrupted))
    if (replaces === true) {
      // The new folder has neither the record of the old one nor the changes of its commands.
      isReplaced = true
      record = HostRelease.make({ ...record, altered: false })
      if (!before.some(isRun)) before.push(...hookSteps(session.target, "afterUnpack"))
    }
    if (isRun(step) && !isRun(before[index + 1])) {
      record = HostRelease.make({ ...record, altered: yield* findAltered(session, release) })
    }
  }
  if (lives < 0) return undefined
  const live: Live = {
    release,
    state,
    record,
    steps: steps
      .filter(isLiveStep)
      .map((step) => (isReplaced && step._tag === "Switch" ? { ...step, records: true } : step)),
    goesBack,
    back,
    stop,
    event: "switched",
    unlocks: steps.every(({ _tag }) => _tag !== "Prune")
  }
  return live
})

/** Makes the host record the files that the commands changed: later checks expect these. */
const findAltered = Effect.fnUntraced(function* (session: HostSession, release: Release) {
  const paths = yield* session.alterations(release.ref)
  if (paths.length === 0) return false
  const more = paths.length > 5 ? ` and ${paths.length - 5} more` : ""
  yield* Reporter.note(
    `afterUnpack changed ${paths.slice(0, 5).join(", ")}${more}: checks expect ${paths.length === 1 ? "this change" : "these changes"} from now on`
  )
  return true
})

/** Carries out one step before the switch. */
export const carryOutStep = (session: HostSession, plan: DeployPlan, wish: Wish, record: HostRelease, step: Step) =>
  carryOutNow(session, plan, wish, record, step).pipe(Reporter.during(step))

const carryOutNow = Effect.fnUntraced(function* (
  session: HostSession,
  { release, state, steps }: DeployPlan,
  wish: Wish,
  record: HostRelease,
  step: Step
) {
  switch (step._tag) {
    case "Prepare":
      yield* session.prepare
      return yield* Reporter.note(`First contact: made ${state.path} with config/ and releases/ on ${session.address}`)
    case "Discard":
      yield* session.discard(step.unfinished)
      return yield* Reporter.note(`Removed the unfinished deployment of ${shortRef(step.unfinished.ref)}`)
    case "Stage":
      return yield* stage(session, { release, state }, wish, step)
    case "Verify":
      return yield* verify(session, { release }, wish, step)
    case "Run": {
      const stays = state.releases.some(({ ref }) => ref === release.ref)
      // An earlier deployment may have made hard links, when there was no such command yet.
      const ownsFiles = steps.every(({ _tag }) => _tag !== "Stage")
      return yield* runHook(session, release, step, { ownsFiles, stays }).pipe(
        Effect.tapErrorTag("HookFailed", (failed) =>
          Effect.zipRight(
            // The half-prepared folder must not look like a release, and its note would only make the next deployment ask.
            stays ? Effect.void : session.discard(Unfinished.make({ ref: release.ref, kind: "release", received: 0 })),
            noteFailed(session, release, failed)
          )
        )
      )
    }
    case "Record":
      return yield* session.record(record)
  }
})
