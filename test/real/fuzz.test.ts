/** Hosts that say anything, files that hold anything, words that are anything: each failure is a typed error, and no shell interprets a word. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { Adoption } from "../../src/domain/Adoption.ts"
import { Unfinished } from "../../src/domain/HostState.ts"
import { Lock, LockDetails } from "../../src/domain/Lock.ts"
import * as Reply from "../../src/host/protocol/reply.ts"
import { replyBegin, replyEnd } from "../../src/host/protocol/reply.ts"
import type { HostSession } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { quote, type Transport } from "../../src/host/transport/Transport.ts"
import { put } from "../host/contract.ts"
import { triesOf } from "../kit/exhaustive.ts"
import { local } from "../kit/hosts.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { type Packed, sample } from "../kit/packed.ts"
import { journalEntry, refOf, target } from "../kit/samples.ts"
import { titled } from "../kit/sshd.ts"
import * as userland from "../kit/userland.ts"

const one = sample("1")
const ref = one.ref

/** No message may move the cursor, colour the terminal or turn the line around. */
const unfit = /[\p{Cc}\u2028\u2029\u202a-\u202e]/u

// The answers of a host

const words = FastCheck.constantFrom(
  ...["path", "base", "free", "machine", "current", "release", "damaged", "unrecorded", "upload", "lacks", "journal"],
  ...[
    "adopting",
    "adoption",
    "verdict",
    "fault",
    "usage",
    "unfit",
    "corrupt",
    "fail",
    "locked",
    "token",
    "unready",
    "changed",
    "fenced",
    "lost"
  ],
  ...[replyBegin, replyEnd, "", " "]
)
const rest = FastCheck.oneof(
  FastCheck.constantFrom(
    ref,
    refOf("B"),
    "/srv/app",
    "ready",
    "link",
    "absent",
    "directory",
    "x86_64",
    "tar",
    "1 2 {}"
  ),
  FastCheck.constantFrom(
    `link deployer_${ref}`,
    `${ref} 1`,
    `${ref} ${"a".repeat(64)} whole 1 2`,
    `${ref} {}`,
    "9".repeat(40),
    "-1",
    "1e9",
    "\u001b[2J",
    "%s%n"
  ),
  FastCheck.constantFrom("not-writable /srv", "current-occupied", "__proto__", '{"by":"x","reason":"\u001b[31m"}'),
  FastCheck.json(),
  FastCheck.fullUnicodeString(),
  FastCheck.string({ maxLength: 20 })
)
const line = FastCheck.tuple(words, FastCheck.array(rest, { maxLength: 3 })).map(([word, more]) =>
  [word, ...more].join(" ")
)
const body = FastCheck.array(FastCheck.oneof({ weight: 4, arbitrary: line }, { weight: 1, arbitrary: rest }), {
  maxLength: 12
})
const answer = FastCheck.oneof(
  { weight: 4, arbitrary: body.map((lines) => ["", replyBegin, ...lines, replyEnd, ""].join("\n")) },
  { weight: 1, arbitrary: body.map((lines) => lines.join("\n")) },
  { weight: 1, arbitrary: FastCheck.fullUnicodeString({ maxLength: 200 }) }
)

describe("5000 answers", () => {
  it("Every decoder reads or refuses each of 5000 answers, and its reasons can be shown.", () => {
    const decoders: ReadonlyArray<(stdout: string) => Either.Either<unknown, Reply.Fault>> = [
      Reply.state,
      Reply.done,
      Reply.fitness,
      Reply.survey,
      Reply.corruption,
      Reply.locking,
      Reply.unlocking,
      Reply.verdicts([ref]),
      Reply.usages([ref])
    ]
    let read = 0
    FastCheck.assert(
      FastCheck.property(answer, (text) => {
        for (const decode of decoders) {
          const decoded = decode(text)
          if (Either.isRight(decoded)) read += 1
          else {
            assert.notMatch(decoded.left.detail, unfit)
            assert.isBelow(decoded.left.detail.length, 310)
          }
        }
      }),
      { numRuns: 5000 }
    )
    // Otherwise each answer would be refused at its first word.
    assert.isAbove(read, 100)
  })
})

const details = (fields: Partial<ConstructorParameters<typeof LockDetails>[0]> = {}) =>
  LockDetails.make({
    by: "tester@laptop",
    reason: "test",
    since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
    nonce: "n",
    held: false,
    ...fields
  })

const said = (word: string) => journalEntry({ by: word, job: word, detail: word })

/** Everything that a session can do, with the same words in each place for words. */
const everything = (
  session: HostSession,
  release: Packed,
  word: string
): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
  session.inspect,
  session.prepare,
  Effect.scoped(session.lock(details({ by: word.slice(0, 400), reason: word.slice(0, 400) }))),
  session.stage({
    ref: release.ref,
    manifest: release.manifest,
    from: 0,
    note: word,
    shipment: { _tag: "Whole", size: release.tarball.length, content: () => Stream.make(release.tarball) }
  }),
  session.record(release.record),
  session.activate(release.ref),
  session.verify([release.ref, word]),
  session.usage([release.ref, word]),
  session.run("true", { name: word }),
  session.run("true", { name: "my_app", ref: word }),
  session.activate(word),
  session.discard(Object.assign(Unfinished.make({ ref: refOf("C"), kind: "upload", received: 0 }), { ref: word })),
  session.discard(Object.assign(Unfinished.make({ ref: refOf("C"), kind: "release", received: 0 }), { ref: word })),
  session.record(Object.assign({}, release.record, { tags: [word] })),
  session.stage({
    ref: word,
    manifest: [{ _tag: "Symlink", path: word === "" ? "x" : word, to: word }],
    from: 0,
    note: word,
    shipment: { _tag: "Whole", size: 1, content: () => Stream.make(new Uint8Array(1)) }
  }),
  session.stage({
    ref: word,
    manifest: [{ _tag: "Symlink", path: word === "" ? "x" : word, to: word }],
    from: 0,
    note: word,
    shipment: {
      _tag: "Differences",
      hardLinks: false,
      content: Stream.empty,
      differences: {
        origin: { ref: word, files: [], lines: [word] },
        sent: new Set(),
        files: 0,
        bytes: 0,
        likely: 0,
        kept: 0,
        patches: new Map(),
        moves: [
          { ref: word, from: word, to: word, mode: 0o755 },
          { ref: undefined, from: `a/${word}`, to: `b/${word}`, mode: undefined }
        ]
      }
    }
  }),
  session.origin(word),
  session.deactivate({ restore: word, entries: [said(word)] }),
  session.remove([word], [said(word)]),
  session.note([said(word)]),
  session.survey(word),
  session.adopt(
    Adoption.make({ ref: refOf("D"), sha256: "d".repeat(64), nested: false, files: 1, bytes: 1 }),
    Object.assign({}, release.record, { name: word, tags: [word] }),
    [said(word)]
  ),
  session.finishAdoption(word),
  session.confirm(word, word, [said(word)]),
  session.arm({ ref: word, back: { ref: word, name: word }, seconds: 0, command: "true", entries: [said(word)] }),
  session.hold(details({ reason: word.slice(0, 400), held: true })),
  session.unlock(Lock.make({ token: 1, idleSeconds: 0 })),
  session.unlock(Lock.make({ token: 2, idleSeconds: 0 }))
]

/** No defect, and a sentence that can be shown. */
const sound = (step: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.exit(step), (exit) => {
    if (Exit.isSuccess(exit)) return
    const failure = Cause.failureOption(exit.cause)
    if (Cause.isDie(exit.cause) || failure._tag === "None") assert.fail(Cause.pretty(exit.cause))
    const message = failure.value instanceof Error ? failure.value.message : assert.fail("no error")
    assert.isBelow(message.length, 3000)
  })

describe("a host that says anything", () => {
  it.live(
    "With any answer of a host, a step of a session fails with a typed error at worst.",
    () =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(answer, FastCheck.constantFrom(0, 1, 127, 255), (stdout, exitCode) => {
            const says: Transport = {
              exec: (exec) =>
                Effect.as(exec.onOutput === undefined ? Effect.void : exec.onOutput(Buffer.from(stdout), "stdout"), {
                  exitCode,
                  stdout: exec.onOutput === undefined ? stdout : "",
                  stderr: stdout.slice(0, 200)
                }),
              dial: () => Effect.dieMessage("nobody dials here"),
              shell: () => Effect.succeed(0)
            }
            const session = makeSession(target(), says)
            return Effect.runPromise(Effect.forEach(everything(session, one, "word"), sound, { discard: true }))
          }),
          { numRuns: triesOf(300), endOnFailure: true }
        )
      ),
    60_000
  )
})

// The files of a host

const hostileText = FastCheck.oneof(
  {
    weight: 3,
    arbitrary: FastCheck.constantFrom("$(touch CANARY)", "`touch CANARY`", "'; touch CANARY; '", '"; touch CANARY; "')
  },
  {
    weight: 1,
    arbitrary: FastCheck.constantFrom(
      "x\ntouch CANARY\n",
      "| touch CANARY",
      "&& touch CANARY",
      "> CANARY",
      "$IFS$(touch CANARY)"
    )
  },
  {
    weight: 1,
    arbitrary: FastCheck.constantFrom(
      "a[$(touch CANARY)]",
      "1 + a[$(touch CANARY)]",
      "-rf",
      "--help",
      "-e",
      "*",
      "~",
      "%n%s",
      "\\c"
    )
  },
  { weight: 1, arbitrary: FastCheck.fullUnicodeString({ maxLength: 100 }) },
  { weight: 1, arbitrary: FastCheck.json() }
)

const several = FastCheck.array(hostileText, { minLength: 1, maxLength: 5 }).map((texts) => texts.join(" "))

/** A file of ours on the host, and the text that may stand before ours. */
const places = FastCheck.constantFrom(
  [`releases/deployer_${ref}/.deployer_release.json`, ""],
  [`releases/deployer_${ref}/.deployer_manifest`, ""],
  [`releases/deployer_${ref}/.deployer_manifest`, `${"a".repeat(64)}  ./`],
  [`releases/deployer_${ref}/.deployer_manifest`, "link ./"],
  [`releases/.staging_${refOf("B")}/note`, ""],
  [`releases/.adopting_${refOf("B")}/entries`, ""],
  [`releases/.adopting_${refOf("B")}/manifest`, ""],
  ["config/lock.5", ""],
  ["config/lock.5", "taken "],
  ["config/lock.5", "held "],
  ["config/beat.5", ""],
  ["config/beat.5", "1 2 "],
  ["config/journal", ""]
)

for (const kind of local) {
  const live = kind.skip === undefined ? it.live : it.live.skip
  describe(titled(`${kind.title}: hostile`, kind.skip), () => {
    live("Hostile files on a host are looked at and never run.", () =>
      Effect.gen(function* () {
        const host = yield* kind.start
        const canary = join(host.home, "canary")
        const session = makeSession(host.target(), yield* host.connect())
        const base = join(host.home, "app")
        yield* session.prepare
        const planted = FastCheck.record({ place: places, text: hostileText, link: hostileText, name: hostileText })
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(planted, ({ link, name, place: [file = "", before = ""], text }) =>
              Effect.gen(function* () {
                fs.rmSync(base, { recursive: true, force: true })
                yield* session.prepare
                yield* put(session, one)
                const filled = (hostile: string) => hostile.replaceAll("CANARY", canary)
                fs.mkdirSync(join(base, `releases/.staging_${refOf("B")}`))
                fs.mkdirSync(join(base, `releases/.adopting_${refOf("B")}`))
                fs.writeFileSync(join(base, "config/lock.5"), "taken {}")
                fs.writeFileSync(join(base, file), `${before}${filled(text)}\n`)
                const named = filled(name).replaceAll(/[/\0]/g, "_").slice(0, 60)
                if (!["", ".", ".."].includes(named)) fs.writeFileSync(join(base, "releases", named), "")
                if (link !== "" && !link.includes("\0"))
                  fs.symlinkSync(filled(link).slice(0, 1000), join(base, "releases/current"))
                const steps = [
                  session.inspect,
                  session.verify([ref]),
                  session.usage([ref]),
                  session.run("true", { name: "my_app" }),
                  Effect.scoped(session.lock(details())),
                  session.activate(ref),
                  session.finishAdoption(refOf("B")),
                  session.unlock(Lock.make({ token: 5, idleSeconds: 0 }))
                ]
                yield* Effect.forEach(steps, sound, { discard: true })
                assert.isFalse(fs.existsSync(canary), "a file was run")
              }).pipe(Effect.runPromise)
            ),
            { numRuns: triesOf(12), endOnFailure: true }
          )
        )
      }).pipe(Effect.scoped)
    )

    live("Hostile words reach every script as plain words, and none of them is run.", () =>
      Effect.gen(function* () {
        const host = yield* kind.start
        const canary = join(host.home, "canary")
        const session = makeSession(host.target(), yield* host.connect())
        const before = fs.readdirSync("/").sort()
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(several, (text) =>
              Effect.gen(function* () {
                fs.rmSync(join(host.home, "app"), { recursive: true, force: true })
                // A word of a command line cannot hold it, and no name of ours does.
                const word = text.replaceAll("CANARY", canary).replaceAll("\0", "")
                yield* session.prepare
                yield* Effect.forEach(everything(session, one, word), sound, { discard: true })
                assert.isFalse(fs.existsSync(canary), "a word was run")
                assert.deepStrictEqual(fs.readdirSync(host.home), ["app"])
                assert.sameMembers(fs.readdirSync(join(host.home, "app")), ["config", "releases"])
              }).pipe(Effect.runPromise)
            ),
            { numRuns: triesOf(6), endOnFailure: true }
          )
        )
        assert.deepStrictEqual(fs.readdirSync("/").sort(), before)
      }).pipe(Effect.scoped)
    )
  })
}

describe("without the protection", () => {
  it.live("A lock file that is evaluated instead of read runs its commands.", () =>
    Effect.gen(function* () {
      const host = yield* local[0]!.start
      const canary = join(host.home, "canary")
      const evaluating: Mutations = { lock: [["state=$" + "{lock%% *} ", 'eval "state=$lock"; ']] }
      const session = makeSession(host.target(), mutant(yield* host.connect(), evaluating))
      yield* session.prepare
      fs.writeFileSync(join(host.home, "app/config/lock.5"), `$(touch ${canary})`)
      yield* Effect.exit(Effect.scoped(session.lock(details())))
      assert.isTrue(fs.existsSync(canary))
    }).pipe(Effect.scoped)
  )
})

// The words that a login shell makes of a line

/** As the SSH transport writes it. */
const commandLine = (write: (word: string) => string, args: ReadonlyArray<string>) =>
  ["exec", "sh", "-c", quote('for word; do printf "%s|" "$word"; done'), "deployer", ...args.map(write)].join(" ")

describe("a login shell", () => {
  const shells = ["sh", "dash", "bash", "zsh", "fish", "busybox"] as const
  for (const shell of shells) {
    const program = userland.which(shell)
    const skip = program !== undefined || process.env["CI"] === "true" ? undefined : `${shell} not installed`
    it.skipIf(skip !== undefined)(titled(`The shell ${shell} passes on hostile words unchanged.`, skip), () => {
      const folder = fs.mkdtempSync("/tmp/deployer-words-")
      const canary = join(folder, "canary")
      const run = (line: string) =>
        execFileSync(program ?? shell, [...(shell === "busybox" ? ["sh"] : []), "-c", line], {
          cwd: folder,
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
          env: { PATH: process.env["PATH"], HOME: folder }
        })
      FastCheck.assert(
        FastCheck.property(FastCheck.array(hostileText, { minLength: 1, maxLength: 12 }), (texts) => {
          const args = texts.map((text) => text.replaceAll("CANARY", canary).replaceAll(/[\0\p{Cs}]/gu, ""))
          assert.strictEqual(run(commandLine(quote, args)), args.map((word) => `${word}|`).join(""))
          assert.isFalse(fs.existsSync(canary))
        }),
        { numRuns: triesOf(25) }
      )
      // Without the quoting, the canary is there.
      try {
        run(commandLine((word) => `"${word}"`, [`$(touch ${canary})`]))
      } finally {
        assert.isTrue(fs.existsSync(canary))
        fs.rmSync(folder, { recursive: true })
      }
    })
  }
})
