import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { quote } from "../../src/host/transport/Transport.ts"

/** The text that a shell makes of one quoted word. In fish a backslash means something before a quote or a backslash inside quotes, too. */
const read = (word: string, escapesInside: boolean): string => {
  let inside = false
  let text = ""
  for (let at = 0; at < word.length; at++) {
    const char = word[at] ?? ""
    const next = word[at + 1] ?? ""
    if (char === "\\" && (inside ? escapesInside && /['\\]/.test(next) : true)) text += word[++at] ?? "?"
    else if (char === "'") inside = !inside
    else text += inside ? char : "?"
  }
  return inside ? "?" : text
}

const words = [
  "",
  "it's",
  "\\",
  "\\\\",
  "\\'",
  "a\\\\b",
  "end\\",
  "'\\''",
  "sed 's/\\\\/x/'",
  "new\nline",
  "$HOME `id` $(id) !!"
]

describe("quote", () => {
  it("Any quoted word is one unchanged word to POSIX shells and to fish.", () => {
    const odd = FastCheck.array(FastCheck.constantFrom("'", "\\", "a", " ", "$", '"')).map((chars) => chars.join(""))
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(FastCheck.constantFrom(...words), odd), (word) => {
        for (const isFish of [false, true]) assert.strictEqual(read(quote(word), isFish), word)
      }),
      { numRuns: 1000 }
    )
  })

  it("Quoted words come back unchanged from sh.", () => {
    const script = `for word in ${words.map(quote).join(" ")}; do printf "%s|" "$word"; done`
    assert.strictEqual(
      execFileSync("sh", ["-c", script], { encoding: "utf8" }),
      words.map((word) => `${word}|`).join("")
    )
  })
})
