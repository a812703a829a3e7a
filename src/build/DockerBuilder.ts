/**
 * Builds artifacts from a Dockerfile with a container engine's own command line (docker, podman, or compatible).
 */
import { isPlatformError, type PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  ask,
  buildArguments,
  digest,
  isSamePlatform,
  lastLine,
  linesOf,
  optionOf,
  plainProgress,
  type Reply,
  type StageReader,
  stageReader
} from "../internal/engine.ts"
import { isAbandoned, temporaryName } from "../internal/leftovers.ts"
import { run, variable } from "../internal/process.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { type Artifact, BuildFailed } from "./Builder.ts"
import {
  ContainerFailed,
  type DockerBuilderError,
  DockerfileMissing,
  EngineUnavailable,
  ImageBuildFailed,
  PlatformDiffers,
  ReleasePathMissing
} from "./DockerErrors.ts"
import { parseDockerfile } from "./dockerfile.ts"
import { keepOutWorkspace } from "./ignoreFiles.ts"
import { type MemoryFile, tarOf } from "./MemoryFile.ts"

/** One image to build and the directory to take out of it. */
export interface DockerBuild {
  /** The name of the release, and the value of the build argument `deployer_name`. */
  readonly name: string
  /** The start of the build in Unix seconds, and the value of the build argument `deployer_ts`. */
  readonly timestamp: number
  /** Absolute path of the build context. */
  readonly context: string
  /** Absolute path of the Dockerfile. */
  readonly dockerfile: string
  /** Additional words for `<engine> build`, each one argument, before the context. */
  readonly args: ReadonlyArray<string>
  readonly buildArgs: Readonly<Record<string, string>>
  /**
   * Absolute path in the image. If it is a file, that file is the release. If it is a directory that holds an entry with the release's name,
   * that entry is the release. Otherwise the whole directory is the release.
   */
  readonly releasePath: string
  /** `docker`, `podman` or the path of a compatible program. */
  readonly engine: string
  /** A folder for the build's own small files. */
  readonly temp: string
  /** Absolute path of deployer's workspace. A build whose context holds this folder is refused. Undefined: no such check. */
  readonly workspace?: string
  /**
   * The engine's working directory, absolute. Relative paths in `args` start there. Default: the working directory of this process.
   */
  readonly cwd?: string
}

export * from "./DockerErrors.ts"

/**
 * The outcome of an in-memory build: the image's files by absolute path, a failed build, or any other failure. A path that ends in `/` is a
 * directory.
 */
export type MemoryImage =
  | { readonly files: Readonly<Record<string, MemoryFile>> }
  | { readonly status: number; readonly output: string }
  | DockerBuilderError

/** A record of the actions of an in-memory engine. */
export class DockerMemory extends Context.Tag("deployer/DockerMemory")<
  DockerMemory,
  {
    /** The builds so far, oldest first, including failed ones. */
    readonly builds: Effect.Effect<ReadonlyArray<DockerBuild>>
    /** The number of builds not released yet. With 0, nothing is left behind. */
    readonly open: Effect.Effect<number>
    /** The number of sweeps. */
    readonly sweeps: Effect.Effect<number>
  }
>() {}

/** Builds artifacts in containers. */
export class DockerBuilder extends Context.Tag("deployer/DockerBuilder")<
  DockerBuilder,
  {
    /**
     * Builds the image, shows the engine's output through the reporter, and returns the release inside it as a stream. Closing the scope
     * removes the container and the image; the engine's layer cache stays.
     */
    readonly build: (build: DockerBuild) => Effect.Effect<Artifact, DockerBuilderError, Scope.Scope>
    /**
     * Removes the containers and images that killed builds on this machine left behind, and returns their number. Fails only if the engine
     * does not answer, because a build with such an engine would never end. Returns 0 if there is no engine.
     */
    readonly sweep: (engine: string) => Effect.Effect<number, EngineUnavailable>
  }
>() {
  /** Uses the engine's own program, which interprets `DOCKER_HOST` and contexts. */
  static readonly layer: Layer.Layer<DockerBuilder, never, FileSystem.FileSystem> = Layer.effect(
    this,
    Effect.map(FileSystem.FileSystem, (fs) => live(fs))
  )

  /** An engine in memory. Its images are given by the absolute path of their Dockerfile, or by a function. All other Dockerfiles are missing. */
  static readonly layerMemory = (
    images: Readonly<Record<string, MemoryImage>> | ((build: DockerBuild) => MemoryImage | undefined)
  ): Layer.Layer<DockerBuilder | DockerMemory> => Layer.unwrapEffect(Effect.sync(() => inMemory(images)))
}

/** The label of our images. A container that a user starts from such an image inherits this label, so our containers have a label of their own. */
const imageLabel = "deployer.build"

/** The label of our containers. */
const containerLabel = "deployer.container"

/** The repository of the images that only keep layers for the next build, one image for each stage. */
const cacheRepository = "deployer-cache"

const live = (fs: FileSystem.FileSystem): Context.Tag.Service<DockerBuilder> => ({
  build: Effect.fn("DockerBuilder.build")(function* (build) {
    const isFile = Effect.map(fs.stat(build.dockerfile), (info) => info.type === "File")
    if (!(yield* Effect.orElseSucceed(isFile, () => false))) {
      return yield* new DockerfileMissing({ path: build.dockerfile })
    }
    if (build.workspace !== undefined) {
      yield* Effect.catchIf(keepOutWorkspace(fs, build, build.workspace), isPlatformError, (error) =>
        Effect.fail(unavailable(build.engine, error))
      )
    }
    const podman = yield* isPodman(build.engine)
    const wanted = platformAsked(build.args) ?? (podman ? undefined : yield* variable("DOCKER_DEFAULT_PLATFORM"))
    if (wanted?.includes(",") === true) return yield* new PlatformDiffers({ wanted })
    const id = yield* temporaryName("build")
    const stages = stageReader(imageLabel)
    const built = yield* Ref.make(false)
    yield* Effect.addFinalizer(() => removeImage(build, id, stages, built))
    const image = yield* buildImage(fs, build, { id, stages, podman })
    yield* Ref.set(built, true)
    const created = yield* createContainer(build, { id, image, podman })
    const platform = yield* platformOf(build.engine, created.image)
    if (wanted !== undefined && platform !== undefined && !isSamePlatform(wanted, platform))
      return yield* new PlatformDiffers({ wanted, found: platform })
    const tree = yield* copyOut(build, created.container)
    return { tree, metadata: { image, ...(platform === undefined ? {} : { platform }) } }
  }),
  sweep: (engine) =>
    sweep(engine).pipe(
      Effect.catchTag("TimeoutException", () => Effect.as(mustAnswer(engine), 0)),
      Effect.catchIf(isPlatformError, () => Effect.succeed(0))
    )
})

const isGood = (reply: Reply) => reply.status === 0

/**
 * Whether a word asks for a quiet build. The engine does not get this word: podman and Docker's classic builder report their layers only in
 * their output. So deployer reads the output, and shows it only if the build fails.
 */
const isQuiet = (word: string) => /^(?:-q|--quiet(?:=(?:1|true))?)$/.test(word)

/** Bytes of output kept for a quiet build that fails. */
const keptOutput = 256 * 1024

const buildImage = (
  fs: FileSystem.FileSystem,
  build: DockerBuild,
  { id, podman, stages }: { readonly id: string; readonly podman: boolean; readonly stages: StageReader }
) =>
  Effect.gen(function* () {
    const { engine, dockerfile } = build
    const quiet = build.args.some(isQuiet)
    const idFile = `${build.temp}/${id}.image`
    const declared = yield* declaredArguments(fs, dockerfile)
    const own = Object.entries({ deployer_name: build.name, deployer_ts: String(build.timestamp) })
    const { env, exposed, words } = buildArguments({
      // Docker warns about arguments that the Dockerfile does not declare.
      ...Object.fromEntries(own.filter(([name]) => declared?.has(name) !== false)),
      ...build.buildArgs
    })
    if (exposed.length > 0) {
      yield* Reporter.warn(
        `Every user of this machine can see the value of the build argument ${exposed.join(", ")} while the engine runs: the engine reads a variable of that name itself, so the value is on its command line. Use another name, or a secret (args: ["--secret", …])`
      )
    }
    const child = yield* run({
      command: engine,
      env: { ...env, ...plainProgress() },
      ...(build.cwd === undefined ? {} : { cwd: build.cwd }),
      args: [
        "build",
        "--rm",
        "--force-rm",
        ...["--iidfile", idFile],
        // podman gives this label to the images of its layer cache too if the Dockerfile has labels, and never finds them again.
        ...(podman ? [] : ["--label", `${imageLabel}=${id}`]),
        ...words,
        ...build.args.filter((word) => !isQuiet(word)),
        ...["-f", dockerfile],
        build.context
      ],
      // After any other signal, podman leaves its containers and their processes behind.
      ...(podman ? { ending: { signal: "SIGHUP", patience: 10_000 } } : {})
    })
    let kept: ReadonlyArray<Uint8Array> = []
    const shown = (bytes: Stream.Stream<Uint8Array, PlatformError>, onChunk: (chunk: Uint8Array) => void) =>
      Stream.runForEach(bytes, (chunk) => {
        onChunk(chunk)
        if (!quiet) return Reporter.output(chunk)
        kept = lastBytes([...kept, chunk], keptOutput)
        return Effect.void
      })
    const [status] = yield* Effect.all(
      [child.exitCode, shown(child.stdout, stages.push), shown(child.stderr, () => {})],
      { concurrency: "unbounded" }
    )
    if (status !== 0) {
      yield* Effect.forEach(kept, (chunk) => Reporter.output(chunk), { discard: true })
      yield* mustAnswer(engine)
      return yield* new ImageBuildFailed({ engine, dockerfile, status })
    }
    return (yield* fs.readFileString(idFile)).trim()
  }).pipe(
    Effect.scoped,
    Effect.catchIf(isPlatformError, (error) => Effect.fail(unavailable(build.engine, error)))
  )

/** The arguments that a Dockerfile declares. Undefined if they are unknown: then the Dockerfile may use any argument. */
const declaredArguments = (fs: FileSystem.FileSystem, dockerfile: string) =>
  fs.readFileString(dockerfile).pipe(
    Effect.flatMap(parseDockerfile),
    Effect.map(({ declared }) => declared),
    Effect.orElseSucceed(() => undefined)
  )

/** The shortest run of chunks from the end that holds at least `bytes`. */
const lastBytes = (chunks: ReadonlyArray<Uint8Array>, bytes: number): ReadonlyArray<Uint8Array> => {
  let size = chunks.reduce((total, chunk) => total + chunk.length, 0)
  return chunks.filter((chunk) => {
    if (size - chunk.length < bytes) return true
    size -= chunk.length
    return false
  })
}

/** Whether the program is podman, even under the name docker. Asks the program alone, so no engine has to answer. */
const isPodman = (engine: string): Effect.Effect<boolean, EngineUnavailable> =>
  ask(engine, ["--version"]).pipe(
    Effect.map(({ stdout }) => /^podman/i.test(stdout)),
    Effect.mapError((error) => unavailable(engine, error))
  )

const platformAsked = (args: ReadonlyArray<string>): string | undefined => optionOf(args, "--platform")

/** The platform of an image, as `os/architecture`. Undefined if the engine does not know the image by this id. */
const platformOf = (engine: string, image: string): Effect.Effect<string | undefined> =>
  ask(engine, ["image", "inspect", ...["--format", "{{.Os}}/{{.Architecture}}"], image]).pipe(
    Effect.map((reply) => (isGood(reply) ? reply.stdout.trim() : undefined)),
    Effect.orElseSucceed(() => undefined)
  )

const createContainer = (
  build: DockerBuild,
  { id, image, podman }: { readonly id: string; readonly image: string; readonly podman: boolean }
) =>
  Effect.gen(function* () {
    const { engine } = build
    const container = `deployer-${id}`
    // Registered before the container is created, because the engine may create it although its answer never arrives.
    yield* Effect.addFinalizer(() => bounded(engine, ask(engine, ["rm", "--force", "--volumes", container])))
    // A volume at the release's path would hide the image's files in that path.
    const volumes = podman ? ["--image-volume=ignore"] : []
    // The command never runs, but an image that has none needs one. Without the variable, the container gets the image's own platform.
    const create = (image: string) =>
      ask(
        engine,
        [
          "create",
          ...["--name", container],
          ...["--label", `${containerLabel}=${id}`],
          ...volumes,
          image,
          "never-started"
        ],
        { DOCKER_DEFAULT_PLATFORM: undefined }
      )
    const created = yield* create(image)
    if (created.status === 0) return { container, image }
    // Some image stores do not know an image by the id that the builder reports, but they know the label.
    const labelled = (yield* labelledImages(engine, `${imageLabel}=${id}`)).filter((other) => other !== image)
    for (const other of labelled) if ((yield* create(other)).status === 0) return { container, image: other }
    yield* mustAnswer(engine)
    return yield* new ContainerFailed({ engine, detail: created.complaint })
  }).pipe(Effect.catchIf(isPlatformError, (error) => Effect.fail(unavailable(build.engine, error))))

const copyOut = (build: DockerBuild, container: string) =>
  Effect.gen(function* () {
    const { engine, name, releasePath } = build
    const named = `${container}:${releasePath}/${name}`
    const own = yield* copy(engine, `${named}/.`)
    // podman resolves `file/.` to the file.
    const isFile = Effect.scoped(
      Effect.map(copy(engine, named), (it) => it._tag === "Copying" && it.startsWith === name)
    )
    if (own._tag === "Copying" && !(own.startsWith === name && (yield* isFile))) return own.tree
    const all = yield* copy(engine, `${container}:${releasePath}/.`)
    if (all._tag === "Copying") return all.tree
    // podman already returned the file above. Docker needs its exact path.
    const single = yield* copy(engine, `${container}:${releasePath}`)
    if (single._tag === "Copying" && single.startsWith === releasePath.split("/").at(-1)) return single.tree
    yield* mustAnswer(engine)
    return yield* new ReleasePathMissing({ releasePath, detail: all.detail })
  }).pipe(Effect.catchIf(isPlatformError, (error) => Effect.fail(unavailable(build.engine, error))))

/** Starts a copy, and waits for its first bytes: only they show whether the engine finds the path. */
const copy = (engine: string, from: string) =>
  Effect.gen(function* () {
    const child = yield* run({ command: engine, args: ["cp", from, "-"] })
    let stderr = ""
    const listening = yield* Effect.forkScoped(
      Stream.runForEach(Stream.decodeText(child.stderr), (text) =>
        Effect.sync(() => {
          stderr = (stderr + text).slice(-4096)
        })
      )
    )
    const pull = yield* Stream.toPull(child.stdout)
    const first = yield* Effect.matchEffect(pull, {
      onSuccess: Effect.succeedSome,
      onFailure: Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail })
    })
    if (Option.isNone(first)) {
      yield* Effect.all([child.exitCode, Fiber.await(listening)])
      return { _tag: "NoDirectory" as const, detail: lastLine(stderr) }
    }
    const broken = (detail: string) =>
      new BuildFailed({
        message: `Copying the release out of the image was interrupted, and nothing was stored: ${detail}`
      })
    const complete = Effect.flatMap(child.exitCode, (status) =>
      status === 0
        ? Effect.succeed(Stream.empty)
        : Effect.fail(broken(`"${engine} cp" ended with status ${status} (${lastLine(stderr)})`))
    )
    const tree = Stream.fromChunk(first.value).pipe(
      Stream.concat(Stream.repeatEffectChunkOption(pull)),
      Stream.concat(Stream.unwrap(complete)),
      Stream.mapError((error) => (error._tag === "BuildFailed" ? error : broken(error.message)))
    )
    return { _tag: "Copying" as const, tree, startsWith: plainFile(Chunk.unsafeHead(first.value)) }
  })

/** The path of a tar stream's first entry, if that is a file. */
const plainFile = (start: Uint8Array): string | undefined =>
  start[156] === 0x30 ? new TextDecoder().decode(start.subarray(0, 100)).split("\0")[0] : undefined

/** Fails if the engine no longer answers. If it answers, the failure at hand has another reason. */
const mustAnswer = (engine: string): Effect.Effect<void, EngineUnavailable | PlatformError> =>
  Effect.flatMap(
    Effect.timeoutOption(ask(engine, ["version"]), patience),
    Option.match({
      onNone: () =>
        Effect.fail(new EngineUnavailable({ engine, detail: `it did not answer for ${Duration.format(patience)}` })),
      onSome: (reply) =>
        isGood(reply) ? Effect.void : Effect.fail(new EngineUnavailable({ engine, detail: reply.complaint }))
    })
  )

const unavailable = (engine: string, error: PlatformError): EngineUnavailable =>
  new EngineUnavailable({
    engine,
    detail:
      error._tag === "SystemError" && error.reason === "NotFound" && error.method === "spawn"
        ? "there is no such program"
        : error.message
  })

/** The time limit for a clean-up step of an engine, and for its answer to `version`. */
const patience = Duration.seconds(10)

/** Limits the time of a finalizer, which must end even if the engine hangs. A later build sweeps the leftovers. */
const bounded = <A, E>(engine: string, cleanUp: Effect.Effect<A, E>): Effect.Effect<void> =>
  cleanUp.pipe(
    Effect.interruptible,
    Effect.timeoutOption(patience),
    Effect.flatMap((done) =>
      Option.isSome(done)
        ? Effect.void
        : Reporter.warn(
            `"${engine}" did not finish its clean-up within ${Duration.format(patience)}: the next build removes what this one left`
          )
    ),
    Effect.ignore
  )

/**
 * Removes the build's image. Docker's classic builder and podman keep their layer cache as images without a name, which vanish together
 * with the last image that needs them. So the last image of each stage gets a name, which replaces the name from the previous build. The name
 * contains the day, so that any build can remove old names: a deleted project folder (a CI checkout, a worktree) never builds again.
 */
const removeImage = (build: DockerBuild, id: string, stages: StageReader, built: Ref.Ref<boolean>) =>
  bounded(
    build.engine,
    Effect.gen(function* () {
      const { engine } = build
      const key = `${build.name.slice(0, 90)}.${digest(`${build.dockerfile} ${build.context}`)}.`
      const now = yield* DateTime.now
      // A tag has at most 128 characters.
      const kept = stages.ends().map((image) => ({ image, tag: `${key}${dayOf(now)}.${image.slice(0, 12)}` }))
      yield* Effect.forEach(kept, ({ image, tag }) => ask(engine, ["tag", image, `${cacheRepository}:${tag}`]), {
        concurrency: 4
      })
      // The images are found by label, because a build may be interrupted before it writes the image's id. With podman, the image is the last one of
      // the layer cache, and stays.
      const images = yield* labelledImages(engine, `${imageLabel}=${id}`)
      yield* removeUntagged(engine, images, () => Effect.succeed(true))
      // After a failed build, the previous build's layers are still useful for the next one.
      if (kept.length === 0 || !(yield* Ref.get(built))) return
      const tags = yield* ask(engine, ["images", "--format", "{{.Tag}}", cacheRepository])
      const since = dayOf(DateTime.subtractDuration(now, cacheLifetime))
      const isOld = (tag: string) => (/\.(\d{8})\.[0-9a-f]{11,12}$/.exec(tag)?.[1] ?? since) < since
      const stale = linesOf(tags.stdout).filter(
        (tag) => (tag.startsWith(key) || isOld(tag)) && !kept.some((one) => one.tag === tag)
      )
      if (stale.length > 0) yield* ask(engine, ["rmi", ...stale.map((tag) => `${cacheRepository}:${tag}`)])
    })
  )

/** How long the layer cache of a project stays after its last build. */
const cacheLifetime = Duration.days(30)

/** The day in UTC, as in `20261127`. */
const dayOf = (time: DateTime.Utc): string => DateTime.formatIsoDateUtc(time).replaceAll("-", "")

const labelledImages = (engine: string, label: string) =>
  Effect.map(ask(engine, ["images", "--quiet", "--no-trunc", "--filter", `label=${label}`]), uniqueLines)

const uniqueLines = (reply: Reply): ReadonlyArray<string> => [...new Set(linesOf(reply.stdout))]

/** Removes those images that have no name, and returns their number. An image that got a name belongs to the user. */
const removeUntagged = (
  engine: string,
  images: ReadonlyArray<string>,
  condemned: (build: string) => Effect.Effect<boolean>
) =>
  Effect.gen(function* () {
    const format = `{{.Id}} {{len .RepoTags}} {{index .Config.Labels "${imageLabel}"}}`
    const looked = yield* inspect(engine, ["image", "inspect", "--format", format], images)
    const removable = yield* Effect.filter(looked, ([, tags, build = ""]) =>
      tags === "0" ? condemned(build) : Effect.succeed(false)
    )
    if (removable.length > 0) yield* ask(engine, ["rmi", ...removable.map(([id = ""]) => id)])
    return removable.length
  })

/** The words that the format prints for each image or container. */
const inspect = (engine: string, command: ReadonlyArray<string>, ids: ReadonlyArray<string>) =>
  ids.length === 0
    ? Effect.succeed([])
    : Effect.map(ask(engine, [...command, ...ids]), (reply) => linesOf(reply.stdout).map((line) => line.split(" ")))

const sweep = (engine: string) =>
  Effect.gen(function* () {
    const filter = ["--filter", `label=${containerLabel}`]
    // In parallel, because each request to an engine on another machine is a login there.
    const [listed, images] = yield* Effect.all(
      [ask(engine, ["ps", "--all", "--quiet", "--no-trunc", ...filter]), labelledImages(engine, imageLabel)],
      { concurrency: 2 }
    )
    const containers = uniqueLines(listed)
    const format = `{{.Id}} {{.Image}} {{index .Config.Labels "${containerLabel}"}}`
    const looked = yield* inspect(engine, ["inspect", "--format", format], containers)
    const orphans = yield* Effect.filter(looked, ([, , build = ""]) => isAbandoned(build))
    if (orphans.length > 0) yield* ask(engine, ["rm", "--force", "--volumes", ...orphans.map(([id = ""]) => id)])
    const imageIds = [...new Set(orphans.map(([, image = ""]) => image.replace(/^sha256:/, "")))]
    const unlabelled = imageIds.filter((id) => images.every((image) => image.replace(/^sha256:/, "") !== id))
    return (
      orphans.length +
      (yield* removeUntagged(engine, images, (build) => isAbandoned(build))) +
      (yield* removeUntagged(engine, unlabelled, () => Effect.succeed(true)))
    )
  }).pipe(Effect.timeout(patience))

const inMemory = (
  images: Readonly<Record<string, MemoryImage>> | ((build: DockerBuild) => MemoryImage | undefined)
): Layer.Layer<DockerBuilder | DockerMemory> => {
  const find = (build: DockerBuild) => (typeof images === "function" ? images(build) : images[build.dockerfile])
  const builds = Ref.unsafeMake<ReadonlyArray<DockerBuild>>([])
  const open = Ref.unsafeMake(0)
  const sweeps = Ref.unsafeMake(0)
  const change = (by: number) => Ref.update(open, (count) => count + by)
  return Layer.mergeAll(
    Layer.succeed(DockerMemory, { builds: Ref.get(builds), open: Ref.get(open), sweeps: Ref.get(sweeps) }),
    Layer.succeed(DockerBuilder, {
      build: Effect.fn("DockerBuilder.build")(function* (build) {
        yield* Effect.acquireRelease(change(1), () => change(-1))
        yield* Ref.update(builds, (all) => [...all, build])
        const { dockerfile, engine, name, releasePath } = build
        const image = find(build)
        if (image === undefined) return yield* new DockerfileMissing({ path: dockerfile })
        if ("_tag" in image) return yield* image
        if ("status" in image) {
          yield* Reporter.output(new TextEncoder().encode(image.output))
          return yield* new ImageBuildFailed({ engine, dockerfile, status: image.status })
        }
        const own = filesBelow(image.files, `${releasePath}/${name}`)
        const file = image.files[releasePath]
        const below = filesBelow(image.files, releasePath)
        const all = file === undefined ? below : [[releasePath.split("/").at(-1) ?? "", file] as const]
        if (all.length === 0) return yield* new ReleasePathMissing({ releasePath, detail: "no such directory" })
        const tree = tarOf(own.length > 0 ? own : all, build.timestamp)
        return {
          tree: Stream.fromIterable(tree),
          metadata: { image: `sha256:${digest(dockerfile)}`, platform: "linux/amd64" }
        }
      }),
      sweep: () =>
        Effect.as(
          Ref.update(sweeps, (count) => count + 1),
          0
        )
    })
  )
}

const filesBelow = (
  files: Readonly<Record<string, MemoryFile>>,
  directory: string
): ReadonlyArray<readonly [path: string, file: MemoryFile]> =>
  Object.entries(files).flatMap(([path, file]) =>
    path.startsWith(`${directory}/`) ? [[path.slice(directory.length + 1), file] as const] : []
  )
