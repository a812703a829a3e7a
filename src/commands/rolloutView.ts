/** Rollouts in words. */

import * as Duration from "effect/Duration"
import { releaseLabel } from "../domain/Plan.ts"
import { provenance } from "../domain/Provenance.ts"
import { Release } from "../domain/Release.ts"
import { grouped, type Outcome, type RolloutPlan } from "../domain/Rollout.ts"
import type { AnyPlan } from "../domain/SavedPlan.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, counted, duration } from "../terminal/format.ts"
import { sign } from "../terminal/signs.ts"
import { table } from "../terminal/Table.ts"
import type { RolloutReport } from "./rollout.ts"

/** The bytes that a member gets, in words. */
const sending = ({ steps }: AnyPlan): string => {
  const step = steps.find(({ _tag }) => _tag === "Stage")
  if (step?._tag !== "Stage") return steps.length === 0 ? "nothing to do" : "nothing to send"
  return step.stream === "whole"
    ? `the whole ${bytes(step.size)}`
    : `${bytes(step.size)} in ${counted(step.sent, "changed file")}`
}

/** The state of a member after a failure. */
const backTo = ({ back, release, state }: AnyPlan): string => {
  if (state.currentRelease?.ref === release.ref) return "it stays"
  if (back !== undefined) return `back to ${releaseLabel(back)}`
  return `back to ${state.current._tag === "Foreign" ? `the link to ${state.current.to}` : "no release"}`
}

/** The waves of a plan, and the parts that differ between its members. */
export const rolloutPlanView =
  ({ left, members, policy, release, waves }: RolloutPlan): View =>
  (columns) => {
    const soak = policy.soak === undefined ? "" : `, then ${duration(Duration.toMillis(policy.soak))} of soak`
    const toDo = members.filter(({ steps }) => steps.length > 0)
    const same = members.filter(({ steps }) => steps.length === 0).map(({ target }) => target)
    const together = (name: string, messages: ReadonlyArray<{ readonly target: string; readonly message: string }>) =>
      grouped(messages).map(({ message, targets }) => [name, targets.join(", "), message])
    return [
      release instanceof Release
        ? `${releaseLabel(release)} (id ${release.id}) to ${counted(members.length + left.length, "target")}\n    ${provenance(release)}`
        : `back to ${releaseLabel(release)} on ${counted(members.length + left.length, "target")}`,
      table({
        head: ["Part", "Targets", "Plan"],
        columns,
        wraps: true,
        rows: [
          ...waves.map(({ kind, targets }, index) => [`wave ${index + 1}`, targets.join(", "), `${kind}${soak}`]),
          ...together(
            "live",
            same.map((target) => ({ target, message: "it is live there already" }))
          ),
          ...together(
            "left out",
            left.map(({ reason, target }) => ({ target, message: reason }))
          ),
          ...together(
            "sends",
            toDo.map((plan) => ({ target: plan.target, message: sending(plan) }))
          ),
          ...together(
            "if it fails",
            toDo.map((plan) => ({ target: plan.target, message: backTo(plan) }))
          )
        ]
      })
    ].join("\n")
  }

const outcomeWords: Readonly<Record<Outcome, string>> = {
  left: "left out",
  same: "live already",
  staged: "not switched",
  proven: "not confirmed",
  live: "live",
  failed: "failed",
  back: "went back",
  stuck: "failed to go back",
  unknown: "unknown"
}

const isGood = (outcome: Outcome): boolean => outcome === "live" || outcome === "same"

/** The outcome of each member. */
export const rolloutView =
  ({ exitStatus, members, millis, release }: RolloutReport): View =>
  (columns) => {
    const live = members.filter(({ outcome }) => isGood(outcome)).length
    const verdict = exitStatus === 0 ? sign.good : sign.bad
    return [
      table({
        head: ["Target", "Outcome", "Before"],
        columns,
        rows: members.map(({ before = "", outcome, target }) => [
          target,
          `${isGood(outcome) ? sign.good : sign.bad} ${outcomeWords[outcome]}`,
          before
        ])
      }),
      `${verdict} ${releaseLabel(release)} is live on ${live} of ${counted(members.length, "target")}, in ${duration(millis)}`
    ].join("\n")
  }
