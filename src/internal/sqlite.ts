/**
 * SQLite through better-sqlite3, loaded only when a database is opened, and what its failures mean.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { codeOf } from "./files.ts"

/** The database cannot be opened or does not do what it is told. */
export class SqliteError extends Data.TaggedError("SqliteError")<{
  /** What is wrong and what to do, one sentence without a full stop. */
  readonly detail: string
  readonly code: string | undefined
  readonly cause: unknown
}> {}

const rootOf = (cause: unknown): unknown =>
  cause instanceof Error && cause.cause !== undefined && !codeOf(cause)?.startsWith("SQLITE_")
    ? rootOf(cause.cause)
    : cause

/** Says what a failure means for the database in a file. */
export const explain = (file: string, failure: unknown): SqliteError => {
  const cause = rootOf(failure)
  const code = codeOf(cause)
  const text = cause instanceof Error ? cause.message : String(cause)
  const make = (detail: string) => new SqliteError({ detail, code, cause })
  const is = (...codes: ReadonlyArray<string>) => codes.some((each) => code === each || code?.startsWith(`${each}_`))
  if (is("SQLITE_BUSY", "SQLITE_LOCKED")) {
    return make(`another process holds the database ${file}: try again when it is done`)
  }
  if (is("SQLITE_NOTADB", "SQLITE_CORRUPT")) {
    return make(
      `the database ${file} is damaged (${text}): move it away, and the next command makes a new one; tarballs are not touched`
    )
  }
  if (is("SQLITE_FULL")) return make(`no space left for the database ${file}: free some, then try again`)
  if (is("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")) {
    return make(`the database ${file} cannot be written (${text}): check who owns it and its folder`)
  }
  if (is("SQLITE_CANTOPEN") || text.includes("directory does not exist")) {
    return make(`the database ${file} cannot be opened (${text}): check that its folder exists and who owns it`)
  }
  if (
    code === "ERR_DLOPEN_FAILED" ||
    code === "ERR_MODULE_NOT_FOUND" ||
    code === "MODULE_NOT_FOUND" ||
    text.includes("bindings file")
  ) {
    return make(
      `the SQLite module better-sqlite3 does not load here (${text.split("\n")[0]}): install deployer again with this version of Node, or run npm rebuild better-sqlite3`
    )
  }
  return make(`the database ${file} does not work: ${text}`)
}

// Two processes that make the same database at the same moment: the one that is late need not wait, but come again.
const again = Schedule.upTo(Schedule.spaced("50 millis"), "5 seconds")

/** Opens (and makes) a database file, or `":memory:"`, for as long as the scope lives. Every failure is typed. */
export const open = (file: string): Effect.Effect<Context.Context<SqlClient.SqlClient>, SqliteError, Scope.Scope> =>
  Effect.gen(function* () {
    const { layer } = yield* Effect.tryPromise({
      try: () => import("@effect/sql-sqlite-node/SqliteClient"),
      catch: (cause) => explain(file, cause)
    })
    const scope = yield* Effect.scope
    return yield* Layer.buildWithScope(layer({ filename: file }), scope).pipe(
      // What the driver throws arrives as a defect.
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.fail(explain(file, Cause.squash(cause)))
      ),
      Effect.retry({
        schedule: again,
        while: (error) => error.code?.startsWith("SQLITE_BUSY") === true
      }),
      // A wait of the real world, whatever clock the program runs by.
      Effect.withClock(Clock.make())
    )
  })

/** Whether a defect is the driver's: it throws where a statement cannot be prepared, begun or committed. */
export const isSqlDefect = (defect: unknown): boolean =>
  defect instanceof SqlError || codeOf(rootOf(defect))?.startsWith("SQLITE_") === true
