/** README and docs are true: their links lead somewhere, their programs are programs, and their commands are commands. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import ts from "typescript"
import * as Argv from "../src/Argv.ts"
import { tree } from "../src/tree.ts"
import {
  blocksOf,
  commandsOf,
  examplePages,
  pages,
  read,
  repository,
  substituteFor,
  substitutes,
  wordsOf
} from "./kit/pages.ts"

const everyPage = [...pages, ...examplePages]
const blocks = everyPage.flatMap(blocksOf)
const commands = everyPage.flatMap(commandsOf)

/** The languages of blocks. Only `sh` and `console` have commands; `usage` is the form of one, which only the reference shows. */
const languages = ["sh", "console", "ts", "json", "yaml", "text", "ini", "nginx"]

/** The beginning of a line that is a command. */
const command = /^\s*(\$ |(deployer|npm|npx|pnpm|yarn|docker|ssh|curl) )/

/** The TypeScript of a page, block by block. */
const programs = (page: string) =>
  blocksOf(page).flatMap(({ language, lines }) => (language === "ts" ? [`${lines.join("\n")}\n`] : []))

/** Why deployer does not understand these words. Undefined if it does. */
const misunderstood = (words: ReadonlyArray<string>): string | undefined =>
  Either.match(Argv.normalize(tree.spec)(words), { onLeft: ({ message }) => message, onRight: () => undefined })

describe("README and docs", () => {
  it("Every link in README and docs leads to an existing page.", () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)]
        .map(([, to = ""]) => to)
        .filter((to) => !fs.existsSync(path.join(repository, path.dirname(page), to)))
        .map((to) => `${page}: ${to}`)
    )
    assert.deepStrictEqual(broken, [])
  })

  it("The README has at most 160 lines.", () => {
    assert.isAtMost(read("README.md").split("\n").length, 160)
  })

  it("The compiler accepts every program in README and docs.", () => {
    const { config } = ts.readConfigFile(path.join(repository, "tsconfig.json"), ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository)
    const texts = new Map(
      pages.flatMap((page) =>
        programs(page).map((text, index) => [
          path.join(repository, "test", `${page.replaceAll("/", "-")}.${index}.ts`),
          text
        ])
      )
    )
    assert.isAbove(texts.size, 3)
    const host = ts.createCompilerHost(options)
    const { fileExists, getSourceFile } = host
    host.fileExists = (file) => texts.has(file) || fileExists(file)
    host.getSourceFile = (file, ...rest) => {
      const text = texts.get(file)
      return text === undefined
        ? getSourceFile(file, ...rest)
        : ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
    }
    const program = ts.createProgram([...texts.keys()], { ...options, noUnusedLocals: false }, host)
    const found = [...texts.keys()].flatMap((file) =>
      ts
        .getPreEmitDiagnostics(program, program.getSourceFile(file))
        .map(({ messageText }) => `${path.basename(file)}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`)
    )
    assert.deepStrictEqual(found, [])
  })

  it("Every block of README and docs names its language.", () => {
    const nameless = blocks.flatMap(({ at, language, page }) =>
      languages.includes(language) || (language === "usage" && page === "docs/reference/commands.md")
        ? []
        : [`${at}: "${language}" is none of ${languages.join(", ")}`]
    )
    assert.deepStrictEqual(nameless, [])
  })

  it("README and docs show commands only in blocks whose commands are run.", () => {
    const hidden = blocks
      .filter(({ language }) => !["sh", "console", "usage"].includes(language))
      .flatMap(({ at, lines }) => lines.filter((line) => command.test(line)).map((line) => `${at}: ${line}`))
    const prompted = blocks.flatMap(({ at, language, lines }) =>
      language === "sh" && lines.some((line) => line.startsWith("$ "))
        ? [`${at}: "$ " belongs to console`]
        : language === "console" && !/^\$ \S/.test(lines[0] ?? "")
          ? [`${at}: no command at the top`]
          : []
    )
    assert.deepStrictEqual([...hidden, ...prompted], [])
  })

  it("The command line understands every command in README and docs.", () => {
    assert.isAbove(commands.length, 60)
    const wrong = commands.flatMap(({ at, text }) =>
      wordsOf(text).flatMap(([program, ...words]) => {
        const why = program === "deployer" ? misunderstood(words) : undefined
        return why === undefined ? [] : [`${at}: ${text}: ${why}`]
      })
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("The command line understands every command that the text of README and docs names.", () => {
    const wrong = everyPage.flatMap((page) =>
      [...read(page).matchAll(/`deployer ([^`\n]+)`/g)].flatMap(([, text = ""]) => {
        const why = misunderstood(wordsOf(text)[0] ?? [])
        // Prose may leave out an argument that a command needs.
        return why === undefined || / needs \w+=…/.test(why) ? [] : [`${page}: deployer ${text}: ${why}`]
      })
    )
    assert.deepStrictEqual(wrong, [])
  })

  it("Every command line that no test can run is on a page.", () => {
    const shown = pages.flatMap(commandsOf).filter(({ text }) => substituteFor(text) !== undefined)
    assert.sameMembers(
      shown.map(({ text }) => text),
      substitutes.map(({ line }) => line)
    )
  })
})
