/** The engine needs the plan alone: it ignores the settings of the target when it carries the plan out. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { planDeploy } from "../../src/commands/deploy.ts"
import { carryOut } from "../../src/deployment/carryOut.ts"
import { takeLock } from "../../src/deployment/locking.ts"
import { findOrigins } from "../../src/deployment/origins.ts"
import { DeployPlan } from "../../src/domain/Plan.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { findTarget } from "../../src/workspace/Config.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { built, currentRef, hostNamed, prodHost, prodPath, run, usualConfig, world } from "../kit/world.ts"

const plain = { host: prodHost, user: "deploy", name: "my_app", path: prodPath, tags: ["prod"], sharesPath: true }
const config = {
  ...usualConfig,
  targets: {
    plain,
    prod: {
      ...plain,
      afterSwitch: "reload",
      restart: "bin/my_app restart",
      health: { command: "ping", timeout: "1 seconds", interval: "1 second", successes: 1 },
      deadMan: "30 seconds",
      keep: 1
    }
  }
} as const

/** Carries out a plan that was made for `prod` on the same place of a host, but for a target without any of its settings. */
const carriedOut = Effect.gen(function* () {
  const { plan } = yield* planDeploy({ target: "prod", release: "my_app" })
  if (plan._tag !== "DeployPlan") return assert.fail("it is no plan of a deployment")
  const session = yield* (yield* RemoteHost).connect(yield* findTarget(yield* (yield* Workspace).config, "plain"))
  const store = yield* ReleaseStore
  const manifest = yield* store.manifest(plan.release)
  const origins = yield* findOrigins(session, plan.state, plan.release)
  yield* takeLock(session, "deploy")
  return yield* carryOut(session, DeployPlan.make(plan), { manifest, origins })
}).pipe(Effect.scoped, Effect.provide(Prompt.never))

describe("carryOut", () => {
  it.live(
    "A plan that was made with a restart, checks, a dead-man's switch and a limit is carried out with all of them.",
    () =>
      Effect.gen(function* () {
        for (const _ of [1, 2]) {
          yield* built
          yield* run("deploy target=plain yes")
        }
        const { ref } = yield* built
        const host = yield* hostNamed()
        host.steps.length = 0
        yield* carriedOut
        assert.strictEqual(currentRef(host), ref)
        const steps = host.steps.filter((step) =>
          ["arm", "run", "probe", "confirm", "remove"].some((one) => one === step)
        )
        assert.deepStrictEqual(steps, ["arm", "run", "run", "run", "confirm", "remove"])
      }).pipe(Effect.provide(world({ config })))
  )

  it.live("A plan that goes back does so, even for a target that now lacks the settings.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      yield* run("deploy target=plain yes")
      const bad = yield* built
      const host = yield* hostNamed()
      host.onRun = ({ command, ref }) => ({ exitCode: command === "ping" && ref === bad.ref ? 1 : 0 })
      const error = yield* Effect.flip(carriedOut)
      assert.strictEqual(error._tag, "RolledBack")
      assert.strictEqual(currentRef(host), ref)
    }).pipe(Effect.provide(world({ config })))
  )
})
