/**
 * A folder for what can be made again at any time, so that it need not be made each time.
 */
import { mkdirSync, statSync } from "node:fs"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import process from "node:process"

/**
 * `$XDG_CACHE_HOME/deployer`, by default `~/.cache/deployer`; made where it is missing. Absent where it cannot be used, or is not ours
 * alone: code is run from it.
 */
export const cacheFolder = (): string | undefined => {
  const { XDG_CACHE_HOME: base = "" } = process.env
  try {
    const folder = join(isAbsolute(base) ? base : join(homedir(), ".cache"), "deployer")
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = statSync(folder)
    return uid === process.geteuid?.() && (mode & 0o022) === 0 ? folder : undefined
  } catch {
    return undefined
  }
}
