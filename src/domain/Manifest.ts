/**
 * The manifest of a release: every path in its tarball with type, mode, size and SHA-256, so that any host can prove that it holds exactly
 * the build's files.
 */
import * as Schema from "effect/Schema"
import { Sha256 } from "./Release.ts"

/** Relative to the tarball's root, `/`-separated, without a leading `./` or a trailing `/`. */
const EntryPath = Schema.NonEmptyString

/** A regular file. `mode` holds the permission bits, `size` the bytes. */
export const FileEntry = Schema.TaggedStruct("File", {
  path: EntryPath,
  mode: Schema.NonNegativeInt,
  size: Schema.NonNegativeInt,
  sha256: Sha256
})

/** A directory. */
export const DirectoryEntry = Schema.TaggedStruct("Directory", { path: EntryPath, mode: Schema.NonNegativeInt })

/** A symbolic link; `to` is its text, never leading out of the release. */
export const SymlinkEntry = Schema.TaggedStruct("Symlink", { path: EntryPath, to: Schema.NonEmptyString })

/** A second name of the file at `to` (a path in the same manifest). */
export const HardlinkEntry = Schema.TaggedStruct("Hardlink", { path: EntryPath, to: EntryPath })

/** One path of a release. */
export const ManifestEntry = Schema.Union(FileEntry, DirectoryEntry, SymlinkEntry, HardlinkEntry)
/** One path of a release. */
export type ManifestEntry = typeof ManifestEntry.Type

/** All paths of a release, in the order of the tarball. */
export const Manifest = Schema.Array(ManifestEntry)
/** All paths of a release, in the order of the tarball. */
export type Manifest = typeof Manifest.Type

/** Bytes that all files and directories take on a disk with blocks of 4 KiB. */
export const sizeOnDisk = (manifest: Manifest): number =>
  manifest.reduce(
    (total, entry) =>
      entry._tag === "File"
        ? total + Math.ceil(entry.size / 4096) * 4096
        : entry._tag === "Directory"
          ? total + 4096
          : total,
    0
  )

/** Bytes of all files once unpacked. */
export const unpackedSize = (manifest: Manifest): number =>
  manifest.reduce((total, entry) => (entry._tag === "File" ? total + entry.size : total), 0)

/** Whether any file is executable. */
export const hasExecutables = (manifest: Manifest): boolean =>
  manifest.some((entry) => entry._tag === "File" && (entry.mode & 0o111) !== 0)
