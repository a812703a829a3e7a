/**
 * `export` and `import`: a release in a file, for the store of another machine.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { repack } from "../../build/repacking.ts"
import { typed } from "../../domain/Invocation.ts"
import { releaseLabel } from "../../domain/Plan.ts"
import { provenance } from "../../domain/Provenance.ts"
import { latest, Metadata, Release } from "../../domain/Release.ts"
import { recordOf } from "../../domain/ReleaseRecord.ts"
import * as files from "../../internal/files.ts"
import { temporaryName } from "../../internal/leftovers.ts"
import { sha256Sum } from "../../internal/machine.ts"
import { TarballDamaged } from "../../store/failures.ts"
import { ReleaseStore } from "../../store/ReleaseStore.ts"
import { tarSize } from "../../store/Selection.ts"
import type { View } from "../../terminal/Answer.ts"
import { bytes } from "../../terminal/format.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { UsageError } from "../../UsageError.ts"
import { openReleaseFile, ReleaseFileInvalid, releaseFile } from "./releaseFile.ts"

/** Another file has the name for an export. */
export class ReleaseFileExists extends Schema.TaggedError<ReleaseFileExists>()("ReleaseFileExists", {
  file: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `There is another file ${this.file}, which stays as it is: name a new one, or remove that one first`
  }
}

/** An exported release could not be written. */
export class ReleaseNotExported extends Schema.TaggedError<ReleaseNotExported>()("ReleaseNotExported", {
  file: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The release could not be exported as ${this.file}: ${this.detail}`
  }
}

/** A release was written to a file. */
export class Exported extends Schema.TaggedClass<Exported>()("Exported", {
  file: Schema.String,
  /** Bytes of the file. */
  bytes: Schema.NonNegativeInt,
  release: Release,
  /** Whether the file was there already, with the same bytes. Default: no. */
  known: Schema.optional(Schema.Boolean)
}) {}

/** A release was added from a file. */
export class Imported extends Schema.TaggedClass<Imported>()("Imported", {
  file: Schema.String,
  release: Release,
  /** Whether the store already had it. Default: no. */
  known: Schema.optional(Schema.Boolean)
}) {}

/** The release that a word names. `latest` needs a store with releases of one name. */
const named = Effect.fnUntraced(function* (selector: string) {
  const store = yield* ReleaseStore
  if (selector !== latest) return yield* store.find(selector)
  const names = yield* store.names
  const [only = latest] = names
  if (names.length > 1) {
    return yield* new UsageError({
      message: `"release=latest" is one of several here: name the releases you mean, as in release=${only} (there are ${names.join(", ")})`
    })
  }
  return yield* store.find(only)
})

/**
 * Writes a release with its record to a file that only its owner can read: it may hold an environment file. Refuses to replace another file. The
 * tarball is proved on the way.
 */
export const exportRelease = Effect.fn("manage.export")(function* (options: {
  /** An id, a name, a ref or `latest`. */
  readonly release: string
  /** The file to write. */
  readonly file: string
}) {
  const { file } = options
  const worded = Effect.mapError(({ detail }: files.FileError) => new ReleaseNotExported({ file, detail }))
  const store = yield* ReleaseStore
  const release = yield* named(options.release)
  const members = yield* store.members(release)
  const parts = members && { ...members, tarBytes: tarSize(yield* store.manifest(release)) }
  const sum = sha256Sum()
  const tarball = Stream.tap(store.content(release), (chunk) => Effect.sync(() => sum.update(chunk)))
  const proof = Effect.suspend(() => (sum.digest() === release.sha256 ? Effect.void : new TarballDamaged({ release })))
  const proved = Stream.concat(tarball, Stream.drain(Stream.fromEffect(proof)))

  const interim = `${file}.${yield* temporaryName("export")}`
  yield* Effect.addFinalizer(() => Effect.ignore(files.removeAll(interim)))
  const written = yield* files
    .writeHashed(
      interim,
      releaseFile(recordOf(release, parts), proved).pipe(Reporter.transfer(`exporting ${release.name}`))
    )
    .pipe(Effect.catchTag("FileError", ({ detail }) => Effect.fail(new ReleaseNotExported({ file, detail }))))
  const there = yield* worded(files.readFrom(file, 0))
  if (Option.isNone(there)) yield* worded(files.move(interim, file, `${interim}.copy`))
  else {
    const other = files.hashing()
    yield* worded(Stream.runForEach(there.value.bytes, (chunk) => Effect.sync(() => other.update(chunk))))
    if (other.written().sha256 !== written.sha256) return yield* new ReleaseFileExists({ file })
  }
  return Exported.make({ file, bytes: written.size, release, ...(Option.isSome(there) ? { known: true } : {}) })
}, Effect.scoped)

/**
 * Adds the release of a file to the store, as if it had been built here: it is the latest of its name, and keeps all but the id. All of the file is
 * proved before anything is stored.
 */
export const importRelease = Effect.fn("manage.import")(function* (options: { readonly file: string }) {
  const { file } = options
  const invalid = (detail: string) => new ReleaseFileInvalid({ file, detail })
  const store = yield* ReleaseStore
  const { record, tar, tarball } = yield* openReleaseFile(file)
  const { createdAt, metadata, name, parts, ref, sha256, tags } = record
  const { binaries, manifest, size } = yield* repack(tar, name).pipe(
    Effect.catchTag("ArtifactInvalid", ({ reason }) =>
      invalid(`its tarball is not a release that deployer packed: ${reason}`)
    )
  )
  if (parts !== undefined && parts.tarBytes !== size) return yield* invalid("its record is about another tar")
  const parcel = yield* store.receive(tarball.pipe(Reporter.transfer(`importing ${name}`)))
  if (parcel.sha256 !== sha256 || parcel.ref !== ref) {
    return yield* invalid("its tarball is not the one of its record (another SHA-256 or ref)")
  }
  const count = yield* store.count({})
  const release = yield* store.add(parcel, {
    ...{ name, tags, createdAt, manifest },
    members: parts && { bytes: parts.bytes, lengths: parts.lengths },
    metadata: Metadata.make({ ...metadata, binaries })
  })
  const known = (yield* store.count({})) === count
  return Imported.make({ file, release, ...(known ? { known } : {}) })
}, Effect.scoped)

/** The failures of `exportRelease` and `importRelease`. */
export type TransferFailure = Effect.Effect.Error<ReturnType<typeof exportRelease> | ReturnType<typeof importRelease>>

const sized = (release: Release) => `${releaseLabel(release)} (id ${release.id}, ${bytes(release.size)})`

/** Where a release was exported to. */
export const exportedView =
  ({ file, known, release }: Exported): View =>
  () =>
    known === true
      ? `${sized(release)} is in ${file} already`
      : `Exported ${sized(release)} as ${file}; to add it to another store: ${typed("manage import", { file })}`

/** Which release was imported. */
export const importedView =
  ({ known, release }: Imported): View =>
  () =>
    known === true
      ? `${sized(release)} is stored already, and is the latest of ${release.name} now`
      : `Imported ${sized(release)}\n    ${provenance(release)}`
