import { randomBytes } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import {
  build,
  buildAndDeploy,
  config,
  deploy,
  fromFiles,
  type ReporterEvent,
  rollback,
  workName
} from "effect-deployer"
import { layerMemory, MemoryHost, Reported } from "effect-deployer/testing"

let version = 0
const settings = config({
  targets: {
    prod: {
      host: "app1",
      name: "shop",
      path: "/srv/shop",
      afterUnpack: "migrate",
      restart: "restart",
      health: { command: "check", interval: "1 millis" }
    }
  },
  builders: { prod: () => Effect.sync(() => fromFiles({ "bin/shop": `version ${version++}` })) }
})

/** Most of a release is the same each time, and a part of it is new. */
const large = () =>
  Effect.sync(() => fromFiles({ same: "same\n".repeat(50_000), other: randomBytes(100_000).toString("hex") }))

const events = Effect.flatMap(Reported, ({ events }) => events)
const steps = (events: ReadonlyArray<ReporterEvent>) =>
  events.flatMap((event) =>
    event._tag === "StepStarted"
      ? [`${workName(event.step)}${event.number === undefined ? "" : ` ${event.number}/${event.of}`}`]
      : []
  )

describe("the steps of commands as events", () => {
  it.live("A build and a deployment report their steps, counted, with target and release.", () =>
    Effect.gen(function* () {
      const built = yield* build({ target: "prod" })
      const deployed = yield* deploy({ target: "prod", release: built.release.ref })
      const heard = yield* events
      assert.deepStrictEqual(steps(heard), [
        "build",
        "pack",
        "connect",
        "prepare",
        "lock",
        "upload 2/7",
        "afterUnpack 3/7",
        "switch 4/7",
        "restart 5/7",
        "health 6/7",
        "finish 7/7"
      ])
      const { name, ref } = built.release
      const started = heard.find((event) => event._tag === "StepStarted" && event.step._tag === "Check")
      assert.deepInclude(started?.release, { name, ref })
      assert.deepStrictEqual(
        deployed.steps.map(({ step }) => step),
        steps(heard)
          .slice(2)
          .map((step) => step.replace(/ .*/, ""))
      )
      assert.deepStrictEqual(
        heard.filter(({ target }) => target !== "prod"),
        []
      )
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.live("The steps of the way back name the release that comes back, and are not counted.", () =>
    Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      const first = yield* buildAndDeploy({ target: "prod" })
      const second = yield* build({ target: "prod" })
      let isIll = true
      host("app1").onRun = ({ command }) => {
        if (command !== "restart") return { exitCode: 0, output: "" }
        const exitCode = isIll ? 1 : 0
        isIll = false
        return { exitCode, output: "" }
      }
      const before = (yield* events).length
      const error = yield* Effect.flip(deploy({ target: "prod", release: second.release.ref }))
      assert.strictEqual(error._tag, "RolledBack")
      const restarts = (yield* events)
        .slice(before)
        .flatMap((event) =>
          event._tag === "StepEnded" && workName(event.step) === "restart" ? [[event.ok, event.release?.ref]] : []
        )
      assert.deepStrictEqual(restarts, [
        [false, second.release.ref],
        [true, first.built.release.ref]
      ])
      assert.deepStrictEqual(steps((yield* events).slice(before)).slice(-2), ["restart", "health"])
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.live("An interruption before the switch says which release is still current.", () =>
    Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      const { built } = yield* buildAndDeploy({ target: "prod" })
      const second = yield* build({ target: "prod" })
      const reached = yield* Deferred.make<void>()
      host("app1").beforeStep = (step) =>
        step === "stage" ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
      const deploying = yield* Effect.fork(deploy({ target: "prod", release: second.release.ref }))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(deploying)
      const warnings = (yield* events).flatMap((event) => (event._tag === "Warning" ? [event.message] : []))
      const [live, next] = [built.release.ref, second.release.ref].map((ref) => ref.slice(0, 8))
      assert.deepStrictEqual(warnings, [
        `Interrupted before the switch: ${live} is still current on app1, and the next deploy of shop ${next} continues there`
      ])
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.live("An interruption after the switch says which release is current.", () =>
    Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      yield* buildAndDeploy({ target: "prod" })
      const second = yield* build({ target: "prod" })
      const reached = yield* Deferred.make<void>()
      let commands = 0
      // The first command is afterUnpack.
      host("app1").beforeStep = (step) =>
        step === "run" && ++commands === 2
          ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.void
      const deploying = yield* Effect.fork(deploy({ target: "prod", release: second.release.ref }))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(deploying)
      const warnings = (yield* events).flatMap((event) => (event._tag === "Warning" ? [event.message] : []))
      assert.deepStrictEqual(warnings, [
        `shop ${second.release.ref.slice(0, 8)} is current on app1, and the steps after the switch are not done: the next deploy of it resumes there`
      ])
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.live("A resumed upload of changes counts only from the bytes that were there.", () =>
    Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      yield* buildAndDeploy({ target: "prod" })
      const second = yield* build({ target: "prod" })
      const prod = { target: "prod", release: second.release.ref }
      host("app1").cutUploadAfter = 30_000
      yield* Effect.flip(deploy(prod))
      const before = (yield* events).length
      yield* deploy(prod)
      const progress = (yield* events).slice(before).filter((event) => event._tag === "Progress")
      assert.isAbove(progress.length, 0)
      for (const { done, start = 0 } of progress) {
        assert.isAbove(start, 0)
        assert.isAbove(done, start)
      }
    }).pipe(Effect.provide(layerMemory({ ...settings, builders: { prod: large } })))
  )

  it.live("A rollback reports its steps and their times.", () =>
    Effect.gen(function* () {
      yield* buildAndDeploy({ target: "prod" })
      yield* buildAndDeploy({ target: "prod" })
      const { steps } = yield* rollback({ target: "prod" })
      assert.deepStrictEqual(
        steps.map(({ step }) => step),
        ["connect", "lock", "verify", "switch", "restart", "health", "finish"]
      )
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.live("Details name each step on the host with its time and bytes, and the reasons of the plan.", () =>
    Effect.gen(function* () {
      yield* buildAndDeploy({ target: "prod" })
      yield* buildAndDeploy({ target: "prod" })
      const details = (yield* events).flatMap((event) => (event._tag === "Detail" ? [event.message] : []))
      const expected = [
        /^app1: inspect \(.*\) took .*, sent .* kB, received .* B$/,
        /^plan: [0-9A-F]{8} is not complete on the host, and current leads to [0-9A-F]{8}$/,
        /^if it fails: back to shop [0-9A-F]{8}, because the target has health or restart$/
      ]
      for (const line of expected)
        assert.isTrue(
          details.some((detail) => line.test(detail)),
          details.join("\n")
        )
    }).pipe(Effect.provide(layerMemory(settings)))
  )
})
