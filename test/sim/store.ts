/**
 * A release store that is filled once and then shared by all worlds: its answers never change.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Metadata, type Release } from "../../src/domain/Release.ts"
import { tarEnd } from "../../src/internal/tar.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { type Packed, packed } from "../kit/packed.ts"
import { dir, file, symlink, tarOf } from "../kit/tree.ts"

/** A stored release with its files. */
export interface Stored {
  readonly release: Release
  readonly packed: Packed
}

/** The store, and all that is in it, oldest first. */
export interface Prepared {
  readonly store: ReleaseStore["Type"]
  readonly stored: ReadonlyArray<Stored>
}

/** The name of all releases of all worlds. */
export const name = "my_app"

/** How many releases the store holds. */
const versions = ["1", "2", "3", "4", "5"]

const small = (version: string): Packed =>
  packed([
    dir(name),
    dir(`${name}/bin`),
    file(`${name}/bin/${name}`, `#!/bin/sh\necho ${version}\n`, 0o755),
    file(`${name}/version`, `${version}\n`),
    file(`${name}/same`, "the same in all of them\n".repeat(10)),
    symlink(`${name}/latest`, `bin/${name}`)
  ])

/** Fills a real store, and asks it once for everything that can be asked. */
export const prepared: Effect.Effect<Prepared> = Effect.gen(function* () {
  const real = yield* ReleaseStore
  const stored: Array<Stored> = []
  for (const version of versions) {
    const packed = small(version)
    const parcel = yield* real.receive(Stream.make(packed.tarball))
    const release = yield* real.add(parcel, {
      name,
      tags: ["prod"],
      createdAt: DateTime.unsafeMake(`2026-01-0${version}T00:00:00Z`),
      metadata: Metadata.make({}),
      manifest: packed.manifest
    })
    stored.push({ release, packed })
  }
  const all = yield* real.list()
  // The tags of the older ones have changed since.
  const now = stored.map(({ packed, release }) => ({
    packed,
    release: all.find(({ id }) => id === release.id) ?? release
  }))
  const selectors = [name, ...all.flatMap(({ id, ref }) => [String(id), ref])]
  const answers = new Map(
    yield* Effect.forEach(selectors, (selector) =>
      Effect.map(real.find(selector), (found) => [selector, found] as const)
    )
  )
  const of = ({ ref }: Release) => now.find(({ release }) => release.ref === ref)?.packed
  const store: ReleaseStore["Type"] = {
    ...real,
    list: () => Effect.succeed(all),
    find: (selector) => {
      const found = answers.get(selector)
      return found === undefined ? real.find(selector) : Effect.succeed(found)
    },
    manifest: (release) => Effect.succeed(of(release)?.manifest ?? []),
    content: (release, offset = 0) => Stream.make((of(release)?.tarball ?? new Uint8Array(0)).subarray(offset)),
    entries: (release, paths) =>
      Stream.make(tarOf((of(release)?.tree ?? []).filter(({ path }) => paths.has(path))).subarray(0, -tarEnd.length))
  }
  return { store, stored: now }
}).pipe(Effect.scoped, Effect.provide(ReleaseStore.layerMemory), Effect.orDie)
