/**
 * `apply`: does what was planned before exactly so, or refuses where the host, the config or the store are not what they were.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { HostState } from "../domain/HostState.ts"
import { type DeployPlan, RollbackPlan } from "../domain/Plan.ts"
import { shortRef } from "../domain/Release.ts"
import { type AnyPlan, changedSettings, changes, type SavedPlan, SavedPlanJson } from "../domain/SavedPlan.ts"
import type { Target } from "../domain/Target.ts"
import { RemoteHost } from "../host/RemoteHost.ts"
import * as files from "../internal/files.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { deployTo } from "./deploy.ts"
import { look } from "./onHost.ts"
import { planFor, rollBackTo } from "./rollback.ts"

/** What a plan rests on has changed since it was made. */
export class PlanStale extends Schema.TaggedError<PlanStale>()("PlanStale", {
  /** Its key. */
  target: Schema.String,
  address: Schema.String,
  /** What has changed, a clause each, the gravest first. */
  changes: Schema.Array(Schema.String),
  /** The command line that makes it anew. */
  again: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The plan for ${this.address} is stale, and nothing was switched: ${this.changes.join("; ")}. Plan anew and look at it: ${this.again}`
  }
}

/** A file is no plan. */
export class PlanInvalid extends Schema.TaggedError<PlanInvalid>()("PlanInvalid", {
  file: Schema.String,
  /** One line each: a path into the plan and what is wrong there. */
  mistakes: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const [only] = this.mistakes
    const again = `Make one with deployer deploy target=T plan save=FILE`
    return this.mistakes.length === 1
      ? `${this.file} is no plan that can be applied: ${only}. ${again}`
      : `${this.file} is no plan that can be applied. ${again}. It has ${this.mistakes.length} mistakes:\n${this.mistakes.map((line) => `  ${line}`).join("\n")}`
  }
}

/** A plan could not be written. */
export class PlanNotSaved extends Schema.TaggedError<PlanNotSaved>()("PlanNotSaved", {
  file: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The plan could not be saved as ${this.file}: ${this.detail}`
  }
}

/** Writes a plan to a file, the same document that `json` gives. It may hold what the config says, so only its owner can read it. */
export const savePlan = Effect.fn("savePlan")(function* (plan: SavedPlan, file: string) {
  const text = yield* Effect.orDie(Schema.encode(SavedPlanJson)(plan))
  yield* Effect.mapError(files.writeText(file, `${text}\n`), ({ detail }) => new PlanNotSaved({ file, detail }))
  yield* Reporter.note(`Saved the plan as ${file}: deployer apply plan=${file} does just that, or nothing`)
})

const decode = Schema.decode(SavedPlanJson, { errors: "all", onExcessProperty: "error" })

/** Reads a plan that was saved, or the document of `plan json`. */
export const loadPlan = Effect.fn("loadPlan")(function* (file: string) {
  const invalid = (...mistakes: ReadonlyArray<string>) => new PlanInvalid({ file, mistakes })
  const text = yield* Effect.mapError(files.readText(file), ({ detail }) => invalid(detail))
  return yield* Effect.mapError(decode(text), (error) => invalid(...mistakesOf(error)))
})

const shownMistakes = 10

const mistakesOf = (error: ParseResult.ParseError): ReadonlyArray<string> => {
  const all = ParseResult.ArrayFormatter.formatErrorSync(error).map(({ message, path }) => {
    const [line = ""] = message.split("\n")
    return path.length === 0 ? line : `${path.map(String).join(".")}: ${line}`
  })
  const more = all.length - shownMistakes
  return more <= 0 ? all : [...all.slice(0, shownMistakes), `and ${more} more`]
}

/** What to do. */
export interface ApplyOptions {
  readonly plan: SavedPlan
  /** Where it was read from, for the sentence that asks for a new one. */
  readonly file?: string | undefined
}

/**
 * Does what a saved plan says. It looks at the host, plans the same wish anew, and goes on only where that gives the same plan; it does so
 * again once it has the lock. Nothing is asked: that was done when the plan was made.
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

const again = (plan: AnyPlan, file: string | undefined): string => {
  const ref = shortRef(plan.release.ref)
  const wish =
    plan._tag === "DeployPlan"
      ? `deploy target=${plan.target} release=${ref}${isAgain(plan) ? " retry" : ""}`
      : `rollback target=${plan.target} to=${ref}`
  return `deployer ${wish} plan${file === undefined ? "" : ` save=${file}`}`
}

/** Whether it was planned with `retry` for a release that is there. */
const isAgain = ({ release, state, steps }: DeployPlan): boolean =>
  steps.some(({ _tag }) => _tag === "Verify") && state.releases.some(({ ref }) => ref === release.ref)

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
  const session = yield* (yield* RemoteHost).connect(target)
  const choose = (state: HostState) => {
    const release = state.releases.find(({ ref }) => ref === plan.release.ref)
    // That it is gone is among the changes.
    return release === undefined
      ? Effect.as(agree(RollbackPlan.make({ ...plan, state })), plan.release)
      : Effect.succeed(release)
  }
  yield* agree(yield* planFor(session, yield* look(session), choose))
  return yield* rollBackTo(session, choose, agree)
}, Effect.scoped)
