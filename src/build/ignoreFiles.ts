/**
 * Checks that a build context does not hold the workspace, whose store would get into the release.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ask, optionOf } from "../internal/engine.ts"
import { ignoring } from "../internal/ignoreFile.ts"
import { variable } from "../internal/process.ts"

/** The build context holds the workspace, and the ignore file that the engine reads does not exclude it. */
export class WorkspaceInContext extends Schema.TaggedError<WorkspaceInContext>()("WorkspaceInContext", {
  engine: Schema.String,
  /** Absolute path of the context. */
  context: Schema.String,
  /** Absolute path of the ignore file that the engine reads. */
  ignoreFile: Schema.String,
  /** Whether that file exists. */
  exists: Schema.Boolean,
  /** The line that excludes the workspace. Undefined if the context is inside the workspace. */
  line: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const found = `The build context ${this.context} holds deployer's own workspace, so every release could hold the config and all earlier releases`
    if (this.line === undefined) return `${found}: set "context" in the builder to a folder outside deployer/`
    return this.exists
      ? `${found}: add the line "${this.line}" at the end of ${this.ignoreFile}, which "${this.engine}" reads for this build`
      : `${found}: write the file ${this.ignoreFile} with the line "${this.line}"`
  }
}

/** The properties of a build that decide which ignore file an engine reads. */
interface Asked {
  readonly engine: string
  readonly context: string
  readonly dockerfile: string
  readonly args: ReadonlyArray<string>
}

/** The ignore files that a builder looks for. It reads the first one that exists. */
const readers = {
  classic: ({ context }: Asked) => [`${context}/.dockerignore`],
  buildKit: ({ context, dockerfile }: Asked) => [`${dockerfile}.dockerignore`, `${context}/.dockerignore`],
  podman: ({ args, context, dockerfile }: Asked) => {
    const named = optionOf(args, "--ignorefile")
    return named === undefined
      ? [
          `${dockerfile}.dockerignore`,
          `${dockerfile}.containerignore`,
          `${context}/.containerignore`,
          `${context}/.dockerignore`
        ]
      : [named]
  }
} as const

type Reader = keyof typeof readers

/** Fails if the engine would put `workspace` (an absolute path) or a part of it into the build context. */
export const keepOutWorkspace = (
  fs: FileSystem.FileSystem,
  asked: Asked,
  workspace: string
): Effect.Effect<void, WorkspaceInContext | PlatformError> =>
  Effect.gen(function* () {
    const inside = yield* pathIn(fs, asked.context, workspace)
    if (inside === undefined) return
    const exists = (file: string) => Effect.orElseSucceed(fs.exists(file), () => false)
    const verdictOf = (reader: Reader) =>
      Effect.gen(function* () {
        const files = readers[reader](asked)
        const [first] = yield* Effect.filter(files, exists)
        const ignores = ignoring(first === undefined ? "" : yield* fs.readFileString(first))
        return { reader, file: first ?? `${asked.context}/.dockerignore`, keepsOut: inside.paths.every(ignores) }
      })
    const verdicts = yield* Effect.forEach(Object.keys(readers).filter(isReader), verdictOf)
    if (verdicts.every(({ keepsOut }) => keepsOut)) return
    // The engine is asked only if the result depends on its answer.
    const used = verdicts.some(({ keepsOut }) => keepsOut) ? yield* readersOf(asked.engine) : ["buildKit" as const]
    const leaking = verdicts.find(({ keepsOut, reader }) => !keepsOut && used.some((one) => one === reader))
    if (leaking === undefined) return
    return yield* new WorkspaceInContext({
      engine: asked.engine,
      context: asked.context,
      ignoreFile: leaking.file,
      exists: yield* exists(leaking.file),
      ...(inside.line === undefined ? {} : { line: inside.line })
    })
  })

const isReader = (name: string): name is Reader => Object.hasOwn(readers, name)

/** The parts of the workspace that must not get into a release, each with one of its possible names. */
const parts = [
  "config/deployer_config.ts",
  "config/deployer_store.db",
  "release_store/my_app-0.tar.gz",
  "temp/scratch-0/my_app"
]

/** The paths of the workspace's parts, relative to the context. Undefined if the context holds none of them. */
const pathIn = (fs: FileSystem.FileSystem, context: string, workspace: string) =>
  Effect.map(
    Effect.option(Effect.all([fs.realPath(context), fs.realPath(workspace)])),
    (found): { readonly paths: ReadonlyArray<string>; readonly line: string | undefined } | undefined => {
      if (found._tag === "None") return undefined
      const [from, to] = found.value
      const below = (path: string) => {
        const folder = from === "/" ? from : `${from}/`
        return path.startsWith(folder) ? path.slice(folder.length) : undefined
      }
      const paths = parts.map((part) => below(`${to}/${part}`)).filter((path) => path !== undefined)
      const whole = below(to)
      return paths.length === 0 ? undefined : { paths, line: whole === undefined ? undefined : `${whole}/` }
    }
  )

/** The possible builders of an engine. Older versions of Docker do not say which of their two builders they use. */
const readersOf = (engine: string): Effect.Effect<ReadonlyArray<Reader>, PlatformError> =>
  Effect.gen(function* () {
    const { stdout } = yield* ask(engine, ["--version"])
    if (/podman|buildah/i.test(stdout)) return ["podman"]
    const major = /^Docker version (\d+)/i.exec(stdout)?.[1]
    if (major === undefined) return ["classic", "buildKit", "podman"]
    const wanted = yield* variable("DOCKER_BUILDKIT")
    if (wanted !== undefined && wanted !== "") return /^(0|f|false)$/i.test(wanted) ? ["classic"] : ["buildKit"]
    // From version 23 on, Docker builds with BuildKit if the plugin for it is installed.
    const { status } = yield* ask(engine, ["buildx", "version"])
    if (status !== 0) return Number(major) < 23 ? ["classic", "buildKit"] : ["classic"]
    return Number(major) < 23 ? ["classic", "buildKit"] : ["buildKit"]
  })
