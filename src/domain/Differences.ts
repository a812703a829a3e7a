/**
 * What of a release has to travel to a host that holds others: only files whose content is nowhere there. Pure.
 */
import { type Manifest, unpackedSize } from "./Manifest.ts"
import type { Release } from "./Release.ts"

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
  /** The same one in the store; absent: what is in its files is not known here. */
  readonly stored?: { readonly release: Release; readonly manifest: Manifest }
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
  /** Bytes that are likely to travel: of a patched file only what is new does. */
  readonly likely: number
  /** Those of them of which only what is new need travel, each with the path of the file in `origin` that it was before. */
  readonly patches: ReadonlyMap<string, string>
  /** Files that are there, and stay where they are in the release. */
  readonly kept: number
  /** Files that are there, but elsewhere. */
  readonly moves: ReadonlyArray<Move>
}

/** Beyond this part of a release the whole tarball is as good, and is unpacked while it travels. */
const mostPart = 0.7

/** Files below this size travel sooner than they are looked for elsewhere, in bytes. */
const smallest = 512

/** Files below this size travel sooner than they are compared with what they were, in bytes. */
const smallestPatch = 4096

/** On the host each patched file takes a few programs: the largest ones are worth it. */
const mostPatches = 500

/** What of a patched file is likely to travel. */
const newPart = 0.3

const place = ({ mode, path, sha256 }: ListedFile): string => `${mode} ${sha256} ${path}`

const found = new WeakMap<
  Manifest,
  { readonly origins: ReadonlyArray<Origin>; readonly differences: Differences | undefined }
>()

/**
 * The differences from what is there; absent where there is nothing to take, or too little. A deployment is planned before the lock is taken
 * and after that, and nearly always from the same: what was found last for a manifest is remembered.
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
  const patches = patchesFor(manifest, sent, best.origin)
  const patched = [...patches.keys()].reduce((total, path) => total + (files.get(path)?.size ?? 0), 0)
  const likely = Math.round(bytes - patched * (1 - newPart))
  return likely > mostPart * unpackedSize(manifest) || kept + moves.length + patches.size === 0
    ? undefined
    : { origin: best.origin, sent, files: count, bytes, likely, patches, kept, moves }
}

/** A file is what was in its place, or has its name where only one has: a version in a path changes with each release. */
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
    // A second name is made while the release is unpacked, when a patched file is not there yet.
    if (entry._tag !== "File" || entry.size < smallestPatch || !sent.has(entry.path) || linked.has(entry.path))
      return []
    const before = places.has(entry.path) ? entry.path : names.get(nameOf(entry.path))
    return before === undefined ? [] : [{ ...entry, before }]
  })
  const patches = new Map<string, string>()
  let blocks = 0
  for (const { before, path } of found.toSorted((a, b) => b.size - a.size).slice(0, mostPatches)) {
    blocks += blocksOf(places.get(before) ?? 0)
    if (blocks > mostBlocks) break
    patches.set(path, before)
  }
  return patches
}

/** Blocks that are remembered of all that files were, with some 20 bytes for each. */
const mostBlocks = 2 ** 20
const blocksOf = (size: number): number => Math.min(size / 512, 2 ** 18)

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)
