/**
 * Which release a deployment is about: the one that was named, or the latest that was built for the target, after a question.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { HostState } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation, typed } from "../domain/Invocation.ts"
import { failureOf } from "../domain/Journal.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { builderOf, commitLabel, described, isBuiltFor } from "../domain/Provenance.ts"
import { age } from "../domain/Quantity.ts"
import { latest, parseSelector, type Release, shortRef } from "../domain/Release.ts"
import { address, type Target } from "../domain/Target.ts"
import type { ReleaseNotFound } from "../store/failures.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { dateTime } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { table } from "../terminal/Table.ts"
import { Declined } from "./Declined.ts"

/** The named release is on the host, but not in this store. */
export class ReleaseOnlyOnHost extends Schema.TaggedError<ReleaseOnlyOnHost>()("ReleaseOnlyOnHost", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The word that names it. */
  selector: Schema.String,
  release: Schema.String,
  ref: Schema.String
}) {
  readonly exitStatus = 2
  get next(): readonly [Invocation] {
    return [invocation("rollback", { target: this.target, to: shortRef(this.ref) })]
  }
  override get message(): string {
    return `The store of this machine has no release "${this.selector}", but ${this.release} is on ${this.address}: make it live there with ${commandLine(this.next[0])}`
  }
}

/** The store has no releases at all. */
export class NothingBuilt extends Schema.TaggedError<NothingBuilt>()("NothingBuilt", {
  /** The target's key. */
  target: Schema.String,
  /** The name of the target's releases. */
  name: Schema.String
}) {
  readonly exitStatus = 2
  get next(): readonly [Invocation] {
    return [invocation("build", { target: this.target })]
  }
  override get message(): string {
    return `${this.name} has not been built yet: ${commandLine(this.next[0])}`
  }
}

/**
 * The releases that may be meant. `Named`: by an id or a ref. `Latest`: the latest that was built for the target, or if there is none, the
 * latest of its name. `Missing`: the store does not have the named one, but the host may.
 */
export type Candidates =
  | { readonly _tag: "Named"; readonly release: Release }
  | { readonly _tag: "Latest"; readonly release: Release | undefined; readonly isSaid: boolean }
  | { readonly _tag: "Missing"; readonly error: ReleaseNotFound }

/** Finds the releases that a word may mean. No word, `latest` and the target's name mean the latest that was built for the target. */
export const findCandidates = Effect.fn("findCandidates")(function* (target: Target, selector: string | undefined) {
  const store = yield* ReleaseStore
  if (selector === undefined || selector === latest || selector === target.name) {
    const release = Option.getOrUndefined(yield* store.newest(target.name, (release) => isBuiltFor(release, target)))
    if (release === undefined && (yield* store.list({ limit: 1 })).length === 0) {
      return yield* new NothingBuilt({ target: target.key, name: target.name })
    }
    // Fails, and names the releases that there are.
    if (release === undefined && selector !== undefined) {
      return { _tag: "Named", release: yield* store.find(target.name) } satisfies Candidates
    }
    return { _tag: "Latest", release, isSaid: selector !== undefined } satisfies Candidates
  }
  return yield* store.find(selector).pipe(
    Effect.map((release): Candidates => ({ _tag: "Named", release })),
    Effect.catchTag("ReleaseNotFound", (error): Effect.Effect<Candidates, ReleaseNotFound> => {
      const { id, refPrefix } = parseSelector(selector)
      return id === undefined && refPrefix === undefined
        ? Effect.fail(error)
        : Effect.succeed({ _tag: "Missing", error })
    })
  )
})

/** The release to plan for: the only question is whether it fits. */
export const planRelease = Effect.fn("planRelease")(function* (
  target: Target,
  state: HostState,
  candidates: Candidates
) {
  if (candidates._tag === "Missing") return yield* missing(target, state, candidates.error)
  if (candidates._tag === "Named") return yield* confirmName(target, candidates.release)
  const { release } = candidates
  // Fails, and names the releases that there are.
  if (release === undefined) return yield* Effect.flatMap(ReleaseStore, (store) => store.find(target.name))
  if (isBuiltFor(release, target)) return release
  const agreed = yield* offer(target, release)
  return agreed ? release : yield* new Declined({ consequence: "nothing was planned" })
})

const missing = (target: Target, state: HostState, error: ReleaseNotFound) => {
  const { id, refPrefix } = parseSelector(error.selector)
  const found = state.releases.filter(
    (release) => release.id === id || (refPrefix !== undefined && release.ref.startsWith(refPrefix))
  )
  const [only] = found
  return only === undefined || found.length > 1
    ? error
    : new ReleaseOnlyOnHost({
        target: target.key,
        address: address(target),
        selector: error.selector,
        release: releaseLabel(only),
        ref: only.ref
      })
}

/** Asks whether to deploy the latest release. If it was built for another target, Enter and `yes` do not mean yes. */
const offer = Effect.fnUntraced(function* (target: Target, release: Release) {
  const fits = isBuiltFor(release, target)
  const what = `${described(release, yield* DateTime.now)} is the latest of ${release.name}`
  const but = `, but it was built by builder ${release.metadata.builder}, not by ${builderOf(target)}`
  return yield* (yield* Prompt).confirm({
    message: `${what}${fits ? "" : but}. Deploy it to ${target.key}${fits ? "" : " anyway"}?`,
    initial: fits,
    safe: fits,
    hint: fits
      ? `name it with release=${release.id}, or answer with yes`
      : `build one with ${typed("build", { target: target.key })}, or name this one with release=${release.id}`
  })
})

/** Chooses a release: the named one, the latest after a question, or one of the list. */
export const chooseRelease = Effect.fn("chooseRelease")(function* (
  target: Target,
  state: HostState,
  candidates: Candidates,
  retry: boolean
) {
  if (candidates._tag === "Missing") return yield* missing(target, state, candidates.error)
  if (candidates._tag === "Named") {
    const { release } = candidates
    if (!isBuiltFor(release, target)) {
      yield* Reporter.note(
        `${releaseLabel(release)} was built by builder ${release.metadata.builder}, not by ${builderOf(target)}`
      )
    }
    return yield* confirmName(target, release)
  }
  const { isSaid, release } = candidates
  const failure = release && failureOf(state.journal, release.ref)
  if (release !== undefined && failure !== undefined && !isSaid && !retry) {
    yield* Reporter.note(
      `${releaseLabel(release)}, the latest, failed on ${address(target)} before, so it is not offered: ${failure.detail ?? "no reason was recorded"} (to deploy it anyway, use ${typed("deploy", { target: target.key, release: String(release.id), retry: true })})`
    )
  } else if (release !== undefined) {
    if (yield* offer(target, release)) return release
  } else {
    yield* Reporter.note(`The store has no release named ${target.name}, only others`)
  }
  return yield* chooseFromList(target, state)
})

const chooseFromList = Effect.fnUntraced(function* (target: Target, state: HostState) {
  const now = yield* DateTime.now
  const prompt = yield* Prompt
  const all = (yield* (yield* ReleaseStore).list()).filter(({ ref }) => failureOf(state.journal, ref) === undefined)
  const [head, ...titles] = table({
    head: ["Id", "Name", "Ref", "Built", "Builder", "Commit", "Tags"],
    rows: all.map(({ createdAt, id, metadata: { builder, commit, dirty }, name, ref, tags }) => [
      String(id),
      name,
      shortRef(ref),
      age(now.epochMillis - createdAt.epochMillis),
      builder ?? "",
      commit === undefined ? "" : commitLabel(commit, dirty),
      tags.join(", ")
    ])
  }).split("\n")
  const chosen = yield* prompt.select({
    message: `Which release goes to ${target.key}?`,
    ...(head === undefined ? {} : { head }),
    choices: all.map((release, index) => ({
      title: titles[index] ?? releaseLabel(release),
      value: release,
      id: String(release.id)
    })),
    hint: "name one with release=ID"
  })
  if (chosen.name !== target.name) return yield* confirmName(target, chosen)
  const fits = isBuiltFor(chosen, target)
  const agreed = yield* prompt.confirm({
    message: `Deploy ${described(chosen, now)} to ${target.key}?`,
    initial: fits,
    safe: false,
    hint: `name it with release=${chosen.id}`
  })
  return agreed ? chosen : yield* new Declined({ consequence: "nothing was deployed" })
})

/** Asks for confirmation if a release has another name than the target. */
const confirmName = Effect.fnUntraced(function* (target: Target, release: Release) {
  if (release.name === target.name) return release
  const agreed = yield* (yield* Prompt).confirm({
    message: `Target ${target.key} runs ${target.name}, but ${described(release, yield* DateTime.now)} is a release of ${release.name}. Deploy it there anyway?`,
    initial: false,
    safe: false,
    hint: `choose a release of ${target.name}, or answer on a terminal`
  })
  return agreed ? release : yield* new Declined({ consequence: "nothing was deployed" })
})

/** Asks for confirmation if a release failed on this host before. */
export const confirmRetry = Effect.fnUntraced(function* (
  target: Target,
  state: HostState,
  release: Release,
  retry: boolean
) {
  const failure = failureOf(state.journal, release.ref)
  if (failure === undefined || retry) return release
  const agreed = yield* (yield* Prompt).confirm({
    message: `${releaseLabel(release)} failed on ${address(target)} at ${dateTime(failure.at)} UTC (${failure.detail ?? "no reason was recorded"}). Deploy it there anyway?`,
    initial: false,
    safe: false,
    hint: `say ${typed("deploy", { target: target.key, release: String(release.id), retry: true })}, or deploy another release`
  })
  return agreed ? release : yield* new Declined({ consequence: "nothing was deployed" })
})
