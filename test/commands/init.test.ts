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
import { join } from "node:path"
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
        config,
        "deployer/config/deployer_store.db",
        "deployer/release_store/",
        "deployer/temp/"
      ])
      for (const made of report.made) assert.isTrue(existsSync(join(root, made)), made)
      assert.deepStrictEqual(readdirSync(join(root, "deployer/config")).toSorted(), [
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
      assert.include(error.message, "force_init")
      assert.strictEqual(readFileSync(join(root, config), "utf8"), "mine")
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
