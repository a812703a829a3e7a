/** The published package, as a project that depends on it has it. */
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
const project = path.join(temporary, "project")

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
const Lock = Schema.parseJson(
  Schema.Struct({
    packages: Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  })
)
const { packages } = Schema.decodeSync(Lock)(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))

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

  // The very versions that are locked here: what is newer in the registry is not this test's business.
  const { "": own = {}, ...others } = packages
  const { devDependencies: _, ...published } = own
  const dependencies = { "effect-deployer": `file:${path.join(sources, filename)}` }
  write({
    "package.json": JSON.stringify({ name: "project", private: true, type: "module", dependencies }),
    "package-lock.json": JSON.stringify({
      name: "project",
      lockfileVersion: 3,
      requires: true,
      packages: {
        "": { name: "project", dependencies },
        "node_modules/effect-deployer": { ...published, resolved: dependencies["effect-deployer"] },
        ...Object.fromEntries(Object.entries(others).filter(([, { dev }]) => dev !== true))
      }
    })
  })
  await succeed(project, "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
  // Without scripts nothing was compiled; what was compiled for us fits.
  fs.cpSync(
    path.join(ours, "better-sqlite3/build/Release"),
    path.join(project, "node_modules/better-sqlite3/build/Release"),
    {
      recursive: true
    }
  )
})

afterAll(() => fs.rmSync(temporary, { recursive: true, force: true }))

/**
 * Compiles `program.ts` and prints what the compiler says of the files below and of the package's own declarations.
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

// Nothing that a caller gets is any.
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

// What the layers in memory leave open (files, processes) is this machine's.
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
        (file) => !/^dist\/((whole\/)?(chunks\/)?[\w-]+\.js|lib\/[\w/]+(\.generated)?(\.js|\.d\.ts))$/.test(file)
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
    succeed(project, path.join("node_modules", ".bin", "deployer"), ...args)

  it("The installed binary shows its version and its help.", async () => {
    assert.strictEqual(await deployer("--version"), `${version}\n`)
    assert.include(await deployer("--help"), "build_and_deploy")
  })

  it("The installed binary builds and deploys.", async () => {
    write({
      "deployer/config/deployer_config.ts": `import { Effect } from "effect"
import { config, fromFiles } from "effect-deployer"
export default config({
  targets: { prod: { host: "local", name: "my_app", path: ${JSON.stringify(path.join(temporary, "host"))} } },
  builders: { prod: () => Effect.succeed(fromFiles({ VERSION: "1" })) }
})`
    })
    assert.include(await deployer("build_and_deploy", "target=prod"), "is live")
    assert.strictEqual(fs.readFileSync(path.join(temporary, "host/releases/current/my_app/VERSION"), "utf8"), "1")
  })
})
