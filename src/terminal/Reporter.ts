/**
 * Progress as data: long operations report events, and the terminal (or a test) decides how to show them.
 */
import process from "node:process"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { hasColor } from "../internal/color.ts"
import { visibleOutput } from "../internal/visible.ts"
import { isData } from "./Answer.ts"
import { bytes, duration, rate } from "./format.ts"
import { truncate } from "./Table.ts"

/** An event to tell the user while a command runs. */
export type Event =
  /** A sentence: a step was done or has begun. */
  | { readonly _tag: "Note"; readonly message: string }
  /** A sentence about a problem that does not stop the command. */
  | { readonly _tag: "Warning"; readonly message: string }
  /** Output of a program, as it arrives. `isResult`: it is the result that the user requested. */
  | { readonly _tag: "Output"; readonly chunk: Uint8Array; readonly isResult: boolean }
  /** Bytes of a transfer so far. `total` is undefined if unknown. Events with the same `label` belong to the same transfer. */
  | { readonly _tag: "Progress"; readonly label: string; readonly done: number; readonly total?: number }
  /** The transfer has ended; `ok` if it succeeded. */
  | { readonly _tag: "ProgressEnd"; readonly label: string; readonly ok: boolean }

/** The output of the terminal's reporter. */
export interface Sink {
  readonly write: (text: string | Uint8Array) => void
  /** For output that is a result. */
  readonly writeResult: (chunk: Uint8Array) => void
  readonly isTTY: boolean
  /** Whether a terminal shows the results. Default: no. */
  readonly isResultTTY?: boolean
  readonly color: boolean
  /** Read at each drawing, because terminals change their size. */
  readonly columns: () => number
}

/** The reported events, for tests. */
export class Reported extends Context.Tag("deployer/Reporter/Reported")<
  Reported,
  { readonly events: Effect.Effect<ReadonlyArray<Event>> }
>() {}

/** The destination of events. Without a layer there is none, so a library call is silent. */
export class Reporter extends Context.Reference<Reporter>()("deployer/Reporter", {
  defaultValue: () => ({ emit: (_: Event): Effect.Effect<void> => Effect.void })
}) {
  /** Draws on a terminal, with one progress line at the bottom. Writes plain lines anywhere else. */
  static readonly to = (sink: Sink): Layer.Layer<Reporter> => Layer.sync(Reporter, () => ({ emit: draw(sink) }))

  /** Reports on stderr: stdout is for results. */
  static readonly terminal: Layer.Layer<Reporter> = Layer.suspend(() => {
    const { env, stderr, stdout } = process
    return Reporter.to({
      write: (text) => stderr.write(text),
      writeResult: (chunk) => stdout.write(chunk),
      isTTY: stderr.isTTY === true && env["TERM"] !== "dumb",
      isResultTTY: stdout.isTTY === true,
      color: hasColor(stderr, env),
      columns: () => stderr.columns || 80
    })
  })

  /** Keeps the events. */
  static readonly collect: Layer.Layer<Reporter | Reported> = Layer.effectContext(
    Effect.map(Ref.make<ReadonlyArray<Event>>([]), (events) =>
      Context.make(Reporter, { emit: (event: Event) => Ref.update(events, (before) => [...before, event]) }).pipe(
        Context.add(Reported, { events: Ref.get(events) })
      )
    )
  )
}

const emit = (event: Event) => Effect.flatMap(Reporter, (reporter) => reporter.emit(event))

/** Reports that something was done or has begun. */
export const note = (message: string): Effect.Effect<void> => emit({ _tag: "Note", message })

/** Reports a problem. */
export const warn = (message: string): Effect.Effect<void> => emit({ _tag: "Warning", message })

/** Passes a program's output on. */
export const output = (
  chunk: Uint8Array,
  { isResult = false }: { readonly isResult?: boolean } = {}
): Effect.Effect<void> => emit({ _tag: "Output", chunk, isResult })

/** Reports the bytes that pass through a stream, from `start` on, under one label. */
export const transfer =
  (label: string, options: { readonly total?: number; readonly start?: number } = {}) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.unwrap(
      Effect.map(Reporter, (reporter) => {
        const total = options.total === undefined ? {} : { total: options.total }
        let done = options.start ?? 0
        return bytes.pipe(
          Stream.tap((chunk) => {
            done += chunk.length
            return reporter.emit({ _tag: "Progress", label, done, ...total })
          }),
          Stream.ensuringWith((exit) => reporter.emit({ _tag: "ProgressEnd", label, ok: exit._tag === "Success" }))
        )
      })
    )

/** A transfer in progress. */
interface Transfer {
  readonly began: number
  /** Bytes already transferred when it began. */
  readonly first: number
  /** Times and bytes of the last seconds, for the current rate. */
  readonly recent: ReadonlyArray<readonly [at: number, done: number]>
  readonly done: number
  readonly total: number | undefined
  /** The time and bytes at its last drawing. */
  readonly drawn: readonly [at: number, done: number]
}

const redrawMillis = 100
const rateMillis = 5_000
const sampleMillis = 100
const plainLineMillis = 2_000
const plainLineAtLeastMillis = 10_000
const barWidth = 24

/** Chunks may be small and many, but a few samples are enough for the rate. */
const sampled = (recent: Transfer["recent"], now: number, done: number): Transfer["recent"] => {
  const last = recent.at(-1)
  if (last !== undefined && recent.length > 1 && now - last[0] < sampleMillis) return recent
  const samples = [...recent, [now, done] as const]
  const fresh = samples.filter(([at]) => now - at <= rateMillis)
  return fresh.length > 1 ? fresh : samples.slice(-2)
}

const percent = (done: number, total: number): number =>
  total <= 0 ? 100 : Math.min(100, Math.floor((done / total) * 100))

const amounts = ({ done, recent, total }: Transfer, now: number): string => {
  const [at, from] = recent[0] ?? [now, done]
  const speed = now > at ? ((done - from) / (now - at)) * 1000 : 0
  const left = total === undefined || speed <= 0 ? undefined : ((total - done) / speed) * 1000
  return [
    total === undefined ? bytes(done) : `${bytes(done)} of ${bytes(total)}`,
    ...(speed > 0 ? [rate(speed)] : []),
    ...(left === undefined ? [] : [`${duration(Math.ceil(left / 1000) * 1000)} left`])
  ].join(", ")
}

const progressLine = (label: string, transfer: Transfer, now: number, columns: number): string => {
  const { done, total } = transfer
  const said = amounts(transfer, now)
  if (total === undefined) return truncate(`${label}  ${said}`, columns)
  const share = percent(done, total)
  const full = Math.round((share / 100) * barWidth)
  const bar = `[${"#".repeat(full)}${"-".repeat(barWidth - full)}] `
  const number = `${String(share).padStart(3)} %`
  const wide = `${label}  ${bar}${number}  ${said}`
  return wide.length <= columns ? wide : truncate(`${label}  ${number}  ${said}`, columns)
}

const lastLine = (label: string, { began, done, first, total }: Transfer, now: number, ok: boolean): string => {
  if (!ok) return `${label}: stopped after ${bytes(done)}${total === undefined ? "" : ` of ${bytes(total)}`}`
  const millis = now - began
  const speed = millis > 0 && done > first ? `, ${rate(((done - first) / millis) * 1000)}` : ""
  return `${label}: ${bytes(done)} in ${duration(millis)}${speed}`
}

const draw = (sink: Sink) => {
  const transfers = new Map<string, Transfer>()
  // The label of the line at the bottom.
  let shown: string | undefined
  const outputToShow = visibleOutput()
  const resultToShow = visibleOutput()
  // Whether a program's output has left the cursor in the middle of a line.
  let open = false

  const clear = () => {
    if (shown !== undefined) sink.write("\r\u001b[K")
    shown = undefined
  }
  const line = (text: string) => {
    clear()
    sink.write(`${open ? "\n" : ""}${text}\n`)
    open = false
  }
  const show = (label: string, transfer: Transfer, now: number) => {
    clear()
    sink.write(`${open ? "\n" : ""}${progressLine(label, transfer, now, sink.columns() - 1)}`)
    open = false
    shown = label
  }
  const redraw = (now: number) => {
    const last = [...transfers].at(-1)
    if (sink.isTTY && last !== undefined && !open) show(last[0], last[1], now)
  }

  const progress = (label: string, done: number, total: number | undefined, now: number) => {
    const before = transfers.get(label)
    const drawn = before?.drawn ?? [now, done]
    const recent = sampled(before?.recent ?? [], now, done)
    const transfer = { began: before?.began ?? now, first: before?.first ?? done, recent, done, total, drawn }
    const waited = now - drawn[0]
    const due = sink.isTTY
      ? waited >= redrawMillis
      : waited >= plainLineAtLeastMillis ||
        (waited >= plainLineMillis && total !== undefined && percent(done, total) - percent(drawn[1], total) >= 10)
    transfers.set(label, due ? { ...transfer, drawn: [now, done] } : transfer)
    if (sink.isTTY && (due || before === undefined)) show(label, transfer, now)
    else if (before === undefined) line(`${label}${total === undefined ? "" : ` (${bytes(total)})`}`)
    else if (due) line(`${label}: ${total === undefined ? "" : `${percent(done, total)} %, `}${amounts(transfer, now)}`)
  }

  return (event: Event): Effect.Effect<void> =>
    Effect.zipWith(Clock.currentTimeMillis, isData, (now, isData) => {
      switch (event._tag) {
        case "Note":
          line(event.message)
          return redraw(now)
        case "Warning":
          line(`${sink.color ? "\u001b[33mwarning:\u001b[39m" : "warning:"} ${event.message}`)
          return redraw(now)
        case "Output": {
          if (event.chunk.length === 0) return
          clear()
          // A JSON document may contain this output too, but stdout is reserved for the document.
          if (event.isResult && !isData) {
            sink.writeResult(sink.isResultTTY === true ? Buffer.from(resultToShow(event.chunk)) : event.chunk)
          } else sink.write(sink.isTTY ? outputToShow(event.chunk) : event.chunk)
          open = event.chunk.at(-1) !== 10
          return redraw(now)
        }
        case "Progress":
          return progress(event.label, event.done, event.total, now)
        case "ProgressEnd": {
          const transfer = transfers.get(event.label)
          transfers.delete(event.label)
          if (transfer !== undefined) line(lastLine(event.label, transfer, now, event.ok))
          return redraw(now)
        }
      }
    })
}
