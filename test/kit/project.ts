/**
 * Users' projects for tests of the real binary: a temporary folder, a home of their own, and the binary as users run it.
 */
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { binary } from "./build.ts"
import { leftoversOf, removeBuilt } from "./docker.ts"
import type { Sshd } from "./sshd.ts"
import { treeIn } from "./tree.ts"
import { unsigned, untimed } from "./words.ts"

/** How a command ended. */
export interface Ended {
  /** The exit status, or the name of the signal that killed it. */
  readonly status: number | string
  /** Without the signs of verdicts. */
  readonly stdout: string
  /** With them. */
  readonly signed: string
  readonly stderr: string
  /** From the start, or from the last signal, in milliseconds. */
  readonly millis: number
}

export interface RunOptions {
  /** Default: the project's root. */
  readonly cwd?: string
  /** Added to the project's environment; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Words in front of the command. */
  readonly through?: ReadonlyArray<string>
  /** After so many milliseconds it is killed, and the test fails: nothing blocks for ever. */
  readonly millis?: number
}

/** A command that runs. */
export interface Running {
  readonly pid: number
  /** Both outputs so far. */
  readonly said: () => string
  /** Waits for an output; fails when the command ends before. */
  readonly hears: (text: string | RegExp) => Effect.Effect<void>
  readonly signal: (signal: NodeJS.Signals) => void
  readonly ended: Effect.Effect<Ended>
}

export interface Project {
  /** The release's name; no other project has it. */
  readonly name: string
  readonly root: string
  /** Its `.ssh` holds `known_hosts` only. */
  readonly home: string
  /** The folder of root and home, for a test's own files. */
  readonly folder: string
  /** The value of the label `deployer.test` on everything that a test builds with Docker. */
  readonly marker: string
  readonly env: Readonly<Record<string, string>>
  /** Runs `deployer` in the root with standard input closed, and returns how it ended. */
  readonly deployer: (...args: ReadonlyArray<string>) => Effect.Effect<Ended>
  readonly run: (args: ReadonlyArray<string>, options?: RunOptions) => Effect.Effect<Ended>
  /** Runs `deployer`, which must succeed; returns its standard output. */
  readonly good: (...args: ReadonlyArray<string>) => Effect.Effect<string>
  /** Starts `deployer`; it is killed with the scope. */
  readonly begin: (args: ReadonlyArray<string>, options?: RunOptions) => Effect.Effect<Running, never, Scope.Scope>
  readonly write: (file: string, text: string, mode?: number) => void
  /** Writes the config: targets and groups as values, builders as source text. */
  readonly configure: (
    targets: Readonly<Record<string, object>>,
    builders?: Readonly<Record<string, string>>,
    groups?: Readonly<Record<string, ReadonlyArray<string> | object>>
  ) => void
  /** Sets the output of `bin/<name> version` of the next release. */
  readonly version: (version: string) => void
  readonly knowHost: (host: Pick<Sshd, "knownHosts">) => void
  /** All files of the project, byte for byte. */
  readonly tree: () => Record<string, string>
  /** Names in `deployer/temp` that are still there, and containers and nameless images. */
  readonly leftovers: () => ReadonlyArray<string>
}

const busybox = "/bin/busybox"

/** The release's own program. Its `daemon` keeps the output open, as careless daemons do. */
const program = (name: string): string => `#!/bin/sh
here=$(cd "\${0%/*}/.." && pwd)
case "$1" in
  daemon) sleep 600 & echo $! > "$here/pid"; echo "${name} $(cat "$here/VERSION") started" ;;
  stop) kill "$(cat "$here/pid")" && rm "$here/pid" && echo "${name} stopped" ;;
  restart) echo "${name} restarting"; echo "no luck" >&2; exit 7 ;;
  version) cat "$here/VERSION" ;;
  *) exit 64 ;;
esac
`

const dockerfile = (marker: string): string => `FROM scratch
LABEL deployer.test=${marker}
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin"]
ARG deployer_name
COPY bin /src/bin
COPY VERSION /src/VERSION
RUN ["/bin/sh", "-c", "mkdir -p /app/_build/prod/rel && cp -R /src /app/_build/prod/rel/$deployer_name && echo built $deployer_name"]
`

/** Builders for `configure`. */
export const builders = {
  image: `docker({ args: ["--network", "none"] })`,
  plain: `command({ run: "rm -rf build && mkdir build && cp -R bin VERSION build/", releasePath: "build" })`
}

/** The settings with which a target reaches the host. */
export const reach = (host: Sshd, port: { readonly port: number } = host) => ({
  host: host.host,
  port: port.port,
  user: host.user,
  sshKey: host.keyFile
})

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-project-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

export interface ProjectOptions {
  /** Whether `deployer init` is done. Default: true. */
  readonly init?: boolean
  /** The words that start deployer. Default: this Node and the binary. */
  readonly program?: ReadonlyArray<string>
  /** A folder that comes first in `PATH`. */
  readonly path?: string
}

/** A project with a release to build, plain or by its Dockerfile. */
export const project = (options: ProjectOptions = {}): Effect.Effect<Project, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporary
    // Never eight hex digits in a row: those would look like the beginning of a ref.
    const name = `app_${randomBytes(4).toString("hex").replace(/^.{4}/, "$&_")}`
    const marker = randomBytes(6).toString("hex")
    const root = path.join(folder, "root")
    const home = path.join(folder, "home")
    fs.mkdirSync(path.join(home, ".ssh"), { recursive: true, mode: 0o700 })
    fs.mkdirSync(root)
    const { FORCE_COLOR: _, NO_COLOR: __, SSH_AUTH_SOCK: ___, ...inherited } = process.env
    const given = Object.entries(inherited).filter((entry): entry is [string, string] => entry[1] !== undefined)
    // Which engine is meant may be written in the user's own home.
    const engine = { DOCKER_CONFIG: process.env["DOCKER_CONFIG"] ?? path.join(os.homedir(), ".docker") }
    const search = options.path === undefined ? {} : { PATH: `${options.path}:${process.env["PATH"]}` }
    const env = { ...Object.fromEntries(given), ...engine, ...search, HOME: home, TERM: "xterm" }
    const { program: starter = [process.execPath, binary] } = options

    const begin: Project["begin"] = (args, options) =>
      Effect.acquireRelease(
        Effect.sync(() => start(args, { root, starter, ...options, env: { ...env, ...options?.env } })),
        ({ signal }) => Effect.sync(() => signal("SIGKILL"))
      )
    const run: Project["run"] = (args, options) =>
      Effect.scoped(Effect.flatMap(begin(args, options), ({ ended }) => ended))
    const write: Project["write"] = (file, text, mode = 0o644) => {
      const at = path.join(root, file)
      fs.mkdirSync(path.dirname(at), { recursive: true })
      fs.writeFileSync(at, text, { mode })
    }
    write("Dockerfile", dockerfile(marker))
    write(`bin/${name}`, program(name), 0o755)
    write("VERSION", "1.0\n")
    fs.copyFileSync(busybox, path.join(root, "busybox"))
    yield* Effect.addFinalizer(() => Effect.sync(() => removeBuilt(name, marker)))

    const here: Project = {
      name,
      root,
      home,
      folder,
      marker,
      env,
      run,
      begin,
      write,
      deployer: (...args) => run(args),
      good: (...args) =>
        Effect.map(run(args), (ended) => {
          assert.strictEqual(ended.status, 0, `deployer ${args.join(" ")}\n${ended.stderr}`)
          return ended.stdout
        }),
      configure: (targets, made = builders, groups = {}) => {
        const whole = Object.fromEntries(
          Object.entries(targets).map(([key, target]) => [
            key,
            { name, path: `at ${key}`, sharesPath: true, ...target }
          ])
        )
        const making = Object.entries(made).map(([key, source]) => `    ${key}: ${source}`)
        // Loading Effect for a config takes a while.
        const effect = /\bEffect\./.test(making.join()) ? 'import { Effect } from "effect"\n' : ""
        write(
          "deployer/config/deployer_config.ts",
          `${effect}import { command, config, docker } from "effect-deployer"
void [command, docker]
export default config({
  targets: ${JSON.stringify(whole, null, 2)},
  groups: ${JSON.stringify(groups)},
  builders: {
${making.join(",\n")}
  }
})
`
        )
      },
      version: (version) => write("VERSION", `${version}\n`),
      knowHost: ({ knownHosts }) =>
        fs.appendFileSync(path.join(home, ".ssh/known_hosts"), fs.readFileSync(knownHosts), { mode: 0o600 }),
      tree: () => treeIn(root),
      leftovers: () => [...fs.readdirSync(path.join(root, "deployer/temp")), ...leftoversOf(marker)]
    }
    if (options.init !== false) yield* here.good("init")
    return here
  })

interface Started extends RunOptions {
  readonly root: string
  readonly starter: ReadonlyArray<string>
}

const start = (args: ReadonlyArray<string>, options: Started): Running => {
  const [program = process.execPath, ...words] = [...(options.through ?? []), ...options.starter, ...args]
  const { millis = 60_000 } = options
  let began = performance.now()
  const child = spawn(program, words, {
    cwd: options.cwd ?? options.root,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"]
  })
  const out = { stdout: "", stderr: "" }
  const listeners = new Set<() => void>()
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      out[stream] += text
      for (const listener of listeners) listener()
    })
  }
  const said = () => `${out.stdout}${out.stderr}`
  const signal = (name: NodeJS.Signals) => {
    began = performance.now()
    child.kill(name)
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      reject(new Error(`deployer ${args.join(" ")} did not end within ${millis} ms; it said\n${said()}`))
    }, millis)
    child.on("error", reject)
    child.on("close", (code, by) => {
      clearTimeout(timer)
      resolve({
        stdout: unsigned(out.stdout),
        signed: out.stdout,
        stderr: untimed(out.stderr),
        status: code ?? by ?? "nothing",
        millis: performance.now() - began
      })
    })
  })
  // Nobody may be waiting any more when it is killed with its scope.
  ended.catch(() => {})
  const hears = (text: string | RegExp) =>
    Effect.promise(
      () =>
        new Promise<void>((resolve, reject) => {
          const listen = () => {
            if (typeof text === "string" ? !said().includes(text) : !text.test(said())) return
            listeners.delete(listen)
            resolve()
          }
          listeners.add(listen)
          listen()
          ended.then(
            ({ status }) => reject(new Error(`it ended (${status}) without saying ${text}:\n${said()}`)),
            reject
          )
        })
    )
  return { pid: child.pid ?? 0, said, hears, signal, ended: Effect.promise(() => ended) }
}

/** Whether a process runs; one that has ended and that nobody reaped does not. */
export const runs = (pid: number): boolean => {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" })
  return stdout.trim() !== "" && !stdout.trim().startsWith("Z")
}

/** Insists on a failure in one sentence that fits; notes and the output of other programs may stand before it. */
export const assertFailed = (ended: Ended, status: number, sentence: RegExp): void => {
  const { stderr, stdout } = ended
  assert.strictEqual(ended.status, status, stderr)
  assert.strictEqual(stdout, "")
  assert.isTrue(stderr.endsWith("\n"), stderr)
  const lines = stderr.slice(0, -1).split("\n")
  const last = lines.findIndex((line) => line.startsWith("deployer: "))
  assert.strictEqual(last, lines.length - 1, `one sentence, at the end:\n${stderr}`)
  assert.match(lines[last] ?? "", sentence)
  assert.notMatch(stderr, /^\s+at |\[object|undefined|this is a bug/m)
}
