/**
 * The workspace: the folder `deployer/` at the root of the user's project, and the config in it.
 */

import { existsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import * as files from "../internal/files.ts"
import { sweep, temporaryName } from "../internal/leftovers.ts"
import { once } from "../internal/once.ts"
import { findRoot, type WorkspacePaths, workspacePaths } from "../internal/projectFolder.ts"
import type { ConfigInput, DeployerConfig } from "./Config.ts"
import { loadConfig, type Modules } from "./configFile.ts"
import { decodeConfig } from "./decode.ts"

/** Where the parts of a project are. */
export { findRoot, type WorkspacePaths, workspacePaths } from "../internal/projectFolder.ts"

/** No project root was found. */
export class WorkspaceNotFound extends Schema.TaggedError<WorkspaceNotFound>()("WorkspaceNotFound", {
  /** The folder where the search began (it continued upwards without success), or the one named by `root=`. */
  searched: Schema.String,
  /** Whether `root=` named the folder: then the folders above it were not searched. */
  named: Schema.optionalWith(Schema.Boolean, { default: () => false })
}) {
  readonly exitStatus = 2
  get next(): readonly [Invocation] {
    return [invocation("init", this.named ? { root: this.searched } : {})]
  }
  override get message(): string {
    const init = commandLine(this.next[0])
    return this.named
      ? `No deployer/config in ${this.searched}, which root= names: run "${init}" to make one, or name another folder`
      : `No deployer/config in ${this.searched} or any folder above it: run "${init}" at the root of your project, or name the root with root=DIR`
  }
}

/** The config could not be loaded or contains mistakes. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  file: Schema.String,
  /** One line each: a path into the config and the mistake there (`targets.prod.host: is missing`). */
  mistakes: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const [only] = this.mistakes
    return this.mistakes.length === 1
      ? `The config ${this.file} is not usable: ${only}`
      : `The config ${this.file} has ${this.mistakes.length} mistakes:\n${this.mistakes.map((line) => `  ${line}`).join("\n")}`
  }
}

/** A file or folder of the workspace could not be read or written. */
export class WorkspaceError extends Schema.TaggedError<WorkspaceError>()("WorkspaceError", {
  operation: Schema.String,
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}`
  }
}

/** Finds the workspace and loads its config, each once, at its first use. */
export class Workspace extends Context.Tag("deployer/Workspace")<
  Workspace,
  {
    /** The folder where `init` creates a workspace: the named root, or the working directory. Absolute; it may not hold a workspace yet. */
    readonly home: Effect.Effect<string>
    readonly paths: Effect.Effect<WorkspacePaths, WorkspaceNotFound>
    readonly config: Effect.Effect<DeployerConfig, WorkspaceNotFound | ConfigInvalid>
    /** An empty folder below `temp/`, removed with the scope. Leftovers of killed commands are removed first. */
    readonly scratch: Effect.Effect<string, WorkspaceNotFound | WorkspaceError, Scope.Scope>
  }
>() {
  /** On this machine. Nothing is read before the first use. */
  static readonly layer = (options: {
    /** The modules that the config may import: `Deployer.modules`. */
    readonly modules: Modules
    /** `root=DIR`, relative to the working directory. Default: the nearest folder upwards that holds `deployer/config`. */
    readonly root?: string | undefined
    /** The folder where the search begins. Default: the working directory of the process. */
    readonly cwd?: string
  }): Layer.Layer<Workspace> =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const cwd = Effect.sync(() => resolve(options.cwd ?? workingDirectory()))
        const { root } = options
        const home = Effect.map(cwd, (from) => resolve(from, root ?? "."))
        const paths = yield* once(
          Effect.flatMap(home, (from) =>
            root === undefined ? pathsAt(from, findRoot(from), false) : pathsAt(from, from, true)
          )
        )
        const config = yield* once(
          Effect.flatMap(paths, ({ configFile }) =>
            Effect.flatMap(
              Effect.mapError(
                loadConfig(configFile, options.modules),
                ({ mistake }) => new ConfigInvalid({ file: configFile, mistakes: [mistake] })
              ),
              (input) => decoded(configFile, input)
            )
          )
        )
        return { home, paths, config, scratch: Effect.flatMap(paths, ({ temp }) => scratchIn(temp)) }
      })
    )

  /** With a config that is in no file. Without paths there is no project on the disk, but scratch folders are real. */
  static readonly layerMemory = (config: ConfigInput, paths?: WorkspacePaths): Layer.Layer<Workspace> => {
    const where = paths ?? workspacePaths("/project")
    return Layer.succeed(this, {
      home: Effect.succeed(where.root),
      paths: Effect.succeed(where),
      config: Effect.suspend(() => decoded(where.configFile, config)),
      scratch: Effect.suspend(() => scratchIn(paths?.temp ?? join(tmpdir(), "deployer-temp")))
    })
  }
}

/** If the working directory is gone, the shell's idea of it. */
const workingDirectory = (): string => {
  try {
    return process.cwd()
  } catch {
    return process.env["PWD"] ?? "/"
  }
}

const pathsAt = (searched: string, root: string | undefined, named: boolean) =>
  Effect.suspend(() =>
    root !== undefined && existsSync(join(root, "deployer", "config"))
      ? Effect.succeed(workspacePaths(root))
      : Effect.fail(new WorkspaceNotFound({ searched, named }))
  )

const decoded = (file: string, input: unknown): Effect.Effect<DeployerConfig, ConfigInvalid> =>
  Either.mapLeft(decodeConfig(input), (mistakes) => new ConfigInvalid({ file, mistakes }))

const scratchIn = (temp: string): Effect.Effect<string, WorkspaceError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* sweep(temp)
    const folder = join(temp, yield* temporaryName("scratch"))
    return yield* Effect.acquireRelease(Effect.as(files.makeFolder(folder), folder), () =>
      Effect.ignore(files.removeAll(folder))
    )
  }).pipe(
    Effect.mapError(({ cause, detail }) => new WorkspaceError({ operation: "make a temporary folder", detail, cause }))
  )
