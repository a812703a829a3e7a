/**
 * The rules for every host, real or in memory.
 */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { adopt } from "../../src/commands/manage/adopt.ts"
import { integrity, prune } from "../../src/commands/manage/host.ts"
import { repairHost } from "../../src/commands/repair.ts"
import type { Adoption } from "../../src/domain/Adoption.ts"
import { differences } from "../../src/domain/Differences.ts"
import { HostReleaseJson, type HostState, Unfinished } from "../../src/domain/HostState.ts"
import { type JournalEntry, JournalEntryJson } from "../../src/domain/Journal.ts"
import { LockDetails } from "../../src/domain/Lock.ts"
import type { TargetSettings } from "../../src/domain/Target.ts"
import { httpAnswer, layer as memoryHosts } from "../../src/host/MemoryHost.ts"
import { patching, signatures } from "../../src/host/patches.ts"
import type { Entries, HostSession, RemoteHost } from "../../src/host/RemoteHost.ts"
import { quote } from "../../src/host/transport/Transport.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { Reporter } from "../../src/terminal/Reporter.ts"
import { isExhaustive } from "../kit/exhaustive.ts"
import { noiseText } from "../kit/noise.ts"
import { hostileNames, oddSample, type Packed, packed, sample } from "../kit/packed.ts"
import * as samples from "../kit/samples.ts"
import { dir, file, hardlink, mtime, type Tree, tarOf, treeOf } from "../kit/tree.ts"

/** The host's files, by absolute path. */
export interface HostFiles {
  readonly write: (path: string, content: string) => void
  readonly makeDirectory: (path: string) => void
  readonly link: (path: string, to: string) => void
  readonly remove: (path: string) => void
  /** Undefined if there is no file. */
  readonly read: (path: string) => string | undefined
  readonly readLink: (path: string) => string | undefined
  readonly names: (directory: string) => ReadonlyArray<string>
  /** When it was changed, in seconds; undefined if the host does not record that. */
  readonly time?: (path: string) => number
  /** The number of the file on its disk, which is equal for files that share their content. Undefined if there is no disk. */
  readonly inode?: (path: string) => number
  /** As `treeIn` of test/kit/tree.ts. */
  readonly tree: (directory: string) => Record<string, string>
}

/**
 * One host with an empty login directory. Each test makes its own `Place`. A host that several tests share is started once, and each `Place`
 * empties its login directory.
 */
export interface Place {
  readonly connect: RemoteHost["Type"]["connect"]
  /** The settings of a target of that host: host, port, user, sshKey. */
  readonly fields: Partial<typeof TargetSettings.Encoded>
  /** The login directory, absolute on the host. */
  readonly home: string
  readonly files: HostFiles
  /** Whether shell commands really run there. */
  readonly shell: boolean
  /** Starts a program there, as `listen` of test/kit/listen.ts. */
  readonly listen: (answer?: string) => Effect.Effect<number, never, Scope.Scope>
  /** A port without a listener. */
  readonly freePort: Effect.Effect<number>
}

/** Sends a release; the steps of a deployment up to the record. */
export const put = Effect.fnUntraced(function* (
  session: HostSession,
  release: Packed,
  serial = 1,
  entries: Entries = []
) {
  yield* stage(session, release, { entries })
  yield* session.record(Object.assign(release.record, { serial }))
})

/** An entry of the journal about a release. */
export const entryAbout = (
  { ref }: { readonly ref: string },
  fields: Partial<ConstructorParameters<typeof JournalEntry>[0]> = {}
): JournalEntry => samples.journalEntry({ release: { name: "my_app", ref }, ...fields })

/** Sends a whole tarball, or only its bytes before `to`, without the record. */
export const stage = (
  session: HostSession,
  { manifest, ref, tarball }: Pick<Packed, "manifest" | "ref" | "tarball">,
  {
    entries = [],
    from = 0,
    replaces = false,
    to = tarball.length
  }: { readonly from?: number; readonly to?: number; readonly entries?: Entries; readonly replaces?: boolean } = {}
) =>
  session.stage({
    ref,
    replaces,
    manifest,
    from,
    note: "begun by tester at noon",
    entries,
    shipment: {
      _tag: "Whole",
      size: tarball.length,
      content: (offset) =>
        Stream.fromIterable(chunks(tarball.subarray(offset, Math.max(offset, to)), 50_000)).pipe(Stream.rechunk(1))
    }
  })

/** Leaves the beginning of an upload; returns how many bytes of it are there. */
const begin = Effect.fnUntraced(function* (session: HostSession, release: Packed, to: number) {
  const { message } = yield* Effect.flip(stage(session, release, { to }))
  const [, arrived] = /([0-9]+) of [0-9]+ bytes arrived/.exec(message) ?? []
  return Number(arrived ?? assert.fail(message))
})

const chunks = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

/**
 * Runs the contract. `skip`: the reason why it cannot run here. `every`: of a host that answers slowly, the first test of each part and each n-th of
 * all, unless all cases of all suites are tried.
 */
export const contract = (
  title: string,
  place: Effect.Effect<Place, unknown, Scope.Scope>,
  options: { readonly skip?: string | undefined; readonly shell: boolean; readonly every?: number }
): void => {
  const run = options.skip === undefined ? it.live : it.live.skip
  describe(options.skip === undefined ? title : `${title} (skipped: ${options.skip})`, () => {
    interface Here {
      readonly session: HostSession
      readonly base: string
      readonly releases: string
      readonly files: HostFiles
      readonly place: Place
    }

    let index = 0
    let isFirst = true
    /** Tests of one thing, which a noun phrase names. */
    const part = (title: string, body: () => void) =>
      describe(title, () => {
        isFirst = true
        body()
      })

    /** A test at its own path of the host; its title is a whole sentence. */
    const at = (
      title: string,
      body: (here: Here) => Effect.Effect<unknown, unknown, Scope.Scope>,
      path: (home: string) => readonly [written: string, absolute: string] = (home) => [`${home}/app`, `${home}/app`]
    ) => {
      const isChosen = isExhaustive || index % (options.every ?? 1) === 0 || isFirst
      index += 1
      isFirst = false
      if (!isChosen) return
      run(title, () =>
        Effect.gen(function* () {
          const here = yield* place
          const left = here.files.names(here.home).filter((name) => !name.startsWith("."))
          assert.deepStrictEqual(left, [], "A Place must have an empty login directory: empty `home` when you make it")
          const [written, base] = path(here.home)
          const session = yield* here.connect(samples.target({ ...here.fields, path: written }))
          yield* body({ session, base, releases: `${base}/releases`, files: here.files, place: here })
        }).pipe(Effect.scoped)
      )
    }

    const one = sample("1")
    const two = sample("2")
    const odd = oddSample()

    part("lock", () => {
      const details = (fields: Partial<ConstructorParameters<typeof LockDetails>[0]> = {}) =>
        LockDetails.make({
          by: "tester@laptop",
          reason: "it's a test; $HOME `id`",
          since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
          nonce: "n-1",
          held: false,
          ...fields
        })

      at(
        "Only one session holds the lock, and the others see its details until it is given back.",
        ({ files, base, place, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const other = yield* place.connect(session.target)
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* session.lock(details())
                const refused = yield* Effect.flip(Effect.scoped(other.lock(details({ nonce: "n-2" }))))
                assert.strictEqual(refused._tag, "LockHeld")
                assert.include(refused.message, "tester@laptop")
                assert.deepStrictEqual((yield* other.inspect).lock?.details, details())
                // Under the lock everything works.
                yield* put(session, one)
                yield* session.activate(one.ref)
              })
            )
            assert.isUndefined((yield* other.inspect).lock)
            yield* Effect.scoped(other.lock(details({ nonce: "n-2" })))
            assert.lengthOf(
              files.names(`${base}/config`).filter((name) => name.startsWith("lock.")),
              1
            )
          })
      )

      at("A last step gives the lock back if it succeeds, and no step works under that lock after it.", (here) =>
        Effect.gen(function* () {
          const { place, releases, files, session } = here
          yield* session.prepare
          yield* put(session, one)
          yield* put(session, two, 2)
          yield* put(session, odd, 3)
          const other = yield* place.connect(session.target)
          const lasts: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            session.activate(one.ref, { unlocks: true }),
            session.note([entryAbout(one, { event: "healthy" })], { unlocks: true }),
            session.remove([odd.ref], [], { unlocks: true })
          ]
          for (const last of lasts) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* session.lock(details())
                yield* session.record(two.record)
                assert.isDefined((yield* other.inspect).lock)
                yield* last
                assert.isUndefined((yield* other.inspect).lock)
                assert.strictEqual((yield* Effect.flip(session.activate(two.ref)))._tag, "LockLost")
              })
            )
          }
          assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${one.ref}`)
          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* session.lock(details())
              yield* Effect.flip(session.activate("F".repeat(32), { unlocks: true }))
              // A step that failed is not the last.
              assert.isDefined((yield* other.inspect).lock)
            })
          )
          assert.isUndefined((yield* other.inspect).lock)
        })
      )

      at("A host that was never prepared refuses a lock.", ({ session }) =>
        Effect.gen(function* () {
          const refused = yield* Effect.flip(Effect.scoped(session.lock(details())))
          assert.deepInclude(refused, { _tag: "HostUnfit", reason: "not-a-deployer-path" })
        })
      )

      at(
        "Every step that changes something fails if its session has lost the lock.",
        ({ place, releases, files, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            yield* put(session, two, 2)
            yield* session.activate(one.ref)
            const other = yield* place.connect(session.target)
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* session.lock(details())
                const { lock } = yield* other.inspect
                assert.isTrue(yield* other.unlock(lock!))
                assert.isFalse(yield* other.unlock(lock!))
                yield* Effect.scoped(other.lock(details({ nonce: "n-2" })))
                const changes: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
                  session.activate(two.ref),
                  session.deactivate(),
                  session.remove([two.ref]),
                  session.record(two.record),
                  session.discard(Unfinished.make({ ref: two.ref, kind: "upload", received: 0 })),
                  stage(session, two),
                  // A command of an older deployment would undo that of a newer one.
                  session.run("true", { name: "my_app", ref: one.ref })
                ]
                for (const change of changes) assert.strictEqual((yield* Effect.flip(change))._tag, "LockLost")
              })
            )
            assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${one.ref}`)
            assert.isUndefined((yield* other.inspect).lock)
          })
      )

      at(
        "A session takes over a lock whose last sign of life is old, and holds it from then on.",
        ({ base, files, place, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            files.write(`${base}/config/lock.7`, `taken {"garbage`)
            files.write(`${base}/config/beat.7`, "1000\n")
            const { lock } = yield* session.inspect
            assert.deepInclude(lock, { token: 7 })
            assert.isUndefined(lock?.details)
            const other = yield* place.connect(session.target)
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* session.lock(details())
                assert.strictEqual((yield* session.inspect).lock?.token, 8)
                assert.strictEqual((yield* Effect.flip(Effect.scoped(other.lock(details()))))._tag, "LockHeld")
              })
            )
          })
      )

      at(
        "A lock with a sign of life in the future stays held, and its time is set by the host's clock.",
        ({ base, files, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            files.write(`${base}/config/lock.7`, "taken {}")
            files.write(`${base}/config/beat.7`, "99999999999\n")
            const refused = yield* Effect.flip(Effect.scoped(session.lock(details())))
            assert.deepInclude(refused, { _tag: "LockHeld" })
            assert.isBelow(Number(files.read(`${base}/config/beat.7`)?.split(" ")[0]), 9_999_999_999)
          })
      )

      for (const [what, name, content] of [
        ["a sign of life that is too large a number", "beat.7", `${"9".repeat(40)}\n`],
        ["a sign of life that begins with a zero", "beat.7", "09\n"],
        ["no sign of life", "beat.6", "1000\n"],
        ["a token beside it that begins with a zero", "lock.08", "held {}"],
        ["a token beside it that is too large a number", `lock.${"9".repeat(30)}`, "held {}"]
      ] as const) {
        at(`A lock with ${what} is taken over.`, ({ base, files, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            files.write(`${base}/config/lock.7`, "taken {}")
            files.write(`${base}/config/beat.7`, "1000\n")
            if (name === "beat.6") files.remove(`${base}/config/beat.7`)
            files.write(`${base}/config/${name}`, content)
            yield* Effect.scoped(
              Effect.zipRight(
                session.lock(details()),
                Effect.map(session.inspect, ({ lock }) => assert.strictEqual(lock?.token, 8))
              )
            )
          })
        )
      }

      at(
        "A lock that is held on purpose stays, however old it is, until somebody removes it.",
        ({ base, files, place, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* session.hold(details({ held: true, reason: "freeze" }))
            files.write(`${base}/config/beat.1`, "1000\n")
            const other = yield* place.connect(session.target)
            const refused = yield* Effect.flip(Effect.scoped(other.lock(details())))
            assert.include(refused.message, 'for "freeze"')
            const { lock } = yield* other.inspect
            assert.isTrue(yield* other.unlock(lock!))
            yield* Effect.scoped(other.lock(details()))
          })
      )

      at("Each race of three sessions for the lock has one winner.", ({ place, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const others = yield* Effect.forEach([1, 2, 3], () => place.connect(session.target))
          for (let race = 0; race < 5; race++) {
            const exits = yield* Effect.scoped(
              Effect.forEach(others, (other, n) => Effect.either(other.lock(details({ nonce: `n-${n}` }))), {
                concurrency: "unbounded"
              })
            )
            assert.lengthOf(exits.filter(Either.isRight), 1)
          }
          assert.isUndefined((yield* session.inspect).lock)
        })
      )
    })

    part("inspect and prepare", () => {
      at(
        "A new host describes itself and has no releases, and prepare makes its two folders.",
        ({ base, files, session }) =>
          Effect.gen(function* () {
            const before = yield* session.inspect
            assert.deepInclude(plain(before), {
              path: base,
              base: "absent",
              current: { _tag: "Absent" },
              releases: [],
              unfinished: [],
              missingTools: []
            })
            assert.isAbove(before.freeBytes, 0)
            assert.match(before.machine, /^\w+$/)
            assert.isAbove(before.freeInodes ?? 1, 0)
            assert.match(before.user ?? "", /^[\w-]+$/)
            assert.isBelow(Math.abs(before.clock?.aheadMillis ?? Number.NaN) - 1000, before.clock?.toleranceMillis ?? 0)
            assert.deepInclude(before.mount, { readOnly: false, noExec: false })
            assert.isTrue(`${base}/`.startsWith(before.mount?.point ?? "?"))
            assert.isAbove(before.loaders.length, 0)
            assert.deepStrictEqual(
              before.loaders.filter((loader) => !loader.startsWith("/lib")),
              []
            )
            yield* session.prepare
            yield* session.prepare
            assert.sameMembers([...files.names(base)], ["config", "releases"])
            assert.strictEqual((yield* session.inspect).base, "ready")
          })
      )

      at(
        "A directory that holds other files is incomplete, and prepare adds to it without touching them.",
        ({ base, files, session }) =>
          Effect.gen(function* () {
            files.makeDirectory(base)
            files.write(`${base}/theirs`, "untouched")
            assert.strictEqual((yield* session.inspect).base, "incomplete")
            yield* session.prepare
            assert.strictEqual(files.read(`${base}/theirs`), "untouched")
            assert.strictEqual((yield* session.inspect).base, "ready")
          })
      )

      at(
        "A host refuses a path below a file.",
        ({ base, files, place, session }) =>
          Effect.gen(function* () {
            files.write(`${place.home}/file`, "")
            assert.strictEqual((yield* session.inspect).base, "not-a-directory")
            const failure = yield* Effect.flip(session.prepare)
            assert.deepInclude(failure, { _tag: "HostUnfit", reason: "not-a-directory" })
            assert.strictEqual((yield* session.inspect).path, base)
          }),
        (home) => [`${home}/file/below`, `${home}/file/below`]
      )

      at("A host refuses a path that has a file in the place of releases/.", ({ base, files, session }) =>
        Effect.gen(function* () {
          files.makeDirectory(base)
          files.write(`${base}/releases`, "")
          assert.strictEqual((yield* session.inspect).base, "not-a-directory")
          assert.deepInclude(yield* Effect.flip(session.prepare), {
            _tag: "HostUnfit",
            reason: "not-a-directory",
            path: `${base}/releases`
          })
        })
      )

      at("A look at the host ignores folders and files that are not releases.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          files.makeDirectory(`${releases}/deployer_abc`)
          files.makeDirectory(`${releases}/deployer_${"a".repeat(32)}`)
          files.makeDirectory(`${releases}/20260101`)
          files.write(`${releases}/deployer_${samples.refOf("B")}`, "a file")
          const state = yield* session.inspect
          assert.deepStrictEqual([state.releases, state.unfinished], [[], []])
        })
      )

      for (const [what, plant, expected] of [
        ["a link to elsewhere", "link", { _tag: "Foreign", to: "/opt/else where", dangling: true }],
        ["a directory", "directory", { _tag: "Occupied", by: "directory" }],
        ["a file", "file", { _tag: "Occupied", by: "file" }]
      ] as const) {
        at(`A look at the host finds ${what} in the place of current.`, ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            if (plant === "link") files.link(`${releases}/current`, "/opt/else where")
            if (plant === "directory") files.makeDirectory(`${releases}/current`)
            if (plant === "file") files.write(`${releases}/current`, "")
            assert.deepStrictEqual((yield* session.inspect).current, expected)
          })
        )
      }
    })

    part("a deployment", () => {
      at("A deployment uploads, unpacks and records a release, and switches to it.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const received = yield* begin(session, odd, 300)
          assert.isAbove(received, 300)
          assert.deepStrictEqual((yield* session.inspect).unfinished.map(plain), [
            { ref: odd.ref, kind: "upload", received, stream: "whole", note: "begun by tester at noon" }
          ])
          yield* stage(session, odd, { from: received })
          assert.deepStrictEqual((yield* session.inspect).unfinished.map(plain), [
            { ref: odd.ref, kind: "release", received: 0 }
          ])
          yield* session.record(odd.record)
          yield* session.activate(odd.ref)
          const state = yield* session.inspect
          assert.deepStrictEqual(state.unfinished, [])
          assert.deepStrictEqual(state.releases, [odd.record])
          assert.deepStrictEqual(state.current, { _tag: "Linked", ref: odd.ref })
          assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${odd.ref}`)
          const there = files.tree(`${releases}/deployer_${odd.ref}`)
          delete there[".deployer_manifest"]
          delete there[".deployer_release.json"]
          assert.deepStrictEqual(there, treeOf(odd.tree))
          assert.sameMembers([...files.names(releases)], ["current", `deployer_${odd.ref}`])
        })
      )

      at(
        "A host returns a record as it was written, including characters that mean something to a shell.",
        ({ session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* stage(session, one)
            const record = samples.hostRelease({
              ...one.record,
              tags: ["it's", '"', "$HOME", "\\n", "ü", "`id`", "%s"],
              createdAt: DateTime.unsafeMake("2026-05-06T07:08:09.123Z"),
              serial: 41,
              commit: "c".repeat(40)
            })
            yield* session.record(record)
            assert.deepStrictEqual((yield* session.inspect).releases, [record])
          })
      )

      at("A cut upload can resume at an earlier byte than the last one that arrived.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const received = yield* begin(session, one, 300)
          assert.strictEqual((yield* session.inspect).unfinished[0]?.received, received)
          yield* stage(session, one, { from: received - 100 })
          assert.isTrue(files.names(releases).includes(`deployer_${one.ref}`))
        })
      )

      at("A host refuses to resume an upload after more bytes than it has.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const received = yield* begin(session, one, 300)
          assert.include((yield* Effect.flip(stage(session, one, { from: received + 1 }))).message, "start again")
          yield* stage(session, one)
        })
      )

      at(
        "If the source of an upload fails, the host keeps the received bytes and the error is passed on.",
        ({ session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const failure = yield* Effect.flip(
              session.stage({
                ref: one.ref,
                manifest: one.manifest,
                from: 0,
                note: "n",
                shipment: {
                  _tag: "Whole",
                  size: one.tarball.length,
                  content: () =>
                    Stream.concat(
                      Stream.make(one.tarball.subarray(0, 100)),
                      Stream.fromEffect(Effect.delay(Effect.fail("disk broke" as const), "500 millis"))
                    )
                }
              })
            )
            assert.strictEqual(failure, "disk broke")
            assert.strictEqual((yield* session.inspect).unfinished.length, 1)
          })
      )

      at("A host removes a tarball that arrived damaged.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const damaged = Uint8Array.from(one.tarball)
          damaged[one.tarball.length - 200]! ^= 1
          const failure = yield* Effect.flip(stage(session, { ...one, tarball: damaged }))
          assert.deepInclude(failure, { _tag: "ReleaseCorrupt", ref: one.ref, what: ["tarball"] })
          assert.deepStrictEqual(files.names(releases), [])
        })
      )

      at(
        "A host removes a release that does not match its manifest, and names the wrong paths.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const manifest = odd.manifest.map((entry) =>
              entry._tag === "File" && entry.path === "my_app/names/it's"
                ? { ...entry, sha256: "0".repeat(64) }
                : entry._tag === "Symlink" && entry.path === "my_app/latest"
                  ? { ...entry, to: "bin/other" }
                  : entry
            )
            const extra = { _tag: "Directory", path: "my_app/not there", mode: 0o755 } as const
            const failure = yield* Effect.flip(stage(session, { ...odd, manifest: [...manifest, extra] }))
            assert.strictEqual(failure._tag, "ReleaseCorrupt")
            if (failure._tag !== "ReleaseCorrupt") return
            assert.sameMembers(
              [...failure.what],
              ["my_app/latest", "my_app/not there", ...(["my_app/names/it's"] as const)]
            )
            assert.deepStrictEqual(files.names(releases), [])
          })
      )

      at(
        "Discard removes both kinds of unfinished deployments, and no complete release.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            yield* begin(session, two, 10)
            yield* session.discard(Unfinished.make({ ref: two.ref, kind: "upload", received: 10 }))
            yield* stage(session, two)
            yield* session.discard(Unfinished.make({ ref: two.ref, kind: "release", received: 0 }))
            yield* session.discard(Unfinished.make({ ref: two.ref, kind: "release", received: 0 }))
            yield* Effect.flip(session.discard(Unfinished.make({ ref: one.ref, kind: "release", received: 0 })))
            assert.deepStrictEqual(files.names(releases), [`deployer_${one.ref}`])
          })
      )

      at("Discard does not remove a folder that current leads to.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* session.activate(one.ref)
          files.remove(`${releases}/deployer_${one.ref}/.deployer_release.json`)
          const failure = yield* Effect.flip(
            session.discard(Unfinished.make({ ref: one.ref, kind: "release", received: 0 }))
          )
          assert.include(failure.message, "is current")
          assert.strictEqual(files.read(`${releases}/deployer_${one.ref}/my_app/version`), "1")
        })
      )
    })

    part("differences", () => {
      const again = (release: Packed, changes: Readonly<Record<string, string>>, more: Tree = []) =>
        packed([
          ...release.tree.map((entry) => {
            const content = changes[entry.path]
            return entry.kind === "file" && content !== undefined ? file(entry.path, content, entry.mode) : entry
          }),
          ...more
        ])

      const send = Effect.fnUntraced(function* (
        session: HostSession,
        release: Packed,
        refs: ReadonlyArray<string>,
        options: { readonly hardLinks?: boolean; readonly from?: number } = {}
      ) {
        const origins = yield* Effect.forEach(refs, session.origin)
        const found = differences(
          release.manifest,
          origins.filter((origin) => origin !== undefined)
        )
        if (found === undefined) return assert.fail("there are none")
        yield* session.stage({
          ref: release.ref,
          manifest: release.manifest,
          from: options.from ?? 0,
          note: "n",
          shipment: {
            _tag: "Differences",
            differences: found,
            hardLinks: options.hardLinks ?? false,
            content: Stream.make(tarOf(release.tree.filter(({ path }) => found.sent.has(path))).subarray(0, -1024))
          }
        })
        yield* session.record(release.record)
        return found
      })

      const treeThere = (files: HostFiles, releases: string, ref: string) => {
        const there = files.tree(`${releases}/deployer_${ref}`)
        delete there[".deployer_manifest"]
        delete there[".deployer_release.json"]
        return there
      }

      at("Differences complete a release from one that commands changed.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const content = (version: string) => [
            dir("my_app"),
            file("my_app/version", version),
            file("my_app/settings", noiseText(4000, 1)),
            dir("my_app/uploads"),
            file("my_app/uploads/keep", noiseText(4000, 2)),
            file("my_app/code", noiseText(20_000, 3))
          ]
          const old = packed(content("1"))
          const next = packed(content("2"))
          yield* put(session, old)
          const folder = `${releases}/deployer_${old.ref}`
          files.write(`${folder}/my_app/settings`, "of this host")
          files.remove(`${folder}/my_app/uploads`)
          files.makeDirectory(`${releases}/shared`)
          files.link(`${folder}/my_app/uploads`, "../../shared")
          yield* session.alterations(old.ref)
          const origin = (yield* session.origin(old.ref)) ?? assert.fail("there is no manifest")
          const less = differences(next.manifest, [origin]) ?? assert.fail("there are none")
          assert.sameMembers([...less.sent], ["my_app/version", "my_app/settings", "my_app/uploads/keep"])
          yield* session.stage({
            ref: next.ref,
            manifest: next.manifest,
            from: 0,
            note: "n",
            shipment: {
              _tag: "Differences",
              differences: less,
              hardLinks: false,
              content: Stream.make(tarOf(next.tree.filter(({ path }) => less.sent.has(path))).subarray(0, -1024))
            }
          })
          assert.deepStrictEqual(treeThere(files, releases, next.ref), treeOf(next.tree))
        })
      )

      at(
        "Differences complete a release from the releases on the host, whatever the names of its files.",
        ({ files, place, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            assert.isTrue((yield* session.inspect).takesDifferences)
            yield* put(session, odd)
            yield* put(session, two, 2)
            const next = again(odd, { "my_app/version": "next", "my_app/names/it's": "other" }, [
              dir("my_app/moved"),
              file("my_app/moved/big", "2".concat("0123456789".repeat(30_000))),
              file("my_app/moved/other name", "odd".concat("0123456789".repeat(30_000)), 0o755),
              file("my_app/new", "new ".repeat(200)),
              file("my_app/new again", "new ".repeat(200)),
              hardlink("my_app/third", "my_app/big")
            ])
            const found = yield* send(session, next, [odd.ref, two.ref])
            assert.strictEqual(found.files, 3)
            assert.lengthOf(found.moves, 4)
            assert.deepStrictEqual(treeThere(files, releases, next.ref), treeOf(next.tree))
            assert.deepStrictEqual(yield* session.verify([odd.ref, next.ref]), [
              { ref: odd.ref, faults: [] },
              { ref: next.ref, faults: [] }
            ])
            // A release that came so can be completed from as well.
            const after = again(next, { "my_app/version": "after" }, [
              file("my_app/program", "odd".concat("0123456789".repeat(30_000)), 0o700)
            ])
            yield* send(session, after, [next.ref], { hardLinks: true })
            assert.deepStrictEqual(treeThere(files, releases, after.ref), treeOf(after.tree))
            const before = treeOf(next.tree)
            const unchanged = Object.entries(treeOf(after.tree)).flatMap(([path, text]) =>
              text.startsWith("file") && before[path] === text ? [path] : []
            )
            const inodeOf = (ref: string) => (path: string) => files.inode?.(`${releases}/deployer_${ref}/${path}`)
            const linked = unchanged.filter((path) => inodeOf(after.ref)(path) === inodeOf(next.ref)(path))
            assert.isNotEmpty(linked)
            assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, [])
            // A command that changes files does not change those of the other release, if it owns its files first.
            yield* session.run(`find . -type f -exec sh -c 'chmod u+w "$1"; echo changed >> "$1"' sh {} ";"`, {
              ref: after.ref,
              name: "my_app",
              ownsFiles: true
            })
            if (place.shell) assert.isNotEmpty((yield* session.verify([after.ref]))[0]?.faults)
            assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, [])
          })
      )

      at(
        "Differences complete a release if nearly every line of its manifest is new.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, odd)
            // More than travels beside the stream.
            const many = Array.from({ length: 500 }, (_, n) =>
              file(`my_app/a file with a name of its own ${n}`, `${n}`)
            )
            const next = again(odd, {}, many)
            const found = yield* send(session, next, [odd.ref])
            assert.strictEqual(found.files, 500)
            assert.deepStrictEqual(treeThere(files, releases, next.ref), treeOf(next.tree))
          })
      )

      at(
        "Differences make a file from its old content and its new parts, and the result is checked.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const [text, program, code] = [noiseText(50_000, 1), noiseText(2_500_000, 2), noiseText(30_000, 3)]
            const old = packed([
              dir("my_app"),
              file("my_app/it's $HOME `id`", text),
              file("my_app/program", program, 0o755),
              dir("my_app/lib-1.0"),
              file("my_app/lib-1.0/code", code),
              file("my_app/other", noiseText(20_000, 4)),
              file("my_app/disk quota", noiseText(20_000, 6))
            ])
            yield* put(session, old)
            const insert = (bytes: string, at: number, what: string) => bytes.slice(0, at) + what + bytes.slice(at)
            const next = packed([
              dir("my_app"),
              file("my_app/it's $HOME `id`", insert(text, 20_000, "something new")),
              file("my_app/program", insert(program.slice(0, 2_000_000), 1_000_000, "\0new"), 0o700),
              dir("my_app/lib-1.1"),
              file("my_app/lib-1.1/code", `${code}at its end`),
              // Has nothing in common with its old content.
              file("my_app/other", noiseText(20_000, 5)),
              file("my_app/disk quota", noiseText(20_000, 6))
            ])
            const known = yield* session.origin(old.ref)
            const origin = {
              ...(known ?? assert.fail("there is no manifest")),
              stored: { release: samples.release(), manifest: old.manifest }
            }
            const less = differences(next.manifest, [origin]) ?? assert.fail("there are none")
            assert.deepStrictEqual(
              [...less.patches],
              [
                ["my_app/program", "my_app/program"],
                ["my_app/it's $HOME `id`", "my_app/it's $HOME `id`"],
                ["my_app/lib-1.1/code", "my_app/lib-1.0/code"],
                ["my_app/other", "my_app/other"]
              ]
            )
            const tar = (of: Packed, paths: ReadonlySet<string>) =>
              Stream.fromIterable(
                chunks(
                  tarOf(of.tree.filter(({ kind, path }) => kind === "file" && paths.has(path))).subarray(0, -1024),
                  50_000
                )
              )
            const signed = yield* signatures(tar(old, new Set(less.patches.values())))
            const bases = new Map(
              [...less.patches].map(([path, before]) => [
                path,
                { from: `deployer_${old.ref}/${before}`, signature: signed.get(before) ?? assert.fail(before) }
              ])
            )
            const content = patching(bases)(tar(next, less.sent))
            const bytes = yield* Stream.runFold(content, 0, (total, { length }) => total + length)
            assert.isBelow(bytes, 20_000 + 20_000)
            const send = session.stage({
              ref: next.ref,
              manifest: next.manifest,
              from: 0,
              note: "n",
              shipment: { _tag: "Differences", differences: less, hardLinks: false, content }
            })
            yield* send
            yield* session.record(next.record)
            assert.deepStrictEqual(treeThere(files, releases, next.ref), treeOf(next.tree))
            assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, [])
            for (const path of ["my_app/program", "my_app/lib-1.1/code"]) {
              assert.oneOf(files.time?.(`${releases}/deployer_${next.ref}/${path}`), [undefined, mtime])
            }
            // Its parts are proved like everything else.
            yield* session.remove([next.ref])
            files.write(`${releases}/deployer_${old.ref}/my_app/program`, "evil")
            const refused = yield* Effect.flip(send)
            assert.deepInclude(refused, { _tag: "ReleaseCorrupt", what: ["my_app/program"] })
            // A complaint about a missing file is not taken for a full disk, whatever the file's name.
            files.remove(`${releases}/deployer_${old.ref}/my_app/disk quota`)
            assert.strictEqual((yield* Effect.flip(send))._tag, "ReleaseCorrupt")
            assert.deepStrictEqual(files.names(releases), [`deployer_${old.ref}`])
          })
      )

      at(
        "Differences are refused if a file that they rest on has changed or is gone.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            const next = again(one, { "my_app/version": "next" })
            files.write(`${releases}/deployer_${one.ref}/my_app/big`, "evil")
            const refused = yield* Effect.flip(send(session, next, [one.ref]))
            assert.deepInclude(refused, { _tag: "ReleaseCorrupt", what: ["my_app/big"] })
            files.remove(`${releases}/deployer_${one.ref}/my_app/big`)
            assert.deepInclude(yield* Effect.flip(send(session, next, [one.ref])), { _tag: "ReleaseCorrupt" })
            assert.deepStrictEqual(files.names(releases), [`deployer_${one.ref}`])
            yield* stage(session, next)
          })
      )

      at("A release without a readable manifest cannot be the origin of differences.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          files.write(`${releases}/deployer_${one.ref}/.deployer_manifest`, "garbage\n")
          assert.isUndefined(yield* session.origin(one.ref))
          files.remove(`${releases}/deployer_${one.ref}/.deployer_manifest`)
          assert.strictEqual((yield* Effect.flip(session.origin(one.ref)))._tag, "HostStepFailed")
        })
      )

      at("Verification finds a file whose mode has changed.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          const program = `${releases}/deployer_${one.ref}/my_app/bin/my_app`
          const content = files.read(program) ?? ""
          files.remove(program)
          files.write(program, content)
          for (const depth of ["paths", "files"] as const) {
            assert.deepStrictEqual(yield* session.verify([one.ref], depth), [
              { ref: one.ref, faults: ["changed my_app/bin/my_app"] }
            ])
          }
        })
      )
    })

    part("the link", () => {
      at(
        "The link switches from one release to another and back, and can be removed.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            yield* put(session, two, 2)
            yield* session.activate(one.ref)
            yield* session.activate(two.ref)
            yield* session.activate(two.ref)
            assert.strictEqual(files.read(`${releases}/current/my_app/version`), "2")
            yield* session.activate(one.ref)
            assert.strictEqual(files.read(`${releases}/current/my_app/version`), "1")
            assert.strictEqual((yield* session.inspect).currentRelease?.ref, one.ref)
            assert.lengthOf(files.names(releases), 3)
            assert.deepStrictEqual(files.names(`${releases}/deployer_${one.ref}`).includes("current"), false)
            yield* session.deactivate()
            yield* session.deactivate()
            assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Absent" })
          })
      )

      at("A switch replaces a link that leads elsewhere.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          files.makeDirectory(`${releases}/else`)
          for (const to of ["nowhere", "else"]) {
            files.link(`${releases}/current`, to)
            yield* session.activate(one.ref)
            assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${one.ref}`)
            yield* session.deactivate()
          }
          assert.deepStrictEqual(files.names(`${releases}/else`), [])
        })
      )

      for (const by of ["directory", "file"] as const) {
        at(`Neither a switch nor an unlink touches a ${by} in the place of current.`, ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            if (by === "file") files.write(`${releases}/current`, "theirs")
            else {
              files.makeDirectory(`${releases}/current`)
              files.write(`${releases}/current/theirs`, "theirs")
            }
            for (const attempt of [session.activate(one.ref), session.deactivate()]) {
              assert.deepInclude(yield* Effect.flip(attempt), {
                _tag: "HostUnfit",
                reason: "current-occupied",
                path: `${releases}/current`
              })
            }
            assert.strictEqual(files.read(`${releases}/current${by === "file" ? "" : "/theirs"}`), "theirs")
            assert.lengthOf(files.names(releases), 2)
          })
        )
      }

      at("A switch to an absent or incomplete release is refused.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          assert.include((yield* Effect.flip(session.activate(one.ref))).message, "there is no")
          yield* stage(session, one)
          assert.include((yield* Effect.flip(session.activate(one.ref))).message, "not complete")
          assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Absent" })
        })
      )
    })

    part("promises that hold over time", () => {
      at(
        "A link that leads to a release counts as that release, however it is written.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            for (const text of [
              `${releases}/deployer_${one.ref}`,
              `./deployer_${one.ref}`,
              `../releases/deployer_${one.ref}/`
            ]) {
              if (files.names(releases).includes("current")) files.remove(`${releases}/current`)
              files.link(`${releases}/current`, text)
              assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Linked", ref: one.ref, text })
              assert.strictEqual((yield* session.inspect).currentRelease?.ref, one.ref)
            }
            const text = `deployer_${one.ref}/my_app`
            files.remove(`${releases}/current`)
            files.link(`${releases}/current`, text)
            const { current } = yield* session.inspect
            assert.deepStrictEqual(current, { _tag: "Linked", ref: one.ref, text, inside: "my_app" })
            yield* session.activate(one.ref)
            assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Linked", ref: one.ref })
          })
      )

      at(
        "A file or a link that is named like a release is somebody else's, and an upload leaves it alone.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, two)
            const place = `${releases}/deployer_${one.ref}`
            for (const [make, look, expected] of [
              [() => files.write(place, "theirs"), () => files.read(place), "theirs"],
              [() => files.link(place, "no where"), () => files.readLink(place), "no where"],
              [() => files.link(place, `deployer_${two.ref}`), () => files.readLink(place), `deployer_${two.ref}`]
            ] as const) {
              make()
              const state = yield* session.inspect
              assert.deepStrictEqual([state.foreign, state.unfinished], [[one.ref], []])
              assert.include((yield* Effect.flip(stage(session, one))).message, "deployer did not make it")
              assert.strictEqual(look(), expected)
              files.remove(place)
            }
          })
      )

      at(
        "A folder that is named like a release and has no manifest is somebody else's, and stays as it is.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const folder = `${releases}/deployer_${one.ref}`
            files.write(`${folder}/my_app/bin/my_app`, "theirs")
            files.link(`${releases}/current`, `deployer_${one.ref}`)
            const state = yield* session.inspect
            assert.deepStrictEqual([state.foreign, state.unfinished], [[one.ref], []])
            assert.deepStrictEqual(state.current, { _tag: "Foreign", to: `deployer_${one.ref}` })
            const refused = yield* Effect.flip(stage(session, one))
            assert.include(refused.message, "deployer did not make it")
            files.remove(`${releases}/current`)
            const left = Unfinished.make({ ref: one.ref, kind: "release", received: 0 })
            assert.include((yield* Effect.flip(session.discard(left))).message, "deployer did not make")
            assert.strictEqual(files.read(`${folder}/my_app/bin/my_app`), "theirs")
          })
      )

      at(
        "A dead-man's switch without a release to go back to restores the earlier link.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            files.makeDirectory(`${releases}/by hand`)
            files.link(`${releases}/current`, "by hand")
            yield* session.arm({ ref: one.ref, back: undefined, restore: "by hand", seconds: 5 })
            assert.strictEqual((yield* session.inspect).armed?.restore, "by hand")
            const armed = (yield* session.inspect).armed?.id
            yield* session.activate(one.ref, { armed })
            // A slow machine needs seconds for the steps before.
            yield* Effect.sleep(Duration.seconds(7))
            assert.strictEqual(files.readLink(`${releases}/current`), "by hand")
          })
      )

      at(
        "The store's manifest shows damage to the current release, and a new copy takes its place.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* stage(session, one)
            files.link(`${releases}/current`, `deployer_${one.ref}`)
            const folder = `${releases}/deployer_${one.ref}`
            const prove = Effect.map(
              session.verify([one.ref], "files", one.manifest),
              ([verdict]) => verdict?.faults ?? []
            )
            assert.deepStrictEqual(yield* prove, ["missing .deployer_release.json"])
            files.write(`${folder}/my_app/version`, "")
            assert.include(yield* prove, "changed my_app/version")
            // The host's own word is no proof.
            files.write(`${folder}/.deployer_manifest`, "end 0\n")
            assert.include(yield* prove, "changed .deployer_manifest")
            yield* session.stage({
              ref: one.ref,
              manifest: one.manifest,
              from: 0,
              note: "test",
              replaces: true,
              shipment: {
                _tag: "Whole",
                size: one.tarball.length,
                content: (offset) => Stream.make(one.tarball.subarray(offset))
              }
            })
            assert.deepStrictEqual(yield* prove, ["missing .deployer_release.json"])
            assert.strictEqual(files.read(`${releases}/current/my_app/version`), "1")
          })
      )

      at(
        "One step removes hundreds of releases and writes long journal entries about them.",
        ({ base, files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const gone = Array.from({ length: 300 }, (_, index) => ({
              ref: index.toString(16).toUpperCase().padStart(32, "0")
            }))
            for (const { ref } of gone) files.write(`${releases}/deployer_${ref}/.deployer_manifest`, "")
            const detail = "long ".repeat(150)
            yield* session.remove(
              gone.map(({ ref }) => ref),
              gone.map((release) => entryAbout(release, { event: "removed", detail }))
            )
            assert.lengthOf(
              files.names(releases).filter((name) => name.startsWith("deployer_")),
              0
            )
            assert.lengthOf(files.read(`${base}/config/journal`)?.split("\n") ?? [], 301)
            assert.strictEqual((yield* session.usage(gone.map(({ ref }) => ref))).size, 0)
          })
      )
    })

    part("remove, verify, usage, log", () => {
      at("A removal deletes releases, but never the current one.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* put(session, two, 2)
          yield* session.activate(two.ref)
          const failure = yield* Effect.flip(session.remove([one.ref, two.ref]))
          assert.deepInclude(failure, { _tag: "HostStepFailed" })
          assert.include(failure.message, `deployer_${two.ref} is current`)
          assert.strictEqual(files.read(`${releases}/current/my_app/version`), "2")
          yield* session.remove([one.ref])
          yield* session.remove([one.ref])
          assert.deepStrictEqual(
            (yield* session.inspect).releases.map(({ ref }) => ref),
            [two.ref]
          )
          assert.sameMembers([...files.names(releases)], ["current", `deployer_${two.ref}`])
        })
      )

      at(
        "A removal knows the current release by its link, however the link is written.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            for (const to of [
              `./deployer_${one.ref}/`,
              `${releases}/deployer_${one.ref}`,
              `deployer_${one.ref}/my_app`
            ]) {
              files.link(`${releases}/current`, to)
              assert.include((yield* Effect.flip(session.remove([one.ref]))).message, "is current")
              files.remove(`${releases}/current`)
            }
            yield* session.remove([one.ref])
          })
      )

      at("Verification finds every file and link that is missing or has changed.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, odd)
          yield* put(session, two, 2)
          const folder = `${releases}/deployer_${odd.ref}/my_app`
          assert.deepStrictEqual(yield* session.verify([two.ref, odd.ref]), [
            { ref: two.ref, faults: [] },
            { ref: odd.ref, faults: [] }
          ])
          files.write(`${folder}/names/back\\slash`, "other")
          // A power cut leaves files empty. Without hashing, that is found, and no other content.
          files.write(`${folder}/names/it's`, "")
          files.remove(`${folder}/empty`)
          files.remove(`${folder}/latest`)
          files.link(`${folder}/latest`, "elsewhere")
          files.remove(`${folder}/big`)
          files.link(`${folder}/big`, "version")
          files.write(`${folder}/log of the application`, "")
          const [seen] = yield* session.verify([odd.ref], "paths")
          assert.sameMembers(
            [...(seen?.faults ?? [])],
            ["missing my_app/empty", "changed my_app/latest", "changed my_app/big", "changed my_app/names/it's"]
          )
          const [verdict, other] = yield* session.verify([odd.ref, two.ref])
          assert.sameMembers(
            [...(verdict?.faults ?? [])],
            [
              "changed my_app/names/back\\slash",
              "changed my_app/names/it's",
              "missing my_app/empty",
              "changed my_app/latest",
              "changed my_app/big"
            ]
          )
          assert.deepStrictEqual(other, { ref: two.ref, faults: [] })
        })
      )

      at(
        "Verification expects the changes that commands made to a release, and no others.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, odd)
            const folder = `${releases}/deployer_${odd.ref}`
            assert.deepStrictEqual(yield* session.alterations(odd.ref), [])
            files.write(`${folder}/my_app/names/back\\slash`, "other")
            files.write(`${folder}/my_app/names/it's`, "other")
            files.remove(`${folder}/my_app/empty`)
            files.remove(`${folder}/my_app/latest`)
            files.link(`${folder}/my_app/latest`, "else where")
            files.remove(`${folder}/my_app/bin`)
            files.link(`${folder}/my_app/bin`, "/nowhere")
            const faults = (yield* session.verify([odd.ref])).flatMap((verdict) => verdict.faults)
            assert.isAbove(faults.length, 5)
            const altered = yield* session.alterations(odd.ref)
            assert.sameMembers(
              [...altered],
              faults.map((fault) => fault.slice(fault.indexOf(" ") + 1))
            )
            for (const depth of ["files", "paths"] as const) {
              assert.deepStrictEqual(yield* session.verify([odd.ref], depth), [{ ref: odd.ref, faults: [] }])
            }
            assert.deepStrictEqual((yield* session.verify([odd.ref], "files", odd.manifest))[0]?.faults, [])
            // A change after that is a fault, whether commands had changed the file or not.
            files.remove(`${folder}/my_app/latest`)
            files.link(`${folder}/my_app/latest`, "another")
            files.write(`${folder}/my_app/names/it's`, "third")
            files.write(`${folder}/my_app/names/two words`, "evil")
            assert.sameMembers(
              [...((yield* session.verify([odd.ref]))[0]?.faults ?? [])],
              ["changed my_app/latest", "changed my_app/names/it's", "changed my_app/names/two words"]
            )
            // A list that is not whole counts for nothing.
            const list = files.read(`${folder}/.deployer_altered`) ?? assert.fail("there is no list")
            files.write(`${folder}/.deployer_altered`, list.slice(0, -3))
            assert.isAbove((yield* session.verify([odd.ref]))[0]?.faults.length ?? 0, 5)
          })
      )

      at("Verification finds missing folders, manifests and records.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          const folder = `${releases}/deployer_${one.ref}`
          files.remove(`${folder}/.deployer_release.json`)
          files.remove(`${folder}/.deployer_manifest`)
          const verdicts = yield* session.verify([one.ref, two.ref])
          assert.deepStrictEqual(verdicts, [
            { ref: one.ref, faults: ["missing .deployer_release.json", "missing .deployer_manifest"] },
            { ref: two.ref, faults: [`missing deployer_${two.ref}`] }
          ])
        })
      )

      at("A host measures the size of the releases that it has.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          const used = yield* session.usage([one.ref, two.ref])
          assert.deepStrictEqual([...used.keys()], [one.ref])
          assert.isAbove(used.get(one.ref) ?? 0, 300_000)
        })
      )

      at(
        "The journal returns the entries that were written to it, and counts damaged lines.",
        ({ base, files, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            assert.deepStrictEqual((yield* session.history(500)).entries, [])
            const odd = entryAbout(one, { event: "unhealthy", detail: `it's "odd" %s $HOME \\n \u00e9` })
            yield* session.note([odd, entryAbout(two)])
            assert.strictEqual(files.read(`${base}/config/journal`)?.split("\n").length, 3)
            assert.deepStrictEqual((yield* session.history(500)).entries, [odd, entryAbout(two)])
            files.write(`${base}/config/journal`, `nonsense\n{"event":"eaten"}\n{"event":"switched","at":"20`)
            const { entries: journal, torn } = yield* session.history(500)
            assert.deepStrictEqual([journal, torn], [[], 3])
            yield* session.note([entryAbout(one)])
            const mended = yield* session.inspect
            assert.deepStrictEqual([mended.journal, mended.torn], [[entryAbout(one)], 3])
          })
      )

      at("Staging, switching, unlinking and removing a release write their entries to the journal.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          const staged = entryAbout(one, { event: "staged" })
          yield* put(session, one, 1, [staged])
          const switched = entryAbout(one, { event: "switched" })
          yield* session.activate(one.ref, { entries: [switched] })
          const unlinked = entryAbout(one, { event: "unlinked" })
          yield* session.deactivate({ entries: [unlinked] })
          const removed = entryAbout(one, { event: "removed" })
          yield* session.remove([one.ref], [removed])
          assert.deepStrictEqual((yield* session.history(500)).entries, [staged, switched, unlinked, removed])
        })
      )

      at("Unlinking a release can restore the link that was there before it.", ({ base, files, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          files.link(`${base}/releases/current`, "/opt/other")
          yield* put(session, one)
          yield* session.activate(one.ref)
          yield* session.deactivate({ restore: "/opt/other" })
          assert.deepStrictEqual((yield* session.inspect).current, {
            _tag: "Foreign",
            to: "/opt/other",
            dangling: true
          })
        })
      )

      at(
        "A host with a dead-man's switch goes back by itself unless the release is confirmed.",
        ({ base, files, place, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            yield* put(session, two)
            yield* session.activate(one.ref)
            const back = { ref: one.ref, name: "my_app" }
            const at = DateTime.unsafeMake(0)
            const entries = [entryAbout(one, { event: "rolledBack", at })]
            const confirmed = yield* session.arm({ ref: two.ref, back, seconds: 2, entries })
            yield* session.activate(one.ref)
            assert.strictEqual((yield* session.inspect).armed, undefined)
            assert.strictEqual(yield* session.confirm(confirmed, two.ref), false, "another switch disarms it")

            const second = yield* session.arm({ ref: two.ref, back, seconds: 60, entries })
            yield* session.activate(two.ref, { armed: second })
            const { armed } = yield* session.inspect
            assert.deepInclude(armed, { id: second, ref: two.ref, back: one.ref })
            assert.isAbove(armed?.seconds ?? 0, 30)
            const refused = yield* Effect.flip(session.remove([one.ref]))
            assert.include(refused.message, "may go back to")
            assert.strictEqual(yield* session.confirm(second, two.ref, [entryAbout(two, { event: "healthy" })]), true)
            assert.strictEqual(yield* session.confirm(second, two.ref, [entryAbout(two, { event: "healthy" })]), true)
            assert.deepStrictEqual(
              (yield* session.history(500)).entries.map(({ event }) => event),
              ["healthy"]
            )

            // There is no word about a release that somebody switched away from.
            const third = yield* session.arm({ ref: two.ref, back, seconds: 60, entries })
            yield* session.activate(two.ref, { armed: third })
            files.remove(`${releases}/current`)
            files.link(`${releases}/current`, `deployer_${one.ref}`)
            for (const said of [
              session.confirm(third, two.ref, [entryAbout(two, { event: "healthy" })]),
              session.note([entryAbout(two, { event: "healthy" })], { live: two.ref })
            ]) {
              const displaced = yield* Effect.flip(said)
              assert.include(displaced.message, `deployer_${two.ref} is no longer current`)
            }
            assert.lengthOf((yield* session.history(500)).entries, 1)
            yield* session.note([], { live: one.ref })

            const gone = yield* session.arm({
              ref: two.ref,
              back,
              seconds: 1,
              entries,
              command: 'echo "$DEPLOYER_REF" > seen'
            })
            yield* session.activate(two.ref, { armed: gone })
            yield* Effect.sleep("3 seconds")
            assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Linked", ref: one.ref })
            assert.strictEqual(yield* session.confirm(gone, two.ref), false)
            if (place.shell) {
              assert.strictEqual(files.read(`${releases}/deployer_${one.ref}/my_app/seen`), `${one.ref}\n`)
            }
            const late = yield* session.arm({ ref: two.ref, back, seconds: 1, entries })
            yield* Effect.sleep("3 seconds")
            const refusal = yield* Effect.flip(session.activate(two.ref, { entries: [entryAbout(two)], armed: late }))
            assert.include(refusal.message, "was up before that")
            assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Linked", ref: one.ref })
            yield* session.arm({ ref: one.ref, back: undefined, seconds: 1, entries })
            yield* Effect.sleep("3 seconds")
            assert.deepStrictEqual((yield* session.inspect).current, { _tag: "Absent" })
            assert.deepStrictEqual(
              files.names(`${base}/config`).filter((name) => /^(armed|fired)/.test(name)),
              []
            )
            const { event, at: when } = (yield* session.history(500)).entries.at(-1) ?? {}
            assert.strictEqual(event, "rolledBack")
            assert.notDeepEqual(when, at)
          })
      )

      at("Remove, verify and switch say to deploy first on a host without a deployment.", ({ session }) =>
        Effect.gen(function* () {
          for (const step of [session.remove([one.ref]), session.verify([one.ref]), session.activate(one.ref)]) {
            assert.include((yield* Effect.flip(step)).message, "deploy first")
          }
        })
      )
    })

    part("adoption", () => {
      /** The directory that somebody else put there. */
      const plant = (files: HostFiles, at: string) => {
        for (const name of hostileNames.filter((name) => !name.includes("/"))) files.write(`${at}/${name}`, name)
        files.write(`${at}/bin/my app`, "run")
        files.makeDirectory(`${at}/empty`)
        files.link(`${at}/latest`, "bin/my app")
        files.link(`${at}/dangling`, "no where")
      }
      const record = (adoption: Adoption) =>
        samples.hostRelease({ ref: adoption.ref, sha256: adoption.sha256, size: adoption.bytes, tags: [], id: 0 })

      for (const [layout, below, what] of [
        ["whole", "", "an application's folder"],
        ["nested", "/my_app", "a folder that holds the application's"]
      ] as const) {
        at(`Adoption makes a release of ${what} in the place of current.`, ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            plant(files, `${releases}/current${below}`)
            const before = files.tree(`${releases}/current${below}`)
            const adoption = yield* session.survey("my_app")
            const count = hostileNames.filter((name) => !name.includes("/")).length + 1
            assert.deepInclude(plain(adoption), { nested: layout === "nested", files: count })
            assert.strictEqual(adoption.ref, adoption.sha256.slice(0, 32).toUpperCase())
            // A second inspection finds the same, and no file has changed so far.
            assert.deepStrictEqual(yield* session.survey("my_app"), adoption)
            assert.deepStrictEqual(files.tree(`${releases}/current${below}`), before)
            assert.deepStrictEqual((yield* session.inspect).unfinished.map(plain), [
              { ref: adoption.ref, kind: "adoption", received: 0 }
            ])
            const adopted = entryAbout(adoption, { event: "adopted" })
            yield* session.adopt(adoption, record(adoption), [adopted])
            const state = yield* session.inspect
            assert.deepStrictEqual(state.releases, [record(adoption)])
            assert.deepStrictEqual(state.current, { _tag: "Linked", ref: adoption.ref })
            assert.deepStrictEqual([state.journal, state.unfinished], [[adopted], []])
            assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${adoption.ref}`)
            assert.deepStrictEqual(files.tree(`${releases}/current/my_app`), before)
            assert.sameMembers([...files.names(releases)], ["current", `deployer_${adoption.ref}`])
            assert.deepStrictEqual(yield* session.verify([adoption.ref]), [{ ref: adoption.ref, faults: [] }])
            files.write(`${releases}/current/my_app/bin/my app`, "evil")
            assert.deepStrictEqual((yield* session.verify([adoption.ref]))[0]?.faults, ["changed my_app/bin/my app"])
            yield* put(session, one, 2)
            yield* session.activate(one.ref)
            yield* session.activate(adoption.ref)
          })
        )
      }

      at(
        "Adoption refuses anything but a directory, and file names that a manifest cannot hold.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const nothing = yield* Effect.flip(session.survey("my_app"))
            assert.include(nothing.message, "there is no directory in the place of current")
            files.link(`${releases}/current`, "elsewhere")
            assert.strictEqual((yield* Effect.flip(session.survey("my_app"))).message, nothing.message)
            files.remove(`${releases}/current`)
            files.write(`${releases}/current`, "theirs")
            assert.deepInclude(yield* Effect.flip(session.survey("my_app")), {
              _tag: "HostUnfit",
              reason: "current-occupied"
            })
            files.remove(`${releases}/current`)
            files.write(`${releases}/current/two\nlines`, "theirs")
            assert.include((yield* Effect.flip(session.survey("my_app"))).message, "line break")
            assert.strictEqual(files.read(`${releases}/current/two\nlines`), "theirs")
            assert.deepStrictEqual(files.names(releases), ["current"])
          })
      )

      at("Adoption refuses a text that is not a valid name of a release.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          files.write(`${releases}/current/a file`, "theirs")
          for (const name of ["", ".", "..", "-e", "a/b", "a|e;id", "&", "two\nlines", "$(id)", "it's", "ü"]) {
            assert.include((yield* Effect.flip(session.survey(name))).message, "no name of a release")
          }
          assert.deepStrictEqual(files.names(releases), ["current"])
          assert.deepStrictEqual(files.names(`${releases}/current`), ["a file"])
        })
      )

      at(
        "An adoption that has moved nothing yet is forgotten, and the directory stays as it was.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            plant(files, `${releases}/current`)
            const before = files.tree(`${releases}/current`)
            const { ref } = yield* session.survey("my_app")
            files.makeDirectory(`${releases}/deployer_${ref}`)
            const refused = yield* Effect.flip(session.discard(Unfinished.make({ ref, kind: "release", received: 0 })))
            assert.include(refused.message, "is being adopted")
            yield* session.finishAdoption(ref)
            assert.deepStrictEqual(files.names(releases), ["current"])
            assert.deepStrictEqual(files.tree(`${releases}/current`), before)
            assert.include((yield* Effect.flip(session.finishAdoption(ref))).message, "begin again")
          })
      )

      for (const [when, isLinked, isRecorded] of [
        ["before it made the link", false, false],
        ["after it made the link", true, false],
        ["before it wrote the journal", true, true]
      ] as const) {
        at(`An adoption that was cut ${when} can be finished.`, ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            plant(files, `${releases}/current`)
            const before = files.tree(`${releases}/current`)
            const adoption = yield* session.survey("my_app")
            const adopted = entryAbout(adoption, { event: "adopted" })
            const manifest = files.read(`${releases}/.adopting_${adoption.ref}/manifest`) ?? ""
            yield* session.adopt(adoption, record(adoption), [adopted])
            // The state at that moment.
            const folder = `${releases}/deployer_${adoption.ref}`
            const mark = `${releases}/.adopting_${adoption.ref}`
            files.write(`${mark}/entries`, `${yield* Schema.encode(JournalEntryJson)(adopted)}\n`)
            if (!isRecorded) {
              files.write(`${mark}/record`, files.read(`${folder}/.deployer_release.json`) ?? "")
              files.write(`${mark}/manifest`, manifest)
              files.remove(`${folder}/.deployer_release.json`)
              files.remove(`${folder}/.deployer_manifest`)
            }
            if (!isLinked) files.remove(`${releases}/current`)
            const cut = yield* session.inspect
            assert.deepStrictEqual(
              cut.unfinished.map(({ kind }) => kind),
              ["adoption"]
            )
            yield* session.finishAdoption(adoption.ref)
            const state = yield* session.inspect
            assert.deepStrictEqual(state.currentRelease, record(adoption))
            assert.deepStrictEqual((yield* session.history(500)).entries, [adopted, adopted])
            assert.deepStrictEqual(files.tree(`${releases}/current/my_app`), before)
            assert.deepStrictEqual(yield* session.verify([adoption.ref]), [{ ref: adoption.ref, faults: [] }])
            assert.sameMembers([...files.names(releases)], ["current", `deployer_${adoption.ref}`])
          })
        )
      }

      at(
        "An adoption that is finished late does not take the link from a release that is current by then.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            plant(files, `${releases}/current`)
            const adoption = yield* session.survey("my_app")
            yield* session.adopt(adoption, record(adoption), [entryAbout(adoption, { event: "adopted" })])
            const entries = `${yield* Schema.encode(JournalEntryJson)(entryAbout(adoption, { event: "adopted" }))}\n`
            files.write(`${releases}/.adopting_${adoption.ref}/entries`, entries)
            yield* session.activate(one.ref)
            yield* session.finishAdoption(adoption.ref)
            const state = yield* session.inspect
            assert.strictEqual(state.currentRelease?.ref, one.ref)
            assert.lengthOf(state.journal, 1)
            assert.sameMembers(
              state.releases.map(({ ref }) => ref),
              [one.ref, adoption.ref]
            )
          })
      )

      at(
        "Adoption does not mix two directories if the release's folder exists already.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            plant(files, `${releases}/current`)
            const adoption = yield* session.survey("my_app")
            files.write(`${releases}/deployer_${adoption.ref}/my_app/theirs`, "theirs")
            const refused = yield* Effect.flip(session.adopt(adoption, record(adoption)))
            assert.include(refused.message, "already")
            assert.include((yield* Effect.flip(session.finishAdoption(adoption.ref))).message, "both")
            assert.strictEqual(files.read(`${releases}/deployer_${adoption.ref}/my_app/theirs`), "theirs")
            assert.strictEqual(files.read(`${releases}/current/bin/my app`), "run")
          })
      )
    })

    part("files that are not deployer's", () => {
      /** By names that look like ours, too; paths below the base. */
      const foreign = [
        "theirs",
        "config/theirs",
        "config/lock.txt",
        "config/beat.bak",
        "config/journal.old",
        "releases/20260101/file",
        "releases/current.bak",
        "releases/.current.bak",
        "releases/.trash/file",
        "releases/.trash_x/file",
        "releases/.staging_x/file",
        "releases/.adopting_x/file",
        "releases/.adopting.x/file",
        "releases/deployer_x/file",
        `releases/deployer_${"a".repeat(32)}/file`,
        `releases/deployer_${"A".repeat(33)}/file`
      ]

      at(
        "Files that are not deployer's survive adopt, deploy, discard, prune, integrity and repair.",
        ({ base, files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            for (const path of foreign) files.write(`${base}/${path}`, path)
            files.link(`${base}/their link`, "config/theirs")
            files.link(`${releases}/.current.link`, "theirs")
            const untouched = (when: string) => {
              for (const path of foreign) assert.strictEqual(files.read(`${base}/${path}`), path, `${path} ${when}`)
              assert.strictEqual(files.readLink(`${base}/their link`), "config/theirs", when)
              assert.strictEqual(files.readLink(`${releases}/.current.link`), "theirs", when)
            }
            const services = Layer.mergeAll(
              ReleaseStore.layerMemory,
              Layer.provide(Prompt.yes, Prompt.layerScripted([])),
              memoryHosts
            )
            const whole = { deep: true, fix: true }
            yield* Effect.gen(function* () {
              files.write(`${releases}/current/their app`, "theirs")
              const { release } = yield* adopt(session)
              untouched("after adopt")
              assert.strictEqual(files.read(`${releases}/current/my_app/their app`), "theirs")
              for (const [index, packed] of [one, two].entries()) {
                yield* put(session, packed, index + 2, [entryAbout(packed, { event: "staged" })])
                yield* session.activate(packed.ref, {
                  entries: [entryAbout(packed), entryAbout(packed, { event: "healthy" })]
                })
              }
              untouched("after deploy")
              yield* begin(session, odd, 10)
              yield* session.discard(Unfinished.make({ ref: odd.ref, kind: "upload", received: 10 }))
              yield* stage(session, odd)
              yield* session.discard(Unfinished.make({ ref: odd.ref, kind: "release", received: 0 }))
              untouched("after discard")
              assert.deepStrictEqual((yield* prune(session, "my_app")).releases.map(({ ref }) => ref).toSorted(), [
                ...[release.ref, one.ref].toSorted()
              ])
              untouched("after prune")
              yield* put(session, one, 4)
              files.write(`${releases}/deployer_${one.ref}/my_app/version`, "evil")
              assert.deepStrictEqual((yield* integrity(session, whole)).removed, [one.ref])
              untouched("after integrity -f")
              yield* begin(session, odd, 10)
              files.remove(`${releases}/current`)
              assert.deepStrictEqual((yield* repairHost(session)).left, [])
              assert.strictEqual(files.readLink(`${releases}/current`), `deployer_${two.ref}`)
              untouched("after repair")
            }).pipe(Effect.provide(services))
          })
      )
    })

    part("folders with names of ours", () => {
      at(
        "A folder that only has the name of an upload or of an adoption is neither, stays, and is named if it is in the way.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            const theirs = [`${releases}/.staging_${two.ref}/photo`, `${releases}/.adopting_${two.ref}/photo`]
            for (const path of theirs) files.write(path, "theirs")
            assert.deepStrictEqual((yield* session.inspect).unfinished, [])
            const upload = Unfinished.make({ ref: two.ref, kind: "upload", received: 0 })
            for (const step of [stage(session, two), session.discard(upload), session.finishAdoption(two.ref)])
              assert.include((yield* Effect.flip(step)).message, "deployer did not make")
            for (const path of theirs) assert.strictEqual(files.read(path), "theirs")
          })
      )
    })

    part("records that are not ours", () => {
      for (const [what, content] of [
        ["garbage", '%{releases: [File.rm_rf!("/")]}\n'],
        ["nothing", ""],
        ["a cut line", '{"name":"my_app"'],
        ["a fake end", `deployer end\ndeployer begin\n`],
        ["two lines", "{}\n{}\n"],
        ["wrong types", '{"name":"my_app","ref":1}\n'],
        ["a huge line", `${"x".repeat(200_000)}\n`]
      ] as const) {
        at(`A record that holds ${what} is reported and does not hide the others.`, ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            const file = `${releases}/deployer_${one.ref}/.deployer_release.json`
            files.write(file, content)
            yield* put(session, two, 2)
            const state = yield* session.inspect
            assert.deepStrictEqual(
              state.damaged.map(({ ref }) => ref),
              [one.ref]
            )
            assert.match(state.damaged[0]?.detail ?? "", /^.{3,210}$/)
            assert.deepStrictEqual(
              state.releases.map(({ ref }) => ref),
              [two.ref]
            )
          })
        )
      }

      at(
        "A damaged record can be written again, or discarded with its release if that is not current.",
        ({ files, releases, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            const file = `${releases}/deployer_${one.ref}/.deployer_release.json`
            for (const damage of [
              () => files.write(file, "garbage"),
              () => {
                files.remove(file)
                files.makeDirectory(file)
              },
              () => {
                files.remove(file)
                files.link(file, "elsewhere")
              }
            ]) {
              damage()
              assert.lengthOf((yield* session.inspect).damaged, 1)
              yield* session.record(one.record)
              assert.deepStrictEqual((yield* session.inspect).damaged, [])
            }
            const damaged = Unfinished.make({ ref: one.ref, kind: "damaged", received: 0 })
            yield* session.activate(one.ref)
            assert.include((yield* Effect.flip(session.discard(damaged))).message, "is current")
            yield* session.deactivate()
            files.write(file, "garbage")
            yield* session.discard(damaged)
            assert.deepStrictEqual(files.names(releases), [])
          })
      )

      at("A folder whose record has another ref counts as somebody else's.", ({ files, releases, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          const file = `${releases}/deployer_${one.ref}/.deployer_release.json`
          files.write(file, `${yield* Schema.encode(HostReleaseJson)(two.record)}\n`)
          const { damaged, foreign, releases: own } = yield* session.inspect
          assert.deepStrictEqual([damaged, foreign, own], [[], [one.ref], []])
        })
      )
    })

    part("probe", () => {
      const wait = Duration.seconds(5)
      const http = (port: number, path = "/health") =>
        ({ _tag: "Http", url: `http://127.0.0.1:${port}${path}` }) as const

      at(
        "An HTTP probe accepts the statuses from 200 to 399, and shows other answers with their text.",
        ({ place, session }) =>
          Effect.gen(function* () {
            for (const status of [200, 204, 302, 399]) {
              const url = http(yield* place.listen(httpAnswer(status)))
              assert.deepStrictEqual(yield* session.probe(url, wait), { ok: true, detail: `it answered ${status}` })
            }
            for (const status of [400, 404, 500, 503]) {
              const url = http(yield* place.listen(httpAnswer(status, "starting\n\u001b[2J still")))
              assert.deepStrictEqual(yield* session.probe(url, wait), {
                ok: false,
                detail: `it answered ${status}, "starting [2J still"`
              })
            }
            const long = http(yield* place.listen(httpAnswer(500, "x".repeat(100_000))))
            assert.lengthOf((yield* session.probe(long, wait)).detail, `it answered 500, ""`.length + 1000)
            assert.strictEqual(
              yield* session
                .probe(http(yield* place.listen(httpAnswer(200)), "/"), wait)
                .pipe(Effect.map(({ ok }) => ok)),
              true
            )
          })
      )

      at("A probe shows no password and no token of a URL.", ({ place, session }) =>
        Effect.gen(function* () {
          const port = yield* place.listen(httpAnswer(500))
          const url = `http://me:secret@127.0.0.1:${port}/health?token=secret`
          assert.strictEqual((yield* session.probe({ _tag: "Http", url }, wait)).detail, "it answered 500")
        })
      )

      at(
        "A probe tells a closed port, a silent server and one that speaks another protocol apart.",
        ({ place, session }) =>
          Effect.gen(function* () {
            const port = yield* place.freePort
            const nothing = { ok: false, detail: `nothing listens on port ${port}` }
            assert.deepStrictEqual(yield* session.probe({ _tag: "Tcp", port }, wait), nothing)
            const there = { ok: false, detail: `nothing listens on port ${port} of 127.0.0.1` }
            assert.deepStrictEqual(yield* session.probe(http(port), wait), there)
            const mute = http(yield* place.listen())
            assert.deepStrictEqual(yield* session.probe(mute, Duration.millis(300)), {
              ok: false,
              detail: "no answer within 300ms"
            })
            for (const answer of ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 2"]) {
              const other = http(yield* place.listen(answer))
              const probed = yield* session.probe(other, wait)
              assert.isFalse(probed.ok)
              assert.include(probed.detail, "no answer (")
            }
          })
      )

      at("A TCP probe accepts any port that takes connections.", ({ place, session }) =>
        Effect.gen(function* () {
          const port = yield* place.listen()
          assert.deepStrictEqual(yield* session.probe({ _tag: "Tcp", port, host: "127.0.0.1" }, wait), {
            ok: true,
            detail: "it takes connections"
          })
          assert.deepStrictEqual(yield* session.probe({ _tag: "Tcp", port }, wait), {
            ok: true,
            detail: "it takes connections"
          })
        })
      )

      at("A probe says that a text is not a URL with http:// or https://.", ({ session }) =>
        Effect.gen(function* () {
          for (const url of ["", "127.0.0.1:80", "ftp://127.0.0.1/", "http://"]) {
            const probed = yield* session.probe({ _tag: "Http", url }, wait)
            assert.deepStrictEqual(probed, {
              ok: false,
              detail: `"${url}" is not a URL that begins with http:// or https://`
            })
          }
        })
      )
    })

    part("paths", () => {
      for (const [written, below] of [
        ["~/app", "app"],
        ["app", "app"],
        ["./deep//er/./app/", "deep/er/app"],
        ["two words/ app ", "two words/ app "],
        ["it's", "it's"],
        ['double "quoted"', 'double "quoted"'],
        ["$HOME/`id`/$(id)", "$HOME/`id`/$(id)"],
        ["-rf", "-rf"],
        ["back\\slash\\", "back\\slash\\"],
        ["ünïcödé/日本/👩‍💻", "ünïcödé/日本/👩‍💻"],
        ["*?[a]", "*?[a]"]
      ] as const) {
        at(
          `A host keeps and runs releases below the path "${written}".`,
          ({ base, files, session }) =>
            Effect.gen(function* () {
              yield* session.prepare
              yield* put(session, one)
              yield* session.activate(one.ref)
              const state = yield* session.inspect
              assert.strictEqual(state.path, base)
              assert.strictEqual(state.currentRelease?.ref, one.ref)
              assert.strictEqual(files.read(`${base}/releases/current/my_app/version`), "1")
              assert.deepStrictEqual(yield* session.verify([one.ref]), [{ ref: one.ref, faults: [] }])
              yield* session.note([entryAbout(one)])
              assert.strictEqual((yield* session.run("true", { name: "my_app" })).status, 0)
            }),
          (home) => [written, `${home}/${below}`]
        )
      }
    })

    part("run", () => {
      at("A command is refused with the advice to deploy first if no release is current.", ({ session }) =>
        Effect.gen(function* () {
          const nowhere = yield* Effect.flip(session.run("true", { name: "my_app" }))
          assert.include(nowhere.message, "deploy first")
          yield* session.prepare
          const failure = yield* Effect.flip(session.run("true", { name: "my_app" }))
          assert.deepInclude(failure, { _tag: "HostStepFailed" })
          assert.include(failure.message, "deploy first")
          yield* put(session, one)
          assert.include((yield* Effect.flip(session.run("true", { name: "my_app" }))).message, "deploy first")
          const other = yield* Effect.flip(session.run("true", { name: "other", ref: one.ref }))
          assert.include(other.message, "no folder other")
        })
      )

      at("A command that needs a current release does not run in one that is no longer current.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* put(session, two, 2)
          yield* session.activate(two.ref)
          const how = { name: "my_app", isCurrent: true }
          assert.strictEqual((yield* session.run("true", { ...how, ref: two.ref })).status, 0)
          const failure = yield* Effect.flip(session.run("true", { ...how, ref: one.ref }))
          assert.include(failure.message, `deployer_${one.ref} is no longer current`)
        })
      )

      if (!options.shell) return
      at("A command does not appear in the process list of the host.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* session.activate(one.ref)
          const { output } = yield* session.run(
            `: hidden"-"value; for file in /proc/[0-9]*/cmdline; do tr "\\0" " " < "$file"; echo; done 2>/dev/null | grep -c 'hidden["]-["]value'`,
            { name: "my_app" }
          )
          assert.strictEqual(output.trim(), "0")
        })
      )

      at("A host passes on the output and the exit status of a command.", ({ session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* session.activate(one.ref)
          const said: Array<string> = []
          const status = yield* session
            .run(`echo "it's $((1 + 1))"; echo problem >&2; exit 7`, { name: "my_app" })
            .pipe(
              Effect.provideService(Reporter, {
                emit: (event) =>
                  Effect.sync(() => {
                    if (event._tag === "Output") said.push(Buffer.from(event.chunk).toString())
                  })
              })
            )
          assert.strictEqual(status.status, 7)
          assert.sameMembers(said.join("").trim().split("\n"), ["it's 2", "problem"])
          assert.strictEqual((yield* session.run('sh -c "kill -9 \\$\\$"; exit $?', { name: "my_app" })).status, 137)
          assert.strictEqual((yield* session.run("echo fail nothing", { name: "my_app" })).status, 0)
          assert.strictEqual((yield* session.run("no_such_command_here", { name: "my_app" })).status, 127)
        })
      )

      at(
        "A command runs in the release's folder, with the deployment's variables and an empty input.",
        ({ base, files, session }) =>
          Effect.gen(function* () {
            yield* session.prepare
            yield* put(session, one)
            yield* put(session, two, 2)
            yield* session.activate(one.ref)
            const command =
              'printf "%s\\n" "$PWD" "$DEPLOYER_NAME" "$DEPLOYER_REF" "$DEPLOYER_PATH" "$DEPLOYER_RELEASE" > seen; cat >> seen'
            for (const [release, ref] of [
              [one, {}],
              [two, { ref: two.ref }]
            ] as const) {
              assert.strictEqual((yield* session.run(command, { name: "my_app", ...ref })).status, 0)
              const folder = `${base}/releases/deployer_${release.ref}`
              assert.deepStrictEqual(files.read(`${folder}/my_app/seen`)?.split("\n"), [
                `${folder}/my_app`,
                "my_app",
                release.ref,
                base,
                folder,
                ""
              ])
            }
          })
      )

      at("A command may leave a daemon running that keeps the output open.", ({ files, place, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* session.activate(one.ref)
          const command = `(trap "" HUP; i=0; while [ $i -lt 100 ] && [ ! -e ${quote(`${place.home}/enough`)} ]; do sleep 0.1; i=$((i + 1)); done; : > ${quote(`${place.home}/lived`)}) & echo started`
          const [took, status] = yield* Effect.timed(session.run(command, { name: "my_app" }))
          assert.strictEqual(status.status, 0)
          assert.isBelow(Duration.toMillis(took), 5000)
          files.write(`${place.home}/enough`, "")
          yield* Effect.sleep("400 millis")
          assert.strictEqual(files.read(`${place.home}/lived`), "")
        })
      )

      at("A reader on the host never misses current while it is switched.", ({ base, files, place, session }) =>
        Effect.gen(function* () {
          yield* session.prepare
          yield* put(session, one)
          yield* put(session, two, 2)
          yield* session.activate(one.ref)
          const reader = yield* place.connect(session.target)
          const looking = `n=0; while [ ! -e ${quote(`${place.home}/enough`)} ]; do
              IFS= read -r line < ${quote(`${base}/releases/current/my_app/bin/my_app`)} || { echo "missed at $n"; exit 9; }
              n=$((n + 1)); done; [ $n -gt 100 ] || exit 8`
          const [status] = yield* Effect.all(
            [
              reader.run(looking, { name: "my_app", ref: one.ref }),
              Effect.gen(function* () {
                for (let turn = 0; turn < 25; turn++) {
                  yield* session.activate(two.ref)
                  yield* session.activate(one.ref)
                }
              }).pipe(Effect.ensuring(Effect.sync(() => files.write(`${place.home}/enough`, ""))))
            ],
            { concurrency: 2 }
          )
          assert.strictEqual(status.status, 0)
        })
      )
    })
  })
}

const plain = (value: HostState | Unfinished | Adoption) => ({ ...value })
