/**
 * `deploy`: puts a stored release on a host. A look, a plan, its execution.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type HostState, recordOf, Unfinished } from "../domain/HostState.ts"
import { failureOf } from "../domain/Journal.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { DeployPlan, plan, releaseLabel, type Step, unfinishedOthers } from "../domain/Plan.ts"
import { beyondKeep } from "../domain/Prune.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import { address, type Target } from "../domain/Target.ts"
import { Operator } from "../host/Operator.ts"
import { type HostSession, RemoteHost } from "../host/RemoteHost.ts"
import { ReleaseNotFound, ReleaseStore } from "../store/ReleaseStore.ts"
import { bytes, dateTime } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { Declined } from "./Declined.ts"
import { goLive, isLiveStep, runHook } from "./goLive.ts"
import { entries, entry, type Named } from "./journal.ts"
import { takeLock } from "./locking.ts"
import { refused } from "./onHost.ts"

/** What to deploy where. */
export interface DeployOptions {
  /** A key of `targets`. */
  readonly target: string
  /** Id, name, ref or the beginning of one; absent: the latest of the target's name, after a question. */
  readonly release?: string | undefined
  /** Whether a release that failed on this host before is deployed without a question. Default: no. */
  readonly retry?: boolean | undefined
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
  const candidates = yield* findReleases(target, options.release)
  return yield* deployTo(target, (state) =>
    Effect.flatMap(chooseRelease(target, state, candidates), (release) =>
      insistOnRetry(target, state, release, options.retry === true)
    )
  )
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
export const deployRelease = (target: Target, release: Release) =>
  deployTo(target, (state) => insistOnRetry(target, state, release, false))

const deployTo = Effect.fn("deployTo")(function* <E, R>(
  target: Target,
  choose: (state: HostState) => Effect.Effect<Release, E, R>
) {
  const store = yield* ReleaseStore
  const session = yield* (yield* RemoteHost).connect(target)
  const seen = yield* session.inspect
  const release = yield* choose(seen)
  const manifest = yield* store.manifest(release)
  const [elapsed, plan] = yield* Effect.timed(
    Effect.gen(function* () {
      // What cannot work is refused before anything is touched, and what is done already needs no lock.
      const before = yield* makePlan(session, seen, release, manifest, false)
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

/** What may be meant: the releases that a word of the user's fits, or the latest of the target's name and all others. */
type Candidates =
  | { readonly _tag: "Named"; readonly release: Release; readonly exactly: boolean }
  | { readonly _tag: "All"; readonly latest: Release | undefined; readonly all: ReadonlyArray<Release> }

const findReleases = Effect.fn("findReleases")(function* (target: Target, selector: string | undefined) {
  const store = yield* ReleaseStore
  if (selector !== undefined) {
    const release = yield* store.find(selector)
    return { _tag: "Named", release, exactly: release.name !== selector } satisfies Candidates
  }
  const all = yield* store.list()
  if (all.length === 0) return yield* new ReleaseNotFound({ selector: target.name, known: [] })
  const latest = yield* store
    .find(target.name)
    .pipe(Effect.catchTag("ReleaseNotFound", () => Effect.succeed(undefined)))
  return { _tag: "All", latest: latest?.name === target.name ? latest : undefined, all } satisfies Candidates
})

const chooseRelease = Effect.fn("chooseRelease")(function* (target: Target, state: HostState, candidates: Candidates) {
  const prompt = yield* Prompt
  if (candidates._tag === "Named" && candidates.exactly) return yield* insistOnName(target, candidates.release)
  const latest = candidates._tag === "Named" ? candidates.release : candidates.latest
  const failure = latest && failureOf(state.journal, latest.ref)
  if (latest !== undefined && failure !== undefined && candidates._tag === "All") {
    yield* Reporter.note(
      `${releaseLabel(latest)}, the latest, failed on ${address(target)} before, so it is not offered: ${failure.detail ?? "nobody wrote why"}`
    )
  } else if (latest !== undefined) {
    const agreed = yield* prompt.confirm({
      message: `Release ${releaseLabel(latest)} (id ${latest.id}, built ${dateTime(latest.createdAt)} UTC) is the latest of ${latest.name}. Deploy it to ${target.key}?`,
      initial: true,
      safe: true,
      hint: `name it with release=${latest.id}, or answer with yes`
    })
    if (agreed) return yield* insistOnName(target, latest)
  } else {
    yield* Reporter.note(`The store has no release of ${target.name}, only others`)
  }
  const all = candidates._tag === "Named" ? yield* (yield* ReleaseStore).list() : candidates.all
  const chosen = yield* prompt.select({
    message: `Which release goes to ${target.key}?`,
    choices: all
      .filter(({ ref }) => failureOf(state.journal, ref) === undefined)
      .map((release) => ({ title: releaseTitle(release), value: release })),
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

/** A release that failed on a host before goes there again only where somebody says so. */
const insistOnRetry = Effect.fnUntraced(function* (target: Target, state: HostState, release: Release, retry: boolean) {
  const failure = failureOf(state.journal, release.ref)
  if (failure === undefined || retry) return release
  const agreed = yield* (yield* Prompt).confirm({
    message: `${releaseLabel(release)} failed on ${address(target)} at ${dateTime(failure.at)} UTC (${failure.detail ?? "nobody wrote why"}). Deploy it there all the same?`,
    initial: false,
    safe: false,
    hint: `say deployer deploy target=${target.key} release=${release.id} retry, or deploy another release`
  })
  return agreed ? release : yield* new Declined({ consequence: "nothing was deployed" })
})

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
) => refused(session, plan(state, { target: session.target, release, manifest, removeUnfinished }))

// Doing it

const carryOut = Effect.fn("carryOut")(function* (session: HostSession, plan: DeployPlan, manifest: Manifest) {
  const { back, release, state, steps } = plan
  const lives = steps.findIndex(isLiveStep)
  const until = lives < 0 ? steps.length : lives
  for (const step of steps.slice(0, until)) yield* carryOutStep(session, plan, manifest, step)
  if (lives < 0) return
  yield* goLive(session, { release, state, steps: steps.filter(isLiveStep), back, event: "switched" })
  for (const step of steps.slice(until)) {
    if (step._tag === "Prune") yield* prune(session, step.releases)
  }
})

/**
 * The release is live and well: that older ones stay is nothing to fail for. What the host has written down counts, not what was to be
 * expected: a release of which it does not know that it is healthy takes no other's place.
 */
const prune = (session: HostSession, planned: ReadonlyArray<Named>) =>
  Effect.gen(function* () {
    const { keep, name } = session.target
    const beyond = keep === undefined ? [] : beyondKeep(yield* session.inspect, name, keep)
    const releases = beyond.filter(({ ref }) => planned.some((release) => release.ref === ref))
    if (releases.length === 0) return
    yield* session.remove(
      releases.map(({ ref }) => ref),
      yield* entries("removed", releases)
    )
    yield* Reporter.note(`Removed what is beyond the releases to keep: ${releases.map(releaseLabel).join(", ")}`)
  }).pipe(
    Effect.catchAll((error) =>
      Reporter.warn(`Older releases could not be removed, and will be by the next deploy. ${error.message}`)
    )
  )

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
      yield* session.unpack({
        ref: release.ref,
        sha256: release.sha256,
        manifest,
        entries: [yield* entry("staged", release)]
      })
      return yield* Reporter.note(`Unpacked and verified ${manifest.length} entries`)
    case "Run":
      // The half-prepared folder must not pass for a release, and its note would only make the next deployment ask.
      return yield* Effect.tapErrorTag(runHook(session, release, step), "HookFailed", () =>
        session.discard(Unfinished.make({ ref: release.ref, kind: "release", received: 0 }))
      )
    case "Record":
      return yield* session.record(recordOf(release, state, yield* DateTime.now))
  }
})
