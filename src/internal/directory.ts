/**
 * Directories of this machine as tar streams.
 */
import type { Stats } from "node:fs"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
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
 * An uncompressed tar stream of what is in the directory, as `./…` in the order of the names. Links stay links. The paths, but not
 * the contents, are in memory.
 */
export const directoryTar = (directory: string): Stream.Stream<Uint8Array, DirectoryUnreadable> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const paths = yield* walk(directory, ".")
      const failed = yield* Deferred.make<never, DirectoryUnreadable>()
      // As few and as small reads as keep the compression busy: by default four files of 16 MiB each are under way.
      const options = { portable: true, noDirRecurse: true, strict: true, maxReadSize: 256 * 1024, jobs: 2 }
      // Nor does it need to know all paths at once, or to remember what it knows of each file.
      const left = paths.values()
      let ended = false
      const feed = () => {
        const { done, value } = left.next()
        if (done !== true) tar.write(value)
        else if (!ended) tar.end()
        ended = done === true
      }
      const statCache = new Map<string, Stats>()
      statCache.set = () => statCache
      const tar = new Pack({ cwd: directory, ...options, statCache, onWriteEntry: feed })
      tar.write(".")
      for (let ahead = 0; ahead < 16; ahead++) feed()
      // Its iterator listens only while the next chunk is asked for; a failure at any other time would be a crash.
      tar.on("error", (cause) => Deferred.unsafeDone(failed, Effect.fail(unreadable(directory, cause))))
      return Stream.fromAsyncIterable(tar, (cause) => unreadable(directory, cause)).pipe(
        Stream.interruptWhenDeferred(failed)
      )
    })
  )

const walk = (directory: string, at: string): Effect.Effect<ReadonlyArray<string>, DirectoryUnreadable> =>
  Effect.gen(function* () {
    const here = join(directory, at)
    const entries = yield* Effect.tryPromise({
      try: () => readdir(here, { withFileTypes: true }),
      catch: (cause) => unreadable(here, cause)
    })
    const sorted = entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const paths = yield* Effect.forEach(sorted, (entry) => {
      const path = `${at}/${entry.name}`
      if (entry.name.includes("\uFFFD")) {
        const detail = "its name is not UTF-8: rename it, or leave it out of the release"
        return Effect.fail(new DirectoryUnreadable({ path: join(directory, path), detail }))
      }
      if (entry.isDirectory()) return Effect.map(walk(directory, path), (below) => [path, ...below])
      if (entry.isFile() || entry.isSymbolicLink()) return Effect.succeed([path])
      return Effect.fail(
        new DirectoryUnreadable({
          path: join(directory, path),
          detail:
            "it is neither a file, a directory nor a link (a device, a pipe, a socket): leave it out of the release"
        })
      )
    })
    return paths.flat()
  })

const unreadable = (path: string, cause: unknown) =>
  // What the tar library calls a file that is longer or shorter than it was a moment ago.
  codeOf(cause) === "EOF"
    ? new DirectoryUnreadable({
        path: Predicate.hasProperty(cause, "path") ? String(cause.path) : path,
        detail: "it changed while it was read: stop what writes to it, and build again"
      })
    : new DirectoryUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
