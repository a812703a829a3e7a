/**
 * The benchmark of packing: from a container to the finished tarball, beside what people do, pair by pair; and how much memory
 * the real binary takes for it.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { buildSync } from "esbuild"

/** One line of the table. */
export interface Row {
  readonly line: string
  /** One figure a round. */
  readonly ours: ReadonlyArray<number>
  /** Measured beside it in the same round. */
  readonly theirs?: ReadonlyArray<number>
  readonly unit: string
  /** What is to be reached, in words. */
  readonly target: string
  readonly reached: boolean
  readonly note?: string
}

/** Why packing out of containers cannot be measured on this machine. */
export class Missing extends Error {}

const here = fileURLToPath(new URL(".", import.meta.url))
const bin = path.join(here, "../../dist/bin.js")
const label = "deployer.bench=packing"
const megabyte = 1_000_000

const median = (figures: ReadonlyArray<number>): number =>
  figures.toSorted((a, b) => a - b)[Math.floor((figures.length - 1) / 2)] ?? Number.NaN

/** The median of the ratios, pair by pair: the load of a shared machine changes from pair to pair. */
export const ratioOf = (ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>): number =>
  median(ours.map((figure, round) => figure / (theirs[round] ?? Number.NaN)))

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

/** What the original does once the image is built. */
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

/** Seconds, and what it printed. */
const script = (text: string, cwd: string, engine: string, container: Container) => {
  const began = performance.now()
  const said = execFileSync("sh", ["-c", text, "sh", engine, container.id], { cwd, encoding: "utf8" })
  return { seconds: (performance.now() - began) / 1000, said: said.trim() }
}

/** Bundled as the binary is: what is loaded file by file is optimised later. */
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
    const row = (beside: string, theirs: ReadonlyArray<number>, limit: number, words: string): Row => ({
      line: `pack ${size} MB out of a container, beside ${beside}`,
      ours,
      theirs,
      unit: "s",
      target: `at most ${words}`,
      reached: ratioOf(ours, theirs) <= limit,
      note: `${(ratioOf(ours, theirs)).toFixed(2)}x; with both hashes, the manifest, and safe on the disk; without the start of a process`
    })
    return [
      row("docker cp, tar, gzip -6, cp, md5sum", original, 1 / 3, "1/3"),
      row("docker cp - | pigz -6", piped, 1, "1.0x"),
      {
        line: `temporary disk for packing ${size} MB, beside the tarball`,
        ours: beside,
        theirs: [(disk - tarball) / megabyte],
        unit: "MB",
        target: "nothing",
        reached: beside.every((figure) => figure === 0),
        note: "in temp/ when the tarball was complete, and before it was moved from there by rename"
      }
    ]
  } finally {
    removeContainer(engine, container)
  }
}

/** Packs trees of 300 and 50 MB, half of them compressible, out of containers. Throws {@link Missing} where that cannot be done. */
export const packingTimes = (options: {
  /** An empty one, for all that is made. */
  readonly folder: string
  readonly engine?: string
  /** How many pairs; 5 where nothing is said. */
  readonly rounds?: number
  /** In megabytes. */
  readonly sizes?: ReadonlyArray<number>
}): ReadonlyArray<Row> => {
  const { engine = "docker", folder, rounds = 5, sizes = [300, 50] } = options
  for (const [program, args] of [
    [engine, ["version"]],
    ["pigz", ["--version"]]
  ] as const) {
    if (spawnSync(program, args, { timeout: 20_000 }).status !== 0) throw new Missing(`${program} does not answer`)
  }
  const child = bundledChild()
  try {
    return sizes.flatMap((size) => timesOf({ engine, folder, rounds }, child, size))
  } finally {
    // It would be published with dist/.
    fs.rmSync(path.dirname(child), { recursive: true })
  }
}

/** Writes the peak of resident memory of the process that loads it beside itself when that ends. */
const preload = `const fs = require("node:fs")
process.on("exit", () => fs.writeFileSync(__filename + ".peak", /VmHWM:\\s*(\\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1]))
`

/** Half of it noise, half of it text. */
const fill = (folder: string, size: number): void => {
  fs.mkdirSync(folder, { recursive: true })
  const parts = [randomBytes(10 * megabyte), prose(numbers(7))(10 * megabyte)]
  for (let at = 0, file = 0; at < size; at += 10 * megabyte, file++) {
    fs.writeFileSync(path.join(folder, `file-${file}`), parts[file % 2] ?? "")
  }
}

/** 100,000 of them in a thousand folders. */
const fillWithMany = (folder: string): void => {
  for (let at = 0; at < 1000; at++) {
    const parent = path.join(folder, `lib/package-${at}/src/module`)
    fs.mkdirSync(parent, { recursive: true })
    for (let file = 0; file < 100; file++)
      fs.writeFileSync(path.join(parent, `file-number-${file}.js`), `${at} ${file}\n`.repeat(30))
  }
}

/** Peak memory of `deployer build` for releases of very different sizes. Needs `dist/` and a system with /proc. */
export const packingMemory = (options: {
  /** An empty one; the largest release takes 4 GB of disk in it. */
  readonly folder: string
}): ReadonlyArray<Row> => {
  const hook = path.join(options.folder, "preload.cjs")
  fs.writeFileSync(hook, preload)
  const peakOf = (grow: (folder: string) => void): number => {
    const root = path.join(options.folder, "memory")
    fs.mkdirSync(root)
    execFileSync(process.execPath, [bin, "init"], { cwd: root, stdio: "ignore" })
    fs.writeFileSync(
      path.join(root, "deployer/config/deployer_config.ts"),
      `import { command } from "effect-deployer"
export default {
  targets: { here: { host: "local", name: "my_app", path: "there", builder: "b" } },
  builders: { b: command({ run: "true", releasePath: "rel" }) }
}
`
    )
    grow(path.join(root, "rel"))
    try {
      const env = { ...process.env, NODE_OPTIONS: `--require ${hook}` }
      execFileSync(process.execPath, [bin, "build", "target=here"], { cwd: root, stdio: "ignore", env })
      return (Number(fs.readFileSync(`${hook}.peak`, "utf8")) * 1024) / megabyte
    } finally {
      fs.rmSync(root, { recursive: true })
    }
  }
  return (
    [
      ["50 MB", (folder: string) => fill(folder, 50 * megabyte)],
      ["2 GB", (folder: string) => fill(folder, 2000 * megabyte)],
      ["100,000 files", fillWithMany]
    ] as const
  ).map(([what, grow]) => {
    const peak = peakOf(grow)
    return {
      line: `peak memory of deployer build, a release of ${what}`,
      ours: [Math.round(peak)],
      unit: "MB",
      target: "at most 160 MB",
      reached: peak <= 160
    }
  })
}
