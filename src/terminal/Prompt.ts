/**
 * Questions to the user.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { type Keyboard, type Typed, terminalKeyboard } from "../internal/keyboard.ts"
import { asking } from "./Reporter.ts"
import { truncate } from "./Table.ts"

/** A question had to be asked, but there is no terminal to ask it on, or its input has ended. */
export class PromptUnavailable extends Schema.TaggedError<PromptUnavailable>()("PromptUnavailable", {
  question: Schema.String,
  /** How to give the answer in advance. */
  hint: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 3
  override get message(): string {
    return `There is no terminal to ask "${this.question}"${this.hint === undefined ? "" : `: ${this.hint}`}`
  }
}

/** The user pressed Ctrl-C at a question. */
export class PromptAborted extends Schema.TaggedError<PromptAborted>()("PromptAborted", {}) {
  readonly exitStatus = 130
  override get message(): string {
    return "Cancelled: nothing was changed after this question"
  }
}

/** A question could not be asked or was not answered. */
export type PromptFailure = PromptUnavailable | PromptAborted

/** A question for yes or no. */
export interface Confirm {
  readonly message: string
  /** The meaning of Enter, shown as `[Y/n]` or `[y/N]`. */
  readonly initial: boolean
  /** Whether `yes` on the command line answers it. */
  readonly safe: boolean
  /** How to give the answer in advance, for scripts. */
  readonly hint?: string
}

/** A question with several choices. */
export interface Select<A> {
  readonly message: string
  /** With `id` on all choices, people type the id, which the title has to show. Otherwise they type the number of the line. */
  readonly choices: ReadonlyArray<{ readonly title: string; readonly value: A; readonly id?: string }>
  /** A line above the choices. */
  readonly head?: string
  /** The answer of `yes` on the command line. If undefined, the question is still asked. */
  readonly safe?: { readonly value: A }
  readonly hint?: string
}

/** One line of an interactive manager. */
export interface Line {
  readonly prompt: string
  /** All lines that the typed text may begin, for the Tab key. */
  readonly complete: (typed: string) => ReadonlyArray<string>
}

/** The questions that the scripted prompt was asked, in order, and the number of answers left. */
export class Script extends Context.Tag("deployer/Prompt/Script")<
  Script,
  { readonly asked: Effect.Effect<ReadonlyArray<string>>; readonly left: Effect.Effect<number> }
>() {}

/** Asks the user. */
export class Prompt extends Context.Tag("deployer/Prompt")<
  Prompt,
  {
    /** Whether a user is there to answer. */
    readonly canAsk: Effect.Effect<boolean>
    readonly confirm: (question: Confirm) => Effect.Effect<boolean, PromptFailure>
    readonly select: <A>(question: Select<A>) => Effect.Effect<A, PromptFailure>
    /** The answer is never shown and never kept in a history. */
    readonly secret: (question: {
      readonly message: string
      readonly hint?: string
    }) => Effect.Effect<Redacted.Redacted<string>, PromptFailure>
    /** One line with history and completion. None if the input has ended (Ctrl-D). Lines that were pasted together come one by one. */
    readonly line: (line: Line) => Effect.Effect<Option.Option<string>, PromptFailure>
    /** Forgets the lines that were pasted and not read yet, and returns them. Only a terminal needs it. */
    readonly dropPasted?: Effect.Effect<ReadonlyArray<string>>
    /** The lines of the standard input if it is a file or a pipe, read to its end. Undefined otherwise. */
    readonly script?: Effect.Effect<ReadonlyArray<string> | undefined>
  }
>() {
  /** Asks on the terminal: questions on stderr, answers from stdin, which is read only while a question is open. */
  static readonly layer: Layer.Layer<Prompt> = Layer.effect(
    Prompt,
    Effect.suspend(() => make(terminalKeyboard()))
  )

  /** Asks nobody: every question fails with `PromptUnavailable`. */
  static readonly never: Layer.Layer<Prompt> = Layer.suspend(() => Prompt.layerScripted([]))

  /** Answers the safe questions with yes and passes the others on. */
  static readonly yes: Layer.Layer<Prompt, never, Prompt> = Layer.effect(
    Prompt,
    Effect.map(Prompt, (prompt) => ({
      ...prompt,
      confirm: (question) => (question.safe ? Effect.succeed(true) : prompt.confirm(question)),
      select: (question) =>
        question.safe === undefined ? prompt.select(question) : Effect.succeed(question.safe.value)
    }))
  )

  /**
   * Takes the user's typed answers from a list: `"y"`, `""` for Enter, `"2"`, `ctrlC`, `ctrlD`. If none is left, a question fails with
   * `PromptUnavailable`.
   */
  static readonly layerScripted = (answers: ReadonlyArray<string>): Layer.Layer<Prompt | Script> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const queue = yield* Ref.make(answers)
        const asked = yield* Ref.make<ReadonlyArray<string>>([])
        const prompt = yield* make({
          show: () => Effect.void,
          dropPasted: Effect.succeed([]),
          script: Effect.succeed(undefined),
          isThere: Effect.map(Ref.get(queue), ({ length }) => length > 0),
          width: Number.POSITIVE_INFINITY,
          read: ({ question }) =>
            Effect.gen(function* () {
              yield* Ref.update(asked, (before) => [...before, question])
              const [answer, ...left] = yield* Ref.get(queue)
              yield* Ref.set(queue, left)
              return answer === undefined
                ? { _tag: "Unavailable" }
                : answer === ctrlC
                  ? { _tag: "Aborted" }
                  : answer === ctrlD
                    ? { _tag: "Ended" }
                    : { _tag: "Line", text: answer }
            })
        })
        return Context.make(Prompt, prompt).pipe(
          Context.add(Script, { asked: Ref.get(asked), left: Effect.map(Ref.get(queue), (left) => left.length) })
        )
      })
    )
}

/** Ctrl-C, for `layerScripted`. */
export const ctrlC = "\u0003"

/** Ctrl-D, for `layerScripted`. */
export const ctrlD = "\u0004"

const abort = "\\a"

const readConfirm = (text: string, initial: boolean): boolean | undefined =>
  text === "" ? initial : /^y(es)?$/i.test(text) ? true : /^no?$/i.test(text) ? false : undefined

/** The choice with this id or in this line, or the only one whose title contains these characters, at least four. */
const readChoice = <A>(text: string, { choices }: Select<A>): Select<A>["choices"][number] | undefined => {
  const exact = choices.find(({ id }, index) => (id ?? String(index + 1)) === text)
  if (exact !== undefined) return exact
  const fitting = choices.filter(({ title }) => title.toLowerCase().includes(text.toLowerCase()))
  return text.length >= 4 && fitting.length === 1 ? fitting[0] : undefined
}

const hasIds = <A>({ choices }: Select<A>): boolean => choices.every(({ id }) => id !== undefined)

const make = (keyboard: Keyboard) =>
  Effect.map(Effect.makeSemaphore(1), (mutex) => {
    const read = (question: string, prompt: string, options: { readonly hint?: string; readonly secret?: boolean }) =>
      Effect.flatMap(
        asking(question)(keyboard.read({ question, prompt, secret: options.secret ?? false })),
        (typed: Typed): Effect.Effect<string, PromptFailure> => {
          switch (typed._tag) {
            case "Line":
              return Effect.succeed(typed.text)
            case "Unavailable":
              return Effect.fail(
                new PromptUnavailable({ question, ...(options.hint === undefined ? {} : { hint: options.hint }) })
              )
            default:
              return Effect.fail(new PromptAborted())
          }
        }
      )

    const confirm = (question: Confirm): Effect.Effect<boolean, PromptFailure> =>
      Effect.flatMap(
        read(question.message, `${question.message} ${question.initial ? "[Y/n]" : "[y/N]"} `, question),
        (text) => {
          const answer = readConfirm(text.trim(), question.initial)
          return answer === undefined
            ? Effect.zipRight(keyboard.show("Please answer y or n.\n"), confirm(question))
            : Effect.succeed(answer)
        }
      )

    const choose = <A>(question: Select<A>): Effect.Effect<A, PromptFailure> => {
      const word = hasIds(question) ? "Id" : `Number (1-${question.choices.length})`
      return Effect.flatMap(read(question.message, `${word}, or ${abort} to abort: `, question), (text) => {
        if (text.trim() === abort) return Effect.fail(new PromptAborted())
        const choice = readChoice(text.trim(), question)
        if (choice !== undefined) return Effect.succeed(choice.value)
        const help = hasIds(question) ? "an id from the list" : "the number of a line"
        return Effect.zipRight(
          keyboard.show(`Type ${help}, or at least four characters that only one line has.\n`),
          choose(question)
        )
      })
    }

    const select = <A>(question: Select<A>): Effect.Effect<A, PromptFailure> => {
      const digits = String(question.choices.length).length
      const lines = question.choices.map(({ title }, index) =>
        hasIds(question) ? title : `${String(index + 1).padStart(digits + 1)}) ${title}`
      )
      const shown = [question.message, ...(question.head === undefined ? [] : [question.head]), ...lines]
      return Effect.zipRight(
        keyboard.show(`${shown.map((line) => truncate(line, keyboard.width)).join("\n")}\n`),
        choose(question)
      )
    }

    return Prompt.of({
      canAsk: keyboard.isThere,
      dropPasted: keyboard.dropPasted,
      script: keyboard.script,
      confirm: (question) => mutex.withPermits(1)(confirm(question)),
      select: (question) =>
        question.choices.length === 0
          ? Effect.fail(new PromptUnavailable({ question: question.message, hint: "there is nothing to choose from" }))
          : mutex.withPermits(1)(select(question)),
      secret: (question) =>
        mutex.withPermits(1)(
          Effect.map(read(question.message, `${question.message} `, { ...question, secret: true }), Redacted.make)
        ),
      line: ({ complete, prompt }) =>
        mutex.withPermits(1)(
          Effect.flatMap(
            keyboard.read({ question: prompt, prompt, secret: false, complete }),
            (typed): Effect.Effect<Option.Option<string>, PromptFailure> => {
              switch (typed._tag) {
                case "Line":
                  return Effect.succeed(Option.some(typed.text))
                case "Ended":
                  return Effect.succeed(Option.none())
                case "Aborted":
                  return Effect.fail(new PromptAborted())
                case "Unavailable":
                  return Effect.fail(new PromptUnavailable({ question: prompt }))
              }
            }
          )
        )
    })
  })
