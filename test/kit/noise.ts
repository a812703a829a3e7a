/** Bytes without a pattern, the same ones for the same seed. */
export const noise = (bytes: number, seed: number): Buffer => {
  let state = seed >>> 0 || 1
  return Buffer.from(
    Uint8Array.from({ length: bytes }, () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return state & 0xff
    })
  )
}

/** The same as letters and digits. */
export const noiseText = (length: number, seed: number): string => noise(length / 2, seed).toString("hex")
