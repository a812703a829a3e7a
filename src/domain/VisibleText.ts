import * as Schema from "effect/Schema"

/** Without what a terminal would act on, and without what turns the direction of a text. */
const visible = (text: string): string => text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, " ")

/** What somebody else wrote, on one line: read from a host, it has no control characters any more, so that a terminal may show it. */
export const VisibleText = Schema.transform(Schema.String, Schema.String, {
  strict: true,
  decode: visible,
  encode: (text) => text
})
