import { Buffer } from "node:buffer"
import type { ManifestEntry } from "../domain/Manifest.ts"

/** Manifest entries in a fraction of the memory that objects take. */
export interface EntryList extends Iterable<ManifestEntry> {
  readonly add: (entry: ManifestEntry) => void
}

const sumBytes = 32

/** An empty list. */
export const entryList = (): EntryList => {
  const paths: Array<string> = []
  const modes: Array<number> = []
  /** The sizes of files, and of nothing else. */
  const sizes: Array<number> = []
  let sums = Buffer.alloc(sumBytes * 1024)
  /** By index. An entry that is neither here nor a file is a directory. */
  const links = new Map<number, ManifestEntry>()
  const directory = -1
  return {
    add: (entry) => {
      const place = paths.length
      paths.push(entry.path)
      modes.push("mode" in entry ? entry.mode : 0)
      sizes.push(entry._tag === "File" ? entry.size : directory)
      if ("to" in entry) links.set(place, entry)
      if (entry._tag !== "File") return
      if ((place + 1) * sumBytes > sums.length) sums = Buffer.concat([sums], sumBytes * place * 2)
      sums.write(entry.sha256, place * sumBytes, "hex")
    },
    *[Symbol.iterator]() {
      for (const [place, path] of paths.entries()) {
        const [mode = 0, size = directory, link] = [modes[place], sizes[place], links.get(place)]
        if (link !== undefined) yield link
        else if (size === directory) yield { _tag: "Directory", path, mode }
        else {
          const sha256 = sums.toString("hex", place * sumBytes, (place + 1) * sumBytes)
          yield { _tag: "File", path, mode, size, sha256 }
        }
      }
    }
  }
}
