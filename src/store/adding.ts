/**
 * Adds a release: its tarball and its entry, both or none.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ReleaseName, Tag, tarballName } from "../domain/Release.ts"
import { type Internal, ReleaseStoreError } from "./failures.ts"
import { packManifest } from "./manifests.ts"
import type { Parcel, ReleaseDraft } from "./ReleaseStore.ts"
import type { Stock } from "./Stock.ts"

const Named = Schema.Struct({ name: ReleaseName, tags: Schema.Array(Tag) })

/** The first second from `date` on that no file name of this release has. */
const freeDate = (stock: Stock, name: string, date: DateTime.Utc): Effect.Effect<DateTime.Utc, Internal> =>
  Effect.gen(function* () {
    const { entries, tarballs } = stock
    const taken =
      (yield* entries.isTaken(name, Math.floor(date.epochMillis / 1000))) ||
      (yield* tarballs.has(tarballName(name, date)))
    return taken ? yield* freeDate(stock, name, DateTime.add(date, { seconds: 1 })) : date
  })

/** Places the tarball of a parcel and records it, or renews the release with the same bytes. Takes the tarball back if the entry fails. */
export const add = (stock: Stock, parcel: Parcel, draft: ReleaseDraft) =>
  Effect.gen(function* () {
    const { entries, tarballs } = stock
    const { name, tags } = yield* Schema.validate(Named)(draft)
    const manifest = yield* packManifest(draft.manifest)
    let placed: string | undefined
    let settle: Effect.Effect<void> = Effect.void
    const place = (fileName: string) =>
      Effect.map(tarballs.place(parcel.path, fileName), (settled) => {
        placed = fileName
        settle = settled
      })
    const takeBack = Effect.suspend(() => {
      if (placed === undefined) return Effect.void
      const from = placed
      placed = undefined
      return Effect.ignore(tarballs.takeBack(parcel.path, from))
    })
    return yield* entries
      .exclusively(
        Effect.gen(function* () {
          // Add only to the folder that holds the earlier tarballs: in any other place, those would count as missing.
          const known = new Set((yield* entries.fileNames).map(({ fileName }) => fileName))
          if (known.size > 0) yield* tarballs.reachable(known)
          const same = yield* entries.withRef(parcel.ref)
          if (Option.isSome(same)) {
            if (same.value.name !== name) {
              return yield* new ReleaseStoreError({
                operation: `add a release of ${name}`,
                detail: `its bytes are those of release ${same.value.id}, which is one of ${same.value.name}: delete that one first, or build again`
              })
            }
            if (!(yield* tarballs.has(same.value.fileName))) yield* place(same.value.fileName)
            return yield* entries.renew(same.value, tags)
          }
          const createdAt = yield* freeDate(stock, name, draft.createdAt)
          yield* place(tarballName(name, createdAt))
          const { ref, sha256, size } = parcel
          return yield* entries.insert({
            name,
            ref,
            sha256,
            size,
            tags,
            createdAt,
            metadata: draft.metadata,
            manifest,
            members: draft.members
          })
          // Before anybody else can write: another process that adds the same bytes would rest on this tarball.
        }).pipe(Effect.onError(() => takeBack))
      )
      // After a commit that failed.
      .pipe(
        Effect.onError(() => takeBack),
        Effect.ensuring(Effect.suspend(() => settle))
      )
  })
