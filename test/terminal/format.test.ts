import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { bytes, duration, rate } from "../../src/terminal/format.ts"

describe("format", () => {
  it("Bytes and rates are written in a suitable unit.", () => {
    const written: Record<number, string> = {
      ...{ 0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234: "1.2 kB", 9949: "9.9 kB", 9950: "10 kB", 999499: "999 kB" },
      ...{ 999500: "1.0 MB", 207000000: "207 MB", 1.5e9: "1.5 GB", 2e12: "2.0 TB", 3e15: "3.0 PB", 4e18: "4000 PB" }
    }
    for (const [count, text] of Object.entries(written)) assert.strictEqual(bytes(Number(count)), text)
    assert.strictEqual(rate(3_100_000), "3.1 MB/s")
  })

  it("Durations are written in suitable units.", () => {
    const written: Record<number, string> = {
      ...{ 0: "0 ms", 350: "350 ms", 1000: "1.0 s", 4900: "4.9 s", 9950: "10 s", 59400: "59 s", 59600: "1 min" },
      ...{ 125000: "2 min 5 s", 3600000: "1 h", 3780000: "1 h 3 min", 90000000: "25 h" }
    }
    for (const [millis, text] of Object.entries(written)) assert.strictEqual(duration(Number(millis)), text)
  })

  it.prop(
    "Any written size or duration is short.",
    [FastCheck.double({ min: 0, max: 1e15, noNaN: true })],
    ([count]) => {
      assert.match(bytes(count), /^\d{1,3}(\.\d)? ([kMGTP])?B$/)
      assert.isAtMost(duration(count % 1e9).length, 12)
    }
  )
})
