/**
 * Trees of files as plain values, as tar streams and as they stand on the disk.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { paddingOf, tarEnd, tarHeader } from "../../src/internal/tar.ts"

export interface TreeEntry {
  readonly kind: "dir" | "file" | "symlink" | "hardlink"
  readonly path: string
  readonly mode: number
  readonly content: string
  readonly to: string
}

export type Tree = ReadonlyArray<TreeEntry>

/** The date of all of them, in Unix seconds. */
/** Of everything in a tar, in seconds. */
export const mtime = 1_600_000_000

const none = { mode: 0o755, content: "", to: "" }

export const dir = (at: string, mode = 0o755): TreeEntry => ({ ...none, kind: "dir", path: at, mode })
export const file = (at: string, content: string, mode = 0o644): TreeEntry => ({
  ...none,
  kind: "file",
  path: at,
  content,
  mode
})
export const symlink = (at: string, to: string): TreeEntry => ({ ...none, kind: "symlink", path: at, to })
export const hardlink = (at: string, to: string): TreeEntry => ({ ...none, kind: "hardlink", path: at, to })

export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex")

const tarTypes = { dir: "Directory", file: "File", symlink: "Symlink", hardlink: "Hardlink" } as const

export const tarOf = (tree: Tree): Buffer =>
  Buffer.concat([
    ...tree.flatMap((entry) => {
      const content = Buffer.from(entry.content)
      const type = tarTypes[entry.kind]
      const header = tarHeader({
        path: `./${entry.path}`,
        type,
        mode: entry.mode,
        mtime,
        size: content.length,
        to: entry.to
      })
      return [header, content, Buffer.alloc(paddingOf(content.length))]
    }),
    tarEnd
  ])

/** Comparable: each path (but the root) with its kind and content; a second name of a file counts as a file. */
export const treeOf = (tree: Tree): Record<string, string> => {
  const files = new Map(tree.map((entry) => [entry.path, entry]))
  return Object.fromEntries(
    tree
      .filter((entry) => entry.path !== ".")
      .map((entry) => {
        const real = entry.kind === "hardlink" ? files.get(entry.to)! : entry
        return [
          entry.path,
          real.kind === "file"
            ? `file ${real.mode.toString(8)} ${sha256(real.content)}`
            : real.kind === "symlink"
              ? `symlink ${real.to}`
              : "dir"
        ] as const
      })
      .sort(([a], [b]) => (a < b ? -1 : 1))
  )
}

/** The same of a directory. */
export const treeIn = (folder: string): Record<string, string> => {
  const found: Array<readonly [string, string]> = []
  const visit = (relative: string) => {
    for (const name of fs.readdirSync(path.join(folder, relative))) {
      const at = relative === "" ? name : `${relative}/${name}`
      const info = fs.lstatSync(path.join(folder, at))
      if (info.isDirectory()) {
        found.push([at, "dir"])
        visit(at)
      } else if (info.isSymbolicLink()) found.push([at, `symlink ${fs.readlinkSync(path.join(folder, at))}`])
      else {
        const content = fs.readFileSync(path.join(folder, at))
        found.push([at, `file ${(info.mode & 0o777).toString(8)} ${sha256(content)}`])
      }
    }
  }
  visit("")
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}
