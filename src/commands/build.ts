/**
 * `build`: runs a target's builder, packs what it leaves and files it in the store.
 */
import * as Path from "@effect/platform/Path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type BuildContext, type Builder, BuildFailed } from "../build/Builder.ts"
import { sourceState } from "../build/git.ts"
import { extraFile, pack } from "../build/Tarball.ts"
import { Metadata, Release } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { findBuilder, findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"

/** What to build. */
export interface BuildOptions {
  /** A key of `targets`. */
  readonly target: string
  /** A file to put at the root of the tarball, beside the release; relative to the project root. */
  readonly envFileName?: string | undefined
}

/** What was built. */
export class BuildReport extends Schema.Class<BuildReport>("BuildReport")({ release: Release }) {}

/** Builds a release for a target and yields what was stored. */
export const build = Effect.fn("build")(function* (options: BuildOptions) {
  const workspace = yield* Workspace
  const path = yield* Path.Path
  const config = yield* workspace.config
  const { root } = yield* workspace.paths
  const target = yield* findTarget(config, options.target)
  const builder = yield* findBuilder(config, target)
  const extraFiles =
    options.envFileName === undefined ? [] : [yield* extraFile(path.resolve(root, options.envFileName), target.name)]

  const createdAt = yield* DateTime.now
  const timestamp = Math.floor(createdAt.epochMillis / 1000)
  const temp = yield* workspace.scratch
  const source = yield* sourceState(root)
  const asked: BuildContext = { name: target.name, target, tags: target.tags, timestamp, root, temp }
  const [elapsed, { context, metadata, packing, parcel }] = yield* Effect.timed(runBuilder(builder, asked, extraFiles))

  const release = yield* (yield* ReleaseStore).add(parcel, {
    name: context.name,
    tags: context.tags,
    createdAt,
    manifest: yield* packing.manifest,
    metadata: Metadata.make({
      ...source,
      ...metadata,
      builder: builderKey(target),
      buildMillis: Math.round(Duration.toMillis(elapsed))
    })
  })
  return BuildReport.make({ release })
}, Effect.scoped)

const builderKey = (target: Target): string => target.builder ?? target.key

/** Hooks, builder, packing, hooks. The name is the target's from beginning to end: hooks may change tags and whatever their own builder reads. */
const runBuilder = Effect.fnUntraced(function* (
  builder: Builder,
  asked: BuildContext,
  extraFiles: Parameters<typeof pack>[1]["extraFiles"] & {}
) {
  const store = yield* ReleaseStore
  let context = asked
  for (const hook of builder.preBuild ?? []) {
    context = (yield* hook(context).pipe(Effect.mapError(buildFailure("A pre-build hook")))) ?? context
  }
  yield* Reporter.note(`Building ${context.name} with ${builderKey(context.target)}`)
  const artifact = yield* builder(context).pipe(Effect.mapError(buildFailure("The builder")))
  const packing = pack(artifact.tree, { name: context.name, extraFiles })
  const parcel = yield* store.receive(packing.content.pipe(Reporter.transfer(`packing ${context.name}`)))
  for (const hook of builder.postBuild ?? []) {
    const packed = { tarball: parcel.path, ref: parcel.ref, sha256: parcel.sha256, size: parcel.size }
    context = (yield* hook(context, packed).pipe(Effect.mapError(buildFailure("A post-build hook")))) ?? context
  }
  return { context, packing, parcel, metadata: artifact.metadata }
})

/** A builder of the user's may fail with anything; what is known of it goes into one sentence. */
const buildFailure =
  (what: string) =>
  (error: unknown): BuildFailed => {
    if (error instanceof BuildFailed) return error
    const said =
      Predicate.hasProperty(error, "message") && typeof error.message === "string" ? error.message : String(error)
    const status =
      Predicate.hasProperty(error, "exitStatus") && typeof error.exitStatus === "number" ? error.exitStatus : undefined
    return new BuildFailed({
      message: status === undefined ? `${what} failed, and nothing was stored: ${said}` : said,
      status: status ?? 1,
      cause: error
    })
  }
