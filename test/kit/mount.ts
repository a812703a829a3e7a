/** Small and read-only disks for tests. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const mount = (folder: string, options: string) =>
  spawnSync("mount", ["-t", "tmpfs", "-o", options, "deployer-test", folder], { encoding: "utf8" })

const tryIt = (): string | undefined => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-mount-"))
  const { status } = mount(folder, "size=64k")
  if (status === 0) spawnSync("umount", [folder])
  fs.rmdirSync(folder)
  return status === 0 ? undefined : "this user may not mount"
}

/** The reason why tests with disks of their own cannot run here. Undefined if they can. Also undefined in CI, so that a missing part fails there. */
export const missingMount: string | undefined = process.env["CI"] === "true" ? undefined : tryIt()

/** Mounts a disk in memory over a folder, with the options of tmpfs (`size=64k`); unmounted with the scope. */
export const disk = (folder: string, options: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      fs.mkdirSync(folder, { recursive: true })
      const { status, stderr } = mount(folder, options)
      if (status !== 0) throw new Error(`mount: ${stderr}`)
    }),
    () => Effect.sync(() => spawnSync("umount", ["--lazy", folder]))
  )

/** Mounts a folder a second time at another one, with options of its own; unmounted with the scope. */
export const bind = (from: string, folder: string, options: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      fs.mkdirSync(folder, { recursive: true })
      for (const words of [
        ["--bind", from, folder],
        ["-o", `remount,bind,${options}`, folder]
      ]) {
        const { status, stderr } = spawnSync("mount", words, { encoding: "utf8" })
        if (status !== 0) throw new Error(`mount: ${stderr}`)
      }
    }),
    () => Effect.sync(() => spawnSync("umount", ["--lazy", folder]))
  )

/** Changes how a disk of `disk` may be used from now on: `ro` or `rw`. */
export const remount = (folder: string, how: "ro" | "rw"): void => {
  const { status, stderr } = spawnSync("mount", ["-o", `remount,${how}`, folder], { encoding: "utf8" })
  if (status !== 0) throw new Error(`mount: ${stderr}`)
}
