/**
 * The builders that come with deployer: `docker` and `command`.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type DirectoryUnreadable, directoryTar, fileTar } from "../internal/directory.ts"
import { platform } from "../internal/machine.ts"
import { run, variable } from "../internal/process.ts"
import { hide, isSecret } from "../internal/redact.ts"
import { knownWords } from "../internal/suggest.ts"
import * as Reporter from "../terminal/Reporter.ts"
import {
  type Artifact,
  type BuildContext,
  type Builder,
  BuilderOptionsInvalid,
  BuildFailed,
  type PostBuildHook,
  type PreBuildHook
} from "./Builder.ts"
import { DockerBuilder } from "./DockerBuilder.ts"
import { type MemoryFile, tarOf } from "./MemoryFile.ts"

/** The contents of a directory on this machine, ordered by name. The tree fails with `BuildFailed` if a file cannot be read. */
export const fromDirectory = (directory: string): Artifact => onThisMachine(directoryTar(directory))

const onThisMachine = (tree: Stream.Stream<Uint8Array, DirectoryUnreadable>): Artifact => ({
  tree: Stream.mapError(
    tree,
    ({ detail, path }) => new BuildFailed({ message: `The release could not be read from ${path}: ${detail}` })
  ),
  metadata: { platform }
})

/**
 * The given files as a release, by path in the release. A path that ends in `/` is a directory. For tests, and for builders that generate
 * their release.
 */
export const fromFiles = (files: Readonly<Record<string, MemoryFile>>): Artifact => ({
  tree: Stream.unwrap(
    Effect.map(DateTime.now, ({ epochMillis }) =>
      Stream.fromIterable(tarOf(Object.entries(files), Math.floor(epochMillis / 1000)))
    )
  ),
  metadata: {}
})

const Text = Schema.String.annotations({ message: () => "must be a string" })

const Word = Text.pipe(
  Schema.pattern(/^[^\p{Cc}]+$/u, { message: () => "must be a string that is not empty and has no control characters" })
)

const isFunction = (input: unknown): boolean => typeof input === "function"

const hookMessage = () => "must be a function from the build context to an Effect"

const hooks = {
  /** Hooks to run before the build. If a hook returns a context, that context replaces the previous one. */
  preBuild: Schema.optionalWith(
    Schema.Array(Schema.declare((input): input is PreBuildHook => isFunction(input), { message: hookMessage })),
    { exact: true, default: () => [] }
  ),
  /** Hooks to run on the finished tarball, before it is stored. */
  postBuild: Schema.optionalWith(
    Schema.Array(Schema.declare((input): input is PostBuildHook => isFunction(input), { message: hookMessage })),
    { exact: true, default: () => [] }
  )
}

const absolute = Word.pipe(
  Schema.filter((path) => (path.startsWith("/") ? undefined : "must be an absolute path in the image"))
)

const EngineWord = Text.pipe(
  Schema.filter((word) =>
    /^--iidfile(=|$)/.test(word) ? "must not be --iidfile: deployer sets it to find the image" : undefined
  )
)

const DockerSettings = Schema.Struct({
  ...hooks,
  /** The path of the Dockerfile, relative to the project root. */
  dockerfile: Schema.optionalWith(Word, { exact: true, default: () => "Dockerfile" }),
  /** The folder whose files the Dockerfile can copy, relative to the project root. */
  context: Schema.optionalWith(Word, { exact: true, default: () => "." }),
  /** Additional words for `docker build`, each one argument. */
  args: Schema.optionalWith(Schema.Array(EngineWord), { exact: true, default: () => [] }),
  /** Values of build arguments by name, in addition to `deployer_name` and `deployer_ts`. */
  buildArgs: Schema.optionalWith(Schema.Record({ key: Word, value: Text }), { exact: true, default: () => ({}) }),
  /**
   * The release's path in the image: a file or a directory. If the directory holds an entry with the release's name, that entry is the
   * release.
   */
  releasePath: Schema.optionalWith(absolute, { exact: true, default: () => "/app/_build/prod/rel" }),
  /** `docker`, `podman` or the path of a compatible program. Default: the value of `DEPLOYER_ENGINE`, or `docker`. */
  engine: Schema.optionalWith(Word, { exact: true })
})

/** The options of `docker`. */
export type DockerOptions = typeof DockerSettings.Encoded

const shownDocker = ({ args, buildArgs, context, dockerfile, engine, releasePath }: typeof DockerSettings.Type) => ({
  dockerfile,
  ...(context === "." ? {} : { context }),
  ...(engine === undefined ? {} : { engine }),
  // The value of a build argument may be a secret, so it is not shown.
  ...(args.length === 0
    ? {}
    : { args: args.map((word) => word.replace(/^((?:--build-arg=)?\w+=).*$/s, "$1…")).join(" ") }),
  ...(Object.keys(buildArgs).length === 0 ? {} : { buildArgs: Object.keys(buildArgs).join(", ") }),
  releasePath
})

/** Builds an image with a container engine and takes the release out of it. */
export const docker = (options: DockerOptions = {}): Builder =>
  builder("docker", DockerSettings, options, shownDocker, (settings) =>
    Effect.fnUntraced(function* (context: BuildContext) {
      const path = yield* Path.Path
      const engines = yield* DockerBuilder
      yield* hide(Object.entries(settings.buildArgs).flatMap(([name, value]) => (isSecret(name, value) ? [value] : [])))
      const engine = settings.engine ?? ((yield* variable("DEPLOYER_ENGINE")) || "docker")
      // Leftovers of killed builds would only accumulate.
      yield* engines.sweep(engine)
      return yield* engines.build({
        name: context.name,
        timestamp: context.timestamp,
        context: path.resolve(context.root, settings.context),
        dockerfile: path.resolve(context.root, settings.dockerfile),
        args: settings.args,
        buildArgs: settings.buildArgs,
        releasePath: settings.releasePath.replace(/(?<=.)\/+$/, ""),
        engine,
        temp: context.temp,
        workspace: path.join(context.root, "deployer"),
        cwd: context.root
      })
    })
  )

const CommandSettings = Schema.Struct({
  ...hooks,
  /** The command line, for `sh -c`. Its environment has `deployer_name` and `deployer_ts`. */
  run: Word,
  /**
   * The path of the finished release, relative to the project root: a file or a directory. If the directory holds a directory with the
   * release's name, that one is the release.
   */
  releasePath: Word,
  /** The working directory, relative to the project root. */
  cwd: Schema.optionalWith(Word, { exact: true, default: () => "." })
})

/** The options of `command`. */
export type CommandOptions = typeof CommandSettings.Encoded

const shownCommand = ({ cwd, releasePath, run }: typeof CommandSettings.Type) => ({
  run,
  ...(cwd === "." ? {} : { cwd }),
  releasePath
})

/** Runs a command on this machine, and takes the release from the path where the command leaves it. For projects without Docker. */
export const command = (options: CommandOptions): Builder =>
  builder("command", CommandSettings, options, shownCommand, (settings) =>
    Effect.fnUntraced(function* (context: BuildContext) {
      const path = yield* Path.Path
      const cwd = path.resolve(context.root, settings.cwd)
      yield* shell(settings.run, cwd, { deployer_name: context.name, deployer_ts: String(context.timestamp) })
      const given = path.resolve(context.root, settings.releasePath)
      const own = path.join(given, context.name)
      if ((yield* typeOf(own)) === "Directory") return fromDirectory(own)
      const type = yield* typeOf(given)
      if (type === "Directory") return fromDirectory(given)
      if (type === "File") return onThisMachine(fileTar(given))
      return yield* new BuildFailed({
        message: `There is no directory or file ${given} to take the release from, although "${settings.run}" succeeded: set "releasePath" in the builder to the path of the release`
      })
    })
  )

const typeOf = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.stat(path)).pipe(
    Effect.map((info) => info.type),
    Effect.orElseSucceed(() => "Unknown" as const)
  )

const shell = (line: string, cwd: string, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const child = yield* run({ command: "sh", args: ["-c", line], cwd, env })
    const [status] = yield* Effect.all(
      [
        child.exitCode,
        Stream.runForEach(child.stdout, Reporter.output),
        Stream.runForEach(child.stderr, Reporter.output)
      ],
      { concurrency: "unbounded" }
    )
    if (status === 0) return
    return yield* new BuildFailed({
      message: `The build command "${line}" failed with status ${status}; its output above says why. Nothing was stored`
    })
  }).pipe(
    Effect.scoped,
    Effect.catchTags({
      SystemError: (error) => notStarted(line, cwd, error),
      BadArgument: (error) => notStarted(line, cwd, error)
    })
  )

const notStarted = (line: string, cwd: string, cause: Error) =>
  new BuildFailed({ message: `The build command "${line}" could not be run in ${cwd}: ${cause.message}`, cause })

/** Keeps the mistakes for later instead of throwing: a config is a module, and an error while it loads would hide all other mistakes. */
const builder = <A extends Required<Pick<Builder, "preBuild" | "postBuild">>, I>(
  name: string,
  schema: Schema.Schema<A, I>,
  options: I,
  shown: (settings: A) => Readonly<Record<string, string>>,
  make: (settings: A) => Builder
): Builder =>
  Either.match(Schema.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })(options), {
    onRight: (settings) =>
      Object.assign((context: BuildContext) => make(settings)(context), {
        preBuild: settings.preBuild,
        postBuild: settings.postBuild,
        settings: shown(settings)
      }),
    onLeft: (error) => {
      const mistakes = ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => {
        const known = "fields" in schema && typeof schema.fields === "object" ? Object.keys(schema.fields ?? {}) : []
        const what =
          issue._tag === "Unexpected"
            ? `is not an option of ${name}${knownWords(String(issue.path[0]), known)}`
            : issue.message
        return issue.path.length === 0 ? "options: must be an object" : `${issue.path.map(String).join(".")}: ${what}`
      })
      return Object.assign(() => Effect.fail(new BuilderOptionsInvalid({ builder: name, mistakes })), { mistakes })
    }
  })
