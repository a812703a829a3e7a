/**
 * The words that can stand at the cursor of a command line, from the description of the command line and from the index of the project.
 */
import { age } from "../domain/Quantity.ts"
import { emptyIndex, type IndexedRelease, type ProjectIndex } from "../internal/projectIndex.ts"
import {
  builtIns,
  type Completes,
  childOf,
  fold,
  isBare,
  lookup,
  type OptionSpec,
  type Pair,
  readPair,
  summary,
  type TaskSpec
} from "../Spec.ts"

/** A word that can stand at the cursor. */
export interface Candidate {
  readonly word: string
  /** Its meaning, for shells that show this. */
  readonly about: string
}

/** The questions that completion may ask. Each is asked only if the word at the cursor needs it. */
export interface Surroundings {
  /** The index of the project at this root; without a root, of the project around the working directory. */
  readonly project: (root: string | undefined) => ProjectIndex | undefined
  /** The paths that begin like this. */
  readonly paths: (typed: string, kind: "file" | "folder") => ReadonlyArray<string>
  /** In milliseconds since 1970. */
  readonly now: number
}

/** The line in front of the cursor. */
interface Line {
  readonly root: TaskSpec
  readonly task: TaskSpec
  /** The options of the task, of those above it, and of every line. */
  readonly options: ReadonlyArray<OptionSpec>
  readonly given: ReadonlyMap<OptionSpec, string>
  /** The number of bare words that are no options. */
  readonly words: number
  /** The option whose value is the word at the cursor, because the word before it is `--target`. */
  readonly open: OptionSpec | undefined
  /** Whether `--` stands before the cursor: the words after it are not for deployer. */
  readonly isOver: boolean
}

const allOptions = (task: TaskSpec): ReadonlyArray<OptionSpec> => [...task.options, ...task.tasks.flatMap(allOptions)]

const isPair = (pair: Pair | undefined): pair is Pair => pair !== undefined

/** Reads the words before the cursor. Unlike the parser, it passes over unknown words. */
const readLine = (root: TaskSpec, before: ReadonlyArray<string>): Line => {
  const path: Array<TaskSpec> = [root]
  const known = [...allOptions(root), ...builtIns]
  const given = new Map<OptionSpec, string>()
  let words = 0
  let open: OptionSpec | undefined
  const task = () => path.at(-1) ?? root
  const options = () => [...path.toReversed().flatMap((task) => task.options), ...builtIns]
  for (const word of before) {
    if (open !== undefined) {
      given.set(open, word)
      open = undefined
      continue
    }
    const child = childOf(task(), word)
    const pair = readPair(word)
    const option = isPair(pair) ? (lookup(options(), pair) ?? lookup(known, pair)) : undefined
    if (child !== undefined) path.push(child)
    else if (option === undefined) words += isBare(word) ? 1 : 0
    else if (option.kind === "value" && pair?.value === undefined && pair?.dashes !== 0) open = option
    else given.set(option, pair?.value ?? "")
  }
  return { root, task: task(), options: options(), given, words, open, isOver: before.includes("--") }
}

const releaseText = ({ builtAt, name, ref, tags }: IndexedRelease, now: number): string =>
  [name, ref.slice(0, 8), `built ${age(now - builtAt)}`, ...tags].join(", ")

/** A ref in the letters in which its beginning was typed, so that every shell sees that it fits. */
const inCase = (ref: string, typed: string): string => (/[a-f]/.test(typed) ? ref.toLowerCase() : ref)

const distinct = (candidates: ReadonlyArray<Candidate>): ReadonlyArray<Candidate> => [
  ...new Map(candidates.map((candidate) => [candidate.word, candidate])).values()
]

const valueOf = (line: Line, name: string): string | undefined =>
  [...line.given].find(([option]) => option.name === name)?.[1]

/** The values that a source has. */
const valuesFrom = (
  source: Completes,
  typed: string,
  line: Line,
  { now, paths, project }: Surroundings
): ReadonlyArray<Candidate> => {
  if (typeof source !== "string") return source.map((word) => ({ word, about: "" }))
  if (source === "file" || source === "folder") return paths(typed, source).map((word) => ({ word, about: "" }))
  const { groups, releases, targets } = project(valueOf(line, "root")) ?? emptyIndex
  const target = targets.find(({ key }) => key === valueOf(line, "target"))
  const fitting = releases.filter(({ name }) => target === undefined || target.name === name)
  const refs = () =>
    fitting.flatMap((release): ReadonlyArray<Candidate> => {
      const about = releaseText(release, now)
      return [
        { word: release.id, about },
        { word: inCase(release.ref.slice(0, 8), typed), about }
      ]
    })
  const names = () => fitting.map(({ name }) => ({ word: name, about: "" }))
  switch (source) {
    case "target":
      return targets.map(({ address, key }) => ({ word: key, about: address }))
    case "group":
      return groups.map(({ key, targets }) => ({ word: key, about: targets.join(", ") }))
    case "release":
      return [
        ...(fitting.length === 0 ? [] : [{ word: "latest", about: "the newest one" }]),
        ...refs(),
        ...names().map(({ word }) => ({ word, about: `the latest release of ${word}` }))
      ]
    case "ref":
      return refs()
    case "name":
      return names()
    case "tag":
      return fitting.flatMap(({ tags }) => tags).map((word) => ({ word, about: "" }))
  }
}

const values = (option: OptionSpec, typed: string, line: Line, around: Surroundings): ReadonlyArray<Candidate> =>
  option.completes === undefined
    ? []
    : distinct(valuesFrom(option.completes, typed, line, around)).filter(({ word }) => word.startsWith(typed))

/** The name as it is being typed: with dashes in front, people write it as in other tools. */
const spell = (name: string, typed: string): string => {
  const dashes = /^-*/.exec(typed)?.[0] ?? ""
  const isKebab = typed.slice(dashes.length).includes("-") || (dashes !== "" && !typed.includes("_"))
  return `${typed === "-" ? "--" : dashes}${isKebab ? fold(name) : name.replaceAll("-", "_")}`
}

const optionWords = (option: OptionSpec, typed: string): ReadonlyArray<Candidate> => {
  const word = spell(option.name, typed)
  const { bare, description: about = "", kind } = option
  return [
    ...(kind === "flag" || bare !== undefined ? [{ word, about }] : []),
    ...(kind === "value" ? [{ word: `${word}=`, about }] : [])
  ]
}

/** Tasks, values without a key, and options: whatever can begin here. */
const beginnings = (line: Line, typed: string, around: Surroundings): ReadonlyArray<Candidate> => {
  const { given, options, task, words } = line
  const isWithDash = typed.startsWith("-")
  const tasks = words > 0 || isWithDash ? [] : task.tasks.map((child) => ({ word: child.name, about: summary(child) }))
  const byPlace = task.options.filter(({ isWord }) => isWord === true)
  const wordOption = byPlace[words]
  const bareValues =
    wordOption === undefined || given.has(wordOption) || isWithDash ? [] : values(wordOption, typed, line, around)
  const taken = new Set([...given.keys(), ...byPlace.slice(0, words)])
  const keys = options.filter((option) => !taken.has(option) && (isWithDash || !builtIns.includes(option)))
  return [...tasks, ...bareValues, ...keys.flatMap((option) => optionWords(option, typed))].filter(({ word }) =>
    word.startsWith(typed)
  )
}

/** A shell reads a candidate as a line, and would show control characters to the terminal. */
const isOnOneLine = ({ word }: Candidate): boolean => !/[\p{Cc}\u2028\u2029]/u.test(word)

/**
 * The candidates for the last word, which may be empty, after the others. The program's name is not among them. Words with a line break or
 * another control character are left out.
 */
export const complete = (
  root: TaskSpec,
  words: ReadonlyArray<string>,
  around: Surroundings
): ReadonlyArray<Candidate> => candidatesFor(root, words, around).filter(isOnOneLine)

const candidatesFor = (
  root: TaskSpec,
  words: ReadonlyArray<string>,
  around: Surroundings
): ReadonlyArray<Candidate> => {
  const typed = words.at(-1) ?? ""
  const [first, ...others] = words.slice(0, -1)
  const isHelp = first === "help"
  const line = readLine(root, isHelp ? others : words.slice(0, -1))
  if (line.isOver) return []
  if (isHelp) return beginnings(line, typed, around).filter(({ word }) => childOf(line.task, word) !== undefined)
  if (line.open !== undefined) return values(line.open, typed, line, around)
  const [, key = "", value] = /^([^=]*=)([\s\S]*)$/.exec(typed) ?? []
  if (value === undefined) return distinct(beginnings(line, typed, around))
  const pair = readPair(typed)
  const option = isPair(pair) ? lookup(line.options, pair) : undefined
  return option === undefined || option.kind === "flag"
    ? []
    : values(option, value, line, around).map(({ about, word }) => ({ word: `${key}${word}`, about }))
}
