import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { modules } from "../../src/Live.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "deployer-workspace-")))),
  (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

const write = (root: string, files: Readonly<Record<string, string>>) =>
  Effect.sync(() => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
  })

const file = "deployer/config/deployer_config.ts"

const configOf = (root: string) =>
  Effect.provide(
    Effect.flatMap(Workspace, (workspace) => workspace.config),
    Workspace.layer({ modules, cwd: root })
  )

/** Loads a config from its text, and other files beside it. */
const load = (text: string, others: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const root = yield* folder
    yield* write(root, { [file]: text, ...others })
    return yield* configOf(root)
  })

const mistakes = (text: string, others: Readonly<Record<string, string>> = {}) =>
  Effect.map(Effect.flip(load(text, others)), (error) => {
    assert.strictEqual(error._tag, "ConfigInvalid")
    assert.strictEqual(error.exitStatus, 2)
    return error._tag === "ConfigInvalid" ? error.mistakes : []
  })

const prod = '{ prod: { host: "h", name: "my_app", path: "srv" } }'

describe("Workspace", () => {
  it.scoped("The workspace is the nearest folder upwards with deployer/config.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* write(root, { [file]: "", [`sub/${file}`]: "", "sub/deep/er/x": "", "other/x": "" })
      const rootFrom = (cwd: string) =>
        Effect.flatMap(Workspace, (workspace) => workspace.paths).pipe(
          Effect.map((paths) => paths.root),
          Effect.provide(Workspace.layer({ modules, cwd: join(root, cwd) }))
        )
      assert.strictEqual(yield* rootFrom("."), root)
      assert.strictEqual(yield* rootFrom("other"), root)
      assert.strictEqual(yield* rootFrom("deployer/config"), root)
      assert.strictEqual(yield* rootFrom("sub/deep/er"), join(root, "sub"))
    })
  )

  it.scoped("The workspace is the folder that root= names, and no other.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* write(root, { [file]: "", "sub/x": "" })
      const named = (name: string) =>
        Effect.flatMap(Workspace, (workspace) => Effect.all([workspace.home, Effect.either(workspace.paths)])).pipe(
          Effect.provide(Workspace.layer({ modules, root: name, cwd: root }))
        )
      const [, found] = yield* named(".")
      assert.strictEqual(found._tag, "Right")
      const [home, missing] = yield* named("sub")
      assert.strictEqual(home, join(root, "sub"))
      assert.include(missing._tag === "Left" && missing.left.message, `${join(root, "sub")}, which root= names`)
    })
  )

  it.effect("The workspace is not found if the working directory was removed.", () =>
    Effect.gen(function* () {
      const cwd = vi.spyOn(process, "cwd").mockImplementation(() => {
        throw new Error("ENOENT: no such file or directory, uv_cwd")
      })
      const root = yield* folder
      vi.stubEnv("PWD", root)
      yield* Effect.addFinalizer(() => Effect.sync(() => [cwd.mockRestore(), vi.unstubAllEnvs()]))
      const error = yield* Effect.flip(
        Effect.flatMap(Workspace, (workspace) => workspace.paths).pipe(Effect.provide(Workspace.layer({ modules })))
      )
      assert.deepInclude(error, { _tag: "WorkspaceNotFound", searched: root })
    }).pipe(Effect.scoped)
  )

  it.scoped("The failure of a missing workspace names the folder that was searched.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const error = yield* Effect.flip(configOf(root))
      assert.strictEqual(error._tag, "WorkspaceNotFound")
      assert.include(error.message, root)
      assert.include(error.message, 'run "deployer init"')
    })
  )

  it.scoped("The workspace gives scratch folders, removes them, and sweeps only those of killed commands.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* write(root, { [file]: "", "deployer/temp/mine.txt": "" })
      const temp = join(root, "deployer/temp")
      yield* Effect.gen(function* () {
        const workspace = yield* Workspace
        const [one, dead] = yield* Effect.scoped(
          Effect.gen(function* () {
            const one = yield* workspace.scratch
            assert.deepStrictEqual(readdirSync(one), [])
            yield* write(one, { "a/b": "x" })
            const dead = one.replace(`-${process.pid}-`, "-99999999-")
            yield* write(dead, { "a/b": "x" })
            const two = yield* workspace.scratch
            assert.notStrictEqual(one, two)
            assert.isTrue(existsSync(one), "this process lives")
            return [one, dead]
          })
        )
        assert.isFalse(existsSync(one ?? ""))
        assert.isFalse(existsSync(dead ?? ""))
        assert.deepStrictEqual(readdirSync(temp), ["mine.txt"])
      }).pipe(Effect.provide(Workspace.layer({ modules, cwd: root })))
    })
  )

  it.scoped("A workspace in memory has a config, paths and real scratch folders.", () =>
    Effect.gen(function* () {
      const workspace = yield* Workspace
      assert.deepInclude((yield* workspace.config).targets["prod"], { host: "h", name: "a" })
      assert.strictEqual((yield* workspace.paths).root, "/project")
      assert.deepStrictEqual(readdirSync(yield* workspace.scratch), [])
    }).pipe(Effect.provide(Workspace.layerMemory({ targets: { prod: { host: "h", name: "a", path: "b" } } })))
  )

  it.effect("A workspace in memory refuses a config with mistakes.", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.flatMap(Workspace, (workspace) => workspace.config))
      assert.include(error.message, 'groups.web: names the target "x"')
    }).pipe(Effect.provide(Workspace.layerMemory({ groups: { web: ["x"] } })))
  )
})

describe("the config file", () => {
  const accepted: ReadonlyArray<readonly [string, string]> = [
    ["a default export", `export default { targets: ${prod} }`],
    ["named exports", `export const targets = ${prod}\nexport const helper = 5`],
    [
      "types and an own helper",
      `import { host } from "./host.ts"\ninterface X { a: string }\nconst x: X = { a: host }\nexport default { targets: { prod: { host: x.a, name: "my_app", path: "srv" } } }`
    ],
    ["an Effect", `import * as Effect from "effect/Effect"\nexport default Effect.succeed({ targets: ${prod} })`],
    [
      "an Effect that waits, from the index",
      `import { Effect, pipe } from "effect"\nexport default pipe(Effect.sleep("1 millis"), Effect.as({ targets: ${prod} }))`
    ],
    ["a top-level await", `const targets = await Promise.resolve(${prod})\nexport default { targets }`],
    [
      "types only, and the exports of the package",
      `import { type DeployerConfig, docker } from "effect-deployer"\nexport default { targets: ${prod}, builders: { prod: docker({}) } } satisfies object`
    ]
  ]
  for (const [what, text] of accepted) {
    it.scopedLive(`The config file may use ${what}.`, () =>
      Effect.gen(function* () {
        const config = yield* load(text, { "deployer/config/host.ts": 'export const host: string = "h"' })
        assert.strictEqual(config.targets["prod"]?.host, "h")
      })
    )
  }

  it.scoped("The config file may be JavaScript, even in a project that says it is CommonJS.", () =>
    Effect.gen(function* () {
      for (const [name, text] of [
        ["deployer_config.mjs", `export default { targets: ${prod} }`],
        ["deployer_config.js", `module.exports = { targets: ${prod} }`]
      ] as const) {
        const root = yield* folder
        yield* write(root, { [`deployer/config/${name}`]: text, "package.json": '{ "type": "commonjs" }' })
        assert.strictEqual((yield* configOf(root)).targets["prod"]?.host, "h")
      }
    })
  )

  it.scoped(
    "The config file gets the running deployer and Effect, not the project's, and loading it writes nothing.",
    () =>
      Effect.gen(function* () {
        const root = yield* folder
        yield* write(root, {
          [file]: `import { docker } from "effect-deployer"
import * as Effect from "effect/Effect"
export default Effect.succeed({ targets: ${prod}, builders: { prod: docker({}) } })`,
          "node_modules/effect-deployer/package.json": '{ "name": "effect-deployer", "main": "index.js" }',
          "node_modules/effect-deployer/index.js": 'exports.docker = () => "wrong"',
          "node_modules/effect/package.json": '{ "name": "effect", "exports": { "./Effect": "./index.js" } }',
          "node_modules/effect/index.js": 'exports.succeed = () => "wrong"'
        })
        const before = readdirSync(root, { recursive: true }).toSorted()
        const config = yield* configOf(root)
        assert.strictEqual(typeof config.builders["prod"], "function")
        assert.deepStrictEqual(readdirSync(root, { recursive: true }).toSorted(), before)
      })
  )

  const refused: ReadonlyArray<readonly [string, string, string]> = [
    [
      "a syntax error",
      "export default {\n  targets: 1\n  groups: 2\n}",
      'line 3, column 3: Unexpected token, expected ","'
    ],
    ["a throwing import", 'import "./other.ts"\nexport default {}', "importing other.ts failed: no vault here"],
    [
      "a syntax error in an import",
      'import "./bad.ts"\nexport default {}',
      "bad.ts, line 1, column 7: Unexpected token"
    ],
    ["a thrown Error", 'throw new Error("no luck\\nat all")', "importing it failed: no luck"],
    ["a thrown text", 'throw "up"', "importing it failed: up"],
    ["a thrown object", "throw { code: 7 }", 'importing it failed: {"code":7}'],
    [
      "a Promise",
      "const load = async () => ({ targets: {} })\nexport default load()",
      "exports a Promise: await it in the file (export default await …), or export an Effect"
    ],
    [
      "an import that does not exist",
      'import x from "./gone.ts"\nexport default x',
      'it imports "./gone.ts", which does not exist'
    ],
    [
      "a package that is not installed",
      'import x from "left-pad"\nexport default x',
      'it imports "left-pad", which is not installed in the project (effect-deployer, effect and @effect/platform need not be)'
    ],
    [
      "a name that the package does not have",
      'import { dcoker } from "effect-deployer"\nexport default { builders: { a: dcoker({}) } }',
      "importing it failed: dcoker is not a function"
    ],
    [
      "a missing export",
      "export const target = {}",
      "exports no config: end it with export default config({ targets: { … }, builders: { … } })"
    ],
    ["an empty file", "", "exports no config: end it with export default config({ targets: { … }, builders: { … } })"],
    ["a text", 'export default "x"', 'must export an object with targets, groups and builders, found "x"'],
    [
      "an Effect that fails",
      'import * as Effect from "effect/Effect"\nexport default Effect.fail(new Error("vault sealed"))',
      "the Effect that it exports failed: vault sealed"
    ],
    [
      "an Effect that fails with an object",
      'import * as Effect from "effect/Effect"\nexport default Effect.fail({ _tag: "Vault", message: "vault sealed" })',
      "the Effect that it exports failed: vault sealed"
    ],
    [
      "an Effect that dies",
      'import * as Effect from "effect/Effect"\nexport default Effect.die("bug")',
      "the Effect that it exports failed: bug"
    ],
    [
      "an Effect that wants a service",
      'import { Context, Effect } from "effect"\nexport default Effect.flatMap(Context.GenericTag("Vault"), () => Effect.succeed({}))',
      "the Effect that it exports failed: Service not found: Vault"
    ],
    [
      "an Effect that returns a mistake",
      'import * as Effect from "effect/Effect"\nexport default Effect.succeed({ targets: { prod: {} } })',
      "targets.prod.host: is missing"
    ]
  ]
  for (const [what, text, expected] of refused) {
    it.scoped(`The config error explains the mistake in ${what}.`, () =>
      Effect.gen(function* () {
        const [first] = yield* mistakes(text, {
          "deployer/config/other.ts": 'throw new Error("no vault here")',
          "deployer/config/bad.ts": "const = 5"
        })
        assert.isTrue(first?.startsWith(expected), `${first}\nbut should be\n${expected}`)
      })
    )
  }

  it.scoped("The config file may be a symbolic link, and then imports the neighbors of the real file.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* write(root, {
        "shared/config.ts": `import { targets } from "./targets.ts"\nexport default { targets }`,
        "shared/targets.ts": `export const targets = ${prod}`,
        "deployer/config/targets.ts": "throw new Error('a neighbor of the link')"
      })
      symlinkSync("../../shared/config.ts", join(root, file))
      assert.deepStrictEqual(Object.keys((yield* configOf(root)).targets), ["prod"])
    })
  )

  it.scoped("The config file fails with a sentence if its path has a backslash.", () =>
    Effect.gen(function* () {
      const root = join(yield* folder, "back\\slash")
      yield* write(root, { [file]: `export default { targets: ${prod} }` })
      assert.include((yield* Effect.flip(configOf(root))).message, "has a backslash")
    })
  )

  it.scoped("A config file that does not exist fails with a hint at deployer init.", () =>
    Effect.gen(function* () {
      const root = yield* folder
      yield* write(root, { "deployer/config/x": "" })
      assert.include((yield* Effect.flip(configOf(root))).message, "it does not exist: write it, or run deployer init")
    })
  )
})
