/**
 * Plans how to bring the journal, the link and the folders of a host back into agreement: from one look at the host to a list of steps.
 * Pure. Never touches anything that is not deployer's, and keeps the live release live if it can.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Drift, drift, gone, linkFault, occupiedAdvice, toldLive } from "./Drift.ts"
import { HostRelease, HostState, previousRelease, recordOf, Unfinished, wayBack } from "./HostState.ts"
import { isSettled, JournalEvent, lastLink, pinned, standing } from "./Journal.ts"
import { planRollback, releaseLabel, Step, WayBack } from "./Plan.ts"
import { Ref, type Release, ReleaseName, shortRef } from "./Release.ts"
import { address, type Target } from "./Target.ts"

const Named = Schema.Struct({ name: ReleaseName, ref: Ref })
type Named = typeof Named.Type

/** One step of a repair. The steps run in this order. */
export const RepairStep = Schema.Union(
  /** Resume an interrupted adoption. The host is looked at again afterwards. */
  Schema.TaggedStruct("FinishAdoption", { ref: Ref }),
  /** Write the record of a release again, from the local store. */
  Schema.TaggedStruct("Record", { release: HostRelease }),
  /** Make a release current. This also disarms the dead-man's switch. */
  Schema.TaggedStruct("Link", { release: Named, why: Schema.String }),
  /** Remove the link. */
  Schema.TaggedStruct("Unlink", { release: Schema.optional(Named), why: Schema.String }),
  /** Disarm the dead-man's switch: it is overdue, and the live release is healthy. */
  Schema.TaggedStruct("Disarm", {}),
  /** Do the overdue rollback of the dead-man's switch. Without `to`, the link is removed. */
  Schema.TaggedStruct("GoBack", {
    from: Named,
    to: Schema.optional(HostRelease),
    steps: Schema.Array(Step),
    ...WayBack
  }),
  /** Remove the leftovers of a deployment. */
  Schema.TaggedStruct("Discard", { unfinished: Unfinished }),
  /** Journal a fact that is already true. */
  Schema.TaggedStruct("Note", { event: JournalEvent, release: Schema.optional(Named), detail: Schema.String }),
  /** Do the steps after the switch for the live release, and journal the outcome. */
  Schema.TaggedStruct("Settle", {
    release: HostRelease,
    steps: Schema.Array(Step),
    ...WayBack
  })
)
/** One step of a repair. The steps run in this order. */
export type RepairStep = typeof RepairStep.Type

/** The faults found on a host, and the steps that repair them. */
export class RepairPlan extends Schema.TaggedClass<RepairPlan>()("RepairPlan", {
  /** The target's key. */
  target: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  /** Every fault found. */
  found: Schema.Array(Drift),
  /** Empty if there is nothing to do: the faults found, if any, need a person's decision. */
  steps: Schema.Array(RepairStep),
  /** The faults that these steps do not repair, each with advice. */
  left: Schema.Array(Drift)
}) {}

/** A repair's knowledge beyond the host. */
export interface Known {
  readonly target: Target
  /** The release of the local store with this ref. */
  readonly stored: (ref: string) => Release | undefined
}

/** The steps of one part of a repair, and the faults it leaves. */
interface Part {
  readonly steps: ReadonlyArray<RepairStep>
  readonly left: ReadonlyArray<Drift>
}

const nothing: Part = { steps: [], left: [] }
const steps = (...steps: ReadonlyArray<RepairStep>): Part => ({ steps, left: [] })

/** Plans a repair. The caller holds the lock and passes a state without it, so nobody else is at work. */
export const planRepair = (seen: HostState, known: Known): RepairPlan => {
  const found = drift(seen)
  const of = (kind: Drift["kind"], some: ReadonlyArray<Drift> = found) => some.filter((one) => one.kind === kind)

  const adoptions = seen.unfinished.flatMap(({ kind, ref }): ReadonlyArray<RepairStep> => {
    const isFound = of("unfinished").some((one) => one.ref === ref)
    return kind === "adoption" && isFound && seen.current._tag !== "Occupied" ? [{ _tag: "FinishAdoption", ref }] : []
  })
  const records = recordSteps(seen, known)
  const state = withRecords(seen, records)
  const rest = drift(state)
  const link = adoptions.length > 0 ? nothing : linkPart(state, of("link", rest))
  const isMoved = link.steps.some(({ _tag }) => _tag === "Link" || _tag === "Unlink")
  const back = isMoved ? nothing : overduePart(state, known, of("overdue", rest))
  const goesBack = back.steps.some(({ _tag }) => _tag === "GoBack")
  const journal = isMoved || goesBack || adoptions.length > 0 ? nothing : journalPart(state, of("journal", rest))
  const live = adoptions.length > 0 || goesBack ? nothing : settlePart(state, known, link, journal, rest)
  const isArmed = !isMoved && back.steps.length === 0
  const lost = lostPart(state, isArmed ? state.armed?.back : undefined, [
    ...of("damaged", rest),
    ...of("unfinished", rest)
  ])
  const first = [...adoptions, ...records, ...link.steps, ...journal.steps, ...lost.steps]
  // Steps that may still fail and make another release current.
  const last = [...back.steps, ...live.steps]
  const isIdle = first.length === 0 && last.length === 0 && of("torn").length === 0
  const linked = link.steps.find((step) => step._tag === "Link")
  const then =
    linked === undefined ? state : HostState.make({ ...state, current: { _tag: "Linked", ref: linked.release.ref } })
  const unhealthy = goesBack ? [] : of("unhealthy", drift(then))
  return RepairPlan.make({
    target: known.target.key,
    address: address(known.target),
    path: seen.path,
    found,
    steps: isIdle
      ? []
      : [
          ...first,
          noted(
            "repaired",
            undefined,
            [...of("torn"), ...found.filter(({ kind }) => kind !== "torn")].map((one) => one.found).join("; ")
          ),
          ...last
        ],
    left: [...link.left, ...back.left, ...unhealthy, ...live.left, ...journal.left, ...lost.left]
  })
}

const noted = (event: typeof JournalEvent.Type, release: Named | undefined, detail: string): RepairStep => ({
  _tag: "Note",
  event,
  ...(release === undefined ? {} : { release: named(release) }),
  detail: detail.slice(0, 1000)
})

const named = ({ name, ref }: Named): Named => ({ name, ref })

const advised = (one: Drift, advice: Drift["advice"]): Drift => Drift.make({ ...one, advice })

// Records

/** The ref of the folder that `current` leads to, in whatever form the link is written. */
const linkedRef = ({ current }: HostState): string | undefined =>
  current._tag === "Linked"
    ? current.ref
    : current._tag === "Foreign"
      ? /(?:^|\/)deployer_([0-9A-F]{32})(?:\/|$)/.exec(current.to)?.[1]
      : undefined

/** Records the unreadable releases, and the unrecorded ones that are live or were healthy, in the order of their deployment. */
const recordSteps = (state: HostState, { stored }: Known) => {
  const live = linkedRef(state)
  const unrecorded = state.unfinished.filter(
    ({ kind, ref }) => kind === "release" && (ref === live || standing(state.journal, ref) === "healthy")
  )
  const steps: Array<Extract<RepairStep, { readonly _tag: "Record" }>> = []
  for (const release of [...state.damaged, ...unrecorded]
    .flatMap(({ ref }) => stored(ref) ?? [])
    .toSorted((one, other) => deployedAt(state, one.ref) - deployedAt(state, other.ref))) {
    steps.push({ _tag: "Record", release: recordAgain(withRecords(state, steps), release) })
  }
  return steps
}

/** The journal index of the last deployment of a release; -1 if there is none. */
const deployedAt = ({ journal }: HostState, ref: string): number =>
  journal.findLastIndex((entry) => entry.release?.ref === ref && ["staged", "switched"].includes(entry.event))

/** The release is the latest of its name only if it was deployed after all others. */
const recordAgain = (state: HostState, release: Release): HostRelease => {
  const own = deployedAt(state, release.ref)
  const isLast = state.releases.every(({ name, ref }) => name !== release.name || deployedAt(state, ref) < own)
  const record = recordOf(release, state, state.journal[own]?.at ?? release.createdAt)
  return isLast ? record : HostRelease.make({ ...record, serial: 0 })
}

const withRecords = (state: HostState, records: ReadonlyArray<{ readonly release: HostRelease }>): HostState => {
  const isRecorded = (other: string) => records.some(({ release }) => release.ref === other)
  return HostState.make({
    ...state,
    releases: [...state.releases, ...records.map(({ release }) => release)],
    damaged: state.damaged.filter(({ ref }) => !isRecorded(ref)),
    unfinished: state.unfinished.filter(({ kind, ref }) => kind !== "release" || !isRecorded(ref))
  })
}

/**
 * Removes damaged releases that the store does not know, and unfinished deployments, unless they are live, pinned or a possible way back.
 * The journal then records every release that is gone.
 */
const lostPart = (state: HostState, back: string | undefined, found: ReadonlyArray<Drift>): Part => {
  const { current, damaged, journal, unfinished } = state
  const live = linkedRef(state)
  // A release that was healthy remains a way back: a store that has its record can restore it.
  const healthy = journal.flatMap(({ release }) =>
    release !== undefined && standing(journal, release.ref) === "healthy" ? [release.ref] : []
  )
  const kept = new Set([live, back, ...pinned(journal), ...healthy])
  const isLost = ({ kind, ref }: Unfinished) => kind === "upload" || (kind !== "adoption" && !kept.has(ref))
  const broken = damaged.map(({ ref }) => Unfinished.make({ ref, kind: "damaged", received: 0 }))
  const lost = [...broken, ...unfinished].filter((one) => isLost(one) && found.some(({ ref }) => ref === one.ref))
  const stays = (one: { readonly ref: string; readonly kind?: string }) =>
    !lost.some(({ kind, ref }) => ref === one.ref && kind === (one.kind ?? "damaged"))
  const after = HostState.make({ ...state, damaged: damaged.filter(stays), unfinished: unfinished.filter(stays) })
  const left = (one: Drift): ReadonlyArray<Drift> => {
    if (one.kind === "damaged")
      return [advised(one, one.ref === live ? "deploy" : healthy.some((ref) => ref === one.ref) ? "restore" : "remove")]
    if (one.kind !== "unfinished") return []
    const isAdoption = unfinished.some(({ kind, ref }) => kind === "adoption" && ref === one.ref)
    if (!isAdoption) return [advised(one, "deploy")]
    // `FinishAdoption` handles an interrupted adoption, unless it was interrupted before anything was moved.
    return current._tag === "Occupied" ? [advised(one, occupiedAdvice(current))] : []
  }
  return {
    steps: [
      ...lost.map((unfinished): RepairStep => ({ _tag: "Discard", unfinished })),
      ...gone(after).map((release) => noted("removed", release, "nothing usable was left of it"))
    ],
    left: drift(after).flatMap(left)
  }
}

// The link

/** The release to make live if the link does not lead to a complete one: the journal's, or the last healthy one. */
const toLink = (state: HostState): HostRelease | undefined => {
  const told = toldLive(state.journal)
  return (
    state.releases.find(({ ref }) => ref === told?.ref && standing(state.journal, ref) !== "unhealthy") ??
    previousRelease({ ...state, current: { _tag: "Absent" } })
  )
}

const linkPart = (state: HostState, [found]: ReadonlyArray<Drift>): Part => {
  const { current, damaged, foreign, journal, releases, unfinished } = state
  if (found === undefined) return nothing
  const left: Part = { steps: [], left: [found.advice === "repair" ? advised(found, "link") : found] }
  const ref = linkedRef(state)
  const why = linkFault(state) ?? found.found
  const meant = releases.find((release) => release.ref === ref)
  if (meant !== undefined) return steps({ _tag: "Link", release: named(meant), why })
  // The live release has its files, whatever else is missing: the link stays on it. Also if the folder is a link, or of another tool.
  if (foreign.some((other) => other === ref)) return left
  if ([...damaged, ...unfinished.filter(({ kind }) => kind === "release")].some((other) => other.ref === ref))
    return left
  const told = toldLive(journal)
  if (current._tag === "Occupied" || (current._tag === "Foreign" && told === undefined)) return left
  const release = toLink(state)
  if (release !== undefined) return steps({ _tag: "Link", release: named(release), why })
  if (current._tag === "Foreign") return left
  if (current._tag === "Absent") return steps(noted("unlinked", told, "nothing was current, and no release is whole"))
  return steps({ _tag: "Unlink", ...(told === undefined ? {} : { release: told }), why })
}

/** The link is fine, and the journal records it. */
const journalPart = (state: HostState, [found]: ReadonlyArray<Drift>): Part => {
  const release = state.currentRelease
  if (found === undefined) return nothing
  return release === undefined
    ? { steps: [], left: [advised(found, "link")] }
    : steps(noted("linked", release, "the link was found like this, and the journal did not mention it"))
}

// The host's overdue rollback

const overduePart = (state: HostState, known: Known, [found]: ReadonlyArray<Drift>): Part => {
  const { armed, current, currentRelease, journal, releases } = state
  if (found === undefined || armed === undefined) return nothing
  if (current._tag === "Occupied") return { steps: [], left: [advised(found, occupiedAdvice(current))] }
  if (currentRelease?.ref !== armed.ref || standing(journal, armed.ref) === "healthy") return steps({ _tag: "Disarm" })
  const from = named(currentRelease)
  const to = releases.find(({ ref }) => ref === armed.back) ?? wayBack(state, armed.ref)
  if (to === undefined) return steps({ _tag: "GoBack", from, steps: [], goesBack: false })
  const then = live(state, known, to)
  return then === undefined
    ? { steps: [], left: [advised(found, "deploy")] }
    : steps({ _tag: "GoBack", from, to, ...then })
}

/** The steps that make a release live and prove it: from the switch on, or the steps after it if the release is already current. */
const live = (state: HostState, { target }: Known, release: HostRelease) =>
  Either.getOrUndefined(
    Either.map(planRollback(state, { target, release }), ({ back, goesBack, steps }) => ({
      // The repair verifies the releases that it links; a dead-man's switch verifies none.
      steps: steps.filter(({ _tag }) => _tag !== "Verify"),
      goesBack,
      ...(back === undefined ? {} : { back })
    }))
  )

// The steps after the switch

const settlePart = (state: HostState, known: Known, link: Part, journal: Part, found: ReadonlyArray<Drift>): Part => {
  const linked = link.steps.find((step) => step._tag === "Link")
  const release =
    linked === undefined ? state.currentRelease : state.releases.find(({ ref }) => ref === linked.release.ref)
  if (release === undefined || link.left.length > 0) return nothing
  const unsettled = found.find(({ kind }) => kind === "unsettled")
  const isCut =
    linked !== undefined
      ? lastLink(state.journal)?.release?.ref === release.ref && !isSettled(state.journal, release.ref)
      : // A deployment killed between the rename and its line in the journal.
        journal.steps.length > 0 &&
        state.journal.findLast((entry) => entry.release?.ref === release.ref)?.event === "staged"
  if (unsettled === undefined && !isCut) return nothing
  const { armed: _, ...unarmed } = state
  const current = HostState.make({ ...unarmed, current: { _tag: "Linked", ref: release.ref } })
  const then = live(current, known, release)
  if (then !== undefined) {
    // A release that was rolled back to stays, whatever the outcome: going back further would leave a healthy release.
    const isBack = lastLink(state.journal)?.event === "rolledBack"
    return steps({
      _tag: "Settle",
      release,
      steps: then.steps,
      goesBack: then.goesBack,
      ...(isBack || then.back === undefined ? {} : { back: then.back })
    })
  }
  return { steps: [], left: unsettled === undefined ? [] : [advised(unsettled, "deploy")] }
}

/** One step, in words. */
export const repairStepText = (step: RepairStep): string => {
  switch (step._tag) {
    case "FinishAdoption":
      return `finish the adoption of ${shortRef(step.ref)}`
    case "Record":
      return `write the record of ${releaseLabel(step.release)} again, from the store`
    case "Link":
      return `make ${releaseLabel(step.release)} current (${step.why})`
    case "Unlink":
      return `remove the link (${step.why}, and no release is whole)`
    case "Disarm":
      return "stop the host from going back by itself: the live release is healthy"
    case "GoBack":
      return step.to === undefined
        ? `remove the link, as the host should have done by itself: ${releaseLabel(step.from)} was never confirmed`
        : `go back to ${releaseLabel(step.to)}, as the host should have done by itself: ${releaseLabel(step.from)} was never confirmed`
    case "Discard":
      return step.unfinished.kind === "upload"
        ? `remove what arrived of ${shortRef(step.unfinished.ref)}`
        : step.unfinished.kind === "damaged"
          ? `remove ${shortRef(step.unfinished.ref)}: its record cannot be read, and the store does not have it`
          : `remove ${shortRef(step.unfinished.ref)}, whose deployment did not finish`
    case "Note":
      return `note in the journal: ${step.release === undefined ? "" : `${releaseLabel(step.release)} `}${step.event}`
    case "Settle":
      return `do the steps after the switch to ${releaseLabel(step.release)}`
  }
}
