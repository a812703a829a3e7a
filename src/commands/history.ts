/**
 * `history`: what was done to a target's host, from its journal.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { historyLimit, JournalEntry } from "../domain/Journal.ts"
import { connect } from "./connect.ts"
import { look } from "./onHost.ts"
import { count, optional, target, task } from "./Task.ts"
import * as view from "./view.ts"

/** The journal of a host, the last entry first. */
export class HistoryReport extends Schema.TaggedClass<HistoryReport>()("HistoryReport", {
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  entries: Schema.Array(JournalEntry),
  /** Lines among them that nobody can read. */
  torn: Schema.NonNegativeInt
}) {}

/** Which target, and how much. */
export interface HistoryOptions {
  /** A key of `targets`. */
  readonly target: string
  /** How many entries at most; absent: the last 30. The host shows its last 500. */
  readonly last?: number | undefined
}

/** Shows what was done to a target's host, by whom, and what came of it. */
export const history = Effect.fn("history")(function* ({ last = 30, target }: HistoryOptions) {
  const session = yield* connect(target)
  const { path } = yield* look(session)
  const { entries, torn } = yield* session.history(Math.min(last, historyLimit))
  return HistoryReport.make({ address: session.address, path, entries: entries.toReversed(), torn })
}, Effect.scoped)

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
  report: { schema: HistoryReport, view: view.historyReport },
  run: history
})
