/**
 * `adopt`: makes a release of the directory in place of `current`, on a host that somebody else deployed to.
 */

import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { entry } from "../../deployment/journal.ts"
import { locked } from "../../deployment/locking.ts"
import { finishAdoptions, inspectDeployed } from "../../deployment/onHost.ts"
import { type Adoption, adoptedRecord } from "../../domain/Adoption.ts"
import { linkFault } from "../../domain/Drift.ts"
import { HostRelease, type HostState } from "../../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../../domain/Invocation.ts"
import { releaseLabel } from "../../domain/Plan.ts"
import { type HostSession, HostUnfit } from "../../host/RemoteHost.ts"
import type { View } from "../../terminal/Answer.ts"
import { bytes, counted } from "../../terminal/format.ts"
import { Prompt } from "../../terminal/Prompt.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { Declined } from "../Declined.ts"

/** The directory in place of `current` is now a release. */
export class Adopted extends Schema.TaggedClass<Adopted>()("Adopted", {
  address: Schema.String,
  release: HostRelease,
  /** Whether there was anything to do. */
  adopted: Schema.Boolean
}) {}

/** There is no directory in place of `current`. */
export class NothingToAdopt extends Schema.TaggedError<NothingToAdopt>()("NothingToAdopt", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The finding, a clause. */
  found: Schema.String
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("deploy", { target: this.target })]
  }
  override get message(): string {
    return `There is nothing to adopt on ${this.address}: ${this.found}. To make a release current there: ${commandLine(this.next[0])}`
  }
}

/** Makes a release of the directory in place of `current` and makes `current` a link to it, after showing the directory and asking. */
export const adopt = Effect.fn("manage.host.adopt")(function* (session: HostSession) {
  const seen = yield* session.inspect
  // Without an earlier deployment there is no config/ for the lock.
  if (seen.base === "incomplete" && seen.current._tag === "Occupied") yield* session.prepare
  return yield* locked(session, "adopt")(adoptAlone(session))
})

const adoptAlone = Effect.fnUntraced(function* (session: HostSession) {
  const before = yield* inspectDeployed(session)
  const state = yield* finishAdoptions(session, before)
  if (state.current._tag !== "Occupied") {
    const release = state.currentRelease
    if (release === undefined) {
      return yield* new NothingToAdopt({
        target: session.target.key,
        address: session.address,
        found: linkFault(state) ?? "there is no current link"
      })
    }
    return Adopted.make({ address: session.address, release, adopted: before.currentRelease === undefined })
  }
  if (state.current.by === "file") return yield* occupied(session, state)
  const adoption = yield* session.survey(session.target.name)
  const release = adoptedRecord(adoption, session.target.name, state, yield* DateTime.now)
  // The survey left a manifest on the host. Forget it if the user declines.
  yield* Effect.tapError(ask(session, state, adoption, release), () => session.finishAdoption(adoption.ref))
  yield* session.adopt(adoption, release, [yield* entry("adopted", release)])
  return Adopted.make({ address: session.address, release, adopted: true })
})

const occupied = (session: HostSession, { path }: HostState) =>
  new HostUnfit({
    target: session.target.key,
    address: session.address,
    reason: "current-occupied",
    path: `${path}/releases/current`,
    has: ["file"]
  })

const ask = Effect.fnUntraced(function* (
  session: HostSession,
  { path }: HostState,
  { bytes: size, files, nested, ref }: Adoption,
  release: HostRelease
) {
  const current = `${path}/releases/current`
  const name = session.target.name
  const holds = `${counted(files, "file")}, ${bytes(size)}`
  yield* Reporter.note(
    nested
      ? `${current} on ${session.address} holds only ${name}/ (${holds}): it becomes ${releaseLabel(release)}, in releases/deployer_${ref}`
      : `${current} on ${session.address} (${holds}) becomes ${releaseLabel(release)}, in releases/deployer_${ref}/${name}: programs started from current/… have to be started from current/${name}/… afterwards`
  )
  const agreed = yield* (yield* Prompt).confirm({
    message: "Rename it, and make current a link to it? For a moment between these steps, current is missing.",
    initial: false,
    safe: true,
    hint: "answer with yes"
  })
  if (!agreed) return yield* new Declined({ consequence: "nothing was adopted" })
})

/** The result of an adoption. */
export const adoptedView =
  ({ address, adopted, release }: Adopted): View =>
  () =>
    adopted
      ? `${releaseLabel(release)} is a release on ${address} now, and current leads to it`
      : `current leads to ${releaseLabel(release)} on ${address} already: nothing to adopt`
