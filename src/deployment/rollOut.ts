/**
 * Carries a rollout out: the actions that `nextAction` names, on sessions that hold the locks of all members.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { typed } from "../domain/Invocation.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { type Action, type Fact, nextAction, type Outcome, outcomes, type RolloutPlan } from "../domain/Rollout.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { removeOld } from "./carryOut.ts"
import { goBack, isDisplaced, recall } from "./goBack.ts"
import { type Proven, settle, switchTo } from "./goLive.ts"
import { checkOnce, Unhealthy } from "./health.ts"
import type { Live } from "./prove.ts"

/** A member whose lock is held. */
export interface Member<R> {
  readonly session: HostSession
  readonly plan: AnyPlan
  /** Carries out the steps before the switch. Returns the release to make live, or undefined if nothing is switched. */
  readonly ready: Effect.Effect<Live | undefined, AnyFailure, R>
}

/** The end of a rollout. */
export interface Ended {
  readonly facts: ReadonlyArray<Fact>
  /** The failure of each member that has one. */
  readonly failures: ReadonlyMap<string, AnyFailure>
}

/** Any failure of a member. */
export interface AnyFailure {
  readonly _tag: string
  readonly message: string
}

/** The outcome of a member that failed before its switch. */
const outcomeBefore = ({ _tag }: AnyFailure): Outcome => (_tag === "HostUnreachable" ? "left" : "failed")

/** The outcome of a member that failed at its switch or after it. */
const outcomeAfter = (error: AnyFailure): Outcome => {
  switch (error._tag) {
    case "RolledBack":
      return "back" as const
    case "RollbackFailed":
      return "stuck"
    case "HostStepFailed":
      return isDisplaced(error) ? "stuck" : "failed"
    default:
      return "unknown"
  }
}

/** The steps of a member after its switch: the wave settles it, and the host waits for the whole wave before it goes back by itself. */
const inWave = (live: Live, soak: Duration.Duration = Duration.zero): Live => ({
  ...live,
  goesBack: true,
  unlocks: false,
  steps: live.steps.map((step) =>
    step._tag === "Switch"
      ? { ...step, settles: false }
      : step._tag === "Arm"
        ? { ...step, seconds: step.seconds + Math.ceil(Duration.toSeconds(soak)) }
        : step
  )
})

/** Checks a live release again and again for some time. Fails at the first bad answer. */
const stayHealthy = Effect.fnUntraced(function* (
  { session, plan }: Pick<Member<never>, "plan" | "session">,
  soak: Duration.Duration
) {
  const step = plan.steps.find(({ _tag }) => _tag === "Check")
  if (step?._tag !== "Check") return yield* Effect.sleep(soak)
  const { health } = step
  const began = yield* monotonicMillis
  const end = began + Duration.toMillis(soak)
  let attempts = 0
  while ((yield* monotonicMillis) < end) {
    yield* Effect.sleep(Duration.min(health.interval, Duration.millis(end - (yield* monotonicMillis))))
    const { check, detail, ok } = yield* checkOnce(session, plan.release, health)
    attempts += 1
    if (ok) continue
    return yield* new Unhealthy({
      address: session.address,
      release: releaseLabel(plan.release),
      check,
      attempts,
      waited: Duration.format(Duration.millis((yield* monotonicMillis) - began)),
      detail
    })
  }
})

/** A running rollout: its plan, and the state of its members. */
interface Running<R> {
  readonly plan: RolloutPlan
  readonly members: ReadonlyMap<string, Member<R>>
  readonly lives: Map<string, Live>
  readonly proofs: Map<string, Proven>
  readonly failures: Map<string, AnyFailure>
}

/** Works on members, and turns the end of each work into a fact. A work without an outcome leaves its member as it is. */
const each = <R, R2>(
  { failures, members }: Running<R>,
  targets: ReadonlyArray<string>,
  work: (member: Member<R>, target: string) => Effect.Effect<Outcome | undefined, AnyFailure, R2>,
  outcomeOf: (error: AnyFailure) => Outcome,
  atOnce: number | "unbounded" = "unbounded"
) =>
  Effect.forEach(
    targets,
    (target) =>
      Effect.flatMap(Effect.fromNullable(members.get(target)), (member) => work(member, target)).pipe(
        Effect.catchAll((error) => {
          failures.set(target, error)
          // A target that goes back has already said why.
          const tell = error._tag === "RolledBack" ? Reporter.note : Reporter.warn
          return Effect.as(tell(error.message), outcomeOf(error))
        }),
        Effect.map((outcome): ReadonlyArray<Fact> => (outcome === undefined ? [] : [reached(target, outcome)])),
        Reporter.asMember(target)
      ),
    { concurrency: atOnce }
  ).pipe(Effect.map((found) => found.flat()))

/** The fact that a member has this outcome. */
export const reached = (target: string, outcome: Outcome): Fact => ({ _tag: "Reached", target, outcome })

const names = (targets: ReadonlyArray<string>): string => targets.join(", ")

const waveName = ({ plan: { waves } }: Pick<Running<never>, "plan">, index: number): string =>
  `Wave ${index + 1} of ${waves.length}${waves[index]?.kind === "canary" ? " (canary)" : ""}`

const stageAll = <R>(running: Running<R>, targets: ReadonlyArray<string>) =>
  Effect.zipRight(
    Reporter.note(
      `Preparing ${releaseLabel(running.plan.release)} on ${counted(targets.length, "target")}: ${names(targets)}`
    ),
    each(
      running,
      targets,
      ({ ready }, target) =>
        Effect.map(ready, (live): Outcome => {
          if (live !== undefined) running.lives.set(target, inWave(live, running.plan.policy.soak))
          return live === undefined ? "same" : "staged"
        }),
      outcomeBefore,
      running.plan.policy.concurrency
    )
  )

const switchAll = <R>(running: Running<R>, wave: number, targets: ReadonlyArray<string>) =>
  Effect.zipRight(
    Reporter.note(`${waveName(running, wave)}: switching ${names(targets)}`),
    each(
      running,
      targets,
      ({ session }, target) =>
        Effect.gen(function* () {
          const live = yield* Effect.fromNullable(running.lives.get(target))
          running.proofs.set(target, yield* switchTo(session, live))
          return "proven" as const
        }),
      outcomeAfter
    )
  )

const soakAll = <R>(running: Running<R>, wave: number, targets: ReadonlyArray<string>) => {
  const { soak = Duration.zero } = running.plan.policy
  return Effect.zipRight(
    Reporter.note(`${waveName(running, wave)}: watching ${names(targets)} for ${Duration.format(soak)}`),
    Effect.map(
      each(
        running,
        targets,
        (member, target) =>
          Effect.gen(function* () {
            const live = yield* Effect.fromNullable(running.lives.get(target))
            yield* stayHealthy(member, soak).pipe(
              Effect.catchIf(
                (error) => error instanceof Unhealthy,
                (fault) => goBack(member.session, live, fault)
              )
            )
            return undefined
          }),
        outcomeAfter
      ),
      (found): ReadonlyArray<Fact> => [...found, { _tag: "Soaked", wave }]
    )
  )
}

const settleAll = <R>(running: Running<R>, targets: ReadonlyArray<string>) =>
  Effect.tap(
    each(
      running,
      targets,
      ({ session }, target) =>
        Effect.gen(function* () {
          yield* settle(session, yield* Effect.fromNullable(running.proofs.get(target)))
          return "live" as const
        }),
      outcomeAfter
    ),
    (facts) => {
      const live = facts.flatMap((fact) => (fact._tag === "Reached" && fact.outcome === "live" ? [fact.target] : []))
      return Reporter.note(`${releaseLabel(running.plan.release)} is live on ${names(live)}`)
    }
  )

const allBack = <R>(running: Running<R>, targets: ReadonlyArray<string>) => {
  const why = `${releaseLabel(running.plan.release)} failed on ${names([...running.failures.keys()])}`
  return Effect.zipRight(
    Reporter.warn(`${why}, so all targets go back: ${names(targets)}`),
    each(
      running,
      targets,
      ({ session }, target) =>
        Effect.gen(function* () {
          yield* recall(session, yield* Effect.fromNullable(running.lives.get(target)), why)
          return "back" as const
        }),
      outcomeAfter
    )
  )
}

const perform = <R>(running: Running<R>, action: Exclude<Action, { readonly _tag: "End" }>) => {
  switch (action._tag) {
    case "Stage":
      return stageAll(running, action.targets)
    case "Switch":
      return switchAll(running, action.wave, action.targets)
    case "Soak":
      return soakAll(running, action.wave, action.targets)
    case "Settle":
      return settleAll(running, action.targets)
    case "Decide":
      return Effect.succeed<ReadonlyArray<Fact>>([{ _tag: "Decided", decision: action.decision }])
    case "GoBack":
      return allBack(running, action.targets)
  }
}

/** The state that an interruption leaves. Members whose work was cut say more themselves. */
const interrupted = ({ members, release }: RolloutPlan, facts: ReadonlyArray<Fact>): string => {
  const found = outcomes(facts)
  const label = releaseLabel(release)
  const live = members.flatMap(({ target }) => (found.get(target) === "live" ? [target] : []))
  const back = typed("rollback", { target: live.join(",") })
  return live.length === 0
    ? `Interrupted: ${label} has become live on no target. The same command continues`
    : `Interrupted: ${label} has become live on ${names(live)}. The same command continues, and ${back} goes back`
}

/** Carries out all actions of a rollout. `began` holds the facts from before. A failure of a member is a fact, too. */
export const rollOut = Effect.fn("rollOut")(function* <R>(
  plan: RolloutPlan,
  members: ReadonlyMap<string, Member<R>>,
  began: Ended
) {
  const running: Running<R> = {
    plan,
    members,
    lives: new Map(),
    proofs: new Map(),
    failures: new Map(began.failures)
  }
  const facts = [...began.facts]
  yield* Effect.gen(function* () {
    let action = nextAction(plan, facts)
    while (action._tag !== "End") {
      facts.push(...(yield* perform(running, action)))
      action = nextAction(plan, facts)
    }
  }).pipe(Effect.onInterrupt(() => Reporter.warn(interrupted(plan, facts))))
  const live = [...outcomes(facts)].flatMap(([target, outcome]) => (outcome === "live" ? [target] : []))
  yield* each(running, live, ({ plan, session }) => Effect.as(removeOld(session, plan), undefined), outcomeAfter)
  return { facts, failures: running.failures } satisfies Ended
})
