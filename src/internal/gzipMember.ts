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
