/** The list of commands in two forms: as the tree for the parser of @effect/cli, and as the description for `Argv`. */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { dataOption } from "./Argv.ts"
import { flag, optional, type Task, type TaskOption, value } from "./commands/Task.ts"
import type { OptionSpec, TaskSpec } from "./Spec.ts"
import { UsageError } from "./UsageError.ts"

/** A task, or the program, in the parser's terms. */
interface Node extends Pick<TaskSpec, "description" | "examples" | "group"> {
  readonly name: string
  readonly options: ReadonlyArray<TaskOption<unknown>>
}

const optionSpec = (option: TaskOption<unknown>): OptionSpec => {
  const { alias, bare, completes, description, isRequired, kind, name, placeholder, unless } = option
  return {
    name,
    aliases: alias === undefined ? [] : [alias],
    kind: kind === "flag" ? "flag" : "value",
    ...(bare === undefined ? {} : { bare }),
    required: isRequired,
    ...(isWord(option) ? { isWord: true } : {}),
    description,
    ...(placeholder === undefined ? {} : { placeholder }),
    ...(completes === undefined ? {} : { completes }),
    ...(unless === undefined ? {} : { unless })
  }
}

const hasKey = ({ kind }: TaskOption<unknown>): boolean => kind !== "rest"
const isWord = ({ kind }: TaskOption<unknown>): boolean => kind === "word" || kind === "rest"

const taskSpec = ({ options, ...node }: Node, tasks: ReadonlyArray<TaskSpec>): TaskSpec => {
  const rest = options.find((option) => !hasKey(option))
  return {
    ...node,
    options: options.filter(hasKey).map(optionSpec),
    tasks,
    ...(rest === undefined
      ? { words: options.filter(isWord).length }
      : { words: Number.MAX_SAFE_INTEGER, rest: { name: rest.name, description: rest.description } })
  }
}

const specOf = (task: Task<never, never> | Task<unknown, unknown>): TaskSpec => {
  const { description, examples, group, name, options, tasks } = task
  return taskSpec({ name, description, examples, group, options }, tasks.map(specOf))
}

/** The text given for an option. Undefined if it was not given. */
const toOption = ({
  alias,
  isRequired,
  kind,
  name,
  unless
}: TaskOption<unknown>): Options.Options<string | undefined> => {
  const named = <A>(self: Options.Options<A>) => (alias === undefined ? self : Options.withAlias(self, alias))
  if (kind === "flag") return Options.map(named(Options.boolean(name)), (isOn) => (isOn ? "" : undefined))
  const text = named(Options.text(name))
  return isRequired && unless === undefined && kind !== "word"
    ? text
    : Options.map(Options.optional(text), Option.getOrUndefined)
}

const toArgument = ({ kind, name }: TaskOption<unknown>): Args.Args<string | undefined> => {
  const text = Args.text({ name })
  return kind === "rest"
    ? Args.map(Args.repeated(text), (words) => (words.length === 0 ? undefined : words.join("\0")))
    : Args.map(Args.optional(text), Option.getOrUndefined)
}

/** The given texts, by name. Without options, @effect/cli passes no list. */
const byName = (options: Node["options"], given: ReadonlyArray<string | undefined> | undefined): Given =>
  Object.fromEntries(options.map(({ name }, index) => [name, given?.[index]]))

const configOf = ({ options }: Node) => {
  const words = options.filter(isWord)
  const keys = options.filter(hasKey)
  return {
    options: Options.map(Options.all(keys.map(toOption)), (given) => byName(keys, given)),
    words: Args.map(Args.all(words.map(toArgument)), (given) => byName(words, given))
  }
}

type Given = Readonly<Record<string, string | undefined>>

/** Fails if a word is given twice: the second one, for instance `plan`, must not be ignored. */
const merged = ({
  options,
  words
}: {
  readonly options: Given
  readonly words: Given
}): Effect.Effect<Given, UsageError> => {
  for (const [name, word] of Object.entries(words)) {
    if (word !== undefined && options[name] !== undefined) {
      return new UsageError({
        message: `"${word}" is not a word of this command, which has "${options[name]}" already`
      })
    }
  }
  return Effect.succeed({
    ...options,
    ...Object.fromEntries(Object.entries(words).filter(([, word]) => word !== undefined))
  })
}

const leaf = <E, R>(task: Task<E, R>) =>
  Command.make(task.name, configOf(task), (given) =>
    Effect.flatMap(merged(given), (values) => task.main((name) => values[name]))
  )

const branch = <E, R>(task: Task<E, R>) => {
  const [first, ...others] = task.tasks.map((below) => leaf(below))
  return first === undefined ? leaf(task) : Command.withSubcommands(leaf(task), [first, ...others])
}

/** The options of every task. They are parsed before it, and `Main` handles them. */
const globals: ReadonlyArray<TaskOption<unknown>> = [
  optional(
    value({
      name: "root",
      placeholder: "DIR",
      completes: "folder",
      description: "the project root; default: the nearest folder with deployer/config"
    })
  ),
  // `Main` handles this flag, so that a wrong line is answered in the same form.
  flag({ name: dataOption, description: "writes one JSON document to standard output, also for a failure" }),
  flag({
    name: "verbose",
    description: "shows each step on the host with its time, its size and its reason"
  }),
  optional(
    value({
      name: "log",
      placeholder: "FILE",
      completes: "file",
      description: "appends all that happens to this file, with times, without secrets"
    })
  )
]

const description = "Builds releases in containers and deploys them to plain hosts over SSH."

/** The whole command line: the parser, and its description. */
export const treeOf = <E, R>([first, ...others]: readonly [Task<E, R>, ...ReadonlyArray<Task<E, R>>]) => ({
  command: Command.make("deployer", {
    globals: Options.map(Options.all(globals.map(toOption)), (given) => byName(globals, given))
  }).pipe(Command.withSubcommands([branch(first), ...others.map((task) => branch(task))])),
  spec: taskSpec({ name: "deployer", description, options: globals }, [first, ...others].map(specOf))
})
