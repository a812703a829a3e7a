import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { built, hostNamed, prodHost, prodPath, run, usualConfig, world } from "../kit/world.ts"

const config = {
  ...usualConfig,
  targets: { prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath, afterSwitch: "reload" } }
}

describe("deploy", () => {
  it.scoped("Deploy says that the switch may be done if only its answer was lost.", () =>
    Effect.gen(function* () {
      const release = yield* built
      const host = yield* hostNamed()
      // inspect, prepare, lock and stage come before the switch.
      host.loseAfterSteps = 4
      const ran = yield* run(`deploy target=prod release=${release.id}`)
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(host.steps.at(-1), "stage")
      assert.match(ran.stderr, /warning: .* may be current on .*, and the steps after the switch are not done/)
      host.loseAfterSteps = 3
      host.files.remove(prodPath)
      const before = yield* run(`deploy target=prod release=${release.id}`)
      assert.strictEqual(before.status, 1)
      assert.notInclude(before.stderr, "may be current on")
    }).pipe(Effect.provide(world({ config })))
  )
})
