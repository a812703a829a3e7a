/** The packed package, as every package manager installs it for every Node that is supported, and in use there. */
import { execFile, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { version as packageVersion } from "../../src/Version.ts"
import { binary } from "../kit/build.ts"
import { missingDocker } from "../kit/docker.ts"
import { isExhaustive } from "../kit/exhaustive.ts"
import { fromNpm, nodeOf } from "../kit/fromNpm.ts"
import nodes from "../kit/nodes.json" with { type: "json" }
import { assertFailed, builders, type Project, project, reach } from "../kit/project.ts"
import { missingSshd, sshd, titled } from "../kit/sshd.ts"

const root = path.resolve(import.meta.dirname, "../..")
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-install-"))
const tarball = path.join(temporary, `effect-deployer-${packageVersion}.tgz`)

const supported = [nodes.oldest, nodes.maintained, nodes.active, nodes.newest]

/** Node's own SQLite needs no package, and so no install script. */
const needsScript = (node: string) => node === nodes.oldest || node === nodes.withoutSqlite

interface Installed {
  readonly status: number
  readonly output: string
}

/** A folder with a home, and with one Node as the first in `PATH`. */
interface Place {
  readonly folder: string
  readonly node: string
  /** Runs a line of sh in the folder, as a user who installs something. */
  readonly sh: (line: string) => Promise<Installed>
}

interface Manager {
  readonly title: string
  /** The Node that brings it. */
  readonly broughtBy?: string
  /** The systems on which it does not run. */
  readonly not?: ReadonlyArray<string>
  /** The line that installs. */
  readonly install: string
  /** The line for a Node that needs the install script of better-sqlite3, if it is another one. */
  readonly permitted?: string
  /** The line that runs deployer, from any folder. */
  readonly run: (home: string) => string
}

const globally = (home: string): string => `${home}/global/bin/deployer`

const npm = (version: string, more: Pick<Manager, "broughtBy" | "not"> = {}): Manager => {
  const start = `node ${fromNpm("npm", version)}/bin/npm-cli.js install --global --prefix "$HOME/global"`
  return {
    ...more,
    title: `npm ${version}`,
    install: `${start} "$tarball"`,
    run: globally
  }
}

const pnpm = (version: string, program: string): Manager => {
  const start = `mkdir -p "$HOME/global/bin" && PNPM_HOME="$HOME/global" PATH="$HOME/global:$HOME/global/bin:$PATH" node ${fromNpm("pnpm", version)}/bin/${program} add --global`
  return {
    title: `pnpm ${version}`,
    install: `${start} "$tarball"`,
    permitted: `${start} --allow-build=better-sqlite3 "$tarball"`,
    run: (home) => `env PATH="${home}/global:${home}/global/bin:$PATH" deployer`
  }
}

const yarnClassic = (version: string): Manager => ({
  title: `Yarn ${version}`,
  install: `node ${fromNpm("yarn", version)}/bin/yarn.js global add --prefix "$HOME/global" "$tarball"`,
  run: globally
})

/** It has no global installations. */
const yarn = (version: string, linker: string): Manager => {
  const program = `node ${fromNpm("@yarnpkg/cli-dist", version)}/bin/yarn.js`
  const install = `touch yarn.lock && ${program} config set nodeLinker ${linker} && ${program} add effect-deployer@file:$tarball`
  return {
    title: `Yarn ${version} (${linker})`,
    install,
    permitted: `touch yarn.lock && ${program} config set enableScripts true && ${install}`,
    run: (home) => `${program} --cwd ${home} run deployer`
  }
}

const bun = (version: string): Manager => {
  const cpu = process.arch === "arm64" ? "aarch64" : process.arch
  return {
    title: `Bun ${version}`,
    install: `BUN_INSTALL="$HOME/global" ${fromNpm(`@oven/bun-${process.platform}-${cpu}`, version)}/bin/bun add --global "$tarball"`,
    run: globally
  }
}

const newestNpm = "12.2.2"
const newestPnpm = "12.21.0"

const managers: ReadonlyArray<() => Manager> = [
  () => npm("10.9.4", { broughtBy: nodes.maintained }),
  () => npm("11.19.1", { broughtBy: nodes.active }),
  // It needs a newer Node itself.
  () => npm(newestNpm, { not: [nodes.oldest] }),
  () => pnpm("10.34.0", "pnpm.cjs"),
  () => pnpm(newestPnpm, "pnpm.mjs"),
  () => yarnClassic("1.22.22"),
  () => yarn("4.18.1", "node-modules"),
  () => yarn("4.18.1", "pnp"),
  () => bun("1.4.5")
]

/**
 * The source of downloads for install scripts: it has only the binary that was compiled for these tests. Every other script fails, which no
 * installation may depend on.
 */
let mirror: { readonly server: http.Server; readonly address: string } | undefined

beforeAll(async () => {
  const packed = spawnSync("npm", ["pack", "--ignore-scripts", "--pack-destination", temporary], {
    cwd: root,
    encoding: "utf8"
  })
  assert.strictEqual(packed.status, 0, packed.stderr)
  const compiled = "build/Release/better_sqlite3.node"
  const folder = path.join(root, "node_modules/better-sqlite3")
  const abi = spawnSync(path.join(nodeOf(nodes.oldest), "bin/node"), ["-p", "process.versions.modules"])
  if (abi.stdout.toString().trim() !== process.versions.modules || !fs.existsSync(path.join(folder, compiled))) return
  const archive = path.join(temporary, "better-sqlite3.tar.gz")
  assert.strictEqual(spawnSync("tar", ["-czf", archive, "-C", folder, compiled]).status, 0)
  const server = http.createServer((request, response) => {
    if (request.url?.includes(`-node-v${process.versions.modules}-`)) fs.createReadStream(archive).pipe(response)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const bound = server.address()
  assert.isObject(bound)
  mirror = { server, address: typeof bound === "object" ? `http://127.0.0.1:${bound?.port}` : "" }
})

afterAll(() => {
  mirror?.server.close()
  fs.rmSync(temporary, { recursive: true, force: true })
})

let places = 0

const place = (version: string): Place => {
  places += 1
  const folder = path.join(temporary, String(places))
  const node = path.join(nodeOf(version), "bin")
  fs.mkdirSync(folder)
  fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "project", private: true }))
  // The user's own home may name the registry; headers of another Node must not be there.
  const npmrc = path.join(os.homedir(), ".npmrc")
  const lines = fs.existsSync(npmrc) ? fs.readFileSync(npmrc, "utf8").split("\n") : []
  fs.writeFileSync(path.join(folder, ".npmrc"), lines.filter((line) => !line.startsWith("nodedir")).join("\n"))
  // An npm that runs these tests has put its own settings into the environment.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
  const env = {
    ...Object.fromEntries(inherited),
    PATH: `${node}:${process.env["PATH"]}`,
    HOME: folder,
    tarball,
    YARN_ENABLE_TELEMETRY: "0",
    ...(mirror === undefined || version !== nodes.oldest
      ? {}
      : { npm_config_better_sqlite3_binary_host: mirror.address })
  }
  const sh: Place["sh"] = (line) =>
    new Promise((resolve) => {
      const child = execFile(
        "sh",
        ["-c", line],
        { cwd: folder, env, maxBuffer: 100_000_000 },
        (error, stdout, stderr) =>
          resolve({
            status: typeof error?.code === "number" ? error.code : error === null ? 0 : 1,
            output: `${stdout}${stderr}`
          })
      )
      child.stdin?.end()
    })
  return { folder, node, sh }
}

/** Installs, and returns a project in which this installation runs, and the output of the package manager. */
const installed = ({ run }: Pick<Manager, "run">, version: string, line: string, expected = 0) =>
  Effect.gen(function* () {
    const { folder, node, sh } = place(version)
    const { output, status } = yield* Effect.promise(() => sh(line))
    assert.strictEqual(status, expected, output)
    const program = path.join(folder, "start")
    fs.writeFileSync(program, `#!/bin/sh\nexec ${run(folder)} "$@" "root=$PWD"\n`, { mode: 0o755 })
    const asked = yield* Effect.promise(() => sh(`${run(folder)} --version`))
    assert.deepStrictEqual(asked, { status: 0, output: `${packageVersion}\n` })
    const here = yield* project({ init: false, program: [program], path: node })
    return { here, output }
  })

/** From the first command to a release that is live. */
const use = (here: Project, target: object, builder: string) =>
  Effect.gen(function* () {
    if (!fs.existsSync(path.join(here.root, "deployer"))) yield* here.good("init")
    here.configure({ prod: target }, { prod: builder })
    assert.include(yield* here.good("build", "target=prod"), "Stored ")
    assert.include(yield* here.good("deploy", "target=prod", "release=1"), " is live at ")
    assert.include(yield* here.good("manage", "info"), here.name)
  })

const local = { host: "local" }

describe("the versions of Node", () => {
  for (const version of nodes.tooOld) {
    it.scopedLive(`With Node ${version}, every command says in one sentence which Node it needs.`, () =>
      Effect.gen(function* () {
        const here = yield* project({ init: false, program: [path.join(nodeOf(version), "bin/node"), binary] })
        for (const args of [["--version"], ["init"], ["deploy", "target=prod"], ["completions", "bash"]]) {
          const said = new RegExp(`^deployer: Node ${version} is too old: deployer needs Node 20\\.11 or a newer one`)
          assertFailed(yield* here.deployer(...args), 1, said)
        }
        assert.isFalse(fs.existsSync(path.join(here.root, "deployer")))
      })
    )
  }

  describe.skipIf(missingSshd)(titled("on a host", missingSshd), () => {
    for (const version of supported) {
      it.scopedLive(`With Node ${version}, deployer deploys over SSH, and goes back.`, () =>
        Effect.gen(function* () {
          const host = yield* sshd()
          const here = yield* project({ init: false, program: [path.join(nodeOf(version), "bin/node"), binary] })
          here.knowHost(host)
          yield* use(here, reach(host), builders.plain)
          here.version("2.0")
          assert.include(yield* here.good("build_and_deploy", "target=prod"), " is live at ")
          assert.include(yield* here.good("rollback", "target=prod"), " is live again ")
        })
      )
    }
  })

  describe.skipIf(missingDocker)(titled("with an engine", missingDocker), () => {
    for (const version of supported) {
      it.scopedLive(`With Node ${version}, deployer builds an image and deploys its release.`, () =>
        Effect.gen(function* () {
          const here = yield* project({ init: false, program: [path.join(nodeOf(version), "bin/node"), binary] })
          yield* use(here, local, builders.image)
        })
      )
    }
  })
})

describe("installing", () => {
  for (const make of managers) {
    const manager = make()
    const tried = isExhaustive ? supported : [nodes.oldest, manager.broughtBy, nodes.newest]
    for (const node of supported.filter((node) => tried.includes(node) && manager.not?.includes(node) !== true)) {
      it.scopedLive(`Deployer builds and deploys with Node ${node} if ${manager.title} installed it.`, () =>
        Effect.gen(function* () {
          const line = needsScript(node) ? (manager.permitted ?? manager.install) : manager.install
          const { here } = yield* installed(manager, node, line)
          yield* use(here, local, builders.plain)
        })
      )
    }
  }

  const withoutScript: ReadonlyArray<readonly [string, Manager]> = [
    [nodes.oldest, pnpm(newestPnpm, "pnpm.mjs")],
    [nodes.withoutSqlite, npm(newestNpm)]
  ]
  for (const [node, manager] of withoutScript) {
    it.scopedLive(`Without an install script, deployer explains the remedy with Node ${node} before it builds.`, () =>
      Effect.gen(function* () {
        const { here } = yield* installed(manager, node, manager.install)
        const said =
          /SQLite does not load in Node \S+ \(better-sqlite3 has no binary: its install script did not run\): use /
        assertFailed(yield* here.deployer("init"), 1, said)
        here.configure({ prod: local }, { prod: builders.plain })
        assertFailed(yield* here.deployer("build", "target=prod"), 1, said)
        assert.isFalse(fs.existsSync(path.join(here.root, "build")))
        if (node !== nodes.withoutSqlite) return
        const env = { ...here.env, NODE_OPTIONS: "--experimental-sqlite" }
        const { status, stderr } = yield* here.run(["build", "target=prod"], { env })
        assert.strictEqual(status, 0, stderr)
        assert.notInclude(stderr, "Warning")
      })
    )
  }

  it.scopedLive("The advice for npm works although a user's settings turn install scripts off.", () =>
    Effect.gen(function* () {
      const { install, run } = npm("11.19.1")
      const permitted = `${install} --ignore-scripts=false --allow-scripts=better-sqlite3`
      const off = 'printf "\\nignore-scripts=true\\n" >> "$HOME/.npmrc"'
      const { here: without } = yield* installed({ run }, nodes.oldest, `${off} && ${install}`)
      assert.strictEqual((yield* without.deployer("init")).status, 1)
      const { here } = yield* installed({ run }, nodes.oldest, `${off} && ${permitted}`)
      yield* use(here, local, builders.plain)
    })
  )

  it.scopedLive(
    "In a project, pnpm installs deployer without a failure if the project decides about install scripts.",
    () =>
      Effect.gen(function* () {
        const add = `node ${fromNpm("pnpm", newestPnpm)}/bin/pnpm.mjs add "$tarball"`
        const run = (home: string) => `${home}/node_modules/.bin/deployer`
        const { output } = yield* installed({ run }, nodes.newest, add, 1)
        assert.match(output, /Ignored build scripts: better-sqlite3@\S+, cpu-features@\S+,\s+ssh2@/)
        const page = fs.readFileSync(path.join(root, "docs/install.md"), "utf8")
        const [, settings = ""] = /```yaml\n(allowBuilds:[^`]*)```/.exec(page) ?? []
        const decide = `printf '%s' '${settings}' > pnpm-workspace.yaml`
        const { here } = yield* installed({ run }, nodes.newest, `${decide} && ${add}`)
        yield* use(here, local, builders.plain)
      })
  )

  it("The page about installing names the versions that are tried here, and no others.", () => {
    const page = fs.readFileSync(path.join(root, "docs/install.md"), "utf8")
    const table = page.split("\n").filter((line) => line.startsWith("|"))
    const cells = (line: string) =>
      line
        .split("|")
        .map((cell) => cell.trim())
        .slice(1, -1)
    const [head = "", , ...rows] = table
    assert.deepStrictEqual(cells(head), ["", ...supported.map((version) => `Node ${version}`)])
    const expected = managers.map((make) => {
      const { not = [], permitted, title } = make()
      const cell = (node: string) =>
        not.includes(node) ? "–" : needsScript(node) && permitted !== undefined ? "with permission" : "✓"
      return [title, ...supported.map(cell)]
    })
    assert.deepStrictEqual(rows.map(cells), expected)
  })
})
