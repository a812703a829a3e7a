/**
 * The changes that turn a file into another one: the blocks of the old file that are kept, and the bytes between them. One pass over each file. Only
 * two hashes of each old block stay in memory.
 */
import { Buffer } from "node:buffer"

/** The blocks of the old file. */
export interface Signature {
  /** Bytes of each block but the last, which may be shorter. */
  readonly block: number
  /** Bytes of the file. */
  readonly size: number
  /** The hashes of each block, including the last one. */
  readonly first: Int32Array
  readonly second: Int32Array
  /** A hash table by `first`: the number of the first block with that hash, counted from 1; 0 for none. */
  readonly table: Int32Array
  /** A bit for the beginning of each `first`. It rules out most windows that are not in the file. */
  readonly filter: Uint8Array
}

/** Receives the parts of the new file, in order. Bytes are only lent until the call returns. */
export interface DeltaVisitor {
  /** `count` blocks of the old file from `block` on. If `count` is undefined, all remaining ones. */
  readonly keep: (block: number, count: number | undefined) => void
  readonly add: (bytes: Uint8Array) => void
}

/** Takes a file in pieces. */
export interface DeltaStep<A> {
  readonly push: (bytes: Uint8Array) => void
  readonly finish: () => A
}

const maxBlocks = 2 ** 18

/** The bytes of a block. Smaller blocks mean less to send, and more to keep in memory. */
const blockFor = (size: number): number => {
  let block = 512
  while (size / block > maxBlocks) block *= 2
  return block
}

// A polynomial modulo 2^32: the next window's hash follows from the last one's. A byte counts as its value plus 1, so that zeros matter.
const base = 0x5bd1e995

const power = (base: number, exponent: number): number => {
  let result = 1
  for (let n = 0; n < exponent; n++) result = Math.imul(result, base)
  return result
}

const firstOf = (bytes: Uint8Array, from: number, to: number): number => {
  let hash = 0
  for (let at = from; at < to; at++) hash = (Math.imul(hash, base) + (bytes[at] ?? 0) + 1) | 0
  return hash
}

const viewOf = ({ buffer, byteLength, byteOffset }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

/** Another kind of hash: data that collides in one is unlikely to collide in the other. It takes four bytes at a time. */
const secondOf = (view: DataView, from: number, to: number): number => {
  let hash = to - from
  let at = from
  for (; at + 4 <= to; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at, true), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  for (; at < to; at++) {
    hash = Math.imul(hash ^ view.getUint8(at), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash | 0
}

const bitOf = (hash: number, filter: Uint8Array): number => (hash >>> 3) & (8 * filter.length - 1)

const slotOf = (hash: number, mask: number): number => (Math.imul(hash, 0x9e3779b1) >>> 7) & mask

/** Makes the signature of a file of `size` bytes. */
export const signing = (size: number): DeltaStep<Signature> => {
  const block = blockFor(size)
  const count = Math.ceil(size / block)
  const first = new Int32Array(count)
  const second = new Int32Array(count)
  let index = 0
  /** A block that comes in several pieces. */
  const part = new Uint8Array(block)
  let filled = 0
  const sign = (bytes: Uint8Array, view: DataView, from: number, to: number) => {
    first[index] = firstOf(bytes, from, to)
    second[index] = secondOf(view, from, to)
    index += 1
  }
  const close = () => {
    sign(part, viewOf(part), 0, filled)
    filled = 0
  }
  return {
    push: (bytes) => {
      const view = viewOf(bytes)
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + block - filled)
        if (end - at === block) sign(bytes, view, at, end)
        else {
          part.set(bytes.subarray(at, end), filled)
          filled += end - at
          if (filled === block) close()
        }
        at = end
      }
    },
    finish: () => {
      if (filled > 0) close()
      let slots = 64
      while (slots < 2 * count) slots *= 2
      const table = new Int32Array(slots)
      const filter = new Uint8Array(slots)
      const whole = Math.floor(size / block)
      for (let n = 0; n < whole; n++) {
        let slot = slotOf(first[n] ?? 0, slots - 1)
        while (
          table[slot] !== 0 &&
          (first[(table[slot] ?? 0) - 1] !== first[n] || second[(table[slot] ?? 0) - 1] !== second[n])
        ) {
          slot = (slot + 1) & (slots - 1)
        }
        if (table[slot] === 0) table[slot] = n + 1
        const bit = bitOf(first[n] ?? 0, filter)
        filter[bit >> 3] = (filter[bit >> 3] ?? 0) | (1 << (bit & 7))
      }
      return { block, size, first, second, table, filter }
    }
  }
}

/** The maximum bytes that are added at once. */
const maxLength = 1024 * 1024

/** Compares a file with a signature. Blocks are kept only in runs of at least `shortest` bytes. */
export const comparing = (signature: Signature, shortest: number, visitor: DeltaVisitor): DeltaStep<void> => {
  const { block, filter, first, second, size, table } = signature
  const whole = Math.floor(size / block)
  const mask = table.length - 1
  const gone = power(base, block)
  /** The bytes that are neither added nor kept yet. The window begins at `at`. */
  let data: Uint8Array = new Uint8Array(0)
  let view = viewOf(data)
  let at = 0
  /** The first hash of the window, if `isHashed`. */
  let one = 0
  let isHashed = false
  /** Blocks that follow each other in both files. They begin at `begin` in `data`. `sure`: the run is long enough. */
  let run: { readonly from: number; count: number; readonly begin: number; sure: boolean } | undefined

  /** One hash is enough to recognize an expected block. */
  const isNext = (index: number): boolean => index < whole && second[index] === secondOf(view, at, at + block)
  /** The second hash is only taken if the first one fits. */
  const isBlock = (index: number): boolean => first[index] === one && second[index] === secondOf(view, at, at + block)
  const find = (): number => {
    const bit = bitOf(one, filter)
    if (((filter[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) return -1
    for (let slot = slotOf(one, mask); table[slot] !== 0; slot = (slot + 1) & mask) {
      const index = (table[slot] ?? 0) - 1
      if (isBlock(index)) return index
    }
    return -1
  }
  const add = (to: number) => {
    for (let from = 0; from < to; from += maxLength) visitor.add(data.subarray(from, Math.min(to, from + maxLength)))
  }
  /** Drops bytes that are done. */
  const drop = (to: number) => {
    data = data.subarray(to)
    view = viewOf(data)
    at -= to
  }
  const settle = () => {
    if (run === undefined || run.sure || run.count * block < shortest) return
    add(run.begin)
    drop(run.begin)
    run = { ...run, begin: 0, sure: true }
  }
  const close = (rest = false) => {
    if (run?.sure === true) {
      visitor.keep(run.from, rest ? undefined : run.count)
      drop(at)
    }
    run = undefined
  }
  /** Moves the hashed window on while it is certainly none of the blocks. */
  const skim = () => {
    const end = Math.min(data.length - block, maxLength)
    const bytes = data
    const bits = filter
    const last = 8 * filter.length - 1
    let hash = one
    let place = at
    while (place < end) {
      const bit = (hash >>> 3) & last
      if (((bits[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0) break
      hash = (Math.imul(hash, base) + (bytes[place + block] ?? 0) + 1 - Math.imul((bytes[place] ?? 0) + 1, gone)) | 0
      place += 1
    }
    one = hash
    at = place
  }
  const scan = () => {
    while (at + block <= data.length) {
      if (run === undefined && isHashed) skim()
      const next = run === undefined ? whole : run.from + run.count
      let found = next
      if (!isNext(next)) {
        if (!isHashed) {
          one = firstOf(data, at, at + block)
          isHashed = true
        }
        found = find()
      }
      if (run !== undefined && found !== next) close()
      if (run === undefined && at >= maxLength) {
        add(at)
        drop(at)
      }
      if (found >= 0) {
        if (run === undefined) run = { from: found, count: 1, begin: at, sure: false }
        else run.count += 1
        at += block
        isHashed = false
        settle()
        continue
      }
      // The window moves on by a byte as soon as there is one.
      if (at + block === data.length) return
      one = (Math.imul(one, base) + (data[at + block] ?? 0) + 1 - Math.imul((data[at] ?? 0) + 1, gone)) | 0
      at += 1
    }
  }
  return {
    push: (bytes) => {
      // The bytes of a sure run are no longer needed.
      if (run?.sure === true) drop(at)
      data = data.length === 0 ? new Uint8Array(bytes) : Buffer.concat([data, bytes])
      view = viewOf(data)
      scan()
    },
    finish: () => {
      const last = whole * block
      const left = data.length - at
      const isEnd =
        run !== undefined &&
        run.from + run.count === whole &&
        left === size - last &&
        (left === 0 ||
          (firstOf(data, at, data.length) === first[whole] && secondOf(view, at, data.length) === second[whole]))
      if (isEnd && run !== undefined) {
        if (!run.sure && run.count * block + left >= shortest) {
          add(run.begin)
          drop(run.begin)
          run = { ...run, begin: 0, sure: true }
        }
        if (run.sure) {
          at = data.length
          return close(true)
        }
      }
      close()
      add(data.length)
    }
  }
}
