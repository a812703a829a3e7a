/**
 * Packs a shipment as the compressed tar stream that stage.sh unpacks.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Manifest } from "../domain/Manifest.ts"
import { streamOf } from "../domain/Plan.ts"
import { canMake, compressed, gzipped, type Packing } from "../internal/compression.ts"
import { sha256Sum } from "../internal/machine.ts"
import { paddingOf, tarEnd, tarHeader } from "../internal/tar.ts"
import { editsBetween, moveLines } from "./protocol/assembly.ts"
import type { Shipment } from "./RemoteHost.ts"

/** A stream to send, and the facts about it that the host needs. */
interface Packed<E> {
  /** The bytes that need not be sent again: of the tarball, or of the tar without compression. */
  readonly from: number
  readonly stdin: Stream.Stream<Uint8Array, E>
  /** All bytes, including those already on the host. Undefined if unknown before the end. */
  readonly size: number | undefined
  /** Identifies the stream: equal words mean equal streams. */
  readonly stream: string
  /** The SHA-256 of the manifest. */
  readonly sha256: string
  /** The release on the host that supplies the other files, and how. Undefined if the whole release is sent. */
  readonly origin:
    | {
        readonly ref: string
        readonly hardLinks: boolean
        readonly packing: Packing
        /** The edits of its manifest. Undefined if they are an entry of the archive. */
        readonly edits: string | undefined
      }
    | undefined
}

/** The maximum bytes of edits that are passed as an argument, so that the host need not wait for the stream. */
const maxHandedOver = 32 * 1024

const textOf = (lines: ReadonlyArray<string>): Uint8Array => Buffer.from(lines.map((line) => `${line}\n`).join(""))

/** The SHA-256 of a manifest's text on the host. */
export const manifestSum = (lines: ReadonlyArray<string>): string => {
  const sum = sha256Sum()
  sum.update(textOf(lines))
  return sum.digest()
}

/** One of our own files in the archive. */
const tarFile = (path: string, content: Uint8Array): Uint8Array =>
  Buffer.concat([
    tarHeader({ path, type: "File", mode: 0o644, mtime: 0, size: content.length, to: "" }),
    content,
    new Uint8Array(paddingOf(content.length))
  ])

/** Skips the first `count` bytes. */
const after = <E>(bytes: Stream.Stream<Uint8Array, E>, count: number): Stream.Stream<Uint8Array, E> => {
  let left = count
  return Stream.filterMap(bytes, (chunk) => {
    const kept = chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
    return kept.length === 0 ? Option.none() : Option.some(kept)
  })
}

/** Directories and symbolic links, of which only the headers are sent. */
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

/** Makes the stream from byte `from` on. `lines` are the manifest's lines. */
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
      // An interrupted upload may resume in the middle of these bytes.
      const first = yield* gzipped(tarFile(".deployer_manifest", text))
      const size = first.length + shipment.size
      // An earlier upload that is longer than the whole is a different one.
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
    const isHandedOver = changes.length <= maxHandedOver
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
