import { randomBytes } from "node:crypto"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { docker } from "../../src/build/Artifact.ts"
import { Metadata, type Release } from "../../src/domain/Release.ts"
import type { MemoryHost, MemoryStep } from "../../src/host/MemoryHost.ts"
import {
  AuthenticationFailed,
  type ConnectFailure,
  HostKeyRejected,
  HostUnreachable,
  KeyUnusable,
  KeyVariableUnusable
} from "../../src/host/RemoteHost.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { ctrlC, PromptAborted, PromptUnavailable } from "../../src/terminal/Prompt.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { elf } from "../kit/elf.ts"
import { hostRelease, refOf } from "../kit/samples.ts"
import {
  built,
  currentRef,
  hostNamed,
  prodHost,
  prodPath,
  projectFolder,
  run,
  stored,
  usualConfig,
  world
} from "../kit/world.ts"

const address = "deploy@host.test"

const withTarget = (settings: Partial<NonNullable<ConfigInput["targets"]>[string]>): ConfigInput => ({
  ...usualConfig,
  targets: { prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath, ...settings } }
})

/** A release in the store that no build made. */
const planted = (name: string, ref: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* ReleaseStore
      const parcel = yield* store.receive(Stream.make(new TextEncoder().encode(ref)))
      const createdAt = yield* DateTime.now
      return yield* store.add(
        { ...parcel, ref },
        { name, tags: [], createdAt, metadata: Metadata.make({}), manifest: [] }
      )
    })
  )

/** The names in `releases/` that belong neither to a release nor to the link. */
const leftovers = (host: MemoryHost, path = prodPath) =>
  host.files.names(`${path}/releases`).filter((name) => name !== "current" && !name.startsWith("deployer_"))

const logged = (host: MemoryHost, path = prodPath): ReadonlyArray<string> =>
  host.journal(path).map(({ event }) => event)

/** Whether all files of a release are there under `current`. */
const isWhole = (host: MemoryHost, path = prodPath): boolean =>
  host.files.read(`${path}/releases/current/.deployer_release.json`) !== undefined &&
  host.files.read(`${path}/releases/current/my_app/version`) !== undefined

describe("deploy", () => {
  it.scoped("Deploy asks about the latest release, deploys it and makes it current.", () =>
    Effect.gen(function* () {
      const release = yield* built
      const ran = yield* run("deploy target=prod", "")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.lengthOf(ran.asked, 1)
      assert.match(ran.asked[0]!, /my_app [0-9A-F]{8} .*is the latest of my_app. Deploy it to prod\?/)
      assert.match(ran.stdout, /my_app [0-9A-F]{8} \(id 1\) is live at deploy@host\.test:\/srv\/my_app/)
      assert.match(ran.stderr, /First contact: made \/srv\/my_app/)
      const host = yield* hostNamed()
      assert.strictEqual(currentRef(host), release.ref)
      assert.isDefined(host.files.bytes(`${prodPath}/releases/current/my_app/bin/my_app`))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy does nothing for the current release, and says so.", () =>
    Effect.gen(function* () {
      yield* built
      yield* run("deploy target=prod yes")
      const host = yield* hostNamed()
      host.steps.length = 0
      const again = yield* run("deploy target=prod yes")
      assert.strictEqual(again.status, 0)
      assert.match(again.stdout, /live at .* already: nothing to do/)
      assert.deepStrictEqual(host.steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy by id links an older release again without a question, and moves latest to it.", () =>
    Effect.gen(function* () {
      const first = yield* built
      yield* run("deploy target=prod yes")
      yield* run("build_and_deploy target=prod")
      const ran = yield* run("deploy target=prod release=1")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, [])
      assert.match(ran.stdout, / is live again at /)
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
      const info = yield* run("manage info target=prod")
      assert.match(info.stdout, new RegExp(`current +my_app +${first.ref.slice(0, 8)}.*latest`))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy verifies an older release before it is live again, and sends it again if a file has changed.", () =>
    Effect.gen(function* () {
      const first = yield* built
      yield* run("deploy target=prod yes")
      yield* run("build_and_deploy target=prod")
      const host = yield* hostNamed()
      const file = `${prodPath}/releases/deployer_${first.ref}/my_app/bin/my_app`
      host.files.write(file, "evil", 0o755)
      const ran = yield* run("deploy target=prod release=1")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "has changed since it was unpacked (changed my_app/bin/my_app): sending it again")
      assert.strictEqual(host.files.read(file), "#!/bin/sh\n")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy sends the latest release again if it changed after a rollback, and runs afterUnpack in it.", () =>
    Effect.gen(function* () {
      yield* built
      yield* run("deploy target=prod yes")
      yield* run("build_and_deploy target=prod")
      assert.strictEqual((yield* run("rollback target=prod")).status, 0)
      const host = yield* hostNamed()
      const [, second = assert.fail("there is no second release")] = yield* stored
      const file = `${prodPath}/releases/deployer_${second.ref}/my_app/bin/my_app`
      host.files.write(file, "evil", 0o755)
      const steps = host.steps.length
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "has changed since it was unpacked (changed my_app/bin/my_app): sending it again")
      assert.strictEqual(host.files.read(file), "#!/bin/sh\n")
      assert.strictEqual(currentRef(host), second.ref)
      assert.includeMembers([...host.steps.slice(steps)], ["verify", "stage", "run", "alterations", "activate"])
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            targets: { prod: { host: prodHost, name: "my_app", path: prodPath, afterUnpack: "link" } }
          }
        })
      )
    )
  )

  it.scoped("Deploy blames this machine if a tarball of its own store is damaged.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const ran = yield* Effect.gen(function* () {
        yield* built
        const [tarball = ""] = readdirSync(join(root, "deployer/release_store")).filter((name) => name.endsWith(".gz"))
        const file = join(root, "deployer/release_store", tarball)
        const bytes = readFileSync(file)
        // One flipped bit in the middle, as on a failing disk.
        bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1)
        writeFileSync(file, bytes)
        return yield* run("deploy target=prod yes")
      }).pipe(Effect.provide(world({ root })))
      assert.strictEqual(ran.status, 1)
      assert.include(ran.stderr, "is not what was stored (its SHA-256 is another one)")
    })
  )

  it.scoped("Deploy with plan prints the plan and touches nothing.", () =>
    Effect.gen(function* () {
      yield* built
      const ran = yield* run("deploy target=prod plan")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(
        ran.stdout
          .split("\n")
          .slice(1, -1)
          .map((line) => line.trim().replace(/[0-9A-F]{8}/, "REF")),
        [
          "built 1970-01-01 00:00:00 UTC by builder prod, tag prod",
          "1. make /srv/my_app with config/ and releases/",
          `2. ${ran.stdout.match(/upload \S+ \S+/)?.[0]}`,
          "3. unpack and verify every file",
          "4. record it as the latest of its name",
          "5. switch current to my_app REF",
          "6. record that it succeeded"
        ]
      )
      assert.deepStrictEqual((yield* hostNamed()).steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy offers all releases after a no, and deploys the chosen one.", () =>
    Effect.gen(function* () {
      const first = yield* built
      yield* run("build target=prod")
      // The list begins with the latest, and its ids are the numbers to type.
      const ran = yield* run("deploy target=prod", "n", "1", "")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(
        ran.asked.at(-1) ?? "",
        /^Deploy my_app [0-9A-F]{8} \(id 1, built just now by builder prod, tag prod\) to prod\?$/
      )
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
      const no = yield* run("deploy target=prod", "n", "2", "n")
      assert.strictEqual(no.status, 1)
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy fails if there is no terminal to ask on, and leaves the host alone.", () =>
    Effect.gen(function* () {
      yield* built
      const ran = yield* run("deploy target=prod")
      assert.strictEqual(ran.status, 3)
      assert.match(ran.stderr, /no terminal to ask.*release=1/s)
      assert.deepStrictEqual((yield* hostNamed()).steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy runs hooks in the release, and removes the release if one fails before the switch.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      host.onRun = ({ command }) => (command === "bad" ? { exitCode: 7, output: "no such table\n" } : {})
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /no such table/)
      assert.match(ran.stderr, /afterUnpack command "bad" .* ended with status 7 .* nothing was switched/)
      assert.isUndefined(currentRef(host))
      const state = yield* run("manage info target=prod")
      assert.match(state.stdout, /No releases/)
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            targets: { prod: { host: prodHost, name: "my_app", path: prodPath, afterUnpack: ["good", "bad", "never"] } }
          }
        })
      )
    )
  )

  it.scoped("Deploy records the changes that afterUnpack makes, and checks accept them from then on.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      const linkSettings = ({ ref }: { readonly ref: string }) => {
        host.files.remove(`${prodPath}/releases/deployer_${ref}/my_app/version`)
        host.files.link(`${prodPath}/releases/deployer_${ref}/my_app/version`, "/srv/shared/version")
      }
      host.onRun = ({ command, ref = "" }) => {
        if (command === "link") linkSettings({ ref })
        return {}
      }
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "afterUnpack changed my_app/version: checks expect this change from now on\n")
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      assert.strictEqual((yield* run("manage integrity deep -f target=prod yes")).status, 0)
      // The next release takes no changed file from it.
      yield* built
      const next = yield* run("deploy target=prod yes")
      assert.strictEqual(next.status, 0, next.stderr)
      assert.notInclude(next.stderr, "sending the whole release")
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      // A change after that is damage, and retry puts it right.
      const { ref } = (yield* stored).at(-1)!
      const file = `${prodPath}/releases/deployer_${ref}/my_app/bin/my_app`
      host.files.write(file, "evil", 0o755)
      assert.strictEqual((yield* run("manage integrity deep target=prod")).status, 1)
      assert.include(
        (yield* run("deploy target=prod yes")).stderr + (yield* run("deploy target=prod yes")).stdout,
        "already"
      )
      const steps = host.steps.length
      const again = yield* run("deploy target=prod yes retry")
      assert.strictEqual(again.status, 0, again.stderr)
      assert.include(again.stderr, "has changed since it was unpacked (changed my_app/bin/my_app): sending it again")
      assert.strictEqual(host.files.read(file), "#!/bin/sh\n")
      assert.includeMembers([...host.steps.slice(steps)], ["verify", "stage", "run", "alterations", "activate"])
      assert.strictEqual((yield* run("manage integrity deep target=prod")).status, 0)
      // An older one that becomes the latest again keeps the record of it.
      const older = (yield* stored)[0]!
      assert.strictEqual((yield* run(`deploy target=prod release=${older.id}`)).status, 0)
      const record = host.files.read(`${prodPath}/releases/deployer_${older.ref}/.deployer_release.json`)
      assert.include(record, '"altered":true')
      // Nothing is sent if nothing is damaged.
      const before = host.steps.length
      assert.strictEqual((yield* run("deploy target=prod yes retry")).status, 0)
      assert.notInclude(host.steps.slice(before), "stage")
    }).pipe(Effect.provide(world({ config: withTarget({ afterUnpack: "link" }) })))
  )

  it.scoped("Deploy with retry leaves a release in its place if its afterUnpack command fails.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
      const live = currentRef(host)
      host.onRun = () => ({ exitCode: 7 })
      const ran = yield* run("deploy target=prod yes retry")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /ended with status 7 on .*: nothing was switched, and the release stays there\n/)
      assert.strictEqual(currentRef(host), live)
      assert.match((yield* run("manage info target=prod")).stdout, /current/)
    }).pipe(Effect.provide(world({ config: withTarget({ afterUnpack: "link" }) })))
  )

  describe("the platform of the release and of the host", () => {
    const glibc = "/lib64/ld-linux-x86-64.so.2"
    const image = () => ({
      files: {
        "/app/_build/prod/rel/my_app/bin/my_app": { content: elf({ interpreter: glibc }), mode: 0o755 }
      }
    })
    for (const [what, arrange, said] of [
      [
        "another processor",
        (host: MemoryHost) => {
          host.machine = "aarch64"
        },
        `The release holds programs for x86_64, and ${address} is aarch64: build it for the host`
      ],
      [
        "another C library",
        (host: MemoryHost) => {
          host.loaders = ["/lib/ld-musl-x86_64.so.1"]
        },
        `The programs of the release are started by ${glibc}, and ${address} has only /lib/ld-musl-x86_64.so.1: it has another C library`
      ],
      [
        "a disk from which nothing can be started",
        (host: MemoryHost) => {
          host.mount = { point: "/srv", type: "ext4", readOnly: false, noExec: true }
        },
        `${prodPath} on ${address} is on a file system that is mounted noexec`
      ]
    ] as const) {
      it.scoped(`Deploy refuses a host with ${what}.`, () =>
        Effect.gen(function* () {
          yield* built
          const host = yield* hostNamed()
          arrange(host)
          const ran = yield* run("deploy target=prod yes")
          assert.strictEqual(ran.status, 1)
          assert.include(ran.stderr, said)
          assert.deepStrictEqual(host.steps, ["inspect"])
        }).pipe(Effect.provide(world({ image })))
      )

      it.scoped(`Deploy accepts a host with ${what} if platformCheck is off.`, () =>
        Effect.gen(function* () {
          yield* built
          arrange(yield* hostNamed())
          const ran = yield* run("deploy target=prod yes")
          assert.strictEqual(ran.status, 0, ran.stderr)
        }).pipe(Effect.provide(world({ image, config: withTarget({ platformCheck: false }) })))
      )
    }

    it.scoped("Deploy accepts a host that fits the release.", () =>
      Effect.gen(function* () {
        const { metadata } = yield* built
        assert.deepStrictEqual(metadata.binaries, { machines: ["x86_64"], interpreters: [glibc] })
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
      }).pipe(Effect.provide(world({ image })))
    )
  })

  describe("hosts that are not fit", () => {
    const cases: ReadonlyArray<readonly [what: string, arrange: (host: MemoryHost) => void, said: string]> = [
      [
        "a file in the way of the path",
        (host) => host.files.write("/srv", "a file"),
        "/srv/my_app on deploy@host.test cannot hold releases: it, something above it, or config or releases in it is not a directory"
      ],
      [
        "a path that cannot be written",
        (host) => {
          host.files.makeDirectory("/srv")
          host.readOnly.add("/srv")
        },
        "/srv/my_app on deploy@host.test cannot be written by this user"
      ],
      [
        "a releases folder that cannot be written",
        (host) => {
          host.files.makeDirectory(`${prodPath}/config`)
          host.files.makeDirectory(`${prodPath}/releases`)
          host.readOnly.add(`${prodPath}/releases`)
        },
        "cannot be written by this user"
      ],
      [
        "a directory at current",
        (host) => host.files.makeDirectory(`${prodPath}/releases/current`),
        "/srv/my_app/releases/current on deploy@host.test is not a link but a directory that deployer did not make, so nothing can be switched: turn the directory into a release with deployer manage adopt"
      ],
      [
        "a file at current",
        (host) => host.files.write(`${prodPath}/releases/current`, ""),
        "is not a link but a file that deployer did not make, so nothing can be switched: move it away and deploy again"
      ],
      [
        "no tar and no hash program",
        (host) => {
          host.missingTools.add("tar")
          host.missingTools.add("sha256")
        },
        "deploy@host.test lacks tar and sha256sum, shasum or openssl: install"
      ],
      [
        "a disk that is too full",
        (host) => {
          host.freeBytes = 0
        },
        "/srv/my_app on deploy@host.test has 0 B free, and "
      ],
      [
        "a disk without inodes",
        (host) => {
          host.freeInodes = 2
        },
        "/srv/my_app on deploy@host.test has room for 2 more files and directories (inodes), and 8 are needed"
      ],
      [
        "a disk that is mounted read-only",
        (host) => {
          host.mount = { point: "/srv", type: "ext4", readOnly: true, noExec: false }
        },
        "/srv/my_app on deploy@host.test is on a file system that is mounted read-only: mount it for writing"
      ],
      [
        "a disk without symbolic links",
        (host) => {
          host.mount = { point: "/srv", type: "vfat", readOnly: false, noExec: false }
        },
        "is on a file system (vfat) that has no symbolic links"
      ]
    ]
    for (const [what, arrange, said] of cases) {
      it.scoped(`Deploy refuses a host with ${what}, and changes nothing.`, () =>
        Effect.gen(function* () {
          yield* planted("my_app", refOf("A"))
          const host = yield* hostNamed()
          arrange(host)
          const before = host.files.below("/")
          const ran = yield* run("deploy target=prod yes")
          assert.strictEqual(ran.status, 1)
          assert.include(ran.stderr, said)
          assert.match(ran.stderr, /^deployer: [^\n]*\n$/)
          assert.strictEqual(ran.stdout, "")
          assert.deepStrictEqual(host.steps, ["inspect"])
          assert.deepStrictEqual(host.files.below("/"), before)
          const plan = yield* run("deploy target=prod plan")
          assert.strictEqual(plan.status, 1)
          assert.strictEqual(plan.stderr, ran.stderr)
        }).pipe(Effect.provide(world()))
      )
    }

    it.scoped("Deploy refuses a directory that takes the place of current after the first look.", () =>
      Effect.gen(function* () {
        yield* built
        const host = yield* hostNamed()
        host.beforeStep = (step) =>
          step === "activate"
            ? Effect.sync(() => void host.files.makeDirectory(`${prodPath}/releases/current`))
            : Effect.void
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /current on deploy@host.test is not a link/)
      }).pipe(Effect.provide(world()))
    )
  })

  describe("takes the release", () => {
    const [ab1, ab2, c] = [`ABCD1${"0".repeat(27)}`, `ABCD2${"0".repeat(27)}`, `C0FFEE${"0".repeat(26)}`]

    it.scoped("Deploy finds a release by its id, its name, its ref or the beginning of its ref.", () =>
      Effect.gen(function* () {
        for (const ref of [ab1, ab2, c]) yield* planted("my_app", ref)
        const cases: ReadonlyArray<readonly [word: string, id: number]> = [
          ["1", 1],
          ["my_app", 3],
          [ab2, 2],
          ["C0FF", 3],
          ["abcd1", 1]
        ]
        for (const [word, id] of cases) {
          const ran = yield* run(`deploy target=prod release=${word} plan`)
          assert.include(ran.stdout, `(id ${id})`, word)
          const host = yield* hostNamed()
          host.failStep("prepare", "that far only")
          host.steps.length = 0
          const deployed = yield* run(`deploy target=prod release=${word} yes`)
          assert.deepStrictEqual(deployed.asked, [])
          assert.deepStrictEqual(host.steps, ["inspect", "prepare"])
        }
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy asks before it deploys a release that was chosen by name.", () =>
      Effect.gen(function* () {
        yield* built
        const named = yield* run("deploy target=prod release=my_app", "y")
        assert.strictEqual(named.status, 0, named.stderr)
        assert.lengthOf(named.asked, 1)
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy refuses a word that names several releases, and one that names no release.", () =>
      Effect.gen(function* () {
        for (const ref of [ab1, ab2, c]) yield* planted("my_app", ref)
        const ambiguous = yield* run("deploy target=prod release=ABCD yes")
        assert.strictEqual(ambiguous.status, 2)
        assert.strictEqual(
          ambiguous.stderr,
          `deployer: "ABCD" is the beginning of several refs (${ab1}, ${ab2}): give more of it\n`
        )
        for (const [word, more] of [
          ["my_ap", ""],
          ["C0F", "; a ref needs at least four digits"],
          ["99", ""],
          ["FFFF", ""]
        ] as const) {
          const ran = yield* run(`deploy target=prod release=${word} yes`)
          assert.strictEqual(ran.status, 2, word)
          assert.strictEqual(
            ran.stderr,
            `deployer: No release has the id, name or ref "${word}" (the store has releases of: my_app; see deployer manage info${more})\n`
          )
        }
        // A host may know an id or a ref that the store does not have.
        assert.strictEqual((yield* hostNamed()).connections, 2)
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy says so if the store is empty.", () =>
      Effect.gen(function* () {
        for (const line of ["deploy target=prod", "deploy target=prod yes", "deploy target=prod plan"]) {
          const ran = yield* run(line)
          assert.strictEqual(ran.status, 2, line)
          assert.strictEqual(ran.stderr, "deployer: my_app has not been built yet: deployer build target=prod\n")
        }
        const named = yield* run("deploy target=prod release=7")
        assert.strictEqual(named.status, 2)
        assert.match(named.stderr, /"7" \(the store is empty/)
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy asks before it deploys a release of another name, and yes does not answer that.", () =>
      Effect.gen(function* () {
        yield* run("build target=other")
        const host = yield* hostNamed()
        const question =
          /^Target prod runs my_app, but other_app .* \(id 1, .*\) is a release of other_app. Deploy it there anyway\?$/
        for (const [line, answers, status] of [
          ["deploy target=prod release=1", [], 3],
          ["deploy target=prod release=1 yes", [], 3],
          ["deploy target=prod release=other_app yes", [], 3],
          ["deploy target=prod release=1", [""], 1],
          ["deploy target=prod release=1", ["n"], 1],
          ["deploy target=prod release=1", [ctrlC], 130],
          ["deploy target=prod", ["1", "n"], 1]
        ] as const) {
          const ran = yield* run(line, ...answers)
          assert.strictEqual(ran.status, status, `${line} ${answers}`)
          assert.match(ran.asked.at(-1) ?? "", question)
          assert.match(
            ran.stderr,
            /deployer: .*(choose a release of my_app, or answer on a terminal|nothing was (deployed|changed))/
          )
        }
        assert.deepStrictEqual([...new Set(host.steps)], ["inspect"])
        const ran = yield* run("deploy target=prod release=1", "y")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.isDefined(host.files.read(`${prodPath}/releases/current/other_app/my_app/version`))
      }).pipe(
        Effect.provide(
          world({
            config: {
              ...usualConfig,
              targets: {
                ...usualConfig.targets,
                other: { host: "other.test", name: "other_app", path: "/srv/other", builder: "prod" }
              }
            }
          })
        )
      )
    )

    it.scoped("Deploy asks for an id of the list again until the answer is a valid one.", () =>
      Effect.gen(function* () {
        const first = yield* built
        const ran = yield* run("deploy target=prod", "perhaps", "n", "9", "nobody", "1", "y")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
      }).pipe(Effect.provide(world()))
    )
  })

  describe("and the builders of releases", () => {
    const stages = world({
      config: {
        targets: {
          prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath },
          staging: { host: "staging.test", user: "deploy", name: "my_app", path: prodPath }
        },
        builders: { prod: docker({ dockerfile: "Dockerfile" }), staging: docker({ dockerfile: "Dockerfile" }) }
      }
    })

    it.scoped("Deploy offers the latest release of the target's builder, also as latest and by its name.", () =>
      Effect.gen(function* () {
        yield* run("build target=prod")
        yield* run("build target=staging")
        for (const word of ["", " release=latest", " release=my_app"]) {
          const ran = yield* run(`deploy target=prod${word} plan`)
          assert.strictEqual(ran.status, 0, ran.stderr)
          assert.match(ran.stdout, /\(id 1\) to prod: .*\n {4}built .* by builder prod\n/)
        }
        const ran = yield* run("deploy target=prod release=latest yes")
        assert.match(ran.stdout, /\(id 1\) is live at/)
      }).pipe(Effect.provide(stages))
    )

    it.scoped("A release of another builder is offered as such, and neither Enter nor yes deploys it.", () =>
      Effect.gen(function* () {
        yield* run("build target=staging")
        const question =
          /\(id 1, built just now by builder staging\) is the latest of my_app, but it was built by builder staging, not by prod\. Deploy it to prod anyway\?$/
        const yes = yield* run("deploy target=prod yes")
        assert.strictEqual(yes.status, 3)
        assert.include(yes.stderr, "build one with deployer build target=prod, or name this one with release=1")
        const enter = yield* run("deploy target=prod", "", "1", "")
        assert.match(enter.asked[0] ?? "", question)
        assert.strictEqual(enter.status, 1)
        assert.isUndefined(currentRef(yield* hostNamed()))
        const named = yield* run("deploy target=prod release=1 yes")
        assert.strictEqual(named.status, 0, named.stderr)
        assert.match(named.stderr, /^my_app [0-9A-F]{8} was built by builder staging, not by prod$/m)
      }).pipe(Effect.provide(stages))
    )

    it.scoped("A release that only the host has is refused with the rollback that makes it live.", () =>
      Effect.gen(function* () {
        yield* run("build target=prod")
        yield* run("deploy target=prod yes")
        const host = yield* hostNamed()
        host.plantRelease(prodPath, hostRelease({ ref: refOf("D"), id: 7 }))
        for (const word of ["7", "DDDD"]) {
          const ran = yield* run(`deploy target=prod release=${word} yes`)
          assert.strictEqual(ran.status, 2)
          assert.include(ran.stderr, "make it live there with deployer rollback target=prod to=DDDDDDDD")
        }
      }).pipe(Effect.provide(stages))
    )
  })

  describe("if the tarball is gone from the store", () => {
    const setUp = Effect.gen(function* () {
      const root = yield* projectFolder
      const folder = join(root, "deployer", "release_store")
      const lose = (release: Release) => Effect.sync(() => rmSync(join(folder, release.fileName)))
      return { lose, layer: world({ root }), names: () => readdirSync(folder) }
    })

    it.scoped(
      "Deploy fails if the tarball of the latest release is gone, and clears its entry: yes means no older one.",
      () =>
        Effect.gen(function* () {
          const { layer, lose } = yield* setUp
          yield* Effect.gen(function* () {
            const first = yield* built
            const second = yield* built
            yield* lose(second)
            for (const line of ["deploy target=prod yes", "deploy target=prod yes release=latest"]) {
              const ran = yield* run(line)
              assert.strictEqual(ran.status, line.endsWith("yes") ? 1 : 0, ran.stderr)
              if (!line.endsWith("yes")) continue
              assert.match(ran.stderr, /warning: .*my_app-[0-9]+\.tar\.gz.*(gone|cleared)/)
              assert.match(ran.stderr, /deployer: The tarball .* is gone .*: build it again, or deploy another one$/m)
            }
            // A second request gets the latest release that is there.
            assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
            assert.deepStrictEqual(
              (yield* stored).map(({ id }) => id),
              [1]
            )
          }).pipe(Effect.provide(layer))
        })
    )

    it.scoped("Deploy fails and leaves the host as it was if the tarball vanishes during the deployment.", () =>
      Effect.gen(function* () {
        const { layer, lose } = yield* setUp
        yield* Effect.gen(function* () {
          const first = yield* built
          yield* run("deploy target=prod yes")
          const second = yield* built
          const host = yield* hostNamed()
          host.beforeStep = (step) => (step === "stage" ? lose(second) : Effect.void)
          const ran = yield* run("deploy target=prod yes")
          assert.strictEqual(ran.status, 1)
          assert.match(ran.stderr, /deployer: The tarball .* is gone from release_store\/, so its entry was cleared/)
          assert.strictEqual(currentRef(host), first.ref)
          assert.deepStrictEqual(
            (yield* stored).map(({ id }) => id),
            [1]
          )
        }).pipe(Effect.provide(layer))
      })
    )
  })

  it.scoped("Deploy of the current release makes it the latest again if it was not, and says so.", () =>
    Effect.gen(function* () {
      const first = yield* built
      yield* built
      for (const id of [1, 2]) yield* run(`deploy target=prod release=${id}`)
      yield* run(`manage ln ${first.ref} target=prod`)
      const ran = yield* run("deploy target=prod release=1")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /\(id 1\) is live at .* already, and is the latest of its name there again\n$/)
      assert.match((yield* run("manage info target=prod")).stdout, /current +my_app .* prod, latest/)
      assert.match((yield* run("deploy target=prod release=1")).stdout, /already: nothing to do\n$/)
    }).pipe(Effect.provide(world()))
  )

  describe("if another deployment did not finish", () => {
    const ref = refOf("B")
    const part = `${prodPath}/releases/.staging_${ref}/release.tar.gz`
    const setUp = Effect.gen(function* () {
      const release = yield* built
      const host = yield* hostNamed()
      host.plantUpload(prodPath, { ref, content: new Uint8Array(5), note: "begun by eve@desk" })
      return { host, release }
    })

    it.scoped("Deploy shows another unfinished deployment, and removes it on request.", () =>
      Effect.gen(function* () {
        const { host, release } = yield* setUp
        const ran = yield* run("deploy target=prod", "y", "1")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(
          ran.stderr,
          /warning: A deployment of BBBBBBBB to deploy@host\.test did not finish \(begun by eve@desk; 5 B arrived\)/
        )
        assert.include(ran.stderr, "Removed the unfinished deployment of BBBBBBBB")
        assert.isUndefined(host.files.bytes(part))
        assert.strictEqual(currentRef(host), release.ref)
      }).pipe(Effect.provide(world()))
    )

    it.scoped("A plan mentions another unfinished deployment and asks nothing.", () =>
      Effect.gen(function* () {
        const { host } = yield* setUp
        const ran = yield* run("deploy target=prod plan")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stdout, /\n {4}ask about unfinished deployments: BBBBBBBB\n 1\. upload/)
        assert.deepStrictEqual(ran.asked, [])
        assert.deepStrictEqual(host.steps, ["inspect"])
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy keeps another unfinished deployment on request.", () =>
      Effect.gen(function* () {
        const { host, release } = yield* setUp
        const ran = yield* run("deploy target=prod release=1", "2")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.isDefined(host.files.bytes(part))
        assert.strictEqual(currentRef(host), release.ref)
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy stops at another unfinished deployment if the answer is abort, Ctrl-C or missing.", () =>
      Effect.gen(function* () {
        const { host } = yield* setUp
        for (const [answers, status] of [
          [["3"], 1],
          [["\\a"], 130],
          [[ctrlC], 130],
          [[], 3]
        ] as const) {
          host.steps.length = 0
          const ran = yield* run("deploy target=prod release=1", ...answers)
          assert.strictEqual(ran.status, status)
          if (status === 1) assert.match(ran.stderr, /deployer: The answer was abort: nothing was deployed\n/)
          assert.deepStrictEqual(host.steps, ["inspect", "lock"])
          assert.isDefined(host.files.bytes(part))
        }
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy with yes keeps another unfinished deployment.", () =>
      Effect.gen(function* () {
        const { host } = yield* setUp
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(ran.asked, [])
        assert.isDefined(host.files.bytes(part))
      }).pipe(Effect.provide(world()))
    )

    it.scoped(
      "A release that is live without a record is proven by the store, and sent again if its files are empty.",
      () =>
        Effect.gen(function* () {
          const { host } = yield* setUp
          yield* run("deploy target=prod release=1", "1")
          const [ref = ""] = host.files
            .names(`${prodPath}/releases`)
            .flatMap((name) => /^deployer_(.*)/.exec(name)?.[1] ?? [])
          const folder = `${prodPath}/releases/deployer_${ref}`
          for (const [path, node] of host.files.below(folder)) {
            if (node._tag === "File") host.files.write(`${folder}/${path}`, "")
          }
          host.files.remove(`${folder}/.deployer_release.json`)
          const ran = yield* run("deploy target=prod release=1 yes")
          assert.strictEqual(ran.status, 0, ran.stderr)
          assert.include(ran.stderr, "has changed since it was unpacked")
          const [, file] = host.files.below(`${folder}/my_app`).find(([, node]) => node._tag === "File") ?? []
          assert.isAbove(file?._tag === "File" ? file.content.length : 0, 0)
          assert.strictEqual((yield* run("status target=prod")).status, 0)
        }).pipe(Effect.provide(world()))
    )

    it.scoped("Deploy tells an unpacked deployment from a cut one, and asks about all unfinished ones at once.", () =>
      Effect.gen(function* () {
        const { host } = yield* setUp
        host.plantUnrecorded(prodPath, hostRelease({ ref: refOf("C") }), { version: "1" })
        const ran = yield* run("deploy target=prod release=1", "1")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(ran.asked, ["What about these 2?"])
        assert.match(
          ran.stderr,
          /A deployment of CCCCCCCC .* did not finish \(nobody recorded who began it; it was unpacked\)/
        )
        assert.deepStrictEqual(leftovers(host), [])
        assert.isUndefined(host.files.node(`${prodPath}/releases/deployer_${refOf("C")}`))
      }).pipe(Effect.provide(world()))
    )
  })

  const goesOn = {
    ...usualConfig,
    targets: { ...usualConfig.targets, other: { host: prodHost, name: "my_app", path: "/srv/other" } }
  }

  describe("of a release that shares most files with those on the host", () => {
    let data = randomBytes(60_000).toString("hex")
    let version = 0
    const image = () => ({
      files: {
        "/app/_build/prod/rel/my_app/version": `${++version}\n`,
        "/app/_build/prod/rel/my_app/data": data
      }
    })

    it.scoped("Deploy takes unchanged files from releases on the host and sends the rest, as planned.", () =>
      Effect.gen(function* () {
        const first = yield* built
        const second = yield* built
        const host = yield* hostNamed()
        assert.strictEqual((yield* run(`deploy target=prod release=${first.id}`)).status, 0)
        const planned = yield* run(`deploy target=prod release=${second.id} plan`)
        assert.match(planned.stdout, /1\. upload 1 changed file \(2 B\), take 1 from the host/)
        host.steps.length = 0
        host.cutUploadAfter = 10_000
        const ran = yield* run(`deploy target=prod release=${second.id}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.isAbove(host.cutUploadAfter ?? 0, 5_000)
        assert.match(ran.stderr, /uploading the changes of my_app/)
        assert.match(ran.stderr, /Unpacked and verified 3 entries, 1 file from releases on the host/)
        // Each further step is a round trip more for everybody.
        assert.deepStrictEqual(host.steps, ["inspect", "lock", "stage", "activate"])
        assert.strictEqual(host.files.read(`${prodPath}/releases/current/my_app/data`), data)
        assert.strictEqual(currentRef(host), second.ref)
      }).pipe(Effect.provide(world({ image })))
    )

    it.scoped("Deploy sends only the new parts of a changed file.", () =>
      Effect.gen(function* () {
        const first = yield* built
        data = `${data.slice(0, 30_000)}something new${data.slice(30_000)}`
        const second = yield* built
        const host = yield* hostNamed()
        yield* run(`deploy target=prod release=${first.id}`)
        host.cutUploadAfter = 100
        assert.strictEqual((yield* run(`deploy target=prod release=${second.id}`)).status, 1)
        host.cutUploadAfter = 10_000
        const ran = yield* run(`deploy target=prod release=${second.id}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stderr, /Resuming the upload after [0-9]+ B$/m)
        assert.match(
          ran.stderr,
          /, 0 files from releases on the host; [0-9.]+ kB of the 12[0-9] kB that changed were new/
        )
        assert.isAbove(host.cutUploadAfter ?? 0, 5_000)
        assert.strictEqual(host.files.read(`${prodPath}/releases/current/my_app/data`), data)
        assert.deepStrictEqual(leftovers(host), [])
      }).pipe(Effect.provide(world({ image })))
    )

    it.scoped("Deploy asks the host for the file list of a release that the store no longer has.", () =>
      Effect.gen(function* () {
        const first = yield* built
        const second = yield* built
        const host = yield* hostNamed()
        yield* run(`deploy target=prod release=${first.id}`)
        yield* run(`manage delete ref=${first.ref} yes`)
        host.steps.length = 0
        host.cutUploadAfter = 10_000
        const ran = yield* run(`deploy target=prod release=${second.id}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(host.steps, ["inspect", "manifest", "lock", "stage", "activate"])
      }).pipe(Effect.provide(world({ image })))
    )

    it.scoped("Deploy resumes a cut upload, and sends the whole release if the host's files have changed.", () =>
      Effect.gen(function* () {
        const first = yield* built
        const second = yield* built
        const third = yield* built
        const host = yield* hostNamed()
        yield* run(`deploy target=prod release=${first.id}`)
        host.cutUploadAfter = 100
        assert.strictEqual((yield* run(`deploy target=prod release=${second.id}`)).status, 1)
        const again = yield* run(`deploy target=prod release=${second.id}`)
        assert.match(again.stderr, /Resuming the upload after [0-9]+ B$/m)
        assert.strictEqual(again.status, 0, again.stderr)
        for (const { ref } of [first, second])
          host.files.write(`${prodPath}/releases/deployer_${ref}/my_app/data`, "evil")
        const ran = yield* run(`deploy target=prod release=${third.id}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.notInclude(ran.stderr, "from releases on the host")
        assert.match(
          ran.stderr,
          /warning: Some files of the releases on deploy@host\.test are not as deployed \(my_app\/data\): sending the whole release/
        )
        assert.strictEqual(host.files.read(`${prodPath}/releases/current/my_app/data`), data)
        assert.deepStrictEqual(leftovers(host), [])
      }).pipe(Effect.provide(world({ image })))
    )

    it.scoped("Deploy sends the whole release to a host without awk.", () =>
      Effect.gen(function* () {
        const first = yield* built
        const second = yield* built
        const host = yield* hostNamed()
        host.takesDifferences = false
        yield* run(`deploy target=prod release=${first.id}`)
        const planned = yield* run(`deploy target=prod release=${second.id} plan`)
        assert.match(planned.stdout, /1\. upload [0-9.]+ kB\n/)
        assert.strictEqual((yield* run(`deploy target=prod release=${second.id}`)).status, 0)
        assert.strictEqual(currentRef(host), second.ref)
      }).pipe(Effect.provide(world({ image })))
    )
  })

  it.scoped("Deploy resumes its own upload and sends only the missing part.", () =>
    Effect.gen(function* () {
      const { ref, size } = yield* built
      const host = yield* hostNamed()
      host.cutUploadAfter = 100
      const cut = yield* run("deploy target=prod yes")
      assert.strictEqual(cut.status, 1)
      assert.match(
        cut.stderr,
        /deployer: The connection to deploy@host\.test was lost \(connection reset\): the next deploy resumes from the state of the host/
      )
      assert.isUndefined(currentRef(host))
      host.cutUploadAfter = 100_000
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      const sent = 100_000 - (host.cutUploadAfter ?? 0)
      yield* run(`deploy target=other release=${ref}`)
      const all = 100_000 - sent - (host.cutUploadAfter ?? 0)
      assert.strictEqual(sent, all - 100)
      assert.include(ran.stderr, `Resuming the upload after 100 B of ${size} B`)
      assert.deepStrictEqual(ran.asked, [])
      assert.strictEqual(currentRef(host), ref)
      assert.deepStrictEqual(leftovers(host), [])
    }).pipe(Effect.provide(world({ config: goesOn })))
  )

  it.scoped("Deploy refuses and removes a release that arrived damaged, and the next deploy starts again.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      host.files.makeDirectory(`${prodPath}/releases`)
      host.plantUpload(prodPath, { ref, content: Buffer.alloc(90), stream: "whole" })
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(
        ran.stderr,
        /deployer: Release [0-9A-F]+ arrived damaged on deploy@host\.test .*nothing was switched/
      )
      assert.isUndefined(currentRef(host))
      assert.deepStrictEqual(leftovers(host), [])
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
      assert.strictEqual(currentRef(host), ref)
    }).pipe(Effect.provide(world()))
  )

  describe("a deployment that ends before one of its steps", () => {
    const hosts = Array.from({ length: 20 }, (_, k) => `host${k}.test`)
    const config = withTarget({})
    const everywhere: ConfigInput = {
      ...config,
      targets: Object.fromEntries([
        ...Object.entries(config.targets ?? {}),
        ...hosts.map((host, k) => [
          `t${k}`,
          { host, name: "my_app", path: prodPath, builder: "prod", afterUnpack: "migrate", afterSwitch: "reload" }
        ])
      ])
    }
    /** How a deployment ends before its step `k`, and whether it did. */
    type Ending = (host: MemoryHost, k: number) => () => boolean

    const lost: Ending = (host, k) => {
      host.loseAfterSteps = k
      return () => {
        const isUsed = host.loseAfterSteps === undefined
        host.loseAfterSteps = undefined
        return isUsed
      }
    }

    const interrupted: Ending = (host, k) => {
      const look = host.beforeStep
      let left = k
      host.beforeStep = (step) =>
        Effect.zipRight(
          look(step),
          Effect.suspend(() => (left-- === 0 ? Effect.interrupt : Effect.void))
        )
      return () => {
        host.beforeStep = look
        return left < 0
      }
    }

    /** Ends deployments before each of all steps in turn. */
    const atEachStep = (ending: Ending, steps: ReadonlyArray<MemoryStep>, fresh: Release, old?: Release) =>
      Effect.gen(function* () {
        for (const [k, name] of hosts.entries()) {
          const host = yield* hostNamed(name)
          if (old !== undefined) assert.strictEqual((yield* run(`deploy target=t${k} release=${old.id}`)).status, 0)
          const known = [old?.ref, fresh.ref]
          host.beforeStep = () =>
            Effect.sync(() => {
              assert.include(known, currentRef(host))
              if (currentRef(host) !== undefined) assert.isTrue(isWhole(host))
            })
          const ended = ending(host, k)
          const first = yield* run(`deploy target=t${k} release=${fresh.id}`)
          assert.include(known, currentRef(host))
          const isDone = !ended()
          if (isDone) assert.strictEqual(first.status, 0, first.stderr)
          else if (ending === interrupted) {
            assert.strictEqual(first.status, 130, `${steps[k]}: ${first.stderr}`)
            assert.match(first.stderr, /deployer: interrupted\n$/)
          } else {
            assert.match(first.stderr, /The connection to host[0-9]+\.test was lost/)
            // Without its last line in the journal all is done: that is a warning.
            assert.strictEqual(first.status, steps[k] === "note" ? 0 : 1, `${steps[k]}: ${first.stderr}`)
            if (k === steps.length - 2)
              assert.match(first.stderr, /warning: .* is current .* the next deploy of it resumes/)
          }
          const runs = host.commands.length
          const again = yield* run(`deploy target=t${k} release=${fresh.id}`)
          assert.strictEqual(again.status, 0, again.stderr)
          if (!isDone) assert.strictEqual(host.commands.at(-1)?.command, "reload")
          if (!isDone) assert.isAbove(host.commands.length, runs)
          assert.deepStrictEqual(again.asked, [])
          assert.strictEqual(currentRef(host), fresh.ref)
          assert.isTrue(isWhole(host))
          assert.deepStrictEqual(leftovers(host), [])
          if (isDone) return assert.strictEqual(k, steps.length)
        }
        return assert.fail("it has more steps than that")
      })

    const steps = ["lock", "stage", "run", "alterations", "activate", "run", "note"] as const
    const endings: ReadonlyArray<readonly [string, Ending]> = [
      ["a lost connection", lost],
      ["Ctrl-C", interrupted]
    ]
    for (const [what, ending] of endings) {
      it.scoped(
        `On the first contact, ${what} before any step leaves no release or a whole one; a plain deploy mends it.`,
        () =>
          Effect.gen(function* () {
            yield* atEachStep(ending, ["inspect", "prepare", ...steps], yield* built)
          }).pipe(Effect.provide(world({ config: everywhere })))
      )

      it.scoped(
        `If an older release is live, ${what} before any step leaves it or the new one; a plain deploy mends it.`,
        () =>
          Effect.gen(function* () {
            const old = yield* built
            yield* atEachStep(ending, ["inspect", ...steps], yield* built, old)
          }).pipe(Effect.provide(world({ config: everywhere })))
      )
    }
  })

  describe("a step that fails on the host", () => {
    const cases: ReadonlyArray<readonly [step: MemoryStep, said: string]> = [
      ["inspect", "Could not inspect the releases on deploy@host.test: disk on fire"],
      ["prepare", "Could not make /srv/my_app on deploy@host.test: disk on fire"],
      ["stage", "Could not send the release on deploy@host.test: disk on fire"],
      ["run", 'Could not run "migrate" on deploy@host.test: disk on fire'],
      ["activate", "Could not switch to"]
    ]
    for (const [step, said] of cases) {
      it.scoped(`If the step "${step}" fails on the host, deploy says why, and the next deploy succeeds.`, () =>
        Effect.gen(function* () {
          const { ref } = yield* built
          const host = yield* hostNamed()
          host.failStep(step, "disk on fire")
          const ran = yield* run("deploy target=prod yes")
          assert.strictEqual(ran.status, 1)
          assert.include(ran.stderr, `deployer: ${said}`)
          assert.match(ran.stderr, /disk on fire\n$/)
          assert.isUndefined(currentRef(host))
          host.healStep(step)
          const again = yield* run("deploy target=prod yes")
          assert.strictEqual(again.status, 0, again.stderr)
          assert.strictEqual(currentRef(host), ref)
          assert.deepStrictEqual(leftovers(host), [])
        }).pipe(Effect.provide(world({ config: withTarget({ afterUnpack: "migrate" }) })))
      )
    }

    it.scoped("A deployment succeeds with a warning if the journal cannot be written.", () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        host.journalFailure = "disk on fire"
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stderr, /warning: The journal on deploy@host\.test could not be written \(disk on fire\)/)
        assert.strictEqual(currentRef(host), ref)
      }).pipe(Effect.provide(world()))
    )
  })

  describe("with afterSwitch", () => {
    const layer = world({ config: withTarget({ afterUnpack: "migrate", afterSwitch: ["reload", "notify"] }) })

    it.scoped("Deploy runs afterUnpack before the switch and afterSwitch after it, in the release's folder.", () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        const seen: Array<string> = []
        host.onRun = ({ command, directory }) => {
          assert.strictEqual(directory, `${prodPath}/releases/deployer_${ref}/my_app`)
          seen.push(`${command} ${currentRef(host) === ref}`)
          return { output: `${command} says hello\n` }
        }
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(seen, ["migrate false", "reload true", "notify true"])
        assert.match(ran.stderr, /Running afterSwitch: reload\nreload says hello\n/)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("If an afterSwitch command fails, the release is current and in the journal, and the status is 1.", () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        host.onRun = ({ command }) => (command === "reload" ? { exitCode: 3, output: "no such process\n" } : {})
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 1)
        assert.strictEqual(ran.stdout, "")
        assert.match(
          ran.stderr,
          /no such process\ndeployer: The afterSwitch command "reload" of my_app [0-9A-F]{8} ended with status 3 on deploy@host\.test: the release stays current\. Fix the command and deploy again$/m
        )
        assert.strictEqual(currentRef(host), ref)
        assert.deepStrictEqual(
          host.commands.map(({ command }) => command),
          ["migrate", "reload"]
        )
        assert.deepStrictEqual(logged(host), ["staged", "switched", "failed"])
        const { stdout } = yield* run("history target=prod last=1")
        assert.match(stdout, /failed +tester@laptop +the afterSwitch command "reload" ended with status 3$/m)
        const status = yield* run("status target=prod")
        assert.match(status.stdout, /^live .* UTC, its deployment did not finish$/m)
      }).pipe(Effect.provide(layer))
    )

    it.scoped(
      "After a failed afterSwitch command, a rollback is advised only if there is a release to go back to.",
      () =>
        Effect.gen(function* () {
          yield* built
          const host = yield* hostNamed()
          const fail = () => {
            host.onRun = ({ command }) => (command === "reload" ? { exitCode: 3 } : {})
          }
          fail()
          const first = yield* run("deploy target=prod yes")
          assert.match(first.stderr, /deploy again$/m)
          host.onRun = () => ({})
          assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
          yield* built
          fail()
          const second = yield* run("deploy target=prod yes")
          assert.match(second.stderr, /deploy again, or go back with deployer rollback target=prod$/m)
        }).pipe(Effect.provide(layer))
    )

    it.scoped("If an afterUnpack command fails, history tells that and why.", () =>
      Effect.gen(function* () {
        yield* built
        const host = yield* hostNamed()
        host.onRun = ({ command }) => (command === "migrate" ? { exitCode: 9, output: "secret\n" } : {})
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 1)
        const { stdout } = yield* run("history target=prod")
        assert.match(stdout, /failed +tester@laptop +the afterUnpack command "migrate" ended with status 9$/m)
        assert.notInclude(stdout, "secret")
        host.onRun = () => ({})
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
        assert.strictEqual((yield* run("status target=prod")).status, 0)
      }).pipe(Effect.provide(layer))
    )

    it.scoped("Deploy stops waiting for a command that does not end within 15 minutes.", () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        host.onRun = ({ command }) => ({ never: command === "migrate" })
        const ran = yield* run("deploy target=prod yes")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /deployer: "migrate" did not end on deploy@host\.test within 15m/)
        assert.isUndefined(currentRef(host))
        host.onRun = () => ({})
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
        assert.strictEqual(currentRef(host), ref)
      }).pipe(Effect.provide(layer))
    )
  })

  it.scoped("Deploy records its events and their author in the host's journal.", () =>
    Effect.gen(function* () {
      yield* built
      yield* built
      yield* run("deploy target=prod release=1")
      yield* run("deploy target=prod release=1")
      yield* run("deploy target=prod release=2")
      yield* run("deploy target=prod release=1")
      const host = yield* hostNamed()
      const deployed = ["staged", "switched", "healthy"]
      assert.deepStrictEqual(logged(host), [...deployed, ...deployed, "switched", "healthy"])
      assert.strictEqual(host.journal(prodPath).at(-2)?.from, (yield* stored)[1]?.ref)
      assert.include(host.files.read(`${prodPath}/config/journal`), '"by":"tester@laptop"')
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Ctrl-C at any question ends deploy before anything is done.", () =>
    Effect.gen(function* () {
      yield* planted("my_app", refOf("A"))
      for (const answers of [[ctrlC], ["n", ctrlC], ["n", "\\a"]]) {
        const ran = yield* run("deploy target=prod", ...answers)
        assert.strictEqual(ran.status, 130)
        assert.strictEqual(ran.stdout, "")
      }
      assert.deepStrictEqual([...new Set((yield* hostNamed()).steps)], ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy passes on the reason for a failed connection.", () =>
    Effect.gen(function* () {
      yield* planted("my_app", refOf("A"))
      const host = yield* hostNamed()
      const key = { address, keyType: "ssh-ed25519", fingerprint: "SHA256:abc", file: "/home/me/.ssh/known_hosts" }
      const failures: ReadonlyArray<ConnectFailure> = [
        ...(["unknown-name", "refused", "timeout", "lost", "protocol"] as const).map(
          (reason) => new HostUnreachable({ address, reason, detail: "as it is" })
        ),
        ...(["unknown", "changed", "revoked", "pinned"] as const).map(
          (reason) => new HostKeyRejected({ ...key, knownAs: "host", reason })
        ),
        new AuthenticationFailed({ address, tried: ["the agent"] }),
        new AuthenticationFailed({ address, tried: [] }),
        ...(["missing", "unreadable", "not-a-key", "wrong-passphrase"] as const).map(
          (reason) => new KeyUnusable({ file: "/home/me/.ssh/id", reason })
        ),
        ...(["missing", "not-a-key", "wrong-passphrase"] as const).map(
          (reason) => new KeyVariableUnusable({ variable: "DEPLOY_KEY", reason })
        ),
        new PromptUnavailable({ question: "Passphrase:", hint: "use the agent" }),
        new PromptAborted()
      ]
      for (const failure of failures) {
        host.connectFailure = failure
        for (const line of ["deploy target=prod yes", "deploy target=prod plan"]) {
          const ran = yield* run(line)
          assert.strictEqual(ran.stderr, `deployer: ${failure.message}\n`)
          assert.strictEqual(ran.status, failure.exitStatus)
        }
      }
      assert.deepStrictEqual(host.steps, [])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A damaged record on the host is reported without control characters and does not hold up deploy.", () =>
    Effect.gen(function* () {
      yield* planted("my_app", refOf("A"))
      const host = yield* hostNamed()
      host.plantRelease(prodPath, hostRelease({ ref: refOf("B") }), { version: "1" })
      const file = `${prodPath}/releases/deployer_${refOf("B")}/.deployer_release.json`
      const whole = host.files.read(file)!
      for (const garbage of [
        "garbage\n",
        "",
        "{}\n",
        whole.trimEnd(),
        whole.replace("my_app", "$(reboot)"),
        "\u0000\u001b[2J\n",
        "x".repeat(70_000)
      ]) {
        host.files.write(file, garbage)
        const ran = yield* run("manage info target=prod")
        assert.strictEqual(ran.status, 0, garbage.slice(0, 40))
        assert.match(ran.stdout, /\nThe record of BBBBBBBB cannot be read: [^\p{Cc}]{3,210}\n/u)
        assert.strictEqual((yield* run("deploy target=prod plan")).status, 0)
        assert.strictEqual(host.files.read(file), garbage)
      }
      assert.deepStrictEqual([...new Set(host.steps)], ["inspect"])
    }).pipe(Effect.provide(world()))
  )
})

describe("a link that somebody made by hand to something else", () => {
  it.scoped("Deploy replaces a current link that was made by hand to something else, and says where it led.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      host.files.makeDirectory(`${prodPath}/config`)
      host.files.link(`${prodPath}/releases/current`, "/opt/other")
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "(it led to /opt/other before, which deployer did not make)")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A link to a folder in the live release is a fault, which repair and deploy mend.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      yield* run("deploy target=prod yes")
      const link = `${prodPath}/releases/current`
      const right = host.files.readLink(link) ?? ""
      for (const command of ["deploy target=prod yes", "repair target=prod yes"]) {
        host.files.remove(link)
        host.files.link(link, `${right}/my_app`)
        const status = yield* run("status target=prod")
        assert.strictEqual(status.status, 1, status.stdout)
        assert.match(status.stdout, /current leads to my_app in [0-9A-F]{8} and not to the release itself/)
        const ran = yield* run(command)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(host.files.readLink(link), right)
        assert.strictEqual((yield* run("status target=prod")).status, 0)
      }
    }).pipe(Effect.provide(world()))
  )
})
