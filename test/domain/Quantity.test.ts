import { assert, describe, it } from "@effect/vitest"
import { counted } from "../../src/domain/Quantity.ts"

describe("a number of things", () => {
  it("A number of things has the singular for one, and the plural for all others.", () => {
    assert.deepStrictEqual(
      [counted(0, "file"), counted(1, "file"), counted(2, "file")],
      ["0 files", "1 file", "2 files"]
    )
    assert.deepStrictEqual([counted(1, "entry", "entries"), counted(12, "entry", "entries")], ["1 entry", "12 entries"])
  })
})
