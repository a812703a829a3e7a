/**
 * `deployer complete SHELL BREAKS -- WORDS…`. The scripts for shells call it when Tab is pressed. It asks nothing, contacts no host and
 * writes nothing but candidates.
 */
import { spawnSync } from "node:child_process"
import { type Dirent, existsSync, readdirSync } from "node:fs"
import { join, resolve } from "node:path"
import process from "node:process"
import { findRoot, workspacePaths } from "../internal/projectFolder.ts"
import { type ProjectIndex, projectState, readIndex, writeIndex } from "../internal/projectIndex.ts"
import { isShell } from "../internal/shellScripts.ts"
import { type Candidate, complete } from "./complete.ts"
import { embedded } from "./embedded.ts"

/** How long a new index may take, in milliseconds. */
const patience = 2_000

/** Loads the config and reads the store, in a process of its own that keeps the index at its end. */
const rebuild = (program: string, root: string): void => {
  spawnSync(process.execPath, [program, "validate", `root=${root}`, "json"], {
    stdio: "ignore",
    timeout: patience,
    killSignal: "SIGKILL"
  })
}

/**
 * The index of the project, made again if the project was changed since. If that fails, the old one, until the next change. Undefined if no command
 * has run in the project yet: a config is code, and Tab must not be the first to run it.
 */
const projectIndex = (program: string, given: string | undefined): ProjectIndex | undefined => {
  const root = given === undefined ? findRoot(process.cwd()) : resolve(given)
  if (root === undefined) return undefined
  const paths = workspacePaths(root)
  const { config, database } = projectState(paths)
  const isFresh = (index: ProjectIndex | undefined) => index?.config === config && index.database === database
  const old = readIndex(paths)
  if (old === undefined) return undefined
  if (isFresh(old) || old.failed === `${config} ${database}`) return old
  rebuild(program, root)
  const made = readIndex(paths)
  if (isFresh(made)) return made
  writeIndex(paths, { ...old, failed: `${config} ${database}` })
  return old
}

const pathsLike = (typed: string, kind: "file" | "folder"): ReadonlyArray<string> => {
  const folder = typed.slice(0, typed.lastIndexOf("/") + 1)
  const begun = typed.slice(folder.length)
  try {
    return readdirSync(folder === "" ? "." : folder, { withFileTypes: true })
      .filter(({ name }) => name.startsWith(begun) && (begun.startsWith(".") || !name.startsWith(".")))
      .map((entry) => ({ name: entry.name, isFolder: isFolder(folder, entry) }))
      .filter(({ isFolder }) => isFolder || kind === "file")
      .map(({ isFolder, name }) => `${folder}${name}${isFolder ? "/" : ""}`)
      .toSorted()
  } catch {
    return []
  }
}

const isFolder = (folder: string, entry: Dirent): boolean =>
  entry.isDirectory() || (entry.isSymbolicLink() && existsSync(join(folder, entry.name, ".")))

/** The words of a line of bash up to the cursor, without its quotes. Undefined if the cursor is in a quoted word. */
export const bashWords = (line: string): ReadonlyArray<string> | undefined => {
  const words: Array<string> = []
  let word: string | undefined
  for (const [part, quoted, double, escaped, plain, , open] of line.matchAll(
    /'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)|(\s+)|(['"\\][\s\S]*)/g
  )) {
    if (open !== undefined) return undefined
    if (/^\s/.test(part) && escaped === undefined) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else word = `${word ?? ""}${quoted ?? double?.replace(/\\(["$`\\])/g, "$1") ?? escaped ?? plain ?? ""}`
  }
  return [...words, word ?? ""]
}

/** Bash completes only the text after the last of its word breaks, and takes the text as it is. */
const forBash = (candidates: ReadonlyArray<Candidate>, typed: string, breaks: string): ReadonlyArray<string> => {
  const ends = [...breaks].filter((character) => /\S/.test(character)).map((each) => typed.lastIndexOf(each) + 1)
  const start = Math.max(0, ...ends)
  return candidates.map(({ word }) => {
    const text = word.slice(start).replace(/[^\w.,:@%+=/-]/g, "\\$&")
    return /[=/]$/.test(word) ? text : `${text} `
  })
}

const answers = ([shell, breaks = "", , ...given]: ReadonlyArray<string>, program: string): ReadonlyArray<string> => {
  if (embedded === undefined || !isShell(shell)) return []
  const words = shell === "bash" ? bashWords(given[0] ?? "")?.slice(1) : given
  if (words === undefined) return []
  const candidates = complete(embedded, words, {
    project: (root) => projectIndex(program, root),
    paths: pathsLike,
    now: performance.timeOrigin + performance.now()
  })
  return shell === "bash"
    ? forBash(candidates, words.at(-1) ?? "", breaks)
    : candidates.map(({ about, word }) => `${word}\t${about.replace(/[\s\p{Cc}]+/gu, " ")}`)
}

/** The candidates as the script of the shell reads them, one a line. `program` is the file that runs deployer. */
export const completed = (argv: ReadonlyArray<string>, program: string): string => {
  try {
    return answers(argv, program)
      .map((line) => `${line}\n`)
      .join("")
  } catch {
    // A person is typing: a failure here would only disturb.
    return ""
  }
}
