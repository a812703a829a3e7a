/** The command lines in errors and advice: each command and option of them exists. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"
import { tasks } from "../../src/Cli.ts"
import { named } from "../../src/commands/schema.ts"
import type { Task } from "../../src/commands/Task.ts"
import { commandLine, invocation } from "../../src/domain/Invocation.ts"

const src = path.resolve(import.meta.dirname, "../../src")

const files = fs
  .readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".generated.ts"))
  .map((file) => {
    const text = fs.readFileSync(path.join(src, file), "utf8")
    return { file, source: ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true) }
  })

const visit = (node: ts.Node, see: (node: ts.Node) => void): void => {
  see(node)
  ts.forEachChild(node, (child) => visit(child, see))
}

const optionsOf = new Map(
  named(tasks).map(([name, task]) => [
    name,
    new Set(["root", "json", ...(task as Task<never, never>).options.map(({ name }) => name.replaceAll("-", "_"))])
  ])
)

const advised = files.flatMap(({ file, source }) => {
  const found: Array<{ readonly at: string; readonly command: string; readonly options: ReadonlyArray<string> }> = []
  visit(source, (node) => {
    if (!ts.isCallExpression(node) || !/^(invocation|typed)$/.test(node.expression.getText(source))) return
    const [command, options] = node.arguments
    if (command === undefined || !ts.isStringLiteral(command)) return
    const names: Array<string> = []
    if (options !== undefined)
      visit(options, (part) => {
        if (ts.isPropertyAssignment(part) || ts.isShorthandPropertyAssignment(part))
          names.push(part.name.getText(source))
      })
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source))
    found.push({ at: `${file}:${line + 1}`, command: command.text, options: names })
  })
  return found
})

describe("the commands that errors advise", () => {
  it("Each command that an error advises exists, and has the options that the advice names.", () => {
    assert.isAbove(advised.length, 30)
    const wrong = advised.flatMap(({ at, command, options }) => {
      const known = optionsOf.get(command)
      if (known === undefined) return [`${at}: there is no command "${command}"`]
      return options.filter((name) => !known.has(name)).map((name) => `${at}: "${command}" has no option "${name}"`)
    })
    assert.deepStrictEqual(wrong, [])
  })

  it("No sentence outside of the command line writes a command by hand.", () => {
    const byHand = files
      .filter(({ file }) => /^(build|deployment|domain|host|internal|store|terminal)\//.test(file))
      .flatMap(({ file, source }) => {
        const found: Array<string> = []
        visit(source, (node) => {
          const isText =
            ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateExpression(node)
          const text = isText ? node.getText(source) : ""
          if (/\bdeployer [a-z_]+ ([a-z_]+=|retry)|\b(with|run|see|or) deployer [a-z]+\b/.test(text))
            found.push(`${file}: ${text.slice(0, 100)}`)
        })
        return found
      })
    assert.deepStrictEqual(byHand, [])
  })

  it("A command is written as people type it, with quotes only if a shell needs them.", () => {
    assert.strictEqual(
      commandLine(invocation("deploy", { target: "prod", release: "it's", retry: true, yes: false, save: undefined })),
      "deployer deploy target=prod release='it'\\''s' retry"
    )
  })
})
