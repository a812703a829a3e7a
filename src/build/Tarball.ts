/**
 * Packs a release: from a builder's tar stream to the `.tar.gz` that is stored, in one pass and bounded memory.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ManifestEntry } from "../domain/Manifest.ts"
import type { Members } from "../domain/Members.ts"
import { counted } from "../domain/Quantity.ts"
import type { Binaries } from "../domain/Release.ts"
import { type Blocks, blockBytes, blocks } from "../internal/blocks.ts"
import { elfHead, readElf } from "../internal/elf.ts"
import { entryList } from "../internal/entryList.ts"
import { gzipMembers } from "../internal/gzipMember.ts"
import { cores, sha256Sum } from "../internal/machine.ts"
import { paddingOf, TarBroken, type TarEntry, type TarVisitor, tarEnd, tarHeader, tarReader } from "../internal/tar.ts"

/** The artifact of a builder cannot become a release. */
export class ArtifactInvalid extends Schema.TaggedError<ArtifactInvalid>()("ArtifactInvalid", {
  /** The finding and the remedy, one sentence. */
  reason: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The release cannot be packed: ${this.reason}`
  }
}

/** The extra file of a release does not exist, cannot be read or has a name that is taken. */
export class ExtraFileInvalid extends Schema.TaggedError<ExtraFileInvalid>()("ExtraFileInvalid", {
  file: Schema.String,
  /** The finding. */
  detail: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `The file ${this.file} cannot be added to the release: ${this.detail}`
  }
}

/** A file for the tarball's root, beside the release's folder. */
export interface ExtraFile {
  /** Its name in the tarball. */
  readonly path: string
  /** The path to read it from. */
  readonly file: string
}

/** A tarball in the making. */
export interface Packing<E, R> {
  /** The gzip stream. Equal trees give equal bytes. */
  readonly content: Stream.Stream<Uint8Array, E | ArtifactInvalid, R>
  /**
   * The packed entries in the order of the tarball, after `content` has ended; a defect before. Its entries are created while they are
   * read: the objects of a large release would take more memory than packing it does.
   */
  readonly manifest: Effect.Effect<Iterable<ManifestEntry>>
  /** How it is divided into members. Also a defect before the end of `content`. */
  readonly members: Effect.Effect<Members>
  /** The platforms of its programs. Also a defect before the end of `content`. */
  readonly binaries: Effect.Effect<Binaries>
  /** Sentences about properties that the release could not keep. Also a defect before the end of `content`. */
  readonly remarks: Effect.Effect<ReadonlyArray<string>>
}

/** Checks that a file can be added beside the release `name`, before anything is built. */
export const extraFile = (
  file: string,
  name: string
): Effect.Effect<ExtraFile, ExtraFileInvalid, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const base = (yield* Path.Path).basename(file)
    const refuse = (detail: string) => new ExtraFileInvalid({ file, detail })
    if (base === name || reservedNames.includes(base) || hasControl(base)) {
      return yield* refuse("its name is taken in a release; rename it")
    }
    const info = yield* Effect.mapError(fs.stat(file), (error) =>
      refuse(error._tag === "SystemError" && error.reason === "NotFound" ? "it does not exist" : error.message)
    )
    if (info.type !== "File") return yield* refuse("it is not a regular file")
    yield* Effect.mapError(fs.access(file, { readable: true }), () => refuse("it cannot be read"))
    return { path: base, file }
  })

/** Names beside the release's folder on a host, temporary or permanent. */
const reservedNames: ReadonlyArray<string> = [
  "release.json",
  "manifest",
  "altered",
  "edits",
  "moves",
  "patches",
  "pieces",
  "begin",
  "end"
].map((name) => `.deployer_${name}`)

/**
 * Packs the tree as `<name>/…`, with the extra files (readable by the owner only) beside it. Everything belongs to root. Times and
 * permissions stay, but special bits are removed (see `remarks`): with the deploying login as owner they would mean something else. The
 * owner may always read, and write in directories, so that any host can unpack, verify and remove the release. Entries keep their order:
 * sorting them would take a second copy.
 */
export const pack = <E, R>(
  tree: Stream.Stream<Uint8Array, E, R>,
  options: {
    readonly name: string
    readonly extraFiles?: ReadonlyArray<ExtraFile>
    /** The gzip level, from 1 to 9. Default: 5, with less than 2 % more bytes than 6, in two thirds of the time. */
    readonly level?: number
    /** Unix seconds. Later times are set to this time. */
    readonly newest?: number | undefined
  }
): Packing<E, R | FileSystem.FileSystem> => {
  let done:
    | (Pick<Rewriting, "manifest" | "binaries" | "remarks"> & { readonly lengths: ReadonlyArray<number> })
    | undefined
  const content = Stream.unwrapScoped(
    Effect.map(gzipMembers(options.level ?? 5), (compress) => {
      const lengths: Array<number> = []
      const out = blocks()
      const rewriting = rewrite(options.name, out, options.newest ?? Number.POSITIVE_INFINITY)
      const reader = tarReader(rewriting.visitor)
      const step = (run: () => void) =>
        Effect.try(() => {
          run()
          return out.taken()
        }).pipe(Effect.catchAll(({ error }) => asInvalid(error)))
      const last = (run: () => void) => Stream.concat(Stream.fromIterableEffect(step(run)))
      return tree.pipe(
        Stream.mapChunksEffect((chunks) => step(() => Chunk.forEach(chunks, reader.push))),
        last(() => {
          reader.finish()
          rewriting.finish()
        }),
        Stream.concat(
          Stream.flatMap(Stream.fromIterable(options.extraFiles ?? []), (extra) =>
            Stream.mapConcatEffect(extraPieces(extra, rewriting), step)
          )
        ),
        last(() => {
          out.write(tarEnd)
          out.close()
          done = { ...rewriting, lengths }
        }),
        Stream.mapEffect(
          (block) =>
            Effect.map(compress(block), (member) => {
              out.giveBack(block)
              return member
            }),
          { concurrency: cores + 1 }
        ),
        Stream.tap((member) => Effect.sync(() => lengths.push(member.length)))
      )
    })
  )
  const packed = Effect.suspend(() =>
    done === undefined
      ? Effect.dieMessage("What was packed was asked for before the tarball was complete")
      : Effect.succeed(done)
  )
  return {
    content,
    manifest: Effect.map(packed, ({ manifest }) => manifest),
    members: Effect.map(packed, ({ lengths }) => ({ bytes: blockBytes, lengths })),
    binaries: Effect.map(packed, ({ binaries }) => binaries()),
    remarks: Effect.map(packed, ({ remarks }) => remarks())
  }
}

const asInvalid = (error: unknown): Effect.Effect<never, ArtifactInvalid> => {
  if (error instanceof ArtifactInvalid) return Effect.fail(error)
  if (error instanceof TarBroken)
    return Effect.fail(invalid(`what the builder yielded is no complete tar stream: ${error.message}`))
  return Effect.die(error)
}

const invalid = (reason: string) => new ArtifactInvalid({ reason })

/** The action for each piece of the file, in order. */
const extraPieces = (
  extra: ExtraFile,
  rewriting: Rewriting
): Stream.Stream<() => void, ArtifactInvalid, FileSystem.FileSystem> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const info = yield* fs.stat(extra.file)
      const mtime = Option.match(info.mtime, { onNone: () => 0, onSome: (date) => Math.floor(date.getTime() / 1000) })
      const size = Number(info.size)
      let read = 0
      const changed = () => invalid(`${extra.file} changed while it was read; try again`)
      return Stream.make(() => rewriting.fileBegins({ path: extra.path, mode: 0o600, mtime, size })).pipe(
        Stream.concat(
          Stream.map(fs.stream(extra.file), (piece) => () => {
            read += piece.length
            if (read > size) throw changed()
            rewriting.visitor.data(piece)
          })
        ),
        Stream.concat(
          Stream.make(() => {
            if (read < size) throw changed()
            rewriting.visitor.end()
          })
        )
      )
    })
  ).pipe(Stream.mapError((error) => invalid(`${extra.file} could not be read: ${error.message}`)))

interface Rewriting {
  readonly visitor: TarVisitor
  readonly fileBegins: (file: Pick<TarEntry, "path" | "mode" | "mtime" | "size">) => void
  /** Call this after the tree: it runs the checks that need all of it. */
  readonly finish: () => void
  readonly manifest: Iterable<ManifestEntry>
  readonly binaries: () => Binaries
  readonly remarks: () => ReadonlyArray<string>
}

/** Throws `ArtifactInvalid`. */
const rewrite = (name: string, out: Blocks, newest: number): Rewriting => {
  const manifest = entryList()
  /** The kind of each path in the release. The release's own folder is "". */
  const seen = new Map<string, "Directory" | "File" | "Symlink">()
  const links = new Map<string, string>()
  /** For second names of files: their first name. */
  const originals = new Map<string, string>()
  let open: { readonly path: string; readonly mode: number; readonly size: number } | undefined
  let sum = sha256Sum()
  const head = new Uint8Array(elfHead)
  let headLength = 0
  let files = 0
  const machines = new Set<string>()
  const interpreters = new Set<string>()
  let special = 0
  let firstSpecial = ""

  const noteSpecialBits = (path: string, mode: number) => {
    if ((mode & 0o7000) === 0) return
    special += 1
    if (special === 1) firstSpecial = `${show(path)} with ${mode.toString(8)}`
  }

  const lookAtProgram = () => {
    const elf = readElf(head.subarray(0, headLength))
    if (elf === undefined) return
    machines.add(elf.machine)
    if (elf.interpreter !== undefined) interpreters.add(elf.interpreter)
  }

  const writeHeader = (entry: TarEntry) => {
    const mtime = Math.min(entry.mtime, newest)
    if (mtime > latestTime) {
      throw invalid(
        `${show(entry.path)} has a date after the year 2242, which no host can be relied on to take: set another one with touch`
      )
    }
    out.write(tarHeader({ ...entry, mtime }))
  }

  const inTarball = (path: string) => (path === "" ? name : `${name}/${path}`)

  const addDirectory = (path: string, mode: number, mtime: number) => {
    seen.set(path, "Directory")
    const usable = (mode & 0o777) | 0o700
    writeHeader({ path: inTarball(path), type: "Directory", mode: usable, mtime, size: 0, to: "" })
    manifest.add({ _tag: "Directory", path: inTarball(path), mode: usable })
  }

  const addSymlink = (path: string, to: string, mtime: number) => {
    seen.set(path, "Symlink")
    links.set(path, to)
    writeHeader({ path: inTarball(path), type: "Symlink", mode: 0o777, mtime, size: 0, to })
    manifest.add({ _tag: "Symlink", path: inTarball(path), to })
  }

  /** Some archives leave out directories that follow from the paths. */
  const addParents = (path: string, mtime: number) => {
    for (const parent of parentsOf(path)) {
      const there = seen.get(parent)
      if (there === undefined) addDirectory(parent, 0o755, mtime)
      else if (there !== "Directory")
        throw invalid(`it holds ${show(path)} below ${show(parent)}, which is no directory`)
    }
  }

  const fileBegins: Rewriting["fileBegins"] = (file) => {
    open = { path: file.path, mode: (file.mode & 0o777) | 0o400, size: file.size }
    sum = sha256Sum()
    headLength = 0
    writeHeader({ ...file, mode: open.mode, type: "File", to: "" })
  }

  const entry = (found: TarEntry) => {
    const path = pathInRelease(found.path)
    if (ownStore.test(path)) {
      const workspace = path.replace(/(^|\/)(release_store|config)\/[^/]+$/, "") || "."
      throw invalid(
        `it holds ${show(path)}, a part of a workspace of deployer, so it would grow with every release and take the config along: keep ${workspace}/ out of the directory that the builder takes, or out of the build context (in its ignore file)`
      )
    }
    const there = seen.get(path)
    if (found.type === "Directory" || found.type === "File") noteSpecialBits(path, found.mode)
    if (found.type === "Directory") {
      if (there === "Directory") return
      if (there !== undefined) throw twice(path)
      addParents(path, found.mtime)
      return addDirectory(path, found.mode, found.mtime)
    }
    if (there !== undefined || path === "") throw twice(path)
    addParents(path, found.mtime)
    switch (found.type) {
      case "File": {
        seen.set(path, "File")
        return fileBegins({ ...found, path: inTarball(path) })
      }
      case "Symlink": {
        if (found.to === "" || hasControl(found.to))
          throw invalid(`the link ${show(path)} leads nowhere that can be named`)
        if (found.to.startsWith("/")) throw leadsOut(path, found.to)
        return addSymlink(path, found.to, found.mtime)
      }
      case "Hardlink": {
        const target = pathInRelease(found.to)
        const to = links.get(target)
        if (to !== undefined) return addSymlink(path, to, found.mtime)
        if (seen.get(target) !== "File") {
          throw invalid(
            `the hard link ${show(path)} leads to ${show(target)}, which is not a file before it in the release`
          )
        }
        const original = originals.get(target) ?? target
        seen.set(path, "File")
        originals.set(path, original)
        writeHeader({ ...found, path: inTarball(path), mode: found.mode & 0o777, size: 0, to: inTarball(original) })
        manifest.add({ _tag: "Hardlink", path: inTarball(path), to: inTarball(original) })
        return
      }
      case "Sparse":
        throw invalid(
          `${show(path)} is stored as a sparse file, which not every host can unpack: make the archive without that (GNU tar: without --sparse)`
        )
      case "Other":
        throw invalid(
          `${show(path)} is neither a file, a directory nor a link (a device, a pipe, a socket): leave it out of the release`
        )
    }
  }

  return {
    manifest,
    remarks: () =>
      special === 0
        ? []
        : [
            `Setuid, setgid and sticky bits are not part of a release, and ${counted(special, "path loses", "paths lose")} them (first: ${firstSpecial}): on the host everything belongs to the login that deploys. Set them there if they are needed, for instance in afterUnpack`
          ],
    binaries: () => ({ machines: [...machines].sort(), interpreters: [...interpreters].sort() }),
    fileBegins,
    visitor: {
      entry,
      data: (piece) => {
        sum.update(piece)
        out.write(piece)
        if (headLength === elfHead) return
        const first = piece.subarray(0, elfHead - headLength)
        head.set(first, headLength)
        headLength += first.length
      },
      end: () => {
        if (open === undefined) return
        files += 1
        if ((open.mode & 0o111) !== 0) lookAtProgram()
        out.write(new Uint8Array(paddingOf(open.size)))
        manifest.add({ _tag: "File", path: open.path, mode: open.mode, size: open.size, sha256: sum.digest() })
        open = undefined
      }
    },
    finish: () => {
      for (const [path, to] of links) if (leaves(links, path, to)) throw leadsOut(path, to)
      if (files === 0) {
        throw invalid(
          "it is empty, there is not a single file in it: see whether the build leaves its files in the directory that the builder takes (releasePath)"
        )
      }
    }
  }
}

/** Unix seconds: the latest time that the plain header of every tar can hold. */
const latestTime = 0o77777777777

const show = (path: string): string => JSON.stringify(path)

/** The tarballs, the database and the config of a workspace, anywhere in the release, also of a copy under another name. */
const ownStore =
  /(^|\/)(deployer\/release_store\/[^/]+\.tar\.gz|release_store\/\.deployer_store|config\/deployer_(store\.db(-wal|-shm)?|config\.m?[jt]s))$/

const twice = (path: string) => invalid(`it holds ${show(path)} twice`)

const leadsOut = (path: string, to: string) =>
  invalid(
    `the link ${show(path)} leads out of the release, to ${show(to)}: copy what it leads to into the release, or remove it`
  )

const hasControl = (text: string): boolean => /[\p{Cc}\u2028\u2029]/u.test(text)

/** Without `./` and without doubled or trailing slashes. "" is the release's own folder. */
const pathInRelease = (path: string): string => {
  if (hasControl(path)) throw invalid(`it holds a name with a line end or another control character: ${show(path)}`)
  if (path.includes("\uFFFD")) throw invalid(`it holds a name that is not UTF-8: ${show(path)}`)
  const words = path.split("/").filter((word) => word !== "" && word !== ".")
  if (path.startsWith("/") || words.includes(".."))
    throw invalid(`it holds the path ${show(path)}, which leads out of it`)
  return words.join("/")
}

/** The outermost first, including the release's own folder. */
const parentsOf = (path: string): ReadonlyArray<string> => {
  if (path === "") return []
  const words = path.split("/")
  return words.map((_, index) => words.slice(0, index).join("/"))
}

/** Every system treats more links than this in a row as a loop. */
const maxLinks = 40

/**
 * Whether following the link leaves the release at any step. Other links on the way are followed too, because `..` goes to the parent of
 * their destination.
 */
const leaves = (links: ReadonlyMap<string, string>, path: string, to: string): boolean => {
  const at = path.split("/").slice(0, -1)
  const todo = to.split("/").toReversed()
  let followed = 0
  for (let word = todo.pop(); word !== undefined; word = todo.pop()) {
    if (word === "" || word === ".") continue
    if (word === "..") {
      if (at.pop() === undefined) return true
      continue
    }
    at.push(word)
    const next = links.get(at.join("/"))
    if (next === undefined) continue
    followed += 1
    if (followed > maxLinks) return false
    at.pop()
    todo.push(...next.split("/").toReversed())
  }
  return false
}
