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
  const parts = /^([0-9]{1,15}) ([0-9]{1,15})(?: (.*))?$/s.exec(line.rest)
  if (parts === null) return unexpected(line)
  const details = Option.getOrUndefined(decodeDetails(parts[3] ?? ""))
  return Either.right(
    Lock.make({ token: Number(parts[1]), idleSeconds: Number(parts[2]), ...(details === undefined ? {} : { details }) })
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

/** Decodes the lines of `inspect`, in the answer of any step. */
export const stateOf = (read: ReadonlyArray<Line>, between: Between | undefined): Decoded<Seen> =>
  Either.gen(function* () {
    const place = yield* placeOf(read)
    const lock = yield* optional(read, "locked", lockOf)
    const armed = yield* optional(read, "armed", armedOf)
    const chronicle = yield* chronicleOf(read)
    const { foreign, ...lists } = yield* listsOf(read)
    const state = HostState.make({
      ...place,
      current: foreignIfListed(place.current, foreign),
      foreign,
      ...lists,
      ...abilitiesOf(read, between),
      ...(lock === undefined ? {} : { lock }),
      ...chronicle,
      ...(armed === undefined ? {} : { armed })
    })
    return { state, lacksJournal: read.some(({ word }) => word === "long") }
  })

/** The only line with that word. */
const only = (read: ReadonlyArray<Line>, word: string): Decoded<Line> => {
  const [first, ...more] = read.filter((line) => line.word === word)
  if (first === undefined) return invalid(answer, `it has no line "${word}"`)
  return more.length === 0 ? Either.right(first) : invalid(answer, `it has several lines "${word}"`)
}

/** The first line with that word, decoded. Undefined if there is none. */
const optional = <A>(
  read: ReadonlyArray<Line>,
  word: string,
  decode: (line: Line) => Decoded<A>
): Decoded<A | undefined> => {
  const line = read.find((line) => line.word === word)
  return line === undefined ? Either.right(undefined) : decode(line)
}

/** The base on the host, the machine, and the destination of `current`. */
const placeOf = (read: ReadonlyArray<Line>) =>
  Either.gen(function* () {
    const path = (yield* only(read, "path")).rest
    if (!/^\/[^\p{Cc}]{1,4096}$/u.test(path)) return yield* invalid(answer, "its path is none")
    const [base = "", ...whereWords] = (yield* only(read, "base")).rest.split(" ")
    const where = clean(whereWords.join(" "), 4096)
    if (!isBase(base)) return yield* invalid(answer, `its base is "${clean(base, 40)}"`)
    const machine = (yield* only(read, "machine")).rest
    if (!/^[\w.+-]{1,64}$/.test(machine)) return yield* invalid(answer, `its machine is "${clean(machine, 40)}"`)
    const leads = read.find(({ word }) => word === "leads")?.rest ?? ""
    const current = yield* Either.flatMap(only(read, "current"), (line) => currentOf(line, leads))
    return { path, base, ...(where.startsWith(`${path}/`) ? { where } : {}), machine, current }
  })

/** The abilities of the host, and its measurements. A deployment must not fail because the host cannot tell one. */
const abilitiesOf = (read: ReadonlyArray<Line>, between: Between | undefined) => {
  const restOf = (word: string): string => read.find((line) => line.word === word)?.rest ?? ""
  const can = (what: string): boolean => read.some(({ rest, word }) => word === "can" && rest === what)
  const mount = mountOf(restOf("mounted"))
  const inodes = restOf("inodes")
  const user = clean(restOf("user"), 64)
  const clock = between === undefined ? undefined : clockOf(restOf("clock"), between)
  return {
    takesDifferences: can("differences"),
    takesZstd: can("zstd"),
    freeBytes: kibibytes(restOf("free")) ?? unmeasured,
    ...(/^[0-9]{1,15}$/.test(inodes) ? { freeInodes: Number(inodes) } : {}),
    ...(mount === undefined ? {} : { mount }),
    ...(user === "" ? {} : { user }),
    ...(clock === undefined ? {} : { clock })
  }
}

// Lists

/** The words of the lines that add to no list. */
const others: ReadonlySet<string> = new Set([
  "fact",
  "long",
  "journal",
  "torn",
  "armed",
  // Follows the journal, whose last line may lack a line end.
  "",
  "path",
  "base",
  "machine",
  "current",
  "leads",
  "can",
  "free",
  "inodes",
  "mounted",
  "clock",
  "user",
  "locked"
])

/** The lists that lines add to. */
interface Lists {
  readonly releases: Array<typeof HostReleaseJson.Type>
  readonly foreign: Array<string>
  readonly unfinished: Array<Unfinished>
  readonly damaged: Array<Damaged>
  readonly missingTools: Array<typeof HostTool.Type>
  readonly loaders: Array<string>
}

/** Decodes all lines that add to a list. Fails at the first line that has no place in the answer. */
const listsOf = (read: ReadonlyArray<Line>): Decoded<Lists> =>
  Either.gen(function* () {
    const lists: Lists = { releases: [], foreign: [], unfinished: [], damaged: [], missingTools: [], loaders: [] }
    const named = new Set<string>()
    for (const line of read) {
      if (others.has(line.word)) continue
      const kind = kinds.get(line.word)
      if (kind === undefined) {
        if (!addFact(lists, line)) return yield* unexpected(line)
        continue
      }
      const { ref, rest } = yield* withRef(line)
      if (named.has(`${kind} ${ref}`)) return yield* invalid(answer, `it names ${ref} twice`)
      named.add(`${kind} ${ref}`)
      if (!addFolder(lists, line.word, ref, rest)) return yield* unexpected(line)
    }
    return lists
  })

/** The words of lines about a folder, and the kind of the folder. There is one of each kind for a ref. */
const kinds: ReadonlyMap<string, "release" | "staging" | "adoption"> = new Map([
  ["release", "release"],
  ["damaged", "release"],
  ["foreign", "release"],
  ["unrecorded", "release"],
  ["upload", "staging"],
  ["adopting", "adoption"]
])

/** Adds a folder. Returns whether the line was expected. */
const addFolder = (lists: Lists, word: string, ref: string, rest: string): boolean => {
  switch (word) {
    case "release": {
      const record = decodeRecord(rest)
      if (Either.isLeft(record)) lists.damaged.push({ ref, detail: clean(firstIssue(record.left), 200) })
      // Somebody's copy of a release.
      else if (record.right.ref !== ref) lists.foreign.push(ref)
      else lists.releases.push(record.right)
      return true
    }
    case "damaged":
      lists.damaged.push({ ref, detail: clean(rest, 200) })
      return true
    case "foreign":
      lists.foreign.push(ref)
      return true
    case "unrecorded":
      lists.unfinished.push(Unfinished.make({ ref, kind: "release", received: 0 }))
      return true
    case "adopting":
      lists.unfinished.push(Unfinished.make({ ref, kind: "adoption", received: 0 }))
      return true
    case "upload": {
      const upload = uploadOf(ref, rest)
      if (upload !== undefined) lists.unfinished.push(upload)
      return upload !== undefined
    }
    default:
      return false
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

/** Adds a missing tool or a loader. Returns whether the line was expected. */
const addFact = ({ loaders, missingTools }: Lists, { rest, word }: Line): boolean => {
  if (word === "lacks" && isTool(rest)) missingTools.push(rest)
  else if (word === "loader" && /^\/[^\p{C}]{1,200}$/u.test(rest)) loaders.push(rest)
  else return false
  return true
}

const firstIssue = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  if (issue === undefined) return "it cannot be read"
  return issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`
}
