/**
 * The form of all answers of the scripts: lines between two marks, whose first word names their kind. The answers come from another machine, so each
 * line is checked. Anything unexpected is a typed fault, never a crash and never a guess.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
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
export interface Line {
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

/** The fault of an answer that is invalid. */
export const invalid = (what: string, detail: string): Decoded<never> =>
  Either.left({ _tag: "Invalid", what, detail: clean(detail, 200) })

/** The `what` of a fault that is not about a file. */
export const answer = "the answer"

/** The lines between the marks. Ignores a login shell's output before them. Fails if the host reports a failure. */
export const lines = (stdout: string): Decoded<ReadonlyArray<Line>> => {
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

/** Files that the login cannot remove. */
export interface Stuck {
  /** Of all files that are left in the folder. */
  readonly bytes: number
  /** The other user who has one of them. Undefined if they belong to the login, and are perhaps immutable. */
  readonly owner: string | undefined
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
  /** Absolute paths with names of ours that deployer did not make. */
  readonly strangers: ReadonlyArray<string>
}

/** Takes the remarks out of an answer. */
export const remarks = (stdout: string): { readonly stdout: string; readonly remarks: Remarks } => {
  const [, why] = /^unnoted (.*)$/m.exec(stdout) ?? []
  const stuck = [...stdout.matchAll(/^stuck (\d{1,15}) (\S+) (.+)$/gm)].map(
    ([, kibibytes = "", owner = "", path = ""]) => ({
      bytes: Number(kibibytes) * 1024,
      owner: owner === "-" ? undefined : clean(owner, 64),
      path: clean(path, 4096)
    })
  )
  const strangers = [...stdout.matchAll(/^stranger (.+)$/gm)].map(([, path = ""]) => clean(path, 4096))
  return {
    stdout: stdout.replaceAll(/^(?:unnoted|stuck|stranger) .*\n|^(?:unsynced|alive)\n/gm, ""),
    remarks: { unnoted: why && clean(why), isUnsynced: /^unsynced$/m.test(stdout), stuck, strangers }
  }
}

/** The fault of an answer with a line that has no place in it. */
export const unexpected = (line: Line): Decoded<never> => invalid(answer, `it has the line "${clean(line.word, 40)}"`)

/** Whether a text is a ref. */
export const isRef = Schema.is(Ref)

/** Decodes a line that begins with a ref, after its word. */
export const withRef = (line: Line): Decoded<{ readonly ref: string; readonly rest: string }> => {
  const ref = line.rest.slice(0, 32)
  return isRef(ref) && (line.rest.length === 32 || line.rest[32] === " ")
    ? Either.right({ ref, rest: line.rest.slice(33) })
    : unexpected(line)
}
