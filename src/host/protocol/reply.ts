/**
 * Decodes the answers of the scripts: lines between two marks, whose first word names their kind. The answers come from another machine, so each line
 * is checked. Anything unexpected is a typed fault, never a crash and never a guess.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Adoption } from "../../domain/Adoption.ts"
import {
  Base,
  type Current,
  type Damaged,
  DeadMan,
  HostReleaseJson,
  HostState,
  HostTool,
  StreamName,
  Unfinished,
  unmeasured
} from "../../domain/HostState.ts"
import { decisive, type JournalEntry, lineage, parseEntry } from "../../domain/Journal.ts"
import { Lock, LockDetailsJson } from "../../domain/Lock.ts"
import { Ref } from "../../domain/Release.ts"

/** Begins each answer, as in lib/protocol.sh. A login shell may print something before it. */
export const replyBegin = "deployer begin"
/** Ends each answer. An answer without it was cut off. */
export const replyEnd = "deployer end"

/** Why an answer cannot be used. */
export type Fault =
  /** The step failed, in the host's words. */
  | { readonly _tag: "Failed"; readonly detail: string }
  /** Somebody else has the lock, and nothing was done. */
  | { readonly _tag: "Fenced"; readonly detail: string }
  /** The answer is invalid. `what` is the file on the host, or the question. */
  | { readonly _tag: "Invalid"; readonly what: string; readonly detail: string }

/** One line of an answer: its first word and the rest. */
interface Line {
  readonly word: string
  readonly rest: string
}

/** An answer, or why it cannot be used. */
export type Decoded<A> = Either.Either<A, Fault>

/** The host's text in a form that is safe to show: no control characters, and no more than `maxLength` characters. */
export const clean = (text: string, maxLength = 300): string => {
  const shown = text
    .slice(0, 4 * maxLength)
    .replaceAll(/[\p{C}\u2028\u2029]+/gu, " ")
    .trim()
  return shown.length > maxLength ? `${shown.slice(0, maxLength)} …` : shown
}

const failed = (detail: string): Decoded<never> => Either.left({ _tag: "Failed", detail })

const invalid = (what: string, detail: string): Decoded<never> =>
  Either.left({ _tag: "Invalid", what, detail: clean(detail, 200) })

/** The `what` of a fault that is not about a file. */
export const answer = "the answer"

/** The lines between the marks. Ignores a login shell's output before them. Fails if the host reports a failure. */
const lines = (stdout: string): Decoded<ReadonlyArray<Line>> => {
  const all = stdout.split("\n")
  const begin = all.indexOf(replyBegin)
  if (begin < 0) return invalid(answer, stdout.trim() === "" ? "it is empty" : `it begins with ${clean(stdout, 60)}`)
  const end = all.indexOf(replyEnd, begin)
  if (end < 0) return invalid(answer, "it was cut")
  if (all.slice(end + 1).some((line) => line.trim() !== "")) return invalid(answer, "something follows its end")
  const read = all.slice(begin + 1, end).map((line) => {
    const blank = line.indexOf(" ")
    return blank < 0 ? { word: line, rest: "" } : { word: line.slice(0, blank), rest: line.slice(blank + 1) }
  })
  if (read.some((line) => line.word === "fenced"))
    return Either.left({ _tag: "Fenced", detail: "the lock is somebody else's" })
  const failure = read.find((line) => line.word === "fail")
  return failure === undefined ? Either.right(read) : failed(clean(failure.rest))
}

/** Files of another user that the login may not remove. */
export interface Stuck {
  readonly owner: string
  /** Absolute, of the folder that holds them. */
  readonly path: string
}

/** The remarks of a step beside its answer. */
export interface Remarks {
  /** Why the journal could not be written. */
  readonly unnoted: string | undefined
  /** Whether the host has no `sync`, so that its latest writes may not be on the disk yet. */
  readonly isUnsynced: boolean
  readonly stuck: ReadonlyArray<Stuck>
}

/** Takes the remarks out of an answer. */
export const remarks = (stdout: string): { readonly stdout: string; readonly remarks: Remarks } => {
  const [, why] = /^unnoted (.*)$/m.exec(stdout) ?? []
  const stuck = [...stdout.matchAll(/^stuck (\S+) (.+)$/gm)].map(([, owner = "", path = ""]) => ({
    owner: clean(owner, 64),
    path: clean(path, 4096)
  }))
  return {
    stdout: stdout.replaceAll(/^(?:unnoted|stuck) .*\n|^(?:unsynced|alive)\n/gm, ""),
    remarks: { unnoted: why && clean(why), isUnsynced: /^unsynced$/m.test(stdout), stuck }
  }
}

const unexpected = (line: Line): Decoded<never> => invalid(answer, `it has the line "${clean(line.word, 40)}"`)

/** An answer that only confirms success. */
export const done = (stdout: string): Decoded<void> =>
  Either.flatMap(lines(stdout), ([line]) => (line === undefined ? Either.right(undefined) : unexpected(line)))

const UnfitReason = Schema.Literal("not-a-directory", "not-writable", "current-occupied")

/** The reason why a path cannot be used. */
export interface Unfitness {
  readonly reason: typeof UnfitReason.Type
  readonly path: string
}

const unfitnessOf = (line: Line): Decoded<Unfitness> => {
  const [reason = "", ...path] = line.rest.split(" ")
  return line.word === "unfit" && Schema.is(UnfitReason)(reason)
    ? Either.right({ reason, path: clean(path.join(" "), 4096) })
    : unexpected(line)
}

/** Undefined for success, or the reason why a path cannot be used. */
export const fitness = (stdout: string): Decoded<Unfitness | undefined> =>
  Either.flatMap(lines(stdout), ([line, ...more]) => {
    if (line === undefined) return Either.right(undefined)
    return more.length === 0 ? unfitnessOf(line) : unexpected(line)
  })

/** The directory in the place of `current`, or the reason why it cannot become a release. */
export const survey = (stdout: string): Decoded<Either.Either<Adoption, Unfitness>> =>
  Either.flatMap(lines(stdout), ([line, ...more]): Decoded<Either.Either<Adoption, Unfitness>> => {
    if (line === undefined || more.length > 0) return invalid(answer, "it is not one line")
    if (line.word !== "adoption") return Either.map(unfitnessOf(line), (fault) => Either.left(fault))
    const parts = /^([0-9A-F]{32}) ([0-9a-f]{64}) (whole|nested) ([0-9]{1,15}) ([0-9]{1,15})$/.exec(line.rest)
    const [, ref = "", sha256 = "", layout, files, bytes] = parts ?? []
    return parts === null
      ? unexpected(line)
      : Either.right(
          Either.right(
            Adoption.make({ ref, sha256, nested: layout === "nested", files: Number(files), bytes: Number(bytes) })
          )
        )
  })

/** The paths that arrived damaged. Empty if there are none. */
export const corruption = (stdout: string): Decoded<ReadonlyArray<string>> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find((line) => line.word !== "corrupt")
    return odd === undefined ? Either.right(read.map((line) => clean(line.rest))) : unexpected(odd)
  })

/** The lines of a manifest, and the paths that commands changed. */
export const manifest = (
  stdout: string
): Decoded<{ readonly lines: ReadonlyArray<string>; readonly altered: ReadonlyArray<string> }> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ word }) => word !== "line" && word !== "altered")
    const of = (wanted: string) => read.flatMap(({ rest, word }) => (word === wanted ? [rest] : []))
    return odd === undefined ? Either.right({ lines: of("line"), altered: of("altered") }) : unexpected(odd)
  })

/** The paths that commands changed. */
export const alterations = (stdout: string): Decoded<ReadonlyArray<string>> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ rest, word }) => word !== "altered" || rest === "")
    return odd === undefined ? Either.right(read.map(({ rest }) => clean(rest))) : unexpected(odd)
  })

const isRef = Schema.is(Ref)

/** Decodes a line that begins with a ref. */
const withRef = (line: Line): Decoded<{ readonly ref: string; readonly rest: string }> => {
  const ref = line.rest.slice(0, 32)
  return isRef(ref) && (line.rest.length === 32 || line.rest[32] === " ")
    ? Either.right({ ref, rest: line.rest.slice(33) })
    : unexpected(line)
}

/** The verdict on each of the `refs`, in their order. */
export const verdicts =
  (refs: ReadonlyArray<string>) =>
  (
    stdout: string
  ): Decoded<
    ReadonlyArray<{
      readonly ref: string
      readonly faults: ReadonlyArray<string>
      readonly unreadable?: ReadonlyArray<string>
    }>
  > =>
    Either.gen(function* () {
      const faults = new Map<string, Array<string>>()
      const unreadable: Array<readonly [ref: string, path: string]> = []
      for (const line of yield* lines(stdout)) {
        const { ref, rest } = yield* withRef(line)
        const known = faults.get(ref)
        if (line.word === "verdict" && known === undefined && rest === "") faults.set(ref, [])
        else if (line.word === "fault" && known !== undefined && /^(missing|changed) ./.test(rest))
          known.push(clean(rest))
        else if (line.word === "fault" && known !== undefined && /^unreadable ./.test(rest))
          unreadable.push([ref, clean(rest.slice("unreadable ".length))])
        else return yield* unexpected(line)
      }
      const asked = new Set(refs)
      if (faults.size !== asked.size) return yield* invalid(answer, "it leaves out releases, or adds some")
      return yield* Either.all(
        [...asked].map((ref) => {
          const found = faults.get(ref)
          const paths = unreadable.flatMap(([about, path]) => (about === ref ? [path] : []))
          return found === undefined
            ? invalid(answer, `it leaves out ${ref}`)
            : Either.right({ ref, faults: found, ...(paths.length === 0 ? {} : { unreadable: paths }) })
        })
      )
    })

const decodeDetails = Schema.decodeUnknownOption(LockDetailsJson)

/** Decodes a line about the lock and its holder. */
const lockOf = (line: Line): Decoded<Lock> => {
  const parts = /^([0-9]{1,15}) ([0-9]{1,15})(?: (.*))?$/s.exec(line.rest)
  if (parts === null) return unexpected(line)
  const details = Option.getOrUndefined(decodeDetails(parts[3] ?? ""))
  return Either.right(
    Lock.make({ token: Number(parts[1]), idleSeconds: Number(parts[2]), ...(details === undefined ? {} : { details }) })
  )
}

/**
 * The result of an attempt to take a lock. `Taken`: a token, and the host's state unless the lock is held on purpose. `Held`: somebody else has the
 * lock. `Unready`: the lock's folder is missing. `Unfit`: this login may not write into that folder.
 */
export type Locking =
  | { readonly _tag: "Taken"; readonly token: number; readonly seen: Seen | undefined }
  | { readonly _tag: "Held"; readonly by: Lock }
  | { readonly _tag: "Unready" }
  | ({ readonly _tag: "Unfit" } & Unfitness)

/** The answer to an attempt to take the lock. */
export const locking = (stdout: string, between?: Between): Decoded<Locking> =>
  Either.flatMap(lines(stdout), ([line, ...more]): Decoded<Locking> => {
    if (line === undefined) return invalid(answer, "it is empty")
    if (line.word === "token" && /^[1-9][0-9]{0,14}$/.test(line.rest)) {
      const token = Number(line.rest)
      return more.length === 0
        ? Either.right({ _tag: "Taken", token, seen: undefined })
        : Either.map(stateOf(more, between), (seen) => ({ _tag: "Taken", token, seen }))
    }
    if (more.length > 0) return invalid(answer, `it is not one line: ${JSON.stringify([line, ...more])}`)
    if (line.word === "unready") return Either.right({ _tag: "Unready" })
    if (line.word === "unfit") return Either.map(unfitnessOf(line), (fault) => ({ _tag: "Unfit", ...fault }))
    return line.word === "locked" ? Either.map(lockOf(line), (by) => ({ _tag: "Held", by })) : unexpected(line)
  })

/** Whether the lock was given back. False if the lock has changed meanwhile. */
export const unlocking = (stdout: string): Decoded<boolean> =>
  Either.flatMap(lines(stdout), ([line]) =>
    line === undefined ? Either.right(true) : line.word === "changed" ? Either.right(false) : unexpected(line)
  )

/** The name of the new dead-man's switch. */
export const arming = (stdout: string): Decoded<string> =>
  Either.flatMap(lines(stdout), ([line, ...more]) => {
    if (line === undefined || more.length > 0) return invalid(answer, "it is not one line")
    return line.word === "armed" && /^[0-9]{1,15}\.[0-9]{1,15}$/.test(line.rest)
      ? Either.right(line.rest)
      : unexpected(line)
  })

/** Whether the dead-man's switch was disarmed in time. */
export const confirmation = (stdout: string): Decoded<boolean> =>
  Either.flatMap(lines(stdout), ([line, ...more]) => {
    if (line === undefined || more.length > 0) return invalid(answer, "it is not one line")
    return line.word === "confirmed" || line.word === "fired"
      ? Either.right(line.word === "confirmed")
      : unexpected(line)
  })

const kibibytes = (text: string): number | undefined => (/^[0-9]{1,12}$/.test(text) ? Number(text) * 1024 : undefined)

/** The bytes of each release on the host. */
export const usages =
  (refs: ReadonlyArray<string>) =>
  (stdout: string): Decoded<ReadonlyMap<string, number>> =>
    Either.gen(function* () {
      const used = new Map<string, number>()
      for (const line of yield* lines(stdout)) {
        const { ref, rest } = yield* withRef(line)
        const bytes = kibibytes(rest)
        if (line.word !== "usage" || bytes === undefined || !refs.includes(ref)) return yield* unexpected(line)
        used.set(ref, bytes)
      }
      return used
    })

/** The decisive content of the journal. */
export type Chronicle = Pick<HostState, "journal" | "line" | "torn">

const isFactLine = /^line((?: [0-9A-F]{32})*)$/
const isFactTorn = /^torn ([0-9]{1,15})$/

/** Combines the facts about the journal's beginning with its remaining lines. */
const chronicleOf = (read: ReadonlyArray<Line>): Decoded<Chronicle> =>
  Either.gen(function* () {
    const facts = read.filter(({ word }) => word === "fact").map(({ rest }) => rest)
    const before = facts.flatMap((fact) => parseEntry(fact) ?? [])
    const lines = facts.flatMap((fact) => isFactLine.exec(fact)?.[1] ?? [])
    const counts = facts.flatMap((fact) => isFactTorn.exec(fact)?.[1] ?? [])
    if (before.length + lines.length + counts.length !== facts.length || lines.length > 1 || counts.length > 1)
      return yield* invalid(answer, "the facts of its journal are not what was selected")
    const told = read.flatMap(({ rest, word }) =>
      word === "journal" ? [parseEntry(rest)] : word === "torn" ? [undefined] : []
    )
    const entries = told.filter((entry) => entry !== undefined)
    const repaired = told.findLastIndex((entry) => entry?.event === "repaired")
    const torn = told.slice(repaired + 1).filter((entry) => entry === undefined)
    const first = lines[0]?.split(" ").slice(1) ?? []
    return {
      journal: decisive([...before, ...entries]),
      line: lineage(entries, first),
      torn: torn.length + (repaired < 0 ? Number(counts[0] ?? 0) : 0)
    }
  })

/** The journal that was too long for `inspect`. */
export const chronicle = (stdout: string): Decoded<Chronicle> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ word }) => !["fact", "journal", "torn", ""].includes(word))
    return odd === undefined ? chronicleOf(read) : unexpected(odd)
  })

/** The last lines of the journal. */
export const history = (
  stdout: string
): Decoded<{ readonly entries: ReadonlyArray<JournalEntry>; readonly torn: number }> =>
  Either.flatMap(lines(stdout), (read) => {
    const odd = read.find(({ word }) => !["journal", "torn", ""].includes(word))
    if (odd !== undefined) return unexpected(odd)
    const told = read.flatMap(({ rest, word }) =>
      word === "journal" ? [parseEntry(rest)] : word === "torn" ? [undefined] : []
    )
    const entries = told.filter((entry) => entry !== undefined)
    return Either.right({ entries, torn: told.length - entries.length })
  })

/** Decodes a line about an armed dead-man's switch. */
const armedOf = (line: Line): Decoded<DeadMan> => {
  const parts = /^([0-9]{1,15}\.[0-9]{1,15}) ([0-9A-F]{32}) (-|[0-9A-F]{32}) (-?[0-9]{1,15})(?: (.*))?$/.exec(line.rest)
  if (parts === null) return unexpected(line)
  const [, id = "", ref = "", back = "", seconds, restore = ""] = parts
  return Either.right(
    DeadMan.make({
      id,
      ref,
      seconds: Number(seconds),
      ...(back === "-" ? {} : { back }),
      ...(restore === "" || clean(restore, 4096) !== restore ? {} : { restore })
    })
  )
}

const decodeRecord = Schema.decodeUnknownEither(HostReleaseJson)
const isBase = Schema.is(Base)
const isStream = Schema.is(StreamName)
const isTool = Schema.is(HostTool)

/** A link to a folder that deployer did not make is somebody else's, whatever the folder's name. */
const foreignIfListed = (current: Current, foreign: ReadonlyArray<string>): Current =>
  current._tag === "Linked" && foreign.includes(current.ref)
    ? { _tag: "Foreign", to: current.text ?? `deployer_${current.ref}` }
    : current

/** `leads` is the ref of the release that the link leads to, however the link is written. */
const currentOf = (line: Line, leads: string): Decoded<Current> => {
  if (line.rest === "absent") return Either.right({ _tag: "Absent" })
  if (line.rest === "directory" || line.rest === "file") return Either.right({ _tag: "Occupied", by: line.rest })
  if (!line.rest.startsWith("link ")) return unexpected(line)
  const to = line.rest.slice(5)
  const ref = to.startsWith("deployer_") ? to.slice(9) : ""
  if (isRef(ref)) return Either.right({ _tag: "Linked", ref })
  const text = clean(to, 4096)
  return Either.right(
    isRef(leads) && text === to ? { _tag: "Linked", ref: leads, text } : { _tag: "Foreign", to: text }
  )
}

/** How a file system is mounted. Undefined if the text cannot be parsed. */
const mountOf = (text: string): HostState["mount"] => {
  const [, type, mode, exec, point] = /^([\w.-]{1,64}) (ro|rw) (exec|noexec) (\/[^\p{C}]{0,4096})$/u.exec(text) ?? []
  return type === undefined || point === undefined
    ? undefined
    : { type, point, readOnly: mode === "ro", noExec: exec === "noexec" }
}

/** The moments of our clock between which the host read its own, in milliseconds. */
export interface Between {
  readonly asked: number
  readonly answered: number
}

/** The host shows whole seconds, at some moment between question and answer. */
const clockOf = (text: string, { answered, asked }: Between): HostState["clock"] =>
  /^[0-9]{1,12}$/.test(text)
    ? {
        aheadMillis: Number(text) * 1000 + 500 - (asked + answered) / 2,
        toleranceMillis: Math.max(0, answered - asked) / 2 + 500
      }
    : undefined

/** The result of one `inspect`. */
export interface Seen {
  readonly state: HostState
  /** Whether the journal is too long for `inspect` and must be read separately. `state` holds nothing of it then. */
  readonly lacksJournal: boolean
}

/** Decodes the answer of `inspect`. */
export const state = (stdout: string, between?: Between): Decoded<Seen> =>
  Either.flatMap(lines(stdout), (read) => stateOf(read, between))

const stateOf = (read: ReadonlyArray<Line>, between: Between | undefined): Decoded<Seen> =>
  Either.gen(function* () {
    /** The only line with that word. */
    const only = (word: string): Decoded<Line> => {
      const [first, ...more] = read.filter((line) => line.word === word)
      if (first === undefined) return invalid(answer, `it has no line "${word}"`)
      return more.length === 0 ? Either.right(first) : invalid(answer, `it has several lines "${word}"`)
    }
    const path = (yield* only("path")).rest
    if (!/^\/[^\p{Cc}]{1,4096}$/u.test(path)) return yield* invalid(answer, "its path is none")
    const [base = "", ...whereWords] = (yield* only("base")).rest.split(" ")
    const where = clean(whereWords.join(" "), 4096)
    if (!isBase(base)) return yield* invalid(answer, `its base is "${clean(base, 40)}"`)
    const machine = (yield* only("machine")).rest
    if (!/^[\w.+-]{1,64}$/.test(machine)) return yield* invalid(answer, `its machine is "${clean(machine, 40)}"`)
    const leads = read.find(({ word }) => word === "leads")?.rest ?? ""
    const current = yield* Either.flatMap(only("current"), (line) => currentOf(line, leads))
    /** The rest of an optional line. A deployment must not fail because the host cannot tell it. */
    const optionalWord = (word: string): string => read.find((line) => line.word === word)?.rest ?? ""
    const can = (what: string): boolean => read.some(({ rest, word }) => word === "can" && rest === what)
    const mount = mountOf(optionalWord("mounted"))
    const inodes = optionalWord("inodes")
    const user = clean(optionalWord("user"), 64)
    const clock = between === undefined ? undefined : clockOf(optionalWord("clock"), between)
    const locked = read.find((line) => line.word === "locked")
    const lock = locked === undefined ? {} : { lock: yield* lockOf(locked) }

    const armedLine = read.find((line) => line.word === "armed")
    const armed = armedLine === undefined ? {} : { armed: yield* armedOf(armedLine) }
    const chronicle = yield* chronicleOf(read)

    const releases: Array<typeof HostReleaseJson.Type> = []
    const unfinished: Array<Unfinished> = []
    const damaged: Array<Damaged> = []
    const foreign: Array<string> = []
    const missingTools: Array<typeof HostTool.Type> = []
    const loaders: Array<string> = []
    const folders = new Set<string>()
    const stagings = new Set<string>()
    const adoptions = new Set<string>()
    const once = (seen: Set<string>, ref: string): Decoded<void> =>
      seen.has(ref) ? invalid(answer, `it names ${ref} twice`) : Either.right(void seen.add(ref))
    for (const line of read) {
      switch (line.word) {
        case "release": {
          const { ref, rest } = yield* withRef(line)
          yield* once(folders, ref)
          const record = decodeRecord(rest)
          if (Either.isLeft(record)) damaged.push({ ref, detail: clean(firstIssue(record.left), 200) })
          // Somebody's copy of a release.
          else if (record.right.ref !== ref) foreign.push(ref)
          else releases.push(record.right)
          break
        }
        case "damaged": {
          const { ref, rest } = yield* withRef(line)
          yield* once(folders, ref)
          damaged.push({ ref, detail: clean(rest, 200) })
          break
        }
        case "foreign": {
          const { ref } = yield* withRef(line)
          yield* once(folders, ref)
          foreign.push(ref)
          break
        }
        case "unrecorded": {
          const { ref } = yield* withRef(line)
          yield* once(folders, ref)
          unfinished.push(Unfinished.make({ ref, kind: "release", received: 0 }))
          break
        }
        case "upload": {
          const { ref, rest } = yield* withRef(line)
          yield* once(stagings, ref)
          const parts = /^([0-9]{1,15}) (\S+) (.*)$/s.exec(rest)
          if (parts === null) return yield* unexpected(line)
          const [, received, stream = "", text = ""] = parts
          const note = clean(text)
          unfinished.push(
            Unfinished.make({
              ref,
              kind: "upload",
              received: Number(received),
              ...(isStream(stream) ? { stream } : {}),
              ...(note === "" ? {} : { note })
            })
          )
          break
        }
        case "adopting": {
          const { ref } = yield* withRef(line)
          yield* once(adoptions, ref)
          unfinished.push(Unfinished.make({ ref, kind: "adoption", received: 0 }))
          break
        }
        case "lacks": {
          if (!isTool(line.rest)) return yield* unexpected(line)
          missingTools.push(line.rest)
          break
        }
        case "loader": {
          if (!/^\/[^\p{C}]{1,200}$/u.test(line.rest)) return yield* unexpected(line)
          loaders.push(line.rest)
          break
        }
        case "fact":
        case "long":
        case "journal":
        case "torn":
        case "armed":
        // Follows the journal, whose last line may lack a line end.
        case "":
        case "path":
        case "base":
        case "machine":
        case "current":
        case "leads":
        case "can":
        case "free":
        case "inodes":
        case "mounted":
        case "clock":
        case "user":
        case "locked":
          break
        default:
          return yield* unexpected(line)
      }
    }
    const state = HostState.make({
      path,
      base,
      ...(!where.startsWith(`${path}/`) ? {} : { where }),
      current: foreignIfListed(current, foreign),
      releases,
      foreign,
      unfinished,
      damaged,
      missingTools,
      takesDifferences: can("differences"),
      takesZstd: can("zstd"),
      freeBytes: kibibytes(optionalWord("free")) ?? unmeasured,
      machine,
      loaders,
      ...(/^[0-9]{1,15}$/.test(inodes) ? { freeInodes: Number(inodes) } : {}),
      ...(mount === undefined ? {} : { mount }),
      ...(user === "" ? {} : { user }),
      ...(clock === undefined ? {} : { clock }),
      ...lock,
      ...chronicle,
      ...armed
    })
    return { state, lacksJournal: read.some(({ word }) => word === "long") }
  })

const firstIssue = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  if (issue === undefined) return "it cannot be read"
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`
}
