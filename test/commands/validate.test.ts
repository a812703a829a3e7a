import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hostNamed, projectFolder, run, usualConfig, world } from "../kit/world.ts"

const target = { host: "web1", user: "deploy", name: "my_app", path: "app" }
const [builder = assert.fail("no builder")] = Object.values(usualConfig.builders ?? {})

describe("validate", () => {
  it.scoped("Validate shows how the config is understood, and contacts no host.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      writeFileSync(join(root, "id"), "")
      const prod = {
        ...target,
        sshKey: "id",
        afterSwitch: ["a", "b"],
        restart: "restart",
        health: { tcp: 80 },
        keep: 3,
        builder: "app"
      }
      const config = {
        targets: { prod, other: { ...target, path: "/srv/other", builder: "app" } },
        builders: { app: builder }
      }
      yield* Effect.gen(function* () {
        const all = yield* run("validate")
        assert.strictEqual(all.status, 0, all.stderr)
        const [file = "", first = "", second = ""] = all.stdout.split("\n\n")
        assert.match(file, /deployer_config\.ts$/)
        assert.deepStrictEqual(
          first.split("\n").map((line) => line.replace(/ +/, " ")),
          [
            "target prod",
            "host deploy@web1:app",
            "name my_app",
            "builder app",
            `key ${root}/id`,
            "afterSwitch a; b",
            "restart restart",
            "health port 80",
            "keep 3"
          ]
        )
        assert.include(second, "other")
        const one = yield* run("validate target=other")
        assert.notInclude(one.stdout, "prod")
        assert.strictEqual((yield* hostNamed("web1")).connections, 0)
      }).pipe(Effect.provide(world({ config, root })))
    })
  )

  it.scoped("Validate names the variable of a private key, and fails if it is not set.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const name = "DEPLOYER_TEST_KEY"
      const config = { targets: { prod: { ...target, sshKeyVariable: name } }, builders: { prod: builder } }
      yield* Effect.gen(function* () {
        const missing = yield* run("validate")
        assert.strictEqual(missing.status, 2)
        assert.include(
          missing.stderr,
          `Target "prod" needs its private key in the variable ${name}, which is not set or is empty`
        )
        process.env[name] = "a secret"
        yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env[name]))
        const there = yield* run("validate")
        assert.strictEqual(there.status, 0, there.stderr)
        assert.match(there.stdout, new RegExp(`key +in the variable ${name}\n`))
        assert.notInclude(there.stdout, "a secret")
      }).pipe(Effect.provide(world({ config, root })))
    })
  )

  it.scoped("Validate fails if a builder or a key file is missing, and names each.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const config = {
        targets: {
          prod: { ...target, sshKey: "/nowhere/id" },
          other: { ...target, path: "/srv/other", builder: "app" }
        },
        builders: { app: builder }
      }
      yield* Effect.gen(function* () {
        const all = yield* run("validate")
        assert.strictEqual(all.status, 2)
        assert.match(
          all.stderr,
          /deployer_config\.ts cannot be used: Target "prod" has no builder: .*; Target "prod" needs the key \/nowhere\/id, which does not exist\n$/
        )
        assert.strictEqual((yield* run("validate target=other")).status, 0)
      }).pipe(Effect.provide(world({ config, root })))
    })
  )
})
