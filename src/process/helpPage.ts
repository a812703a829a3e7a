/**
 * Help, drawn from the description of the command line: one page for the program and one for each command, wrapped to the terminal.
 */
import { builtIns, fold, type OptionSpec, summary, type TaskSpec } from "../Spec.ts"

/** The settings of a page. */
export interface Appearance {
  /** The width of the terminal. Undefined or 0 if it is unknown. */
  readonly columns?: number | undefined
  readonly color: boolean
}

const usualWidth = 80
/** Longer lines are hard to read. */
const greatestWidth = 120
const leastWidth = 40

const widthOf = (columns = 0): number =>
  columns === 0 ? usualWidth : Math.min(greatestWidth, Math.max(leastWidth, columns))

/** An option as docs and people write it: `env_file_name=FILE`, `force_init`, `wait[=TIME]`. */
export const spelled = ({ bare, kind, name, placeholder }: OptionSpec): string => {
  const key = name.replaceAll("-", "_")
  const value = `=${placeholder ?? key.toUpperCase()}`
  return kind === "flag" ? key : bare === undefined ? `${key}${value}` : `${key}[${value}]`
}

const restWords = ({ rest }: TaskSpec): ReadonlyArray<string> =>
  rest === undefined ? [] : [`-- ${rest.name.toUpperCase()}`]

/** The parts of a task's line after its name. A part is never broken. */
const usageParts = (task: TaskSpec): ReadonlyArray<string> => [
  ...task.options.map((option) =>
    option.required && option.unless === undefined ? spelled(option) : `[${spelled(option)}]`
  ),
  ...restWords(task)
]

/** The line of a task with all its options. */
export const usageLine = (path: string, task: TaskSpec): string => [path, ...usageParts(task)].join(" ")

/** The description of an option. */
export const meaning = ({ description = "", isWord = false, name }: OptionSpec): string =>
  isWord ? `${description} (the key ${name}= can be omitted)` : description

interface Sheet {
  readonly width: number
  readonly heading: (text: string) => string
}

/** The text in lines of at most `width` letters. Its words have no colours and no wide letters, so nothing slow must measure them. */
const filled = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

const wrapped = ({ width }: Sheet, text: string, indent: number, hang = indent): ReadonlyArray<string> =>
  filled(text, width - hang).map((line, index) => `${" ".repeat(index === 0 ? indent : hang)}${line}`)

const breakable = /(?<=\S) (?=\S)/g
const noBreak = "\u00a0"

type Row = readonly [name: string, text: string]

const leftOf = (entries: ReadonlyArray<Row>): number => Math.max(...entries.map(([name]) => name.length)) + 4

/** Rows of two columns, the second one wrapped from the column `left` on. */
const rows = (sheet: Sheet, entries: ReadonlyArray<Row>, left = leftOf(entries)): ReadonlyArray<string> =>
  entries.flatMap(([name, text]) => {
    const [first = "", ...more] = wrapped(sheet, text, left)
    return [`  ${name.padEnd(left - 2)}${first.slice(left)}`.trimEnd(), ...more]
  })

const section = (sheet: Sheet, heading: string, entries: ReadonlyArray<Row>): ReadonlyArray<string> =>
  entries.length === 0 ? [] : [sheet.heading(heading), ...rows(sheet, entries), ""]

const optionRows = (options: ReadonlyArray<OptionSpec>): ReadonlyArray<Row> =>
  options.map((option) => [spelled(option), meaning(option)])

const summaries = (tasks: ReadonlyArray<TaskSpec>): ReadonlyArray<Row> =>
  tasks.map((task) => [task.name, summary(task)])

/** The commands in their groups, with one column for all names. */
const grouped = (sheet: Sheet, root: TaskSpec): ReadonlyArray<string> =>
  [...new Set(root.tasks.map(({ group }) => group))].flatMap((name = "") => [
    sheet.heading(name),
    ...rows(sheet, summaries(root.tasks.filter(({ group }) => group === name)), leftOf(summaries(root.tasks)))
  ])

const programPage = (sheet: Sheet, root: TaskSpec): ReadonlyArray<string> => [
  sheet.heading(`${root.name} COMMAND key=value … flag …`),
  ...wrapped(sheet, root.description ?? "", 0),
  "",
  ...grouped(sheet, root),
  "",
  sheet.heading("with every command"),
  ...rows(sheet, [
    ...optionRows(root.options),
    ...builtIns.map(({ description = "", name }): Row => [`--${name}`, description])
  ]),
  ...wrapped(sheet, "--key=value, --key value and --flag mean the same.", 2)
]

const taskPage = (sheet: Sheet, root: TaskSpec, path: string, task: TaskSpec): ReadonlyArray<string> => {
  const parts = usageParts(task).map((part) => part.replace(breakable, noBreak))
  const usage = wrapped(sheet, [path, ...parts].join(" "), 2, 6).map((line) => line.replaceAll(noBreak, " "))
  return [
    sheet.heading(path),
    ...wrapped(sheet, task.description ?? "", 0),
    "",
    sheet.heading("usage"),
    ...usage,
    "",
    ...section(sheet, "verbs", summaries(task.tasks)),
    ...section(sheet, "options", [
      ...optionRows(task.options),
      ...restWords(task).map((word): Row => [word, task.rest?.description ?? ""])
    ]),
    sheet.heading("examples"),
    ...(task.examples ?? []).map((example) => `  ${example}`),
    "",
    ...wrapped(sheet, `With every command: ${root.options.map(spelled).join(", ")}. See ${root.name} --help`, 0)
  ]
}

const find = (task: TaskSpec, [first, ...others]: ReadonlyArray<string>): TaskSpec | undefined => {
  if (first === undefined) return task
  const child = task.tasks.find(({ name }) => fold(name) === fold(first))
  return child === undefined ? undefined : find(child, others)
}

/** The page of the task that the words name; without words, of the program. Undefined if there is no such task. */
export const helpPage = (root: TaskSpec, words: ReadonlyArray<string>, appearance: Appearance): string | undefined => {
  const task = find(root, words)
  if (task === undefined) return undefined
  const sheet: Sheet = {
    width: widthOf(appearance.columns),
    heading: (text) => (appearance.color ? `\u001b[1m${text}\u001b[22m` : text)
  }
  const names = words.map((_, depth) => find(root, words.slice(0, depth + 1))?.name ?? "")
  const lines = task === root ? programPage(sheet, root) : taskPage(sheet, root, [root.name, ...names].join(" "), task)
  return `${lines.join("\n")}\n`
}
