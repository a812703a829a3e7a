/** The journal through real shells: exact whatever its length, its lines and the moment at which somebody looks. */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import * as Reply from "../../src/host/protocol/reply.ts"
import * as scripts from "../../src/host/protocol/scripts.generated.ts"
import { makeSession } from "../../src/host/session.ts"
import { local } from "../kit/hosts.ts"
import { entryLine, facts, journals, refs } from "../kit/journals.ts"

const linesOf = (text: string) => {
  const lines = text.split("\n")
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines
}

for (const { skip, start, title } of local) {
  const test = skip === undefined ? it.live : it.live.skip
  describe(skip === undefined ? title : `${title} (skipped: ${skip})`, () => {
    test(
      "A look at a host finds the same facts as a full reading of the journal, whatever was selected before.",
      () =>
        Effect.gen(function* () {
          const host = yield* start
          const transport = yield* host.connect()
          const config = `${host.home}/app/config`
          fs.mkdirSync(config, { recursive: true })
          fs.mkdirSync(`${host.home}/app/releases`)
          const run = (script: string) =>
            Effect.runPromise(
              transport
                .exec({ doing: "test", script, args: ["app"], wait: "command" })
                .pipe(Effect.map(({ stdout }) => stdout))
            )
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(journals, fc.array(fc.nat(), { maxLength: 3 }), async (lines, cuts) => {
                fs.rmSync(`${config}/facts`, { force: true })
                const whole = Buffer.from(lines.map((line) => `${line}\n`).join(""))
                for (const cut of cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b)) {
                  fs.writeFileSync(`${config}/journal`, whole.subarray(0, cut))
                  const told = Either.getOrThrow(Reply.chronicle(await run(scripts.compact.text)))
                  assert.deepStrictEqual(told, facts(linesOf(whole.subarray(0, cut).toString())))
                }
                fs.writeFileSync(`${config}/journal`, whole)
                const { lacksJournal, state } = Either.getOrThrow(Reply.state(await run(scripts.inspect.text)))
                const { journal, line, torn } = lacksJournal
                  ? Either.getOrThrow(Reply.chronicle(await run(scripts.compact.text)))
                  : state
                assert.deepStrictEqual({ journal, line, torn }, facts(linesOf(whole.toString())))
              }),
              { numRuns: 25 }
            )
          )
        }).pipe(Effect.scoped),
      600_000
    )

    test(
      "A journal of a million lines tells of the first pin, and a second look reads only its end.",
      () =>
        Effect.gen(function* () {
          const host = yield* start
          const config = `${host.home}/app/config`
          fs.mkdirSync(config, { recursive: true })
          fs.mkdirSync(`${host.home}/app/releases`)
          const [kept = "", other = ""] = refs
          const file = fs.openSync(`${config}/journal`, "w")
          fs.writeSync(file, `${entryLine("healthy", kept)}\n${entryLine("pinned", kept)}\n`)
          const lot = `${entryLine("switched", other)}\n${entryLine("healthy", other)}\n${entryLine("locked")}\n${entryLine("removed", other)}\n`
          for (let lots = 0; lots < 250; lots++) fs.writeSync(file, lot.repeat(1000))
          fs.closeSync(file)
          const session = makeSession(host.target(), yield* host.connect())
          const begun = performance.now()
          const told = (yield* session.inspect).journal.map(({ event, release }) => [event, release?.ref])
          const first = performance.now() - begun
          assert.deepStrictEqual(told.slice(0, 2), [
            ["healthy", kept],
            ["pinned", kept]
          ])
          assert.isBelow(fs.statSync(`${config}/facts`).size, 2000)
          const began = performance.now()
          assert.deepStrictEqual(
            (yield* session.inspect).journal.map(({ event, release }) => [event, release?.ref]),
            told
          )
          assert.isBelow(performance.now() - began, first / 2)
        }).pipe(Effect.scoped),
      600_000
    )

    test("Facts of another journal, and facts that a crash has emptied, are not believed.", () =>
      Effect.gen(function* () {
        const host = yield* start
        const config = `${host.home}/app/config`
        fs.mkdirSync(config, { recursive: true })
        fs.mkdirSync(`${host.home}/app/releases`)
        const [one = "", two = ""] = refs
        const session = makeSession(host.target(), yield* host.connect())
        const many = (ref: string) => `${entryLine("pinned", ref)}\n`.repeat(800)
        fs.writeFileSync(`${config}/journal`, many(one))
        yield* session.inspect
        const facts = fs.readFileSync(`${config}/facts`, "utf8")
        assert.include(facts, one)
        const pins = Effect.map(session.inspect, ({ journal }) => journal.map(({ release }) => release?.ref))
        fs.writeFileSync(`${config}/journal`, many(two))
        assert.deepStrictEqual(yield* pins, [two])
        for (const damaged of ["", "\u0000".repeat(facts.length), facts.slice(0, -20), facts.replaceAll("A", "B")]) {
          fs.writeFileSync(`${config}/journal`, many(one))
          fs.writeFileSync(`${config}/facts`, damaged)
          assert.deepStrictEqual(yield* pins, [one])
        }
      }).pipe(Effect.scoped))

    test("A pin after a journal that a power cut left with NUL bytes at its end is written on a line of its own.", () =>
      Effect.gen(function* () {
        const host = yield* start
        const config = `${host.home}/app/config`
        fs.mkdirSync(config, { recursive: true })
        fs.mkdirSync(`${host.home}/app/releases`)
        const [one = ""] = refs
        fs.writeFileSync(`${config}/journal`, `${entryLine("healthy", one)}\n${"\u0000".repeat(300)}`)
        const session = makeSession(host.target(), yield* host.connect())
        const { journal: before } = yield* session.inspect
        yield* session.note(
          before.map((entry) => Object.assign(Object.create(Object.getPrototypeOf(entry)), entry, { event: "pinned" }))
        )
        const { journal, torn } = yield* session.inspect
        assert.deepStrictEqual(
          journal.map(({ event }) => event),
          ["healthy", "pinned"]
        )
        assert.strictEqual(torn, 1)
      }).pipe(Effect.scoped))
  })
}
