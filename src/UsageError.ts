import * as Schema from "effect/Schema"

/** The command line is wrong, and nothing was done. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {
  readonly exitStatus = 2
}
