/**
 * What one look at a host shows. All of it is data from another machine: decoded, never evaluated, never trusted.
 */
import * as Schema from "effect/Schema"
import { JournalEntry, lineage, standing } from "./Journal.ts"
import { Lock } from "./Lock.ts"
import { latest, Ref, type Release, ReleaseName, Sha256, Tag } from "./Release.ts"

const Commit = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{7,64}$/))

/** What a host keeps about a release that is complete there. */
export class HostRelease extends Schema.Class<HostRelease>("HostRelease")({
  name: ReleaseName,
  ref: Ref,
  sha256: Sha256,
  /** Bytes of the tarball. */
  size: Schema.NonNegativeInt,
  /** As in the store when it was deployed, without `latest`: on a host that follows from `serial`. */
  tags: Schema.Array(Tag),
  createdAt: Schema.DateTimeUtc,
  /** When it was (last) deployed here, by the clock of the machine that did it. */
  deployedAt: Schema.DateTimeUtc,
  /** Grows by one with each deployment to this path: the highest of a name is its latest. */
  serial: Schema.NonNegativeInt,
  /** Its id in the store it came from. */
  id: Schema.Int,
  /** The git commit it was built from. */
  commit: Schema.optional(Commit),
  /** Whether the target's `afterUnpack` commands changed files of it. */
  altered: Schema.optional(Schema.Boolean)
}) {}

/** A release as one line of JSON, the way it stands on the host. */
export const HostReleaseJson = Schema.parseJson(HostRelease)

/** What is sent to a host: a whole tarball, or what completes the files of a release that is there. */
export const StreamName = Schema.String.pipe(Schema.pattern(/^(whole|(from|patched)_[0-9A-F]{32})$/))

/** Something that a deployment which did not finish left behind. */
export class Unfinished extends Schema.Class<Unfinished>("Unfinished")({
  ref: Ref,
  /**
   * `upload`: a staging folder with a tarball that may be incomplete; `release`: unpacked and named, but not recorded;
   * `damaged`: recorded, but the record cannot be read; `adoption`: a directory that was being made a release.
   */
  kind: Schema.Literal("upload", "release", "damaged", "adoption"),
  /** Bytes that have arrived, of a tarball, or of what completes a release, without compression; 0 for a release. */
  received: Schema.NonNegativeInt,
  /** Of what, so that it can be gone on with; absent where nobody knows. */
  stream: Schema.optional(StreamName),
  /** Who began it and when, for people; absent when that was not written either. */
  note: Schema.optional(Schema.String)
}) {}

/** A release on a host whose record is not what deployer wrote: nobody can say any more what it is. */
export const Damaged = Schema.Struct({
  ref: Ref,
  /** What is wrong with its record, a clause. */
  detail: Schema.String
})
/** A release on a host whose record is not what deployer wrote. */
export type Damaged = typeof Damaged.Type

/** What `<path>/releases/current` is. */
export const Current = Schema.Union(
  Schema.TaggedStruct("Absent", {}),
  /** A link to a release folder; whether that folder exists follows from the state. */
  Schema.TaggedStruct("Linked", {
    ref: Ref,
    /** The text of the link, if it is not the one that deployer writes. */
    text: Schema.optional(Schema.String)
  }),
  /** A link to anything else. */
  Schema.TaggedStruct("Foreign", { to: Schema.String }),
  /** Not a link at all. */
  Schema.TaggedStruct("Occupied", { by: Schema.Literal("directory", "file") })
)
/** What `<path>/releases/current` is. */
export type Current = typeof Current.Type

/** What `<path>` is. */
export const Base = Schema.Literal("absent", "ready", "incomplete", "not-a-directory", "not-writable")
/** What `<path>` is. `incomplete`: a directory without `config/` or `releases/`. */
export type Base = typeof Base.Type

/** The tools without which nothing can be deployed. */
export const HostTool = Schema.Literal("tar", "gzip", "sha256")

/** How the file system below the path is mounted. */
export const Mount = Schema.Struct({
  /** The directory that it is mounted on. */
  point: Schema.String,
  /** `ext4`, `tmpfs`, … */
  type: Schema.String,
  readOnly: Schema.Boolean,
  noExec: Schema.Boolean
})

/** The bytes of a file system that could not be measured: a full one is noticed while writing. */
export const unmeasured = Number.MAX_SAFE_INTEGER
/** A dead-man's switch: what it watches over, and what it does when nobody confirms in time. */
export class DeadMan extends Schema.Class<DeadMan>("DeadMan")({
  /** Tells it from all others on this target. */
  id: Schema.String.pipe(Schema.pattern(/^[0-9]+[.][0-9]+$/)),
  ref: Ref,
  /** The release that becomes current again; absent: the link is taken away. */
  back: Schema.optional(Ref),
  /** The text of the link that is put back if there is no `back`. */
  restore: Schema.optional(Schema.String),
  /** Seconds until it acts, by the host's clock; negative where it should have acted by now. */
  seconds: Schema.Int
}) {}

/** Everything one look shows. */
export class HostState extends Schema.Class<HostState>("HostState")({
  /** The absolute form of the target's path. */
  path: Schema.String,
  base: Base,
  /** The path below `path` that decided what `base` is. Default: `path`. */
  where: Schema.optional(Schema.String),
  current: Current,
  /** In no particular order. */
  releases: Schema.Array(HostRelease),
  unfinished: Schema.Array(Unfinished),
  /** In no particular order. */
  damaged: Schema.optionalWith(Schema.Array(Damaged), { default: () => [] }),
  /** Folders that are called like releases and that deployer did not make. No command touches them. */
  foreign: Schema.optionalWith(Schema.Array(Ref), { default: () => [] }),
  missingTools: Schema.Array(HostTool),
  /** Whether it has what it takes to complete a release from another one that is there. */
  takesDifferences: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Whether it can unpack zstd. */
  takesZstd: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  /** Bytes that can still be written below the path; `unmeasured` where the host does not say. */
  freeBytes: Schema.NonNegativeInt,
  /** Files and directories that can still be made below the path; absent where they are not counted. */
  freeInodes: Schema.optional(Schema.NonNegativeInt),
  /** Absent where the host does not say. */
  mount: Schema.optional(Mount),
  /** `uname -m`. */
  machine: Schema.String,
  /** The dynamic loaders of the C libraries that are there, absolute. */
  loaders: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
  /** The login, by its name there. */
  user: Schema.optional(Schema.String),
  /** How far the host's clock is ahead of ours (behind: negative), and how far that may be from the truth, in milliseconds. */
  clock: Schema.optional(
    Schema.Struct({ aheadMillis: Schema.Finite, toleranceMillis: Schema.NonNegative.pipe(Schema.finite()) })
  ),
  /** Who works on this target, or keeps it for a purpose; absent where nobody does. */
  lock: Schema.optional(Lock),
  /** The entries from which anything follows (`decisive`), oldest first: exact, however long the journal is. */
  journal: Schema.optionalWith(Schema.Array(JournalEntry), { default: () => [] }),
  /** The `lineage` of the whole journal. Undefined if `journal` is the whole journal. */
  line: Schema.optional(Schema.Array(Ref)),
  /** Lines of the journal since the last repair that are not entries: the torn end of a full disk, or another hand. */
  torn: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 0 }),
  /** A release that the host goes back from by itself unless its deployment is confirmed. */
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
 * The release to go back to: the last one before the current one that was live and healthy, and is complete on the host. Absent where
 * there is none.
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
 * the current one, which serves at least. Undefined if none of these is complete on the host: then `linkBefore` counts.
 */
export const wayBack = (state: HostState, ref: string): HostRelease | undefined => {
  const current = state.currentRelease
  const other = current?.ref === ref ? undefined : current
  if (other !== undefined && standing(state.journal, other.ref) === "healthy") return other
  return (
    previousRelease(state, state.current._tag === "Linked" && state.current.ref !== ref ? state.current.ref : ref) ??
    other
  )
}

/** The text of the link `current`: what is put back if there is nothing better to go back to. Undefined if there is no link. */
export const linkBefore = ({ current }: Pick<HostState, "current">): string | undefined =>
  current._tag === "Foreign"
    ? current.to
    : current._tag === "Linked"
      ? (current.text ?? `deployer_${current.ref}`)
      : undefined

/** The release of each name that was deployed last carries `latest`. */
export const isLatestOnHost = (releases: ReadonlyArray<HostRelease>, release: HostRelease): boolean =>
  releases.every((other) => other.name !== release.name || other.serial <= release.serial)

/** All tags, `latest` included where it is due. */
export const hostTags = (releases: ReadonlyArray<HostRelease>, release: HostRelease): ReadonlyArray<string> =>
  isLatestOnHost(releases, release) ? [...release.tags, latest] : release.tags

/** The current release first, then the last deployed first. */
export const inOrder = (state: HostState): ReadonlyArray<HostRelease> => {
  const current = state.currentRelease
  return state.releases.toSorted((a, b) =>
    a.ref === current?.ref ? -1 : b.ref === current?.ref ? 1 : b.serial - a.serial
  )
}

/** A host may hold any number: none of them may end in a number that cannot be written. */
export const nextSerial = ({ releases }: Pick<HostState, "releases">): number =>
  Math.min(releases.reduce((highest, other) => Math.max(highest, other.serial), 0) + 1, Number.MAX_SAFE_INTEGER)

/** The host's record of a stored release. That commands changed it stays known if it is there already. */
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
    ...(Schema.is(Commit)(release.metadata.commit) ? { commit: release.metadata.commit } : {})
  })
