/**
 * A deployment as data: from the host's state and the wanted release to a list of steps. Pure.
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
  linkBefore,
  recordOf,
  StreamName,
  Unfinished,
  wayBack
} from "./HostState.ts"
import { isSettled, JournalEntry, lineage, standing } from "./Journal.ts"
import { hasExecutables, type Manifest, sizeOnDisk } from "./Manifest.ts"
import { beyondKeep } from "./Prune.ts"
import { Ref, Release, ReleaseName, shortRef } from "./Release.ts"
import { address, deadManSeconds, goesBack, Health, Hook, hookCommands, sharesFiles, type Target } from "./Target.ts"
import { Unfit } from "./Unfit.ts"

/** One step of a deployment. The steps run in this order. */
export const Step = Schema.Union(
  /** Make `config/` and `releases/` on the host. */
  Schema.TaggedStruct("Prepare", {}),
  /** Remove the leftovers of an earlier deployment. */
  Schema.TaggedStruct("Discard", { unfinished: Unfinished }),
  /** Send the release, or the differences from a release on the host, unpack it, and verify every file of it. */
  Schema.TaggedStruct("Stage", {
    stream: StreamName,
    /** Bytes of the stream that are already on the host. */
    from: Schema.NonNegativeInt,
    /** Bytes of the tarball, or of the files that travel, before compression. */
    size: Schema.NonNegativeInt,
    /** Files that travel, and files taken from other releases on the host. */
    sent: Schema.NonNegativeInt,
    taken: Schema.NonNegativeInt,
    /** Whether the files taken are hard links to those of the other release. Otherwise they are copies. */
    hardLinks: Schema.Boolean
  }),
  /**
   * Verify a release that is already on the host. `files`: hash every file, and send the release again if one is not as it should be.
   * `paths`: fail if a file is missing or empty, and hash nothing.
   */
  Schema.TaggedStruct("Verify", {
    depth: Schema.Literal("files", "paths"),
    /** Whether files that this login may not read count as whole. */
    trustsUnreadable: Schema.Boolean
  }),
  /** Run one command of a hook in the release's folder. */
  Schema.TaggedStruct("Run", { hook: Hook, command: Schema.String }),
  /** Record the release as complete and as the latest of its name. */
  Schema.TaggedStruct("Record", {}),
  /** Arm the dead-man's switch: the host goes back by itself unless the deployment is confirmed over a new connection. */
  Schema.TaggedStruct("Arm", {
    seconds: Schema.Positive,
    /** The shell text that the host runs after it went back by itself: `afterSwitch` and `restart`, a command a line. May be empty. */
    command: Schema.String
  }),
  /**
   * Make the release current. `from` describes what was current before. `records`: first record the release as complete and latest.
   * `settles`: also journal it as healthy, because nothing remains to check.
   */
  Schema.TaggedStruct("Switch", {
    from: Schema.optional(Schema.String),
    records: Schema.Boolean,
    settles: Schema.Boolean
  }),
  /** Check that the release is live and healthy. */
  Schema.TaggedStruct("Check", { health: Health }),
  /** Journal the release as healthy. After `Arm`, over a new connection that disarms the dead-man's switch. */
  Schema.TaggedStruct("Settle", { confirms: Schema.Boolean }),
  /** Remove the releases beyond those that the target keeps. Those that the host's journal counts differently by then stay. */
  Schema.TaggedStruct("Prune", {
    /** The name of the releases that count, and how many healthy ones stay. */
    name: ReleaseName,
    keep: Schema.Positive,
    releases: Schema.Array(Schema.Struct({ name: ReleaseName, ref: Ref }))
  })
)
/** One step of a deployment. The steps run in this order. */
export type Step = typeof Step.Type

/** Fields of plans: the way back if a step after the switch fails. */
export const WayBack = {
  /** Whether the host goes back then: the target has `restart` or `health`. */
  goesBack: Schema.Boolean,
  /** The release that it goes back to. Undefined if there is none: then it goes back to the link that was there, or to none. */
  back: Schema.optional(HostRelease),
  /** The target's command that stops the release if there is nothing to go back to, not even a link. */
  stop: Schema.optional(Schema.String)
}

/** The replaced release with which a running program continues, because the target has no command that restarts it. */
const runsOn = Schema.optional(HostRelease)

/** The steps of a deployment, and the state that they are based on. */
export class DeployPlan extends Schema.TaggedClass<DeployPlan>()("DeployPlan", {
  target: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  release: Release,
  /** The host's state that the plan is based on. */
  state: HostState,
  /**
   * `deploy`: the release goes to the host. `relink`: it is on the host and becomes current again. `finish`: it is current, and the steps
   * after the switch are still to do. `nothing`: it is current, and everything is done.
   */
  outcome: Schema.Literal("deploy", "relink", "finish", "nothing"),
  steps: Schema.Array(Step),
  runsOn,
  ...WayBack
}) {}

/** A plan to go back to a release that is on the host. */
export class RollbackPlan extends Schema.TaggedClass<RollbackPlan>()("RollbackPlan", {
  target: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  release: HostRelease,
  /** The host's state that the plan is based on. */
  state: HostState,
  steps: Schema.Array(Step),
  runsOn,
  ...WayBack
}) {}

/** The input of a deployment's plan. */
export interface Wanted {
  readonly target: Target
  readonly release: Release
  readonly manifest: Manifest
  /** Releases on the host from which files may be taken. */
  readonly origins: ReadonlyArray<Origin>
  /** Whether to remove the leftovers of other deployments first. */
  readonly removeUnfinished: boolean
  /** Whether to verify a release that is already on the host, and to do all later steps again. Default: no. */
  readonly again?: boolean
}

/** How to build the release from others on the host. Undefined if all of it travels. */
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
 * Leftovers of deployments of other releases: the user is asked about these. Never the folder that `current` leads to, because it is live,
 * whatever is missing in it, and never an upload of a release that is complete on the host.
 */
export const unfinishedOthers = (state: HostState, release: Pick<Release, "ref">): ReadonlyArray<Unfinished> =>
  state.unfinished.filter(
    (unfinished) =>
      unfinished.ref !== release.ref &&
      unfinished.kind !== "adoption" &&
      !isNeedless(state, unfinished) &&
      !(unfinished.kind === "release" && isLinked(state, unfinished.ref))
  )

/** Whether it is an upload of a release that was completed since. */
const isNeedless = (state: HostState, { kind, ref }: Unfinished): boolean =>
  kind === "upload" && state.releases.some((release) => release.ref === ref)

/** The parts of a release that are already on the host. */
const found = (state: HostState, release: Release, stream: typeof StreamName.Type) => {
  const own = state.unfinished.filter((unfinished) => unfinished.ref === release.ref)
  const part = own.find(({ kind, stream: arrived }) => kind === "upload" && arrived === stream)
  const damaged = state.damaged.some(({ ref }) => ref === release.ref)
  const live = isLinked(state, release.ref)
  return {
    present: state.releases.find((other) => other.ref === release.ref),
    own,
    // A live release keeps its files and gets a readable record.
    named: own.some(({ kind }) => kind === "release") || (damaged && live),
    replaced: damaged && !live,
    part,
    from: part?.received ?? 0
  }
}

/** The name of the stream to send. */
export const streamOf = (differences: Differences | undefined): typeof StreamName.Type =>
  differences === undefined ? "whole" : `${differences.patches.size > 0 ? "patched" : "from"}_${differences.origin.ref}`

/** Inodes besides the release's entries: its folder, staging folder, tarball, note, manifest, record, link and lock. */
const ownInodes = 8

/** The host's resources that the rest of the transfer needs. */
export const needsOf = (
  state: HostState,
  { manifest, origins, release, target }: Omit<Wanted, "removeUnfinished">
): Needs => {
  const less = differencesOf(state, { manifest, origins })
  const { from, named, present } = found(state, release, streamOf(less))
  const arrives = present === undefined && !named
  // A second name of a file takes no bytes and no inode.
  const linked = sharesFiles(target) && less !== undefined ? less : undefined
  const files = manifest.filter(({ _tag }) => _tag === "File").length
  const unpacked = linked?.bytes ?? sizeOnDisk(manifest)
  // Differences are kept as they arrive until the release is whole, and are unpacked beside it.
  const arriving = less === undefined ? Math.max(0, release.size - from) : Math.max(0, less.likely - from) + less.likely
  return {
    bytes: arrives ? arriving + unpacked : 0,
    inodes: arrives ? manifest.length - (linked === undefined ? 0 : files - linked.files) + ownInodes : 0,
    executables: hasExecutables(manifest),
    binaries: release.metadata.binaries,
    platformCheck: target.platformCheck
  }
}

/** Plans a deployment, or says why the host cannot take it. */
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
    // The folder was verified before it got its name, but a power cut or another program may have emptied its files since.
    if (named) steps.push(verifyFiles)
    else {
      const files = manifest.filter(({ _tag }) => _tag === "File").length
      steps.push({
        _tag: "Stage",
        stream,
        from,
        size: less?.bytes ?? release.size,
        sent: less?.files ?? files,
        taken: less === undefined ? 0 : files - less.files,
        hardLinks: less !== undefined && sharesFiles(target)
      })
    }
    steps.push(...hookSteps(target, "afterUnpack"))
  }
  const isAgain = !isNew && wanted.again === true
  if (isAgain) steps.push(verifyFiles, ...hookSteps(target, "afterUnpack"))
  const switches = isAgain || isToSwitch(state, release.ref)
  // An earlier deployment unpacked it, and somebody may have changed it since.
  if (!isNew && !isAgain && switches) steps.push({ ...verifyFiles, trustsUnreadable: true })
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
  return refused === undefined
    ? Either.right(
        DeployPlan.make({
          target: target.key,
          address: address(target),
          release,
          state,
          outcome: isNew || isAgain ? "deploy" : switches ? "relink" : unfinished ? "finish" : "nothing",
          steps,
          ...continuing(state, target, release),
          ...backFrom(state, target, release)
        })
      )
    : Either.left(refused)
}

/**
 * A target that names a program (`health`, `start` or `stop`) is told about the missing restart each time. Any other one may hold a static site, so
 * it is told once, at the first replacement.
 */
const continuing = (state: HostState, target: Target, { ref }: { readonly ref: string }) => {
  const { afterSwitch, health, restart, start, stop } = target
  const { currentRelease } = state
  const hasProgram = [health, start, stop].some((setting) => setting !== undefined)
  return currentRelease === undefined ||
    currentRelease.ref === ref ||
    restart !== undefined ||
    afterSwitch !== undefined ||
    (!hasProgram && lineOf(state).length > 1)
    ? {}
    : { runsOn: currentRelease }
}

const backFrom = (state: HostState, target: Target, { ref }: { readonly ref: string }) => {
  const back = wayBack(state, ref)
  const isFirst = back === undefined && linkBefore(state) === undefined
  return {
    goesBack: goesBack(target),
    ...(back === undefined ? {} : { back }),
    ...(isFirst && goesBack(target) && target.stop !== undefined ? { stop: target.stop } : {})
  }
}

/** A ref is an MD5, so two tarballs may share it: both sides also know the SHA-256. */
const otherRelease = (state: HostState, present: HostRelease | undefined, release: Release): Unfit | undefined =>
  present === undefined || present.sha256 === release.sha256
    ? undefined
    : Unfit.make({
        reason: "other-release",
        path: `${state.path}/releases/deployer_${release.ref}`,
        has: [present.sha256],
        wants: [release.sha256]
      })

/** Plans to make a release live that is complete on the host. There are no steps if it already is current and healthy. */
export const planRollback = (
  state: HostState,
  { release, target }: { readonly target: Target; readonly release: HostRelease }
): Either.Either<RollbackPlan, Unfit> => {
  const switches = isToSwitch(state, release.ref)
  const isDone = !switches && isSettled(state.journal, release.ref) && !isUnhealthy(state, release)
  const refused = checks(state).find(({ unfit }) => unfit !== undefined)?.unfit
  return refused === undefined
    ? Either.right(
        RollbackPlan.make({
          target: target.key,
          address: address(target),
          release,
          state,
          steps: isDone
            ? []
            : [
                ...(switches ? [{ _tag: "Verify" as const, depth: "paths" as const, trustsUnreadable: true }] : []),
                ...liveSteps(state, target, { switches, records: false })
              ],
          ...continuing(state, target, release),
          ...backFrom(state, target, release)
        })
      )
    : Either.left(refused)
}

/**
 * Also true if the link leads to a folder in the release, or if the dead-man's switch watches the current release: switching to it again
 * disarms it.
 */
const isToSwitch = (state: HostState, ref: string): boolean =>
  !isLinked(state, ref) ||
  (state.current._tag === "Linked" && state.current.inside !== undefined) ||
  state.armed?.ref === ref

const isUnhealthy = ({ journal }: HostState, { ref }: { readonly ref: string }): boolean =>
  standing(journal, ref) === "unhealthy"

/** The steps from the switch, if there is one, to the verdict on the release. */
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
    ...(seconds === undefined ? [] : [{ _tag: "Arm" as const, seconds, command: restartAgain(target) }]),
    { _tag: "Switch", ...before(state), records, settles },
    ...(settles ? [] : [...proof, settle])
  ]
}

const verifyFiles = { _tag: "Verify", depth: "files", trustsUnreadable: false } as const

/** The commands that the host runs by itself after it went back. */
const restartAgain = (target: Target): string =>
  [...hookCommands(target, "afterSwitch"), ...hookCommands(target, "restart")].join("\n")

const pruneSteps = ({ keep, name }: Target, state: HostState): ReadonlyArray<Step> => {
  // A line that cannot be read may say that a release is pinned.
  const beyond = keep === undefined || state.torn > 0 ? [] : beyondKeep(state, name, keep)
  return keep === undefined || beyond.length === 0
    ? []
    : [{ _tag: "Prune", name, keep, releases: beyond.map(({ name, ref }) => ({ name, ref })) }]
}

/** The host's state once this release is live and healthy. */
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

/** A step for each command of a hook. */
export const hookSteps = (target: Target, hook: Hook): ReadonlyArray<Step> =>
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

/** A release in a sentence: `my_app 1A2B3C4D`. Without a name it is "the damaged release". */
export const releaseLabel = (release: {
  readonly name?: typeof ReleaseName.Type | undefined
  readonly ref: string
}): string => `${release.name ?? "the damaged release"} ${shortRef(release.ref)}`
