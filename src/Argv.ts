/**
 * Rewrites the words of the command line into the one form that @effect/cli reads.
 *
 * `target=prod`, `-target=prod`, `--target=prod` and `--target prod` become `--target prod`; `force_init`, `-force_init`,
 * `--force_init`, `--force-init` and `force_init=true` become `--force-init`. The known keys come from the list of commands, so a command
 * declares its options once. The process calls `Argv.normalize(tree.spec)(argv)` before it runs the parser.
 */

import * as Either from "effect/Either"
import { suggest } from "./internal/suggest.ts"
import { builtIn, builtIns, childOf, fold, isBare, lookup, type OptionSpec, readPair, type TaskSpec } from "./Spec.ts"
import { UsageError } from "./UsageError.ts"

// A token with line breaks, or with blanks at its ends, is a value and no option.
const isOption = (options: ReadonlyArray<OptionSpec>, token: string): boolean => {
  const pair = /^-\S/.test(token) && /^.*\S$/.test(token) ? readPair(token) : undefined
  return pair !== undefined && lookup(options, pair) !== undefined
}

/**
 * Whether the token after an option is that option's value. If the option does not need a value, the name of an option or a task is not its value.
 */
const isValue = (
  options: ReadonlyArray<OptionSpec>,
  tasks: ReadonlyArray<TaskSpec>,
  option: OptionSpec,
  next: string
) => {
  if (isOption(options, next)) return false
  const pair = readPair(next)
  return (
    option.bare === undefined ||
    ((pair === undefined || lookup(options, pair) === undefined) &&
      !tasks.some(({ name }) => fold(name) === fold(next)))
  )
}

const allOptions = (task: TaskSpec): ReadonlyArray<OptionSpec> => [...task.options, ...task.tasks.flatMap(allOptions)]

const quoted = (word: string): string => `"${word}"`

/** The known word that the user probably meant: the word for the same thing in other tools, or a similar word. */
const meantBy = (word: string, known: ReadonlyArray<string>): string | undefined => {
  const synonym = synonyms.get(fold(word))
  return synonym !== undefined && known.includes(synonym) ? synonym : suggest(word, known)
}

const didYouMean = (word: string, known: ReadonlyArray<string>, show: (name: string) => string = quoted): string => {
  const meant = meantBy(word, known)
  return meant === undefined ? "" : `Did you mean ${show(meant)}? `
}

const usage = (message: string): UsageError => new UsageError({ message })

const commandLine = (path: ReadonlyArray<TaskSpec>): string => path.map((task) => task.name).join(" ")

/** The task's name in a sentence. It omits the program's name, with which the sentence begins. */
const taskName = (path: ReadonlyArray<TaskSpec>): string => commandLine(path.length > 1 ? path.slice(1) : path)

const seeHelp = (path: ReadonlyArray<TaskSpec>): string => `See ${commandLine(path)} --help`

/** The mistake in a line with an option that no task has. Undefined if there is no such option. */
const unknownOption = (root: TaskSpec, tokens: ReadonlyArray<string>): UsageError | undefined => {
  const known = [...builtIns, ...allOptions(root)]
  const [key] = tokens.flatMap((token) => {
    const pair = isBare(token) ? undefined : readPair(token)
    return pair === undefined || lookup(known, pair) !== undefined ? [] : [pair.key]
  })
  const names = [...root.options, ...builtIns, ...root.tasks].map(({ name }) => name)
  return key === undefined
    ? undefined
    : usage(`${quoted(root.name)} does not know ${quoted(key)}. ${didYouMean(key, names)}${seeHelp([root])}`)
}

/** The named task, the path to it from the root, and the words that do not belong to its name. */
interface Located {
  readonly path: readonly [TaskSpec, ...ReadonlyArray<TaskSpec>]
  readonly task: TaskSpec
  readonly rest: ReadonlyArray<string>
}

const locate = (root: TaskSpec, tokens: ReadonlyArray<string>): Either.Either<Located, UsageError> => {
  const everyOption = [...builtIns, ...allOptions(root)]
  const path: [TaskSpec, ...Array<TaskSpec>] = [root]
  const rest: Array<string> = []
  let task = root
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index] ?? ""
    const pair = readPair(token)
    const option = pair === undefined ? undefined : lookup(everyOption, pair)
    const child = childOf(task, token)
    if (child !== undefined) {
      path.push(child)
      task = child
      continue
    }
    rest.push(token)
    const next = tokens[index + 1]
    const takesNext = option?.kind === "value" && pair?.value === undefined && !isBare(token)
    if (takesNext && next !== undefined && isValue(everyOption, task.tasks, option, next)) {
      rest.push(next)
      index++
    } else if (isBare(token) && option === undefined && task.tasks.length > 0 && task.words === 0) {
      const names = task.tasks.map((child) => child.name)
      const below = task.tasks.filter(({ tasks }) => tasks.some(({ name }) => fold(name) === fold(token)))
      const meant = below.map(({ name }) => quoted(`${name} ${token}`)).join(" or ")
      const odd = rest.filter((word) => word.startsWith("-"))
      return Either.left(
        unknownOption(root, odd) ??
          usage(
            `There is no command ${quoted(token)}. ${meant === "" ? didYouMean(token, names) : `Did you mean ${meant}? `}See ${commandLine(path)} --help`
          )
      )
    }
  }
  return Either.right({ path, task, rest })
}

const readFlag = (value: string): boolean | undefined =>
  /^(|true|yes|y|on|1)$/i.test(value) ? true : /^(false|no|n|off|0)$/i.test(value) ? false : undefined

/** The parsed words: the values by option (an empty list for a flag that is off), the bare words, and the first mistake. */
interface Read {
  readonly values: ReadonlyMap<OptionSpec, ReadonlyArray<string>>
  readonly words: ReadonlyArray<string>
  readonly error: UsageError | undefined
}

const read = ({ path, rest, task }: Located): Read => {
  const options = [...path.toReversed().flatMap((task) => task.options), ...builtIns]
  const names = options.flatMap((option) => [option.name, ...option.aliases]).filter((name) => name.length > 1)
  const values = new Map<OptionSpec, ReadonlyArray<string>>()
  const words: Array<string> = []
  let error: UsageError | undefined
  const wrong = (message: string) => {
    error ??= usage(message)
  }
  const set = (option: OptionSpec, value: string) => {
    const [before = value] = values.get(option) ?? []
    if (before !== value) wrong(`${quoted(option.name)} is given twice (${before} and ${value}): give it once`)
    values.set(option, [value])
  }
  for (let index = 0; index < rest.length; index++) {
    const token = rest[index] ?? ""
    const pair = readPair(token)
    const found = pair === undefined ? undefined : lookup(options, pair)
    const option =
      found !== undefined && isBare(token) && task.words > 0 && builtIns.includes(found) ? undefined : found
    const next = rest[index + 1]
    if (option === undefined || pair === undefined) {
      if (isBare(token) || (pair === undefined && !token.startsWith("-"))) {
        words.push(token)
      } else {
        const key = pair?.key ?? token.replace(/^-+|=[\s\S]*$/g, "")
        wrong(
          `${quoted(taskName(path))} does not know ${quoted(key)}. ${didYouMean(key, names, (name) => {
            const meant = options.find((option) => option.name === name)
            return quoted(meant?.kind === "value" ? `${name}=${pair?.value ?? "…"}` : name)
          })}${seeHelp(path)}`
        )
      }
    } else if (option.kind === "flag") {
      const takesNext = pair.value === undefined && task.words === 0 && (next === "true" || next === "false")
      const value = takesNext ? next : (pair.value ?? "")
      const on = readFlag(value)
      if (takesNext) index++
      if (on === undefined) {
        wrong(`${quoted(option.name)} is a flag and takes true or false, not ${quoted(value)}. ${seeHelp(path)}`)
      } else {
        values.set(option, on ? [""] : [])
      }
    } else if (pair.value !== undefined && pair.value !== "") {
      set(option, pair.value)
    } else if (
      pair.value === undefined &&
      pair.dashes > 0 &&
      next !== undefined &&
      next !== "" &&
      isValue(options, task.tasks, option, next)
    ) {
      set(option, next)
      index++
    } else if (option.bare !== undefined) {
      set(option, option.bare)
    } else {
      wrong(`${quoted(option.name)} needs a value: ${option.name}=… ${seeHelp(path)}`)
    }
  }
  return { values, words, error }
}

const isOn = (read: Read, option: OptionSpec): boolean => (read.values.get(option) ?? []).length > 0

/** The flag, valid on every line, that requests data instead of words. */
export const dataOption = "json"

/** Whether a line requests data, even if it is otherwise wrong. */
export const isData =
  (root: TaskSpec) =>
  (argv: ReadonlyArray<string>): boolean => {
    const end = argv.indexOf("--")
    const before = end === -1 ? argv : argv.slice(0, end)
    const option = root.options.find(({ name }) => name === dataOption)
    if (option === undefined) return false
    // If no task is found, the words have no other meaning, so `json` is the flag.
    const located = Either.getOrElse(locate(root, before), (): Located => ({ path: [root], task: root, rest: before }))
    return isOn(read(located), option)
  }

const extraWord = ({ path, task }: Located, word: string, { values }: Read): UsageError => {
  const options = path.flatMap((task) => task.options)
  const meant = meantBy(
    word,
    options.map((option) => option.name)
  )
  const key = task.options.find(
    (option) => option.kind === "value" && option.required && option.isWord !== true && !values.has(option)
  )?.name
  const hint = meant !== undefined ? quoted(meant) : key !== undefined ? quoted(`${key}=${word}`) : undefined
  return usage(
    `${quoted(taskName(path))} does not know what to do with ${quoted(word)}. ${hint === undefined ? "" : `Did you mean ${hint}? `}${seeHelp(path)}`
  )
}

/** The mistake in a line that names no task. If a word of the line is an option of some tasks, the message names these tasks. */
const nameTask = (root: TaskSpec, tokens: ReadonlyArray<string>): UsageError => {
  const known = [...root.options, ...builtIns]
  const word = tokens.find(
    (token) => isBare(token) && lookup(known, { dashes: 0, key: token, value: undefined }) === undefined
  )
  const owners = root.tasks.filter(({ options }) =>
    options.some(({ name }) => word !== undefined && fold(name) === fold(word))
  )
  const odd = unknownOption(root, tokens)
  if (odd !== undefined) return odd
  return usage(
    word === undefined || owners.length === 0
      ? `Name a command: see ${root.name} --help`
      : `${quoted(word)} is not a command, but an option of ${owners.map(({ name }) => name).join(", ")}, as in: ${root.name} ${owners[0]?.name} … ${word}`
  )
}

/** Whether an option stands in place of a required one. */
const hasOther = ({ unless = [] }: OptionSpec, values: Read["values"]): boolean =>
  [...values.keys()].some(({ name }) => unless.includes(name))

/** The mistake in a line without its required keys. The message lists the known targets if only the target is missing, or else shows an example. */
const missingKeys = (
  path: Located["path"],
  missing: ReadonlyArray<OptionSpec>,
  targets: () => ReadonlyArray<string>
): UsageError => {
  const keys = missing.map(({ name }) => `${name}=…`).join(" and ")
  const [known, ...others] = missing.every(({ name }) => name === "target") ? targets() : []
  const [example] = path.at(-1)?.examples ?? []
  const hint =
    known !== undefined
      ? `: ${others.length === 0 ? "the only target is " : ""}${[known, ...others].join(", ")}. `
      : example === undefined
        ? ". "
        : `, as in: ${example}. `
  return usage(`${quoted(taskName(path))} needs ${keys}${hint}${seeHelp(path)}`)
}

/** Words that other tools use, with the words that deployer uses in their place. */
const synonyms: ReadonlyMap<string, string> = new Map([
  ["dry-run", "plan"],
  ["dry", "plan"],
  ["simulate", "plan"],
  ["force", "retry"],
  ["message", "reason"],
  ["run", "exec"],
  ["console", "ssh"],
  ["undo", "rollback"],
  ["revert", "rollback"],
  ["check", "doctor"],
  ["config", "validate"],
  ["setup", "init"],
  ["list", "manage"],
  ["releases", "manage"],
  ["v", "verbose"]
])

// Joins a value to its key only if the parser would otherwise take the value for something else.
const spell = (
  path: ReadonlyArray<TaskSpec>,
  owner: TaskSpec,
  option: OptionSpec,
  value: string
): ReadonlyArray<string> => {
  const name = option.name.length === 1 ? `-${option.name}` : `--${option.name}`
  const options = [...path.flatMap((task) => task.options), ...builtIns]
  const ambiguous = value === "--" || isOption(options, value) || owner.tasks.some((task) => task.name === value)
  return option.kind === "flag" ? [name] : ambiguous ? [`${name}=${value}`] : [name, value]
}

/**
 * Rewrites the arguments after the program's name. A second call on the result changes nothing. A wrong line gives a `UsageError` of one
 * sentence: an unknown task or key, a key without its value, or a missing required key. `targets` are the known targets, for that sentence.
 */
export const normalize =
  (root: TaskSpec, targets: () => ReadonlyArray<string> = () => []) =>
  (argv: ReadonlyArray<string>): Either.Either<ReadonlyArray<string>, UsageError> => {
    const end = argv.indexOf("--")
    const before = end === -1 ? argv : argv.slice(0, end)
    const after = end === -1 ? [] : argv.slice(end + 1)
    if (before.length === 0 && after.length === 0) return Either.right(["--help"])
    // "help build" and "version" mean the same as "--help" and "--version".
    const [first, ...others] = before
    const asked = (first === "help" || first === "version") && !root.tasks.some((task) => task.name === first)
    return Either.flatMap(locate(root, asked ? [`--${first}`, ...others] : before), (located) => {
      const { path, task } = located
      const parsed = read(located)
      if (isOn(parsed, builtIn.help)) {
        return Either.right(["--help", ...path.slice(1).map((task) => task.name)])
      }
      if (isOn(parsed, builtIn.version)) return Either.right(["--version"])
      const [extra] = parsed.words.slice(task.words)
      const options = path.flatMap((task) => task.options)
      const isMissing = (option: OptionSpec) =>
        option.required &&
        !parsed.values.has(option) &&
        !hasOther(option, parsed.values) &&
        !(option.isWord === true && parsed.words.length + after.length > 0)
      const missing = options.filter(isMissing)
      const error =
        task === root
          ? nameTask(root, before)
          : (parsed.error ??
            (extra !== undefined
              ? extraWord(located, extra, parsed)
              : missing.length > 0
                ? missingKeys(path, missing, targets)
                : undefined))
      if (error !== undefined) return Either.left(error)
      const spelled = path.flatMap((owner, depth) => [
        ...(depth === 0 ? [] : [owner.name]),
        ...owner.options.flatMap((option) =>
          (parsed.values.get(option) ?? []).flatMap((value) => spell(path, owner, option, value))
        )
      ])
      const words = [...parsed.words, ...after]
      return Either.right([...spelled, ...(words.length === 0 ? [] : ["--", ...words])])
    })
  }
