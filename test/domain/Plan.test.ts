import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { checks } from "../../src/domain/Checks.ts"
import { DeadMan, HostState, Unfinished } from "../../src/domain/HostState.ts"
import { needsOf, plan, unfinishedOthers, type Wanted } from "../../src/domain/Plan.ts"
import { Metadata, Release } from "../../src/domain/Release.ts"
import { sharesFiles } from "../../src/domain/Target.ts"
import * as sample from "../kit/samples.ts"

const wanted = (fields: Partial<Wanted> = {}): Wanted => ({
  target: sample.target(),
  release: sample.release(),
  manifest: [{ _tag: "File", path: "my_app/bin/my_app", mode: 0o755, size: 3000, sha256: "0".repeat(64) }],
  origins: [],
  removeUnfinished: false,
  ...fields
})

const planned = (state: HostState, fields: Partial<Wanted> = {}) => Either.getOrThrow(plan(state, wanted(fields)))
const steps = (state: HostState, fields: Partial<Wanted> = {}) => planned(state, fields).steps.map(({ _tag }) => _tag)
const refusal = (state: HostState, fields: Partial<Wanted> = {}) =>
  Either.getOrThrow(Either.flip(plan(state, wanted(fields))))

const unfinished = (fields: Partial<ConstructorParameters<typeof Unfinished>[0]> = {}) =>
  Unfinished.make({ ref: sample.refOf("A"), kind: "upload", received: 400, stream: "whole", ...fields })

describe("plan", () => {
  it("A plan for an empty host makes the structure first.", () => {
    assert.deepStrictEqual(steps(sample.hostState({ base: "absent" })), ["Prepare", "Stage", "Switch"])
  })

  it("A plan runs afterUnpack before the switch and afterSwitch after it.", () => {
    const target = sample.target({ afterUnpack: ["make", "migrate"], afterSwitch: "reload" })
    assert.deepStrictEqual(steps(sample.hostState(), { target }), ["Stage", "Run", "Run", "Switch", "Run", "Settle"])
  })

  it("A plan has no steps if the release is current.", () => {
    const { outcome, steps } = planned(
      sample.hostState({
        releases: [sample.hostRelease()],
        current: { _tag: "Linked", ref: sample.refOf("A") },
        journal: [sample.journalEntry(), sample.journalEntry({ event: "healthy" })]
      })
    )
    assert.deepStrictEqual([outcome, steps], ["nothing", []])
  })

  it("A plan verifies a release on the host that is not current, links it, and records it as the latest.", () => {
    const state = sample.hostState({
      releases: [sample.hostRelease(), sample.hostRelease({ ref: sample.refOf("B"), serial: 2 })],
      current: { _tag: "Linked", ref: sample.refOf("B") }
    })
    const { outcome, steps } = planned(state, { target: sample.target({ afterSwitch: "reload" }) })
    assert.strictEqual(outcome, "relink")
    assert.deepStrictEqual(
      steps.map(({ _tag }) => _tag),
      ["Verify", "Switch", "Run", "Settle"]
    )
    assert.deepInclude(steps[1], { _tag: "Switch", records: true })
  })

  it("A plan switches again to a release that the host is about to go back from.", () => {
    const ref = sample.refOf("A")
    const state = sample.hostState({
      releases: [sample.hostRelease()],
      current: { _tag: "Linked", ref },
      journal: [sample.journalEntry()],
      armed: DeadMan.make({ id: "1.1", ref, seconds: 20 })
    })
    assert.deepStrictEqual(steps(state), ["Verify", "Switch"])
  })

  it("A plan resumes an upload that was cut off.", () => {
    const { steps } = planned(sample.hostState({ unfinished: [unfinished()] }))
    assert.deepStrictEqual(steps[0], {
      _tag: "Stage",
      stream: "whole",
      from: 400,
      size: 1000,
      sent: 1,
      taken: 0,
      hardLinks: false
    })
  })

  it("A plan starts an upload again if something else has arrived.", () => {
    const stream = `from_${sample.refOf("B")}`
    const { steps } = planned(sample.hostState({ unfinished: [unfinished({ stream })] }))
    assert.deepStrictEqual(
      steps.map(({ _tag }) => _tag),
      ["Discard", "Stage", "Switch"]
    )
    assert.deepInclude(steps[1], { _tag: "Stage", from: 0 })
  })

  it("A folder that has its name and no record is verified before anything rests on it.", () => {
    const target = sample.target({ afterUnpack: "migrate" })
    assert.deepStrictEqual(
      steps(sample.hostState({ unfinished: [unfinished({ kind: "release", received: 0 })] }), { target }),
      ["Verify", "Run", "Switch"]
    )
  })

  it("A plan leaves the unfinished uploads of others unless told to remove them.", () => {
    const state = sample.hostState({ unfinished: [unfinished({ ref: sample.refOf("B") })] })
    assert.notInclude(steps(state), "Discard")
    assert.deepStrictEqual(steps(state, { removeUnfinished: true })[0], "Discard")
  })

  it("A plan replaces a release with an unreadable record, but only mends the record of the live one.", () => {
    const damaged = [
      { ref: sample.refOf("A"), detail: "it is empty" },
      { ref: sample.refOf("B"), detail: "it is empty" }
    ]
    assert.deepStrictEqual(steps(sample.hostState({ damaged })), ["Discard", "Stage", "Switch"])
    const live = sample.hostState({ damaged, current: { _tag: "Linked", ref: sample.refOf("A") } })
    assert.deepStrictEqual(steps(live), ["Verify", "Record", "Settle"])
  })

  it("A plan removes the leftover upload of a release that is on the host, without a question.", () => {
    const needless = unfinished({ ref: sample.refOf("B") })
    const state = sample.hostState({
      releases: [sample.hostRelease({ ref: sample.refOf("B") })],
      unfinished: [needless]
    })
    assert.deepStrictEqual(unfinishedOthers(state, sample.release()), [])
    assert.deepStrictEqual(planned(state).steps[0], { _tag: "Discard", unfinished: needless })
  })

  it("A plan never discards the live folder, even if parts of it are missing.", () => {
    const state = sample.hostState({
      unfinished: [unfinished({ ref: sample.refOf("B"), kind: "release" })],
      current: { _tag: "Linked", ref: sample.refOf("B") }
    })
    assert.notInclude(steps(state, { removeUnfinished: true }), "Discard")
  })

  it("A release on the host with the same ref and another SHA-256 is another release, and is refused.", () => {
    const release = sample.hostRelease({ ref: sample.release().ref, sha256: "e".repeat(64) })
    assert.strictEqual(refusal(sample.hostState({ releases: [release] })).reason, "other-release")
    const adopted = sample.hostRelease({ ref: sample.release().ref, sha256: sample.release().sha256 })
    assert.notInclude(steps(sample.hostState({ releases: [adopted] })), "Stage")
  })

  it("Hard links need no room for the files that are there.", () => {
    const origin = (hardLinks: boolean) => {
      const target = sample.target({ hardLinks })
      const manifest = [
        { _tag: "File" as const, path: "a", mode: 0o644, size: 90_000, sha256: "a".repeat(64) },
        { _tag: "File" as const, path: "b", mode: 0o644, size: 10_000, sha256: "b".repeat(64) }
      ]
      const files = [{ path: "a", mode: 0o644, sha256: "a".repeat(64) }]
      const state = sample.hostState({
        takesDifferences: true,
        releases: [sample.hostRelease({ ref: sample.refOf("E") })]
      })
      const origins = [{ ref: sample.refOf("E"), files, lines: [] }]
      return needsOf(state, { manifest, origins, release: sample.release(), target })
    }
    assert.isBelow(origin(true).bytes, 40_000)
    assert.isAbove(origin(false).bytes, 100_000)
    assert.isBelow(origin(true).inodes, origin(false).inodes)
    assert.isTrue(sharesFiles(sample.target({ hardLinks: true, afterSwitch: "true" })))
    // Commands that run in a release before the switch would change the older ones.
    assert.isFalse(sharesFiles(sample.target({ hardLinks: true, afterUnpack: "chmod -R g+w ." })))
  })

  it("A plan refuses a host that cannot take the release, before the first byte.", () => {
    assert.strictEqual(refusal(sample.hostState({ base: "not-a-directory" })).reason, "not-a-directory")
    assert.strictEqual(refusal(sample.hostState({ base: "not-writable" })).reason, "not-writable")
    assert.deepStrictEqual(refusal(sample.hostState({ missingTools: ["tar"] })).tools, ["tar"])
    assert.deepStrictEqual(refusal(sample.hostState({ current: { _tag: "Occupied", by: "directory" } })), {
      reason: "current-occupied",
      has: ["directory"],
      path: "/srv/my_app/releases/current",
      tools: []
    })
    assert.deepInclude(refusal(sample.hostState({ freeBytes: 5095 })), { reason: "no-space", needed: 5096, free: 5095 })
    assert.isTrue(Either.isRight(plan(sample.hostState({ freeBytes: 5096 }), wanted())))
  })

  it("A plan asks room only for the bytes and files that still have to arrive.", () => {
    assert.isTrue(Either.isRight(plan(sample.hostState({ freeBytes: 4696, unfinished: [unfinished()] }), wanted())))
    const there = sample.hostState({ freeBytes: 0, freeInodes: 0, releases: [sample.hostRelease()] })
    assert.isTrue(Either.isRight(plan(there, wanted())))
    assert.deepInclude(refusal(sample.hostState({ freeInodes: 8 })), { reason: "no-inodes", needed: 9, free: 8 })
  })

  it("A plan refuses programs that cannot run on the host, unless told not to check.", () => {
    const release = sample.release({
      metadata: Metadata.make({ binaries: { machines: ["aarch64"], interpreters: [] } })
    })
    assert.deepInclude(refusal(sample.hostState(), { release }), { reason: "wrong-machine", wants: ["aarch64"] })
    const target = sample.target({ platformCheck: false })
    assert.isTrue(Either.isRight(plan(sample.hostState(), wanted({ release, target }))))
  })

  it("For any host and release, a plan is refused exactly if a check fails.", () => {
    FastCheck.assert(
      FastCheck.property(states, Arbitrary.make(Release), (state, release) => {
        const refused = Either.getLeft(plan(state, wanted({ release })))
        const failed = checks(state, needsOf(state, wanted({ release }))).filter(({ verdict }) => verdict === "failed")
        assert.deepStrictEqual(
          Option.getOrUndefined(refused),
          failed.map(({ unfit }) => unfit).find((unfit) => unfit !== undefined)
        )
        assert.strictEqual(Option.isSome(refused), failed.length > 0)
      })
    )
  })

  const states = Arbitrary.make(HostState).map((state) => {
    const refs = [...new Set(state.releases.map(({ ref }) => ref))]
    return HostState.make({
      ...state,
      releases: refs.flatMap((ref) => state.releases.find((release) => release.ref === ref) ?? []),
      freeBytes: 1_000_000
    })
  })

  it("Any plan switches at most once, before the steps that follow, and only to a complete release.", () => {
    FastCheck.assert(
      FastCheck.property(states, FastCheck.boolean(), FastCheck.nat(20), (state, removeUnfinished, pick) => {
        const present = state.releases[pick]
        const release = sample.release(present === undefined ? {} : { ref: present.ref })
        const target = sample.target({ afterUnpack: "a", afterSwitch: "b" })
        const result = plan(state, wanted({ release, target, removeUnfinished }))
        if (Either.isLeft(result)) return
        const tags = result.right.steps.map((step) => (step._tag === "Run" ? step.hook : step._tag))
        const at = tags.indexOf("Switch")
        assert.isTrue(tags.lastIndexOf("Switch") === at)
        if (at === -1) return
        assert.isTrue(tags.slice(at + 1).every((tag) => ["afterSwitch", "Settle", "Prune"].includes(tag)))
        const step = result.right.steps.find(({ _tag }) => _tag === "Switch")
        if (present === undefined) assert.isTrue(step?._tag === "Switch" && step.records)
      })
    )
  })
})
