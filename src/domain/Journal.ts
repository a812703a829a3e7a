/**
 * The host's journal: one line of JSON for each event, oldest first, written by the very step that caused it.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Ref, ReleaseName } from "./Release.ts"
import { VisibleText } from "./VisibleText.ts"

/** The events of a host's journal. */
export const JournalEvent = Schema.Literal(
  /** A release was unpacked and verified, and got its name. */
  "staged",
  /** A deployment made the release current. */
  "switched",
  /** Somebody made the release current by hand (`ln`). */
  "linked",
  /** The release became current again, because a later one failed or somebody went back. */
  "rolledBack",
  /** The link was removed. */
  "unlinked",
  /** The release is live, and all steps after the switch succeeded. */
  "healthy",
  /** The release was live, and a step after the switch failed. */
  "unhealthy",
  /** A command of the deployment failed, and the release stays as it is: it was not switched to, or it stays current. */
  "failed",
  /** The directory in place of `current`, from before deployer, became a release. */
  "adopted",
  /** Journal, link and folders were brought back into agreement: unparsable lines before this no longer count. */
  "repaired",
  /** The release is never pruned. */
  "pinned",
  "unpinned",
  /** The release's files were removed. */
  "removed",
  /** Somebody locked the target on purpose, or took over an abandoned lock. */
  "locked",
  /** A lock was removed. */
  "unlocked"
)
/** The events of a host's journal. */
export type JournalEvent = typeof JournalEvent.Type

/** One line of `<path>/config/journal`. */
export class JournalEntry extends Schema.Class<JournalEntry>("JournalEntry")({
  event: JournalEvent,
  /** By the clock of the machine that caused the event. The order of the lines decides, not the time. */
  at: Schema.DateTimeUtc,
  /** `user@machine`; in a CI job `person (user@machine)`. */
  by: VisibleText,
  /** The CI job that caused the event. */
  job: Schema.optional(VisibleText),
  release: Schema.optional(Schema.Struct({ name: ReleaseName, ref: Ref })),
  /** The ref of the previously current release, if another one became current. */
  from: Schema.optional(Ref),
  /** The reason or a message, at most about 1,000 characters. */
  detail: Schema.optional(VisibleText),
  /** Whether a check proved that the release is healthy. Otherwise `healthy` means that all steps succeeded. */
  wasChecked: Schema.optional(Schema.Boolean).pipe(Schema.fromKey("was_checked"))
}) {}

/**
 * The number of unreadable lines that nobody knows of, from that of the lines before. A repair names the unreadable lines that it found.
 * So a line that was damaged later is noticed, even if a repair follows it.
 */
export const tornAfter = (torn: number, told: ReadonlyArray<JournalEntry | undefined>): number =>
  told.reduce((count, entry) => {
    if (entry === undefined) return count + 1
    if (entry.event !== "repaired") return count
    const [, known = "0"] = /([0-9]+) lines? of the journal cannot be read/.exec(entry.detail ?? "") ?? []
    return Math.max(0, count - Number(known))
  }, torn)

/** The most lines that `history` shows. */
export const historyLimit = 500

/** An entry as one line of the journal. */
export const JournalEntryJson = Schema.parseJson(JournalEntry)

/** A JSON string, as a regular expression. */
const text = String.raw`"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*"`

/**
 * The only form of an entry, as a regular expression that JavaScript and every awk read alike. The host selects entries by it, and
 * `parseEntry` applies it too, so that both agree on every line.
 */
export const journalGrammar = [
  String.raw`^\{"event":"[A-Za-z]+"`,
  `,"at":"[0-9][0-9][0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])`,
  `T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9][0-9][0-9])?Z"`,
  `,"by":${text}(,"job":${text})?`,
  String.raw`(,"release":\{"name":"[A-Za-z0-9_][A-Za-z0-9._-]*","ref":"[0-9A-F]+"\})?`,
  `(,"from":"[0-9A-F]+")?(,"detail":${text})?`,
  // A later version may add fields to an entry. Their names have an underscore; none of these has one.
  String.raw`(,"[a-z]+_[a-z_]+":(${text}|-?[0-9][0-9.]*|true|false|null))*\}$`
].join("")

/** The longest line that can be an entry, in bytes. deployer never writes one that long. */
export const maxEntry = 65_536

const isTooLong = (line: string): boolean =>
  line.length > maxEntry || (line.length * 3 > maxEntry && new TextEncoder().encode(line).length > maxEntry)

const entryForm = new RegExp(journalGrammar)

const decodeEntry = Schema.decodeUnknownOption(JournalEntryJson)

/** Parses a line of the journal. Undefined if it is not an entry. */
export const parseEntry = (line: string): JournalEntry | undefined =>
  !isTooLong(line) && entryForm.test(line) ? Option.getOrUndefined(decodeEntry(line)) : undefined

/**
 * The refs of the releases that were made current, the last one at the end. Going back removes the releases after the one gone back to.
 * `before` is the lineage of the earlier entries.
 */
export const lineage = (
  journal: ReadonlyArray<JournalEntry>,
  before: ReadonlyArray<string> = []
): ReadonlyArray<string> =>
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
  }, before)

/** The last entry that tells the end of `current`; after `unlinked` it leads nowhere. Undefined if the journal does not tell. */
export const lastLink = (journal: ReadonlyArray<JournalEntry>): JournalEntry | undefined =>
  journal.findLast(({ event }) => isLink(event) || event === "unlinked")

const isLink = (event: JournalEvent): boolean => ["switched", "linked", "rolledBack", "adopted"].includes(event)
const isVerdict = (event: JournalEvent): boolean => ["healthy", "unhealthy", "adopted"].includes(event)

/** The kinds of fact that an entry states about a release. A later entry of a kind replaces an earlier one. */
const kindsOf = (event: JournalEvent): ReadonlyArray<string> => [
  ...(isLink(event) ? ["link"] : []),
  ...(isVerdict(event) ? ["verdict"] : []),
  ...(event === "staged" || event === "switched" ? ["deployed"] : []),
  ...(event === "pinned" || event === "unpinned" ? ["pin"] : []),
  ...(event === "unlinked" ? ["unlinked"] : [])
]

/**
 * The entries on which everything else in this module except `lineage` depends: later entries supersede all others. Of releases whose files
 * were removed, only a failure stays. The order stays. The compactor of the host's scripts selects the same entries.
 */
export const decisive = (journal: ReadonlyArray<JournalEntry>): ReadonlyArray<JournalEntry> => {
  const facts = new Map<string, Map<string, JournalEntry>>()
  const removals = new Map<string, JournalEntry>()
  for (const entry of journal) {
    const { event, release } = entry
    if (release === undefined) continue
    const own = facts.get(release.ref) ?? new Map<string, JournalEntry>()
    facts.set(release.ref, own)
    for (const kind of kindsOf(event)) own.set(kind, entry)
    if (event !== "removed") continue
    const verdict = own.get("verdict")
    own.clear()
    if (verdict?.event === "unhealthy") own.set("verdict", verdict)
    removals.set(release.ref, entry)
  }
  const link = lastLink(journal)
  const kept = new Set([...facts.values()].flatMap((own) => [...own.values()]))
  if (link !== undefined) kept.add(link)
  // A removal matters only after a kept entry of its release.
  const begun = new Set<string>()
  return journal.filter((entry) => {
    const ref = entry.release?.ref ?? ""
    if (kept.has(entry)) begun.add(ref)
    return kept.has(entry) || (removals.get(ref) === entry && begun.has(ref))
  })
}

/**
 * The releases in the journal, each once, except those whose last entry is a removal. `staged` and `failed` do not count as deployed: a
 * deployment that fails before the switch is removed without an entry of the removal.
 */
export const notRemoved = (
  journal: ReadonlyArray<JournalEntry>
): ReadonlyArray<{ readonly name: typeof ReleaseName.Type; readonly ref: string }> => {
  const last = new Map(
    journal.flatMap((entry) =>
      entry.release === undefined || entry.event === "staged" || entry.event === "failed"
        ? []
        : [[entry.release.ref, entry]]
    )
  )
  return [...last.values()].flatMap(({ event, release }) =>
    event === "removed" || release === undefined ? [] : [release]
  )
}

/** The verdict on a release: it was live and healthy, it failed when it was made live, or neither. */
export const Standing = Schema.Literal("healthy", "unhealthy", "unproven")
/** The verdict on a release. */
export type Standing = typeof Standing.Type

/**
 * The journal's verdict on a release: the last one counts. If its files were removed, only a failure is remembered: files that come again
 * have yet to be proven.
 */
export const standing = (journal: ReadonlyArray<JournalEntry>, ref: string): Standing =>
  journal.reduce<Standing>((before, { event, release }) => {
    if (release?.ref !== ref) return before
    switch (event) {
      case "healthy":
      case "adopted":
        return "healthy"
      case "unhealthy":
        return "unhealthy"
      case "removed":
        return before === "unhealthy" ? before : "unproven"
      default:
        return before
    }
  }, "unproven")

/** The entry that marks a release as unhealthy. Undefined if the release is not unhealthy. */
export const failureOf = (journal: ReadonlyArray<JournalEntry>, ref: string): JournalEntry | undefined =>
  standing(journal, ref) === "unhealthy"
    ? journal.findLast(({ event, release }) => release?.ref === ref && event === "unhealthy")
    : undefined

/** Whether every step after the switch to a release has completed, or none was required. */
export const isSettled = (journal: ReadonlyArray<JournalEntry>, ref: string): boolean =>
  journal.reduce<{ readonly switched: boolean; readonly settled: boolean }>(
    (before, { event, release }) => {
      if (release?.ref !== ref) return before
      if (event === "removed") return { switched: false, settled: false }
      if (event === "linked" || event === "adopted") return { switched: true, settled: true }
      if (isLink(event)) return { switched: true, settled: false }
      return isVerdict(event) ? { switched: before.switched, settled: before.switched } : before
    },
    { switched: false, settled: false }
  ).settled

/** The refs that the journal names. Every deployment and adoption writes down its release, so others are from a journal that was lost. */
export const known = (journal: ReadonlyArray<JournalEntry>): ReadonlySet<string> =>
  new Set(journal.flatMap(({ release }) => (release === undefined ? [] : [release.ref])))

/** The refs of the releases that are pinned. */
export const pinned = (journal: ReadonlyArray<JournalEntry>): ReadonlySet<string> =>
  journal.reduce((refs, { event, release }) => {
    if (release !== undefined && event === "pinned") refs.add(release.ref)
    if (release !== undefined && (event === "unpinned" || event === "removed")) refs.delete(release.ref)
    return refs
  }, new Set<string>())
