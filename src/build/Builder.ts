/**
 * A builder: any function from the build context to an Effect that returns an artifact.
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Metadata } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import type { DockerBuilder } from "./DockerBuilder.ts"

/** The input of a builder and its hooks. */
export interface BuildContext {
  /** The release's name. The tarball's root holds a folder of this name. */
  readonly name: string
  readonly target: Target
  /** The release's tags, without `latest`. */
  readonly tags: ReadonlyArray<string>
  /** The start of the build in Unix seconds, or the value of `SOURCE_DATE_EPOCH`. */
  readonly timestamp: number
  /** The project root, absolute. */
  readonly root: string
  /** An empty folder for this build only, absolute. The folder is removed when the build ends, even if it fails. */
  readonly temp: string
}

/** A builder's result: a tree of files. */
export interface Artifact {
  /**
   * An uncompressed tar stream. Its entries are relative to the release's own folder: `./bin/my_app`, not `./my_app/bin/my_app`. The stream
   * is read once.
   */
  readonly tree: Stream.Stream<Uint8Array, BuildFailed>
  readonly metadata: Pick<Metadata, "image" | "platform">
}

/** A build step failed; `message` is the sentence for the user. */
export class BuildFailed extends Schema.TaggedError<BuildFailed>()("BuildFailed", {
  message: Schema.String,
  /** The exit status of the command that needed the build. Default: 1. */
  status: Schema.optionalWith(Schema.Int, { default: () => 1 }),
  /** The failure of the builder or the hook. */
  cause: Schema.optional(Schema.Defect)
}) {
  get exitStatus(): number {
    return this.status
  }
}

/** The services available to a builder and its hooks. */
export type BuilderServices =
  | DockerBuilder
  | CommandExecutor.CommandExecutor
  | FileSystem.FileSystem
  | Path.Path
  | Scope.Scope

/** The facts about the finished tarball that a post-build hook gets. */
export interface Packed {
  /** Absolute path of the finished tarball, still in `temp/`. */
  readonly tarball: string
  readonly ref: string
  readonly sha256: string
  /** Bytes. */
  readonly size: number
}

/** A hook that runs before the builder. If the hook returns a context, that context replaces the current one. */
export type PreBuildHook = (context: BuildContext) => Effect.Effect<BuildContext | void, unknown, BuilderServices>

/**
 * A hook that runs on the finished tarball, before it is stored. If the hook fails, the store stays unchanged. If the hook returns a context,
 * that context's tags are stored.
 */
export type PostBuildHook = (
  context: BuildContext,
  packed: Packed
) => Effect.Effect<BuildContext | void, unknown, BuilderServices>

/**
 * A builder in the config: a function, which may have hooks attached (`Object.assign(build, { preBuild: [hook] })`; `docker` and `command`
 * take hooks as options). The builder's scope stays open until the tarball is stored, so a builder cleans up in finalizers.
 */
export interface Builder {
  (context: BuildContext): Effect.Effect<Artifact, unknown, BuilderServices>
  /** Hooks that run one after another before the builder. */
  readonly preBuild?: ReadonlyArray<PreBuildHook>
  /** Hooks that run one after another on the finished tarball. */
  readonly postBuild?: ReadonlyArray<PostBuildHook>
  /** The mistakes in the builder's options, one line each (`dockerfile: must be …`). A builder with mistakes fails with them when it is called. */
  readonly mistakes?: ReadonlyArray<string>
  /** The builder's settings by name, for `validate`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A builder with invalid options was called. */
export class BuilderOptionsInvalid extends Schema.TaggedError<BuilderOptionsInvalid>()("BuilderOptionsInvalid", {
  /** The function that made the builder. */
  builder: Schema.String,
  mistakes: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `The options of ${this.builder}({ … }) are not usable: ${this.mistakes.join("; ")}`
  }
}
