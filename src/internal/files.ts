/**
 * File operations, with errors that tell people how to fix the problem.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { constants, existsSync, fsync } from "node:fs"
import {
  access,
  chmod,
  copyFile,
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs
} from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** A file operation failed. */
export class FileError extends Data.TaggedError("FileError")<{
  /** The problem and the path, as one sentence without a full stop. */
  readonly detail: string
  /** The system's code, for instance `ENOENT`. */
  readonly code: string | undefined
  readonly cause: unknown
}> {}

/** The system's error code. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

const free = (folder: string): Effect.Effect<string> =>
  Effect.match(
    Effect.tryPromise(() => statfs(folder)),
    {
      onFailure: () => "unknown space",
      onSuccess: ({ bavail, bsize }) => `${((bavail * bsize) / 1e6).toFixed(1)} MB`
    }
  )

const explain = (path: string, cause: unknown): Effect.Effect<FileError> => {
  const code = codeOf(cause)
  const detail = (text: string) => Effect.succeed(new FileError({ detail: text, code, cause }))
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return Effect.flatMap(free(dirname(path)), (space) =>
        detail(`no space left in ${dirname(path)} (${space} free): free some`)
      )
    case "EFBIG":
      return detail(`${path} would become larger than this system allows`)
    case "EACCES":
    case "EPERM":
      return detail(`no permission for ${path}`)
    case "EROFS":
      return detail(`${path} is on a read-only file system`)
    case "ENOENT":
      return detail(`${path} does not exist`)
    case "ENOTDIR":
    case "EEXIST":
      return detail(`a file is in the way of the folder ${path}`)
    case "EISDIR":
      return detail(`${path} is a folder`)
    default:
      return detail(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

/** Runs a file operation. The operation is not interruptible, so that it has ended before a finalizer runs. */
export const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, FileError> =>
  Effect.uninterruptible(
    Effect.catchAll(Effect.tryPromise({ try: run, catch: (cause) => ({ cause }) }), ({ cause }) =>
      Effect.flip(explain(path, cause))
    )
  )

const absentAs =
  <B>(value: B) =>
  <A>(self: Effect.Effect<A, FileError>): Effect.Effect<A | B, FileError> =>
    Effect.catchAll(self, (error) => (error.code === "ENOENT" ? Effect.succeed(value) : Effect.fail(error)))

/** The whole file as text. */
export const readText = (path: string): Effect.Effect<string, FileError> => attempt(path, () => readFile(path, "utf8"))

/** Writes a file for the owner alone, and replaces an existing one. Pipes and devices keep their modes. */
export const writeText = (path: string, text: string): Effect.Effect<void, FileError> =>
  Effect.gen(function* () {
    const file = yield* opened(path, "a")
    const info = yield* attempt(path, () => file.stat())
    if (info.isFile()) {
      yield* attempt(path, () => file.chmod(0o600))
      yield* attempt(path, () => file.truncate())
    }
    yield* writeAll(path, file, Buffer.from(text))
  }).pipe(Effect.scoped)

/** Makes a folder and the missing folders above it. Only their owner can use the new folders. */
export const makeFolder = (path: string): Effect.Effect<void, FileError> =>
  Effect.asVoid(attempt(path, () => mkdir(path, { recursive: true, mode: 0o700 }))).pipe(
    // If the folder above cannot be written, Node reports that the new folder does not exist.
    Effect.tapError(({ code }) =>
      code === "ENOENT" ? attempt(dirname(path), () => access(nearest(path), constants.W_OK)) : Effect.void
    )
  )

/** The folder itself, or the nearest folder above it that exists. */
const nearest = (folder: string): string =>
  existsSync(folder) || folder === dirname(folder) ? folder : nearest(dirname(folder))

/** Whether this process may not make files in a folder. */
export const isReadOnly = (folder: string): Effect.Effect<boolean> =>
  attempt(folder, () => access(folder, constants.W_OK)).pipe(
    Effect.as(false),
    Effect.catchAll(({ code }) => Effect.succeed(code === "EROFS" || code === "EACCES"))
  )

/** Copies files into a new temporary folder for the owner alone, and returns that folder. Skips missing files. The scope removes the folder. */
export const copied = (paths: ReadonlyArray<string>): Effect.Effect<string, FileError, Scope.Scope> =>
  Effect.gen(function* () {
    const above = tmpdir()
    const folder = yield* Effect.acquireRelease(
      attempt(above, () => mkdtemp(join(above, "deployer-"))),
      (folder) => Effect.ignore(removeAll(folder))
    )
    yield* Effect.forEach(
      paths,
      (path) => absentAs(undefined)(attempt(path, () => copyFile(path, join(folder, basename(path))))),
      { discard: true }
    )
    return folder
  })

/** Makes an empty file for the owner alone, unless it exists. */
export const makeFile = (path: string): Effect.Effect<void, FileError> =>
  Effect.catchIf(
    Effect.scoped(opened(path, "wx")),
    (error) => error.code === "EEXIST",
    () => Effect.void
  )

/**
 * Removes the permissions of everybody but the owner from a file or folder. Returns whether others had any before. A path that is missing, belongs
 * to somebody else, or cannot change its mode stays as it is.
 */
export const makePrivate = (path: string): Effect.Effect<boolean, FileError> =>
  Effect.gen(function* () {
    const { mode, uid } = yield* attempt(path, () => stat(path))
    if ((mode & 0o077) === 0 || uid !== process.geteuid?.()) return false
    yield* attempt(path, () => chmod(path, mode & 0o700))
    return true
  }).pipe(
    Effect.catchIf(
      ({ code }) => code !== undefined && ["ENOENT", "EPERM", "EACCES", "EROFS", "ENOTSUP"].includes(code),
      () => Effect.succeed(false)
    )
  )

/** The names in a folder. Empty if the folder does not exist. */
export const namesIn = (path: string): Effect.Effect<ReadonlyArray<string>, FileError> =>
  absentAs<ReadonlyArray<string>>([])(attempt(path, () => readdir(path)))

/**
 * A stamp that identifies the state of a folder's list of names, and the time of its last change, in Unix milliseconds. None if the folder does not
 * exist. Two changes in the same tick of the file system's clock look alike.
 */
export const stampOf = (
  path: string
): Effect.Effect<Option.Option<{ readonly stamp: string; readonly changedAt: number }>, FileError> =>
  absentAs(Option.none<{ readonly stamp: string; readonly changedAt: number }>())(
    Effect.map(
      attempt(path, () => stat(path, { bigint: true })),
      ({ ctimeMs, ctimeNs, dev, ino, mtimeMs, mtimeNs }) =>
        Option.some({
          stamp: [dev, ino, mtimeNs, ctimeNs].join("."),
          changedAt: Math.max(Number(mtimeMs), Number(ctimeMs))
        })
    )
  )

/** The size of a file in bytes. None if the file does not exist. */
export const sizeOf = (path: string): Effect.Effect<Option.Option<number>, FileError> =>
  absentAs(Option.none<number>())(
    Effect.map(
      attempt(path, () => stat(path)),
      ({ size }) => Option.some(size)
    )
  )

/** Whether this is a symbolic link to nothing. */
export const leadsNowhere = (path: string): Effect.Effect<boolean, FileError> =>
  Effect.flatMap(absentAs(undefined)(attempt(path, () => lstat(path))), (found) =>
    found?.isSymbolicLink() === true ? Effect.map(sizeOf(path), Option.isNone) : Effect.succeed(false)
  )

/** Removes a file or a whole folder. Does nothing if the path does not exist. */
export const removeAll = (path: string): Effect.Effect<void, FileError> =>
  attempt(path, () => rm(path, { recursive: true, force: true }))

/** Writes an open file to the disk. By its number, because Yarn's Plug'n'Play has a `FileHandle` that cannot. */
const sync = (path: string, { fd }: FileHandle): Effect.Effect<void, FileError> =>
  attempt(path, () => promisify(fsync)(fd))

// Ignores failures, because not every system can open a folder. Without this sync, only a power cut in the next seconds can undo a rename.
const syncFolder = (path: string): Effect.Effect<void> =>
  Effect.ignore(Effect.scoped(Effect.flatMap(opened(path, "r"), (folder) => sync(path, folder))))

/** Flags to open a file for reading. Waiting for the writer of a named pipe would block the process and its signal handlers. */
const toRead = constants.O_RDONLY | constants.O_NONBLOCK

const opened = (path: string, flags: "r" | "wx" | "a" | number): Effect.Effect<FileHandle, FileError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt(path, () => open(path, flags, 0o600)),
    (file) => Effect.ignore(attempt(path, () => file.close()))
  )

/** Renames a file durably. Between file systems, copies the file to `interim`, beside the new place, and renames the copy. */
export const move = (from: string, to: string, interim: string): Effect.Effect<void, FileError> => {
  const across = attempt(to, () => copyFile(from, interim, constants.COPYFILE_EXCL)).pipe(
    Effect.zipRight(Effect.scoped(Effect.flatMap(opened(interim, "r"), (file) => sync(to, file)))),
    Effect.zipRight(attempt(to, () => rename(interim, to))),
    Effect.onError(() => Effect.ignore(removeAll(interim))),
    Effect.zipRight(removeAll(from))
  )
  return attempt(to, () => rename(from, to)).pipe(
    Effect.catchIf(
      (error) => error.code === "EXDEV",
      () => across
    ),
    Effect.zipRight(syncFolder(dirname(to)))
  )
}

/** The facts of a written file: hashes in lower-case hex, size in bytes. */
export interface Written {
  readonly md5: string
  readonly sha256: string
  readonly size: number
}

const writeAll = (path: string, file: FileHandle, bytes: Uint8Array): Effect.Effect<void, FileError> =>
  Effect.flatMap(
    attempt(path, () => file.write(bytes)),
    ({ bytesWritten }) =>
      bytesWritten < bytes.length ? writeAll(path, file, bytes.subarray(bytesWritten)) : Effect.void
  )

/** Hashes bytes as they pass. */
export const hashing = () => {
  const md5 = createHash("md5")
  const sha256 = createHash("sha256")
  let size = 0
  return {
    update: (bytes: Uint8Array) => {
      md5.update(bytes)
      sha256.update(bytes)
      size += bytes.length
    },
    written: (): Written => ({ md5: md5.digest("hex"), sha256: sha256.digest("hex"), size })
  }
}

/** Writes a new file to the disk, and hashes its bytes on the way. Removes an unfinished file. */
export const writeHashed = <E, R>(
  path: string,
  bytes: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Written, E | FileError, R> =>
  Effect.gen(function* () {
    const file = yield* opened(path, "wx")
    const hash = hashing()
    yield* Stream.runForEach(bytes, (chunk) => {
      hash.update(chunk)
      return writeAll(path, file, chunk)
    })
    yield* sync(path, file)
    return hash.written()
  }).pipe(
    Effect.scoped,
    Effect.onError(() => Effect.ignore(removeAll(path)))
  )

const chunkSize = 256 * 1024

/** An open file. */
export interface Readable {
  readonly size: number
  /** The bytes from the requested offset on. */
  readonly bytes: Stream.Stream<Uint8Array, FileError>
  /** `length` bytes from a position on, or fewer at the end of the file. */
  readonly at: (position: number, length: number) => Effect.Effect<Uint8Array, FileError>
}

const readAt = (
  path: string,
  file: FileHandle,
  into: Uint8Array,
  position: number,
  filled = 0
): Effect.Effect<Uint8Array, FileError> =>
  Effect.flatMap(
    attempt(path, () => file.read(into, filled, into.length - filled, position + filled)),
    ({ bytesRead }) =>
      bytesRead === 0 || filled + bytesRead === into.length
        ? Effect.succeed(into.subarray(0, filled + bytesRead))
        : readAt(path, file, into, position, filled + bytesRead)
  )

/** Opens a file to read from byte `offset` on. None if the file does not exist. */
export const readFrom = (
  path: string,
  offset: number
): Effect.Effect<Option.Option<Readable>, FileError, Scope.Scope> =>
  opened(path, toRead).pipe(
    Effect.flatMap((file) =>
      Effect.map(
        attempt(path, () => file.stat()),
        ({ size }) => ({
          size,
          at: (position: number, length: number) =>
            Effect.suspend(() => readAt(path, file, new Uint8Array(length), position)),
          bytes: Stream.paginateEffect(offset, (position) =>
            Effect.map(
              attempt(path, () => file.read(new Uint8Array(chunkSize), 0, chunkSize, position)),
              ({ buffer, bytesRead }) => [
                buffer.subarray(0, bytesRead),
                bytesRead === 0 ? Option.none() : Option.some(position + bytesRead)
              ]
            )
          ).pipe(Stream.filter((chunk) => chunk.length > 0))
        })
      )
    ),
    Effect.asSome,
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => Effect.succeedNone
    )
  )
