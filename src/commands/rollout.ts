/**
 * The parts that all rollouts share: the look at all targets, the plan, its execution, the report, and its failure.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  type AnyFailure,
  carryOutRollout,
  connections,
  type Ended,
  type Member,
  outcomeBefore,
  reached
} from "../deployment/carryOutRollout.ts"
import { checkOnce, LiveUnhealthy } from "../deployment/health.ts"
import { connectTo } from "../deployment/onHost.ts"
import { takeLocks } from "../deployment/takeLocks.ts"
import { HostRelease, type HostState } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { failureOf as failureIn } from "../domain/Journal.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { Release } from "../domain/Release.ts"
import {
  Decision,
  decisionIn,
  FleetUnfit,
  grouped,
  isOpen,
  type LeftOut,
  Outcome,
  outcomes,
  type Policy,
  planRollout,
  type RolloutPlan,
  rolloutStatus,
  Wave
} from "../domain/Rollout.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import { address, placeOf, type Target } from "../domain/Target.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { Failure, failureOf, statusOf } from "../terminal/Failure.ts"
import { counted, dateTime } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { choosePolicy, chooseTargets, type FleetWords } from "../workspace/Fleet.ts"
import { Workspace } from "../workspace/Workspace.ts"

/** The end of a rollout for one target. */
export const RolloutMember = Schema.Struct({
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  outcome: Outcome,
  /** The release that was live before. Undefined if there was none, or if the target was left out. */
  before: Schema.optional(Schema.String),
  /** The reason why the target was left out. */
  reason: Schema.optional(Schema.String),
  /** Undefined if the target has no failure of its own. */
  failure: Schema.optional(Failure)
})

/** The result of a rollout. Each member is there once. */
export class RolloutReport extends Schema.TaggedClass<RolloutReport>()("RolloutReport", {
  release: Schema.Union(Release, HostRelease),
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
  /** The members that are neither proven on the release nor back. */
  open: Schema.Array(Schema.String),
  decision: Schema.optional(Decision),
  /** Members with the same failure stand together. */
  failures: Schema.Array(Schema.Struct({ targets: Schema.Array(Schema.String), message: Schema.String })),
  exitStatus: Schema.Int
}) {
  /** For exit status 6: a look at the targets in an unknown state. */
  get next(): ReadonlyArray<Invocation> {
    return this.open.length === 0 ? [] : [invocation("status", { target: this.open.join(",") })]
  }
  /** A clause about all targets. */
  private get end(): string {
    switch (this.exitStatus) {
      case 1:
        return this.decision === "stop" ? "the rollout stopped" : "nothing was switched"
      case 5:
        return "all targets that were switched are back"
      case 6:
        return `${this.open.join(", ")} ${this.open.length === 1 ? "is" : "are"} neither proven on it nor back: see ${this.next.map(commandLine).join("")}`
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
export interface Seen {
  readonly target: Target
  readonly session: HostSession
  readonly state: HostState
}

/** Inspects all hosts. The connections stay open for the rest of the scope. */
export const inspectAll = (targets: ReadonlyArray<Target>) =>
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

const beforeOf = ({ state }: AnyPlan) =>
  state.currentRelease === undefined ? {} : { before: releaseLabel(state.currentRelease) }

/** The report of a rollout that has ended. */
export const reportOf = (plan: RolloutPlan, { facts, failures }: Ended, millis: number): RolloutReport => {
  const found = outcomes(facts)
  const decision = decisionIn(facts)
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
      ...plan.left.map((left) => ({ ...left, outcome: "left" as const }))
    ],
    ...(decision === undefined ? {} : { decision }),
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
        open: members.flatMap(({ outcome, target }) => (isOpen(outcome) ? [target] : [])),
        ...(decision === undefined ? {} : { decision }),
        failures: grouped(
          members.flatMap(({ address, failure, reason, target }) => {
            const message = failure?.message ?? reason
            return message === undefined ? [] : [{ target, address, message }]
          })
        ),
        exitStatus
      })

/** A member before its lock. */
export interface Planned<R> extends Member<R> {
  /** Carries out the steps that the lock needs. */
  readonly first: Effect.Effect<void, AnyFailure, R>
  /** Plans again, from the host's state under the lock. */
  readonly again: (state: HostState) => Effect.Effect<Member<R>, AnyFailure, R>
}

/** The aim of a rollout, chosen after the look at all targets. */
export interface Aim<R> {
  /** Undefined if there is none for any target. */
  readonly release: RolloutPlan["release"] | undefined
  readonly plan: (seen: Seen) => Effect.Effect<Planned<R>, AnyFailure, R>
  /** The reasons against it on one target, besides those of its plan. */
  readonly misfits: (seen: Seen) => ReadonlyArray<string>
}

/** The reason against a release that failed on a target before. None if it did not, or if there is no release. */
export const failedBefore = (
  { state }: Seen,
  release: RolloutPlan["release"] | undefined,
  instead: string
): ReadonlyArray<string> => {
  const failed = release && failureIn(state.journal, release.ref)
  return release === undefined || failed === undefined
    ? []
    : [
        `${releaseLabel(release)} failed there at ${dateTime(failed.at)} UTC (${failed.detail ?? "no reason was recorded"}): ${instead}`
      ]
}

/** A target at the place of another one would wait for its own lock. */
const samePlaces = (targets: ReadonlyArray<Target>) => {
  const owners = new Map<string, string>()
  return targets.flatMap((target) => {
    const place = placeOf(target)
    const owner = owners.get(place)
    owners.set(place, owner ?? target.key)
    const message = `it has the same host and path as ${owner}: leave one of them out with except=`
    return owner === undefined ? [] : [{ target: target.key, address: address(target), message }]
  })
}

/** Looks at all targets and plans a rollout. Changes nothing, and names every reason against it. */
export const planAll = Effect.fn("planAll")(function* <E, R, R2>(
  words: FleetWords,
  settings: Partial<Policy>,
  choose: (seen: Arr.NonEmptyReadonlyArray<Seen>) => Effect.Effect<Aim<R2>, E, R>
) {
  const config = yield* (yield* Workspace).config
  const targets = yield* chooseTargets(config, words)
  const policy = yield* choosePolicy(config, words, settings)
  const results = yield* inspectAll(targets)
  const seen = results.flatMap((result) => (result._tag === "Right" ? [result.right] : []))
  const failed = results.flatMap((result) => (result._tag === "Left" ? [result.left] : []))
  const isAway = ({ error }: (typeof failed)[number]) => error._tag === "HostUnreachable"
  const told = ({ error, target }: (typeof failed)[number]) => ({
    target: target.key,
    address: address(target),
    message: error.message
  })
  const left: ReadonlyArray<typeof LeftOut.Type> = failed
    .filter(isAway)
    .map((one) => ({ target: one.target.key, address: address(one.target), reason: one.error.message }))
  const refused = [...samePlaces(targets), ...failed.filter((one) => !isAway(one)).map(told)]
  const none: ReadonlyArray<Planned<R2>> = []
  if (!Arr.isNonEmptyReadonlyArray(seen)) {
    const plan = yield* planRollout({
      release: undefined,
      policy,
      left,
      objections: refused,
      members: [],
      isLate: false
    })
    return { plan, members: none }
  }
  const aim = yield* choose(seen)
  const planned = yield* Effect.forEach(
    seen,
    (one) =>
      Effect.either(aim.plan(one)).pipe(
        Effect.map((found) => ({
          found: found._tag === "Right" ? [found.right] : [],
          against: [...(found._tag === "Left" ? [found.left.message] : []), ...aim.misfits(one)].map((message) => ({
            target: one.target.key,
            address: address(one.target),
            message
          }))
        })),
        Reporter.asMember(one.target.key)
      ),
    { concurrency: connections }
  )
  const members = planned.flatMap(({ found }) => found)
  const plan = yield* planRollout({
    release: aim.release,
    policy,
    left,
    objections: [...refused, ...planned.flatMap(({ against }) => against)],
    members: members.map(({ plan, session }) => ({ plan, labels: session.target.labels })),
    isLate: false
  })
  return { plan, members }
})

/** Carries a planned rollout out, under the locks of all members. A failure of a member is part of the report. */
export const carryOutAll = Effect.fn("carryOutAll")(function* <R>(
  reason: string,
  plan: RolloutPlan,
  members: ReadonlyArray<Planned<R>>
) {
  const [elapsed, [whole, ended]] = yield* Effect.timed(
    Effect.gen(function* () {
      const isDone = members.every(({ plan }) => plan.steps.length === 0)
      const locked = isDone ? members : yield* lockAll(reason, members)
      const whole = yield* planRollout({
        ...plan,
        members: locked.map(({ plan, session }) => ({ plan, labels: session.target.labels })),
        objections: [],
        isLate: true
      })
      const began = yield* checkAlready(locked.filter(({ plan }) => plan.steps.length === 0))
      const byKey = new Map(locked.map((member) => [member.session.target.key, member]))
      return [whole, yield* carryOutRollout(whole, byKey, began)] as const
    })
  )
  return reportOf(whole, ended, Duration.toMillis(elapsed))
})

/** Fails if the release that runs already is not healthy. */
export const failUnlessWell = Effect.fnUntraced(function* (session: HostSession, release: RolloutPlan["release"]) {
  const { address, target } = session
  if (target.health === undefined) return
  const { check, detail, ok } = yield* checkOnce(session, release, target.health)
  if (ok) return
  return yield* new LiveUnhealthy({ target: target.key, address, release: releaseLabel(release), check, detail })
})

/** The members that run the release already. One that is not healthy counts as failed. */
const checkAlready = <R>(members: ReadonlyArray<Member<R>>) =>
  Effect.map(
    Effect.forEach(
      members,
      (member) =>
        member.well.pipe(
          Effect.match({
            onFailure: (error: AnyFailure) => ({ target: member.session.target.key, error }),
            onSuccess: () => ({ target: member.session.target.key, error: undefined })
          }),
          Reporter.asMember(member.session.target.key)
        ),
      { concurrency: connections }
    ),
    (checked): Ended => ({
      facts: checked.map(({ error, target }) => reached(target, error === undefined ? "same" : outcomeBefore(error))),
      failures: new Map(checked.flatMap(({ error, target }) => (error === undefined ? [] : [[target, error]])))
    })
  )

/** Takes the locks of all members, and plans each again. */
const lockAll = Effect.fnUntraced(function* <R>(reason: string, members: ReadonlyArray<Planned<R>>) {
  yield* Effect.forEach(members, ({ first, session }) => Reporter.asMember(session.target.key)(first), {
    concurrency: connections,
    discard: true
  })
  const states = yield* takeLocks(
    members.map(({ session }) => session),
    reason
  )
  const planned = yield* Effect.forEach(
    Arr.zip(members, states),
    ([{ again, session }, state]) =>
      again(state).pipe(
        Effect.mapError(({ message }) => ({ target: session.target.key, address: session.address, message })),
        Effect.either,
        Reporter.asMember(session.target.key)
      ),
    { concurrency: connections }
  )
  const objections = planned.flatMap((one) => (one._tag === "Left" ? [one.left] : []))
  if (objections.length > 0) return yield* new FleetUnfit({ members: members.length, isLate: true, objections })
  return planned.flatMap((one) => (one._tag === "Right" ? [one.right] : []))
})
