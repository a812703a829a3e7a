/**
 * What the commands on a host have in common: the look, and the words for its releases.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { type HostRelease, type HostState, inOrder } from "../domain/HostState.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { parseSelector, shortRef } from "../domain/Release.ts"
import type { Unfit } from "../domain/Unfit.ts"
import { type HostSession, HostUnfit, NotOnHost, type Verdict } from "../host/RemoteHost.ts"
import { ReleaseAmbiguous } from "../store/ReleaseStore.ts"
import * as Reporter from "../terminal/Reporter.ts"

/** What is on a host; `HostUnfit` where nothing was deployed to it yet. */
export const look = (session: HostSession) =>
  Effect.flatMap(session.inspect, (state) => insistOnDeployed(session, state))

/** Fails with `HostUnfit` where nothing was deployed yet, also where somebody else's directory is in the place of `current`. */
export const insistOnDeployed = (
  { address, target }: HostSession,
  state: HostState
): Effect.Effect<HostState, HostUnfit> => {
  const at = { target: target.key, address }
  const { base, current, journal, path, releases } = state
  // Who may only read it can look at it.
  const isReadable = base === "not-writable" && (releases.length > 0 || journal.length > 0 || current._tag === "Linked")
  if (base === "ready" || isReadable) return Effect.succeed(state)
  return current._tag === "Occupied"
    ? new HostUnfit({ ...at, reason: "current-occupied", path: `${path}/releases/current`, has: [current.by] })
    : new HostUnfit({ ...at, reason: "not-a-deployer-path", path })
}

/** Goes on with adoptions that were cut, and looks again where there was one. For whoever holds the lock. */
export const finishAdoptions = Effect.fnUntraced(function* (session: HostSession, state: HostState) {
  const cut = state.unfinished.filter(({ kind }) => kind === "adoption")
  if (cut.length === 0) return state
  for (const { ref } of cut) yield* session.finishAdoption(ref)
  return yield* session.inspect
})

/** Tells of files that this login may not read: nothing is known of them. */
export const warnUnreadable = (
  { address }: HostSession,
  releases: ReadonlyArray<{ readonly name?: string | undefined; readonly ref: string }>,
  verdicts: ReadonlyArray<Verdict>
): Effect.Effect<void> =>
  Effect.forEach(
    verdicts.filter(({ unreadable }) => unreadable !== undefined),
    ({ ref, unreadable = [] }) => {
      const [first, ...more] = unreadable
      return Reporter.warn(
        `This login may not read ${first}${more.length === 0 ? "" : ` and ${more.length} more`} of ${releaseLabel(releases.find((release) => release.ref === ref) ?? { ref })} on ${address}, so nothing is known of ${more.length === 0 ? "it" : "them"}: ask as the login that deployed it`
      )
    },
    { discard: true }
  )

/** A release on a host lacks files, or has others than it was deployed with. */
export class ReleaseNotWhole extends Schema.TaggedError<ReleaseNotWhole>()("ReleaseNotWhole", {
  /** Its key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  ref: Schema.String,
  /** One line each: `missing bin/my_app`. */
  faults: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const more = this.faults.length > 3 ? ` and ${this.faults.length - 3} more` : ""
    return `${this.release} on ${this.address} is not whole (${this.faults.slice(0, 3).join(", ")}${more}), so nothing was switched: put it right with deployer deploy target=${this.target} release=${shortRef(this.ref)} retry, or choose another release`
  }
}

/** Insists that all files of a release are there, before it becomes current again. Nothing is hashed. */
export const insistOnWhole = Effect.fnUntraced(function* (
  session: HostSession,
  release: { readonly name: string; readonly ref: string }
) {
  const verdicts = yield* session.verify([release.ref], "paths")
  yield* warnUnreadable(session, [release], verdicts)
  const faults = verdicts.flatMap(({ faults }) => faults)
  if (faults.length === 0) return
  return yield* new ReleaseNotWhole({
    target: session.target.key,
    address: session.address,
    release: releaseLabel(release),
    ref: release.ref,
    faults
  })
})

/** The release on a host that a ref or its beginning names; with `ids`, also the id that it has in the store it came from. */
export const pick = (
  session: HostSession,
  state: HostState,
  selector: string,
  { ids = false }: { readonly ids?: boolean } = {}
) =>
  pickOnHost(state.releases, selector, ids).pipe(
    Either.mapLeft((refs) =>
      refs.length > 1
        ? new ReleaseAmbiguous({ selector, refs: refs.map(shortRef) })
        : new NotOnHost({
            address: session.address,
            selector,
            known: inOrder(state).slice(0, 8).map(releaseLabel)
          })
    )
  )

/** The release whose ref begins like this, or that has this id; or the refs that fit (none or several). */
const pickOnHost = (
  releases: ReadonlyArray<HostRelease>,
  selector: string,
  ids: boolean
): Either.Either<HostRelease, ReadonlyArray<string>> => {
  const { id, refPrefix } = parseSelector(selector)
  const begins = refPrefix === undefined ? [] : releases.filter(({ ref }) => ref.startsWith(refPrefix))
  // Ids are those of the store a release came from: several stores may have given the same.
  const fitting = begins.length > 0 || !ids ? begins : releases.filter((release) => release.id === id)
  const [only, ...more] = fitting
  return only !== undefined && more.length === 0 ? Either.right(only) : Either.left(fitting.map(({ ref }) => ref))
}

/** A plan, or the reason against it as an error. */
export const refused = <A>(session: HostSession, planned: Either.Either<A, Unfit>): Effect.Effect<A, HostUnfit> =>
  Effect.mapError(planned, (unfit) => new HostUnfit({ target: session.target.key, address: session.address, ...unfit }))
