/**
 * `deploy`: puts a stored release on a host. A look, a plan, its execution.
 */

import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { carryOut, carryOutStep } from "../deployment/carryOut.ts"
import { checkOnce, LiveUnhealthy } from "../deployment/health.ts"
import { takeLock } from "../deployment/locking.ts"
import { connectTo, finishAdoptions, orUnfit } from "../deployment/onHost.ts"
import { findOrigins } from "../deployment/origins.ts"
import { type HostState, recordOf } from "../domain/HostState.ts"
import { DeployPlan, plan, releaseLabel, unfinishedOthers, type Wanted } from "../domain/Plan.ts"
import { provenance } from "../domain/Provenance.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import { savedPlan } from "../domain/SavedPlan.ts"
import type { Target } from "../domain/Target.ts"
import { StepTime } from "../domain/Work.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, duration } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { sign } from "../terminal/signs.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { chooseRelease, confirmRetry, findCandidates, planRelease } from "./chooseRelease.ts"
import { Declined } from "./Declined.ts"
import { deployFleet, planFleet } from "./deployFleet.ts"
import { planReasons, runsOnLine, stepTimes } from "./planView.ts"
import { rolloutTask } from "./rolloutTask.ts"
import { flag, release } from "./Task.ts"

/** The release to deploy, and its target. */
export interface DeployOptions {
  /** A key of `targets`. */
  readonly target: string
  /** Id, name, ref or the beginning of a ref. Default: the latest of the target's name, after a question. */
  readonly release?: string | undefined
  /**
   * Whether to deploy a release that failed on this host before without a question; to verify a release that is already there, and replace
   * it if it is damaged; and to do all later steps again. Default: no.
   */
  readonly retry?: boolean | undefined
}

/** The result of a deployment. */
export class DeployReport extends Schema.TaggedClass<DeployReport>()("DeployReport", {
  plan: DeployPlan,
  /** From the look at the host to the end of the last step, in milliseconds. */
  millis: Schema.NonNegative,
  /** The time of each step, with those beside the plan. */
  steps: Schema.Array(StepTime)
}) {}

/** Deploys a release to a target and returns a report. */
export const deploy = Effect.fn("deploy")(function* (options: DeployOptions) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  return yield* deployTo(
    target,
    Effect.map(
      findCandidates(target, options.release),
      (candidates) => (state) =>
        Effect.flatMap(chooseRelease(target, state, candidates, options.retry === true), (release) =>
          confirmRetry(target, state, release, options.retry === true)
        )
    ),
    { again: options.retry === true }
  )
})

/** The failures of `deploy`. */
export type DeployError = Effect.Effect.Error<ReturnType<typeof deploy>>
/** The services that `deploy` needs. */
export type DeployServices = Effect.Effect.Context<ReturnType<typeof deploy>>

/**
 * Plans what `deploy` would do, and changes nothing. Asks the same questions about the release, except whether to take the latest. The
 * leftovers of other deployments stay.
 */
export const planDeploy = Effect.fn("planDeploy")(function* (options: DeployOptions) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  const store = yield* ReleaseStore
  const candidates = yield* findCandidates(target, options.release)
  const session = yield* connectTo(target)
  const state = yield* session.inspect
  const release = yield* planRelease(target, state, candidates)
  yield* confirmRetry(target, state, release, options.retry === true)
  const manifest = yield* store.manifest(release)
  const origins = yield* findOrigins(session, state, release)
  const plan = yield* makePlan(session, state, {
    release,
    manifest,
    origins,
    removeUnfinished: false,
    again: options.retry === true
  })
  return savedPlan(plan, target, yield* DateTime.now)
}, Effect.scoped)

/** Deploys this release, without asking which. */
export const deployRelease = (target: Target, release: Release) =>
  deployTo(
    target,
    Effect.succeed((state) => confirmRetry(target, state, release, false))
  )

type Choice<E, R, E2, R2> = Effect.Effect<(state: HostState) => Effect.Effect<Release, E, R>, E2, R2>

interface DeployHow<E> {
  readonly again?: boolean
  readonly agree?: (plan: DeployPlan) => Effect.Effect<void, E>
}

/**
 * Deploys a release chosen after the look at the host. The choice is prepared while the connection is made. With `agree` nothing is asked,
 * and no plan is carried out unless `agree` accepts it: neither the one from before the lock, nor the final one.
 */
export const deployTo = Effect.fn("deployTo")(function* <E, R, E2, R2, E3 = never>(
  target: Target,
  choice: Choice<E, R, E2, R2>,
  options: DeployHow<E3> = {}
) {
  const [{ millis, plan }, steps] = yield* Reporter.timed(deployNow(target, choice, options)).pipe(
    Reporter.about({ target: target.key })
  )
  return DeployReport.make({ plan, millis, steps })
}, Effect.scoped)

const deployNow = Effect.fnUntraced(function* <E, R, E2, R2, E3 = never>(
  target: Target,
  choice: Choice<E, R, E2, R2>,
  { again = false, agree }: DeployHow<E3>
) {
  const store = yield* ReleaseStore
  const connecting = yield* Effect.forkScoped(connectTo(target))
  const choose = yield* choice
  const session = yield* Effect.flatten(Fiber.await(connecting))
  const seen = yield* session.inspect
  const release = yield* choose(seen)
  const manifest = yield* store.manifest(release)
  const origins = yield* findOrigins(session, seen, release)
  const [elapsed, plan] = yield* Effect.timed(
    Effect.gen(function* () {
      // An impossible deployment is refused before anything is changed, and a finished one needs no lock.
      const wish = { release, manifest, origins, removeUnfinished: false, again }
      const before = yield* makePlan(session, seen, wish)
      if (agree !== undefined) yield* agree(before)
      if (before.steps.length === 0) return yield* failUnlessHealthy(session, before)
      const first = before.steps.filter(({ _tag }) => _tag === "Prepare")
      const record = recordOf(release, seen, yield* DateTime.now)
      for (const step of first) yield* carryOutStep(session, before, wish, record, step)
      const state = yield* finishAdoptions(session, yield* takeLock(session, "deploy"))
      const removeUnfinished = agree === undefined && (yield* askAboutUnfinished(session, state, release))
      const plan = yield* makePlan(session, state, { ...wish, removeUnfinished })
      yield* Effect.forEach(planReasons(plan), Reporter.detail, { discard: true })
      const steps = [...first, ...plan.steps]
      const whole = DeployPlan.make({ ...plan, steps })
      if (agree !== undefined) yield* agree(whole)
      if (target.hardLinks && plan.steps.some((step) => step._tag === "Stage" && step.taken > 0 && !step.hardLinks)) {
        yield* Reporter.note(
          "Files are copied although hardLinks is set: otherwise commands of afterUnpack could change the files of older releases"
        )
      }
      yield* carryOut(session, plan, wish).pipe(Reporter.about({ release, steps }))
      return whole.outcome === "nothing" ? yield* failUnlessHealthy(session, whole) : whole
    })
  )
  return { plan, millis: Duration.toMillis(elapsed) }
})

// What to do

/** The next deployment is the moment when somebody notices that the application is down, although nothing is to be deployed. */
const failUnlessHealthy = Effect.fnUntraced(function* (session: HostSession, plan: DeployPlan) {
  const { address, target } = session
  if (target.health === undefined) return plan
  const { check, detail, ok } = yield* checkOnce(session, plan.release, target.health)
  if (ok) return plan
  return yield* new LiveUnhealthy({ target: target.key, address, release: releaseLabel(plan.release), check, detail })
})

const askAboutUnfinished = Effect.fn("askAboutUnfinished")(function* (
  session: HostSession,
  state: HostState,
  release: Release
) {
  const others = unfinishedOthers(state, release)
  if (others.length === 0) return false
  for (const { kind, note, received, ref } of others) {
    const state = kind === "release" ? "it was unpacked" : `${bytes(received)} arrived`
    yield* Reporter.warn(
      `A deployment of ${shortRef(ref)} to ${session.address} did not finish (${note ?? "nobody recorded who began it"}; ${state})`
    )
  }
  const them = others.length === 1 ? "it" : "them"
  const answer = yield* (yield* Prompt).select<"remove" | "keep" | "abort">({
    message: others.length === 1 ? "What about it?" : `What about these ${others.length}?`,
    choices: [
      { title: `remove ${them} and continue`, value: "remove" },
      { title: `keep ${them} and continue`, value: "keep" },
      { title: "abort", value: "abort" }
    ],
    safe: { value: "keep" },
    hint: `answer with yes to keep ${them} and continue`
  })
  if (answer === "abort") return yield* new Declined({ answer: "abort", consequence: "nothing was deployed" })
  return answer === "remove"
})

const makePlan = (session: HostSession, state: HostState, wish: Omit<Wanted, "target">) =>
  orUnfit(session, plan(state, { ...wish, target: session.target }))

/** The result of a deployment. */
export const deployView =
  ({ millis, plan, steps }: DeployReport): View =>
  (columns) => {
    const times = stepTimes(steps)(columns)
    const release = `${sign.good} ${releaseLabel(plan.release)} (id ${plan.release.id})`
    const where = `${plan.address}:${plan.state.path}`
    switch (plan.outcome) {
      case "deploy":
        return `${release} is live at ${where}, deployed in ${duration(millis)}\n    ${provenance(plan.release)}\n${times}${runsOnLine(plan)}`
      case "relink":
        return `${release} is live again at ${where}\n${times}${runsOnLine(plan)}`
      case "finish":
        return `${release} was current at ${where} already, and the steps after the switch are done now\n${times}`
      case "nothing":
        return plan.steps.some(({ _tag }) => _tag === "Record")
          ? `${release} is live at ${where} already, and is the latest of its name there again`
          : `${release} is live at ${where} already: nothing to do`
    }
  }

/** The command. */
export const deployTask = rolloutTask("deploy", {
  group: "build and deploy",
  description: "Puts a stored release on hosts, and switches to it.",
  examples: [
    "deployer deploy target=prod",
    "deployer deploy target=prod release=3 plan",
    "deployer deploy group=web canary=1 batch=25% yes"
  ],
  options: {
    release,
    retry: flag({
      name: "retry",
      description:
        "deploys a release that failed there before, without asking; verifies one that is there, and sends it again if it is damaged"
    })
  },
  report: { schema: DeployReport, view: deployView },
  one: (target, { release, retry }) => ({
    plan: planDeploy({ target, release, retry }),
    run: deploy({ target, release, retry })
  }),
  many: (words, { release, retry }) => ({
    plan: planFleet({ ...words, release, retry }),
    run: deployFleet({ ...words, release, retry })
  })
})
