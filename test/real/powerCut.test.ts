/** What a power cut leaves of a host: copies of its disk after each step of a command and later, mounted as after a new start. */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { waitAMinute } from "../kit/hosts.ts"
import { type FileSystem, loopDisk, missingLoop } from "../kit/loopDisk.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { titled } from "../kit/sshd.ts"
import { built, run, usualConfig, world } from "../kit/world.ts"

type Services = Layer.Layer.Success<ReturnType<typeof world>> | RemoteHost

/** A command, and what it finds and may leave. */
interface Work {
  /** For "After …". */
  readonly title: string
  /** The command lines that make what it finds. */
  readonly before: ReadonlyArray<string>
  /** Changes the target's folder once they are done. */
  readonly change?: (base: string) => void
  readonly command: string
  /** The versions that may be live after a power cut; "none" if nothing may be. */
  readonly allowed: ReadonlyArray<string>
  /** Command lines that are run first after a power cut that left no link; all other command lines have to do without. */
  readonly mend?: string
  /** The version that a rollback after the next deployment leads to, if that was live. */
  readonly back?: string
}

const deploy = (release: number) => `deploy target=prod release=${release} yes`

const works: ReadonlyArray<Work> = [
  { title: "a deployment", before: [deploy(1)], command: deploy(2), allowed: ["1", "2"] },
  { title: "a rollback", before: [deploy(1), deploy(2)], command: "rollback target=prod yes", allowed: ["1", "2"] },
  {
    title: "a removal",
    before: [deploy(1), deploy(2), deploy(3)],
    command: "manage prune target=prod name=my_app yes",
    allowed: ["3"]
  },
  {
    title: "an adoption",
    before: [],
    change: (base) => {
      fs.mkdirSync(join(base, "releases/current/my_app"), { recursive: true })
      fs.writeFileSync(join(base, "releases/current/my_app/version"), "0")
      fs.writeFileSync(join(base, "releases/current/my_app/data"), data[0] ?? "")
    },
    command: "manage adopt target=prod yes",
    allowed: ["0"],
    mend: "manage adopt target=prod yes",
    back: "0"
  },
  {
    title: "a repair",
    before: [deploy(1), deploy(2)],
    change: (base) => {
      fs.rmSync(join(base, "releases/current"))
      for (const folder of fs.readdirSync(join(base, "releases")))
        fs.writeFileSync(join(base, "releases", folder, ".deployer_release.json"), "")
    },
    command: "repair target=prod yes",
    allowed: ["none", "1", "2"]
  }
]

/** Of each version; the first one is not in the store. */
const data = Array.from({ length: 5 }, () => randomBytes(100_000).toString("hex"))

/** The version that is live, every byte of which is there, or "none". */
const live = (base: string): string => {
  const folder = join(base, "releases/current/my_app")
  if (!fs.existsSync(join(base, "releases/current"))) return "none"
  const version = fs.readFileSync(join(folder, "version"), "utf8")
  assert.strictEqual(fs.readFileSync(join(folder, "data"), "utf8"), data[Number(version)])
  return version
}

const isLink = (base: string) =>
  fs.lstatSync(join(base, "releases/current"), { throwIfNoEntry: false })?.isSymbolicLink()

const good = (line: string, moment: string) =>
  Effect.map(run(line), ({ status, stderr, stdout }) => {
    assert.strictEqual(status, 0, `${moment}: ${line}\n${stderr}`)
    return stdout
  })

/** A project whose target lies on a disk of its own; `cut` is true while each step is to be followed by a cut. */
const onDisk = <E, R extends Services>(
  kind: FileSystem,
  mutations: Mutations,
  body: (place: {
    readonly base: string
    readonly disk: Effect.Effect.Success<ReturnType<typeof loopDisk>>
    readonly cutEachStep: (whether: boolean) => void
  }) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function* () {
    const disk = yield* loopDisk(kind)
    const base = join(disk.folder, "app")
    let isCutting = false
    const remote = Layer.succeed(RemoteHost, {
      connect: (target) => {
        const transport = mutant(LocalTransport.make(target), mutations)
        return Effect.succeed(
          makeSession(target, {
            ...transport,
            exec: (exec) =>
              Effect.tap(transport.exec(exec), () => (isCutting ? disk.cut(`after "${exec.step}"`) : Effect.void))
          })
        )
      }
    })
    let version = 0
    const image = () => {
      version += 1
      const folder = "/app/_build/prod/rel/my_app"
      return { files: { [`${folder}/version`]: String(version), [`${folder}/data`]: data[version] ?? "" } }
    }
    const config = { ...usualConfig, targets: { prod: { host: "local", name: "my_app", path: base } } }
    yield* Effect.gen(function* () {
      for (const _ of data.slice(1)) yield* built
      yield* body({
        base,
        disk,
        cutEachStep: (whether) => {
          isCutting = whether
        }
      })
    }).pipe(Effect.provide(Layer.merge(world({ config, image }), remote)))
  }).pipe(Effect.scoped)

/** Seconds, one after the other. */
const pauses = [2, 4, 5]

for (const kind of ["ext4", "xfs", "btrfs"] as const) {
  const skip = missingLoop(kind)
  const test = skip === undefined ? it.live : it.live.skip
  // They wait for the kernel most of the time.
  describe.concurrent(titled(`a power cut on ${kind}`, skip), () => {
    for (const { allowed, back, before, change, command, mend, title } of works) {
      test(
        `After each step of ${title}, and later, a whole release is current, and the next deployment succeeds.`,
        () =>
          onDisk(kind, {}, ({ base, cutEachStep, disk }) =>
            Effect.gen(function* () {
              for (const line of before) yield* good(line, "before")
              change?.(base)
              execFileSync("sync", ["-f", disk.folder])
              yield* disk.cut("before")
              cutEachStep(true)
              yield* good(command, "at the time")
              cutEachStep(false)
              let seconds = 0
              for (const pause of pauses) {
                yield* Effect.sleep(`${pause} seconds`)
                seconds += pause
                yield* disk.cut(`${seconds} s later`)
              }
              yield* disk.afterEachCut((moment) =>
                Effect.gen(function* () {
                  const found = live(base)
                  assert.include(allowed, found, moment)
                  waitAMinute(base)
                  if (mend !== undefined && isLink(base) !== true) yield* good(mend, moment)
                  assert.isTrue(mend === undefined || isLink(base), moment)
                  yield* good(deploy(4), moment)
                  assert.strictEqual(live(base), "4", moment)
                  yield* good("history target=prod", moment)
                  if (back === undefined) return
                  yield* good("rollback target=prod yes", moment)
                  assert.strictEqual(live(base), back, moment)
                })
              )
            })
          ),
        240_000
      )
    }
  })
}

const skip = missingLoop("ext4")
describe(titled("without the sync", skip), () => {
  ;(skip === undefined ? it.live : it.live.skip)(
    "the same test finds empty files.",
    () =>
      onDisk("ext4", { activate: [["\nflush\n", "\n"]] }, ({ base, disk }) =>
        Effect.gen(function* () {
          yield* good(deploy(1), "at the time")
          yield* Effect.sleep("8 seconds")
          yield* disk.cut("8 s later")
          yield* disk.afterEachCut((moment) =>
            Effect.sync(() => {
              assert.isTrue(isLink(base), moment)
              assert.throws(() => live(base))
            })
          )
        })
      ),
    60_000
  )
})
