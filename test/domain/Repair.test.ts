import { assert, describe, it } from "@effect/vitest"
import { DeadMan, type HostState, Unfinished } from "../../src/domain/HostState.ts"
import type { JournalEvent } from "../../src/domain/Journal.ts"
import { Lock } from "../../src/domain/Lock.ts"
import type { Release } from "../../src/domain/Release.ts"
import { planRepair, type RepairStep, repairStepText } from "../../src/domain/Repair.ts"
import type { TargetSettings } from "../../src/domain/Target.ts"
import { hostRelease, hostState, journalEntry, refOf, release, target } from "../kit/samples.ts"

const entry = (event: JournalEvent, digit: string) =>
  journalEntry({ event, release: { name: "my_app", ref: refOf(digit) } })

/** A went live and well, then B. */
const live = [entry("switched", "A"), entry("healthy", "A"), entry("switched", "B"), entry("healthy", "B")]
const a = hostRelease({ ref: refOf("A") })
const b = hostRelease({ ref: refOf("B"), serial: 2 })
const linkedTo = (digit: string) => ({ _tag: "Linked", ref: refOf(digit) }) as const

const host = (fields: Parameters<typeof hostState>[0] = {}): HostState =>
  hostState({ current: linkedTo("B"), releases: [a, b], journal: live, ...fields })

interface More {
  readonly stored?: ReadonlyArray<Release>
  readonly target?: Partial<typeof TargetSettings.Encoded>
}

const planned = (fields: Parameters<typeof hostState>[0] = {}, more: More = {}) =>
  planRepair(host(fields), {
    target: target(more.target),
    stored: (ref) => more.stored?.find((release) => release.ref === ref)
  })

const short = (step: RepairStep): string => {
  switch (step._tag) {
    case "FinishAdoption":
      return `adopt ${step.ref[0]}`
    case "Record":
      return `record ${step.release.ref[0]} ${step.release.serial}`
    case "Link":
      return `link ${step.release.ref[0]}`
    case "Unlink":
      return `unlink ${step.release?.ref[0] ?? "-"}`
    case "Disarm":
      return "disarm"
    case "GoBack":
      return `back ${step.from.ref[0]} ${step.to?.ref[0] ?? "-"}`
    case "Discard":
      return `discard ${step.unfinished.kind} ${step.unfinished.ref[0]}`
    case "Note":
      return `note ${step.event}${step.release === undefined ? "" : ` ${step.release.ref[0]}`}`
    case "Settle":
      return `settle ${step.release.ref[0]} ${step.steps.map(({ _tag }) => _tag).join(",")} ${step.back?.ref[0] ?? "-"}`
  }
}

/** The steps but for the last word in the journal, and the rest that it cannot repair, with the advice. */
const plan = (fields: Parameters<typeof hostState>[0] = {}, more: More = {}) => {
  const { left, steps } = planned(fields, more)
  for (const step of steps) assert.notMatch(repairStepText(step), /undefined|object/)
  const all = steps.map(short)
  if (all.length > 0) assert.include(all, "note repaired")
  return [all.filter((step) => step !== "note repaired"), left.map(({ advice, kind }) => `${kind} ${advice}`)]
}

const upload = Unfinished.make({ ref: refOf("C"), kind: "upload", received: 5 })
const unpacked = Unfinished.make({ ref: refOf("D"), kind: "release", received: 0 })
const adoption = Unfinished.make({ ref: refOf("E"), kind: "adoption", received: 0 })
const torn = { detail: "it is empty" }
const armed = (fields: Partial<ConstructorParameters<typeof DeadMan>[0]> = {}) =>
  DeadMan.make({ id: "1.1", ref: refOf("B"), back: refOf("A"), seconds: -600, ...fields })

describe("a repair", () => {
  it("A repair leaves the link on a foreign folder, such as a release that was moved to a larger disk.", () => {
    const moved = {
      releases: [a],
      foreign: [refOf("B")],
      current: { _tag: "Foreign", to: `deployer_${refOf("B")}` }
    } as const
    assert.deepStrictEqual(plan(moved), [[], ["link link"]])
  })

  it("A repair has nothing to do on a host whose journal, link and folders agree.", () => {
    assert.deepStrictEqual(plan(), [[], []])
    assert.deepStrictEqual(planned().found, [])
    assert.deepStrictEqual(plan({ current: { _tag: "Absent" }, journal: [], releases: [] }), [[], []])
    assert.deepStrictEqual(plan({ current: { _tag: "Absent" }, journal: [...live, entry("unlinked", "B")] }), [[], []])
    assert.deepStrictEqual(plan({ armed: armed({ seconds: 30 }) }), [[], []])
  })

  it("A repair links the release that the journal says is live, the last healthy one, or nothing.", () => {
    for (const current of [{ _tag: "Absent" }, linkedTo("F"), { _tag: "Foreign", to: "/opt" }] as const) {
      assert.deepStrictEqual(plan({ current }), [["link B"], []])
      const failed = [...live, entry("unhealthy", "B")]
      assert.deepStrictEqual(plan({ current, journal: failed }), [["link A"], []])
      assert.deepStrictEqual(plan({ current, releases: [a] }), [["link A", "note removed B"], []])
    }
    const none = { releases: [], journal: [entry("switched", "B")] }
    assert.deepStrictEqual(plan({ ...none, current: { _tag: "Absent" } }), [["note unlinked B"], []])
    assert.deepStrictEqual(plan({ ...none, current: linkedTo("F") }), [["unlink B"], []])
    assert.deepStrictEqual(plan({ releases: [], journal: [], current: linkedTo("F") }), [["unlink -"], []])
  })

  it("A repair leaves a foreign file, directory or link in the place of current.", () => {
    const by = (by: "directory" | "file") => plan({ current: { _tag: "Occupied", by }, journal: [], releases: [] })
    assert.deepStrictEqual(by("directory"), [[], ["link adopt"]])
    assert.deepStrictEqual(by("file"), [[], ["link move"]])
    const theirs = { _tag: "Foreign", to: "/opt/theirs" } as const
    assert.deepStrictEqual(plan({ current: theirs, journal: [] }), [[], ["link link"]])
    assert.deepStrictEqual(plan({ current: theirs, releases: [], journal: [entry("switched", "B")] }), [
      [],
      ["link link"]
    ])
  })

  it("A repair keeps the live release live, however its link is written.", () => {
    for (const to of [`/srv/my_app/releases/deployer_${refOf("A")}`, `./deployer_${refOf("A")}/`]) {
      assert.deepStrictEqual(plan({ current: { _tag: "Foreign", to } }), [["link A"], []])
    }
    // It runs, even if deployer knows nothing of it.
    const unknown = Unfinished.make({ ref: refOf("B"), kind: "release", received: 0 })
    assert.deepStrictEqual(plan({ releases: [a], unfinished: [unknown] }), [[], ["link link"]])
    const damaged = [{ ref: refOf("B"), ...torn }]
    assert.deepStrictEqual(plan({ releases: [a], damaged }), [[], ["link link", "damaged deploy"]])
  })

  it("A repair records a link that the journal does not know.", () => {
    assert.deepStrictEqual(plan({ current: linkedTo("A") }), [["note linked A"], []])
    assert.deepStrictEqual(plan({ journal: [...live, entry("unlinked", "B")] }), [["note linked B"], []])
    // A deployment that was killed between the switch and its line in the journal.
    const journal = [...live.slice(0, 2), entry("staged", "B")]
    assert.deepStrictEqual(plan({ journal }, { target: { health: { tcp: 80 } } }), [
      ["note linked B", "settle B Check,Settle A"],
      []
    ])
  })

  it("A repair removes unfinished work, records missing releases and settles torn journal lines.", () => {
    assert.deepStrictEqual(plan({ unfinished: [upload, unpacked] }), [["discard upload C", "discard release D"], []])
    assert.deepStrictEqual(plan({ releases: [b] }), [["note removed A"], []])
    assert.deepStrictEqual(planned({ torn: 2 }).steps.map(short), ["note repaired"])
    const lock = Lock.make({ token: 3, idleSeconds: 2 })
    assert.deepStrictEqual(plan({ unfinished: [upload, unpacked], lock }), [[], []])
  })

  it("A repair rewrites damaged records from the store, or removes a release that nothing vouches for.", () => {
    const damaged = [{ ref: refOf("A"), ...torn }]
    const stored = [release({ ref: refOf("A") }), release({ ref: refOf("B"), id: 2 })]
    // An older one does not become the latest of its name.
    assert.deepStrictEqual(plan({ releases: [b], damaged }, { stored }), [["record A 0"], []])
    assert.deepStrictEqual(plan({ releases: [a], damaged: [{ ref: refOf("B"), ...torn }] }, { stored }), [
      ["record B 2"],
      []
    ])
    const both = [
      { ref: refOf("B"), ...torn },
      { ref: refOf("A"), ...torn }
    ]
    assert.deepStrictEqual(plan({ releases: [], damaged: both }, { stored }), [["record A 1", "record B 2"], []])
    const unknown = Unfinished.make({ ref: refOf("B"), kind: "release", received: 0 })
    assert.deepStrictEqual(plan({ releases: [a], unfinished: [unknown] }, { stored }), [["record B 2"], []])
    // A release that was live and well is kept: another store may have it.
    assert.deepStrictEqual(plan({ releases: [b], damaged }), [[], ["damaged restore"]])
    assert.deepStrictEqual(plan({ releases: [b], damaged, journal: [...live, entry("unhealthy", "A")] }), [
      ["discard damaged A"],
      []
    ])
    assert.deepStrictEqual(plan({ releases: [b], damaged, journal: [...live, entry("pinned", "A")] }), [
      [],
      ["damaged restore"]
    ])
    assert.deepStrictEqual(plan({ releases: [b], damaged, armed: armed({ seconds: 30 }) }), [[], ["damaged restore"]])
  })

  it("A repair catches up on the steps after a switch, with a way back.", () => {
    const checked = { target: { afterSwitch: "true", restart: "true", health: { tcp: 80 } } }
    const journal = live.slice(0, 3)
    assert.deepStrictEqual(plan({ journal }), [["settle B Settle A"], []])
    assert.deepStrictEqual(plan({ journal }, checked), [["settle B Run,Run,Check,Settle A"], []])
    assert.deepStrictEqual(plan({ journal, current: { _tag: "Absent" } }, checked), [
      ["link B", "settle B Run,Run,Check,Settle A"],
      []
    ])
  })

  it("A repair goes back as an overdue dead-man's switch should have, or disarms it.", () => {
    const unconfirmed = live.slice(0, 3)
    assert.deepStrictEqual(plan({ armed: armed() }), [["disarm"], []])
    assert.deepStrictEqual(plan({ armed: armed(), journal: unconfirmed }), [["back B A"], []])
    const alone = { armed: armed({ back: undefined }), releases: [b], journal: [entry("switched", "B")] }
    assert.deepStrictEqual(plan(alone), [["back B -"], []])
    assert.deepStrictEqual(plan({ armed: armed(), current: linkedTo("A"), journal: live.slice(0, 2) }), [
      ["disarm"],
      []
    ])
    // The switch of the link calls it off.
    assert.deepStrictEqual(plan({ armed: armed(), current: { _tag: "Absent" } }), [["link B"], []])
  })

  it("A repair leaves a current release that failed, and names the way back.", () => {
    assert.deepStrictEqual(plan({ journal: [...live, entry("unhealthy", "B")] }), [[], ["unhealthy deploy"]])
  })

  it("A repair finishes an adoption before anything else.", () => {
    assert.deepStrictEqual(plan({ unfinished: [adoption, upload], current: { _tag: "Absent" } }), [
      ["adopt E", "discard upload C"],
      []
    ])
    assert.deepStrictEqual(
      plan({ unfinished: [adoption], current: { _tag: "Occupied", by: "directory" }, journal: [], releases: [] }),
      [[], ["link adopt", "unfinished adopt"]]
    )
  })
})
