import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { quote } from "../../src/host/transport/Transport.ts"
import { built, hostNamed, prodPath, run, world } from "../kit/world.ts"

const deployed = Effect.gen(function* () {
  yield* built
  assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
  return yield* hostNamed()
})

describe("exec", () => {
  it.scoped("Exec runs a program with its arguments in the current release, and passes on output and status.", () =>
    Effect.gen(function* () {
      const host = yield* deployed
      host.onRun = ({ command }) => ({ output: `${command}\n`, exitCode: command.includes("fails") ? 7 : 0 })
      const ran = yield* run(["exec", "target=prod", "--", "bin/my_app", "eval", "1 + 'x'", "--yes"])
      assert.strictEqual(ran.status, 0, ran.stderr)
      const line = [`bin/my_app`, "eval", "1 + 'x'", "--yes"].map(quote).join(" ")
      assert.strictEqual(ran.stdout, `${line}\n`)
      const release = host.files.readLink(`${prodPath}/releases/current`)
      assert.deepInclude(host.commands.at(-1), { directory: `${prodPath}/releases/${release}/my_app` })
      const failed = yield* run(["exec", "target=prod", "fails"])
      assert.deepStrictEqual([failed.status, failed.stdout, failed.stderr], [7, "fails\n", ""])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Exec treats a single word as text for the shell, and takes no lock.", () =>
    Effect.gen(function* () {
      const host = yield* deployed
      yield* run("lock target=prod reason=moving")
      assert.strictEqual((yield* run(["exec", "target=prod", "--", "cat version | wc -c"])).status, 0)
      assert.strictEqual(host.commands.at(-1)?.command, "cat version | wc -c")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Exec says so if the command or the current release is missing.", () =>
    Effect.gen(function* () {
      const none = yield* run("exec target=prod")
      assert.strictEqual(none.status, 2)
      const said = "deployer: This needs a command, as in: deployer exec target=prod -- bin/my_app version\n"
      assert.strictEqual(none.stderr, said)
      const empty = yield* run("exec target=prod -- ls")
      assert.strictEqual(empty.status, 1)
      assert.include(empty.stderr, "deploy first")
    }).pipe(Effect.provide(world()))
  )
})
