/**
 * `deploy` to many targets as one rollout: all are asked first, all get the files, and then they go live in waves. They go back together if
 * too many fail.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { carryOutStep } from "../deployment/carryOut.ts"
import { takeLocks } from "../deployment/claiming.ts"
import { checkOnce, LiveUnhealthy } from "../deployment/health.ts"
import { connectTo, finishAdoptions, orUnfit } from "../deployment/onHost.ts"
import { findOrigins } from "../deployment/origins.ts"
import { type AnyFailure, type Ended, type Member, reached, rollOut } from "../deployment/rollOut.ts"
import { type HostState, recordOf } from "../domain/HostState.ts"
import { failureOf as failureIn } from "../domain/Journal.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { type DeployPlan, plan as planDeployment, releaseLabel } from "../domain/Plan.ts"
import { builderOf, described, isBuiltFor } from "../domain/Provenance.ts"
import { Release } from "../domain/Release.ts"
import {
  Decision,
  FleetUnfit,
  grouped,
  type Left,
  Outcome,
  outcomes,
  type Policy,
  planRollout,
  type RolloutPlan,
  rolloutStatus,
  Wave
} from "../domain/Rollout.ts"
import { address, type Target } from "../domain/Target.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { Failure, failureOf, statusOf } from "../terminal/Failure.ts"
import { counted, dateTime } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { choosePolicy, chooseTargets, type FleetWords } from "../workspace/Fleet.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { findCandidates, planRelease } from "./chooseRelease.ts"
import { Declined } from "./Declined.ts"

/** The number of connections that are made at the same time: fewer than an sshd refuses. */
const connections = 8

/** What to deploy, to which targets, and how. */
export interface DeployFleetOptions extends FleetWords {
  /** Id, name, ref or the beginning of a ref. Default: the latest of the first target's name, after a question. */
  readonly release?: string | undefined
  /** As for one target. */
  readonly retry?: boolean | undefined
  /** Settings in place of those of the group. */
  readonly policy?: Partial<Policy> | undefined
}

/** The end of a rollout for one target. */
export const RolloutMember = Schema.Struct({
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  outcome: Outcome,
  /** The release that was live before. Undefined if there was none, or if the target was left out. */
  before: Schema.optional(Schema.String),
  /** Undefined if the target has no failure of its own. */
  failure: Schema.optional(Failure)
})

/** The result of a rollout. Each member is there once. */
export class RolloutReport extends Schema.TaggedClass<RolloutReport>()("RolloutReport", {
  release: Release,
  waves: Schema.Array(Wave),
  members: Schema.Array(RolloutMember),
  /** Undefined if the rollout ended as planned. */
  decision: Schema.optional(Decision),
  /** The exit status of the command: see the list of exit statuses. */
  exitStatus: Schema.Int,
  /** In milliseconds. */
  millis: Schema.NonNegative
}) {}

/** A rollout did not make the release live on every target. */
export class RolloutIncomplete extends Schema.TaggedError<RolloutIncomplete>()("RolloutIncomplete", {
  release: Schema.String,
  /** The number of members, and of those on which the release is live. */
  members: Schema.Int,
  live: Schema.Int,
  decision: Schema.optional(Decision),
  /** Members with the same failure stand together. */
  failures: Schema.Array(Schema.Struct({ targets: Schema.Array(Schema.String), message: Schema.String })),
  exitStatus: Schema.Int
}) {
  /** The sentence about all targets. */
  private get end(): string {
    switch (this.exitStatus) {
      case 1:
        return this.decision === "stop" ? "the rollout stopped" : "nothing was switched"
      case 5:
        return "all targets that were switched are back"
      case 6:
        return "some targets are neither proven on it nor back: see deployer status for each"
      default:
        return "the others have it"
    }
  }
  override get message(): string {
    const lines = this.failures.map(({ message, targets }) => `  ${targets.join(", ")}: ${message}`)
    return [
      `${this.release} is live on ${this.live} of ${counted(this.members, "target")}, and ${this.end}:`,
      ...lines
    ].join("\n")
  }
}

/** A target whose host was inspected. */
interface Seen {
  readonly target: Target
  readonly session: HostSession
  readonly state: HostState
}

/** Looks at all hosts. The connections stay open for the rest of the scope. */
const lookAtAll = (targets: ReadonlyArray<Target>) =>
  Effect.forEach(
    targets,
    (target) =>
      Effect.gen(function* () {
        const session = yield* connectTo(target)
        return { target, session, state: yield* session.inspect } satisfies Seen
      }).pipe(
        Effect.mapError((error) => ({ target, error })),
        Effect.either,
        Reporter.asMember(target.key)
      ),
    { concurrency: connections }
  )

/** The one release for all targets: the named one, or the latest after a question. */
const chooseOne = Effect.fnUntraced(function* (
  seen: ReadonlyArray<Seen>,
  targets: ReadonlyArray<Target>,
  options: DeployFleetOptions,
  isPlan: boolean
) {
  const [first] = seen
  if (first === undefined) return undefined
  const candidates = yield* findCandidates(first.target, options.release)
  const release = yield* planRelease(first.target, first.state, candidates)
  if (isPlan || options.release !== undefined) return release
  const agreed = yield* (yield* Prompt).confirm({
    message: `Deploy ${described(release, yield* DateTime.now)} to ${counted(targets.length, "target")} (${targets.map(({ key }) => key).join(", ")})?`,
    initial: true,
    safe: true,
    hint: `name it with release=${release.id}, or answer with yes`
  })
  return agreed ? release : yield* new Declined({ consequence: "nothing was deployed" })
})

/** The reasons against this release on one target, besides those of its plan. */
const misfits = ({ state, target }: Seen, release: Release, { release: named, retry }: DeployFleetOptions) => {
  const failed = failureIn(state.journal, release.ref)
  return [
    ...(release.name === target.name ? [] : [`it runs ${target.name}, and the release is one of ${release.name}`]),
    ...(named !== undefined || isBuiltFor(release, target)
      ? []
      : [
          `builder ${release.metadata.builder} made the release, not builder ${builderOf(target)}: name it with release=${release.id}`
        ]),
    ...(failed === undefined || retry === true
      ? []
      : [
          `the release failed there at ${dateTime(failed.at)} UTC (${failed.detail ?? "no reason was recorded"}): to deploy it anyway, say retry`
        ])
  ]
}

/** The plan of one member. */
const planMember = Effect.fnUntraced(function* (
  { session, state, target }: Seen,
  release: Release,
  manifest: Manifest,
  again: boolean
) {
  const wish = { manifest, origins: yield* findOrigins(session, state, release) }
  const plan = yield* orUnfit(
    session,
    planDeployment(state, { release, ...wish, target, removeUnfinished: false, again })
  )
  return { session, plan, wish } satisfies Member
})

/** Looks at all targets and plans the rollout. Changes nothing, and names every reason against it. */
const prepare = Effect.fnUntraced(function* (options: DeployFleetOptions, isPlan: boolean) {
  const config = yield* (yield* Workspace).config
  const targets = yield* chooseTargets(config, options)
  const policy = yield* choosePolicy(config, options, options.policy ?? {})
  const looks = yield* lookAtAll(targets)
  const seen = looks.flatMap((look) => (look._tag === "Right" ? [look.right] : []))
  const failed = looks.flatMap((look) => (look._tag === "Left" ? [look.left] : []))
  const left: ReadonlyArray<typeof Left.Type> = failed.flatMap(({ error, target }) =>
    error._tag === "HostUnreachable" ? [{ target: target.key, address: address(target), reason: error.message }] : []
  )
  const objections = failed.flatMap(({ error, target }) =>
    error._tag === "HostUnreachable" ? [] : [{ target: target.key, message: error.message }]
  )
  const release = yield* chooseOne(seen, targets, options, isPlan)
  const again = options.retry === true
  const planned =
    release === undefined
      ? []
      : yield* Effect.flatMap(
          Effect.flatMap(ReleaseStore, (store) => store.manifest(release)),
          (manifest) =>
            Effect.forEach(
              seen,
              (each) =>
                planMember(each, release, manifest, again).pipe(
                  Effect.map((member) => ({ member, target: each.target, against: misfits(each, release, options) })),
                  Effect.catchTag("HostUnfit", ({ message }) =>
                    Effect.succeed({
                      member: undefined,
                      target: each.target,
                      against: [message, ...misfits(each, release, options)]
                    })
                  ),
                  Reporter.asMember(each.target.key)
                ),
              { concurrency: connections }
            )
        )
  const plan = yield* planRollout({
    release,
    policy,
    left,
    objections: [
      ...objections,
      ...planned.flatMap(({ against, target }) => against.map((message) => ({ target: target.key, message })))
    ],
    members: planned.flatMap(({ member, target }) =>
      member === undefined ? [] : [{ plan: member.plan, labels: target.labels }]
    )
  })
  return { plan, members: planned.flatMap(({ member }) => (member === undefined ? [] : [member])) }
})

/** Plans what `deployFleet` would do, and changes nothing. */
export const planFleet = Effect.fn("planFleet")(function* (options: DeployFleetOptions) {
  const { plan } = yield* prepare(options, true)
  return plan
}, Effect.scoped)

/** Deploys a release to many targets in waves. A failure of a target is part of the report. */
export const deployFleet = Effect.fn("deployFleet")(function* (options: DeployFleetOptions) {
  const [elapsed, [plan, ended]] = yield* Effect.timed(
    Effect.gen(function* () {
      const { members, plan } = yield* prepare(options, false)
      const already = members.filter(({ plan }) => plan.outcome === "nothing" && plan.steps.length === 0)
      const began = yield* checkAlready(already)
      const toDo = members.filter((member) => !already.includes(member))
      if (toDo.length === 0) return [plan, began] as const
      const locked = yield* lockAll(toDo, options.retry === true)
      return [
        plan,
        yield* rollOut(plan, new Map(locked.map((member) => [member.session.target.key, member])), began)
      ] as const
    })
  )
  return reportOf(plan, ended, Duration.toMillis(elapsed))
}, Effect.scoped)

/** The failures of `deployFleet`, which concern all targets. */
export type DeployFleetError = Effect.Effect.Error<ReturnType<typeof deployFleet>>
/** The services that `deployFleet` needs. */
export type DeployFleetServices = Effect.Effect.Context<ReturnType<typeof deployFleet>>

/** The members that run the release already. One that is not healthy counts as failed. */
const checkAlready = (members: ReadonlyArray<Member>) =>
  Effect.map(
    Effect.forEach(
      members,
      ({ plan, session }) =>
        Effect.gen(function* () {
          const { address, target } = session
          if (target.health === undefined) return { target: target.key, error: undefined }
          const { check, detail, ok } = yield* checkOnce(session, plan.release, target.health)
          const release = releaseLabel(plan.release)
          const error = ok ? undefined : new LiveUnhealthy({ target: target.key, address, release, check, detail })
          return { target: target.key, error }
        }).pipe(
          Effect.catchAll((error: AnyFailure) => Effect.succeed({ target: session.target.key, error })),
          Reporter.asMember(session.target.key)
        ),
      { concurrency: connections }
    ),
    (checked): Ended => ({
      facts: checked.map(({ error, target }) => reached(target, error === undefined ? "same" : "failed")),
      failures: new Map(checked.flatMap(({ error, target }) => (error === undefined ? [] : [[target, error]])))
    })
  )

/** Takes the locks of all members, and plans each again. */
const lockAll = Effect.fnUntraced(function* (members: ReadonlyArray<Member>, again: boolean) {
  yield* Effect.forEach(
    members,
    ({ plan, session, wish }) =>
      Effect.gen(function* () {
        const record = recordOf(plan.release, plan.state, yield* DateTime.now)
        const first = plan.steps.filter(({ _tag }) => _tag === "Prepare")
        for (const step of first) yield* carryOutStep(session, plan, wish, record, step)
      }).pipe(Reporter.asMember(session.target.key)),
    { concurrency: connections, discard: true }
  )
  const states = yield* takeLocks(
    members.map(({ session }) => session),
    "deploy"
  )
  const planned = yield* Effect.forEach(
    members,
    ({ plan, session, wish }, index) =>
      Effect.gen(function* () {
        const state = yield* finishAdoptions(session, states[index] ?? plan.state)
        return yield* planMember({ session, state, target: session.target }, plan.release, wish.manifest, again)
      }).pipe(
        Effect.mapError((error) => ({ target: session.target.key, message: error.message })),
        Effect.either,
        Reporter.asMember(session.target.key)
      ),
    { concurrency: connections }
  )
  const [objection, ...more] = planned.flatMap((one) => (one._tag === "Left" ? [one.left] : []))
  if (objection !== undefined)
    return yield* new FleetUnfit({ members: members.length, objections: [objection, ...more] })
  return planned.flatMap((one) => (one._tag === "Right" ? [one.right] : []))
})

const beforeOf = ({ state }: DeployPlan) =>
  state.currentRelease === undefined ? {} : { before: releaseLabel(state.currentRelease) }

const reportOf = (plan: RolloutPlan, { facts, failures }: Ended, millis: number): RolloutReport => {
  const found = outcomes(facts)
  const decided = facts.find((fact) => fact._tag === "Decided")
  return RolloutReport.make({
    release: plan.release,
    waves: plan.waves,
    members: [
      ...plan.members.map((member) => {
        const error = failures.get(member.target)
        return {
          target: member.target,
          address: member.address,
          outcome: found.get(member.target) ?? "failed",
          ...beforeOf(member),
          ...(error === undefined ? {} : { failure: failureOf(error, { exitStatus: statusOf(error) }) })
        }
      }),
      ...plan.left.map(({ address, target }) => ({ target, address, outcome: "left" as const }))
    ],
    ...(decided === undefined ? {} : { decision: decided.decision }),
    exitStatus: rolloutStatus(plan, facts),
    millis
  })
}

/** Fails if the release is not live on every target. */
export const failUnlessComplete = ({
  decision,
  exitStatus,
  members,
  release
}: RolloutReport): Effect.Effect<void, RolloutIncomplete> =>
  exitStatus === 0
    ? Effect.void
    : new RolloutIncomplete({
        release: releaseLabel(release),
        members: members.length,
        live: members.filter(({ outcome }) => outcome === "live" || outcome === "same").length,
        ...(decision === undefined ? {} : { decision }),
        failures: grouped(
          members.flatMap(({ failure, outcome, target }) =>
            failure !== undefined
              ? [{ target, message: failure.message }]
              : outcome === "left"
                ? [{ target, message: "out of reach" }]
                : []
          )
        ),
        exitStatus
      })
