/** Plans in words. */

import { healthLabel } from "../deployment/health.ts"
import type { DeployPlan, RollbackPlan, Step } from "../domain/Plan.ts"
import { releaseLabel, unfinishedOthers } from "../domain/Plan.ts"
import { provenance } from "../domain/Provenance.ts"
import { shortRef } from "../domain/Release.ts"
import type { SavedPlan } from "../domain/SavedPlan.ts"
import { shownCommand } from "../domain/Target.ts"
import type { StepTime } from "../domain/Work.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, counted, duration } from "../terminal/format.ts"
import { wrapped } from "../terminal/Table.ts"

const sending = ({ from, sent, size, stream, taken }: Extract<Step, { readonly _tag: "Stage" }>): string => {
  // Patched files send only their new parts, whose size is not known yet.
  const bound = stream.startsWith("patched") ? "at most " : ""
  const rest = from === 0 ? "" : `, resuming after ${bytes(from)}`
  return stream === "whole"
    ? `upload ${bytes(size)}${rest}`
    : `upload ${counted(sent, "changed file")} (${bound}${bytes(size)})${rest}, take ${taken} from the host`
}

/** One step in words, a line for each of its actions. */
const stepLines = (step: Step, { release, state }: DeployPlan | RollbackPlan): string | ReadonlyArray<string> => {
  switch (step._tag) {
    case "Prepare":
      return `make ${state.path} with config/ and releases/`
    case "Discard":
      return `remove the unfinished deployment of ${shortRef(step.unfinished.ref)}`
    case "Stage":
      return [sending(step), "unpack and verify every file"]
    case "Verify":
      return step.depth === "paths"
        ? "verify that every file of it is there"
        : "verify every file of it that is there, and send it again if one differs"
    case "Run":
      return `run ${step.hook}: ${shownCommand(step.command)}`
    case "Record":
      return "record it as the latest of its name"
    case "Arm":
      return `let the host go back by itself unless it is confirmed within ${duration(step.seconds * 1000)}`
    case "Check":
      return `check its health: ${healthLabel(step.health)}`
    case "Settle":
      return step.confirms ? "confirm it over a new connection" : "record that it succeeded"
    case "Prune":
      return `remove old releases: ${step.releases.map(releaseLabel).join(", ")}`
    case "Switch":
      return [
        ...(step.records ? ["record it as the latest of its name"] : []),
        `switch current ${step.from === undefined ? "" : `from ${step.from} `}to ${releaseLabel(release)}`,
        ...(step.settles ? ["record that it succeeded"] : [])
      ]
  }
}

/** The planned steps. */
export const savedPlanView =
  ({ plan }: SavedPlan): View =>
  () => {
    const where = `${plan.target}: ${plan.address}:${plan.state.path}`
    const others = unfinishedOthers(plan.state, plan.release).map(({ ref }) => shortRef(ref))
    return [
      ...(plan._tag === "DeployPlan"
        ? [`${releaseLabel(plan.release)} (id ${plan.release.id}) to ${where}`, `    ${provenance(plan.release)}`]
        : [`back to ${releaseLabel(plan.release)} on ${where}`]),
      ...(others.length === 0 || plan._tag === "RollbackPlan"
        ? []
        : [`    ask about unfinished deployments: ${others.join(", ")}`]),
      ...plan.steps
        .flatMap((step) => stepLines(step, plan))
        .map((line, index) => `${String(index + 1).padStart(2)}. ${line}`),
      ...(plan.steps.length === 0 ? ["Nothing to do: it is current already"] : [])
    ].join("\n")
  }

/** Says that a program that runs does not notice the switch. Empty if it does. */
export const runsOnLine = ({ runsOn }: DeployPlan | RollbackPlan): string =>
  runsOn === undefined
    ? ""
    : `\n    no restart is configured, so a running program continues with ${releaseLabel(runsOn)} until it is restarted`

/** The times of steps, indented below the line that they belong to. */
export const stepTimes =
  (steps: ReadonlyArray<StepTime>): View =>
  (columns) =>
    wrapped(steps.map(({ millis, step }) => `${step} ${duration(millis)}`).join(", "), { columns, indent: 4 })

const outcomeReason = ({ outcome, release, state }: DeployPlan): string => {
  const isThere = state.releases.some(({ ref }) => ref === release.ref)
  const { current } = state
  const live = current._tag === "Linked" ? `current leads to ${shortRef(current.ref)}` : "no release is current"
  switch (outcome) {
    case "deploy":
      return isThere
        ? `${shortRef(release.ref)} is on the host, and its files are to be verified again`
        : `${shortRef(release.ref)} is not complete on the host, and ${live}`
    case "relink":
      return `${shortRef(release.ref)} is complete on the host, and ${live}`
    case "finish":
      return `${shortRef(release.ref)} is current, and the journal does not say that it succeeded`
    case "nothing":
      return `${shortRef(release.ref)} is current, and the journal says that it succeeded`
  }
}

const stepReason = (step: Step, { release }: DeployPlan): ReadonlyArray<string> => {
  switch (step._tag) {
    case "Stage":
      return step.stream === "whole"
        ? [`upload: the whole tarball, because no release on the host makes a smaller upload`]
        : [
            `upload: ${counted(step.sent, "file")} (${bytes(step.size)}), because the host has ${counted(step.taken, "file")} already; the whole tarball has ${bytes(release.size)}`
          ]
    case "Prune":
      return [`prune: the target keeps ${counted(step.keep, "healthy release")} of ${step.name}`]
    default:
      return []
  }
}

/** Why a deployment is planned as it is, a sentence for each decision. */
export const planReasons = (plan: DeployPlan): ReadonlyArray<string> => [
  `plan: ${outcomeReason(plan)}`,
  ...plan.steps.flatMap((step) => stepReason(step, plan)),
  plan.goesBack
    ? `if it fails: back to ${plan.back === undefined ? "the state before" : releaseLabel(plan.back)}, because the target has health or restart`
    : "if it fails: the release stays current, because the target has neither health nor restart"
]
