/**
 * Common parts of the commands on a host: the look, and the selection of its releases.
 */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { type HostRelease, type HostState, inOrder } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { parseSelector, shortRef } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import type { Unfit } from "../domain/Unfit.ts"
import { type HostSession, HostUnfit, NotOnHost, RemoteHost, type Verdict } from "../host/RemoteHost.ts"
import { ReleaseAmbiguous } from "../store/failures.ts"
import * as Reporter from "../terminal/Reporter.ts"

/** Connects to a target, as a step of its own. The connection closes with the scope. */
export const connectTo = (target: Target) =>
  Effect.flatMap(RemoteHost, (host) => host.connect(target)).pipe(
    Reporter.during({ _tag: "Connect" }),
    Reporter.about({ target: target.key })
  )

/** The host's state. `HostUnfit` if nothing was deployed to it yet. */
export const inspectDeployed = (session: HostSession) =>
  Effect.flatMap(session.inspect, (state) => failUnlessDeployed(session, state))

/** Fails with `HostUnfit` if nothing was deployed yet, also if a directory of somebody else is in place of `current`. */
export const failUnlessDeployed = (
  { address, target }: HostSession,
  state: HostState
): Effect.Effect<HostState, HostUnfit> => {
  const at = { target: target.key, address }
  const { base, current, journal, path, releases } = state
  // A login that may only read the host can still look at it.
  const isReadable = base === "not-writable" && (releases.length > 0 || journal.length > 0 || current._tag === "Linked")
  if (base === "ready" || isReadable) return Effect.succeed(state)
  return current._tag === "Occupied"
    ? new HostUnfit({ ...at, reason: "current-occupied", path: `${path}/releases/current`, has: [current.by] })
    : new HostUnfit({ ...at, reason: "not-a-deployer-path", path })
}

/** Resumes interrupted adoptions, and looks again if there was one. The caller must hold the lock. */
export const finishAdoptions = Effect.fnUntraced(function* (session: HostSession, state: HostState) {
  const cut = state.unfinished.filter(({ kind }) => kind === "adoption")
  if (cut.length === 0) return state
  for (const { ref } of cut) yield* session.finishAdoption(ref)
  return yield* session.inspect
})

/** Warns about files that this login may not read: their state is unknown. */
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
        `This login may not read ${first}${more.length === 0 ? "" : ` and ${more.length} more`} of ${releaseLabel(releases.find((release) => release.ref === ref) ?? { ref })} on ${address}, so ${more.length === 0 ? "its state is" : "their state is"} unknown: use the login that deployed the release`
      )
    },
    { discard: true }
  )

/** A release on a host lacks files, or has files that differ from its manifest. */
export class ReleaseNotWhole extends Schema.TaggedError<ReleaseNotWhole>()("ReleaseNotWhole", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  ref: Schema.String,
  /** One line each: `missing bin/my_app`. */
  faults: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("deploy", { target: this.target, release: shortRef(this.ref), retry: true })]
  }
  override get message(): string {
    const more = this.faults.length > 3 ? ` and ${this.faults.length - 3} more` : ""
    return `${this.release} on ${this.address} is not whole (${this.faults.slice(0, 3).join(", ")}${more}), so nothing was switched: repair it with ${commandLine(this.next[0])}, or choose another release`
  }
}

/** Fails unless all files of a release exist, before it becomes current again. Nothing is hashed. */
export const failUnlessWhole = Effect.fnUntraced(function* (
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

/** The release on a host with this ref or beginning of a ref, or with this id in the store that it came from. */
export const pick = (session: HostSession, state: HostState, selector: string) =>
  pickOnHost(state.releases, selector).pipe(
    Either.mapLeft(({ refs, sharedId }) =>
      refs.length > 1
        ? new ReleaseAmbiguous({ selector, refs: refs.map(shortRef), ...(sharedId === undefined ? {} : { sharedId }) })
        : new NotOnHost({
            address: session.address,
            selector,
            known: inOrder(state).slice(0, 8).map(releaseLabel)
          })
    )
  )

/** On the left the matching refs, if there are none or several, and the id that these share. */
const pickOnHost = (
  releases: ReadonlyArray<HostRelease>,
  selector: string
): Either.Either<HostRelease, { readonly refs: ReadonlyArray<string>; readonly sharedId?: number }> => {
  const { id, refPrefix } = parseSelector(selector)
  const begins = refPrefix === undefined ? [] : releases.filter(({ ref }) => ref.startsWith(refPrefix))
  // Ids belong to the store that a release came from: several stores may have given the same id.
  const fitting = begins.length > 0 ? begins : releases.filter((release) => release.id === id)
  const [only, ...more] = fitting
  if (only !== undefined && more.length === 0) return Either.right(only)
  const refs = fitting.map(({ ref }) => ref)
  return Either.left(begins.length > 0 || id === undefined ? { refs } : { refs, sharedId: id })
}

/** Turns the reason against a plan into an error. */
export const orUnfit = <A>(session: HostSession, planned: Either.Either<A, Unfit>): Effect.Effect<A, HostUnfit> =>
  Effect.mapError(planned, (unfit) => new HostUnfit({ target: session.target.key, address: session.address, ...unfit }))
