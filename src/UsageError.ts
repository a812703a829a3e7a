import * as Schema from "effect/Schema"

/** The command line makes no sense; nothing was done. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { message: Schema.String }) {
  readonly exitStatus = 2
}
