/**
 * Whether a full store feels like a new one.
 */
import { linkSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as sqlite from "../../src/internal/sqlite.ts"
import type { Bench } from "./Bench.ts"
import { run } from "./measure.ts"
import { within } from "./Row.ts"

export const rows = (bench: Bench) =>
  Effect.gen(function* () {
    const small = bench.data.small()
    const few = yield* filled(bench, 10)
    const many = yield* filled(bench, bench.quick ? 100 : 10_000)
    return yield* Effect.forEach(
      [
        ["manage", "info"],
        ["manage", "info", "release_3"]
      ],
      (args) =>
        Effect.gen(function* () {
          const ours: Array<number> = []
          const theirs: Array<number> = []
          for (let round = bench.quick ? 0 : -1; round < bench.rounds; round++) {
            const full = yield* run({ ...bench.command(args, { data: small }), cwd: many })
            const fresh = yield* run({ ...bench.command(args, { data: small }), cwd: few })
            if (round < 0) continue
            ours.push(full.millis)
            theirs.push(fresh.millis)
          }
          const line = `${args.join(" ")}, ${bench.quick ? "100" : "10,000"} releases stored`
          return within(1.5, { line, unit: "ms", ours, theirs, than: "the same with 10" })
        })
    )
  })

/** A project whose store holds so many releases of four names: one that was built, and copies of its entry. */
const filled = (bench: Bench, count: number) =>
  Effect.gen(function* () {
    const root = join(bench.folder, `store-${count}`)
    mkdirSync(root)
    const data = bench.data.small()
    const about = { data }
    yield* run({ ...bench.command(["init"]), cwd: root })
    const workspace = join(root, "deployer")
    writeFileSync(
      join(workspace, "config/deployer_config.ts"),
      `import { command, config } from "effect-deployer"
export default config({
  targets: { there: { host: "local", name: "release_0", path: "app", builder: "tree" } },
  builders: { tree: command({ run: "true", releasePath: ${JSON.stringify(data.folder("one"))} }) }
})
`
    )
    const { stdout } = yield* run({ ...bench.command(["build", "target=there", "json"], about), cwd: root })
    const { release } = JSON.parse(stdout)
    const began = Date.parse(release.createdAt)
    const file = (name: string, millis: number) =>
      join(workspace, `release_store/${name}-${Math.floor(millis / 1000)}.tar.gz`)
    yield* sqlite.open(join(workspace, "config/deployer_store.db")).pipe(
      Effect.flatMap((client) => Effect.provide(copyEntries(count, began), client)),
      Effect.scoped,
      Effect.orDie
    )
    for (let index = 1; index < count; index++)
      linkSync(file(release.name, began), file(nameOf(index), began + index * step))
    return root
  })

/** Between two builds, in milliseconds. */
const step = 60_000

const nameOf = (index: number) => `release_${index % 4}`

/** Copies the entry with id 1, and all that belongs to it, whatever columns they have. */
const copyEntries = (count: number, began: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const columnsOf = (table: string) =>
      Effect.map(sql.unsafe<{ readonly name: string }>(`PRAGMA table_info(${table})`), (rows) =>
        rows.map(({ name }) => name)
      )
    const copy = (table: string, key: string, values: Readonly<Record<string, string>>) =>
      Effect.flatMap(columnsOf(table), (columns) =>
        sql.unsafe(
          `WITH RECURSIVE copy (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copy WHERE i < ${count - 1})
           INSERT INTO ${table} (${columns.join(", ")})
           SELECT ${columns.map((name) => values[name] ?? `${table}.${name}`).join(", ")} FROM copy, ${table} WHERE ${table}.${key} = 1`
        )
      )
    yield* copy("releases", "id", {
      id: "i + 1",
      name: "'release_' || (i % 4)",
      ref: "printf('%032X', i)",
      sha256: "printf('%064x', i)",
      created_at: `${began} + i * ${step}`,
      is_latest: "0"
    })
    const tables = yield* sql<{ readonly name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
    for (const { name } of tables) {
      if ((yield* columnsOf(name)).includes("release_id")) yield* copy(name, "release_id", { release_id: "i + 1" })
    }
    yield* sql`UPDATE releases SET is_latest = 0`
    yield* sql`UPDATE releases SET is_latest = 1 WHERE id IN (SELECT max(id) FROM releases GROUP BY name)`
  })
