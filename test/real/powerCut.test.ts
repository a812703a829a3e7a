/**
 * The state of a host after a power cut: its disk is copied before and after each step of a command, before each program of a step that changes
 * something, and several seconds later. Each copy is mounted, as after a new start: the current release is whole there, and work goes on.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { deployRelease, deployTo } from "../../src/commands/deploy.ts"
import { adopt } from "../../src/commands/manage/adopt.ts"
import { prune } from "../../src/commands/manage/host.ts"
import { repairHost } from "../../src/commands/repair.ts"
import { rollBackTo } from "../../src/commands/rollback.ts"
import { previousRelease } from "../../src/domain/HostState.ts"
import { Metadata } from "../../src/domain/Release.ts"
import type { Target } from "../../src/domain/Target.ts"
import { type HostSession, RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { type Heirloom, notAdopted } from "../kit/crash.ts"
import { isExhaustive } from "../kit/exhaustive.ts"
import { type Cut, type FileSystem, fileSystems, type LoopDisk, loopDisk, missingLoop } from "../kit/loopDisk.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { type Packed, sample } from "../kit/packed.ts"
import { target as sampleTarget } from "../kit/samples.ts"
import { sha256, treeIn, treeOf } from "../kit/tree.ts"

const [one, two, three] = [sample("1"), sample("2"), sample("3")]
const samples = [one, two, three]

/** The directory that somebody else put in the place of `current`. */
const theirs = { "index.html": "theirs", "bin/two words": "#!/bin/sh\n", big: "0123456789".repeat(3_000) }

/** A host on a disk, or on a copy of it. */
interface Host {
  readonly target: Target
  readonly base: string
  readonly session: HostSession
}

/** Steps are cut, and may lack something, only on the disk that is worked on. */
const hostOn = (folder: string, disk?: LoopDisk, mutations: Mutations = {}): Host => {
  const base = join(folder, "app")
  const target = sampleTarget({ host: "local", path: base })
  const plain = mutant(LocalTransport.make(target, disk?.environment), mutations)
  return { target, base, session: makeSession(target, disk === undefined ? plain : disk.cutting(plain)) }
}

/** The only host is this one. */
const services = ({ session }: Host) =>
  Layer.mergeAll(
    Layer.provide(Prompt.yes, Prompt.layerScripted([])),
    Layer.succeed(RemoteHost, { connect: () => Effect.succeed(session) })
  )

const stored = ({ ref }: Packed) => Effect.flatMap(ReleaseStore, (store) => store.find(ref))

const deploy = ({ target }: Host, release: Packed) =>
  Effect.flatMap(stored(release), (release) => deployRelease(target, release))

/** A store with the releases. */
const store = Layer.effect(
  ReleaseStore,
  Effect.gen(function* () {
    const store = yield* ReleaseStore
    for (const { manifest, record, tarball } of samples) {
      const parcel = yield* store.receive(Stream.make(tarball))
      const { createdAt, name } = record
      yield* store.add(parcel, { name, tags: ["prod"], createdAt, metadata: Metadata.make({}), manifest })
    }
    return store
  }).pipe(Effect.scoped, Effect.orDie)
).pipe(Layer.provide(ReleaseStore.layerMemory))

/** Folders with the files of a host before a command: as many releases as the place in the list says, the last one current. */
class Givens extends Context.Tag("test/Givens")<Givens, ReadonlyArray<string>>() {
  static readonly layer = Layer.scoped(
    this,
    Effect.gen(function* () {
      const home = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "deployer-power-"))),
        (home) => Effect.sync(() => fs.rmSync(home, { recursive: true }))
      )
      const host = hostOn(join(home, "host"))
      yield* host.session.prepare
      const keep = (name: string) => {
        execFileSync("cp", ["-a", host.base, join(home, name)])
        return join(home, name)
      }
      const none = keep("none")
      const given = (release: Packed) =>
        Effect.map(Effect.provide(deploy(host, release), services(host)), () => keep(release.ref))
      return [none, yield* given(one), yield* given(two)]
    }).pipe(Effect.orDie)
  )
}

/** A command, its circumstances, and its possible results. */
interface Work {
  readonly title: string
  /** How many releases are on the host before. */
  readonly given: 0 | 1 | 2
  /** Another change of the host's files before. */
  readonly harm?: (base: string) => void
  readonly run: (host: Host) => Effect.Effect<unknown, unknown, Effect.Effect.Context<ReturnType<typeof deploy>>>
  /** The releases that may be current after a power cut; undefined: none. */
  readonly allowed: ReadonlyArray<string | undefined>
  /** The faults that it may have, because they were there before. */
  readonly damaged?: ReadonlyArray<string>
  /** Whether another repair after the next deployment leaves nothing to do. */
  readonly mends?: true
  /** Whether the second release failed, so that no plain deployment brings it back. */
  readonly fails?: true
}

const works: ReadonlyArray<Work> = [
  {
    title: "a deployment",
    given: 1,
    run: (host) => deploy(host, two),
    allowed: [one.ref, two.ref]
  },
  {
    title: "a rollback",
    given: 2,
    run: ({ session }) =>
      Effect.scoped(
        rollBackTo(Effect.succeed(session), (_, state) =>
          Effect.succeed(previousRelease(state) ?? assert.fail("nothing to roll back to"))
        )
      ),
    allowed: [one.ref, two.ref]
  },
  {
    title: "the removal of old releases",
    given: 2,
    run: ({ session }) => prune(session, "my_app"),
    allowed: [two.ref]
  },
  {
    title: "an adoption",
    given: 0,
    harm: (base) => {
      for (const [file, text] of Object.entries(theirs)) {
        fs.mkdirSync(join(base, "releases/current", file, ".."), { recursive: true })
        fs.writeFileSync(join(base, "releases/current", file), text)
      }
      fs.symlinkSync("index.html", join(base, "releases/current/home"))
    },
    run: ({ session }) => adopt(session),
    allowed: []
  },
  {
    title: "a repair",
    given: 2,
    harm: (base) => {
      fs.rmSync(join(base, "releases/current"))
      fs.writeFileSync(join(base, `releases/deployer_${one.ref}/.deployer_release.json`), "garbage")
      fs.mkdirSync(join(base, `releases/.staging_${"C".repeat(32)}`))
      fs.appendFileSync(join(base, "config/journal"), '{"event":"swi')
    },
    run: ({ session }) => repairHost(session),
    allowed: [undefined, two.ref],
    mends: true
  },
  {
    title: "a repair that goes back",
    given: 2,
    harm: (base) => {
      const journal = join(base, "config/journal")
      const lines = fs.readFileSync(journal, "utf8").split("\n")
      const isProved = (line: string) => line.includes(two.ref) && line.includes('"healthy"')
      fs.writeFileSync(journal, lines.filter((line) => !isProved(line)).join("\n"))
      fs.writeFileSync(join(base, "config/armed.1.1"), `${two.ref} ${one.ref} 1000000000\n`)
    },
    run: ({ session }) =>
      Effect.map(repairHost(session), ({ plan }) =>
        assert.include(
          plan.steps.map(({ _tag }) => _tag),
          "GoBack"
        )
      ),
    allowed: [one.ref, two.ref],
    fails: true
  },
  {
    title: "the replacement of a damaged release",
    given: 1,
    harm: (base) => fs.writeFileSync(join(base, `releases/deployer_${one.ref}/my_app/version`), "damaged"),
    run: ({ target }) =>
      Effect.flatMap(stored(one), (release) =>
        deployTo(
          target,
          Effect.succeed(() => Effect.succeed(release)),
          { again: true }
        )
      ),
    allowed: [undefined, one.ref],
    damaged: ["my_app/version"]
  }
]

const differences = (found: Record<string, string>, expected: Record<string, string>): ReadonlyArray<string> =>
  [...new Set([...Object.keys(expected), ...Object.keys(found)])].filter((at) => found[at] !== expected[at])

/** The paths of a release that are not as it was packed. */
const damageOf = (base: string, ref: string): ReadonlyArray<string> => {
  const packed = samples.find((one) => one.ref === ref)
  if (packed === undefined) return ["it is none of ours"]
  const found = Object.entries(treeIn(join(base, `releases/deployer_${ref}`)))
  const own = Object.fromEntries(found.filter(([name]) => !name.startsWith(".deployer_")))
  return differences(own, treeOf(packed.tree))
}

/** The release that `current` leads to; undefined if it leads to nothing. */
const currentOf = (base: string): string | undefined => {
  const link = join(base, "releases/current")
  return fs.existsSync(link) ? fs.readlinkSync(link).replace("deployer_", "") : undefined
}

/** The faults of a copy before anybody mends it. */
const damageAfter = (base: string, { allowed, damaged = [] }: Work, heirloom: Heirloom | undefined) => {
  if (heirloom !== undefined) {
    const manifest = join(base, `releases/deployer_${heirloom.ref}/.deployer_manifest`)
    const isEmpty = fs.existsSync(manifest) && fs.readFileSync(manifest).length === 0
    return [...notAdopted(base, heirloom), ...(isEmpty ? ["the manifest of the adopted release is empty"] : [])]
  }
  // Each release with a record counts as complete, current or not.
  const recorded = samples.flatMap(({ ref }) => {
    const record = join(base, `releases/deployer_${ref}/.deployer_release.json`)
    const counts = fs.existsSync(record) && fs.readFileSync(record, "utf8").startsWith("{")
    return counts ? damageOf(base, ref).map((path) => [ref, path] as const) : []
  })
  const ref = currentOf(base)
  if (!allowed.includes(ref)) return [`current leads to ${ref ?? "nothing"}`]
  const live = ref === undefined ? [] : damageOf(base, ref).map((path) => ["current", path] as const)
  return [...live, ...recorded]
    .filter(([, path]) => !damaged.includes(path))
    .map(([what, path]) => `${what} is not whole: ${path}`)
}

/** Works with a copy as with the host after the power cut, and returns the broken rules. */
const goingOn = (host: Host, { fails, mends }: Work, heirloom: Heirloom | undefined) =>
  Effect.gen(function* () {
    const { base, session } = host
    const found: Array<string> = []
    // More than a minute passes before anybody works there again.
    for (const name of fs.readdirSync(join(base, "config"))) {
      if (name.startsWith("beat.")) fs.writeFileSync(join(base, "config", name), "1000000000\n")
    }
    // Until the directory is moved, the adoption begins again; after that any deployment finishes it.
    if (heirloom !== undefined && fs.existsSync(join(base, "releases/current/index.html"))) {
      yield* adopt(session)
      const [verdict] = yield* session.verify([heirloom.ref])
      return verdict?.faults ?? []
    }
    const next = fails || currentOf(base) === two.ref ? three : two
    yield* deploy(host, next)
    const { currentRelease, journal } = yield* session.inspect
    if (currentRelease?.ref !== next.ref) found.push("the next deployment is not current")
    const verdicts = [
      ...(yield* session.verify([next.ref], "files", next.manifest)),
      ...(heirloom === undefined ? [] : yield* session.verify([heirloom.ref]))
    ]
    for (const { faults, ref } of verdicts) found.push(...faults.map((fault) => `${ref} is not whole: ${fault}`))
    const { entries } = yield* session.history(500)
    if (journal.at(-1)?.release?.ref !== next.ref || entries.at(-1)?.release?.ref !== next.ref)
      found.push("the journal does not tell of the next deployment")
    if (mends) found.push(...(yield* repairHost(session)).left.map((left) => `not repaired: ${left.found}`))
    return found
  }).pipe(
    Effect.provide(services(host)),
    Effect.scoped,
    Effect.catchAll((error) => Effect.succeed([error.message]))
  )

/** Files that are removed unread, with any content. */
const swept = /[/]releases[/][.](?:adopting[.][0-9]+|trash_[^/]+)[/]/
const locks = /[/]config[/][.]?(?:lock|beat)[.]/

/** All that the scripts can see below a folder, without times and process numbers, and without locks unless they count. */
const fingerprint = (folder: string, locksCount: boolean): string =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .flatMap((entry) => {
      const at = join(entry.parentPath, entry.name)
      const name = at.slice(folder.length)
      if (swept.test(name) || (locks.test(name) && !locksCount)) return []
      if (entry.isSymbolicLink()) return `${name} -> ${fs.readlinkSync(at)}`
      if (!entry.isFile()) return name
      const content = fs.readFileSync(at, "utf8")
      return `${name} ${locks.test(name) ? content.split(" ", 1)[0] : content.length > 10_000 ? sha256(content) : content}`
    })
    .map((line) => line.replaceAll(/[0-9]+/g, "0"))
    .sort()
    .join("\n")

/** States after which all went well: the rest depends on the files alone, whichever file system holds them. */
const tried = new Set<string>()

/** Without `EXHAUSTIVE`, a third of the states is enough: the files of neighbours differ little. */
const isSampled = (state: string): boolean => isExhaustive || Number.parseInt(sha256(state).slice(0, 4), 16) % 3 === 0

/** Mounts a copy and returns the broken rules. */
const after = (kind: FileSystem, disk: LoopDisk, cut: Cut, work: Work, heirloom: Heirloom | undefined) =>
  Effect.gen(function* () {
    const host = hostOn(yield* disk.mounted(cut))
    const damage = damageAfter(host.base, work, heirloom)
    const state = `${work.title} ${fingerprint(host.base, kind === "ext4" && work === works[0])}`
    if (damage.length > 0 || tried.has(state)) return damage
    if (!/: amid sync|s later$/.test(cut.title) && !isSampled(state)) return []
    const found = yield* goingOn(host, work, heirloom)
    if (found.length === 0) tried.add(state)
    return found
  }).pipe(
    Effect.scoped,
    Effect.map((found) => found.map((fault) => `${cut.title}: ${fault}`))
  )

/** Several works wait for the clock at the same time, and only one of them is busy. */
const busy = Effect.unsafeMakeSemaphore(1)

/** Does the work and returns the rules that power cuts broke, with the moments of the cuts. Ends after `most` of them. */
const cutting = (
  kind: FileSystem,
  work: Work,
  { delays = [], most = 20, mutations = {} }: { delays?: ReadonlyArray<number>; most?: number; mutations?: Mutations }
) =>
  Effect.gen(function* () {
    const disk = yield* loopDisk(kind)
    const heirloom = yield* Effect.gen(function* () {
      const host = hostOn(disk.folder, disk, mutations)
      execFileSync("cp", ["-a", (yield* Givens)[work.given] ?? "", host.base])
      work.harm?.(host.base)
      const tree = work.given === 0 ? treeIn(join(host.base, "releases/current")) : undefined
      yield* disk.flush
      yield* Effect.provide(Effect.scoped(work.run(host)), services(host))
      return tree === undefined ? undefined : { tree, ref: currentOf(host.base) ?? "", name: "my_app" }
    }).pipe(busy.withPermits(1))
    let waited = 0
    for (const seconds of delays) {
      yield* Effect.sleep(Duration.seconds(seconds - waited))
      waited = seconds
      yield* disk.cut(`${seconds} s later`)
    }
    const found: Array<string> = []
    for (const cut of disk.cuts()) {
      if (found.length >= most) break
      found.push(...(yield* busy.withPermits(1)(after(kind, disk, cut, work, heirloom))))
    }
    return found
  }).pipe(Effect.scoped)

/** Without a protection of whole releases, the same copies show it. */
const controls: ReadonlyArray<{ readonly lacks: string; readonly work: string; readonly mutations: Mutations }> = [
  {
    lacks: "a switch without a sync",
    work: "a deployment",
    mutations: { activate: [["\nflush\n", "\n"]] }
  },
  {
    lacks: "a record that counts before the sync",
    work: "a deployment",
    mutations: {
      activate: [['\nflush\n[ -z "$record" ] || keep_record\n', '\n[ -z "$record" ] || keep_record\nflush\n']]
    }
  },
  {
    lacks: "an adoption without a sync",
    work: "an adoption",
    mutations: { adopt: [["\nflush\n", "\n"]] }
  },
  {
    lacks: "a replacement without a sync",
    work: "the replacement of a damaged release",
    mutations: { stage: [["\nflush\n", "\n"]] }
  }
]

layer(Layer.provideMerge(Givens.layer, store), { excludeTestServices: true })("a power cut", (it) => {
  for (const kind of fileSystems) {
    const skip = missingLoop(kind)
    const test = skip === undefined ? it.effect : it.effect.skip
    describe(skip === undefined ? `on ${kind}` : `on ${kind} (skipped: ${skip})`, () => {
      // A rollback renames the same as a repair that goes back: one file system is enough for the rest of it.
      for (const work of kind === "ext4" ? works : works.filter(({ fails }) => fails === undefined)) {
        test(
          `After a power failure at ${work.title}, the release is whole and the next deployment succeeds.`,
          () =>
            Effect.map(cutting(kind, work, { delays: [0, 2, 6, 11] }), (found) => assert.deepStrictEqual(found, [])),
          { concurrent: true, timeout: 600_000 }
        )
      }
      // The scripts are the same everywhere: on the other file systems, one work shows that the copies are right.
      for (const { lacks, mutations, work: title } of kind === "ext4" ? controls : controls.slice(0, 1)) {
        test(
          `A power cut reveals ${lacks}.`,
          () =>
            Effect.gen(function* () {
              const work = works.find((one) => one.title === title) ?? assert.fail(title)
              assert.isNotEmpty(yield* cutting(kind, work, { mutations, most: 1 }))
            }),
          { concurrent: true, timeout: 600_000 }
        )
      }
    })
  }
})
