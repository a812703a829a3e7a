/**
 * The releases that `prune` removes. Never the latest release of a name, and never the current one of a host.
 */
import { type HostRelease, type HostState, isLatestOnHost, previousRelease } from "./HostState.ts"
import { pinned, standing } from "./Journal.ts"
import type { Release } from "./Release.ts"

/** The stored releases of a name except its latest. If none is tagged `latest`, the newest one stays. Order is kept. */
export const toPrune = (releases: ReadonlyArray<Release>, name: string): ReadonlyArray<Release> => {
  const ofName = releases.filter((release) => release.name === name)
  const newest = Math.max(...ofName.map((release) => release.id))
  const isKept = ofName.some((release) => release.isLatest)
    ? (release: Release) => release.isLatest
    : (release: Release) => release.id === newest
  return ofName.filter((release) => !isKept(release))
}

// A link not made by deployer may still lead into a release, for instance with an absolute path.
const isCurrent = ({ current }: HostState, release: HostRelease): boolean =>
  (current._tag === "Linked" && current.ref === release.ref) ||
  (current._tag === "Foreign" && current.to.toUpperCase().includes(release.ref))

/** The releases of a name on a host except its latest, the current one and the pinned ones. Order is kept. */
export const toPruneOnHost = (state: HostState, name: string): ReadonlyArray<HostRelease> => {
  const pins = pinned(state.journal)
  return state.releases.filter(
    (release) =>
      release.name === name &&
      !isCurrent(state, release) &&
      !isLatestOnHost(state.releases, release) &&
      !pins.has(release.ref) &&
      release.ref !== state.armed?.back
  )
}

/**
 * The releases to remove after a deployment to a target that keeps `keep` healthy releases of a name: the older healthy ones, and the
 * failed and unproven ones except the newest of these. Never the current, the previous or a pinned one. Order is kept.
 */
export const beyondKeep = (state: HostState, name: string, keep: number): ReadonlyArray<HostRelease> => {
  const pins = pinned(state.journal)
  const previous = previousRelease(state)
  const ofName = state.releases.filter((release) => release.name === name).toSorted((a, b) => b.serial - a.serial)
  const isHealthy = ({ ref }: HostRelease) => standing(state.journal, ref) === "healthy"
  const kept = new Set([...ofName.filter(isHealthy).slice(0, keep), ...ofName.filter((r) => !isHealthy(r)).slice(0, 1)])
  return state.releases.filter(
    (release) =>
      release.name === name &&
      !kept.has(release) &&
      !isCurrent(state, release) &&
      release.ref !== previous?.ref &&
      release.ref !== state.armed?.back &&
      !pins.has(release.ref)
  )
}
