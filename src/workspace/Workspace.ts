/**
 * The workspace: the folder `deployer/` at the root of the user's project, and the config in it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { DeployerConfig } from "./Config.ts"

/** No project root was found. */
export class WorkspaceNotFound extends Schema.TaggedError<WorkspaceNotFound>()("WorkspaceNotFound", {
  /** The folder in which the search began (and, going up, ended without success), or the one named by `root=`. */
  searched: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `No deployer/config in ${this.searched} or any folder above it: run "deployer init" at the root of your project, or name the root with root=DIR`
  }
}

/** The config could not be loaded or says things that make no sense. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  file: Schema.String,
  /** One line each: a path into the config and what is wrong there (`targets.prod.host: is missing`). */
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

/** Absolute paths of the workspace's parts. */
export interface WorkspacePaths {
  /** The project root: the folder that holds `deployer/`. */
  readonly root: string
  readonly configFile: string
  /** The SQLite file. */
  readonly database: string
  readonly releaseStore: string
  readonly temp: string
}

/** Finds the workspace and loads its config, each at the first use and then once. */
export class Workspace extends Context.Tag("deployer/Workspace")<
  Workspace,
  {
    readonly paths: Effect.Effect<WorkspacePaths, WorkspaceNotFound>
    readonly config: Effect.Effect<DeployerConfig, WorkspaceNotFound | ConfigInvalid>
    /** An empty folder below `temp/`, removed with the scope. What killed commands left there is removed first. */
    readonly scratch: Effect.Effect<string, WorkspaceNotFound | WorkspaceError, Scope.Scope>
  }
>() {}
