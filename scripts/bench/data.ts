/**
 * The deployed data: trees of files in several versions, made once and kept below the system's temporary folder.
 */
import { spawnSync } from "node:child_process"
import { createCipheriv, createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const root = path.resolve(import.meta.dirname, "../..")

/** Raised when the data below change. */
const cache = path.join(os.tmpdir(), "deployer-bench-data-4")

/**
 * `one` is the live version. In `changed`, one of a hundred files has 16 bytes more in its middle; in `everything`, each file has. Of a single
 * file, 1 % of the bytes are others in `changed`, in a hundred places, and all bytes in `everything`. In `half`, all bytes of every other file are
 * others. In `times`, only the times are new.
 */
export const versions = ["one", "changed", "half", "everything", "times"] as const
export type Version = (typeof versions)[number]

/** A tree in its versions. */
export interface Data {
  /** Also the name of its release. */
  readonly name: string
  readonly title: string
  /** The folder of a version; the tree is in it in a folder with its name. */
  readonly folder: (version: Version) => string
  /** A file that is different in `changed` and `everything`. */
  readonly probe: string
  /** Bytes and files of `one`. */
  readonly size: number
  readonly files: number
}

/** Debian's Erlang and Elixir: thousands of files. */
export const erlang = (): Data =>
  make("erlang", (folder) => {
    if (fromDebian(folder)) return "Erlang from Debian"
    generate(folder, 3800, 60_000)
    return "a generated tree in place of Erlang"
  })

/** This project itself with its packages from npm. */
export const node = (): Data => {
  const lock = createHash("sha256")
    .update(fs.readFileSync(path.join(root, "package-lock.json")))
    .digest("hex")
  return make("node", fromNpm, lock.slice(0, 8))
}

/** A single file of 100 MB, half of it compressible. */
export const binary = (): Data =>
  make("binary", (folder) => {
    fs.mkdirSync(folder, { recursive: true })
    writeHalves(path.join(folder, "program"), 100_000_000, 1)
    return "one file of 100 MB"
  })

/** A few small files, for a smoke run and for figures about round trips only. */
export const small = (): Data =>
  make("small", (folder) => {
    generate(folder, 40, 4000)
    return "40 small files"
  })

/** Files of 30 MB at most, each different, half of each compressible. */
export const large = (folder: string, bytes: number): void => {
  fs.mkdirSync(folder, { recursive: true })
  for (let written = 0, file = 0; written < bytes; file++) {
    const size = Math.min(30_000_000, bytes - written)
    writeHalves(path.join(folder, `file-${file}`), size, 100 + file)
    written += size
  }
}

interface Facts {
  readonly title: string
  readonly probe: string
  readonly size: number
  readonly files: number
}

const make = (name: string, fill: (folder: string) => string, edition = "1"): Data => {
  const home = path.join(cache, `${name}-${edition}`)
  const facts = path.join(home, "facts.json")
  if (!fs.existsSync(facts)) {
    fs.mkdirSync(cache, { recursive: true })
    const partial = fs.mkdtempSync(path.join(cache, `${name}-`))
    const tree = (version: Version) => path.join(partial, version, name)
    const title = fill(tree("one"))
    const files = filesIn(tree("one"))
    const changed =
      files.length === 1 ? files : files.filter((_, index) => index % 100 === Math.min(50, files.length >> 1))
    const [probe] = changed
    if (probe === undefined) throw new Error(`there are no files in the tree ${name}`)
    for (const version of versions.slice(1)) copy(tree("one"), tree(version))
    /** Later than the one before by more than a second: rsync takes files of equal size and time for the same. */
    const edit = (version: Version, file: string, how: (file: string) => void) => {
      how(path.join(tree(version), file))
      age(version, file, 60)
    }
    const age = (version: Version, file: string, seconds: number) => {
      const later = fs.statSync(path.join(tree("one"), file)).mtimeMs / 1000 + seconds
      fs.utimesSync(path.join(tree(version), file), later, later)
    }
    if (files.length === 1) {
      edit("changed", probe, scatter)
      edit("everything", probe, (file) => writeHalves(file, fs.statSync(file).size, 2))
    } else {
      for (const file of changed) edit("changed", file, change)
      for (const [index, file] of files.entries()) {
        edit("everything", file, change)
        if (index % 2 === 0) edit("half", file, turn)
      }
    }
    for (const file of files) age("times", file, 3600)
    const size = files.reduce((sum, file) => sum + fs.statSync(path.join(tree("one"), file)).size, 0)
    const found: Facts = { title, probe, size, files: files.length }
    fs.writeFileSync(path.join(partial, "facts.json"), JSON.stringify(found))
    try {
      fs.renameSync(partial, home)
    } catch (cause) {
      // Another run was faster.
      fs.rmSync(partial, { recursive: true })
      if (!fs.existsSync(facts)) throw cause
    }
  }
  return { name, folder: (version) => path.join(home, version), ...JSON.parse(fs.readFileSync(facts, "utf8")) }
}

const filesIn = (folder: string): ReadonlyArray<string> =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath ?? entry.path, entry.name)))
    .toSorted()

const sh = (program: string, args: ReadonlyArray<string>, cwd = root): boolean =>
  spawnSync(program, args, { cwd, stdio: "ignore", timeout: 300_000 }).status === 0

const copy = (from: string, to: string): void => {
  fs.mkdirSync(path.dirname(to), { recursive: true })
  if (!sh("cp", ["-a", from, to])) throw new Error(`${from} could not be copied to ${to}`)
}

/** Puts a few bytes into the middle of a file. */
const change = (file: string): void =>
  rewrite(file, (content) => {
    const middle = content.length >> 1
    return Buffer.concat([content.subarray(0, middle), Buffer.from("\n# another one\n\n"), content.subarray(middle)])
  })

/** Makes each byte another one, so that the file shrinks as before and has nothing in common with its old content. */
const turn = (file: string): void => rewrite(file, (content) => content.map((byte) => byte ^ 0x55))

const rewrite = (file: string, edit: (content: Buffer) => Uint8Array): void => {
  const { mode } = fs.statSync(file)
  fs.chmodSync(file, mode | 0o200)
  fs.writeFileSync(file, edit(fs.readFileSync(file)))
  fs.chmodSync(file, mode)
}

/** Other bytes in a hundred places of a file, 1 % in all. */
const scatter = (file: string): void => {
  const handle = fs.openSync(file, "r+")
  const step = fs.fstatSync(handle).size / 100
  for (let place = 0; place < 100; place++) {
    fs.writeSync(handle, noise(Math.floor(step / 100), 1000 + place), 0, undefined, Math.floor((place + 0.37) * step))
  }
  fs.closeSync(handle)
}

/** Bytes that cannot be compressed, the same ones for the same seed. */
const noise = (bytes: number, seed: number): Buffer => {
  // A key for each seed: streams of one key are the same stream at different places.
  const key = createHash("sha256").update(`stretch ${seed}`).digest().subarray(0, 16)
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
}

const words = Array.from({ length: 256 }, (_, index) =>
  Buffer.from(` ${["let", "end", "value", "return"][index % 4]}_${index.toString(36)}${index % 9 === 0 ? "\n" : ""}`)
)

/** Bytes that compress as sources do. */
const text = (bytes: number, seed: number): Buffer =>
  Buffer.concat([...noise(Math.ceil(bytes / 5), seed)].map((byte) => words[byte] ?? Buffer.alloc(0))).subarray(0, bytes)

const megabyte = 1_000_000
const lines = text(megabyte, 7)

/** A file in stretches of a megabyte: data that compress and data that do not, in turn. */
const writeHalves = (file: string, bytes: number, seed: number): void => {
  const handle = fs.openSync(file, "w", 0o755)
  for (let written = 0, part = 0; written < bytes; part++) {
    const size = Math.min(megabyte, bytes - written)
    const own = seed * 10_000 + part
    // The lines begin with a text of their own, so that no two stretches are the same.
    const stretch = part % 2 === 0 ? noise(size, own) : Buffer.concat([noise(16, own), lines]).subarray(0, size)
    fs.writeSync(handle, stretch)
    written += size
  }
  fs.closeSync(handle)
}

/** A tree of the shape of an Elixir release; most files are small. */
const generate = (folder: string, count: number, largest: number): void => {
  for (let index = 0; index < count; index++) {
    const app = path.join(folder, "lib", `app_${index % Math.ceil(count / 60)}-1.0`)
    const compiled = index % 2 === 0
    const at = path.join(app, compiled ? "ebin" : "src")
    fs.mkdirSync(at, { recursive: true })
    const share = noise(4, index).readUInt32LE() / 2 ** 32
    const size = 200 + Math.floor(largest * share ** 2)
    fs.writeFileSync(
      path.join(at, `module_${index}.${compiled ? "beam" : "ex"}`),
      compiled ? noise(size, index) : text(size, index)
    )
  }
}

const debianPackages = [
  ...["base", "asn1", "common-test", "crypto", "dev", "dialyzer", "diameter", "edoc", "eldap", "erl-docgen", "et"],
  ...["eunit", "ftp", "inets", "megaco", "mnesia", "observer", "os-mon", "parsetools", "public-key", "reltool"],
  ...["runtime-tools", "snmp", "src", "ssh", "ssl", "syntax-tools", "tftp", "tools", "wx", "xmerl"]
].map((name) => `erlang-${name}`)

const fromDebian = (folder: string): boolean => {
  const packages = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-bench-debian-"))
  try {
    if (!sh("apt-get", ["download", ...debianPackages, "elixir"], packages)) return false
    fs.mkdirSync(folder, { recursive: true })
    return fs.readdirSync(packages).every((name) => sh("dpkg", ["-x", path.join(packages, name), folder]))
  } finally {
    fs.rmSync(packages, { recursive: true })
  }
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>
}

const fromNpm = (folder: string): string => {
  const modules = fs.realpathSync(path.join(root, "node_modules"))
  const { packages }: Lock = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))
  const needed = Object.entries(packages)
    .filter(([at, { dev, devOptional }]) => at !== "" && dev !== true && devOptional !== true)
    .map(([at]) => at.slice("node_modules/".length))
    // A package inside another one comes with it; a package for another platform is not there.
    .filter((name) => !name.includes("node_modules/") && fs.existsSync(path.join(modules, name)))
  if (needed.length < 20) throw new Error("node_modules lacks packages of this project: run npm ci")
  for (const name of needed) copy(path.join(modules, name), path.join(folder, "node_modules", name))
  // Without development packages, as people prune a release.
  for (const file of filesIn(folder)) {
    if (/\.(map|md|markdown|d\.[cm]?ts)$/i.test(file)) fs.rmSync(path.join(folder, file))
  }
  copy(path.join(root, "src"), path.join(folder, "src"))
  copy(path.join(root, "package.json"), path.join(folder, "package.json"))
  return "this project with node_modules"
}
