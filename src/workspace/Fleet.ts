/**
 * A fleet: the targets that a command is about. Pure.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { defaultPolicy, Policy } from "../domain/Rollout.ts"
import type { Target } from "../domain/Target.ts"
import { knownWords } from "../internal/suggest.ts"
import type { DeployerConfig } from "./Config.ts"

/** The settings of a rollout contradict each other, or mean nothing. */
export class PolicyUnclear extends Schema.TaggedError<PolicyUnclear>()("PolicyUnclear", {
  /** The words, as typed. */
  words: Schema.String,
  reason: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `"${this.words}" is unclear: ${this.reason}`
  }
}

/** The words that choose targets, as typed. Lists have commas, and `*` in a key stands for any letters. */
export interface FleetWords {
  /** Keys of targets. */
  readonly target?: string | undefined
  /** Keys of groups. */
  readonly group?: string | undefined
  /** Keys of targets that are left out. */
  readonly except?: string | undefined
  /** `label:value` pairs. A target has to fit all labels, and one of the values of each. */
  readonly where?: string | undefined
}

/** Whether the words may choose several targets. One plain key of a target is no fleet. */
export const isFleet = ({ except, group, target, where }: FleetWords): boolean =>
  group !== undefined || except !== undefined || where !== undefined || /[,*]/.test(target ?? "")

/** A word that chooses targets names nothing, or all of them together do. */
export class NoSuchMembers extends Schema.TaggedError<NoSuchMembers>()("NoSuchMembers", {
  /** The words, as typed. */
  words: Schema.String,
  reason: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `"${this.words}" chooses no targets: ${this.reason}`
  }
}

const listOf = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "")

/** The known keys that a key or a pattern means, in their order. */
export const matching = (known: ReadonlyArray<string>, word: string): ReadonlyArray<string> => {
  if (!word.includes("*")) return known.filter((key) => key === word)
  const literal = (text: string) => text.replaceAll(/[\\^$.|?+()[\]{}]/g, "\\$&")
  const pattern = new RegExp(`^${word.split(/\*+/).map(literal).join(".*")}$`)
  return known.filter((key) => pattern.test(key))
}

/** The keys that a list of words means. Fails if a word means none. */
const resolve = (option: string, text: string, known: ReadonlyArray<string>, noun: string) => {
  if (listOf(text).length === 0) {
    return Either.left(new NoSuchMembers({ words: `${option}=${text}`, reason: `it names no ${noun}` }))
  }
  return Either.map(
    Either.all(
      listOf(text).map((word) => {
        const keys = matching(known, word)
        if (keys.length > 0) return Either.right(keys)
        const reason = word.includes("*")
          ? `no ${noun} fits "${word}"${knownWords(word, known)}`
          : `no ${noun} is named "${word}"${knownWords(word, known)}`
        return Either.left(new NoSuchMembers({ words: `${option}=${text}`, reason }))
      })
    ),
    (found) => [...new Set(found.flat())]
  )
}

/** The labels that any target has. */
const labelsOf = (targets: DeployerConfig["targets"]): ReadonlyArray<string> => [
  ...new Set(Object.values(targets).flatMap((target) => Object.keys(target.labels)))
]

/** Whether a target fits `zone:a,zone:b,size:large`. */
const conditionOf = (
  text: string,
  targets: DeployerConfig["targets"]
): Either.Either<(key: string) => boolean, NoSuchMembers> =>
  Either.gen(function* () {
    const wanted = new Map<string, Array<string>>()
    const labels = labelsOf(targets)
    const fail = (reason: string) => Either.left(new NoSuchMembers({ words: `where=${text}`, reason }))
    if (listOf(text).length === 0) return yield* fail("it names no label")
    for (const word of listOf(text)) {
      const [, label = "", value] = /^([^:]+):(.+)$/.exec(word) ?? []
      if (value === undefined) return yield* fail(`"where" takes label:value, such as zone:a, not "${word}"`)
      if (!labels.includes(label)) return yield* fail(`no target has the label "${label}"${knownWords(label, labels)}`)
      wanted.set(label, [...(wanted.get(label) ?? []), value])
    }
    return (key: string) => [...wanted].every(([label, values]) => values.includes(targets[key]?.labels[label] ?? "\0"))
  })

/** The members of a group: its keys and patterns, in their order. */
const membersOf = ({ groups, targets }: DeployerConfig, group: string): ReadonlyArray<string> => [
  ...new Set((groups[group]?.targets ?? []).flatMap((word) => matching(Object.keys(targets), word)))
]

/** Chooses targets. Each is there once: first those that are named, then those of the groups. Fails if there is none, or if a word means nothing. */
export const chooseTargets = (
  config: DeployerConfig,
  words: FleetWords
): Either.Either<ReadonlyArray<Target>, NoSuchMembers> =>
  Either.gen(function* () {
    const { groups, targets } = config
    const known = Object.keys(targets)
    const typed = Object.entries(words).flatMap(([option, text]) => (text === undefined ? [] : [`${option}=${text}`]))
    const named = words.target === undefined ? [] : yield* resolve("target", words.target, known, "target")
    const chosenGroups =
      words.group === undefined ? [] : yield* resolve("group", words.group, Object.keys(groups), "group")
    const all =
      words.target === undefined && words.group === undefined
        ? known
        : [...new Set([...named, ...chosenGroups.flatMap((group) => membersOf(config, group))])]
    const without = words.except === undefined ? [] : yield* resolve("except", words.except, known, "target")
    const fits = words.where === undefined ? () => true : yield* conditionOf(words.where, targets)
    const keys = all.filter((key) => !without.includes(key) && fits(key))
    if (keys.length === 0)
      return yield* Either.left(
        new NoSuchMembers({
          words: typed.join(" "),
          reason: all.length === 0 ? "the groups have none" : `none of ${all.join(", ")} is left`
        })
      )
    return keys.flatMap((key) => {
      const settings = targets[key]
      return settings === undefined ? [] : [{ ...settings, key }]
    })
  })

const sameSetting = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/**
 * The policy of the chosen groups, with the settings of the command line in place of theirs. Without groups, the default. Fails if the groups
 * disagree about a setting that the command line does not name, and if no target has the label to spread over.
 */
export const choosePolicy = (
  config: DeployerConfig,
  words: FleetWords,
  settings: Partial<Policy>
): Either.Either<Policy, NoSuchMembers | PolicyUnclear> =>
  Either.gen(function* () {
    const keys =
      words.group === undefined ? [] : yield* resolve("group", words.group, Object.keys(config.groups), "group")
    const policies = keys.flatMap((key) => {
      const group = config.groups[key]
      return group === undefined ? [] : [group]
    })
    const [first, ...others] = policies
    const names = Object.keys(Policy.fields)
    const { targets: _, ...ofGroup } = first ?? { targets: [], ...defaultPolicy }
    const policy: Policy = { ...ofGroup, ...settings }
    const open = (name: string) => !Object.hasOwn(settings, name)
    const settingOf = (of: object, name: string): unknown => new Map(Object.entries(of)).get(name)
    const differs = names.filter(
      (name) => open(name) && others.some((other) => !sameSetting(settingOf(other, name), settingOf(ofGroup, name)))
    )
    if (differs.length > 0)
      return yield* Either.left(
        new PolicyUnclear({
          words: `group=${words.group}`,
          reason: `these groups have different settings of ${differs.join(", ")}: name one group, or say these on the command line`
        })
      )
    const { spread } = policy
    const labels = labelsOf(config.targets)
    if (spread !== undefined && !labels.includes(spread))
      return yield* Either.left(
        new PolicyUnclear({
          words: `spread=${spread}`,
          reason: `no target has the label "${spread}"${knownWords(spread, labels)}`
        })
      )
    return policy
  })
