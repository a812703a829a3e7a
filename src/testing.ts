/**
 * `effect-deployer/testing`: everything in memory, for tests of your own deployments.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Layer from "effect/Layer"
import { type DockerBuild, DockerBuilder, type MemoryImage } from "./build/DockerBuilder.ts"
import * as MemoryHost from "./host/MemoryHost.ts"
import { ReleaseStore } from "./store/ReleaseStore.ts"
import { Prompt } from "./terminal/Prompt.ts"
import { Reporter } from "./terminal/Reporter.ts"
import type { ConfigInput } from "./workspace/Config.ts"
import { Workspace } from "./workspace/Workspace.ts"

export { DockerMemory, type MemoryImage } from "./build/DockerBuilder.ts"
export type { MemoryFile } from "./build/MemoryFile.ts"
/** Hosts in memory. */
export * as MemoryHost from "./host/MemoryHost.ts"
export { ctrlC, ctrlD, Script } from "./terminal/Prompt.ts"
export { Reported } from "./terminal/Reporter.ts"

/** The parts of a world in memory that differ from test to test. */
export interface MemoryOptions {
  /** The images that Dockerfiles lead to, as `DockerBuilder.layerMemory` takes them. Default: no Dockerfile exists. */
  readonly images?: Readonly<Record<string, MemoryImage>> | ((build: DockerBuild) => MemoryImage | undefined)
  /** The answers that the user types, in order, as `Prompt.layerScripted` takes them. Default: none. */
  readonly answers?: ReadonlyArray<string>
}

/**
 * Everything the commands need, in memory: the config is a value, each host that a target names exists and is empty, and `Reported` has the
 * events.
 */
export const layerMemory = (config: ConfigInput, { answers = [], images = {} }: MemoryOptions = {}) =>
  Layer.mergeAll(
    Workspace.layerMemory(config),
    ReleaseStore.layerMemory,
    MemoryHost.layer,
    DockerBuilder.layerMemory(images),
    Prompt.layerScripted(answers),
    Reporter.collect
  ).pipe(Layer.provideMerge(NodeContext.layer))
