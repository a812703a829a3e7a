/**
 * Decodes the answers of the scripts, one function for each kind of answer. `answer.ts` has the form of all.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Adoption } from "../../domain/Adoption.ts"
import type { Lock } from "../../domain/Lock.ts"
import { answer, clean, type Decoded, invalid, type Line, lines, unexpected, withRef } from "./answer.ts"
import { type Between, kibibytes, lockOf, type Seen, stateOf } from "./inspection.ts"

export {
  answer,
  clean,
  type Decoded,
  type Fault,
  type Remarks,
  remarks,
  replyBegin,
  replyEnd,
  type Stuck
} from "./answer.ts"
export { chronicle, history } from "./chronicle.ts"
export { type Between, type Seen, state } from "./inspection.ts"

/** An answer that only confirms success. */
export const done = (stdout: string): Decoded<void> =>
  Either.flatMap(lines(stdout), ([line]) => (line === undefined ? Either.right(undefined) : unexpected(line)))

const UnfitReason = Schema.Literal("not-a-directory", "not-writable", "read-only", "current-occupied")

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

/** The folders that a target's `removeWith` left, by their names, with the bytes that they take. */
export const left = (stdout: string): Decoded<ReadonlyMap<string, number>> =>
  Either.gen(function* () {
    const left = new Map<string, number>()
    for (const line of yield* lines(stdout)) {
      const [, size = "", name = ""] = /^(\d{1,15}) (\S+)$/.exec(line.rest) ?? []
      const bytes = kibibytes(size)
      if (line.word !== "left" || bytes === undefined) return yield* unexpected(line)
      left.set(name, bytes)
    }
    return left
  })
