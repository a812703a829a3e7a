/**
 * The form of answers: words for people, or data for programs.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** The destination of answers: stdout in words, or `keep` as data, of which the last one counts. */
export class Answer extends Context.Reference<Answer>()("deployer/Answer", {
  defaultValue: (): { readonly keep?: (document: unknown) => Effect.Effect<void> } => ({})
}) {}

/** Whether answers in words may have colours. */
export class Color extends Context.Reference<Color>()("deployer/Color", { defaultValue: () => false }) {}

/** Whether data was requested instead of words. */
export const isData: Effect.Effect<boolean> = Effect.map(Answer, ({ keep }) => keep !== undefined)
