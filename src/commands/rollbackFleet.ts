/**
 * `rollback` of many targets as one rollout: all have the same release to go back to, and they go live in waves.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { failUnlessDeployed, failUnlessWhole, orUnfit, pick } from "../deployment/onHost.ts"
import { isLiveStep, type Live } from "../deployment/prove.ts"
import { type HostRelease, type HostState, previousRelease } from "../domain/HostState.ts"
import { planRollback, releaseLabel } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import type { Policy } from "../domain/Rollout.ts"
import * as Reporter from "../terminal/Reporter.ts"
import type { FleetWords } from "../workspace/Fleet.ts"
import { carryOutAll, failedBefore, failUnlessWell, planAll, type Seen } from "./rollout.ts"

/** Which targets go back, where to, and how. */
export interface RollbackFleetOptions extends FleetWords {
  /** A ref or the beginning of a ref, or an id, of a release on all hosts. Default: the previous healthy one, if it is the same everywhere. */
  readonly to?: string | undefined
  /** Settings in place of those of the group. */
  readonly policy?: Partial<Policy> | undefined
}

/** A target does not go back with the others. */
class CannotGoBack extends Schema.TaggedError<CannotGoBack>()("CannotGoBack", { message: Schema.String }) {}

/** The release that one target goes back to. */
const choose = ({ session, state }: Seen, to: string | undefined) =>
  Effect.gen(function* () {
    yield* failUnlessDeployed(session, state)
    if (to !== undefined) return yield* pick(session, state, to)
    return (
      previousRelease(state) ??
      (yield* new CannotGoBack({
        message: "it has no previous healthy release: leave it out with except=, or name a release with to="
      }))
    )
  })

/** The plan of one member, and the work that it is made of. All members go to one release. */
const planMember = Effect.fnUntraced(function* (
  { session, state, target }: Seen,
  { release: common, target: first }: { readonly release: HostRelease; readonly target: string },
  to: string | undefined
) {
  const release = yield* choose({ session, state, target }, to)
  if (release.ref !== common.ref) {
    return yield* new CannotGoBack({
      message: `it would go back to ${releaseLabel(release)}, but ${first} to ${releaseLabel(common)}: name one with to=REF`
    })
  }
  const plan = yield* orUnfit(session, planRollback(state, { target, release }))
  const ready = Effect.gen(function* () {
    const verify = plan.steps.find(({ _tag }) => _tag === "Verify")
    if (verify !== undefined) yield* Reporter.during(verify)(failUnlessWhole(session, release))
    const steps = plan.steps.filter(isLiveStep)
    const live: Live = { ...plan, steps, event: "rolledBack", unlocks: false }
    return steps.length === 0 ? undefined : live
  })
  return { session, plan, first: Effect.void, ready, well: failUnlessWell(session, release) }
})

const prepare = ({ policy = {}, to, ...words }: RollbackFleetOptions) =>
  planAll(words, policy, (seen) =>
    Effect.gen(function* () {
      const chosen = yield* Effect.forEach(seen, (one) =>
        Effect.option(Effect.map(choose(one, to), (release) => ({ release, target: one.target.key })))
      )
      const [first] = Arr.getSomes(chosen)
      return {
        release: first?.release,
        plan: (one: Seen) =>
          Effect.gen(function* () {
            // Without a release for any target, each one says why.
            const common = first ?? { release: yield* choose(one, to), target: one.target.key }
            const member = yield* planMember(one, common, to)
            return {
              ...member,
              again: (state: HostState) => planMember({ ...one, state }, common, shortRef(common.release.ref))
            }
          }),
        misfits: (one: Seen) => failedBefore(one, first?.release, "go back there alone, or leave it out with except=")
      }
    })
  )

/** Plans what `rollbackFleet` would do, and changes nothing. */
export const planRollbackFleet = Effect.fn("planRollbackFleet")(function* (options: RollbackFleetOptions) {
  const { plan } = yield* prepare(options)
  return plan
}, Effect.scoped)

/** Makes an earlier release live on many targets, in waves. A failure of a target is part of the report. */
export const rollbackFleet = Effect.fn("rollbackFleet")(function* (options: RollbackFleetOptions) {
  const { members, plan } = yield* prepare(options)
  return yield* carryOutAll("rollback", plan, members)
}, Effect.scoped)

/** The failures of `rollbackFleet`, which concern all targets. */
export type RollbackFleetError = Effect.Effect.Error<ReturnType<typeof rollbackFleet>>
/** The services that `rollbackFleet` needs. */
export type RollbackFleetServices = Effect.Effect.Context<ReturnType<typeof rollbackFleet>>
