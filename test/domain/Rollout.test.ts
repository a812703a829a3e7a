import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import {
  amountOf,
  type Course,
  type Fact,
  nextAction,
  type Outcome,
  outcomes,
  Policy,
  rolloutStatus,
  wavesOf
} from "../../src/domain/Rollout.ts"

const policyWith = (settings: typeof Policy.Encoded) => Schema.decodeSync(Policy)(settings)

const members = (zones: string) => [...zones].map((zone, index) => ({ target: `t${index + 1}`, labels: { zone } }))

const waves = (settings: typeof Policy.Encoded, zones: string) =>
  wavesOf(policyWith(settings), members(zones), zones.length).map(({ kind, targets }) => `${kind} ${targets.join(" ")}`)

describe("the waves of a rollout", () => {
  it("Without settings, all members go live together.", () => {
    assert.deepStrictEqual(waves({}, "aaa"), ["batch t1 t2 t3"])
  })

  it("Canaries come first, and of a list of sizes the last one repeats.", () => {
    assert.deepStrictEqual(waves({ canary: 1, batch: [1, 2] }, "aaaaaaa"), [
      "canary t1",
      "batch t2",
      "batch t3 t4",
      "batch t5 t6",
      "batch t7"
    ])
  })

  it("A share is of all members at the start, rounded down, and a wave has at least one member.", () => {
    assert.deepStrictEqual(waves({ batch: ["1%", "50%", "100%"] }, "aaaaa"), ["batch t1", "batch t2 t3", "batch t4 t5"])
    assert.strictEqual(amountOf("25%", 8), 2)
    assert.strictEqual(amountOf("25%", 3), 0)
  })

  it("Canaries that are spread over a label come from each of its values, the largest first, and always the same ones.", () => {
    for (let run = 0; run < 100; run++)
      assert.deepStrictEqual(waves({ canary: 3, spread: "zone" }, "cbbbaaaaaa")[0], "canary t5 t2 t1")
  })

  it("Every member is in one wave, whatever the settings.", () => {
    const amount = FastCheck.oneof(
      FastCheck.nat(12),
      FastCheck.nat(100).map((share) => `${share}%`)
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.record({
          canary: amount,
          batch: FastCheck.oneof(amount, FastCheck.tuple(amount, amount)),
          spread: FastCheck.constantFrom("zone", "none")
        }),
        FastCheck.stringMatching(/^[abc]{0,12}$/),
        (settings, zones) => {
          const all = wavesOf(policyWith(settings), members(zones), zones.length).flatMap(({ targets }) => targets)
          assert.deepStrictEqual(
            all.toSorted(),
            members(zones)
              .map(({ target }) => target)
              .toSorted()
          )
        }
      )
    )
  })
})

const courseOf = (settings: typeof Policy.Encoded, zones: string): Course => ({
  waves: wavesOf(policyWith(settings), members(zones), zones.length),
  policy: policyWith(settings),
  members: members(zones),
  left: []
})

/** A world that answers each action: how each member fails, if it does. */
type Fate = "well" | "failsToStage" | "lostBefore" | "fails" | "stays" | "lost" | "unsettled" | "failsBack"

const fatal: Readonly<Record<Fate, Partial<Record<"Stage" | "Switch" | "Settle" | "GoBack", Outcome>>>> = {
  well: {},
  failsToStage: { Stage: "failed" },
  lostBefore: { Stage: "left" },
  fails: { Switch: "back" },
  stays: { Switch: "stuck" },
  lost: { Switch: "unknown" },
  unsettled: { Settle: "unknown" },
  failsBack: { GoBack: "stuck" }
}

const usual = { Stage: "staged", Switch: "proven", Settle: "live", GoBack: "back" } as const

/** Carries a course out. Returns the facts and the actions. */
const carry = (course: Course, fates: ReadonlyMap<string, Fate>) => {
  const facts: Array<Fact> = []
  const actions: Array<ReturnType<typeof nextAction>> = []
  while (actions.length < 200) {
    const action = nextAction(course, facts)
    actions.push(action)
    switch (action._tag) {
      case "End":
        return { facts, actions }
      case "Decide":
        facts.push({ _tag: "Decided", decision: action.decision })
        break
      case "Soak":
        facts.push({ _tag: "Soaked", wave: action.wave })
        break
      default:
        for (const target of action.targets) {
          const outcome = fatal[fates.get(target) ?? "well"][action._tag] ?? usual[action._tag]
          facts.push({ _tag: "Reached", target, outcome })
        }
    }
  }
  throw new Error("it does not end")
}

const allFates: ReadonlyArray<Fate> = [
  "well",
  "well",
  "well",
  "failsToStage",
  "lostBefore",
  "fails",
  "stays",
  "lost",
  "unsettled",
  "failsBack"
]
const fate = FastCheck.constantFrom(...allFates)

const rollout = FastCheck.record({
  settings: FastCheck.record({
    canary: FastCheck.nat(2),
    batch: FastCheck.integer({ min: 1, max: 4 }),
    maxFailures: FastCheck.nat(3),
    unreachable: FastCheck.nat(3),
    onFailure: FastCheck.constantFrom("back" as const, "stop" as const),
    soak: FastCheck.constantFrom("1 second", "2 seconds")
  }),
  fates: FastCheck.array(fate, { minLength: 1, maxLength: 8 })
})

describe("the course of a rollout", () => {
  const carried = ({
    fates,
    settings
  }: {
    readonly settings: typeof Policy.Encoded
    readonly fates: ReadonlyArray<Fate>
  }) => {
    const course = courseOf(settings, "a".repeat(fates.length))
    return { course, ...carry(course, new Map(fates.map((fate, index) => [`t${index + 1}`, fate]))) }
  }

  it("Any rollout ends, no member is switched twice, and none before all have their files.", () => {
    FastCheck.assert(
      FastCheck.property(rollout, (given) => {
        const { actions } = carried(given)
        const switched = actions.flatMap((action) => (action._tag === "Switch" ? action.targets : []))
        assert.strictEqual(new Set(switched).size, switched.length)
        const tags = actions.map(({ _tag }) => _tag)
        assert.isTrue(tags.lastIndexOf("Stage") < (tags.includes("Switch") ? tags.indexOf("Switch") : tags.length))
      }),
      { numRuns: 1000 }
    )
  })

  it("After too many failures no further member is switched, and with onFailure back none stays on the release.", () => {
    FastCheck.assert(
      FastCheck.property(rollout, (given) => {
        const { actions, facts } = carried(given)
        const decided = actions.findIndex(({ _tag }) => _tag === "Decide")
        if (decided === -1) return
        const after = actions.slice(decided + 1).map(({ _tag }) => _tag)
        assert.notInclude(after, "Switch")
        assert.notInclude(after, "Stage")
        const last = [...outcomes(facts).values()]
        if (given.settings.onFailure === "back") {
          assert.notInclude(last, "live")
          assert.notInclude(last, "proven")
        } else assert.notInclude(after, "GoBack")
      }),
      { numRuns: 1000 }
    )
  })

  it("The exit status agrees with the outcomes of all members.", () => {
    FastCheck.assert(
      FastCheck.property(rollout, (given) => {
        const { course, facts } = carried(given)
        const last = [...outcomes(facts).values()]
        const isDecided = facts.some(({ _tag }) => _tag === "Decided")
        const status = rolloutStatus(course, facts)
        assert.strictEqual(
          status === 0,
          last.every((outcome) => outcome === "live")
        )
        assert.strictEqual(
          status === 6,
          last.some((outcome) => outcome === "stuck" || outcome === "unknown")
        )
        if (status === 5) assert.isTrue(last.includes("back") && !last.includes("live"))
        if (status === 7) assert.isTrue(!isDecided && last.includes("live"))
      }),
      { numRuns: 1000 }
    )
  })

  for (const [failing, status] of [
    [2, 7],
    [3, 5]
  ] as const)
    it(`Of 8 members with maxFailures 25%, ${failing} that fail end with status ${status}.`, () => {
      const fates = Array.from({ length: 8 }, (_, index): Fate => (index < failing ? "fails" : "well"))
      const { course, facts } = carried({ settings: { maxFailures: "25%" }, fates })
      assert.strictEqual(rolloutStatus(course, facts), status)
    })

  it("The failure of the last member counts like any other one.", () => {
    const { course, facts } = carried({ settings: { batch: 1 }, fates: ["well", "well", "fails"] })
    assert.strictEqual(rolloutStatus(course, facts), 5)
    assert.deepStrictEqual([...outcomes(facts).values()], ["back", "back", "back"])
  })
})
