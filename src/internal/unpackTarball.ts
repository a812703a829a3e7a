import { constants, gunzipSync } from "node:zlib"
import { type TarEntry, tarReader } from "./tar.ts"

/** One entry of a small tarball with its bytes. */
export interface Unpacked {
  readonly entry: TarEntry
  readonly content: Uint8Array
}

/** Reads a whole `.tar.gz` in memory. Undefined if it is not one. Not for releases of real size. */
export const unpackTarball = (tarball: Uint8Array): ReadonlyArray<Unpacked> | undefined => {
  try {
    return unpackTar(gunzipSync(tarball))
  } catch {
    return undefined
  }
}

/** Reads a whole tar in memory. Undefined if it is not one. */
export const unpackTar = (tar: Uint8Array): ReadonlyArray<Unpacked> | undefined => {
  const entries: Array<Unpacked> = []
  let pieces: Array<Uint8Array> = []
  let open: TarEntry | undefined
  const reader = tarReader({
    entry: (entry) => {
      open = entry
      pieces = []
    },
    data: (piece) => void pieces.push(Uint8Array.from(piece)),
    end: () => {
      if (open !== undefined) entries.push({ entry: open, content: Buffer.concat(pieces) })
    }
  })
  try {
    reader.push(tar)
    reader.finish()
    return entries
  } catch {
    return undefined
  }
}

/** The content of the beginning of a gzip file, as far as it goes. */
export const gunzipped = (bytes: Uint8Array): Uint8Array => gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH })
