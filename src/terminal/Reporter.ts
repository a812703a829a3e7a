/**
 * Reports of running operations. Operations report events, and the terminal, a log (or a test) decides how to show them.
 */
import process from "node:process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { type StepTime, type Work, workName } from "../domain/Work.ts"
import { hasColor } from "../internal/color.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import { draw, type Sink, tickMillis } from "./drawing.ts"
import type { Event, Place } from "./Event.ts"
import { isData } from "./Form.ts"

export type { Sink } from "./drawing.ts"
export type { Event, Place } from "./Event.ts"

/** The reported events, for tests. */
export class Reported extends Context.Tag("deployer/Reporter/Reported")<
  Reported,
  { readonly events: Effect.Effect<ReadonlyArray<Event>> }
>() {}

/** The destination of events. Without a layer there is none, so a library call is silent. */
export class Reporter extends Context.Reference<Reporter>()("deployer/Reporter", {
  defaultValue: () => ({ emit: (_: Event): Effect.Effect<void> => Effect.void })
}) {
  /** Draws on a terminal, with one moving line at the bottom. Writes plain lines anywhere else. */
  static readonly to = (sink: Sink): Layer.Layer<Reporter> =>
    Layer.scoped(
      Reporter,
      Effect.gen(function* () {
        const { show, tick } = draw(sink)
        const moves = Effect.schedule(Effect.map(monotonicMillis, tick), Schedule.spaced(tickMillis))
        if (sink.isTTY) yield* Effect.forkScoped(moves)
        return {
          emit: (event) => Effect.zipWith(monotonicMillis, isData, (now, isData) => show(event, now, isData))
        }
      })
    )

  /** Reports on stderr: stdout is for results. `verbose`: details too. Default: no. */
  static readonly onTerminal = ({ verbose = false }: { readonly verbose?: boolean } = {}): Layer.Layer<Reporter> =>
    Layer.suspend(() => {
      const { env, stderr, stdout } = process
      return Reporter.to({
        write: (text) => stderr.write(text),
        writeResult: (chunk) => stdout.write(chunk),
        isTTY: stderr.isTTY === true && env["TERM"] !== "dumb",
        isResultTTY: stdout.isTTY === true,
        color: hasColor(stderr, env),
        columns: () => stderr.columns || 80,
        verbose,
        ci: env["GITHUB_ACTIONS"] === "true" ? "github" : env["GITLAB_CI"] === "true" ? "gitlab" : undefined
      })
    })

  /** Reports on stderr, without details. */
  static readonly terminal: Layer.Layer<Reporter> = Reporter.onTerminal()

  /** Keeps the events. */
  static readonly collect: Layer.Layer<Reporter | Reported> = Layer.effectContext(
    Effect.map(Ref.make<ReadonlyArray<Event>>([]), (events) =>
      Context.make(Reporter, { emit: (event: Event) => Ref.update(events, (before) => [...before, event]) }).pipe(
        Context.add(Reported, { events: Ref.get(events) })
      )
    )
  )
}

/** The place of the running fiber, and the steps of its plan. */
class Here extends Context.Reference<Here>()("deployer/Reporter/Here", {
  defaultValue: (): { readonly place: Place; readonly steps: ReadonlyArray<Work> } => ({ place: {}, steps: [] })
}) {}

/** Reports an event, with the place of the running fiber. */
export const emit = (event: Event): Effect.Effect<void> =>
  Effect.flatMap(Reporter, (reporter) => Effect.flatMap(Here, ({ place }) => reporter.emit({ ...place, ...event })))

/** Reports that something was done or has begun. */
export const note = (message: string): Effect.Effect<void> => emit({ _tag: "Note", message })

/** Reports a problem. */
export const warn = (message: string): Effect.Effect<void> => emit({ _tag: "Warning", message })

/** Reports a detail for those who look for a reason. */
export const detail = (message: string): Effect.Effect<void> => emit({ _tag: "Detail", message })

/** Passes a program's output on. */
export const output = (
  chunk: Uint8Array,
  { isResult = false, isWhole = false }: { readonly isResult?: boolean; readonly isWhole?: boolean } = {}
): Effect.Effect<void> => emit({ _tag: "Output", chunk, isResult, ...(isWhole ? { isWhole } : {}) })

/** Gives all events of an effect a target and a release. `steps` are those of its plan, which are counted. */
export const about =
  ({ steps, ...place }: Omit<Place, "step"> & { readonly steps?: ReadonlyArray<Work> }) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Here, (here) =>
      Effect.provideService(self, Here, { place: { ...here.place, ...place }, steps: steps ?? here.steps })
    )

/** Marks all events of an effect as those of one of many targets. */
export const asMember = (target: string): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
  about({ target, isMember: true })

/** Passes the output of programs on in whole lines, so that the lines of many programs do not tear each other apart. */
export const inLines = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Reporter, (reporter) => {
    const open = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
    let last: Place = {}
    const emitLines = (chunk: Uint8Array, isResult: boolean) =>
      chunk.length === 0 ? Effect.void : reporter.emit({ ...last, _tag: "Output", chunk, isResult, isWhole: true })
    const emit = (event: Event) => {
      if (event._tag !== "Output") return reporter.emit(event)
      const { _tag, chunk, isResult, ...place } = event
      const name = isResult ? "stdout" : "stderr"
      const all = Buffer.concat([open[name], chunk])
      const end = all.lastIndexOf(10) + 1
      open[name] = all.subarray(end)
      last = place
      return emitLines(all.subarray(0, end), isResult)
    }
    const rest = (name: keyof typeof open) =>
      open[name].length === 0
        ? Effect.void
        : emitLines(Buffer.concat([open[name], Buffer.from("\n")]), name === "stdout")
    return Effect.provideService(self, Reporter, { emit }).pipe(
      Effect.ensuring(Effect.suspend(() => Effect.zipRight(rest("stdout"), rest("stderr"))))
    )
  })

/** The lines of output that a failure shows. */
const shownLines = 10
/** More than these lines need. */
const keptBytes = 8_192

/** Shows the end of the output of programs again, in whole lines, if the effect fails. For many targets, whose output is not shown as it arrives. */
export const showingOutput = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Reporter, (reporter) => {
    let kept = Buffer.alloc(0)
    const emitAndKeep = (event: Event) => {
      if (event._tag === "Output") kept = Buffer.concat([kept, event.chunk]).subarray(-keptBytes)
      return reporter.emit(event)
    }
    const show = Effect.suspend(() => {
      const lines = kept.toString("latin1").trimEnd().split("\n").slice(-shownLines)
      return kept.length === 0 ? Effect.void : output(Buffer.from(`${lines.join("\n")}\n`, "latin1"), { isWhole: true })
    })
    return Effect.tapError(Effect.provideService(self, Reporter, { emit: emitAndKeep }), () => show)
  })

/** Reports an effect as a step: its begin, its end and its time. All its events name the step. */
export const during =
  (step: Work) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Here, ({ place, steps }) => {
      const index = steps.indexOf(step)
      const counted = index === -1 ? {} : { number: index + 1, of: steps.length }
      return Effect.acquireUseRelease(
        Effect.zipRight(emit({ _tag: "StepStarted", step, ...counted }), monotonicMillis),
        () => self,
        (began, exit) =>
          Effect.flatMap(monotonicMillis, (now) =>
            emit({ _tag: "StepEnded", step, ok: Exit.isSuccess(exit), millis: now - began })
          )
      ).pipe(Effect.provideService(Here, { place: { ...place, step }, steps }))
    })

/** Runs an effect, and also returns the times of its steps, in their order. */
export const timed = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, ReadonlyArray<StepTime>], E, R> =>
  Effect.flatMap(Reporter, (reporter) => {
    const times = new Map<string, number>()
    const emit = (event: Event) => {
      if (event._tag === "StepEnded") {
        const name = workName(event.step)
        times.set(name, (times.get(name) ?? 0) + event.millis)
      }
      return reporter.emit(event)
    }
    return Effect.map(
      Effect.provideService(self, Reporter, { emit }),
      (value) => [value, [...times].map(([step, millis]) => ({ step, millis }))] as const
    )
  })

/**
 * Reports the bytes that pass through a stream under one label. The first `start` bytes were there before; `isWhole`: the stream holds them too,
 * and they are not reported. Default: it begins after them.
 */
export const transfer =
  (label: string, options: { readonly total?: number; readonly start?: number; readonly isWhole?: boolean } = {}) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.unwrap(
      Effect.zipWith(Reporter, Here, (reporter, { place }) => {
        const { isWhole = false, start = 0 } = options
        const total = options.total === undefined ? {} : { total: options.total }
        let done = isWhole ? 0 : start
        return bytes.pipe(
          Stream.tap((chunk) => {
            done += chunk.length
            if (done <= start) return Effect.void
            return reporter.emit({ ...place, _tag: "Progress", label, done, start, ...total })
          }),
          Stream.ensuringWith((exit) =>
            reporter.emit({ ...place, _tag: "ProgressEnd", label, ok: exit._tag === "Success" })
          )
        )
      })
    )

/** Reports a question as long as it is open. */
export const asking =
  (question: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      emit({ _tag: "Asked", question }),
      () => self,
      () => emit({ _tag: "Answered" })
    )
