import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { HostRelease, HostReleaseJson } from "../../src/domain/HostState.ts"
import * as Reply from "../../src/host/protocol/reply.ts"
import { hostRelease, refOf } from "../kit/samples.ts"

const answer = (...lines: ReadonlyArray<string>) => ["", Reply.replyBegin, ...lines, Reply.replyEnd, ""].join("\n")
const json = (release: HostRelease) => Schema.encodeSync(HostReleaseJson)(release)

const good = ["path /srv/app", "base ready", "free 1000", "machine x86_64", "current absent"]
const ref = refOf("A")

const fault = <A>(decoded: Either.Either<A, Reply.Fault>): Reply.Fault => {
  if (Either.isRight(decoded)) return assert.fail("it was taken for good")
  return decoded.left
}

describe("state", () => {
  it("The state decoder reads a whole answer.", () => {
    const { state } = Either.getOrThrow(
      Reply.state(
        `Welcome!\nno newline at its end${answer(
          ...good.slice(0, -1),
          `current link deployer_${ref}`,
          `release ${ref} ${json(hostRelease({ ref }))}`,
          `upload ${refOf("B")} 12 whole begun by x`,
          `upload ${refOf("D")} 0 - `,
          `unrecorded ${refOf("C")}`,
          "lacks tar"
        )}`
      )
    )
    assert.strictEqual(state.freeBytes, 1_024_000)
    assert.strictEqual(state.currentRelease?.ref, ref)
    assert.deepStrictEqual(
      state.unfinished.map(({ kind, note, received }) => [kind, received, note]),
      [
        ["upload", 12, "begun by x"],
        ["upload", 0, undefined],
        ["release", 0, undefined]
      ]
    )
    assert.deepStrictEqual(state.missingTools, ["tar"])
  })

  it("The state decoder treats space that cannot be measured as enough.", () => {
    for (const free of [[], ["free -"], ["free -12"], ["free 1e99"]]) {
      const lines = good.filter((line) => !line.startsWith("free"))
      assert.strictEqual(
        Either.getOrThrow(Reply.state(answer(...lines, ...free))).state.freeBytes,
        Number.MAX_SAFE_INTEGER
      )
    }
  })

  it("The state decoder reads the disk, the clock and the platform of a host.", () => {
    const { state } = Either.getOrThrow(
      Reply.state(
        answer(
          ...good,
          "inodes 12",
          "user deploy",
          "clock 1000",
          "mounted ext4 ro noexec /a disk",
          "loader /lib/ld-musl-x86_64.so.1",
          "loader /lib64/ld-linux-x86-64.so.2"
        ),
        { asked: 900_000, answered: 901_000 }
      )
    )
    assert.deepInclude(
      { ...state },
      {
        freeInodes: 12,
        user: "deploy",
        mount: { type: "ext4", point: "/a disk", readOnly: true, noExec: true },
        loaders: ["/lib/ld-musl-x86_64.so.1", "/lib64/ld-linux-x86-64.so.2"],
        clock: { aheadMillis: 100_000, toleranceMillis: 1000 }
      }
    )
  })

  it("The state decoder leaves a value undefined if the host cannot find it out.", () => {
    const odd = ["inodes -", "clock %s", "mounted ext4 / rw", "mounted \u001b ro exec /"]
    const { state } = Either.getOrThrow(Reply.state(answer(...good, ...odd), { asked: 0, answered: 0 }))
    assert.deepStrictEqual(
      [state.freeInodes, state.clock, state.mount, state.user],
      [undefined, undefined, undefined, undefined]
    )
  })

  for (const [what, lines] of [
    ["a loader that is no path", [...good, "loader ld.so"]],
    ["no path", good.slice(1)],
    ["two paths", [...good, "path /other"]],
    ["a relative path", ["path app", ...good.slice(1)]],
    ["a path with escape codes", ["path /\u001b[31m", ...good.slice(1)]],
    ["another base", ["base fine", ...good.filter((line) => line !== "base ready")]],
    ["a strange machine", ["machine $(id)", ...good.filter((line) => !line.startsWith("machine"))]],
    ["an unknown word", [...good, "eval rm"]],
    ["an unknown tool", [...good, "lacks rm"]],
    ["a damaged release twice", [...good, `damaged ${ref} it is empty`, `damaged ${ref} it is empty`]],
    ["a release twice", [...good, `unrecorded ${ref}`, `unrecorded ${ref}`]],
    ["a staging folder twice", [...good, `upload ${ref} 1 - `, `upload ${ref} 1 - `]],
    ["a lower-case ref", [...good, `unrecorded ${"a".repeat(32)}`]],
    ["a ref that goes on", [...good, `unrecorded ${ref}B`]],
    ["a negative size", [...good, `upload ${ref} -1 - `]],
    ["a size beyond numbers", [...good, `upload ${ref} ${"9".repeat(40)} - `]]
  ] as const) {
    it(`The state decoder refuses an answer with ${what}.`, () => {
      assert.deepInclude(fault(Reply.state(answer(...lines))), { _tag: "Invalid", what: Reply.answer })
    })
  }

  for (const [what, record] of [
    ["shell code", "$(rm -rf /)"],
    ["Elixir", "%{releases: [System.halt()]}"],
    ["another type", "[]"],
    ["a number", "1"],
    ["a missing field", JSON.stringify({ name: "my_app" })],
    ["a name that is a path", json(hostRelease({ ref })).replace("my_app", "../../etc")],
    ["a prototype", '{"__proto__":{"name":"x"}}'],
    ["deep nesting", "[".repeat(20_000)],
    ["the mark of the end", `${Reply.replyEnd}.`]
  ] as const) {
    it(`The state decoder reports a release with ${what} in its record as damaged, and reads the others.`, () => {
      const whole = `release ${refOf("C")} ${json(hostRelease({ ref: refOf("C") }))}`
      const { state } = Either.getOrThrow(Reply.state(answer(...good, `release ${ref} ${record}`, whole)))
      assert.strictEqual(state.damaged[0]?.ref, ref)
      assert.match(state.damaged[0]?.detail ?? "", /^.{3,210}$/)
      assert.lengthOf(state.releases, 1)
    })
  }

  it("The state decoder treats a release with the record of another one as a foreign copy.", () => {
    const copy = `release ${ref} ${json(hostRelease({ ref: refOf("B") }))}`
    const { damaged, foreign, releases } = Either.getOrThrow(Reply.state(answer(...good, copy))).state
    assert.deepStrictEqual([damaged, foreign, releases], [[], [ref], []])
  })

  it("The state decoder refuses any answer that was cut.", () => {
    const whole = answer(...good, `release ${ref} ${json(hostRelease({ ref }))}`)
    for (let length = 0; length < whole.length - 1; length++) {
      assert.strictEqual(fault(Reply.state(whole.slice(0, length)))._tag, "Invalid")
    }
  })

  it("The state decoder refuses an answer that something else follows.", () => {
    const fake = answer(...good) + answer(...good, "lacks tar")
    assert.deepInclude(fault(Reply.state(fake)), { _tag: "Invalid", detail: "something follows its end" })
  })
})

describe("every decoder", () => {
  const decoders: ReadonlyArray<(stdout: string) => Either.Either<unknown, Reply.Fault>> = [
    Reply.state,
    Reply.done,
    Reply.fitness,
    Reply.corruption,
    Reply.verdicts([ref]),
    Reply.usages([ref])
  ]

  it("Every decoder shortens the host's reason and removes its control characters.", () => {
    for (const decode of decoders) {
      const found = fault(decode(answer(`fail \u001b[31mNo space\u0007 left\u202e ${"x".repeat(10_000)}`)))
      assert.strictEqual(found._tag, "Failed")
      assert.match(found.detail, /^\[31mNo space {2}left {2}x+ …$/)
      assert.isBelow(found.detail.length, 400)
    }
  })

  it("Every decoder takes any answer without throwing or showing control characters.", () => {
    const words = FastCheck.constantFrom(
      ...["path", "base", "free", "machine", "current", "release", "damaged", "unrecorded", "upload", "lacks"],
      ...["inodes", "clock", "mounted", "loader", "user"],
      ...["verdict", "fault", "usage", "unfit", "corrupt", "fail", Reply.replyBegin, Reply.replyEnd, "{}", ""]
    )
    const line = FastCheck.tuple(
      words,
      FastCheck.oneof(FastCheck.constant(ref), FastCheck.fullUnicodeString(), FastCheck.json(), words)
    ).map(([word, rest]) => `${word} ${rest}`)
    const garbage = FastCheck.oneof(
      FastCheck.fullUnicodeString(),
      FastCheck.array(FastCheck.oneof(line, words)).map((lines) => lines.join("\n")),
      FastCheck.array(FastCheck.oneof(line, FastCheck.constantFrom(...good))).map((lines) => answer(...lines))
    )
    FastCheck.assert(
      FastCheck.property(garbage, (text) => {
        for (const decode of decoders) {
          const decoded = decode(text)
          if (Either.isLeft(decoded)) {
            assert.notMatch(decoded.left.detail, /[\p{Cc}\u2028\u2029\u202a-\u202e]/u)
            assert.isBelow(decoded.left.detail.length, 310)
          }
        }
      }),
      { numRuns: 300 }
    )
  })

  it("The state decoder returns any record as it was written.", () => {
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(HostRelease), (release) => {
        const { state } = Either.getOrThrow(Reply.state(answer(...good, `release ${release.ref} ${json(release)}`)))
        assert.strictEqual(json(state.releases[0]!), json(release))
      }),
      { numRuns: 100 }
    )
  })
})

describe("verdicts and usages", () => {
  const other = refOf("B")
  it("Verdicts come in the order in which they were asked for.", () => {
    const found = Either.getOrThrow(
      Reply.verdicts([other, ref])(answer(`verdict ${ref}`, `fault ${ref} missing a b`, `verdict ${other}`))
    )
    assert.deepStrictEqual(found, [
      { ref: other, faults: [] },
      { ref, faults: ["missing a b"] }
    ])
  })

  it("Verdicts and usages are refused if some are missing or were not asked for.", () => {
    for (const lines of [
      [],
      [`verdict ${other}`],
      [`verdict ${ref}`, `verdict ${other}`],
      [`fault ${ref} missing x`, `verdict ${ref}`],
      [`verdict ${ref}`, `fault ${ref} odd x`]
    ]) {
      assert.strictEqual(fault(Reply.verdicts([ref])(answer(...lines)))._tag, "Invalid")
    }
    assert.strictEqual(fault(Reply.usages([ref])(answer(`usage ${other} 1`)))._tag, "Invalid")
    assert.strictEqual(fault(Reply.usages([ref])(answer(`usage ${ref} x`)))._tag, "Invalid")
  })
})
