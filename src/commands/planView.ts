/** Plans in words. */

import { healthLabel } from "../deployment/health.ts"
import type { DeployPlan, RollbackPlan, Step } from "../domain/Plan.ts"
import { releaseLabel, unfinishedOthers } from "../domain/Plan.ts"
import { provenance } from "../domain/Provenance.ts"
import { shortRef } from "../domain/Release.ts"
import type { SavedPlan } from "../domain/SavedPlan.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, counted, duration } from "../terminal/format.ts"

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
      return `run ${step.hook}: ${step.command}`
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
