/**
 * The failures of the store: those that it shows, and how failures of its database and its disk become one of them.
 */

import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlError from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { Release, shortRef } from "../domain/Release.ts"
import * as sqlite from "../internal/sqlite.ts"
import { ManifestDamaged } from "./manifests.ts"
import { TarballsError } from "./Tarballs.ts"

/** The store could not be read or written. `operation` is the failed operation. */
export class ReleaseStoreError extends Schema.TaggedError<ReleaseStoreError>()("ReleaseStoreError", {
  operation: Schema.String,
  /** The cause and the remedy, one sentence. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}`
  }
}

/** No release matches the word. */
export class ReleaseNotFound extends Schema.TaggedError<ReleaseNotFound>()("ReleaseNotFound", {
  /** The id, name or ref that the user gave. */
  selector: Schema.String,
  /** Names of existing releases, for the message. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  get next(): readonly [Invocation] {
    return [this.known.length === 0 ? invocation("build", { target: "T" }) : invocation("manage info")]
  }
  override get message(): string {
    const next = commandLine(this.next[0])
    const known =
      this.known.length === 0
        ? `the store is empty: run ${next} first`
        : `the store has releases of: ${this.known.join(", ")}; see ${next}`
    const short = /^[0-9a-f]*[a-f][0-9a-f]*$/i.test(this.selector) && this.selector.length < 4
    return `No release has the id, name or ref "${this.selector}" (${known}${short ? "; a ref needs at least four digits" : ""})`
  }
}

/** Several refs begin with the word. */
export class ReleaseAmbiguous extends Schema.TaggedError<ReleaseAmbiguous>()("ReleaseAmbiguous", {
  selector: Schema.String,
  refs: Schema.Array(Schema.String),
  /** The id, if the releases share it: they came from different stores. */
  sharedId: Schema.optional(Schema.Int)
}) {
  readonly exitStatus = 2
  override get message(): string {
    if (this.sharedId !== undefined) {
      return `${this.refs.length} releases there have the id ${this.sharedId} (${this.refs.join(", ")}), because they came from different stores: name one by its ref`
    }
    return `"${this.selector}" is the beginning of several refs (${this.refs.join(", ")}): give more of it`
  }
}

/** The release is recorded but its tarball is missing from `release_store/`. The entry has been cleared. */
export class TarballMissing extends Schema.TaggedError<TarballMissing>()("TarballMissing", { release: Release }) {
  readonly exitStatus = 1
  override get message(): string {
    const { fileName, name, ref } = this.release
    return `The tarball ${fileName} of release ${name} (${shortRef(ref)}) is gone from release_store/, so its entry was cleared: build it again, or deploy another one`
  }
}

/** The tarball in `release_store/` is not the one that was stored. */
export class TarballDamaged extends Schema.TaggedError<TarballDamaged>()("TarballDamaged", { release: Release }) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("manage delete", { ref: String(this.release.id) })]
  }
  override get message(): string {
    const { fileName, name, ref } = this.release
    return `The tarball ${fileName} of release ${name} (${shortRef(ref)}) in release_store/ is not what was stored (its SHA-256 is another one): remove it with ${commandLine(this.next[0])} and build it again, and look at the disk of this machine`
  }
}

/** Puts a detail into words: "Could not `operation`: …". */
export const failed = (operation: string) => (error: { readonly detail: string; readonly cause?: unknown }) =>
  new ReleaseStoreError({ operation, detail: error.detail, cause: error.cause })

/** Errors that must not leave this service unchanged. {@link During} turns them into its own error. */
export type Internal =
  | SqlError.SqlError
  | Migrator.MigrationError
  | ParseResult.ParseError
  | TarballsError
  | ManifestDamaged

const isInternal = (error: unknown): error is Internal =>
  error instanceof SqlError.SqlError ||
  ParseResult.isParseError(error) ||
  error instanceof TarballsError ||
  error instanceof Migrator.MigrationError ||
  error instanceof ManifestDamaged

const firstIssue = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  return issue === undefined ? error.message : `${issue.path.map(String).join(".")}: ${issue.message.split("\n")[0]}`
}

const inWords = (database: string, error: Internal): { readonly detail: string; readonly cause?: unknown } => {
  switch (error._tag) {
    case "SqlError":
    case "MigrationError":
      return sqlite.explain(database, error)
    case "ParseError":
      return { detail: `an entry of the database ${database} is invalid (${firstIssue(error)})`, cause: error }
    default:
      return error
  }
}

/** Turns any failure of a database or a disk during an operation into the one error of this service. Other failures and defects pass. */
export type During = (
  operation: string
) => <A, E, R>(
  effect: Effect.Effect<A, E | Internal, R>
) => Effect.Effect<A, Exclude<E, Internal> | ReleaseStoreError, R>

/** Makes a {@link During} whose errors name the database of this client. */
export const makeDuring: Effect.Effect<During, never, SqlClient.SqlClient> = Effect.map(
  Effect.suspend(() => databaseName),
  (database) => (operation) => (effect) =>
    effect.pipe(
      Effect.catchAllDefect(
        (defect): Effect.Effect<never, Internal> =>
          sqlite.isSqlDefect(defect)
            ? Effect.fail(new SqlError.SqlError({ cause: defect }))
            : isInternal(defect)
              ? Effect.fail(defect)
              : Effect.die(defect)
      ),
      Effect.catchIf(isInternal, (error) => Effect.fail(failed(operation)(inWords(database, error))))
    )
)

/** The path of the database, or other words for it. */
const databaseName = Effect.gen(function* () {
  const { path } = yield* sqlite.DatabaseFile
  if (path !== undefined) return path
  const sql = yield* SqlClient.SqlClient
  return yield* Effect.match(sql`SELECT file FROM pragma_database_list WHERE name = 'main'`, {
    onFailure: () => "of the store",
    onSuccess: (rows) => {
      const file = rows[0]?.file
      return typeof file === "string" && file !== "" ? file : "in memory"
    }
  })
})
