/**
 * Keeps entries and tarballs in agreement: entries without a tarball are cleared, and a removed release loses both.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Release, shortRef } from "../domain/Release.ts"
import { warn } from "../terminal/Reporter.ts"
import type { Internal } from "./failures.ts"
import type { StoreCheck } from "./ReleaseStore.ts"
import type { Stock } from "./Stock.ts"

// A few files are checked one by one, many with one listing of the folder.
const fewFiles = 32

/** The releases without a tarball. */
export const gone = ({ tarballs }: Stock, releases: ReadonlyArray<Release>) =>
  releases.length <= fewFiles
    ? Effect.filter(releases, ({ fileName }) => tarballs.has(fileName), { negate: true })
    : Effect.map(tarballs.names, (names) => releases.filter(({ fileName }) => !names.has(fileName)))

/** Removes entries without a tarball. Fails first if the folder is unreachable: a missing disk would otherwise cost all entries. */
const forget = ({ entries, tarballs }: Stock, lost: ReadonlyArray<Release>) =>
  lost.length === 0
    ? Effect.void
    : Effect.flatMap(entries.fileNames, (known) =>
        Effect.zipRight(tarballs.reachable(new Set(known.map(({ fileName }) => fileName))), entries.remove(lost))
      )

/** Clears entries, unless another process cleared them or restored their tarballs. Returns the entries it cleared. */
export const clear = (stock: Stock, releases: ReadonlyArray<Release>) => {
  const { entries } = stock
  return entries.exclusively(
    Effect.gen(function* () {
      const recorded = yield* Effect.filter(releases, ({ id }) => Effect.map(entries.withId(id), Option.isSome))
      const lost = yield* gone(stock, recorded)
      yield* forget(stock, lost)
      return lost
    })
  )
}

/** Clears entries, and warns of each. */
export const clearAloud = Effect.fnUntraced(function* (stock: Stock, releases: ReadonlyArray<Release>) {
  for (const { fileName, name, ref } of yield* clear(stock, releases)) {
    yield* warn(
      `The tarball ${fileName} is gone from release_store/: the entry of ${name} (${shortRef(ref)}) was cleared`
    )
  }
})

/** Removes entries and tarballs, unless another process has done so. */
export const remove = ({ entries, tarballs }: Stock, releases: ReadonlyArray<Release>): Effect.Effect<void, Internal> =>
  Effect.gen(function* () {
    const recorded = yield* Effect.filter(releases, ({ id }) => Effect.map(entries.withId(id), Option.isSome))
    // Tarballs first: an entry without a tarball is found and cleared, but a tarball without an entry would stay forever.
    yield* Effect.forEach(recorded, ({ fileName }) => tarballs.remove(fileName), { discard: true })
    yield* entries.remove(recorded)
  }).pipe(entries.exclusively)

/**
 * Compares entries with tarballs, clears entries without a tarball and removes leftovers of killed builds. Does not compare them if they agreed and
 * the tarballs' place is the same since.
 */
export const check = (stock: Stock): Effect.Effect<StoreCheck, Internal> =>
  Effect.gen(function* () {
    const { entries, tarballs } = stock
    yield* tarballs.sweep
    const stamp = yield* tarballs.stamp
    const before = yield* entries.checked
    if (Option.isSome(stamp) && Option.contains(before, stamp.value)) return { cleared: [], unknown: [] }
    // While nobody can add: between placing its tarball and writing its entry, a release would look like an unknown file.
    return yield* entries.exclusively(
      Effect.gen(function* () {
        const recorded = yield* entries.fileNames
        const own = new Set(recorded.map(({ fileName }) => fileName))
        const names = yield* tarballs.sweepKept((fileName) => own.has(fileName))
        const lost = recorded.filter(({ fileName }) => !names.has(fileName))
        const cleared = Arr.getSomes(yield* Effect.forEach(lost, ({ id }) => entries.withId(id)))
        yield* forget(stock, cleared)
        const others = [...names].filter((name) => !own.has(name))
        // Do not remember a folder with other files: a file that is still being written may be left there without another change of the
        // folder.
        if (Option.isSome(stamp) && cleared.length + others.length === 0) yield* entries.remember(stamp.value)
        return { cleared, unknown: others.filter((name) => !name.startsWith(".")).toSorted() }
      })
    )
  })
