/**
 * `deploy`: puts a stored release on a host. A look, a plan, its execution.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { HostLogEntry, HostLogEntryJson } from "../domain/HostLog.ts"
import { type HostState, recordOf, Unfinished } from "../domain/HostState.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { DeployPlan, plan, releaseLabel, type Step, unfinishedOthers } from "../domain/Plan.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import { Operator } from "../host/Operator.ts"
import { type HostSession, HostUnfit, RemoteHost } from "../host/RemoteHost.ts"
import { ReleaseNotFound, ReleaseStore } from "../store/ReleaseStore.ts"
import { bytes, dateTime } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { Declined } from "./Declined.ts"
import { takeLock } from "./locking.ts"

/** A hook's command failed on the host. */
export class HookFailed extends Schema.TaggedError<HookFailed>()("HookFailed", {
  address: Schema.String,
  hook: Schema.Literal("afterUnpack", "afterSwitch"),
  command: Schema.String,
  status: Schema.Int,
  release: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    const consequence =
      this.hook === "afterUnpack"
        ? "nothing was switched, and the release was removed there again"
        : "the release is current all the same: mend the command and run it, or make another release current with deployer manage ln"
    return `The ${this.hook} command "${this.command}" of ${this.release} ended with status ${this.status} on ${this.address}: ${consequence}`
  }
}

/** What to deploy where. */
export interface DeployOptions {
  /** A key of `targets`. */
  readonly target: string
  /** Id, name, ref or the beginning of one; absent: the latest of the target's name, after a question. */
  readonly release?: string | undefined
}

/** What was done. */
export class DeployReport extends Schema.TaggedClass<DeployReport>()("DeployReport", {
  plan: DeployPlan,
  /** From the look at the host to the end of the last step, in milliseconds. */
  millis: Schema.NonNegative
}) {}

/** Deploys a release to a target and yields what was done. */
export const deploy = Effect.fn("deploy")(function* (options: DeployOptions) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  const release = yield* chooseRelease(target, options.release)
  return yield* deployRelease(target, release)
})

/** What `deploy` would do, without a question and without touching anything. */
export const planDeploy = Effect.fn("planDeploy")(function* (options: DeployOptions) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  const store = yield* ReleaseStore
  const release = yield* store.find(options.release ?? target.name)
  const session = yield* (yield* RemoteHost).connect(target)
  const state = yield* session.inspect
  return yield* makePlan(session, state, release, yield* store.manifest(release), false)
}, Effect.scoped)

/** Deploys just this release, without asking which. */
export const deployRelease = Effect.fn("deployRelease")(function* (target: Target, release: Release) {
  const store = yield* ReleaseStore
  const manifest = yield* store.manifest(release)
  const session = yield* (yield* RemoteHost).connect(target)
  const [elapsed, plan] = yield* Effect.timed(
    Effect.gen(function* () {
      // What cannot work is refused before anything is touched, and what is done already needs no lock.
      const before = yield* makePlan(session, yield* session.inspect, release, manifest, false)
      if (before.steps.length === 0) return before
      const first = before.steps.filter(({ _tag }) => _tag === "Prepare")
      for (const step of first) yield* carryOutStep(session, before, manifest, step)
      yield* takeLock(session, "deploy")
      const state = yield* session.inspect
      const removeUnfinished = yield* askAboutUnfinished(session, state, release)
      const plan = yield* makePlan(session, state, release, manifest, removeUnfinished)
      yield* carryOut(session, plan, manifest)
      return DeployPlan.make({ ...plan, steps: [...first, ...plan.steps] })
    })
  )
  return DeployReport.make({ plan, millis: Duration.toMillis(elapsed) })
}, Effect.scoped)

// Which release

const chooseRelease = Effect.fn("chooseRelease")(function* (target: Target, selector: string | undefined) {
  const store = yield* ReleaseStore
  const prompt = yield* Prompt
  const word = selector ?? target.name
  const found = yield* store.find(word).pipe(
    Effect.map(Option.some),
    // A word of the user's own that fits nothing is a mistake; the target's name that fits nothing leads to the list.
    Effect.catchTag("ReleaseNotFound", (error) => (selector === undefined ? Effect.succeedNone : error))
  )
  if (Option.isSome(found)) {
    const release = found.value
    if (release.name !== word) return yield* insistOnName(target, release)
    const agreed = yield* prompt.confirm({
      message: `Release ${releaseLabel(release)} (id ${release.id}, built ${dateTime(release.createdAt)} UTC) is the latest of ${word}. Deploy it to ${target.key}?`,
      initial: true,
      safe: true,
      hint: `name it with release=${release.id}, or answer with yes`
    })
    if (agreed) return yield* insistOnName(target, release)
  }
  const all = yield* store.list()
  if (all.length === 0) return yield* new ReleaseNotFound({ selector: word, known: [] })
  if (Option.isNone(found)) yield* Reporter.note(`The store has no release of ${target.name}, only others`)
  const chosen = yield* prompt.select({
    message: `Which release goes to ${target.key}?`,
    choices: all.map((release) => ({ title: releaseTitle(release), value: release })),
    hint: "name one with release=ID"
  })
  return yield* insistOnName(target, chosen)
})

const releaseTitle = (release: Release): string =>
  [release.id, release.name, shortRef(release.ref), dateTime(release.createdAt), release.tags.join(", ")].join("  ")

const insistOnName = (target: Target, release: Release) =>
  release.name === target.name
    ? Effect.succeed(release)
    : Effect.flatMap(Prompt, (prompt) =>
        prompt.confirm({
          message: `Target ${target.key} runs ${target.name}, but this is a release of ${release.name}. Deploy it there all the same?`,
          initial: false,
          safe: false,
          hint: `choose a release of ${target.name}, or answer on a terminal`
        })
      ).pipe(
        Effect.flatMap((agreed) =>
          agreed ? Effect.succeed(release) : new Declined({ consequence: "nothing was deployed" })
        )
      )

// What to do

const askAboutUnfinished = Effect.fn("askAboutUnfinished")(function* (
  session: HostSession,
  state: HostState,
  release: Release
) {
  const others = unfinishedOthers(state, release)
  if (others.length === 0) return false
  for (const { kind, note, received, ref } of others) {
    const state = kind === "release" ? "it was unpacked" : `${bytes(received)} arrived`
    yield* Reporter.warn(
      `A deployment of ${shortRef(ref)} to ${session.address} did not finish (${note ?? "nobody wrote who began it"}; ${state})`
    )
  }
  const them = others.length === 1 ? "it" : "them"
  const answer = yield* (yield* Prompt).select<"remove" | "keep" | "abort">({
    message: others.length === 1 ? "What about it?" : `What about these ${others.length}?`,
    choices: [
      { title: `remove ${them} and go on`, value: "remove" },
      { title: `keep ${them} and go on`, value: "keep" },
      { title: "abort", value: "abort" }
    ],
    safe: { value: "keep" },
    hint: `answer with yes to keep ${them} and go on`
  })
  if (answer === "abort") return yield* new Declined({ answer: "abort", consequence: "nothing was deployed" })
  return answer === "remove"
})

const makePlan = (
  session: HostSession,
  state: HostState,
  release: Release,
  manifest: Manifest,
  removeUnfinished: boolean
) =>
  plan(state, { target: session.target, release, manifest, removeUnfinished }).pipe(
    Effect.mapError((unfit) => new HostUnfit({ address: session.address, ...unfit }))
  )

// Doing it

const carryOut = Effect.fn("carryOut")(function* (session: HostSession, plan: DeployPlan, manifest: Manifest) {
  const isAfter = (step: Step) => step._tag === "Run" && step.hook === "afterSwitch"
  const hasAfter = plan.steps.some(isAfter)
  for (const step of plan.steps.filter((step) => !isAfter(step))) {
    yield* Effect.tapError(carryOutStep(session, plan, manifest, step), (error) =>
      // The answer is missing, not always the deed: then the next deploy finds nothing to do.
      hasAfter && step._tag === "Switch" && (error._tag === "HostUnreachable" || error._tag === "CommandTimeout")
        ? Reporter.warn(
            `${releaseLabel(plan.release)} may be current by now, without its afterSwitch commands: if the next deploy has nothing to do, see to them on ${session.address}`
          )
        : Effect.void
    )
  }
  // Before the last hooks: whatever they do, the release is live by now.
  if (plan.outcome !== "nothing") {
    yield* logEvent(session, plan.outcome === "deploy" ? "deployed" : "linked", [plan.release])
  }
  for (const step of plan.steps.filter(isAfter)) {
    yield* Effect.tapError(carryOutStep(session, plan, manifest, step), (error) =>
      error._tag === "HookFailed"
        ? Effect.void
        : Reporter.warn(
            `${releaseLabel(plan.release)} is current, but not all of its afterSwitch commands ran, and the next deploy will not run them: see to it on ${session.address}`
          )
    )
  }
})

const carryOutStep = Effect.fnUntraced(function* (
  session: HostSession,
  { release, state }: DeployPlan,
  manifest: Manifest,
  step: Step
) {
  switch (step._tag) {
    case "Prepare":
      yield* session.prepare
      return yield* Reporter.note(`First contact: made ${state.path} with config/ and releases/ on ${session.address}`)
    case "Discard":
      yield* session.discard(step.unfinished)
      return yield* Reporter.note(`Removed the unfinished deployment of ${shortRef(step.unfinished.ref)}`)
    case "Upload": {
      const store = yield* ReleaseStore
      if (step.from > 0)
        yield* Reporter.note(`Going on with the upload after ${bytes(step.from)} of ${bytes(step.size)}`)
      return yield* session.upload({
        ref: release.ref,
        from: step.from,
        size: step.size,
        note: `begun by ${(yield* Operator).name} at ${DateTime.formatIso(yield* DateTime.now)}`,
        content: (offset) =>
          store.content(release, offset).pipe(
            Reporter.transfer(`uploading ${releaseLabel(release)} to ${session.target.key}`, {
              start: offset,
              total: step.size
            })
          )
      })
    }
    case "Unpack":
      yield* session.unpack({ ref: release.ref, sha256: release.sha256, manifest })
      return yield* Reporter.note(`Unpacked and verified ${manifest.length} entries`)
    case "Run":
      return yield* runHook(session, release, step)
    case "Record":
      return yield* session.record(recordOf(release, state, yield* DateTime.now))
    case "Switch":
      yield* session.activate(release.ref)
      return yield* Reporter.note(`Switched current to ${releaseLabel(release)}`)
  }
})

const runHook = Effect.fnUntraced(function* (
  session: HostSession,
  release: Release,
  { command, hook }: Extract<Step, { readonly _tag: "Run" }>
) {
  yield* Reporter.note(`Running ${hook}: ${command}`)
  const status = yield* session.run(command, { ref: release.ref, name: release.name })
  if (status === 0) return
  // The half-prepared folder must not pass for a release, and its note would only make the next deployment ask.
  if (hook === "afterUnpack") {
    yield* session.discard(Unfinished.make({ ref: release.ref, kind: "release", received: 0 }))
  }
  return yield* new HookFailed({ address: session.address, hook, command, status, release: releaseLabel(release) })
})

/** Writes one event to the host's log. What it tells of is done: a log that cannot be written is no failure of that. */
export const logEvent = Effect.fnUntraced(function* (
  session: HostSession,
  event: HostLogEntry["event"],
  releases: ReadonlyArray<{ readonly name: string; readonly ref: string }>
) {
  const entry = HostLogEntry.make({
    at: yield* DateTime.now,
    event,
    by: (yield* Operator).name,
    releases: releases.map(({ name, ref }) => ({ name, ref }))
  })
  yield* Effect.catchAll(session.log(Schema.encodeSync(HostLogEntryJson)(entry)), (error) =>
    Reporter.warn(`This was done, but the host's log does not tell of it. ${error.message}`)
  )
})
