/** The pages for readers: their blocks, and the command lines in these. */
import * as fs from "node:fs"
import * as path from "node:path"

/** The root of the repository. */
export const repository = path.resolve(import.meta.dirname, "../..")

const below = (folder: string, name: RegExp) =>
  fs
    .readdirSync(path.join(repository, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => name.test(file))
    .map((file) => `${folder}/${file}`)
    .sort()

/** README, CONTRIBUTING and docs. */
export const pages = ["README.md", "CONTRIBUTING.md", ...below("docs", /\.md$/)]

/** The pages of the examples, whose commands `test/real/examples.test.ts` runs in its own way. */
export const examplePages = below("examples", /^[^/]+\/README\.md$/)

export const read = (page: string): string => fs.readFileSync(path.join(repository, page), "utf8")

/** A fenced block. */
export interface Block {
  /** The page and the number of the line. */
  readonly at: string
  readonly page: string
  /** The line of the fence, from 1. */
  readonly line: number
  /** The word after the fence: the language. Empty if there is none. */
  readonly language: string
  readonly lines: ReadonlyArray<string>
}

export const blocksOf = (page: string): ReadonlyArray<Block> => {
  const blocks: Array<Block> = []
  let open: { readonly fence: string; readonly line: number; readonly language: string } | undefined
  let lines: Array<string> = []
  for (const [index, text] of read(page).split("\n").entries()) {
    const [, fence = "", language = ""] = /^\s*(`{3,}|~{3,})(.*)$/.exec(text) ?? []
    if (open === undefined) {
      if (fence !== "") open = { fence, line: index + 1, language: language.trim() }
      lines = []
    } else if (fence === open.fence && language.trim() === "") {
      blocks.push({ page, line: open.line, at: `${page}:${open.line}`, language: open.language, lines })
      open = undefined
    } else lines.push(text)
  }
  if (open !== undefined) throw new Error(`${page}:${open.line}: a block has no end`)
  return blocks
}

/** A command line of a page. */
export interface CommandLine {
  /** The page and the number of the line. */
  readonly at: string
  /** As a reader types it, without the comment behind it. */
  readonly text: string
  /** The lines below it. Undefined if the page shows no output. */
  readonly shown: ReadonlyArray<string> | undefined
}

const withoutComment = (line: string): string => line.replace(/(^|\s+)#\s.*$/, "").trimEnd()

const trimmed = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.join("\n").trim().split("\n")

/** The command lines of a block of `sh`, which has nothing else, or of `console`, which has them behind `$ ` and shows their output. */
const commandsIn = ({ language, line, lines, page }: Block): ReadonlyArray<CommandLine> => {
  const at = (index: number) => `${page}:${line + 1 + index}`
  if (language === "sh") {
    const commands: Array<CommandLine> = []
    let begun = ""
    for (const [index, text] of lines.entries()) {
      begun += text
      // A line that ends with a backslash continues with the next one.
      if (begun.endsWith("\\")) begun = begun.slice(0, -1)
      else {
        const command = withoutComment(begun)
        if (command !== "") commands.push({ at: at(index), text: command, shown: undefined })
        begun = ""
      }
    }
    return commands
  }
  if (language !== "console") return []
  const starts = lines.flatMap((text, index) => (text.startsWith("$ ") ? [index] : []))
  return starts.map((index, number) => ({
    at: at(index),
    text: withoutComment((lines[index] ?? "").slice(2)),
    shown: trimmed(lines.slice(index + 1, starts[number + 1]))
  }))
}

/** The command lines of a page, from top to bottom. */
export const commandsOf = (page: string): ReadonlyArray<CommandLine> => blocksOf(page).flatMap(commandsIn)

/** The words of a command line for the shell, command by command if it is a pipeline. Enough for the pages. */
export const wordsOf = (line: string): ReadonlyArray<ReadonlyArray<string>> => {
  const commands: Array<Array<string>> = [[]]
  const withoutFile = line.replace(/ > \S+$/, "")
  for (const word of withoutFile.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []) {
    if (word === "|") commands.push([])
    else commands.at(-1)?.push(word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"))
  }
  return commands
}

/** A command line that no test can run, and its substitute in the root of the repository. */
export interface Substitute {
  readonly line: string
  readonly why: string
  readonly instead: string
}

const published = "it needs the registry; test/real/install.test.ts installs the package"
const isScript = (name: string) => `grep -q '"${name}": ' package.json`

/** All of them. Everything else on a page is run as it is. */
export const substitutes: ReadonlyArray<Substitute> = [
  {
    line: "npm install --global effect-deployer",
    why: published,
    instead: `grep -q '"name": "effect-deployer"' package.json`
  },
  {
    line: "npm install --global --ignore-scripts=false --allow-scripts=better-sqlite3 effect-deployer",
    why: published,
    instead: `grep -q '"better-sqlite3": ' package.json`
  },
  {
    line: "pnpm add --global --allow-build=better-sqlite3 effect-deployer",
    why: published,
    instead: `grep -q '"better-sqlite3": ' package.json`
  },
  { line: "yarn config set enableScripts true", why: published, instead: `grep -q '"better-sqlite3": ' package.json` },
  {
    line: "npm install effect-deployer effect@3 @effect/platform-node@0.108",
    why: published,
    instead: `grep -q '"effect": "^3' package.json && grep -q '"@effect/platform-node": "^0.108' package.json`
  },
  {
    line: "npm ci",
    why: "it would replace the modules of the tests that run",
    instead: "npm ci --dry-run --offline --ignore-scripts --no-audit --no-fund"
  },
  { line: "npm run check", why: "it takes minutes; .ci/run runs it", instead: isScript("check") },
  { line: "npm run test:quick", why: "it would run this test again", instead: isScript("test:quick") },
  { line: "npm test", why: "it would run this test again", instead: isScript("test") }
]

/** The substitute of a command line. Undefined if the line itself can be run. */
export const substituteFor = (line: string): Substitute | undefined => substitutes.find((known) => known.line === line)
