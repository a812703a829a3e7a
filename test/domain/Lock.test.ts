import { assert, describe, it } from "@effect/vitest"
import { Lock, lockState } from "../../src/domain/Lock.ts"

describe("a lock", () => {
  it("A lock tells how long its holder has been silent, or that the holder never gave a sign of life.", () => {
    const said = (idleSeconds: number) => lockState(Lock.make({ token: 1, idleSeconds }))
    assert.strictEqual(said(1), "the last sign of life was 1 second ago")
    assert.strictEqual(said(0), "the last sign of life was 0 seconds ago")
    assert.strictEqual(said(1_795_818_030), "there was never a sign of life: the next command takes it over")
  })
})
