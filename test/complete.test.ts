import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { workspacePaths } from "../src/internal/projectFolder.ts"
import { type ProjectIndex, projectState, readIndex, targetKeys, writeIndex } from "../src/internal/projectIndex.ts"
import { complete } from "../src/process/complete.ts"
import { bashWords, completed } from "../src/process/completer.ts"
import type { Completes, TaskSpec } from "../src/Spec.ts"
import { tree } from "../src/tree.ts"

const hour = 3_600_000
const now = 1_800_000_000_000

const index: ProjectIndex = {
  config: "c",
  database: "d",
  targets: [
    { key: "prod", address: "deploy@app1.example.com:/srv/my_app", name: "my_app" },
    { key: "admin", address: "this machine:/srv/admin", name: "admin" }
  ],
  groups: [{ key: "all", targets: ["prod", "admin"] }],
  releases: [
    { id: "12", ref: "D5F35D44AA", name: "my_app", tags: ["production", "latest"], builtAt: now - 2 * hour },
    { id: "11", ref: "844C2010BB", name: "admin", tags: ["latest"], builtAt: now - 50 * hour },
    { id: "2", ref: "3F2A0000CC", name: "my_app", tags: [], builtAt: now - 99 * hour }
  ]
}

const around = {
  project: (root: string | undefined) => (root === undefined || root === "other" ? index : undefined),
  paths: (typed: string, kind: string) => [`${typed}a.json`, `${typed}${kind}/`],
  now
}

const candidates = (spec: TaskSpec, line: string) => complete(spec, line.split(" "), around)
const words = (line: string, spec: TaskSpec = tree.spec) => candidates(spec, line).map(({ word }) => word)
const some = (line: string, ...expected: ReadonlyArray<string>) =>
  assert.includeMembers(words(line), [...expected], line)
const none = (line: string, ...unexpected: ReadonlyArray<string>) => {
  for (const word of unexpected) assert.notInclude(words(line), word, line)
}

describe("a candidate", () => {
  it("Every line can begin with a command, described by its line in help.", () => {
    assert.deepStrictEqual(
      words("").slice(0, tree.spec.tasks.length),
      tree.spec.tasks.map(({ name }) => name)
    )
    assert.deepStrictEqual(candidates(tree.spec, "roll"), [
      { word: "rollback", about: "Goes back to the previous healthy release." }
    ])
    assert.deepStrictEqual(words("help man"), ["manage"])
    assert.deepStrictEqual(words("help manage pi"), ["pin"])
  })

  it("Names with a line break or another control character are no candidates.", () => {
    const odd = {
      ...around,
      project: () => ({
        ...index,
        targets: ["prod", "pro\nd2", "pr\u001b[2J", "pr\to", "p\u009b1m", "p\u2028x"].map((key) => ({
          key,
          address: "h",
          name: "a"
        }))
      }),
      paths: () => ["a", "a\nb", "a\rb"]
    }
    const words = (...line: ReadonlyArray<string>) => complete(tree.spec, line, odd).map(({ word }) => word)
    assert.deepStrictEqual(words("status", "target="), ["target=prod"])
    assert.deepStrictEqual(words("apply", "plan="), ["plan=a"])
  })

  const globals = ["root=", "json", "verbose", "log="]

  it("A table of lines has these candidates and no others.", () => {
    const table: Readonly<Record<string, ReadonlyArray<string>>> = {
      "deploy t": ["target="],
      "deploy -t": ["-target="],
      "deploy --t": ["--target="],
      "deploy target=": ["target=prod", "target=admin"],
      "deploy target=p": ["target=prod"],
      "deploy --target=p": ["--target=prod"],
      "deploy --target ": ["prod", "admin"],
      "deploy --target p": ["prod"],
      "status target=prod j": ["json"],
      "deploy wait=": ["wait=1m", "wait=5m", "wait=30m", "wait=1h"],
      "deploy w": ["where=", "wait", "wait="],
      "deploy release=8": ["release=844C2010"],
      "deploy release=d5": ["release=d5f35d44"],
      "deploy target=prod release=1": ["release=12"],
      "deploy plan save=x": ["save=xa.json", "save=xfile/"],
      "apply plan=": ["plan=a.json", "plan=file/"],
      "init root=": ["root=a.json", "root=folder/"],
      "build env_": ["env_file_name="],
      "build env-": ["env-file-name="],
      "build --env": ["--env-file-name="],
      "rollback target=admin to=": ["to=11", "to=844C2010"],
      "manage info na": ["name="],
      "manage info name=": ["name=my_app", "name=admin"],
      "manage prune my": ["my_app"],
      "manage ln target=prod 3": ["3F2A0000"],
      "manage ln 3F2A target=p": ["target=prod"],
      "manage target=prod inf": ["info"],
      "history ref=8": ["ref=844C2010"],
      "completions ": ["bash", "zsh", "fish", "shell=", ...globals],
      "completions bash ": globals,
      "deploy root=nowhere target=": [],
      "deploy --root nowhere target=": [],
      "deploy root=other target=p": ["target=prod"],
      "exec target=prod -- ": [],
      "exec target=prod -- ls --": [],
      "deploy retry=": [],
      "deploy nonsense=": [],
      "lock target=prod reason=": []
    }
    for (const [line, expected] of Object.entries(table)) assert.deepStrictEqual(words(line), expected, line)
  })

  it("A key that is given is not offered again.", () => {
    some("deploy ", "target=", "plan", "wait", "yes")
    none("deploy target=prod plan ", "target=", "plan")
    none("deploy --target prod --plan --", "--target=", "--plan")
    none("manage info ref=3 ", "ref=", "12")
    none("json status ", "json")
  })

  it("A dash offers options alone, and also help and version.", () => {
    assert.deepStrictEqual(words("-"), ["--root=", "--json", "--verbose", "--log=", "--help", "--version"])
    some("deploy -", "--target=", "--yes", "--help")
    none("deploy ", "help", "version")
    none("manage -", "info")
  })

  it("A release is described by its name, ref, age and tags.", () => {
    assert.deepStrictEqual(candidates(tree.spec, "deploy release="), [
      { word: "release=latest", about: "the newest one" },
      { word: "release=12", about: "my_app, D5F35D44, built 2 hours ago, production, latest" },
      { word: "release=D5F35D44", about: "my_app, D5F35D44, built 2 hours ago, production, latest" },
      { word: "release=11", about: "admin, 844C2010, built 2 days ago, latest" },
      { word: "release=844C2010", about: "admin, 844C2010, built 2 days ago, latest" },
      { word: "release=2", about: "my_app, 3F2A0000, built 4 days ago" },
      { word: "release=3F2A0000", about: "my_app, 3F2A0000, built 4 days ago" },
      { word: "release=my_app", about: "the latest release of my_app" },
      { word: "release=admin", about: "the latest release of admin" }
    ])
  })

  it("An option names the source of its values in its own definition.", () => {
    const of = (completes: Completes) => {
      const option = { name: "x", aliases: [], kind: "value", required: false, completes } as const
      return words("x=", { name: "deployer", options: [option], tasks: [], words: 0 })
    }
    assert.deepStrictEqual(of("group"), ["x=all"])
    assert.deepStrictEqual(of("tag"), ["x=production", "x=latest"])
    assert.deepStrictEqual(of(["a", "b"]), ["x=a", "x=b"])
  })

  it("Every key of a target, release, file or name has a source.", () => {
    const withoutSource = (task: TaskSpec): ReadonlyArray<string> => [
      ...task.options.flatMap(({ completes, kind, name }) =>
        kind === "value" && completes === undefined ? [`${task.name} ${name}`] : []
      ),
      ...task.tasks.flatMap(withoutSource)
    ]
    assert.deepStrictEqual(withoutSource(tree.spec), [
      "deploy where",
      "deploy spread",
      "status where",
      "history where",
      "history last",
      "doctor where",
      "rollback where",
      "rollback spread",
      "exec where",
      "unit command",
      "lock reason",
      "info limit"
    ])
  })
})

describe("a line of bash", () => {
  it("Words are read without their quotes, up to the cursor.", () => {
    assert.deepStrictEqual(bashWords("deployer deploy "), ["deployer", "deploy", ""])
    assert.deepStrictEqual(bashWords("deployer  lock reason='a b'\\''s' tar"), [
      "deployer",
      "lock",
      "reason=a b's",
      "tar"
    ])
    assert.deepStrictEqual(bashWords('a "b \\" c"d e\\ f\\'.slice(0, -1)), ["a", 'b " cd', "e f"])
    for (const open of ["a 'b c", 'a "b', "a b\\"]) assert.isUndefined(bashWords(open), open)
  })

  it("Nothing is answered, and nothing fails, on a call that makes no sense.", () => {
    for (const argv of [[], ["bash"], ["tcsh", "", "--", ""], ["zsh", "", "--"]]) {
      assert.strictEqual(completed(argv, "/nowhere"), "")
    }
  })
})

describe("the index of a project", () => {
  let folder = ""
  let home: string | undefined
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-index-"))
    home = process.env["XDG_CACHE_HOME"]
    process.env["XDG_CACHE_HOME"] = path.join(folder, "cache")
    fs.mkdirSync(path.join(folder, "cache"))
  })
  afterAll(() => {
    if (home === undefined) delete process.env["XDG_CACHE_HOME"]
    else process.env["XDG_CACHE_HOME"] = home
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it("An index is read as it was written, and only its owner can read it.", () => {
    const here = { root: folder }
    assert.isUndefined(readIndex(here))
    writeIndex(here, index)
    assert.deepStrictEqual(readIndex(here), index)
    writeIndex(here, { ...index, failed: "f" })
    assert.deepStrictEqual(readIndex(here), { ...index, failed: "f" })
    assert.isUndefined(readIndex({ root: `${folder}/other` }))
    const [file = "", ...others] = fs.readdirSync(path.join(folder, "cache/effect-deployer"))
    assert.deepStrictEqual(others, [])
    const absolute = path.join(folder, "cache/effect-deployer", file)
    assert.strictEqual(fs.statSync(absolute).mode & 0o777, 0o600)
    fs.writeFileSync(absolute, "something else")
    assert.isUndefined(readIndex(here))
  })

  it("A line break in a value does not break the index.", () => {
    const target = { key: "a\tb", address: "c\nd", name: "e" }
    writeIndex({ root: folder }, { ...index, targets: [target] })
    assert.deepStrictEqual(readIndex({ root: folder })?.targets, [{ key: "a b", address: "c d", name: "e" }])
    assert.deepStrictEqual(readIndex({ root: folder })?.releases, index.releases)
  })

  it("The state of a project changes with its config and its database.", () => {
    const paths = workspacePaths(path.join(folder, "root"))
    fs.mkdirSync(path.dirname(paths.configFile), { recursive: true })
    const states = ["", paths.configFile, paths.database, `${paths.database}-wal`].map((file) => {
      if (file !== "") fs.writeFileSync(file, "x")
      return JSON.stringify(projectState(paths))
    })
    assert.strictEqual(new Set(states).size, states.length)
    assert.deepStrictEqual(JSON.stringify(projectState(paths)), states.at(-1))
  })

  it("The keys of the targets are known only while the config is the one of the index.", () => {
    const paths = workspacePaths(path.join(folder, "edited"))
    fs.mkdirSync(path.dirname(paths.configFile), { recursive: true })
    fs.writeFileSync(paths.configFile, "one")
    assert.deepStrictEqual(targetKeys(paths), [])
    writeIndex(paths, { ...index, config: projectState(paths).config })
    assert.deepStrictEqual(targetKeys(paths), ["prod", "admin"])
    fs.writeFileSync(paths.configFile, "another")
    assert.deepStrictEqual(targetKeys(paths), [])
  })
})
