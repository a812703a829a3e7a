/** Plans as files. */

import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { typed } from "../domain/Invocation.ts"
import { type SavedPlan, SavedPlanJson } from "../domain/SavedPlan.ts"
import * as files from "../internal/files.ts"
import * as Reporter from "../terminal/Reporter.ts"

/** A file does not contain a plan. */
export class PlanInvalid extends Schema.TaggedError<PlanInvalid>()("PlanInvalid", {
  file: Schema.String,
  /** One line each: a path into the plan and the mistake there. */
  mistakes: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const [only] = this.mistakes
    const again = `Make one with ${typed("deploy", { target: "T", plan: true, save: "FILE" })}`
    return this.mistakes.length === 1
      ? `${this.file} is not a valid plan: ${only}. ${again}`
      : `${this.file} is not a valid plan. ${again}. It has ${this.mistakes.length} mistakes:\n${this.mistakes.map((line) => `  ${line}`).join("\n")}`
  }
}

/** A plan could not be written. */
export class PlanNotSaved extends Schema.TaggedError<PlanNotSaved>()("PlanNotSaved", {
  file: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The plan could not be saved as ${this.file}: ${this.detail}`
  }
}

/** Writes a plan to a file, as the same document that `json` prints. It may contain values of the config, so only its owner can read it. */
export const savePlan = Effect.fn("savePlan")(function* (plan: SavedPlan, file: string) {
  const text = yield* Effect.orDie(Schema.encode(SavedPlanJson)(plan))
  yield* Effect.mapError(files.writeText(file, `${text}\n`), ({ detail }) => new PlanNotSaved({ file, detail }))
  yield* Reporter.note(
    `Saved the plan as ${file}: ${typed("apply", { plan: file })} carries it out, or refuses if the host has changed`
  )
})

const decode = Schema.decode(SavedPlanJson, { errors: "all", onExcessProperty: "error" })

/** Reads a saved plan, or the document of `plan json`. */
export const loadPlan = Effect.fn("loadPlan")(function* (file: string) {
  const invalid = (...mistakes: ReadonlyArray<string>) => new PlanInvalid({ file, mistakes })
  const text = yield* Effect.mapError(files.readText(file), ({ detail }) => invalid(detail))
  return yield* Effect.mapError(decode(text), (error) => invalid(...mistakesOf(error)))
})

const shownMistakes = 10

const mistakesOf = (error: ParseResult.ParseError): ReadonlyArray<string> => {
  const all = ParseResult.ArrayFormatter.formatErrorSync(error).map(({ message, path }) => {
    const [line = ""] = message.split("\n")
    return path.length === 0 ? line : `${path.map(String).join(".")}: ${line}`
  })
  const more = all.length - shownMistakes
  return more <= 0 ? all : [...all.slice(0, shownMistakes), `and ${more} more`]
}
