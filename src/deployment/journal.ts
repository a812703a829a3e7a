/**
 * Entries for a host's journal: event, author and time.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { JournalEntry, type JournalEvent } from "../domain/Journal.ts"
import type { ReleaseName } from "../domain/Release.ts"
import { Operator } from "../host/Operator.ts"

/** A release as the journal identifies it. */
export interface Named {
  readonly name: typeof ReleaseName.Type
  readonly ref: string
}

/** Details of an entry. */
export interface About {
  /** The ref that was current before. */
  readonly from?: string | undefined
  /** The reason or a message. */
  readonly detail?: string | undefined
  /** Whether a check proved that the release is healthy. */
  readonly wasChecked?: boolean
  /** The time. Default: now. */
  readonly at?: DateTime.Utc
}

/** One entry in the name of the current operator. */
export const entry = Effect.fnUntraced(function* (
  event: JournalEvent,
  release: Named | undefined,
  { at, detail, from, wasChecked = false }: About = {}
) {
  const { job, name } = yield* Operator
  return JournalEntry.make({
    event,
    at: at ?? (yield* DateTime.now),
    by: name,
    ...(job === undefined ? {} : { job }),
    ...(release === undefined ? {} : { release: { name: release.name, ref: release.ref } }),
    ...(from === undefined ? {} : { from }),
    ...(detail === undefined ? {} : { detail: detail.slice(0, 1_000) }),
    ...(wasChecked ? { wasChecked } : {})
  })
})

/** The same entry for each of several releases. */
export const entries = (event: JournalEvent, releases: ReadonlyArray<Named>) =>
  Effect.forEach(releases, (release) => entry(event, release))
