/**
 * A plan as a document: made now, reviewed by people or their tools, and carried out later exactly as planned, or not at all if anything it
 * is based on has changed. Pure.
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { Current, DeadMan, HostRelease, type HostState, Unfinished } from "./HostState.ts"
import { decisive, JournalEntry } from "./Journal.ts"
import { DeployPlan, RollbackPlan, releaseLabel, Step } from "./Plan.ts"
import { latest, Release, shortRef } from "./Release.ts"
import { type Target, TargetSettings } from "./Target.ts"

/** A plan to change a host. */
export type AnyPlan = DeployPlan | RollbackPlan

/** The settings that a plan is based on: all except those for building and for this machine's login. */
const Settings = Schema.encodedSchema(TargetSettings.omit("tags", "builder", "sshKey", "sshKeyVariable"))

/** A plan with all data needed to tell whether it still applies. */
export class SavedPlan extends Schema.TaggedClass<SavedPlan>()("SavedPlan", {
  /** The version of this format. */
  version: Schema.Literal(2).annotations({ message: () => "must be 2; another version of deployer made it" }),
  madeAt: Schema.DateTimeUtc,
  /** The target's settings at that time. */
  settings: Settings,
  plan: Schema.Union(DeployPlan, RollbackPlan)
}) {}

/** A saved plan as JSON text. */
export const SavedPlanJson = Schema.parseJson(SavedPlan)

const encodeSettings = Schema.encodeSync(TargetSettings)
const decodeSettings = Schema.decodeUnknownSync(Settings)

const settingsOf = (target: Target): typeof Settings.Type => decodeSettings(encodeSettings(target))

/** Makes the document of a plan. */
export const savedPlan = (plan: AnyPlan, target: Target, madeAt: DateTime.Utc): SavedPlan =>
  SavedPlan.make({ version: 2, madeAt, settings: settingsOf(target), plan })

// Values are equal if their encoded forms are.
const written =
  <A, I>(schema: Schema.Schema<A, I>) =>
  (value: A | undefined): string | undefined =>
    value === undefined ? undefined : JSON.stringify(Schema.encodeSync(schema)(value))

const writtenRelease = written(Release)
const writtenHostRelease = written(HostRelease)
const writtenCurrent = written(Current)
const writtenUnfinished = written(Unfinished)
const writtenEntry = written(JournalEntry)
const writtenSteps = written(Schema.Array(Step))
const writtenDeadMan = written(DeadMan)

/** The target's settings that have changed, a clause each. */
export const changedSettings = ({ settings }: SavedPlan, target: Target): ReadonlyArray<string> => {
  const was = new Map<string, unknown>(Object.entries(settings))
  const is = new Map<string, unknown>(Object.entries(settingsOf(target)))
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((key) => JSON.stringify(was.get(key)) !== JSON.stringify(is.get(key)))
    .map((key) => `targets.${target.key}.${key} in the config ${change(was.get(key), is.get(key))}`)
}

const isShort = (value: unknown): boolean =>
  value === undefined || (typeof value !== "object" && `${value}`.length < 80)

const change = (was: unknown, is: unknown): string => {
  const shown = (value: unknown) => (value === undefined ? "not set" : JSON.stringify(value))
  return isShort(was) && isShort(is) ? `was ${shown(was)} and is ${shown(is)} now` : "has changed"
}

/**
 * The changes between a saved plan and the same request planned again, a clause each, the gravest first. If empty, the saved plan still
 * applies. Free space, clocks and the lock do not count: the checks of the new plan cover these.
 */
export const changes = ({ plan: was }: SavedPlan, is: AnyPlan): ReadonlyArray<string> => {
  const found = [...changedState(was.state, is.state), ...changedRelease(was, is)]
  // Consequences of these changes are left out. If none of them changed, another version of deployer may plan differently.
  return found.length > 0 ? found : [...changedAims(was, is), ...changedSteps(was, is)].slice(0, 1)
}

const changedSteps = (was: AnyPlan, is: AnyPlan): ReadonlyArray<string> =>
  writtenSteps(was.steps) === writtenSteps(is.steps)
    ? []
    : [`the steps were ${stepNames(was)} and are ${stepNames(is)} now`]

const stepNames = ({ steps }: AnyPlan): string => steps.map(({ _tag }) => _tag).join(", ") || "none"

const changedRelease = (was: AnyPlan, is: AnyPlan): ReadonlyArray<string> => {
  const text = ({ release }: AnyPlan) =>
    release instanceof Release
      ? // A newer release in the store does not change this one.
        writtenRelease(Release.make({ ...release, tags: release.tags.filter((tag) => tag !== latest) }))
      : writtenHostRelease(release)
  return text(was) === text(is) ? [] : [`the record of ${releaseLabel(was.release)} has changed`]
}

const changedAims = (was: AnyPlan, is: AnyPlan): ReadonlyArray<string> => {
  const outcome = (plan: AnyPlan) => (plan._tag === "DeployPlan" ? plan.outcome : "rollback")
  const back = (plan: AnyPlan) => (plan.back === undefined ? "nothing" : releaseLabel(plan.back))
  return [
    ...(outcome(was) === outcome(is) ? [] : [`the planned outcome was "${outcome(was)}" and is "${outcome(is)}" now`]),
    ...(writtenHostRelease(was.back) === writtenHostRelease(is.back)
      ? []
      : [`on a failure, the plan went back to ${back(was)} and goes to ${back(is)} now`])
  ]
}

/** The changes of the host's state. */
const changedState = (was: HostState, is: HostState): ReadonlyArray<string> => {
  const known = new Map([...was.releases, ...is.releases].map((release) => [release.ref, releaseLabel(release)]))
  const label = (ref: string) => known.get(ref) ?? shortRef(ref)
  const left = ({ kind, ref }: Unfinished) =>
    `the unfinished ${kind === "upload" ? "upload" : "deployment"} of ${label(ref)}`
  return [
    ...(was.path === is.path ? [] : [`the path was ${was.path} and is ${is.path} now`]),
    ...(writtenCurrent(was.current) === writtenCurrent(is.current)
      ? []
      : [`current was ${currentLabel(was)} and is ${currentLabel(is)} now`]),
    ...difference(was.releases, is.releases, ({ ref }) => ref, writtenHostRelease, {
      came: ({ ref }) => `${label(ref)} is new on the host`,
      went: ({ ref }) => `${label(ref)} is gone from the host`,
      changed: ({ ref }) => `the host's record of ${label(ref)} has changed`
    }),
    ...difference(was.unfinished, is.unfinished, ({ kind, ref }) => `${kind} ${ref}`, writtenUnfinished, {
      came: (unfinished) => `${left(unfinished)} is new`,
      went: (unfinished) => `${left(unfinished)} is gone`,
      changed: (unfinished) => `${left(unfinished)} has continued`
    }),
    ...difference(
      was.damaged,
      is.damaged,
      ({ ref }) => ref,
      ({ detail }) => detail,
      {
        came: ({ ref }) => `the record of ${label(ref)} can no longer be read`,
        went: ({ ref }) => `the damaged record of ${label(ref)} is gone`,
        changed: ({ ref }) => `the record of ${label(ref)} is damaged in another way`
      }
    ),
    ...changedDeadMan(was, is),
    ...changedJournal(was, is)
  ]
}

const currentLabel = ({ current, releases }: HostState): string => {
  switch (current._tag) {
    case "Absent":
      return "nothing"
    case "Foreign":
      return `a link to ${current.to}`
    case "Occupied":
      return `a ${current.by}`
    case "Linked": {
      const release = releases.find(({ ref }) => ref === current.ref)
      return release === undefined ? `${shortRef(current.ref)} (gone)` : releaseLabel(release)
    }
  }
}

interface Words<A> {
  readonly came: (thing: A) => string
  readonly went: (thing: A) => string
  readonly changed: (thing: A) => string
}

/** Two lists in no particular order, compared thing by thing. */
const difference = <A>(
  was: ReadonlyArray<A>,
  is: ReadonlyArray<A>,
  key: (thing: A) => string,
  text: (thing: A) => string | undefined,
  words: Words<A>
): ReadonlyArray<string> => {
  const before = new Map(was.map((thing) => [key(thing), thing]))
  const now = new Map(is.map((thing) => [key(thing), thing]))
  return [
    ...[...before].filter(([key]) => !now.has(key)).map(([, thing]) => words.went(thing)),
    ...[...now].flatMap(([key, thing]) => {
      const former = before.get(key)
      if (former === undefined) return [words.came(thing)]
      return text(former) === text(thing) ? [] : [words.changed(thing)]
    })
  ]
}

/** Ignores its remaining seconds, which always pass. */
const changedDeadMan = (was: HostState, is: HostState): ReadonlyArray<string> => {
  const text = ({ armed }: HostState) => writtenDeadMan(armed && DeadMan.make({ ...armed, seconds: 0 }))
  if (text(was) === text(is)) return []
  return [
    is.armed === undefined
      ? "no dead-man's switch is armed now"
      : `a dead-man's switch is armed for ${shortRef(is.armed.ref)} now`
  ]
}

/** The entries that state something about a release. */
const journalEnd = ({ journal }: HostState): ReadonlyArray<JournalEntry> => decisive(journal)

const changedJournal = (was: HostState, is: HostState): ReadonlyArray<string> => {
  const before = journalEnd(was).map(writtenEntry)
  const now = journalEnd(is).map(writtenEntry)
  if (before.join("\n") === now.join("\n")) return []
  const last = journalEnd(is).at(-1)
  return [
    last === undefined || before.at(-1) === now.at(-1)
      ? "the host's journal was replaced"
      : `the last entry of the host's journal is "${last.event}"${last.release === undefined ? "" : ` of ${releaseLabel(last.release)}`} by ${last.by}`
  ]
}
