import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { fromFiles } from "../../src/build/Artifact.ts"
import type { MemoryImage } from "../../src/build/DockerBuilder.ts"
import { HostUnreachable } from "../../src/host/RemoteHost.ts"
import { refOf } from "../kit/samples.ts"
import { currentRef, hostNamed, prodPath, run, stored, usualConfig, usualImage, world } from "../kit/world.ts"

describe("build_and_deploy", () => {
  it.scoped(
    "The build_and_deploy command deploys the release that it built, without a question, and reports both.",
    () =>
      Effect.gen(function* () {
        const ran = yield* run("build_and_deploy target=prod")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(ran.asked, [])
        const [release] = yield* stored
        assert.match(
          ran.stdout,
          /^Stored my_app [0-9A-F]{8} \(id 1, .*\nmy_app [0-9A-F]{8} \(id 1\) is live at deploy@host\.test:\/srv\/my_app/
        )
        assert.strictEqual(currentRef(yield* hostNamed()), release!.ref)
      }).pipe(Effect.provide(world()))
  )

  it.scoped("The build_and_deploy command changes nothing on the host if the build fails.", () =>
    Effect.gen(function* () {
      const ran = yield* run("build_and_deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(ran.stdout, "")
      assert.deepStrictEqual((yield* hostNamed()).journal(prodPath), [])
    }).pipe(Effect.provide(world({ image: () => ({ status: 2, output: "" }) })))
  )

  it.scoped(
    "The build_and_deploy command keeps its release if the deployment fails, and a plain deploy then succeeds.",
    () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        host.failStep("activate", "read-only file system")
        const ran = yield* run("build_and_deploy target=prod")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stdout, /^Stored my_app [0-9A-F]{8} \(id 1, [^\n]*\n$/)
        assert.match(ran.stderr, /deployer: Could not switch to .*read-only file system\n$/)
        assert.lengthOf(yield* stored, 1)
        host.healStep("activate")
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
        assert.strictEqual(currentRef(host), (yield* stored)[0]!.ref)
      }).pipe(Effect.provide(world()))
  )

  it.scoped("The build_and_deploy command asks about others' unfinished deployments, and yes keeps them.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.plantUpload(prodPath, { ref: refOf("B"), content: new Uint8Array(5) })
      const asked = yield* run("build_and_deploy target=prod")
      assert.strictEqual(asked.status, 3)
      assert.deepStrictEqual(asked.asked, ["What about it?"])
      const ran = yield* run("build_and_deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, [])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("The build_and_deploy command deploys nothing if the build gives the same bytes again.", () => {
    const image: MemoryImage = usualImage()
    return Effect.gen(function* () {
      yield* run("build_and_deploy target=prod")
      const again = yield* run("build_and_deploy target=prod")
      assert.strictEqual(again.status, 0, again.stderr)
      assert.match(again.stdout, /\(id 1\) is live at .* already: nothing to do/)
      assert.lengthOf(yield* stored, 1)
    }).pipe(Effect.provide(world({ image: () => image })))
  })

  it.scoped("The build_and_deploy command takes env_file_name, and refuses an unknown target.", () =>
    Effect.gen(function* () {
      const file = yield* run("build_and_deploy target=prod env_file_name=none")
      assert.strictEqual(file.status, 2)
      assert.include(file.stderr, "/project/none cannot be added to the release: it does not exist")
      const target = yield* run("build_and_deploy target=prd")
      assert.strictEqual(target.status, 2)
      assert.match(target.stderr, /^deployer: No target named "prd" .*did you mean "prod"\?\)\n$/)
    }).pipe(Effect.provide(world()))
  )

  describe("the look at the host while the engine builds", () => {
    /** The build ends only if it is interrupted. */
    const endless = world({ config: { ...usualConfig, builders: { prod: () => Effect.never } } })

    it.scoped("A host that cannot be reached ends the build.", () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        host.connectFailure = new HostUnreachable({
          address: "deploy@host.test",
          reason: "refused",
          detail: "nobody listens"
        })
        const ran = yield* run("build_and_deploy target=prod")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /deployer: .*host\.test/)
        assert.strictEqual(ran.stdout, "")
      }).pipe(Effect.provide(endless))
    )

    it.scoped("A host that can take no release ends the build.", () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        host.files.makeDirectory("/srv")
        host.readOnly.add("/srv")
        const ran = yield* run("build_and_deploy target=prod")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /^deployer: \/srv\/my_app on deploy@host\.test .*\n$/)
      }).pipe(Effect.provide(endless))
    )

    it.scoped("If the build ends first, the look is not interrupted, because a passphrase may be being typed.", () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        const seen: Array<string> = []
        host.beforeStep = (step) =>
          step !== "inspect" || seen.length > 0
            ? Effect.sync(() => void seen.push(step))
            : Effect.sync(() => void seen.push("looks")).pipe(
                Effect.zipRight(Effect.sleep("1 minute")),
                Effect.zipRight(Effect.sync(() => void seen.push("looked"))),
                Effect.onInterrupt(() => Effect.sync(() => void seen.push("interrupted")))
              )
        const running = yield* Effect.fork(run("build_and_deploy target=prod"))
        while (seen.length === 0 || (yield* stored).length === 0) yield* Effect.promise(() => new Promise(setImmediate))
        yield* TestClock.adjust("1 minute")
        const ran = yield* Fiber.join(running)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(seen.slice(0, 3), ["looks", "looked", "inspect"])
      }).pipe(Effect.provide(world()))
    )

    it.scoped("A lock that somebody keeps on purpose ends the build.", () => {
      let isFirst = true
      const second = () => (isFirst ? Effect.sync(() => fromFiles({ bin: "1" })) : Effect.never)
      return Effect.gen(function* () {
        yield* run("build_and_deploy target=prod")
        isFirst = false
        yield* run("lock target=prod reason=moving")
        const ran = yield* run("build_and_deploy target=prod")
        assert.strictEqual(ran.status, 4)
        assert.match(ran.stderr, /deployer: deploy@host\.test is locked by tester@laptop for "moving"/)
      }).pipe(Effect.provide(world({ config: { ...usualConfig, builders: { prod: second } } })))
    })
  })
})
