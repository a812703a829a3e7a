/**
 * The manager's verbs on a host, over an open session.
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { entries, entry } from "../../deployment/journal.ts"
import { locked } from "../../deployment/locking.ts"
import { failUnlessWhole, inspectDeployed, pick, warnUnreadable } from "../../deployment/onHost.ts"
import { linkFault } from "../../domain/Drift.ts"
import {
  Current,
  Damaged,
  HostRelease,
  type HostState,
  hostTags,
  inOrder,
  previousRelease
} from "../../domain/HostState.ts"
import { commandLine, type Invocation, invocation, typed } from "../../domain/Invocation.ts"
import { pinned, standing } from "../../domain/Journal.ts"
import { Lock, lockOwner } from "../../domain/Lock.ts"
import { releaseLabel } from "../../domain/Plan.ts"
import { wholeCommit } from "../../domain/Provenance.ts"
import { toPruneOnHost } from "../../domain/Prune.ts"
import { Ref, ReleaseName, shortRef, Tag } from "../../domain/Release.ts"
import { type HostSession, HostUnfit, NotOnHost } from "../../host/RemoteHost.ts"
import type { View } from "../../terminal/Answer.ts"
import { bytes, counted, dateTime } from "../../terminal/format.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { sign } from "../../terminal/signs.ts"
import { fields, table } from "../../terminal/Table.ts"
import { askToRemove, Removal } from "./removal.ts"

/** The journal's marks of a release. `previous`: a rollback goes to it. */
const Mark = Schema.Literal("previous", "failed", "pinned")

/** The contents of a host: the current release first, then the last deployed first. */
export class HostInfo extends Schema.TaggedClass<HostInfo>()("HostInfo", {
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  current: Current,
  /** The fault of the link. Undefined if it leads to a complete release. */
  link: Schema.optional(Schema.String),
  releases: Schema.Array(
    Schema.Struct({ release: HostRelease, tags: Schema.Array(Tag), current: Schema.Boolean, marks: Schema.Array(Mark) })
  ),
  /** Releases with an unreadable record. */
  damaged: Schema.Array(Damaged),
  /** Folders named like releases that deployer did not make. No command touches them. */
  foreign: Schema.optionalWith(Schema.Array(Ref), { default: () => [] }),
  /** Free bytes. */
  free: Schema.NonNegativeInt,
  /** The holder of the target's lock. */
  lock: Schema.optional(Lock)
}) {}

/** One release on a host, in full. */
export class HostReleaseInfo extends Schema.TaggedClass<HostReleaseInfo>()("HostReleaseInfo", {
  address: Schema.String,
  release: HostRelease,
  tags: Schema.Array(Tag),
  current: Schema.Boolean,
  /** The folder of the release, absolute. */
  path: Schema.String,
  /** Bytes on the host's disk. */
  bytes: Schema.NonNegativeInt
}) {}

/** A release was made current, or already was. */
export class Linked extends Schema.TaggedClass<Linked>()("Linked", {
  address: Schema.String,
  release: HostRelease,
  /** Whether there was anything to do. */
  switched: Schema.Boolean
}) {}

/** The result of an integrity check of a host. */
export class Integrity extends Schema.TaggedClass<Integrity>()("Integrity", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The fault of the link. Undefined if it leads to a complete release. */
  link: Schema.optional(Schema.String),
  releases: Schema.Array(
    Schema.Struct({
      /** Undefined if its record is unreadable. */
      name: Schema.optional(ReleaseName),
      ref: Ref,
      current: Schema.Boolean,
      /** Whether a rollback goes to it. */
      previous: Schema.optionalWith(Schema.Boolean, { default: () => false }),
      faults: Schema.Array(Schema.String),
      /** The number of paths that this login may not read, so their state is unknown. */
      unreadable: Schema.optionalWith(Schema.NonNegativeInt, { default: () => 0 })
    })
  ),
  /** Refs of the removed releases. */
  removed: Schema.Array(Ref),
  /** Whether every file was hashed. */
  deep: Schema.Boolean
}) {
  /** Whether the link and all releases are proven intact. */
  get sound(): boolean {
    return (
      this.link === undefined &&
      this.releases.every(({ faults, unreadable }) => faults.length === 0 && unreadable === 0)
    )
  }
}

/** Something on the host is no longer as it was deployed. */
export class IntegrityViolated extends Schema.TaggedError<IntegrityViolated>()("IntegrityViolated", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The number of broken releases that remain. */
  broken: Schema.Int,
  /** The ref of one of them that is live or that a rollback goes to. Undefined if there is none. */
  kept: Schema.optional(Ref),
  /** Whether there are others. */
  others: Schema.Boolean,
  /** The number of other releases that this login may not read whole. */
  unproven: Schema.optionalWith(Schema.Int, { default: () => 0 }),
  /** Whether the link is also wrong. */
  link: Schema.Boolean,
  /** Whether every file was hashed to find this. */
  deep: Schema.Boolean
}) {
  readonly exitStatus = 1
  override get message(): string {
    const count = this.broken + (this.link ? 1 : 0)
    const remedies = [
      ...(this.broken === 0
        ? []
        : [
            ...(this.kept === undefined
              ? []
              : [
                  `repair the files of a needed one with ${typed("deploy", { target: this.target, release: shortRef(this.kept), retry: true })}`
                ]),
            ...(this.others
              ? [
                  `remove the other broken ones with ${typed("manage integrity", { deep: this.deep, fix: true, target: this.target })}`
                ]
              : [])
          ]),
      ...(this.link
        ? [
            `make a whole release current with ${typed("manage ln", { ref: "REF", target: this.target })}, or deploy one`
          ]
        : [])
    ]
    const wrong =
      count === 0
        ? []
        : [`${counted(count, "thing is", "things are")} wrong on ${this.address}: ${remedies.join("; ")}`]
    const unproven =
      this.unproven === 0
        ? []
        : [
            `${counted(this.unproven, "release")} on ${this.address} cannot be read completely by this login, and may be damaged: use the login that deployed it`
          ]
    return [...wrong, ...unproven].join("; ")
  }
}

/** Lists the releases on the host. */
export const info = Effect.fn("manage.host.info")(function* (session: HostSession) {
  const state = yield* inspectDeployed(session)
  const pins = pinned(state.journal)
  const previous = previousRelease(state)
  return HostInfo.make({
    address: session.address,
    path: state.path,
    current: state.current,
    ...linkField(state),
    damaged: state.damaged,
    foreign: state.foreign,
    free: state.freeBytes,
    ...(state.lock === undefined ? {} : { lock: state.lock }),
    releases: inOrder(state).map((release) => ({
      release,
      tags: hostTags(state.releases, release),
      current: isCurrent(state, release),
      marks: [
        ...(release.ref === previous?.ref ? ["previous" as const] : []),
        ...(standing(state.journal, release.ref) === "unhealthy" ? ["failed" as const] : []),
        ...(pins.has(release.ref) ? ["pinned" as const] : [])
      ]
    }))
  })
})

/** Shows one release on the host. */
export const infoOf = Effect.fn("manage.host.infoOf")(function* (session: HostSession, selector: string) {
  const state = yield* inspectDeployed(session)
  const release = yield* pick(session, state, selector)
  const usage = yield* session.usage([release.ref])
  return HostReleaseInfo.make({
    address: session.address,
    release,
    tags: hostTags(state.releases, release),
    current: isCurrent(state, release),
    path: `${state.path}/releases/deployer_${release.ref}`,
    bytes: usage.get(release.ref) ?? 0
  })
})

/** Removes all releases of a name except those that `toPruneOnHost` keeps, after showing them and asking. */
export const prune = Effect.fn("manage.host.prune")(
  function* (session: HostSession, name = session.target.name) {
    const state = yield* inspectDeployed(session)
    if (!state.releases.some((release) => release.name === name)) {
      const known = [...new Set(state.releases.map((release) => release.name))]
      return yield* new NotOnHost({ address: session.address, selector: name, known })
    }
    if (state.torn > 0) {
      return yield* new JournalUnreadable({ target: session.target.key, address: session.address, lines: state.torn })
    }
    const { gone, unknown } = toPruneOnHost(state, name)
    if (unknown.length > 0) {
      const one = unknown.length === 1
      yield* Reporter.warn(
        `The journal on ${session.address} says nothing about ${unknown.map(releaseLabel).join(", ")}, so ${one ? "it" : "they"} may be pinned and ${one ? "stays" : "stay"}: remove one with ${typed("manage delete", { ref: "REF", target: session.target.key })}`
      )
    }
    return yield* removeFromHost(session, gone)
  },
  (self, session) => locked(session, "prune")(self)
)

/** Lines of the journal cannot be read, and any of them may say that a release is pinned. */
export class JournalUnreadable extends Schema.TaggedError<JournalUnreadable>()("JournalUnreadable", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The number of lines. */
  lines: Schema.Int
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("repair", { target: this.target })]
  }
  override get message(): string {
    return `Nothing was removed from ${this.address}: ${counted(this.lines, "line")} of the journal there cannot be read, and may say that a release is pinned. Set them aside with ${commandLine(this.next[0])}, then pin again each release that has to stay`
  }
}

/** Removes one release, after showing it and asking. Refuses to remove the current one. */
export const deleteOne = Effect.fn("manage.host.delete")(
  function* (session: HostSession, selector: string) {
    const state = yield* inspectDeployed(session)
    const release = yield* pick(session, state, selector)
    if (isCurrent(state, release)) {
      return yield* new ReleaseIsCurrent({
        target: session.target.key,
        address: session.address,
        release: releaseLabel(release)
      })
    }
    if (pinned(state.journal).has(release.ref)) yield* Reporter.warn(`${releaseLabel(release)} is pinned`)
    return yield* removeFromHost(session, [release])
  },
  (self, session) => locked(session, "delete")(self)
)

/** The release is live, so it was not removed. */
export class ReleaseIsCurrent extends Schema.TaggedError<ReleaseIsCurrent>()("ReleaseIsCurrent", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("manage ln", { ref: "REF", target: this.target })]
  }
  override get message(): string {
    return `${this.release} is the current release on ${this.address} and was not removed: make another one current first (${commandLine(this.next[0])})`
  }
}

/** Makes another release current. Does nothing if it already is. */
export const link = Effect.fn("manage.host.link")(
  function* (session: HostSession, selector: string) {
    const state = yield* inspectDeployed(session)
    const release = yield* pick(session, state, selector)
    if (state.current._tag === "Occupied") {
      return yield* new HostUnfit({
        target: session.target.key,
        address: session.address,
        reason: "current-occupied",
        path: `${state.path}/releases/current`,
        has: [state.current.by]
      })
    }
    // Switching to it again disarms the dead-man's switch.
    const switched = !isCurrent(state, release) || state.armed?.ref === release.ref
    if (switched) {
      const from = state.current._tag === "Linked" ? { from: state.current.ref } : {}
      yield* failUnlessWhole(session, release)
      yield* session.activate(release.ref, { entries: [yield* entry("linked", release, from)] })
    }
    return Linked.make({ address: session.address, release, switched })
  },
  (self, session) => locked(session, "ln")(self)
)

/** The options of `integrity`. */
export interface IntegrityOptions {
  /** Whether to remove broken releases. The current one and the one that a rollback goes to stay. */
  readonly fix: boolean
  /** Whether to read and hash every file again. Otherwise only paths and their types are compared. */
  readonly deep: boolean
}

/** Checks the link and every release. With `fix`, removes the broken ones, except the current one and the way back from it. */
export const integrity = Effect.fn("manage.host.integrity")(
  function* (session: HostSession, { deep, fix }: IntegrityOptions) {
    const state = yield* inspectDeployed(session)
    const refs = [...state.releases, ...state.damaged].map(({ ref }) => ref)
    const verdicts = yield* session.verify(refs, deep ? "files" : "paths")
    yield* warnUnreadable(session, state.releases, verdicts)
    const verdictOf = (release: Removable) => verdicts.find(({ ref }) => ref === release.ref)
    const faultsOf = (release: Removable) => verdictOf(release)?.faults ?? []
    const releases: ReadonlyArray<Examined> = [
      ...inOrder(state).map((release) => ({
        release,
        current: isCurrent(state, release),
        faults: faultsOf(release)
      })),
      ...state.damaged.map(({ detail, ref }) => ({
        release: { ref },
        current: state.current._tag === "Linked" && state.current.ref === ref,
        faults: [`changed .deployer_release.json (${detail})`, ...faultsOf({ ref })]
      }))
    ]
    const broken = releases.filter(({ faults }) => faults.length > 0)
    for (const { faults, release } of broken) {
      yield* Reporter.warn(`${releaseLabel(release)} on ${session.address}: ${summary(faults)}`)
    }
    const previous = previousRelease(state)?.ref
    const removed = fix ? yield* removeBroken(session, state, broken) : []
    return Integrity.make({
      target: session.target.key,
      address: session.address,
      ...linkField(state),
      releases: releases.map(({ current, faults, release }) => ({
        name: release.name,
        ref: release.ref,
        current,
        previous: release.ref === previous,
        faults,
        unreadable: verdictOf(release)?.unreadable?.length ?? 0
      })),
      removed,
      deep
    })
  },
  (self, session, { fix }) => (fix ? locked(session, "integrity -f")(self) : self)
)

const summary = (faults: ReadonlyArray<string>): string =>
  faults.length <= 5 ? faults.join(", ") : `${faults.slice(0, 5).join(", ")} and ${faults.length - 5} more`

/** A release, or the remains of one with an unreadable record. */
type Removable = Pick<HostRelease, "ref"> & Partial<Pick<HostRelease, "name" | "createdAt">>

interface Examined {
  readonly release: Removable
  readonly current: boolean
  readonly faults: ReadonlyArray<string>
}

/** Never removes the live release, the only way back from it, or a pinned one: a deployment repairs these. */
const removeBroken = Effect.fnUntraced(function* (
  session: HostSession,
  state: HostState,
  broken: ReadonlyArray<Examined>
) {
  const previous = previousRelease(state)?.ref
  const pins = pinned(state.journal)
  const isKept = ({ current, release }: Examined) => current || release.ref === previous || pins.has(release.ref)
  for (const { current, release } of broken.filter(isKept)) {
    yield* Reporter.warn(
      `${releaseLabel(release)} stays: it is ${current ? "live" : release.ref === previous ? "the release that rollback goes to" : "pinned"}. Repair its files with ${typed("deploy", { target: session.target.key, release: shortRef(release.ref), retry: true })}`
    )
  }
  const others = broken.filter((one) => !isKept(one)).map(({ release }) => release)
  yield* removeFromHost(session, others, state.journal)
  return others.map(({ ref }) => ref)
})

const linkField = (state: Pick<HostState, "current" | "currentRelease">): { readonly link?: string } => {
  const link = linkFault(state)
  return link === undefined ? {} : { link }
}

const removeFromHost = Effect.fnUntraced(function* (
  session: HostSession,
  releases: ReadonlyArray<Removable>,
  journal: HostState["journal"] = []
) {
  // The journal knows the name of a release with an unreadable record, and must also record its removal.
  const named = releases.flatMap(({ name, ref }) => {
    const known = name ?? journal.findLast(({ release }) => release?.ref === ref)?.release?.name
    return known === undefined ? [] : [{ name: known, ref }]
  })
  const usage = yield* releases.length === 0
    ? Effect.succeed(new Map<string, number>())
    : session.usage(releases.map(({ ref }) => ref))
  const removal = Removal.make({
    from: session.address,
    releases: releases.map(({ createdAt, name, ref }) => ({ name, ref, bytes: usage.get(ref) ?? 0, createdAt }))
  })
  yield* askToRemove(removal)
  if (releases.length === 0) return removal
  const left = yield* session.remove(
    releases.map(({ ref }) => ref),
    yield* entries("removed", named)
  )
  return left === 0 ? removal : Removal.make({ ...removal, left })
})

const isCurrent = (state: HostState, release: HostRelease): boolean => state.currentRelease?.ref === release.ref

/** Fails if anything is still wrong: for scripts, which check the exit status. */
export const failUnlessIntact = (report: Integrity): Effect.Effect<void, IntegrityViolated> => {
  const { address, deep, link, removed, target } = report
  const broken = report.releases.filter(({ faults, ref }) => faults.length > 0 && !removed.includes(ref))
  const kept = broken.find(({ current }) => current) ?? broken.find(({ previous }) => previous)
  const unproven = report.releases.filter(({ faults, unreadable }) => faults.length === 0 && unreadable > 0).length
  return broken.length === 0 && unproven === 0 && link === undefined
    ? Effect.void
    : new IntegrityViolated({
        target,
        address,
        broken: broken.length,
        ...(kept === undefined ? {} : { kept: kept.ref }),
        others: broken.some(({ current, previous }) => !current && !previous),
        unproven,
        link: link !== undefined,
        deep
      })
}

/** The contents of a host. */
export const hostInfoView =
  ({ address, current, damaged, foreign, free, link, lock, path, releases }: HostInfo): View =>
  (columns) => {
    const locked = lock === undefined ? "" : `\nlocked by ${lockOwner(lock)}`
    const head = `${address}:${path} (${bytes(free)} free)${locked}`
    const broken = damaged
      .map(({ detail, ref }) => `\nThe record of ${shortRef(ref)} cannot be read: ${detail}`)
      .join("")
    const others = foreign.map((ref) => `\ndeployer_${ref} was not made by deployer, and stays unchanged`).join("")
    const state = `${current._tag === "Absent" ? "\nNothing is current" : link === undefined ? "" : `\n${link}`}${broken}${others}`
    return releases.length === 0
      ? `${head}${state}\nNo releases`
      : `${head}${state}\n${table({
          head: ["", "Name", "Ref", "Built (UTC)", "Deployed (UTC)", "Tags"],
          rows: releases.map(({ current, marks, release, tags }) => [
            [...(current ? ["current"] : []), ...marks].join(", "),
            release.name,
            shortRef(release.ref),
            dateTime(release.createdAt),
            dateTime(release.deployedAt),
            tags.join(", ")
          ]),
          columns
        })}`
  }

/** One release on a host, in full. */
export const hostReleaseInfoView =
  ({ address, bytes: size, current, path, release, tags }: HostReleaseInfo): View =>
  () =>
    fields([
      ["name", release.name],
      ["ref", release.ref],
      ["sha256", release.sha256],
      ["on", `${address}:${path}${current ? " (current)" : ""}`],
      ["size", `${bytes(size)} unpacked, ${bytes(release.size)} as tarball`],
      ["tags", tags.length === 0 ? undefined : tags.join(", ")],
      ["built", `${dateTime(release.createdAt)} UTC as id ${release.id}`],
      ["deployed", `${dateTime(release.deployedAt)} UTC`],
      ["commit", wholeCommit(release.commit, release.dirty)],
      ["builder", release.builder]
    ])

/** The release that was made current. */
export const linkedView =
  ({ address, release, switched }: Linked): View =>
  () =>
    switched
      ? `${releaseLabel(release)} is current on ${address} now; restart the application if it does not notice the switch`
      : `${releaseLabel(release)} is current on ${address} already: nothing to do`

/** The intact and the broken parts of a host. */
export const integrityView =
  ({ address, deep, link, releases, removed }: Integrity): View =>
  () =>
    [
      `${address}: ${link ?? "current leads to a complete release"}`,
      ...releases.map(({ current, faults, name, ref, unreadable }) => {
        const gone = removed.includes(ref) ? ", removed" : ""
        const unproven = `${sign.caution} unproven (${counted(unreadable, "path")} unreadable)`
        const state =
          faults.length > 0
            ? `${sign.bad} broken (${counted(faults.length, "fault")})${gone}`
            : unreadable > 0
              ? unproven
              : deep
                ? `${sign.good} whole`
                : `${sign.good} all there`
        return `${releaseLabel({ name, ref })}${current ? " (current)" : ""}: ${state}`
      })
    ].join("\n")
