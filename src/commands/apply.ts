/**
 * `apply`: carries out a saved plan exactly, or refuses if the host, the config or the store has changed.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { connectTo, inspectDeployed } from "../deployment/onHost.ts"
import type { HostState } from "../domain/HostState.ts"
import { commandLine, Invocation, invocation } from "../domain/Invocation.ts"
import { type DeployPlan, RollbackPlan } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import { type AnyPlan, changedSettings, changes, type SavedPlan } from "../domain/SavedPlan.ts"
import type { Target } from "../domain/Target.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { DeployReport, deployTo, deployView } from "./deploy.ts"
import { loadPlan } from "./planFile.ts"
import { planFor, RollbackReport, rollBackTo, rollbackView } from "./rollback.ts"
import { task, value, wait } from "./Task.ts"

/** The facts that a plan is based on have changed since it was made. */
export class PlanStale extends Schema.TaggedError<PlanStale>()("PlanStale", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The changes, a clause each, the gravest first. */
  changes: Schema.Array(Schema.String),
  /** The command that makes the plan again. */
  again: Invocation
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [this.again]
  }
  override get message(): string {
    return `The plan for ${this.address} is stale, and nothing was switched: ${this.changes.join("; ")}. Make a new plan and check it: ${commandLine(this.again)}`
  }
}

/** The plan to apply. */
export interface ApplyOptions {
  readonly plan: SavedPlan
  /** The file of the plan, for the message that asks for a new one. */
  readonly file?: string | undefined
}

/**
 * Carries out a saved plan. Looks at the host, plans the same request again, and continues only if the plan is the same. Does this again
 * once it has the lock. Asks nothing: the questions were answered when the plan was made.
 */
export const apply = Effect.fn("apply")(function* ({ file, plan: saved }: ApplyOptions) {
  const { plan } = saved
  const target = yield* findTarget(yield* (yield* Workspace).config, plan.target)
  const insist = (changes: ReadonlyArray<string>) =>
    changes.length === 0
      ? Effect.void
      : new PlanStale({ target: target.key, address: plan.address, changes, again: again(plan, file) })
  yield* insist(changedSettings(saved, target))
  const agree = (now: AnyPlan) => insist(changes(saved, now))
  return yield* plan._tag === "DeployPlan" ? deployAs(target, plan, agree) : rollBackAs(target, plan, agree)
})

/** The failures of `apply`. */
export type ApplyError = Effect.Effect.Error<ReturnType<typeof apply>>
/** The services that `apply` needs. */
export type ApplyServices = Effect.Effect.Context<ReturnType<typeof apply>>

const again = (plan: AnyPlan, file: string | undefined): Invocation => {
  const { target } = plan
  const ref = shortRef(plan.release.ref)
  const how = { plan: true, save: file }
  return plan._tag === "DeployPlan"
    ? invocation("deploy", { target, release: ref, retry: isAgain(plan), ...how })
    : invocation("rollback", { target, to: ref, ...how })
}

/** Whether it was planned with `retry` for a release that was already on the host. */
const isAgain = ({ outcome, release, state }: DeployPlan): boolean =>
  outcome === "deploy" && state.releases.some(({ ref }) => ref === release.ref)

type Agree = (plan: AnyPlan) => Effect.Effect<void, PlanStale>

const deployAs = Effect.fnUntraced(function* (target: Target, plan: DeployPlan, agree: Agree) {
  const release = yield* (yield* ReleaseStore).find(plan.release.ref)
  return yield* deployTo(
    target,
    Effect.succeed(() => Effect.succeed(release)),
    { again: isAgain(plan), agree }
  )
})

const rollBackAs = Effect.fnUntraced(function* (target: Target, plan: RollbackPlan, agree: Agree) {
  const session = yield* connectTo(target)
  const choose = (_: HostSession, state: HostState) => {
    const release = state.releases.find(({ ref }) => ref === plan.release.ref)
    // The changes already tell that it is gone.
    return release === undefined
      ? Effect.as(agree(RollbackPlan.make({ ...plan, state })), plan.release)
      : Effect.succeed(release)
  }
  yield* agree(yield* planFor(session, yield* inspectDeployed(session), choose))
  return yield* rollBackTo(Effect.succeed(session), choose, agree)
}, Effect.scoped)

/** The command. */
export const applyTask = task("apply", {
  group: "build and deploy",
  description: "Carries out a saved plan. Refuses if the host has changed since.",
  examples: ["deployer apply plan=plan.json", "deployer apply plan=plan.json wait=10m"],
  options: {
    plan: value({
      name: "plan",
      placeholder: "FILE",
      completes: "file",
      description: "a plan that deploy or rollback saved with plan save=FILE"
    }),
    wait
  },
  report: {
    schema: Schema.Union(DeployReport, RollbackReport),
    view: (report) => (report._tag === "DeployReport" ? deployView(report) : rollbackView(report))
  },
  run: ({ plan: file }) => Effect.flatMap(loadPlan(file), (plan) => apply({ plan, file }))
})
