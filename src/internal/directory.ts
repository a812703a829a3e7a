/**
 * Directories of this machine as tar streams.
 */
import { Buffer } from "node:buffer"
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync
} from "node:fs"
import { basename, join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { paddingOf, type TarEntry, tarEnd, tarHeader } from "./tar.ts"

/** A directory or something in it could not be read. */
export class DirectoryUnreadable extends Data.TaggedError("DirectoryUnreadable")<{
  readonly path: string
  /** The problem, half a sentence. */
  readonly detail: string
}> {}

/**
 * Returns an uncompressed tar stream of the directory's content, as `./…` in the order of the names, with modes, special bits and times.
 * Links stay links. Neither the paths nor the contents are in memory as a whole.
 */
export const directoryTar = (directory: string): Stream.Stream<Uint8Array, DirectoryUnreadable> =>
  batched(directory, () => tarPieces(directory))

/** Returns an uncompressed tar stream that holds this one file, as `./<name>`. */
export const fileTar = (file: string): Stream.Stream<Uint8Array, DirectoryUnreadable> =>
  batched(file, function* () {
    yield* filePieces(`./${basename(file)}`, file)
    yield tarEnd
  })

/** The pieces throw `DirectoryUnreadable`. */
const batched = (
  path: string,
  make: () => Generator<Uint8Array, void>
): Stream.Stream<Uint8Array, DirectoryUnreadable> =>
  Stream.suspend(() => {
    const pieces = make()
    const next = Effect.suspend(() => {
      try {
        const bytes = batchOf(pieces)
        return bytes.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(bytes)
      } catch (cause) {
        return Effect.fail(Option.some(cause instanceof DirectoryUnreadable ? cause : unreadable(path, cause)))
      }
    })
    // An unfinished walk has a file open.
    return Stream.ensuring(
      Stream.repeatEffectOption(next),
      Effect.sync(() => pieces.return())
    )
  })

/** The bytes that are passed on at once. A header alone is too little, and more would delay everything else. */
const batchBytes = 64 * 1024

/** The bytes that are read at once from a large file. */
const readBytes = 256 * 1024

const batchOf = (pieces: Generator<Uint8Array, void>): Uint8Array => {
  const taken: Array<Uint8Array> = []
  let size = 0
  while (size < batchBytes) {
    const next = pieces.next()
    if (next.done === true) break
    taken.push(next.value)
    size += next.value.length
  }
  const [only] = taken
  return taken.length === 1 && only !== undefined ? only : Buffer.concat(taken, size)
}

/** Throws `DirectoryUnreadable`. */
function* tarPieces(directory: string): Generator<Uint8Array, void> {
  /** The first path of a file with several names, by device and inode. */
  const firstNames = new Map<string, string>()
  yield headerOf(
    ".",
    "Directory",
    attempt(directory, () => statSync(directory))
  )
  for (const path of pathsIn(directory, ".")) {
    const file = join(directory, path)
    const stats = attempt(file, () => lstatSync(file))
    if (stats.isDirectory()) yield headerOf(path, "Directory", stats)
    else if (stats.isSymbolicLink())
      yield headerOf(path, "Symlink", stats, { to: attempt(file, () => readlinkSync(file)) })
    else if (stats.isFile()) {
      const key = `${stats.dev} ${stats.ino}`
      const first = stats.nlink > 1 ? firstNames.get(key) : undefined
      if (first !== undefined) yield headerOf(path, "Hardlink", stats, { to: first })
      else {
        if (stats.nlink > 1) firstNames.set(key, path)
        yield* filePieces(path, file)
      }
    } else throw changed(file)
  }
  yield tarEnd
}

function* filePieces(path: string, file: string): Generator<Uint8Array, void> {
  // If a pipe has taken the file's place, opening it must not wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const descriptor = attempt(file, () => openSync(file, flags))
  try {
    const stats = attempt(file, () => fstatSync(descriptor))
    if (!stats.isFile()) throw changed(file)
    const { size } = stats
    yield headerOf(path, "File", stats, { size })
    for (let at = 0; at < size; ) {
      const room = Buffer.allocUnsafe(Math.min(readBytes, size - at))
      const read = attempt(file, () => readSync(descriptor, room, 0, room.length, at))
      if (read === 0) throw changed(file)
      at += read
      yield room.subarray(0, read)
    }
    if (attempt(file, () => readSync(descriptor, Buffer.alloc(1), 0, 1, size)) > 0) throw changed(file)
    if (paddingOf(size) > 0) yield new Uint8Array(paddingOf(size))
  } finally {
    closeSync(descriptor)
  }
}

const headerOf = (
  path: string,
  type: "File" | "Directory" | "Symlink" | "Hardlink",
  { mode, mtimeMs }: Stats,
  more: Partial<Pick<TarEntry, "size" | "to">> = {}
): Uint8Array =>
  tarHeader({ path, type, mode: mode & 0o7777, mtime: Math.floor(mtimeMs / 1000), size: 0, to: "", ...more })

/** Throws `DirectoryUnreadable`. */
function* pathsIn(directory: string, at: string): Generator<string, void> {
  const here = join(directory, at)
  const entries = attempt(here, () => readdirSync(here, { withFileTypes: true }))
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${at}/${entry.name}`
    const refuse = (detail: string) => new DirectoryUnreadable({ path: join(directory, path), detail })
    if (entry.name.includes("\uFFFD")) throw refuse("its name is not UTF-8: rename it, or leave it out of the release")
    if (!entry.isDirectory() && !entry.isFile() && !entry.isSymbolicLink()) {
      throw refuse(
        "it is neither a file, a directory nor a link (a device, a pipe, a socket): leave it out of the release"
      )
    }
    yield path
    if (entry.isDirectory()) yield* pathsIn(directory, path)
  }
}

const attempt = <A>(path: string, run: () => A): A => {
  try {
    return run()
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

const unreadable = (path: string, cause: unknown) =>
  new DirectoryUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })

const changed = (path: string) =>
  new DirectoryUnreadable({
    path,
    detail: "it changed while it was read: stop what writes to it, and build again"
  })
