/**
 * Progress as data: long work says what happens, the terminal (or a test) decides what to do with it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** Something worth telling the user while a command runs. */
export type Event =
  /** A sentence: a step was done or begun. */
  | { readonly _tag: "Note"; readonly message: string }
  /** A sentence about something that is not right but does not stop the command. */
  | { readonly _tag: "Warning"; readonly message: string }
  /** Output of a program, as it comes. */
  | { readonly _tag: "Output"; readonly chunk: Uint8Array }
  /** Bytes of a transfer so far; `total` is absent where it is not known. The same `label` is the same transfer. */
  | { readonly _tag: "Progress"; readonly label: string; readonly done: number; readonly total?: number }
  /** The transfer is over, whether well or not. */
  | { readonly _tag: "ProgressEnd"; readonly label: string; readonly ok: boolean }

/** Where events go. Without a layer they go nowhere, so that a library call is silent. */
export class Reporter extends Context.Reference<Reporter>()("deployer/Reporter", {
  defaultValue: () => ({ emit: (_: Event): Effect.Effect<void> => Effect.void })
}) {}

const emit = (event: Event) => Effect.flatMap(Reporter, (reporter) => reporter.emit(event))

/** Says that something was done or begun. */
export const note = (message: string): Effect.Effect<void> => emit({ _tag: "Note", message })

/** Says that something is not right. */
export const warn = (message: string): Effect.Effect<void> => emit({ _tag: "Warning", message })

/** Passes a program's output on. */
export const output = (chunk: Uint8Array): Effect.Effect<void> => emit({ _tag: "Output", chunk })

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
