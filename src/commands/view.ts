/**
 * Reports as text for people. Pure but for the width of the terminal.
 */
import type { JournalEvent } from "../domain/Journal.ts"
import { lockOwner, lockState } from "../domain/Lock.ts"
import type { DeployPlan, RollbackPlan, Step } from "../domain/Plan.ts"
import { releaseLabel, unfinishedOthers } from "../domain/Plan.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import { type RepairPlan, repairStepText } from "../domain/Repair.ts"
import type { SavedPlan } from "../domain/SavedPlan.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, dateTime, duration } from "../terminal/format.ts"
import { fields, table } from "../terminal/Table.ts"
import type { ActionReport } from "./actions.ts"
import type { BuildReport } from "./build.ts"
import type { DeployReport } from "./deploy.ts"
import type { DoctorReport } from "./doctor.ts"
import { healthLabel } from "./health.ts"
import type { HistoryReport } from "./history.ts"
import type { InitReport } from "./init.ts"
import type { LockReport } from "./lock.ts"
import type { Adopted } from "./manage/adopt.ts"
import type { HostInfo, HostReleaseInfo, Integrity, Linked } from "./manage/host.ts"
import type { Pinned } from "./manage/pin.ts"
import type { Removal } from "./manage/removal.ts"
import type { ReleaseInfo, StoreInfo } from "./manage/store.ts"
import type { RepairReport } from "./repair.ts"
import type { RollbackReport } from "./rollback.ts"
import type { StatusReport } from "./status.ts"

const provenance = ({ metadata }: Release): string | undefined =>
  metadata.commit === undefined ? undefined : `${metadata.commit}${metadata.dirty === true ? " (with changes)" : ""}`

/** What `init` made. */
export const initReport =
  (report: InitReport): View =>
  () =>
    [
      ...report.made.map((path) => `made ${path}`),
      ...(report.kept === undefined ? [] : [`kept the former config as ${report.kept}`]),
      `Now fill in host, user, name and path in ${report.configFile}, then: deployer build target=prod`
    ].join("\n")

/** What was built. */
export const buildReport =
  ({ known, release }: BuildReport): View =>
  () =>
    known === true
      ? `${releaseLabel(release)} (id ${release.id}, ${bytes(release.size)}, tags: ${release.tags.join(", ")}) is stored already, as ${release.fileName}: nothing in it changed`
      : `Stored ${releaseLabel(release)} (id ${release.id}, ${bytes(release.size)}, tags: ${release.tags.join(", ")}) as ${release.fileName}` +
        (release.metadata.buildMillis === undefined ? "" : ` in ${duration(release.metadata.buildMillis)}`)

const sending = ({ from, sent, size, stream, taken }: Extract<Step, { readonly _tag: "Stage" }>): string => {
  // Of some only what is new in them, which shows on the way.
  const most = stream.startsWith("patched") ? "at most " : ""
  const rest = from === 0 ? "" : `, going on after ${bytes(from)}`
  return stream === "whole"
    ? `upload ${bytes(size)}${rest}`
    : `upload ${sent} changed ${sent === 1 ? "file" : "files"} (${most}${bytes(size)})${rest}, take ${taken} from what is there`
}

/** One step in words, a line for each thing that it does. */
const stepLines = (step: Step, { release, state }: DeployPlan | RollbackPlan): string | ReadonlyArray<string> => {
  switch (step._tag) {
    case "Prepare":
      return `make ${state.path} with config/ and releases/`
    case "Discard":
      return `remove the unfinished deployment of ${shortRef(step.unfinished.ref)}`
    case "Stage":
      return [sending(step), "unpack and verify every file"]
    case "Verify":
      return "verify every file of it that is there, and send it again if one differs"
    case "Run":
      return `run ${step.hook}: ${step.command}`
    case "Record":
      return "record it as the latest of its name"
    case "Arm":
      return `let the host go back by itself unless it is confirmed within ${duration(step.seconds * 1000)}`
    case "Check":
      return `check its health: ${healthLabel(step.health)}`
    case "Settle":
      return step.confirms ? "confirm over a new connection that it is well" : "write down that it is well"
    case "Prune":
      return `remove what is beyond the releases to keep: ${step.releases.map(releaseLabel).join(", ")}`
    case "Switch":
      return [
        ...(step.records ? ["record it as the latest of its name"] : []),
        `switch current ${step.from === undefined ? "" : `from ${step.from} `}to ${releaseLabel(release)}`,
        ...(step.settles ? ["write down that it is well"] : [])
      ]
  }
}

/** What would be done. */
export const savedPlan =
  ({ plan }: SavedPlan): View =>
  () => {
    const where = `${plan.target}: ${plan.address}:${plan.state.path}`
    const others = unfinishedOthers(plan.state, plan.release).map(({ ref }) => shortRef(ref))
    return [
      plan._tag === "DeployPlan"
        ? `${releaseLabel(plan.release)} (id ${plan.release.id}) to ${where}`
        : `back to ${releaseLabel(plan.release)} on ${where}`,
      ...(others.length === 0 || plan._tag === "RollbackPlan"
        ? []
        : [`    ask about what did not finish: ${others.join(", ")}`]),
      ...plan.steps
        .flatMap((step) => stepLines(step, plan))
        .map((line, index) => `${String(index + 1).padStart(2)}. ${line}`),
      ...(plan.steps.length === 0 ? ["Nothing to do: it is current already"] : [])
    ].join("\n")
  }

/** What a deployment did. */
export const deployReport =
  ({ millis, plan }: DeployReport): View =>
  () => {
    const release = `${releaseLabel(plan.release)} (id ${plan.release.id})`
    const where = `${plan.address}:${plan.state.path}`
    switch (plan.outcome) {
      case "deploy":
        return `${release} is live at ${where}, deployed in ${duration(millis)}`
      case "relink":
        return `${release} was on the host already and is live again at ${where}`
      case "finish":
        return `${release} was current at ${where} already, and what comes after the switch is done now`
      case "nothing":
        return plan.steps.some(({ _tag }) => _tag === "Record")
          ? `${release} is live at ${where} already, and is the latest of its name there again`
          : `${release} is live at ${where} already: nothing to do`
    }
  }

const storeRow = (release: Release) => [
  String(release.id),
  release.name,
  shortRef(release.ref),
  dateTime(release.createdAt),
  bytes(release.size),
  release.tags.join(", ")
]

/** Releases of the store and the configured targets. */
export const storeInfo =
  ({ releases, targets, total }: StoreInfo): View =>
  (columns) => {
    const stored =
      releases.length === 0
        ? "The store is empty: deployer build target=T"
        : table({ head: ["Id", "Name", "Ref", "Built (UTC)", "Size", "Tags"], rows: releases.map(storeRow), columns })
    const more = total > releases.length ? `\n… and ${total - releases.length} more: info all` : ""
    const known =
      targets.length === 0
        ? "No targets are configured"
        : table({
            head: ["Target", "Host", "Name", "Path"],
            rows: targets.map(({ address, key, name, path }) => [key, address, name, path]),
            columns
          })
    return `${stored}${more}\n\n${known}`
  }

/** One stored release in full. */
export const releaseInfo =
  ({ entries, release }: ReleaseInfo): View =>
  () =>
    fields([
      ["id", String(release.id)],
      ["name", release.name],
      ["ref", release.ref],
      ["sha256", release.sha256],
      ["tarball", `${release.fileName}, ${bytes(release.size)}, ${entries} entries`],
      ["tags", release.tags.join(", ")],
      ["built", `${dateTime(release.createdAt)} UTC`],
      ["took", release.metadata.buildMillis === undefined ? undefined : duration(release.metadata.buildMillis)],
      ["builder", release.metadata.builder],
      ["commit", provenance(release)],
      ["image", release.metadata.image],
      ["platform", release.metadata.platform]
    ])

/** What is on a host. */
export const hostInfo =
  ({ address, current, damaged, foreign, free, link, lock, path, releases }: HostInfo): View =>
  (columns) => {
    const locked = lock === undefined ? "" : `\nlocked by ${lockOwner(lock)}`
    const head = `${address}:${path} (${bytes(free)} free)${locked}`
    const broken = damaged
      .map(({ detail, ref }) => `\nThe record of ${shortRef(ref)} cannot be read: ${detail}`)
      .join("")
    const others = foreign.map((ref) => `\ndeployer_${ref} was not made by deployer, and stays as it is`).join("")
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

/** One release on a host in full. */
export const hostReleaseInfo =
  ({ address, bytes: size, current, path, release, tags }: HostReleaseInfo): View =>
  () =>
    fields([
      ["name", release.name],
      ["ref", release.ref],
      ["sha256", release.sha256],
      ["on", `${address}:${path}${current ? " (current)" : ""}`],
      ["size", `${bytes(size)} unpacked, ${bytes(release.size)} as tarball`],
      ["tags", tags.join(", ")],
      ["built", `${dateTime(release.createdAt)} UTC as id ${release.id}`],
      ["deployed", `${dateTime(release.deployedAt)} UTC`],
      ["commit", release.commit]
    ])

/** Whose the lock is now. */
export const lockReport =
  ({ address, lock, taken }: LockReport): View =>
  () =>
    lock !== undefined
      ? `${address} is locked by ${lockOwner(lock)}`
      : taken !== undefined
        ? `The lock of ${address} was taken away`
        : `${address} is not locked`

/** Whether a host can take a release, a line for each check; nothing is cut, since what to do comes last. */
export const doctorReport =
  ({ address, checks, connectMillis, lookMillis, path, release, user }: DoctorReport): View =>
  () =>
    [
      `${address}:${path}${user === undefined ? "" : ` as ${user}`}, connected in ${duration(connectMillis)}, one look took ${duration(lookMillis)}`,
      release === undefined
        ? "The store has no release for it yet: only what holds for any release was checked"
        : `For ${releaseLabel(release)} (id ${release.id}):`,
      table({
        head: ["Verdict", "Check", "Found"],
        rows: checks.map(({ advice, found, name, verdict }) => [
          verdict,
          name,
          advice === undefined ? found : `${found}: ${advice}`
        ])
      })
    ].join("\n")

/** What is live, how it is, and what is not as it should be; nothing is cut. */
export const statusReport =
  ({ address, armed, drift, faults, free, health, live, lock, path, previous }: StatusReport): View =>
  () =>
    fields([
      ["host", `${address}:${path}`],
      [
        "live",
        live === undefined
          ? "nothing"
          : `${releaseLabel(live.release)}, deployed ${dateTime(live.release.deployedAt)} UTC, ${live.standing}`
      ],
      ["previous", previous === undefined ? "nothing to roll back to" : releaseLabel(previous)],
      [
        "health",
        health === undefined
          ? live && "the target has no check"
          : `${health.ok ? "well" : "NOT well"} (${health.check}): ${health.detail}`
      ],
      ["lock", lock === undefined ? "nobody has it" : `${lockOwner(lock)}; ${lockState(lock)}`],
      [
        "dead-man",
        armed === undefined
          ? undefined
          : `goes back from ${shortRef(armed.ref)} unless it is confirmed within ${duration(Math.max(0, armed.seconds) * 1000)}`
      ],
      ["disk", `${bytes(free)} free`],
      ["files", live && (faults.length === 0 ? "all there" : faults.join(", "))],
      ...drift.map(({ found }, index): readonly [string, string] => [index === 0 ? "drift" : "", found]),
      ...(drift.length > 0 ? [] : [["drift", "none"] as const])
    ])

/** Nothing: what the command said was shown as it came. */
export const actionReport =
  (_: ActionReport): View =>
  () =>
    ""

/** What was removed. */
export const removal =
  (report: Removal): View =>
  () =>
    report.releases.length === 0
      ? `Nothing to remove from ${report.from}`
      : `Removed ${report.releases.map(releaseLabel).join(", ")} from ${report.from}: ${bytes(report.bytes)} freed`

/** Whether a release stays. */
export const pinned =
  ({ address, pinned, release }: Pinned): View =>
  () =>
    pinned
      ? `${releaseLabel(release)} stays on ${address} whatever is pruned there`
      : `${releaseLabel(release)} is pruned on ${address} like others`

/** What is live again. */
export const rollbackReport =
  ({ millis, plan }: RollbackReport): View =>
  () => {
    const where = `${plan.address}:${plan.state.path}`
    return plan.steps.length === 0
      ? `${releaseLabel(plan.release)} is live at ${where} already: nothing to do`
      : `${releaseLabel(plan.release)} is live again at ${where}, in ${duration(millis)}`
  }

const eventWords: Readonly<Record<JournalEvent, string>> = {
  staged: "unpacked and verified",
  switched: "became current",
  linked: "became current by hand",
  rolledBack: "became current again",
  unlinked: "link taken away",
  healthy: "live and well",
  unhealthy: "failed",
  adopted: "adopted",
  repaired: "repaired",
  pinned: "pinned",
  unpinned: "not pinned any more",
  removed: "removed",
  locked: "locked",
  unlocked: "unlocked"
}

/** What was done to a host, the last thing first. */
export const historyReport =
  ({ address, entries, path, torn }: HistoryReport): View =>
  (columns) =>
    [
      ...(entries.length === 0 ? [`Nothing is written in the journal of ${address}:${path}`] : []),
      ...(torn === 0 ? [] : [`${torn} lines of the journal of ${address}:${path} cannot be read`]),
      ...(entries.length === 0
        ? []
        : [
            table({
              head: ["When (UTC)", "Release", "What", "By", "Why"],
              rows: entries.map(({ at, by, detail = "", event, job, release }) => [
                dateTime(at),
                release === undefined ? "" : releaseLabel(release),
                eventWords[event],
                job === undefined ? by : `${by} (${job})`,
                detail
              ]),
              columns
            })
          ])
    ].join("\n")

/** Which release was made current. */
export const linked =
  ({ address, release, switched }: Linked): View =>
  () =>
    switched
      ? `${releaseLabel(release)} is current on ${address} now; restart the application where it does not notice by itself`
      : `${releaseLabel(release)} is current on ${address} already: nothing to do`

/** What became of what was in the place of the link. */
export const adopted =
  ({ address, adopted, release }: Adopted): View =>
  () =>
    adopted
      ? `${releaseLabel(release)} is a release on ${address} now, and current leads to it`
      : `current leads to ${releaseLabel(release)} on ${address} already: nothing to adopt`

/** What a repair would do. */
export const repairPlan =
  ({ address, found, left, path, steps }: RepairPlan): View =>
  () =>
    [
      `${address}:${path}: ${found.length === 0 ? "journal, link and folders agree" : "found"}`,
      ...found.map((one) => `    ${one.found}`),
      ...steps.map((step, index) => `${String(index + 1).padStart(2)}. ${repairStepText(step)}`),
      ...left.map((one) => `    left: ${one.found}`)
    ].join("\n")

/** What a repair did. */
export const repairReport =
  ({ left, millis, plan: { address, path, steps } }: RepairReport): View =>
  () => {
    const where = `${address}:${path}`
    const agree = left.length === 0 ? ["journal, link and folders agree"] : []
    return steps.length === 0
      ? [`Nothing to repair at ${where}`, ...agree].join(": ")
      : [`Repaired ${where} in ${duration(millis)}`, ...agree].join(": ")
  }

/** What is as it was deployed, and what is not. */
export const integrity =
  ({ address, deep, link, releases, removed }: Integrity): View =>
  () =>
    [
      `${address}: ${link ?? "current leads to a complete release"}`,
      ...releases.map(({ current, faults, name, ref }) => {
        const gone = removed.includes(ref) ? ", removed" : ""
        const state =
          faults.length === 0
            ? deep
              ? "whole"
              : "all there"
            : `broken (${faults.length} ${faults.length === 1 ? "fault" : "faults"})${gone}`
        return `${releaseLabel({ name, ref })}${current ? " (current)" : ""}: ${state}`
      })
    ].join("\n")
