/** What a power cut leaves of a host: copies of its disk at every moment that counts, mounted as after a new start. */

import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import type { HostSession } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { entryAbout, stage } from "../host/contract.ts"
import { loopDisk, missingLoop } from "../kit/loopDisk.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { type Packed, sample } from "../kit/packed.ts"
import { target as sampleTarget } from "../kit/samples.ts"

const one = sample("1")
const two = sample("2")

const sessionAt = (disk: string, mutations: Mutations = {}): HostSession => {
  const target = sampleTarget({ host: "local", path: join(disk, "app") })
  return makeSession(target, mutant(LocalTransport.make(target), mutations))
}

/** The release that is current on a disk, and what of it is not as it was packed. */
const currentOn = (disk: string) =>
  Effect.gen(function* () {
    const session = sessionAt(disk)
    const { current } = yield* session.inspect
    if (current._tag !== "Linked") return { ref: undefined, faults: [`current is ${current._tag}`] }
    const release = [one, two].find(({ ref }) => ref === current.ref) ?? assert.fail(current.ref)
    const [verdict] = yield* session.verify([current.ref], "files", release.manifest)
    return { ref: current.ref, faults: verdict?.faults ?? ["no verdict"] }
  })

const deploy = (session: HostSession, release: Packed, serial: number) =>
  Effect.gen(function* () {
    yield* stage(session, release, { entries: [entryAbout(release, { event: "staged" })] })
    yield* session.activate(release.ref, {
      record: Object.assign(release.record, { serial }),
      entries: [entryAbout(release), entryAbout(release, { event: "healthy" })]
    })
  })

for (const kind of ["ext4", "xfs"] as const) {
  const skip = missingLoop(kind)
  const test = skip === undefined ? it.live : it.live.skip
  describe(skip === undefined ? `a power cut on ${kind}` : `a power cut on ${kind} (skipped: ${skip})`, () => {
    for (const [title, work, allowed] of [
      ["a deployment", (session: HostSession) => deploy(session, two, 2), [one.ref, two.ref]],
      [
        "a rollback",
        (session: HostSession) =>
          Effect.zipRight(
            deploy(session, two, 2),
            session.activate(one.ref, { entries: [entryAbout(one, { event: "rolledBack" })] })
          ),
        [one.ref, two.ref]
      ],
      [
        "a deployment and the removal of the previous release",
        (session: HostSession) =>
          Effect.zipRight(deploy(session, two, 2), session.remove([one.ref], [entryAbout(one, { event: "removed" })])),
        [one.ref, two.ref]
      ]
    ] as const) {
      test(
        `After ${title}, whenever the power goes, a whole release is current, and the next deployment succeeds.`,
        () =>
          Effect.gen(function* () {
            const disk = yield* loopDisk(kind)
            const session = sessionAt(disk.folder)
            yield* session.prepare
            yield* deploy(session, one, 1)
            // What was there is on the disk.
            yield* Effect.sleep(Duration.seconds(1))
            yield* work(session)
            for (const seconds of [0, 2, 4, 5]) {
              yield* Effect.sleep(Duration.seconds(seconds))
              const left = yield* disk.cut
              const { faults, ref } = yield* currentOn(left)
              assert.deepStrictEqual(faults, [], `${seconds} s later`)
              assert.include(allowed, ref)
              const after = sessionAt(left)
              const release = ref === one.ref ? two : one
              const present = (yield* after.inspect).releases.some((other) => other.ref === release.ref)
              if (!present) yield* stage(after, release)
              yield* after.activate(release.ref, { record: Object.assign(release.record, { serial: 3 }) })
              assert.deepStrictEqual(yield* currentOn(left), { ref: release.ref, faults: [] })
            }
          }).pipe(Effect.scoped),
        180_000
      )
    }
  })
}

const skip = missingLoop("ext4")
describe(skip === undefined ? "without the sync" : `without the sync (skipped: ${skip})`, () => {
  ;(skip === undefined ? it.live : it.live.skip)(
    "the same test finds empty files.",
    () =>
      Effect.gen(function* () {
        const disk = yield* loopDisk("ext4")
        const session = sessionAt(disk.folder, { activate: [["\nflush\n", "\n"]] })
        yield* session.prepare
        yield* deploy(session, one, 1)
        yield* Effect.sleep(Duration.seconds(8))
        const { faults } = yield* currentOn(yield* disk.cut)
        assert.isAbove(faults.length, 0)
      }).pipe(Effect.scoped),
    60_000
  )
})
