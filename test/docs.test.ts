/** What README and docs show is true: their links lead somewhere, and their programs are programs. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"

const root = path.resolve(import.meta.dirname, "..")

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  ...fs
    .readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => `docs/${file}`)
]

const read = (page: string) => fs.readFileSync(path.join(root, page), "utf8")

/** The TypeScript of a page, block by block. */
const programs = (page: string) => [...read(page).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text)

describe("README and docs", () => {
  it("Every link in README and docs leads to an existing page.", () => {
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)]
        .map(([, to = ""]) => to)
        .filter((to) => !fs.existsSync(path.join(root, path.dirname(page), to)))
        .map((to) => `${page}: ${to}`)
    )
    assert.deepStrictEqual(broken, [])
  })

  it("The README has at most 160 lines.", () => {
    assert.isAtMost(read("README.md").split("\n").length, 160)
  })

  it("The compiler accepts every program in README and docs.", () => {
    const { config } = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile)
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
    const texts = new Map(
      pages.flatMap((page) =>
        programs(page).map((text, index) => [path.join(root, "test", `${page.replaceAll("/", "-")}.${index}.ts`), text])
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
})
