/** The progress of a deployment as data. */

import { Option, Schema } from "effect"
import { type ReporterEvent, workName } from "effect-deployer"

export class Note extends Schema.TaggedClass<Note>()("Note", { message: Schema.String }) {}
export class Warning extends Schema.TaggedClass<Warning>()("Warning", { message: Schema.String }) {}
/** `number` counts the steps of a plan from 1 on, and `of` is their number. */
export class StepStarted extends Schema.TaggedClass<StepStarted>()("StepStarted", {
  step: Schema.String,
  number: Schema.optional(Schema.Number),
  of: Schema.optional(Schema.Number)
}) {}
export class StepEnded extends Schema.TaggedClass<StepEnded>()("StepEnded", {
  step: Schema.String,
  ok: Schema.Boolean,
  millis: Schema.Number
}) {}
export class Output extends Schema.TaggedClass<Output>()("Output", { text: Schema.String }) {}
export class Deployed extends Schema.TaggedClass<Deployed>()("Deployed", {
  target: Schema.String,
  release: Schema.String,
  millis: Schema.Number
}) {}
export class Failed extends Schema.TaggedClass<Failed>()("Failed", { message: Schema.String }) {}

/** The last one of a deployment is `Deployed` or `Failed`. */
export const Progress = Schema.Union(StepStarted, StepEnded, Note, Warning, Output, Deployed, Failed)
export type Progress = typeof Progress.Type

/** Translates the events of one deployment. It leaves out details and the many events of transfers. */
export const makeTranslator = (): ((event: ReporterEvent) => Option.Option<Progress>) => {
  // A chunk may end in the middle of a character.
  const decoder = new TextDecoder()
  return (event) => {
    switch (event._tag) {
      case "StepStarted": {
        const { number, of, step } = event
        const count = number === undefined || of === undefined ? {} : { number, of }
        return Option.some(StepStarted.make({ step: workName(step), ...count }))
      }
      case "StepEnded": {
        const { millis, ok, step } = event
        return Option.some(StepEnded.make({ step: workName(step), ok, millis }))
      }
      case "Note":
        return Option.some(Note.make({ message: event.message }))
      case "Warning":
        return Option.some(Warning.make({ message: event.message }))
      case "Output":
        return Option.some(Output.make({ text: decoder.decode(event.chunk, { stream: true }) }))
      default:
        return Option.none()
    }
  }
}

const encode = Schema.encodeSync(Schema.parseJson(Progress))

export const toServerSentEvent = (progress: Progress): string =>
  `event: ${progress._tag}\ndata: ${encode(progress)}\n\n`
