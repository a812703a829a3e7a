import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { currentRef, hostNamed, prodPath, run, stored, world } from "../kit/world.ts"

const deployed = Effect.gen(function* () {
  yield* run("build target=prod")
  yield* run("deploy target=prod yes")
  yield* run("build target=prod")
  const [fresh, old] = yield* (yield* ReleaseStore).list()
  return { fresh: fresh!, old: old!, host: yield* hostNamed() }
})

/** Starts a deployment that stands still at a step until the test releases it. */
const paused = (step: string) =>
  Effect.gen(function* () {
    const host = yield* hostNamed()
    const there = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    let first = true
    host.beforeStep = (at) => {
      if (at !== step || !first) return Effect.void
      first = false
      return Effect.zipRight(Deferred.succeed(there, undefined), Deferred.await(go))
    }
    const fiber = yield* Effect.fork(run("deploy target=prod yes"))
    yield* Deferred.await(there)
    return { fiber, goOn: Deferred.succeed(go, undefined) }
  })

/** Lets time pass, a second at a time, until a command has ended: its work besides waiting is real. */
const passTime = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 seconds")
    yield* TestServices.provideLive(Effect.sleep("2 millis"))
    return (yield* fiber.poll)._tag === "Some" ? yield* Fiber.join(fiber) : yield* passTime(fiber)
  })

/** Waits until the lock was requested so many times. */
const attempted = (host: MemoryHost, times: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    host.steps.filter((step) => step === "lock").length >= times
      ? TestServices.provideLive(Effect.sleep("10 millis"))
      : Effect.zipRight(TestServices.provideLive(Effect.sleep("2 millis")), attempted(host, times))
  )

describe("locks", () => {
  it.scoped("The lock lets one deployment work at a time; other commands name its holder and end with status 4.", () =>
    Effect.gen(function* () {
      const { fresh, host, old } = yield* deployed
      const { fiber, goOn } = yield* paused("stage")
      for (const line of [
        `deploy target=prod release=${fresh.id}`,
        "manage prune name=my_app target=prod yes",
        `manage delete ${fresh.ref} target=prod yes`,
        `manage ln ${old.ref} target=prod`,
        "manage integrity -f target=prod yes",
        "restart target=prod"
      ]) {
        const refused = yield* run(`${line} wait=0s`)
        assert.strictEqual(refused.status, 4, `${line}: ${refused.stderr}`)
        assert.match(
          refused.stderr,
          /locked by tester@laptop for "deploy" since .*: wait for them .* deployer unlock target=prod\n$/
        )
      }
      assert.strictEqual(currentRef(host), old.ref)
      assert.match((yield* run("manage info target=prod")).stdout, /locked by tester@laptop for "deploy"/)
      yield* goOn
      assert.strictEqual((yield* Fiber.join(fiber)).status, 0)
      assert.strictEqual(currentRef(host), fresh.ref)
      assert.notInclude((yield* run("manage info target=prod")).stdout, "locked")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("The build goes on while somebody else deploys, and says so.", () =>
    Effect.gen(function* () {
      const { host, old } = yield* deployed
      const { goOn } = yield* paused("stage")
      const before = (yield* stored).length
      const ran = yield* run("build_and_deploy target=prod wait=0s")
      assert.match(ran.stderr, /locked by tester@laptop for "deploy" .*: the deployment needs the lock after the build/)
      assert.strictEqual(ran.status, 4)
      assert.lengthOf(yield* stored, before + 1)
      assert.strictEqual(currentRef(host), old.ref)
      yield* goOn
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Deploy waits for a lock as long as the wait option says, and no longer.", () =>
    Effect.gen(function* () {
      yield* deployed
      const { fiber, goOn } = yield* paused("stage")
      const impatient = yield* Effect.fork(run("deploy target=prod yes wait=5s"))
      assert.strictEqual((yield* passTime(impatient)).status, 4)
      const patient = yield* Effect.fork(run("deploy target=prod yes wait=1h"))
      yield* TestServices.provideLive(Effect.sleep("100 millis"))
      yield* goOn
      yield* Fiber.join(fiber)
      const ran = yield* passTime(patient)
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stderr, /Waiting up to 1h/)
      assert.strictEqual((yield* run("deploy target=prod wait=soon")).status, 2)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Without the wait option, deploy waits up to 5 seconds for a lock to be released.", () =>
    Effect.gen(function* () {
      yield* deployed
      const { fiber, goOn } = yield* paused("stage")
      const began = yield* Clock.currentTimeMillis
      const refused = yield* passTime(yield* Effect.fork(run("deploy target=prod yes")))
      assert.strictEqual(refused.status, 4)
      assert.match(refused.stderr, /^Waiting up to 5s: /)
      const waited = (yield* Clock.currentTimeMillis) - began
      assert.isTrue(waited >= 5000 && waited < 8000, String(waited))
      const next = yield* Effect.fork(run("deploy target=prod yes"))
      yield* TestClock.adjust("2 seconds")
      yield* goOn
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* passTime(next)).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A bare wait waits up to an hour, even for a lock that is kept on purpose.", () =>
    Effect.gen(function* () {
      const { fresh, host } = yield* deployed
      yield* run("lock target=prod reason=moving")
      host.steps.length = 0
      const waiting = yield* Effect.fork(run("deploy target=prod wait yes"))
      yield* attempted(host, 1)
      yield* TestClock.adjust("59 minutes")
      yield* attempted(host, 2)
      assert.strictEqual((yield* waiting.poll)._tag, "None")
      yield* TestClock.adjust("61 seconds")
      const ran = yield* passTime(waiting)
      assert.strictEqual(ran.status, 4)
      assert.match(ran.stderr, /^Waiting up to 1h: /)
      host.steps.length = 0
      const patient = yield* Effect.fork(run("deploy target=prod wait yes"))
      yield* attempted(host, 1)
      yield* run("unlock target=prod yes")
      assert.strictEqual((yield* passTime(patient)).status, 0)
      assert.strictEqual(currentRef(host), fresh.ref)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("The lock is released however a deployment ends.", () =>
    Effect.gen(function* () {
      const { host } = yield* deployed
      const free = Effect.map(run("manage info target=prod"), ({ stdout }) => assert.notInclude(stdout, "locked"))
      const { fiber } = yield* paused("stage")
      yield* Fiber.interrupt(fiber)
      yield* free
      host.cutUploadAfter = 10
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 1)
      yield* free
      host.failStep("stage", "no")
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 1)
      host.healStep("stage")
      yield* free
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
      yield* free
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A deployment that lost its lock changes nothing more and ends with status 4.", () =>
    Effect.gen(function* () {
      const { host, old } = yield* deployed
      for (const step of ["stage", "activate"]) {
        const { fiber, goOn } = yield* paused(step)
        assert.strictEqual((yield* run("unlock target=prod", "y")).status, 0)
        yield* run("restart target=prod")
        yield* goOn
        const ran = yield* Fiber.join(fiber)
        assert.strictEqual(ran.status, 4, `${step}: ${ran.stderr}`)
        assert.match(
          ran.stderr,
          /now belongs to somebody else, so nothing more was done there: see who holds it with deployer status target=prod/
        )
        assert.strictEqual(currentRef(host), old.ref)
      }
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A lock without a sign of life for a minute is taken over; one with signs of life never is.", () =>
    Effect.gen(function* () {
      const { host } = yield* deployed
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      host.files.write(`${prodPath}/config/lock.99`, "taken {}\n")
      host.files.write(`${prodPath}/config/beat.99`, `${now}\n`)
      assert.strictEqual((yield* run("deploy target=prod yes wait=0s")).status, 4)
      yield* TestClock.adjust("61 seconds")
      const { fiber, goOn } = yield* paused("stage")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* run("deploy target=prod yes wait=0s")).status, 4)
      yield* goOn
      assert.strictEqual((yield* Fiber.join(fiber)).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("The reason for a lock is one printable line of at most 500 characters.", () =>
    Effect.gen(function* () {
      yield* deployed
      for (const [reason, why] of [
        ["x".repeat(600), "600: make it shorter"],
        ["two\nlines", "a line break or another control character: write it on one line"],
        ["\u001b[2J", "a line break or another control character: write it on one line"]
      ] as const) {
        const ran = yield* run(["lock", "target=prod", `reason=${reason}`])
        assert.strictEqual(ran.status, 2, ran.stderr)
        const wanted = `The reason for a lock is one line of at most 500 characters, and this one has ${why}`
        assert.include(ran.stderr.replaceAll(/\s+/g, " "), wanted)
      }
      assert.strictEqual((yield* run(["lock", "target=prod", `reason=${"x".repeat(500)}`])).status, 0)
      const host = yield* hostNamed()
      // A text that others wrote there in another way is shown without its control characters.
      const lock = `${prodPath}/config/lock.${Math.max(...host.files.names(`${prodPath}/config`).flatMap((name) => (/^lock\.[0-9]+$/.test(name) ? [Number(name.slice(5))] : [])))}`
      host.files.write(lock, (host.files.read(lock) ?? "").replace("x".repeat(20), "\\u001b[2J\\u0007evil"))
      const refused = yield* run("deploy target=prod yes")
      assert.strictEqual(refused.status, 4)
      assert.include(refused.stderr, "[2J evil")
      assert.notMatch(refused.stderr, /[\u001b\u0007]/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A lock can be kept on purpose, and unlock takes it away only after asking.", () =>
    Effect.gen(function* () {
      yield* deployed
      const kept = yield* run(["lock", "target=prod", "reason=moving the database"])
      assert.strictEqual(kept.status, 0, kept.stderr)
      assert.match(kept.stdout, /locked by tester@laptop for "moving the database"/)
      yield* TestClock.adjust("10 days")
      // At once: a lock that is kept on purpose does not end in seconds.
      const refused = yield* run("deploy target=prod yes")
      assert.strictEqual(refused.status, 4)
      assert.match(refused.stderr, /moving the database.*set on purpose.*deployer unlock/)
      assert.strictEqual((yield* run("unlock target=prod", "n")).status, 1)
      assert.strictEqual((yield* run("unlock target=prod")).status, 3)
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 4)
      const taken = yield* run("unlock target=prod yes")
      assert.strictEqual(taken.stdout, "The lock of deploy@host.test was removed\n")
      assert.match(taken.stderr, /for "moving the database" since .*; it was set on purpose\n$/)
      assert.strictEqual((yield* run("unlock target=prod")).stdout, "deploy@host.test is not locked\n")
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
    }).pipe(Effect.provide(world()))
  )
})
