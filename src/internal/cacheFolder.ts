/**
 * A folder for files that can be made again at any time.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { isAbsolute, join } from "node:path"
import process from "node:process"
import { homeFolder } from "./homeFolder.ts"

/** Beyond this number of compiled files and indexes, all of them are removed, including those of projects that are gone. */
const maxFiles = 200

/**
 * `$XDG_CACHE_HOME/effect-deployer`, by default `~/.cache/effect-deployer`. It is made if it is missing. Undefined if it cannot be used, or if others
 * can use it too: code is run from it.
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
    const files = readdirSync(folder).filter((name) => /\.(?:[cm]js|index|code)$/.test(name))
    if (files.length > maxFiles) for (const file of files) rmSync(join(folder, file), { force: true })
    return folder
  } catch {
    return undefined
  }
}
