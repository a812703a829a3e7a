/** Every step, every crash: commands that are stopped at any place of their work, and the rules that must hold after that. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { DockerBuilder } from "../../src/build/DockerBuilder.ts"
import * as AnyHost from "../../src/host/AnyHost.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import * as SshTransport from "../../src/host/transport/ssh/SshTransport.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { Workspace, workspacePaths } from "../../src/workspace/Workspace.ts"
import {
  type Client,
  type CrashHost,
  crash,
  crashHost,
  type Deed,
  type Heirloom,
  lay,
  notAdopted,
  type Point,
  pointsIn,
  releaseTree,
  type Slot,
  type Trees,
  titleOf
} from "./crash.ts"
import { isExhaustive } from "./exhaustive.ts"
import { type Mutations, mutant } from "./mutant.ts"
import { type Project, project, reach } from "./project.ts"
import { missing, missingSshd, settingsFor, titled } from "./sshd.ts"
import { treeIn } from "./tree.ts"
import { busybox, missingBusybox, others } from "./userland.ts"
import { run } from "./world.ts"

/** How many cases run at a time. */
const atOnce = 4

/** Small releases in the store, with the ids from 1 on. */
const count = 4

/** After so many kills of the real binary, one deploy is the real binary's too; the seed says which. */
const sample = isExhaustive ? 1 : 5
const seed = Number(process.env["CRASH_SEED"] ?? 1)

/** Unless all cases run, each runs on one kind of host at most, and three sixteenths of them run: the seed says which. */
const sides = 16

const draw = (title: string, lots: number): number => {
  let hash = seed
  for (const char of title) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0
  return (hash >>> 8) % lots
}

const isSampled = (title: string): boolean => draw(title, sample) === 0

/** The cases of a test that are still to be tried, and the work after the last success: a second try tries the same ones. */
const untried = (tried: Set<string>) => {
  const mine = new Set<string>()
  return {
    isNew: (title: string): boolean => !tried.has(title) && mine.size < mine.add(title).size,
    done: () => {
      for (const title of mine) tried.add(title)
    }
  }
}

/** A command and its circumstances. */
interface Scenario {
  readonly title: string
  /** Ids of releases that are deployed before, in this order; the last is made current unless another is named. */
  readonly deployed: ReadonlyArray<number>
  readonly current?: number
  /** Without its target. */
  readonly command: (place: Pick<Place, "here" | "refs">) => string
  /** Ids of releases that may be current after a crash; `undefined`: none. */
  readonly allowed: ReadonlyArray<number | undefined>
  /** Another change of the host's files before. */
  readonly harm?: (base: string, refs: ReadonlyArray<string>) => void
  /** The commands after a crash instead of `deploy yes` and `deploy yes release=1`, with the ids of the current releases then. */
  readonly next?: readonly [line: string, id: number | "adopted"]
  readonly change?: readonly [line: string, id: number]
}

/** A directory that somebody else put in the place of `current`. */
const theirs = { "index.html": "theirs", "bin/two words": "#!/bin/sh\n", "back\\slash": "odd" }

const plantTheirs = (base: string) => {
  for (const [file, text] of Object.entries(theirs)) {
    fs.mkdirSync(path.dirname(path.join(base, "releases/current", file)), { recursive: true })
    fs.writeFileSync(path.join(base, "releases/current", file), text)
  }
  fs.symlinkSync("index.html", path.join(base, "releases/current/home"))
}

export const scenarios: ReadonlyArray<Scenario> = [
  { title: "deploy", deployed: [1], command: () => "deploy release=4", allowed: [1, 4] },
  { title: "the first deploy", deployed: [], command: () => "deploy release=4", allowed: [undefined, 4] },
  { title: "ln", deployed: [1, 2], current: 1, command: ({ refs }) => `manage ln ref=${refs[1]}`, allowed: [1, 2] },
  { title: "rollback", deployed: [1, 2], command: () => "rollback", allowed: [1, 2] },
  { title: "prune", deployed: [1, 2, 3], command: ({ here }) => `manage prune name=${here.name} yes`, allowed: [3] },
  { title: "deploy with keep", deployed: [1, 2, 3], command: () => "deploy release=4 keep", allowed: [3, 4] },
  {
    title: "repair",
    deployed: [1, 2, 3],
    harm: (base, refs) => {
      const releases = path.join(base, "releases")
      fs.rmSync(path.join(releases, "current"))
      fs.writeFileSync(path.join(releases, `deployer_${refs[0]}/.deployer_release.json`), "garbage")
      fs.mkdirSync(path.join(releases, `.staging_${"C".repeat(32)}`))
      fs.appendFileSync(path.join(base, "config/journal"), '{"event":"swi')
    },
    command: () => "repair yes",
    allowed: [undefined, 3],
    // With this, all agree again, or its status is not 0.
    change: ["repair yes", 4]
  },
  {
    title: "adopt",
    deployed: [],
    harm: plantTheirs,
    command: () => "manage adopt yes",
    allowed: [],
    next: ["manage adopt yes", "adopted"]
  }
]

type Start = (slot: Slot) => Effect.Effect<Client, never, Scope.Scope>

interface Place {
  readonly here: Project
  readonly crashes: CrashHost
  /** By id, from 1, in the order of the ids. */
  readonly refs: ReadonlyArray<string>
  readonly trees: Trees
  /** A folder with the host's files as they are before a command; default: nothing. */
  readonly from: (scenario: Scenario) => string | undefined
  /** A command line as a process of its own, that can be killed. */
  readonly binary: (line: string) => Start
  /** A command line in this process: for the host its cut connection is the same as a killed client. */
  readonly inProcess: (line: string, mutations?: Mutations) => Start
  /** The cases that were tried. The same need not be tried twice. */
  readonly tried: Set<string>
  /** The directory to be adopted. */
  readonly heirloom: Heirloom
}

export class World extends Context.Tag("test/World")<World, Place>() {}

const targetOf = ({ path }: Slot) => `slot${path.replaceAll(/[^0-9]/g, "")}`

/** As `AnyHost`, with scripts that lack something. */
const mutantHost = (mutations: Mutations, root: string) =>
  Layer.effect(
    RemoteHost,
    Effect.map(Effect.context<Prompt | NodeContext.NodeContext>(), (services) => ({
      connect: (target) =>
        SshTransport.connect(target, root).pipe(
          Effect.map((transport) => makeSession(target, mutant(transport, mutations))),
          Effect.mapInputContext((scope: Context.Context<Scope.Scope>) => Context.merge(services, scope))
        )
    }))
  )

export const world = (
  userland: Effect.Effect<string, never, Scope.Scope>,
  settings: Readonly<Record<string, string>> = {}
) =>
  Layer.scoped(
    World,
    Effect.gen(function* () {
      const here = yield* project()
      const crashes = yield* crashHost(yield* userland, atOnce)
      const { host, slots } = crashes
      fs.appendFileSync(host.knownHosts, slots.map(({ port }) => `[127.0.0.1]:${port} ${host.hostKey}\n`).join(""))
      here.knowHost(host)
      const hooks = { afterUnpack: "cat VERSION", afterSwitch: "cat VERSION" }
      const targets = Object.fromEntries(
        slots.flatMap((slot) => {
          const target = {
            ...{ ...reach(host, slot), path: slot.path, name: here.name, builder: "plain", sharesPath: true },
            ...hooks,
            ...settings
          }
          return [
            [targetOf(slot), target],
            [`${targetOf(slot)}keep`, { ...target, keep: 1 }]
          ]
        })
      )
      here.configure(targets)
      for (let id = 1; id <= count; id++) {
        here.version(`${id}.0`)
        yield* here.good("build", "target=slot0")
      }

      const workspace = Workspace.layerMemory({ targets, builders: {} }, workspacePaths(here.root))
      const services = (hosts: Layer.Layer<RemoteHost, never, Workspace | Prompt | NodeContext.NodeContext>) =>
        Layer.mergeAll(
          hosts,
          ReleaseStore.layer,
          DockerBuilder.layerMemory(() => undefined)
        ).pipe(Layer.provideMerge(Layer.mergeAll(workspace, Prompt.layer)), Layer.provideMerge(NodeContext.layer))
      const usual = yield* Layer.build(services(AnyHost.layer))
      const words = (line: string, slot: Slot) => {
        const target = `target=${targetOf(slot)}${line.endsWith(" keep") ? "keep" : ""}`
        return [...line.replace(/ keep$/, "").split(" "), target, "wait=10s"]
      }
      const inProcess: Place["inProcess"] = (line, mutations) => (slot) =>
        Effect.gen(function* () {
          const context =
            mutations === undefined ? usual : yield* Layer.build(services(mutantHost(mutations, here.root)))
          const fiber = yield* run(words(line, slot)).pipe(
            Effect.provide(context),
            Effect.provideService(SshSettings, settingsFor(host)),
            Effect.map(({ status, stderr }) => ({ status, said: stderr })),
            Effect.catchAllCause((cause) => Effect.succeed({ status: 70, said: Cause.pretty(cause) })),
            Effect.forkScoped
          )
          return { kill: Effect.sync(slot.network.cut), ended: Fiber.join(fiber) }
        }).pipe(Effect.orDie)
      const binary: Place["binary"] = (line) => (slot) =>
        Effect.map(here.begin(words(line, slot)), ({ ended, signal }) => ({
          kill: Effect.sync(() => signal("SIGKILL")),
          ended: Effect.map(ended, ({ status, stderr }) => ({ status, said: stderr }))
        }))

      // The files on the host before each command.
      const [slot = assert.fail()] = slots
      const refs = (yield* Context.get(usual, ReleaseStore).list()).toReversed().map(({ ref }) => ref)
      const good = (line: string) =>
        Effect.gen(function* () {
          const { said, status } = yield* (yield* inProcess(line)(slot)).ended
          assert.strictEqual(status, 0, said)
        }).pipe(Effect.scoped)
      const from = ({ deployed, harm, title }: Scenario) =>
        deployed.length === 0 && harm === undefined ? undefined : path.join(host.folder, "before", title)
      let heirloom: Heirloom | undefined
      const trees = new Map<string, Record<string, string>>()
      for (const scenario of [...scenarios, { title: "all", deployed: [1, 2, 3, 4] } as const]) {
        lay(slot, undefined)
        for (const id of scenario.deployed) yield* good(`deploy release=${id}`)
        if ("current" in scenario) yield* good(`manage ln ref=${refs[scenario.current - 1]}`)
        if ("harm" in scenario) scenario.harm(slot.base, refs)
        if (scenario.title === "all") {
          for (const ref of refs) trees.set(ref, releaseTree(path.join(slot.base, `releases/deployer_${ref}`)))
        } else if ("allowed" in scenario && from(scenario) !== undefined) {
          fs.cpSync(slot.base, path.join(host.folder, "before", scenario.title), {
            recursive: true,
            verbatimSymlinks: true
          })
        }
        if (scenario.title === "adopt") {
          const tree = treeIn(path.join(slot.base, "releases/current"))
          yield* good("manage adopt yes")
          const ref = fs.readlinkSync(path.join(slot.base, "releases/current")).replace("deployer_", "")
          trees.set(ref, releaseTree(path.join(slot.base, `releases/deployer_${ref}`)))
          heirloom = { tree, ref, name: here.name }
        }
      }
      heirloom ??= assert.fail()
      return { here, crashes, refs, trees, from, binary, inProcess, heirloom, tried: new Set<string>() }
    }).pipe(Effect.orDie)
  )

/** The points at which a command can be stopped. */
export const pointsOf = (scenario: Scenario) =>
  Effect.gen(function* () {
    const { crashes, from, here, inProcess, refs } = yield* World
    const recorded = yield* crashes.withSlot((slot) =>
      Effect.gen(function* () {
        lay(slot, from(scenario))
        slot.arm()
        const { said, status } = yield* (yield* inProcess(scenario.command({ here, refs }))(slot)).ended
        assert.strictEqual(status, 0, said)
        return slot.recorded()
      }).pipe(Effect.scoped)
    )
    assert.isNotEmpty(recorded)
    assert.notInclude(
      recorded.map(({ name }) => name),
      "unknown"
    )
    return pointsIn(recorded)
  })

interface Case {
  readonly point: Point
  readonly deed: Deed
}

/**
 * The choice of points. Between two programs that change something, only the shell's own words act: so most places are looked at
 * before a program, and after it if it renames. The work that a killed client began continues to its end from any place, so a few
 * places in a step are enough.
 */
const casesAt = (point: Point): ReadonlyArray<Case> => {
  const { program, when } = point
  const renames = program !== undefined && ["ln", "mv"].includes(program.name)
  const deeds: ReadonlyArray<Deed> =
    program === undefined
      ? when === "after"
        ? ["kill"]
        : ["kill", "late", "shell"]
      : when === "after"
        ? renames
          ? ["shell"]
          : []
        : when === "halfway" || renames
          ? ["kill", "late", "shell"]
          : ["late", "shell"]
  return deeds.map((deed) => ({ point, deed }))
}

/** Returns the broken rules. `next` starts the commands that follow a crash. */
export const crashing = (
  scenario: Scenario,
  cases: ReadonlyArray<Case>,
  startOf: (line: string) => Start,
  next: (one: Case) => (line: string) => Start = () => startOf
) =>
  Effect.gen(function* () {
    const { crashes, from, heirloom, here, refs, trees } = yield* World
    const refOf = (id: number | undefined) => (id === undefined ? undefined : refs[id - 1])
    const deploying = (one: Case, [line, id]: readonly [string, number | "adopted"]) => ({
      start: next(one)(line),
      ref: id === "adopted" ? heirloom.ref : (refs[id - 1] ?? "")
    })
    const found = yield* Effect.forEach(
      cases,
      (one) =>
        crashes.withSlot((slot) =>
          crash({
            ...one,
            slot,
            trees,
            from: from(scenario),
            allowed: scenario.allowed.map(refOf),
            start: startOf(scenario.command({ here, refs })),
            deploy: deploying(one, scenario.next ?? ["deploy yes", count]),
            change: deploying(one, scenario.change ?? ["deploy yes release=1", 1]),
            insists: scenario.change !== undefined,
            damage: scenario.next === undefined ? undefined : (base) => notAdopted(base, heirloom)
          })
        ),
      { concurrency: atOnce }
    )
    return found.flat()
  })

export const suite = (userland: string, missing: string | undefined) =>
  missing === undefined ? ([describe, userland] as const) : ([describe.skip, titled(userland, missing)] as const)

/** A kind of host. */
interface Userland {
  readonly name: string
  /** Its place among them. */
  readonly side: 0 | 1 | 2
  readonly make: Effect.Effect<string, never, Scope.Scope>
  /** Further settings of its targets. */
  readonly settings?: Readonly<Record<string, string>>
  readonly missing: string | undefined
}

export const gnu: Userland = {
  name: "GNU",
  side: 0,
  make: Effect.sync(() => process.env["PATH"] ?? ""),
  missing: missingSshd
}

/** The userlands of other Debian releases. */
export const otherUserlands: ReadonlyArray<Userland> = others.map(({ path, title }) => ({
  name: title,
  side: 0,
  make: Effect.succeed(path),
  missing: missingSshd
}))

/** A host that is reached through the system's `ssh`. */
export const openSsh: Userland = {
  name: "GNU, through the system's ssh",
  side: 2,
  make: gnu.make,
  settings: { ssh: "openssh" },
  missing: missingSshd ?? missing("ssh")
}

/** There is no perl on it: so an adoption's renames are programs of their own, between which a crash fits. */
export const busyboxUserland: Userland = {
  name: "BusyBox",
  side: 1,
  make: busybox(),
  missing: missingSshd ?? missingBusybox
}

/** The suite of a userland. */
export const everyCrash = ({ make, missing, name, settings, side }: Userland): void => {
  const isHere = (title: string) => isExhaustive || draw(title, sides) === side
  const [suiteHere, title] = suite(name, missing)
  suiteHere(`crashes on a host with ${title}`, { timeout: 900_000 }, () => {
    layer(world(make, settings), { excludeTestServices: true, timeout: "5 minutes" })("leave", (it) => {
      for (const scenario of scenarios) {
        it.effect(`A crash at any place of ${scenario.title} leaves the host whole.`, () =>
          Effect.gen(function* () {
            const { here, inProcess, refs, tried } = yield* World
            const { done, isNew } = untried(tried)
            const command = scenario.command({ here, refs })
            const cases = (yield* pointsOf(scenario)).flatMap(casesAt).filter(({ deed, point }) => {
              const { name, nth, program, when } = point
              // The programs that a script starts are the same for every command.
              const place = program === undefined ? command : `${program.name} ${program.nth}`
              const mine = isHere(`${scenario.title}: ${deed} at ${titleOf(point)}`)
              // The renames of an adoption are programs on BusyBox only.
              const isOnly = side === 1 && name === "adopt" && program?.name === "mv"
              return isNew(`${name} ${nth} ${when} ${place} ${deed}`) && (mine || isOnly)
            })
            const found = yield* crashing(scenario, cases, inProcess)
            assert.deepStrictEqual(found, [], `${cases.length} cases`)
            done()
          })
        )
      }

      for (const scenario of scenarios) {
        it.effect(`Killing the real binary at any step of ${scenario.title} leaves the host whole.`, () =>
          Effect.gen(function* () {
            const { binary, here, inProcess, refs, tried } = yield* World
            const { done, isNew } = untried(tried)
            const points = yield* pointsOf(scenario)
            const whole = points.filter(({ program }) => program === undefined)
            // In the middle: at a place with something half done or renamed, if there is one.
            const within = whole.flatMap(({ step, when }) => {
              if (when !== "before") return []
              const inside = points.filter((point) => point.step === step && point.program !== undefined)
              return inside.find((point) => casesAt(point).some(({ deed }) => deed === "kill")) ?? inside.slice(0, 1)
            })
            const cases = [...whole, ...within]
              .map((point) => ({ point, deed: "kill" }) as const)
              .filter(({ point: { name, nth, program, when } }) => {
                const within = program === undefined ? when : "within"
                const place = `${name} ${nth} ${within}`
                return isNew(`${place} ${scenario.command({ here, refs })}`) && isHere(`${scenario.title} ${place}`)
              })
            const found = yield* crashing(scenario, cases, binary, ({ point }) =>
              isSampled(`${scenario.title} ${titleOf(point)}`) ? binary : inProcess
            )
            assert.deepStrictEqual(found, [], `${cases.length} cases`)
            assert.deepStrictEqual(here.leftovers(), [])
            done()
          })
        )
      }
    })
  })
}
