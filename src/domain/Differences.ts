/**
 * What of a release has to travel to a host that holds others: only files whose content is nowhere there. Pure.
 */
import { type Manifest, unpackedSize } from "./Manifest.ts"

/** A file as a manifest on a host names it. */
export interface ListedFile {
  readonly path: string
  /** Permission bits. */
  readonly mode: number
  readonly sha256: string
}

/** A release on the host, from which files can be taken. */
export interface Origin {
  readonly ref: string
  readonly files: ReadonlyArray<ListedFile>
  /** Its manifest as it stands on the host. */
  readonly lines: ReadonlyArray<string>
}

/** A file that is taken from another place on the host. */
export interface Move {
  /** The release that it is taken from; absent: the one that is made. */
  readonly ref: string | undefined
  readonly from: string
  readonly to: string
  /** Its permission bits, where they are others than those of the place that it is taken from. */
  readonly mode: number | undefined
}

/** How a release is completed from others. */
export interface Differences {
  /** The release in which most of the files stand just as they are wanted. */
  readonly origin: Origin
  /** Paths of the files that travel, and of second names for these. */
  readonly sent: ReadonlySet<string>
  /** How many of them are files, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** Files that are there, and stay where they are in the release. */
  readonly kept: number
  /** Files that are there, but elsewhere. */
  readonly moves: ReadonlyArray<Move>
}

/** Beyond this part of a release the whole tarball is as good, and is unpacked while it travels. */
const mostPart = 0.7

/** Files below this size travel sooner than they are looked for elsewhere, in bytes. */
const smallest = 512

const place = ({ mode, path, sha256 }: ListedFile): string => `${mode} ${sha256} ${path}`

/** The differences from what is there; absent where there is nothing to take, or too little. */
export const differences = (manifest: Manifest, origins: ReadonlyArray<Origin>): Differences | undefined => {
  const files = new Map(manifest.flatMap((entry) => (entry._tag === "File" ? [[entry.path, entry] as const] : [])))
  const there = origins.map((origin) => ({ origin, places: new Set(origin.files.map(place)) }))
  const shared = (places: ReadonlySet<string>) =>
    [...files.values()].reduce((bytes, file) => (places.has(place(file)) ? bytes + file.size + 1 : bytes), 0)
  const [best] = there.toSorted((a, b) => shared(b.places) - shared(a.places))
  if (best === undefined) return undefined

  const contents = new Map<string, { readonly ref: string | undefined; readonly file: ListedFile }>()
  for (const { files, ref } of [best.origin, ...origins.filter((other) => other !== best.origin)]) {
    for (const file of files) if (!contents.has(file.sha256)) contents.set(file.sha256, { ref, file })
  }
  const sent = new Set<string>()
  const moves: Array<Move> = []
  let bytes = 0
  let kept = 0
  let count = 0
  for (const entry of manifest) {
    const file = entry._tag === "Hardlink" ? files.get(entry.to) : entry._tag === "File" ? entry : undefined
    if (file === undefined) continue
    const wanted = { path: entry.path, mode: file.mode, sha256: file.sha256 }
    if (best.places.has(place(wanted))) {
      kept += 1
      continue
    }
    if (entry._tag === "Hardlink") {
      // Its first name travels as well, or it is a copy of that.
      if (sent.has(entry.to)) sent.add(entry.path)
      else moves.push({ ref: undefined, from: entry.to, to: entry.path, mode: undefined })
      continue
    }
    const found = file.size < smallest ? undefined : contents.get(file.sha256)
    if (found !== undefined) {
      const mode = found.file.mode === file.mode ? undefined : file.mode
      moves.push({ ref: found.ref, from: found.file.path, to: file.path, mode })
      continue
    }
    sent.add(file.path)
    contents.set(file.sha256, { ref: undefined, file: wanted })
    bytes += file.size
    count += 1
  }
  return bytes > mostPart * unpackedSize(manifest) || kept + moves.length === 0
    ? undefined
    : { origin: best.origin, sent, files: count, bytes, kept, moves }
}
