/**
 * A database file as a `SqlClient`: loaded and opened only when it is needed, with every failure in words.
 */
import { basename, dirname, join } from "node:path"
import process from "node:process"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as files from "./files.ts"
import { type Database, driver, NoDriver } from "./sqliteDriver.ts"

/** The database cannot be opened, or a statement fails. */
export class SqliteError extends Data.TaggedError("SqliteError")<{
  /** The problem and its solution, one sentence without a full stop. */
  readonly detail: string
  readonly code: string | undefined
  readonly cause: unknown
}> {}

const rootOf = (cause: unknown): unknown =>
  cause instanceof Error && cause.cause !== undefined && !files.codeOf(cause)?.startsWith("SQLITE_")
    ? rootOf(cause.cause)
    : cause

/** Node 22.5 and newer has its own SQLite; before 22.13 only with this option. */
const flag = "--experimental-sqlite"

/** The advice if no SQLite loads. Package managers may run no install script unless they are told to. */
const withoutDriver = ({ reason }: NoDriver): string =>
  [
    `SQLite does not load in Node ${process.versions.node} (${reason})`,
    ": use Node 22.13 or newer, which has its own",
    process.allowedNodeEnvironmentFlags.has(flag) ? `, or set NODE_OPTIONS=${flag} for this Node` : "",
    ", or install deployer again with this Node so that better-sqlite3 may run its install script",
    ": npm install -g --ignore-scripts=false --allow-scripts=better-sqlite3 effect-deployer",
    ", pnpm add -g --allow-build=better-sqlite3 effect-deployer",
    ", or for yarn first: yarn config set enableScripts true"
  ].join("")

/** Explains a failure of the database in a file. */
export const explain = (file: string, failure: unknown): SqliteError => {
  if (failure instanceof NoDriver) {
    return new SqliteError({ detail: withoutDriver(failure), code: undefined, cause: failure })
  }
  const cause = rootOf(failure)
  const code = files.codeOf(cause)
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
    return make(
      `the database ${file} cannot be written (${text}): check who owns it and its folder, and whether its disk is mounted read-only`
    )
  }
  if (is("SQLITE_CANTOPEN") || text.includes("directory does not exist")) {
    return make(`the database ${file} cannot be opened (${text}): check that its folder exists and who owns it`)
  }
  return make(`the database ${file} does not work: ${text}`)
}

/** The file that a client reads and writes. */
export class DatabaseFile extends Context.Reference<DatabaseFile>()("deployer/DatabaseFile", {
  defaultValue: (): {
    /** Undefined if unknown. */
    readonly path: string | undefined
    /** Whether each change fails. */
    readonly isReadOnly: boolean
  } => ({ path: undefined, isReadOnly: false })
}) {}

// Two processes may make the same database at the same moment. The later one fails at once, and must try again.
const again = Schedule.intersect(Schedule.spaced("50 millis"), Schedule.recurs(100))

/**
 * Opens a database file, which it creates if it is missing, or `":memory:"`, until the scope closes. If nobody may write in its folder, it can be
 * read.
 */
export const open = (
  file: string
): Effect.Effect<Context.Context<SqlClient.SqlClient | DatabaseFile>, SqliteError, Scope.Scope> =>
  opened(file, file, "PRAGMA journal_mode = WAL").pipe(
    Effect.retry({
      schedule: again,
      while: (error) => error.code?.startsWith("SQLITE_BUSY") === true
    }),
    Effect.map(Context.add(DatabaseFile, { path: file, isReadOnly: false })),
    Effect.catchIf(isKeptFromWriting, (error) =>
      Effect.flatMap(files.isReadOnly(dirname(file)), (is) => (is ? openCopy(file) : Effect.fail(error)))
    ),
    // Waits in real time, whatever the program's clock.
    Effect.withClock(Clock.make())
  )

const isKeptFromWriting = ({ code }: SqliteError): boolean =>
  ["SQLITE_CANTOPEN", "SQLITE_READONLY"].some((each) => code === each || code?.startsWith(`${each}_`))

/** SQLite writes beside a database even if it only reads, so a copy is read instead. */
const openCopy = (file: string) =>
  Effect.gen(function* () {
    const folder = yield* files.copied([file, `${file}-wal`])
    const client = yield* opened(join(folder, basename(file)), file, "PRAGMA query_only = ON")
    return Context.add(client, DatabaseFile, { path: file, isReadOnly: true })
  }).pipe(
    Effect.catchTag("FileError", ({ cause, detail }) =>
      Effect.fail(
        new SqliteError({
          detail: `the database ${file} lies in a folder that cannot be written, and a copy to read cannot be made: ${detail}`,
          code: undefined,
          cause
        })
      )
    )
  )

/** Opens the database at a path; failures name the file. */
const opened = (path: string, file: string, first: string) =>
  Effect.gen(function* () {
    const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: (cause) => explain(file, cause) })
    const openDatabase = yield* Effect.mapError(driver, (cause) => explain(file, cause))
    const database = yield* Effect.acquireRelease(
      attempt(() => openDatabase(path)),
      (database) => Effect.sync(() => database.close())
    )
    yield* attempt(() => database.run(first, []))
    return Context.make(SqlClient.SqlClient, yield* clientOf(database))
  })

/** One connection, which a transaction has to itself. */
const clientOf = (database: Database): Effect.Effect<SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const run = (sql: string, params: ReadonlyArray<unknown> = []) =>
      Effect.try({
        try: () => database.run(sql, params),
        catch: (cause) => new SqlError({ cause, message: "Failed to run a statement" })
      })
    const transformed: Connection["execute"] = (sql, params, transform) =>
      transform === undefined ? run(sql, params) : Effect.map(run(sql, params), transform)
    const connection: Connection = {
      execute: transformed,
      executeUnprepared: transformed,
      executeRaw: run,
      executeValues: (sql, params) => Effect.map(run(sql, params), (rows) => rows.map((row) => Object.values(row))),
      executeStream: (sql, params, transform) => Stream.fromIterableEffect(transformed(sql, params, transform))
    }
    const turn = yield* Effect.makeSemaphore(1)
    return yield* SqlClient.make({
      acquirer: turn.withPermits(1)(Effect.succeed(connection)),
      compiler: Statement.makeCompilerSqlite(),
      // A transaction that waits can be interrupted. One that runs gives the connection back.
      transactionAcquirer: Effect.uninterruptibleMask((restore) =>
        restore(turn.take(1)).pipe(Effect.zipRight(Effect.addFinalizer(() => turn.release(1))), Effect.as(connection))
      ),
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  }).pipe(Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make))

/** Whether a defect is the driver's: it throws if a statement cannot be prepared, begun or committed. */
export const isSqlDefect = (defect: unknown): boolean =>
  defect instanceof SqlError || files.codeOf(rootOf(defect))?.startsWith("SQLITE_") === true
