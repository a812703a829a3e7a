import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { command, docker } from "../../src/build/Artifact.ts"
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
          first.split("\n").map((line) => line.replace(/ +(?=\S)/g, " ")),
          [
            "target prod",
            "host deploy@web1:app",
            "name my_app",
            "builder app",
            " dockerfile Dockerfile",
            " releasePath /app/_build/prod/rel",
            `key ${root}/id`,
            "afterSwitch a; b",
            "start bin/my_app daemon (the default)",
            "stop bin/my_app stop (the default)",
            "restart restart",
            "health port 80",
            "keep 3 healthy releases"
          ]
        )
        assert.include(second, "other")
        assert.match(
          second,
          /^restart +not set: deployments restart nothing\nhealth +not checked\nkeep +all releases$/m
        )
        const one = yield* run("validate target=other")
        assert.notMatch(one.stdout, /^target +prod$/m)
        assert.strictEqual((yield* hostNamed("web1")).connections, 0)
      }).pipe(Effect.provide(world({ config, root })))
    })
  )

  it.scoped(
    "Validate shows the settings of a command builder, the build hooks, and no value of a build argument.",
    () =>
      Effect.gen(function* () {
        const hooked = { preBuild: [() => Effect.void] }
        const plain = command({ run: "make", releasePath: "out", cwd: "app", ...hooked })
        const image = docker({
          dockerfile: "prod.Dockerfile",
          buildArgs: { KEY: "hidden" },
          args: ["--build-arg", "B=hidden", "--pull"]
        })
        const config = {
          targets: {
            one: { ...target, path: "/one", builder: "plain", tags: ["a", "b"] },
            two: { ...target, path: "/two", builder: "image" }
          },
          builders: { plain, image }
        }
        yield* Effect.gen(function* () {
          const { stdout } = yield* run("validate")
          assert.match(
            stdout,
            /^tags +a, b\nbuilder +plain\n {2}run +make\n {2}cwd +app\n {2}releasePath +out\n {2}preBuild +1 function$/m
          )
          assert.match(
            stdout,
            /^ {2}dockerfile +prod\.Dockerfile\n {2}args +--build-arg B=… --pull\n {2}buildArgs +KEY\n {2}releasePath +\/app/m
          )
          assert.notInclude(stdout, "hidden")
        }).pipe(Effect.provide(world({ config })))
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
