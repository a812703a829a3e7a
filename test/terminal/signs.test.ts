import { assert, describe, it } from "@effect/vitest"
import { plain } from "../../src/internal/color.ts"
import { withColor } from "../../src/terminal/signs.ts"

describe("signs of verdicts", () => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ["health  ✓ healthy (GET /)", "health  [32m✓ healthy[39m (GET /)"],
    ["✗ failed   clock", "[31m✗ failed[39m   clock"],
    ["! warning  lock\n! warning  clock", "[33m! warning[39m  lock\n[33m! warning[39m  clock"],
    ["✓ my_app 844C2010 is live", "[32m✓ my_app[39m 844C2010 is live"]
  ]
  for (const [text, expected] of cases) {
    it(`The sign of ${JSON.stringify(text)} has a colour, and the words stay.`, () => {
      assert.strictEqual(withColor(text).replaceAll("\u001b", ""), expected)
      assert.strictEqual(plain(withColor(text)), text)
    })
  }

  it("An exclamation mark inside a sentence is no sign.", () => {
    assert.strictEqual(withColor("Stop! go on"), "Stop! go on")
  })
})
