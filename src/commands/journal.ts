/**
 * Entries for a host's journal: who did what, and when.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { JournalEntry, type JournalEvent } from "../domain/Journal.ts"
import type { ReleaseName } from "../domain/Release.ts"
import { Operator } from "../host/Operator.ts"

/** A release as the journal names it. */
export interface Named {
  readonly name: typeof ReleaseName.Type
  readonly ref: string
}

/** Details of an entry. */
export interface About {
  /** The ref that was current before. */
  readonly from?: string | undefined
  /** Why, or what was said. */
  readonly detail?: string | undefined
  /** When; absent: now. */
  readonly at?: DateTime.Utc
}

/** One entry by whoever runs this. */
export const entry = Effect.fnUntraced(function* (
  event: JournalEvent,
  release: Named | undefined,
  { at, detail, from }: About = {}
) {
  const { job, name } = yield* Operator
  return JournalEntry.make({
    event,
    at: at ?? (yield* DateTime.now),
    by: name,
    ...(job === undefined ? {} : { job }),
    ...(release === undefined ? {} : { release: { name: release.name, ref: release.ref } }),
    ...(from === undefined ? {} : { from }),
    ...(detail === undefined ? {} : { detail: detail.slice(0, 1_000) })
  })
})

/** The same entry for each of several releases. */
export const entries = (event: JournalEvent, releases: ReadonlyArray<Named>) =>
  Effect.forEach(releases, (release) => entry(event, release))
