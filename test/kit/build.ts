/** Bundles the binary again if its sources are newer, so that tests can run the real one. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** The binary as users run it. */
export const binary = path.join(root, "dist/bin.js")

export default (): void => {
  const run = (...args: ReadonlyArray<string>) => spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" })
  const embedded = run("scripts/embed.mjs")
  const { status, stderr } = embedded.status === 0 ? run("scripts/build.mjs", "--stale") : embedded
  if (status !== 0) {
    // Tests that run the binary must not run an old one; the others need none.
    fs.rmSync(binary, { force: true })
    console.error(`dist/bin.js could not be built:\n${stderr}`)
  }
}
