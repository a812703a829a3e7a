/**
 * Questions to the user.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** A question had to be asked, but there is no terminal to ask it on, or its input has ended. */
export class PromptUnavailable extends Schema.TaggedError<PromptUnavailable>()("PromptUnavailable", {
  question: Schema.String,
  /** How to answer beforehand. */
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
    return "Aborted at a question; nothing was changed after it"
  }
}

/** A question could not be asked or was not answered. */
export type PromptFailure = PromptUnavailable | PromptAborted

/** A question for yes or no. */
export interface Confirm {
  readonly message: string
  /** What Enter means; shown as `[Yn]` or `[yN]`. */
  readonly initial: boolean
  /** Whether `yes` on the command line answers it. */
  readonly safe: boolean
  /** How to answer beforehand, for scripts. */
  readonly hint?: string
}

/** A question for one of several things. */
export interface Select<A> {
  readonly message: string
  readonly choices: ReadonlyArray<{ readonly title: string; readonly value: A }>
  /** What `yes` on the command line answers; absent: the question stays. */
  readonly safe?: { readonly value: A }
  readonly hint?: string
}

/** One line of an interactive manager. */
export interface Line {
  readonly prompt: string
  /** All lines that could be meant by what was typed so far, for the Tab key. */
  readonly complete: (typed: string) => ReadonlyArray<string>
}

/** Asks the user. */
export class Prompt extends Context.Tag("deployer/Prompt")<
  Prompt,
  {
    readonly confirm: (question: Confirm) => Effect.Effect<boolean, PromptFailure>
    readonly select: <A>(question: Select<A>) => Effect.Effect<A, PromptFailure>
    /** Never shown, never kept in a history. */
    readonly secret: (question: {
      readonly message: string
      readonly hint?: string
    }) => Effect.Effect<Redacted.Redacted<string>, PromptFailure>
    /** One line with history and completion; nothing where the input has ended (Ctrl-D). */
    readonly line: (line: Line) => Effect.Effect<Option.Option<string>, PromptFailure>
  }
>() {}
