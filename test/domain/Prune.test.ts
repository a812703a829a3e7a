import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { HostRelease, HostState, isLatestOnHost } from "../../src/domain/HostState.ts"
import { JournalEntry } from "../../src/domain/Journal.ts"
import { beyondKeep, toPrune, toPruneOnHost } from "../../src/domain/Prune.ts"
import { latest, Metadata, Release } from "../../src/domain/Release.ts"

const ref = (n: number) => n.toString(16).toUpperCase().padStart(32, "0")
const at = Schema.decodeSync(Schema.DateTimeUtc)("2026-01-01T00:00:00Z")

const release = (id: number, name: string, isLatest: boolean) =>
  Release.make({
    id,
    name,
    ref: ref(id),
    sha256: "0".repeat(64),
    size: 1,
    tags: isLatest ? ["prod", latest] : ["prod"],
    createdAt: at,
    metadata: Metadata.make({})
  })

const names = FastCheck.constantFrom("a" as const, "b" as const, "c" as const)

const releases = FastCheck.array(names, { maxLength: 12 }).chain((all) =>
  FastCheck.tuple(
    FastCheck.constant(all),
    FastCheck.record({ a: FastCheck.nat(20), b: FastCheck.nat(20), c: FastCheck.nat(20) })
  ).map(([all, latestIds]) => all.map((name, index) => release(index + 1, name, index === latestIds[name])))
)

const hostStates = FastCheck.tuple(
  FastCheck.array(names, { maxLength: 12 }),
  FastCheck.nat(14),
  FastCheck.boolean()
).map(([all, current, foreign]) =>
  HostState.make({
    path: "/srv",
    base: "ready",
    current:
      current === 0
        ? { _tag: "Absent" }
        : foreign
          ? { _tag: "Foreign", to: `/srv/releases/deployer_${ref(current)}/` }
          : { _tag: "Linked", ref: ref(current) },
    releases: all.map((name, index) =>
      HostRelease.make({
        name,
        ref: ref(index + 1),
        sha256: "0".repeat(64),
        size: 1,
        tags: [],
        createdAt: at,
        deployedAt: at,
        // Not in the order of the list, and with equals: a host's file may say anything.
        serial: (index * 7) % 5,
        id: 1
      })
    ),
    journal: all.map((name, index) =>
      JournalEntry.make({ event: "staged", at, by: "", release: { name, ref: ref(index + 1) } })
    ),
    unfinished: [],
    missingTools: [],
    freeBytes: 0,
    machine: "x86_64"
  })
)

describe("Prune", () => {
  it("Prune keeps the latest release of the name, and all releases of other names.", () => {
    const all = [release(4, "b", true), release(3, "a", true), release(2, "a", false), release(1, "a", false)]
    assert.deepStrictEqual(
      toPrune(all, "a").map((one) => one.id),
      [2, 1]
    )
    assert.deepStrictEqual(toPrune(all, "b"), [])
    assert.deepStrictEqual(toPrune(all, "c"), [])
  })

  it("In any store, prune removes only that name, never the latest, and nothing the second time.", () => {
    FastCheck.assert(
      FastCheck.property(releases, names, (all, name) => {
        const gone = toPrune(all, name)
        const left = all.filter((one) => !gone.includes(one))
        assert.isTrue(gone.every((one) => one.name === name && !one.isLatest))
        const before = all.filter((one) => one.name === name)
        assert.strictEqual(left.filter((one) => one.name === name).length, Math.min(1, before.length))
        assert.deepStrictEqual(toPrune(left, name), [])
      })
    )
  })

  it("On any host, prune removes only that name, never the current or the latest, and nothing the second time.", () => {
    FastCheck.assert(
      FastCheck.property(hostStates, names, (state, name) => {
        const { gone } = toPruneOnHost(state, name)
        const left = state.releases.filter((one) => !gone.includes(one))
        for (const one of gone) {
          assert.strictEqual(one.name, name)
          assert.notStrictEqual(one.ref, state.currentRelease?.ref)
          if (state.current._tag === "Foreign") assert.notInclude(state.current.to, one.ref)
          assert.isFalse(isLatestOnHost(state.releases, one))
        }
        const keepable = left.filter((one) => one.name === name)
        assert.isTrue(
          keepable.every((one) => isLatestOnHost(state.releases, one) || state.current._tag !== "Absent"),
          "what stays is the latest or the current one"
        )
        assert.deepStrictEqual(toPruneOnHost(HostState.make({ ...state, releases: left }), name).gone, [])
      })
    )
  })

  it("On any host, prune and keep spare a release that the journal does not know.", () => {
    FastCheck.assert(
      FastCheck.property(hostStates, names, FastCheck.nat(14), FastCheck.nat(3), (state, name, forgotten, keep) => {
        const journal = state.journal.filter(({ release }) => release?.ref !== ref(forgotten))
        const lost = HostState.make({ ...state, journal })
        const { gone, unknown } = toPruneOnHost(lost, name)
        const before = toPruneOnHost(state, name).gone
        assert.sameMembers([...gone, ...unknown], [...before])
        assert.deepStrictEqual(
          unknown,
          before.filter((release) => release.ref === ref(forgotten))
        )
        assert.notInclude(
          beyondKeep(lost, name, keep).map((release) => release.ref),
          ref(forgotten)
        )
      })
    )
  })
})
