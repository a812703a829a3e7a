import { assert, describe, it } from "@effect/vitest"
import { Lock, lockState } from "../../src/domain/Lock.ts"

describe("a lock", () => {
  it("A lock tells how long its holder has been silent, or that the holder never gave a sign of life.", () => {
    const said = (idleSeconds: number) => lockState(Lock.make({ token: 1, idleSeconds }))
    assert.strictEqual(said(1), "they gave a sign of life 1 second ago")
    assert.strictEqual(said(0), "they gave a sign of life 0 seconds ago")
    assert.strictEqual(said(1_795_818_030), "they never gave a sign of life: the next command takes it over")
  })
})
