import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { distance, knownWords, suggest } from "../../src/internal/suggest.ts"

describe("suggest", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<string>, string | undefined]> = [
    ["prd", ["prod", "staging"], "prod"],
    ["hots", ["port", "host", "name"], "host"],
    ["stagign", ["prod", "staging"], "staging"],
    ["ssh_key", ["sshKey", "name"], "sshKey"],
    ["force-init", ["force_init"], "force_init"],
    ["PROD", ["prod"], "prod"],
    ["build_and", ["build", "build_and_deploy"], "build_and_deploy"],
    ["xyz", ["prod", "staging"], undefined],
    ["q", ["h"], undefined],
    ["ab", ["cd", "ef"], undefined],
    ["", ["a"], undefined],
    ["prod", [], undefined],
    ["pro", ["prod1", "prod2"], undefined]
  ]
  for (const [word, known, expected] of cases) {
    it(`The suggestion for "${word}" among ${known.join(", ") || "nothing"} is ${expected ?? "nothing"}.`, () => {
      assert.strictEqual(suggest(word, known), expected)
    })
  }

  it("The distance between words counts swapped neighbours as one mistake.", () => {
    assert.strictEqual(distance("hots", "host"), 1)
    assert.strictEqual(distance("", "abc"), 3)
    assert.strictEqual(distance("kitten", "sitting"), 3)
  })

  it("The distance between words is symmetric and zero only for equal ones; a lost letter is forgiven.", () => {
    const word = FastCheck.stringMatching(/^[a-z]{4,12}$/)
    FastCheck.assert(
      FastCheck.property(word, word, FastCheck.nat(3), (a, b, at) => {
        assert.strictEqual(distance(a, b), distance(b, a))
        assert.strictEqual(distance(a, b) === 0, a === b)
        assert.strictEqual(suggest(a.slice(0, at) + a.slice(at + 1), [a]), a)
      })
    )
  })

  it("The known words end a sentence, with a suggestion if one fits.", () => {
    assert.strictEqual(knownWords("prd", ["prod", "staging"]), ' (known: prod, staging; did you mean "prod"?)')
    assert.strictEqual(knownWords("xyz", ["prod"]), " (known: prod)")
    assert.strictEqual(knownWords("xyz", []), " (there are none)")
  })
})
