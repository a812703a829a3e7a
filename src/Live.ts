/**
 * All live layers, composed once. Building them opens nothing: each opens its resources at its first use.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { DockerBuilder } from "./build/DockerBuilder.ts"
import * as AnyHost from "./host/AnyHost.ts"
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
  "effect-deployer": () =>
    import("./library.ts").then((library) => ({ ...library, Deployer: { layer, modules, platform } }))
}

/** Everything the commands need on this machine, for the project at `root`. Default: the project found from the working directory. */
export const layer = ({ root = Option.none() }: { readonly root?: Option.Option<string> } = {}) =>
  Layer.mergeAll(AnyHost.layer, ReleaseStore.layer, DockerBuilder.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(Workspace.layer({ root, modules }), Prompt.layer)),
    Layer.provideMerge(Reporter.terminal),
    Layer.provideMerge(platform)
  )
