/**
 * Bytes in blocks of one size.
 */
import * as Chunk from "effect/Chunk"

/** Bytes that are compressed together, side by side with other such blocks. */
export const blockBytes = 1024 * 1024

/** Cuts bytes into blocks of one size, which do not depend on the sizes of the incoming chunks. */
export interface Blocks {
  readonly write: (bytes: Uint8Array) => void
  readonly close: () => void
  /** The blocks that were completed since the last call. */
  readonly taken: () => Chunk.Chunk<Uint8Array>
  /** Returns a block that is no longer read, so that it can be filled again. */
  readonly giveBack: (block: Uint8Array) => void
}

/** Makes an empty cutter. Returned blocks are filled again. */
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
