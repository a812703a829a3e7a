/**
 * Quantities in sentences for people.
 */
import * as DateTime from "effect/DateTime"

const units = ["kB", "MB", "GB", "TB", "PB"]

/** Bytes in decimal units, three digits at most: `999 B`, `1.2 kB`, `207 MB`. */
export const bytes = (count: number): string => {
  if (count < 1000) return `${Math.max(0, Math.round(count))} B`
  const scale = (value: number, [unit = "PB", ...larger]: ReadonlyArray<string>): string =>
    value < 999.5 || larger.length === 0
      ? `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${unit}`
      : scale(value / 1000, larger)
  return scale(count / 1000, units)
}

/** A number of things: `1 file`, `3 files`, `2 entries` (with `plural`). */
export const counted = (count: number, thing: string, plural = `${thing}s`): string =>
  `${count} ${count === 1 ? thing : plural}`

/** Milliseconds in the two largest units that matter: `350 ms`, `4.9 s`, `2 min 5 s`, `1 h 3 min`. */
export const duration = (millis: number): string => {
  if (millis < 999.5) return `${Math.max(0, Math.round(millis))} ms`
  if (millis < 9950) return `${(millis / 1000).toFixed(1)} s`
  const seconds = Math.round(millis / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min${seconds % 60 === 0 ? "" : ` ${seconds % 60} s`}`
  return `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? "" : ` ${minutes % 60} min`}`
}

/** How long ago, in the largest unit: `just now`, `5 minutes ago`, `2 hours ago`, `3 days ago`. */
export const age = (millis: number): string => {
  const minutes = Math.floor(millis / 60_000)
  if (minutes < 1) return "just now"
  if (minutes < 60) return `${counted(minutes, "minute")} ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${counted(hours, "hour")} ago` : `${counted(Math.floor(hours / 24), "day")} ago`
}

/** A time to the second, in UTC: `2026-01-02 03:04:05`. */
export const dateTime = (when: DateTime.Utc): string => DateTime.formatIso(when).slice(0, 19).replace("T", " ")
