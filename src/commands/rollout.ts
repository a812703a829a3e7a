/**
 * The parts that all rollouts share: the look at all targets, the plan, its execution, the report, and its failure.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { takeLocks } from "../deployment/claiming.ts"
import { checkOnce, LiveUnhealthy } from "../deployment/health.ts"
import { connectTo } from "../deployment/onHost.ts"
import { type AnyFailure, type Ended, type Member, reached, rollOut } from "../deployment/rollOut.ts"
import { HostRelease, type HostState } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { Release } from "../domain/Release.ts"
import {
  Decision,
  FleetUnfit,
  grouped,
  isOpen,
  type Left,
  Outcome,
  outcomes,
  type Policy,
  planRollout,
  type RolloutPlan,
  rolloutStatus,
  Wave
} from "../domain/Rollout.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import { address, type Target } from "../domain/Target.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { Failure, failureOf, statusOf } from "../terminal/Failure.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { choosePolicy, chooseTargets, type FleetWords } from "../workspace/Fleet.ts"
import { Workspace } from "../workspace/Workspace.ts"

/** The number of connections that are made at the same time: fewer than an sshd refuses. */
export const connections = 8

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

/** Looks at all hosts. The connections stay open for the rest of the scope. */
export const lookAtAll = (targets: ReadonlyArray<Target>) =>
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
        open: members.flatMap(({ outcome, target }) => (isOpen(outcome) ? [target] : [])),
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

/** A member before its lock. */
export interface Planned<R> extends Member<R> {
  /** Carries out the steps that the lock needs. */
  readonly first: Effect.Effect<void, AnyFailure, R>
  /** Plans again, from the host's state under the lock. */
  readonly again: (state: HostState) => Effect.Effect<Member<R>, AnyFailure, R>
}

/** What a rollout is to do, chosen after the look at all targets. */
export interface Wish<R> {
  /** Undefined if there is none for any target. */
  readonly release: RolloutPlan["release"] | undefined
  readonly plan: (seen: Seen) => Effect.Effect<Planned<R>, AnyFailure, R>
  /** The reasons against it on one target, besides those of its plan. */
  readonly misfits: (seen: Seen) => ReadonlyArray<string>
}

/** Looks at all targets and plans a rollout. Changes nothing, and names every reason against it. */
export const planAll = Effect.fn("planAll")(function* <E, R, R2>(
  words: FleetWords,
  settings: Partial<Policy>,
  choose: (seen: Arr.NonEmptyReadonlyArray<Seen>) => Effect.Effect<Wish<R2>, E, R>
) {
  const config = yield* (yield* Workspace).config
  const targets = yield* chooseTargets(config, words)
  const policy = yield* choosePolicy(config, words, settings)
  const looks = yield* lookAtAll(targets)
  const seen = looks.flatMap((look) => (look._tag === "Right" ? [look.right] : []))
  const failed = looks.flatMap((look) => (look._tag === "Left" ? [look.left] : []))
  const left: ReadonlyArray<typeof Left.Type> = failed.flatMap(({ error, target }) =>
    error._tag === "HostUnreachable" ? [{ target: target.key, address: address(target), reason: error.message }] : []
  )
  const refused = failed.flatMap(({ error, target }) =>
    error._tag === "HostUnreachable" ? [] : [{ target: target.key, message: error.message }]
  )
  const none: ReadonlyArray<Planned<R2>> = []
  if (!Arr.isNonEmptyReadonlyArray(seen)) {
    const plan = yield* planRollout({ release: undefined, policy, left, objections: refused, members: [] })
    return { plan, members: none }
  }
  const wish = yield* choose(seen)
  const planned = yield* Effect.forEach(
    seen,
    (one) =>
      wish.plan(one).pipe(
        Effect.map((member) => ({ member, target: one.target, against: wish.misfits(one) })),
        Effect.catchAll(({ message }) =>
          Effect.succeed({ member: undefined, target: one.target, against: [message, ...wish.misfits(one)] })
        ),
        Reporter.asMember(one.target.key)
      ),
    { concurrency: connections }
  )
  const plan = yield* planRollout({
    release: wish.release,
    policy,
    left,
    objections: [
      ...refused,
      ...planned.flatMap(({ against, target }) => against.map((message) => ({ target: target.key, message })))
    ],
    members: planned.flatMap(({ member, target }) =>
      member === undefined ? [] : [{ plan: member.plan, labels: target.labels }]
    )
  })
  return { plan, members: planned.flatMap(({ member }) => (member === undefined ? [] : [member])) }
})

/** Carries a planned rollout out, under the locks of all members that have something to do. A failure of a member is part of the report. */
export const carryOutAll = Effect.fn("carryOutAll")(function* <R>(
  reason: string,
  plan: RolloutPlan,
  members: ReadonlyArray<Planned<R>>
) {
  const [elapsed, ended] = yield* Effect.timed(
    Effect.gen(function* () {
      const already = members.filter(({ plan }) => plan.steps.length === 0)
      const began = yield* checkAlready(already)
      const toDo = members.filter((member) => !already.includes(member))
      if (toDo.length === 0) return began
      const locked = yield* lockAll(reason, toDo)
      return yield* rollOut(plan, new Map(locked.map((member) => [member.session.target.key, member])), began)
    })
  )
  return reportOf(plan, ended, Duration.toMillis(elapsed))
})

/** The members that run the release already. One that is not healthy counts as failed. */
const checkAlready = <R>(members: ReadonlyArray<Planned<R>>) =>
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
    members,
    ({ again, plan, session }, index) =>
      again(states[index] ?? plan.state).pipe(
        Effect.mapError(({ message }) => ({ target: session.target.key, message })),
        Effect.either,
        Reporter.asMember(session.target.key)
      ),
    { concurrency: connections }
  )
  const [objection, ...more] = planned.flatMap((one) => (one._tag === "Left" ? [one.left] : []))
  if (objection !== undefined) {
    return yield* new FleetUnfit({ members: members.length, objections: [objection, ...more] })
  }
  return planned.flatMap((one) => (one._tag === "Right" ? [one.right] : []))
})
