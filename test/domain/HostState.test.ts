import { assert, describe, it } from "@effect/vitest"
import { recordOf } from "../../src/domain/HostState.ts"
import * as sample from "../kit/samples.ts"

const serialAfter = (...serials: ReadonlyArray<number>) => {
  const releases = serials.map((serial) => sample.hostRelease({ serial }))
  return recordOf(sample.release(), sample.hostState({ releases }), sample.hostRelease().deployedAt).serial
}

describe("recordOf", () => {
  it("A new record's serial follows the highest one on the host.", () => {
    assert.strictEqual(serialAfter(), 1)
    assert.strictEqual(serialAfter(3, 7, 5), 8)
  })

  it("A new record's serial stays at the highest possible number if the host has reached it.", () => {
    assert.strictEqual(serialAfter(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER)
  })
})
