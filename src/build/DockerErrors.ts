/** The failures of a build in a container. */
import * as Schema from "effect/Schema"
import { WorkspaceInContext } from "./ignoreFiles.ts"

/** The engine's program is missing, or the engine does not answer. */
export class EngineUnavailable extends Schema.TaggedError<EngineUnavailable>()("EngineUnavailable", {
  engine: Schema.String,
  /** The engine's message, one line. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Building needs a container engine, and "${this.engine}" did not answer: ${this.detail.replace(/(?<![.!?])$/, ".")} Start the engine, or name another one with engine: "podman" in the builder`
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

/** The image has neither a directory nor a file at `releasePath`. */
export class ReleasePathMissing extends Schema.TaggedError<ReleasePathMissing>()("ReleasePathMissing", {
  releasePath: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The image has no directory or file ${this.releasePath} to take the release from (${this.detail}): set "releasePath" in the builder to the path of the release in the image`
  }
}

/** The image was built, but the engine could not make a container of it. */
export class ContainerFailed extends Schema.TaggedError<ContainerFailed>()("ContainerFailed", {
  engine: Schema.String,
  /** The engine's message, one line. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    const found = `The image was built, but "${this.engine} create" could not make a container of it: ${this.detail}`
    return /no such image|unable to find image|pull access denied/i.test(this.detail)
      ? `${found}. If the engine builds in a container of its own, add "--load" to "args" in the builder`
      : found
  }
}

/** The image is for another platform than requested, or several were requested. */
export class PlatformDiffers extends Schema.TaggedError<PlatformDiffers>()("PlatformDiffers", {
  /** The requested platform. */
  wanted: Schema.String,
  /** The image's platform, as `os/architecture`. Undefined if the image was not built, because several platforms were requested. */
  found: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return this.found === undefined
      ? `The builder asks the engine for the platforms ${this.wanted}, but a release is for one platform: name one in "args" of the builder, and write a builder for each of the others`
      : `The builder asked the engine for the platform ${this.wanted}, but the image is for ${this.found}; nothing was stored. Use BuildKit, which builds for other platforms, or a base image for ${this.wanted}`
  }
}

/** Any failure of a build in a container. */
export const DockerBuilderError = Schema.Union(
  EngineUnavailable,
  DockerfileMissing,
  WorkspaceInContext,
  ImageBuildFailed,
  PlatformDiffers,
  ContainerFailed,
  ReleasePathMissing
)
/** Any failure of a build in a container. */
export type DockerBuilderError = typeof DockerBuilderError.Type
