import { Buffer } from "node:buffer"
import * as zlib from "node:zlib"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Makes one block a gzip member of its own. The block may be reused once this has succeeded. */
export type Compress = (block: Uint8Array) => Effect.Effect<Uint8Array>

/**
 * Compresses blocks in the thread pool, as many in parallel as the caller starts. Members in a row are a gzip file. Their headers hold no name, time
 * or system, so equal blocks give equal bytes. Of a block that looks like noise, only a part is tried. If that part does not shrink, the block is
 * stored.
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
/** If a trial shrinks below this fraction of its size, the block is not noise. */
const worthwhile = 0.98

const spots = 16
const spotBytes = 1024
/** The sum of the squared counts of each byte: about 5,100 in a spot of noise, 50,000 in one of text. */
const evenEnough = 6000

/** Whether all bytes occur about equally often at each of the sampled places. */
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

/** Keeps its compressors for the next block: a new one for each block would be half a megabyte of garbage. */
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

/** Up to this size, in bytes, compressing a block takes less time than passing it to the thread pool. */
const quick = 32 * 1024

/** The size of zlib's buffer determines how it cuts stored bytes, so equal blocks always get the same buffer. */
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
  // Node's types do not know its `reset`.
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
        // It was closed meanwhile, and cannot be reset.
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

/** Whether the end of the member belongs to this block. */
const isWhole = (member: Uint8Array, block: Uint8Array): boolean =>
  member.length > 18 &&
  new DataView(member.buffer, member.byteOffset + member.length - 4).getUint32(0, true) === block.length

/** Inflates a member that holds a block of `size` bytes, in the thread pool. Fails if it holds anything else. */
export const gunzipMember = (
  member: Uint8Array,
  size: number
): Effect.Effect<Uint8Array, { readonly cause: unknown }> =>
  Effect.async((resume) => {
    // With room for one more byte, the block comes in one piece, and a longer one is noticed.
    zlib.gunzip(member, { chunkSize: Math.max(size + 1, 64), maxOutputLength: size + 1 }, (cause, block) =>
      resume(cause === null && block.length === size ? Effect.succeed(block) : Effect.fail({ cause }))
    )
  })
