/**
 * Builds artifacts from a Dockerfile with a container engine's own command line (docker, podman, or compatible).
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Artifact } from "./Builder.ts"

/** One image to build and the directory to take out of it. */
export interface DockerBuild {
  /** Name of the release; the build argument `deployer_name`. */
  readonly name: string
  /** Unix seconds; the build argument `deployer_ts`. */
  readonly timestamp: number
  /** Absolute path of the build context. */
  readonly context: string
  /** Absolute path of the Dockerfile. */
  readonly dockerfile: string
  /** Further words for `<engine> build`, each one argument, before the context. */
  readonly args: ReadonlyArray<string>
  readonly buildArgs: Readonly<Record<string, string>>
  /** Absolute path in the image. If it holds a directory named like the release, that is the release, otherwise all of it is. */
  readonly releasePath: string
  /** `docker`, `podman` or the path of a compatible program. */
  readonly engine: string
  /** A folder for the build's own small files. */
  readonly temp: string
}

/** The engine's program is missing, or no engine answers it. */
export class EngineUnavailable extends Schema.TaggedError<EngineUnavailable>()("EngineUnavailable", {
  engine: Schema.String,
  /** What the engine said, one line. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Building needs a container engine, and "${this.engine}" did not answer: ${this.detail}. Start the engine, or name another one with engine: "podman" in the builder`
  }
}

/** The Dockerfile of a builder does not exist. */
export class DockerfileMissing extends Schema.TaggedError<DockerfileMissing>()("DockerfileMissing", {
  path: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `There is no Dockerfile at ${this.path}: write one, or set "dockerfile" in the builder`
  }
}

/** `<engine> build` ended with an error; its output has been shown. */
export class ImageBuildFailed extends Schema.TaggedError<ImageBuildFailed>()("ImageBuildFailed", {
  engine: Schema.String,
  dockerfile: Schema.String,
  status: Schema.Int
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `"${this.engine} build" of ${this.dockerfile} failed with status ${this.status}; its output above says why. Nothing was stored`
  }
}

/** The image has no directory at `releasePath`. */
export class ReleasePathMissing extends Schema.TaggedError<ReleasePathMissing>()("ReleasePathMissing", {
  releasePath: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The image has no directory ${this.releasePath} to take the release from (${this.detail}): set "releasePath" in the builder to where the Dockerfile leaves it`
  }
}

/** Any failure of a build in a container. */
export type DockerBuilderError = EngineUnavailable | DockerfileMissing | ImageBuildFailed | ReleasePathMissing

/** Builds artifacts in containers. */
export class DockerBuilder extends Context.Tag("deployer/DockerBuilder")<
  DockerBuilder,
  {
    /**
     * Builds the image, showing the engine's output through the reporter, and yields the release inside it as a stream.
     * Closing the scope removes the container and the image; the engine's layer cache stays.
     */
    readonly build: (build: DockerBuild) => Effect.Effect<Artifact, DockerBuilderError, Scope.Scope>
    /** Removes containers and images that killed builds of this machine left behind; yields how many. Never fails: without an engine there is nothing to remove. */
    readonly sweep: (engine: string) => Effect.Effect<number>
  }
>() {}
