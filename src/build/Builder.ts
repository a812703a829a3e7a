/**
 * What builds a release: any function from the build context to an Effect that yields an artifact.
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

/** What a builder and its hooks are told. */
export interface BuildContext {
  /** The release's name; the tarball's root holds a folder of this name. */
  readonly name: string
  readonly target: Target
  /** Given to the release, besides `latest`. */
  readonly tags: ReadonlyArray<string>
  /** Unix time in seconds at which the build began, or what `SOURCE_DATE_EPOCH` says. */
  readonly timestamp: number
  /** The project root, absolute. */
  readonly root: string
  /** An empty folder of this build's own, absolute; removed however the build ends. */
  readonly temp: string
}

/** A directory of files as a builder leaves it. */
export interface Artifact {
  /** An uncompressed tar stream. Its entries are relative to the release's own folder: `./bin/my_app`, not `./my_app/bin/my_app`. Read once. */
  readonly tree: Stream.Stream<Uint8Array, BuildFailed>
  readonly metadata: Pick<Metadata, "image" | "platform">
}

/** A build step failed; `message` is the sentence for the user. */
export class BuildFailed extends Schema.TaggedError<BuildFailed>()("BuildFailed", {
  message: Schema.String,
  /** Exit status of the command that needed the build; 1 where nothing is said. */
  status: Schema.optionalWith(Schema.Int, { default: () => 1 }),
  /** What the builder or the hook failed with. */
  cause: Schema.optional(Schema.Defect)
}) {
  get exitStatus(): number {
    return this.status
  }
}

/** The services that a builder and its hooks may ask for. */
export type BuilderServices =
  | DockerBuilder
  | CommandExecutor.CommandExecutor
  | FileSystem.FileSystem
  | Path.Path
  | Scope.Scope

/** What a post-build hook is told about the tarball that is about to be stored. */
export interface Packed {
  /** Absolute path of the finished tarball, still in `temp/`. */
  readonly tarball: string
  readonly ref: string
  readonly sha256: string
  /** Bytes. */
  readonly size: number
}

/** Runs before the builder. What it yields replaces the context; nothing leaves it as it was. */
export type PreBuildHook = (context: BuildContext) => Effect.Effect<BuildContext | void, unknown, BuilderServices>

/** Runs on the finished tarball, before it is stored: a failure leaves the store as it was. A context that it yields decides the tags. */
export type PostBuildHook = (
  context: BuildContext,
  packed: Packed
) => Effect.Effect<BuildContext | void, unknown, BuilderServices>

/**
 * A builder of the config: a function, to which hooks may be attached (`Object.assign(build, { preBuild: [hook] })`;
 * `docker` and `command` take them as options). Its scope stays open until the tarball is stored, so finalizers are the
 * place to clean up.
 */
export interface Builder {
  (context: BuildContext): Effect.Effect<Artifact, unknown, BuilderServices>
  /** Run one after another before the builder. */
  readonly preBuild?: ReadonlyArray<PreBuildHook>
  /** Run one after another on the finished tarball. */
  readonly postBuild?: ReadonlyArray<PostBuildHook>
  /** What is wrong with the options it was made from, a line each (`dockerfile: must be …`); when called it fails with them. */
  readonly mistakes?: ReadonlyArray<string>
}

/** A builder was called that had been made from options that make no sense. */
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
