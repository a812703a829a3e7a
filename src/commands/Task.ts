/**
 * A command as one value: its options, its action, its report and the view of that. The command line, help, completions and the JSON Schema
 * are all derived from the list of these.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { LockWait } from "../deployment/locking.ts"
import type { SavedPlan } from "../domain/SavedPlan.ts"
import type { Completes } from "../Spec.ts"
import { answer, conversation, type Kind } from "../terminal/Answer.ts"
import { Prompt } from "../terminal/Prompt.ts"
import { UsageError } from "../UsageError.ts"
import { savePlan } from "./planFile.ts"

/** A group of commands in help. */
export type Group = "build and deploy" | "look" | "go back" | "repair" | "operate" | "manager"

/** One option of a task. */
export interface TaskOption<A> {
  /** The name as written with dashes: `env-file-name`. */
  readonly name: string
  /** A `word` is a value with an optional key; `rest` is all other words of the line. */
  readonly kind: "value" | "flag" | "word" | "rest"
  readonly description: string
  /** Stands for the value in the help text: `FILE`. */
  readonly placeholder?: string
  /** Another name: `f`. */
  readonly alias?: string
  /** The value if the option is named without one. If undefined, that is a mistake. */
  readonly bare?: string
  /** The source of the values that a shell offers. */
  readonly completes?: Completes
  readonly isRequired: boolean
  /** The names of other options, any of which may stand in place of a required one. */
  readonly unless?: ReadonlyArray<string>
  /** Reads the given text: undefined if the option was not given, an empty text for a flag. Fails with a sentence. */
  readonly read: (text: string | undefined) => Either.Either<A, string>
}

type Texts = Omit<TaskOption<unknown>, "kind" | "isRequired" | "unless" | "read">

/** A required option with a value. */
export const value = (texts: Texts): TaskOption<string> => ({
  ...texts,
  kind: "value",
  isRequired: true,
  read: (text) => (text === undefined ? Either.left(`"${texts.name}" is missing`) : Either.right(text))
})

/** Makes an option optional. */
export const optional = <A>(option: TaskOption<A>): TaskOption<A | undefined> => ({
  ...option,
  isRequired: false,
  read: (text) => (text === undefined ? Either.right(undefined) : option.read(text))
})

/** Makes a required option optional if one of the others, by name, is given. */
export const unless = <A>(others: ReadonlyArray<string>, option: TaskOption<A>): TaskOption<A | undefined> => ({
  ...optional(option),
  isRequired: true,
  unless: others
})

/** A flag. */
export const flag = (texts: Texts): TaskOption<boolean> => ({
  ...texts,
  kind: "flag",
  isRequired: false,
  read: (text) => Either.right(text !== undefined)
})

/** Makes the key of a value optional: `shell=bash` and `bash` are the same. */
export const asWord = <A>(option: TaskOption<A>): TaskOption<A> => ({ ...option, kind: "word" })

/** A value with an optional key that is itself optional: `name=my_app` and `my_app` are the same. */
export const word = (texts: Texts): TaskOption<string | undefined> => asWord(optional(value(texts)))

/** All remaining words of the line, at least one. */
export const rest = (texts: Texts, missing: string): TaskOption<ReadonlyArray<string>> => ({
  ...texts,
  kind: "rest",
  isRequired: false,
  read: (text) => (text === undefined ? Either.left(missing) : Either.right(text.split("\0")))
})

/** Decodes a value further. */
export const parsed = <B>(
  option: TaskOption<string>,
  parse: (text: string) => Either.Either<B, string>
): TaskOption<B> => ({
  ...option,
  read: (text) => Either.flatMap(option.read(text), parse)
})

/** A whole number with a lower limit. */
export const count = (texts: Texts, what: string): TaskOption<number> =>
  parsed(value(texts), (text) =>
    /^[1-9][0-9]{0,8}$/.test(text)
      ? Either.right(Number(text))
      : Either.left(`"${texts.name}" takes ${what}, from 1 on, not "${text}"`)
  )

/** One of a few words. */
export const choice = <const A extends string>(texts: Texts, choices: ReadonlyArray<A>): TaskOption<A> =>
  parsed({ ...value(texts), completes: choices }, (text) =>
    Either.fromNullable(
      choices.find((choice) => choice === text),
      () => `"${texts.name}" takes ${choices.join(", ")}, not "${text}"`
    )
  )

// Options that several tasks share

/** The target of a task. */
export const target = value({
  name: "target",
  placeholder: "T",
  completes: "target",
  description: "a key of `targets` in deployer/config/deployer_config.ts"
})

/** The target of a verb that works on the local store if there is none. */
export const optionalTarget = optional(
  value({
    name: "target",
    placeholder: "T",
    completes: "target",
    description: "works on the host of this target; default: the local store"
  })
)

/** Answers the safe questions. The others are still asked. */
export const yes = flag({ name: "yes", description: "answers the safe questions, for scripts" })

/** A release of the store. */
export const release = optional(
  value({
    name: "release",
    placeholder: "R",
    completes: "release",
    description: "an id, a ref or its first four digits, a name, or latest"
  })
)

const unit: ReadonlyMap<string, string> = new Map([
  ["s", "seconds"],
  ["m", "minutes"],
  ["h", "hours"]
])

/** A time: `90s`, `5m`, `1h`, or a duration in Effect's notation, such as `5 minutes`. */
export const time = (texts: Texts): TaskOption<Duration.Duration> =>
  parsed(value(texts), (text) => {
    const [, number, short = ""] = /^([0-9]+) *([smh])$/.exec(text) ?? []
    return Option.match(Duration.decodeUnknown(number === undefined ? text : `${number} ${unit.get(short)}`), {
      onNone: () => Either.left(`"${texts.name}" takes a time such as 90s, 5m or 1h, not "${text}"`),
      onSome: Either.right
    })
  })

/** How long a task waits for somebody else's lock. The task gets it as `LockWait`. */
export const wait = optional(
  time({
    name: "wait",
    // Long enough for any deployment, but not forever.
    bare: "1h",
    placeholder: "TIME",
    completes: ["1m", "5m", "30m", "1h"],
    description:
      "how long to wait for somebody else's lock, such as 5m; wait alone means 1h; default: 5 seconds, and not at all for a lock set on purpose"
  })
)

/** Options for tasks that can show a plan. */
export const planning = {
  plan: flag({ name: "plan", description: "shows the steps without doing them" }),
  save: optional(
    value({
      name: "save",
      placeholder: "FILE",
      completes: "file",
      description: "with plan: saves the plan to this file, for deployer apply"
    })
  )
}

/** Runs a task, or plans it. `savePlanned` saves the plan if requested. */
export const planned = <A, E, R, E2, R2>(
  { plan, save }: { readonly plan: boolean; readonly save: string | undefined },
  ways: { readonly plan: Effect.Effect<SavedPlan, E, R>; readonly run: Effect.Effect<A, E2, R2> }
): Effect.Effect<A | SavedPlan, E | E2 | UsageError, R | R2> => {
  if (!plan && save !== undefined) {
    return new UsageError({ message: `"save" goes with "plan": plan save=${save}` })
  }
  return plan ? ways.plan : ways.run
}

/** Saves a plan after it was shown. */
export const savePlanned = (
  report: { readonly _tag: string } | SavedPlan,
  { save }: { readonly save: string | undefined }
) => (report._tag === "SavedPlan" && "plan" in report && save !== undefined ? savePlan(report, save) : Effect.void)

// Tasks

/** The given text of each option, by the option's name. */
export type Given = (name: string) => string | undefined

/** One task with its subtasks. The types of its options and of its report are private to it. */
export interface Task<E, R> {
  readonly name: string
  readonly group: Group
  readonly description: string
  readonly examples: ReadonlyArray<string>
  readonly options: ReadonlyArray<TaskOption<unknown>>
  /** The schema of its report. Undefined for a conversation, which reports only failures. */
  readonly document: Schema.Schema.All | undefined
  readonly tasks: ReadonlyArray<Task<E, R>>
  readonly main: (given: Given) => Effect.Effect<void, E, R>
}

/** The texts of a task in help. */
export interface Help {
  readonly group: Group
  /** The first sentence is its line in the list of commands. */
  readonly description: string
  /** At least two whole lines: `deployer build target=prod`. */
  readonly examples: readonly [string, string, ...ReadonlyArray<string>]
}

/** The failures of tasks. */
export type FailureOf<T> = T extends Task<infer E, unknown> ? E : never

/** The services that tasks need. */
export type ServicesOf<T> = T extends Task<unknown, infer R> ? R : never

/** The options of a task by their keys in the program. */
export type Options = Readonly<Record<string, TaskOption<unknown>>>

/** The values of options. */
export type Values<O extends Options> = { readonly [Key in keyof O]: O[Key] extends TaskOption<infer A> ? A : never }

/** Reads the values of options. Fails with a sentence. */
export function readAll<O extends Options>(options: O, given: Given): Effect.Effect<Values<O>, UsageError>
/** Reads the values of options. Fails with a sentence. */
export function readAll(options: Options, given: Given): Effect.Effect<Readonly<Record<string, unknown>>, UsageError> {
  const values: Record<string, unknown> = {}
  for (const [key, option] of Object.entries(options)) {
    const read = option.read(given(option.name))
    if (Either.isLeft(read)) return new UsageError({ message: read.left })
    values[key] = read.right
  }
  return Effect.succeed(values)
}

/** Applies the options `yes` and `wait` of a task. */
export const surrounded =
  (values: Readonly<Record<string, unknown>>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Prompt> => {
    const { wait, yes } = values
    const waiting = Duration.isDuration(wait)
      ? Effect.provideService(self, LockWait, { taken: wait, held: wait })
      : self
    return yes === true ? Effect.provide(waiting, Prompt.yes) : waiting
  }

/** Makes a task that returns a report. */
export const task = <const O extends Options, A, I, E, R, E2 = never, R2 = never>(
  name: string,
  definition: Help & {
    readonly options: O
    readonly report: Kind<A, I>
    readonly run: (values: Values<O>) => Effect.Effect<A, E, R>
    /** Runs after the report, to fail if the report is a bad one. */
    readonly check?: (report: A, values: Values<O>) => Effect.Effect<void, E2, R2>
  }
) => ({
  name,
  group: definition.group,
  description: definition.description,
  examples: definition.examples,
  options: Object.values(definition.options),
  document: definition.report.schema,
  tasks: [],
  main: (given: Given) =>
    Effect.flatMap(readAll(definition.options, given), (values) =>
      Effect.flatMap(definition.run(values), (report) =>
        Effect.zipRight(answer(definition.report)(report), definition.check?.(report, values) ?? Effect.void)
      ).pipe(surrounded(values))
    )
})

/** Makes a conversation with its subtasks. `instead` says what to do if data is requested. */
export const talk = <const O extends Options, E, R, E2 = never, R2 = never>(
  name: string,
  definition: Help & {
    readonly options: O
    readonly instead: string
    readonly run: (values: Values<O>) => Effect.Effect<unknown, E, R>
    readonly tasks?: ReadonlyArray<Task<E2, R2>>
  }
) => ({
  name,
  group: definition.group,
  description: definition.description,
  examples: definition.examples,
  options: Object.values(definition.options),
  document: undefined,
  tasks: definition.tasks ?? [],
  main: (given: Given) =>
    Effect.flatMap(readAll(definition.options, given), (values) =>
      Effect.asVoid(conversation(name, definition.instead)(definition.run(values)))
    )
})
