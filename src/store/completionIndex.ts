/**
 * Keeps the index of a project for completion: a command that loaded the config or changed the store writes it when it ends.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Release } from "../domain/Release.ts"
import { address } from "../domain/Target.ts"
import {
  type IndexedRelease,
  noFile,
  type ProjectIndex,
  projectState,
  readIndex,
  writeIndex
} from "../internal/projectIndex.ts"
import type { DeployerConfig } from "../workspace/Config.ts"
import { Workspace, type WorkspacePaths } from "../workspace/Workspace.ts"
import { ReleaseStore } from "./ReleaseStore.ts"

/** Older releases are not offered. */
const most = 100

const ofConfig = ({ groups, targets }: DeployerConfig): Pick<ProjectIndex, "groups" | "targets"> => ({
  targets: Object.entries(targets).map(([key, target]) => ({
    key,
    address: `${address(target)}:${target.path}`,
    name: target.name
  })),
  groups: Object.entries(groups).map(([key, { targets }]) => ({ key, targets }))
})

const ofRelease = ({ createdAt, id, name, ref, tags }: Release): IndexedRelease => ({
  id: `${id}`,
  ref,
  name,
  tags,
  builtAt: createdAt.epochMillis
})

/** The index that fits the project now. Undefined if the config was changed and nobody has loaded it since. */
const fresh = (
  workspace: Workspace["Type"],
  paths: WorkspacePaths,
  loaded: Loaded | undefined
): Effect.Effect<ProjectIndex | undefined> =>
  Effect.gen(function* () {
    const old = readIndex(paths)
    const now = projectState(paths)
    const { config, parts } = loaded ?? { config: old?.config, parts: old }
    if (config !== now.config || parts === undefined) return undefined
    if (old !== undefined && old.config === config && old.database === now.database && old.failed === undefined)
      return undefined
    const isMade = !now.database.startsWith(noFile)
    const list = Effect.flatMap(ReleaseStore, (store) => store.list({ limit: most })).pipe(
      // The command's own store is already closed.
      Effect.provide(Layer.provide(ReleaseStore.layer, Layer.succeed(Workspace, workspace)))
    )
    const first = isMade ? yield* list : []
    // The first look may note in the database that its tarballs are there. A second one changes nothing.
    const { database } = projectState(paths)
    const releases = database === now.database ? first : yield* list
    const { groups, targets } = parts
    return { database, config, targets, groups, releases: releases.map(ofRelease) }
  }).pipe(Effect.catchAllCause(() => Effect.succeed(undefined)))

interface Loaded {
  /** The state of the config's file before it was read. */
  readonly config: string
  readonly parts: Pick<ProjectIndex, "groups" | "targets">
}

/** Lets a workspace keep the project's index. Nothing that goes wrong with it is the command's failure. */
export const indexed = (self: Layer.Layer<Workspace>): Layer.Layer<Workspace> =>
  Layer.scoped(
    Workspace,
    Effect.gen(function* () {
      const workspace = yield* Workspace
      let loaded: Loaded | undefined
      const config = Effect.gen(function* () {
        const state = yield* Effect.map(workspace.paths, projectState)
        const config = yield* workspace.config
        loaded ??= { config: state.config, parts: ofConfig(config) }
        return config
      })
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(workspace.paths, (paths) =>
          Effect.map(fresh(workspace, paths, loaded), (index) =>
            index === undefined ? undefined : writeIndex(paths, index)
          )
        ).pipe(Effect.ignore)
      )
      return { ...workspace, config }
    })
  ).pipe(Layer.provide(self))
