/** Asks a list of questions and records each answer, the same for every Prompt. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Prompt } from "../../src/terminal/Prompt.ts"

export type Question =
  | { readonly kind: "confirm"; readonly initial: boolean; readonly safe?: boolean }
  | { readonly kind: "select"; readonly titles: ReadonlyArray<string>; readonly safe?: number }
  | { readonly kind: "secret" | "line" }

const completions = ["info", "integrity", "prune my_app"]

const ask = (question: Question) =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    switch (question.kind) {
      case "confirm":
        return String(
          yield* prompt.confirm({
            message: "Deploy?",
            initial: question.initial,
            safe: question.safe ?? false,
            hint: "use yes"
          })
        )
      case "select": {
        const safe = question.safe === undefined ? {} : { safe: { value: question.safe } }
        const choices = question.titles.map((title, value) => ({ title, value }))
        return String(yield* prompt.select({ message: "Which one?", choices, ...safe }))
      }
      case "secret":
        return Redacted.value(yield* prompt.secret({ message: "Passphrase:" }))
      case "line": {
        const complete = (typed: string) => completions.filter((line) => line.startsWith(typed))
        return Option.getOrElse(yield* prompt.line({ prompt: "> ", complete }), () => "the end")
      }
    }
  }).pipe(Effect.catchAll((error) => Effect.succeed(error._tag)))

/** The outcome of each question: the answer, or the tag of its failure. */
export const askAll = (questions: ReadonlyArray<Question>): Effect.Effect<ReadonlyArray<string>, never, Prompt> =>
  Effect.forEach(questions, ask)
