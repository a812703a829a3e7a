/**
 * The host's journal: one line of JSON for each thing that was done to it, oldest first, written by the very step that did it.
 */
import * as Schema from "effect/Schema"
import { Ref, ReleaseName } from "./Release.ts"

/** What may be done to a host. */
export const JournalEvent = Schema.Literal(
  /** A release was unpacked, verified, and got its name. */
  "staged",
  /** A deployment made it current. */
  "switched",
  /** Somebody made it current by hand (`ln`). */
  "linked",
  /** It became current again: a later one failed, or somebody went back. */
  "rolledBack",
  /** The link was taken away. */
  "unlinked",
  /** It is live, and all that comes after the switch went well. */
  "healthy",
  /** It was live, and something of that did not. */
  "unhealthy",
  /** What was in `current` before deployer came is a release by now. */
  "adopted",
  /** Journal, link and folders were brought to agree again: lines before this that cannot be read count no more. */
  "repaired",
  /** It is kept whatever is pruned. */
  "pinned",
  "unpinned",
  /** Its files were removed. */
  "removed",
  /** Somebody keeps the target for a purpose, or took over a lock that was left behind. */
  "locked",
  /** A lock was taken away. */
  "unlocked"
)
/** What may be done to a host. */
export type JournalEvent = typeof JournalEvent.Type

/** One line of `<path>/config/journal`. */
export class JournalEntry extends Schema.Class<JournalEntry>("JournalEntry")({
  event: JournalEvent,
  /** By the clock of the machine that did it: what counts is the order of the lines. */
  at: Schema.DateTimeUtc,
  /** `user@machine`. */
  by: Schema.String,
  /** The CI job it was done from. */
  job: Schema.optional(Schema.String),
  release: Schema.optional(Schema.Struct({ name: ReleaseName, ref: Ref })),
  /** The ref of the release that was current before, where another one became current. */
  from: Schema.optional(Ref),
  /** Why, or what was said: at most some 1,000 characters. */
  detail: Schema.optional(Schema.String)
}) {}

/** How many of its last lines a look at a host shows. */
export const journalTail = 500

/** An entry as it stands in the journal. */
export const JournalEntryJson = Schema.parseJson(JournalEntry)

/** The releases that were made current, by their refs: the last one is at the end; going back takes off what was gone back from. */
export const lineage = (journal: ReadonlyArray<JournalEntry>): ReadonlyArray<string> =>
  journal.reduce<ReadonlyArray<string>>((before, { event, release }) => {
    if (release === undefined) return before
    const others = before.filter((ref) => ref !== release.ref)
    switch (event) {
      case "switched":
      case "linked":
      case "adopted":
        return [...others, release.ref]
      case "rolledBack":
        return before.includes(release.ref)
          ? before.slice(0, before.lastIndexOf(release.ref) + 1)
          : [...others, release.ref]
      case "unlinked":
      case "removed":
        return others
      default:
        return before
    }
  }, [])

/** The last entry that says what `current` leads to; with `unlinked`: to nothing. Absent where the journal does not tell. */
export const lastLink = (journal: ReadonlyArray<JournalEntry>): JournalEntry | undefined =>
  journal.findLast(({ event }) => ["switched", "linked", "adopted", "rolledBack", "unlinked"].includes(event))

/**
 * The releases that the journal tells of, each once, but for those whose removal is the last that it tells. Unpacked is not yet deployed:
 * what fails before the switch goes without an entry.
 */
export const notRemoved = (
  journal: ReadonlyArray<JournalEntry>
): ReadonlyArray<{ readonly name: typeof ReleaseName.Type; readonly ref: string }> => {
  const last = new Map(
    journal.flatMap((entry) =>
      entry.release === undefined || entry.event === "staged" ? [] : [[entry.release.ref, entry]]
    )
  )
  return [...last.values()].flatMap(({ event, release }) =>
    event === "removed" || release === undefined ? [] : [release]
  )
}

/** What is known of a release: it was live and well, it failed when it was made live, or neither. */
export const Standing = Schema.Literal("healthy", "unhealthy", "unproven")
/** What is known of a release. */
export type Standing = typeof Standing.Type

/** What the journal knows of a release. The last word on it counts. */
export const standing = (journal: ReadonlyArray<JournalEntry>, ref: string): Standing => {
  const last = journal.findLast(
    ({ event, release }) => release?.ref === ref && ["healthy", "adopted", "unhealthy"].includes(event)
  )
  return last === undefined ? "unproven" : last.event === "unhealthy" ? "unhealthy" : "healthy"
}

/** Why a release is marked as unhealthy; absent where it is not, or nobody said why. */
export const failureOf = (journal: ReadonlyArray<JournalEntry>, ref: string): JournalEntry | undefined =>
  standing(journal, ref) === "unhealthy"
    ? journal.findLast(({ event, release }) => release?.ref === ref && event === "unhealthy")
    : undefined

/** Whether all that comes after the switch to a release was done, or nobody wanted it to be done. */
export const isSettled = (journal: ReadonlyArray<JournalEntry>, ref: string): boolean => {
  const own = journal.filter(({ release }) => release?.ref === ref).map(({ event }) => event)
  const switched = own.findLastIndex((event) => ["switched", "linked", "rolledBack", "adopted"].includes(event))
  return (
    switched >= 0 &&
    (own[switched] === "linked" ||
      own.slice(switched).some((event) => ["healthy", "unhealthy", "adopted"].includes(event)))
  )
}

/** The refs of the releases that are pinned. */
export const pinned = (journal: ReadonlyArray<JournalEntry>): ReadonlySet<string> =>
  journal.reduce((refs, { event, release }) => {
    if (release !== undefined && event === "pinned") refs.add(release.ref)
    if (release !== undefined && (event === "unpinned" || event === "removed")) refs.delete(release.ref)
    return refs
  }, new Set<string>())
