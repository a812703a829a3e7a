/** The list of commands in two forms: as the tree for the parser of @effect/cli, and as the description for `Argv`. */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as Option from "effect/Option"
import { dataOption, type OptionSpec, type TaskSpec } from "./Argv.ts"
import { flag, optional, type Task, type TaskOption, value } from "./commands/Task.ts"
import { UsageError } from "./UsageError.ts"

/** A task, or the program, in the parser's terms. */
interface Node {
  readonly name: string
  readonly options: ReadonlyArray<TaskOption<unknown>>
}

const optionSpec = ({ alias, bare, isRequired, kind, name }: TaskOption<unknown>): OptionSpec => ({
  name,
  aliases: alias === undefined ? [] : [alias],
  kind: kind === "flag" ? "flag" : "value",
  ...(bare === undefined ? {} : { bare }),
  required: isRequired
})

const hasKey = ({ kind }: TaskOption<unknown>): boolean => kind !== "rest"
const isWord = ({ kind }: TaskOption<unknown>): boolean => kind === "word" || kind === "rest"

const taskSpec = ({ name, options }: Node, tasks: ReadonlyArray<TaskSpec>): TaskSpec => ({
  name,
  options: options.filter(hasKey).map(optionSpec),
  tasks,
  words: options.every(hasKey) ? options.filter(isWord).length : Number.MAX_SAFE_INTEGER
})

const specOf = (task: Task<never, never> | Task<unknown, unknown>): TaskSpec => taskSpec(task, task.tasks.map(specOf))

/** The text given for an option. Undefined if it was not given. */
const toOption = ({
  alias,
  description,
  isRequired,
  kind,
  name,
  placeholder
}: TaskOption<unknown>): Options.Options<string | undefined> => {
  const named = <A>(self: Options.Options<A>) =>
    pipe(
      self,
      Options.withDescription(description),
      (self) => (alias === undefined ? self : Options.withAlias(self, alias)),
      (self) => (placeholder === undefined ? self : Options.withPseudoName(self, placeholder))
    )
  if (kind === "flag") return Options.map(named(Options.boolean(name)), (isOn) => (isOn ? "" : undefined))
  const text = named(Options.text(name))
  return isRequired ? text : Options.map(Options.optional(text), Option.getOrUndefined)
}

const toArgument = ({ description, kind, name }: TaskOption<unknown>): Args.Args<string | undefined> => {
  const text = Args.withDescription(Args.text({ name }), description)
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
        message: `"${word}" is not a word of this task, which has "${options[name]}" already`
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
  ).pipe(Command.withDescription(task.description))

const branch = <E, R>(task: Task<E, R>) => {
  const [first, ...others] = task.tasks.map((below) => leaf(below))
  return first === undefined ? leaf(task) : Command.withSubcommands(leaf(task), [first, ...others])
}

const root = {
  name: "root",
  placeholder: "DIR",
  description: "the project root; default: the nearest folder upwards with deployer/config"
}

// `Main` handles this flag, so that a wrong line is answered in the same form.
const json = {
  name: dataOption,
  description: "writes exactly one JSON document to standard output, even if the command fails"
}

const verbose = {
  name: "verbose",
  description: "shows each step on the host with its time and size, and the reason of each choice"
}

const log = {
  name: "log",
  placeholder: "FILE",
  description: "appends everything that happens to this file, with times and without secrets"
}

/** The whole command line: the parser, and its description for `Argv`. Its own options are parsed before every task. */
export const treeOf = <E, R>([first, ...others]: readonly [Task<E, R>, ...ReadonlyArray<Task<E, R>>]) => ({
  command: Command.make("deployer", {
    root: Options.optional(
      Options.text(root.name).pipe(Options.withPseudoName(root.placeholder), Options.withDescription(root.description))
    ),
    json: Options.boolean(json.name).pipe(Options.withDescription(json.description)),
    verbose: Options.boolean(verbose.name).pipe(Options.withDescription(verbose.description)),
    log: Options.optional(
      Options.text(log.name).pipe(Options.withPseudoName(log.placeholder), Options.withDescription(log.description))
    )
  }).pipe(
    Command.withSubcommands([branch(first), ...others.map((task) => branch(task))]),
    Command.withDescription("Builds releases in containers and deploys them to plain hosts over SSH.")
  ),
  spec: taskSpec(
    { name: "deployer", options: [optional(value(root)), flag(json), flag(verbose), optional(value(log))] },
    [first, ...others].map(specOf)
  )
})
