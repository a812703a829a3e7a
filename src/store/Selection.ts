/**
 * Some entries of a stored tarball: their positions, and their bytes, checked against the manifest on the way.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Manifest, ManifestEntry } from "../domain/Manifest.ts"
import type { Members } from "../domain/Members.ts"
import { decompressAll } from "../internal/gzip.ts"
import { gunzipMember } from "../internal/gzipMember.ts"
import { cores, sha256Sum } from "../internal/machine.ts"
import { paddingOf, TarBroken, type TarEntry, tarEnd, tarHeader, tarHeaderSize, tarReader } from "../internal/tar.ts"
import { type Opened, TarballsError } from "./Tarballs.ts"

/** The form of each entry: all of its tar bytes, or only the file's content. */
export type Form = "entries" | "content"

/** A selection of a tarball's entries. */
export interface Selection {
  /** The manifest of the whole tarball. */
  readonly manifest: Manifest
  /** How the tarball is divided, if known: then only members with wanted bytes are read. */
  readonly members: Members | undefined
  readonly wants: (entry: ManifestEntry) => boolean
  readonly form: Form
}

/**
 * The bytes of the wanted entries in the order of the tarball, without the end of the archive. Fails if the tarball does not hold each of
 * them exactly once and as in the manifest. The last piece of a file is sent only after its hash has been proved.
 */
export const select = (tarball: Opened, selection: Selection): Stream.Stream<Uint8Array, TarballsError> => {
  const { form, manifest, members, wants } = selection
  const wanted = manifest.filter(wants)
  if (wanted.length === 0) return Stream.empty
  const layout = layoutOf(manifest, wants)
  return members !== undefined && fits(members, layout.size, tarball.size)
    ? taken(wanted, form, fromMembers(tarball, members, layout))
    : taken(wanted, form, decompressAll(tarball.bytes, unlike))
}

/** The bytes that {@link select} returns in the form `entries`. */
export const entriesSize = (manifest: Manifest, paths: ReadonlySet<string>): number =>
  layoutOf(manifest, ({ path }) => paths.has(path)).ranges.reduce((total, [begin, end]) => total + end - begin, 0)

/** Bytes of the whole tar. */
export const tarSize = (manifest: Manifest): number => layoutOf(manifest, () => false).size

/** A range of a tar's bytes, without the byte at `end`. */
type Range = readonly [begin: number, end: number]

interface Layout {
  /** The ranges of the wanted entries. Neighbouring entries share one range. */
  readonly ranges: ReadonlyArray<Range>
  /** Bytes of the whole tar. */
  readonly size: number
}

/** Follows from the manifest, because our tarballs hold nothing else. */
const layoutOf = (manifest: Manifest, wants: Selection["wants"]): Layout => {
  const ranges: Array<Range> = []
  let begin = -1
  let at = 0
  for (const entry of manifest) {
    if (wants(entry)) begin = begin === -1 ? at : begin
    else if (begin !== -1) {
      ranges.push([begin, at])
      begin = -1
    }
    at += tarHeaderSize({ path: entry.path, type: entry._tag, to: "to" in entry ? entry.to : "" })
    if (entry._tag === "File") at += entry.size + paddingOf(entry.size)
  }
  if (begin !== -1) ranges.push([begin, at])
  return { ranges, size: at + tarEnd.length }
}

/** Whether these members can be those of such a tarball. */
const fits = ({ bytes, lengths }: Members, tarSize: number, size: number): boolean =>
  lengths.length === Math.ceil(tarSize / bytes) && lengths.reduce((total, length) => total + length, 0) === size

/** The wanted part of one member. */
interface Piece {
  /** The member's offset and length in the tarball. */
  readonly position: number
  readonly length: number
  /** Bytes of tar in it. */
  readonly size: number
  /** Ranges of those bytes. */
  readonly ranges: ReadonlyArray<Range>
}

const piecesOf = (members: Members, { ranges, size }: Layout): ReadonlyArray<Piece> => {
  const pieces: Array<Piece> = []
  let position = 0
  let next = 0
  for (const [index, length] of members.lengths.entries()) {
    const begin = index * members.bytes
    const end = Math.min(begin + members.bytes, size)
    const within: Array<Range> = []
    for (let range = ranges[next]; range !== undefined && range[0] < end; range = ranges[next]) {
      within.push([Math.max(range[0], begin) - begin, Math.min(range[1], end) - begin])
      if (range[1] > end) break
      next += 1
    }
    if (within.length > 0) pieces.push({ position, length, size: end - begin, ranges: within })
    position += length
  }
  return pieces
}

/** Reads as many members at once as the machine has cores. */
const fromMembers = (tarball: Opened, members: Members, layout: Layout): Stream.Stream<Uint8Array, TarballsError> =>
  Stream.fromIterable(piecesOf(members, layout)).pipe(
    Stream.mapEffect(
      ({ length, position, ranges, size }) =>
        Effect.flatMap(tarball.at(position, length), (member) =>
          Effect.mapError(gunzipMember(member, size), unlike)
        ).pipe(Effect.map((block) => joined(ranges.map(([begin, end]) => block.subarray(begin, end))))),
      { concurrency: cores }
    )
  )

/** In one piece: a tree of small files would give thousands of pieces. */
const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [first = new Uint8Array(0)] = pieces
  return pieces.length === 1 ? first : Buffer.concat(pieces)
}

/** The wanted entries of a tar that may hold others as well, and need not have an end. */
const taken = (
  wanted: Manifest,
  form: Form,
  tar: Stream.Stream<Uint8Array, TarballsError>
): Stream.Stream<Uint8Array, TarballsError> =>
  Stream.suspend(() => {
    const taking = take(wanted, form)
    const step = (run: () => void) =>
      Effect.try(() => {
        run()
        return taking.taken()
      }).pipe(
        Effect.catchAll(({ error }) => (error instanceof TarBroken ? Effect.fail(unlike(error)) : Effect.die(error)))
      )
    return Stream.mapEffect(tar, (chunk) => step(() => taking.push(chunk))).pipe(
      Stream.concat(Stream.fromEffect(step(taking.finish))),
      Stream.flattenIterables
    )
  })

/** Throws `TarBroken`. The bytes it returns are parts of the bytes pushed. */
const take = (wanted: Manifest, form: Form) => {
  const left = new Map(wanted.map((entry) => [entry.path, entry]))
  let out: Array<Uint8Array> = []
  let sum = sha256Sum()
  let open: ManifestEntry | undefined
  /** Withheld until the hash is proved. */
  let last: Uint8Array | undefined
  const write = (bytes: Uint8Array) => {
    if (bytes.length > 0) out.push(bytes)
  }
  const reader = tarReader({
    entry: (found) => {
      const path = found.path.replace(/^\.\//, "").replace(/\/$/, "")
      open = left.get(path)
      if (open === undefined) return
      if (!isLike(found, open)) throw otherwise(open)
      left.delete(path)
      sum = sha256Sum()
      last = undefined
      if (form === "entries") write(tarHeader({ ...found, path }))
    },
    data: (piece) => {
      if (open === undefined) return
      sum.update(piece)
      if (last !== undefined) write(last)
      last = piece
    },
    end: () => {
      if (open?._tag !== "File") return
      if (sum.digest() !== open.sha256) throw otherwise(open)
      if (last !== undefined) write(last)
      if (form === "entries") write(new Uint8Array(paddingOf(open.size)))
      open = undefined
    }
  })
  return {
    push: reader.push,
    finish: () => {
      if (open?._tag === "File") throw otherwise(open)
      for (const [path] of left) throw new TarBroken(`it does not hold ${JSON.stringify(path)}`)
    },
    taken: () => {
      const now = out.length === 0 ? [] : [joined(out)]
      out = []
      return now
    }
  }
}

const isLike = (found: TarEntry, entry: ManifestEntry): boolean =>
  found.type === entry._tag &&
  (!("mode" in entry) || found.mode === entry.mode) &&
  (!("to" in entry) || found.to.replace(/^\.\//, "") === entry.to.replace(/^\.\//, "")) &&
  (entry._tag !== "File" || found.size === entry.size)

const otherwise = ({ path }: ManifestEntry) => new TarBroken(`${JSON.stringify(path)} is not as it was packed`)

const unlike = (cause: unknown) =>
  new TarballsError({
    detail: `${cause instanceof TarBroken ? cause.message : "it is damaged"}: delete this release and build it again`,
    cause
  })
