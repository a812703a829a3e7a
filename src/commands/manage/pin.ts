/**
 * Releases protected from pruning on a host.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { entry } from "../../deployment/journal.ts"
import { locked } from "../../deployment/locking.ts"
import { inspectDeployed, pick } from "../../deployment/onHost.ts"
import { HostRelease } from "../../domain/HostState.ts"
import { pinned } from "../../domain/Journal.ts"
import { releaseLabel } from "../../domain/Plan.ts"
import type { HostSession } from "../../host/RemoteHost.ts"
import type { View } from "../../terminal/Answer.ts"

/** A release is pinned, or no longer pinned. */
export class Pinned extends Schema.TaggedClass<Pinned>()("Pinned", {
  address: Schema.String,
  release: HostRelease,
  pinned: Schema.Boolean
}) {}

const set = (isPinned: boolean) =>
  Effect.fn(isPinned ? "manage.host.pin" : "manage.host.unpin")(
    function* (session: HostSession, selector: string) {
      const state = yield* inspectDeployed(session)
      const release = yield* pick(session, state, selector)
      if (pinned(state.journal).has(release.ref) !== isPinned) {
        yield* session.note([yield* entry(isPinned ? "pinned" : "unpinned", release)])
      }
      return Pinned.make({ address: session.address, release, pinned: isPinned })
    },
    (self, session) => locked(session, isPinned ? "pin" : "unpin")(self)
  )

/** Protects a release from pruning. */
export const pin = set(true)

/** Lets a release be pruned again. */
export const unpin = set(false)

/** Whether a release is pinned. */
export const pinnedView =
  ({ address, pinned, release }: Pinned): View =>
  () =>
    pinned
      ? `${releaseLabel(release)} is pinned on ${address}, so that nothing prunes it`
      : `${releaseLabel(release)} is no longer pinned on ${address}`
