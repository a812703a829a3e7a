/**
 * The benchmark of packing: from a container to the finished tarball, beside the usual way, pair by pair.
 */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"
import { buildSync } from "esbuild"
import { atMost, type Row, within } from "./Row.ts"

/** The reason why packing out of containers cannot be measured on this machine. */
export class Missing extends Data.TaggedError("Missing")<{ readonly message: string }> {}

const here = fileURLToPath(new URL(".", import.meta.url))
const label = "deployer.bench=packing"
const megabyte = 1_000_000

/** Numbers that are the same in each run. */
const numbers = (seed: number) => {
  let state = seed
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

/** Text of a vocabulary in which few words are frequent, some four fifths of it redundant as in source code. */
const prose = (random: () => number) => {
  const words = Array.from({ length: 2500 }, () =>
    Array.from(
      { length: 3 + Math.floor(random() * 8) },
      () => "abcdefghijklmnopqrstuvwxyz"[Math.floor(random() * 26)]
    ).join("")
  )
  return (size: number): Buffer => {
    let text = ""
    while (text.length < size)
      text += `${words[Math.floor(words.length * random() ** 4)]}${random() < 0.1 ? "\n" : " "}`
    return Buffer.from(text.slice(0, size))
  }
}

const noise = (random: () => number, size: number): Buffer => {
  const bytes = Buffer.alloc(size + 4)
  for (let at = 0; at < size; at += 3) bytes.writeUInt32LE(Math.floor(random() * 4294967295), at)
  return bytes.subarray(0, size)
}

/**
 * Files of 1 byte to 100 kB, and with each hundred of them one of 5 MB: about half of the bytes are in the large ones. Every other file
 * cannot be compressed.
 */
const plant = (folder: string, size: number): void => {
  const random = numbers(12345)
  const text = prose(random)
  for (let file = 0, left = size; left > 0; file++) {
    const bytes = Math.min(left, file % 101 === 99 ? 5 * megabyte : 1 + Math.floor(random() * 100_000))
    const parent = path.join(folder, `lib/part-${file % 40}/src`)
    fs.mkdirSync(parent, { recursive: true })
    fs.writeFileSync(path.join(parent, `file-${file}.dat`), file % 2 === 0 ? text(bytes) : noise(random, bytes))
    left -= bytes
  }
}

/** A container that was never started, with a release in it. */
interface Container {
  /** Bytes. */
  readonly size: number
  readonly id: string
}

const containerOf = (engine: string, folder: string, size: number): Container => {
  const context = path.join(folder, `context-${size / megabyte}`)
  plant(path.join(context, "rel"), size)
  fs.writeFileSync(path.join(context, "Dockerfile"), `FROM scratch\nLABEL ${label}\nCOPY rel /rel\nCMD ["none"]\n`)
  const idFile = path.join(folder, "image")
  execFileSync(engine, ["build", "--quiet", "--iidfile", idFile, context], { stdio: ["ignore", "ignore", "ignore"] })
  const image = fs.readFileSync(idFile, "utf8").trim()
  fs.rmSync(context, { recursive: true })
  const id = execFileSync(engine, ["create", "--label", label, image], { encoding: "utf8" }).trim()
  return { size, id }
}

const removeContainer = (engine: string, { id }: Container): void => {
  const image = spawnSync(engine, ["inspect", "--format", "{{.Image}}", id], { encoding: "utf8" }).stdout.trim()
  spawnSync(engine, ["rm", "--force", id])
  spawnSync(engine, ["rmi", "--force", image])
}

/** The work of the original once the image is built. */
const originalSteps = `set -e
"$1" cp "$2:/rel/." unpacked
tar -C unpacked -cf release.tar .
gzip -6 release.tar
cp release.tar.gz "store.tar.gz"
md5sum store.tar.gz > sum
du -sk . | cut -f1
rm -rf unpacked release.tar.gz store.tar.gz sum`

const pigz = `set -e
"$1" cp "$2:/rel/." - | pigz -6 > piped.tar.gz
rm piped.tar.gz`

/** Seconds, and the output. */
const script = (text: string, cwd: string, engine: string, container: Container) => {
  const began = performance.now()
  const said = execFileSync("sh", ["-c", text, "sh", engine, container.id], { cwd, encoding: "utf8" })
  return { seconds: (performance.now() - began) / 1000, said: said.trim() }
}

/** Bundled as the binary is: code that is loaded file by file is optimised later. */
const bundledChild = (): string => {
  const outfile = path.join(here, "../../dist/bench/packChild.mjs")
  buildSync({
    entryPoints: [path.join(here, "packChild.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20.11",
    external: ["better-sqlite3", "ssh2", "jiti"],
    logLevel: "error",
    banner: {
      js: 'import{createRequire as $createRequire}from"node:module";const require=$createRequire(import.meta.url);'
    }
  })
  return outfile
}

const oursOf = (folder: string, child: string, engine: string, container: Container) => {
  const root = path.join(folder, "root")
  fs.rmSync(root, { recursive: true, force: true })
  fs.mkdirSync(path.join(root, "deployer/config"), { recursive: true })
  const measured: { readonly seconds: number; readonly size: number; readonly beside: number } = JSON.parse(
    execFileSync(process.execPath, [child, engine, `${container.id}:/rel/.`, root], { encoding: "utf8" })
  )
  const left = fs.readdirSync(path.join(root, "deployer/temp"))
  if (left.length > 0) throw new Error(`packing left ${left.join(", ")} in temp/`)
  return measured
}

const timesOf = (
  { engine, folder, rounds }: { readonly engine: string; readonly folder: string; readonly rounds: number },
  child: string,
  size: number
): ReadonlyArray<Row> => {
  const container = containerOf(engine, folder, size * megabyte)
  try {
    const ours: Array<number> = []
    const original: Array<number> = []
    const piped: Array<number> = []
    let tarball = 0
    let disk = 0
    const beside: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const measured = oursOf(folder, child, engine, container)
      ours.push(measured.seconds)
      tarball = measured.size
      beside.push(measured.beside / megabyte)
      piped.push(script(pigz, folder, engine, container).seconds)
      const steps = script(originalSteps, folder, engine, container)
      original.push(steps.seconds)
      disk = Number(steps.said) * 1024
    }
    const than = (what: string, theirs: ReadonlyArray<number>, limit: number): Row =>
      within(limit, {
        line: `packing ${size} MB out of a container: time`,
        unit: "s",
        ours,
        theirs,
        than: what,
        note: "with both hashes and the manifest, safe on the disk; without the start of a process"
      })
    return [
      than("docker cp, tar, gzip -6, cp, md5sum", original, 1 / 3),
      than("docker cp - | pigz -6", piped, 1),
      atMost(0, {
        line: `packing ${size} MB out of a container: temporary disk beside the tarball`,
        unit: "MB",
        ours: beside,
        note: `the shell's steps take ${Math.round((disk - tarball) / megabyte)} MB`
      })
    ]
  } finally {
    removeContainer(engine, container)
  }
}

/** Packs trees of 300 and 50 MB, half of them compressible, out of containers. Throws {@link Missing} if that cannot be done. */
export const packingTimes = (options: {
  /** An empty folder for all files. */
  readonly folder: string
  readonly engine?: string
  /** How many pairs; 5 by default. */
  readonly rounds?: number
  /** In megabytes. */
  readonly sizes?: ReadonlyArray<number>
}): ReadonlyArray<Row> => {
  const { engine = "docker", folder, rounds = 5, sizes = [300, 50] } = options
  for (const [program, args] of [
    [engine, ["version"]],
    ["pigz", ["--version"]]
  ] as const) {
    const { error, status } = spawnSync(program, args, { timeout: 20_000 })
    if (error !== undefined && "code" in error && error.code === "ENOENT")
      throw new Missing({ message: `${program} not installed` })
    if (status !== 0) throw new Missing({ message: `${program} does not answer` })
  }
  const child = bundledChild()
  try {
    return sizes.flatMap((size) => timesOf({ engine, folder, rounds }, child, size))
  } finally {
    // It would be published with dist/.
    fs.rmSync(path.dirname(child), { recursive: true })
  }
}
