/**
 * The place of the benchmark: a host, links to it, a project with releases to deploy, and the programs' environment.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { binary } from "../../test/kit/build.ts"
import { type Link, link, megabits } from "../../test/kit/link.ts"
import { type Sshd, sshd } from "../../test/kit/sshd.ts"
import * as data from "./data.ts"
import { type Command, type CommandFailed, type Ended, peakOf, run, where } from "./measure.ts"

/** The links, by the host's name for `ssh`: round trip in milliseconds, Mbit/s in each direction. */
const links = {
  loopback: undefined,
  r50m100: [50, 100],
  r50m20: [50, 20],
  r100m100: [100, 100],
  r100m20: [100, 20]
} as const
export type LinkName = keyof typeof links

/** A way to the host. */
export interface Way {
  /** The name of the host for `ssh`. */
  readonly alias: LinkName
  readonly title: string
  readonly port: number
  /** In milliseconds. */
  readonly roundTrip: number
  /** Undefined on the loopback itself, because nothing in between could count. */
  readonly take?: Link["take"]
}

/** A stored release. */
export interface Built {
  readonly id: number
  readonly ref: string
  /** Bytes of its tarball. */
  readonly size: number
  readonly tarball: string
}

/** The release and the host of a run of `deployer`. */
export interface About {
  readonly data?: data.Data
  readonly version?: data.Version
  /** The folder that the release is taken from, in place of the data's. */
  readonly tree?: string
  /** On the host; default: `ours/<name>`. */
  readonly path?: string
  readonly way?: Way
  readonly hardLinks?: boolean
}

/** The tools of the lines. */
export interface Bench {
  /** Whether this is a smoke run: little data, few rounds, figures without meaning. */
  readonly quick: boolean
  /** How often each pair is measured. */
  readonly rounds: number
  /** Of this run; removed after it. */
  readonly folder: string
  readonly host: Sshd
  readonly env: Readonly<Record<string, string>>
  readonly way: (name: LinkName) => Way
  readonly data: Readonly<Record<"erlang" | "node" | "binary" | "small", () => data.Data>>
  /** The words and the environment of a run of the built binary. */
  readonly command: (args: ReadonlyArray<string>, about?: About) => Command
  readonly deployer: (args: ReadonlyArray<string>, about?: About) => Effect.Effect<Ended, CommandFailed>
  /** The same, with its peak of memory. */
  readonly weighed: (args: ReadonlyArray<string>, about?: About) => ReturnType<typeof peakOf>
  /** Builds a version of the data, once. */
  readonly built: (data: data.Data, version: data.Version) => Effect.Effect<Built, CommandFailed>
  /** The content of the project's `deployer/`. */
  readonly workspace: string
}

/** The server of `scp` and `sftp`; its path depends on the system. */
const sftp = ["/usr/lib/openssh", "/usr/libexec/openssh", "/usr/libexec", "/usr/lib/ssh"]
  .map((folder) => join(folder, "sftp-server"))
  .find((file) => existsSync(file))

const temporary = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), `deployer-bench-${name}-`))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
  )

const config = `import { command, config } from "effect-deployer"

const { BENCH_NAME = "app", BENCH_PATH = "app", BENCH_TREE = "/", BENCH_HOST = "", BENCH_PORT = "22", BENCH_USER = "", BENCH_KEY = "", BENCH_LINKS = "" } = process.env

export default config({
  targets: {
    there: { host: BENCH_HOST, port: Number(BENCH_PORT), user: BENCH_USER, sshKey: BENCH_KEY, name: BENCH_NAME, path: BENCH_PATH, hardLinks: BENCH_LINKS !== "", builder: "tree" }
  },
  builders: { tree: command({ run: "true", releasePath: BENCH_TREE }) }
})
`

/** Sets everything up; it is gone with the scope, but for the data. */
export const bench = (quick: boolean): Effect.Effect<Bench, CommandFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* temporary("run")
    const host = yield* sshd({ config: sftp === undefined ? [] : [`Subsystem sftp ${sftp}`] })
    const ways: Partial<Record<LinkName, Way>> = {
      loopback: { alias: "loopback", title: "loopback", roundTrip: 0, port: host.port }
    }
    for (const alias of ["r50m100", "r50m20", "r100m100", "r100m20"] as const) {
      const [millis, rate] = links[alias]
      // A smoke run has no time to wait.
      const roundTrip = quick ? millis / 5 : millis
      const { port, take } = yield* link(host, { roundTrip, rate: megabits(rate) })
      ways[alias] = { alias, title: `${roundTrip} ms, ${rate} Mbit/s`, roundTrip, port, take }
    }
    const way = (name: LinkName): Way => {
      const found = ways[name]
      if (found === undefined) throw new Error(`no link ${name}`)
      return found
    }

    const home = join(folder, "home")
    const root = join(folder, "project")
    const bin = join(folder, "bin")
    for (const made of [join(home, ".ssh"), root, bin]) mkdirSync(made, { recursive: true, mode: 0o700 })
    const knownHosts = join(home, ".ssh/known_hosts")
    writeFileSync(
      knownHosts,
      Object.values(ways)
        .flatMap(({ alias, port }) => [`[${host.host}]:${port} ${host.hostKey}\n`, `${alias} ${host.hostKey}\n`])
        .join("")
    )
    // Other programs take their settings from here: OpenSSH's look into the real home otherwise.
    const sshConfig = join(home, ".ssh/config")
    writeFileSync(
      sshConfig,
      [
        ...Object.values(ways).map(({ alias, port }) => `Host ${alias}\n  Port ${port}\n  HostKeyAlias ${alias}\n`),
        `Host *\n  HostName ${host.host}\n  User ${host.user}\n  IdentityFile ${host.keyFile}\n  IdentitiesOnly yes\n`,
        `  UserKnownHostsFile ${knownHosts}\n  GlobalKnownHostsFile /dev/null\n  BatchMode yes\n`
      ].join("")
    )
    for (const program of ["ssh", "scp", "sftp"]) {
      writeFileSync(join(bin, program), `#!/bin/sh\nexec ${where(program) ?? program} -F ${sshConfig} "$@"\n`)
      chmodSync(join(bin, program), 0o755)
    }

    const { FORCE_COLOR: _, NO_COLOR: __, SSH_AUTH_SOCK: ___, NODE_OPTIONS: ____, ...inherited } = process.env
    const given = Object.entries(inherited).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const env = {
      ...Object.fromEntries(given),
      HOME: home,
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      TERM: "dumb",
      LC_ALL: "C.UTF-8"
    }

    const command: Bench["command"] = (args, about = {}) => {
      const { version = "one", way: over = way("loopback") } = about
      const name = about.data?.name ?? "app"
      return {
        words: [process.execPath, binary, ...args],
        cwd: root,
        env: {
          ...env,
          BENCH_NAME: name,
          BENCH_PATH: about.path ?? `ours/${name}`,
          BENCH_TREE: about.tree ?? about.data?.folder(version) ?? "/",
          BENCH_HOST: host.host,
          BENCH_PORT: String(over.port),
          BENCH_USER: host.user,
          BENCH_KEY: host.keyFile,
          BENCH_LINKS: about.hardLinks === true ? "yes" : ""
        }
      }
    }
    const deployer: Bench["deployer"] = (args, about) => run(command(args, about))
    yield* deployer(["init"])
    const workspace = join(root, "deployer")
    writeFileSync(join(workspace, "config/deployer_config.ts"), config)

    const stored = new Map<string, Built>()
    const built: Bench["built"] = (data, version) =>
      Effect.gen(function* () {
        const key = `${data.name}/${version}`
        const known = stored.get(key)
        if (known !== undefined) return known
        const { stdout } = yield* deployer(["build", "target=there", "json"], { data, version })
        const { release } = JSON.parse(stdout)
        const { createdAt, id, name, ref, size } = release
        const tarball = join(workspace, `release_store/${name}-${Math.floor(Date.parse(createdAt) / 1000)}.tar.gz`)
        const made: Built = { id, ref, size, tarball }
        stored.set(key, made)
        return made
      })

    return {
      quick,
      rounds: quick ? 1 : 5,
      folder,
      host,
      env,
      way,
      // A smoke run only shows that each line works.
      data: {
        erlang: quick ? data.small : data.erlang,
        node: quick ? data.small : data.node,
        binary: quick ? data.small : data.binary,
        small: data.small
      },
      command,
      deployer,
      weighed: (args, about) => peakOf(command(args, about)),
      built,
      workspace
    }
  })
