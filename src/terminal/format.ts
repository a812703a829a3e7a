/**
 * Quantities for people.
 */
import { bytes } from "../domain/Quantity.ts"

/** Bytes, numbers of things, times and milliseconds, as people read them. */
export { bytes, counted, dateTime, duration } from "../domain/Quantity.ts"

/** Bytes a second: `3.1 MB/s`. */
export const rate = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`
