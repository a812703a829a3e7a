/** The page of the commands, from their list. */
import { tasks } from "../../src/Cli.ts"
import type { TaskOption } from "../../src/commands/Task.ts"
import { cell } from "./sources.ts"

interface Listed {
  readonly name: string
  readonly description: string
  readonly options: ReadonlyArray<TaskOption<unknown>>
  readonly tasks: ReadonlyArray<Listed>
}

/** As docs and people write an option: `env_file_name=FILE`, `force_init`, `wait[=TIME]`. */
const spelled = ({ bare, kind, name, placeholder }: TaskOption<unknown>): string => {
  const key = name.replaceAll("-", "_")
  if (kind === "flag") return key
  if (kind === "rest") return "-- COMMAND"
  return bare === undefined ? `${key}=${placeholder ?? key.toUpperCase()}` : `${key}[=TIME]`
}

const usage = (path: string, { options }: Listed): string =>
  [
    `deployer ${path}`,
    ...options.map((option) => (option.isRequired || option.kind === "rest" ? spelled(option) : `[${spelled(option)}]`))
  ].join(" ")

const page = (task: Listed, above = ""): ReadonlyArray<string> => {
  const path = `${above}${task.name}`
  const [description = "", examples] = task.description.split(/ Examples?: /)
  return [
    `## \`${path}\``,
    "",
    description,
    "",
    "```usage",
    usage(path, task),
    "```",
    "",
    ...(examples === undefined ? [] : ["```sh", ...examples.split(", "), "```", ""]),
    ...(task.options.length === 0
      ? []
      : [
          "| option | meaning |",
          "|---|---|",
          ...task.options.map((option) => `| \`${spelled(option)}\` | ${cell(option.description)} |`),
          ""
        ]),
    ...task.tasks.flatMap((below) => page(below, `${path} `))
  ]
}

/** The text of the page. */
export const commandsPage = (): string =>
  [
    "# Command reference",
    "",
    "Written by `npm run reference` from the commands themselves. [Commands](../commands.md) tells how they work together.",
    "",
    "Every command also takes `root=DIR` (the project root; default: the nearest folder upwards with `deployer/config`), `json` and `--help`.",
    "",
    ...tasks.flatMap((task) => page(task))
  ].join("\n")
