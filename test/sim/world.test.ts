/**
 * Many worlds, each with a seed: in CI 600, elsewhere some, with `EXHAUSTIVE=1` 3,000. `SIM_SEEDS=100000` runs so many, and `SIM_SEED=1234` runs one
 * and tells its story.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isExhaustive } from "../kit/exhaustive.ts"
import { type Prepared, prepared } from "./store.ts"
import { breath, runWorld, type WorldEnd, type WorldOptions } from "./world.ts"

const one = process.env["SIM_SEED"]
const usual = isExhaustive ? 3_000 : process.env["CI"] === "true" ? 600 : 200
const count = Number(process.env["SIM_SEEDS"] ?? usual)
/** So that a report comes now and then. */
const atOnce = 125
const isMany = count >= 1_500

let store: Prepared
beforeAll(async () => {
  store = await Effect.runPromise(prepared)
})

/** The story of a world, from its beginning to the broken rule. */
const told = (seed: number, options: WorldOptions = {}): string => {
  const lines: Array<string> = []
  runWorld(store, seed, { ...options, trace: (line) => lines.push(line) })
  return lines.join("\n")
}

const insist = (seed: number, { violation }: WorldEnd) => {
  if (violation === undefined) return
  assert.fail(
    `seed ${seed} breaks "${violation.invariant}": ${violation.detail}\n(again: SIM_SEED=${seed} npx vitest run test/sim/world.test.ts)\n${told(seed)}`
  )
}

describe("a simulated world", () => {
  if (one !== undefined) {
    it(`The simulated world of seed ${one} keeps its promises.`, () => {
      console.log(told(Number(one)))
      insist(Number(one), runWorld(store, Number(one)))
    })
    return
  }

  const seen = new Map<string, number>()
  for (let first = 1; first <= count; first += atOnce) {
    const last = Math.min(first + atOnce - 1, count)
    it(`Each simulated world of the seeds ${first} to ${last} keeps its promises.`, async () => {
      for (let seed = first; seed <= last; seed++) {
        await breath()
        const end = runWorld(store, seed)
        for (const [what, times] of end.seen) seen.set(what, (seen.get(what) ?? 0) + times)
        insist(seed, end)
      }
    })
  }

  // Fewer worlds need not hold all that may happen.
  if (!isMany) return
  it("The simulated worlds contain every mishap at every moment, and every way in which commands end.", () => {
    const wanted = [
      ...["cut", "vanish", "kill", "power", "interrupt", "stall"].flatMap((what) =>
        ["sending", "sent", "done"].map((when) => `mishap: ${what} ${when}`)
      ),
      ...["disk", "journal", "step"].map((what) => `trouble: ${what}`),
      ...["deploy", "rollback", "ln", "delete", "prune", "integrity", "pin", "unpin", "lock", "unlock"].map(
        (verb) => `${verb}: ok`
      ),
      ...["RolledBack", "RollbackFailed", "LockHeld", "LockLost", "HostUnreachable", "HookFailed", "NotConfirmed"].map(
        (tag) => `deploy: ${tag}`
      ),
      "taken over",
      "gone back by itself",
      "pruned"
    ]
    assert.deepStrictEqual(
      wanted.filter((what) => !seen.has(what)),
      []
    )
  })

  it("A simulated world is the same again for the same seed.", () => {
    assert.strictEqual(told(4), told(4))
    assert.notStrictEqual(told(4), told(5))
  })
})
