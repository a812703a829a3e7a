import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DockerBuilder } from "../../src/build/DockerBuilder.ts"

interface Given {
  /** By path below the folder that holds the project `app`. */
  readonly files: Readonly<Record<string, string>>
  readonly dockerfile?: string
  readonly context?: string
  readonly args?: ReadonlyArray<string>
  /** The engine's version, and whether it has the plugin for BuildKit. */
  readonly version?: string
  readonly buildx?: boolean
  readonly env?: string
}

/** The sentence of the refusal, without the folder's name. Undefined if the engine is told to build. */
const refusal = (given: Given) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "deployer-ignore-")))),
      (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
    )
    const write = (at: string, text: string, mode = 0o644) => {
      fs.mkdirSync(path.dirname(path.join(folder, at)), { recursive: true })
      fs.writeFileSync(path.join(folder, at), text, { mode })
    }
    for (const [at, text] of Object.entries(given.files)) write(at, text)
    const dockerfile = given.dockerfile ?? "app/Dockerfile"
    write(dockerfile, "FROM scratch\n")
    write("app/deployer/config/deployer_config.ts", "")
    fs.mkdirSync(path.join(folder, "app/deployer/release_store"))
    const { buildx = true, version = "Docker version 28.5.2, build ecc6942" } = given
    write(
      "engine",
      `#!/bin/sh
case "$1" in
  --version) echo "${version}" ;;
  buildx) exit ${buildx ? 0 : 1} ;;
  build) exit 9 ;;
esac
`,
      0o755
    )
    const before = process.env["DOCKER_BUILDKIT"]
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        delete process.env["DOCKER_BUILDKIT"]
        if (given.env !== undefined) process.env["DOCKER_BUILDKIT"] = given.env
      }),
      () =>
        Effect.sync(() => {
          if (before === undefined) delete process.env["DOCKER_BUILDKIT"]
          else process.env["DOCKER_BUILDKIT"] = before
        })
    )
    const builder = yield* DockerBuilder
    const error = yield* builder
      .build({
        name: "my_app",
        timestamp: 1_600_000_000,
        context: path.join(folder, given.context ?? "app"),
        dockerfile: path.join(folder, dockerfile),
        args: given.args?.map((word) => word.replace("FOLDER", folder)) ?? [],
        buildArgs: {},
        releasePath: "/rel",
        engine: path.join(folder, "engine"),
        temp: folder,
        workspace: path.join(folder, "app/deployer")
      })
      .pipe(Effect.flip)
    if (error._tag === "ImageBuildFailed") return undefined
    assert.strictEqual(error._tag, "WorkspaceInContext")
    assert.strictEqual(error._tag === "WorkspaceInContext" ? error.exitStatus : 0, 2)
    return error.message.replaceAll(folder, "").replace(/^.*?: /, "")
  }).pipe(Effect.scoped, Effect.provide(Layer.provide(DockerBuilder.layer, NodeContext.layer)))

const podman = "podman version 5.4.2"
const own = { "app/.dockerignore": "deployer/\n" }
const beside = { ...own, "app/docker/prod.Dockerfile.dockerignore": ".git\n" }
const prod = "app/docker/prod.Dockerfile"

const add = (file: string, line = "deployer/") =>
  `add the line "${line}" at the end of ${file}, which "/engine" reads for this build`

describe("a build whose context holds the workspace", () => {
  const cases: ReadonlyArray<readonly [title: string, given: Given, says: string | undefined]> = [
    ["A build runs if the .dockerignore of its context keeps the workspace out.", { files: own }, undefined],
    [
      "A build is refused if its context holds the workspace and no ignore file.",
      { files: {} },
      `write the file /app/.dockerignore with the line "deployer/"`
    ],
    [
      "A build is refused if a later line of the ignore file lets the store back in.",
      { files: { "app/.dockerignore": "deployer\n!**/release_store\n" } },
      add("/app/.dockerignore")
    ],
    [
      "A build is refused if the ignore file keeps only the store out, not the whole workspace.",
      { files: { "app/.dockerignore": "deployer/release_store\n" } },
      add("/app/.dockerignore")
    ],
    [
      "A build is refused if BuildKit reads the Dockerfile's own ignore file, which lets the workspace in.",
      { files: beside, dockerfile: prod },
      add("/app/docker/prod.Dockerfile.dockerignore")
    ],
    [
      "A build runs if the Dockerfile's own ignore file keeps the workspace out.",
      { files: { ...beside, "app/docker/prod.Dockerfile.dockerignore": "*\n!src\n" }, dockerfile: prod },
      undefined
    ],
    [
      "A build runs with the classic builder, which does not read the Dockerfile's own ignore file.",
      { files: beside, dockerfile: prod, env: "0" },
      undefined
    ],
    [
      "A build runs with a Docker without BuildKit, whatever the Dockerfile's own ignore file says.",
      { files: beside, dockerfile: prod, buildx: false },
      undefined
    ],
    [
      "A build is refused if an old Docker may use BuildKit, whose ignore file lets the workspace in.",
      { files: beside, dockerfile: prod, version: "Docker version 20.10.24", buildx: false },
      add("/app/docker/prod.Dockerfile.dockerignore")
    ],
    [
      "A build is refused if an unknown engine may read an ignore file that lets the workspace in.",
      { files: beside, dockerfile: prod, version: "nerdctl version 2.1" },
      add("/app/docker/prod.Dockerfile.dockerignore")
    ],
    [
      "A build by podman is refused if the Dockerfile's own ignore file lets the workspace in.",
      { files: beside, dockerfile: prod, version: podman },
      add("/app/docker/prod.Dockerfile.dockerignore")
    ],
    [
      "A build by podman is refused if a .containerignore lets the workspace in.",
      { files: { ...own, "app/.containerignore": ".git\n" }, version: podman },
      add("/app/.containerignore")
    ],
    [
      "A build by Docker runs even if a .containerignore lets the workspace in.",
      { files: { ...own, "app/.containerignore": ".git\n" } },
      undefined
    ],
    [
      "A build by podman is refused if --ignorefile names a file that lets the workspace in.",
      { files: { ...own, "app/other": ".git\n" }, version: podman, args: ["--ignorefile", "FOLDER/app/other"] },
      add("/app/other")
    ],
    [
      "A build with a context above the project is refused if that context has no ignore file.",
      { files: own, context: "." },
      `write the file /.dockerignore with the line "app/deployer/"`
    ],
    [
      "A build with a context above the project runs if its ignore file keeps the workspace out.",
      { files: { ".dockerignore": "**/deployer\n" }, context: "." },
      undefined
    ],
    [
      "A build is refused if its context is inside the workspace.",
      { files: own, context: "app/deployer" },
      `set "context" in the builder to a folder outside deployer/`
    ],
    [
      "A build runs if its context is beside the workspace.",
      { files: { "app/src/main": "" }, context: "app/src" },
      undefined
    ]
  ]
  for (const [title, given, says] of cases) {
    it.effect(title, () => Effect.map(refusal(given), (said) => assert.strictEqual(said, says)))
  }
})
