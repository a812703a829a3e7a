import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as SqlClient from "@effect/sql/SqlClient"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as esbuild from "esbuild"
import type { Release } from "../../src/domain/Release.ts"
import * as sqlite from "../../src/internal/sqlite.ts"
import { modules } from "../../src/Live.ts"
import * as Entries from "../../src/store/Entries.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Tarballs } from "../../src/store/Tarballs.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"
import { Workspace, type WorkspacePaths, workspacePaths } from "../../src/workspace/Workspace.ts"
import { sample } from "../kit/packed.ts"
import { bytesOf, contract, draft, store, textOf } from "./contract.ts"

const project = Effect.acquireRelease(
  Effect.sync(() => {
    const paths = workspacePaths(mkdtempSync(join(tmpdir(), "deployer-store-")))
    mkdirSync(join(paths.root, "deployer/config"), { recursive: true })
    return paths
  }),
  ({ root }) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

const storeIn = (paths: WorkspacePaths) => Layer.provide(ReleaseStore.layer, Workspace.layerMemory({}, paths))

contract("ReleaseStore in memory", ReleaseStore.layerMemory)

contract("ReleaseStore in files", Layer.unwrapScoped(Effect.map(project, storeIn)))

const using = <A, E>(paths: WorkspacePaths, effect: Effect.Effect<A, E, ReleaseStore>) =>
  Effect.provide(effect, storeIn(paths))

const failureOf = <A, E>(paths: WorkspacePaths, effect: Effect.Effect<A, E, ReleaseStore>) =>
  using(paths, Effect.flip(effect))

const list = Effect.flatMap(ReleaseStore, (releases) => releases.list())
const check = Effect.flatMap(ReleaseStore, (releases) => releases.check)
const sqlIn = <A, E>(paths: WorkspacePaths, effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.scoped(Effect.flatMap(sqlite.open(paths.database), (client) => Effect.provide(effect, client)))
const exec = (paths: WorkspacePaths, statement: string) =>
  sqlIn(
    paths,
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement))
  )
/** Without the mark of the folder. */
const tarballsIn = ({ releaseStore }: { readonly releaseStore: string }) =>
  readdirSync(releaseStore).filter((name) => name !== ".deployer_store")

const tarballOf = (paths: WorkspacePaths, release: Release) => join(paths.releaseStore, release.fileName)

describe("ReleaseStore in files", () => {
  it.scoped("The store opens nothing before its first operation, which makes the missing files and folders.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      yield* using(paths, Effect.void)
      assert.isFalse(existsSync(paths.database))
      const release = yield* using(paths, store("x", draft("a")))
      assert.deepStrictEqual(tarballsIn(paths), [release.fileName])
      assert.deepStrictEqual(readdirSync(paths.temp), [])
      // The files beside the database go with the last connection.
      assert.deepStrictEqual(readdirSync(join(paths.root, "deployer/config")), ["deployer_store.db"])
      assert.deepStrictEqual(yield* using(paths, list), [release])
    })
  )

  it.scoped("The store fails with WorkspaceNotFound if there is no workspace.", () =>
    Effect.gen(function* () {
      const { root } = yield* project
      const workspace = Workspace.layer({ modules, root: join(root, "deployer") })
      const error = yield* Effect.flip(list).pipe(Effect.provide(Layer.provide(ReleaseStore.layer, workspace)))
      assert.strictEqual(error._tag, "WorkspaceNotFound")
    })
  )

  it.scoped("The store keeps the bytes as they were streamed.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const release = yield* using(paths, store("hello", draft("a")))
      assert.strictEqual(readFileSync(tarballOf(paths, release), "utf8"), "hello")
    })
  )

  describe("when a tarball is gone", () => {
    const lost = Effect.gen(function* () {
      const paths = yield* project
      const [one, two] = yield* using(paths, Effect.all([store("1", draft("a")), store("2", draft("a"))]))
      rmSync(tarballOf(paths, two))
      return { paths, one, two }
    })

    const events = (into: Array<Event>) =>
      Effect.provideService(Reporter, { emit: (event) => Effect.sync(() => into.push(event)) })

    it.scoped("A listing clears the entry of a tarball that is gone, says so, and passes latest on.", () =>
      Effect.gen(function* () {
        const { one, paths, two } = yield* lost
        const seen: Array<Event> = []
        const left = yield* using(paths, list).pipe(events(seen))
        assert.deepStrictEqual(
          left.map(({ id, isLatest }) => [id, isLatest]),
          [[one.id, true]]
        )
        assert.strictEqual(seen.length, 1)
        assert.deepInclude(seen[0], {
          _tag: "Warning",
          message: `The tarball ${two.fileName} is gone from release_store/: the entry of a (${two.ref.slice(0, 8)}) was cleared`
        })
      })
    )

    it.scoped("Find never returns a release whose tarball is gone, by name, id or ref.", () =>
      Effect.gen(function* () {
        for (const word of ["a", "2", "ref"]) {
          const { one, paths, two } = yield* lost
          const found = yield* using(
            paths,
            Effect.either(Effect.flatMap(ReleaseStore, (releases) => releases.find(word === "ref" ? two.ref : word)))
          )
          if (word === "a") assert.strictEqual(Either.getOrThrow(found).id, one.id)
          else assert.strictEqual(Either.isLeft(found) && found.left._tag, "ReleaseNotFound")
        }
      })
    )

    it.scoped("No entry is cleared if the store's folder is a link to a disk that is not mounted.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        const release = yield* using(paths, store("1", draft("a")))
        const away = `${paths.releaseStore}.away`
        renameSync(paths.releaseStore, away)
        symlinkSync(`${paths.releaseStore}.nowhere`, paths.releaseStore)
        const find = Effect.flatMap(ReleaseStore, (releases) => releases.find("a"))
        for (const use of [Effect.asVoid(list), Effect.asVoid(check), Effect.asVoid(find)]) {
          const error = yield* Effect.flip(using(paths, use))
          assert.strictEqual(error._tag, "ReleaseStoreError")
          assert.match(
            error.message,
            /release_store leads to a folder that is not there, and .*: bring it back .*mounted/
          )
        }
        rmSync(paths.releaseStore)
        renameSync(away, paths.releaseStore)
        assert.deepStrictEqual(yield* using(paths, list), [release])
      })
    )

    it.scoped(
      "No entry is cleared if another folder takes the place of the store's, such as an empty mount point.",
      () =>
        Effect.gen(function* () {
          const paths = yield* project
          const release = yield* using(paths, store("1", draft("a")))
          const away = `${paths.releaseStore}.away`
          renameSync(paths.releaseStore, away)
          const find = Effect.flatMap(ReleaseStore, (releases) => releases.find("a"))
          for (const make of [
            () => undefined,
            () => mkdirSync(paths.releaseStore),
            () => mkdirSync(`${paths.releaseStore}/lost+found`)
          ]) {
            make()
            for (const use of [Effect.asVoid(list), Effect.asVoid(check), Effect.asVoid(find)]) {
              const error = yield* Effect.flip(using(paths, use))
              assert.strictEqual(error._tag, "ReleaseStoreError")
              assert.match(error.message, /release_store is empty or not there, and .*: bring it back .*mounted/)
            }
          }
          // A tarball that the store does not know proves nothing.
          writeFileSync(`${paths.releaseStore}/other-1.tar.gz`, "")
          for (const use of [Effect.asVoid(list), Effect.asVoid(check), Effect.asVoid(find)])
            assert.match(
              (yield* Effect.flip(using(paths, use))).message,
              /release_store holds none of the store's tarballs/
            )
          // Nor does a build fill another folder.
          rmSync(paths.releaseStore, { recursive: true })
          const built = yield* Effect.flip(using(paths, store("2", draft("a"))))
          assert.match(built.message, /is empty or not there/)
          renameSync(away, paths.releaseStore)
          assert.deepStrictEqual(yield* using(paths, list), [release])
          // A store of an earlier version has no mark until something is read from it.
          rmSync(`${paths.releaseStore}/.deployer_store`)
          assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
          rmSync(tarballOf(paths, release))
          assert.deepStrictEqual(yield* using(paths, list), [])
        })
    )

    it.scoped("The check clears the entry of a tarball that is gone, and reports it.", () =>
      Effect.gen(function* () {
        const { paths, two } = yield* lost
        assert.deepStrictEqual(yield* using(paths, check), { cleared: [two], unknown: [] })
        assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      })
    )

    it.scoped("Reading a tarball that is gone fails with TarballMissing and clears its entry.", () =>
      Effect.gen(function* () {
        const { one, paths, two } = yield* lost
        const error = yield* failureOf(
          paths,
          Effect.flatMap(ReleaseStore, (releases) => textOf(releases.content(two)))
        )
        assert.strictEqual(error._tag, "TarballMissing")
        assert.include(error.message, "its entry was cleared")
        assert.deepStrictEqual(
          (yield* using(paths, list)).map(({ id }) => id),
          [one.id]
        )
      })
    )

    it.scoped("Storing the same bytes brings back a release whose tarball is gone.", () =>
      Effect.gen(function* () {
        const { paths, two } = yield* lost
        const again = yield* using(paths, store("2", draft("a")))
        assert.strictEqual(again.id, two.id)
        assert.strictEqual(readFileSync(tarballOf(paths, two), "utf8"), "2")
      })
    )

    it.scoped("A store that has lost all its tarballs is empty, and its next release has a new id.", () =>
      Effect.gen(function* () {
        const { paths } = yield* lost
        rmSync(paths.releaseStore, { recursive: true })
        mkdirSync(paths.releaseStore)
        writeFileSync(join(paths.releaseStore, ".deployer_store"), "")
        assert.deepStrictEqual(yield* using(paths, list), [])
        assert.strictEqual((yield* using(paths, store("3", draft("a")))).id, 3)
      })
    )
  })

  it.scoped("Reading a tarball that was cut fails with both sizes.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const release = yield* using(paths, store("hello", draft("a")))
      writeFileSync(tarballOf(paths, release), "hel")
      const error = yield* failureOf(
        paths,
        Effect.flatMap(ReleaseStore, (releases) => textOf(releases.content(release)))
      )
      assert.include(error.message, "it has 3 bytes, and 5 were stored")
    })
  )

  it.scoped("The store reports a file that it does not know, leaves it alone, and never overwrites it.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      mkdirSync(paths.releaseStore)
      writeFileSync(join(paths.releaseStore, "a-1772366400.tar.gz"), "somebody's")
      const release = yield* using(paths, store("ours", draft("a")))
      assert.strictEqual(release.fileName, "a-1772366401.tar.gz")
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: ["a-1772366400.tar.gz"] })
      assert.strictEqual(readFileSync(join(paths.releaseStore, "a-1772366400.tar.gz"), "utf8"), "somebody's")
    })
  )

  it.scoped("The store sweeps the leftovers of a killed process from temp/, and nothing else.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      mkdirSync(paths.temp)
      const ours = yield* using(
        paths,
        Effect.scoped(
          Effect.gen(function* () {
            const releases = yield* ReleaseStore
            const parcel = yield* releases.receive(bytesOf("x"))
            const [, , start, place] = (parcel.path.split("/").at(-1) ?? "").split("-")
            // The largest pid that Linux can have is smaller.
            const dead = `receive-99999999-${start}-${place}-1.tar.gz`
            const reused = `receive-${process.pid}-01234567-${place}-1.tar.gz`
            const elsewhere = `receive-99999999-${start}-01234567-1.tar.gz`
            for (const name of [dead, reused, elsewhere, "notes.txt"]) writeFileSync(join(paths.temp, name), "")
            yield* releases.check
            const left = readdirSync(paths.temp)
            assert.includeMembers(left, ["notes.txt", elsewhere])
            assert.notInclude(left, dead)
            assert.notInclude(left, reused)
            assert.isTrue(existsSync(parcel.path), "a living process's file")
            return parcel.path
          })
        )
      )
      assert.isFalse(existsSync(ours))
    })
  )

  it.scoped("The store keeps a tarball whose release is named like a temporary file of a dead process.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const stored = yield* using(paths, store("ours", draft("receive-99999999-01234567-01234567")))
      assert.match(stored.fileName, /^receive-99999999-01234567-01234567-\d+\.tar\.gz$/)
      const interim = join(paths.releaseStore, ".incoming-99999999-01234567-01234567-1")
      const old = new Date(Date.now() - 2 * 24 * 3600 * 1000)
      for (const file of [interim, join(paths.releaseStore, stored.fileName)]) {
        if (file === interim) writeFileSync(file, "")
        utimesSync(file, old, old)
      }
      yield* TestClock.setTime(Date.now())
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      assert.deepStrictEqual(tarballsIn(paths), [stored.fileName])
    })
  )

  it.scoped(
    "The store removes a tarball that a killed process placed before its entry was written, and no other.",
    () =>
      Effect.gen(function* () {
        const paths = yield* project
        const stored = yield* using(paths, store("1", draft("a")))
        const old = new Date(Date.now() - 2 * 24 * 3600 * 1000)
        for (const [index, name] of ["a-1.tar.gz", stored.fileName, "../outside"].entries()) {
          const note = join(paths.releaseStore, `.placing-99999999-01234567-01234567-${index}`)
          writeFileSync(note, name)
          utimesSync(note, old, old)
        }
        for (const name of ["a-1.tar.gz", "b-1.tar.gz", "../outside"]) writeFileSync(join(paths.releaseStore, name), "")
        yield* TestClock.setTime(Date.now())
        assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: ["b-1.tar.gz"] })
        assert.sameMembers(tarballsIn(paths), [stored.fileName, "b-1.tar.gz"])
        assert.isTrue(existsSync(join(paths.releaseStore, "../outside")))
      })
  )

  it.scoped("The store leaves nothing in temp/ when its writer is interrupted.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      yield* using(
        paths,
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const endless = Stream.concat(bytesOf("x"), Stream.never)
          const fiber = yield* Effect.fork(Effect.scoped(releases.receive(endless)))
          while (!existsSync(paths.temp) || readdirSync(paths.temp).length === 0) {
            yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
          }
          yield* fiber.interruptAsFork(fiber.id())
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 100)))
        })
      )
      assert.deepStrictEqual(readdirSync(paths.temp), [])
    })
  )

  describe("trouble has a sentence", () => {
    it.scoped("The store says that its database is damaged.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        writeFileSync(paths.database, "this is no database, it only looks like a file ".repeat(50))
        const error = yield* failureOf(paths, list)
        assert.strictEqual(error._tag, "ReleaseStoreError")
        assert.include(error.message, `the database ${paths.database} is damaged`)
      })
    )

    it.scoped("The store says that its database is damaged even if its beginning is intact.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(
          paths,
          Effect.forEach(
            Array.from({ length: 30 }, (_, n) => `${n}`),
            (n) => store(n, draft("a"))
          )
        )
        const bytes = readFileSync(paths.database)
        bytes.fill(0x5a, 4096)
        writeFileSync(paths.database, bytes)
        const error = yield* failureOf(paths, list)
        assert.strictEqual(error._tag, "ReleaseStoreError")
        assert.include(error.message, "is damaged")
      })
    )

    it.scoped("The store fails with the reason if a manifest or an entry is garbage, or a table is missing.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        const release = yield* using(paths, store("x", draft("a")))
        yield* exec(paths, "UPDATE manifests SET gzip = x'00'")
        const manifest = yield* failureOf(
          paths,
          Effect.flatMap(ReleaseStore, (releases) => releases.manifest(release))
        )
        assert.include(manifest.message, "it is damaged: delete this release")
        yield* exec(paths, "UPDATE releases SET ref = 'x'; ")
        const entry = yield* failureOf(paths, list)
        assert.include(entry.message, "32 upper-case hex digits")
        yield* exec(paths, "DROP TABLE tags")
        assert.include((yield* failureOf(paths, list)).message, "no such table: tags")
      })
    )

    it.scoped("A migration that fails is reported, and leaves the database as it was.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* exec(paths, "CREATE TABLE releases (x)")
        const error = yield* failureOf(paths, list)
        assert.strictEqual(error._tag, "ReleaseStoreError")
        assert.include(error.message, "table releases already exists")
        assert.deepStrictEqual(yield* exec(paths, "SELECT name FROM sqlite_master WHERE name = 'migrations'"), [])
      })
    )

    it.scoped("The store says to update deployer if a newer deployer made its database.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(paths, list)
        yield* exec(paths, "INSERT INTO migrations (migration_id, name) VALUES (99, 'future')")
        assert.include((yield* failureOf(paths, list)).message, "update deployer")
      })
    )

    it.scoped("The store reads the releases in a database that an older deployer made.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        const { manifest, tarball } = sample("1")
        const release = yield* using(
          paths,
          Effect.scoped(
            Effect.gen(function* () {
              const releases = yield* ReleaseStore
              const parcel = yield* releases.receive(Stream.make(tarball))
              return yield* releases.add(parcel, draft("my_app", { manifest }))
            })
          )
        )
        yield* exec(paths, "ALTER TABLE manifests DROP COLUMN members")
        yield* exec(paths, "DROP TABLE checked")
        yield* exec(paths, "DELETE FROM migrations WHERE migration_id >= 2")
        const content = Effect.flatMap(ReleaseStore, (releases) => textOf(releases.file(release, "my_app/version")))
        assert.strictEqual(yield* using(paths, content), "1")
        const again = yield* using(paths, store("2", draft("my_app", { members: { bytes: 1, lengths: [1] } })))
        assert.deepStrictEqual(yield* exec(paths, "SELECT members FROM manifests ORDER BY release_id"), [
          { members: null },
          { members: '{"bytes":1,"lengths":[1]}' }
        ])
        assert.strictEqual(again.id, 2)
      })
    )

    it.scoped("The store says that the folder of its database is missing.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        rmSync(join(paths.root, "deployer"), { recursive: true })
        const error = yield* failureOf(paths, list)
        assert.strictEqual(error._tag, "ReleaseStoreError")
        assert.include(error.message, "check that its folder exists")
      })
    )

    it.scoped("The store says that a file is in the way of a folder.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        writeFileSync(paths.temp, "")
        assert.include((yield* failureOf(paths, store("x", draft("a")))).message, "a file is in the way of the folder")
        rmSync(paths.temp)
        writeFileSync(paths.releaseStore, "")
        assert.strictEqual((yield* failureOf(paths, store("x", draft("a"))))._tag, "ReleaseStoreError")
        assert.deepStrictEqual(readdirSync(paths.temp), [])
      })
    )

    it.scoped("The store says that another process holds its database, and can still read.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(paths, list)
        const [holder, client] = [yield* sqlite.open(paths.database), yield* sqlite.open(paths.database)]
        yield* Context.get(holder, SqlClient.SqlClient).unsafe("BEGIN IMMEDIATE")
        yield* Context.get(client, SqlClient.SqlClient).unsafe("PRAGMA busy_timeout = 50")
        const layer = Layer.provide(
          ReleaseStore.layerSql,
          Layer.merge(Layer.succeedContext(client), Tarballs.layerFiles(paths))
        )
        yield* Effect.gen(function* () {
          const error = yield* Effect.flip(store("x", draft("a")))
          assert.include(error.message, `another process holds the database ${paths.database}`)
          assert.deepStrictEqual(readdirSync(paths.temp), [])
          assert.deepStrictEqual(yield* list, [], "reading goes on")
          yield* Context.get(holder, SqlClient.SqlClient).unsafe("ROLLBACK")
          yield* store("x", draft("a"))
        }).pipe(Effect.provide(layer))
      })
    )

    it.scoped("The store names the folder or the database that it may not write.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(paths, store("x", draft("a")))
        // Root may write anywhere: then somebody else tries.
        const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
        chmodSync(paths.root, 0o777)
        for (const folder of readdirSync(join(paths.root, "deployer")))
          chmodSync(join(paths.root, "deployer", folder), 0o777)
        chmodSync(paths.database, 0o666)
        chmodSync(paths.releaseStore, 0o555)
        const noStore = yield* child(paths, ["add", "b", "1"], nobody)
        assert.include(noStore.stdout, `no permission for ${paths.releaseStore}`)
        assert.deepStrictEqual(readdirSync(paths.temp), [])
        chmodSync(paths.temp, 0o555)
        const noTemp = yield* child(paths, ["add", "b", "1"], nobody)
        assert.include(noTemp.stdout, `no permission for ${paths.temp}`)
        chmodSync(paths.temp, 0o777)
        chmodSync(paths.releaseStore, 0o777)
        chmodSync(paths.database, 0o444)
        const noDatabase = yield* child(paths, ["add", "b", "1"], nobody)
        assert.include(noDatabase.stdout, `the database ${paths.database} cannot be written`)
        assert.deepStrictEqual(readdirSync(paths.temp), [])
        assert.strictEqual((yield* using(paths, list)).length, 1)
      })
    )

    it.scoped("A tarball that grows too large is refused in words, and leaves nothing.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        const { stdout } = yield* child(paths, ["large"], {}, "ulimit -f 2000; ")
        assert.include(stdout, "would become larger than this system allows")
        assert.deepStrictEqual(readdirSync(paths.temp), [])
      })
    )
  })

  describe("keeps others out", () => {
    const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
    const modes = (paths: WorkspacePaths) => ({
      store: modeOf(paths.releaseStore),
      temp: modeOf(paths.temp),
      database: ["", "-wal", "-shm"].map((end) => modeOf(`${paths.database}${end}`)),
      tarballs: tarballsIn(paths).map((name) => modeOf(join(paths.releaseStore, name)))
    })
    const closed = (tarballs: number) => ({
      store: "700",
      temp: "700",
      database: ["600", "600", "600"],
      tarballs: Array.from({ length: tarballs }, () => "600")
    })

    it.scoped("The store makes folders, tarballs and the database for the owner alone.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(
          paths,
          Effect.zipRight(
            store("x", draft("a")),
            Effect.sync(() => assert.deepStrictEqual(modes(paths), closed(1)))
          )
        )
      })
    )

    it.scoped("The next release that is stored closes a workspace that an earlier version left open.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        yield* using(paths, store("x", draft("a")))
        for (const path of [paths.releaseStore, paths.temp]) chmodSync(path, 0o755)
        for (const name of tarballsIn(paths)) chmodSync(join(paths.releaseStore, name), 0o644)
        chmodSync(paths.database, 0o644)
        yield* using(
          paths,
          Effect.zipRight(
            store("y", draft("a")),
            Effect.sync(() => assert.deepStrictEqual(modes(paths), closed(2)))
          )
        )
        assert.strictEqual(modeOf(join(paths.root, "deployer/config")), "755")
      })
    )

    it.scoped("The store shows no byte of a tarball to others while it is written.", () =>
      Effect.gen(function* () {
        const paths = yield* project
        const seen: Array<string> = []
        const look = Effect.sync(() => {
          for (const name of readdirSync(paths.temp)) seen.push(modeOf(join(paths.temp, name)))
          return new Uint8Array(1)
        })
        yield* using(
          paths,
          Effect.scoped(Effect.flatMap(ReleaseStore, (releases) => releases.receive(Stream.fromEffect(look))))
        )
        assert.deepStrictEqual(seen, ["600"])
      })
    )
  })

  it.scoped("The store takes a tarball back when its entry cannot be written.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      yield* using(paths, list)
      yield* exec(paths, "CREATE TRIGGER full BEFORE INSERT ON manifests BEGIN SELECT RAISE(ABORT, 'no more'); END")
      const error = yield* failureOf(paths, store("x", draft("a")))
      assert.include(error.message, "no more")
      assert.deepStrictEqual(tarballsIn(paths), [])
      assert.deepStrictEqual(readdirSync(paths.temp), [])
      assert.deepStrictEqual(yield* using(paths, list), [])
    })
  )
})

/** Outside this clone, which other users may not be able to enter. */
const bundles = mkdtempSync(join(tmpdir(), "deployer-bundle-"))
const bundle = join(bundles, "child.mjs")

beforeAll(async () => {
  chmodSync(bundles, 0o755)
  await esbuild.build({
    entryPoints: [fileURLToPath(new URL("child.ts", import.meta.url))],
    outfile: bundle,
    bundle: true,
    external: ["ssh2", "jiti", "better-sqlite3"],
    platform: "node",
    format: "esm",
    target: "node20",
    banner: {
      js: 'import { createRequire as $createRequire } from "node:module"; const require = $createRequire(import.meta.url)'
    }
  })
  // A native module cannot be bundled.
  for (const part of [
    "better-sqlite3/package.json",
    "better-sqlite3/lib",
    "better-sqlite3/build/Release/better_sqlite3.node",
    "bindings",
    "file-uri-to-path"
  ]) {
    const from = fileURLToPath(new URL(`../../node_modules/${part}`, import.meta.url))
    cpSync(from, join(bundles, "node_modules", part), { recursive: true })
  }
})
afterAll(() => rmSync(bundles, { recursive: true, force: true }))

const child = (
  paths: WorkspacePaths,
  words: ReadonlyArray<string>,
  user: { readonly uid?: number; readonly gid?: number } = {},
  before = ""
) =>
  Effect.async<{ readonly stdout: string; readonly signal: string | null }>((resume) => {
    const script = `${before}exec "$@"`
    execFile(
      "sh",
      ["-c", script, "sh", process.execPath, bundle, paths.root, ...words],
      { ...user, cwd: "/" },
      (error, stdout, stderr) =>
        resume(
          stderr === ""
            ? Effect.succeed({ stdout, signal: error?.signal ?? null })
            : Effect.die(new Error(`the child failed: ${stderr}`))
        )
    )
  })

describe("ReleaseStore and processes", () => {
  it.scoped("Two processes can add 20 releases each at the same time.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const seen = yield* Effect.all([child(paths, ["add", "a", "20"]), child(paths, ["add", "a", "20"])], {
        concurrency: 2
      })
      assert.deepStrictEqual(
        seen.map(({ stdout }) => stdout),
        ["", ""]
      )
      const all = yield* using(paths, list)
      assert.deepStrictEqual(
        all.map(({ id }) => id),
        Array.from({ length: 40 }, (_, n) => 40 - n)
      )
      assert.strictEqual(new Set(all.map(({ fileName }) => fileName)).size, 40)
      assert.deepStrictEqual(
        all.filter(({ isLatest }) => isLatest).map(({ id }) => id),
        [40]
      )
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      for (const release of all) {
        const content = yield* using(
          paths,
          Effect.flatMap(ReleaseStore, (releases) => textOf(releases.content(release)))
        )
        assert.strictEqual(createHash("md5").update(content).digest("hex").toUpperCase(), release.ref)
      }
    })
  )

  const killed = (step: string) =>
    Effect.gen(function* () {
      const paths = yield* project
      const kept = yield* using(paths, store("kept", draft("a")))
      const { signal } = yield* child(paths, ["die", step])
      assert.strictEqual(signal, "SIGKILL")
      return { paths, kept }
    })

  for (const step of ["receiving", "received"]) {
    it.scoped(`A check sweeps temp/ after a process was killed in the state "${step}".`, () =>
      Effect.gen(function* () {
        const { kept, paths } = yield* killed(step)
        assert.strictEqual(readdirSync(paths.temp).length, 1)
        assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
        assert.deepStrictEqual(readdirSync(paths.temp), [])
        assert.deepStrictEqual(yield* using(paths, list), [kept])
      })
    )
  }

  it.scoped("After a kill between tarball and entry, the tarball is removed and latest has not moved.", () =>
    Effect.gen(function* () {
      const { kept, paths } = yield* killed("placed")
      assert.deepStrictEqual(yield* using(paths, list), [kept])
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      const next = yield* using(paths, store("next", draft("a")))
      assert.deepStrictEqual([next.id, next.fileName], [2, "a-1772366401.tar.gz"])
    })
  )

  it.scoped("After a kill between the removals of tarball and entry, the check clears the entry.", () =>
    Effect.gen(function* () {
      const { kept, paths } = yield* killed("removed")
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [kept], unknown: [] })
      assert.deepStrictEqual(yield* using(paths, list), [])
    })
  )
})

describe("ReleaseStore with 10,000 releases", () => {
  it.scoped("The store lists 10,000 releases and finds one of them quickly.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      yield* using(paths, store("x", draft("a")))
      yield* exec(
        paths,
        `INSERT INTO releases (name, ref, sha256, size, created_at, metadata, is_latest)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
         SELECT 'app' || (i % 10), printf('%032X', i * 7919), sha256, 1, i * 1000, metadata, 0 FROM n, releases`
      )
      yield* sqlIn(
        paths,
        Effect.flatMap(Entries.make, (entries) =>
          Effect.map(entries.list({}), (all) => {
            for (const { fileName } of all) writeFileSync(join(paths.releaseStore, fileName), "")
          })
        )
      )
      yield* using(
        paths,
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const begun = performance.now()
          assert.strictEqual((yield* releases.list()).length, 10_000)
          const listed = performance.now()
          assert.strictEqual((yield* releases.list({ name: "app3", limit: 5 })).length, 5)
          assert.strictEqual((yield* releases.find("a")).id, 1)
          const found = performance.now()
          // Generous: the machine may be busy. Alone it takes 0.3 s and a few milliseconds.
          assert.isBelow(listed - begun, 5000)
          assert.isBelow(found - listed, 500)
        })
      )
    })
  )

  it.scoped("The store answers every query from an index.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const statements = new Set<string>()
      const inner = yield* Effect.tracer
      // Each statement has a span of its own.
      const listening = Tracer.make({
        context: inner.context,
        span: (...given) => {
          const span = inner.span(...given)
          const attribute = span.attribute.bind(span)
          return Object.assign(span, {
            attribute: (key: string, value: unknown) => {
              if (key === "db.query.text") statements.add(String(value))
              attribute(key, value)
            }
          })
        }
      })
      yield* using(
        paths,
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const first = yield* store("x", draft("a"))
          yield* store("x", draft("a", { tags: ["more"] }))
          yield* store("y", draft("a"))
          yield* releases.list()
          yield* releases.list({ limit: 1 })
          yield* releases.list({ name: "a" })
          yield* releases.find("1")
          yield* releases.find("a")
          yield* releases.find(first.ref.slice(0, 6))
          yield* Effect.flip(releases.find("nothing"))
          yield* releases.manifest(first)
          assert.strictEqual(yield* textOf(releases.content(first)), "x")
          yield* releases.count()
          yield* releases.count({ name: "a" })
          yield* releases.check
          yield* releases.remove([first])
        }).pipe(Effect.withTracer(listening))
      )
      const tables = [...statements].filter(
        (text) => /\b(releases|tags|manifests|checked)\b/.test(text) && !/CREATE|ALTER|sqlite_master/.test(text)
      )
      assert.isAbove(tables.length, 15)
      const plans = yield* sqlIn(
        paths,
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          return yield* Effect.forEach(tables, (text) =>
            Effect.map(
              sql.unsafe<{ readonly detail: string }>(
                `EXPLAIN QUERY PLAN ${text}`,
                (text.match(/\?/g) ?? []).map(() => 1)
              ),
              (rows) => [text, rows.map(({ detail }) => detail)] as const
            )
          )
        })
      )
      for (const [text, steps] of plans) assert.notInclude(steps.join("; "), "TEMP B-TREE", text)
      const whole = plans.filter(([, steps]) => steps.some((step) => /^SCAN (releases|tags|manifests)/.test(step)))
      assert.deepStrictEqual(
        whole.map(([text]) => text.replace(/\s+/g, " ").replace(/^SELECT id, .* AS tags/, "SELECT …")).toSorted(),
        [
          // A walk that ends at its limit.
          "SELECT … FROM releases ORDER BY id DESC LIMIT ?",
          "SELECT COUNT(*) AS count FROM releases",
          // The comparison with the tarballs, once for each change of their folder.
          "SELECT id, name, created_at FROM releases",
          // By an index that has one row for each name.
          "SELECT name FROM releases WHERE is_latest = 1 ORDER BY name"
        ].toSorted()
      )
    })
  )

  it.scoped("The store compares entries and tarballs again only after a file has come or gone.", () =>
    Effect.gen(function* () {
      const paths = yield* project
      const remembered = sqlIn(
        paths,
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT stamp FROM checked`)
      )
      yield* using(paths, Effect.zipRight(store("x", draft("a")), store("y", draft("a"))))
      const [second, first] = yield* using(paths, list)
      // The folder has just changed: it may change once more within the same tick of its clock.
      yield* TestClock.setTime(statSync(paths.releaseStore).mtimeMs + 1_000)
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      assert.deepStrictEqual(yield* remembered, [])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      assert.lengthOf(yield* remembered, 1)

      // Nobody but this test does that; it shows that nothing is compared.
      yield* exec(paths, `DELETE FROM releases WHERE id = ${first!.id}`)
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      writeFileSync(join(paths.releaseStore, "mine.txt"), "")
      const unknown = [first!.fileName, "mine.txt"].toSorted()
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown })
      // A store that is out of order is reported each time.
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown })
      rmSync(join(paths.releaseStore, second!.fileName))
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [second!], unknown })

      // A file that somebody may be writing is out of order, too.
      for (const name of unknown) rmSync(join(paths.releaseStore, name))
      writeFileSync(join(paths.releaseStore, ".incoming-1"), "")
      yield* exec(paths, "DELETE FROM checked")
      yield* TestClock.setTime(Date.now() + 20_000)
      assert.deepStrictEqual(yield* using(paths, check), { cleared: [], unknown: [] })
      assert.deepStrictEqual(yield* remembered, [])
    })
  )
})
