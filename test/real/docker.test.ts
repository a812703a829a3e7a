import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type DockerBuild, DockerBuilder } from "../../src/build/DockerBuilder.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"
import { contract, name } from "../build/contract.ts"
import {
  buildContext,
  builder,
  buildLines,
  type Context,
  type ContextOptions,
  docker,
  engineScript,
  missingDocker,
  program
} from "../kit/docker.ts"

const engine = process.env["DEPLOYER_ENGINE"] ?? "docker"
const layer = DockerBuilder.layer.pipe(Layer.provide(NodeContext.layer))
const releasePath = "/app/_build/prod/rel"

const asked = (context: Context, more: Partial<DockerBuild> = {}): DockerBuild => ({
  name,
  timestamp: 1_600_000_000,
  context: context.folder,
  dockerfile: context.dockerfile,
  args: ["--network", "none"],
  buildArgs: {},
  releasePath,
  engine,
  temp: context.folder,
  ...more
})

/** The engine removes the containers of an interrupted build in its own time. */
const nothingLeft = (context: Context) =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 50 && context.leftovers().length > 0; tries++) yield* Effect.sleep("100 millis")
    assert.deepStrictEqual(context.leftovers(), [])
  })

const title = `with a real engine, ${builder}${missingDocker === undefined ? "" : ` (skipped: ${missingDocker})`}`
// One after another: the helpers of these tests wait for the engine synchronously. An engine that hands out a release
// answers nobody else while its reader waits.
describe(title, { timeout: 60_000, skip: missingDocker !== undefined }, () => {
  contract("DockerBuilder", (image, at) =>
    Effect.gen(function* () {
      const { fails } = image
      const context = yield* buildContext({
        name,
        files: image.files,
        ...(fails === undefined ? {} : { run: `echo ${fails.says}; exit ${fails.status}` })
      })
      if (image.absent === true) fs.rmSync(context.dockerfile)
      return {
        build: asked(context, { releasePath: at }),
        layer,
        leftovers: Effect.sync(() => context.leftovers().length)
      }
    })
  )

  const build = (wanted: DockerBuild) => Effect.flatMap(DockerBuilder, (builder) => builder.build(wanted))

  const own = (more: Partial<ContextOptions> = {}) => {
    const unique = `t${randomBytes(4).toString("hex")}`
    return Effect.map(
      buildContext({ name: unique, files: { [`${releasePath}/${unique}/bin/${unique}`]: program(unique) }, ...more }),
      (context) => ({ context, name: unique })
    )
  }

  /** Collects the engine's output, and resolves once it holds a text. */
  const listen = (text: string) =>
    Effect.map(Deferred.make<void>(), (heard) => {
      let shown = ""
      const emit = (event: Event) =>
        Effect.suspend(() => {
          if (event._tag === "Output") shown += new TextDecoder().decode(event.chunk)
          return shown.includes(text) ? Effect.asVoid(Deferred.succeed(heard, undefined)) : Effect.void
        })
      return { heard: Deferred.await(heard), shown: () => shown, reporter: { emit } }
    })

  it.live("A container build gets the name, the time and further arguments.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own({
        lines: [
          ...["ARG deployer_name", "ARG deployer_ts", "ARG extra"],
          'RUN ["/bin/busybox", "sh", "-c", "echo got $deployer_name $deployer_ts $extra"]'
        ]
      })
      const ears = yield* listen("never")
      yield* build(asked(context, { name, buildArgs: { extra: "a b=c" } })).pipe(
        Effect.scoped,
        Effect.provideService(Reporter, ears.reporter)
      )
      assert.include(ears.shown(), `got ${name} 1600000000 a b=c`)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  for (const stages of [false, true]) {
    it.live(
      `A container build with ${stages ? "two stages" : "one stage"} keeps the layer cache, and nothing else.`,
      () =>
        Effect.gen(function* () {
          const { context, name } = yield* own({ stages })
          const compiled = `compiling ${context.marker}`
          const output = Effect.gen(function* () {
            const ears = yield* listen("never")
            yield* build(asked(context, { name })).pipe(Effect.scoped, Effect.provideService(Reporter, ears.reporter))
            return buildLines(ears.shown())
          })
          const times = (lines: ReadonlyArray<string>) => lines.filter((line) => line === compiled).length
          assert.strictEqual(times(yield* output), 1)
          yield* nothingLeft(context)
          assert.strictEqual(times(yield* output), 0)
          yield* nothingLeft(context)
          // Other layers replace the former ones.
          const before = docker("images", "--format", "{{.Tag}}", "deployer-cache").split("\n")
          fs.writeFileSync(path.join(context.folder, "root/more"), "more")
          assert.strictEqual(times(yield* output), 1)
          yield* nothingLeft(context)
          const after = docker("images", "--format", "{{.Tag}}", "deployer-cache").split("\n")
          const ours = (tags: ReadonlyArray<string>) => tags.filter((tag) => tag.startsWith(`${name}.`))
          assert.strictEqual(ours(after).length, ours(before).length)
        }).pipe(Effect.scoped, Effect.provide(layer)),
      60_000
    )
  }

  it.live("A failed container build leaves nothing without a name, and keeps the layers before the failure.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own({ run: "exit 9" })
      const ears = yield* listen("never")
      const failed = build(asked(context, { name })).pipe(Effect.scoped, Effect.flip)
      assert.strictEqual((yield* failed)._tag, "ImageBuildFailed")
      yield* nothingLeft(context)
      yield* Effect.provideService(failed, Reporter, ears.reporter)
      assert.notInclude(buildLines(ears.shown()), `compiling ${context.marker}`)
      yield* nothingLeft(context)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A container build that is interrupted leaves nothing.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own({ run: "echo now sleeping; exec /bin/busybox sleep 60" })
      const ears = yield* listen("now sleeping\n")
      const fiber = yield* build(asked(context, { name })).pipe(
        Effect.scoped,
        Effect.provideService(Reporter, ears.reporter),
        Effect.fork
      )
      yield* ears.heard
      // BuildKit runs each step by itself, and podman does not show its containers.
      if (builder === "classic") assert.isAbove(context.leftovers().length, 0)
      yield* Fiber.interrupt(fiber)
      yield* nothingLeft(context)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A copy from a built image that is interrupted leaves nothing.", () =>
    Effect.gen(function* () {
      const unique = `t${randomBytes(4).toString("hex")}`
      const { context, name } = yield* own({
        files: { [`${releasePath}/${unique}/big`]: "0123456789abcdef".repeat(1_000_000) }
      })
      const reading = yield* Deferred.make<void>()
      const fiber = yield* build(asked(context, { name })).pipe(
        Effect.flatMap((artifact) =>
          Stream.runForEach(artifact.tree, () => Effect.zipRight(Deferred.succeed(reading, undefined), Effect.never))
        ),
        Effect.scoped,
        Effect.fork
      )
      yield* Deferred.await(reading)
      assert.isAbove(context.leftovers().length, 0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(context.leftovers(), [])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A container build leaves a container with the release's name alone.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own()
      const image = docker("build", "--quiet", "--network", "none", context.folder)
      yield* Effect.acquireRelease(
        Effect.sync(() => docker("create", "--name", name, image, "x")),
        (id) => Effect.sync(() => docker("rm", "--force", id))
      )
      yield* Effect.scoped(build(asked(context, { name })))
      assert.strictEqual(docker("inspect", "--format", "{{.Name}}", name).replace("/", ""), name)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A container build leaves an image alone that the builder's own arguments gave a name.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own()
      yield* Effect.addFinalizer(() => Effect.sync(() => docker("rmi", `${name}:mine`)))
      yield* Effect.scoped(build(asked(context, { name, args: ["--network", "none", "-t", `${name}:mine`] })))
      assert.match(docker("image", "inspect", "--format", "{{.Id}}", `${name}:mine`), /^(sha256:)?[0-9a-f]{64}$/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A sweep removes the leftovers of a killed container build, and nothing else.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own()
      const builder = yield* DockerBuilder
      const mine = yield* builder.build(asked(context, { name }))
      // The leftovers of a dead process.
      const [created = ""] = docker(
        "ps",
        "--all",
        "--quiet",
        "--filter",
        `label=deployer.test=${context.marker}`
      ).split("\n")
      const label = docker("inspect", "--format", '{{index .Config.Labels "deployer.container"}}', created)
      const gone = label.replace(String(process.pid), "4194305")
      const dead = docker("build", "--quiet", "--network", "none", "--label", `deployer.build=${gone}`, context.folder)
      const container = docker("create", "--label", `deployer.container=${gone}`, dead, "x")
      const elsewhere = label.replace(/-[0-9a-f]{8}-(\d+-\d+)$/, "-00000000-$1")
      const other = docker("create", "--label", `deployer.container=${elsewhere}`, mine.metadata.image!, "x")
      // Whether a process of another machine lives is unknown, but no build takes a day.
      const dayBefore = elsewhere.replace(/-(\d+)-\d+$/, (_, seconds) => `-${Number(seconds) - 90_000}-1`)
      const forgotten = docker("create", "--label", `deployer.container=${dayBefore}`, mine.metadata.image!, "x")
      yield* Effect.addFinalizer(() => Effect.sync(() => docker("rm", "--force", other)))
      yield* builder.sweep(engine)
      const left = context.leftovers()
      assert.notInclude(left, container)
      assert.notInclude(left, dead)
      assert.notInclude(left, forgotten)
      assert.include(left, other)
      assert.include(left, mine.metadata.image!)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  // Podman works without an engine.
  if (builder !== "podman")
    it.live("A container build says that no engine answers.", () =>
      Effect.gen(function* () {
        const { context, name } = yield* own()
        const dead = yield* engineScript("export DOCKER_HOST=unix:///nonexistent/docker.sock CONTAINER_HOST=unix:///x")
        const error = yield* Effect.flip(Effect.scoped(build(asked(context, { name, engine: dead }))))
        assert.strictEqual(error._tag, "EngineUnavailable")
        assert.match(error.message, /did not answer: .*nonexistent/)
        assert.strictEqual(yield* Effect.flatMap(DockerBuilder, (builder) => builder.sweep(dead)), 0)
      }).pipe(Effect.scoped, Effect.provide(layer))
    )

  it.live("A container build says that the engine's program is missing.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own()
      const error = yield* Effect.flip(Effect.scoped(build(asked(context, { name, engine: "no-such-engine" }))))
      assert.strictEqual(error._tag, "EngineUnavailable")
      assert.match(error.message, /"no-such-engine" did not answer: there is no such program/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("A container build says that the copy from its image was interrupted.", () =>
    Effect.gen(function* () {
      const { context, name } = yield* own()
      const breaking = yield* engineScript('[ "$1" != cp ] || { head -c 2000 /dev/zero; echo torn >&2; exit 5; }')
      const artifact = yield* build(asked(context, { name, engine: breaking }))
      const error = yield* Effect.flip(Stream.runDrain(artifact.tree))
      assert.match(error.message, /was interrupted.*status 5 \(torn\)/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
