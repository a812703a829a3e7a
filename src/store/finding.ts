/**
 * Finds releases whose tarballs are there.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { parseSelector, type Release } from "../domain/Release.ts"
import { clearAloud, gone } from "./clearing.ts"
import { type Internal, ReleaseAmbiguous, ReleaseNotFound, TarballMissing } from "./failures.ts"
import type { ReleaseQuery } from "./ReleaseStore.ts"
import type { Stock } from "./Stock.ts"

/** Lists releases, newest first. Clears the entries without a tarball that it comes across. */
export const list = (stock: Stock, query: ReleaseQuery): Effect.Effect<ReadonlyArray<Release>, Internal> =>
  Effect.gen(function* () {
    const releases = yield* stock.entries.list(query)
    const lost = yield* gone(stock, releases)
    if (lost.length === 0) return releases
    yield* clearAloud(stock, lost)
    return yield* list(stock, query)
  })

/** Several only if the selector is the beginning of several refs. */
const candidates = ({ entries }: Stock, selector: string) =>
  Effect.gen(function* () {
    const { id, name, refPrefix } = parseSelector(selector)
    const byId = id === undefined ? Option.none() : yield* entries.withId(id)
    if (Option.isSome(byId)) return [byId.value]
    const byName = name === undefined ? Option.none() : yield* entries.latestOf(name)
    if (Option.isSome(byName)) return [byName.value]
    return refPrefix === undefined ? [] : yield* entries.withRefPrefix(refPrefix)
  })

/**
 * The newest release of a name that fits, otherwise the newest one. None if there is none of the name. If its tarball is gone, clears its
 * entry and fails: an older release would not be the requested one.
 */
export const newest = (
  stock: Stock,
  name: string,
  fits: (release: Release) => boolean
): Effect.Effect<Option.Option<Release>, TarballMissing | Internal> =>
  Effect.gen(function* () {
    const releases = yield* stock.entries.list({ name })
    const release = releases.find(fits) ?? releases.at(0)
    if (release === undefined) return Option.none()
    const lost = yield* gone(stock, [release])
    if (lost.length === 0) return Option.some(release)
    yield* clearAloud(stock, lost)
    return yield* new TarballMissing({ release })
  })

/** Finds the release that the user means. Clears the entries without a tarball that it comes across. */
export const find = (
  stock: Stock,
  selector: string
): Effect.Effect<Release, ReleaseNotFound | ReleaseAmbiguous | Internal> =>
  Effect.gen(function* () {
    const releases = yield* candidates(stock, selector)
    const lost = yield* gone(stock, releases)
    if (lost.length > 0) {
      yield* clearAloud(stock, lost)
      return yield* find(stock, selector)
    }
    const [release, ...others] = releases
    if (release === undefined) return yield* new ReleaseNotFound({ selector, known: yield* stock.entries.names })
    if (others.length > 0) return yield* new ReleaseAmbiguous({ selector, refs: releases.map(({ ref }) => ref) })
    return release
  })
