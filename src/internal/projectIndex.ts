/**
 * The index of a project for completion: a small file of lines in the cache folder. Reading it loads neither the config nor the store.
 */
import { createHash } from "node:crypto"
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { cacheFolder } from "./cacheFolder.ts"
import type { WorkspacePaths } from "./projectFolder.ts"

/** A target, as completion shows it. */
export interface IndexedTarget {
  readonly key: string
  readonly address: string
  /** The name of its releases. */
  readonly name: string
}

/** A group of targets. */
export interface IndexedGroup {
  readonly key: string
  readonly targets: ReadonlyArray<string>
}

/** A stored release, as completion shows it. */
export interface IndexedRelease {
  readonly id: string
  readonly ref: string
  readonly name: string
  readonly tags: ReadonlyArray<string>
  /** When it was built, in milliseconds since 1970. */
  readonly builtAt: number
}

/** The parts of a project that completion offers. */
export interface ProjectIndex {
  /** The state of the config's file when it was read. */
  readonly config: string
  /** The state of the database's files when they were read. */
  readonly database: string
  /** Set if the index is older than this state of the project, and could not be made again. */
  readonly failed?: string
  readonly targets: ReadonlyArray<IndexedTarget>
  readonly groups: ReadonlyArray<IndexedGroup>
  /** Newest first. */
  readonly releases: ReadonlyArray<IndexedRelease>
}

/** An index without content. */
export const emptyIndex: ProjectIndex = { config: "", database: "", targets: [], groups: [], releases: [] }

/** The state of a file that is not there. */
export const noFile = "none"

const stateOf = (file: string): string => {
  try {
    const { mtimeMs, size } = statSync(file)
    return `${mtimeMs}/${size}`
  } catch {
    return noFile
  }
}

/** The present state of the files of which an index tells. It differs if one of them was changed. */
export const projectState = ({
  configFile,
  database
}: WorkspacePaths): { readonly config: string; readonly database: string } => ({
  config: `${configFile} ${stateOf(configFile)}`,
  database: [database, `${database}-wal`].map(stateOf).join(" ")
})

const first = "deployer index 1"
const field = (value: string): string => value.replace(/\p{Cc}+/gu, " ")

const textOf = (index: ProjectIndex): string =>
  [
    [first],
    ["config", index.config],
    ["database", index.database],
    ...(index.failed === undefined ? [] : [["failed", index.failed]]),
    ...index.targets.map(({ address, key, name }) => ["target", key, address, name]),
    ...index.groups.map(({ key, targets }) => ["group", key, targets.join(",")]),
    ...index.releases.map(({ builtAt, id, name, ref, tags }) => [
      ...["release", id, ref, name, tags.join(","), `${builtAt}`]
    ])
  ]
    .map((fields) => `${fields.map(field).join("\t")}\n`)
    .join("")

const listOf = (text = ""): ReadonlyArray<string> => text.split(",").filter((part) => part !== "")

const indexOf = (text: string): ProjectIndex | undefined => {
  const rows = text.split("\n").map((line) => line.split("\t"))
  if (rows[0]?.[0] !== first) return undefined
  const of = (kind: string) => rows.flatMap(([found, ...fields]) => (found === kind ? [fields] : []))
  const failed = of("failed")[0]?.[0]
  return {
    config: of("config")[0]?.[0] ?? "",
    database: of("database")[0]?.[0] ?? "",
    ...(failed === undefined ? {} : { failed }),
    targets: of("target").map(([key = "", address = "", name = ""]) => ({ key, address, name })),
    groups: of("group").map(([key = "", targets]) => ({ key, targets: listOf(targets) })),
    releases: of("release").map(([id = "", ref = "", name = "", tags, builtAt]) => ({
      ...{ id, ref, name, tags: listOf(tags), builtAt: Number(builtAt) }
    }))
  }
}

const fileOf = (root: string): string | undefined => {
  const folder = cacheFolder()
  const name = createHash("sha256").update(root).digest("hex").slice(0, 32)
  return folder === undefined ? undefined : join(folder, `${name}.index`)
}

/** The index of a project. Undefined if there is none. */
export const readIndex = ({ root }: Pick<WorkspacePaths, "root">): ProjectIndex | undefined => {
  try {
    const file = fileOf(root)
    return file === undefined ? undefined : indexOf(readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

/** The keys of the project's targets. None if the config has changed since the index was made. */
export const targetKeys = (paths: WorkspacePaths): ReadonlyArray<string> => {
  const index = readIndex(paths)
  return index?.config === projectState(paths).config ? index.targets.map(({ key }) => key) : []
}

/** Keeps an index, if there is a place for it. Only its owner can read it. */
export const writeIndex = ({ root }: Pick<WorkspacePaths, "root">, index: ProjectIndex): void => {
  const file = fileOf(root)
  if (file === undefined) return
  const temporary = `${file}.${process.pid}`
  try {
    writeFileSync(temporary, textOf(index), { mode: 0o600 })
    renameSync(temporary, file)
  } catch {
    rmSync(temporary, { force: true })
  }
}
