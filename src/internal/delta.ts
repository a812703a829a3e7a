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

// Hashes

// A polynomial modulo 2^32: the next window's hash follows from the last one's. A byte counts as its value plus 1, so that zeros matter.
const base = 0x5bd1e995

/** Modulo 2^32. */
const power = (base: number, exponent: number): number => {
  let result = 1
  for (let n = 0; n < exponent; n++) result = Math.imul(result, base)
  return result
}

/** The first hash of the bytes between two positions. */
const firstOf = (bytes: Uint8Array, from: number, to: number): number => {
  let hash = 0
  for (let at = from; at < to; at++) hash = (Math.imul(hash, base) + (bytes[at] ?? 0) + 1) | 0
  return hash
}

/** The first hash of a window that has moved on by a byte: `left` is the byte before it, `entered` its last one. */
const rolled = (hash: number, left: number, entered: number, leaving: number): number =>
  (Math.imul(hash, base) + entered + 1 - Math.imul(left + 1, leaving)) | 0

/** All bytes of an array as a view. */
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

/** Whether some block may have this first hash. If not, certainly none has it. */
const mayHold = (filter: Uint8Array, hash: number): boolean => {
  const bit = bitOf(hash, filter)
  return ((filter[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0
}

const slotOf = (hash: number, mask: number): number => (Math.imul(hash, 0x9e3779b1) >>> 7) & mask

// The signature

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
      return { block, size, first, second, ...indexOf(first, second, Math.floor(size / block)) }
    }
  }
}

/** Makes the hash table and the filter of the first `whole` blocks. */
const indexOf = (first: Int32Array, second: Int32Array, whole: number): Pick<Signature, "table" | "filter"> => {
  let slots = 64
  while (slots < 2 * first.length) slots *= 2
  const table = new Int32Array(slots)
  const filter = new Uint8Array(slots)
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
  return { table, filter }
}

/** The number of the first block like the bytes at a position, whose first hash is known. -1 if there is none. */
const find = (signature: Signature, hash: number, view: DataView, at: number): number => {
  const { block, filter, first, second, table } = signature
  if (!mayHold(filter, hash)) return -1
  const mask = table.length - 1
  for (let slot = slotOf(hash, mask); table[slot] !== 0; slot = (slot + 1) & mask) {
    const index = (table[slot] ?? 0) - 1
    // The second hash is only taken if the first one fits.
    if (first[index] === hash && second[index] === secondOf(view, at, at + block)) return index
  }
  return -1
}

// The window

/** The maximum bytes that are added at once. */
const maxLength = 1024 * 1024

/** The bytes of the new file that are neither added nor kept yet, and a window on them that is as long as a block. */
interface Window {
  readonly signature: Signature
  /** The number of whole blocks of the old file. */
  readonly whole: number
  /** The factor of the byte that leaves the window. */
  readonly leaving: number
  data: Uint8Array
  /** On all of `data`. */
  view: DataView
  /** The window begins here in `data`. */
  at: number
  /** The first hash of the window, if `isHashed`. */
  hash: number
  isHashed: boolean
}

const windowFor = (signature: Signature): Window => {
  const data = new Uint8Array(0)
  return {
    signature,
    whole: Math.floor(signature.size / signature.block),
    leaving: power(base, signature.block),
    data,
    view: viewOf(data),
    at: 0,
    hash: 0,
    isHashed: false
  }
}

/** Drops the bytes before a position. */
const drop = (window: Window, to: number): void => {
  window.data = window.data.subarray(to)
  window.view = viewOf(window.data)
  window.at -= to
}

/** Appends bytes. They are copied. */
const append = (window: Window, bytes: Uint8Array): void => {
  window.data = window.data.length === 0 ? new Uint8Array(bytes) : Buffer.concat([window.data, bytes])
  window.view = viewOf(window.data)
}

/** Moves the hashed window on by a byte. */
const move = (window: Window): void => {
  const { at, data, signature } = window
  window.hash = rolled(window.hash, data[at] ?? 0, data[at + signature.block] ?? 0, window.leaving)
  window.at += 1
}

/** Moves the hashed window on while it is certainly none of the blocks. */
const skim = (window: Window): void => {
  const { data, leaving } = window
  const { block, filter } = window.signature
  const end = Math.min(data.length - block, maxLength)
  const last = 8 * filter.length - 1
  let { at, hash } = window
  while (at < end) {
    // As `mayHold`, but the loop computes nothing twice.
    const bit = (hash >>> 3) & last
    if (((filter[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0) break
    hash = rolled(hash, data[at] ?? 0, data[at + block] ?? 0, leaving)
    at += 1
  }
  window.hash = hash
  window.at = at
}

/** Whether the window is like this block. One hash is enough to recognize an expected block. */
const isAt = ({ at, signature, view, whole }: Window, index: number): boolean =>
  index < whole && signature.second[index] === secondOf(view, at, at + signature.block)

/** The number of the first block that is like the window. -1 if there is none. */
const blockAt = (window: Window): number => {
  if (!window.isHashed) {
    window.hash = firstOf(window.data, window.at, window.at + window.signature.block)
    window.isHashed = true
  }
  return find(window.signature, window.hash, window.view, window.at)
}

/** Whether the bytes from the window on are the last bytes of the old file, which are less than a block. */
const isTail = ({ at, data, signature, view, whole }: Window): boolean => {
  const left = data.length - at
  return (
    left === signature.size - whole * signature.block &&
    (left === 0 ||
      (firstOf(data, at, data.length) === signature.first[whole] &&
        secondOf(view, at, data.length) === signature.second[whole]))
  )
}

// Comparing

/** Compares a file with a signature. Blocks are kept only in runs of at least `shortest` bytes. */
export const comparing = (signature: Signature, shortest: number, visitor: DeltaVisitor): DeltaStep<void> => {
  const { block } = signature
  const window = windowFor(signature)
  const { whole } = window
  /** Blocks that follow each other in both files. They begin at `begin` in the window's data. `sure`: the run is long enough. */
  let run: { readonly from: number; count: number; readonly begin: number; sure: boolean } | undefined

  const add = (to: number) => {
    for (let from = 0; from < to; from += maxLength) {
      visitor.add(window.data.subarray(from, Math.min(to, from + maxLength)))
    }
  }
  /** Makes sure of a run that is long enough, with `tail` more bytes of the old file behind it. */
  const settle = (tail: number) => {
    if (run === undefined || run.sure || run.count * block + tail < shortest) return
    add(run.begin)
    drop(window, run.begin)
    run = { ...run, begin: 0, sure: true }
  }
  const close = (rest = false) => {
    if (run?.sure === true) {
      visitor.keep(run.from, rest ? undefined : run.count)
      drop(window, window.at)
    }
    run = undefined
  }
  const scan = () => {
    while (window.at + block <= window.data.length) {
      if (run === undefined && window.isHashed) skim(window)
      const next = run === undefined ? whole : run.from + run.count
      const found = isAt(window, next) ? next : blockAt(window)
      if (run !== undefined && found !== next) close()
      if (run === undefined && window.at >= maxLength) {
        add(window.at)
        drop(window, window.at)
      }
      if (found >= 0) {
        if (run === undefined) run = { from: found, count: 1, begin: window.at, sure: false }
        else run.count += 1
        window.at += block
        window.isHashed = false
        settle(0)
        continue
      }
      // The window moves on by a byte as soon as there is one.
      if (window.at + block === window.data.length) return
      move(window)
    }
  }
  return {
    push: (bytes) => {
      // The bytes of a sure run are no longer needed.
      if (run?.sure === true) drop(window, window.at)
      append(window, bytes)
      scan()
    },
    finish: () => {
      if (run !== undefined && run.from + run.count === whole && isTail(window)) {
        settle(window.data.length - window.at)
        if (run.sure) {
          window.at = window.data.length
          return close(true)
        }
      }
      close()
      add(window.data.length)
    }
  }
}
