/**
 * The releases that `prune` removes. Never the latest release of a name, and on a host never the current one, nor one that the journal does
 * not know: it may be pinned.
 */
import { type HostRelease, type HostState, isLatestOnHost, previousRelease } from "./HostState.ts"
import { known, pinned, standing } from "./Journal.ts"
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

/** Splits the releases that nothing else keeps. `unknown`: the journal that told whether they are pinned was lost, so they stay. */
const split = (state: HostState, releases: ReadonlyArray<HostRelease>) => {
  const pins = pinned(state.journal)
  const names = known(state.journal)
  const free = releases.filter(
    (release) => !isCurrent(state, release) && !pins.has(release.ref) && release.ref !== state.armed?.back
  )
  return {
    gone: free.filter(({ ref }) => names.has(ref)),
    unknown: free.filter(({ ref }) => !names.has(ref))
  }
}

/**
 * `gone`: the releases of a name on a host except its latest, the current one, the pinned ones and those in `unknown`. `unknown`: the
 * releases that stay because the journal says nothing about them. Order is kept.
 */
export const toPruneOnHost = (
  state: HostState,
  name: string
): { readonly gone: ReadonlyArray<HostRelease>; readonly unknown: ReadonlyArray<HostRelease> } =>
  split(
    state,
    state.releases.filter((release) => release.name === name && !isLatestOnHost(state.releases, release))
  )

/**
 * The releases to remove after a deployment to a target that keeps `keep` healthy releases of a name: the older healthy ones, and the
 * failed and unproven ones except the newest of these. Never the current, the previous or a pinned one, nor one that the journal does not
 * know. Order is kept.
 */
export const beyondKeep = (state: HostState, name: string, keep: number): ReadonlyArray<HostRelease> => {
  const previous = previousRelease(state)
  const ofName = state.releases.filter((release) => release.name === name).toSorted((a, b) => b.serial - a.serial)
  const isHealthy = ({ ref }: HostRelease) => standing(state.journal, ref) === "healthy"
  const kept = new Set([...ofName.filter(isHealthy).slice(0, keep), ...ofName.filter((r) => !isHealthy(r)).slice(0, 1)])
  return split(
    state,
    state.releases.filter((release) => release.name === name && !kept.has(release) && release.ref !== previous?.ref)
  ).gone
}
