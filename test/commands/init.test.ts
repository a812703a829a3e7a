import { spawnSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { init } from "../../src/commands/init.ts"
import { modules } from "../../src/Live.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { type Confirm, Prompt, PromptUnavailable } from "../../src/terminal/Prompt.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"
import { ignoredByDocker, withLines } from "../../src/workspace/template.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { draft, store } from "../store/contract.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "deployer-init-")))),
  (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

/** Answers every question alike (or not at all) and remembers them. */
const answering = (answer: boolean | undefined) => {
  const asked: Array<Confirm> = []
  const unavailable = (question: string) => new PromptUnavailable({ question })
  const layer = Layer.succeed(Prompt, {
    canAsk: Effect.succeed(answer !== undefined),
    confirm: (question) => {
      asked.push(question)
      return answer === undefined ? Effect.fail(unavailable(question.message)) : Effect.succeed(answer)
    },
    select: ({ message }) => Effect.fail(unavailable(message)),
    secret: ({ message }) => Effect.fail(unavailable(message)),
    line: ({ prompt }) => Effect.fail(unavailable(prompt))
  })
  return { asked, layer }
}

const run = (
  root: string,
  options: { readonly forceInit?: boolean } = {},
  prompt: Layer.Layer<Prompt> = answering(undefined).layer
) => init(options).pipe(Effect.provide([Workspace.layer({ modules, cwd: root }), prompt, NodeContext.layer]))

const inProject = <A, E>(root: string, effect: Effect.Effect<A, E, ReleaseStore | Workspace>) =>
  Effect.provide(effect, Layer.provideMerge(ReleaseStore.layer, Workspace.layer({ modules, cwd: root })))

const config = "deployer/config/deployer_config.ts"
const types = "deployer/config/deployer-env.d.ts"

/** The errors that the TypeScript compiler finds in a config in a folder that has nothing else. */
const compiled = (root: string) => {
  const tsc = join(import.meta.dirname, "../../node_modules/typescript/bin/tsc")
  const { status, stdout } = spawnSync(process.execPath, [tsc, "--noEmit", "--strict", config], {
    cwd: root,
    encoding: "utf8"
  })
  return { status, stdout }
}

/** A project with these files. */
const projectOf = (files: Readonly<Record<string, string>>) =>
  Effect.map(folder, (parent) => {
    const root = join(parent, "folder")
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
    return root
  })

describe("init", () => {
  it.scoped("Init makes the whole workspace, with a config that is valid as it stands.", () =>
    Effect.gen(function* () {
      const parent = yield* folder
      const root = join(parent, "My Shop!")
      mkdirSync(root)
      const report = yield* run(root)
      assert.strictEqual(report.root, root)
      assert.deepStrictEqual(report.made.toSorted(), [
        ".dockerignore",
        "deployer/.gitignore",
        "deployer/config/",
        types,
        config,
        "deployer/config/deployer_store.db",
        "deployer/release_store/",
        "deployer/temp/"
      ])
      for (const made of report.made) assert.isTrue(existsSync(join(root, made)), made)
      assert.deepStrictEqual(readdirSync(join(root, "deployer/config")).toSorted(), [
        "deployer-env.d.ts",
        "deployer_config.ts",
        "deployer_store.db"
      ])
      assert.strictEqual(readFileSync(join(root, ".dockerignore"), "utf8"), "deployer/\n")
      const { builders, targets } = yield* inProject(
        root,
        Effect.flatMap(Workspace, (workspace) => workspace.config)
      )
      assert.deepInclude(targets["prod"], { host: "app.example.com", name: "My_Shop_", path: "My_Shop_" })
      assert.strictEqual(typeof builders["prod"], "function")
      assert.strictEqual((yield* inProject(root, store("x", draft("a")))).id, 1)
    })
  )

  it.scoped("Init refuses a project that has a config, and changes nothing.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* run(root)
      writeFileSync(join(root, config), "mine")
      const error = yield* Effect.flip(run(root))
      assert.strictEqual(error._tag, "AlreadyInitialised")
      assert.match(
        error.message,
        /^This project is set up already \(.*\), .*: go on with deployer validate or deployer build target=T\. Only to discard .* force_init$/
      )
      assert.strictEqual(readFileSync(join(root, config), "utf8"), "mine")
    })
  )

  it.scoped("Init renews the types for editors beside a config that has them, and makes no others.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* run(root)
      const text = readFileSync(join(root, types), "utf8")
      writeFileSync(join(root, types), "old")
      yield* Effect.flip(run(root))
      assert.strictEqual(readFileSync(join(root, types), "utf8"), text)
      rmSync(join(root, types))
      yield* Effect.flip(run(root))
      assert.isFalse(existsSync(join(root, types)))
    })
  )

  it.scoped("Init leaves the types to a project that has installed the package.", () =>
    Effect.gen(function* () {
      const root = yield* projectOf({ "node_modules/effect-deployer/package.json": "{}" })
      yield* run(root)
      assert.isFalse(existsSync(join(root, types)))
      assert.notInclude(readFileSync(join(root, config), "utf8"), "<reference")
    })
  )

  it.scoped("An editor without node_modules knows the config, and finds a wrong key in it.", () =>
    Effect.gen(function* () {
      for (const files of [{ Dockerfile: "FROM a\nWORKDIR /srv\n" }, { "go.mod": "module example.com/hello\n" }]) {
        const root = yield* projectOf(files)
        yield* run(root)
        assert.deepStrictEqual(compiled(root), { status: 0, stdout: "" })
        const text = readFileSync(join(root, config), "utf8")
        writeFileSync(join(root, config), text.replace("keep: 5", "kep: 5"))
        const wrong = compiled(root)
        assert.notStrictEqual(wrong.status, 0)
        assert.match(wrong.stdout, /'kep' does not exist in type 'Target'/)
        writeFileSync(
          join(root, config),
          text.replace("keep: 5", '...daemon({ command: "./x" }), health: { tcp: "80" }')
        )
        assert.match(compiled(root).stdout, /^[^\n]*Type 'string' is not assignable to type 'number'\.\n$/)
      }
    })
  )

  it.scoped("Init fills in facts from the project's files and reports them, and the config is valid.", () =>
    Effect.gen(function* () {
      for (const [files, found, ...texts] of [
        [
          {
            "mix.exs": "def project do\n [\n app: :shop,\n",
            "package.json": "{}",
            Dockerfile: "FROM e AS b\nRUN mix release\nFROM d\nWORKDIR /app\nCOPY --from=b /x ./\n"
          },
          ["mix.exs: Elixir, the name shop", "Dockerfile: the release is probably /app in its image"],
          'name: "shop"',
          "prod: docker({\n      // ",
          'releasePath: "/app"',
          '// restart: "sudo systemctl restart shop"',
          '// ...daemon({ command: "bin/shop start" })'
        ],
        [
          { "mix.exs": "app: :shop", Dockerfile: "FROM e\nWORKDIR /src\nRUN mix deps.get && mix release\n" },
          ["mix.exs: Elixir, the name shop", "Dockerfile: the release is probably /src/_build/prod/rel in its image"],
          'releasePath: "/src/_build/prod/rel"'
        ],
        [
          {
            "package.json": '{"name":"@acme/web","scripts":{"start":"node dist/main.js"}}',
            "package-lock.json": "",
            Dockerfile: "FROM node\nWORKDIR /web\nEXPOSE 3000\n"
          },
          ["package.json: Node, the name web", "Dockerfile: the release is probably /web in its image"],
          'name: "web"',
          'releasePath: "/web"',
          '// ...daemon({ command: "node dist/main.js" })',
          "http://127.0.0.1:3000/health",
          "&& npm ci --omit=dev"
        ],
        [
          { "go.mod": "module example.com/me/hello/v2\n\ngo 1.22\n" },
          ["go.mod: Go, the name hello"],
          'run: "CGO_ENABLED=0 go build -o deployer/temp/release/hello ."',
          'releasePath: "deployer/temp/release/hello"',
          '// ...daemon({ command: "./hello" })'
        ],
        [
          {
            "go.mod": "module example.com/hello",
            Dockerfile: "FROM go AS b\nWORKDIR /src\nFROM scratch\nCOPY --from=b /out/server /server\n"
          },
          ["go.mod: Go, the name hello", "Dockerfile: the release is probably /server in its image"],
          'releasePath: "/server"',
          '// ...daemon({ command: "./server" })',
          '\n    // prod: command({\n    //   run: "CGO_ENABLED=0 '
        ],
        [
          {
            "Cargo.toml": '[package]\nname = "tool"\n',
            Dockerfile: 'FROM r\nWORKDIR /srv\nENTRYPOINT ["/srv/bin/tool", "serve"]\n'
          },
          ["Cargo.toml: Rust, the name tool", "Dockerfile: the release is probably /srv in its image"],
          '// ...daemon({ command: "./bin/tool serve" })'
        ],
        [
          { "Cargo.toml": '[workspace]\nname = "no"\n[package]\nversion = "1"\nname = "tool"\n' },
          ["Cargo.toml: Rust, the name tool"],
          'releasePath: "target/release/tool"'
        ],
        [{ Gemfile: "" }, ["Gemfile: Ruby"], 'name: "folder"', "bundle install"],
        [{ "package.json": "{ broken" }, ["package.json: Node"], "npm install --omit=dev", 'command: "node server.js"'],
        [{ Dockerfile: "FROM scratch\n" }, ["Dockerfile: set releasePath to the path of the release in its image"]],
        [{ "README.md": "" }, [], 'releasePath: "/app"']
      ] as const) {
        const root = yield* projectOf(files)
        const report = yield* run(root)
        assert.deepStrictEqual(report.found, found)
        const text = readFileSync(join(root, config), "utf8")
        for (const part of texts) assert.include(text, part)
        assert.notInclude(text, "groups")
        if (!("mix.exs" in files)) assert.notMatch(text, /bin\/\w+ daemon|_build|MIX_ENV/)
        const { builders, targets } = yield* inProject(
          root,
          Effect.flatMap(Workspace, (workspace) => workspace.config)
        )
        assert.isUndefined(builders["prod"]?.mistakes)
        assert.isDefined(targets["prod"])
      }
    })
  )

  it.scoped("Init mentions the files of elixir_deployer beside it.", () =>
    Effect.gen(function* () {
      const root = yield* projectOf({ "deployer/deployer_config.ex": "", deployer_dets: "" })
      const { found } = yield* run(root)
      assert.lengthOf(found, 2)
      assert.match(
        found[1] ?? "",
        /^deployer\/deployer_config\.ex: of elixir_deployer; .* deployer manage adopt target=prod/
      )
    })
  )

  it.scoped("Init refuses a project whose config is JavaScript, too.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      mkdirSync(join(root, "deployer/config"), { recursive: true })
      writeFileSync(join(root, "deployer/config/deployer_config.mjs"), "")
      assert.strictEqual((yield* Effect.flip(run(root)))._tag, "AlreadyInitialised")
    })
  )

  it.scoped("Init with force_init asks before releases are lost, and tells their number and size.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* run(root)
      writeFileSync(join(root, config), "mine")
      yield* inProject(root, Effect.all([store("12345", draft("a")), store("1234567", draft("a"))]))

      const no = answering(false)
      assert.strictEqual((yield* Effect.flip(run(root, { forceInit: true }, no.layer)))._tag, "Declined")
      assert.include(no.asked[0]?.message, "removes 2 stored releases (12 B)")
      assert.deepInclude(no.asked[0], { safe: true, initial: false })
      assert.strictEqual((yield* Effect.flip(run(root, { forceInit: true })))._tag, "PromptUnavailable")
      assert.strictEqual(readFileSync(join(root, config), "utf8"), "mine")
      assert.strictEqual(
        (yield* inProject(
          root,
          Effect.flatMap(ReleaseStore, ({ list }) => list())
        )).length,
        2
      )

      const report = yield* run(root, { forceInit: true }, answering(true).layer)
      assert.strictEqual(report.kept, `${config}.old`)
      assert.strictEqual(readFileSync(join(root, `${config}.old`), "utf8"), "mine")
      assert.deepStrictEqual(readdirSync(join(root, "deployer/release_store")), [])
      assert.strictEqual((yield* inProject(root, store("x", draft("a")))).id, 1)
    })
  )

  it.scoped("Init with force_init asks nothing if nothing is lost.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const prompt = answering(undefined)
      yield* run(root, { forceInit: true }, prompt.layer)
      yield* run(root, { forceInit: true }, prompt.layer)
      assert.deepStrictEqual(prompt.asked, [])
    })
  )

  it.scoped("Init completes an interrupted init and keeps stored releases.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* run(root)
      yield* inProject(root, store("x", draft("a")))
      rmSync(join(root, config))
      rmSync(join(root, "deployer/temp"), { recursive: true })
      const report = yield* run(root)
      assert.deepStrictEqual(report.made, ["deployer/temp/", config])
      assert.strictEqual(
        (yield* inProject(
          root,
          Effect.flatMap(ReleaseStore, ({ list }) => list())
        )).length,
        1
      )
    })
  )

  it.scoped("A failed init does not stop the next one.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      mkdirSync(join(root, ".dockerignore"))
      assert.strictEqual((yield* Effect.flip(run(root)))._tag, "WorkspaceError")
      assert.isFalse(existsSync(join(root, config)))
      rmSync(join(root, ".dockerignore"), { recursive: true })
      yield* run(root)
      assert.isTrue(existsSync(join(root, config)))
    })
  )

  it.scoped("Init in a folder below another workspace makes its own, with a warning.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* run(root)
      mkdirSync(join(root, "sub"))
      const seen: Array<Event> = []
      const report = yield* run(join(root, "sub")).pipe(
        Effect.provideService(Reporter, { emit: (event) => Effect.sync(() => seen.push(event)) })
      )
      assert.strictEqual(report.root, join(root, "sub"))
      assert.deepInclude(seen[0], { _tag: "Warning" })
    })
  )

  it.scoped("Init fails if there is no folder, or if a file is in the way.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      assert.include((yield* Effect.flip(run(join(root, "gone")))).message, "there is no folder")
      writeFileSync(join(root, "deployer"), "")
      assert.strictEqual((yield* Effect.flip(run(root)))._tag, "WorkspaceError")
    })
  )
})

describe("withLines", () => {
  it("An ignore file gets missing lines once, and keeps the rest as it is.", () => {
    assert.strictEqual(withLines("", ignoredByDocker), "deployer/\n")
    assert.strictEqual(withLines("a\n!b", ignoredByDocker), "a\n!b\ndeployer/\n")
    assert.strictEqual(withLines("a\r\nb\r\n", ignoredByDocker), "a\r\nb\r\ndeployer/\r\n")
    for (const same of ["deployer/", "deployer", "/deployer", "x\n deployer/** \ny", "deployer\r\n"]) {
      assert.isUndefined(withLines(same, ignoredByDocker), same)
    }
    assert.isDefined(withLines("deployer_old\n# deployer/\n", ignoredByDocker))
  })
})
