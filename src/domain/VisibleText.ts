import * as Schema from "effect/Schema"

/** Replaces characters that a terminal would interpret, or that change the direction of a text, with a space. */
const visible = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, " ")

/** Text from another author, on one line: decoded without control characters, so that a terminal may show it. */
export const VisibleText = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: visible,
  encode: (text) => text
})
