/**
 * A command of deployer as data. Errors and advice say with it what to do next, so that a program need not parse a sentence, and one function
 * writes it as people type it.
 */
import * as Schema from "effect/Schema"

/** A command with its options. */
export const Invocation = Schema.Struct({
  /** One word, or two of a command with verbs: `deploy`, `manage prune`. */
  command: Schema.String,
  /** The value of each option. True for an option that is a word by itself. Capital letters stand for a value to fill in. */
  options: Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Literal(true)) })
}).annotations({ identifier: "Invocation" })
/** A command with its options. */
export type Invocation = typeof Invocation.Type

/** Makes an invocation. Options that are undefined or false are left out. */
export const invocation = (
  command: string,
  options: Readonly<Record<string, string | boolean | undefined>> = {}
): Invocation => ({
  command,
  options: Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) => (value === undefined || value === false ? [] : [[name, value]]))
  )
})

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** The text to type in a shell: `deployer deploy target=prod retry`. */
export const commandLine = ({ command, options }: Invocation): string =>
  [
    "deployer",
    command,
    ...Object.entries(options).map(([name, value]) => (value === true ? name : `${name}=${quoted(value)}`))
  ].join(" ")

/** `commandLine` of a new invocation, for sentences that are no errors. */
export const typed = (command: string, options?: Parameters<typeof invocation>[1]): string =>
  commandLine(invocation(command, options))
