import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"

/**
 * One block as a gzip member of its own, compressed in the thread pool. Members in a row are a gzip file.
 * Neither a name, nor a time, nor the system is in its header, so equal blocks give equal bytes.
 */
export const gzipMember = (block: Uint8Array, level: number): Effect.Effect<Uint8Array> =>
  Effect.async((resume) => {
    zlib.gzip(block, { level }, (error, member) => {
      if (error !== null) return resume(Effect.die(error))
      member[systemByte] = unknownSystem
      resume(Effect.succeed(member))
    })
  })

const systemByte = 9
const unknownSystem = 255

/** The block of this many bytes that a member holds, inflated in the thread pool. Fails where it holds anything else. */
export const gunzipMember = (
  member: Uint8Array,
  size: number
): Effect.Effect<Uint8Array, { readonly cause: unknown }> =>
  Effect.async((resume) => {
    // With room for one byte more it comes in one piece, and what is longer is seen.
    zlib.gunzip(member, { chunkSize: Math.max(size + 1, 64), maxOutputLength: size + 1 }, (cause, block) =>
      resume(cause === null && block.length === size ? Effect.succeed(block) : Effect.fail({ cause }))
    )
  })
