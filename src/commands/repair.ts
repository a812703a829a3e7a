/**
 * `repair`: brings the journal, the link and the folders of a host back into agreement. A look, a plan, a question, its execution.
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { goLive } from "../deployment/goLive.ts"
import { entry } from "../deployment/journal.ts"
import { locked } from "../deployment/locking.ts"
import { failUnlessWhole, inspectDeployed } from "../deployment/onHost.ts"
import { Drift, drift, remedy, remedyCommands } from "../domain/Drift.ts"
import { HostState, linkBefore } from "../domain/HostState.ts"
import { commandLine, type Invocation } from "../domain/Invocation.ts"
import type { JournalEntry } from "../domain/Journal.ts"
import type { Release } from "../domain/Release.ts"
import { planRepair, RepairPlan, type RepairStep, repairStepText } from "../domain/Repair.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { counted, duration } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { connect } from "./connect.ts"
import { Declined } from "./Declined.ts"
import { flag, target, task, wait, yes } from "./Task.ts"

/** The result of a repair. */
export class RepairReport extends Schema.TaggedClass<RepairReport>()("RepairReport", {
  plan: RepairPlan,
  /** The remaining faults after a second look, with advice. */
  left: Schema.Array(Drift),
  /** In milliseconds. */
  millis: Schema.NonNegative
}) {}

/** Faults remain that a repair does not decide. */
export class RepairIncomplete extends Schema.TaggedError<RepairIncomplete>()("RepairIncomplete", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  left: Schema.Array(Drift)
}) {
  readonly exitStatus = 1
  get next(): ReadonlyArray<Invocation> {
    const commands = this.left.flatMap((one) => remedyCommands(one, this.target))
    return [...new Map(commands.map((command) => [commandLine(command), command])).values()]
  }
  override get message(): string {
    const { address, left, target } = this
    const count = counted(left.length, "thing is", "things are")
    const remedies = [...new Set(left.map((one) => remedy(one, target)))]
    return `${count} left on ${address} for you to decide (${left.map(({ found }) => found).join("; ")}): ${remedies.join("; ")}`
  }
}

/** Plans what `repair` would do, without a question and without changing anything. */
export const repairPlan = Effect.fn("repairPlan")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  return yield* plan(session, yield* inspectDeployed(session))
}, Effect.scoped)

/** Repairs a target's host, after showing the steps and asking. */
export const repair = Effect.fn("repair")(function* (options: { readonly target: string }) {
  return yield* repairHost(yield* connect(options.target))
}, Effect.scoped)

/** The failures of `repair`. */
export type RepairError = Effect.Effect.Error<ReturnType<typeof repair>>
/** The services that `repair` needs. */
export type RepairServices = Effect.Effect.Context<ReturnType<typeof repair>>

/** The same over an open session. */
export const repairHost = Effect.fn("repairHost")(
  function* (session: HostSession) {
    const [elapsed, done] = yield* Effect.timed(mend(session))
    const after = yield* alone(session)
    const { left } = yield* plan(session, after)
    const isSame = (a: Drift, b: Drift) => a.kind === b.kind && a.ref === b.ref
    return RepairReport.make({
      plan: done,
      left: drift(after).map((one) => left.find((other) => isSame(one, other)) ?? one),
      millis: Duration.toMillis(elapsed)
    })
  },
  (self, session) => locked(session, "repair")(self)
)

const plan = Effect.fnUntraced(function* (session: HostSession, state: HostState) {
  const lacksRecords = state.damaged.length > 0 || state.unfinished.some(({ kind }) => kind === "release")
  const releases = lacksRecords ? yield* (yield* ReleaseStore).list() : []
  const wanted = new Set([...state.damaged, ...state.unfinished].map(({ ref }) => ref))
  const known = yield* Effect.filter(
    releases.filter(({ ref }) => wanted.has(ref)),
    (release) => isProven(session, release)
  )
  const byRef = new Map(known.map((release) => [release.ref, release]))
  return planRepair(state, { target: session.target, stored: (ref) => byRef.get(ref) })
})

/** Whether every file of a release matches the store's manifest. Only its record may be missing. */
const isProven = Effect.fnUntraced(function* (session: HostSession, release: Release) {
  const manifest = yield* (yield* ReleaseStore).manifest(release)
  const verdicts = yield* session.verify([release.ref], "files", manifest)
  return verdicts.every(
    ({ faults, unreadable = [] }) =>
      unreadable.length === 0 && faults.every((fault) => fault.endsWith(" .deployer_release.json"))
  )
})

/** The host's state without the lock, because the lock is ours. */
const alone = (session: HostSession) =>
  Effect.map(inspectDeployed(session), ({ lock: _, ...state }) => HostState.make(state))

/** A finished adoption changes the host, so the repair is planned again. */
const mend = (session: HostSession): ReturnType<typeof mendOnce> =>
  Effect.flatMap(mendOnce(session), (first) =>
    first.steps.some(({ _tag }) => _tag === "FinishAdoption")
      ? Effect.map(mend(session), ({ left, steps }) =>
          RepairPlan.make({ ...first, steps: [...first.steps, ...steps], left })
        )
      : Effect.succeed(first)
  )

const mendOnce = Effect.fnUntraced(function* (session: HostSession) {
  const state = yield* alone(session)
  const planned = yield* plan(session, state)
  if (planned.steps.length === 0) return planned
  for (const { found } of planned.found) yield* Reporter.note(`Found on ${session.address}: ${found}`)
  if (state.torn > 0) {
    yield* Reporter.warn(
      "The content of the unreadable lines is lost, and they may have pinned a release: pin again each release that has to stay"
    )
  }
  for (const step of planned.steps) yield* Reporter.note(`To be done: ${repairStepText(step)}`)
  const agreed = yield* (yield* Prompt).confirm({
    message: `Do ${planned.steps.length === 1 ? "this" : `these ${planned.steps.length} things`} on ${session.address}?`,
    initial: false,
    safe: true,
    hint: "answer with yes"
  })
  if (!agreed) return yield* new Declined({ consequence: "nothing was changed" })
  yield* carryOut(session, state, planned.steps)
  return planned
})

/** Consecutive `Note` steps are journaled in one step. */
const carryOut = Effect.fnUntraced(function* (
  session: HostSession,
  state: HostState,
  steps: ReadonlyArray<RepairStep>
) {
  let notes: ReadonlyArray<JournalEntry> = []
  for (const step of steps) {
    if (step._tag === "Note") {
      notes = [...notes, yield* entry(step.event, step.release, { detail: step.detail })]
      continue
    }
    if (notes.length > 0) yield* session.note(notes)
    notes = []
    yield* carryOutStep(session, state, step)
  }
  if (notes.length > 0) yield* session.note(notes)
})

const restoring = (state: HostState): { readonly restore?: string } => {
  const restore = linkBefore(state)
  return restore === undefined ? {} : { restore }
}

const carryOutStep = Effect.fnUntraced(function* (
  session: HostSession,
  state: HostState,
  step: Exclude<RepairStep, { readonly _tag: "Note" }>
) {
  const from = state.current._tag === "Linked" ? { from: state.current.ref } : {}
  switch (step._tag) {
    case "FinishAdoption":
      return yield* session.finishAdoption(step.ref)
    case "Record":
      return yield* session.record(step.release)
    case "Link":
      yield* failUnlessWhole(session, step.release)
      return yield* session.activate(step.release.ref, {
        entries: [yield* entry("linked", step.release, { ...from, detail: `repaired: ${step.why}` })]
      })
    case "Unlink":
      return yield* session.deactivate({
        entries: [yield* entry("unlinked", step.release, { detail: `repaired: ${step.why}` })]
      })
    case "Disarm":
      return state.currentRelease === undefined
        ? yield* session.deactivate(restoring(state))
        : yield* session.activate(state.currentRelease.ref)
    case "GoBack":
      return yield* goBack(session, state, step)
    case "Discard":
      return yield* session.discard(step.unfinished)
    case "Settle": {
      return yield* goLive(session, { ...step, state, event: "switched", unlocks: false })
    }
  }
})

const goBack = Effect.fnUntraced(function* (
  session: HostSession,
  state: HostState,
  { back, from, goesBack, steps, to }: Extract<RepairStep, { readonly _tag: "GoBack" }>
) {
  const detail = "nobody confirmed it in time, and the host did not go back by itself"
  const unhealthy = yield* entry("unhealthy", from, { detail })
  if (to === undefined) {
    const restore = state.armed?.restore
    return yield* session.deactivate({
      ...(restore === undefined ? {} : { restore }),
      entries: [unhealthy, yield* entry("unlinked", from, { detail })]
    })
  }
  yield* failUnlessWhole(session, to)
  yield* session.note([unhealthy])
  yield* goLive(session, { release: to, state, steps, goesBack, back, event: "rolledBack", unlocks: false })
})

/** Fails if faults remain: for scripts, which check the exit status. */
export const failUnlessRepaired = ({ left, plan }: RepairReport): Effect.Effect<void, RepairIncomplete> =>
  left.length === 0 ? Effect.void : new RepairIncomplete({ target: plan.target, address: plan.address, left })

/** The steps that a repair would do. */
export const repairPlanView =
  ({ address, found, left, path, steps }: RepairPlan): View =>
  () =>
    [
      `${address}:${path}: ${found.length === 0 ? "journal, link and folders agree" : "found"}`,
      ...found.map((one) => `    ${one.found}`),
      ...steps.map((step, index) => `${String(index + 1).padStart(2)}. ${repairStepText(step)}`),
      ...left.map((one) => `    left: ${one.found}`)
    ].join("\n")

/** The result of a repair. */
export const repairView =
  ({ left, millis, plan: { address, path, steps } }: RepairReport): View =>
  () => {
    const where = `${address}:${path}`
    const agree = left.length === 0 ? ["journal, link and folders agree"] : []
    return steps.length === 0
      ? [`Nothing to repair at ${where}`, ...agree].join(": ")
      : [`Repaired ${where} in ${duration(millis)}`, ...agree].join(": ")
  }

/** The command. */
export const repairTask = task("repair", {
  group: "repair",
  description: "Repairs deployer's records on the host. Shows first what it will do.",
  examples: ["deployer repair target=prod plan", "deployer repair target=prod"],
  options: {
    target,
    plan: flag({ name: "plan", description: "shows the steps without doing them" }),
    wait,
    yes
  },
  report: {
    schema: Schema.Union(RepairReport, RepairPlan),
    view: (report) => (report._tag === "RepairPlan" ? repairPlanView(report) : repairView(report))
  },
  run: ({
    plan,
    target
  }): Effect.Effect<
    RepairReport | RepairPlan,
    Effect.Effect.Error<ReturnType<typeof repair | typeof repairPlan>>,
    Effect.Effect.Context<ReturnType<typeof repair | typeof repairPlan>>
  > => (plan ? repairPlan({ target }) : repair({ target })),
  check: (report) => (report._tag === "RepairReport" ? failUnlessRepaired(report) : Effect.void)
})
