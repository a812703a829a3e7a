/** Disks in a file. A copy of the file is the disk after a power cut: the kernel has not written the rest to it yet. */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Transport } from "../../src/host/transport/Transport.ts"
import { which } from "./userland.ts"

/** Commits by a sync of some other file. */
const syncProbe = 'echo "$$" > "$disk/.probe" && sync "$disk/.probe"'

/**
 * How each file system is made and mounted. `commit` writes down all changes of metadata so far, but no content of files: the kernel does this
 * every few seconds, and ext4 and XFS also do it if any program syncs a file of its own. So it shows early the state after a cut at such a moment.
 * While a sync goes on, the files of ext4 and XFS get to the disk in any order; `amid` has the records first.
 */
const kinds = {
  ext4: { size: "64M", options: "loop", prepare: ":", commit: syncProbe, amid: true },
  // The disk and its copies have the same UUID.
  xfs: { size: "320M", options: "loop,nouuid", prepare: ":", commit: syncProbe, amid: true },
  btrfs: {
    size: "128M",
    options: "loop",
    prepare: 'btrfs subvolume create "$disk/.probe"',
    commit: 'btrfs subvolume snapshot "$disk/.probe" "$disk/.probe.$$" >/dev/null',
    amid: false
  }
} as const

export type FileSystem = keyof typeof kinds
export const fileSystems = ["ext4", "xfs", "btrfs"] as const satisfies ReadonlyArray<FileSystem>

/** Makes a file with an empty file system. */
const format = (kind: FileSystem, image: string): boolean => {
  execFileSync("truncate", ["-s", kinds[kind].size, image])
  if (spawnSync(`mkfs.${kind}`, ["-q", image]).status !== 0) return false
  // Blocks of zeros are not copied each time.
  spawnSync("fallocate", ["--dig-holes", image])
  return true
}

const mount = (kind: FileSystem, image: string, at: string): boolean => {
  fs.mkdirSync(at, { recursive: true })
  return spawnSync("mount", ["-t", kind, "-o", kinds[kind].options, image, at]).status === 0
}

const tryIt = (kind: FileSystem): string | undefined => {
  if (which(`mkfs.${kind}`) === undefined) return `mkfs.${kind} not installed`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))
  const image = path.join(folder, "image")
  const at = path.join(folder, "at")
  const isMounted = format(kind, image) && mount(kind, image, at)
  if (isMounted) execFileSync("umount", [at])
  fs.rmSync(folder, { recursive: true })
  return isMounted ? undefined : `${kind} cannot be mounted from a file`
}

/** The reason why tests with such a disk cannot run here. Undefined if they can. Also undefined in CI, so that a missing part fails there. */
export const missingLoop = (kind: FileSystem): string | undefined =>
  process.env["CI"] === "true" ? undefined : tryIt(kind)

/** The disk after a power cut. */
export interface Cut {
  /** When the power goes, as in `stage: before mv a b`. */
  readonly title: string
  readonly image: string
}

/** A disk that is mounted. */
export interface LoopDisk {
  readonly folder: string
  /** Wraps a transport over this machine: the disk is copied before and after each step. */
  readonly cutting: (transport: Transport) => Transport
  /** The environment for that transport: the disk is also copied before each program of a step that changes something. */
  readonly environment: { readonly PATH: string }
  /** Writes everything to the disk. */
  readonly flush: Effect.Effect<void>
  /** Copies the disk as it is. */
  readonly cut: (title: string) => Effect.Effect<void>
  /** All copies so far, oldest first. */
  readonly cuts: () => ReadonlyArray<Cut>
  /** Mounts a copy, as after a new start, and returns its folder. It is gone with the scope. */
  readonly mounted: (cut: Cut) => Effect.Effect<string, never, Scope.Scope>
}

/** Programs that change the order in which things get to the disk. */
const programs = ["ln", "mv", "rm", "rmdir", "sync"]

/**
 * Copies the disk; `$1` when, `$2` whether metadata is committed before that. A copy that the kernel wrote into meanwhile is made again, and
 * there is none if nothing was written since the last one.
 */
const copying = (home: string, kind: FileSystem, PATH: string) => `#!/bin/sh
PATH='${PATH}' disk='${home}/disk' n=1 last=
[ -z "$2" ] || { ${kinds[kind].commit}; } || exit
written() { stat -c %.9Y '${home}/image'; }
read -r last 2>/dev/null < '${home}/written'
[ "$(written)" != "$last" ] || exit 0
until mkdir "${home}/cuts/$n" 2>/dev/null; do n=$((n + 1)); done
until before=$(written) && cp --sparse=always '${home}/image' "${home}/cuts/$n/image" && [ "$(written)" = "$before" ]; do :; done
echo "$before" > '${home}/written'
printf "%s" "$1" > "${home}/cuts/$n/title"
`

const standIn = (home: string, program: string, amid: boolean, PATH: string) => `#!/bin/sh
PATH='${PATH}' disk='${home}/disk'
read -r step < '${home}/step'
'${home}/copy' "$step: before ${program} $*" commit
${amid ? `sync "$disk"/*/releases/*/.deployer_release.json* 2>/dev/null && '${home}/copy' "$step: amid ${program} $*"` : ""}
exec ${program} "$@"
`

const script = (file: string, text: string) => fs.writeFileSync(file, text, { mode: 0o755 })

/** A new disk, gone with the scope. */
export const loopDisk = (kind: FileSystem): Effect.Effect<LoopDisk, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-loop-"))),
      (home) => Effect.sync(() => fs.rmSync(home, { recursive: true, maxRetries: 5 }))
    )
    const mounted = (image: string, at: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          if (!mount(kind, image, at)) throw new Error(`${kind} cannot be mounted from ${image}`)
          return at
        }),
        () => Effect.sync(() => spawnSync("umount", ["--lazy", at]))
      )
    const image = path.join(home, "image")
    if (!format(kind, image)) throw new Error(`mkfs.${kind} failed`)
    const folder = yield* mounted(image, path.join(home, "disk"))

    const PATH = process.env["PATH"] ?? ""
    const bin = path.join(home, "bin")
    const cuts = path.join(home, "cuts")
    for (const name of [bin, cuts]) fs.mkdirSync(name)
    const copy = path.join(home, "copy")
    script(copy, copying(home, kind, PATH))
    for (const program of programs)
      script(path.join(bin, program), standIn(home, program, program === "sync" && kinds[kind].amid, PATH))
    // It makes two renames at once; without it, each is a program of its own.
    script(path.join(bin, "perl"), "#!/bin/sh\nexit 1\n")
    execFileSync("sh", ["-c", `disk=$1; ${kinds[kind].prepare}`, "sh", folder])
    const cut = (title: string, commit = "") => Effect.sync(() => void execFileSync(copy, [title, commit]))
    return {
      folder,
      cutting: (transport) => ({
        ...transport,
        exec: (exec) =>
          Effect.gen(function* () {
            yield* cut(`before "${exec.doing}"`)
            fs.writeFileSync(path.join(home, "step"), `${exec.doing}\n`)
            const result = yield* transport.exec(exec)
            yield* cut(`after "${exec.doing}"`, "commit")
            return result
          })
      }),
      environment: { PATH: `${bin}:${PATH}` },
      flush: Effect.sync(() => void execFileSync("sync", ["-f", folder])),
      cut,
      cuts: () =>
        fs
          .readdirSync(cuts)
          .map(Number)
          .sort((a, b) => a - b)
          .map((n) => ({
            title: fs.readFileSync(path.join(cuts, `${n}/title`), "utf8"),
            image: path.join(cuts, `${n}/image`)
          })),
      mounted: ({ image }) => mounted(image, `${image}.at`)
    }
  })
