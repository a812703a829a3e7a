/**
 * A deployment as data: from what was seen on the host and what is wanted to a list of steps. Pure.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { checks, type Needs } from "./Checks.ts"
import { type Differences, differences, type Origin } from "./Differences.ts"
import {
  HostRelease,
  HostState,
  isLatestOnHost,
  lineOf,
  recordOf,
  StreamName,
  Unfinished,
  wayBack
} from "./HostState.ts"
import { isSettled, JournalEntry, lineage, standing } from "./Journal.ts"
import { hasExecutables, type Manifest, sizeOnDisk } from "./Manifest.ts"
import { beyondKeep } from "./Prune.ts"
import { Ref, Release, ReleaseName, shortRef } from "./Release.ts"
import { address, deadManSeconds, Health, Hook, hookCommands, sharesFiles, type Target } from "./Target.ts"
import { Unfit } from "./Unfit.ts"

/** One step of a deployment, in the order in which it is done. */
export const Step = Schema.Union(
  /** Make `config/` and `releases/` on the host. */
  Schema.TaggedStruct("Prepare", {}),
  /** Remove what an earlier deployment left. */
  Schema.TaggedStruct("Discard", { unfinished: Unfinished }),
  /** Send the release, or what completes the files that are there, unpack it, and verify every file of it. */
  Schema.TaggedStruct("Stage", {
    stream: StreamName,
    /** Bytes of that which are there already. */
    from: Schema.NonNegativeInt,
    /** Bytes: of the tarball, or of the files that travel, before they are compressed. */
    size: Schema.NonNegativeInt,
    /** Files that travel, and files that are taken from other releases there. */
    sent: Schema.NonNegativeInt,
    taken: Schema.NonNegativeInt
  }),
  /**
   * Hash every file of a folder that has its name and no record, so that nothing else says that it is whole, or of one that is to be deployed again.
   * If it is not whole, the release is sent again.
   */
  Schema.TaggedStruct("Verify", {}),
  /** Run one command of a hook in the release's folder. */
  Schema.TaggedStruct("Run", { hook: Hook, command: Schema.String }),
  /** Write down that the release is complete and the latest of its name. */
  Schema.TaggedStruct("Record", {}),
  /** Let the host go back by itself unless it hears from us over a new connection. */
  Schema.TaggedStruct("Arm", { seconds: Schema.Positive }),
  /**
   * Make the release current. `from` is what was current before, in words. In the same step it is written down before that that it is complete and
   * the latest of its name (`records`), and after that that it is well, where nothing is left to prove (`settles`).
   */
  Schema.TaggedStruct("Switch", {
    from: Schema.optional(Schema.String),
    records: Schema.Boolean,
    settles: Schema.Boolean
  }),
  /** See that the release is live and well. */
  Schema.TaggedStruct("Check", { health: Health }),
  /** Write down that it is; after `Arm`, over a new connection that keeps the host from going back. */
  Schema.TaggedStruct("Settle", { confirms: Schema.Boolean }),
  /** Remove what is beyond the releases that the target keeps. */
  Schema.TaggedStruct("Prune", { releases: Schema.Array(Schema.Struct({ name: ReleaseName, ref: Ref })) })
)
/** One step of a deployment, in the order in which it is done. */
export type Step = typeof Step.Type

/** What is going to be done, and on what it rests. */
export class DeployPlan extends Schema.TaggedClass<DeployPlan>()("DeployPlan", {
  target: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  release: Release,
  /** What was seen. */
  state: HostState,
  /**
   * `deploy`: the release goes there; `relink`: it is there and becomes current again; `finish`: it is current, and what comes after the switch
   * is still to do; `nothing`: it is current, and all is done.
   */
  outcome: Schema.Literal("deploy", "relink", "finish", "nothing"),
  steps: Schema.Array(Step),
  /** What the host goes back to when anything after the switch fails; absent: there is nothing to go back to. */
  back: Schema.optional(HostRelease)
}) {}

/** Going back to a release that is on the host. */
export class RollbackPlan extends Schema.TaggedClass<RollbackPlan>()("RollbackPlan", {
  target: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  release: HostRelease,
  /** What was seen. */
  state: HostState,
  steps: Schema.Array(Step),
  /** What the host goes back to when that fails. */
  back: Schema.optional(HostRelease)
}) {}

/** What is wanted. */
export interface Wanted {
  readonly target: Target
  readonly release: Release
  readonly manifest: Manifest
  /** Releases on the host from which files can be taken. */
  readonly origins: ReadonlyArray<Origin>
  /** Whether what other deployments left unfinished is removed on the way. */
  readonly removeUnfinished: boolean
  /** Whether a release that is there is proven, and all that comes after that is done again. Default: no. */
  readonly again?: boolean
}

/** What of the release is taken from others on the host; absent: all of it travels. */
export const differencesOf = (
  state: HostState,
  { manifest, origins }: Pick<Wanted, "manifest" | "origins">
): Differences | undefined =>
  state.takesDifferences
    ? differences(
        manifest,
        origins.filter(({ ref }) => state.releases.some((release) => release.ref === ref))
      )
    : undefined

/**
 * What deployments of other releases left unfinished: the user is asked about these. A folder that `current` leads to is
 * live, whatever is missing in it, and never among them; nor is an upload of a release that is there.
 */
export const unfinishedOthers = (state: HostState, release: Pick<Release, "ref">): ReadonlyArray<Unfinished> =>
  state.unfinished.filter(
    (unfinished) =>
      unfinished.ref !== release.ref &&
      unfinished.kind !== "adoption" &&
      !isNeedless(state, unfinished) &&
      !(unfinished.kind === "release" && isLinked(state, unfinished.ref))
  )

/** An upload of a release that has been completed since. */
const isNeedless = (state: HostState, { kind, ref }: Unfinished): boolean =>
  kind === "upload" && state.releases.some((release) => release.ref === ref)

/** What of a release is on the host already. */
const found = (state: HostState, release: Release, stream: typeof StreamName.Type) => {
  const own = state.unfinished.filter((unfinished) => unfinished.ref === release.ref)
  const part = own.find(({ kind, stream: arrived }) => kind === "upload" && arrived === stream)
  const damaged = state.damaged.some(({ ref }) => ref === release.ref)
  const live = isLinked(state, release.ref)
  return {
    present: state.releases.find((other) => other.ref === release.ref),
    own,
    // What is live keeps its files, and gets a record that can be read.
    named: own.some(({ kind }) => kind === "release") || (damaged && live),
    replaced: damaged && !live,
    part,
    from: part?.received ?? 0
  }
}

/** The name of what is sent. */
export const streamOf = (differences: Differences | undefined): typeof StreamName.Type =>
  differences === undefined ? "whole" : `${differences.patches.size > 0 ? "patched" : "from"}_${differences.origin.ref}`

/** Beside the entries of a release: its folder, staging folder, tarball, note, manifest, record, link and lock. */
const ownInodes = 8

/** What is still to arrive of a release. */
export const needsOf = (
  state: HostState,
  { manifest, origins, release, target }: Omit<Wanted, "removeUnfinished">
): Needs => {
  const less = differencesOf(state, { manifest, origins })
  const { from, named, present } = found(state, release, streamOf(less))
  const arrives = present === undefined && !named
  // A second name of a file takes neither bytes nor an inode.
  const linked = sharesFiles(target) && less !== undefined ? less : undefined
  const files = manifest.filter(({ _tag }) => _tag === "File").length
  const unpacked = linked?.bytes ?? sizeOnDisk(manifest)
  // Differences are kept as they come until the release is whole, and unpacked beside it.
  const arriving = less === undefined ? Math.max(0, release.size - from) : Math.max(0, less.likely - from) + less.likely
  return {
    bytes: arrives ? arriving + unpacked : 0,
    inodes: arrives ? manifest.length - (linked === undefined ? 0 : files - linked.files) + ownInodes : 0,
    executables: hasExecutables(manifest),
    binaries: release.metadata.binaries,
    platformCheck: target.platformCheck
  }
}

/** Plans a deployment, or says why the host is in no state for it. */
export const plan = (state: HostState, wanted: Wanted): Either.Either<DeployPlan, Unfit> => {
  const { manifest, release, target } = wanted
  const less = differencesOf(state, wanted)
  const stream = streamOf(less)
  const { from, named, own, part, present, replaced } = found(state, release, stream)

  const steps: Array<Step> = []
  const stale = state.unfinished.filter(
    (unfinished) =>
      isNeedless(state, unfinished) ||
      (own.includes(unfinished) && unfinished.kind === "upload" && (named || unfinished !== part))
  )
  if (replaced) {
    steps.push({ _tag: "Discard", unfinished: Unfinished.make({ ref: release.ref, kind: "damaged", received: 0 }) })
  }
  for (const unfinished of [...(wanted.removeUnfinished ? unfinishedOthers(state, release) : []), ...stale]) {
    steps.push({ _tag: "Discard", unfinished })
  }
  const isNew = present === undefined
  if (isNew) {
    if (state.base !== "ready") steps.push({ _tag: "Prepare" })
    // A folder that has its name was verified before it got it, but a power cut or another hand may have emptied its files since.
    if (named) steps.push({ _tag: "Verify" })
    else {
      const files = manifest.filter(({ _tag }) => _tag === "File").length
      steps.push({
        _tag: "Stage",
        stream,
        from,
        size: less?.bytes ?? release.size,
        sent: less?.files ?? files,
        taken: less === undefined ? 0 : files - less.files
      })
    }
    steps.push(...hookSteps(target, "afterUnpack"))
  }
  const isAgain = !isNew && wanted.again === true
  if (isAgain) steps.push({ _tag: "Verify" }, ...hookSteps(target, "afterUnpack"))
  const switches = isAgain || isToSwitch(state, release.ref)
  const records = isNew || isAgain || !isLatestOnHost(state.releases, present)
  if (records && !switches) steps.push({ _tag: "Record" })
  const unfinished = !switches && (!isSettled(state.journal, release.ref) || isUnhealthy(state, release))
  if (switches || isNew || unfinished) {
    steps.push(...liveSteps(state, target, { switches, records }))
    const record = recordOf(release, state, release.createdAt)
    steps.push(...pruneSteps(target, withLive(state, isNew ? record : present)))
  }

  const refused =
    otherRelease(state, present, release) ??
    checks(state, needsOf(state, wanted)).find(({ unfit }) => unfit !== undefined)?.unfit
  const back = wayBack(state, release.ref)
  return refused === undefined
    ? Either.right(
        DeployPlan.make({
          target: target.key,
          address: address(target),
          release,
          state,
          outcome: isNew || isAgain ? "deploy" : switches ? "relink" : unfinished ? "finish" : "nothing",
          steps,
          ...(back === undefined ? {} : { back })
        })
      )
    : Either.left(refused)
}

/** A ref is an MD5, which two tarballs may share: both sides know the SHA-256 as well. */
const otherRelease = (state: HostState, present: HostRelease | undefined, release: Release): Unfit | undefined =>
  present === undefined || present.sha256 === release.sha256
    ? undefined
    : Unfit.make({
        reason: "other-release",
        path: `${state.path}/releases/deployer_${release.ref}`,
        has: [present.sha256],
        wants: [release.sha256]
      })

/** Plans to make a release live that is complete on the host. Nothing is left to do where it is and is well. */
export const planRollback = (
  state: HostState,
  { release, target }: { readonly target: Target; readonly release: HostRelease }
): Either.Either<RollbackPlan, Unfit> => {
  const switches = isToSwitch(state, release.ref)
  const isDone = !switches && isSettled(state.journal, release.ref) && !isUnhealthy(state, release)
  const back = wayBack(state, release.ref)
  const refused = checks(state).find(({ unfit }) => unfit !== undefined)?.unfit
  return refused === undefined
    ? Either.right(
        RollbackPlan.make({
          target: target.key,
          address: address(target),
          release,
          state,
          steps: isDone ? [] : liveSteps(state, target, { switches, records: false }),
          ...(back === undefined ? {} : { back })
        })
      )
    : Either.left(refused)
}

/** A release that the host is about to go back from by itself is switched to again, which keeps the host from that. */
const isToSwitch = (state: HostState, ref: string): boolean => !isLinked(state, ref) || state.armed?.ref === ref

const isUnhealthy = ({ journal }: HostState, { ref }: { readonly ref: string }): boolean =>
  standing(journal, ref) === "unhealthy"

/** From the switch, where there is one, to the last word on the release. */
const liveSteps = (
  state: HostState,
  target: Target,
  { records, switches }: { readonly switches: boolean; readonly records: boolean }
): ReadonlyArray<Step> => {
  const seconds = deadManSeconds(target)
  const proof: ReadonlyArray<Step> = [
    ...hookSteps(target, "afterSwitch"),
    ...hookSteps(target, "restart"),
    ...(target.health === undefined ? [] : [{ _tag: "Check" as const, health: target.health }])
  ]
  const settle: Step = { _tag: "Settle", confirms: switches && seconds !== undefined }
  if (!switches) return [...proof, settle]
  const settles = proof.length === 0 && seconds === undefined
  return [
    ...(seconds === undefined ? [] : [{ _tag: "Arm" as const, seconds }]),
    { _tag: "Switch", ...before(state), records, settles },
    ...(settles ? [] : [...proof, settle])
  ]
}

const pruneSteps = (target: Target, state: HostState): ReadonlyArray<Step> => {
  const beyond = target.keep === undefined ? [] : beyondKeep(state, target.name, target.keep)
  return beyond.length === 0 ? [] : [{ _tag: "Prune", releases: beyond.map(({ name, ref }) => ({ name, ref })) }]
}

/** What the host is going to be like once this release is live and well. */
const withLive = (state: HostState, release: HostRelease): HostState => {
  const entry = (event: "switched" | "healthy") =>
    JournalEntry.make({ event, at: release.deployedAt, by: "", release: { name: release.name, ref: release.ref } })
  const entries = [entry("switched"), entry("healthy")]
  return HostState.make({
    ...state,
    current: { _tag: "Linked", ref: release.ref },
    releases: [...state.releases.filter(({ ref }) => ref !== release.ref), release],
    journal: [...state.journal, ...entries],
    line: lineage(entries, lineOf(state))
  })
}

const isLinked = ({ current }: HostState, ref: string): boolean => current._tag === "Linked" && current.ref === ref

const hookSteps = (target: Target, hook: Hook): ReadonlyArray<Step> =>
  hookCommands(target, hook).map((command) => ({ _tag: "Run", hook, command }))

const before = ({ current, currentRelease }: HostState): { readonly from?: string } => {
  switch (current._tag) {
    case "Linked":
      return { from: currentRelease === undefined ? `${shortRef(current.ref)} (gone)` : releaseLabel(currentRelease) }
    case "Foreign":
      return { from: current.to }
    default:
      return {}
  }
}

/** A release in a sentence: `my_app 1A2B3C4D`. Without a name nobody knows what it is. */
export const releaseLabel = (release: {
  readonly name?: typeof ReleaseName.Type | undefined
  readonly ref: string
}): string => `${release.name ?? "the damaged release"} ${shortRef(release.ref)}`
