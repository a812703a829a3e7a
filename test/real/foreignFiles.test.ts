/** Files on a host that are not deployer's, or that a login may not read: they stay, and deployer reports nothing wrong about them. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { differences } from "../../src/domain/Differences.ts"
import { Unfinished } from "../../src/domain/HostState.ts"
import { LockDetails } from "../../src/domain/Lock.ts"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { entryAbout, put } from "../host/contract.ts"
import { bind, missingMount } from "../kit/mount.ts"
import { packed, sample } from "../kit/packed.ts"
import { target as sampleTarget } from "../kit/samples.ts"
import { titled } from "../kit/sshd.ts"
import { dir, file, tarOf } from "../kit/tree.ts"
import * as userland from "../kit/userland.ts"

const [one, two] = [sample("1"), sample("2")]

const details = LockDetails.make({
  by: "tester@laptop",
  reason: "deploy",
  since: DateTime.unsafeMake(0),
  nonce: "n-1",
  held: false
})

const userlands = [
  { title: "GNU", path: undefined, skip: undefined },
  { title: "BusyBox", path: userland.busybox(), skip: userland.missingBusybox }
]

for (const { path, skip, title } of userlands) {
  const live = skip === undefined ? it.live : it.live.skip
  const host = Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home")
    const env = { HOME: home, ...(path === undefined ? {} : { PATH: yield* path }) }
    const target = sampleTarget({ host: "local", path: "app" })
    const base = join(home, "app")
    const session = makeSession(target, LocalTransport.make(target, env))
    yield* session.prepare
    return { base, env, releases: join(base, "releases"), session }
  })

  describe(titled(`${title}: foreign files`, skip), () => {
    const mounting = missingMount === undefined ? live : it.live.skip
    mounting("A release in which something is mounted is not removed, and the sentence names the mount.", () =>
      Effect.gen(function* () {
        const { base, releases, session } = yield* host
        const shared = join(base, "shared up")
        fs.mkdirSync(shared)
        fs.writeFileSync(join(shared, "photo"), "precious")
        yield* put(session, one)
        yield* put(session, two, 2)
        yield* session.activate(two.ref)
        const point = join(releases, `deployer_${one.ref}/my_app/up load 1`)
        fs.mkdirSync(point)
        yield* bind(shared, point, "rw")
        const three = sample("3")
        yield* put(session, three, 3)
        const removed = yield* Effect.flip(
          session.remove(
            [one.ref, three.ref],
            [entryAbout(one, { event: "removed" }), entryAbout(three, { event: "removed" })]
          )
        )
        assert.include(removed.message, `${point} is mounted in deployer_${one.ref}`)
        // The others go, and the journal has only those.
        assert.isFalse(fs.existsSync(join(releases, `deployer_${three.ref}`)))
        assert.deepStrictEqual(
          (yield* session.history(10)).entries.map(({ event, release }) => [event, release?.ref]),
          [["removed", three.ref]]
        )
        fs.rmSync(join(releases, `deployer_${one.ref}/.deployer_release.json`))
        const discarded = yield* Effect.flip(
          session.discard(Unfinished.make({ ref: one.ref, kind: "release", received: 0 }))
        )
        assert.include(discarded.message, `${point} is mounted in deployer_${one.ref}`)
        assert.strictEqual(fs.readFileSync(join(shared, "photo"), "utf8"), "precious")
      }).pipe(Effect.scoped)
    )

    live(
      "Taking the lock leaves files of others alone, whatever their names, and clears leftovers of dead commands.",
      () =>
        Effect.gen(function* () {
          const { base, releases, session } = yield* host
          yield* put(session, one)
          const theirs = [
            join(base, "config/.lock.notes"),
            join(base, "config/.armed.20261127"),
            join(releases, "deployer_backup/.deployer_release.json.bak"),
            join(releases, "deployer_backup/.deployer_release.json.7"),
            join(releases, `deployer_${one.ref}/.deployer_release.json.orig`),
            join(releases, ".adopting.2025/file"),
            join(releases, `.replaced_${one.ref}_backup/file`),
            join(releases, `.replaced_${two.ref}_7/file`)
          ]
          const ours = [join(base, "config/.lock.77"), join(releases, `deployer_${one.ref}/.deployer_release.json.77`)]
          for (const file of [...theirs, ...ours, join(releases, ".adopting.77/list")]) {
            fs.mkdirSync(join(file, ".."), { recursive: true })
            fs.writeFileSync(file, "mine")
          }
          fs.writeFileSync(join(base, "config/.lock.77"), 'taken {"by":"x"}\n')
          const elsewhere = yield* userland.emptyFolder("elsewhere")
          fs.writeFileSync(join(elsewhere, ".deployer_release.json.7"), "mine")
          fs.symlinkSync(elsewhere, join(releases, "deployer_ext"))
          fs.symlinkSync("deployer_x", join(releases, ".current.20261127"))
          yield* Effect.scoped(session.lock(details))
          for (const file of [...theirs, join(elsewhere, ".deployer_release.json.7")])
            assert.strictEqual(fs.readFileSync(file, "utf8"), "mine", file)
          assert.strictEqual(fs.readlinkSync(join(releases, ".current.20261127")), "deployer_x")
          for (const file of [...ours, join(releases, ".adopting.77")]) assert.isFalse(fs.existsSync(file), file)
        }).pipe(Effect.scoped)
    )

    live("Nothing waits for a pipe or reads a device in a release from which another is completed.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* host
        const files = ["a", "b", "c"].map((name) => file(`my_app/${name}`, name.repeat(2000)))
        const old = packed([dir("my_app"), ...files])
        const next = packed([...old.tree, file("my_app/new", "new")])
        yield* put(session, old)
        const origin = yield* session.origin(old.ref)
        const less = differences(next.manifest, origin === undefined ? [] : [origin]) ?? assert.fail("no differences")
        const folder = join(releases, `deployer_${old.ref}/my_app`)
        fs.rmSync(join(folder, "a"))
        execFileSync("mkfifo", [join(folder, "a")])
        fs.rmSync(join(folder, "b"))
        fs.symlinkSync("/dev/zero", join(folder, "b"))
        const content = Stream.make(tarOf(next.tree.filter(({ path }) => less.sent.has(path))).subarray(0, -1024))
        const shipment = { _tag: "Differences", differences: less, hardLinks: false, zstd: false, content } as const
        const refused = yield* Effect.flip(
          session.stage({ ref: next.ref, manifest: next.manifest, from: 0, note: "n", shipment })
        ).pipe(Effect.timeout("30 seconds"))
        assert.include(refused.message, "my_app/a")
        assert.notInclude(refused.message, "my_app/c")
      }).pipe(Effect.scoped)
    )

    live("A file whose mode is another one is changed, though its login may not read it.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* host
        yield* put(session, one)
        fs.chmodSync(join(releases, `deployer_${one.ref}/my_app/version`), 0o000)
        for (const depth of ["files", "paths"] as const)
          assert.deepStrictEqual(yield* session.verify([one.ref], depth), [
            { ref: one.ref, faults: ["changed my_app/version"] }
          ])
      }).pipe(Effect.scoped)
    )

    live("The removal of a release with read-only folders leaves the modes of files that others share.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* host
        yield* put(session, one)
        yield* put(session, two, 2)
        const shared = join(releases, `deployer_${two.ref}/my_app/version`)
        const folder = join(releases, `deployer_${one.ref}/my_app`)
        fs.chmodSync(shared, 0o444)
        fs.rmSync(join(folder, "version"))
        fs.linkSync(shared, join(folder, "version"))
        fs.chmodSync(folder, 0o555)
        yield* session.remove([one.ref])
        assert.strictEqual(fs.statSync(shared).mode & 0o777, 0o444)
      }).pipe(Effect.scoped)
    )

    live("A pipe in the place of a file is a change, and nothing waits for it.", () =>
      Effect.gen(function* () {
        const { env, releases, session } = yield* host
        yield* put(session, one)
        const version = join(releases, `deployer_${one.ref}/my_app/version`)
        fs.rmSync(version)
        execFileSync("mkfifo", [version])
        const changed = [{ ref: one.ref, faults: ["changed my_app/version"] }]
        assert.deepStrictEqual(yield* session.verify([one.ref]), changed)
        assert.deepStrictEqual(yield* session.alterations(one.ref), ["my_app/version"])
        assert.deepStrictEqual(yield* session.verify([one.ref]), [{ ref: one.ref, faults: [] }])
        const target = sampleTarget({ host: "local", path: "app" })
        const PATH = yield* userland.own({ without: ["awk"] })
        const plain = makeSession(target, LocalTransport.make(target, { ...env, PATH }))
        assert.deepStrictEqual(yield* plain.verify([one.ref]), changed)
      }).pipe(Effect.scoped)
    )
  })
}

const isRoot = process.getuid?.() === 0
const rooted = isRoot ? it.live : it.live.skip

describe(titled("another login", isRoot ? undefined : "not root"), () => {
  const secret = packed([
    dir("my_app"),
    file("my_app/version", "1"),
    dir("my_app/secret", 0o700),
    file("my_app/secret/key", "k")
  ])

  /** A session of a login that owns nothing. */
  const stranger = (base: string) =>
    Effect.gen(function* () {
      const PATH = yield* userland.own({})
      fs.chmodSync(PATH, 0o755)
      const sh = userland.which("sh") ?? "/bin/sh"
      fs.rmSync(join(PATH, "sh"), { force: true })
      const change = `exec ${userland.which("setpriv")} --reuid=65534 --regid=65534 --clear-groups`
      fs.writeFileSync(join(PATH, "sh"), `#!${sh}\n${change} ${sh} "$@"\n`, { mode: 0o755 })
      for (let folder = join(base, ".."); folder.includes("deployer-"); folder = join(folder, ".."))
        fs.chmodSync(folder, 0o755)
      const target = sampleTarget({ host: "local", path: base })
      return makeSession(target, LocalTransport.make(target, { HOME: "/", PATH }))
    })

  const host = Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home")
    const base = join(home, "app")
    const target = sampleTarget({ host: "local", path: base })
    const session = makeSession(target, LocalTransport.make(target, { HOME: home }))
    yield* session.prepare
    yield* put(session, secret)
    yield* session.activate(secret.ref)
    yield* session.note([entryAbout(secret, { event: "healthy" })])
    return { base, session }
  })

  rooted("Verification calls files that a login may not read unreadable, not missing.", () =>
    Effect.gen(function* () {
      const { base } = yield* host
      const other = yield* stranger(base)
      for (const depth of ["files", "paths"] as const) {
        const [verdict] = yield* other.verify([secret.ref], depth)
        assert.deepStrictEqual(verdict?.faults, [], depth)
        assert.includeMembers([...(verdict?.unreadable ?? [])], ["my_app/secret/key"])
      }
    }).pipe(Effect.scoped)
  )

  rooted("A file that the login could not read when commands had changed it is never called whole.", () =>
    Effect.gen(function* () {
      const { base, session } = yield* host
      const other = yield* stranger(base)
      execFileSync("chown", ["-R", "65534:65534", base])
      // As a hook leaves a file to the application: the deploying login may not read it any more.
      const key = join(base, `releases/deployer_${secret.ref}/my_app/secret/key`)
      fs.writeFileSync(key, "made by the hook")
      fs.chownSync(key, 0, 0)
      fs.chmodSync(key, 0o600)
      assert.include(yield* other.alterations(secret.ref), "my_app/secret/key")
      fs.writeFileSync(key, "")
      const [unproven] = yield* other.verify([secret.ref])
      assert.include(unproven?.unreadable ?? [], "my_app/secret/key")
      // A login that may read it sees that it differs from the state that the commands left.
      const [verdict] = yield* session.verify([secret.ref])
      assert.deepStrictEqual(verdict?.faults, ["changed my_app/secret/key"])
    }).pipe(Effect.scoped)
  )

  rooted("A login that may not read the journal is told so, and cannot take the lock.", () =>
    Effect.gen(function* () {
      const { base } = yield* host
      const other = yield* stranger(base)
      for (const asked of [other.inspect, other.history(10)]) {
        const refused = yield* Effect.flip<unknown, { readonly message: string }, never>(asked)
        assert.include(refused.message, `this login cannot read ${base}/config/journal`)
      }
      const locked = yield* Effect.flip(Effect.scoped(other.lock(details)))
      assert.include(locked.message, `${base}/config on this machine cannot be written by this user`)
    }).pipe(Effect.scoped)
  )

  rooted("The facts that are selected from the journal are no more readable than the journal.", () =>
    Effect.gen(function* () {
      const { base, session } = yield* host
      const line = fs.readFileSync(join(base, "config/journal"), "utf8").split("\n")[0]
      fs.appendFileSync(join(base, "config/journal"), `${line}\n`.repeat(1000))
      yield* session.inspect
      assert.strictEqual(fs.statSync(join(base, "config/facts")).mode & 0o777, 0o640)
    }).pipe(Effect.scoped)
  )

  rooted("A target in a folder that hands its group down belongs to that group.", () =>
    Effect.gen(function* () {
      const home = yield* userland.emptyFolder("home")
      fs.chownSync(home, 0, 12345)
      fs.chmodSync(home, 0o2775)
      const target = sampleTarget({ host: "local", path: join(home, "team/app") })
      const session = makeSession(target, LocalTransport.make(target, { HOME: home }))
      yield* session.prepare
      yield* put(session, one, 1, [entryAbout(one)])
      for (const path of ["", "/config", "/releases", `/releases/deployer_${one.ref}`]) {
        const { gid, mode } = fs.statSync(join(home, `team/app${path}`))
        assert.deepStrictEqual([gid, mode & 0o7777], [12345, 0o2775], path)
      }
    }).pipe(Effect.scoped)
  )
})
