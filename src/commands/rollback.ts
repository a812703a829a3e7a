/**
 * `rollback`: makes the previous healthy release live again.
 */

import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { goLive } from "../deployment/goLive.ts"
import { takeLock } from "../deployment/locking.ts"
import { failUnlessDeployed, failUnlessWhole, inspectDeployed, orUnfit, pick } from "../deployment/onHost.ts"
import { isLiveStep } from "../deployment/prove.ts"
import { type HostRelease, type HostState, inOrder, previousRelease } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { failureOf } from "../domain/Journal.ts"
import { planRollback as plan, RollbackPlan, releaseLabel } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import { savedPlan } from "../domain/SavedPlan.ts"
import { address } from "../domain/Target.ts"
import { StepTime } from "../domain/Work.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import type { View } from "../terminal/Answer.ts"
import { dateTime, duration } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { sign } from "../terminal/signs.ts"
import { connect } from "./connect.ts"
import { Declined } from "./Declined.ts"
import { runsOnLine, stepTimes } from "./planView.ts"
import { planRollbackFleet, rollbackFleet } from "./rollbackFleet.ts"
import { rolloutTask } from "./rolloutTask.ts"
import { optional, value } from "./Task.ts"

/** There is no release to go back to. */
export class NothingToRollBackTo extends Schema.TaggedError<NothingToRollBackTo>()("NothingToRollBackTo", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The complete releases on the host. The current one and those that failed are marked, with the reason. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("rollback", { target: this.target, to: "REF" })]
  }
  override get message(): string {
    const { address, known, next } = this
    return known.length === 0
      ? `There is no previous healthy release on ${address}, and no other one: deploy one`
      : `There is no previous healthy release on ${address}. It has ${known.join(", ")}. Name one with ${commandLine(next[0])}, or deploy one`
  }
}

/** The result of a rollback. */
export class RollbackReport extends Schema.TaggedClass<RollbackReport>()("RollbackReport", {
  plan: RollbackPlan,
  /** In milliseconds. */
  millis: Schema.NonNegative,
  /** The time of each step, with those beside the plan. */
  steps: Schema.Array(StepTime)
}) {}

/** Which release to go back to, and on which target. */
export interface RollbackOptions {
  /** A key of `targets`. */
  readonly target: string
  /** An id, a ref or the beginning of a ref of a release on the host. Default: the last one that was live and healthy. */
  readonly to?: string | undefined
}

/** Makes an earlier release live, with the hooks, the restart and the checks of a deployment. */
export const rollback = Effect.fn("rollback")(function* (options: RollbackOptions) {
  return yield* rollBackTo(connect(options.target), (session, state) => chooseByHand(session, state, options.to))
}, Effect.scoped)

/** The failures of `rollback`. */
export type RollbackError = Effect.Effect.Error<ReturnType<typeof rollback>>
/** The services that `rollback` needs. */
export type RollbackServices = Effect.Effect.Context<ReturnType<typeof rollback>>

/** Plans what `rollback` would do, and changes nothing. Asks the same questions. */
export const planRollback = Effect.fn("planRollback")(function* (options: RollbackOptions) {
  const session = yield* connect(options.target)
  const plan = yield* planFor(session, yield* inspectDeployed(session), (session, state) =>
    chooseByHand(session, state, options.to)
  )
  return savedPlan(plan, session.target, yield* DateTime.now)
}, Effect.scoped)

/** Makes the chosen release of the host live, unless `agree` rejects the plan. */
export const rollBackTo = Effect.fn("rollBackTo")(function* <E, R, E2, R2, E3 = never>(
  connecting: Effect.Effect<HostSession, E, R>,
  choose: (session: HostSession, state: HostState) => Effect.Effect<HostRelease, E2, R2>,
  agree: (plan: RollbackPlan) => Effect.Effect<void, E3> = () => Effect.void
) {
  const [{ elapsed, plan }, steps] = yield* Effect.gen(function* () {
    const session = yield* connecting
    const [elapsed, plan] = yield* rollBackNow(session, choose, agree).pipe(
      Effect.timed,
      Reporter.about({ target: session.target.key })
    )
    return { elapsed, plan }
  }).pipe(Reporter.timed)
  return RollbackReport.make({ plan, millis: Duration.toMillis(elapsed), steps })
})

const rollBackNow = Effect.fnUntraced(function* <E, R, E2>(
  session: HostSession,
  choose: (session: HostSession, state: HostState) => Effect.Effect<HostRelease, E, R>,
  agree: (plan: RollbackPlan) => Effect.Effect<void, E2>
) {
  const seen = yield* failUnlessDeployed(session, yield* takeLock(session, "rollback"))
  const plan = yield* planFor(session, seen, choose)
  yield* agree(plan)
  const { release, steps } = plan
  const verify = steps.find(({ _tag }) => _tag === "Verify")
  if (verify !== undefined) {
    yield* failUnlessWhole(session, release).pipe(Reporter.during(verify), Reporter.about({ release, steps }))
  }
  const live = steps.filter(isLiveStep)
  if (live.length > 0) {
    yield* goLive(session, { ...plan, steps: live, event: "rolledBack", unlocks: true }).pipe(
      Reporter.about({ release, steps })
    )
  }
  return plan
})

/** Chooses a release, and plans the rollback to it. */
export const planFor = Effect.fnUntraced(function* <E, R>(
  session: HostSession,
  state: HostState,
  choose: (session: HostSession, state: HostState) => Effect.Effect<HostRelease, E, R>
) {
  const release = yield* choose(session, state)
  return yield* orUnfit(session, plan(state, { target: session.target, release }))
})

const chooseByHand = (session: HostSession, state: HostState, to: string | undefined) =>
  Effect.tap(choose(session, state, to), (release) => confirmFailed(session, state, release))

const choose = Effect.fnUntraced(function* (session: HostSession, state: HostState, to: string | undefined) {
  if (to !== undefined) return yield* pick(session, state, to)
  return (
    previousRelease(state) ??
    (yield* new NothingToRollBackTo({
      target: session.target.key,
      address: session.address,
      known: inOrder(state).map(marked(state))
    }))
  )
})

/** A release with the reason why no rollback goes to it. */
const marked =
  ({ currentRelease, journal }: HostState) =>
  (release: HostRelease): string => {
    const failure = failureOf(journal, release.ref)
    const marks = [
      ...(currentRelease?.ref === release.ref ? ["current"] : []),
      ...(failure === undefined ? [] : [`failed: ${failure.detail ?? "no reason was recorded"}`])
    ]
    return `${releaseLabel(release)}${marks.length === 0 ? "" : ` (${marks.join("; ")})`}`
  }

/** Asks for confirmation if the named release failed here before. */
const confirmFailed = Effect.fnUntraced(function* (session: HostSession, state: HostState, release: HostRelease) {
  const failure = failureOf(state.journal, release.ref)
  if (failure === undefined) return
  const agreed = yield* (yield* Prompt).confirm({
    message: `${releaseLabel(release)} failed on ${address(session.target)} at ${dateTime(failure.at)} UTC (${failure.detail ?? "no reason was recorded"}). Go to ${shortRef(release.ref)} anyway?`,
    initial: false,
    safe: false,
    hint: "name another release, or answer on a terminal"
  })
  if (!agreed) return yield* new Declined({ consequence: "nothing was switched" })
})

/** The release that is live again. */
export const rollbackView =
  ({ millis, plan, steps }: RollbackReport): View =>
  (columns) => {
    const where = `${plan.address}:${plan.state.path}`
    return plan.steps.length === 0
      ? `${sign.good} ${releaseLabel(plan.release)} is live at ${where} already: nothing to do`
      : `${sign.good} ${releaseLabel(plan.release)} is live again at ${where}, in ${duration(millis)}\n${stepTimes(steps)(columns)}${runsOnLine(plan)}`
  }

/** The command. */
export const rollbackTask = rolloutTask("rollback", {
  group: "go back",
  description: "Goes back to the previous healthy release. Runs the same hooks, restart and health check as deploy.",
  examples: [
    "deployer rollback target=prod",
    "deployer rollback target=prod to=844C",
    "deployer rollback group=web plan"
  ],
  options: {
    to: optional(
      value({
        name: "to",
        placeholder: "R",
        completes: "ref",
        description: "the ref or id of a release on the host; default: the previous healthy one"
      })
    )
  },
  report: { schema: RollbackReport, view: rollbackView },
  one: (target, { to }) => ({ plan: planRollback({ target, to }), run: rollback({ target, to }) }),
  many: (words, { to }) => ({ plan: planRollbackFleet({ ...words, to }), run: rollbackFleet({ ...words, to }) })
})
