/**
 * The tar format as one pass over chunks: reading with backpressure left to the caller, and writing of headers.
 */
import { Buffer } from "node:buffer"
import { Header, type HeaderData } from "tar/header"

const blockSize = 512

/** The offset of the size in a header. */
const sizeField = 124

/**
 * The type of an entry. `Sparse`: a file without its holes, which only some programs can unpack. `Other`: a type that does not belong in a release (a
 * device, a pipe, …).
 */
export type TarType = "File" | "Directory" | "Symlink" | "Hardlink" | "Sparse" | "Other"

/** One entry as in the archive, unchecked. */
export interface TarEntry {
  readonly path: string
  readonly type: TarType
  /** Permission bits, with the special ones. */
  readonly mode: number
  /** Unix seconds, whole. */
  readonly mtime: number
  /** Bytes of content; 0 for all but files. */
  readonly size: number
  /** The target of a link; empty for all others. */
  readonly to: string
}

/** The bytes are not a tar archive, or end too early. Thrown, and caught where the bytes are read. */
export class TarBroken extends Error {
  readonly _tag = "TarBroken"
}

/** Receives the parts of an archive, in order: an entry, its bytes in pieces, its end. Pieces are only lent until the call returns. */
export interface TarVisitor {
  readonly entry: (entry: TarEntry) => void
  readonly data: (piece: Uint8Array) => void
  readonly end: () => void
}

/** Feeds a visitor with chunks of an archive, cut anywhere. */
export interface TarReader {
  readonly push: (chunk: Uint8Array) => void
  /** Call this after the last chunk. */
  readonly finish: () => void
}

/** An extended header above this size is invalid. */
const metaLimit = 1024 * 1024

interface Extension {
  path?: string
  to?: string
  size?: number
  mtime?: number
  sparse?: boolean
}

/** Reads ustar, pax and GNU archives. */
export const tarReader = (visitor: TarVisitor): TarReader => {
  const block = Buffer.alloc(blockSize)
  let filled = 0
  let body: "none" | "data" | "meta" | "skip" = "none"
  let left = 0
  let padding = 0
  let ended = false
  let metaType = ""
  let meta: Array<Buffer> = []
  let extension: Extension = {}

  const bodyEnds = () => {
    if (body === "data") visitor.end()
    if (body === "meta") extension = { ...extension, ...readMeta(metaType, Buffer.concat(meta)) }
    meta = []
    body = "none"
  }

  const begin = (kind: "data" | "meta" | "skip", size: number) => {
    body = kind
    left = size
    padding = paddingOf(size)
    if (left === 0) bodyEnds()
  }

  const header = () => {
    const read = headerIn(block, extension.path)
    if (read.nullBlock) {
      ended = true
      return
    }
    if (!read.cksumValid) throw new TarBroken("a header is damaged")
    const size = read.size ?? 0
    // The library treats a negative size like an empty field.
    const hasSize = ![0, 0x20].includes(block[sizeField] ?? 0)
    if (!Number.isSafeInteger(size) || (read.size === undefined && hasSize)) {
      throw new TarBroken("a header has no valid size")
    }
    switch (read.type) {
      case "ExtendedHeader":
      case "OldExtendedHeader":
      case "NextFileHasLongPath":
      case "OldGnuLongPath":
      case "NextFileHasLongLinkpath": {
        if (size > metaLimit) throw new TarBroken("an extended header is too long")
        metaType = read.type
        return begin("meta", size)
      }
      case "GlobalExtendedHeader":
      case "TapeVolumeHeader":
      case "SolarisACL":
        return begin("skip", size)
    }
    const type = extension.sparse === true ? "Sparse" : (types.get(read.type) ?? "Other")
    const contentSize = type === "File" || type === "Sparse" || type === "Other" ? (extension.size ?? size) : 0
    const seconds = extension.mtime ?? (read.mtime === undefined ? 0 : read.mtime.getTime() / 1000)
    if (!Number.isFinite(seconds)) throw new TarBroken("a header has no valid date")
    visitor.entry({
      path: extension.path ?? read.path ?? "",
      type,
      mode: (read.mode ?? 0) & 0o7777,
      mtime: Math.max(0, Math.floor(seconds)),
      size: contentSize,
      to: type === "Symlink" || type === "Hardlink" ? (extension.to ?? read.linkpath ?? "") : ""
    })
    extension = {}
    begin("data", contentSize)
  }

  return {
    push: (chunk) => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      let at = 0
      while (at < bytes.length && !ended) {
        if (left > 0) {
          const piece = bytes.subarray(at, at + left)
          at += piece.length
          left -= piece.length
          if (body === "data") visitor.data(piece)
          if (body === "meta") meta.push(Buffer.from(piece))
          if (left === 0) bodyEnds()
        } else if (padding > 0) {
          const skipped = Math.min(padding, bytes.length - at)
          at += skipped
          padding -= skipped
        } else {
          const copied = bytes.copy(block, filled, at, at + blockSize - filled)
          at += copied
          filled += copied
          if (filled === blockSize) {
            filled = 0
            header()
          }
        }
      }
    },
    finish: () => {
      if (!ended) throw new TarBroken("it ends too early")
    }
  }
}

/** A name that was cut for the header may end in a slash there. Only the long name tells whether it is a directory. */
const headerIn = (block: Buffer, path: string | undefined): Header => {
  try {
    return path === undefined ? new Header(block) : new Header(block, 0, { path })
  } catch {
    // It throws if a number is invalid.
    throw new TarBroken("a header is damaged")
  }
}

const types: ReadonlyMap<string, TarType> = new Map([
  ["File", "File"],
  ["OldFile", "File"],
  ["ContiguousFile", "File"],
  ["Directory", "Directory"],
  ["SymbolicLink", "Symlink"],
  ["Link", "Hardlink"],
  ["SparseFile", "Sparse"]
])

const readMeta = (type: string, bytes: Buffer): Extension => {
  switch (type) {
    case "NextFileHasLongPath":
    case "OldGnuLongPath":
      return { path: untilNull(bytes) }
    case "NextFileHasLongLinkpath":
      return { to: untilNull(bytes) }
    default:
      return readPax(bytes)
  }
}

const untilNull = (bytes: Buffer): string => {
  const end = bytes.indexOf(0)
  return bytes.toString("utf8", 0, end === -1 ? bytes.length : end)
}

/** Records are `<length> <key>=<value>\n`, and values may hold line ends. node-tar's own reader splits by lines and loses those. */
const readPax = (bytes: Buffer): Extension => {
  const extension: Extension = {}
  let at = 0
  while (at < bytes.length && bytes[at] !== 0) {
    const blank = bytes.indexOf(0x20, at)
    const length = blank === -1 ? Number.NaN : Number(bytes.toString("latin1", at, blank))
    const equals = blank === -1 ? -1 : bytes.indexOf(0x3d, blank)
    if (!Number.isInteger(length) || equals === -1 || at + length > bytes.length || equals >= at + length) {
      throw new TarBroken("an extended header is damaged")
    }
    const key = bytes.toString("utf8", blank + 1, equals)
    const value = bytes.toString("utf8", equals + 1, at + length - 1)
    at += length
    if (key === "path") extension.path = value
    if (key === "linkpath") extension.to = value
    if (key === "size") extension.size = Number(value)
    if (key === "mtime") extension.mtime = Number(value)
    if (key.startsWith("GNU.sparse.")) extension.sparse = true
  }
  if (extension.size !== undefined && !(Number.isSafeInteger(extension.size) && extension.size >= 0)) {
    throw new TarBroken("an extended header is damaged")
  }
  return extension
}

/** Zero bytes that follow content of this size. */
export const paddingOf = (size: number): number => (blockSize - (size % blockSize)) % blockSize

/** The bytes after the last entry. */
export const tarEnd: Uint8Array = new Uint8Array(2 * blockSize)

/**
 * The header of an entry that belongs to root. Names too long for it go before it in GNU's way, because BusyBox skips pax
 * headers; names that are not ASCII stand as UTF-8, which every tar takes as it is.
 */
export const tarHeader = (entry: TarEntry): Uint8Array => {
  const path = entry.type === "Directory" ? `${entry.path}/` : entry.path
  return Buffer.concat([
    longName("NextFileHasLongLinkpath", entry.to),
    longName("NextFileHasLongPath", path),
    headerBlock({
      path: cut(path),
      linkpath: cut(entry.to),
      type: typeNames[entry.type],
      mode: entry.mode,
      size: entry.size,
      mtime: new Date(entry.mtime * 1000)
    })
  ])
}

/** The bytes of {@link tarHeader}, which depend only on these fields. */
export const tarHeaderSize = ({ path, to, type }: Pick<TarEntry, "path" | "type" | "to">): number =>
  longNameSize(to) + longNameSize(type === "Directory" ? `${path}/` : path) + blockSize

const typeNames = {
  File: "File",
  Directory: "Directory",
  Symlink: "SymbolicLink",
  Hardlink: "Link",
  Sparse: "SparseFile",
  Other: "Unsupported"
} as const

const headerBlock = (fields: HeaderData): Uint8Array => {
  const bytes = Buffer.alloc(blockSize)
  new Header({ uid: 0, gid: 0, uname: "", gname: "", ...fields }).encode(bytes)
  return bytes
}

/** Longest name, in bytes, that the plain field holds with its end mark. */
const nameLimit = 99

const longName = (type: "NextFileHasLongLinkpath" | "NextFileHasLongPath", name: string): Uint8Array => {
  const bytes = Buffer.from(`${name}\0`)
  if (bytes.length - 1 <= nameLimit) return new Uint8Array(0)
  return Buffer.concat([
    headerBlock({ path: "././@LongLink", type, mode: 0o644, size: bytes.length, mtime: new Date(0) }),
    bytes,
    Buffer.alloc(paddingOf(bytes.length))
  ])
}

const longNameSize = (name: string): number => {
  const size = Buffer.byteLength(name) + 1
  return size - 1 <= nameLimit ? 0 : blockSize + size + paddingOf(size)
}

/** Cuts between two characters, so that the field stays UTF-8. Removes a slash at the end, because some programs take such a file for a directory. */
const cut = (name: string): string => {
  let kept = ""
  let size = 0
  if (Buffer.byteLength(name) <= nameLimit) return name
  for (const character of name) {
    size += Buffer.byteLength(character)
    if (size > nameLimit) break
    kept += character
  }
  return kept.replace(/\/+$/, "")
}
