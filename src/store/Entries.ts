/**
 * The store's table of releases: queries and changes in terms of releases. Related changes are made together inside one
 * {@link Entries.exclusively}.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type * as SqlError from "@effect/sql/SqlError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Members } from "../domain/Members.ts"
import { latest, Metadata, Ref, Release, ReleaseName, Sha256, Tag, tarballName } from "../domain/Release.ts"
import { DatabaseFile } from "../internal/sqlite.ts"
import { exclusively } from "./exclusively.ts"
import { manifests } from "./manifests.ts"

const Row = Schema.Struct({
  id: Schema.Int,
  name: ReleaseName,
  ref: Ref,
  sha256: Sha256,
  size: Schema.NonNegativeInt,
  created_at: Schema.DateTimeUtcFromNumber,
  metadata: Schema.parseJson(Metadata),
  is_latest: Schema.Literal(0, 1),
  tags: Schema.parseJson(Schema.Array(Tag))
})

const decodeRows = Schema.decodeUnknown(Schema.Array(Row))
const decodeFiles = Schema.decodeUnknown(Schema.Array(Row.pick("id", "name", "created_at")))
const decodeCount = Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ count: Schema.Int })))
const decodeStamps = Schema.decodeUnknown(Schema.Array(Schema.Struct({ stamp: Schema.String })))
const encodeMetadata = Schema.encode(Schema.parseJson(Metadata))

/** All of a release except the fields that the table itself decides. */
export type NewEntry = Pick<Release, "name" | "ref" | "sha256" | "size" | "tags" | "createdAt" | "metadata"> & {
  /** As `packManifest` makes it. */
  readonly manifest: Uint8Array
  readonly members: Members | undefined
}

// Rows are validated while they are decoded. Validating again would double the time of a long listing.
const releaseOf = ({ created_at, is_latest, tags, ...row }: typeof Row.Type): Release =>
  new Release(
    { ...row, createdAt: created_at, tags: is_latest === 1 ? [...tags, latest] : tags },
    { disableValidation: true }
  )

/** Access to the tables made by the migrations. */
export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { isReadOnly } = yield* DatabaseFile
  const { manifest, members } = manifests(sql)
  return { exclusively: exclusively(sql, isReadOnly), ...queries(sql), ...changes(sql), manifest, members }
})

/** Access to the tables. */
export type Entries = Effect.Effect.Success<typeof make>

const queries = (sql: SqlClient.SqlClient) => {
  const columns = sql.literal(`id, name, ref, sha256, size, created_at, metadata, is_latest,
    (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE release_id = releases.id ORDER BY position)) AS tags`)

  const many = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
    Effect.map(Effect.flatMap(rows, decodeRows), (all) => all.map(releaseOf))

  const one = (rows: Effect.Effect<ReadonlyArray<unknown>, SqlError.SqlError>) =>
    Effect.map(many(rows), ([first]) => Option.fromNullable(first))

  return {
    /** Newest first. */
    list: (query: { readonly name?: string; readonly limit?: number }) =>
      many(
        query.name === undefined
          ? sql`SELECT ${columns} FROM releases ORDER BY id DESC LIMIT ${query.limit ?? -1}`
          : sql`SELECT ${columns} FROM releases WHERE name = ${query.name} ORDER BY id DESC LIMIT ${query.limit ?? -1}`
      ),

    withId: (id: number) => one(sql`SELECT ${columns} FROM releases WHERE id = ${id}`),

    latestOf: (name: string) => one(sql`SELECT ${columns} FROM releases WHERE name = ${name} AND is_latest = 1`),

    withRef: (ref: string) => one(sql`SELECT ${columns} FROM releases WHERE ref = ${ref}`),

    /** At most eight, ordered by ref. */
    withRefPrefix: (prefix: string) =>
      // "G" follows the last hex digit.
      many(sql`SELECT ${columns} FROM releases WHERE ref >= ${prefix} AND ref < ${`${prefix}G`} ORDER BY ref LIMIT 8`),

    count: (query: { readonly name?: string }) =>
      Effect.map(
        Effect.flatMap(
          query.name === undefined
            ? sql`SELECT COUNT(*) AS count FROM releases`
            : sql`SELECT COUNT(*) AS count FROM releases WHERE name = ${query.name}`,
          decodeCount
        ),
        ([{ count }]) => count
      ),

    // Each name has one latest release, and these have their own index.
    names: Effect.flatMap(
      sql`SELECT name FROM releases WHERE is_latest = 1 ORDER BY name`,
      Schema.decodeUnknown(Schema.Array(Schema.Struct({ name: Schema.String })))
    ).pipe(Effect.map((rows) => rows.map(({ name }) => name))),

    /** The file names and ids of all entries. Reads no other columns. */
    fileNames: Effect.map(Effect.flatMap(sql`SELECT id, name, created_at FROM releases`, decodeFiles), (rows) =>
      rows.map(({ created_at, id, name }) => ({ id, fileName: tarballName(name, created_at) }))
    ),

    /** The remembered stamp. None if the store has none. */
    checked: Effect.map(Effect.flatMap(sql`SELECT stamp FROM checked`, decodeStamps), ([row]) =>
      Option.fromNullable(row?.stamp)
    ),

    /** Whether a release of the name already has this second in its file name. */
    isTaken: (name: string, unixSeconds: number) =>
      Effect.map(
        sql`SELECT 1 FROM releases WHERE name = ${name}
          AND created_at >= ${unixSeconds * 1000} AND created_at < ${(unixSeconds + 1) * 1000}`,
        (rows) => rows.length > 0
      )
  }
}

const changes = (sql: SqlClient.SqlClient) => {
  const setTags = (id: number, tags: ReadonlyArray<string>) =>
    Effect.forEach(
      [...new Set(tags)].filter((tag) => tag !== latest),
      (tag, position) => sql`INSERT INTO tags (release_id, position, tag) VALUES (${id}, ${position}, ${tag})`,
      { discard: true }
    )

  const makeLatest = (id: number, name: string) =>
    Effect.zipRight(
      sql`UPDATE releases SET is_latest = 0 WHERE name = ${name} AND is_latest = 1 AND id <> ${id}`,
      sql`UPDATE releases SET is_latest = 1 WHERE id = ${id}`
    )

  return {
    /** The new entry is the latest of its name. */
    insert: (entry: NewEntry) =>
      Effect.gen(function* () {
        const metadata = yield* encodeMetadata(entry.metadata)
        const rows = yield* sql`INSERT INTO releases (name, ref, sha256, size, created_at, metadata, is_latest)
          VALUES (${entry.name}, ${entry.ref}, ${entry.sha256}, ${entry.size},
            ${DateTime.toEpochMillis(entry.createdAt)}, ${metadata}, 0) RETURNING id`
        const [{ id }] = yield* Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ id: Schema.Int })))(rows)
        yield* setTags(id, entry.tags)
        yield* manifests(sql).insert(id, entry.manifest, entry.members)
        yield* makeLatest(id, entry.name)
        return Release.make({
          id,
          name: entry.name,
          ref: entry.ref,
          sha256: entry.sha256,
          size: entry.size,
          createdAt: entry.createdAt,
          metadata: entry.metadata,
          tags: [...new Set(entry.tags.filter((tag) => tag !== latest)), latest]
        })
      }),

    /** Adds tags to an entry and makes it the latest of its name again. */
    renew: (release: Release, tags: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const all = [...new Set([...release.tags, ...tags])].filter((tag) => tag !== latest)
        yield* sql`DELETE FROM tags WHERE release_id = ${release.id}`
        yield* setTags(release.id, all)
        yield* makeLatest(release.id, release.name)
        return Release.make({ ...release, tags: [...all, latest] })
      }),

    /** If a name loses its `latest` release, its newest remaining one becomes latest. */
    remove: (releases: ReadonlyArray<Release>) =>
      Effect.gen(function* () {
        yield* Effect.forEach(releases, ({ id }) => sql`DELETE FROM releases WHERE id = ${id}`, { discard: true })
        for (const name of new Set(releases.map((release) => release.name))) {
          yield* sql`UPDATE releases SET is_latest = 1
            WHERE id = (SELECT MAX(id) FROM releases WHERE name = ${name})
            AND NOT EXISTS (SELECT 1 FROM releases WHERE name = ${name} AND is_latest = 1)`
        }
      }),

    /** Remembers that entries and tarballs agree until the stamp of the tarballs' place changes. */
    remember: (stamp: string) => sql`INSERT OR REPLACE INTO checked (one, stamp) VALUES (1, ${stamp})`
  }
}
