/** The published package, in a project that depends on it. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { version } from "../../src/Version.ts"

const root = path.resolve(import.meta.dirname, "../..")
const ours = path.join(root, "node_modules")
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-package-"))
const sources = path.join(temporary, "sources")
/** A project that uses the library. */
const project = path.join(temporary, "project")
/** A project that has only the command line. */
const alone = path.join(temporary, "alone")

const succeed = (cwd: string, command: string, ...args: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const env = { ...process.env, npm_config_loglevel: "error" }
    const child = execFile(command, args, { cwd, env, maxBuffer: 100_000_000 }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}${stderr}`))
    )
    child.stdin?.end()
  })
const write = (files: Readonly<Record<string, string>>) => {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(project, name)), { recursive: true })
    fs.writeFileSync(path.join(project, name), text)
  }
}
const Packed = Schema.parseJson(
  Schema.NonEmptyArray(
    Schema.Struct({ filename: Schema.String, files: Schema.Array(Schema.Struct({ path: Schema.String })) })
  )
)
const Names = Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
const decodeNeeds = Schema.decodeUnknownSync(
  Schema.Struct({
    dependencies: Names,
    optionalDependencies: Names,
    peerDependencies: Names,
    peerDependenciesMeta: Schema.optional(
      Schema.Record({ key: Schema.String, value: Schema.Struct({ optional: Schema.optional(Schema.Boolean) }) })
    )
  })
)
const Lock = Schema.parseJson(
  Schema.Struct({
    packages: Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  })
)
const { packages } = Schema.decodeSync(Lock)(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))

/** The places in the lock of a package and of everything that it needs, from the point of view of a place. */
const neededBy = (name: string, from = "", seen = new Set<string>()): ReadonlySet<string> => {
  const folders = [`${from}/node_modules/${name}`, `node_modules/${name}`].map((place) => place.replace(/^\//, ""))
  const place = folders.find((place) => place in packages)
  if (place === undefined || seen.has(place)) return seen
  seen.add(place)
  const {
    dependencies,
    optionalDependencies,
    peerDependencies,
    peerDependenciesMeta = {}
  } = decodeNeeds(packages[place])
  const isNeeded = (peer: string) => peerDependenciesMeta[peer]?.optional !== true
  const names = [dependencies, optionalDependencies].flatMap((all) => Object.keys(all ?? {}))
  for (const needed of [...names, ...Object.keys(peerDependencies ?? {}).filter(isNeeded)])
    neededBy(needed, place, seen)
  return seen
}

/** Installs the package in a project of its own, beside packages that the user names. All have the versions locked here. */
const install = async (folder: string, tarball: string, beside: ReadonlyArray<string>) => {
  const { "": own = {} } = packages
  const { devDependencies: _, ...published } = own
  const versions = Object.fromEntries(
    beside.map((name) => [name, String(packages[`node_modules/${name}`]?.["version"])])
  )
  const dependencies = { "effect-deployer": `file:${tarball}`, ...versions }
  const needs = decodeNeeds(own)
  const named = [...Object.keys(needs.dependencies ?? {}), ...Object.keys(needs.optionalDependencies ?? {}), ...beside]
  const places = new Set(named.flatMap((name) => [...neededBy(name)]))
  const productive = ([place, settings]: readonly [string, Readonly<Record<string, unknown>>]) => {
    const { dev: _, ...rest } = settings
    return places.has(place) ? [[place, rest] as const] : []
  }
  fs.mkdirSync(folder)
  fs.writeFileSync(
    path.join(folder, "package.json"),
    JSON.stringify({ name: "project", private: true, type: "module", dependencies })
  )
  fs.writeFileSync(
    path.join(folder, "package-lock.json"),
    JSON.stringify({
      name: "project",
      lockfileVersion: 3,
      requires: true,
      packages: {
        "": { name: "project", dependencies },
        "node_modules/effect-deployer": { ...published, resolved: dependencies["effect-deployer"] },
        ...Object.fromEntries(Object.entries(packages).flatMap(productive))
      }
    })
  )
  await succeed(folder, "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
  // Without scripts nothing was compiled; the binary that was compiled for us fits.
  const compiled = "better-sqlite3/build/Release"
  fs.cpSync(path.join(ours, compiled), path.join(folder, "node_modules", compiled), { recursive: true })
}

/** The bytes of all files below a folder. */
const sizeOf = (folder: string): number =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size, 0)

let files: ReadonlyArray<string> = []

beforeAll(async () => {
  // Packed from a copy, so that nobody's dist changes under them; `prepare` builds it, as for an install from git.
  fs.mkdirSync(sources)
  for (const name of ["LICENSE", "README.md", "package.json", "package-lock.json", "scripts", "src", "tsconfig.json"]) {
    if (fs.existsSync(path.join(root, name)))
      fs.cpSync(path.join(root, name), path.join(sources, name), { recursive: true })
  }
  fs.symlinkSync(ours, path.join(sources, "node_modules"))
  const said = await succeed(sources, "npm", "pack", "--json", "--foreground-scripts=false")
  const [{ files: packed, filename }] = Schema.decodeSync(Packed)(said.slice(said.indexOf("[")))
  files = packed.map((file) => file.path)

  const tarball = path.join(sources, filename)
  await install(project, tarball, ["effect", "@effect/platform-node"])
  await install(alone, tarball, [])
})

afterAll(() => fs.rmSync(temporary, { recursive: true, force: true }))

/**
 * Compiles `program.ts` and prints the compiler's errors about the files below and the package's own declarations.
 * Strict, for Node only: no DOM, no types of other packages.
 */
const compile = `
import ts from ${JSON.stringify(path.join(ours, "typescript/lib/typescript.js"))}
const program = ts.createProgram(
  ["program.ts", "right.ts", "wrong.ts"],
  {
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2023.d.ts"],
    module: ts.ModuleKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    types: [],
    outDir: "out"
  }
)
const line = ({ file, messageText, start }) =>
  file.fileName + ":" + (file.getLineAndCharacterOfPosition(start).line + 1) + " " + ts.flattenDiagnosticMessageText(messageText, "\\n")
const mine = program.getSourceFiles().filter(({ fileName }) => !fileName.includes("node_modules/") || fileName.includes("effect-deployer/dist"))
console.log(JSON.stringify(
  mine
    .filter(({ fileName }) => !fileName.includes("/typescript/lib/"))
    .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(line))
))
program.emit(program.getSourceFile("program.ts"))
`

const program = `
import { Clock, Console, Effect, Layer, Schema } from "effect"
import {
  type BuildContext, BuildFailed, type Builder, buildAndDeploy, type BuildReport, command, config, type ConfigInput, type DeployReport, Deployer,
  type DeployOptions, deploy, DockerBuilder, docker, findTarget, fromFiles, HookFailed, type HostSession, hostInfo,
  planDeploy, Prompt, ReleaseStore, RemoteHost, Reporter, storeInfo, type Target, Workspace
} from "effect-deployer"
import { MemoryHost, Reported, Script } from "effect-deployer/testing"

// No type that a caller gets is any.
type IsAny<A> = 0 extends 1 & A ? true : false
type Never<A extends false> = A
export type NoneIsAny = [
  Never<IsAny<Effect.Effect.Success<ReturnType<typeof deploy>>>>,
  Never<IsAny<Effect.Effect.Error<ReturnType<typeof deploy>>>>,
  Never<IsAny<Effect.Effect.Context<ReturnType<typeof deploy>>>>,
  Never<IsAny<Effect.Effect.Error<ReturnType<typeof buildAndDeploy>>>>,
  Never<IsAny<Effect.Effect.Context<ReturnType<typeof buildAndDeploy>>>>,
  Never<IsAny<DeployReport["plan"]>>, Never<IsAny<BuildReport["release"]["ref"]>>, Never<IsAny<Target["timeouts"]>>,
  Never<IsAny<ConfigInput["targets"]>>, Never<IsAny<HostSession["inspect"]>>, Never<IsAny<DeployOptions["release"]>>
]

// A builder is a function; this one asks for a service of its user's and fails with an error of its user's.
class TooEarly extends Schema.TaggedError<TooEarly>()("TooEarly", { at: Schema.Number }) {}
let builds = 0
const own: Builder = (context) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (now < 0) return yield* new TooEarly({ at: now })
    builds += 1
    return fromFiles({
      ["bin/" + context.name]: { content: "#!/bin/sh\\necho " + builds + "\\n", mode: 0o755 },
      "lib/": "",
      "lib/current": { symlink: "../bin/" + context.name },
      VERSION: String(builds) + "\\n"
    })
  })

const settings = config({
  targets: {
    prod: { host: "app.test", user: "deploy", name: "my_app", path: "/srv/my_app", tags: ["prod"], afterUnpack: "bin/migrate" },
    other: { host: "app.test", name: "my_app", path: "/srv/other", builder: "prod" }
  },
  groups: { all: ["prod", "other"] },
  builders: {
    prod: own,
    hooked: Object.assign((context: BuildContext) => own(context), { preBuild: [() => Effect.void], postBuild: [() => new BuildFailed({ message: "no" })] }),
    image: docker({ dockerfile: "Dockerfile", preBuild: [(context) => Effect.succeed({ ...context, tags: [] })] }),
    plain: command({ run: "make", releasePath: "build" })
  }
})

const memory = Layer.mergeAll(
  Workspace.layerMemory({ ...settings, builders: { prod: own } }),
  ReleaseStore.layerMemory,
  MemoryHost.layer,
  DockerBuilder.layerMemory({}),
  Prompt.layerScripted(["y"]),
  Reporter.collect
)

const main = Effect.gen(function* () {
  const { host } = yield* MemoryHost.MemoryHosts
  const machine = host("app.test")
  machine.onRun = ({ command }) => ({ exitCode: command === "bin/migrate" ? 0 : 1 })

  const first = yield* buildAndDeploy({ target: "prod" })
  const again = yield* deploy({ target: "prod" })
  yield* buildAndDeploy({ target: "other" })
  machine.onRun = () => ({ exitCode: 3 })
  const failed = yield* buildAndDeploy({ target: "prod" }).pipe(
    Effect.map(() => "no failure"),
    Effect.catchTag("HookFailed", (error: HookFailed) => Effect.succeed(error._tag + ": " + error.command + " ended with " + error.status))
  )
  const unknown = yield* Effect.flip(planDeploy({ target: "prd" }))
  const { releases } = yield* storeInfo()
  const info = yield* hostInfo("prod")
  const target: Target = yield* findTarget(yield* (yield* Workspace).config, "prod")
  const session: HostSession = yield* (yield* RemoteHost).connect(target)
  const state = yield* session.inspect
  return {
    built: { id: first.built.release.id, name: first.built.release.name, tags: first.built.release.tags },
    deployed: first.deployed.plan.steps.map((step) => step._tag),
    again: again.plan.outcome,
    failed,
    unknown: unknown.message,
    stored: releases.map(({ id, name }) => [id, name]),
    current: state.currentRelease?.ref === first.built.release.ref,
    content: machine.files.read("/srv/my_app/releases/current/my_app/VERSION"),
    asked: (yield* Effect.flatMap(Script, ({ asked }) => asked)).length,
    host: [info.path, info.releases.length],
    told: (yield* Effect.flatMap(Reported, ({ events }) => events)).length > 0
  }
})

// The parts that the layers in memory leave open (files, processes) are this machine's.
Effect.runPromise(
  main.pipe(
    Effect.flatMap((report) => Console.log(JSON.stringify(report))),
    Effect.scoped,
    Effect.provide(memory),
    Effect.provide(Deployer.platform)
  )
)
`

describe("the package", () => {
  it("The package holds the files that it needs, and nothing else.", () => {
    const [outside, inside] = [
      files.filter((file) => !file.startsWith("dist/")),
      files.filter((file) => file.startsWith("dist/"))
    ]
    assert.sameMembers([...outside], ["LICENSE", "README.md", "package.json"])
    assert.includeMembers([...inside], ["dist/bin.js", "dist/lib/index.js", "dist/lib/index.d.ts"])
    assert.deepStrictEqual(
      inside.filter(
        (file) =>
          !/^dist\/((whole\/)?(chunks\/)?[\w-]+\.js|chunks\/program-\w+\.cjs|lib\/[\w/]+(\.generated)?(\.js|\.d\.ts))$/.test(
            file
          )
      ),
      []
    )
  })

  it("The package has a lock file that knows the packages of every platform.", () => {
    const missing = Object.entries(packages).flatMap(([at, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies ?? {}).filter(
        (name) => !(`node_modules/${name}` in packages) && !(`${at}/node_modules/${name}` in packages)
      )
    )
    assert.deepStrictEqual(missing, [], "npm ci would refuse the lock")
  })
})

describe("a program that depends on the package", () => {
  let said: ReadonlyArray<string> = []
  beforeAll(async () => {
    const target = (more: string) => `{ targets: { prod: { host: "h", name: "n", path: "p"${more} } } }`
    const configs = (...all: ReadonlyArray<string>) =>
      ['import { command, config, docker } from "effect-deployer"', ...all.map((text) => `config(${text})`), ""].join(
        "\n"
      )
    write({
      "compile.js": compile,
      "program.ts": program,
      "right.ts": configs(target(', port: 22, timeouts: { connect: "5 seconds" }')),
      "wrong.ts": configs(
        target(', port: "22"'),
        target(", prot: 22"),
        "{ targets: { prod: { name: 'n', path: 'p' } } }",
        '{ builders: { prod: docker({ dockerFile: "x" }) } }',
        "{ builders: { prod: command({ run: 'make' }) } }",
        "{ builders: { prod: () => 1 } }"
      )
    })
    said = Schema.decodeSync(Schema.parseJson(Schema.Array(Schema.String)))(
      await succeed(project, process.execPath, "compile.js")
    )
  })

  it("A program that depends on the package is well typed, and so are the package's declarations.", () => {
    assert.deepStrictEqual(
      said.filter((line) => !line.startsWith("wrong.ts")),
      []
    )
  })

  it("A program that depends on the package gets type errors for mistakes in a config.", () => {
    const places = said.flatMap((line) => line.match(/^wrong\.ts:\d+/) ?? [])
    assert.deepStrictEqual(
      [...new Set(places)],
      [2, 3, 4, 5, 6, 7].map((line) => `wrong.ts:${line}`)
    )
  })

  it("A program that depends on the package builds and deploys with its own layers and its own builder.", async () => {
    const report: unknown = JSON.parse(await succeed(project, process.execPath, "out/program.js"))
    assert.deepStrictEqual(report, {
      built: { id: 1, name: "my_app", tags: ["prod", "latest"] },
      deployed: ["Prepare", "Stage", "Run", "Switch"],
      again: "nothing",
      failed: "HookFailed: bin/migrate ended with 3",
      unknown: 'No target named "prd" (known: prod, other; did you mean "prod"?)',
      stored: [
        [3, "my_app"],
        [2, "my_app"],
        [1, "my_app"]
      ],
      current: true,
      content: "1\n",
      asked: 1,
      host: ["/srv/my_app", 1],
      told: true
    })
  })
})

describe("the installed binary", () => {
  const deployer = (...args: ReadonlyArray<string>) =>
    succeed(alone, path.join("node_modules", ".bin", "deployer"), ...args)

  it("The command line alone needs no Effect, and at most 60 MB.", () => {
    const modules = path.join(alone, "node_modules")
    assert.deepStrictEqual(
      ["effect", "@effect"].filter((name) => fs.existsSync(path.join(modules, name))),
      []
    )
    assert.isAtMost(sizeOf(modules), 60_000_000)
  })

  it("The package refuses another major version of Effect.", async () => {
    const other = path.join(temporary, "other")
    fs.mkdirSync(path.join(other, "effect"), { recursive: true })
    fs.writeFileSync(path.join(other, "effect/package.json"), JSON.stringify({ name: "effect", version: "4.1.0" }))
    const tarball = fs.readdirSync(sources).find((name) => name.endsWith(".tgz")) ?? assert.fail("no tarball")
    const dependencies = { effect: "file:effect", "effect-deployer": `file:${path.join(sources, tarball)}` }
    fs.writeFileSync(path.join(other, "package.json"), JSON.stringify({ name: "other", private: true, dependencies }))
    const refused = await succeed(other, "npm", "install", "--dry-run", "--prefer-offline", "--ignore-scripts").then(
      () => assert.fail("npm installed it"),
      String
    )
    assert.match(refused, /ERESOLVE[\s\S]*peerOptional effect@"\^3/)
  })

  it("The installed binary shows its version and its help.", async () => {
    assert.strictEqual(await deployer("--version"), `${version}\n`)
    assert.include(await deployer("--help"), "build_and_deploy")
  })

  it("The installed binary builds and deploys.", async () => {
    const config = path.join(alone, "deployer/config/deployer_config.ts")
    fs.mkdirSync(path.dirname(config), { recursive: true })
    fs.writeFileSync(
      config,
      `import { Effect } from "effect"
import { config, fromFiles } from "effect-deployer"
export default config({
  targets: { prod: { host: "local", name: "my_app", path: ${JSON.stringify(path.join(temporary, "host"))} } },
  builders: { prod: () => Effect.succeed(fromFiles({ VERSION: "1" })) }
})`
    )
    assert.include(await deployer("build_and_deploy", "target=prod"), "is live")
    assert.strictEqual(fs.readFileSync(path.join(temporary, "host/releases/current/my_app/VERSION"), "utf8"), "1")
  })
})
