/** The house rules that neither the compiler nor the linter knows. */
import * as fs from "node:fs"
import { builtinModules } from "node:module"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import ts from "typescript"

const src = path.resolve(import.meta.dirname, "../src")

const sourcesIn = (folder: string) =>
  fs
    .readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => {
      const name = file.split(path.sep).join("/")
      const text = fs.readFileSync(path.join(folder, file), "utf8")
      return { name, source: ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true) }
    })

const files = sourcesIn(src)

const visit = (node: ts.Node, see: (node: ts.Node) => void): void => {
  see(node)
  ts.forEachChild(node, (child) => visit(child, see))
}

const lineOf = (source: ts.SourceFile, node: ts.Node): number =>
  source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1

const at = (source: ts.SourceFile, node: ts.Node): string => `src/${source.fileName}:${lineOf(source, node)}`

/** The lines from the first to the last, with the functions inside. */
const linesOf = (source: ts.SourceFile, node: ts.Node): number => {
  const lineOf = (position: number) => source.getLineAndCharacterOfPosition(position).line
  return lineOf(node.end) - lineOf(node.getStart(source)) + 1
}

/** A module that a file names, whether in an import, an export or an import(). */
interface Import {
  readonly specifier: string
  readonly node: ts.Node
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean
  readonly dynamic: boolean
}

const importsOf = (source: ts.SourceFile): ReadonlyArray<Import> => {
  const found: Array<Import> = []
  visit(source, (node) => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      const specifier = (node.moduleSpecifier as ts.StringLiteral).text
      const typeOnly = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly
      found.push({ specifier, node, typeOnly, dynamic: false })
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments
      if (argument !== undefined && ts.isStringLiteral(argument)) {
        found.push({ specifier: argument.text, node, typeOnly: false, dynamic: true })
      }
    }
  })
  return found
}

const resolve = (from: string, specifier: string): string => path.posix.join(path.posix.dirname(from), specifier)

const services = ["build", "store", "host", "workspace"]
/** The folders and files that each part of src may import, besides itself. */
const directions: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: [],
  internal: [],
  terminal: ["domain", "internal"],
  build: ["domain", "internal", "terminal"],
  workspace: ["domain", "internal", "terminal", "build"],
  store: ["domain", "internal", "terminal", "workspace"],
  host: ["domain", "internal", "terminal", "workspace"],
  deployment: ["domain", "internal", "terminal", "host", "store", "workspace"],
  commands: ["domain", "internal", "terminal", "deployment", ...services, "Spec.ts", "UsageError.ts"],
  "Version.ts": [],
  "UsageError.ts": [],
  "Spec.ts": [],
  "Argv.ts": ["internal", "Spec.ts", "UsageError.ts"],
  "commandTree.ts": ["commands", "Argv.ts", "Spec.ts", "UsageError.ts"],
  "Cli.ts": ["commands"],
  "tree.ts": ["commands", "Cli.ts", "commandTree.ts"],
  "Live.ts": ["internal", "terminal", ...services, "library.ts", "host.ts", "store.ts", "testing.ts"],
  "host.ts": ["domain", "host"],
  "store.ts": ["store"],
  "testing.ts": ["terminal", ...services],
  "library.ts": ["commands", "deployment", "domain", "terminal", ...services, "Cli.ts", "store.ts"],
  "index.ts": ["Live.ts", "library.ts"],
  process: [
    "domain",
    "internal",
    "terminal",
    "Argv.ts",
    "Live.ts",
    "Spec.ts",
    "tree.ts",
    "UsageError.ts",
    "Version.ts"
  ],
  "bin.ts": ["process", "internal/color.ts", "Version.ts"]
}
/** Types need no code: these may name the parts above them. */
const typesFrom: Readonly<Record<string, ReadonlyArray<string>>> = {
  internal: ["domain"]
}

const folderOf = (file: string): string => file.split("/")[0] ?? file

const partOf = (file: string): string => (file in directions ? file : folderOf(file))

/** Live layers outside the folders that may use Node. */
const liveLayers = ["store/Tarballs.ts", "terminal/Reporter.ts", "workspace/Workspace.ts", "workspace/configFile.ts"]

const mayUseNode = (file: string): boolean =>
  file === "bin.ts" || /^(internal|process|host\/transport)\//.test(file) || liveLayers.includes(file)

const none = (violations: ReadonlyArray<string>): void => assert.deepStrictEqual(violations, [])

const everywhere = (check: (source: ts.SourceFile, report: (node: ts.Node, message: string) => void) => void) =>
  files.flatMap(({ source }) => {
    const violations: Array<string> = []
    check(source, (node, message) => violations.push(`${at(source, node)} ${message}`))
    return violations
  })

/** They write dates, or compare this machine's clock with a host's. */
const datingFiles = [
  "host/MemoryHost.ts",
  "host/memory/",
  "host/session/Asking.ts",
  "host/session/locking.ts",
  "process/logFile.ts"
]

const banned: ReadonlyArray<readonly [what: string, is: (node: ts.Node, file: string) => boolean]> = [
  ["async", (node) => node.kind === ts.SyntaxKind.AsyncKeyword],
  ["await", (node) => ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AwaitKeyword],
  ["any", (node) => node.kind === ts.SyntaxKind.AnyKeyword],
  [
    "as",
    (node) => ts.isTypeAssertionExpression(node) || (ts.isAsExpression(node) && !ts.isConstTypeReference(node.type))
  ],
  ["!", (node) => ts.isNonNullExpression(node)],
  ["console", (node) => isMember(node, "console")],
  ["process.exit", (node, file) => isMember(node, "process", "exit") && file !== "process/runMain.ts"],
  ["Date.now", (node) => isMember(node, "Date", "now")],
  ["new Date()", (node) => ts.isNewExpression(node) && isNamed(node.expression, "Date") && !node.arguments?.length],
  // It jumps when somebody sets the clock, so it suits only dates.
  [
    "currentTimeMillis",
    (node, file) =>
      ts.isPropertyAccessExpression(node) &&
      /^(unsafeC|c)urrentTimeMillis$/.test(node.name.text) &&
      !datingFiles.some((dated) => file.startsWith(dated))
  ],
  ["Math.random", (node) => isMember(node, "Math", "random")],
  ["JSON.parse", (node) => isMember(node, "JSON", "parse")],
  ["@ts-", (node) => ts.isSourceFile(node) && /@ts-(ignore|expect-error|nocheck)/.test(node.text)]
]

function isNamed(node: ts.Node, name: string): boolean {
  return ts.isIdentifier(node) && node.text === name
}

function isMember(node: ts.Node, object: string, member?: string): boolean {
  return (
    ts.isPropertyAccessExpression(node) &&
    isNamed(node.expression, object) &&
    (member === undefined || node.name.text === member)
  )
}

/** The functions that take the title of a test first, besides `it`: other names of it, and helpers of single test files. */
const takesTitle: ReadonlyArray<string> = [
  ...["live", "mounted", "mounting", "rooted", "scoped", "test", "zstd"],
  ...["asking", "at", "broken", "building", "image", "noticed", "plainly", "shown", "targeting"]
]

/** `it`, `it.live.skip`, `asNobody.live`, `it.skipIf(missing)`. */
const isIt = (callee: ts.Expression): boolean =>
  ts.isPropertyAccessExpression(callee)
    ? callee.name.text === "live" || isIt(callee.expression)
    : ts.isCallExpression(callee)
      ? isIt(callee.expression)
      : isNamed(callee, "it")

/** Whether a call of this makes a test; also of `(missing ? it : it.skip)`. */
const makesTest = (callee: ts.Expression): boolean => {
  if (ts.isParenthesizedExpression(callee)) return makesTest(callee.expression)
  if (ts.isConditionalExpression(callee)) return makesTest(callee.whenTrue) || makesTest(callee.whenFalse)
  return isIt(callee) || (ts.isIdentifier(callee) && takesTitle.includes(callee.text))
}

/** The literal that is the title of a test, with "…" for each value in it. */
const titleOf = (argument: ts.Expression): string | undefined => {
  if (ts.isStringLiteralLike(argument)) return argument.text
  if (ts.isTemplateExpression(argument))
    return [argument.head.text, ...argument.templateSpans.map(({ literal }) => literal.text)].join("…")
  const isTitled = ts.isCallExpression(argument) && isNamed(argument.expression, "titled")
  return isTitled && argument.arguments[0] !== undefined ? titleOf(argument.arguments[0]) : undefined
}

const statementsOf = (name: string): ReadonlyArray<ts.Statement> =>
  files.filter(({ name: file }) => file === name).flatMap(({ source }) => [...source.statements])

/** The names that a file exports from a module. */
const exportedBy = (file: string, module: string): ReadonlyArray<string> =>
  statementsOf(file).flatMap((statement) =>
    ts.isExportDeclaration(statement) &&
    statement.exportClause !== undefined &&
    ts.isNamedExports(statement.exportClause) &&
    statement.moduleSpecifier !== undefined &&
    ts.isStringLiteral(statement.moduleSpecifier) &&
    statement.moduleSpecifier.text === module
      ? statement.exportClause.elements.map(({ name }) => name.text)
      : []
  )

const isSentence = (title: string): boolean => /^[\p{Lu}…]/u.test(title) && /[.?!…]$/.test(title)

describe("the house", () => {
  it("The house rules find source files to check.", () => {
    assert.isAbove(files.length, 20)
  })

  it("No source file has more than 600 lines, except generated ones.", () => {
    const long = files.filter(({ name }) => !name.includes(".generated."))
    none(long.flatMap(({ name, source }) => (source.getLineStarts().length > 600 ? [`src/${name} is too long`] : [])))
  })

  it("No function has more than 120 lines.", () => {
    none(
      everywhere((source, report) =>
        visit(source, (node) => {
          if (ts.isFunctionLike(node) && linesOf(source, node) > 120)
            report(node, `has a function of ${linesOf(source, node)} lines`)
        })
      )
    )
  })

  it("Imports go one way only: domain, services, commands, process.", () => {
    none(
      everywhere((source, report) => {
        const part = partOf(source.fileName)
        const allowed = directions[part]
        if (allowed === undefined) return report(source, `belongs to no known part of src`)
        for (const { node, specifier, typeOnly } of importsOf(source)) {
          if (!specifier.startsWith(".")) continue
          const other = resolve(source.fileName, specifier)
          const may = [folderOf(source.fileName), ...allowed, ...(typeOnly ? (typesFrom[part] ?? []) : [])]
          if (!may.includes(other) && !may.includes(folderOf(other)))
            report(node, `${part} must not import ${specifier}`)
        }
      })
    )
  })

  it("The deployment engine asks no questions; only commands do.", () => {
    none(
      everywhere((source, report) => {
        if (folderOf(source.fileName) !== "deployment") return
        for (const { node, specifier } of importsOf(source))
          if (specifier.endsWith("/Prompt.ts")) report(node, `must not import ${specifier}`)
      })
    )
  })

  it("The engine does what the plan says: it reads no setting of a target.", () => {
    none(
      everywhere((source, report) => {
        if (folderOf(source.fileName) !== "deployment") return
        visit(source, (node) => {
          const isTarget = (of: ts.Node) => /(^|\.)target$/.test(of.getText(source))
          if (ts.isPropertyAccessExpression(node) && isTarget(node.expression) && node.name.text !== "key")
            report(node, `reads ${node.getText(source)}`)
          if (ts.isVariableDeclaration(node) && node.initializer !== undefined && isTarget(node.initializer))
            report(node, `takes ${node.name.getText(source)} out of the target`)
        })
      })
    )
  })

  it("No imports are circular.", () => {
    const graph = new Map(
      files.map(({ name, source }) => [
        name,
        importsOf(source)
          .filter(({ specifier, typeOnly }) => specifier.startsWith(".") && !typeOnly)
          .map(({ specifier }) => resolve(name, specifier))
      ])
    )
    const done = new Set<string>()
    const circles: Array<string> = []
    const walk = (file: string, trail: ReadonlyArray<string>): void => {
      if (trail.includes(file)) {
        circles.push([...trail.slice(trail.indexOf(file)), file].join(" -> "))
      } else if (!done.has(file)) {
        for (const next of graph.get(file) ?? []) walk(next, [...trail, file])
        done.add(file)
      }
    }
    for (const { name } of files) walk(name, [])
    none(circles)
  })

  it("Imports name Effect modules by their paths, and source files with their .ts extension.", () => {
    none(
      everywhere((source, report) => {
        for (const { dynamic, node, specifier } of importsOf(source)) {
          // The config's file gets the whole of a package, at run time, if it asks for it.
          if (dynamic && source.fileName === "workspace/wholePackages.ts") continue
          if (specifier === "effect" || /^@effect\/[^/]+$/.test(specifier))
            report(node, `imports the whole of ${specifier}`)
          if (specifier.startsWith(".") && !specifier.endsWith(".ts")) report(node, `${specifier} lacks its .ts`)
        }
      })
    )
  })

  it("Only the process, transports, internal/ and live layers use Node itself.", () => {
    none(
      everywhere((source, report) => {
        if (mayUseNode(source.fileName)) return
        for (const { node, specifier } of importsOf(source)) {
          const name = specifier.replace(/^node:/, "")
          if (specifier.startsWith("node:") || builtinModules.includes(name)) report(node, `imports ${specifier}`)
        }
        visit(source, (node) => {
          if (isMember(node, "process")) report(node, `uses ${node.getText(source)}`)
        })
      })
    )
  })

  it("Only bin.ts reads process.argv.", () => {
    none(
      everywhere((source, report) =>
        visit(source, (node) => {
          if (isMember(node, "process", "argv") && source.fileName !== "bin.ts") report(node, "process.argv")
        })
      )
    )
  })

  for (const [what, is] of banned) {
    it(`The source code does not use "${what}".`, () => {
      none(everywhere((source, report) => visit(source, (node) => is(node, source.fileName) && report(node, what))))
    })
  }

  it("Every test has a whole sentence as its title.", () => {
    const found: Array<string> = []
    const fragments: Array<string> = []
    for (const { name, source } of sourcesIn(import.meta.dirname)) {
      visit(source, (node) => {
        if (!ts.isCallExpression(node) || node.arguments.length < 2 || !makesTest(node.expression)) return
        const title = node.arguments[0] && titleOf(node.arguments[0])
        if (title === undefined) return
        found.push(title)
        if (!isSentence(title)) fragments.push(`test/${name}:${lineOf(source, node)} ${title}`)
      })
    }
    assert.isAbove(found.length, 1000)
    none(fragments)
  })

  it("The library exports every command of Cli.ts with its failures and services.", () => {
    const withoutEffect = ["completions.ts", "schema.ts", "manage/tasks.ts"].map((file) => `./commands/${file}`)
    const commands = statementsOf("Cli.ts").flatMap((statement) =>
      ts.isImportDeclaration(statement) && ts.isStringLiteral(statement.moduleSpecifier)
        ? [statement.moduleSpecifier.text]
        : []
    )
    none(
      commands
        .filter((module) => module.startsWith("./commands/") && !withoutEffect.includes(module))
        .flatMap((module) =>
          [/[a-z]$/, /[a-z]Error$/, /[a-z]Services$/]
            .filter((name) => !exportedBy("library.ts", module).some((one) => name.test(one)))
            .map(({ source }) => `src/library.ts needs an export of ${module} that matches ${source}`)
        )
    )
  })

  it("The library exports every verb of the manager with its failures and services.", () => {
    const exported = exportedBy("library.ts", "./commands/manage.ts")
    const verbs = exported.filter((name) => /^[a-z]/.test(name))
    assert.isAbove(verbs.length, 10)
    none(
      verbs
        .flatMap((verb) => ["Error", "Services"].map((end) => `${verb.charAt(0).toUpperCase()}${verb.slice(1)}${end}`))
        .filter((type) => !exported.includes(type))
        .map((type) => `src/library.ts needs ${type} of ./commands/manage.ts`)
    )
  })

  it("Every export has a doc comment.", () => {
    none(
      everywhere((source, report) => {
        for (const statement of source.statements) {
          const exported =
            ts.canHaveModifiers(statement) &&
            (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
          if (exported && ts.getJSDocCommentsAndTags(statement).length === 0) report(statement, "has no doc comment")
        }
      })
    )
  })
})
