/**
 * The rules for every DockerBuilder, in memory or with an engine.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Artifact } from "../../src/build/Builder.ts"
import { type DockerBuild, DockerBuilder } from "../../src/build/DockerBuilder.ts"
import { pack } from "../../src/build/Tarball.ts"
import type { Manifest } from "../../src/domain/Manifest.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"
import { program } from "../kit/docker.ts"

/** An image to build, for either kind of engine. */
export interface Image {
  readonly files: Readonly<Record<string, string>>
  /** The build fails with this status after it said this. */
  readonly fails?: { readonly status: number; readonly says: string }
  /** There is no Dockerfile. */
  readonly absent?: boolean
}

/** A project whose Dockerfile makes the image. */
export interface Project {
  readonly build: DockerBuild
  readonly layer: Layer.Layer<DockerBuilder>
  /** How many things of its builds there still are. */
  readonly leftovers: Effect.Effect<number>
}

export const name = "my_app"

const releasePath = "/app/_build/prod/rel"

const elixir: Image = {
  files: {
    [`${releasePath}/${name}/bin/${name}`]: program(name),
    [`${releasePath}/${name}/releases/1.0.0/env.sh`]: "",
    [`${releasePath}/other/file`]: "not in the release"
  }
}

export const contract = (
  title: string,
  project: (image: Image, releasePath: string) => Effect.Effect<Project, never, Scope.Scope>
): void => {
  describe(title, () => {
    /** Gives the test the output that was shown so far. */
    const withProject = <A, E>(
      image: Image,
      use: (made: Project & { readonly shown: () => string }) => Effect.Effect<A, E, DockerBuilder | Scope.Scope>,
      at = releasePath
    ) =>
      Effect.gen(function* () {
        const made = yield* project(image, at)
        let shown = ""
        const emit = (event: Event) =>
          Effect.sync(() => {
            if (event._tag === "Output") shown += new TextDecoder().decode(event.chunk)
          })
        return yield* use({ ...made, shown: () => shown }).pipe(
          Effect.provideService(Reporter, { emit }),
          Effect.provide(made.layer)
        )
      }).pipe(Effect.scoped)

    const build = (asked: DockerBuild) => Effect.flatMap(DockerBuilder, (builder) => builder.build(asked))

    it.live("The Docker builder takes the directory named like the release.", () =>
      withProject(elixir, ({ build: asked }) =>
        Effect.gen(function* () {
          const artifact = yield* build(asked)
          const manifest = yield* packed(artifact)
          assert.deepStrictEqual(manifest.map(({ path }) => path).sort(), [
            "my_app",
            "my_app/bin",
            "my_app/bin/my_app",
            "my_app/releases",
            "my_app/releases/1.0.0",
            "my_app/releases/1.0.0/env.sh"
          ])
          const script = manifest.find(({ path }) => path === "my_app/bin/my_app")
          assert.strictEqual(script?._tag === "File" ? script.size : -1, program(name).length)
          assert.match(artifact.metadata.image ?? "", /^(sha256:)?[0-9a-f]{12,64}$/)
          assert.match(artifact.metadata.platform ?? "", /^linux\/\w+$/)
        })
      )
    )

    it.live("The Docker builder takes the whole directory if nothing in it is named like the release.", () =>
      withProject(
        { files: { "/srv/out/server.js": "js", "/srv/out/public/index.html": "html" } },
        ({ build: asked }) =>
          Effect.gen(function* () {
            const manifest = yield* Effect.flatMap(build(asked), packed)
            assert.deepStrictEqual(manifest.map(({ path }) => path).sort(), [
              "my_app",
              "my_app/public",
              "my_app/public/index.html",
              "my_app/server.js"
            ])
          }),
        "/srv/out"
      )
    )

    it.live("The Docker builder takes the whole directory if a file in it is named like the release.", () =>
      withProject(
        { files: { [`/srv/out/${name}`]: "#!/bin/sh\n", "/srv/out/static": "" } },
        ({ build: asked }) =>
          Effect.gen(function* () {
            const manifest = yield* Effect.flatMap(build(asked), packed)
            assert.deepStrictEqual(manifest.map(({ path }) => path).sort(), [
              "my_app",
              "my_app/my_app",
              "my_app/static"
            ])
          }),
        "/srv/out"
      )
    )

    it.live("The Docker builder takes the directory named like the release even if it holds a file of that name.", () =>
      withProject(
        { files: { [`/srv/out/${name}/${name}`]: "#!/bin/sh\n", "/srv/out/other": "" } },
        ({ build: asked }) =>
          Effect.gen(function* () {
            const manifest = yield* Effect.flatMap(build(asked), packed)
            assert.deepStrictEqual(manifest.map(({ path }) => path).sort(), ["my_app", "my_app/my_app"])
          }),
        "/srv/out"
      )
    )

    it.live("The Docker builder takes the file if releasePath is one.", () =>
      withProject(
        { files: { "/srv/server": "#!/bin/sh\n", "/srv/other": "" } },
        ({ build: asked, leftovers }) =>
          Effect.gen(function* () {
            const manifest = yield* Effect.scoped(Effect.flatMap(build(asked), packed))
            assert.deepStrictEqual(
              manifest.map(({ path }) => path),
              ["my_app", "my_app/server"]
            )
            assert.strictEqual(yield* leftovers, 0)
          }),
        "/srv/server"
      )
    )

    it.live("The Docker builder says where it looked if the image has no such directory.", () =>
      withProject(
        elixir,
        ({ build: asked, leftovers }) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(Effect.scoped(build(asked)))
            assert.strictEqual(error._tag, "ReleasePathMissing")
            assert.match(error.message, /no directory or file \/nowhere .*set "releasePath"/)
            assert.strictEqual(yield* leftovers, 0)
          }),
        "/nowhere"
      )
    )

    it.live("The Docker builder does not take an empty directory for a release.", () =>
      withProject({ files: { [`${releasePath}/`]: "" } }, ({ build: asked }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Effect.flatMap(build(asked), packed))
          assert.strictEqual(error._tag, "ArtifactInvalid")
          assert.match(error.message, /is empty/)
        })
      )
    )

    it.live("The Docker builder shows the output of a failing build and names its status.", () =>
      withProject({ ...elixir, fails: { status: 3, says: "no such module" } }, ({ build: asked, leftovers, shown }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(Effect.scoped(build(asked)))
          assert.strictEqual(error._tag, "ImageBuildFailed")
          assert.match(error.message, /failed with status [13];/)
          assert.match(shown(), /no such module/)
          assert.strictEqual(yield* leftovers, 0)
        })
      )
    )

    it.live("The Docker builder names a missing Dockerfile.", () =>
      withProject({ ...elixir, absent: true }, ({ build: asked }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(build(asked))
          assert.strictEqual(error._tag, "DockerfileMissing")
          assert.include(error.message, asked.dockerfile)
        })
      )
    )

    it.live("The Docker builder leaves nothing behind when its scope is closed.", () =>
      withProject(elixir, ({ build: asked, leftovers }) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const artifact = yield* build(asked).pipe(Scope.extend(scope))
          assert.notStrictEqual(yield* leftovers, 0)
          yield* packed(artifact)
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(yield* leftovers, 0)
        })
      )
    )

    it.live("The Docker builder leaves nothing behind if nobody reads the release to its end.", () =>
      withProject(
        { files: { ...elixir.files, [`${releasePath}/${name}/big`]: "0123456789abcdef".repeat(300_000) } },
        ({ build: asked, leftovers }) =>
          Effect.gen(function* () {
            const artifact = yield* build(asked)
            const some = yield* Stream.runCollect(Stream.take(artifact.tree, 1))
            assert.strictEqual(Chunk.size(some), 1)
          }).pipe(
            Effect.scoped,
            Effect.zipRight(leftovers),
            Effect.map((count) => assert.strictEqual(count, 0))
          )
      )
    )

    it.live("The Docker builder's sweep leaves everything of a living process alone.", () =>
      withProject(elixir, ({ build: asked, leftovers }) =>
        Effect.gen(function* () {
          yield* build(asked)
          const there = yield* leftovers
          yield* Effect.flatMap(DockerBuilder, (builder) => builder.sweep(asked.engine))
          assert.strictEqual(yield* leftovers, there)
        })
      )
    )
  })
}

const packed = (artifact: Artifact) =>
  Effect.gen(function* () {
    const packing = pack(artifact.tree, { name })
    yield* Stream.runDrain(packing.content)
    const manifest: Manifest = [...(yield* packing.manifest)]
    return manifest
  }).pipe(Effect.provide(NodeContext.layer))
