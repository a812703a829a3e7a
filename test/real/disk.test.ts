/** Disks that are full, or read-only, from one step of a deployment on: the old release stays, and the next deploy succeeds. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import type { Transport } from "../../src/host/transport/Transport.ts"
import { type Kind, local, waitAMinute } from "../kit/hosts.ts"
import { disk, missingMount, remount } from "../kit/mount.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { titled } from "../kit/sshd.ts"
import { built, run, usualConfig, world } from "../kit/world.ts"

const stages = ["lock", "stage", "activate"] as const

type Stage = (typeof stages)[number]

/** Writes until nothing more fits, neither bytes nor files; `spare` bytes are left. */
const fill = (folder: string, spare: number) => {
  const big = join(folder, "filler")
  for (const block of [65_536, 4096, 1]) {
    try {
      for (;;) fs.appendFileSync(big, Buffer.alloc(block))
    } catch {
      // It is full.
    }
  }
  if (spare > 0) fs.truncateSync(big, Math.max(0, fs.statSync(big).size - spare))
  else useUpFiles(folder)
}

/** Makes empty files until no file can be made. */
const useUpFiles = (folder: string) => {
  try {
    for (let n = 0; ; n++) fs.writeFileSync(join(folder, `filler.${n}`), "")
  } catch {
    // No file can be made.
  }
}

const empty = (folder: string) => {
  for (const name of fs.readdirSync(folder)) if (name.startsWith("filler")) fs.rmSync(join(folder, name))
}

type Services = Layer.Layer.Success<ReturnType<typeof world>>

interface Place {
  /** The small disk. */
  readonly base: string
  readonly deploy: (release: number) => ReturnType<typeof run>
  /** Sets an act right before a stage's script begins, once. */
  readonly before: (stage: Stage, act: () => void) => void
  /** Insists on a current release that is whole. */
  readonly whole: (version: string) => void
}

/** A project with two releases of 200 kB, the first of which is current on a disk of 2 MiB. */
const onSmallDisk = (
  kind: Kind,
  mutations: Mutations,
  body: (place: Place) => Effect.Effect<unknown, unknown, Services>
) =>
  Effect.gen(function* () {
    const host = yield* kind.start
    const base = join(host.home, "app")
    yield* disk(base, "size=2m,nr_inodes=120")
    let waiting: { readonly stage: Stage; readonly act: () => void } | undefined
    const remote = Layer.succeed(RemoteHost, {
      connect: (target) =>
        Effect.map(host.connect(target), (transport) => {
          const real = mutant(transport, mutations)
          const exec: Transport["exec"] = (exec) =>
            Effect.suspend(() => {
              const now = waiting
              if (now !== undefined && exec.step === now.stage) {
                waiting = undefined
                now.act()
              }
              return real.exec(exec)
            })
          return makeSession(target, { ...real, exec })
        })
    })
    const data = [0, 1].map(() => randomBytes(100_000).toString("hex"))
    let version = 0
    const image = () => {
      const content = data[version] ?? ""
      version += 1
      const folder = "/app/_build/prod/rel/my_app"
      return { files: { [`${folder}/version`]: String(version), [`${folder}/data`]: content } }
    }
    const config = { ...usualConfig, targets: { prod: { host: "local", name: "my_app", path: "app" } } }
    const deploy = (release: number) => run(`deploy target=prod release=${release} yes`)
    yield* Effect.gen(function* () {
      yield* built
      yield* built
      const first = yield* deploy(1)
      assert.strictEqual(first.status, 0, first.stderr)
      yield* body({
        base,
        deploy,
        before: (stage, act) => {
          waiting = { stage, act }
        },
        whole: (expected) => {
          const folder = join(base, "releases/current/my_app")
          assert.strictEqual(fs.readFileSync(join(folder, "version"), "utf8"), expected)
          assert.strictEqual(fs.readFileSync(join(folder, "data"), "utf8"), data[Number(expected) - 1])
        }
      })
    }).pipe(Effect.provide(Layer.merge(world({ config, image }), remote)))
  }).pipe(Effect.scoped)

/** Repeats until the second release is current. */
const endsWell = ({ base, deploy, whole }: Place) =>
  Effect.gen(function* () {
    const next = yield* deploy(2)
    assert.strictEqual(next.status, 0, next.stderr)
    whole("2")
    const rest = fs.readdirSync(join(base, "releases")).filter((name) => !name.startsWith("deployer_"))
    assert.deepStrictEqual(rest, ["current"])
  })

for (const kind of local) {
  const skip = kind.skip ?? missingMount
  const live = skip === undefined ? it.live : it.live.skip
  describe(titled(`${kind.title}: a disk`, skip), () => {
    for (const stage of stages) {
      for (const spare of stage === "stage" ? [0, 60_000] : [0]) {
        const room = spare === 0 ? "" : ` but for ${spare / 1000} kB`
        live(
          `If the disk is full${room} at ${stage}, deploy keeps the old release, and the next deploy succeeds.`,
          () =>
            onSmallDisk(kind, {}, (place) =>
              Effect.gen(function* () {
                place.before(stage, () => fill(place.base, spare))
                const failed = yield* place.deploy(2)
                assert.match(
                  failed.stderr,
                  /No space left on device|[0-9]+ of [0-9]+ bytes arrived|[0-9]+ k?B are needed/
                )
                assert.strictEqual(failed.status, 1, failed.stderr)
                place.whole("1")
                empty(place.base)
                yield* endsWell(place)
              })
            )
        )
      }
    }

    live("A disk that has space but no inodes lets rollbacks and a removal succeed.", () =>
      onSmallDisk(kind, {}, ({ base, deploy, whole }) =>
        Effect.gen(function* () {
          const second = yield* deploy(2)
          assert.strictEqual(second.status, 0, second.stderr)
          useUpFiles(base)
          for (const expected of ["1", "2", "1", "2", "1"]) {
            const back = yield* run(`rollback target=prod to=${expected}`)
            assert.strictEqual(back.status, 0, back.stderr)
            whole(expected)
          }
          const removed = yield* run("manage delete ref=2 target=prod yes")
          assert.strictEqual(removed.status, 0, removed.stderr)
          empty(base)
          yield* endsWell({ base, deploy, before: () => undefined, whole })
          assert.lengthOf(fs.readdirSync(join(base, "config/.spare")), 8)
        })
      )
    )

    live("A disk that is full lets a rollback and a removal succeed.", () =>
      onSmallDisk(kind, {}, ({ base, deploy, whole }) =>
        Effect.gen(function* () {
          const second = yield* deploy(2)
          assert.strictEqual(second.status, 0, second.stderr)
          for (const expected of ["1", "2", "1"]) {
            fill(base, 0)
            const back = yield* run(`rollback target=prod to=${expected}`)
            assert.strictEqual(back.status, 0, back.stderr)
            whole(expected)
          }
          fill(base, 0)
          const [, , ref = ""] =
            /current +\S+ +.*\n +(\S+ +)?([0-9A-F]{8})/.exec((yield* run("manage info target=prod")).stdout) ?? []
          const removed = yield* run(`manage delete ref=${ref} target=prod yes`)
          assert.strictEqual(removed.status, 0, removed.stderr)
          empty(base)
          yield* endsWell({ base, deploy, before: () => undefined, whole })
        })
      )
    )

    live(
      "If the reserve of a full disk is used up, the message about the lock names no command that needs the lock.",
      () =>
        onSmallDisk(kind, {}, ({ base, deploy, whole }) =>
          Effect.gen(function* () {
            fs.rmSync(join(base, "config/.spare"), { recursive: true })
            fill(base, 0)
            const pruned = yield* run("manage delete ref=1 target=prod yes")
            const failed = yield* run("rollback target=prod")
            assert.strictEqual(failed.status, 1, failed.stderr)
            assert.match(failed.stderr, /remove files there that are not deployer's/)
            assert.notMatch(`${failed.stderr}${pruned.stderr}`, /manage prune/)
            empty(base)
            yield* endsWell({ base, deploy, before: () => undefined, whole })
          })
        )
    )

    for (const stage of ["lock", "stage", "activate"] as const) {
      live(
        `If the disk is read-only from ${stage} on, deploy keeps the old release, and the next deploy succeeds.`,
        () =>
          onSmallDisk(kind, {}, (place) =>
            Effect.gen(function* () {
              place.before(stage, () => remount(place.base, "ro"))
              const failed = yield* place.deploy(2)
              assert.strictEqual(failed.status, 1, failed.stderr)
              assert.match(failed.stderr, /Read-only file system|mounted read-only|cannot be written|cannot create/)
              place.whole("1")
              remount(place.base, "rw")
              waitAMinute(place.base)
              yield* endsWell(place)
            })
          )
      )
    }
  })
}

describe("without the protection", () => {
  const live = missingMount === undefined ? it.live : it.live.skip
  live(titled("Without the protection, a full disk keeps the lock from being given back.", missingMount), () =>
    onSmallDisk(local[0]!, { lock: [['rm -f "$base/config/.lock.$$" "$base/config/beat.$1"', "true"]] }, (place) =>
      Effect.gen(function* () {
        place.before("stage", () => fill(place.base, 0))
        assert.strictEqual((yield* place.deploy(2)).status, 1)
        empty(place.base)
        const kept = yield* place.deploy(2)
        assert.strictEqual(kept.status, 4, kept.stderr)
        place.whole("1")
      })
    )
  )
})
