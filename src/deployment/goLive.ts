/**
 * Makes a release live and proves it: the switch, the steps after it, and the way back. Deployments and rollbacks both run this code.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { type HostRelease, type HostState, linkBefore, previousRelease, wayBack } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation, typed } from "../domain/Invocation.ts"
import { lastLink, standing } from "../domain/Journal.ts"
import { releaseLabel, type Step } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import { type Health, Hook, shownCommand } from "../domain/Target.ts"
import { type HostSession, HostStepFailed, RemoteHost, type StepFailure } from "../host/RemoteHost.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { daemonCommand, daemonLog } from "../workspace/daemon.ts"
import { awaitHealthy, healthLabel, shortened, type Unhealthy } from "./health.ts"
import { entry, type Named } from "./journal.ts"

/** One of the target's commands failed on the host. */
export class HookFailed extends Schema.TaggedError<HookFailed>()("HookFailed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  hook: Hook,
  command: Schema.String,
  status: Schema.Int,
  /** The end of its output. */
  output: Schema.String,
  release: Schema.String,
  /** Whether the host goes back by itself afterwards. */
  goesBack: Schema.Boolean,
  /** Whether no release was current before. Default: no. */
  isFirst: Schema.optional(Schema.Boolean),
  /** Whether the release was on the host before, and stays. Default: no. */
  stays: Schema.optional(Schema.Boolean)
}) {
  readonly exitStatus = 1
  /** For the journal, which every login of the host's group may read: a command or its output may contain a token. */
  get journaled(): string {
    return `the ${this.hook} command "${shortened(this.command)}" ended with status ${this.status}`
  }
  override get message(): string {
    const failure = `The ${this.hook} command "${shownCommand(this.command)}" of ${this.release} ended with status ${this.status} on ${this.address}`
    if (this.hook === "afterUnpack") {
      return `${failure}: nothing was switched, and the release ${this.stays === true ? "stays there" : "was removed there again"}`
    }
    if (this.goesBack) return `${failure}${this.output === "" ? "" : `: ${this.output}`}`
    const back = this.isFirst === true ? "" : `, or go back with ${typed("rollback", { target: this.target })}`
    return `${failure}: the release stays current. Fix the command and deploy again${back}`
  }
}

/** The release failed after it became live, and the host is back in its previous state. */
export class RolledBack extends Schema.TaggedError<RolledBack>()("RolledBack", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  /** The label of the release or link that is live again. Undefined if there was nothing to go back to. */
  back: Schema.optional(Schema.String),
  /** Whether the release was current before and still is, because there was nothing to go back to. Default: no. */
  stays: Schema.optional(Schema.Boolean),
  /** Whether the target's stop command stopped the failed release. Undefined if it did not run. */
  stopped: Schema.optional(Schema.Boolean),
  /** Whether the release is marked as failed. Default: yes. */
  isMarked: Schema.optional(Schema.Boolean),
  /** The reason, as a sentence. */
  reason: Schema.String
}) {
  readonly exitStatus = 5
  get next(): readonly [Invocation] {
    return [invocation("history", { target: this.target })]
  }
  /** What became of a first release, which has nothing to go back to. */
  private get gone(): string {
    const nothing = `there was nothing to go back to, so nothing is current on ${this.address} now`
    const ssh = typed("ssh", { target: this.target })
    switch (this.stopped) {
      case true:
        return `${nothing}, and it was stopped`
      case false:
        return `${nothing}. Its stop command failed, so its processes may still run: end them there with ${ssh}`
      case undefined:
        return `${nothing}. Its processes may still run: end them there with ${ssh}, and set stop in the config, so that deployer does it`
    }
  }
  override get message(): string {
    const now =
      this.back !== undefined
        ? `it went back to ${this.back}, which is live again`
        : this.stays === true
          ? `there is nothing to go back to, so it is still current on ${this.address}`
          : this.gone
    const marked =
      this.isMarked === false ? "" : `${this.release} is marked as failed, and its files stay on the host. See `
    return `${this.reason}; ${now}. ${marked}${commandLine(this.next[0])}`
  }
}

/** The release failed after it became live, and so did going back. */
export class RollbackFailed extends Schema.TaggedError<RollbackFailed>()("RollbackFailed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  /** The label of the release or link that should be live again. */
  back: Schema.optional(Schema.String),
  /** The reason of the release's failure. */
  reason: Schema.String,
  /** The reason why going back failed. */
  failure: Schema.String
}) {
  readonly exitStatus = 6
  get next(): readonly [Invocation] {
    return [invocation("status", { target: this.target })]
  }
  override get message(): string {
    const aim = this.back === undefined ? "removing the link" : `going back to ${this.back}`
    return `${this.reason}; ${aim} failed as well: ${this.failure}. See what is live on ${this.address} now: ${commandLine(this.next[0])}`
  }
}

/** The host did not receive the confirmation in time, or it is unknown whether it did. */
export class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  reason: Schema.String
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("status", { target: this.target })]
  }
  override get message(): string {
    return `${this.release} could not be confirmed on ${this.address} over a new connection (${this.reason}), and the host does not answer. If it was not confirmed, the host has gone back by itself: see ${commandLine(this.next[0])}`
  }
}

/** A release to make live. */
export interface Live {
  readonly release: Named
  /** The host's state before. */
  readonly state: HostState
  /** The steps from `Arm` or `Switch` to `Settle`. */
  readonly steps: ReadonlyArray<Step>
  /** The record to write before the switch, if the release was not complete or not the latest. */
  readonly record?: HostRelease | undefined
  /** Whether the host goes back if a step after the switch fails, and the release that becomes current again then. */
  readonly goesBack: boolean
  readonly back?: HostRelease | undefined
  /** The command that stops the release if there is nothing to go back to. */
  readonly stop?: string | undefined
  /** The journal event of the switch. */
  readonly event: "switched" | "rolledBack"
  /** Whether to release the lock once the release is live and healthy, because no step follows. */
  readonly unlocks: boolean
}

/** Whether a step belongs to going live. */
export const isLiveStep = (step: Step): boolean =>
  ["Arm", "Switch", "Check", "Settle"].includes(step._tag) || (step._tag === "Run" && step.hook !== "afterUnpack")

/** Runs one of the target's commands in a release. */
export const runHook = Effect.fnUntraced(function* (
  session: HostSession,
  release: Named,
  { command, hook }: { readonly hook: Hook; readonly command: string },
  {
    goesBack = false,
    isFirst = false,
    ownsFiles = false,
    stays = false
  }: {
    readonly goesBack?: boolean
    readonly isFirst?: boolean
    readonly ownsFiles?: boolean
    readonly stays?: boolean
  } = {}
) {
  const isCurrent = hook !== "afterUnpack"

  yield* Reporter.note(`Running ${hook}: ${shownCommand(command)}`)
  const { output, status } = yield* session.run(command, { ref: release.ref, name: release.name, isCurrent, ownsFiles })
  if (status === 0) return
  return yield* new HookFailed({
    target: session.target.key,
    address: session.address,
    hook,
    command,
    status,
    output,
    release: releaseLabel(release),
    goesBack,
    ...(isFirst ? { isFirst } : {}),
    ...(stays ? { stays } : {})
  })
})

/** The log of the application, if the restart is one of `daemon`. */
const logOf = ({ state, steps }: Pick<Live, "state" | "steps">, { name }: Named): string | undefined =>
  steps.some((step) => step._tag === "Run" && step.hook === "restart" && daemonCommand(step.command) !== undefined)
    ? `${state.path}/${name}.log`
    : undefined

/** Shows why a release may be unhealthy. The failure to report is that it is. */
const showLog = Effect.fnUntraced(function* (session: HostSession, release: Named, log: string) {
  yield* Reporter.note(`The last lines of ${log} since the start of ${releaseLabel(release)}:`)
  const ran = yield* Effect.either(session.run(daemonLog, { ref: release.ref, name: release.name }))
  if (Either.isLeft(ran) || ran.right.status !== 0) yield* Reporter.note("(none)")
})

const check = Effect.fnUntraced(function* (session: HostSession, release: Named, health: Health, log?: string) {
  yield* Reporter.note(`Checking the health of ${releaseLabel(release)}: ${healthLabel(health)}`)
  const attempts = yield* awaitHealthy(session, release, health, log).pipe(
    Effect.tapErrorTag("Unhealthy", () => (log === undefined ? Effect.void : showLog(session, release, log)))
  )
  yield* Reporter.note(`${releaseLabel(release)} is healthy (${counted(attempts, "attempt")})`)
})

/** Failures of a live release, as opposed to failures to reach its host. */
type Fault = HookFailed | Unhealthy | Exclude<StepFailure, { readonly _tag: "HostUnreachable" | "LockLost" }>

const isFault = (error: HookFailed | Unhealthy | StepFailure): error is Fault =>
  error._tag !== "HostUnreachable" && error._tag !== "LockLost"

/** The commands and checks after a switch, without the final verdict. */
const prove = Effect.fnUntraced(function* (
  session: HostSession,
  release: Named,
  live: Pick<Live, "goesBack" | "state" | "steps">
) {
  const { goesBack, state, steps } = live
  const isFirst =
    previousRelease(state) === undefined &&
    (state.currentRelease === undefined || state.currentRelease.ref === release.ref)
  for (const step of steps) {
    if (step._tag === "Run") yield* Reporter.during(step)(runHook(session, release, step, { goesBack, isFirst }))
    if (step._tag === "Check") yield* Reporter.during(step)(check(session, release, step.health, logOf(live, release)))
  }
})

/**
 * Switches to a release, runs the steps after the switch, and journals the release as healthy. If a step fails and the plan goes back, the
 * host goes back: `RolledBack`, or `RollbackFailed`.
 */
export const goLive = Effect.fn("goLive")(function* (session: HostSession, live: Live) {
  const { event, record, release, state, steps, unlocks } = live
  const armed = steps.find((step) => step._tag === "Arm")
  const switches = steps.find((step) => step._tag === "Switch")
  const deadMan = armed === undefined ? undefined : yield* Reporter.during(armed)(armWhole(session, live, armed))
  if (switches !== undefined) {
    const from = state.current._tag === "Linked" ? { from: state.current.ref } : {}
    const healthy = switches.settles ? [yield* entry("healthy", release)] : []
    yield* session
      .activate(release.ref, {
        entries: [yield* entry(event, release, from), ...healthy],
        armed: deadMan?.id,
        record: switches.records ? record : undefined,
        unlocks: unlocks && switches.settles
      })
      .pipe(
        Reporter.during(switches),
        Effect.onError((cause) => warnUnsettled(session, live, "may be")(cause))
      )
    const { current } = state
    const before = current._tag === "Foreign" ? ` (it led to ${current.to} before, which deployer did not make)` : ""
    yield* Reporter.note(`Switched current to ${releaseLabel(release)}${before}`)
    if (switches.settles) return
  }
  yield* prove(session, release, live).pipe(
    Effect.onInterrupt(() => unsettled(session, live, "is")),
    Effect.catchIf(isFault, (fault) =>
      live.goesBack
        ? goBack(session, live, fault)
        : Effect.zipRight(
            noteFailed(session, release, fault, { live: release.ref }),
            Effect.fail<Fault | RolledBack | RollbackFailed>(fault)
          )
    ),
    Effect.tapErrorCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.void : warnUnsettled(session, live, "is")(cause)
    )
  )
  const last = steps.find((step) => step._tag === "Settle")
  yield* settle(session, live, deadMan).pipe(last === undefined ? identity : Reporter.during(last))
})

const unsettled = (session: HostSession, { release, steps }: Live, is: string) =>
  Reporter.warn(
    steps.every(({ _tag }) => _tag !== "Arm")
      ? `${releaseLabel(release)} ${is} current on ${session.address}, and the steps after the switch are not done: the next deploy of it resumes there`
      : `${releaseLabel(release)} ${is} current on ${session.address}: unless it is confirmed, the host goes back by itself`
  )

// A missing answer does not mean that the step was not done. The user may also have interrupted it.
const warnUnsettled =
  (session: HostSession, live: Live, is: string) =>
  (cause: Cause.Cause<{ readonly _tag: string }>): Effect.Effect<void> => {
    const failure = Cause.failureOption(cause)
    // A host that refuses the switch has not switched, as the error says.
    const isAway =
      failure._tag === "None" ||
      failure.value._tag === "HostUnreachable" ||
      (failure.value._tag === "LockLost" && is === "is")
    return isAway || (is === "may be" && failure.value._tag === "CommandTimeout")
      ? unsettled(session, live, is)
      : Effect.void
  }

type Arm = Extract<Step, { readonly _tag: "Arm" }>

/** A placeholder: the host fills in the time when the event happens. */
const unknownTime = DateTime.unsafeMake(0)

const arm = Effect.fnUntraced(function* (
  session: HostSession,
  { back, release, state }: Live,
  { command, seconds }: Arm
) {
  const about = { at: unknownTime, detail: "nobody confirmed it in time: the host went back by itself" }
  const from = { ...about, from: release.ref }
  const id = yield* session.arm({
    ref: release.ref,
    back,
    restore: linkBefore(state),
    seconds,
    command,
    entries: [
      yield* entry("unhealthy", release, about),
      back === undefined ? yield* entry("unlinked", release, about) : yield* entry("rolledBack", back, from)
    ]
  })
  yield* Reporter.note(
    `Armed: unless it is confirmed within ${Duration.format(Duration.seconds(seconds))}, the host goes back by itself`
  )
  return { id, end: (yield* Clock.currentTimeMillis) + seconds * 1000 }
})

/** The host must not go back by itself to a release that lacks files. */
const armWhole = Effect.fnUntraced(function* (session: HostSession, live: Live, step: Arm) {
  const back = yield* wholeBack(session, live.state, live.back)
  return yield* armForUs(session, { ...live, back }, step)
})

/**
 * Arming replaces an armed dead-man's switch of somebody else. If that one has acted in the meantime, ours gets another release to go back
 * to.
 */
const armForUs = Effect.fnUntraced(function* (session: HostSession, live: Live, step: Arm) {
  const first = yield* arm(session, live, step)
  const now = yield* withBackOfNow(session, live)
  return now.back?.ref === live.back?.ref ? first : yield* arm(session, now, step)
})

/**
 * If an abandoned dead-man's switch was armed at the time of the look, it may have acted since, in spite of the lock. So the way back is
 * determined again, after only our switch can be armed.
 */
const withBackOfNow = (session: HostSession, live: Live): Effect.Effect<Live, StepFailure> =>
  live.state.armed === undefined ? Effect.succeed(live) : Effect.map(session.inspect, (state) => backOfNow(state, live))

const backOfNow = (now: HostState, live: Live): Live =>
  live.state.armed === undefined ? live : { ...live, back: wayBack(now, live.release.ref) ?? stillThere(now, live) }

/** The planned release to go back to, unless it is gone or failed since. */
const stillThere = ({ journal, releases }: HostState, { back }: Live): HostRelease | undefined =>
  releases.find(({ ref }) => ref === back?.ref && standing(journal, ref) !== "unhealthy")

/** Somebody made another release current while this one was checked: then it is not live, whatever the checks say. */
const isDisplaced = (error: { readonly _tag: string }): error is HostStepFailed =>
  error instanceof HostStepFailed && error.detail.includes("is not current any more")

const isChecked = ({ steps }: Pick<Live, "steps">): boolean => steps.some(({ _tag }) => _tag === "Check")

/** A release stays live and healthy even if that cannot be journaled. */
const noteHealthy = Effect.fnUntraced(function* (
  session: HostSession,
  release: Named,
  { unlocks, wasChecked }: { readonly unlocks: boolean; readonly wasChecked: boolean }
) {
  yield* Effect.catchIf(
    session.note([yield* entry("healthy", release, { wasChecked })], { unlocks, live: release.ref }),
    (error) => error._tag !== "LockLost" && !isDisplaced(error),
    (error) =>
      Reporter.warn(
        `${releaseLabel(release)} is live, but the journal could not be written: the next deploy tries again. ${error.message}`
      )
  )
})

const settle = Effect.fnUntraced(function* (
  session: HostSession,
  live: Live,
  deadMan: { readonly id: string; readonly end: number } | undefined
) {
  const { release } = live
  const wasChecked = isChecked(live)
  if (deadMan === undefined) return yield* noteHealthy(session, release, { unlocks: live.unlocks, wasChecked })
  const healthy = [yield* entry("healthy", release, { wasChecked })]
  const confirmed = yield* confirm(session, deadMan.id, release.ref, healthy).pipe(
    Effect.retry({
      while: (error) =>
        isDisplaced(error)
          ? Effect.succeed(false)
          : Effect.map(Clock.currentTimeMillis, (now) => now < deadMan.end + graceMillis),
      schedule: confirmPause
    }),
    Effect.mapError((error) =>
      isDisplaced(error)
        ? error
        : new NotConfirmed({
            target: session.target.key,
            address: session.address,
            release: releaseLabel(release),
            reason: error.message
          })
    )
  )
  if (confirmed) return yield* Reporter.note(`Confirmed ${releaseLabel(release)} over a new connection`)
  return yield* new RolledBack({
    target: session.target.key,
    address: session.address,
    release: releaseLabel(release),
    reason: `${releaseLabel(release)} was not confirmed in time, and the host went back by itself`,
    ...backLabel(live)
  })
})

const confirm = (session: HostSession, id: string, ref: string, healthy: Parameters<HostSession["confirm"]>[2]) =>
  Effect.gen(function* () {
    const again = yield* (yield* RemoteHost).connect(session.target)
    return yield* again.confirm(id, ref, healthy)
  }).pipe(Effect.scoped)

/** How long after the deadline to keep asking the host for its decision. */
const graceMillis = 20_000
const confirmPause = Schedule.spaced(Duration.seconds(2))

const isCurrent = ({ current }: HostState, { ref }: Named): boolean => current._tag === "Linked" && current.ref === ref

const backLabel = ({ back, release, state }: Live) => {
  if (back !== undefined) return { back: releaseLabel(back) }
  const link = linkBefore(state)
  if (link === undefined) return {}
  return isCurrent(state, release) ? { stays: true } : { back: `the link to ${link}` }
}

/** A failure in words for the journal: only the first word of a command. */
const journaled = (fault: Fault): string => {
  if ("journaled" in fault) return fault.journaled
  if (!("command" in fault)) return fault.message
  const short = shortened(fault.command)
  return fault.message.replaceAll(fault.command, short).replaceAll(shownCommand(fault.command), short)
}

/** Writes down why a deployment failed that does not go back. Its failure is the one to report, whatever the journal says. */
export const noteFailed = (
  session: HostSession,
  release: Named,
  fault: Fault,
  last: Parameters<HostSession["note"]>[1] = {}
) =>
  Effect.ignore(
    Effect.flatMap(entry("failed", release, { detail: journaled(fault) }), (failed) => session.note([failed], last))
  )

/** The release to go back to: the planned one, or the nearest before it that is whole. Undefined if there is none. */
const wholeBack = (
  session: HostSession,
  state: HostState,
  back: HostRelease | undefined
): Effect.Effect<HostRelease | undefined, StepFailure> =>
  Effect.gen(function* () {
    if (back === undefined) return undefined
    const verdicts = yield* session.verify([back.ref], "paths")
    const faults = verdicts.flatMap(({ faults }) => faults)
    if (faults.length === 0) return back
    yield* Reporter.warn(
      `${releaseLabel(back)} on ${session.address} is not whole (${faults.slice(0, 3).join(", ")}), so the host does not go back to it: repair it with ${typed("deploy", { target: session.target.key, release: shortRef(back.ref), retry: true })}`
    )
    return yield* wholeBack(session, state, previousRelease(state, back.ref))
  })

/** Whether a release is no longer current, though the host did not go back from it by itself. */
const isReplaced = (state: HostState, release: Named): boolean => {
  if (isCurrent(state, release)) return false
  const last = lastLink(state.journal)
  return last?.event === "rolledBack"
    ? last.from !== release.ref
    : last?.event !== "unlinked" || last.release?.ref !== release.ref
}

/** The failure if somebody made another release current meanwhile: nobody knows which release the check was about. */
const replaced = (session: HostSession, release: Named, fault: Fault) =>
  new HostStepFailed({
    target: session.target.key,
    address: session.address,
    step: `judge ${releaseLabel(release)}`,
    detail: `deployer_${release.ref} is not current any more: somebody made another release current. Nothing was changed or journaled. ${fault.message}`
  })

/**
 * Stops a failed first release with the target's own command while it is still current, because `deployer stop` has no release afterwards.
 * Returns whether that succeeded, or undefined if the target has no such command.
 */
const stopFirst = Effect.fnUntraced(function* (session: HostSession, { release, stop }: Live) {
  if (stop === undefined) return undefined
  yield* Reporter.note(`There is nothing to go back to. Stopping ${releaseLabel(release)}: ${shownCommand(stop)}`)
  const failure = yield* session.run(stop, { ref: release.ref, name: release.name }).pipe(
    Effect.map(({ status }) => (status === 0 ? undefined : `it ended with status ${status}`)),
    Effect.catchIf(isFault, ({ message }) => Effect.succeed(message))
  )
  if (failure === undefined) return true
  yield* Reporter.warn(`The stop command "${shownCommand(stop)}" of ${releaseLabel(release)} failed: ${failure}`)
  return false
})

const goBack = Effect.fnUntraced(function* (session: HostSession, planned: Live, fault: Fault) {
  const { release, state } = planned
  const failed = (live: Live) => ({
    target: session.target.key,
    address: session.address,
    release: releaseLabel(release),
    reason: fault.message,
    ...backLabel(live)
  })
  const orFailed = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>, live: Live) =>
    Effect.mapError(effect, (error) => new RollbackFailed({ ...failed(live), failure: error.message }))
  const now = yield* orFailed(session.inspect, planned)
  if (isReplaced(now, release)) return yield* replaced(session, release, fault)
  const chosen = backOfNow(now, planned)
  const back = yield* orFailed(wholeBack(session, now, chosen.back), planned)
  const stays = back === undefined && (chosen.back !== undefined || isCurrent(state, release))
  const live: Live = { ...chosen, back }
  const isFirst = back === undefined && !stays && linkBefore(state) === undefined
  yield* Reporter.warn(stays || isFirst ? fault.message : `${fault.message}: going back`)
  let stopped: boolean | undefined
  const unhealthy = yield* entry("unhealthy", release, { detail: journaled(fault) })
  const returned = Effect.gen(function* () {
    if (back === undefined) {
      // There is nothing better. A release that was once healthy is not marked for a failure of today.
      if (stays) {
        return standing(state.journal, release.ref) === "healthy" ? undefined : yield* session.note([unhealthy])
      }
      const restore = linkBefore(state)
      if (restore === undefined) stopped = yield* stopFirst(session, live)
      const detail =
        restore === undefined ? "there was nothing to go back to" : `the link to ${restore} was put back`.slice(0, 1000)
      const unlinked = yield* entry("unlinked", release, { detail })
      return yield* session.deactivate({
        ...(restore === undefined ? {} : { restore }),
        entries: [unhealthy, unlinked]
      })
    }
    // A release that was once healthy is not marked for a failure that it shares with the way back.
    const wasWell = standing(state.journal, release.ref) === "healthy"
    const returned = yield* entry("rolledBack", back, { from: release.ref })
    yield* session.activate(back.ref, { entries: wasWell ? [returned] : [unhealthy, returned] })
    yield* prove(session, back, planned).pipe(Reporter.about({ release: back, steps: [] }))
    if (wasWell) yield* session.note([unhealthy])
    yield* noteHealthy(session, back, { unlocks: true, wasChecked: isChecked(planned) })
  })
  yield* Effect.mapError(returned, (error) => new RollbackFailed({ ...failed(live), failure: error.message }))
  const isMarked = back !== undefined || !stays || standing(state.journal, release.ref) !== "healthy"
  return yield* new RolledBack({
    ...failed(live),
    ...(stopped === undefined ? {} : { stopped }),
    ...(stays ? { back: undefined, stays } : {}),
    ...(isMarked ? {} : { isMarked })
  })
})
