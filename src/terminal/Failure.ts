/**
 * A failure as data: what stdout holds in place of a report where `json` asks for data.
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** Any JSON. What Effect would publish for it claims an `$id`, and a schema may hold each only once. */
export const Anything = Schema.Unknown.annotations({
  jsonSchema: { type: ["object", "array", "string", "number", "boolean", "null"] }
})

/** What is known of an error: its tag, and the fields of its schema. */
export const ErrorFields = Schema.Struct({ _tag: Schema.String }, { key: Schema.String, value: Anything })

/** The document of a command that failed, whatever the command. */
export class Failure extends Schema.TaggedClass<Failure>()("Failure", {
  /** Of the process. */
  exitStatus: Schema.Int,
  /** The sentence that stderr shows. */
  message: Schema.String,
  error: ErrorFields,
  /** What the command had to report before it failed, in the form that it has on success. */
  report: Schema.optional(Anything)
}) {}

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"

/** An error by its tag and, where its class has a schema, all that it carries. */
export const errorFields = (error: unknown): typeof ErrorFields.Type => {
  const bare = { _tag: tagOf(error) }
  const made = Predicate.hasProperty(error, "constructor") ? error.constructor : undefined
  if (!Schema.isSchema(made)) return bare
  return Either.getOrElse(
    Either.flatMap(
      Schema.encodeUnknownEither(Schema.make<unknown, unknown>(made.ast))(error),
      Schema.decodeUnknownEither(ErrorFields)
    ),
    () => bare
  )
}
