import { assert, describe, it } from "@effect/vitest"
import { Unhealthy } from "../../src/deployment/health.ts"

const journaled = (check: string, detail: string): string =>
  new Unhealthy({ address: "deploy@host", release: "my_app 1A2B3C4D", check, attempts: 3, waited: "20s", detail })
    .journaled

const begin = "my_app 1A2B3C4D was not healthy on deploy@host within 20s"

describe("an unhealthy release in the journal", () => {
  for (const [title, check, detail, expected] of [
    [
      "A command stands there with its first word and its status alone.",
      '"bin/check --token=secret"',
      "status 7: secret output",
      '("bin/check …"): status 7'
    ],
    ["A command of one word stands there as it is.", '"bin/check"', "status 7", '("bin/check"): status 7'],
    [
      "A URL stands there without its query, and the answer without its text.",
      "GET http://127.0.0.1:4000/health?token=secret",
      "503 from http://127.0.0.1:4000/health?token=secret: secret text",
      "(GET http://127.0.0.1:4000/health): 503 from http://127.0.0.1:4000/health"
    ],
    [
      "A URL stands there without a name and a password.",
      "GET http://name:secret@127.0.0.1:4000/health",
      "503 from http://name:secret@127.0.0.1:4000/health",
      "(GET http://127.0.0.1:4000/health): 503 from http://127.0.0.1:4000/health"
    ],
    [
      "A command that begins with a value stands there without a word.",
      '"TOKEN=secret bin/check"',
      "status 7",
      '("…"): status 7'
    ],
    ["A port stands there with its number.", "port 4000", "connection refused", "(port 4000): connection refused"]
  ] as const) {
    it(title, () => {
      assert.strictEqual(journaled(check, detail), `${begin} ${expected}`)
    })
  }
})
