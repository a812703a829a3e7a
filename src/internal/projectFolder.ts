/**
 * Where the parts of a project are. It loads nothing, so that completion starts fast.
 */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"

/** Absolute paths of the workspace's parts. */
export interface WorkspacePaths {
  /** The project root: the folder that holds `deployer/`. */
  readonly root: string
  readonly configFile: string
  /** The SQLite file. */
  readonly database: string
  readonly releaseStore: string
  readonly temp: string
}

const configNames = ["deployer_config.ts", "deployer_config.mts", "deployer_config.js", "deployer_config.mjs"]

/** The paths of a project root's workspace, whether it exists or not. */
export const workspacePaths = (root: string): WorkspacePaths => {
  const configs = configNames.map((name) => join(root, "deployer", "config", name))
  return {
    root,
    configFile: configs.find((file) => existsSync(file)) ?? join(root, "deployer", "config", "deployer_config.ts"),
    database: join(root, "deployer", "config", "deployer_store.db"),
    releaseStore: join(root, "deployer", "release_store"),
    temp: join(root, "deployer", "temp")
  }
}

/** The nearest folder, this one or one above it, that holds a workspace. */
export const findRoot = (from: string): string | undefined =>
  existsSync(join(from, "deployer", "config")) ? from : from === dirname(from) ? undefined : findRoot(dirname(from))
