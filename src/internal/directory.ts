/**
 * Directories of this machine as tar streams.
 */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { create } from "tar"

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
    Effect.map(walk(directory, "."), (paths) =>
      Stream.fromAsyncIterable(
        create({ cwd: directory, portable: true, noDirRecurse: true, strict: true }, [".", ...paths]),
        (cause) => unreadable(directory, cause)
      )
    )
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
  new DirectoryUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
