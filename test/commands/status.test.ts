import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { httpAnswer } from "../../src/host/MemoryHost.ts"
import { built, hostNamed, prodPath, run, usualConfig, world } from "../kit/world.ts"

const prod = { host: "host.test", user: "deploy", name: "my_app", path: prodPath }
const checked = {
  ...usualConfig,
  targets: { prod: { ...prod, health: { http: "http://127.0.0.1:4000/", successes: 1, interval: 1 } } }
}

describe("status", () => {
  it.scoped("Status shows the live release, its health, and the release that a rollback goes to.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      const none = yield* run("status target=prod")
      assert.strictEqual(none.status, 1)
      assert.match(none.stderr, /Nothing has been deployed to \/srv\/my_app/)
      host.onDial = () => () => httpAnswer(200)
      const one = yield* built
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
      const ran = yield* run("status target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, new RegExp(`^live +my_app ${one.ref.slice(0, 8)}, since .* UTC$`, "m"))
      assert.match(ran.stdout, /^previous +nothing to roll back to$/m)
      assert.match(ran.signed, /^health +✓ healthy \(.*\nfiles +✓ all there\ndrift +✓ none\n$/ms)
      assert.match(ran.stdout, /^health +healthy \(GET http:\/\/127\.0\.0\.1:4000\/\): it answered 200/m)
      assert.match(ran.stdout, /^lock +nobody holds it\ndisk +1\.0 GB free\nfiles +all there\ndrift +none\n$/m)
      const version = `${prodPath}/releases/current/my_app/version`
      const before = host.files.read(version) ?? ""
      host.files.remove(version)
      const broken = yield* run("status target=prod")
      assert.match(
        broken.stderr,
        new RegExp(
          `1 thing is wrong on .* \\(the live release: missing my_app/version\\): repair its files with deployer deploy target=prod release=${one.ref.slice(0, 8)} retry: there is no release to go back to\n$`
        )
      )
      host.files.write(version, before)
      host.onDial = () => () => httpAnswer(503, "starting")
      const ill = yield* run("status target=prod")
      assert.strictEqual(ill.status, 1)
      assert.match(ill.signed, /^health +✗ unhealthy .*503/m)
      assert.match(
        ill.stderr,
        /1 thing is wrong on deploy@host\.test \(GET .*503.*\): restart it with deployer restart target=prod; deploy again: there is no release to go back to$/m
      )
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...checked,
            targets: {
              prod: { ...checked.targets.prod, health: { http: "http://127.0.0.1:4000/", successes: 1, interval: 1 } }
            }
          }
        })
      )
    )
  )

  it.scoped("Status fails if a release of another application is live at the path of the target.", () =>
    Effect.gen(function* () {
      yield* run("build target=api")
      assert.strictEqual((yield* run("deploy target=api yes")).status, 0)
      const ran = yield* run("status target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(
        ran.stderr,
        /api [0-9A-F]{8} is live, but target prod runs my_app: another target has this path, or the name changed/
      )
      assert.strictEqual((yield* run("status target=api")).status, 0)
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            targets: {
              prod: { ...prod, sharesPath: true },
              api: { ...prod, name: "api", builder: "prod", sharesPath: true }
            }
          }
        })
      )
    )
  )

  it.scoped("Status shows since when a release is live that became current again.", () =>
    Effect.gen(function* () {
      yield* built
      yield* run("deploy target=prod yes")
      yield* built
      yield* run("deploy target=prod yes")
      yield* TestClock.adjust("1 hour")
      yield* run("rollback target=prod")
      assert.match((yield* run("status target=prod")).stdout, /^live +my_app [0-9A-F]{8}, since 1970-01-01 01:0/m)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Status gives advice about a directory in the place of current, even before any deployment.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.files.makeDirectory(`${prodPath}/releases/current`)
      const ran = yield* run("status target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /\/releases\/current .* is not a link but a directory .*manage adopt target=prod/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Status names each drift and its remedy, and takes no lock.", () =>
    Effect.gen(function* () {
      yield* built
      yield* run("deploy target=prod yes")
      const host = yield* hostNamed()
      host.files.remove(`${prodPath}/releases/current`)
      host.plantUpload(prodPath, { ref: "C".repeat(32), content: new Uint8Array(5) })
      host.steps.length = 0
      const ran = yield* run("status target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stdout, /^live +nothing\n/m)
      assert.match(ran.stdout, /^drift +there is no current link\n +an upload of CCCCCCCC did not finish\n$/m)
      assert.match(
        ran.stderr,
        /^deployer: 2 things are wrong on deploy@host\.test \(there is no current link; an upload of CCCCCCCC did not finish\): repair it with deployer repair target=prod; resume an upload by deploying its release again, or remove what arrived with deployer repair target=prod$/m
      )
      assert.deepStrictEqual(host.steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )
})
