/**
 * Files of exported releases: a tar that holds the release's record and then its tarball.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type ReleaseRecord, ReleaseRecordJson } from "../../domain/ReleaseRecord.ts"
import * as files from "../../internal/files.ts"
import { decompressAll } from "../../internal/gzip.ts"
import { gunzipMember } from "../../internal/gzipMember.ts"
import { sha256Sum } from "../../internal/machine.ts"
import { paddingOf, TarBroken, type TarEntry, tarEnd, tarHeader, tarReader } from "../../internal/tar.ts"

/** A file is not an exported release, or not a whole one. */
export class ReleaseFileInvalid extends Schema.TaggedError<ReleaseFileInvalid>()("ReleaseFileInvalid", {
  file: Schema.String,
  /** The finding, one clause. */
  detail: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `${this.file} cannot be imported, and nothing was stored: ${this.detail}`
  }
}

const recordName = "release.json"
const tarballName = "release.tar.gz"
const headerSize = 512

/** The record of a release with many parts stays far below this size, in bytes. */
const longestRecord = 4 * 1024 * 1024

/** The bytes of the file. Equal releases give equal bytes. */
export const releaseFile = <E, R>(
  record: ReleaseRecord,
  tarball: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  Stream.unwrap(
    Effect.map(Effect.orDie(Schema.encode(ReleaseRecordJson)(record)), (json) => {
      const text = new TextEncoder().encode(`${json}\n`)
      const entry = {
        type: "File",
        mode: 0o600,
        mtime: Math.floor(record.createdAt.epochMillis / 1000),
        to: ""
      } as const
      return Stream.make(
        tarHeader({ ...entry, path: recordName, size: text.length }),
        text,
        new Uint8Array(paddingOf(text.length)),
        tarHeader({ ...entry, path: tarballName, size: record.size })
      ).pipe(Stream.concat(tarball), Stream.concat(Stream.make(new Uint8Array(paddingOf(record.size)), tarEnd)))
    })
  )

/** An open file of a release. Its record is not proved yet. */
export interface OpenReleaseFile {
  readonly record: ReleaseRecord
  /** Reads the tarball. */
  readonly tarball: Stream.Stream<Uint8Array, ReleaseFileInvalid>
  /** Reads the tar in it, and fails unless the tarball has the hash and the parts of the record. */
  readonly tar: Stream.Stream<Uint8Array, ReleaseFileInvalid>
}

/** Opens a file until the scope ends. It is read by position, so the names and sizes in it are compared and never used. */
export const openReleaseFile = Effect.fn("openReleaseFile")(function* (file: string) {
  const invalid = (detail: string) => new ReleaseFileInvalid({ file, detail })
  const worded = Effect.mapError(({ detail }: files.FileError) => invalid(detail))
  const found = yield* worded(files.readFrom(file, 0))
  if (Option.isNone(found)) return yield* invalid("it does not exist")
  const { at, size } = found.value
  const entryAt = (position: number, name: string) =>
    Effect.flatMap(worded(at(position, headerSize)), (block) => {
      const entry = entryIn(block)
      return entry?.path === name && entry.type === "File"
        ? Effect.succeed(entry)
        : invalid(
            `it is not a file that "deployer manage export" wrote${block.length < headerSize ? ", or it was cut" : ""}`
          )
    })

  const first = yield* entryAt(0, recordName)
  if (first.size > longestRecord) return yield* invalid("its record is too long")
  const text = yield* worded(at(headerSize, first.size))
  if (text.length < first.size) return yield* invalid("it was cut, so copy it again")
  const record = yield* Effect.mapError(decodeRecord(new TextDecoder().decode(text)), (error) =>
    invalid(`its record is not valid (${firstMistake(error)})`)
  )
  const second = headerSize + first.size + paddingOf(first.size)
  const { size: tarballSize } = yield* entryAt(second, tarballName)
  const begin = second + headerSize
  const wanted = begin + record.size + paddingOf(record.size) + tarEnd.length
  if (tarballSize !== record.size) return yield* invalid("its record is about a tarball of another size")
  if (size !== wanted) {
    return yield* invalid(
      `it has ${size} bytes instead of ${wanted}: ${size < wanted ? "it was cut, so copy it again" : "something was added to it"}`
    )
  }

  const tarball = Stream.unwrapScoped(
    Effect.flatMap(worded(files.readFrom(file, begin)), (again) =>
      Option.isNone(again)
        ? Effect.fail(invalid("it was removed meanwhile"))
        : Effect.succeed(Stream.mapError(firstBytes(again.value.bytes, record.size), ({ detail }) => invalid(detail)))
    )
  )
  const tar = Stream.suspend(() => {
    const sum = sha256Sum()
    const damaged = () => invalid("its tarball is damaged: copy it again, or export it again")
    const hashed = <E>(bytes: Stream.Stream<Uint8Array, E>) =>
      Stream.tap(bytes, (chunk) => Effect.sync(() => sum.update(chunk)))
    const { parts } = record
    const content =
      parts === undefined
        ? decompressAll(hashed(tarball), damaged)
        : Stream.mapEffect(hashed(slices(tarball, parts.lengths)).pipe(Stream.zipWithIndex), ([slice, index]) =>
            Effect.mapError(gunzipMember(slice, Math.min(parts.bytes, parts.tarBytes - index * parts.bytes)), damaged)
          )
    const proof = Effect.suspend(() => (sum.digest() === record.sha256 ? Effect.void : damaged()))
    return Stream.concat(content, Stream.drain(Stream.fromEffect(proof)))
  })
  return { record, tarball, tar } satisfies OpenReleaseFile
})

const decodeRecord = Schema.decode(ReleaseRecordJson)

const firstMistake = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  const message = issue?.message.split("\n")[0]?.slice(0, 200) ?? ""
  return issue === undefined || issue.path.length === 0
    ? "it is no such document"
    : `${issue.path.map(String).join(".")}: ${message}`
}

/** The entry that a header alone tells. */
const entryIn = (block: Uint8Array): TarEntry | undefined => {
  const entries: Array<TarEntry> = []
  const reader = tarReader({ entry: (found) => void entries.push(found), data: () => {}, end: () => {} })
  try {
    reader.push(block)
    return entries[0]
  } catch (error) {
    if (error instanceof TarBroken) return undefined
    throw error
  }
}

const firstBytes = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, size: number): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    bytes,
    size,
    (left, chunk) => [left - chunk.length, chunk.subarray(0, Math.max(0, left))] as const
  ).pipe(Stream.takeWhile((chunk) => chunk.length > 0))

/** Cuts bytes into slices of these lengths. The last one holds all that is left. */
const slices = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  lengths: ReadonlyArray<number>
): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    let pieces: Array<Uint8Array> = []
    let filled = 0
    let index = 0
    const full = (chunk: Uint8Array): ReadonlyArray<Uint8Array> => {
      const out: Array<Uint8Array> = []
      let rest = chunk
      while (rest.length > 0) {
        const length = lengths[index] ?? Number.POSITIVE_INFINITY
        const piece = rest.subarray(0, length - filled)
        pieces.push(piece)
        filled += piece.length
        rest = rest.subarray(piece.length)
        if (filled < length) break
        out.push(Buffer.concat(pieces))
        pieces = []
        filled = 0
        index += 1
      }
      return out
    }
    return Stream.mapConcatChunk(bytes, (chunk) => Chunk.fromIterable(full(chunk))).pipe(
      Stream.concat(Stream.suspend(() => (filled === 0 ? Stream.empty : Stream.make(Buffer.concat(pieces)))))
    )
  })
