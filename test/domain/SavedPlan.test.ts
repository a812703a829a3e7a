import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { DeadMan, HostState, Unfinished } from "../../src/domain/HostState.ts"
import { Lock } from "../../src/domain/Lock.ts"
import { DeployPlan, plan, planRollback, type Wanted } from "../../src/domain/Plan.ts"
import { changedSettings, changes, SavedPlanJson, savedPlan } from "../../src/domain/SavedPlan.ts"
import * as sample from "../kit/samples.ts"

const [a, b, c, d] = ["A", "B", "C", "D"].map(sample.refOf) as [string, string, string, string]
const now = DateTime.unsafeMake("2026-02-03T04:05:06Z")

const unfinished = (ref: string, received: number) => Unfinished.make({ ref, kind: "upload", received })

/** B is live, A was before it, the upload of D was cut, and the record of C cannot be read. */
const fields = {
  releases: [sample.hostRelease({ ref: a }), sample.hostRelease({ ref: b, serial: 2 })],
  current: { _tag: "Linked", ref: b },
  unfinished: [unfinished(d, 400)],
  damaged: [{ ref: c, detail: "it is empty" }],
  journal: [a, b].flatMap((ref) =>
    (["switched", "healthy"] as const).map((event) => sample.journalEntry({ event, release: { name: "my_app", ref } }))
  )
} satisfies Partial<ConstructorParameters<typeof HostState>[0]>

const seen = (changed: Partial<ConstructorParameters<typeof HostState>[0]> = {}) =>
  sample.hostState({ ...fields, ...changed })

const wanted = (changed: Partial<Wanted> = {}): Wanted => ({
  target: sample.target(),
  release: sample.release({ ref: "E".repeat(32), id: 5 }),
  manifest: [],
  origins: [],
  removeUnfinished: false,
  ...changed
})

const planned = (state: HostState, changed: Partial<Wanted> = {}) => Either.getOrThrow(plan(state, wanted(changed)))
const back = (state: HostState) =>
  Either.getOrThrow(planRollback(state, { target: sample.target(), release: sample.hostRelease({ ref: a }) }))

const throughJson = (made: DeployPlan | ReturnType<typeof back>) =>
  Schema.decodeSync(SavedPlanJson)(Schema.encodeSync(SavedPlanJson)(savedPlan(made, sample.target(), now)))

const saved = throughJson(planned(seen()))
const said = (...entries: ReadonlyArray<Parameters<typeof sample.journalEntry>[0]>) => ({
  journal: [...fields.journal, ...entries.map((entry) => sample.journalEntry(entry))]
})

describe("a saved plan", () => {
  it("Any saved plan is the same after it is written and read again.", () => {
    assert.deepStrictEqual(changes(saved, planned(seen())), [])
    assert.deepStrictEqual(changes(throughJson(back(seen())), back(seen())), [])
    const states = Arbitrary.make(HostState)
    FastCheck.assert(
      FastCheck.property(states, (state) =>
        Either.match(plan(state, wanted()), {
          onLeft: () => true,
          onRight: (made) => changes(throughJson(made), made).length === 0
        })
      ),
      { numRuns: 200 }
    )
  })

  const volatile: Readonly<Record<string, Partial<ConstructorParameters<typeof HostState>[0]>>> = {
    "less space": { freeBytes: 900_000, freeInodes: 7_000 },
    "another clock": { clock: { aheadMillis: 5_000, toleranceMillis: 100 } },
    "a lock": { lock: Lock.make({ token: 3, idleSeconds: 2 }) },
    "a lock that came and went": said({ event: "locked", detail: "moving" }, { event: "unlocked" }),
    "another order of the same entries": {
      releases: fields.releases.toReversed(),
      unfinished: fields.unfinished.toReversed()
    },
    "a torn line": { torn: 1 }
  }
  for (const [what, changed] of Object.entries(volatile)) {
    it(`A saved plan is not stale because of ${what}.`, () => {
      assert.deepStrictEqual(changes(saved, planned(seen(changed))), [])
      assert.deepStrictEqual(changes(throughJson(back(seen())), back(seen(changed))), [])
    })
  }

  it("A saved plan is not stale because a dead-man's switch counts down or old journal lines drop out of sight.", () => {
    const armed = (seconds: number) => seen({ armed: DeadMan.make({ id: "1.1", ref: b, back: a, seconds }) })
    assert.deepStrictEqual(changes(throughJson(planned(armed(50))), planned(armed(20))), [])
    const long = Array.from({ length: 500 }, () =>
      sample.journalEntry({ event: "healthy", release: { name: "my_app", ref: b } })
    )
    const was = throughJson(planned(seen({ journal: long })))
    assert.deepStrictEqual(changes(was, planned(seen({ journal: long.slice(1) }))), [])
  })

  it("A saved plan is not stale because of a later release or of settings for building or for this machine.", () => {
    const release = sample.release({ ...wanted().release, tags: ["prod"] })
    assert.deepStrictEqual(changes(saved, planned(seen(), { release })), [])
    const target = sample.target({ tags: ["other"], builder: "other", sshKey: "~/.ssh/other" })
    assert.deepStrictEqual(changedSettings(saved, target), [])
  })

  const grave: ReadonlyArray<readonly [what: string, Partial<ConstructorParameters<typeof HostState>[0]>, RegExp]> = [
    [
      "another release is current",
      { current: { _tag: "Linked", ref: a } },
      /^current was my_app BBBBBBBB and is my_app AAAAAAAA now/
    ],
    ["nothing is current", { current: { _tag: "Absent" } }, /^current was my_app BBBBBBBB and is nothing now/],
    [
      "current is foreign",
      { current: { _tag: "Foreign", to: "/opt/x" } },
      /^current was my_app BBBBBBBB and is a link to \/opt\/x now/
    ],
    ["the path is another one", { path: "/data/my_app" }, /^the path was \/srv\/my_app and is \/data\/my_app now/],
    [
      "a release came",
      { releases: [...fields.releases, sample.hostRelease({ ref: "F".repeat(32), serial: 3 })] },
      /^my_app FFFFFFFF is new on the host/
    ],
    ["a release went", { releases: fields.releases.slice(1) }, /^my_app AAAAAAAA is gone from the host/],
    [
      "a release was deployed again",
      { releases: [sample.hostRelease({ ref: a, serial: 3 }), fields.releases[1]!] },
      /^the host's record of my_app AAAAAAAA has changed/
    ],
    ["an upload went on", { unfinished: [unfinished(d, 500)] }, /^the unfinished upload of DDDDDDDD has continued/],
    [
      "an upload was cut",
      { unfinished: [...fields.unfinished, unfinished("E".repeat(32), 1)] },
      /^the unfinished upload of EEEEEEEE is new/
    ],
    ["an unfinished upload went", { unfinished: [] }, /^the unfinished upload of DDDDDDDD is gone/],
    [
      "a record was damaged",
      { damaged: [...fields.damaged, { ref: "F".repeat(32), detail: "?" }] },
      /^the record of FFFFFFFF can no longer be read/
    ],
    ["a damaged record went", { damaged: [] }, /^the damaged record of CCCCCCCC is gone/],
    [
      "a dead-man's switch is armed",
      { armed: DeadMan.make({ id: "1.1", ref: b, seconds: 9 }) },
      /^a dead-man's switch is armed for BBBBBBBB now/
    ],
    [
      "the journal tells of something",
      said({ event: "pinned", by: "eve@desk", release: { name: "my_app", ref: a } }),
      /^the last entry of the host's journal is "pinned" of my_app AAAAAAAA by eve@desk/
    ],
    [
      "the journal is another one",
      { journal: fields.journal.slice(0, 2) },
      /^the last entry of the host's journal is "healthy" of my_app AAAAAAAA|^the host's journal/
    ]
  ]
  for (const [what, changed, clause] of grave) {
    it(`A saved plan is stale if ${what}.`, () => {
      assert.match(changes(saved, planned(seen(changed)))[0] ?? "nothing", clause)
      assert.match(changes(throughJson(back(seen())), back(seen(changed)))[0] ?? "nothing", clause)
    })
  }

  it("A saved plan is stale if somebody made the path of a new host.", () => {
    const was = throughJson(planned(sample.hostState({ base: "absent" })))
    assert.match(
      changes(was, planned(sample.hostState()))[0] ?? "",
      /^the steps were Prepare, \w+.* and are (?!Prepare)/
    )
  })

  it("A saved plan is stale if the release has other bytes, or the same host leads to another plan.", () => {
    const release = sample.release({ ...wanted().release, sha256: "b".repeat(64) })
    assert.deepStrictEqual(changes(saved, planned(seen(), { release })), ["the record of my_app EEEEEEEE has changed"])
    const fewer = DeployPlan.make({ ...planned(seen()), steps: planned(seen()).steps.slice(1) })
    assert.match(changes(throughJson(fewer), planned(seen()))[0] ?? "", /^the steps were .* and are .* now$/)
    for (const [other, clause] of [
      [{ outcome: "relink" }, 'the planned outcome was "relink" and is "deploy" now'],
      [
        { back: fields.releases[0]! },
        "on a failure, the plan went back to my_app AAAAAAAA and goes to my_app BBBBBBBB now"
      ]
    ] as const) {
      const was = throughJson(DeployPlan.make({ ...planned(seen()), ...other }))
      assert.deepStrictEqual(changes(was, planned(seen())), [clause])
    }
  })

  it("A saved plan is stale if the config has changed.", () => {
    const told = (changed: Parameters<typeof sample.target>[0]) => changedSettings(saved, sample.target(changed))
    assert.deepStrictEqual(told({}), [])
    assert.deepStrictEqual(told({ host: "other.test" }), [
      'targets.prod.host in the config was "host.test" and is "other.test" now'
    ])
    assert.deepStrictEqual(told({ keep: 3, deadMan: "2 minutes" }), [
      "targets.prod.keep in the config was not set and is 3 now",
      "targets.prod.deadMan in the config was not set and is 120000 now"
    ])
    for (const changed of [
      { path: "/srv/other" },
      { user: "root" },
      { afterUnpack: ["make", "migrate"] },
      { afterSwitch: "reload" },
      { restart: "bin/restart" },
      { health: { tcp: 4000 } },
      { hostKey: `SHA256:${"A".repeat(43)}` },
      { platformCheck: false },
      { timeouts: { command: "1 minute" } }
    ]) {
      assert.lengthOf(told(changed), 1, JSON.stringify(changed))
      assert.include(told(changed)[0], `targets.prod.${Object.keys(changed)[0]} in the config`)
    }
  })
})
