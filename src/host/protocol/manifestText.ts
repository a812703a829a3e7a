/**
 * The text of a manifest on a host: lines that a shell can process.
 */
import type { ListedFile, Origin } from "../../domain/Differences.ts"
import type { Manifest, ManifestEntry } from "../../domain/Manifest.ts"

/** The last line, with the number of lines before it. */
const last = (lines: number): string => `end ${lines}`

const modeLine = (mode: number): string => `mode ${mode.toString(8).padStart(3, "0")}`

/** The file that an entry is a name of. Undefined if it is not a file's name. */
const fileOf = (
  entries: ReadonlyMap<string, ManifestEntry>,
  path: string,
  hops = 0
): Extract<ManifestEntry, { readonly _tag: "File" }> | undefined => {
  const entry = entries.get(path)
  if (entry?._tag === "File") return entry
  return entry?._tag === "Hardlink" && hops < 40 ? fileOf(entries, entry.to, hops + 1) : undefined
}

/**
 * The lines, without line ends: `dir ./path`, `link ./path` followed by `to …`, and `<SHA-256>  ./path`. `mode 755` applies to the directories and
 * files after it. Undefined if a path does not fit on one line.
 */
export const manifestLines = (manifest: Manifest): ReadonlyArray<string> | undefined => {
  const entries = new Map<string, ManifestEntry>(manifest.map((entry) => [entry.path, entry]))
  const lines: Array<string> = []
  let mode: number | undefined
  const withMode = (wanted: number, line: string) => {
    if (wanted !== mode) lines.push(modeLine(wanted))
    mode = wanted
    lines.push(line)
  }
  for (const entry of manifest) {
    if (/[\n\0]/.test(entry.path) || (entry._tag === "Symlink" && /[\n\0]/.test(entry.to))) return undefined
    switch (entry._tag) {
      case "Directory":
        withMode(entry.mode, `dir ./${entry.path}`)
        break
      case "Symlink":
        lines.push(`link ./${entry.path}`, `to ${entry.to}`)
        break
      default: {
        const file = fileOf(entries, entry.path)
        if (file === undefined) return undefined
        withMode(file.mode, `${file.sha256}  ./${entry.path}`)
      }
    }
  }
  return [...lines, last(lines.length)]
}

/** The files in the lines of a host's manifest, except those without a mode. Undefined if the lines are damaged. */
export const listedFiles = (lines: ReadonlyArray<string>): ReadonlyArray<ListedFile> | undefined => {
  if (lines.at(-1) !== last(lines.length - 1)) return undefined
  const files: Array<ListedFile> = []
  let mode: number | undefined
  for (const line of lines) {
    if (/^mode [0-7]{3,4}$/.test(line)) mode = Number.parseInt(line.slice(5), 8)
    const [, sha256, path] = /^([0-9a-f]{64}) {2}\.\/(.+)$/.exec(line) ?? []
    if (sha256 !== undefined && path !== undefined && mode !== undefined) files.push({ path, mode, sha256 })
  }
  return files
}

/** A release on the host, by its manifest and by its copy in the store. Undefined if the manifest cannot be written or read. */
export const originOf = (
  ref: string,
  lines: ReadonlyArray<string> | undefined,
  stored?: Origin["stored"]
): Origin | undefined => {
  const files = lines === undefined ? undefined : listedFiles(lines)
  if (lines === undefined || files === undefined) return undefined
  return { ref, files, lines, ...(stored === undefined ? {} : { stored }) }
}

/** A release on the host without the files that commands changed, and without files below a changed path. */
export const withoutAltered = (origin: Origin, altered: ReadonlyArray<string>): Origin => {
  const others = new Set(altered)
  const isAltered = (path: string): boolean => {
    const end = path.lastIndexOf("/")
    return others.has(path) || (end > 0 && isAltered(path.slice(0, end)))
  }
  return { ...origin, files: origin.files.filter(({ path }) => !isAltered(path)) }
}
