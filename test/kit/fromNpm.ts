/**
 * Programs from the npm registry, each in a folder of its own: other versions of Node, and package managers. A version is installed once.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const cache = path.resolve(import.meta.dirname, "../../node_modules/.cache/deployer-tests")

/** The folder of a package, without the work of its install script. */
export const fromNpm = (name: string, version: string): string => {
  const folder = path.join(cache, `${name.replace("/", "+")}@${version}`)
  if (!fs.existsSync(folder)) {
    const temporary = `${folder}.${process.pid}`
    fs.mkdirSync(temporary, { recursive: true })
    const options = ["--prefix", temporary, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    execFileSync("npm", ["install", ...options, `${name}@${version}`], { stdio: ["ignore", "ignore", "pipe"] })
    fs.renameSync(temporary, folder)
  }
  return path.join(folder, "node_modules", name)
}

/** The folder that has `bin/node` of a version. */
export const nodeOf = (version: string): string => fromNpm(`node-${process.platform}-${process.arch}`, version)
