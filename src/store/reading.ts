/**
 * Reads the tarball and the manifest of a release.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Manifest, ManifestEntry } from "../domain/Manifest.ts"
import { type Release, shortRef } from "../domain/Release.ts"
import { sha256Sum } from "../internal/machine.ts"
import { clear } from "./clearing.ts"
import { type During, failed, TarballDamaged, TarballMissing } from "./failures.ts"
import { ManifestDamaged } from "./manifests.ts"
import type { ReleaseStore } from "./ReleaseStore.ts"
import { type Form, select } from "./Selection.ts"
import type { Stock } from "./Stock.ts"
import { TarballsError } from "./Tarballs.ts"

/** The operations of the store that read a release. */
export type Reading = Pick<
  Context.Tag.Service<ReleaseStore>,
  "content" | "entries" | "file" | "manifest" | "members" | "prove"
>

/** The tarball of a release. Clears the entry if it is gone. */
const opened = (stock: Stock, release: Release, offset: number) =>
  Effect.gen(function* () {
    const { entries, tarballs } = stock
    // Another release may have taken the file name of a removed one.
    const recorded = yield* entries.withId(release.id)
    const found = yield* Option.isNone(recorded) ? Effect.succeedNone : tarballs.open(recorded.value.fileName, offset)
    if (Option.isNone(found)) {
      yield* clear(stock, [release])
      return yield* new TarballMissing({ release })
    }
    if (found.value.size !== release.size) {
      return yield* new TarballsError({
        detail: `it has ${found.value.size} bytes, and ${release.size} were stored: delete this release and build it again`
      })
    }
    return found.value
  })

/** Remembers the manifests that it has decoded, as long as their releases are in memory. */
export const reading = (stock: Stock, during: During): Reading => {
  const { entries } = stock

  // A release's contents never change, and decoding them takes a while.
  const decoded = new WeakMap<Release, Manifest>()
  const manifestOf = (release: Release) =>
    Effect.gen(function* () {
      const known = decoded.get(release)
      if (known !== undefined) return known
      const manifest = yield* entries.manifest(release.id)
      if (Option.isNone(manifest)) {
        return yield* new ManifestDamaged({ detail: `release ${release.id} is no longer in the store` })
      }
      decoded.set(release, manifest.value)
      return manifest.value
    })

  const taken = (
    release: Release,
    form: Form,
    choose: (manifest: Manifest) => Effect.Effect<(entry: ManifestEntry) => boolean, TarballsError>
  ) => {
    const operation = `read from the tarball ${release.fileName}`
    return Stream.unwrapScoped(
      Effect.gen(function* () {
        const tarball = yield* opened(stock, release, 0)
        const manifest = yield* manifestOf(release)
        const members = yield* entries.members(release.id)
        const wants = yield* choose(manifest)
        return Stream.mapError(select(tarball, { manifest, members, wants, form }), failed(operation))
      }).pipe(during(operation))
    )
  }

  const content: Reading["content"] = (release, offset = 0) => {
    const operation = `read the tarball ${release.fileName}`
    return Stream.unwrapScoped(
      Effect.map(opened(stock, release, offset), ({ bytes }) => Stream.mapError(bytes, failed(operation))).pipe(
        during(operation)
      )
    )
  }

  return {
    content,
    prove: (release) =>
      Effect.suspend(() => {
        const sum = sha256Sum()
        return Stream.runForEach(content(release), (chunk) => Effect.sync(() => sum.update(chunk))).pipe(
          Effect.flatMap(() => (sum.digest() === release.sha256 ? Effect.void : new TarballDamaged({ release })))
        )
      }),
    entries: (release, paths) => taken(release, "entries", () => Effect.succeed(({ path }) => paths.has(path))),
    file: (release, path) =>
      taken(release, "content", (manifest) => {
        const found = manifest.find((entry) => entry.path === path)
        const first = found?._tag === "Hardlink" ? found.to : path
        return found?._tag === "File" || found?._tag === "Hardlink"
          ? Effect.succeed((entry) => entry.path === first)
          : new TarballsError({ detail: `it holds no file ${JSON.stringify(path)}` })
      }),
    members: (release) => during(`read how ${release.fileName} is divided`)(entries.members(release.id)),
    manifest: (release) =>
      manifestOf(release).pipe(during(`read the manifest of ${release.name} (${shortRef(release.ref)})`))
  }
}
