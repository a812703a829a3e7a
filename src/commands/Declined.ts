/**
 * The user said no.
 */
import * as Schema from "effect/Schema"

/** A question was answered with no, so the command did not do its work. */
export class Declined extends Schema.TaggedError<Declined>()("Declined", {
  /** The work that was left undone, one clause: `nothing was removed`. */
  consequence: Schema.String,
  /** The answer, in the words of the question. */
  answer: Schema.optionalWith(Schema.String, { default: () => "no" })
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The answer was ${this.answer}: ${this.consequence}`
  }
}
