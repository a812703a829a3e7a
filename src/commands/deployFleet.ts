/**
 * `deploy` to many targets as one rollout: all are asked first, all get the files, and then they go live in waves. They go back together if
 * too many fail.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { carryOutStep, makeReady } from "../deployment/carryOut.ts"
import { finishAdoptions, orUnfit } from "../deployment/onHost.ts"
import { findOrigins } from "../deployment/origins.ts"
import { type HostState, recordOf } from "../domain/HostState.ts"
import { standing } from "../domain/Journal.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { type DeployPlan, plan as planDeployment, releaseLabel } from "../domain/Plan.ts"
import { builderOf, described, isBuiltFor } from "../domain/Provenance.ts"
import { latest, Release } from "../domain/Release.ts"
import type { Policy, RolloutPlan } from "../domain/Rollout.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { counted } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import type { FleetWords } from "../workspace/Fleet.ts"
import { findCandidates, planRelease } from "./chooseRelease.ts"
import { Declined } from "./Declined.ts"
import { carryOutAll, failedBefore, failUnlessWell, planAll, type Seen } from "./rollout.ts"

/** What to deploy, to which targets, and how. */
export interface DeployFleetOptions extends FleetWords {
  /** Id, name, ref or the beginning of a ref. Default: the latest of the first target's name, after a question. */
  readonly release?: string | undefined
  /** Whether to deploy again where the release failed before, or is not live and healthy. Default: no. */
  readonly retry?: boolean | undefined
  /** Settings in place of those of the group. */
  readonly policy?: Partial<Policy> | undefined
}

/** The reasons against a release on one target. */
const misfits = (seen: Seen, release: Release, isNamed: boolean, retry: boolean) => {
  const { target } = seen
  return [
    ...(release.name === target.name ? [] : [`it runs ${target.name}, and the release is one of ${release.name}`]),
    ...(isNamed || isBuiltFor(release, target)
      ? []
      : [
          `builder ${release.metadata.builder} made the release, not builder ${builderOf(target)}: name it with release=${release.id}`
        ]),
    ...(retry ? [] : failedBefore(seen, release, "to deploy it anyway, say retry"))
  ]
}

/** The plan of one member, and the work that it is made of. */
const planMember = Effect.fnUntraced(function* (
  { session, state, target }: Seen,
  release: Release,
  manifest: Manifest,
  again: boolean
) {
  const wish = { manifest, origins: yield* findOrigins(session, state, release) }
  const isWell = state.currentRelease?.ref === release.ref && standing(state.journal, release.ref) === "healthy"
  // A member that is well keeps its way back: to the release itself.
  const options = { release, ...wish, target, removeUnfinished: false, again: again && !isWell }
  const plan: DeployPlan = yield* orUnfit(session, planDeployment(state, options))
  const first = Effect.gen(function* () {
    const record = recordOf(release, state, yield* DateTime.now)
    for (const step of plan.steps.filter(({ _tag }) => _tag === "Prepare")) {
      yield* carryOutStep(session, plan, wish, record, step)
    }
  })
  return { session, plan, first, ready: makeReady(session, plan, wish), well: failUnlessWell(session, release) }
})

const prepare = ({ policy = {}, release: selector, retry = false, ...words }: DeployFleetOptions) =>
  planAll(words, policy, ([first]) =>
    Effect.gen(function* () {
      const release = yield* planRelease(first.target, first.state, yield* findCandidates(first.target, selector))
      const manifest = yield* (yield* ReleaseStore).manifest(release)
      const isNamed = selector !== undefined && selector !== latest && selector !== first.target.name
      const planOne = (seen: Seen) => planMember(seen, release, manifest, retry)
      return {
        release,
        plan: (seen: Seen) =>
          Effect.map(planOne(seen), (member) => ({
            ...member,
            again: (state: HostState) =>
              Effect.flatMap(finishAdoptions(seen.session, state), (state) => planOne({ ...seen, state }))
          })),
        misfits: (seen: Seen) => misfits(seen, release, isNamed, retry)
      }
    })
  )

/** Plans what `deployFleet` would do, and changes nothing. */
export const planFleet = Effect.fn("planFleet")(function* (options: DeployFleetOptions) {
  const { plan } = yield* prepare(options)
  return plan
}, Effect.scoped)

/** Asks whether to deploy the release that nobody named. */
const confirm = Effect.fnUntraced(function* ({ members, release }: RolloutPlan) {
  const keys = members.map(({ target }) => target)
  const label = release instanceof Release ? described(release, yield* DateTime.now) : releaseLabel(release)
  const agreed = yield* (yield* Prompt).confirm({
    message: `Deploy ${label} to ${counted(keys.length, "target")} (${keys.join(", ")})?`,
    initial: true,
    safe: true,
    hint: `name it with release=${release.id}, or answer with yes`
  })
  if (!agreed) return yield* new Declined({ consequence: "nothing was deployed" })
})

/** Deploys a release to many targets in waves. A failure of a target is part of the report. */
export const deployFleet = Effect.fn("deployFleet")(function* (options: DeployFleetOptions) {
  const { members, plan } = yield* prepare(options)
  if (options.release === undefined) yield* confirm(plan)
  return yield* carryOutAll("deploy", plan, members)
}, Effect.scoped)

/** The failures of `deployFleet`, which concern all targets. */
export type DeployFleetError = Effect.Effect.Error<ReturnType<typeof deployFleet>>
/** The services that `deployFleet` needs. */
export type DeployFleetServices = Effect.Effect.Context<ReturnType<typeof deployFleet>>
