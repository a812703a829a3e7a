/**
 * Directories of this machine as tar streams.
 */
import { Buffer } from "node:buffer"
import { type Dirent, readdirSync, type Stats } from "node:fs"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { Pack } from "tar"
import { codeOf } from "./files.ts"

/** A directory or something in it could not be read. */
export class DirectoryUnreadable extends Data.TaggedError("DirectoryUnreadable")<{
  readonly path: string
  /** What is wrong with it, half a sentence. */
  readonly detail: string
}> {}

/**
 * An uncompressed tar stream of what is in the directory, as `./…` in the order of the names. Links stay links. Neither the paths nor
 * the contents are in memory as a whole.
 */
export const directoryTar = (directory: string): Stream.Stream<Uint8Array, DirectoryUnreadable> =>
  Stream.suspend(() => {
    const paths = pathsIn(directory, ".")
    let done = false
    const feed = () => {
      if (done) return
      try {
        const next = paths.next()
        done = next.done === true
        if (next.done === true) tar.end()
        else tar.write(next.value)
      } catch (error) {
        done = true
        tar.emit("error", error)
      }
    }
    // Nor does the library need to remember what it knows of each file.
    const statCache = new Map<string, Stats>()
    statCache.set = () => statCache
    const tar = new Pack({
      cwd: directory,
      portable: true,
      noDirRecurse: true,
      strict: true,
      // As few and as small reads as keep the compression busy: by default four files of 16 MiB each are under way.
      maxReadSize: 256 * 1024,
      jobs: 2,
      statCache,
      onWriteEntry: feed
    })
    const bytes = inBatches(tar, (cause) =>
      cause instanceof DirectoryUnreadable ? cause : unreadable(directory, cause)
    )
    tar.write(".")
    for (let ahead = 0; ahead < 16; ahead++) feed()
    return bytes
  })

/** Bytes that are handed on at once: the library gives each header, each file and each padding by itself. */
const batch = 64 * 1024

const inBatches = <E>(tar: Pack, failed: (cause: unknown) => E): Stream.Stream<Uint8Array, E> => {
  let pieces: Array<Buffer> = []
  let size = 0
  let ended = false
  let failure: Option.Option<E> = Option.none()
  let look = () => {}
  tar.on("data", (piece) => {
    pieces.push(piece)
    size += piece.length
    if (size < batch) return
    tar.pause()
    look()
  })
  tar.on("end", () => {
    ended = true
    look()
  })
  tar.on("error", (cause) => {
    failure = Option.some(failed(cause))
    look()
  })
  return Stream.repeatEffectOption(
    Effect.async<Uint8Array, Option.Option<E>>((resume) => {
      look = () => {
        if (Option.isNone(failure) && !ended && size < batch) return
        look = () => {}
        if (Option.isSome(failure) || size === 0) return resume(Effect.fail(failure))
        const bytes = Buffer.concat(pieces, size)
        pieces = []
        size = 0
        resume(Effect.succeed(bytes))
      }
      tar.resume()
      look()
    })
  )
}

/** Throws `DirectoryUnreadable`. */
function* pathsIn(directory: string, at: string): Generator<string, void> {
  const here = join(directory, at)
  for (const entry of entriesOf(here)) {
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

const entriesOf = (folder: string): ReadonlyArray<Dirent> => {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (cause) {
    throw unreadable(folder, cause)
  }
}

const unreadable = (path: string, cause: unknown) =>
  // What the tar library calls a file that is longer or shorter than it was a moment ago.
  codeOf(cause) === "EOF"
    ? new DirectoryUnreadable({
        path: Predicate.hasProperty(cause, "path") ? String(cause.path) : path,
        detail: "it changed while it was read: stop what writes to it, and build again"
      })
    : new DirectoryUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
