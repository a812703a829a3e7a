/**
 * Compresses bytes for another machine, as hard as the link and this machine's cores leave time for.
 */
import { Buffer } from "node:buffer"
import * as zlib from "node:zlib"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { blocks } from "./blocks.ts"
import { type Compress, gzipMembers } from "./gzipMember.ts"
import { cores } from "./machine.ts"

/** A format, by the name of the program that unpacks it. Several files of it in a row are one file. */
export type Packing = "gzip" | "zstd"

type Zstd = (
  block: Uint8Array,
  options: { readonly params: Readonly<Record<number, number>> },
  done: (error: Error | null, frame: Uint8Array) => void
) => void

const isZstd = (value: unknown): value is Zstd => typeof value === "function"

/** Node has it since 22.15. The types of older versions do not know it. */
const zstdCompress: unknown = Reflect.get(zlib, "zstdCompress")

const levelParameter = (): number => {
  const constants: unknown = zlib.constants
  const found = Predicate.hasProperty(constants, "ZSTD_c_compressionLevel") ? constants.ZSTD_c_compressionLevel : 100
  return Predicate.isNumber(found) ? found : 100
}

/** Whether this Node can produce the format. */
export const canMake = (packing: Packing): boolean => packing === "gzip" || isZstd(zstdCompress)

/**
 * From the fastest level to the strongest that is worth the time: beyond that, the last percent takes twice as long. Nothing is sent uncompressed.
 * That would only be faster on a link of more than 100 MB/s, and hard on everybody who shares it.
 */
const levels: Readonly<Record<Packing, readonly [fastest: number, ...others: ReadonlyArray<number>]>> = {
  gzip: [1, 4, 6],
  zstd: [1, 3, 6, 9]
}

const zstdFrames = (level: number): Compress => {
  const compress = isZstd(zstdCompress) ? zstdCompress : undefined
  if (compress === undefined) return () => Effect.dieMessage("This Node has no zstd")
  const options = { params: { [levelParameter()]: level } }
  return (block) =>
    Effect.async((resume) =>
      compress(block, options, (error, frame) => resume(error === null ? Effect.succeed(frame) : Effect.die(error)))
    )
}

/** Makes a gzip file that depends on nothing but the bytes, so that a part of it can be sent again later. */
export const gzipped = (bytes: Uint8Array): Effect.Effect<Uint8Array> =>
  Effect.gen(function* () {
    const compress = yield* gzipMembers(6)
    const out = blocks()
    out.write(bytes)
    out.close()
    return Buffer.concat(yield* Effect.forEach(out.taken(), compress, { concurrency: cores }))
  }).pipe(Effect.scoped)

const compressor = (packing: Packing, level: number): Effect.Effect<Compress, never, Scope.Scope> =>
  packing === "gzip" ? gzipMembers(level) : Effect.succeed(zstdFrames(level))

/** The bytes that the windows of SSH and TCP accept at once on any link. Before these, nothing is known about the link. */
const unknown = 4 * 1024 * 1024

/**
 * The times of a block, in milliseconds: how long the receiver waited for its compression, and how long the receiver took for the block before it.
 */
export interface Pace {
  readonly waited: number
  readonly taken: number
}

/** The next one of `count` levels, of which 0 is the fastest. */
export const nextLevel = (level: number, count: number, { taken, waited }: Pace): number =>
  waited > taken ? Math.max(0, level - 1) : taken > 2 * waited ? Math.min(count - 1, level + 1) : level

/** A compressed block, with the begin and end of its compression. */
interface Packed {
  readonly bytes: Uint8Array
  readonly begun: number
  readonly done: number
}

/**
 * Compresses in blocks, as many in parallel as this machine has cores, each as hard as possible without keeping the receiver waiting. The unpacked
 * bytes are the same for every level.
 */
export const compressed =
  (packing: Packing) =>
  <E>(bytes: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const clock = yield* Effect.clock
        const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
        const compressors = yield* Effect.forEach(levels[packing], (level) => compressor(packing, level))
        let level = compressors.length - 1
        const out = blocks()
        let isEmpty = true
        const compress = (block: Uint8Array) =>
          Effect.suspend(() => {
            const begun = now()
            const chosen = compressors[level] ?? compressors[0]
            return chosen(block).pipe(
              Effect.map((bytes): Packed => ({ bytes, begun, done: now() })),
              Effect.tap(() => out.giveBack(block))
            )
          })
        const cut = Stream.concat(
          Stream.mapChunks(bytes, (chunk) => {
            Chunk.forEach(chunk, out.write)
            const full = out.taken()
            isEmpty &&= Chunk.isEmpty(full)
            return full
          }),
          Stream.suspend(() => {
            out.close()
            const last = out.taken()
            // No program accepts an empty input as a file of its format.
            return Stream.fromChunk(isEmpty && Chunk.isEmpty(last) ? Chunk.of(new Uint8Array(0)) : last)
          })
        )
        const next = yield* Stream.toPull(Stream.rechunk(Stream.mapEffect(cut, compress, { concurrency: cores }), 1))
        let sent = 0
        let handed = now()
        const paced = Effect.gen(function* () {
          const asked = now()
          const chunk = yield* next
          const packed = Chunk.unsafeHead(chunk)
          const waited = Math.max(0, packed.done - Math.max(asked, packed.begun))
          if (sent > unknown) level = nextLevel(level, compressors.length, { waited, taken: asked - handed })
          sent += packed.bytes.length
          handed = now()
          return packed.bytes
        })
        return Stream.repeatEffectOption(paced)
      })
    )
