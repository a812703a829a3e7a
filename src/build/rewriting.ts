/**
 * Turns a builder's tree into the tree of a release. Checks each entry, and then the tree as a whole.
 */
import { counted } from "../domain/Quantity.ts"
import type { TarEntry, TarVisitor } from "../internal/tar.ts"
import { invalid, show } from "./ArtifactInvalid.ts"
import type { TarballWriter } from "./TarballWriter.ts"

/** Takes the builder's entries. All its functions but `remarks` may throw `ArtifactInvalid`. */
export interface Rewriting {
  readonly visitor: TarVisitor
  /** Runs the checks that need the whole tree. Call this after the last entry. */
  readonly finish: () => void
  /** Sentences about properties that the release could not keep. */
  readonly remarks: () => ReadonlyArray<string>
}

/** Passes the tree on to the writer as `<name>/…`. Removes special bits, and adds the missing parents of an entry. */
export const rewrite = (name: string, writer: TarballWriter): Rewriting => {
  /** The kind of each path in the release. The release's own folder is "". */
  const seen = new Map<string, "Directory" | "File" | "Symlink">()
  /** The target of each symbolic link. */
  const links = new Map<string, string>()
  /** The first name of a file, by its other names. */
  const originals = new Map<string, string>()
  const special = specialBits()
  let hasFiles = false

  const inTarball = (path: string) => (path === "" ? name : `${name}/${path}`)

  const addDirectory = (path: string, mode: number, mtime: number) => {
    seen.set(path, "Directory")
    writer.directory(inTarball(path), mode, mtime)
  }

  /** Adds the parent directories of a path, which some archives leave out. */
  const addParents = (path: string, mtime: number) => {
    for (const parent of parentsOf(path)) {
      const there = seen.get(parent)
      if (there === undefined) addDirectory(parent, 0o755, mtime)
      else if (there !== "Directory")
        throw invalid(`it holds ${show(path)} below ${show(parent)}, which is no directory`)
    }
  }

  const addFile = (path: string, file: TarEntry) => {
    seen.set(path, "File")
    hasFiles = true
    writer.fileBegins({ ...file, path: inTarball(path) })
  }

  const addSymlink = (path: string, to: string, mtime: number) => {
    seen.set(path, "Symlink")
    links.set(path, to)
    writer.symlink(inTarball(path), to, mtime)
  }

  /** Adds a hard link. A hard link to a symbolic link becomes a symbolic link. */
  const addHardlink = (path: string, { mode, mtime, to }: TarEntry) => {
    const target = pathInRelease(to)
    const leadsTo = links.get(target)
    if (leadsTo !== undefined) return addSymlink(path, leadsTo, mtime)
    if (seen.get(target) !== "File") {
      throw invalid(
        `the hard link ${show(path)} leads to ${show(target)}, which is not a file before it in the release`
      )
    }
    const original = originals.get(target) ?? target
    seen.set(path, "File")
    originals.set(path, original)
    writer.hardlink(inTarball(path), inTarball(original), mode, mtime)
  }

  const entry = (found: TarEntry) => {
    const path = pathInRelease(found.path)
    refuseOwnStore(path)
    const there = seen.get(path)
    if (found.type === "Directory" || found.type === "File") special.note(path, found.mode)
    if (found.type === "Directory") {
      if (there === "Directory") return
      if (there !== undefined) throw twice(path)
      addParents(path, found.mtime)
      return addDirectory(path, found.mode, found.mtime)
    }
    if (there !== undefined || path === "") throw twice(path)
    addParents(path, found.mtime)
    switch (found.type) {
      case "File":
        return addFile(path, found)
      case "Symlink": {
        if (found.to === "" || hasControl(found.to))
          throw invalid(`the link ${show(path)} has no usable target: make it again, or remove it`)
        if (found.to.startsWith("/")) throw leadsOut(path, found.to)
        return addSymlink(path, found.to, found.mtime)
      }
      case "Hardlink":
        return addHardlink(path, found)
      case "Sparse":
        throw invalid(
          `${show(path)} is stored as a sparse file, which not every host can unpack: make the archive without sparse files (GNU tar: without --sparse)`
        )
      case "Other":
        throw invalid(
          `${show(path)} is neither a file, a directory nor a link (a device, a pipe, a socket): leave it out of the release`
        )
    }
  }

  return {
    visitor: { entry, data: writer.data, end: writer.end },
    finish: () => {
      for (const [path, to] of links) if (leaves(links, path, to)) throw leadsOut(path, to)
      if (!hasFiles) {
        throw invalid(
          "it is empty, there is not a single file in it: check that the build leaves its files in the directory that the builder takes (releasePath)"
        )
      }
    },
    remarks: special.remarks
  }
}

/** Counts the paths that lose special bits, and remembers the first one. */
const specialBits = () => {
  let count = 0
  let first = ""
  return {
    note: (path: string, mode: number) => {
      if ((mode & 0o7000) === 0) return
      count += 1
      if (count === 1) first = `${show(path)} with ${mode.toString(8)}`
    },
    remarks: (): ReadonlyArray<string> =>
      count === 0
        ? []
        : [
            `Setuid, setgid and sticky bits are not part of a release, and ${counted(count, "path loses", "paths lose")} them (first: ${first}): on the host, everything belongs to the login that deploys. If the application needs these bits, set them on the host, for instance in afterUnpack`
          ]
  }
}

/** Refuses the tarballs, the database and the config of a workspace anywhere in the release, even if the workspace has another name. */
const ownStore =
  /(^|\/)(deployer\/release_store\/[^/]+\.tar\.gz|release_store\/\.deployer_store|config\/deployer_(store\.db(-wal|-shm)?|config\.m?[jt]s))$/

const refuseOwnStore = (path: string): void => {
  if (!ownStore.test(path)) return
  const workspace = path.replace(/(^|\/)(release_store|config)\/[^/]+$/, "") || "."
  throw invalid(
    `it holds ${show(path)}, a part of a workspace of deployer, so it would grow with every release and include the config: keep ${workspace}/ out of the directory that the builder takes, or out of the build context (in its ignore file)`
  )
}

const twice = (path: string) => invalid(`it holds ${show(path)} twice`)

const leadsOut = (path: string, to: string) =>
  invalid(
    `the link ${show(path)} leads out of the release, to ${show(to)}: replace it with a copy of that file or directory, or remove it`
  )

/** Whether a name has a control character or a line end of Unicode. */
export const hasControl = (text: string): boolean => /[\p{Cc}\u2028\u2029]/u.test(text)

/** The path without `./` and without doubled or trailing slashes. "" is the release's own folder. */
const pathInRelease = (path: string): string => {
  if (hasControl(path)) throw invalid(`it holds a name with a line end or another control character: ${show(path)}`)
  if (path.includes("\uFFFD")) throw invalid(`it holds a name that is not UTF-8: ${show(path)}`)
  const words = path.split("/").filter((word) => word !== "" && word !== ".")
  if (path.startsWith("/") || words.includes(".."))
    throw invalid(`it holds the path ${show(path)}, which leads out of it`)
  return words.join("/")
}

/** The folders above a path, the outermost first, including the release's own folder. */
const parentsOf = (path: string): ReadonlyArray<string> => {
  if (path === "") return []
  const words = path.split("/")
  return words.map((_, index) => words.slice(0, index).join("/"))
}

/** The maximum number of links in a row. Every system takes a longer chain for a loop. */
const maxLinks = 40

/**
 * Whether the way of a link leaves the release at any step. Follows other links on the way too, because `..` after a link is the parent of that
 * link's target.
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
