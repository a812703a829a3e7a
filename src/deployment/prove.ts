/**
 * The commands and checks that prove a live release.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type HostRelease, type HostState, previousRelease } from "../domain/HostState.ts"
import { releaseLabel, type Step } from "../domain/Plan.ts"
import { type Health, type Hook, shownCommand } from "../domain/Target.ts"
import type { HostSession, StepFailure } from "../host/RemoteHost.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { daemonCommand, daemonLog } from "../workspace/daemon.ts"
import { awaitHealthy, healthLabel, shortened, type Unhealthy } from "./health.ts"
import { entry, type Named } from "./journal.ts"
import { HookFailed } from "./liveFailures.ts"

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
  /** Whether its deployment becomes final only together with those of other targets. Default: no. */
  readonly waits?: boolean
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
export type Fault = HookFailed | Unhealthy | Exclude<StepFailure, { readonly _tag: "HostUnreachable" | "LockLost" }>

/** Whether the live release failed, and not the way to its host. */
export const isFault = (error: HookFailed | Unhealthy | StepFailure): error is Fault =>
  error._tag !== "HostUnreachable" && error._tag !== "LockLost"

/** The commands and checks after a switch, without the final verdict. */
export const prove = Effect.fnUntraced(function* (
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

/** A failure in words for the journal: only the first word of a command. */
export const journaled = (fault: Fault): string => {
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
