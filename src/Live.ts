/**
 * All live layers, composed once. Building them opens nothing: each opens its resources at its first use.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Layer from "effect/Layer"
import { DockerBuilder } from "./build/DockerBuilder.ts"
import * as AnyHost from "./host/AnyHost.ts"
import * as library from "./library.ts"
import { indexed } from "./store/completionIndex.ts"
import { ReleaseStore } from "./store/ReleaseStore.ts"
import { Prompt } from "./terminal/Prompt.ts"
import { Reporter } from "./terminal/Reporter.ts"
import type { Modules } from "./workspace/configFile.ts"
import { Workspace } from "./workspace/Workspace.ts"

/** This machine's files, paths, processes and terminal: the services available to builders. */
export const platform: Layer.Layer<NodeContext.NodeContext> = NodeContext.layer

/** The modules of this package that a config may import. */
export const modules: Modules = {
  // Not the index, which exports this module: imports have no circles.
  "effect-deployer": () => Promise.resolve({ ...library, Deployer: { layer, layerSilent, modules, platform } }),
  "effect-deployer/host": () => import("./host.ts"),
  "effect-deployer/store": () => import("./store.ts"),
  "effect-deployer/testing": () => import("./testing.ts")
}

/** The project of the layers. */
export interface ProjectOptions {
  /** Its root, absolute or relative to the working directory. Default: the nearest folder upwards that holds `deployer/config`. */
  readonly root?: string | undefined
}

/**
 * Everything the commands need on this machine, as the command line does it: they ask on the terminal and report there, or to the reporter
 * given.
 */
export const layer = <E = never>(
  options: ProjectOptions = {},
  reporter: Layer.Layer<Reporter, E> = Reporter.terminal
) => Layer.provideMerge(services(options).pipe(Layer.provideMerge(Prompt.layer)), reporter)

/**
 * The same for programs: nothing is shown, safe questions are answered with yes, and others fail with `PromptUnavailable`. A `Reporter` of
 * your own gets the events.
 */
export const layerSilent = (options: ProjectOptions = {}) =>
  services(options).pipe(Layer.provideMerge(Prompt.yes.pipe(Layer.provide(Prompt.never))))

/** The same for the command line, which also keeps the project's index for completion. */
export const layerIndexed = <E>({ root }: ProjectOptions, reporter: Layer.Layer<Reporter, E>) =>
  Layer.provideMerge(
    servicesIn(indexed(Workspace.layer({ root, modules }))).pipe(Layer.provideMerge(Prompt.layer)),
    reporter
  )

const services = ({ root }: ProjectOptions) => servicesIn(Workspace.layer({ root, modules }))

const servicesIn = (workspace: Layer.Layer<Workspace>) =>
  Layer.mergeAll(AnyHost.layer, ReleaseStore.layer, DockerBuilder.layer).pipe(
    Layer.provideMerge(workspace),
    Layer.provideMerge(platform)
  )
