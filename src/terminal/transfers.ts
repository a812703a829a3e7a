/**
 * Transfers in progress: their rate, and their lines on a terminal and in a log.
 */
import type { Event } from "./Event.ts"
import { bytes, duration, rate } from "./format.ts"
import { truncate } from "./Table.ts"

/** A transfer in progress. */
export interface Transfer {
  readonly began: number
  /** Bytes already transferred when it began. */
  readonly first: number
  /** Times and bytes of the last seconds, for the current rate. */
  readonly recent: ReadonlyArray<readonly [at: number, done: number]>
  readonly done: number
  readonly total?: number | undefined
  /** The time and bytes at its last drawing. */
  readonly drawn: readonly [at: number, done: number]
}

const rateMillis = 5_000
const sampleMillis = 100

/** Chunks may be small and many, but a few samples are enough for the rate. */
const sampled = (recent: Transfer["recent"], now: number, done: number): Transfer["recent"] => {
  const last = recent.at(-1)
  if (last !== undefined && recent.length > 1 && now - last[0] < sampleMillis) return recent
  const samples = [...recent, [now, done] as const]
  const fresh = samples.filter(([at]) => now - at <= rateMillis)
  return fresh.length > 1 ? fresh : samples.slice(-2)
}

/** The transfer after more bytes. */
export const advanced = (
  before: Transfer | undefined,
  {
    done,
    now,
    start = 0,
    total
  }: Pick<Extract<Event, { readonly _tag: "Progress" }>, "done" | "start" | "total"> & { readonly now: number }
): Transfer => ({
  began: before?.began ?? now,
  first: start,
  recent: sampled(before?.recent ?? [], now, done),
  done,
  total,
  drawn: before?.drawn ?? [now, done]
})

/** The percentage of a total, from 0 to 100. */
export const percent = (done: number, total: number): number =>
  total <= 0 ? 100 : Math.min(100, Math.floor((done / total) * 100))

const amounts = ({ done, recent, total }: Transfer, now: number) => {
  const [at, from] = recent[0] ?? [now, done]
  const speed = now > at ? ((done - from) / (now - at)) * 1000 : 0
  const left = total === undefined || speed <= 0 ? undefined : ((total - done) / speed) * 1000
  return {
    size: [total === undefined ? bytes(done) : `${bytes(done)} of ${bytes(total)}`],
    rate: speed > 0 ? [rate(speed)] : [],
    left: left === undefined ? [] : [`${duration(Math.ceil(left / 1000) * 1000)} left`]
  }
}

/** The bytes, the rate and the time left, for a line in a log. */
export const amountsText = (transfer: Transfer, now: number): string => {
  const { left, rate, size } = amounts(transfer, now)
  return [...size, ...rate, ...left].join(", ")
}

const bar = (share: number, width: number): string => {
  const full = Math.round((share / 100) * width)
  return `[${"#".repeat(full)}${"-".repeat(width - full)}]`
}

const wideBar = 24
const narrowBar = 10

/** The line of a transfer on a terminal: the fullest form that fits. */
export const progressLine = (label: string, transfer: Transfer, now: number, columns: number): string => {
  const { done, total } = transfer
  const { left, rate, size } = amounts(transfer, now)
  if (total === undefined) return truncate(`${label}  ${[...size, ...rate].join(", ")}`, columns)
  const share = percent(done, total)
  const end = (width: number, details: ReadonlyArray<string>) =>
    [`${bar(share, width)} ${String(share).padStart(3)} %`, ...(details.length === 0 ? [] : [details.join(", ")])].join(
      "  "
    )
  const ends = [
    end(wideBar, [...size, ...rate, ...left]),
    end(narrowBar, [...size, ...rate, ...left]),
    end(narrowBar, [...rate, ...left]),
    end(narrowBar, left.length === 0 ? size : left),
    end(narrowBar, [])
  ]
  const fitting = ends.find((end) => label.length + 2 + end.length <= columns)
  if (fitting !== undefined) return `${label}  ${fitting}`
  const shortest = ends.at(-1) ?? ""
  return truncate(`${truncate(label, Math.max(0, columns - shortest.length - 2))}  ${shortest}`, columns)
}

/** The line of a transfer that has ended. */
export const lastLine = (label: string, { began, done, first, total }: Transfer, now: number, ok: boolean): string => {
  if (!ok) return `${label}: stopped after ${bytes(done)}${total === undefined ? "" : ` of ${bytes(total)}`}`
  const millis = now - began
  const speed = millis > 0 && done > first ? `, ${rate(((done - first) / millis) * 1000)}` : ""
  const resumed = first > 0 ? `, after ${bytes(first)} that were already there` : ""
  return `${label}: ${bytes(done - first)} in ${duration(millis)}${speed}${resumed}`
}
