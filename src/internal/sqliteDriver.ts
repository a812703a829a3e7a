/**
 * The SQLite that this Node has: its own (22.13 and newer), which needs no native module, or better-sqlite3.
 */
import process from "node:process"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { nodeRequire } from "./nodeRequire.ts"

/** An open database, used by one caller at a time. Failures are thrown, with SQLite's name for them in `code`. */
export interface Database {
  /** Runs one statement and returns its rows. */
  readonly run: (sql: string, params: ReadonlyArray<unknown>) => ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly close: () => void
}

/** Opens a database file, which it creates if it is missing, or `":memory:"`. Throws like {@link Database}. */
export type Driver = (file: string) => Database

/** Neither Node's own SQLite nor better-sqlite3 loads. */
export class NoDriver extends Data.TaggedError("NoDriver")<{
  /** Why better-sqlite3 does not load. */
  readonly reason: string
  readonly cause: unknown
}> {}

/** How long a statement waits for another process, in milliseconds. */
const patience = 5_000

/** SQLite's primary result codes that have a sentence of their own. */
const codeNames: Readonly<Record<number, string>> = {
  3: "SQLITE_PERM",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  11: "SQLITE_CORRUPT",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  23: "SQLITE_AUTH",
  26: "SQLITE_NOTADB"
}

/** The part of `node:sqlite` that is used; @types/node for Node 20 has none of it. */
interface NodeSqlite {
  readonly DatabaseSync: new (
    file: string
  ) => {
    readonly prepare: (sql: string) => { readonly all: All }
    readonly close: () => void
  }
}

type All = (...params: ReadonlyArray<unknown>) => ReadonlyArray<Readonly<Record<string, unknown>>>

/** The part of better-sqlite3 that is used. */
type BetterSqlite = new (
  file: string,
  options: { readonly timeout: number }
) => {
  readonly prepare: (sql: string) => {
    /** Whether the statement returns rows: `all` refuses one that does not. */
    readonly reader: boolean
    readonly all: All
    readonly run: (...params: ReadonlyArray<unknown>) => unknown
  }
  readonly close: () => void
}

const isNodeSqlite = (module: unknown): module is NodeSqlite => Predicate.hasProperty(module, "DatabaseSync")

// Reads the default export instead of testing for it with `in`: some loaders of TypeScript deny it there.
const isBetterSqlite = (module: unknown): module is BetterSqlite => Predicate.isFunction(module)

/** Loads `node:sqlite` without its warning that it is experimental. Returns undefined if this Node has none. */
const nodeSqlite = (): NodeSqlite | undefined => {
  const { emitWarning } = process
  // Node warns while it loads the module, in the same turn: no other warning can be lost.
  process.emitWarning = () => {}
  try {
    // Node before 20.16 lacks the function.
    const module: unknown = process.getBuiltinModule?.("node:sqlite")
    return isNodeSqlite(module) ? module : undefined
  } finally {
    process.emitWarning = emitWarning
  }
}

/** `node:sqlite` gives numbers for errors, better-sqlite3 gives names. */
const named = (error: unknown): unknown => {
  const code =
    error instanceof Error && Predicate.hasProperty(error, "errcode") && typeof error.errcode === "number"
      ? codeNames[error.errcode & 0xff]
      : undefined
  return code === undefined || !(error instanceof Error) ? error : Object.assign(new Error(error.message), { code })
}

const orNamed = <A>(run: () => A): A => {
  try {
    return run()
  } catch (error) {
    throw named(error)
  }
}

const ofNode =
  ({ DatabaseSync }: NodeSqlite): Driver =>
  (file) =>
    orNamed(() => {
      const database = new DatabaseSync(file)
      const run: Database["run"] = (sql, params) => orNamed(() => database.prepare(sql).all(...params))
      run(`PRAGMA busy_timeout = ${patience}`, [])
      return { run, close: () => database.close() }
    })

const ofBetterSqlite =
  (BetterSqlite: BetterSqlite): Driver =>
  (file) => {
    const database = new BetterSqlite(file, { timeout: patience })
    return {
      run: (sql, params) => {
        const statement = database.prepare(sql)
        if (statement.reader) return statement.all(...params)
        statement.run(...params)
        return []
      },
      close: () => database.close()
    }
  }

/** It is optional: Node's own SQLite comes first. */
const optionalPackage = "better-sqlite3"

/** Why the package does not load, in words of our own if its own have the length of a page or are about paths. */
const reasonOf = (cause: unknown): string => {
  const text = cause instanceof Error ? cause.message : String(cause)
  if (Predicate.hasProperty(cause, "code") && cause.code === "MODULE_NOT_FOUND") {
    return `${optionalPackage} is not installed: its install script needs github.com, or Python, make and a C++ compiler`
  }
  if (text.includes("NODE_MODULE_VERSION")) return `${optionalPackage} was compiled for another version of Node`
  if (text.startsWith("Could not locate the bindings file")) {
    return `${optionalPackage} has no binary: its install script did not run`
  }
  const [line = ""] = text.split("\n")
  return line
}

const noDriver = (cause: unknown): NoDriver => new NoDriver({ reason: reasonOf(cause), cause })

const betterSqlite: Effect.Effect<Driver, NoDriver> = Effect.try({
  try: (): unknown => nodeRequire(optionalPackage),
  catch: noDriver
}).pipe(
  Effect.filterOrFail(isBetterSqlite, () => noDriver(`${optionalPackage} has no constructor`)),
  Effect.tap((Constructor) =>
    // The package loads its binary only now.
    Effect.try({ try: () => new Constructor(":memory:", { timeout: 0 }).close(), catch: noDriver })
  ),
  Effect.map((Constructor) => ofBetterSqlite(Constructor))
)

/** The driver for this Node. */
export const driver: Effect.Effect<Driver, NoDriver> = Effect.suspend(() => {
  const own = nodeSqlite()
  return own === undefined ? betterSqlite : Effect.succeed(ofNode(own))
})
