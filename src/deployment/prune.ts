/**
 * Removes the releases beyond those that a target keeps.
 */

import * as Effect from "effect/Effect"
import { typed } from "../domain/Invocation.ts"
import { releaseLabel, type Step } from "../domain/Plan.ts"
import { beyondKeep } from "../domain/Prune.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { entries } from "./journal.ts"

/**
 * The release is live and healthy, so a failure to remove older ones does not fail the deployment. The host's journal decides, not the
 * plan: a release that it does not record as healthy replaces no other one.
 */
export const prune = (
  session: HostSession,
  { keep, name, releases: planned }: Extract<Step, { readonly _tag: "Prune" }>
) =>
  Effect.gen(function* () {
    const state = yield* session.inspect
    if (state.torn > 0) {
      return yield* Reporter.warn(
        `Older releases stay: ${counted(state.torn, "line")} of the journal on ${session.address} cannot be read, and may say that a release is pinned. Set them aside with ${typed("repair", { target: session.target.key })}`
      )
    }
    const releases = beyondKeep(state, name, keep).filter(({ ref }) => planned.some((release) => release.ref === ref))
    if (releases.length === 0) return
    yield* session.remove(
      releases.map(({ ref }) => ref),
      yield* entries("removed", releases),
      { unlocks: true }
    )
    yield* Reporter.note(`Removed old releases: ${releases.map(releaseLabel).join(", ")}`)
  }).pipe(
    Effect.catchAll((error) =>
      Reporter.warn(`Older releases could not be removed; the next deploy tries again. ${error.message}`)
    )
  )
