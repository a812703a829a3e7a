import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlError from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/** Runs an effect in one transaction. */
export type Exclusively = <R, E, A>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError.SqlError, R>

/**
 * Runs the effect while no other process can write, and commits all of its changes or none. A plain `BEGIN` would take the write lock only at the
 * first change, and then fail without waiting if another process was faster. If the database is read-only, fails before the effect runs.
 */
export const exclusively = (sql: SqlClient.SqlClient, isReadOnly: boolean): Exclusively =>
  SqlClient.makeWithTransaction({
    transactionTag: SqlClient.TransactionConnection,
    spanAttributes: [],
    acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
      Effect.map(Scope.extend(sql.reserve, scope), (connection) => [scope, connection] as const)
    ),
    // SQLite would report this only at the first change, perhaps after a tarball was already changed.
    begin: (connection) => (isReadOnly ? Effect.fail(readOnly()) : connection.executeRaw("BEGIN IMMEDIATE", [])),
    savepoint: (connection, depth) => connection.executeRaw(`SAVEPOINT nested_${depth}`, []),
    commit: (connection) =>
      Effect.tapError(connection.executeRaw("COMMIT", []), () => Effect.ignore(connection.executeRaw("ROLLBACK", []))),
    // There is nothing to roll back if `BEGIN` failed or if SQLite rolled back by itself. The first failure is the one to report.
    rollback: (connection) => Effect.ignore(connection.executeRaw("ROLLBACK", [])),
    rollbackSavepoint: (connection, depth) => connection.executeRaw(`ROLLBACK TO SAVEPOINT nested_${depth}`, [])
  })

const readOnly = (): SqlError.SqlError =>
  new SqlError.SqlError({
    cause: Object.assign(new Error("attempt to write a readonly database"), { code: "SQLITE_READONLY" })
  })
