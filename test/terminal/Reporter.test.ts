import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Work } from "../../src/domain/Work.ts"
import { hasColor } from "../../src/internal/color.ts"
import * as Reporter from "../../src/terminal/Reporter.ts"
import { untimed } from "../kit/words.ts"

const screen = (options: Partial<Reporter.Sink> = {}) => {
  let text = ""
  let results = ""
  const decoder = new TextDecoder()
  const sink: Reporter.Sink = {
    write: (chunk) => {
      text += typeof chunk === "string" ? chunk : decoder.decode(chunk)
    },
    writeResult: (chunk) => {
      results += decoder.decode(chunk)
    },
    isTTY: true,
    color: false,
    columns: () => 80,
    ...options
  }
  /** The lines on a terminal: a return and an erasure drop the old text of the line. */
  const lines = () => text.split("\n").map((line) => line.split("\r\u001b[K").at(-1) ?? "")
  return { layer: Reporter.Reporter.to(sink), lines, raw: () => text, results: () => results }
}

const emit = (event: Reporter.Event) => Effect.flatMap(Reporter.Reporter, (reporter) => reporter.emit(event))
const progress = (done: number, total?: number, label = "uploading a") =>
  emit({ _tag: "Progress", label, done, ...(total === undefined ? {} : { total }) })
const end = (ok = true, label = "uploading a") => emit({ _tag: "ProgressEnd", label, ok })
const checkDefaults = { timeout: Duration.seconds(60), interval: Duration.seconds(1), successes: 2 }
const bytes = (text: string) => new TextEncoder().encode(text)

describe("Reporter on a terminal", () => {
  it.effect("The reporter keeps a command's result apart from other output.", () => {
    const { layer, raw, results } = screen()
    return Effect.gen(function* () {
      yield* Reporter.output(bytes("on the way\n"))
      yield* Reporter.output(bytes("the result\n"), { isResult: true })
      assert.deepStrictEqual([raw(), results()], ["on the way\n", "the result\n"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter shows a program's colors, but nothing that would move the cursor or set a title.", () => {
    const { layer, raw } = screen()
    return Effect.gen(function* () {
      const said = "\u001b[31mred\u001b[0m\u001b[2J\u001b[1;1H gone\u001b]0;title\u0007\u0007 ü\u009b2J\tend\r\n"
      // However it is cut.
      for (const byte of bytes(said)) yield* Reporter.output(Uint8Array.of(byte))
      assert.strictEqual(raw(), "\u001b[31mred\u001b[0m gone ü2J\tend\r\n")
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter passes a program's output on as it is if no terminal shows it.", () => {
    const { layer, raw } = screen({ isTTY: false })
    return Effect.gen(function* () {
      yield* Reporter.output(bytes("\u001b[2J\u0007\n"))
      assert.strictEqual(raw(), "\u001b[2J\u0007\n")
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter draws bytes, rate and time left.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      yield* progress(0, 10_000_000)
      assert.deepStrictEqual(lines(), ["uploading a  [------------------------]   0 %  0 B of 10 MB"])
      yield* TestClock.adjust("1 seconds")
      yield* progress(2_500_000, 10_000_000)
      assert.deepStrictEqual(lines(), ["uploading a  [###-------]  25 %  2.5 MB of 10 MB, 2.5 MB/s, 3.0 s left"])
      yield* TestClock.adjust("3 seconds")
      yield* progress(10_000_000, 10_000_000)
      yield* end()
      assert.deepStrictEqual(lines(), ["uploading a: 10 MB in 4.0 s, 2.5 MB/s", ""])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter draws a bar on a terminal of 60 columns.", () => {
    const { layer, lines } = screen({ columns: () => 60 })
    return Effect.gen(function* () {
      yield* progress(0, 100_000_000, "uploading shop 1A2B3C4D to prod")
      yield* TestClock.adjust("1 seconds")
      yield* progress(25_000_000, 100_000_000, "uploading shop 1A2B3C4D to prod")
      assert.deepStrictEqual(lines(), ["uploading shop 1A2B3C4D to prod  [###-------]  25 %"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The last line of a resumed transfer tells how much was there and how much travelled.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      const resumed = (done: number) => emit({ _tag: "Progress", label: "uploading a", done, start: 33e6, total: 40e6 })
      yield* resumed(33e6)
      yield* TestClock.adjust("2 seconds")
      yield* resumed(40e6)
      yield* end()
      assert.deepStrictEqual(lines(), [
        "uploading a: 7.0 MB in 2.0 s, 3.5 MB/s, after 33 MB that were already there",
        ""
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Bytes that were there count for nothing, whether the stream begins after them or holds them.", () =>
    Effect.gen(function* () {
      const chunks = (...texts: ReadonlyArray<string>) => Stream.fromIterable(texts.map(bytes))
      const after = { start: 4, total: 6 }
      yield* chunks("ef").pipe(Reporter.transfer("after", after), Stream.runDrain)
      yield* chunks("ab", "cd", "ef").pipe(Reporter.transfer("whole", { ...after, isWhole: true }), Stream.runDrain)
      const events = yield* Effect.flatMap(Reporter.Reported, ({ events }) => events)
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Progress"),
        ["after", "whole"].map((label) => ({ _tag: "Progress" as const, label, done: 6, start: 4, total: 6 }))
      )
    }).pipe(Effect.provide(Layer.fresh(Reporter.Reporter.collect)))
  )

  it.effect("The reporter takes the rate from the last seconds.", () => {
    const { layer, lines } = screen({ columns: () => 200 })
    return Effect.gen(function* () {
      yield* progress(0)
      yield* TestClock.adjust("6 seconds")
      for (const done of [1, 2, 3, 4, 5, 6, 7, 8]) {
        yield* progress(done * 1_000_000)
        yield* TestClock.adjust("1 seconds")
      }
      assert.deepStrictEqual(lines(), ["uploading a  8.0 MB, 1.0 MB/s"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter draws at most ten times a second.", () => {
    const { layer, raw } = screen()
    return Effect.gen(function* () {
      for (let done = 0; done <= 300; done++) {
        yield* progress(done, 300)
        yield* TestClock.adjust("1 millis")
      }
      assert.strictEqual(raw().split("%").length - 1, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter keeps the progress line below notes and output.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      const bar = "uploading a  [############------------]  50 %  5 B of 10 B"
      yield* progress(5, 10)
      yield* Reporter.note("half of it")
      assert.deepStrictEqual(lines(), ["half of it", bar])
      yield* Reporter.warn("slow")
      assert.deepStrictEqual(lines(), ["half of it", "warning: slow", bar])
      yield* Reporter.output(bytes("Step 1\nStep 2\n"))
      assert.deepStrictEqual(lines(), ["half of it", "warning: slow", "Step 1", "Step 2", bar])
      yield* end(false)
      assert.deepStrictEqual(lines().slice(4), ["uploading a: stopped after 5 B of 10 B", ""])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter ends a line that a program left open, and cuts no line that the program continues.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      yield* progress(5, 10)
      yield* Reporter.output(bytes("fetch"))
      yield* Reporter.output(bytes("ing"))
      yield* Reporter.note("next")
      assert.deepStrictEqual(lines().slice(0, 2), ["fetching", "next"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter fits narrow terminals, and asks for the width each time.", () => {
    let columns = 100
    const { layer, lines } = screen({ columns: () => columns })
    return Effect.gen(function* () {
      yield* progress(5, 10)
      columns = 30
      yield* TestClock.adjust("1 seconds")
      yield* progress(6, 10)
      assert.isAtMost(lines()[0]!.length, 29)
      assert.include(lines()[0], "60 %")
    }).pipe(Effect.provide(layer))
  })

  it.effect("The reporter shows the progress of a stream.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      yield* Stream.make(bytes("abc"), bytes("de")).pipe(Reporter.transfer("packing", { total: 5 }), Stream.runDrain)
      assert.deepStrictEqual(lines(), ["packing: 5 B in 0 ms", ""])
    }).pipe(Effect.provide(layer))
  })
})

describe("steps", () => {
  const health: Work = { _tag: "Check", health: { tcp: 4000, ...checkDefaults } }
  const run: Work = { _tag: "Run", hook: "restart", command: "bin/restart" }

  it.effect("A step shows that it runs, which of the plan's steps it is, and for how long.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      const fiber = yield* Effect.sleep("3 seconds").pipe(
        Reporter.during(health),
        Reporter.about({ steps: [run, health] }),
        Effect.fork
      )
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(lines(), [""])
      yield* TestClock.adjust("1300 millis")
      assert.match(lines()[0] ?? "", /^[-\\|/] health \(2 of 2\) {2}1 s$/)
      const before = lines()[0]
      yield* TestClock.adjust("100 millis")
      assert.notStrictEqual(lines()[0], before)
      yield* TestClock.adjust("2 seconds")
      yield* fiber
      assert.deepStrictEqual(lines(), [""])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Nothing is written below an open question, and all of it follows after the answer.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      const answer = yield* Deferred.make<void>()
      yield* Reporter.note("before")
      const fiber = yield* Effect.sleep("1 seconds").pipe(
        Effect.zipRight(Reporter.asking("Trust it?")(answer)),
        Effect.zipRight(Effect.sleep("1 seconds")),
        Reporter.during({ _tag: "Connect" }),
        Effect.fork
      )
      yield* TestClock.adjust("900 millis")
      assert.include(lines()[1], "connect")
      yield* TestClock.adjust("1 seconds")
      yield* Reporter.note("of a build at the same time")
      assert.deepStrictEqual(lines(), ["before", ""])
      yield* Deferred.succeed(answer, undefined)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(lines()[1], "of a build at the same time")
      assert.include(lines()[2], "connect")
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Each event has its target, its release and its step as data.", () =>
    Effect.gen(function* () {
      const release = { name: "shop", ref: "AB" }
      yield* Reporter.note("now").pipe(
        Effect.zipRight(Effect.sleep("2 seconds")),
        Effect.zipRight(Effect.fail("no")),
        Reporter.during(run),
        Reporter.about({ target: "prod", release, steps: [health, run] }),
        Effect.flip,
        Effect.zipLeft(Reporter.note("later")),
        Effect.fork,
        Effect.tap(() => TestClock.adjust("2 seconds")),
        Effect.flatMap(Fiber.join)
      )
      const place = { target: "prod", release, step: run }
      assert.deepStrictEqual(yield* Effect.flatMap(Reporter.Reported, ({ events }) => events), [
        { ...place, _tag: "StepStarted", number: 2, of: 2 },
        { ...place, _tag: "Note", message: "now" },
        { ...place, _tag: "StepEnded", ok: false, millis: 2000 },
        { _tag: "Note", message: "later" }
      ])
    }).pipe(Effect.provide(Layer.fresh(Reporter.Reporter.collect)))
  )

  it.effect("An interrupted step ends too.", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.never.pipe(Reporter.during(run), Effect.fork)
      yield* Effect.yieldNow()
      yield* TestClock.adjust("1 seconds")
      yield* Fiber.interrupt(fiber)
      const events = yield* Effect.flatMap(Reporter.Reported, ({ events }) => events)
      assert.deepStrictEqual(events.at(-1), { step: run, _tag: "StepEnded", ok: false, millis: 1000 })
    }).pipe(Effect.provide(Layer.fresh(Reporter.Reporter.collect)))
  )

  it.effect("The times of steps with one name add up.", () =>
    Effect.gen(function* () {
      const both = Effect.sleep("1 seconds").pipe(Reporter.during(run), Effect.repeatN(1))
      const fiber = yield* Effect.zipRight(Reporter.during(health)(Effect.void), both).pipe(Reporter.timed, Effect.fork)
      yield* TestClock.adjust("2 seconds")
      const [, times] = yield* fiber
      assert.deepStrictEqual(times, [
        { step: "health", millis: 0 },
        { step: "restart", millis: 2000 }
      ])
    })
  )
})

describe("Reporter elsewhere", () => {
  it.effect("Without a terminal, the reporter writes a plain line now and then.", () => {
    const { layer, raw } = screen({ isTTY: false })
    return Effect.gen(function* () {
      for (let done = 0; done <= 100; done++) {
        yield* progress(done * 1_000_000, 100_000_000)
        yield* TestClock.adjust("1 seconds")
      }
      yield* end()
      const lines = untimed(raw()).split("\n")
      assert.notInclude(raw(), "\u001b")
      assert.strictEqual(lines[0], "uploading a (100 MB)")
      assert.strictEqual(lines[1], "uploading a: 10 %, 10 MB of 100 MB, 1.0 MB/s, 1 min 30 s left")
      assert.strictEqual(lines.at(-2), "uploading a: 100 MB in 1 min 41 s, 990 kB/s")
      assert.isAtMost(lines.length, 14)
    }).pipe(Effect.provide(layer))
  })

  it.effect("Without a terminal, the reporter is brief about a quick transfer.", () => {
    const { layer, raw } = screen({ isTTY: false })
    return Effect.gen(function* () {
      for (let done = 0; done <= 1000; done++) yield* progress(done)
      yield* end()
      assert.strictEqual(untimed(raw()), "uploading a\nuploading a: 1.0 kB in 0 ms\n")
    }).pipe(Effect.provide(layer))
  })

  it.effect("Without a terminal, each line begins with its time.", () => {
    const { layer, raw } = screen({ isTTY: false })
    return Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-11-28T17:02:31.500Z"))
      yield* Reporter.note("first")
      yield* Reporter.output(bytes("of a program\n"))
      yield* Reporter.warn("second")
      assert.strictEqual(raw(), "2026-11-28T17:02:31Z first\nof a program\n2026-11-28T17:02:31Z warning: second\n")
    }).pipe(Effect.provide(layer))
  })

  it.effect("On GitHub the lines of a command fold, warnings are annotations, and lines carry no time.", () => {
    const { layer, raw } = screen({ isTTY: false, ci: "github" })
    return Effect.gen(function* () {
      yield* Reporter.output(bytes("compiled\n")).pipe(Reporter.during({ _tag: "Build", builder: "prod" }))
      yield* Effect.void.pipe(Reporter.during({ _tag: "Connect" }))
      yield* Reporter.warn("100 % full:\nmind it")
      assert.strictEqual(raw(), "::group::build\ncompiled\n::endgroup::\n::warning::100 %25 full:%0Amind it\n")
    }).pipe(Effect.provide(layer))
  })

  it.effect("On GitLab the lines of a command fold into a section.", () => {
    const { layer, raw } = screen({ isTTY: false, ci: "gitlab" })
    return Effect.gen(function* () {
      yield* Reporter.output(bytes("migrated\n")).pipe(
        Reporter.during({ _tag: "Run", hook: "afterUnpack", command: "bin/migrate" })
      )
      assert.deepStrictEqual(raw().split("\n"), [
        "\u001b[0Ksection_start:0:deployer_afterUnpack[collapsed=true]\r\u001b[0KafterUnpack",
        "migrated",
        "\u001b[0Ksection_end:0:deployer_afterUnpack\r\u001b[0K",
        ""
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("Details are shown only if they are requested.", () => {
    const [quiet, verbose] = [screen({ isTTY: false }), screen({ isTTY: false, verbose: true })]
    return Effect.gen(function* () {
      yield* Reporter.detail("it took 3 ms").pipe(Effect.provide(quiet.layer))
      yield* Reporter.detail("it took 3 ms").pipe(Effect.provide(verbose.layer))
      assert.deepStrictEqual([quiet.raw(), untimed(verbose.raw())], ["", "it took 3 ms\n"])
    })
  })

  it.effect("Reports go nowhere without a layer, and to a list in tests.", () =>
    Effect.gen(function* () {
      yield* Reporter.note("nobody hears this")
      const events = yield* Effect.zipRight(
        Reporter.note("heard"),
        Effect.flatMap(Reporter.Reported, ({ events }) => events)
      ).pipe(Effect.provide(Layer.fresh(Reporter.Reporter.collect)))
      assert.deepStrictEqual(events, [{ _tag: "Note", message: "heard" }])
    })
  )
})

describe("the work of many targets", () => {
  const upload = { _tag: "Connect" } as const
  const member = (target: string, event: Reporter.Event) => emit({ ...event, target, isMember: true })

  it.effect("A terminal shows the present step of each target in one moving line.", () => {
    const { layer, lines } = screen()
    return Effect.gen(function* () {
      for (const target of ["web1", "web2"]) yield* member(target, { _tag: "StepStarted", step: upload })
      yield* member("web1", { _tag: "Progress", label: "uploading", done: 45, total: 100 })
      yield* TestClock.adjust("2 seconds")
      assert.match(lines().at(-1) ?? "", /^. 2 s {2}web1 connect 45 %, web2 connect$/)
      for (const target of ["web1", "web2"])
        yield* member(target, { _tag: "StepEnded", step: upload, ok: true, millis: 1 })
      assert.strictEqual(lines().at(-1), "")
    }).pipe(Effect.provide(layer))
  })

  it.effect("Warnings and whole lines of output stand after the key of their target, and notes are details.", () => {
    const { layer, raw, results } = screen({ isTTY: false, verbose: false })
    return Effect.gen(function* () {
      yield* member("web1", { _tag: "Note", message: "quiet" })
      yield* member("web1", { _tag: "Warning", message: "odd" })
      const work = (text: string) => Reporter.output(bytes(text), { isResult: true })
      yield* Effect.zipRight(work("one\ntw"), work("o\n\nthree")).pipe(Reporter.inLines, Reporter.asMember("web2"))
      assert.match(raw(), /^\S+ warning: web1: odd\n$/)
      assert.strictEqual(results(), "web2: one\nweb2: two\nweb2: \nweb2: three\n")
    }).pipe(Effect.provide(layer))
  })
})

describe("colours", () => {
  it("Colours are used on terminals, unless the environment says otherwise.", () => {
    const tty = { isTTY: true }
    assert.isTrue(hasColor(tty, {}))
    assert.isTrue(hasColor(tty, { NO_COLOR: "" }))
    assert.isFalse(hasColor(tty, { NO_COLOR: "1", FORCE_COLOR: "1" }))
    assert.isFalse(hasColor(tty, { TERM: "dumb" }))
    assert.isFalse(hasColor({}, { TERM: "xterm" }))
    assert.isTrue(hasColor({}, { FORCE_COLOR: "1" }))
    assert.isFalse(hasColor(tty, { FORCE_COLOR: "0" }))
  })

  it.effect("The reporter marks warnings with a colour.", () => {
    const { layer, raw } = screen({ color: true })
    return Effect.zipRight(
      Reporter.warn("odd"),
      Effect.sync(() => assert.strictEqual(raw(), "\u001b[33mwarning:\u001b[39m odd\n"))
    ).pipe(Effect.provide(layer))
  })
})
