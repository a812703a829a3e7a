/**
 * What `prune` removes. Never the latest release of a name and never the current one of a host.
 */
import { type HostRelease, type HostState, isLatestOnHost } from "./HostState.ts"
import type { Release } from "./Release.ts"

/** The stored releases of a name but for its latest; where none is tagged so, the newest one stays. Order is kept. */
export const toPrune = (releases: ReadonlyArray<Release>, name: string): ReadonlyArray<Release> => {
  const ofName = releases.filter((release) => release.name === name)
  const newest = Math.max(...ofName.map((release) => release.id))
  const isKept = ofName.some((release) => release.isLatest)
    ? (release: Release) => release.isLatest
    : (release: Release) => release.id === newest
  return ofName.filter((release) => !isKept(release))
}

// A link that was not made by us may still lead into a release, for instance with an absolute path.
const isCurrent = ({ current }: HostState, release: HostRelease): boolean =>
  (current._tag === "Linked" && current.ref === release.ref) ||
  (current._tag === "Foreign" && current.to.toUpperCase().includes(release.ref))

/** The releases of a name on a host but for its latest and the current one. Order is kept. */
export const toPruneOnHost = (state: HostState, name: string): ReadonlyArray<HostRelease> =>
  state.releases.filter(
    (release) => release.name === name && !isCurrent(state, release) && !isLatestOnHost(state.releases, release)
  )
