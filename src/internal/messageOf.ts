import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"

const unsaid = ["_tag", "cause", "message", "name", "stack", "exitStatus"]

/** The message of any value with which an Effect failed. Undefined if it has none. */
export const messageOf = (error: unknown): string | undefined => {
  const text = typeof error === "string" ? error : Predicate.hasProperty(error, "message") ? error.message : undefined
  const message = typeof text === "string" ? text.trim() : ""
  if (message !== "" && message !== "An error has occurred") return message
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") {
    const fields = Object.entries(error).filter(([key]) => !unsaid.includes(key))
    return `${error._tag}${fields.length === 0 ? "" : ` ${Inspectable.stringifyCircular(Object.fromEntries(fields))}`}`
  }
  return error instanceof Error ? error.name : undefined
}
