/**
 * A folder for what can be made again at any time, so that it need not be made each time.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { isAbsolute, join } from "node:path"
import process from "node:process"
import { homeFolder } from "./homeFolder.ts"

/** Beyond so many compiled files they are removed: what was for projects that are gone goes with them. */
const most = 200

/**
 * `$XDG_CACHE_HOME/effect-deployer`, by default `~/.cache/effect-deployer`; made where it is missing. Absent where it cannot be used, or is not ours
 * alone: code is run from it.
 */
export const cacheFolder = (): string | undefined => {
  const { XDG_CACHE_HOME: base = "" } = process.env
  try {
    const given = isAbsolute(base) ? base : undefined
    const above = given ?? homeFolder()
    // With sudo the home may be somebody else's.
    if (!isAbsolute(above) || statSync(above).uid !== process.geteuid?.()) return undefined
    const folder = join(given ?? join(above, ".cache"), "effect-deployer")
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = statSync(folder)
    if (uid !== process.geteuid() || (mode & 0o077) !== 0) return undefined
    const files = readdirSync(folder).filter((name) => /\.[cm]js$/.test(name))
    if (files.length > most) for (const file of files) rmSync(join(folder, file), { force: true })
    return folder
  } catch {
    return undefined
  }
}
