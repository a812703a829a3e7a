import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { currentRef, hostNamed, prodHost, prodPath, run, usualConfig, world } from "../kit/world.ts"

const builtOnce = Effect.gen(function* () {
  yield* run("build target=prod")
  const [release] = yield* (yield* ReleaseStore).list()
  return release!
})

describe("deploy", () => {
  it.scoped("asks about the latest release, deploys it and makes it current", () =>
    Effect.gen(function* () {
      const release = yield* builtOnce
      const ran = yield* run("deploy target=prod", "")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.lengthOf(ran.asked, 1)
      assert.match(ran.asked[0]!, /my_app [0-9A-F]{8} .*is the latest of my_app. Deploy it to prod\?/)
      assert.match(ran.stdout, /my_app [0-9A-F]{8} \(id 1\) is live at deploy@host\.test:\/srv\/my_app/)
      assert.match(ran.stderr, /First contact: made \/srv\/my_app/)
      const host = yield* hostNamed()
      assert.strictEqual(currentRef(host), release.ref)
      assert.isDefined(host.files.bytes(`${prodPath}/releases/current/my_app/bin/my_app`))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("does nothing for the release that is current, and says so", () =>
    Effect.gen(function* () {
      yield* builtOnce
      yield* run("deploy target=prod yes")
      const host = yield* hostNamed()
      host.steps.length = 0
      const again = yield* run("deploy target=prod yes")
      assert.strictEqual(again.status, 0)
      assert.match(again.stdout, /live at .* already: nothing to do/)
      assert.deepStrictEqual(host.steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("links an older release again, asks nothing for an id, and moves latest to it", () =>
    Effect.gen(function* () {
      const first = yield* builtOnce
      yield* run("deploy target=prod yes")
      yield* run("build_and_deploy target=prod")
      const ran = yield* run("deploy target=prod release=1")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, [])
      assert.match(ran.stdout, /was on the host already and is live again/)
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
      const info = yield* run("manage info target=prod")
      assert.match(info.stdout, new RegExp(`current +my_app +${first.ref.slice(0, 8)}.*latest`))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("prints the plan, and touches nothing", () =>
    Effect.gen(function* () {
      yield* builtOnce
      const ran = yield* run("deploy target=prod plan")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(
        ran.stdout
          .split("\n")
          .slice(1, -1)
          .map((line) => line.trim().replace(/[0-9A-F]{8}/, "REF")),
        [
          "1. make /srv/my_app with config/ and releases/",
          `2. ${ran.stdout.match(/upload \S+ \S+/)?.[0]}`,
          "3. unpack and verify every file",
          "4. record it as the latest of its name",
          "5. switch current to my_app REF"
        ]
      )
      assert.deepStrictEqual((yield* hostNamed()).steps, ["inspect"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("on no, offers all releases and deploys the chosen one", () =>
    Effect.gen(function* () {
      const first = yield* builtOnce
      yield* run("build target=prod")
      const ran = yield* run("deploy target=prod", "n", "2")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("cannot ask without a terminal, and leaves the host alone", () =>
    Effect.gen(function* () {
      yield* builtOnce
      const ran = yield* run("deploy target=prod")
      assert.strictEqual(ran.status, 3)
      assert.match(ran.stderr, /no terminal to ask.*release=1/s)
      assert.strictEqual((yield* hostNamed()).connections, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("runs the hooks in the release, and removes it again where one fails before the switch", () =>
    Effect.gen(function* () {
      yield* builtOnce
      const host = yield* hostNamed()
      host.onRun = ({ command }) => (command === "bad" ? { exitCode: 7, output: "no such table\n" } : {})
      const ran = yield* run("deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /no such table/)
      assert.match(ran.stderr, /afterUnpack command "bad" .* ended with status 7 .* nothing was switched/)
      assert.isUndefined(currentRef(host))
      const state = yield* run("manage info target=prod")
      assert.match(state.stdout, /No releases/)
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            targets: { prod: { host: prodHost, name: "my_app", path: prodPath, afterUnpack: ["good", "bad", "never"] } }
          }
        })
      )
    )
  )
})
