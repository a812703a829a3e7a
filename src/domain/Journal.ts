/**
 * The host's journal: one line of JSON for each thing that was done to it, oldest first, written by the very step that did it.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Ref, ReleaseName } from "./Release.ts"
import { VisibleText } from "./VisibleText.ts"

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
  by: VisibleText,
  /** The CI job it was done from. */
  job: Schema.optional(VisibleText),
  release: Schema.optional(Schema.Struct({ name: ReleaseName, ref: Ref })),
  /** The ref of the release that was current before, where another one became current. */
  from: Schema.optional(Ref),
  /** Why, or what was said: at most some 1,000 characters. */
  detail: Schema.optional(VisibleText)
}) {}

/** How many of the last lines `history` shows at most. */
export const historyLimit = 500

/** An entry as it stands in the journal. */
export const JournalEntryJson = Schema.parseJson(JournalEntry)

/** A JSON string, as a regular expression. */
const text = String.raw`"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*"`

/**
 * The one form in which a line of the journal is an entry, as a regular expression that JavaScript and every awk read alike: the host
 * selects entries by it, and `parseEntry` holds to it too, so that both agree on every line.
 */
export const journalGrammar = [
  String.raw`^\{"event":"[A-Za-z]+"`,
  `,"at":"[0-9][0-9][0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])`,
  `T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9][0-9][0-9])?Z"`,
  `,"by":${text}(,"job":${text})?`,
  String.raw`(,"release":\{"name":"[A-Za-z0-9_][A-Za-z0-9._-]*","ref":"[0-9A-F]+"\})?`,
  `(,"from":"[0-9A-F]+")?(,"detail":${text})?`,
  // A later version may know more of an entry: the names of such fields have an underscore, which none of these has.
  String.raw`(,"[a-z]+_[a-z_]+":(${text}|-?[0-9][0-9.]*|true|false|null))*\}$`
].join("")

/** Bytes of the longest line that can be an entry: deployer writes none of them that long. */
export const longestEntry = 65_536

const isTooLong = (line: string): boolean =>
  line.length > longestEntry || (line.length * 3 > longestEntry && new TextEncoder().encode(line).length > longestEntry)

const entryForm = new RegExp(journalGrammar)

const decodeEntry = Schema.decodeUnknownOption(JournalEntryJson)

/** The entry on a line of the journal; undefined if the line is not one. */
export const parseEntry = (line: string): JournalEntry | undefined =>
  !isTooLong(line) && entryForm.test(line) ? Option.getOrUndefined(decodeEntry(line)) : undefined

/**
 * The releases that were made current, by their refs: the last one is at the end; going back takes off what was gone back from. `before` is
 * the line that earlier entries led to.
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

/** The last entry that says what `current` leads to; with `unlinked`: to nothing. Absent where the journal does not tell. */
export const lastLink = (journal: ReadonlyArray<JournalEntry>): JournalEntry | undefined =>
  journal.findLast(({ event }) => isLink(event) || event === "unlinked")

const isLink = (event: JournalEvent): boolean => ["switched", "linked", "rolledBack", "adopted"].includes(event)
const isVerdict = (event: JournalEvent): boolean => ["healthy", "unhealthy", "adopted"].includes(event)

/** The kinds of fact that an entry about a release states: a later one of a kind takes the place of an earlier one. */
const kindsOf = (event: JournalEvent): ReadonlyArray<string> => [
  ...(isLink(event) ? ["link"] : []),
  ...(isVerdict(event) ? ["verdict"] : []),
  ...(event === "staged" || event === "switched" ? ["deployed"] : []),
  ...(event === "pinned" || event === "unpinned" ? ["pin"] : []),
  ...(event === "unlinked" ? ["unlinked"] : [])
]

/**
 * The entries on which everything else in this module rests, but for `lineage`: all others say nothing that a later one does not.
 * Of releases whose files were removed only a failure stays. The order stays. The compactor of the host's scripts selects the same ones.
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
  // A removal says something only after what is kept of its release.
  const begun = new Set<string>()
  return journal.filter((entry) => {
    const ref = entry.release?.ref ?? ""
    if (kept.has(entry)) begun.add(ref)
    return kept.has(entry) || (removals.get(ref) === entry && begun.has(ref))
  })
}

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

/**
 * What the journal knows of a release. The last word on it counts. If its files were removed, only a failure is remembered: files that
 * come again have yet to be proven.
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

/** Why a release is marked as unhealthy; absent where it is not, or nobody said why. */
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

/** The refs of the releases that are pinned. */
export const pinned = (journal: ReadonlyArray<JournalEntry>): ReadonlySet<string> =>
  journal.reduce((refs, { event, release }) => {
    if (release !== undefined && event === "pinned") refs.add(release.ref)
    if (release !== undefined && (event === "unpinned" || event === "removed")) refs.delete(release.ref)
    return refs
  }, new Set<string>())
