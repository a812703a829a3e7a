/**
 * A release: one stored tarball and its metadata.
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"

/** The tag that exactly one release of a name carries: the newest one. */
export const latest = "latest"

/** Letters, digits, `.`, `_`, `-`, not starting with `.` or `-`: it becomes a folder, a file name and a build argument. */
export const ReleaseName = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, {
    message: () => "must be 1 to 128 letters, digits, '.', '_' or '-', not starting with '.' or '-'"
  })
)

/** A word attached to a release. Printable, without commas, so that lists of tags stay readable. */
export const Tag = Schema.String.pipe(
  Schema.pattern(/^[^\s,\p{C}]{1,128}$/u, {
    message: () => "must be 1 to 128 printable characters without blanks and commas"
  })
)

/** The MD5 of the tarball in upper-case hex: `md5sum` proves it. */
export const Ref = Schema.String.pipe(
  Schema.pattern(/^[0-9A-F]{32}$/, { message: () => "must be 32 upper-case hex digits" })
)

/** A SHA-256 in lower-case hex. */
export const Sha256 = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{64}$/, { message: () => "must be 64 lower-case hex digits" })
)

/** The platforms of a release's programs, that is of its executable ELF files. Both lists without repetition. */
export const Binaries = Schema.Struct({
  /** As `uname -m` names them; all 32-bit x86 as `i386`, all 32-bit ARM as `arm`. */
  machines: Schema.Array(Schema.String),
  /** Absolute paths of the dynamic loaders that start them. Empty if all are linked statically. */
  interpreters: Schema.Array(Schema.String)
})
/** The platforms of a release's programs. */
export type Binaries = typeof Binaries.Type

/** The origin of a release. Every field is undefined if it could not be determined. */
export class Metadata extends Schema.Class<Metadata>("Metadata")({
  /** The builder's key in the config. */
  builder: Schema.optional(Schema.String),
  /** The git commit of the project root, 40 hex digits. */
  commit: Schema.optional(Schema.String),
  /** Whether the work tree had uncommitted changes. */
  dirty: Schema.optional(Schema.Boolean),
  /** The digest of the image that holds the release (`sha256:…`). */
  image: Schema.optional(Schema.String),
  /** `os/architecture`, for instance `linux/amd64`. */
  platform: Schema.optional(Schema.String),
  /** The duration of the whole build, in milliseconds. */
  buildMillis: Schema.optional(Schema.NonNegativeInt),
  /** Read while the release was packed. */
  binaries: Schema.optional(Binaries)
}) {}

/** A tarball's name in `release_store/`. */
export const tarballName = (name: string, createdAt: DateTime.Utc): string =>
  `${name}-${Math.floor(createdAt.epochMillis / 1000)}.tar.gz`

/** A stored release. */
export class Release extends Schema.Class<Release>("Release")({
  /** 1, 2, 3 …; never reused, not even after the release is deleted. */
  id: Schema.Int.pipe(Schema.positive()),
  name: ReleaseName,
  ref: Ref,
  sha256: Sha256,
  /** Bytes of the tarball. */
  size: Schema.NonNegativeInt,
  tags: Schema.Array(Tag),
  /** UTC. Its whole seconds are the timestamp in the tarball's file name. */
  createdAt: Schema.DateTimeUtc,
  metadata: Metadata
}) {
  /** The tarball's name in `release_store/`: `<name>-<unix seconds>.tar.gz`. */
  get fileName(): string {
    return tarballName(this.name, this.createdAt)
  }

  /** Whether this is the release of its name that carries the tag `latest`. */
  get isLatest(): boolean {
    return this.tags.includes(latest)
  }
}

/** Enough of a ref to recognise it by eye, and usually enough to name it on the command line. */
export const shortRef = (ref: string): string => ref.slice(0, 8)

/** The meanings of a word on the command line that names a release. */
export interface Selector {
  /** Set if the word is an integer. */
  readonly id: number | undefined
  /** Set if the word can be a release's name. */
  readonly name: string | undefined
  /** Set if the word can be a ref or the beginning of one: at least four hex digits, here in upper case. */
  readonly refPrefix: string | undefined
}

/** Reads an id, a name or a (shortened) ref. A word can be several of these; ids win over names, names over refs. */
export const parseSelector = (word: string): Selector => ({
  id: /^[0-9]{1,15}$/.test(word) ? Number(word) : undefined,
  name: Schema.is(ReleaseName)(word) ? word : undefined,
  refPrefix: /^[0-9a-fA-F]{4,32}$/.test(word) ? word.toUpperCase() : undefined
})
