/** Disks in a file, of which a copy is what a power cut leaves: what the kernel has not written yet is not in it. */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { which } from "./userland.ts"

/** A file system and how large it has to be at least. */
export const fileSystems = { ext4: "64M", xfs: "320M" } as const

const tryIt = (kind: keyof typeof fileSystems): string | undefined => {
  if (which(`mkfs.${kind}`) === undefined) return `mkfs.${kind} not installed`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))
  const image = path.join(folder, "image")
  execFileSync("truncate", ["-s", fileSystems[kind], image])
  const made = spawnSync(`mkfs.${kind}`, ["-q", image]).status === 0
  const at = path.join(folder, "at")
  fs.mkdirSync(at)
  const mounted = made && spawnSync("mount", ["-o", "loop", image, at]).status === 0
  if (mounted) execFileSync("umount", [at])
  fs.rmSync(folder, { recursive: true })
  return mounted ? undefined : `${kind} cannot be mounted from a file`
}

/** Why tests with such a disk cannot run here. Undefined if they can, and in CI, where a missing part must fail. */
export const missingLoop = (kind: keyof typeof fileSystems): string | undefined =>
  process.env["CI"] === "true" ? undefined : tryIt(kind)

/** A disk that is mounted. */
export interface LoopDisk {
  readonly folder: string
  /** Mounts what a power cut at this moment leaves, and returns where. */
  readonly cut: Effect.Effect<string, never, Scope.Scope>
}

const mounted = (image: string, folder: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      fs.mkdirSync(folder, { recursive: true })
      execFileSync("mount", ["-o", "loop", image, folder])
    }),
    () => Effect.sync(() => spawnSync("umount", ["--lazy", folder]))
  )

/** A new disk, gone with the scope. */
export const loopDisk = (kind: keyof typeof fileSystems): Effect.Effect<LoopDisk, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))),
      (home) => Effect.sync(() => fs.rmSync(home, { recursive: true, maxRetries: 5 }))
    )
    const image = path.join(home, "image")
    execFileSync("truncate", ["-s", fileSystems[kind], image])
    execFileSync(`mkfs.${kind}`, ["-q", image])
    const folder = path.join(home, "disk")
    yield* mounted(image, folder)
    let cuts = 0
    return {
      folder,
      cut: Effect.gen(function* () {
        cuts += 1
        const copy = path.join(home, `copy${cuts}`)
        execFileSync("cp", ["--sparse=always", image, copy])
        // Both have the same name for XFS.
        if (kind === "xfs") {
          const at = path.join(home, `replay${cuts}`)
          fs.mkdirSync(at)
          execFileSync("mount", ["-o", "loop,nouuid", copy, at])
          execFileSync("umount", [at])
          execFileSync("xfs_admin", ["-U", "generate", copy])
        }
        const at = path.join(home, `cut${cuts}`)
        yield* mounted(copy, at)
        return at
      })
    }
  })
