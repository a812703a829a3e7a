/**
 * Which files of a release must travel to a host that holds other releases: only those with content that the host lacks. Pure.
 */
import { type Manifest, unpackedSize } from "./Manifest.ts"
import type { Release } from "./Release.ts"

/** A file in a manifest on a host. */
export interface ListedFile {
  readonly path: string
  /** Permission bits. */
  readonly mode: number
  readonly sha256: string
}

/** A release on the host from which files can be taken. */
export interface Origin {
  readonly ref: string
  readonly files: ReadonlyArray<ListedFile>
  /** The lines of its manifest on the host. */
  readonly lines: ReadonlyArray<string>
  /** The same release in the store. Undefined if its contents are unknown here. */
  readonly stored?: { readonly release: Release; readonly manifest: Manifest }
}

/** A file that is copied from another place on the host. */
export interface Move {
  /** The release to copy from. Undefined for the release being built. */
  readonly ref: string | undefined
  readonly from: string
  readonly to: string
  /** Its permission bits, if they differ from those of its source. */
  readonly mode: number | undefined
}

/** How to build a release from others. */
export interface Differences {
  /** The release that has the most files in the right place. */
  readonly origin: Origin
  /** Paths of the files that travel, and of second names for these. */
  readonly sent: ReadonlySet<string>
  /** The number and bytes of the files among them. */
  readonly files: number
  readonly bytes: number
  /** The bytes likely to travel: only the new parts of a patched file do. */
  readonly likely: number
  /** The files of `sent` that travel as patches, each with the path in `origin` of the file it is patched from. */
  readonly patches: ReadonlyMap<string, string>
  /** The number of files that are already in the right place. */
  readonly kept: number
  /** Files that the host has in another place. */
  readonly moves: ReadonlyArray<Move>
}

/** Above this part of a release the whole tarball is as good, and is unpacked while it travels. */
const maxPart = 0.7

/** Smaller files travel: looking for them elsewhere is not worth it. In bytes. */
const smallest = 512

/** Smaller files travel whole: patching them is not worth it. In bytes. */
const smallestPatch = 4096

/** Each patched file starts a few programs on the host: only the largest files are worth it. */
const maxPatches = 500

/** The part of a patched file that is likely to travel. */
const newPart = 0.3

const place = ({ mode, path, sha256 }: ListedFile): string => `${mode} ${sha256} ${path}`

const found = new WeakMap<
  Manifest,
  { readonly origins: ReadonlyArray<Origin>; readonly differences: Differences | undefined }
>()

/**
 * The differences from the releases on the host. Undefined if nothing or too little can be taken from them. A deployment is planned before
 * and after taking the lock, nearly always from the same state, so the last result for a manifest is remembered.
 */
export const differences = (manifest: Manifest, origins: ReadonlyArray<Origin>): Differences | undefined => {
  const known = found.get(manifest)
  if (known?.origins.length === origins.length && origins.every((origin, index) => origin === known.origins[index])) {
    return known.differences
  }
  const differences = differ(manifest, origins)
  found.set(manifest, { origins, differences })
  return differences
}

const differ = (manifest: Manifest, origins: ReadonlyArray<Origin>): Differences | undefined => {
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
      // If its first name travels, it travels too. Otherwise it becomes a copy of that file.
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
  const patches = patchesFor(manifest, sent, best.origin)
  const patched = [...patches.keys()].reduce((total, path) => total + (files.get(path)?.size ?? 0), 0)
  const likely = Math.round(bytes - patched * (1 - newPart))
  return likely > maxPart * unpackedSize(manifest) || kept + moves.length + patches.size === 0
    ? undefined
    : { origin: best.origin, sent, files: count, bytes, likely, patches, kept, moves }
}

/**
 * A file is patched from the file at the same path, or from the only file with the same name: a version in a path changes with each
 * release.
 */
const patchesFor = (manifest: Manifest, sent: ReadonlySet<string>, { stored }: Origin): ReadonlyMap<string, string> => {
  if (stored === undefined) return new Map()
  const places = new Map<string, number>()
  const names = new Map<string, string | undefined>()
  for (const entry of stored.manifest) {
    if (entry._tag !== "File" || entry.size < smallestPatch) continue
    const name = nameOf(entry.path)
    places.set(entry.path, entry.size)
    names.set(name, names.has(name) ? undefined : entry.path)
  }
  const linked = new Set(manifest.flatMap((entry) => (entry._tag === "Hardlink" ? [entry.to] : [])))
  const found = manifest.flatMap((entry) => {
    // Second names are made while the release is unpacked, before patched files exist.
    if (entry._tag !== "File" || entry.size < smallestPatch || !sent.has(entry.path) || linked.has(entry.path))
      return []
    const before = places.has(entry.path) ? entry.path : names.get(nameOf(entry.path))
    return before === undefined ? [] : [{ ...entry, before }]
  })
  const patches = new Map<string, string>()
  let blocks = 0
  for (const { before, path } of found.toSorted((a, b) => b.size - a.size).slice(0, maxPatches)) {
    blocks += blocksOf(places.get(before) ?? 0)
    if (blocks > maxBlocks) break
    patches.set(path, before)
  }
  return patches
}

/** The most blocks of old files to remember, at about 20 bytes each. */
const maxBlocks = 2 ** 20
const blocksOf = (size: number): number => Math.min(size / 512, 2 ** 18)

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
