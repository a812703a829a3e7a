/**
 * Carries a rollout out: the actions that `nextAction` names, on sessions that hold the locks of all members.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { typed } from "../domain/Invocation.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import {
  type Action,
  type Fact,
  isOpen,
  nextAction,
  type Outcome,
  outcomes,
  type RolloutPlan
} from "../domain/Rollout.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { removeOld } from "./carryOut.ts"
import { goBack, recall } from "./goBack.ts"
import { type Proven, settle, switchTo } from "./goLive.ts"
import { checkOnce, Unhealthy } from "./health.ts"
import { RollbackFailed, RolledBack } from "./liveFailures.ts"
import { isFault, type Live } from "./prove.ts"

/** The number of connections that are made at the same time: fewer than an sshd refuses. */
export const connections = 8

/** A member whose lock is held. */
export interface Member<R> {
  readonly session: HostSession
  readonly plan: AnyPlan
  /** Carries out the steps before the switch. Returns the release to make live, or undefined if nothing is switched. */
  readonly ready: Effect.Effect<Live | undefined, AnyFailure, R>
  /** Fails if the release that runs already is not healthy. */
  readonly well: Effect.Effect<void, AnyFailure>
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
export const outcomeBefore = ({ _tag }: AnyFailure): Outcome => (_tag === "HostUnreachable" ? "left" : "failed")

/** How long a host may take to tell its state after a failure. */
const lookTime = Duration.seconds(30)

/** The outcome of a member that failed at its switch or after it. If the failure does not tell whether the host has switched, it is asked. */
const outcomeAfter = ({ plan, session }: Pick<Member<never>, "plan" | "session">, error: AnyFailure) =>
  Effect.gen(function* () {
    if (error instanceof RolledBack) return error.stays === true ? "stuck" : "back"
    if (error instanceof RollbackFailed) return "stuck"
    const now = yield* Effect.timeoutOption(Effect.option(session.inspect), lookTime)
    const ref = Option.map(Option.flatten(now), ({ current }) => (current._tag === "Linked" ? current.ref : undefined))
    const before = plan.state.current._tag === "Linked" ? plan.state.current.ref : undefined
    const isAsBefore = Option.isSome(ref) && ref.value === before && before !== plan.release.ref
    return isAsBefore ? "failed" : "unknown"
  })

/** A running rollout: its plan, and the state of its members. */
interface Running<R> {
  readonly plan: RolloutPlan
  readonly members: ReadonlyMap<string, Member<R>>
  readonly lives: Map<string, Live>
  readonly proofs: Map<string, Proven>
  readonly failures: Map<string, AnyFailure>
  /** The last outcome of each member, also if the action of the others has not ended. */
  readonly standing: Map<string, Outcome>
}

/** The fact that a member has this outcome. */
export const reached = (target: string, outcome: Outcome): Fact => ({ _tag: "Reached", target, outcome })

const names = (targets: Iterable<string>): string => [...targets].join(", ")

/** The work on one member. Its failures are told, and become outcomes. */
interface Work<R, R2> {
  /** Returns the member's new outcome. Undefined if it stays. */
  readonly run: (member: Member<R>, target: string) => Effect.Effect<Outcome | undefined, AnyFailure, R2>
  readonly failed: (member: Member<R>, error: AnyFailure) => Effect.Effect<Outcome>
  readonly atOnce?: number
}

/** Works on members at the same time, and turns the end of each work into a fact. */
const each = <R, R2>(running: Running<R>, targets: ReadonlyArray<string>, { atOnce, failed, run }: Work<R, R2>) =>
  Effect.forEach(
    targets,
    (target) =>
      Effect.gen(function* () {
        const member = yield* Effect.orDie(Effect.fromNullable(running.members.get(target)))
        const outcome = yield* Effect.catchAll(Reporter.showingOutput(run(member, target)), (error) => {
          running.failures.set(target, error)
          // A target that goes back has already said why.
          const tell = error instanceof RolledBack ? Reporter.note : Reporter.warn
          return Effect.zipRight(tell(error.message), failed(member, error))
        })
        if (outcome === undefined) return []
        running.standing.set(target, outcome)
        return [reached(target, outcome)]
      }).pipe(Reporter.asMember(target)),
    { concurrency: atOnce ?? "unbounded" }
  ).pipe(Effect.map((found): ReadonlyArray<Fact> => found.flat()))

const liveOf = <R>({ lives }: Running<R>, target: string) => Effect.orDie(Effect.fromNullable(lives.get(target)))

const waveName = ({ plan: { waves } }: Pick<Running<never>, "plan">, index: number): string =>
  `Wave ${index + 1} of ${waves.length}${waves[index]?.kind === "canary" ? " (canary)" : ""}`

const stageAll = <R>(running: Running<R>, targets: ReadonlyArray<string>) =>
  Effect.zipRight(
    Reporter.note(
      `Preparing ${releaseLabel(running.plan.release)} on ${counted(targets.length, "target")}: ${names(targets)}`
    ),
    each(running, targets, {
      atOnce: running.plan.policy.concurrency,
      run: (member, target) =>
        Effect.gen(function* () {
          const live = yield* member.ready
          if (live === undefined) return yield* Effect.as(member.well, "same" as const)
          running.lives.set(target, { ...live, goesBack: true, unlocks: false, waits: true })
          return "staged" as const
        }),
      failed: (_, error) => Effect.succeed(outcomeBefore(error))
    })
  )

/**
 * The seconds after which a host goes back by itself. It waits until the slowest member of its wave is proven, or is back in its earlier state,
 * and for the soak.
 */
const waitSeconds = (lives: ReadonlyArray<Live>, soak: Duration.Duration): number =>
  2 * Math.max(0, ...lives.flatMap(({ steps }) => steps.map((step) => (step._tag === "Arm" ? step.seconds : 0)))) +
  Math.ceil(Duration.toSeconds(soak))

const switchAll = <R>(running: Running<R>, wave: number, targets: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* Reporter.note(`${waveName(running, wave)}: switching ${names(targets)}`)
    const { soak = Duration.zero } = running.plan.policy
    const seconds = waitSeconds(yield* Effect.forEach(targets, (target) => liveOf(running, target)), soak)
    return yield* each(running, targets, {
      run: ({ session }, target) =>
        Effect.gen(function* () {
          const live = yield* liveOf(running, target)
          const steps = live.steps.map((step) =>
            step._tag === "Switch" ? { ...step, settles: false } : step._tag === "Arm" ? { ...step, seconds } : step
          )
          running.proofs.set(target, yield* switchTo(session, { ...live, steps }))
          return "proven" as const
        }),
      failed: outcomeAfter
    })
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

const soakAll = <R>(running: Running<R>, wave: number, targets: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { soak = Duration.zero } = running.plan.policy
    yield* Reporter.note(`${waveName(running, wave)}: watching ${names(targets)} for ${Duration.format(soak)}`)
    const found = yield* each(running, targets, {
      run: (member, target) =>
        Effect.gen(function* () {
          const live = yield* liveOf(running, target)
          yield* Effect.catchIf(stayHealthy(member, soak), isFault, (fault) => goBack(member.session, live, fault))
          return undefined
        }),
      failed: outcomeAfter
    })
    const soaked: Fact = { _tag: "Soaked", wave }
    return [...found, soaked]
  })

/** Makes the deployment of one member final. */
const settleOne = <R>(running: Running<R>, { session }: Member<R>, target: string) =>
  Effect.flatMap(Effect.orDie(Effect.fromNullable(running.proofs.get(target))), (proof) => settle(session, proof))

const settleAll = <R>(running: Running<R>, targets: ReadonlyArray<string>) =>
  Effect.tap(
    each(running, targets, {
      // Each confirmation of a dead-man's switch takes a connection.
      atOnce: connections,
      run: (member, target) => Effect.as(settleOne(running, member, target), "live" as const),
      failed: outcomeAfter
    }),
    (facts) => {
      const live = facts.flatMap((fact) => (fact._tag === "Reached" && fact.outcome === "live" ? [fact.target] : []))
      return live.length === 0
        ? Effect.void
        : Reporter.note(`${releaseLabel(running.plan.release)} is live on ${names(live)}`)
    }
  )

/** Why all targets go back. */
const reasonOf = <R>({ failures, plan, standing }: Running<R>): string => {
  const isAway = (target: string) => ["left", "unknown"].includes(standing.get(target) ?? "")
  const failed = [...failures.keys()].filter((target) => !isAway(target))
  const label = releaseLabel(plan.release)
  return failed.length > 0
    ? `${label} failed on ${names(failed)}`
    : `${label} cannot go on, because ${names([...failures.keys()].filter(isAway))} cannot be reached`
}

const allBack = <R>(running: Running<R>, targets: ReadonlyArray<string>) => {
  const why = reasonOf(running)
  return Effect.zipRight(
    Reporter.warn(`${why}, so all targets go back: ${names(targets)}`),
    each(running, targets, {
      run: (member, target) =>
        Effect.gen(function* () {
          const live = yield* liveOf(running, target)
          const { current } = live.state
          if (current._tag === "Linked" && current.ref === live.release.ref) {
            // It was current before. That is its earlier state.
            if (running.standing.get(target) === "proven") yield* settleOne(running, member, target)
            return "same"
          }
          const { stays } = yield* recall(member.session, live, why)
          return stays ? "stuck" : "back"
        }),
      failed: outcomeAfter
    })
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

/** The state that an interruption leaves, and what to do. Members whose work was cut say more themselves. */
const interrupted = <R>({ plan, standing }: Running<R>, isDecided: boolean): string => {
  const { members, release } = plan
  const inState = (wanted: (outcome: Outcome | undefined) => boolean) =>
    members.flatMap(({ target }) => (wanted(standing.get(target)) ? [target] : []))
  const live = inState((outcome) => outcome === "live")
  const open = inState((outcome) => outcome !== undefined && isOpen(outcome))
  const targets = members.map(({ target }) => target).join(",")
  const [first] = members
  const ref = shortRef(release.ref)
  const same =
    first?._tag === "RollbackPlan"
      ? typed("rollback", { target: targets, to: ref })
      : typed("deploy", { target: targets, release: ref, retry: true })
  return [
    `Interrupted: ${releaseLabel(release)} is live on ${live.length === 0 ? "no target" : names(live)}`,
    ...(open.length === 0 ? [] : [`; it is current on ${names(open)}, but not final`]),
    `. See which release each target has with ${typed("status", { target: targets })}`,
    ...(isDecided ? [] : [`, and continue with ${same}`])
  ].join("")
}

/** Carries out all actions of a rollout. `began` holds the facts from before. A failure of a member is a fact, too. */
export const carryOutRollout = Effect.fn("carryOutRollout")(function* <R>(
  plan: RolloutPlan,
  members: ReadonlyMap<string, Member<R>>,
  began: Ended
) {
  const running: Running<R> = {
    plan,
    members,
    lives: new Map(),
    proofs: new Map(),
    failures: new Map(began.failures),
    standing: new Map(outcomes(began.facts))
  }
  const facts = [...began.facts]
  yield* Effect.gen(function* () {
    let action = nextAction(plan, facts)
    while (action._tag !== "End") {
      facts.push(...(yield* perform(running, action)))
      action = nextAction(plan, facts)
    }
  }).pipe(
    Effect.onInterrupt(() =>
      Reporter.warn(
        interrupted(
          running,
          facts.some(({ _tag }) => _tag === "Decided")
        )
      )
    )
  )
  const live = [...outcomes(facts)].flatMap(([target, outcome]) => (outcome === "live" ? [target] : []))
  yield* each(running, live, {
    run: ({ plan, session }) => Effect.as(removeOld(session, plan), undefined),
    failed: outcomeAfter
  })
  return { facts, failures: running.failures } satisfies Ended
})
