/**
 * The store's database, one step at a time. A released step is never changed, only followed by another.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Exclusively } from "./exclusively.ts"
import { ReleaseStoreError } from "./failures.ts"

const releases = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // AUTOINCREMENT remembers the highest id ever given, so that no id is given twice.
  yield* sql`CREATE TABLE releases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    ref TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    is_latest INTEGER NOT NULL CHECK (is_latest IN (0, 1))
  )`
  yield* sql`CREATE UNIQUE INDEX releases_ref ON releases (ref)`
  yield* sql`CREATE INDEX releases_name ON releases (name, id)`
  yield* sql`CREATE INDEX releases_created ON releases (name, created_at)`
  yield* sql`CREATE UNIQUE INDEX releases_latest ON releases (name) WHERE is_latest = 1`
  yield* sql`CREATE TABLE tags (
    release_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (release_id, position),
    UNIQUE (release_id, tag)
  ) WITHOUT ROWID`
  // A table of its own: a listing reads whole rows, and these are large.
  yield* sql`CREATE TABLE manifests (
    release_id INTEGER PRIMARY KEY REFERENCES releases (id) ON DELETE CASCADE,
    gzip BLOB NOT NULL
  )`
})

const members = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // NULL if the tarball's division is unknown: then it can only be read from its beginning.
  yield* sql`ALTER TABLE manifests ADD COLUMN members TEXT`
})

const checked = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE checked (one INTEGER PRIMARY KEY CHECK (one = 1), stamp TEXT NOT NULL)`
})

/** All steps by name, for `Migrator.fromRecord`. */
const migrations = { "1_releases": releases, "2_members": members, "3_checked": checked }

/** The number of the last step. */
const newest = 3

/** Runs the migrations. Does not take the write lock if there are none to run. Fails if a newer deployer has run other ones. */
export const migrate = (exclusively: Exclusively) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const table = "migrations"
    const done = Effect.gen(function* () {
      const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`
      if (tables.length === 0) return 0
      const rows = yield* sql`SELECT COALESCE(MAX(migration_id), 0) AS id FROM ${sql(table)}`
      const [row] = yield* Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ id: Schema.Int })))(rows)
      return row.id
    })
    const before = yield* done
    if (before > newest) {
      return yield* new ReleaseStoreError({
        operation: "open the release store",
        detail: `a newer deployer has changed its database (step ${before}, this one knows ${newest}): update deployer`
      })
    }
    if (before < newest) {
      yield* exclusively(Migrator.make({})({ loader: Migrator.fromRecord(migrations), table }))
    }
  })
