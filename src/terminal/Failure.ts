/**
 * A failure as data: the content of stdout in place of a report if `json` requests data.
 */
import * as Terminal from "@effect/platform/Terminal"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Invocation } from "../domain/Invocation.ts"
import { messageOf } from "../internal/messageOf.ts"

/** Any JSON. Effect's own JSON Schema for it has an `$id`, which a schema may contain only once. */
export const Anything = Schema.Unknown.annotations({
  jsonSchema: { type: ["object", "array", "string", "number", "boolean", "null"] }
})

/** The tag of an error, and the fields of its schema. */
export const ErrorFields = Schema.Struct({ _tag: Schema.String }, { key: Schema.String, value: Anything })

/** The document of a command that failed, whatever the command. */
export class Failure extends Schema.TaggedClass<Failure>()("Failure", {
  /** The exit status of the process. */
  exitStatus: Schema.Int,
  /** The sentence shown on stderr. */
  message: Schema.String,
  error: ErrorFields,
  /** The commands that the message advises, in its order. */
  next: Schema.optional(Schema.Array(Invocation)),
  /** The command's report from before the failure, in its usual form. */
  report: Schema.optional(Anything)
}) {}

const isAdvice = Schema.is(Schema.NonEmptyArray(Invocation))

/** The commands that an error advises. Undefined if there are none. */
export const nextOf = (error: unknown): ReadonlyArray<Invocation> | undefined =>
  Predicate.hasProperty(error, "next") && isAdvice(error.next) ? error.next : undefined

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"

/** An error's tag and, if its class has a schema, all of its fields. */
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

/** The exit statuses that do not come from an error's own `exitStatus`. */
export const Status = { done: 0, failed: 1, usage: 2, bug: 70, interrupted: 130 } as const

/** Whether somebody left a question with Ctrl-C. */
export const isQuit = (error: unknown): boolean => Terminal.isQuitException(error)

/** One sentence for any value that an Effect failed with. */
export const sentenceOf = (error: unknown): string =>
  messageOf(error) ?? `Failed with ${Inspectable.toStringUnknown(error, 0)}`

/** The exit status for any value that an Effect failed with. */
export const statusOf = (error: unknown): number => {
  if (isQuit(error)) return Status.interrupted
  return Predicate.hasProperty(error, "exitStatus") &&
    typeof error.exitStatus === "number" &&
    Number.isInteger(error.exitStatus) &&
    error.exitStatus >= 0 &&
    error.exitStatus <= 255
    ? error.exitStatus
    : Status.failed
}

/** The document of any value that an Effect failed with. */
export const failureOf = (
  error: unknown,
  rest: { readonly exitStatus: number; readonly report?: unknown }
): Failure => {
  const next = nextOf(error)
  return Failure.make({
    message: sentenceOf(error),
    error: errorFields(error),
    ...(next === undefined ? {} : { next }),
    ...rest
  })
}
