/**
 * Whether a full store feels like a new one.
 */
import { linkSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
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
          for (let round = bench.quick ? 0 : -1; round < bench.rounds * 2 - 1; round++) {
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

/** A project whose store holds so many releases of three names: one that was built, and copies of its entry. */
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
    yield* Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (let index = 1; index < count; index++) {
        const name = `release_${index % 4}`
        const at = began + index * 60_000
        const hex = index.toString(16)
        yield* sql`INSERT INTO releases (id, name, ref, sha256, size, created_at, metadata, is_latest)
          SELECT ${index + 1}, ${name}, ${hex.toUpperCase().padStart(32, "0")}, ${hex.padStart(64, "0")}, size, ${at}, metadata, 0
          FROM releases WHERE id = 1`
        yield* sql`INSERT INTO manifests (release_id, gzip) SELECT ${index + 1}, gzip FROM manifests WHERE release_id = 1`
        linkSync(file(release.name, began), file(name, at))
      }
      yield* sql`UPDATE releases SET is_latest = 0`
      yield* sql`UPDATE releases SET is_latest = 1 WHERE id IN (SELECT max(id) FROM releases GROUP BY name)`
    }).pipe(
      (fill) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(fill)),
      Effect.provide(SqliteClient.layer({ filename: join(workspace, "config/deployer_store.db") })),
      Effect.orDie
    )
    return root
  })
