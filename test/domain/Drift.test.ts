import { assert, describe, it } from "@effect/vitest"
import { drift, remedy } from "../../src/domain/Drift.ts"
import { DeadMan, type HostState, Unfinished } from "../../src/domain/HostState.ts"
import type { JournalEvent } from "../../src/domain/Journal.ts"
import { Lock } from "../../src/domain/Lock.ts"
import { hostRelease, hostState, journalEntry, refOf } from "../kit/samples.ts"

const entry = (event: JournalEvent, digit: string) =>
  journalEntry({ event, release: { name: "my_app", ref: refOf(digit) } })

/** A went live and well, then B. */
const live = [entry("switched", "A"), entry("healthy", "A"), entry("switched", "B"), entry("healthy", "B")]
const a = hostRelease({ ref: refOf("A") })
const b = hostRelease({ ref: refOf("B"), serial: 2 })

const host = (fields: Parameters<typeof hostState>[0] = {}): HostState =>
  hostState({ current: { _tag: "Linked", ref: refOf("B") }, releases: [a, b], journal: live, ...fields })

const kinds = (fields: Parameters<typeof hostState>[0] = {}) =>
  drift(host(fields)).map(({ kind, ref }) => (ref === undefined ? kind : `${kind} ${ref[0]}`))

const unfinished = [
  Unfinished.make({ ref: refOf("C"), kind: "upload", received: 5 }),
  Unfinished.make({ ref: refOf("D"), kind: "release", received: 0 })
]
const linkedTo = (digit: string) => ({ _tag: "Linked", ref: refOf(digit) }) as const

describe("drift", () => {
  it("A host that is as its journal tells has no drift.", () => {
    assert.deepStrictEqual(kinds(), [])
    assert.deepStrictEqual(drift(hostState()), [])
    assert.deepStrictEqual(kinds({ current: { _tag: "Absent" }, journal: [...live, entry("unlinked", "B")] }), [])
    assert.deepStrictEqual(
      kinds({
        current: linkedTo("A"),
        journal: [...live, entry("unhealthy", "B"), entry("rolledBack", "A"), entry("healthy", "A")]
      }),
      []
    )
    assert.deepStrictEqual(kinds({ releases: [b], journal: [...live, entry("removed", "A")] }), [])
    // It was deployed again, and a command before the switch failed: then it is removed without a message.
    assert.deepStrictEqual(
      kinds({ releases: [b], journal: [...live, entry("removed", "A"), entry("staged", "A")] }),
      []
    )
  })

  it("A current link that is missing, dead, foreign or no link at all is drift.", () => {
    assert.deepStrictEqual(kinds({ current: { _tag: "Absent" } }), ["link"])
    assert.deepStrictEqual(kinds({ current: linkedTo("F") }), ["link", "journal F"])
    assert.deepStrictEqual(kinds({ current: { _tag: "Foreign", to: "/opt" } }), ["link"])
    const advice = (fields: Parameters<typeof hostState>[0]) => drift(host(fields))[0]?.advice
    assert.strictEqual(advice({ current: { _tag: "Occupied", by: "directory" } }), "adopt")
    assert.strictEqual(advice({ current: { _tag: "Occupied", by: "file" } }), "move")
    assert.strictEqual(advice({ current: { _tag: "Foreign", to: "/opt" } }), "repair")
    // Before anything of ours was live it is somebody else's link.
    assert.strictEqual(advice({ current: { _tag: "Foreign", to: "/opt" }, journal: [] }), "link")
  })

  it("A journal that disagrees with the current link or has torn lines is drift.", () => {
    assert.deepStrictEqual(kinds({ current: linkedTo("A") }), ["journal A"])
    assert.deepStrictEqual(kinds({ journal: [] }), ["journal B"])
    assert.deepStrictEqual(kinds({ journal: [...live, entry("unlinked", "B")] }), ["journal B"])
    assert.deepStrictEqual(kinds({ torn: 2 }), ["torn"])
    assert.deepStrictEqual(kinds({ journal: [], torn: 500 }), ["journal B", "torn"])
  })

  it("A release that is gone, unfinished, damaged, overdue, unsettled or unhealthy is drift.", () => {
    assert.deepStrictEqual(kinds({ releases: [b] }), ["gone A"])
    assert.deepStrictEqual(kinds({ unfinished }), ["unfinished C", "unfinished D"])
    const damaged = [{ ref: refOf("A"), detail: "it is empty" }]
    assert.deepStrictEqual(kinds({ releases: [b], damaged }), ["damaged A"])
    const armed = { id: "1.1", ref: refOf("B"), back: refOf("A") }
    assert.deepStrictEqual(kinds({ armed: DeadMan.make({ ...armed, seconds: 20 }) }), [])
    assert.deepStrictEqual(kinds({ armed: DeadMan.make({ ...armed, seconds: -600 }) }), ["overdue B"])
    assert.deepStrictEqual(kinds({ journal: live.slice(0, 3) }), ["unsettled B"])
    assert.deepStrictEqual(kinds({ journal: [...live, entry("unhealthy", "B")] }), ["unhealthy B"])
  })

  it("Unfinished work under a live lock is not drift.", () => {
    const lock = Lock.make({ token: 3, idleSeconds: 2 })
    assert.deepStrictEqual(kinds({ unfinished, journal: live.slice(0, 3), lock }), [])
    const dead = Lock.make({ token: 3, idleSeconds: 200 })
    assert.deepStrictEqual(kinds({ unfinished, lock: dead }), ["unfinished C", "unfinished D"])
  })
})

describe("remedy", () => {
  it("An advice to deploy a release again names that release.", () => {
    const ref = "2455F895".padEnd(32, "0")
    for (const advice of ["restore", "retry", "resend"] as const)
      assert.include(remedy({ advice, ref }, "prod"), "deployer deploy target=prod release=2455F895 retry")
  })
})
