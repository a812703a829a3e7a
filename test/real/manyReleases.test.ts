/** A store that has grown for years: the manager is as fast as on its first day. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { gzipSync } from "node:zlib"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as sqlite from "../../src/internal/sqlite.ts"
import { binary } from "../kit/build.ts"
import { project } from "../kit/project.ts"

/** A project with so many releases: entries in a real database, and a small file for each. */
const projectWith = (count: number) =>
  Effect.gen(function* () {
    const here = yield* project()
    here.configure({ prod: { host: "local", name: "app3" } })
    const database = path.join(here.root, "deployer/config/deployer_store.db")
    const folder = path.join(here.root, "deployer/release_store")
    const names = yield* Effect.scoped(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT INTO releases (name, ref, sha256, size, created_at, metadata, is_latest)
          WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
          SELECT 'app' || (i % 10), printf('%032X', i * 7919), printf('%064x', i), 12, i * 1000,
            '{"builder":"prod","platform":"linux/amd64","buildMillis":4000}', i > ${count - 10} FROM n`
        yield* sql`INSERT INTO manifests (release_id, gzip) SELECT id, ${gzipSync("[]")} FROM releases`
        yield* sql`INSERT INTO tags (release_id, position, tag) SELECT id, 0, 'prod' FROM releases`
        return yield* sql<{
          readonly file: string
        }>`SELECT name || '-' || (created_at / 1000) || '.tar.gz' AS file FROM releases`
      }).pipe(Effect.provide(yield* sqlite.open(database)))
    )
    for (const { file } of names) fs.writeFileSync(path.join(folder, file), "not a tarball\n")
    return here
  })

const median = (values: ReadonlyArray<number>) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

describe("10,000 releases", () => {
  it.scopedLive(
    "Manage info takes at most half as long again with 10,000 releases as with 10.",
    () =>
      Effect.gen(function* () {
        const few = yield* projectWith(10)
        const many = yield* projectWith(10_000)
        const millis = (here: typeof few, args: ReadonlyArray<string>, expected = 0) => {
          const began = performance.now()
          const { status, stderr, stdout } = spawnSync(process.execPath, [binary, ...args], {
            cwd: here.root,
            env: here.env,
            encoding: "utf8"
          })
          assert.strictEqual(status, expected, stderr)
          return { millis: performance.now() - began, stdout }
        }
        // The stamp of the folder counts only if the folder is at rest; the first check compares everything.
        yield* Effect.sleep("3200 millis")
        for (const here of [few, many]) millis(here, ["manage", "info"])
        assert.match(
          millis(many, ["manage", "info"]).stdout,
          /^Id +Name[\s\S]*\n9981 .*\n… and 9980 more: info all\n\nTarget/
        )
        assert.notInclude(millis(few, ["manage", "info"]).stdout, "more")
        assert.lengthOf(millis(many, ["manage", "info", "all"]).stdout.split("\n"), 10_005)
        for (const [status, ...args] of [
          [0, "manage", "info"],
          [0, "manage", "info", (3 * 7919).toString(16).padStart(32, "0").slice(0, 31)],
          // It finds the latest of the name, and cannot ask.
          [3, "deploy", "target=prod"]
        ] as const) {
          const rounds = Array.from({ length: 5 }, () => {
            const small = millis(few, args, status).millis
            return millis(many, args, status).millis / small
          })
          assert.isAtMost(median(rounds), 1.5, args.join(" "))
        }
      }),
    180_000
  )
})
