/**
 * `status`: the live release of a target's host, its health, and the host's faults.
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Checked, checkOnce } from "../deployment/health.ts"
import { inspectDeployed, warnUnreadable } from "../deployment/onHost.ts"
import { Drift, drift, nameDrift, remedy, remedyCommands } from "../domain/Drift.ts"
import { DeadMan, HostRelease, type HostState, previousRelease } from "../domain/HostState.ts"
import type { Invocation } from "../domain/Invocation.ts"
import { lastLink, Standing, standing } from "../domain/Journal.ts"
import { Lock, lockOwner, lockState } from "../domain/Lock.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { Ref, shortRef } from "../domain/Release.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, counted, dateTime, duration } from "../terminal/format.ts"
import { sign } from "../terminal/signs.ts"
import { fields } from "../terminal/Table.ts"
import { connect } from "./connect.ts"
import { fleetTask, memberLines, membersSchema } from "./fleet.ts"

/** The current state of a target's host. */
export class StatusReport extends Schema.TaggedClass<StatusReport>()("StatusReport", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  /** Undefined if no complete release is current. */
  live: Schema.optional(
    Schema.Struct({
      release: HostRelease,
      standing: Standing,
      /** When it became current for the last time. */
      since: Schema.DateTimeUtc
    })
  ),
  /** The release that a rollback goes to. */
  previous: Schema.optional(HostRelease),
  /** One attempt of the target's check. Undefined if it has none, or if nothing is live. */
  health: Schema.optional(Checked),
  /** The holder of the target's lock. */
  lock: Schema.optional(Lock),
  /** Free bytes. */
  free: Schema.NonNegativeInt,
  /** The armed dead-man's switch: the host goes back by itself unless the deployment is confirmed. */
  armed: Schema.optional(DeadMan),
  /** Differences between the live release and its manifest, one line each. No file is read. */
  faults: Schema.Array(Schema.String),
  /** Drift: contradictions between journal, link, trees and manifests. */
  drift: Schema.Array(Drift)
}) {}

/** The current state of many targets' hosts. */
export class StatusFleet extends Schema.TaggedClass<StatusFleet>()("StatusFleet", {
  /** The chosen targets, in their order, with the report or the failure of each, or both. */
  members: membersSchema(StatusReport)
}) {}

/** The host has faults. */
export class StatusBad extends Schema.TaggedError<StatusBad>()("StatusBad", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The faults, in words. */
  faults: Schema.Array(Schema.String),
  /** The advice for them. */
  advice: Schema.Array(Drift.fields.advice),
  /** The live release, which the advice may be about. Undefined if there is none. */
  live: Schema.optional(Ref)
}) {
  readonly exitStatus = 1
  get next(): ReadonlyArray<Invocation> {
    return this.advice.flatMap((advice) => remedyCommands({ advice, ref: this.live }, this.target))
  }
  override get message(): string {
    const { address, faults, live, target } = this
    const count = counted(faults.length, "thing is", "things are")
    return `${count} wrong on ${address} (${faults.join("; ")}): ${this.advice.map((advice) => remedy({ advice, ref: live }, target)).join("; ")}`
  }
}

/** Shows the live release of a target's host, its health, and the host's faults. Changes nothing. */
export const status = Effect.fn("status")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  const state = yield* inspectDeployed(session)
  const live = state.currentRelease
  const previous = previousRelease(state)
  const check = session.target.health
  const health = live === undefined || check === undefined ? undefined : yield* checkOnce(session, live, check)
  const verdicts = live === undefined ? [] : yield* session.verify([live.ref], "paths")
  yield* warnUnreadable(session, live === undefined ? [] : [live], verdicts)
  return StatusReport.make({
    target: session.target.key,
    address: session.address,
    path: state.path,
    ...(live === undefined ? {} : { live: liveOf(state, live) }),
    ...(previous === undefined ? {} : { previous }),
    ...(health === undefined ? {} : { health }),
    ...(state.lock === undefined ? {} : { lock: state.lock }),
    free: state.freeBytes,
    ...(state.armed === undefined ? {} : { armed: state.armed }),
    faults: verdicts.flatMap(({ faults }) => faults),
    drift: [...drift(state), ...nameDrift(state, session.target)]
  })
}, Effect.scoped)

/** The failures of `status`. */
export type StatusError = Effect.Effect.Error<ReturnType<typeof status>>
/** The services that `status` needs. */
export type StatusServices = Effect.Effect.Context<ReturnType<typeof status>>

const liveOf = ({ journal }: HostState, release: HostRelease) => {
  const link = lastLink(journal)
  return {
    release,
    standing: standing(journal, release.ref),
    since: link?.release?.ref === release.ref ? link.at : release.deployedAt
  }
}

/** Fails if there is a fault: for scripts, which check the exit status. */
export const failUnlessGood = ({
  address,
  drift,
  health,
  target,
  ...report
}: StatusReport): Effect.Effect<void, StatusBad> => {
  const ill = health === undefined || health.ok ? [] : [`${health.check}: ${health.detail}`]
  const broken = report.faults.length === 0 ? [] : [`the live release: ${report.faults.slice(0, 3).join(", ")}`]
  const advice = [
    ...broken.map(() => "retry" as const),
    ...drift.map(({ advice }) => advice),
    ...ill.flatMap(() => ["restart", "deploy"] as const)
  ]
  // A rollback has nothing to go to.
  const alone = { deploy: "redeploy", retry: "resend" } as const
  const possible = advice.map((word) =>
    report.previous === undefined && (word === "deploy" || word === "retry") ? alone[word] : word
  )
  const faults = [...broken, ...ill, ...drift.map(({ found }) => found)]
  const live = report.live?.release.ref
  return faults.length === 0
    ? Effect.void
    : new StatusBad({
        target,
        address,
        faults,
        advice: [...new Set(possible)],
        ...(live === undefined ? {} : { live })
      })
}

/** Whether it is healthy now is in a line of its own. */
const standingWords = {
  healthy: "",
  unhealthy: ", failed when it was deployed",
  unproven: ", its deployment did not finish"
} as const

/** The live release, its health and the host's faults. No line is cut. */
export const statusView =
  ({ address, armed, drift, faults, free, health, live, lock, path, previous }: StatusReport): View =>
  () =>
    fields([
      ["host", `${address}:${path}`],
      [
        "live",
        live === undefined
          ? "nothing"
          : `${releaseLabel(live.release)}, since ${dateTime(live.since)} UTC${standingWords[live.standing]}`
      ],
      ["previous", previous === undefined ? "nothing to roll back to" : releaseLabel(previous)],
      [
        "health",
        health === undefined
          ? live && "not checked: the target has no check"
          : `${health.ok ? `${sign.good} healthy` : `${sign.bad} unhealthy`} (${health.check}): ${health.detail}`
      ],
      ["lock", lock === undefined ? "nobody holds it" : `${lockOwner(lock)}; ${lockState(lock)}`],
      [
        "dead-man",
        armed === undefined
          ? undefined
          : `goes back from ${shortRef(armed.ref)} unless it is confirmed within ${duration(Math.max(0, armed.seconds) * 1000)}`
      ],
      ["disk", `${bytes(free)} free`],
      ["files", live && (faults.length === 0 ? `${sign.good} all there` : `${sign.bad} ${faults.join(", ")}`)],
      ...drift.map(({ found }, index): readonly [string, string] => [
        index === 0 ? "drift" : "",
        `${sign.bad} ${found}`
      ]),
      ...(drift.length > 0 ? [] : [["drift", `${sign.good} none`] as const])
    ])

/** The live release in one line. */
const statusLine = ({ health, live }: StatusReport): string => {
  if (live === undefined) return "nothing is live"
  const verdict = health === undefined ? "" : health.ok ? ", healthy" : ", unhealthy"
  return `${releaseLabel(live.release)}${verdict}, since ${dateTime(live.since)} UTC`
}

/** The command. */
export const statusTask = fleetTask("status", {
  group: "look",
  description: "Shows the live release, its health, and any problems.",
  examples: ["deployer status target=prod", "deployer status group=web json"],
  options: {},
  report: { schema: StatusReport, view: statusView },
  fleet: { schema: StatusFleet, view: memberLines(statusLine), gather: (members) => StatusFleet.make({ members }) },
  run: (target) => status({ target }),
  check: failUnlessGood
})
