/**
 * Bytes in blocks of one size.
 */
import * as Chunk from "effect/Chunk"

/** Bytes that are compressed together, side by side with other such blocks. */
export const blockBytes = 1024 * 1024

/** Cuts what is written into blocks of one size, so that they do not depend on how the bytes came. */
export interface Blocks {
  readonly write: (bytes: Uint8Array) => void
  readonly close: () => void
  /** The blocks that were completed since the last call. */
  readonly taken: () => Chunk.Chunk<Uint8Array>
  /** Lets a block that nobody reads any more be filled again. */
  readonly giveBack: (block: Uint8Array) => void
}

/** Begins to cut; blocks that were given back are filled again. */
export const blocks = (): Blocks => {
  let full: Array<Uint8Array> = []
  const free: Array<Uint8Array> = []
  let block: Uint8Array = new Uint8Array(blockBytes)
  let filled = 0
  return {
    write: (bytes) => {
      let at = 0
      while (at < bytes.length) {
        const piece = bytes.subarray(at, at + blockBytes - filled)
        block.set(piece, filled)
        at += piece.length
        filled += piece.length
        if (filled === blockBytes) {
          full.push(block)
          block = free.pop() ?? new Uint8Array(blockBytes)
          filled = 0
        }
      }
    },
    close: () => {
      if (filled > 0) full.push(block.subarray(0, filled))
      filled = 0
    },
    taken: () => {
      const completed = Chunk.unsafeFromArray(full)
      full = []
      return completed
    },
    giveBack: (block) => void free.push(block)
  }
}
