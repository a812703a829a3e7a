import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { build, config, type DeployError, deploy, deployFleet, docker, fromFiles, status } from "effect-deployer"
import { layerMemory, MemoryHost, Reported } from "effect-deployer/testing"

const settings = config({
  targets: { prod: { host: "app1", name: "my_app", path: "/srv/my_app", restart: "bin/my_app restart" } },
  builders: { prod: () => Effect.succeed(fromFiles({ "bin/my_app": "#!/bin/sh\n" })) }
})

/** The failures of a deployment have one name. */
const sentence = (error: DeployError): string => error.message

describe("effect-deployer/testing", () => {
  it.effect("The testing module runs a deployment in memory, and shows its reports.", () =>
    Effect.gen(function* () {
      const { release } = yield* build({ target: "prod" })
      yield* deploy({ target: "prod", release: release.ref })
      const { live } = yield* status({ target: "prod" })
      assert.strictEqual(live?.release.ref, release.ref)
      const events = yield* (yield* Reported).events
      assert.isTrue(events.some((event) => event._tag === "Note" && event.message.startsWith("First contact")))
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.effect("The testing module fails with the builder's own error.", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(build({ target: "prod" }))
      assert.strictEqual(failure._tag, "ImageBuildFailed")
    }).pipe(
      Effect.provide(
        layerMemory(
          { ...settings, builders: { prod: docker() } },
          { images: () => ({ status: 3, output: "no such base image\n" }) }
        )
      )
    )
  )

  it.effect("The testing module lets a command on the host fail, and the deployment with it.", () =>
    Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      host("app1").onRun = () => ({ exitCode: 1, output: "no luck" })
      const { release } = yield* build({ target: "prod" })
      const failure = yield* Effect.flip(deploy({ target: "prod", release: release.ref }))
      assert.strictEqual(failure._tag, "RolledBack")
      assert.match(sentence(failure), /no luck/)
    }).pipe(Effect.provide(layerMemory(settings)))
  )

  it.effect("The testing module shows where the policy of a group leads.", () => {
    const target = (host: string) => ({
      ...settings.targets?.["prod"],
      host,
      name: "my_app",
      path: "/srv/my_app",
      builder: "prod"
    })
    const fleet = config({
      ...settings,
      targets: { web1: target("app1"), web2: target("app2"), web3: target("app3") },
      groups: { web: { targets: ["web*"], canary: 1, maxFailures: 1 } }
    })
    return Effect.gen(function* () {
      const { host } = yield* MemoryHost.MemoryHosts
      host("app3").onRun = () => ({ exitCode: 1 })
      const { release } = yield* build({ target: "web1" })
      const { exitStatus, members } = yield* deployFleet({ group: "web", release: release.ref })
      assert.deepStrictEqual([exitStatus, ...members.map(({ outcome }) => outcome)], [7, "live", "live", "back"])
    }).pipe(Effect.provide(layerMemory(fleet)))
  })
})
