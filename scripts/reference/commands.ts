/** The page of the commands, from their description. */

import { meaning, spelled, usageLine } from "../../src/process/helpPage.ts"
import { summary, type TaskSpec } from "../../src/Spec.ts"
import { tree } from "../../src/tree.ts"
import { cell } from "./sources.ts"

const table = (rows: ReadonlyArray<readonly [string, string]>): ReadonlyArray<string> =>
  rows.length === 0
    ? []
    : ["| option | meaning |", "|---|---|", ...rows.map(([name, text]) => `| \`${cell(name)}\` | ${cell(text)} |`), ""]

const page = (task: TaskSpec, above = ""): ReadonlyArray<string> => {
  const path = `${above}${task.name}`
  const { rest } = task
  return [
    `## \`${path}\``,
    "",
    task.description ?? "",
    "",
    "```usage",
    usageLine(`deployer ${path}`, task),
    "```",
    "",
    "```sh",
    ...(task.examples ?? []),
    "```",
    "",
    ...table([
      ...task.options.map((option) => [spelled(option), meaning(option)] as const),
      ...(rest === undefined ? [] : [[`-- ${rest.name.toUpperCase()}`, rest.description] as const])
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
    "Every command also takes `--help` and these options:",
    "",
    ...table(tree.spec.options.map((option) => [spelled(option), meaning(option)] as const)),
    ...tree.spec.tasks.flatMap((task) => page(task))
  ].join("\n")

const begin = "<!-- The list of commands: npm run reference writes it. -->\n"
const end = "\n<!-- The end of the list. -->"

const anchored = ({ name }: TaskSpec): string => `[\`${name}\`](reference/commands.md#${name})`

/** Text with the list of commands between `begin` and `end`. */
export const withList = (text: string): string => {
  const [before, after] = [text.indexOf(begin), text.indexOf(end)]
  if (before < 0 || after < before)
    throw new Error(`docs/commands.md needs the lines ${begin.trim()} and ${end.trim()}`)
  const rows = tree.spec.tasks.map((task) => `| ${anchored(task)} | ${cell(summary(task))} |`)
  const list = ["", "| command | what it does |", "|---|---|", ...rows, ""].join("\n")
  return `${text.slice(0, before + begin.length)}${list}${text.slice(after)}`
}
