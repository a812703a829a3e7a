/**
 * `history`: the events of a target's host, from its journal.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { inspectDeployed, pick } from "../deployment/onHost.ts"
import type { HostState } from "../domain/HostState.ts"
import { historyLimit, JournalEntry, type JournalEvent } from "../domain/Journal.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { parseSelector } from "../domain/Release.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import type { View } from "../terminal/Answer.ts"
import { counted, dateTime } from "../terminal/format.ts"
import { sign } from "../terminal/signs.ts"
import { table } from "../terminal/Table.ts"
import { connect } from "./connect.ts"
import { fleetTask, type Member, membersSchema } from "./fleet.ts"
import { count, optional, word } from "./Task.ts"

/** The journal of a host, the last entry first. */
export class HistoryReport extends Schema.TaggedClass<HistoryReport>()("HistoryReport", {
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  entries: Schema.Array(JournalEntry),
  /** Unparsable lines among them. */
  torn: Schema.NonNegativeInt,
  /** The word that named a release, if the entries are about one alone. */
  ref: Schema.optional(Schema.String)
}) {}

/** The history of many targets. */
export class HistoryFleet extends Schema.TaggedClass<HistoryFleet>()("HistoryFleet", {
  /** The chosen targets, in their order, with the report or the failure of each, or both. */
  members: membersSchema(HistoryReport)
}) {}

/** Which target, and how many entries. */
export interface HistoryOptions {
  /** A key of `targets`. */
  readonly target: string
  /** The most entries to show. Default: the last 30. The host returns its last 500. */
  readonly last?: number | undefined
  /** A ref, or the beginning of one, or the id of a release on the host: only its entries. Default: all. */
  readonly ref?: string | undefined
}

/** Shows the events of a target's host, with author and outcome. */
export const history = Effect.fn("history")(function* ({ last = 30, ref, target }: HistoryOptions) {
  const session = yield* connect(target)
  const state = yield* inspectDeployed(session)
  const about = ref === undefined ? undefined : yield* refsOf(session, state, ref)
  const { entries, torn } = yield* session.history(about === undefined ? Math.min(last, historyLimit) : historyLimit)
  const told =
    about === undefined
      ? entries
      : entries.filter(({ release }) => release !== undefined && about(release.ref)).slice(-last)
  return HistoryReport.make({
    address: session.address,
    path: state.path,
    entries: told.toReversed(),
    torn,
    ...(ref === undefined ? {} : { ref })
  })
}, Effect.scoped)

/** Tests whether the selector names a ref. A release that is no longer on the host can be named by the beginning of its ref. */
const refsOf = (session: HostSession, state: HostState, selector: string) => {
  const { id, refPrefix } = parseSelector(selector)
  const byId = id === undefined ? [] : state.releases.filter((release) => release.id === id)
  if (byId.length === 0 && refPrefix === undefined) return pick(session, state, selector).pipe(Effect.as(() => false))
  return Effect.succeed((ref: string) =>
    byId.length > 0 ? byId.some((release) => release.ref === ref) : refPrefix !== undefined && ref.startsWith(refPrefix)
  )
}

/** The failures of `history`. */
export type HistoryError = Effect.Effect.Error<ReturnType<typeof history>>
/** The services that `history` needs. */
export type HistoryServices = Effect.Effect.Context<ReturnType<typeof history>>

const eventWords: Readonly<Record<JournalEvent, string>> = {
  staged: "unpacked and verified",
  switched: "became current",
  linked: "became current by hand",
  rolledBack: "became current again",
  unlinked: "link removed",
  healthy: "live, not checked",
  unhealthy: `${sign.bad} failed`,
  failed: `${sign.bad} failed`,
  adopted: "adopted",
  repaired: "repaired",
  pinned: "pinned",
  unpinned: "unpinned",
  removed: "removed",
  locked: "locked",
  unlocked: "unlocked"
}

const columnNames = ["Release", "What", "By", "Why"]

const cellsOf = ({ by, detail = "", event, job, release, wasChecked = false }: JournalEntry): ReadonlyArray<string> => [
  release === undefined ? "" : releaseLabel(release),
  wasChecked && event === "healthy" ? `${sign.good} healthy` : eventWords[event],
  job === undefined ? by : `${by} (${job})`,
  detail
]

/** The events of a host, the last one first. */
export const historyView =
  ({ address, entries, path, ref, torn }: HistoryReport): View =>
  (columns) =>
    [
      ...(entries.length === 0
        ? [`There is no entry ${ref === undefined ? "" : `about ${ref} `}in the journal of ${address}:${path}`]
        : []),
      ...(torn === 0 ? [] : [`${counted(torn, "line")} of the journal of ${address}:${path} cannot be read`]),
      ...(entries.length === 0
        ? []
        : [
            table({
              head: ["When (UTC)", ...columnNames],
              rows: entries.map((entry) => [dateTime(entry.at), ...cellsOf(entry)]),
              columns,
              wraps: true
            })
          ])
    ].join("\n")

/** The entries of all targets, newest first. */
const historiesView =
  ({ members }: { readonly members: ReadonlyArray<Member<HistoryReport>> }): View =>
  (columns) =>
    table({
      head: ["When (UTC)", "Target", ...columnNames],
      rows: members
        .flatMap(({ report, target }) => (report?.entries ?? []).map((entry) => ({ target, entry })))
        .toSorted((a, b) => DateTime.Order(b.entry.at, a.entry.at))
        .map(({ entry, target }) => [dateTime(entry.at), target, ...cellsOf(entry)]),
      columns,
      wraps: true
    })

/** The command. */
export const historyTask = fleetTask("history", {
  group: "look",
  description: "Shows the history of a target, newest first.",
  examples: ["deployer history target=prod last=10", "deployer history 844C target=prod"],
  options: {
    ref: word({
      name: "ref",
      placeholder: "R",
      completes: "ref",
      description: "shows only the entries about this release: an id, or a ref or the beginning of one"
    }),
    last: optional(
      count(
        { name: "last", placeholder: "N", description: "how many entries to show at most; default: 30" },
        "a number of entries"
      )
    )
  },
  report: { schema: HistoryReport, view: historyView },
  fleet: { schema: HistoryFleet, view: historiesView, gather: (members) => HistoryFleet.make({ members }) },
  run: (target, options) => history({ target, ...options }),
  check: () => Effect.void
})
