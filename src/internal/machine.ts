import { createHash } from "node:crypto"
import * as os from "node:os"

/** The number of things that this machine can do at once. */
export const cores: number = os.availableParallelism()

/** This machine in the words of container engines: `linux/amd64`. */
export const platform: string = `${process.platform === "win32" ? "windows" : process.platform}/${
  process.arch === "x64" ? "amd64" : process.arch === "ia32" ? "386" : process.arch
}`

/** A running SHA-256 computation. */
export interface Sha256Sum {
  readonly update: (bytes: Uint8Array) => void
  /** Lower-case hex. */
  readonly digest: () => string
}

/** Begins a SHA-256. */
export const sha256Sum = (): Sha256Sum => {
  const hash = createHash("sha256")
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex") }
}
