/**
 * Quantities for people.
 */
import * as DateTime from "effect/DateTime"
import { bytes } from "../domain/Quantity.ts"

/** Bytes, numbers of things, and milliseconds, as people read them. */
export { bytes, counted, duration } from "../domain/Quantity.ts"

/** Bytes a second: `3.1 MB/s`. */
export const rate = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`

/** A time to the second, in UTC: `2026-01-02 03:04:05`. */
export const dateTime = (when: DateTime.Utc): string => DateTime.formatIso(when).slice(0, 19).replace("T", " ")
