import { readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { failUnlessIntact, Integrity, integrityView } from "../../src/commands/manage/host.ts"
import type { HostRelease } from "../../src/domain/HostState.ts"
import { JournalEntryJson } from "../../src/domain/Journal.ts"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { ctrlC } from "../../src/terminal/Prompt.ts"
import { hostRelease, journalEntry, refOf } from "../kit/samples.ts"
import { built, currentRef, hostNamed, prodPath, projectFolder, run, stored, world } from "../kit/world.ts"

const ids = Effect.map(stored, (releases) => releases.map(({ id }) => id))

/** The journal without the lines that `hostWith` begins it with. */
const logged = (host: MemoryHost): ReadonlyArray<unknown> =>
  host.journal(prodPath).flatMap(({ event, release }) => (event === "staged" ? [] : [[event, release?.ref[0]]]))

const journalPath = `${prodPath}/config/journal`

const journalLine = (fields: Parameters<typeof journalEntry>[0]): string =>
  `${Schema.encodeSync(JournalEntryJson)(journalEntry(fields))}\n`

const folder = (digit: string) => `${prodPath}/releases/deployer_${refOf(digit)}`

/** Releases A, B, C … in the order of their deployment; `current` is the one that is live. */
const hostWith = (current: string | undefined, ...releases: ReadonlyArray<Partial<HostRelease> & { digit: string }>) =>
  Effect.map(hostNamed(), (host) => {
    for (const [index, { digit, ...fields }] of releases.entries()) {
      const record = hostRelease({ ref: refOf(digit), serial: index + 1, id: index + 1, ...fields })
      host.plantRelease(prodPath, record, { version: digit, "bin/my_app": "#!/bin/sh\n" })
    }
    const lines = releases.map(({ digit, name = "my_app" }) =>
      journalLine({ event: "staged", release: { name, ref: refOf(digit) } })
    )
    if (lines.length > 0) host.files.write(journalPath, lines.join(""))
    if (current !== undefined) host.link(prodPath, refOf(current))
    return host
  })

/** The releases that lie on a host, by the first digit of their refs. */
const onHost = (host: MemoryHost) =>
  host.files
    .names(`${prodPath}/releases`)
    .filter((name) => name.startsWith("deployer_"))
    .map((name) => name["deployer_".length])

const three = [{ digit: "A" }, { digit: "B" }, { digit: "C" }] as const

describe("a record that cannot be read", () => {
  const damage = (host: MemoryHost, digit: string) => host.files.write(`${folder(digit)}/.deployer_release.json`, "")

  it.scoped("Manage info reports an unreadable record and still lists the other releases.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      damage(host, "A")
      const ran = yield* run("manage info target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stdout, `The record of ${refOf("A").slice(0, 8)} cannot be read: it is empty\n`)
      assert.include(ran.stdout, refOf("B").slice(0, 8))
      assert.strictEqual((yield* run("manage delete ref=AAAA target=prod yes")).status, 2)
      assert.strictEqual((yield* run("manage ln ref=AAAA target=prod")).status, 2)
      assert.strictEqual((yield* run("manage prune name=my_app target=prod yes")).status, 0)
      assert.deepStrictEqual(onHost(host), ["A", "C"])
      const doctor = yield* run("doctor target=prod")
      assert.strictEqual(doctor.status, 0, doctor.stderr)
      assert.match(
        doctor.stdout,
        /\nwarning +records +the record of AAAAAAAA \(it is empty\) cannot be read: rewrite it/
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity -f removes a release whose record cannot be read, unless it is live.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      damage(host, "A")
      damage(host, "C")
      const ran = yield* run("manage integrity -f target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stdout, /the damaged release AAAAAAAA: broken \(1 fault\), removed\n/)
      assert.include(ran.stderr, "deployer deploy target=prod release=CCCCCCCC retry")
      assert.match(ran.stdout, /the damaged release CCCCCCCC \(current\): broken \(1 fault\)\n/)
      assert.deepStrictEqual(onHost(host), ["B", "C"])
      assert.strictEqual(currentRef(host), refOf("C"))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploying a release again mends its unreadable record.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      for (const live of [true, false]) {
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
        if (!live) host.files.remove(`${prodPath}/releases/current`)
        host.files.write(`${prodPath}/releases/deployer_${ref}/.deployer_release.json`, "{}\n")
        const before = host.steps.length
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(host.steps.slice(before).includes("stage"), !live)
        assert.strictEqual(currentRef(host), ref)
        assert.strictEqual((yield* run("manage integrity target=prod")).status, 0)
      }
    }).pipe(Effect.provide(world()))
  )
})

describe("manage info", () => {
  it.scoped("Manage info lists the newest releases, or as many as it is told to.", () =>
    Effect.gen(function* () {
      for (let count = 0; count < 22; count++) yield* built
      const ids = (stdout: string) => [...stdout.matchAll(/^(\d+) /gm)].map(([, id]) => Number(id))
      const numbers = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, index) => from - index)
      for (const [line, listed, more] of [
        ["manage info", numbers(22, 3), "\n… and 2 more: info all\n\nTarget"],
        ["manage info all", numbers(22, 1), "\n\nTarget"],
        ["manage info limit=5", numbers(22, 18), "\n… and 17 more: info all\n"],
        ["manage info name=my_app limit=1", [22], "\n… and 21 more: info all\n"],
        ["manage info limit=100", numbers(22, 1), "\n\nTarget"]
      ] as const) {
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(ids(ran.stdout), listed, line)
        assert.include(ran.stdout, more, line)
      }
      assert.deepInclude(JSON.parse((yield* run("manage info limit=5 json")).stdout), { total: 22 })
      for (const [line, said] of [
        ["manage info limit=0", '"limit" takes a number of releases, from 1 on, not "0"'],
        ["manage info limit=-1", '"limit" takes a number of releases, from 1 on, not "-1"'],
        ["manage info name=other", 'No release has the name "other" (known: my_app)'],
        ["manage info target=prod limit=3", '"limit" and "name" work only on the store: omit them, or omit the target'],
        [
          "manage info target=prod name=my_app",
          '"limit" and "name" work only on the store: omit them, or omit the target'
        ]
      ] as const) {
        const ran = yield* run(line)
        assert.deepStrictEqual([ran.status, ran.stderr], [2, `deployer: ${said}\n`], line)
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage info lists the releases and targets of an empty and of a filled store.", () =>
    Effect.gen(function* () {
      const empty = yield* run("manage info")
      assert.strictEqual(empty.status, 0, empty.stderr)
      assert.match(empty.stdout, /^The store is empty: deployer build target=T\n\nTarget +Host +Name +Path\nprod /)
      yield* built
      const { ref } = yield* built
      const ran = yield* run("manage info")
      assert.strictEqual(ran.status, 0)
      const [head, second, first] = ran.stdout.split("\n")
      assert.match(head!, /^Id +Name +Ref +Built \(UTC\) +Size +Tags$/)
      assert.match(second!, new RegExp(`^2 +my_app +${ref.slice(0, 8)} .* prod, latest$`))
      assert.match(first!, /^1 +my_app .* prod$/)
      assert.match(ran.stdout, /\nprod +deploy@host\.test +my_app +\/srv\/my_app\n$/)
      assert.strictEqual((yield* hostNamed()).connections, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage info shows one release in full by its id, name, ref or the beginning of its ref.", () =>
    Effect.gen(function* () {
      yield* built
      const { ref, sha256 } = yield* built
      for (const line of ["info 2", "info my_app", `info ${ref}`, `info ref=${ref.slice(0, 5).toLowerCase()}`]) {
        const ran = yield* run(`manage ${line}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stdout, new RegExp(`^id +2\nname +my_app\nref +${ref}\nsha256 +${sha256}\ntarball +my_app-1`))
        assert.match(ran.stdout, /\ntarball .* 4 entries\ntags +prod, latest\n/)
      }
      const unknown = yield* run("manage info FFFF")
      assert.strictEqual(unknown.status, 2)
      assert.match(
        unknown.stderr,
        /^deployer: No release has the id, name or ref "FFFF" \(the store has releases of: my_app/
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage info clears entries without a tarball, and mentions tarballs without an entry.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const files = join(root, "deployer", "release_store")
      yield* Effect.gen(function* () {
        const first = yield* built
        yield* built
        rmSync(join(files, first.fileName))
        writeFileSync(join(files, "mine.tar.gz"), "mine")
        const ran = yield* run("manage info")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stderr, /warning: The tarball my_app-0\.tar\.gz was gone, so its entry was cleared/)
        assert.match(ran.stderr, /warning: Not in the store, left alone in release_store\/: mine\.tar\.gz/)
        assert.deepStrictEqual(yield* ids, [2])
        assert.include(readdirSync(files), "mine.tar.gz")
      }).pipe(Effect.provide(world({ root })))
    })
  )

  it.scoped("Manage info of a target shows the current release first.", () =>
    Effect.gen(function* () {
      yield* hostWith("A", ...three, { digit: "D", name: "other_app" })
      const ran = yield* run("manage info target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      const [where, head, ...rows] = ran.stdout.trimEnd().split("\n")
      assert.match(where!, /^deploy@host\.test:\/srv\/my_app \(1\.0 GB free\)$/)
      assert.match(head!, /Name +Ref +Built \(UTC\) +Deployed \(UTC\) +Tags/)
      assert.deepStrictEqual(
        rows.map((row) =>
          row
            .trim()
            .replaceAll(/ +/g, " ")
            .replaceAll(/2026-\S+ \S+ /g, "")
        ),
        [
          "current my_app AAAAAAAA prod",
          "other_app DDDDDDDD prod, latest",
          "my_app CCCCCCCC prod, latest",
          "my_app BBBBBBBB prod"
        ]
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage info of a target describes current if it is not a release.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith(undefined, { digit: "A" })
      for (const [arrange, said] of [
        [() => undefined, "Nothing is current"],
        [() => host.link(prodPath, refOf("F")), "current leads to FFFFFFFF, which is gone or incomplete"],
        [
          () => host.files.link(`${prodPath}/releases/current`, "/opt/else"),
          "current leads to /opt/else, which is not a release"
        ],
        [
          () => {
            host.files.remove(`${prodPath}/releases/current`)
            host.files.makeDirectory(`${prodPath}/releases/current`)
          },
          "current is a directory, not a link"
        ]
      ] as const) {
        arrange()
        const ran = yield* run("manage info target=prod")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(ran.stdout.split("\n")[1], said)
        assert.include(ran.stdout, "AAAAAAAA")
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage info of a target shows one release in full, with its size on disk.", () =>
    Effect.gen(function* () {
      yield* hostWith("B", ...three)
      const ran = yield* run("manage info bbbb target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, new RegExp(`^name +my_app\nref +${refOf("B")}\n`))
      assert.include(ran.stdout, `deploy@host.test:${folder("B")} (current)`)
      assert.match(ran.stdout, /size +[1-9]\S* kB unpacked/)
      const unknown = yield* run("manage info target=prod 1234")
      assert.strictEqual(unknown.status, 2)
      assert.strictEqual(
        unknown.stderr,
        'deployer: There is no release "1234" on deploy@host.test (it has my_app BBBBBBBB, my_app CCCCCCCC, my_app AAAAAAAA)\n'
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage verbs say that nothing was deployed to a host yet, and change nothing there.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      for (const verb of ["info", "info AAAA", "prune my_app", "delete AAAA", "ln AAAA", "integrity", "integrity -f"]) {
        const ran = yield* run(`manage ${verb} target=prod`)
        assert.strictEqual(ran.status, 1, verb)
        assert.strictEqual(
          ran.stderr,
          "deployer: Nothing has been deployed to /srv/my_app on deploy@host.test yet: deploy to it first (deployer deploy target=prod)\n"
        )
      }
      assert.deepStrictEqual(host.files.below("/"), [])
    }).pipe(Effect.provide(world()))
  )
})

describe("manage prune", () => {
  it.scoped("Manage prune of the store shows the releases to remove, asks, and keeps the latest.", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 3; i++) yield* built
      const ran = yield* run("manage prune name=my_app", "y")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.asked[0]!, /^Remove these 2 releases and free [0-9]+ B\?$/)
      assert.match(ran.stderr, /^To be removed from the store: my_app [0-9A-F]{8}, [0-9]+ B\nTo be removed/)
      assert.match(ran.stdout, /^Removed my_app [0-9A-F]{8}, my_app [0-9A-F]{8} from the store: [0-9]+ B freed\n$/)
      assert.deepStrictEqual(yield* ids, [3])
      const again = yield* run("manage prune name=my_app")
      assert.strictEqual(again.status, 0)
      assert.strictEqual(again.stdout, "Nothing to remove from the store\n")
      assert.deepStrictEqual(again.asked, [])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune of the store removes nothing on no, on Ctrl-C or without a terminal.", () =>
    Effect.gen(function* () {
      yield* built
      yield* built
      for (const [answers, status] of [
        [["n"], 1],
        [[""], 1],
        [[ctrlC], 130],
        [[], 3]
      ] as const) {
        const ran = yield* run("manage prune my_app", ...answers)
        assert.strictEqual(ran.status, status)
        assert.strictEqual(ran.stdout, "")
        assert.deepStrictEqual(yield* ids, [1, 2])
      }
      const ran = yield* run("manage prune my_app yes")
      assert.strictEqual(ran.status, 0)
      assert.deepStrictEqual(ran.asked, [])
      assert.deepStrictEqual(yield* ids, [2])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune of a host keeps the latest and the current release.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three, { digit: "D" }, { digit: "E", name: "other_app" })
      const ran = yield* run("manage prune name=my_app target=prod", "y")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.asked[0]!, /^Remove these 2 releases and free [0-9]+ kB\?$/)
      assert.match(ran.stdout, /^Removed my_app AAAAAAAA, my_app CCCCCCCC from deploy@host\.test: [0-9]+ kB freed\n$/)
      assert.deepStrictEqual(onHost(host), ["B", "D", "E"])
      assert.strictEqual(currentRef(host), refOf("B"))
      assert.deepStrictEqual(logged(host), [
        ["removed", "A"],
        ["removed", "C"]
      ])
      const again = yield* run("manage prune name=my_app target=prod")
      assert.strictEqual(again.status, 0)
      assert.strictEqual(again.stdout, "Nothing to remove from deploy@host.test\n")
      assert.deepStrictEqual(onHost(host), ["B", "D", "E"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune of a host whose journal was lost keeps the releases that may be pinned.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      assert.strictEqual((yield* run("manage pin ref=AAAA target=prod")).status, 0)
      host.files.remove(journalPath)
      const ran = yield* run("manage prune name=my_app target=prod yes")
      assert.strictEqual(ran.status, 0)
      assert.match(ran.stderr, /The journal on .* says nothing about my_app AAAAAAAA, my_app BBBBBBBB, so they may be/)
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
      assert.strictEqual((yield* run("manage delete ref=BBBB target=prod yes")).status, 0)
      assert.deepStrictEqual(onHost(host), ["A", "C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune of a host refuses while a journal line is unreadable, because it may be a pin.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      host.files.write(journalPath, `${host.files.read(journalPath)}{"event":"p\0\0ned"}\n`)
      const ran = yield* run("manage prune name=my_app target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(
        ran.stderr,
        /Nothing was removed from .*: 1 line of the journal there cannot be read.*repair target=prod/
      )
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
      assert.match((yield* run("repair target=prod yes")).stderr, /pin again each release that has to stay/)
      assert.strictEqual((yield* run("manage prune name=my_app target=prod yes")).status, 0)
      assert.deepStrictEqual(onHost(host), ["C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped(
    "Manage prune of a host removes nothing on no, on Ctrl-C or without a terminal, and spares the store.",
    () =>
      Effect.gen(function* () {
        yield* built
        yield* built
        const host = yield* hostWith("C", ...three)
        for (const [answers, status] of [
          [["n"], 1],
          [[ctrlC], 130],
          [[], 3]
        ] as const) {
          const ran = yield* run("manage prune my_app target=prod", ...answers)
          assert.strictEqual(ran.status, status)
          assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
        }
        // Wherever the target stands.
        const ran = yield* run("manage target=prod prune my_app yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(onHost(host), ["C"])
        assert.deepStrictEqual(yield* ids, [1, 2])
      }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune lists the known names if no release has the given one.", () =>
    Effect.gen(function* () {
      const empty = yield* run("manage prune name=my_app")
      assert.strictEqual(empty.status, 2)
      yield* built
      yield* hostWith("A", ...three)
      const local = yield* run("manage prune name=my_ap yes")
      assert.strictEqual(local.status, 2)
      assert.strictEqual(
        local.stderr,
        'deployer: No release has the name "my_ap" (known: my_app; did you mean "my_app"?)\n'
      )
      const remote = yield* run("manage prune name=my_ap target=prod yes")
      assert.strictEqual(remote.status, 2)
      assert.strictEqual(remote.stderr, 'deployer: There is no release "my_ap" on deploy@host.test (it has my_app)\n')
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage prune fails with the host's reason if it cannot remove a release.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      host.failStep("remove", "Operation not permitted")
      const ran = yield* run("manage prune my_app target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /deployer: Could not remove releases on deploy@host\.test: Operation not permitted\n$/)
      assert.strictEqual(ran.stdout, "")
      assert.deepStrictEqual(logged(host), [])
    }).pipe(Effect.provide(world()))
  )
})

describe("manage delete", () => {
  it.scoped("Manage delete removes one release of the store, and latest passes to the newest one left.", () =>
    Effect.gen(function* () {
      const releases = [yield* built, yield* built, yield* built]
      const ran = yield* run(`manage delete ref=${releases[2]!.ref.slice(0, 4)}`, "y")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.asked[0]!, /^Remove this release and free [0-9]+ B\?$/)
      assert.match(ran.stdout, /^Removed my_app [0-9A-F]{8} from the store: [0-9]+ B freed\n$/)
      assert.deepStrictEqual(
        (yield* stored).map(({ id, isLatest }) => [id, isLatest]),
        [
          [1, false],
          [2, true]
        ]
      )
      const no = yield* run("manage delete 1", "n")
      assert.strictEqual(no.status, 1)
      assert.strictEqual(no.stderr.split("\n").at(-2), "deployer: The answer was no: nothing was removed")
      assert.deepStrictEqual(yield* ids, [1, 2])
      assert.strictEqual((yield* run("manage delete 1 yes")).status, 0)
      assert.deepStrictEqual(yield* ids, [2])
      const gone = yield* run("manage delete 1 yes")
      assert.strictEqual(gone.status, 2)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage delete removes one release of a host, but never the current one.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      const refused = yield* run("manage delete BBBB target=prod yes")
      assert.strictEqual(refused.status, 1)
      assert.strictEqual(
        refused.stderr,
        "deployer: my_app BBBBBBBB is the current release on deploy@host.test and was not removed: make another one current first (deployer manage ln ref=REF target=prod)\n"
      )
      for (const [answer, status] of [
        ["n", 1],
        [ctrlC, 130]
      ] as const) {
        assert.strictEqual((yield* run("manage delete CCCC target=prod", answer)).status, status)
      }
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
      yield* run("manage pin CCCC target=prod")
      const ran = yield* run("manage delete CCCC target=prod", "y")
      assert.match(ran.stderr, /my_app [0-9A-F]{8} is pinned/)
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /^Removed my_app CCCCCCCC from deploy@host\.test: [0-9]+ kB freed\n$/)
      assert.deepStrictEqual(onHost(host), ["A", "B"])
      assert.strictEqual(currentRef(host), refOf("B"))
      // On the host latest is the last deployed of those that are there.
      assert.match((yield* run("manage info target=prod")).stdout, /current +my_app +BBBBBBBB .*latest/)
      assert.deepStrictEqual(logged(host), [
        ["pinned", "C"],
        ["removed", "C"]
      ])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage delete of a host takes ids and refs, and refuses those that several releases have.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("A", { digit: "A" })
      host.plantRelease(prodPath, hostRelease({ ref: `ABCD1${"0".repeat(27)}` }))
      host.plantRelease(prodPath, hostRelease({ ref: `ABCD2${"0".repeat(27)}` }))
      const several = yield* run("manage delete abcd target=prod yes")
      assert.strictEqual(several.status, 2)
      assert.strictEqual(
        several.stderr,
        'deployer: "abcd" is the beginning of several refs (ABCD1000, ABCD2000): give more of it\n'
      )
      const shared = yield* run("manage delete 1 target=prod yes")
      assert.strictEqual(shared.status, 2)
      assert.match(
        shared.stderr,
        /^deployer: 3 releases there have the id 1 \(.*\), because they came from different stores: name one by its ref$/m
      )
      host.plantRelease(prodPath, hostRelease({ ref: refOf("E"), id: 5 }))
      const byId = yield* run("manage delete 5 target=prod yes")
      assert.strictEqual(byId.status, 0, byId.stderr)
      for (const word of ["my_app", "2", "ABC"]) {
        const ran = yield* run(`manage delete ${word} target=prod yes`)
        assert.strictEqual(ran.status, 2, word)
        assert.include(ran.stderr, `deployer: There is no release "${word}" on deploy@host.test (it has `)
      }
    }).pipe(Effect.provide(world()))
  )
})

describe("manage ln", () => {
  it.scoped("Manage ln makes another release current, and does nothing for the current one.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      const ran = yield* run("manage ln ref=AAAA target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, [])
      assert.match(ran.stdout, /^my_app AAAAAAAA is current on deploy@host\.test now; restart the application/)
      assert.strictEqual(currentRef(host), refOf("A"))
      assert.deepStrictEqual(logged(host), [["linked", "A"]])
      const again = yield* run("manage ln aaaa target=prod")
      assert.strictEqual(again.stdout, "my_app AAAAAAAA is current on deploy@host.test already: nothing to do\n")
      assert.deepStrictEqual(logged(host), [["linked", "A"]])
      const unknown = yield* run("manage ln ref=FFFF target=prod")
      assert.strictEqual(unknown.status, 2)
      assert.strictEqual(currentRef(host), refOf("A"))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage ln replaces a dead link, and leaves a real directory alone.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("F", ...three)
      assert.strictEqual((yield* run("manage ln AAAA target=prod")).status, 0)
      assert.strictEqual(currentRef(host), refOf("A"))
      host.files.remove(`${prodPath}/releases/current`)
      host.files.write(`${prodPath}/releases/current/data`, "precious")
      const ran = yield* run("manage ln BBBB target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /^deployer: \/srv\/my_app\/releases\/current on deploy@host\.test is not a link/)
      assert.strictEqual(host.files.read(`${prodPath}/releases/current/data`), "precious")
    }).pipe(Effect.provide(world()))
  )
})

describe("manage integrity", () => {
  const damage = (host: MemoryHost, digit: string) => host.files.write(`${folder(digit)}/my_app/version`, "evil")

  it.scoped("Manage integrity finds nothing wrong if everything is as it was deployed.", () =>
    Effect.gen(function* () {
      yield* hostWith("B", ...three)
      const ran = yield* run("manage integrity deep target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.strictEqual(ran.stderr, "")
      assert.strictEqual(
        ran.stdout,
        [
          "deploy@host.test: current leads to a complete release",
          "my_app BBBBBBBB (current): whole",
          "my_app CCCCCCCC: whole",
          "my_app AAAAAAAA: whole\n"
        ].join("\n")
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity deep names each file that differs or is missing, and fails.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      damage(host, "A")
      host.files.remove(`${folder("C")}/my_app/bin`)
      host.files.remove(`${folder("C")}/my_app/version`)
      const ran = yield* run("manage integrity deep target=prod")
      assert.strictEqual(ran.status, 1)
      assert.include(ran.stderr, "warning: my_app AAAAAAAA on deploy@host.test: changed my_app/version\n")
      assert.include(
        ran.stderr,
        "warning: my_app CCCCCCCC on deploy@host.test: missing my_app/version, missing my_app/bin/my_app\n"
      )
      assert.match(ran.stdout, /my_app AAAAAAAA: broken \(1 fault\)\n/)
      assert.match(ran.stdout, /my_app CCCCCCCC: broken \(2 faults\)\n/)
      assert.strictEqual(
        ran.stderr.split("\n").at(-2),
        "deployer: 2 things are wrong on deploy@host.test: remove the other broken ones with deployer manage integrity deep fix target=prod"
      )
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity without deep compares only paths and types, and says so.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      damage(host, "A")
      host.files.remove(`${folder("C")}/my_app/version`)
      const ran = yield* run("manage integrity target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stdout, /\nmy_app CCCCCCCC: broken \(1 fault\)\nmy_app AAAAAAAA: all there\n$/)
      assert.include(ran.stderr, "deployer manage integrity fix target=prod")
      assert.strictEqual((yield* run("manage integrity -f target=prod yes")).status, 0)
      assert.deepStrictEqual(onHost(host), ["A", "B"])
      assert.strictEqual((yield* run("manage integrity deep -f target=prod yes")).status, 0)
      assert.deepStrictEqual(onHost(host), ["B"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity records the removal of an unreadable release if the journal knows its name.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      const healthy = journalEntry({ event: "healthy", release: { name: "my_app", ref: refOf("A") } })
      host.files.write(`${prodPath}/config/journal`, `${Schema.encodeSync(JournalEntryJson)(healthy)}\n`)
      host.files.write(`${folder("A")}/.deployer_release.json`, "garbage\n")
      assert.strictEqual((yield* run("manage integrity -f target=prod yes")).status, 0)
      const last = host.files.read(`${prodPath}/config/journal`)?.trim().split("\n").at(-1) ?? ""
      assert.deepInclude(JSON.parse(last), { event: "removed", release: { name: "my_app", ref: refOf("A") } })
      assert.notInclude((yield* run("status target=prod")).stdout, "its folder is gone")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity reports a current link that is missing, dead or foreign, with or without -f.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("F", { digit: "A" })
      for (const [arrange, said] of [
        [() => undefined, "current leads to FFFFFFFF, which is gone or incomplete"],
        [() => host.files.remove(`${prodPath}/releases/current`), "there is no current link"],
        [() => host.files.link(`${prodPath}/releases/current`, "/opt"), "current leads to /opt, which is not a release"]
      ] as const) {
        arrange()
        for (const fix of ["", "-f yes"]) {
          const ran = yield* run(`manage integrity target=prod ${fix}`)
          assert.strictEqual(ran.status, 1)
          assert.include(ran.stdout, `deploy@host.test: ${said}\n`)
          assert.deepStrictEqual(ran.asked, [])
          assert.match(
            ran.stderr,
            /deployer: 1 thing is wrong on deploy@host\.test: make a whole release current with deployer manage ln ref=REF target=prod, or deploy one\n$/
          )
          assert.deepStrictEqual(onHost(host), ["A"])
        }
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity -f removes broken releases after a question.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      damage(host, "A")
      damage(host, "C")
      const no = yield* run("manage integrity deep -f target=prod", "n")
      assert.strictEqual(no.status, 1)
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
      const ran = yield* run("manage integrity deep -f target=prod", "y")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /my_app AAAAAAAA: broken \(1 fault\), removed\n/)
      assert.deepStrictEqual(onHost(host), ["B"])
      assert.deepStrictEqual(logged(host), [
        ["removed", "C"],
        ["removed", "A"]
      ])
      const again = yield* run("manage integrity deep fix target=prod")
      assert.strictEqual(again.status, 0, again.stderr)
      assert.deepStrictEqual(again.asked, [])
    }).pipe(Effect.provide(world()))
  )

  it("Manage integrity fails and calls a release unproven if the login cannot read all of it.", () => {
    const report = Integrity.make({
      ...{ target: "prod", address: "host.test", removed: [], deep: true },
      releases: [{ name: "my_app", ref: refOf("A"), current: true, previous: false, faults: [], unreadable: 2 }]
    })
    assert.include(integrityView(report)(80), "my_app AAAAAAAA (current): ! unproven (2 paths unreadable)")
    const { message } = Effect.runSync(Effect.flip(failUnlessIntact(report)))
    assert.match(message, /^1 release on host\.test cannot be read completely by this login, and may be damaged: use/)
  })

  it.scoped("Manage integrity -f leaves a pinned release, and says so.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("C", ...three)
      yield* run("manage pin ref=AAAA target=prod")
      host.files.remove(`${folder("A")}/my_app/version`)
      const ran = yield* run("manage integrity -f target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.include(ran.stderr, "stays: it is pinned")
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage integrity -f keeps the live release and the way back, and says how to put their files right.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("B", ...three)
      const live = (digit: string) => [
        journalEntry({ event: "switched", release: { name: "my_app", ref: refOf(digit) } }),
        journalEntry({ event: "healthy", release: { name: "my_app", ref: refOf(digit) } })
      ]
      const lines = [...live("C"), ...live("B")].map((entry) => `${Schema.encodeSync(JournalEntryJson)(entry)}\n`)
      host.files.write(`${prodPath}/config/journal`, lines.join(""))
      for (const digit of ["A", "B", "C"]) damage(host, digit)
      const ran = yield* run("manage integrity deep -f target=prod", "y")
      assert.strictEqual(ran.status, 1)
      assert.lengthOf(ran.asked, 1)
      assert.deepStrictEqual(onHost(host), ["B", "C"])
      assert.strictEqual(currentRef(host), refOf("B"))
      assert.include(
        ran.stderr,
        "my_app BBBBBBBB stays: it is live. Repair its files with deployer deploy target=prod release=BBBBBBBB retry\n"
      )
      assert.include(ran.stderr, "my_app CCCCCCCC stays: it is the release that rollback goes to.")
      assert.match(
        ran.stderr,
        /2 things are wrong on deploy@host\.test: repair the files of a needed one with deployer deploy target=prod release=BBBBBBBB retry\n$/
      )
      assert.strictEqual((yield* run("manage integrity deep -f target=prod yes")).status, 1)
      assert.deepStrictEqual(onHost(host), ["B", "C"])
    }).pipe(Effect.provide(world()))
  )
})

describe("manage without a word that it needs", () => {
  it.scoped("Manage verbs name a missing argument.", () =>
    Effect.gen(function* () {
      yield* hostWith("A", ...three)
      for (const [line, said] of [
        ["manage prune", "This needs a name, as in: deployer manage prune name=my_app"],
        ["manage delete", "This needs a ref, as in: deployer manage delete ref=3F2A"],
        ["manage delete target=prod", "This needs a ref, as in: deployer manage delete ref=3F2A"],
        ["manage ln target=prod", "This needs a ref, as in: deployer manage ln ref=3F2A target=prod"]
      ] as const) {
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 2, line)
        assert.strictEqual(ran.stderr, `deployer: ${said}\n`)
      }
      for (const [verb, word] of [
        ["prune name=my_app target=prod plan yes", "plan"],
        ["delete ref=A target=prod plan yes", "plan"],
        ["info ref=A target=prod all_of_it", "all_of_it"]
      ] as const) {
        const before = yield* Effect.map(hostNamed(), ({ files }) => files.below("/"))
        const ran = yield* run(`manage ${verb}`)
        assert.strictEqual(ran.status, 2, verb)
        assert.include(ran.stderr, `"${word}" is not a word of this command`)
        assert.deepStrictEqual(yield* Effect.map(hostNamed(), ({ files }) => files.below("/")), before)
      }
      for (const verb of ["ln AAAA", "integrity"]) {
        const ran = yield* run(`manage ${verb}`)
        assert.strictEqual(ran.status, 2, verb)
        assert.match(ran.stderr, /^deployer: .*needs target/)
      }
      const unknown = yield* run("manage prnue my_app")
      assert.strictEqual(unknown.status, 2)
      assert.match(unknown.stderr, /"prnue".*prune/)
      const target = yield* run("manage info target=prdo")
      assert.strictEqual(target.status, 2)
      assert.match(target.stderr, /did you mean "prod"/)
    }).pipe(Effect.provide(world()))
  )
})

describe("a release that is not whole", () => {
  const gutted = Effect.gen(function* () {
    for (let count = 0; count < 2; count++) {
      yield* built
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
    }
    const [one, two] = yield* stored
    if (one === undefined || two === undefined) return assert.fail("two releases should be in the store")
    const host = yield* hostNamed()
    host.files.remove(`${prodPath}/releases/deployer_${one.ref}/my_app`)
    return { host, one, two }
  })

  it.scoped(
    "A release that lacks files cannot become live by rollback or ln, and the message says how to mend it.",
    () =>
      Effect.gen(function* () {
        const { host, one, two } = yield* gutted
        for (const line of ["rollback target=prod", `manage ln ref=${one.ref} target=prod`]) {
          const ran = yield* run(line)
          assert.strictEqual(ran.status, 1, ran.stderr)
          assert.match(
            ran.stderr.replaceAll(/\s+/g, " "),
            /is not whole \(missing my_app.*\), so nothing was switched: repair it with deployer deploy target=prod release=[0-9A-F]{8} retry, or choose another release/
          )
          assert.strictEqual(currentRef(host), two.ref)
        }
      }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy sends a release again if its copy on the host lacks files.", () =>
    Effect.gen(function* () {
      const { host, one } = yield* gutted
      const ran = yield* run(`deploy target=prod release=${one.id} yes`)
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "has changed since it was unpacked (missing my_app")
      assert.strictEqual(currentRef(host), one.ref)
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world()))
  )
})

describe("manage prune on a host", () => {
  it.scoped("Without a name, manage prune on a host prunes the releases of the target's name.", () =>
    Effect.gen(function* () {
      const host = yield* hostWith("A", ...three)
      const ran = yield* run("manage prune target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.isBelow(onHost(host).length, three.length)
    }).pipe(Effect.provide(world()))
  )
})
