/**
 * The store's table of manifests: the contents of each release, and how its tarball is divided.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Manifest, type ManifestEntry } from "../domain/Manifest.ts"
import { Members } from "../domain/Members.ts"
import { compressEach, decompress } from "../internal/gzip.ts"

const ManifestJson = Schema.parseJson(Manifest)
const MembersJson = Schema.parseJson(Members)
const encodeMembers = (members: Members | undefined) =>
  members === undefined ? Effect.succeed(null) : Schema.encode(MembersJson)(members)

/** The manifest of an entry is unreadable. */
export class ManifestDamaged extends Data.TaggedError("ManifestDamaged")<{
  /** A sentence without a full stop. */
  readonly detail: string
  readonly cause?: unknown
}> {}

/** Encodes a manifest for the database: its entries in batches, each a gzip member, because there may be a hundred thousand entries. */
export const packManifest = (manifest: Iterable<ManifestEntry>): Effect.Effect<Uint8Array, ParseResult.ParseError> =>
  Stream.fromIterable(manifest).pipe(
    Stream.grouped(1000),
    Stream.mapEffect((some) => Schema.encode(ManifestJson)(Chunk.toReadonlyArray(some))),
    Stream.map((array) => array.slice(1, -1)),
    Stream.intersperseAffixes({ start: "[", middle: ",", end: "]" }),
    Stream.grouped(8),
    Stream.map((texts) => Chunk.join(texts, "")),
    compressEach
  )

/** Access to the table, by the ids of releases. */
export const manifests = (sql: SqlClient.SqlClient) => ({
  /** Adds the manifest of a new release, as {@link packManifest} makes it. */
  insert: (id: number, manifest: Uint8Array, members: Members | undefined) =>
    Effect.flatMap(
      encodeMembers(members),
      (json) => sql`INSERT INTO manifests (release_id, gzip, members) VALUES (${id}, ${manifest}, ${json})`
    ),

  /** How the tarball is divided into members. Undefined if unknown. */
  members: (id: number) =>
    Effect.flatMap(
      sql`SELECT members FROM manifests WHERE release_id = ${id} AND members IS NOT NULL`,
      Schema.decodeUnknown(Schema.Array(Schema.Struct({ members: MembersJson })))
    ).pipe(Effect.map(([row]) => row?.members)),

  /** None if the entry is missing. */
  manifest: (id: number) =>
    Effect.gen(function* () {
      const rows = yield* Effect.flatMap(
        sql`SELECT gzip FROM manifests WHERE release_id = ${id}`,
        Schema.decodeUnknown(Schema.Array(Schema.Struct({ gzip: Schema.Uint8ArrayFromSelf })))
      )
      const [row] = rows
      if (row === undefined) return Option.none()
      return yield* decompress(row.gzip).pipe(
        Effect.flatMap(Schema.decode(ManifestJson)),
        Effect.mapBoth({
          onFailure: (cause) =>
            new ManifestDamaged({ detail: "it is damaged: delete this release and build it again", cause }),
          onSuccess: Option.some
        })
      )
    })
})
