import { assert, describe, it } from "@effect/vitest"
import { Unhealthy } from "../../src/deployment/health.ts"

const journaled = (check: string, detail: string): string =>
  new Unhealthy({ address: "deploy@host", release: "my_app 1A2B3C4D", check, attempts: 3, waited: "20s", detail })
    .journaled

const begin = "it was not healthy within 20s"

describe("an unhealthy release in the journal", () => {
  for (const [title, check, detail, expected] of [
    [
      "The journal keeps only the first word and the status of a failed check command.",
      '"bin/check --token=secret"',
      'it ended with status 7, "secret output"',
      '("bin/check …"): it ended with status 7'
    ],
    ["The journal keeps a check command of one word unchanged.", '"bin/check"', "status 7", '("bin/check"): status 7'],
    [
      "The journal keeps a checked URL without its query, and the answer without its text.",
      "GET http://127.0.0.1:4000/health?token=secret",
      'it answered 503, "secret text"',
      "(GET http://127.0.0.1:4000/health): it answered 503"
    ],
    [
      "The journal keeps a checked URL without its user name and password.",
      "GET http://name:secret@127.0.0.1:4000/health",
      "it answered 503",
      "(GET http://127.0.0.1:4000/health): it answered 503"
    ],
    [
      "The journal keeps no word of a check command that begins with a value.",
      '"TOKEN=secret bin/check"',
      "status 7",
      '("…"): status 7'
    ],
    [
      "The journal keeps the number of a checked port.",
      "port 4000",
      "connection refused",
      "(port 4000): connection refused"
    ]
  ] as const) {
    it(title, () => {
      assert.strictEqual(journaled(check, detail), `${begin} ${expected}`)
    })
  }
})
