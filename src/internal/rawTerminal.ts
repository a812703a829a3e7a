/**
 * The user's terminal, lent to a program on another machine.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A terminal that passes every keystroke on, Ctrl-C included. */
export interface RawTerminal {
  /** The value of `TERM`. */
  readonly kind: string
  readonly size: () => { readonly rows: number; readonly columns: number }
  /** Returns whether more may be written at once. If not, the listener `drain` is called later. */
  readonly write: (chunk: Uint8Array) => boolean
  readonly on: (listeners: {
    readonly input: (chunk: Uint8Array) => void
    readonly inputEnd: () => void
    readonly resize: () => void
    readonly drain: () => void
  }) => void
}

/** Takes the terminal, and gives it back as it was when the scope closes. Undefined if standard input is not a terminal. */
export const rawTerminal: Effect.Effect<RawTerminal | undefined, never, Scope.Scope> = Effect.suspend(() => {
  const { stdin, stdout } = process
  if (!stdin.isTTY) return Effect.succeed(undefined)
  const undo: Array<() => void> = []
  return Effect.acquireRelease(
    Effect.sync((): RawTerminal => {
      const wasRaw = stdin.isRaw
      stdin.setRawMode(true)
      undo.push(() => {
        stdin.setRawMode(wasRaw)
        stdin.pause()
      })
      return {
        kind: process.env["TERM"] ?? "vt100",
        size: () => ({ rows: stdout.rows ?? 24, columns: stdout.columns ?? 80 }),
        write: (chunk) => stdout.write(chunk),
        on: ({ drain, input, inputEnd, resize }) => {
          stdin.on("data", input)
          stdin.on("end", inputEnd)
          stdout.on("resize", resize)
          stdout.on("drain", drain)
          undo.push(() => {
            stdin.off("data", input)
            stdin.off("end", inputEnd)
            stdout.off("resize", resize)
            stdout.off("drain", drain)
          })
          stdin.resume()
        }
      }
    }),
    () =>
      Effect.sync(() => {
        for (const step of undo.reverse()) step()
      })
  )
})
