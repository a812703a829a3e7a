import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import {
  type DockerBuild,
  DockerBuilder,
  DockerMemory,
  EngineUnavailable,
  type MemoryImage
} from "../../src/build/DockerBuilder.ts"
import { stageReader } from "../../src/internal/engine.ts"
import { scriptedEngine } from "../kit/engine.ts"
import { contract, type Image, name } from "./contract.ts"

const build = (releasePath: string) => ({
  name,
  timestamp: 1_600_000_000,
  context: "/project",
  dockerfile: "/project/Dockerfile",
  args: [],
  buildArgs: {},
  releasePath,
  engine: "docker",
  temp: "/project/deployer/temp"
})

const inMemory = (image: Image): Record<string, MemoryImage> => {
  if (image.absent === true) return {}
  if (image.fails !== undefined) {
    return { "/project/Dockerfile": { status: image.fails.status, output: image.fails.says } }
  }
  return { "/project/Dockerfile": { files: image.files } }
}

contract("DockerBuilder in memory", (image, releasePath) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(DockerBuilder.layerMemory(inMemory(image)))
    const { open } = yield* Effect.provide(DockerMemory, context)
    return { build: build(releasePath), layer: Layer.succeedContext(context), leftovers: open }
  })
)

describe("DockerBuilder.layerMemory", () => {
  it.scoped("The Docker builder in memory remembers its builds and fails with the error that it is given.", () =>
    Effect.gen(function* () {
      const builder = yield* DockerBuilder
      const memory = yield* DockerMemory
      const asked = build("/rel")
      const error = yield* Effect.flip(builder.build(asked))
      assert.strictEqual(error._tag, "EngineUnavailable")
      assert.deepStrictEqual(yield* memory.builds, [asked])
      yield* builder.sweep("docker")
      assert.strictEqual(yield* memory.sweeps, 1)
    }).pipe(
      Effect.provide(
        DockerBuilder.layerMemory(({ engine }) => new EngineUnavailable({ engine, detail: "as it was told" }))
      )
    )
  )
})

describe("DockerBuilder.layer", () => {
  const build = Effect.fnUntraced(function* (asked: DockerBuild) {
    return yield* (yield* DockerBuilder).build(asked)
  })

  it.scopedLive("The Docker builder hands build arguments to the engine through its environment.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine('[ "$1" = build ] && env > "$folder/env"')
      fs.writeFileSync(engine.build.dockerfile, "ARG deployer_name\nFROM scratch\nARG A deployer_ts\n")
      yield* engine.use(build({ ...engine.build, buildArgs: { TOKEN: "s3cr3t value", HTTP_PROXY: "http://other" } }))
      const command = engine.calls().find((line) => line.startsWith("[build]")) ?? ""
      assert.include(command, "[--build-arg][TOKEN][--build-arg][HTTP_PROXY=http://other]")
      assert.include(command, "[--build-arg][deployer_name][--build-arg][deployer_ts]")
      assert.notInclude(command, "s3cr3t")
      const env = fs.readFileSync(`${engine.folder}/env`, "utf8").split("\n")
      for (const line of ["TOKEN=s3cr3t value", "deployer_name=my_app", "deployer_ts=1600000000"])
        assert.include(env, line)
      assert.lengthOf(engine.warnings(), 1)
      assert.match(
        engine.warnings()[0] ?? "",
        /can see the value of the build argument HTTP_PROXY while the engine runs/
      )
    })
  )

  it.scopedLive("The Docker builder passes its own arguments only if the Dockerfile declares them, or may do so.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine("")
      for (const [text, passed] of [
        ["FROM scratch\nARG deployer_ts=0\n", "[--build-arg][deployer_ts][--build-arg][OTHER]"],
        ["FROM scratch\n# ARG deployer_name\n", "[--build-arg][OTHER]"],
        [
          "# syntax=example.com/other\nFROM scratch\n",
          "[--build-arg][deployer_name][--build-arg][deployer_ts][--build-arg][OTHER]"
        ]
      ] as const) {
        fs.writeFileSync(engine.build.dockerfile, text)
        yield* engine.use(build({ ...engine.build, buildArgs: { OTHER: "1" } }))
        const command = engine.calls().findLast((line) => line.startsWith("[build]")) ?? ""
        assert.strictEqual(command.match(/(?:\[--build-arg\]\[[^\]]*\])+/)?.[0], passed)
      }
    })
  )

  it.scopedLive(
    "The Docker builder finds the image by its label if the engine does not know the id that it gave.",
    () =>
      Effect.gen(function* () {
        const engine = yield* scriptedEngine(`
case "$1" in
  create) case "$*" in *sha256:0*) echo "No such image: sha256:0" >&2; exit 1 ;; esac ;;
  images) case "$*" in *label=deployer.build=*) echo sha256:other ;; esac ;;
esac`)
        yield* engine.use(build(engine.build))
        assert.isTrue(engine.calls().some((line) => line.startsWith("[create]") && line.includes("[sha256:other]")))
      })
  )

  it.scopedLive("The Docker builder keeps podman from hiding the release behind a volume.", () =>
    Effect.gen(function* () {
      for (const [version, isHidden] of [
        ["podman version 5.8.6", false],
        ["Docker version 28.5.2, build ecc6942", true]
      ] as const) {
        const engine = yield* scriptedEngine(`case "$1" in --version) echo "${version}"; exit 0 ;; esac`)
        yield* engine.use(build(engine.build))
        const created = engine.calls().find((line) => line.startsWith("[create]")) ?? ""
        assert.strictEqual(!created.includes("[--image-volume=ignore]"), isHidden, version)
      }
    })
  )

  it.scopedLive("The engine runs in the build's working directory, so that relative paths in args start there.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine('[ "$1" = build ] && { pwd; echo "$BUILDKIT_PROGRESS"; } > "$folder/pwd"')
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { BUILDKIT_PROGRESS: "tty" })),
        () => Effect.sync(() => delete process.env["BUILDKIT_PROGRESS"])
      )
      yield* engine.use(build({ ...engine.build, cwd: `${engine.folder}/rel` }))
      // BuildKit would refuse to draw without a terminal.
      assert.strictEqual(fs.readFileSync(`${engine.folder}/pwd`, "utf8"), `${engine.folder}/rel\nplain\n`)
    })
  )

  it.scopedLive("The Docker builder interrupts podman with SIGHUP and Docker with SIGTERM.", () =>
    Effect.gen(function* () {
      for (const [version, signal] of [
        ["podman version 4.3.1", "HUP"],
        ["Docker version 28.5.2, build ecc6942", "TERM"]
      ] as const) {
        const engine = yield* scriptedEngine(`
case "$1" in
  --version) echo "${version}"; exit 0 ;;
  build)
    for signal in HUP TERM; do trap "echo $signal > $folder/signal; exit 1" $signal; done
    echo > "$folder/begun"
    while :; do sleep 0.1; done ;;
esac`)
        const building = yield* Effect.fork(engine.use(build(engine.build)))
        yield* Effect.repeat(Effect.sleep(20), { until: () => fs.existsSync(`${engine.folder}/begun`) })
        yield* Fiber.interrupt(building)
        assert.strictEqual(fs.readFileSync(`${engine.folder}/signal`, "utf8"), `${signal}\n`)
      }
    })
  )

  it.scopedLive("A quiet build shows its output only if it fails; the engine itself does not run quietly.", () =>
    Effect.gen(function* () {
      for (const word of ["-q", "--quiet", "--quiet=true"]) {
        const engine = yield* scriptedEngine(
          '[ "$1" = build ] && { echo compiling; [ -e "$folder/broken" ] && { echo broken >&2; exit 3; }; }'
        )
        yield* engine.use(build({ ...engine.build, args: [word, "--pull"] }))
        assert.strictEqual(engine.output(), "")
        const command = engine.calls().find((line) => line.startsWith("[build]")) ?? ""
        assert.notInclude(command, `[${word}]`)
        assert.include(command, "[--pull]")
        fs.writeFileSync(`${engine.folder}/broken`, "")
        const error = yield* Effect.flip(engine.use(build({ ...engine.build, args: [word] })))
        assert.strictEqual(error._tag, "ImageBuildFailed")
        assert.sameMembers(engine.output().trim().split("\n"), ["compiling", "broken"])
      }
    })
  )

  it.scopedLive("The Docker builder refuses an image for another platform than the requested one.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine()
      const failure = (args: ReadonlyArray<string>) => Effect.flip(engine.use(build({ ...engine.build, args })))
      for (const args of [["--platform", "linux/arm64"], ["--platform=linux/arm64/v8"], ["--platform=arm64"]]) {
        const error = yield* failure(args)
        assert.deepInclude(error, { _tag: "PlatformDiffers", found: "linux/amd64" })
        assert.include(error.message, "but the image is for linux/amd64; nothing was stored")
      }
      const several = yield* failure(["--platform", "linux/amd64,linux/arm64"])
      assert.include(several.message, "the platforms linux/amd64,linux/arm64, but a release is for one platform")
      for (const platform of ["linux/amd64", "linux", "linux/x86_64", "AMD64"])
        yield* engine.use(build({ ...engine.build, args: ["--platform", platform] }))
    })
  )

  it.scopedLive("The container gets the platform of the image, regardless of the default platform.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine(
        'case "$1" in build|create) echo "$1 $DOCKER_DEFAULT_PLATFORM" >> "$folder/platforms" ;; esac'
      )
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { DOCKER_DEFAULT_PLATFORM: "linux/amd64" })),
        () => Effect.sync(() => delete process.env["DOCKER_DEFAULT_PLATFORM"])
      )
      yield* engine.use(build(engine.build))
      assert.strictEqual(fs.readFileSync(`${engine.folder}/platforms`, "utf8"), "build linux/amd64\ncreate \n")
    })
  )

  it.scopedLive("The Docker builder advises --load only if the engine does not know the image.", () =>
    Effect.gen(function* () {
      for (const [complaint, isAdvised] of [
        ["Error response from daemon: No such image: sha256:5353", true],
        ["Error response from daemon: mkdir /var/lib/docker/overlay2: no space left on device", false]
      ] as const) {
        const engine = yield* scriptedEngine(`[ "$1" = create ] && { echo "${complaint}" >&2; exit 1; }`)
        const { message } = yield* Effect.flip(engine.use(build(engine.build)))
        assert.include(message, complaint)
        assert.strictEqual(message.includes("--load"), isAdvised)
      }
    })
  )

  it.scopedLive("The Docker builder warns if the engine does not finish its clean-up.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine('[ "$1" = rm ] && exec sleep 60')
      yield* engine.use(build(engine.build))
      assert.deepStrictEqual(engine.warnings(), [
        `"${engine.build.engine}" did not finish its clean-up within 10s: the next build removes what this one left`
      ])
    })
  )

  it.scopedLive("The Docker builder removes the layer cache of projects that were not built for 30 days.", () =>
    Effect.gen(function* () {
      const day = (days: number) =>
        new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10).replaceAll("-", "")
      const old = `gone.0123456789ab.${day(32)}.0cfba914a9d1`
      const recent = `other.0123456789ab.${day(2)}.0cfba914a9d1`
      const engine = yield* scriptedEngine(`
case "$1 $2" in
  "build "*) printf 'Step 1/2 : FROM scratch\n ---> \nStep 2/2 : COPY . .\n ---> 28ffe913d77c\n' ;;
  "images --format") printf '%s\n' ${old} ${recent} users.own ;;
esac`)
      yield* engine.use(build(engine.build))
      const tagged = engine.calls().find((line) => line.startsWith("[tag]")) ?? ""
      assert.match(
        tagged,
        new RegExp(`^\\[tag\\]\\[28ffe913d77c\\]\\[deployer-cache:my_app\\.[0-9a-f]{12}\\.${day(0)}\\.28ffe913d77c\\]$`)
      )
      assert.include(engine.calls(), `[rmi][deployer-cache:${old}]`)
    })
  )

  it.scoped("The Docker builder gives up on an engine that keeps silent for 10 seconds.", () =>
    Effect.gen(function* () {
      const engine = yield* scriptedEngine("exec sleep 60")
      const sweeping = yield* Effect.fork(
        engine.use(Effect.flip(Effect.flatMap(DockerBuilder, (builder) => builder.sweep(engine.build.engine))))
      )
      for (let turn = 0; turn < 40; turn++) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        yield* TestClock.adjust("1 second")
      }
      assert.include((yield* Fiber.join(sweeping)).message, "did not answer: it did not answer for 10s.")
    })
  )
})

describe("stageReader", () => {
  const read = (output: string, size = output.length) => {
    const reader = stageReader("deployer.build")
    const bytes = new TextEncoder().encode(output)
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size))
    return reader.ends()
  }
  const output = `Sending build context to Docker daemon  1.985MB\r\r
Step 1/7 : FROM scratch AS build
 ---> 
Step 2/7 : COPY busybox /bin/busybox
 ---> Using cache
 ---> 0cfba914a9d1
Step 3/7 : RUN make
 ---> Running in 3407bc3db597
größer
Removing intermediate container 3407bc3db597
 ---> 28ffe913d77c
Step 4/7 : from scratch
 ---> 
Step 5/7 : COPY --from=build /app /app
 ---> f4fc6bb3c9e9
Step 6/7 : LABEL deployer.build=build-1-2-3-4
 ---> Running in b9567e07717a
 ---> c1b3ccc47718
Step 7/7 : LABEL users=own
 ---> c1b3ccc47719
Successfully built c1b3ccc47719
`
  it("The stage reader finds the end of each stage, however the output is cut.", () => {
    for (const size of [1, 7, 10_000]) assert.deepStrictEqual(read(output, size), ["28ffe913d77c", "f4fc6bb3c9e9"])
  })
  it("The stage reader keeps the stages that a failed build had reached.", () => {
    assert.deepStrictEqual(read(output.slice(0, output.indexOf("Step 3"))), ["0cfba914a9d1"])
  })
  it("The stage reader reads podman's output too.", () => {
    const said = `[1/2] STEP 1/2: FROM scratch AS build
[1/2] STEP 2/2: COPY busybox /bin/busybox
--> Using cache 1698fb448585a0b1698fb448585a0b1698fb448585a0b1698fb448585a0b1698
--> 1698fb44858
[2/2] STEP 1/3: FROM scratch
[2/2] STEP 2/3: COPY --from=build /app /app
--> 80b793fac50
[2/2] STEP 3/3: LABEL "deployer.build"="x"
[2/2] COMMIT
--> 66d827f910f
66d827f910f970c43bf3da2c89c24044e0adb84f3566d3986a7fb3dad5f38c30
`
    assert.deepStrictEqual(read(said), ["1698fb44858", "80b793fac50"])
  })
  it("The stage reader keeps all layers that podman prints for stages built side by side.", () => {
    const said = `[1/3] STEP 1/2: FROM scratch AS base
[2/3] STEP 1/2: FROM scratch AS deps
[1/3] STEP 2/2: COPY a /a
--> 0cfba914a9d1
--> 28ffe913d77c
[3/3] STEP 1/2: FROM scratch
--> b0a1996c42cd
[3/3] STEP 2/2: LABEL "deployer.build"="x"
--> 66d827f910f
`
    assert.deepStrictEqual(read(said), ["0cfba914a9d1", "28ffe913d77c", "b0a1996c42cd"])
  })
  it("The stage reader finds nothing in BuildKit's output.", () => {
    assert.deepStrictEqual(read("#5 [2/3] RUN make\n#5 DONE 0.1s\n#6 exporting to image\n"), [])
  })
})
