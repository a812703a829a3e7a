/**
 * Files in memory, and the tar stream that holds them.
 */
import { paddingOf, type TarEntry, tarEnd, tarHeader } from "../internal/tar.ts"

/** A file in memory: its content, an executable's content, or a link. */
export type MemoryFile =
  | string
  | Uint8Array
  | { readonly content: string | Uint8Array; readonly mode: number }
  | { readonly symlink: string }

/**
 * The files as tar entries in the given order, and the end of the archive. Paths are relative; a path that ends in `/` is a directory.
 * `mtime` is in Unix seconds.
 */
export const tarOf = (
  files: ReadonlyArray<readonly [path: string, file: MemoryFile]>,
  mtime: number
): ReadonlyArray<Uint8Array> => [...files.flatMap(([path, file]) => entryOf(path, file, mtime)), tarEnd]

const entryOf = (path: string, file: MemoryFile, mtime: number): ReadonlyArray<Uint8Array> => {
  const plain = typeof file === "string" || file instanceof Uint8Array ? { content: file, mode: 0o644 } : file
  const entry: TarEntry = { path: `./${path}`, type: "File", mode: 0o755, mtime, size: 0, to: "" }
  if ("symlink" in plain) return [tarHeader({ ...entry, type: "Symlink", to: plain.symlink })]
  if (path === "" || path.endsWith("/")) return [tarHeader({ ...entry, type: "Directory" })]
  const content = typeof plain.content === "string" ? new TextEncoder().encode(plain.content) : plain.content
  const size = content.length
  return [tarHeader({ ...entry, mode: plain.mode, size }), content, new Uint8Array(paddingOf(size))]
}
