/**
 * Writes the entries of a release: each to the tarball, as a header and its content, and to the manifest.
 */
import type { ManifestEntry } from "../domain/Manifest.ts"
import type { Binaries } from "../domain/Release.ts"
import type { Blocks } from "../internal/blocks.ts"
import { elfHead, readElf } from "../internal/elf.ts"
import { entryList } from "../internal/entryList.ts"
import { sha256Sum } from "../internal/machine.ts"
import { paddingOf, type TarEntry, type TarVisitor, tarHeader } from "../internal/tar.ts"
import { invalid, show } from "./ArtifactInvalid.ts"

/** Takes entries in the order of the tarball. Paths start at the tarball's root, modes are permission bits, and times are Unix seconds. */
export interface TarballWriter {
  readonly directory: (path: string, mode: number, mtime: number) => void
  readonly symlink: (path: string, to: string, mtime: number) => void
  readonly hardlink: (path: string, to: string, mode: number, mtime: number) => void
  /** `size` is in bytes. */
  readonly fileBegins: (file: Pick<TarEntry, "path" | "mode" | "mtime" | "size">) => void
  /** Adds a piece to the file that has begun. */
  readonly data: TarVisitor["data"]
  /** Ends the file that has begun. Does nothing if no file has begun. */
  readonly end: TarVisitor["end"]
  /** The entries so far. */
  readonly manifest: Iterable<ManifestEntry>
  /** The platforms of the programs so far. */
  readonly binaries: () => Binaries
}

/**
 * Makes a writer to `out`. Times after `newest`, in Unix seconds, become `newest`. A method that takes an entry throws `ArtifactInvalid` if the
 * entry's time fits in no header.
 */
export const tarballWriter = (out: Pick<Blocks, "write">, newest: number): TarballWriter => {
  const manifest = entryList()
  const programs = programsSeen()
  let open: { readonly path: string; readonly mode: number; readonly size: number } | undefined
  let sum = sha256Sum()

  const writeHeader = (entry: TarEntry) => {
    const mtime = Math.min(entry.mtime, newest)
    if (mtime > latestTime) {
      throw invalid(
        `${show(entry.path)} has a date after the year 2242, which not every host accepts: set another date with touch`
      )
    }
    out.write(tarHeader({ ...entry, mtime }))
  }

  return {
    manifest,
    binaries: programs.binaries,
    directory: (path, mode, mtime) => {
      const usable = (mode & 0o777) | 0o700
      writeHeader({ path, type: "Directory", mode: usable, mtime, size: 0, to: "" })
      manifest.add({ _tag: "Directory", path, mode: usable })
    },
    symlink: (path, to, mtime) => {
      writeHeader({ path, type: "Symlink", mode: 0o777, mtime, size: 0, to })
      manifest.add({ _tag: "Symlink", path, to })
    },
    hardlink: (path, to, mode, mtime) => {
      writeHeader({ path, type: "Hardlink", mode: mode & 0o777, mtime, size: 0, to })
      manifest.add({ _tag: "Hardlink", path, to })
    },
    fileBegins: (file) => {
      open = { path: file.path, mode: (file.mode & 0o777) | 0o400, size: file.size }
      sum = sha256Sum()
      programs.fileBegins()
      writeHeader({ ...file, mode: open.mode, type: "File", to: "" })
    },
    data: (piece) => {
      sum.update(piece)
      out.write(piece)
      programs.data(piece)
    },
    end: () => {
      if (open === undefined) return
      if ((open.mode & 0o111) !== 0) programs.executableEnds()
      out.write(new Uint8Array(paddingOf(open.size)))
      manifest.add({ _tag: "File", path: open.path, mode: open.mode, size: open.size, sha256: sum.digest() })
      open = undefined
    }
  }
}

/** Recognizes programs by the first bytes of their files. A file arrives in pieces. */
const programsSeen = () => {
  const machines = new Set<string>()
  const interpreters = new Set<string>()
  const head = new Uint8Array(elfHead)
  let headLength = 0
  return {
    fileBegins: () => {
      headLength = 0
    },
    data: (piece: Uint8Array) => {
      if (headLength === elfHead) return
      const first = piece.subarray(0, elfHead - headLength)
      head.set(first, headLength)
      headLength += first.length
    },
    executableEnds: () => {
      const elf = readElf(head.subarray(0, headLength))
      if (elf === undefined) return
      machines.add(elf.machine)
      if (elf.interpreter !== undefined) interpreters.add(elf.interpreter)
    },
    binaries: (): Binaries => ({ machines: [...machines].sort(), interpreters: [...interpreters].sort() })
  }
}

/** The latest time that a plain tar header can hold, in Unix seconds. */
const latestTime = 0o77777777777
