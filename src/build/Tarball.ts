/**
 * Packs a release: turns a builder's tar stream into the `.tar.gz` that is stored, in one pass and in bounded memory.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ManifestEntry } from "../domain/Manifest.ts"
import type { Members } from "../domain/Members.ts"
import type { Binaries } from "../domain/Release.ts"
import { blockBytes, blocks } from "../internal/blocks.ts"
import { gzipMembers } from "../internal/gzipMember.ts"
import { cores } from "../internal/machine.ts"
import { TarBroken, tarEnd, tarReader } from "../internal/tar.ts"
import { ArtifactInvalid, invalid } from "./ArtifactInvalid.ts"
import { hasControl, type Rewriting, rewrite } from "./rewriting.ts"
import { type TarballWriter, tarballWriter } from "./TarballWriter.ts"

/** The extra file of a release does not exist, cannot be read or has a name that is taken. */
export class ExtraFileInvalid extends Schema.TaggedError<ExtraFileInvalid>()("ExtraFileInvalid", {
  file: Schema.String,
  /** The problem. */
  detail: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `The file ${this.file} cannot be added to the release: ${this.detail}`
  }
}

/** A file that is added to the tarball's root, beside the release's folder. */
export interface ExtraFile {
  /** The file's name in the tarball. */
  readonly path: string
  /** The path to read it from. */
  readonly file: string
}

/** A tarball in the making. */
export interface Packing<E, R> {
  /** The gzip stream. Equal trees give equal bytes. */
  readonly content: Stream.Stream<Uint8Array, E | ArtifactInvalid, R>
  /**
   * The packed entries in the order of the tarball. Reading this before `content` has ended is a defect. Each entry is created when it is
   * read, because the objects of a large release would take more memory than packing does.
   */
  readonly manifest: Effect.Effect<Iterable<ManifestEntry>>
  /** The gzip members of the tarball. Reading this before `content` has ended is a defect. */
  readonly members: Effect.Effect<Members>
  /** The platforms of the release's programs. Reading this before `content` has ended is a defect. */
  readonly binaries: Effect.Effect<Binaries>
  /** Sentences about properties that the release could not keep. Reading this before `content` has ended is a defect. */
  readonly remarks: Effect.Effect<ReadonlyArray<string>>
}

/** Checks that a file can be added beside the release `name`, before anything is built. */
export const extraFile = (
  file: string,
  name: string
): Effect.Effect<ExtraFile, ExtraFileInvalid, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const base = (yield* Path.Path).basename(file)
    const refuse = (detail: string) => new ExtraFileInvalid({ file, detail })
    if (base === name || isReserved(base) || hasControl(base)) {
      return yield* refuse("its name is taken in every release; rename it")
    }
    const info = yield* Effect.mapError(fs.stat(file), (error) =>
      refuse(error._tag === "SystemError" && error.reason === "NotFound" ? "it does not exist" : error.message)
    )
    if (info.type !== "File") return yield* refuse("it is not a regular file")
    yield* Effect.mapError(fs.access(file, { readable: true }), () => refuse("it cannot be read"))
    return { path: base, file }
  })

/** The names that deployer uses beside the release's folder on a host, temporary and permanent ones. */
const reservedNames: ReadonlyArray<string> = [
  "release.json",
  "manifest",
  "altered",
  "edits",
  "moves",
  "patches",
  "pieces",
  "begin",
  "end"
].map((name) => `.deployer_${name}`)

/** Whether a name beside the release's folder is deployer's own. */
export const isReserved = (name: string): boolean => reservedNames.includes(name)

/**
 * Packs the tree as `<name>/…`, with the extra files beside it, which only their owner can read. Everything belongs to root. Times and
 * permissions stay, but special bits are removed (see `remarks`), because on the host they would act for the login that deploys. The owner
 * can always read files and write in directories, so that any host can unpack, verify and remove the release. Entries keep their order,
 * because sorting them would take a second copy.
 */
export const pack = <E, R>(
  tree: Stream.Stream<Uint8Array, E, R>,
  options: {
    readonly name: string
    readonly extraFiles?: ReadonlyArray<ExtraFile>
    /** The gzip level, from 1 to 9. Default: 5, which makes less than 2 % more bytes than 6 and takes two thirds of the time. */
    readonly level?: number
    /** Unix seconds. Later times are set to this time. */
    readonly newest?: number | undefined
  }
): Packing<E, R | FileSystem.FileSystem> => {
  let done:
    | (Pick<TarballWriter, "manifest" | "binaries"> &
        Pick<Rewriting, "remarks"> & { readonly lengths: ReadonlyArray<number> })
    | undefined
  const content = Stream.unwrapScoped(
    Effect.map(gzipMembers(options.level ?? 5), (compress) => {
      const lengths: Array<number> = []
      const out = blocks()
      const writer = tarballWriter(out, options.newest ?? Number.POSITIVE_INFINITY)
      const rewriting = rewrite(options.name, writer)
      const reader = tarReader(rewriting.visitor)
      const step = (run: () => void) =>
        Effect.try(() => {
          run()
          return out.taken()
        }).pipe(Effect.catchAll(({ error }) => asInvalid(error)))
      const last = (run: () => void) => Stream.concat(Stream.fromIterableEffect(step(run)))
      return tree.pipe(
        Stream.mapChunksEffect((chunks) => step(() => Chunk.forEach(chunks, reader.push))),
        last(() => {
          reader.finish()
          rewriting.finish()
        }),
        Stream.concat(
          Stream.flatMap(Stream.fromIterable(options.extraFiles ?? []), (extra) =>
            Stream.mapConcatEffect(extraPieces(extra, writer), step)
          )
        ),
        last(() => {
          out.write(tarEnd)
          out.close()
          const { binaries, manifest } = writer
          done = { binaries, manifest, remarks: rewriting.remarks, lengths }
        }),
        Stream.mapEffect(
          (block) =>
            Effect.map(compress(block), (member) => {
              out.giveBack(block)
              return member
            }),
          { concurrency: cores + 1 }
        ),
        Stream.tap((member) => Effect.sync(() => lengths.push(member.length)))
      )
    })
  )
  const packed = Effect.suspend(() =>
    done === undefined
      ? Effect.dieMessage("The facts about a tarball were read before its content had ended")
      : Effect.succeed(done)
  )
  return {
    content,
    manifest: Effect.map(packed, ({ manifest }) => manifest),
    members: Effect.map(packed, ({ lengths }) => ({ bytes: blockBytes, lengths })),
    binaries: Effect.map(packed, ({ binaries }) => binaries()),
    remarks: Effect.map(packed, ({ remarks }) => remarks())
  }
}

const asInvalid = (error: unknown): Effect.Effect<never, ArtifactInvalid> => {
  if (error instanceof ArtifactInvalid) return Effect.fail(error)
  if (error instanceof TarBroken)
    return Effect.fail(invalid(`the builder returned an incomplete tar stream: ${error.message}`))
  return Effect.die(error)
}

/** Returns the actions that add the file, one for each piece, in order. */
const extraPieces = (
  extra: ExtraFile,
  writer: TarballWriter
): Stream.Stream<() => void, ArtifactInvalid, FileSystem.FileSystem> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const info = yield* fs.stat(extra.file)
      const mtime = Option.match(info.mtime, { onNone: () => 0, onSome: (date) => Math.floor(date.getTime() / 1000) })
      const size = Number(info.size)
      let read = 0
      const changed = () => invalid(`${extra.file} changed while it was read; try again`)
      return Stream.make(() => writer.fileBegins({ path: extra.path, mode: 0o600, mtime, size })).pipe(
        Stream.concat(
          Stream.map(fs.stream(extra.file), (piece) => () => {
            read += piece.length
            if (read > size) throw changed()
            writer.data(piece)
          })
        ),
        Stream.concat(
          Stream.make(() => {
            if (read < size) throw changed()
            writer.end()
          })
        )
      )
    })
  ).pipe(Stream.mapError((error) => invalid(`${extra.file} could not be read: ${error.message}`)))
