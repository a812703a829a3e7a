/**
 * Lines typed on the terminal. Questions are drawn on stderr, since stdout is for results.
 */
import { fstatSync } from "node:fs"
import process from "node:process"
import * as readline from "node:readline"
import { Writable } from "node:stream"
import { text as textOf } from "node:stream/consumers"
import * as Effect from "effect/Effect"

/** How a question ended. */
export type Typed =
  | { readonly _tag: "Line"; readonly text: string }
  /** Ctrl-C. */
  | { readonly _tag: "Aborted" }
  /** Ctrl-D, or the terminal went away at a line that may end. */
  | { readonly _tag: "Ended" }
  /** There is no terminal, or its input has ended. */
  | { readonly _tag: "Unavailable" }

/** One line to read. */
export interface Reading {
  /** The subject, for a record of the questions. */
  readonly question: string
  /** Drawn in front of the typed text. */
  readonly prompt: string
  /** Whether the typed text is hidden. */
  readonly secret: boolean
  /** Gives the line a history and the Tab key. Returns all lines that the typed text could become. */
  readonly complete?: (typed: string) => ReadonlyArray<string>
}

/** The source of answers. */
export interface Keyboard {
  /** Whether somebody can type. */
  readonly isThere: Effect.Effect<boolean>
  readonly read: (reading: Reading) => Effect.Effect<Typed>
  readonly show: (text: string) => Effect.Effect<void>
  /** Forgets the lines that were pasted and not read yet, and returns them. */
  readonly dropPasted: Effect.Effect<ReadonlyArray<string>>
  /** The lines of the standard input if it is a file or a pipe, read to its end. Undefined otherwise. */
  readonly script: Effect.Effect<ReadonlyArray<string> | undefined>
  /** Columns. */
  readonly width: number
}

const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })

// The Tab key lists these words. The last word alone is easier to read than whole lines.
const lastWords =
  (complete: (typed: string) => ReadonlyArray<string>) =>
  (typed: string): [Array<string>, string] => {
    const start = typed.lastIndexOf(" ") + 1
    return [complete(typed).map((line) => line.slice(start)), typed.slice(start)]
  }

/** The terminal of this process. Text typed ahead of a question is not taken as its answer. */
export const terminalKeyboard = (): Keyboard => {
  const input = process.stdin
  const output = process.stderr
  let history: Array<string> = []
  /** Lines that arrived together with one that was read, for the next readings of the same kind. */
  let pasted: Array<string> = []
  /** The beginning of a line that was pasted behind them. */
  let begun = ""

  const isThere = () => input.isTTY === true && output.isTTY === true

  const read = (reading: Reading): Effect.Effect<Typed> =>
    Effect.async<Typed>((resume) => {
      if (!isThere()) return resume(Effect.succeed({ _tag: "Unavailable" }))
      const { complete } = reading
      const [next, ...later] = complete === undefined ? [] : pasted
      if (next !== undefined) {
        pasted = later
        output.write(`${reading.prompt}${next}\n`)
        return resume(Effect.succeed({ _tag: "Line", text: next }))
      }
      const lines = readline.createInterface({
        input,
        // A silent question draws its prompt once, and nothing after it.
        output: reading.secret ? nowhere() : output,
        terminal: true,
        ...(complete === undefined ? { historySize: 0 } : { history: [...history], completer: lastWords(complete) })
      })
      let over = false
      const end = (typed: Typed | undefined) => {
        if (over) return
        over = true
        if (complete !== undefined) begun = lines.line
        input.off("end", onGone)
        input.off("error", onGone)
        lines.close()
        // The next reader, a child or a shell on a host, finds stdin untouched.
        input.pause()
        if (reading.secret || typed?._tag !== "Line") output.write("\n")
        if (typed !== undefined) resume(Effect.succeed(typed))
      }
      const onGone = () => end(complete === undefined ? { _tag: "Unavailable" } : { _tag: "Ended" })
      input.on("end", onGone)
      input.on("error", onGone)
      lines.on("history", (next) => {
        history = next
      })
      let first: string | undefined
      let wasInterrupted = false
      lines.on("line", (text) => {
        if (complete === undefined) return end({ _tag: "Line", text })
        if (first !== undefined) return void pasted.push(text)
        first = text
        // Lines that were pasted arrive one after the other before this.
        setImmediate(() => end({ _tag: "Line", text }))
      })
      lines.on("close", () => end(first === undefined ? { _tag: "Ended" } : { _tag: "Line", text: first }))
      lines.on("SIGINT", () => {
        if (complete === undefined) return end({ _tag: "Aborted" })
        if (lines.line === "") {
          if (wasInterrupted) return end({ _tag: "Aborted" })
          wasInterrupted = true
          output.write("\n(q or Ctrl-D leaves; so does Ctrl-C again)\n")
          return lines.prompt()
        }
        // As in a shell: Ctrl-C drops the line that was begun.
        lines.write(null, { ctrl: true, name: "e" })
        lines.write(null, { ctrl: true, name: "u" })
        lines.prompt()
      })
      if (reading.secret) output.write(reading.prompt)
      lines.setPrompt(reading.prompt)
      lines.prompt()
      if (complete !== undefined && begun !== "") lines.write(begun)
      return Effect.sync(() => end(undefined))
    })

  /** A terminal, /dev/null and a closed input hold no script. */
  const hasScript = () => {
    try {
      const input = fstatSync(0)
      return input.isFile() || input.isFIFO() || input.isSocket()
    } catch {
      return false
    }
  }

  return {
    isThere: Effect.sync(isThere),
    read,
    dropPasted: Effect.sync(() => {
      const dropped = pasted
      pasted = []
      return dropped
    }),
    script: Effect.suspend(() =>
      hasScript()
        ? Effect.map(
            Effect.orElseSucceed(
              Effect.tryPromise(() => textOf(input)),
              () => ""
            ),
            (text) => text.split(/\r?\n/)
          )
        : Effect.succeed(undefined)
    ),
    show: (text) =>
      Effect.sync(() => {
        if (output.isTTY) output.write(text)
      }),
    get width() {
      return output.columns || 80
    }
  }
}
