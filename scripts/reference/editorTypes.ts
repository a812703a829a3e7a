/** The types of a config for editors, as one file that needs no package: src/workspace/editorTypes.generated.ts. */
import * as path from "node:path"
import ts from "typescript"
import { fieldsOfValue } from "./sources.ts"

const root = path.resolve(import.meta.dirname, "../..")
const { config } = ts.readConfigFile(path.join(root, "tsconfig.json"), ts.sys.readFile)
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
const library = path.join(root, "src/library.ts")

/** Types that the file declares by these names, wherever they occur. */
const named: Readonly<Record<string, string>> = {
  "targets.health": "Health",
  "targets.timeouts": "Timeouts",
  "options.preBuild": "ReadonlyArray<(context: BuildContext) => AnyEffect>",
  "options.postBuild": "ReadonlyArray<(context: BuildContext, packed: Packed) => AnyEffect>",
  "context.target": "Target & { readonly key: string }"
}

/** The text of the file. */
export const editorTypes = (): string => {
  const program = ts.createProgram([library], options)
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(library) ?? fail("there is no src/library.ts")
  const exported = new Map(
    checker.getExportsOfModule(checker.getSymbolAtLocation(source) ?? fail("it is no module")).map((symbol) => [
      symbol.name,
      // A re-export is an alias of its origin.
      (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
    ])
  )
  const typeOf = (name: string): ts.Type =>
    checker.getDeclaredTypeOfSymbol(exported.get(name) ?? fail(`the library has no type ${name}`))
  const member = (type: ts.Type, name: string): ts.Type => {
    const property = type.getProperty(name) ?? fail(`there is no ${name}`)
    return checker.getNonNullableType(checker.getTypeOfSymbolAtLocation(property, source))
  }
  const target =
    checker.getIndexTypeOfType(member(typeOf("ConfigInput"), "targets"), ts.IndexKind.String) ?? fail("targets")
  const groups =
    checker.getIndexTypeOfType(member(typeOf("ConfigInput"), "groups"), ts.IndexKind.String) ?? fail("groups")
  const group =
    (groups.isUnion() ? groups.types : []).find((type) => type.getProperty("maxFailures") !== undefined) ??
    fail("a group with a policy")

  const comment = (text: string) =>
    text === "" ? [] : [`    /** ${text.replace(/\s+/g, " ").replaceAll("*/", "*\\/")} */`]
  const fields = (type: ts.Type, kind: string, schema?: string) => {
    const docs = new Map(schema === undefined ? [] : fieldsOfValue(schema).map(({ doc, name }) => [name, doc]))
    return type.getProperties().flatMap((property) => {
      const found = checker.getTypeOfSymbolAtLocation(property, source)
      const text = checker.typeToString(checker.getNonNullableType(found), undefined, ts.TypeFormatFlags.NoTruncation)
      const isOptional = (property.flags & ts.SymbolFlags.Optional) !== 0
      const doc = docs.get(property.name) ?? ts.displayPartsToString(property.getDocumentationComment(checker))
      const shown = named[`${kind}.${property.name}`] ?? text
      return [...comment(doc), `    readonly ${property.name}${isOptional ? "?" : ""}: ${shown}`]
    })
  }
  const part = (name: string, doc: string, lines: ReadonlyArray<string>) => [
    `  /** ${doc} */`,
    `  export interface ${name} {`,
    ...lines,
    "  }",
    ""
  ]
  return [
    "// The types of deployer_config.ts for editors, written by deployer init. Commit it.",
    "// A project that has installed effect-deployer needs no such file: delete it then, and the line in the config that names it.",
    'declare module "effect-deployer" {',
    ...part(
      "Target",
      "A place on a host that holds the releases of one name.",
      fields(target, "targets", "targetFields")
    ),
    ...part("Group", "Targets, and how to roll a release out to them.", fields(group, "groups", "policyFields")),
    ...part("Health", "One of `command`, `http` and `tcp`.", fields(member(target, "health"), "", "Health")),
    ...part("Timeouts", "Bounded waits.", fields(member(target, "timeouts"), "", "Timeouts")),
    ...part("DockerOptions", "The options of `docker`.", fields(typeOf("DockerOptions"), "options", "DockerSettings")),
    ...part(
      "CommandOptions",
      "The options of `command`.",
      fields(typeOf("CommandOptions"), "options", "CommandSettings")
    ),
    ...part("DaemonOptions", "A process to keep running.", fields(typeOf("DaemonOptions"), "")),
    ...part("BuildContext", "The input of a builder and its hooks.", fields(typeOf("BuildContext"), "context")),
    ...part("Packed", "The finished tarball.", fields(typeOf("Packed"), "")),
    "  /** An Effect, of which only the package `effect` has the type. */",
    "  export type AnyEffect = object",
    "",
    "  /** A builder: any function from the build context to an Effect of an artifact. */",
    "  export interface Builder {",
    "    (context: BuildContext): AnyEffect",
    `    readonly preBuild?: ${named["options.preBuild"]}`,
    `    readonly postBuild?: ${named["options.postBuild"]}`,
    "  }",
    "",
    "  /** The whole config. */",
    "  export interface Config {",
    "    readonly targets?: { readonly [key: string]: Target }",
    "    readonly groups?: { readonly [key: string]: ReadonlyArray<string> | Group }",
    "    readonly builders?: { readonly [key: string]: Builder }",
    "  }",
    "",
    "  /** Types a config; changes nothing. */",
    "  export function config(input: Config): Config",
    "  /** Builds an image with a container engine and takes the release out of it. */",
    "  export function docker(options?: DockerOptions): Builder",
    "  /** Runs a command on this machine and takes the release from a directory. */",
    "  export function command(options: CommandOptions): Builder",
    "  /** Commands that keep a process running, for hosts without a service manager: `...daemon({ command })`. */",
    "  export function daemon(options: DaemonOptions): { readonly start: string; readonly stop: string; readonly restart: string }",
    "  /** The contents of a directory on this machine. */",
    "  export function fromDirectory(directory: string): object",
    "  /** Files in memory, by path in the release. */",
    "  export function fromFiles(files: { readonly [path: string]: unknown }): object",
    "}",
    ""
  ].join("\n")
}

/** The same as a module of the sources. */
export const editorTypesModule = (): string =>
  `/** Written by \`npm run reference\` from the types of the library. */\nexport const editorTypes: string = ${JSON.stringify(editorTypes())}\n`

const fail = (message: string): never => {
  throw new Error(message)
}
