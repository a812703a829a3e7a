/** Disks in a file, of which a copy is what a power cut leaves: what the kernel has not written yet is not in it. */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { which } from "./userland.ts"

/** A file system and how large it has to be at least. */
export const fileSystems = { ext4: "64M", xfs: "320M", btrfs: "128M" } as const

export type FileSystem = keyof typeof fileSystems

const make = (kind: FileSystem, image: string): boolean => {
  execFileSync("truncate", ["-s", fileSystems[kind], image])
  return spawnSync(`mkfs.${kind}`, ["-q", image]).status === 0
}

const tryIt = (kind: FileSystem): string | undefined => {
  if (which(`mkfs.${kind}`) === undefined) return `mkfs.${kind} not installed`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))
  const image = path.join(folder, "image")
  const at = path.join(folder, "at")
  fs.mkdirSync(at)
  const mounted = make(kind, image) && spawnSync("mount", ["-o", "loop", image, at]).status === 0
  if (mounted) execFileSync("umount", [at])
  fs.rmSync(folder, { recursive: true })
  return mounted ? undefined : `${kind} cannot be mounted from a file`
}

/** Why tests with such a disk cannot run here. Undefined if they can, and in CI, where a missing part must fail. */
export const missingLoop = (kind: FileSystem): string | undefined =>
  process.env["CI"] === "true" ? undefined : tryIt(kind)

/** A disk that is mounted. */
export interface LoopDisk {
  /** Where it is mounted. */
  readonly folder: string
  /** Keeps what a power cut at this moment leaves, unless it is what the former cut leaves. */
  readonly cut: (moment: string) => Effect.Effect<void>
  /** Takes the disk away, and mounts in its place what each of the cuts left, one after the other. */
  readonly afterEachCut: <E, R>(look: (moment: string) => Effect.Effect<void, E, R>) => Effect.Effect<void, E, R>
}

const mounted = (image: string, folder: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => execFileSync("mount", ["-o", "loop", image, folder])),
    () => Effect.sync(() => spawnSync("umount", [folder]))
  )

/** A new disk, gone with the scope. */
export const loopDisk = (kind: FileSystem): Effect.Effect<LoopDisk, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))),
      (home) => Effect.sync(() => fs.rmSync(home, { recursive: true, maxRetries: 5 }))
    )
    const folder = path.join(home, "disk")
    fs.mkdirSync(folder)
    const image = path.join(home, "image")
    if (!make(kind, image)) throw new Error(`mkfs.${kind} failed`)
    execFileSync("mount", ["-o", "loop", image, folder])
    // Whatever is mounted there at the end.
    yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["--lazy", folder])))
    const cuts: Array<{ readonly moment: string; readonly image: string }> = []
    return {
      folder,
      cut: (moment) =>
        Effect.sync(() => {
          const copy = path.join(home, `cut${cuts.length}`)
          execFileSync("cp", ["--sparse=always", image, copy])
          const former = cuts.at(-1)
          if (former !== undefined && spawnSync("cmp", ["-s", former.image, copy]).status === 0) fs.rmSync(copy)
          else cuts.push({ moment, image: copy })
        }),
      afterEachCut: (look) =>
        Effect.gen(function* () {
          // Two disks with one identity cannot be mounted side by side.
          execFileSync("umount", [folder])
          for (const { image, moment } of cuts)
            yield* Effect.scoped(Effect.zipRight(mounted(image, folder), look(moment)))
        })
    }
  })
