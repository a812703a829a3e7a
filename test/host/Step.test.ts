import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { JournalEvent, journalGrammar, maxEntry } from "../../src/domain/Journal.ts"
import { replyBegin, replyEnd } from "../../src/host/protocol/reply.ts"
import { named, positional } from "../../src/host/protocol/Step.ts"
import { steps } from "../../src/host/protocol/steps.ts"

const lib = (file: string) => fs.readFileSync(`src/host/protocol/scripts/lib/${file}`, "utf8")

describe("a step", () => {
  it("A step passes each argument in the position in which its script expects it.", () => {
    const { script } = steps.activate
    const call = {
      path: "app",
      fencing: { fence: 7, entries: "{}", unlocks: true },
      args: { record: "r", ref: "A", kept: "k" },
      refs: []
    }
    assert.deepStrictEqual(positional(script, call), ["app", "7", "{}", "unlocks", "A", "k", "r"])
    assert.deepStrictEqual(named(script, positional(script, call)), call)
  })

  it("A step passes refs after all other arguments.", () => {
    const { script } = steps.verify
    const call = { path: "app", args: { wanted: "", depth: "files" }, refs: ["A", "B"] }
    assert.deepStrictEqual(positional(script, call), ["app", "files", "", "A", "B"])
    assert.deepStrictEqual(named(script, positional(script, call)), call)
  })
})

describe("the scripts", () => {
  it("The scripts mark the beginning and the end of an answer as the decoder expects them.", () => {
    assert.include(lib("protocol.sh"), `say "${replyBegin}"`)
    assert.include(lib("protocol.sh"), `finish() { say "${replyEnd}"; exit 0; }`)
  })

  it("The scripts select journal entries by the form, the events and the length of the journal.", () => {
    const select = lib("select.awk")
    assert.include(select, `text !~ /${journalGrammar}/`)
    assert.include(select, `events = " ${JournalEvent.literals.join(" ")} "`)
    assert.include(select, `length(text) <= ${maxEntry} `)
  })
})
