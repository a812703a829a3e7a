import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { docker, fromDirectory } from "../../src/build/Artifact.ts"
import type { BuildContext, Builder } from "../../src/build/Builder.ts"
import { DockerMemory, EngineUnavailable, type MemoryImage } from "../../src/build/DockerBuilder.ts"
import type { Release } from "../../src/domain/Release.ts"
import { unpackTarball } from "../../src/internal/unpackTarball.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { projectFolder, run, stored, usualConfig, usualImage, world } from "../kit/world.ts"

const builtBy = (prod: Builder): ConfigInput => ({ ...usualConfig, builders: { prod } })

const tarballOf = (release: Release) =>
  Effect.flatMap(ReleaseStore, (store) =>
    Effect.map(Stream.runCollect(store.content(release)), (chunks) => Buffer.concat([...chunks]))
  )

/** Paths in the tarball with their contents; directories end in `/`. */
const contentOf = (release: Release) =>
  Effect.map(tarballOf(release), (tarball) =>
    Object.fromEntries(
      (unpackTarball(tarball) ?? []).map(({ content, entry }) => [entry.path, new TextDecoder().decode(content)])
    )
  )

/** A failed build leaves nothing behind, anywhere. */
const nothingLeft = Effect.gen(function* () {
  assert.deepStrictEqual(yield* stored, [])
  assert.strictEqual(yield* (yield* DockerMemory).open, 0)
})

const failing = (config: ConfigInput, image?: () => MemoryImage | undefined) =>
  Effect.gen(function* () {
    const ran = yield* run("build target=prod")
    yield* nothingLeft
    assert.strictEqual(ran.stdout, "")
    return ran
  }).pipe(Effect.provide(world({ config, ...(image === undefined ? {} : { image }) })))

describe("build", () => {
  describe("with SOURCE_DATE_EPOCH", () => {
    const epoch = (value: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          process.env["SOURCE_DATE_EPOCH"] = value
        }),
        () =>
          Effect.sync(() => {
            delete process.env["SOURCE_DATE_EPOCH"]
          })
      )

    it.scoped("Two builds of equal files with the same SOURCE_DATE_EPOCH give one release.", () =>
      Effect.gen(function* () {
        const build = Effect.zipRight(TestClock.adjust("1 day"), run("build target=prod"))
        assert.strictEqual((yield* build).status, 0)
        assert.strictEqual((yield* build).status, 0)
        assert.strictEqual((yield* stored).length, 2)
        yield* epoch("5000")
        assert.match((yield* build).stdout, /^Stored my_app /)
        assert.match(
          (yield* build).stdout,
          /^my_app [0-9A-F]{8} \(id 3, .*\) is stored already, as my_app-[0-9]+\.tar\.gz: nothing in it changed\n$/
        )
        assert.strictEqual((yield* stored).length, 3)
        const docker = yield* DockerMemory
        assert.deepStrictEqual(
          (yield* docker.builds).map(({ timestamp }) => timestamp),
          [86_400, 172_800, 5000, 5000]
        )
      }).pipe(Effect.provide(world({ image: () => usualImage("same") })))
    )

    it.scoped("Build stores nothing if SOURCE_DATE_EPOCH is not a number.", () =>
      Effect.gen(function* () {
        yield* epoch("yesterday")
        const { status, stderr } = yield* failing({ ...usualConfig })
        assert.strictEqual(status, 2)
        assert.include(stderr, 'The variable SOURCE_DATE_EPOCH is "yesterday": it must be seconds since 1970')
      })
    )
  })

  it.scoped("Build stores a release with everything that is known about it.", () =>
    Effect.gen(function* () {
      const ran = yield* run("build target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, [])
      const [release] = yield* stored
      const tarball = yield* tarballOf(release!)
      assert.strictEqual(release!.name, "my_app")
      assert.strictEqual(release!.id, 1)
      assert.deepStrictEqual(release!.tags, ["prod", "latest"])
      assert.strictEqual(release!.fileName, "my_app-0.tar.gz")
      assert.strictEqual(release!.size, tarball.length)
      assert.strictEqual(release!.ref, createHash("md5").update(tarball).digest("hex").toUpperCase())
      assert.strictEqual(release!.sha256, createHash("sha256").update(tarball).digest("hex"))
      assert.strictEqual(release!.metadata.builder, "prod")
      assert.strictEqual(release!.metadata.platform, "linux/amd64")
      assert.match(release!.metadata.image ?? "", /^sha256:/)
      assert.deepStrictEqual(yield* contentOf(release!), {
        "my_app/": "",
        "my_app/bin/": "",
        "my_app/bin/my_app": "#!/bin/sh\n",
        "my_app/version": "1\n"
      })
      const line = `Stored my_app ${release!.ref.slice(0, 8)} (id 1, ${tarball.length} B, tags: prod, latest) as my_app-0.tar.gz`
      assert.isTrue(ran.stdout.startsWith(line), ran.stdout)
      assert.match(ran.stderr, /Building my_app with prod/)
      const docker = yield* DockerMemory
      assert.strictEqual(yield* docker.open, 0)
      assert.isAbove(yield* docker.sweeps, 0)
      const [asked] = yield* docker.builds
      assert.strictEqual(asked!.name, "my_app")
      assert.strictEqual(asked!.dockerfile, "/project/Dockerfile")
      assert.strictEqual(asked!.context, "/project")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Build moves the latest tag to the newest release of that name only.", () =>
    Effect.gen(function* () {
      for (const target of ["prod", "other", "prod"]) {
        const ran = yield* run(`build target=${target}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
      }
      assert.deepStrictEqual(
        (yield* stored).map(({ id, name, tags }) => [id, name, ...tags]),
        [
          [1, "my_app", "prod"],
          [2, "other_app", "latest"],
          [3, "my_app", "prod", "latest"]
        ]
      )
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            targets: {
              ...usualConfig.targets,
              other: { host: "other.test", name: "other_app", path: "/srv/other", builder: "prod" }
            }
          }
        })
      )
    )
  )

  describe("hooks", () => {
    const tagged = (tag: string) => (context: BuildContext) =>
      Effect.succeed({ ...context, tags: [...context.tags, tag] })

    it.scoped("Build hooks run in order, and change the context before the build and the tags after it.", () => {
      const seen: Array<ReadonlyArray<string>> = []
      const packed: Array<string> = []
      const prod = docker({
        preBuild: [
          tagged("before"),
          () => Effect.void,
          (context) => Effect.sync(() => void seen.push(context.tags)),
          tagged("second")
        ],
        postBuild: [
          (_, { ref, size }) => Effect.sync(() => void packed.push(`${ref} ${size}`)),
          (context) => Effect.succeed({ ...context, tags: [...context.tags, "after"] })
        ]
      })
      return Effect.gen(function* () {
        const ran = yield* run("build target=prod")
        assert.strictEqual(ran.status, 0, ran.stderr)
        const [release] = yield* stored
        assert.deepStrictEqual(release!.tags, ["prod", "before", "second", "after", "latest"])
        assert.deepStrictEqual(seen, [["prod", "before"]])
        assert.deepStrictEqual(packed, [`${release!.ref} ${release!.size}`])
      }).pipe(Effect.provide(world({ config: builtBy(prod) })))
    })

    it.scoped("A failing pre-build hook stops the build before it reaches the engine.", () =>
      Effect.gen(function* () {
        const ran = yield* run("build target=prod")
        assert.strictEqual(ran.status, 1)
        assert.include(ran.stderr, "deployer: A pre-build hook failed, and nothing was stored: the tests are red\n")
        yield* nothingLeft
        assert.deepStrictEqual(yield* (yield* DockerMemory).builds, [])
      }).pipe(
        Effect.provide(
          // @effect-diagnostics-next-line globalErrorInEffectFailure:off
          world({ config: builtBy(docker({ preBuild: [() => Effect.fail(new Error("the tests are red"))] })) })
        )
      )
    )

    it.scoped("A failing post-build hook leaves the store as it was.", () =>
      Effect.gen(function* () {
        const ran = yield* failing(builtBy(docker({ postBuild: [() => Effect.fail("no signature")] })))
        assert.strictEqual(ran.status, 1)
        assert.include(ran.stderr, "deployer: A post-build hook failed, and nothing was stored: no signature\n")
      })
    )

    it.scoped("Build refuses an invalid tag from a post-build hook.", () =>
      Effect.gen(function* () {
        const ran = yield* failing(builtBy(docker({ postBuild: [tagged("two words")] })))
        assert.strictEqual(ran.status, 1)
        assert.match(
          ran.stderr,
          /^deployer: A post-build hook returned the tag "two words", and nothing was stored: .*blanks/m
        )
      })
    )
  })

  it.scoped("Build keeps the target's name even if a hook changes it.", () => {
    const renamed = (context: BuildContext) => Effect.succeed({ ...context, name: "other_app" })
    return Effect.gen(function* () {
      const ran = yield* run("build target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      const [release] = yield* stored
      assert.strictEqual(release!.name, "my_app")
      assert.property(yield* contentOf(release!), "my_app/version")
    }).pipe(Effect.provide(world({ config: builtBy(docker({ preBuild: [renamed], postBuild: [renamed] })) })))
  })

  describe("env_file_name", () => {
    it.scoped("The env_file_name option puts a file of the project at the root of the tarball.", () =>
      Effect.gen(function* () {
        const root = yield* projectFolder
        mkdirSync(join(root, "env"))
        writeFileSync(join(root, "env", "prod.env"), "PORT=80\n")
        const ran = yield* run("build target=prod env_file_name=env/prod.env").pipe(
          Effect.zipLeft(
            Effect.gen(function* () {
              const [release] = yield* stored
              const content = yield* contentOf(release!)
              assert.strictEqual(content["prod.env"], "PORT=80\n")
              assert.strictEqual(content["my_app/version"], "1\n")
            })
          ),
          Effect.provide(world({ root }))
        )
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(readdirSync(join(root, "deployer", "temp")), [])
        assert.lengthOf(
          readdirSync(join(root, "deployer", "release_store")).filter((name) => name.endsWith(".tar.gz")),
          1
        )
      })
    )

    it.scoped("Build fails with a usage error if the env_file_name file is missing, and builds nothing.", () =>
      Effect.gen(function* () {
        const ran = yield* run("build target=prod env_file_name=prod.env")
        assert.strictEqual(ran.status, 2)
        assert.include(
          ran.stderr,
          "deployer: The file /project/prod.env cannot be added to the release: it does not exist"
        )
        yield* nothingLeft
        assert.deepStrictEqual(yield* (yield* DockerMemory).builds, [])
      }).pipe(Effect.provide(world()))
    )

    it.scoped("Build refuses an env_file_name file that has the name of the release.", () =>
      Effect.gen(function* () {
        const root = yield* projectFolder
        writeFileSync(join(root, "my_app"), "A=1\n")
        const ran = yield* Effect.provide(run("build target=prod env_file_name=my_app"), world({ root }))
        assert.strictEqual(ran.status, 2)
        assert.match(ran.stderr, /my_app cannot be added to the release: its name is taken/)
      })
    )
  })

  describe("refuses", () => {
    const config: ConfigInput = {
      targets: {
        prod: { host: "host.test", name: "my_app", path: "/srv/my_app" },
        staging: { host: "host.test", name: "my_app", path: "/srv/staging", builder: "productoin" },
        plain: { host: "host.test", name: "my_app", path: "/srv/plain" }
      },
      groups: { all: ["prod", "staging"] },
      builders: { production: docker(), prod: docker() }
    }
    const cases: ReadonlyArray<readonly [line: string, said: string]> = [
      ["build target=prdo", 'No target named "prdo" (known: prod, staging, plain; did you mean "prod"?)'],
      ["build target=all", '"all" is a group, not a target: name one of its targets (prod, staging)'],
      [
        "build target=staging",
        'Target "staging" needs the builder "productoin", which the config does not have (known: production, prod; did you mean "production"?)'
      ],
      [
        "build target=plain",
        'Target "plain" has no builder: add builders.plain to the config, or set targets.plain.builder (known: production, prod)'
      ]
    ]
    it.scoped("Build refuses targets and builders that the config lacks, and lists the known ones.", () =>
      Effect.gen(function* () {
        for (const [line, said] of cases) {
          const ran = yield* run(line)
          assert.strictEqual(ran.status, 2, line)
          assert.strictEqual(ran.stderr, `deployer: ${said}\n`)
        }
        yield* nothingLeft
      }).pipe(Effect.provide(world({ config })))
    )

    it.scoped("Build does not guess a missing target or an unknown option.", () =>
      Effect.gen(function* () {
        const missing = yield* run("build")
        assert.strictEqual(missing.status, 2)
        assert.match(missing.stderr, /^deployer: .*target/)
        const unknown = yield* run("build target=prod env_file=x")
        assert.strictEqual(unknown.status, 2)
        assert.match(unknown.stderr, /does not know "env_file"\. Did you mean "env.file.name=x"\?/)
        yield* nothingLeft
      }).pipe(Effect.provide(world()))
    )
  })

  describe("a builder of the user's", () => {
    class LicenceExpired extends Data.TaggedError("LicenceExpired")<{ readonly days: number }> {}
    class NoCompiler extends Data.TaggedError("NoCompiler")<{ readonly message: string }> {
      readonly exitStatus = 9
    }
    const says = (error: unknown, status: number, sentence: string) =>
      Effect.gen(function* () {
        const ran = yield* failing(builtBy(() => Effect.fail(error)))
        assert.strictEqual(ran.stderr.split("\n").at(-2), `deployer: ${sentence}`)
        assert.strictEqual(ran.status, status)
      })
    const anyway = (said: string) => `The builder failed, and nothing was stored: ${said}`

    it.scoped("A user's builder may fail with any value.", () =>
      Effect.gen(function* () {
        yield* says(new Error("make: *** no rule"), 1, anyway("make: *** no rule"))
        yield* says("out of coffee", 1, anyway("out of coffee"))
        yield* says(
          new NoCompiler({ message: "There is no compiler: install one" }),
          9,
          "There is no compiler: install one"
        )
        yield* says(new LicenceExpired({ days: 3 }), 1, anyway('LicenceExpired {"days":3}'))
        yield* says({ code: 7 }, 1, anyway('{"code":7}'))
        yield* says(undefined, 1, anyway("it did not say why"))
        yield* says("", 1, anyway("it did not say why"))
        yield* says(new Error(""), 1, anyway("Error"))
      })
    )

    it.scoped("A user's builder cannot make a failure look like success or set an invalid exit status.", () =>
      Effect.gen(function* () {
        for (const exitStatus of [0, -1, 1.5, 256, Number.NaN]) {
          yield* says({ message: "no", exitStatus }, 1, anyway("no"))
        }
      })
    )

    it.scoped("A user's builder must return an Effect of an artifact, and its hooks must return Effects.", () =>
      Effect.gen(function* () {
        // As in a config without types.
        const untyped = (build: unknown): Builder => Object.assign(() => build as ReturnType<Builder>)
        const promise = yield* failing(builtBy(untyped(Promise.resolve())))
        assert.strictEqual(promise.status, 1)
        assert.match(
          promise.stderr,
          /deployer: The builder returned no Effect: turn a Promise into one with Effect\.promise/
        )
        const nothing = yield* failing(builtBy(untyped(Effect.succeed({}))))
        assert.strictEqual(nothing.status, 1)
        assert.match(nothing.stderr, /deployer: The builder returned no artifact/)
        const hook = yield* failing(
          builtBy(docker({ preBuild: [() => Promise.resolve() as unknown as Effect.Effect<void>] }))
        )
        assert.strictEqual(hook.status, 1)
        assert.match(hook.stderr, /deployer: A pre-build hook returned no Effect/)
      })
    )

    it.scoped("A user's builder may return a directory of files.", () => {
      const builder: Builder = (context) =>
        Effect.sync(() => {
          const folder = join(context.temp, "out")
          mkdirSync(join(folder, "bin"), { recursive: true })
          writeFileSync(join(folder, "bin", "run"), "#!/bin/sh\n")
          return fromDirectory(folder)
        })
      return Effect.gen(function* () {
        const ran = yield* run("build target=prod")
        assert.strictEqual(ran.status, 0, ran.stderr)
        const [release] = yield* stored
        assert.deepStrictEqual(yield* contentOf(release!), {
          "my_app/": "",
          "my_app/bin/": "",
          "my_app/bin/run": "#!/bin/sh\n"
        })
        assert.isUndefined(release!.metadata.image)
      }).pipe(Effect.provide(world({ config: builtBy(builder) })))
    })

    it.scoped("A user's builder that returns a missing directory fails with its path.", () =>
      Effect.gen(function* () {
        const ran = yield* failing(builtBy(() => Effect.succeed(fromDirectory("/no/such/folder"))))
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /deployer: The release could not be read from \/no\/such\/folder: /)
      })
    )

    it.scoped("A user's builder runs its own finalizers once the tarball is stored.", () => {
      const ended: Array<string> = []
      const builder: Builder = (context) =>
        Effect.gen(function* () {
          yield* Effect.addFinalizer(() => Effect.sync(() => void ended.push(context.name)))
          return fromDirectory(context.temp)
        })
      return Effect.gen(function* () {
        yield* run("build target=prod")
        assert.deepStrictEqual(ended, ["my_app"])
      }).pipe(Effect.provide(world({ config: builtBy(builder) })))
    })
  })

  describe("says why a build in a container failed, and stores nothing:", () => {
    const withImage = (image: MemoryImage | undefined) => failing(usualConfig, () => image)

    it.scoped("Build stores nothing and reports the status below the output if the build in a container fails.", () =>
      Effect.gen(function* () {
        const ran = yield* withImage({ status: 17, output: "step 3: no such package\n" })
        assert.strictEqual(ran.status, 1)
        assert.match(
          ran.stderr,
          /step 3: no such package\n.*deployer: "docker build" of \/project\/Dockerfile failed with status 17/s
        )
      })
    )

    it.scoped("Build stores nothing and says why if the release in the image is empty.", () =>
      Effect.gen(function* () {
        const ran = yield* withImage({ files: { "/app/_build/prod/rel/my_app/": "" } })
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /deployer: The release cannot be packed: .*empty/)
      })
    )

    it.scoped("Build stores nothing and says why if the image has no directory at releasePath.", () =>
      Effect.gen(function* () {
        const ran = yield* withImage({ files: { "/elsewhere/my_app/bin/my_app": "" } })
        assert.strictEqual(ran.status, 1)
        assert.match(
          ran.stderr,
          /deployer: The image has no directory or file \/app\/_build\/prod\/rel .*set "releasePath"/
        )
      })
    )

    it.scoped("Build stores nothing and says why if there is no Dockerfile.", () =>
      Effect.gen(function* () {
        const ran = yield* withImage(undefined)
        assert.strictEqual(ran.status, 2)
        assert.include(ran.stderr, "deployer: There is no Dockerfile at /project/Dockerfile")
      })
    )

    it.scoped("Build stores nothing and says why if no container engine answers.", () =>
      Effect.gen(function* () {
        const ran = yield* withImage(new EngineUnavailable({ engine: "docker", detail: "connection refused" }))
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /deployer: Building needs a container engine, and "docker" did not answer/)
      })
    )
  })

  it.scoped("An interrupted build leaves nothing behind.", () =>
    Effect.gen(function* () {
      for (const prod of [
        docker({ preBuild: [() => Effect.interrupt] }),
        docker({ postBuild: [() => Effect.interrupt] }),
        (() => Effect.interrupt) satisfies Builder
      ]) {
        const ran = yield* failing(builtBy(prod))
        assert.strictEqual(ran.status, 130)
        assert.match(ran.stderr, /deployer: interrupted\n$/)
      }
    })
  )

  it.scoped("A failed build uses up no id.", () => {
    let first = true
    const image = () => {
      const result: MemoryImage = first ? { status: 1, output: "" } : usualImage()
      first = false
      return result
    }
    return Effect.gen(function* () {
      assert.strictEqual((yield* run("build target=prod")).status, 1)
      assert.strictEqual((yield* run("build target=prod")).status, 0)
      assert.deepStrictEqual(
        (yield* stored).map(({ id }) => id),
        [1]
      )
    }).pipe(Effect.provide(world({ image })))
  })
})
