/** Leftovers of interrupted or refused work on a host, and files that only look like them. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Unfinished } from "../../src/domain/HostState.ts"
import { LockDetails } from "../../src/domain/Lock.ts"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import * as Reporter from "../../src/terminal/Reporter.ts"
import { entryAbout, put, stage } from "../host/contract.ts"
import * as nobody from "../kit/nobody.ts"
import { sample } from "../kit/packed.ts"
import { target as sampleTarget } from "../kit/samples.ts"
import { titled } from "../kit/sshd.ts"
import * as userland from "../kit/userland.ts"

const [one, two] = [sample("1"), sample("2")]

const details = LockDetails.make({
  by: "tester@laptop",
  reason: "deploy",
  since: DateTime.unsafeMake(0),
  nonce: "n-1",
  held: false
})

/** The warnings so far. */
const warnings = Effect.flatMap(Reporter.Reported, ({ events }) =>
  Effect.map(events, (all) => all.flatMap((event) => (event._tag === "Warning" ? [event.message] : [])))
)

const reported = Effect.provide(Layer.fresh(Reporter.Reporter.collect))

const userlands = [
  { title: "GNU", path: userland.own({ besides: ["sync"] }), skip: undefined },
  { title: "BusyBox", path: userland.busybox(), skip: userland.missingBusybox }
]

for (const { path, skip, title } of userlands) {
  const live = skip === undefined ? it.live : it.live.skip
  const asNobody = skip === undefined && nobody.isRoot ? it.live : it.live.skip
  const host = (fields: Parameters<typeof sampleTarget>[0] = {}) =>
    Effect.gen(function* () {
      const home = yield* userland.emptyFolder("home")
      const env = { HOME: home, PATH: yield* path }
      const target = sampleTarget({ host: "local", path: "app", ...fields })
      const session = makeSession(target, LocalTransport.make(target, env))
      const lock = Effect.scoped(session.lock(details))
      return { base: join(home, "app"), env, home, lock, releases: join(home, "app/releases"), session }
    })
  const write = (file: string, text: string) => {
    fs.mkdirSync(join(file, ".."), { recursive: true })
    fs.writeFileSync(file, text)
  }

  describe(titled(`${title}: leftovers`, skip), () => {
    /** A host of somebody who may not remove the files in `cache` of release one. */
    const shared = (fields: Parameters<typeof sampleTarget>[0] = {}) =>
      Effect.gen(function* () {
        const made = yield* host(fields)
        const { env, home, releases, session } = made
        fs.chownSync(home, 65534, 65534)
        nobody.become(env.PATH, home)
        yield* session.prepare
        yield* put(session, one)
        write(join(releases, `deployer_${one.ref}/my_app/cache/of another`), "x".repeat(100_000))
        return made
      })
    const stuckIn = (releases: string) => fs.readdirSync(releases).filter((name) => name.startsWith(".stuck_"))

    asNobody("Files of another user in a release that is replaced are reported once, with the command.", () =>
      Effect.gen(function* () {
        const { lock, releases, session } = yield* shared()
        yield* stage(session, { ...one }, { replaces: true })
        const [stuck = ""] = stuckIn(releases)
        assert.match(stuck, new RegExp(`^[.]stuck_${one.ref}_\\d+$`))
        const [warning = "", ...more] = yield* warnings
        assert.include(warning, `Files of root are left in ${releases}/${stuck} on this machine`)
        assert.include(warning, `sudo rm -rf '${releases}/${stuck}'`)
        assert.lengthOf(more, 0)
        yield* lock
        assert.lengthOf(yield* warnings, 1)
        assert.sameMembers(fs.readdirSync(releases), [stuck, `deployer_${one.ref}`])
      }).pipe(reported, Effect.scoped)
    )

    asNobody("Immutable files in a release that is removed are reported once, with the command.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* host()
        yield* session.prepare
        yield* put(session, one)
        const cache = join(releases, `deployer_${one.ref}/my_app/cache`)
        write(join(cache, "a"), "x")
        execFileSync("chattr", ["+i", join(cache, "a")])
        yield* Effect.addFinalizer(() => Effect.sync(() => execFileSync("chattr", ["-R", "-i", releases])))
        yield* session.remove([one.ref], [])
        const [stuck = ""] = stuckIn(releases)
        const place = `'${releases}/${stuck}'`
        const [warning = ""] = yield* warnings
        assert.include(warning, "some may be immutable")
        assert.include(warning, `sudo chattr -R -ia ${place} and sudo rm -rf ${place}`)
      }).pipe(reported, Effect.scoped)
    )

    asNobody("A replaced release that was left by an interrupted command is reported once, too.", () =>
      Effect.gen(function* () {
        const { lock, releases, session } = yield* shared()
        const old = join(releases, `.replaced_${one.ref}_77`)
        fs.renameSync(join(releases, `deployer_${one.ref}`), old)
        yield* stage(session, one)
        // As after an interrupted removal.
        fs.rmSync(join(old, ".deployer_manifest"))
        yield* lock
        assert.include((yield* warnings)[0], `.stuck_${one.ref}_77`)
        yield* lock
        assert.lengthOf(yield* warnings, 1)
        assert.sameMembers(fs.readdirSync(releases), [`.stuck_${one.ref}_77`, `deployer_${one.ref}`])
      }).pipe(reported, Effect.scoped)
    )

    asNobody("removeWith removes files of another user after any step, and stands on no command line.", () =>
      Effect.gen(function* () {
        const away = yield* userland.emptyFolder("away")
        fs.chownSync(away, 65534, 65534)
        fs.chmodSync(join(away, ".."), 0o755)
        const seen = join(away, "seen")
        const command = `TOKEN=hunter2; cat /proc/[0-9]*/cmdline >> ${seen} 2>/dev/null; mv -t ${away} --`
        const removeWith =
          title === "GNU" ? command : command.replace(`mv -t ${away} --`, `f() { mv "$1" ${away}; }; f`)
        const { releases, session, lock } = yield* shared({ removeWith })
        // Replaced.
        yield* stage(session, one, { replaces: true })
        assert.lengthOf(stuckIn(releases), 0)
        // Left behind.
        fs.renameSync(join(releases, `deployer_${one.ref}`), join(releases, `.replaced_${one.ref}_77`))
        yield* stage(session, one)
        write(join(releases, `.replaced_${one.ref}_77/my_app/cache/file`), "")
        yield* lock
        assert.lengthOf(stuckIn(releases), 0)
        // Removed, and discarded.
        write(join(releases, `deployer_${one.ref}/my_app/cache/file`), "")
        assert.strictEqual(yield* session.remove([one.ref], [entryAbout(one, { event: "removed" })]), 0)
        yield* stage(session, one)
        fs.rmSync(join(releases, `deployer_${one.ref}/.deployer_release.json`), { force: true })
        write(join(releases, `deployer_${one.ref}/my_app/cache/file`), "")
        yield* session.discard(Unfinished.make({ ref: one.ref, kind: "release", received: 0 }))
        assert.deepStrictEqual(fs.readdirSync(releases), [])
        assert.lengthOf(
          fs.readdirSync(away).filter((name) => name.startsWith(".stuck_")),
          4
        )
        assert.lengthOf(yield* warnings, 0)
        const lines = fs.readFileSync(seen, "utf8")
        assert.include(lines, "/releases/.stuck_")
        assert.notInclude(lines, "hunter2")
      }).pipe(reported, Effect.scoped)
    )

    asNobody("Files that may not be removed do not count as freed.", () =>
      Effect.gen(function* () {
        const { session } = yield* shared({ removeWith: "false" })
        const left = yield* session.remove([one.ref], [entryAbout(one, { event: "removed" })])
        assert.isAtLeast(left, 100_000)
        assert.isBelow(left, 200_000)
        assert.include((yield* warnings)[0], '"removeWith" of the target did not remove them')
      }).pipe(reported, Effect.scoped)
    )

    live("Files and folders with names of ours that deployer did not make stay, and each is reported once.", () =>
      Effect.gen(function* () {
        const { base, lock, releases, session } = yield* host()
        yield* session.prepare
        yield* put(session, one)
        const theirs = [
          "config/.lock.77",
          "config/.beat.78",
          "config/.armed.79",
          "config/.disarmed.79",
          "config/.removing.80",
          "releases/.adopting.81/photo",
          `releases/.adopting_${two.ref}/photo`,
          `releases/.staging_${two.ref}/photo`,
          `releases/.trash_${two.ref}_82/photo`,
          `releases/.trash_${one.ref}_82_.83/photo`,
          `releases/.replaced_${one.ref}_84/photo`,
          `releases/.replaced_${two.ref}_84/photo`
        ]
        for (const path of theirs) write(join(base, path), "free as a bird")
        fs.writeFileSync(join(base, "config/.lock.77"), "locks")
        fs.writeFileSync(join(base, "config/.beat.78"), "12 people\n12 people\n")
        fs.mkdirSync(join(releases, `.trash_${two.ref}_85/one`), { recursive: true })
        fs.mkdirSync(join(releases, `.trash_${two.ref}_85/two`))
        fs.writeFileSync(join(releases, `.trash_${two.ref}_86`), "")
        // No name of ours.
        const others = [`.trash_${two.ref}`, `.trash_${two.ref}_backup`, `.replaced_${one.ref}_backup`]
        for (const name of others) fs.mkdirSync(join(releases, name))
        const texts = () => theirs.map((path) => fs.readFileSync(join(base, path), "utf8"))
        const before = texts()
        const there = [fs.readdirSync(releases), fs.readdirSync(join(base, "config"))]
        yield* lock
        const named = [
          ...theirs.map((path) => path.replace("/photo", "")),
          `releases/.trash_${two.ref}_85`,
          `releases/.trash_${two.ref}_86`
        ]
        assert.sameMembers(
          (yield* warnings).map((warning) => warning.slice(base.length + 1, warning.indexOf(" "))),
          named
        )
        yield* lock
        yield* session.remove([one.ref])
        assert.lengthOf(yield* warnings, named.length)
        assert.deepStrictEqual(texts(), before)
        assert.includeMembers(fs.readdirSync(releases), there[0]?.filter((name) => !name.includes("deployer_")) ?? [])
        assert.includeMembers(fs.readdirSync(join(base, "config")), there[1] ?? [])
        assert.deepStrictEqual((yield* session.inspect).unfinished, [])
        const inTheWay = yield* Effect.flip(stage(session, two))
        assert.include(inTheWay.message, `.staging_${two.ref} is there, and deployer did not make it: move it away`)
        const kept = yield* Effect.flip(session.discard(Unfinished.make({ ref: two.ref, kind: "upload", received: 0 })))
        assert.include(kept.message, `deployer did not make ${releases}/.staging_${two.ref}`)
        assert.include((yield* Effect.flip(session.finishAdoption(two.ref))).message, "deployer did not make")
        assert.deepStrictEqual(texts(), before)
      }).pipe(reported, Effect.scoped)
    )

    live("Taking the lock clears the leftovers of interrupted commands, of this and of former versions.", () =>
      Effect.gen(function* () {
        const { base, lock, releases, session } = yield* host()
        yield* session.prepare
        yield* put(session, one)
        const there = [fs.readdirSync(releases), [".spare", "beat.1", "lock.1"]]
        const config = {
          ".lock.1": 'taken {"by":"x"}\n',
          ".lock.2": "",
          ".lock.3": "free {}\n",
          ".lock.4": "\0\0\0\0",
          ".beat.1": "1790000000 1234 0b1c-2d\n",
          ".beat.2": "1790000000\n",
          ".beat.3": "",
          ".armed.1": `${one.ref} - 1790000000 \n`,
          ".armed.2": `${one.ref} ${two.ref} 1790000000 releases/old\n`,
          ".disarmed.1": `${one.ref} - 1790000000 \n`,
          ".removing.1": `{"event":"removed","at":"2026"}\n`
        }
        for (const [name, text] of Object.entries(config)) write(join(base, "config", name), text)
        const files = [
          ".adopting.1/manifest",
          ".adopting.1/sums",
          `.trash_${two.ref}_1/.deployer_manifest`,
          `.trash_${two.ref}_1/my_app/file`,
          `.trash_${two.ref}_2/my_app/file`,
          `.trash_${two.ref}_3/note`,
          `.trash_${two.ref}_3/release.tar.gz`,
          `.trash_${two.ref}_3/tree.77/my_app/file`,
          `.trash_${two.ref}_4_.77/my_app/file`,
          `.trash_${two.ref}_4_.77/.deployer_edits`,
          `.trash_${two.ref}_4_.77.notes/receiving`,
          `.trash_${two.ref}_4_.77.notes/lot.12`,
          `.trash_${two.ref}_4_/my_app/file`,
          `.replaced_${one.ref}_5/my_app/file`
        ]
        for (const path of files) write(join(releases, path), "")
        for (const name of [".adopting.2", `.trash_${two.ref}_6`, `.replaced_${one.ref}_7`])
          fs.mkdirSync(join(releases, name))
        yield* lock
        assert.sameMembers(fs.readdirSync(releases), there[0] ?? [])
        assert.sameMembers(fs.readdirSync(join(base, "config")), there[1] ?? [])
        assert.lengthOf(yield* warnings, 0)
      }).pipe(reported, Effect.scoped)
    )
  })
}
