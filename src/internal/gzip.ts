import { Buffer } from "node:buffer"
import { promisify } from "node:util"
import { createGunzip, gunzip, gzip } from "node:zlib"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const deflated = promisify(gzip)
const inflated = promisify(gunzip)

const compress = (text: string): Effect.Effect<Uint8Array> => Effect.promise(() => deflated(text))

/** Compresses the texts in a row to one gzip file. */
export const compressEach = <E, R>(texts: Stream.Stream<string, E, R>): Effect.Effect<Uint8Array, E, R> =>
  Stream.mapEffect(texts, compress).pipe(
    Stream.runCollect,
    Effect.map((members) => Buffer.concat(Chunk.toReadonlyArray(members)))
  )

/** Decompresses a text. */
export const decompress = (bytes: Uint8Array): Effect.Effect<string, unknown> =>
  Effect.map(Effect.tryPromise({ try: () => inflated(bytes), catch: (cause) => cause }), (text) =>
    text.toString("utf8")
  )

/** The content of a gzip file of any number of members, as it comes. */
export const decompressAll = <E, R, E2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  broken: (cause: unknown) => E2
): Stream.Stream<Uint8Array, E | E2, R> => NodeStream.pipeThroughDuplex(bytes, () => createGunzip(), broken)
