/**
 * A rollout: one release for many targets, as a fold over facts. `planRollout` makes the waves, and `nextAction` tells from the facts so far
 * what to do next. So the engine that carries a rollout out needs no memory of its own. Pure.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { HostRelease } from "./HostState.ts"
import { DeployPlan, RollbackPlan } from "./Plan.ts"
import { Release } from "./Release.ts"
import type { AnyPlan } from "./SavedPlan.ts"
import { Wait } from "./Target.ts"

// The policy

/** A number of targets, or a share of the members at the start, such as `25%`. */
export const Amount = Schema.Union(
  Schema.NonNegativeInt,
  Schema.String.pipe(
    Schema.pattern(/^(?:100|[1-9]?[0-9])%$/, { message: () => 'must be a number of targets or a share such as "25%"' })
  )
).annotations({ identifier: "Amount" })
/** A number of targets, or a share of the members at the start, such as `25%`. */
export type Amount = typeof Amount.Type

/** The settings of a rollout. */
export const policyFields = {
  /** How many targets come first, alone, and tolerate no failure. Default: none. */
  canary: Schema.optional(Amount),
  /** A label. Canaries and batches take targets from each of its values in turn, the largest first. */
  spread: Schema.optional(Schema.String),
  /** How many targets are switched together. Of a list, the last one repeats. Default: all. */
  batch: Schema.optional(Schema.Union(Amount, Schema.NonEmptyArray(Amount))),
  /** How long a wave has to stay healthy before the next one. Default: not at all. */
  soak: Schema.optional(Wait.pipe(Schema.filter((time) => Duration.isFinite(time) || "must come to an end"))),
  /** How many targets may fail, without the canaries. The others continue, and a target that failed goes back by itself. Default: none. */
  maxFailures: Schema.optionalWith(Amount, { default: () => 0 }),
  /** How many targets may be out of reach. Default: none. */
  unreachable: Schema.optionalWith(Amount, { default: () => 0 }),
  /** When too many targets fail: all go back (`back`), or all stay as they are (`stop`). */
  onFailure: Schema.optionalWith(Schema.Literal("back", "stop"), { default: () => "back" as const }),
  /** How many targets get files at the same time. */
  concurrency: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, 1000)), { default: () => 10 })
}

/** The settings of a rollout. */
export const Policy = Schema.Struct(policyFields)
/** The settings of a rollout. */
export type Policy = typeof Policy.Type

/** The policy of targets that no group has settings for. */
export const defaultPolicy: Policy = Schema.decodeSync(Policy)({})

/** The number that an amount of `members` means, rounded down. */
export const amountOf = (amount: Amount, members: number): number =>
  typeof amount === "number" ? amount : Math.floor((members * Number.parseInt(amount, 10)) / 100)

// The plan

/** A member of a rollout before its plan. */
export interface Candidate {
  /** The target's key. */
  readonly target: string
  readonly labels: Readonly<Record<string, string>>
}

/** Members that are switched together. Canaries come first and tolerate no failure. */
export const Wave = Schema.Struct({
  kind: Schema.Literal("canary", "batch"),
  /** Keys of targets. */
  targets: Schema.NonEmptyArray(Schema.String)
})
/** Members that are switched together. */
export type Wave = typeof Wave.Type

/** A target that could not be reached at the start, and is left out. */
export const LeftOut = Schema.Struct({
  target: Schema.String,
  address: Schema.String,
  reason: Schema.String
})

/** The plan of a rollout: the plan of each member, and the waves in which they go live. */
export class RolloutPlan extends Schema.TaggedClass<RolloutPlan>()("RolloutPlan", {
  /** For a rollback, as the first member has it. */
  release: Schema.Union(Release, HostRelease),
  /** The plan of each member that can be reached. */
  members: Schema.Array(Schema.Union(DeployPlan, RollbackPlan)),
  left: Schema.Array(LeftOut),
  /** Without the members that have nothing to do. */
  waves: Schema.Array(Wave),
  policy: Policy
}) {}

/** One reason why a rollout does not begin. */
export const Objection = Schema.Struct({ target: Schema.String, address: Schema.String, message: Schema.String })

/** A rollout is refused before anything is switched. Names every reason of every member. */
export class FleetUnfit extends Schema.TaggedError<FleetUnfit>()("FleetUnfit", {
  /** The number of members. */
  members: Schema.Int,
  /** Whether the hosts changed after the look, so that folders of deployer may have been made. */
  isLate: Schema.Boolean,
  objections: Schema.Array(Objection)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const end = this.isLate ? "nothing was switched" : "nothing was changed"
    if (this.objections.length === 0) return `No target can be reached, so ${end}`
    const lines = grouped(this.objections).map(({ message, targets }) => `  ${targets.join(", ")}: ${message}`)
    const refused = new Set(this.objections.map(({ target }) => target)).size
    return [`${refused} of ${this.members} targets cannot take part, so ${end}:`, ...lines].join("\n")
  }
}

/** A message about one target. */
export interface Told {
  readonly target: string
  /** If given, messages that differ only in the address and the key of their target are the same. */
  readonly address?: string | undefined
  readonly message: string
}

/** Puts targets with the same message together, in their order. */
export const grouped = (
  messages: ReadonlyArray<Told>
): ReadonlyArray<{ readonly targets: ReadonlyArray<string>; readonly message: string }> => {
  const groups = new Map<string, { readonly targets: Array<string>; readonly message: string }>()
  for (const { address, message, target } of messages) {
    const cause =
      address === undefined ? message : message.replaceAll(address, "\0").replaceAll(`target=${target}`, "\0")
    const group = groups.get(cause) ?? { targets: [], message }
    group.targets.push(target)
    groups.set(cause, group)
  }
  return [...groups.values()]
}

/** The members in the order in which they go live: in turn from each value of the label, the value with the most members first. */
const spreadOver = (label: string | undefined, members: ReadonlyArray<Candidate>): ReadonlyArray<Candidate> => {
  if (label === undefined) return members
  const pools = Object.values(Arr.groupBy(members, ({ labels }) => labels[label] ?? "")).toSorted(
    (a, b) => b.length - a.length
  )
  return Array.from({ length: members.length }, (_, turn) => pools.flatMap((pool) => pool.slice(turn, turn + 1))).flat()
}

const nonEmpty = <A>(values: ReadonlyArray<A>): values is readonly [A, ...ReadonlyArray<A>] => values.length > 0

/** The waves of the members that have something to do. Shares are of all members at the start. */
export const wavesOf = (
  { batch, canary, spread }: Policy,
  toDo: ReadonlyArray<Candidate>,
  members: number
): ReadonlyArray<Wave> => {
  const order = spreadOver(spread, toDo).map(({ target }) => target)
  const first = canary === undefined || canary === 0 || canary === "0%" ? 0 : Math.max(1, amountOf(canary, members))
  const sizes = batch === undefined ? [order.length] : typeof batch === "object" ? batch : [batch]
  const waves: Array<Wave> = []
  const take = (kind: Wave["kind"], from: number, size: number) => {
    const targets = order.slice(from, from + size)
    if (nonEmpty(targets)) waves.push({ kind, targets })
    return from + size
  }
  let from = first === 0 ? 0 : take("canary", 0, first)
  for (let index = 0; from < order.length; index++) {
    from = take("batch", from, Math.max(1, amountOf(sizes[Math.min(index, sizes.length - 1)] ?? members, members)))
  }
  return waves
}

/** The input of a rollout's plan. */
export interface Wanted {
  /** Undefined if no target could be reached to choose one. */
  readonly release: Release | HostRelease | undefined
  readonly policy: Policy
  readonly members: ReadonlyArray<{ readonly plan: AnyPlan; readonly labels: Candidate["labels"] }>
  readonly left: ReadonlyArray<typeof LeftOut.Type>
  /** The reasons against it that were found already. */
  readonly objections: ReadonlyArray<typeof Objection.Type>
  /** Whether it is planned again under the locks. */
  readonly isLate: boolean
}

/** Whether a plan makes a release live, or proves the live one. */
const goesLive = ({ steps }: AnyPlan): boolean => steps.some(({ _tag }) => _tag === "Switch" || _tag === "Settle")

/** Plans a rollout, or names every reason against it. */
export const planRollout = ({
  isLate,
  left,
  members,
  objections,
  policy,
  release
}: Wanted): Either.Either<RolloutPlan, FleetUnfit> => {
  const refused = new Set(objections.map(({ target }) => target))
  const all = left.length + new Set([...refused, ...members.map(({ plan }) => plan.target)]).size
  const away = left.length > amountOf(policy.unreachable, all) ? left : []
  const found = [...objections, ...away.map(({ address, reason, target }) => ({ target, address, message: reason }))]
  if (found.length > 0 || release === undefined) {
    return Either.left(new FleetUnfit({ members: all, isLate, objections: found }))
  }
  const toDo = members.filter(({ plan }) => goesLive(plan))
  return Either.right(
    RolloutPlan.make({
      release,
      members: members.map(({ plan }) => plan),
      left,
      waves: wavesOf(
        policy,
        toDo.map(({ labels, plan }) => ({ target: plan.target, labels })),
        all
      ),
      policy
    })
  )
}

// Facts

/** The last thing that is known of a member. */
export const Outcome = Schema.Literal(
  /** It was out of reach before anything of it changed. */
  "left",
  /** The release was live there before. */
  "same",
  /** The release is on the host, verified. */
  "staged",
  /** The release is current and proven, and waits for its wave. */
  "proven",
  /** The release is live, and its deployment is final. */
  "live",
  /** It failed before its switch. */
  "failed",
  /** It was switched, and is back in its earlier state. */
  "back",
  /** It was switched, failed, and did not go back. */
  "stuck",
  /** It was lost during or after its switch. */
  "unknown"
)
/** The last thing that is known of a member. */
export type Outcome = typeof Outcome.Type

/** Whether all members go back, or stay as they are. */
export const Decision = Schema.Literal("back", "stop")
/** Whether all members go back, or stay as they are. */
export type Decision = typeof Decision.Type

/** Something that happened in a rollout. */
export type Fact =
  | { readonly _tag: "Reached"; readonly target: string; readonly outcome: Outcome }
  /** A wave stayed healthy for as long as the policy wants. */
  | { readonly _tag: "Soaked"; readonly wave: number }
  | { readonly _tag: "Decided"; readonly decision: Decision }

/** The next action. `wave` counts from 0. */
export type Action =
  | { readonly _tag: "Stage"; readonly targets: ReadonlyArray<string> }
  | { readonly _tag: "Switch"; readonly wave: number; readonly targets: ReadonlyArray<string> }
  | { readonly _tag: "Soak"; readonly wave: number; readonly targets: ReadonlyArray<string> }
  | { readonly _tag: "Settle"; readonly targets: ReadonlyArray<string> }
  | { readonly _tag: "Decide"; readonly decision: Decision }
  | { readonly _tag: "GoBack"; readonly targets: ReadonlyArray<string> }
  | { readonly _tag: "End" }

/** The parts of a plan that decide the order of work. */
export type Course = Pick<RolloutPlan, "waves" | "policy"> & {
  readonly members: ReadonlyArray<{ readonly target: string }>
  readonly left: ReadonlyArray<unknown>
}

/** The decision of a rollout. Undefined if nothing forced one. */
export const decisionIn = (facts: ReadonlyArray<Fact>): Decision | undefined =>
  facts.flatMap((fact) => (fact._tag === "Decided" ? [fact.decision] : []))[0]

/** The last outcome of each member. */
export const outcomes = (facts: ReadonlyArray<Fact>): ReadonlyMap<string, Outcome> =>
  new Map(facts.flatMap((fact) => (fact._tag === "Reached" ? [[fact.target, fact.outcome] as const] : [])))

const isFailed = (outcome: Outcome | undefined): boolean =>
  outcome === "failed" || outcome === "back" || outcome === "stuck"
/** Whether nobody knows that the member runs the release or its earlier one, and is well. */
export const isOpen = (outcome: Outcome): boolean =>
  outcome === "stuck" || outcome === "unknown" || outcome === "proven"

const isAway = (outcome: Outcome | undefined): boolean => outcome === "left" || outcome === "unknown"

/** Whether more members failed or are out of reach than the policy tolerates. One canary is too many. */
const isTooMuch = ({ left, members, policy, waves }: Course, now: ReadonlyMap<string, Outcome>): boolean => {
  const all = members.length + left.length
  const found = [...now.values()]
  const away = left.length + found.filter(isAway).length
  const canaries = waves.flatMap(({ kind, targets }) => (kind === "canary" ? targets : [])).map((key) => now.get(key))
  return (
    found.filter(isFailed).length > amountOf(policy.maxFailures, all) ||
    away > amountOf(policy.unreachable, all) ||
    canaries.some((outcome) => isFailed(outcome) || isAway(outcome))
  )
}

/** The next action of a rollout, from its plan and all facts so far. */
export const nextAction = (course: Course, facts: ReadonlyArray<Fact>): Action => {
  const now = outcomes(facts)
  const inState = (targets: ReadonlyArray<string>, ...wanted: ReadonlyArray<Outcome | undefined>) =>
    targets.filter((target) => wanted.includes(now.get(target)))
  const decision = decisionIn(facts)
  const all = course.members.map(({ target }) => target)
  if (decision !== undefined) {
    const targets = decision === "back" ? inState(all, "proven", "live") : []
    const open = decision === "stop" ? inState(all, "proven") : []
    if (open.length > 0) return { _tag: "Settle", targets: open }
    return targets.length === 0 ? { _tag: "End" } : { _tag: "GoBack", targets }
  }
  if (isTooMuch(course, now)) return { _tag: "Decide", decision: course.policy.onFailure }
  const unstaged = inState(all, undefined)
  if (unstaged.length > 0) return { _tag: "Stage", targets: unstaged }
  for (const [wave, { targets }] of course.waves.entries()) {
    const staged = inState(targets, "staged")
    if (staged.length > 0) return { _tag: "Switch", wave, targets: staged }
    const proven = inState(targets, "proven")
    if (proven.length === 0) continue
    const soaked = facts.some((fact) => fact._tag === "Soaked" && fact.wave === wave)
    return course.policy.soak === undefined || soaked
      ? { _tag: "Settle", targets: proven }
      : { _tag: "Soak", wave, targets: proven }
  }
  return { _tag: "End" }
}

/**
 * The exit status of a rollout that has ended. 0: every member runs the release. 1: nothing was switched, or the rollout stopped. 5: all are
 * back. 6: some are neither proven on the new release nor on the old one. 7: some failed or are out of reach, within the policy.
 */
export const rolloutStatus = (course: Course, facts: ReadonlyArray<Fact>): 0 | 1 | 5 | 6 | 7 => {
  const found = [...outcomes(facts).values()]
  if (found.some(isOpen)) return 6
  const decision = decisionIn(facts)
  if (decision === "back") return found.includes("back") ? 5 : 1
  if (decision === "stop") return 1
  if (course.left.length === 0 && !found.some((outcome) => isFailed(outcome) || isAway(outcome))) return 0
  // A policy that tolerates the failure of every member does not make one of them live.
  if (found.some((outcome) => outcome === "live" || outcome === "same")) return 7
  return found.includes("back") ? 5 : 1
}
