/**
 * The result of one look at a host. All of it is data from another machine: decoded, never evaluated, never trusted.
 */
import * as Schema from "effect/Schema"
import { JournalEntry, lineage, standing } from "./Journal.ts"
import { Lock } from "./Lock.ts"
import { latest, Ref, type Release, ReleaseName, Sha256, Tag } from "./Release.ts"

const Commit = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{7,64}$/))

/** The host's record of a release that is complete there. */
export class HostRelease extends Schema.Class<HostRelease>("HostRelease")({
  name: ReleaseName,
  ref: Ref,
  sha256: Sha256,
  /** Bytes of the tarball. */
  size: Schema.NonNegativeInt,
  /** The tags in the store at the time of the deployment, without `latest`: on a host, `latest` follows from `serial`. */
  tags: Schema.Array(Tag),
  createdAt: Schema.DateTimeUtc,
  /** The time of the last deployment here, by the clock of the deploying machine. */
  deployedAt: Schema.DateTimeUtc,
  /** Grows by one with each deployment to this path. The highest serial of a name is its latest release. */
  serial: Schema.NonNegativeInt,
  /** The release's id in the store it came from. */
  id: Schema.Int,
  /** The git commit the release was built from. */
  commit: Schema.optional(Commit),
  /** Whether the work tree had uncommitted changes. */
  dirty: Schema.optional(Schema.Boolean),
  /** The key of the builder in the config. */
  builder: Schema.optional(Schema.String),
  /** Whether the target's `afterUnpack` commands changed files of the release. */
  altered: Schema.optional(Schema.Boolean)
}) {}

/** A release as one line of JSON, as it is stored on the host. */
export const HostReleaseJson = Schema.parseJson(HostRelease)

/** The stream sent to a host: a whole tarball, or the differences from a release on the host. */
export const StreamName = Schema.String.pipe(Schema.pattern(/^(whole|(from|patched)_[0-9A-F]{32})$/))

/** The leftover of a deployment that did not finish. */
export class Unfinished extends Schema.Class<Unfinished>("Unfinished")({
  ref: Ref,
  /**
   * `upload`: a staging folder with a tarball that may be incomplete. `release`: unpacked and named, but not recorded. `damaged`: recorded,
   * but the record is unreadable. `adoption`: a directory that was being made a release.
   */
  kind: Schema.Literal("upload", "release", "damaged", "adoption"),
  /** Bytes received, of a tarball or of differences, without compression. 0 for a release. */
  received: Schema.NonNegativeInt,
  /** The stream these bytes belong to, so the upload can resume. Undefined if unknown. */
  stream: Schema.optional(StreamName),
  /** Who began it and when, for people. Undefined if that was not written either. */
  note: Schema.optional(Schema.String)
}) {}

/** A release on a host with a record that deployer did not write, so its name and hash are unknown. */
export const Damaged = Schema.Struct({
  ref: Ref,
  /** The fault of its record, a clause. */
  detail: Schema.String
})
/** A release on a host with a record that deployer did not write. */
export type Damaged = typeof Damaged.Type

/** The state of `<path>/releases/current`. */
export const Current = Schema.Union(
  Schema.TaggedStruct("Absent", {}),
  /** A link to a release folder. Whether that folder exists follows from the state. */
  Schema.TaggedStruct("Linked", {
    ref: Ref,
    /** The text of the link, if deployer would write another one. */
    text: Schema.optional(Schema.String),
    /** The folder in the release that the link leads to, if it does not lead to the release itself. */
    inside: Schema.optional(Schema.String)
  }),
  /** A link to anything else. */
  Schema.TaggedStruct("Foreign", {
    to: Schema.String,
    /** Whether nothing is at its end. Default: no. */
    dangling: Schema.optional(Schema.Boolean)
  }),
  /** Not a link at all. */
  Schema.TaggedStruct("Occupied", { by: Schema.Literal("directory", "file") })
)
/** The state of `<path>/releases/current`. */
export type Current = typeof Current.Type

/** The state of `<path>`. */
export const Base = Schema.Literal("absent", "ready", "incomplete", "not-a-directory", "not-writable")
/** The state of `<path>`. `incomplete`: a directory without `config/` or `releases/`. */
export type Base = typeof Base.Type

/** The tools that every deployment needs. */
export const HostTool = Schema.Literal("tar", "gzip", "dd", "tr", "sha256")

/** How the file system below the path is mounted. */
export const Mount = Schema.Struct({
  /** The mount point. */
  point: Schema.String,
  /** `ext4`, `tmpfs`, … */
  type: Schema.String,
  readOnly: Schema.Boolean,
  noExec: Schema.Boolean
})

/** The free bytes of a file system that could not be measured. Writing to a full one fails. */
export const unmeasured = Number.MAX_SAFE_INTEGER
/** A dead-man's switch: the release it watches, and what it does if nobody confirms in time. */
export class DeadMan extends Schema.Class<DeadMan>("DeadMan")({
  /** Unique among the switches of this target. */
  id: Schema.String.pipe(Schema.pattern(/^[0-9]+[.][0-9]+$/)),
  ref: Ref,
  /** The release that becomes current again. Undefined if the link is removed instead. */
  back: Schema.optional(Ref),
  /** The text of the link to restore if there is no `back`. */
  restore: Schema.optional(Schema.String),
  /** Seconds until it acts, by the host's clock. Negative if it is overdue. */
  seconds: Schema.Int
}) {}

/** The result of one look at a host. */
export class HostState extends Schema.Class<HostState>("HostState")({
  /** The absolute form of the target's path. */
  path: Schema.String,
  base: Base,
  /** The path that decided the state `base`, at or below `path`. Default: `path`. */
  where: Schema.optional(Schema.String),
  current: Current,
  /** In no particular order. */
  releases: Schema.Array(HostRelease),
  unfinished: Schema.Array(Unfinished),
  /** In no particular order. */
  damaged: Schema.optionalWith(Schema.Array(Damaged), { default: () => [] }),
  /** Folders named like releases that deployer did not make. No command touches them. */
  foreign: Schema.optionalWith(Schema.Array(Ref), { default: () => [] }),
  missingTools: Schema.Array(HostTool),
  /** Whether the host has the tools to build a release from another one on it. */
  takesDifferences: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Whether the host can unpack zstd. */
  takesZstd: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Free bytes below the path; `unmeasured` if the host does not say. */
  freeBytes: Schema.NonNegativeInt,
  /** Free inodes below the path. Undefined if the file system does not count them. */
  freeInodes: Schema.optional(Schema.NonNegativeInt),
  /** Undefined if the host does not say. */
  mount: Schema.optional(Mount),
  /** `uname -m`. */
  machine: Schema.String,
  /** Absolute paths of the dynamic loaders of the host's C libraries. */
  loaders: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  /** The login's name on the host. */
  user: Schema.optional(Schema.String),
  /** How far the host's clock is ahead of ours (negative if behind), and the tolerance of that measurement, in milliseconds. */
  clock: Schema.optional(
    Schema.Struct({ aheadMillis: Schema.Finite, toleranceMillis: Schema.NonNegative.pipe(Schema.finite()) })
  ),
  /** The holder of this target's lock. Undefined if it is not locked. */
  lock: Schema.optional(Lock),
  /** The journal's `decisive` entries, oldest first: complete, however long the journal is. */
  journal: Schema.optionalWith(Schema.Array(JournalEntry), { default: () => [] }),
  /** The `lineage` of the whole journal. Undefined if `journal` is the whole journal. */
  line: Schema.optional(Schema.Array(Ref)),
  /** Unparsable lines of the journal since the last repair: the torn end of a full disk, or lines of another program. */
  torn: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 0 }),
  /** The armed dead-man's switch: the host goes back by itself unless the deployment is confirmed. */
  armed: Schema.optional(DeadMan)
}) {
  /** The release that is live, if the link leads to a complete one. */
  get currentRelease(): HostRelease | undefined {
    const current = this.current
    return current._tag === "Linked" ? this.releases.find((release) => release.ref === current.ref) : undefined
  }
}

/** The releases that were made current, as `lineage` says. */
export const lineOf = ({ journal, line }: Pick<HostState, "journal" | "line">): ReadonlyArray<string> =>
  line ?? lineage(journal)

/**
 * The release to go back to: the last one before the current one that was live and healthy, and is complete on the host. Undefined if there
 * is none.
 */
export const previousRelease = (
  { current, journal, line: known, releases }: Pick<HostState, "current" | "journal" | "line" | "releases">,
  from = current._tag === "Linked" ? current.ref : undefined
): HostRelease | undefined => {
  const line = lineOf({ journal, line: known })
  const before = from === undefined || !line.includes(from) ? line : line.slice(0, line.indexOf(from))
  const ref = before.findLast(
    (ref) => ref !== from && standing(journal, ref) === "healthy" && releases.some((release) => release.ref === ref)
  )
  return releases.find((release) => release.ref === ref)
}

/**
 * The release that a deployment goes back to if it fails: the current one if it is healthy, otherwise the previous healthy one, otherwise
 * the current one, which at least runs. Undefined if none of these is complete on the host, or if a link was current that deployer did not
 * make: then `linkBefore` is restored.
 */
export const wayBack = (state: HostState, ref: string): HostRelease | undefined => {
  // It was live, whatever was healthy before it.
  if (state.current._tag === "Foreign" && state.current.dangling !== true) return undefined
  const current = state.currentRelease
  const other = current?.ref === ref ? undefined : current
  if (other !== undefined && standing(state.journal, other.ref) === "healthy") return other
  return (
    previousRelease(state, state.current._tag === "Linked" && state.current.ref !== ref ? state.current.ref : ref) ??
    other
  )
}

/** The text of the link `current`, to restore if there is no release to go back to. Undefined if there is no link. */
export const linkBefore = ({ current }: Pick<HostState, "current">): string | undefined =>
  current._tag === "Foreign"
    ? current.to
    : current._tag === "Linked"
      ? (current.text ?? `deployer_${current.ref}`)
      : undefined

/** The last deployed release of each name carries `latest`. */
export const isLatestOnHost = (releases: ReadonlyArray<HostRelease>, release: HostRelease): boolean =>
  releases.every((other) => other.name !== release.name || other.serial <= release.serial)

/** All tags, including `latest` if the release carries it. */
export const hostTags = (releases: ReadonlyArray<HostRelease>, release: HostRelease): ReadonlyArray<string> =>
  isLatestOnHost(releases, release) ? [...release.tags, latest] : release.tags

/** The current release first, then the last deployed first. */
export const inOrder = (state: HostState): ReadonlyArray<HostRelease> => {
  const current = state.currentRelease
  return state.releases.toSorted((a, b) =>
    a.ref === current?.ref ? -1 : b.ref === current?.ref ? 1 : b.serial - a.serial
  )
}

/** A host may report any serial: the result stays a safe integer. */
export const nextSerial = ({ releases }: Pick<HostState, "releases">): number =>
  Math.min(releases.reduce((highest, other) => Math.max(highest, other.serial), 0) + 1, Number.MAX_SAFE_INTEGER)

const originOf = ({ builder, commit, dirty }: Release["metadata"]) => ({
  ...(Schema.is(Commit)(commit) ? { commit, ...(dirty === true ? { dirty } : {}) } : {}),
  ...(builder === undefined ? {} : { builder })
})

/** The host's record of a stored release. Keeps `altered` if the release is already on the host. */
export const recordOf = (release: Release, state: HostState, deployedAt: typeof Schema.DateTimeUtc.Type): HostRelease =>
  HostRelease.make({
    name: release.name,
    ref: release.ref,
    sha256: release.sha256,
    size: release.size,
    tags: release.tags.filter((tag) => tag !== latest),
    createdAt: release.createdAt,
    deployedAt,
    serial: nextSerial(state),
    id: release.id,
    ...(state.releases.some(({ altered, ref }) => ref === release.ref && altered === true) ? { altered: true } : {}),
    ...originOf(release.metadata)
  })
