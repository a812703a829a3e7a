/**
 * A script whose compiled code is kept in the cache folder. Compiling deployer takes longer than a small command does.
 */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { Script } from "node:vm"
import { cacheFolder } from "../internal/cacheFolder.ts"

/** How long the code of another version of deployer or of Node is kept, in milliseconds. */
const shelfLife = 30 * 24 * 3_600_000

/** The length of a SHA-256, which stands before the code: V8 runs damaged code without a check. */
const sumLength = 32

const sumOf = (code: Uint8Array) => createHash("sha256").update(code).digest()

/** The kept code. Undefined if there is none, or if it is damaged. */
const readCode = (file: string): Buffer | undefined => {
  try {
    const kept = readFileSync(file)
    const code = kept.subarray(sumLength)
    return sumOf(code).equals(kept.subarray(0, sumLength)) ? code : undefined
  } catch {
    return undefined
  }
}

/** Writes the code by rename, because other processes read it. Without space or permission the next start compiles again. */
const writeCode = (folder: string, name: string, code: Uint8Array) => {
  const temporary = join(folder, `${name}.${process.pid}`)
  try {
    writeFileSync(temporary, Buffer.concat([sumOf(code), code]), { flag: "wx", mode: 0o600 })
    renameSync(temporary, join(folder, name))
    const written = (name: string) => statSync(join(folder, name)).mtimeMs
    const others = readdirSync(folder).filter((other) => /\.code(?:\.\d+)?$/.test(other))
    for (const other of others.filter((other) => written(name) - written(other) > shelfLife))
      rmSync(join(folder, other))
  } catch {
    rmSync(temporary, { force: true })
  }
}

/** A loaded script. */
export interface LoadedScript<A> {
  readonly value: A
  /** Writes the code that is compiled so far, unless the script came from kept code. It takes some 20 ms, and only the first call counts. */
  readonly keepCode: () => void
}

/**
 * Runs a script file, whose text is a function of `require`, of `import` and of the file's URL, and returns the function's value. The hash is that
 * of the text: V8 itself would take the code of another text of equal length.
 */
export const loadScript = <A>(url: URL, hash: string, load: (file: string) => Promise<object>): LoadedScript<A> => {
  const file = fileURLToPath(url)
  const folder = cacheFolder()
  // V8 takes no code that was made with other options.
  const { arch, env, execArgv, version } = process
  const key = sumOf(Buffer.from(JSON.stringify([hash, arch, version, execArgv, env["NODE_OPTIONS"]]))).toString("hex")
  const name = `program-${key.slice(0, 16)}.code`
  const cachedData = folder === undefined ? undefined : readCode(join(folder, name))
  const script = new Script(readFileSync(file, "utf8"), { filename: file, cachedData })
  let isKept = folder === undefined || (cachedData !== undefined && script.cachedDataRejected !== true)
  return {
    value: script.runInThisContext()(createRequire(url), load, url.href),
    keepCode: () => {
      if (isKept || folder === undefined) return
      isKept = true
      writeCode(folder, name, script.createCachedData())
    }
  }
}
