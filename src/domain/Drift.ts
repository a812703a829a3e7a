/**
 * Drift: contradictions between the journal, the link and the folders of a host, and unfinished work. Pure.
 */

import * as Schema from "effect/Schema"
import { type Current, type HostState, previousRelease } from "./HostState.ts"
import { commandLine, type Invocation, invocation } from "./Invocation.ts"
import { isSettled, type JournalEntry, lastLink, notRemoved, standing } from "./Journal.ts"
import { staleAfterSeconds } from "./Lock.ts"
import { counted, duration } from "./Quantity.ts"
import { Ref, type ReleaseName, shortRef } from "./Release.ts"

/** One fault on a host. */
export class Drift extends Schema.Class<Drift>("Drift")({
  kind: Schema.Literal(
    /** `current` is missing, is not a link, or leads to nothing or to something foreign. */
    "link",
    /** The journal says that another release became current last. */
    "journal",
    /** The journal contains unparsable lines. */
    "torn",
    /** A release that was live and healthy is missing, and nobody removed it. */
    "gone",
    /** The record of a release is unreadable. */
    "damaged",
    /** A deployment or an adoption did not finish. */
    "unfinished",
    /** A dead-man's switch is overdue. */
    "overdue",
    /** The steps after the switch to the current release were not done. */
    "unsettled",
    /** The current release failed. */
    "unhealthy",
    /** The current release is one of another application than the target's. */
    "name"
  ),
  /** The release concerned. */
  ref: Schema.optional(Ref),
  /** The fault, in words. */
  found: Schema.String,
  /** The advice: `remedy` puts it in words. */
  advice: Schema.Literal(
    "repair",
    "finish",
    "adopt",
    "link",
    "move",
    "deploy",
    "redeploy",
    "restart",
    "retry",
    "resend",
    "restore",
    "remove"
  )
}) {}

/** An advice, and the release that it is about. */
export type Advice = Pick<Drift, "advice" | "ref">

/** The commands that an advice is about; `target` is a key. */
export const remedyCommands = ({ advice, ref }: Advice, target: string): ReadonlyArray<Invocation> => {
  const retry = invocation("deploy", { target, release: ref === undefined ? "REF" : shortRef(ref), retry: true })
  const remove = invocation("manage integrity", { fix: true, target })
  switch (advice) {
    case "repair":
    case "finish":
      return [invocation("repair", { target })]
    case "adopt":
      return [invocation("manage adopt", { target })]
    case "link":
      return [invocation("manage ln", { ref: "REF", target })]
    case "move":
    case "redeploy":
      return []
    case "restart":
      return [invocation("restart", { target })]
    case "deploy":
      return [invocation("rollback", { target })]
    case "remove":
      return [remove]
    case "resend":
      return [retry]
    case "restore":
      return [retry, remove]
    case "retry":
      return [retry, invocation("rollback", { target })]
  }
}

/** The fault of a host whose current release is not one of the target: two targets share the path, or the name changed. */
export const nameDrift = (
  { currentRelease }: Pick<HostState, "currentRelease">,
  target: { readonly key: string; readonly name: string }
): ReadonlyArray<Drift> =>
  currentRelease === undefined || currentRelease.name === target.name
    ? []
    : made("name", "deploy", [
        [
          `${currentRelease.name} ${shortRef(currentRelease.ref)} is live, but target ${target.key} runs ${target.name}: another target has this path, or the name changed`,
          currentRelease.ref
        ]
      ])

/** The advice in words; `target` is a key. */
export const remedy = (about: Advice, target: string): string => {
  const [first = "", second = ""] = remedyCommands(about, target).map(commandLine)
  switch (about.advice) {
    case "repair":
      return `repair it with ${first}`
    case "finish":
      return `resume an upload by deploying its release again, or remove what arrived with ${first}`
    case "adopt":
      return `turn the directory in the place of the link into a release with ${first}, or move it away and deploy again`
    case "link":
      return `make a whole release current with ${first}, or deploy one`
    case "move":
      return "move current away, and deploy again"
    case "redeploy":
      return "deploy again: there is no release to go back to"
    case "restart":
      return `restart it with ${first}`
    case "deploy":
      return `deploy again, or go back with ${first}`
    case "remove":
      return `remove broken releases with ${first}`
    case "restore":
      return `deploy it again from a machine whose store has it (${first}), or remove broken releases with ${second}`
    case "resend":
      return `repair its files with ${first}: there is no release to go back to`
    case "retry":
      return `repair its files with ${first}, or go back with ${second}`
  }
}

type Facts = readonly [found: string, ref?: string]

const made = (kind: Drift["kind"], advice: Drift["advice"], facts: ReadonlyArray<Facts>): ReadonlyArray<Drift> =>
  facts.map(([found, ref]) => Drift.make({ kind, advice, found, ...(ref === undefined ? {} : { ref }) }))

/** The fault of the link. Undefined if it leads to a complete release. */
export const linkFault = ({
  current,
  currentRelease
}: Pick<HostState, "current" | "currentRelease">): string | undefined => {
  switch (current._tag) {
    case "Absent":
      return "there is no current link"
    case "Foreign":
      return `current leads to ${current.to}, which is not a release`
    case "Occupied":
      return `current is a ${current.by}, not a link`
    case "Linked":
      if (currentRelease === undefined) return `current leads to ${shortRef(current.ref)}, which is gone or incomplete`
      return current.inside === undefined
        ? undefined
        : `current leads to ${current.inside} in ${shortRef(current.ref)} and not to the release itself, so nothing finds current/${currentRelease.name}`
  }
}

/** All faults, the gravest first. */
export const drift = (state: HostState): ReadonlyArray<Drift> => [
  ...made("link", linkAdvice(state), link(state)),
  ...made("overdue", "repair", overdue(state)),
  ...(isBusy(state)
    ? []
    : [
        ...made("unhealthy", canGoBack(state) ? "deploy" : "redeploy", unhealthy(state)),
        ...made("unsettled", "repair", unsettled(state))
      ]),
  ...made("journal", "repair", otherInJournal(state)),
  ...made(
    "gone",
    "repair",
    gone(state).map(({ name, ref }) => [`${name} ${shortRef(ref)} was live and healthy, and its folder is gone`, ref])
  ),
  ...(isBusy(state)
    ? []
    : [
        ...made("unfinished", "finish", unfinished(state, ["upload"])),
        ...made("unfinished", "repair", unfinished(state, ["release", "adoption", "damaged"]))
      ]),
  ...made("damaged", "repair", damaged(state)),
  ...made("torn", "repair", torn(state))
]

/** The advice for a file or directory in place of the link. */
export const occupiedAdvice = ({ by }: Extract<Current, { readonly _tag: "Occupied" }>): Drift["advice"] =>
  by === "directory" ? "adopt" : "move"

const linkAdvice = ({ current, journal }: HostState): Drift["advice"] => {
  if (current._tag === "Occupied") return occupiedAdvice(current)
  // A foreign link belongs to somebody else until a release of ours was live.
  return current._tag === "Foreign" && toldLive(journal) === undefined ? "link" : "repair"
}

/** The live release according to the journal. */
export const toldLive = (journal: ReadonlyArray<JournalEntry>): JournalEntry["release"] => {
  const last = lastLink(journal)
  return last?.event === "unlinked" ? undefined : last?.release
}

/** Somebody is working on it right now: unfinished work is theirs. */
const isBusy = ({ lock }: HostState): boolean =>
  lock !== undefined && lock.details?.held !== true && lock.idleSeconds < staleAfterSeconds

/** Whether the journal says that a release is live, but there is no link at all. */
const isMissing = ({ current, journal }: HostState): boolean =>
  current._tag === "Absent" && toldLive(journal) !== undefined

const link = (state: HostState): ReadonlyArray<Facts> => {
  const fault = linkFault(state)
  return fault === undefined || (state.current._tag === "Absent" && !isMissing(state)) ? [] : [[fault]]
}

const overdue = ({ armed }: HostState): ReadonlyArray<Facts> =>
  armed === undefined || armed.seconds > -staleAfterSeconds
    ? []
    : [
        [
          `by its own clock, the host should have gone back from ${shortRef(armed.ref)} by itself ${duration(-armed.seconds * 1000)} ago, and did not`,
          armed.ref
        ]
      ]

/** Whether there is a release to go back to. If the journal tells of another live release, then as it is once a repair has noted the link. */
const canGoBack = (state: HostState): boolean => {
  const { current, journal } = state
  if (current._tag !== "Linked") return false
  return previousRelease(state, journalTells(journal, current.ref) ? current.ref : "") !== undefined
}

const unhealthy = ({ currentRelease, journal }: HostState): ReadonlyArray<Facts> =>
  currentRelease === undefined || standing(journal, currentRelease.ref) !== "unhealthy"
    ? []
    : [[`${currentRelease.name} ${shortRef(currentRelease.ref)} is current, though it failed`, currentRelease.ref]]

const unsettled = ({ currentRelease, journal }: HostState): ReadonlyArray<Facts> =>
  currentRelease === undefined || !journalTells(journal, currentRelease.ref) || isSettled(journal, currentRelease.ref)
    ? []
    : [
        [
          lastLink(journal)?.event === "rolledBack"
            ? `the host went back to ${currentRelease.name} ${shortRef(currentRelease.ref)}, and the steps after that were not done, or failed`
            : `the steps after the switch to ${currentRelease.name} ${shortRef(currentRelease.ref)} were not done, or failed`,
          currentRelease.ref
        ]
      ]

const journalTells = (journal: ReadonlyArray<JournalEntry>, ref: string): boolean => toldLive(journal)?.ref === ref

const otherInJournal = ({ current, journal }: HostState): ReadonlyArray<Facts> => {
  if (current._tag !== "Linked" || journalTells(journal, current.ref)) return []
  const last = lastLink(journal)
  const told =
    last?.release === undefined
      ? "does not say how a release became current"
      : last.event === "unlinked"
        ? "says that the link was removed"
        : `says that ${last.release.name} ${shortRef(last.release.ref)} is`
  return [[`current leads to ${shortRef(current.ref)}, and the journal ${told}`, current.ref]]
}

/** The releases that were live and healthy, that nobody removed, and that have no remains on the host. */
export const gone = ({
  damaged,
  foreign,
  journal,
  releases,
  unfinished
}: HostState): ReadonlyArray<{ readonly name: typeof ReleaseName.Type; readonly ref: string }> => {
  const present = new Set([...foreign, ...[...releases, ...unfinished, ...damaged].map(({ ref }) => ref)])
  return notRemoved(journal).filter(({ ref }) => !present.has(ref) && standing(journal, ref) === "healthy")
}

const unfinished = ({ current, unfinished }: HostState, kinds: ReadonlyArray<string>): ReadonlyArray<Facts> =>
  unfinished
    .filter(({ kind }) => kinds.includes(kind))
    .filter(({ kind, ref }) => kind !== "release" || current._tag !== "Linked" || current.ref !== ref)
    .map(({ kind, ref }) => [
      kind === "upload"
        ? `an upload of ${shortRef(ref)} did not finish`
        : kind === "adoption"
          ? `the adoption of ${shortRef(ref)} did not finish`
          : `${shortRef(ref)} was unpacked, and its deployment did not finish`,
      ref
    ])

const damaged = ({ damaged }: HostState): ReadonlyArray<Facts> =>
  damaged.map(({ detail, ref }) => [`the record of ${shortRef(ref)} cannot be read (${detail})`, ref])

const torn = ({ torn }: HostState): ReadonlyArray<Facts> =>
  torn === 0 ? [] : [[`${counted(torn, "line")} of the journal cannot be read`]]
