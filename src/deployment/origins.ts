/**
 * The releases on a host from which a new one can be built.
 */
import * as Effect from "effect/Effect"
import type { Origin } from "../domain/Differences.ts"
import { type HostState, inOrder } from "../domain/HostState.ts"
import type { Release } from "../domain/Release.ts"
import { manifestLines, originOf } from "../host/protocol/manifestText.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"

/** The most releases on a host to take files from. */
const maxOrigins = 4

/** The store's copy of a release, without the files that are different on the host. */
const unaltered = ({ stored }: Origin, { files }: Origin): Pick<Origin, "stored"> => {
  if (stored === undefined) return {}
  const paths = new Set(files.map(({ path }) => path))
  const manifest = stored.manifest.filter(({ _tag, path }) => _tag !== "File" || paths.has(path))
  return { stored: { release: stored.release, manifest } }
}

/** The releases on a host that the store knows. If it knows none, asks the host for the files of the current one. */
export const findOrigins = Effect.fnUntraced(function* (session: HostSession, state: HostState, release: Release) {
  if (!state.takesDifferences || state.releases.some(({ ref }) => ref === release.ref)) return []
  const store = yield* ReleaseStore
  const releases = inOrder(state)
  const origins: Array<Origin> = []
  const asked = (ref: string) => Effect.catchTag(session.origin(ref), "HostStepFailed", () => Effect.succeed(undefined))
  for (const { altered, ref } of releases) {
    if (origins.length === maxOrigins) break
    const known = yield* store.find(ref).pipe(
      Effect.flatMap((stored) =>
        Effect.map(store.manifest(stored), (manifest) =>
          originOf(ref, manifestLines(manifest), { release: stored, manifest })
        )
      ),
      Effect.catchTags({
        ReleaseNotFound: () => Effect.succeed(undefined),
        ReleaseAmbiguous: () => Effect.succeed(undefined)
      })
    )
    if (known === undefined) continue
    // Only the host knows the files that commands changed.
    const there = altered === true ? yield* asked(ref) : known
    if (there !== undefined) origins.push({ ...there, ...unaltered(known, there) })
  }
  const [first] = releases
  if (origins.length > 0 || first === undefined) return origins
  const origin = yield* asked(first.ref)
  return origin === undefined ? [] : [origin]
})
