/**
 * The place for tarballs, below the release store: a folder beside `temp/`, or memory.
 */
import { Buffer } from "node:buffer"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as files from "../internal/files.ts"
import { abandoned, sweep, temporaryName } from "../internal/leftovers.ts"

/** The place for tarballs failed. `detail` is a sentence. */
export class TarballsError extends Data.TaggedError("TarballsError")<{
  readonly detail: string
  readonly cause?: unknown
}> {}

/** A tarball that is written but not kept yet. */
export interface Received extends files.Written {
  readonly path: string
}

/** A kept tarball, open. */
export interface Opened {
  /** Bytes of the whole tarball. */
  readonly size: number
  /** From the requested offset on. */
  readonly bytes: Stream.Stream<Uint8Array, TarballsError>
  /** `length` bytes from a position on; fewer at the end of the tarball. */
  readonly at: (position: number, length: number) => Effect.Effect<Uint8Array, TarballsError>
}

/** Keeps tarballs by file name and knows nothing else about them. */
export class Tarballs extends Context.Tag("deployer/Tarballs")<
  Tarballs,
  {
    /** Writes a tarball to the temporary place, hashed and synced to the disk. It is removed with the scope unless it is placed. */
    readonly receive: <E, R>(
      bytes: Stream.Stream<Uint8Array, E, R>
    ) => Effect.Effect<Received, E | TarballsError, R | Scope.Scope>
    /**
     * Moves a received tarball to its file name. Fails if it is gone. The caller makes sure that the name is free. Returns an effect to run
     * once its entry is written: otherwise `sweepKept` removes the tarball after this process is gone.
     */
    readonly place: (path: string, fileName: string) => Effect.Effect<Effect.Effect<void>, TarballsError>
    /** The reverse of `place`. */
    readonly takeBack: (path: string, fileName: string) => Effect.Effect<void, TarballsError>
    readonly has: (fileName: string) => Effect.Effect<boolean, TarballsError>
    /**
     * Fails if this is not the place of the store's tarballs, such as a mount point without its disk: then their state is unknown. Tarballs that the
     * store does not know prove nothing.
     */
    readonly reachable: (known: ReadonlySet<string>) => Effect.Effect<void, TarballsError>
    /** All file names in the place, ours or not. */
    readonly names: Effect.Effect<ReadonlySet<string>, TarballsError>
    /** None if there is no such tarball. Once it is open, its removal does not disturb the reading. */
    readonly open: (
      fileName: string,
      offset: number
    ) => Effect.Effect<Option.Option<Opened>, TarballsError, Scope.Scope>
    /** Does nothing if there is no such tarball. */
    readonly remove: (fileName: string) => Effect.Effect<void, TarballsError>
    /** Stays the same only if no tarball is added or removed. None if that is unknown, or not known yet. */
    readonly stamp: Effect.Effect<Option.Option<string>, TarballsError>
    /** Removes unfinished files of dead processes from the temporary place. */
    readonly sweep: Effect.Effect<void>
    /** The same among the kept tarballs, including placed ones without an entry. Returns the remaining names. */
    readonly sweepKept: (hasEntry: (fileName: string) => boolean) => Effect.Effect<ReadonlySet<string>, TarballsError>
  }
>() {
  /** In folders on one disk (best) or on two. The first write creates them. */
  static readonly layerFiles = (folders: {
    /** The folder of kept tarballs, absolute. */
    readonly releaseStore: string
    /** The folder where tarballs are written, absolute. */
    readonly temp: string
  }): Layer.Layer<Tarballs> => Layer.succeed(this, inFolders(folders))

  /** In memory. */
  static readonly layerMemory: Layer.Layer<Tarballs> = Layer.sync(this, () => inMemory())
}

/** File systems may count time in steps of two seconds: a folder that changed less than this ago may change again unseen. */
const settledMillis = 3_000

const worded = Effect.mapError(({ cause, detail }: files.FileError) => new TarballsError({ detail, cause }))

const inFolders = (folders: {
  readonly releaseStore: string
  readonly temp: string
}): Context.Tag.Service<Tarballs> => {
  const kept = (fileName: string) => join(folders.releaseStore, fileName)
  const interim = Effect.map(temporaryName(incoming), kept)
  /** Workspaces of earlier versions are readable by everybody. */
  const closeToOthers = worded(
    Effect.gen(function* () {
      yield* files.makePrivate(folders.temp)
      if (!(yield* files.makePrivate(folders.releaseStore))) return
      const tarballs = yield* files.namesIn(folders.releaseStore)
      yield* Effect.forEach(tarballs, (name) => files.makePrivate(kept(name)), { discard: true })
    })
  )
  const names = worded(
    Effect.map(files.namesIn(folders.releaseStore), (names) => new Set(names.filter((name) => name !== mark)))
  )
  /** Distinguishes the folder from another one in its place, which may hold tarballs of somebody else. */
  const marked = (isKnown: (fileName: string) => boolean) =>
    Effect.tap(names, (names) => ([...names].some(isKnown) ? Effect.ignore(files.makeFile(kept(mark))) : Effect.void))
  const placed = Effect.map(temporaryName(placing), kept)
  const dropUnfinished = (hasEntry: (fileName: string) => boolean) =>
    Effect.flatMap(abandoned(folders.releaseStore, `${placing}-`), (names) =>
      Effect.forEach(
        names,
        (name) =>
          Effect.gen(function* () {
            const fileName = yield* files.readText(kept(name))
            if (/^[^./][^/]*$/.test(fileName) && !hasEntry(fileName)) yield* files.removeAll(kept(fileName))
            yield* files.removeAll(kept(name))
          }),
        { discard: true }
      )
    )
  return {
    receive: (bytes) =>
      Effect.gen(function* () {
        yield* worded(files.makeFolder(folders.temp))
        yield* closeToOthers
        const path = join(folders.temp, `${yield* temporaryName("receive")}.tar.gz`)
        const written = yield* Effect.acquireReleaseInterruptible(
          Effect.catchIf(files.writeHashed(path, bytes), isFileError, (error) => worded(Effect.fail(error))),
          () => Effect.ignore(files.removeAll(path))
        )
        return { ...written, path }
      }),
    place: (path, fileName) =>
      worded(
        Effect.gen(function* () {
          yield* files.makeFolder(folders.releaseStore)
          yield* files.makeFile(kept(mark))
          const note = yield* placed
          yield* files.writeText(note, fileName)
          yield* files.move(path, kept(fileName), yield* interim)
          return Effect.ignore(files.removeAll(note))
        })
      ),
    takeBack: (path, fileName) => worded(files.move(kept(fileName), path, `${path}.back`)),
    has: (fileName) => worded(Effect.map(files.sizeOf(kept(fileName)), Option.isSome)),
    reachable: Effect.fnUntraced(function* (known) {
      const all = yield* marked((name) => known.has(name))
      if ([...all].some((name) => known.has(name))) return
      if (Option.isSome(yield* worded(files.sizeOf(kept(mark))))) return
      const found = (yield* worded(files.leadsNowhere(folders.releaseStore)))
        ? "leads to a folder that is not there"
        : [...all].some((name) => name.endsWith(".tar.gz"))
          ? "holds none of the store's tarballs"
          : "is empty or not there"
      return yield* new TarballsError({
        detail: `${folders.releaseStore} ${found}, and the store knows tarballs that belong there: bring it back (is its disk mounted?). If they are gone for good, make the folder with an empty file ${mark} in it, and their entries are cleared`
      })
    }),
    names,
    open: (fileName, offset) =>
      worded(files.readFrom(kept(fileName), offset)).pipe(
        Effect.map(
          Option.map(({ at, bytes, size }) => ({
            size,
            at: (position, length) => worded(at(position, length)),
            bytes: Stream.mapError(bytes, ({ cause, detail }) => new TarballsError({ detail, cause }))
          }))
        )
      ),
    remove: (fileName) => worded(files.removeAll(kept(fileName))),
    stamp: Effect.gen(function* () {
      const now = yield* DateTime.now
      const stamp = yield* worded(files.stampOf(folders.releaseStore))
      return Option.map(
        Option.filter(stamp, ({ changedAt }) => now.epochMillis - changedAt > settledMillis),
        ({ stamp }) => stamp
      )
    }),
    sweep: Effect.asVoid(sweep(folders.temp)),
    sweepKept: (hasEntry) =>
      sweep(folders.releaseStore, `${incoming}-`).pipe(
        Effect.zipRight(worded(dropUnfinished(hasEntry))),
        Effect.zipRight(marked(hasEntry))
      )
  }
}

/** No release has a name that begins with a dot. */
const incoming = ".incoming"
/** Files that contain the name of a tarball being placed. */
const placing = ".placing"

/** An empty file that marks the folder as the one that holds the tarballs. */
const mark = ".deployer_store"

const isFileError = (error: unknown): error is files.FileError => error instanceof files.FileError

const inMemory = (): Context.Tag.Service<Tarballs> => {
  const received = new Map<string, ReadonlyArray<Uint8Array>>()
  const kept = new Map<string, ReadonlyArray<Uint8Array>>()
  let serial = 0
  const transferred = (
    from: Map<string, ReadonlyArray<Uint8Array>>,
    key: string,
    to: Map<string, ReadonlyArray<Uint8Array>>,
    newKey: string
  ) =>
    Effect.suspend(() => {
      const chunks = from.get(key)
      if (chunks === undefined) return new TarballsError({ detail: `${key} does not exist` })
      from.delete(key)
      to.set(newKey, chunks)
      return Effect.void
    })
  return {
    receive: (bytes) =>
      Effect.gen(function* () {
        const hash = files.hashing()
        const chunks: Array<Uint8Array> = []
        yield* Stream.runForEach(bytes, (chunk) =>
          Effect.sync(() => {
            hash.update(chunk)
            chunks.push(chunk.slice())
          })
        )
        serial += 1
        const path = `receive-${serial}`
        yield* Effect.addFinalizer(() => Effect.sync(() => received.delete(path)))
        received.set(path, chunks)
        return { ...hash.written(), path }
      }),
    place: (path, fileName) => Effect.as(transferred(received, path, kept, fileName), Effect.void),
    takeBack: (path, fileName) => transferred(kept, fileName, received, path),
    has: (fileName) => Effect.sync(() => kept.has(fileName)),
    reachable: () => Effect.void,
    names: Effect.sync(() => new Set(kept.keys())),
    open: (fileName, offset) =>
      Effect.sync(() =>
        Option.map(Option.fromNullable(kept.get(fileName)), (chunks) => ({
          size: chunks.reduce((total, chunk) => total + chunk.length, 0),
          at: (position: number, length: number) =>
            Effect.sync(() => Buffer.concat(between(chunks, position, position + length))),
          bytes: Stream.fromIterable(between(chunks, offset, Number.POSITIVE_INFINITY))
        }))
      ),
    remove: (fileName) => Effect.sync(() => kept.delete(fileName)),
    stamp: Effect.succeedNone,
    sweep: Effect.void,
    sweepKept: () => Effect.sync(() => new Set(kept.keys()))
  }
}

/** The bytes of consecutive chunks from `begin` up to, but not including, `end`. */
const between = (chunks: ReadonlyArray<Uint8Array>, begin: number, end: number): ReadonlyArray<Uint8Array> => {
  let at = 0
  return chunks.flatMap((chunk) => {
    const piece = chunk.subarray(Math.max(0, begin - at), Math.max(0, end - at))
    at += chunk.length
    return piece.length === 0 ? [] : [piece]
  })
}
