import { Buffer } from "node:buffer"
import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Makes one block a gzip member of its own. The block may be used again once this has yielded. */
export type Compress = (block: Uint8Array) => Effect.Effect<Uint8Array>

/**
 * Compresses blocks in the thread pool, as many side by side as are asked for. Members in a row are a gzip file. Neither a name, nor a time,
 * nor the system is in their headers, so equal blocks give equal bytes. A block that looks like noise is only tried in part,
 * and stored where that does not shrink.
 */
export const gzipMembers = (level: number): Effect.Effect<Compress, never, Scope.Scope> =>
  Effect.gen(function* () {
    const deflate = yield* gzips({ level, memLevel: 9 })
    const tryOut = yield* gzips({ level: 1 })
    return (block) => {
      if (!isNoise(block)) return deflate(block)
      const middle = Math.floor(Math.max(0, block.length - trialBytes) / 2)
      const trial = block.subarray(middle, middle + trialBytes)
      return Effect.flatMap(tryOut(trial), ({ length }) =>
        length < worthwhile * trial.length ? deflate(block) : store(block)
      )
    }
  })

const trialBytes = 32 * 1024
/** A trial that becomes smaller than this part of itself shows that the block is none of noise. */
const worthwhile = 0.98

const spots = 16
const spotBytes = 1024
/** Squares of how often each byte occurs, summed: some 5100 in a spot of noise, 50,000 in one of text. */
const evenEnough = 6000

/** Whether all bytes occur about equally often at each of the places looked at. */
const isNoise = (block: Uint8Array): boolean => {
  if (block.length < spots * spotBytes) return false
  for (let spot = 0; spot < spots; spot++) {
    const begin = Math.floor((spot * (block.length - spotBytes)) / (spots - 1))
    const counts = new Uint16Array(256)
    let squares = 0
    for (let at = begin; at < begin + spotBytes; at++) {
      const value = block[at] ?? 0
      const count = counts[value] ?? 0
      squares += 2 * count + 1
      counts[value] = count + 1
    }
    if (squares > evenEnough) return false
  }
  return true
}

const systemByte = 9
const unknownSystem = 255

const anonymous = (member: Uint8Array): Uint8Array => {
  member[systemByte] = unknownSystem
  return member
}

/** Keeps its compressors for the next block: one made anew for each would be half a megabyte of garbage. */
const gzips = (options: zlib.ZlibOptions): Effect.Effect<Compress, never, Scope.Scope> =>
  Effect.gen(function* () {
    const all: Array<Compressor> = []
    const free: Array<Compressor> = []
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const one of all) one.close()
      })
    )
    const another = () => {
      const one = compressor(options)
      all.push(one)
      return one
    }
    return (block) => {
      if (block.length <= quick) return Effect.sync(() => anonymous(zlib.gzipSync(block, options)))
      return Effect.async((resume) => {
        const one = free.pop() ?? another()
        one.run(block, (member) => {
          free.push(one)
          resume(isWhole(member, block) ? Effect.succeed(member) : Effect.dieMessage("A block was not compressed"))
        })
      })
    }
  })

/** Bytes of a block that is compressed sooner than handed over to the thread pool. */
const quick = 32 * 1024

/** How zlib cuts what it only stores depends on the room it is given: always the same here. */
const store: Compress = (block) =>
  Effect.async((resume) => {
    zlib.gzip(block, { level: 0, memLevel: 1, windowBits: 9, chunkSize: block.length + 4096 }, (error, member) => {
      if (error !== null) return resume(Effect.die(error))
      resume(Effect.succeed(anonymous(member)))
    })
  })

interface Compressor {
  readonly run: (block: Uint8Array, done: (member: Uint8Array) => void) => void
  readonly close: () => void
}

const compressor = (options: zlib.ZlibOptions): Compressor => {
  // The types of Node do not know that it can begin anew.
  const gzip: zlib.Gzip & Partial<zlib.ZlibReset> = zlib.createGzip({ ...options, chunkSize: 1024 * 1024 })
  let pieces: Array<Uint8Array> = []
  let closed = false
  gzip.on("error", (error) => {
    if (!closed) throw error
  })
  gzip.on("data", (piece: Uint8Array) => void pieces.push(piece))
  return {
    run: (block, done) => {
      gzip.write(block)
      gzip.flush(zlib.constants.Z_FINISH, () => {
        // It was closed meanwhile, and cannot begin anew.
        if (closed) return
        const [first] = pieces
        const member = pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces)
        pieces = []
        gzip.reset?.()
        done(anonymous(member))
      })
    },
    close: () => {
      closed = true
      gzip.close()
    }
  }
}

/** Whether the member ends as one of this block. */
const isWhole = (member: Uint8Array, block: Uint8Array): boolean =>
  member.length > 18 &&
  new DataView(member.buffer, member.byteOffset + member.length - 4).getUint32(0, true) === block.length

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
