import { assert, describe, it } from "@effect/vitest"
import { atMost, compared, figure, median, missingRow, ratioOf, verdict, within } from "../../scripts/bench/Row.ts"

describe("median", () => {
  it("The median is the middle value, or the mean of the two in the middle.", () => {
    assert.strictEqual(median([9, 1, 5]), 5)
    assert.strictEqual(median([4, 1, 9, 2]), 3)
    assert.isNaN(median([]))
  })
})

const line = { line: "a line", unit: "s" }

describe("a row", () => {
  it("A row is judged by its ratios pair by pair, not by the ratio of its medians.", () => {
    // A machine that becomes slower meanwhile: the pairs know it.
    const ours = [1, 2, 4, 8, 16]
    const theirs = [2, 4, 8, 16, 4]
    assert.strictEqual(ratioOf({ ours, theirs }), 0.5)
    assert.isTrue(within(0.5, { ...line, ours, theirs, than: "that" }).reached)
    assert.isFalse(within(0.49, { ...line, ours, theirs, than: "that" }).reached)
  })

  it("A row says by how much it reaches or misses its target.", () => {
    const pair = { ...line, ours: [3], theirs: [2], than: "that" }
    assert.strictEqual(verdict(within(1, pair)), "not reached, 50 % above")
    assert.strictEqual(verdict(within(2, pair)), "reached, 25 % below")
    assert.strictEqual(verdict(atMost(12, { ...line, ours: [18, 24, 18] })), "not reached, 50 % above")
    assert.strictEqual(verdict(atMost(12, { ...line, ours: [30] })), "not reached, 2.5 times as much")
    assert.strictEqual(verdict(atMost(12, { ...line, ours: [12] })), "reached")
    assert.strictEqual(verdict(compared(pair)), "for comparison")
  })

  it("A row without measurements does not reach its target.", () => {
    const row = missingRow({ ...line, target: "at most 1x that", missing: "that is not installed" })
    assert.isFalse(row.reached)
    assert.strictEqual(verdict(row), "not measured: that is not installed")
    const empty = within(1, { ...line, ours: [], theirs: [], than: "that" })
    assert.isFalse(empty.reached)
    assert.strictEqual(verdict(empty), "not measured")
    assert.isFalse(atMost(1, { ...line, ours: [Number.NaN] }).reached)
  })
})

describe("a figure", () => {
  it("A figure shows three significant digits, or more if it is a larger whole number.", () => {
    assert.deepStrictEqual([0.12345, 1.005, 12.345, 123.45, 12345, Number.NaN].map(figure), [
      "0.123",
      "1",
      "12.3",
      "123",
      "12,345",
      "–"
    ])
  })
})
