/**
 * `build`: runs a target's builder, packs its artifact and adds it to the store.
 */
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Artifact, type BuildContext, type Builder, BuilderOptionsInvalid, BuildFailed } from "../build/Builder.ts"
import { DockerBuilderError } from "../build/DockerErrors.ts"
import { sourceState } from "../build/git.ts"
import { extraFile, pack } from "../build/Tarball.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { Metadata, Release, Tag } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import { messageOf } from "../internal/messageOf.ts"
import { variable } from "../internal/process.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, duration } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { findBuilder, findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { optional, target, task, value } from "./Task.ts"

/** The options of a build. */
export interface BuildOptions {
  /** A key of `targets`. */
  readonly target: string
  /** A file to put at the root of the tarball, beside the release. Relative to the project root. */
  readonly envFileName?: string | undefined
}

/** The result of a build. */
export class BuildReport extends Schema.TaggedClass<BuildReport>()("BuildReport", {
  release: Release,
  /** Whether the store already had a release with the same bytes. Default: no. */
  known: Schema.optional(Schema.Boolean)
}) {}

/** Builds a release for a target and returns a report. */
export const build = Effect.fn("build")(
  function* (options: BuildOptions) {
    const workspace = yield* Workspace
    const path = yield* Path.Path
    const config = yield* workspace.config
    const { root } = yield* workspace.paths
    const target = yield* findTarget(config, options.target)
    const builder = yield* findBuilder(config, target)
    const extraFiles =
      options.envFileName === undefined ? [] : [yield* extraFile(path.resolve(root, options.envFileName), target.name)]

    const store = yield* ReleaseStore
    // Fails now if the store cannot be opened, not after minutes of building.
    yield* store.names
    const createdAt = yield* DateTime.now
    const newest = yield* sourceDateEpoch
    const timestamp = newest ?? Math.floor(createdAt.epochMillis / 1000)
    const temp = yield* workspace.scratch
    const source = yield* sourceState(root)
    const asked: BuildContext = { name: target.name, target, tags: target.tags, timestamp, root, temp }
    const [elapsed, { metadata, packing, parcel, tags }] = yield* Effect.timed(
      runBuilder(builder, asked, { extraFiles, newest })
    )

    const release = yield* store.add(parcel, {
      name: target.name,
      tags,
      createdAt,
      manifest: yield* packing.manifest,
      members: yield* packing.members,
      metadata: Metadata.make({
        ...source,
        ...metadata,
        builder: builderKey(target),
        binaries: yield* packing.binaries,
        buildMillis: Math.round(Duration.toMillis(elapsed))
      })
    })
    const known = DateTime.lessThan(release.createdAt, createdAt)
    const before = release.metadata.commit
    if (known && before !== undefined && source.commit !== undefined && before !== source.commit) {
      yield* Reporter.note(
        `The commit differs from the one when this release was stored (${before.slice(0, 8)}, now ${source.commit.slice(0, 8)}). If the release should differ, the engine took a changed file for the old one, as BuildKit does if size and time are equal: touch that file and build again`
      )
    }
    return BuildReport.make({ release, ...(known ? { known } : {}) })
  },
  Effect.scoped,
  (self, { target }) => Reporter.about({ target })(self)
)

/** The failures of `build`. */
export type BuildError = Effect.Effect.Error<ReturnType<typeof build>>
/** The services that `build` needs. */
export type BuildServices = Effect.Effect.Context<ReturnType<typeof build>>

/** The newest time allowed in the build's output, in Unix seconds. See https://reproducible-builds.org/specs/source-date-epoch. */
const sourceDateEpoch = Effect.flatMap(variable("SOURCE_DATE_EPOCH"), (text) => {
  if (text === undefined || text === "") return Effect.succeed(undefined)
  return /^[0-9]{1,11}$/.test(text)
    ? Effect.succeed(Number(text))
    : new BuildFailed({
        message: `The variable SOURCE_DATE_EPOCH is "${text}": it must be seconds since 1970, for instance of "git log -1 --pretty=%ct", or not be set`,
        status: 2
      })
})

const builderKey = (target: Target): string => target.builder ?? target.key

/**
 * Hooks, builder, packing, hooks. The name is always the target's. Hooks may change the tags and any field that their own builder reads.
 */
const runBuilder = Effect.fnUntraced(function* (
  builder: Builder,
  asked: BuildContext,
  options: Pick<Parameters<typeof pack>[1], "extraFiles" | "newest">
) {
  const store = yield* ReleaseStore
  let context = asked
  for (const hook of builder.preBuild ?? []) {
    const before = context
    context = yield* changed(before, "A pre-build hook", () => hook(before))
  }
  const given = context
  yield* Reporter.note(`Building ${asked.name} with ${builderKey(asked.target)}`)
  const artifact = yield* runUserCode("The builder", () => builder(given)).pipe(
    Reporter.during({ _tag: "Build", builder: builderKey(asked.target) })
  )
  if (!isArtifact(artifact)) {
    return yield* new BuildFailed({
      message: "The builder returned no artifact: it must be { tree, metadata }, as fromDirectory returns"
    })
  }
  const packing = pack(artifact.tree, { name: asked.name, ...options })
  const parcel = yield* store
    .receive(packing.content.pipe(Reporter.transfer(`packing ${asked.name}`)))
    .pipe(Reporter.during({ _tag: "Pack" }))
  yield* Effect.forEach(yield* packing.remarks, Reporter.warn)
  for (const hook of builder.postBuild ?? []) {
    const before = context
    const packed = { tarball: parcel.path, ref: parcel.ref, sha256: parcel.sha256, size: parcel.size }
    context = yield* changed(before, "A post-build hook", () => hook(before, packed))
  }
  return { tags: context.tags, packing, parcel, metadata: artifact.metadata }
})

/** The context after a hook. No compiler checks every user's hook, so the tags are checked here. */
const changed = <R>(
  context: BuildContext,
  what: string,
  hook: () => Effect.Effect<BuildContext | void, unknown, R>
): Effect.Effect<BuildContext, BuilderError, R> =>
  Effect.flatMap(runUserCode(what, hook), (yielded) => {
    const next = { ...context, ...yielded, name: context.name }
    const bad = next.tags.find((tag) => !Schema.is(Tag)(tag))
    return bad === undefined
      ? Effect.succeed(next)
      : new BuildFailed({
          message: `${what} returned the tag "${bad}", and nothing was stored: tags are 1 to 128 printable characters without blanks and commas`
        })
  })

/** Runs a function of the user's config. */
const runUserCode = <A, R>(what: string, run: () => Effect.Effect<A, unknown, R>): Effect.Effect<A, BuilderError, R> =>
  Effect.suspend(() => {
    const effect = run()
    return Effect.isEffect(effect)
      ? Effect.mapError(effect, buildFailure(what))
      : new BuildFailed({ message: `${what} returned no Effect: turn a Promise into one with Effect.promise(() => …)` })
  })

const isArtifact = (artifact: Artifact): boolean =>
  Predicate.hasProperty(artifact, "tree") && Predicate.hasProperty(artifact.tree, Stream.StreamTypeId)

const BuilderError = Schema.Union(BuildFailed, BuilderOptionsInvalid, DockerBuilderError)
/** The failures of the builders that come along, and `BuildFailed` for all that a user's own function fails with. */
type BuilderError = typeof BuilderError.Type

const isBuilderError = Schema.is(BuilderError)

/** A user's builder may fail with any value. Failures of our builders pass, and this turns all others into one sentence. */
const buildFailure =
  (what: string) =>
  (error: unknown): BuilderError => {
    if (isBuilderError(error)) return error
    const reason =
      messageOf(error) ??
      (error === undefined || error === null || error === ""
        ? "it did not say why"
        : Inspectable.toStringUnknown(error, 0))
    const status = Predicate.hasProperty(error, "exitStatus") ? error.exitStatus : undefined
    return isFailure(status)
      ? new BuildFailed({ message: reason, status, cause: error })
      : new BuildFailed({ message: `${what} failed, and nothing was stored: ${reason}`, cause: error })
  }

const isFailure = Schema.is(Schema.Int.pipe(Schema.between(1, 255)))

/** The result of a build. */
export const buildView =
  ({ known, release }: BuildReport): View =>
  () =>
    known === true
      ? `${releaseLabel(release)} (id ${release.id}, ${bytes(release.size)}, tags: ${release.tags.join(", ")}) is stored already, as ${release.fileName}: nothing in it changed`
      : `Stored ${releaseLabel(release)} (id ${release.id}, ${bytes(release.size)}, tags: ${release.tags.join(", ")}) as ${release.fileName}` +
        (release.metadata.buildMillis === undefined ? "" : ` in ${duration(release.metadata.buildMillis)}`)

/** The option for a file beside the release. */
export const envFileName = optional(
  value({
    name: "env-file-name",
    placeholder: "FILE",
    completes: "file",
    description: "a file to add at the root of the tarball, next to the release"
  })
)

/** The command. */
export const buildTask = task("build", {
  group: "build and deploy",
  description: "Builds a release, packs it and adds it to the release store.",
  examples: ["deployer build target=prod", "deployer build target=prod env_file_name=.env.prod"],
  options: { target, envFileName },
  report: { schema: BuildReport, view: buildView },
  run: build
})
