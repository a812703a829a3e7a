import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { MemoryImage } from "../../src/build/DockerBuilder.ts"
import { refOf } from "../kit/samples.ts"
import { currentRef, hostNamed, prodPath, run, stored, usualImage, world } from "../kit/world.ts"

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

  it.scoped("The build_and_deploy command does not touch the host if the build fails.", () =>
    Effect.gen(function* () {
      const ran = yield* run("build_and_deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(ran.stdout, "")
      assert.strictEqual((yield* hostNamed()).connections, 0)
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
})
