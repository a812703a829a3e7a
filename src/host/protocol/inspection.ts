/**
 * Decodes the answer of `inspect`: the state of the host.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
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
import { Lock, LockDetailsJson } from "../../domain/Lock.ts"
import { answer, clean, type Decoded, invalid, isRef, type Line, lines, unexpected, withRef } from "./answer.ts"
import { chronicleOf } from "./chronicle.ts"

const decodeDetails = Schema.decodeUnknownOption(LockDetailsJson)

/** Decodes a line about the lock and its holder. */
export const lockOf = (line: Line): Decoded<Lock> => {
  const parts = /^([0-9]{1,15}) (-?[0-9]{1,15})(?: (.*))?$/s.exec(line.rest)
  if (parts === null) return unexpected(line)
  const details = Option.getOrUndefined(decodeDetails(parts[3] ?? ""))
  // If the host's clock was set back, the last sign of life is in the future.
  const idleSeconds = Math.max(0, Number(parts[2]))
  return Either.right(
    Lock.make({ token: Number(parts[1]), idleSeconds, ...(details === undefined ? {} : { details }) })
  )
}

/** The bytes of a number of kibibytes. Undefined if the text is none. */
export const kibibytes = (text: string): number | undefined =>
  /^[0-9]{1,12}$/.test(text) ? Number(text) * 1024 : undefined

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
const foreignIfListed = (current: Current, foreign: ReadonlyArray<string>, isDangling: boolean): Current => {
  const dangling = isDangling ? { dangling: true } : {}
  if (current._tag === "Foreign") return { ...current, ...dangling }
  return current._tag === "Linked" && foreign.includes(current.ref)
    ? { _tag: "Foreign", to: current.text ?? `deployer_${current.ref}`, ...dangling }
    : current
}

/** `leads` is the ref of the release that the link leads to, however the link is written, and the path of a folder in that release, if any. */
const currentOf = (line: Line, leads: string): Decoded<Current> => {
  if (line.rest === "absent") return Either.right({ _tag: "Absent" })
  if (line.rest === "directory" || line.rest === "file") return Either.right({ _tag: "Occupied", by: line.rest })
  if (!line.rest.startsWith("link ")) return unexpected(line)
  const to = line.rest.slice(5)
  const ref = to.startsWith("deployer_") ? to.slice(9) : ""
  if (isRef(ref)) return Either.right({ _tag: "Linked", ref })
  const text = clean(to, 4096)
  const [led = "", ...path] = clean(leads, 4096).split("/")
  if (!isRef(led) || text !== to) return Either.right({ _tag: "Foreign", to: text })
  return Either.right({ _tag: "Linked", ref: led, text, ...(path.length === 0 ? {} : { inside: path.join("/") }) })
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

/** Decodes the lines of `inspect`, in the answer of any step. */
export const stateOf = (read: ReadonlyArray<Line>, between: Between | undefined): Decoded<Seen> =>
  Either.gen(function* () {
    const draft = emptyDraft()
    for (const line of read) {
      const add = words.get(line.word)
      if (add === undefined) return yield* unexpected(line)
      yield* add(draft, line)
    }
    const { armed, damaged, foreign, loaders, lock, missingTools, releases, unfinished } = draft
    const state = HostState.make({
      ...(yield* placeOf(draft)),
      releases,
      foreign,
      unfinished,
      damaged,
      missingTools,
      loaders,
      ...abilitiesOf(draft, between),
      ...(lock === undefined ? {} : { lock }),
      ...(yield* chronicleOf(draft.journal)),
      ...(armed === undefined ? {} : { armed })
    })
    return { state, lacksJournal: draft.lacksJournal }
  })

/** The facts from the lines so far. */
interface Draft {
  /** The texts of lines that there is one of. */
  readonly texts: Map<string, string>
  readonly abilities: Set<string>
  readonly releases: Array<typeof HostReleaseJson.Type>
  readonly foreign: Array<string>
  readonly unfinished: Array<Unfinished>
  readonly damaged: Array<Damaged>
  readonly missingTools: Array<typeof HostTool.Type>
  readonly loaders: Array<string>
  /** The kinds of folders that were named, with their refs: there is one of each kind for a ref. */
  readonly named: Set<string>
  readonly journal: Array<Line>
  lacksJournal: boolean
  lock: Lock | undefined
  armed: DeadMan | undefined
}

const emptyDraft = (): Draft => ({
  texts: new Map(),
  abilities: new Set(),
  releases: [],
  foreign: [],
  unfinished: [],
  damaged: [],
  missingTools: [],
  loaders: [],
  named: new Set(),
  journal: [],
  lacksJournal: false,
  lock: undefined,
  armed: undefined
})

/** Takes a line into the draft, or says why it cannot. */
type Add = (draft: Draft, line: Line) => Decoded<unknown>

const added = Either.void

/** A text that there has to be exactly one of. `placeOf` finds the missing ones. */
const required: Add = ({ texts }, { rest, word }) => {
  if (texts.has(word)) return invalid(answer, `it has several lines "${word}"`)
  texts.set(word, rest)
  return added
}

/** A text of which the first counts. A deployment must not fail because the host cannot tell it. */
const optional: Add = ({ texts }, { rest, word }) => {
  if (!texts.has(word)) texts.set(word, rest)
  return added
}

/** A member of a list. */
const member =
  (add: (draft: Draft, rest: string) => boolean): Add =>
  (draft, line) =>
    add(draft, line.rest) ? added : unexpected(line)

/** A folder. Of each kind there is one for a ref. */
const folder =
  (kind: "release" | "staging" | "adoption", add: (draft: Draft, ref: string, rest: string) => boolean): Add =>
  (draft, line) =>
    Either.flatMap(withRef(line), ({ ref, rest }): Decoded<unknown> => {
      if (draft.named.has(`${kind} ${ref}`)) return invalid(answer, `it names ${ref} twice`)
      draft.named.add(`${kind} ${ref}`)
      return add(draft, ref, rest) ? added : unexpected(line)
    })

/** A part of the journal, which is decoded as a whole. */
const journal: Add = (draft, line) => {
  draft.journal.push(line)
  return added
}

/** The words with which lines begin, and how a draft takes each. */
const words: ReadonlyMap<string, Add> = new Map<string, Add>([
  ["path", required],
  ["base", required],
  ["machine", required],
  ["current", required],
  ["leads", optional],
  ["dangling", optional],
  ["free", optional],
  ["inodes", optional],
  ["mounted", optional],
  ["clock", optional],
  ["user", optional],
  ["can", member(({ abilities }, rest) => abilities.add(rest).size > 0)],
  ["lacks", member(({ missingTools }, rest) => isTool(rest) && missingTools.push(rest) > 0)],
  ["loader", member(({ loaders }, rest) => /^\/[^\p{C}]{1,200}$/u.test(rest) && loaders.push(rest) > 0)],
  [
    "locked",
    (draft, line) =>
      Either.map(lockOf(line), (lock) => {
        draft.lock ??= lock
      })
  ],
  [
    "armed",
    (draft, line) =>
      Either.map(armedOf(line), (armed) => {
        draft.armed ??= armed
      })
  ],
  ["fact", journal],
  ["journal", journal],
  ["torn", journal],
  // Follows the journal, whose last line may lack a line end.
  ["", () => added],
  [
    "long",
    (draft) => {
      draft.lacksJournal = true
      return added
    }
  ],
  [
    "release",
    folder("release", ({ damaged, foreign, releases }, ref, rest) => {
      const record = decodeRecord(rest)
      if (Either.isLeft(record)) damaged.push({ ref, detail: clean(firstIssue(record.left), 200) })
      // Somebody's copy of a release.
      else if (record.right.ref !== ref) foreign.push(ref)
      else releases.push(record.right)
      return true
    })
  ],
  ["damaged", folder("release", ({ damaged }, ref, rest) => damaged.push({ ref, detail: clean(rest, 200) }) > 0)],
  ["foreign", folder("release", ({ foreign }, ref) => foreign.push(ref) > 0)],
  [
    "unrecorded",
    folder(
      "release",
      ({ unfinished }, ref) => unfinished.push(Unfinished.make({ ref, kind: "release", received: 0 })) > 0
    )
  ],
  [
    "adopting",
    folder(
      "adoption",
      ({ unfinished }, ref) => unfinished.push(Unfinished.make({ ref, kind: "adoption", received: 0 })) > 0
    )
  ],
  [
    "upload",
    folder("staging", ({ unfinished }, ref, rest) => {
      const upload = uploadOf(ref, rest)
      return upload !== undefined && unfinished.push(upload) > 0
    })
  ]
])

/** The base on the host, the machine, and the destination of `current`. */
const placeOf = ({ foreign, texts }: Draft) =>
  Either.gen(function* () {
    const textOf = (word: string): Decoded<string> => {
      const text = texts.get(word)
      return text === undefined ? invalid(answer, `it has no line "${word}"`) : Either.right(text)
    }
    const path = yield* textOf("path")
    if (!/^\/[^\p{Cc}]{1,4096}$/u.test(path)) return yield* invalid(answer, "its path is none")
    const [base = "", ...whereWords] = (yield* textOf("base")).split(" ")
    const where = clean(whereWords.join(" "), 4096)
    if (!isBase(base)) return yield* invalid(answer, `its base is "${clean(base, 40)}"`)
    const machine = yield* textOf("machine")
    if (!/^[\w.+-]{1,64}$/.test(machine)) return yield* invalid(answer, `its machine is "${clean(machine, 40)}"`)
    const current = yield* currentOf({ word: "current", rest: yield* textOf("current") }, texts.get("leads") ?? "")
    return {
      path,
      base,
      ...(where.startsWith(`${path}/`) ? { where } : {}),
      machine,
      current: foreignIfListed(current, foreign, texts.has("dangling"))
    }
  })

/** The abilities of the host, and its measurements. A deployment must not fail because the host cannot tell one. */
const abilitiesOf = ({ abilities, texts }: Draft, between: Between | undefined) => {
  const textOf = (word: string): string => texts.get(word) ?? ""
  const mount = mountOf(textOf("mounted"))
  const inodes = textOf("inodes")
  const user = clean(textOf("user"), 64)
  const clock = between === undefined ? undefined : clockOf(textOf("clock"), between)
  return {
    takesDifferences: abilities.has("differences"),
    takesZstd: abilities.has("zstd"),
    freeBytes: kibibytes(textOf("free")) ?? unmeasured,
    ...(/^[0-9]{1,15}$/.test(inodes) ? { freeInodes: Number(inodes) } : {}),
    ...(mount === undefined ? {} : { mount }),
    ...(user === "" ? {} : { user }),
    ...(clock === undefined ? {} : { clock })
  }
}

/** An upload that was cut off. Undefined if the text cannot be parsed. */
const uploadOf = (ref: string, rest: string): Unfinished | undefined => {
  const parts = /^([0-9]{1,15}) (\S+) (.*)$/s.exec(rest)
  if (parts === null) return undefined
  const [, received, stream = "", text = ""] = parts
  const note = clean(text)
  return Unfinished.make({
    ref,
    kind: "upload",
    received: Number(received),
    ...(isStream(stream) ? { stream } : {}),
    ...(note === "" ? {} : { note })
  })
}

const firstIssue = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  if (issue === undefined) return "it cannot be read"
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`
}
