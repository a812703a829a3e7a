/**
 * What travels to a host, as the compressed tar stream that `stage` of scripts.ts unpacks.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Manifest } from "../domain/Manifest.ts"
import { streamOf } from "../domain/Plan.ts"
import { canMake, compressed, gzipped, type Packing } from "../internal/compression.ts"
import { sha256Sum } from "../internal/machine.ts"
import { paddingOf, tarEnd, tarHeader } from "../internal/tar.ts"
import { editsBetween, moveLines } from "./protocol/manifestText.ts"
import type { Shipment } from "./RemoteHost.ts"

/** What is sent, and what the host has to know of it. */
interface Packed<E> {
  /** Bytes that need not be sent again: of the tarball, or of a tar without compression. */
  readonly from: number
  readonly stdin: Stream.Stream<Uint8Array, E>
  /** Bytes with those that are there already; absent: nobody knows before the end. */
  readonly size: number | undefined
  /** Tells equal streams. */
  readonly stream: string
  /** Of the manifest. */
  readonly sha256: string
  /** The release that is completed from, and how; absent: all of it travels. */
  readonly origin:
    | {
        readonly ref: string
        readonly hardLinks: boolean
        readonly packing: Packing
        /** What is to be changed in its manifest; absent: that is an entry of the archive. */
        readonly edits: string | undefined
      }
    | undefined
}

/** So many bytes are handed over before the stream begins, so that the host need not wait for it. */
const mostHandedOver = 32 * 1024

const textOf = (lines: ReadonlyArray<string>): Uint8Array => Buffer.from(lines.map((line) => `${line}\n`).join(""))

/** The SHA-256 of a manifest as it stands on the host. */
export const manifestSum = (lines: ReadonlyArray<string>): string => {
  const sum = sha256Sum()
  sum.update(textOf(lines))
  return sum.digest()
}

/** A file of our own in the archive. */
const tarFile = (path: string, content: Uint8Array): Uint8Array =>
  Buffer.concat([
    tarHeader({ path, type: "File", mode: 0o644, mtime: 0, size: content.length, to: "" }),
    content,
    new Uint8Array(paddingOf(content.length))
  ])

/** Leaves out the first bytes. */
const after = <E>(bytes: Stream.Stream<Uint8Array, E>, count: number): Stream.Stream<Uint8Array, E> => {
  let left = count
  return Stream.filterMap(bytes, (chunk) => {
    const kept = chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
    return kept.length === 0 ? Option.none() : Option.some(kept)
  })
}

/** Directories and symbolic links, which are made anew: nothing but their headers. */
const skeleton = (manifest: Manifest): ReadonlyArray<Uint8Array> =>
  manifest.flatMap((entry) => {
    switch (entry._tag) {
      case "Directory":
        return [tarHeader({ path: entry.path, type: "Directory", mode: entry.mode, mtime: 0, size: 0, to: "" })]
      case "Symlink":
        return [tarHeader({ path: entry.path, type: "Symlink", mode: 0o777, mtime: 0, size: 0, to: entry.to })]
      default:
        return []
    }
  })

/** Makes the stream from byte `from` on. `lines` are those of the manifest. */
export const pack = <E>(
  {
    from,
    lines,
    manifest
  }: {
    readonly manifest: Manifest
    readonly lines: ReadonlyArray<string>
    readonly from: number
  },
  shipment: Shipment<E>
): Effect.Effect<Packed<E>> =>
  Effect.gen(function* () {
    const text = textOf(lines)
    const sha256 = manifestSum(lines)
    if (shipment._tag === "Whole") {
      // An upload that was cut goes on in the middle of these bytes.
      const first = yield* gzipped(tarFile(".deployer_manifest", text))
      const size = first.length + shipment.size
      // What is more than all of it is something else.
      const kept = from > size ? 0 : from
      const rest = shipment.content(Math.max(0, kept - first.length))
      return {
        from: kept,
        stdin: kept < first.length ? Stream.concat(Stream.make(first.subarray(kept)), rest) : rest,
        size,
        stream: "whole",
        sha256,
        origin: undefined
      }
    }
    const { differences, hardLinks, zstd = false } = shipment
    const { moves, origin } = differences
    const edits = editsBetween(origin.lines, lines)
    const changes = textOf(edits)
    const isHandedOver = changes.length <= mostHandedOver
    const begin = Buffer.concat([
      ...(isHandedOver ? [] : [tarFile(".deployer_edits", changes), tarFile(".deployer_begin", new Uint8Array(0))]),
      tarFile(".deployer_moves", textOf(moveLines(moves))),
      ...skeleton(manifest)
    ])
    const end = Buffer.concat([tarFile(".deployer_end", new Uint8Array(0)), tarEnd])
    const tar = Stream.concat(Stream.concat(Stream.make(begin), shipment.content), Stream.make(end))
    const packing = zstd && canMake("zstd") ? "zstd" : "gzip"
    return {
      from,
      stdin: compressed(packing)(after(tar, from)),
      size: undefined,
      stream: streamOf(differences),
      sha256,
      origin: { ref: origin.ref, hardLinks, packing, edits: isHandedOver ? edits.join("\n") : undefined }
    }
  })
