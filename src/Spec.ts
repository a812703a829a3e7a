/**
 * The description of the command line as plain data, made from the list of commands. The parser, help and completion read it. It loads
 * nothing, so that help and completion start fast.
 */

/** Where the values of an option come from: the project, the file system, or a fixed list. */
export type Completes =
  | "target"
  | "group"
  /** Ids, refs and names of stored releases, and `latest`. */
  | "release"
  /** Ids and refs of stored releases. */
  | "ref"
  | "name"
  | "tag"
  | "file"
  | "folder"
  | ReadonlyArray<string>

/** One option of a task. */
export interface OptionSpec {
  /** As declared, without dashes. */
  readonly name: string
  readonly aliases: ReadonlyArray<string>
  readonly kind: "value" | "flag"
  /** The value if the option is named without one. If undefined, that is a mistake. */
  readonly bare?: string
  readonly required: boolean
  /** Whether the value can stand without its key. */
  readonly isWord?: boolean
  readonly description?: string
  /** Stands for the value in help: `FILE`. */
  readonly placeholder?: string
  readonly completes?: Completes
  /** The names of other options, any of which may stand in place of a required one. */
  readonly unless?: ReadonlyArray<string>
}

/** One task with its subtasks. The root is the program. */
export interface TaskSpec {
  readonly name: string
  readonly options: ReadonlyArray<OptionSpec>
  readonly tasks: ReadonlyArray<TaskSpec>
  /** The number of bare words it takes. */
  readonly words: number
  /** The words after all others, if it takes any number of them. */
  readonly rest?: { readonly name: string; readonly description: string }
  /** The first sentence is its line in a list of tasks. */
  readonly description?: string
  readonly examples?: ReadonlyArray<string>
  /** The heading of its line in the list of all tasks. */
  readonly group?: string
}

const flag = (name: string, description: string, ...aliases: ReadonlyArray<string>): OptionSpec => ({
  name,
  aliases,
  kind: "flag",
  required: false,
  description
})

/** Options that are part of every command line, and go with no task. */
export const builtIn = {
  help: flag("help", "shows the page of a command", "h"),
  version: flag("version", "shows the version")
} as const

/** All of {@link builtIn}. */
export const builtIns: ReadonlyArray<OptionSpec> = Object.values(builtIn)

/** A word that could be an option: up to two dashes, a key, and perhaps a value. */
export interface Pair {
  readonly dashes: number
  readonly key: string
  readonly value: string | undefined
}

/** Reads a word as a pair, if it can be one. */
export const readPair = (token: string): Pair | undefined => {
  const match = /^(-{0,2})([A-Za-z][A-Za-z0-9_-]*)(?:=([\s\S]*))?$/.exec(token)
  return match === null ? undefined : { dashes: (match[1] ?? "").length, key: match[2] ?? "", value: match[3] }
}

/** The name in the one spelling in which names are compared. */
export const fold = (name: string): string => name.replaceAll("_", "-")

/** The option that a pair names. A single letter is a bare word unless it has a dash or a value. */
export const lookup = (options: ReadonlyArray<OptionSpec>, pair: Pair): OptionSpec | undefined =>
  pair.key.length === 1 && pair.dashes === 0 && pair.value === undefined
    ? undefined
    : options.find((option) => [option.name, ...option.aliases].some((name) => fold(name) === fold(pair.key)))

/** Whether a word is neither an option with dashes nor a pair with a value. */
export const isBare = (token: string): boolean => !token.startsWith("-") && !token.includes("=")

/** The subtask that a bare word names. */
export const childOf = (task: TaskSpec, token: string): TaskSpec | undefined =>
  isBare(token) ? task.tasks.find(({ name }) => fold(name) === fold(token)) : undefined

/** The first sentence of a description. */
export const summary = ({ description = "" }: TaskSpec): string =>
  /^.*?[.](?= |$)/.exec(description)?.[0] ?? description
