/**
 * `history`: the events of a target's host, from its journal.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { inspectDeployed } from "../deployment/onHost.ts"
import { historyLimit, JournalEntry, type JournalEvent } from "../domain/Journal.ts"
import { releaseLabel } from "../domain/Plan.ts"
import type { View } from "../terminal/Answer.ts"
import { counted, dateTime } from "../terminal/format.ts"
import { table } from "../terminal/Table.ts"
import { connect } from "./connect.ts"
import { count, optional, target, task } from "./Task.ts"

/** The journal of a host, the last entry first. */
export class HistoryReport extends Schema.TaggedClass<HistoryReport>()("HistoryReport", {
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  entries: Schema.Array(JournalEntry),
  /** Unparsable lines among them. */
  torn: Schema.NonNegativeInt
}) {}

/** Which target, and how many entries. */
export interface HistoryOptions {
  /** A key of `targets`. */
  readonly target: string
  /** The most entries to show. Default: the last 30. The host returns its last 500. */
  readonly last?: number | undefined
}

/** Shows the events of a target's host, with author and outcome. */
export const history = Effect.fn("history")(function* ({ last = 30, target }: HistoryOptions) {
  const session = yield* connect(target)
  const { path } = yield* inspectDeployed(session)
  const { entries, torn } = yield* session.history(Math.min(last, historyLimit))
  return HistoryReport.make({ address: session.address, path, entries: entries.toReversed(), torn })
}, Effect.scoped)

/** The failures of `history`. */
export type HistoryError = Effect.Effect.Error<ReturnType<typeof history>>
/** The services that `history` needs. */
export type HistoryServices = Effect.Effect.Context<ReturnType<typeof history>>

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

/** The events of a host, the last one first. */
export const historyView =
  ({ address, entries, path, torn }: HistoryReport): View =>
  (columns) =>
    [
      ...(entries.length === 0 ? [`Nothing is written in the journal of ${address}:${path}`] : []),
      ...(torn === 0 ? [] : [`${counted(torn, "line")} of the journal of ${address}:${path} cannot be read`]),
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

/** The command. */
export const historyTask = task("history", {
  description: "Shows what was done to the target's host, by whom, and what came of it.",
  examples: ["deployer history target=prod"],
  options: {
    target,
    last: optional(
      count(
        { name: "last", placeholder: "N", description: "how many entries at most; otherwise 30" },
        "a number of entries"
      )
    )
  },
  report: { schema: HistoryReport, view: historyView },
  run: history
})
