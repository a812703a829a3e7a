/**
 * Real hosts for tests: OpenSSH's sshd as the current user on a free loopback port.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { createServer, connect as tcpConnect } from "node:net"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeRemembered, type SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"

const exists = (file: string) => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const find = (program: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin", "/sbin"]
    .map((folder) => join(folder, program))
    .find(exists)

/** The reason why tests with a real sshd cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export const missingSshd: string | undefined = missing("sshd", "ssh-keygen", "ssh-agent", "ssh-add")

/** The reason why tests with these programs cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export function missing(...programs: ReadonlyArray<string>): string | undefined {
  const absent = programs.filter((program) => find(program) === undefined)
  return absent.length === 0 || process.env["CI"] === "true" ? undefined : `${absent.join(" and ")} not installed`
}

/** A host that answers until its scope is closed. */
export interface Sshd {
  readonly host: string
  readonly port: number
  readonly user: string
  /** A private key that the host accepts; its public half is beside it. */
  readonly keyFile: string
  /** A known_hosts file that holds the host's key. */
  readonly knownHosts: string
  /** The type and base64 of the host's public key. */
  readonly hostKey: string
  /** The login directory, empty at first. */
  readonly home: string
  /** A folder for the test's own files, outside the login directory. */
  readonly folder: string
  /** The log of sshd so far. */
  readonly log: () => string
  /** Accepts another key from now on. `publicKey` is the text of a `.pub` file. */
  readonly authorize: (publicKey: string) => void
  /** Kills all connections. sshd itself goes on. */
  readonly endConnections: Effect.Effect<void>
  /** Kills sshd and all its sessions. */
  readonly stop: Effect.Effect<void>
}

/** The properties of a host. */
export interface SshdOptions {
  /** The `PATH` of every session. Default: the `PATH` of this process. */
  readonly path?: string
  /** The absolute path of the login shell. Default: `/bin/sh`. */
  readonly shell?: string
  /** The type of the host's key, as `ssh-keygen -t` takes it. Default: `ed25519`. */
  readonly hostKeyType?: string
  /** The `LogLevel` of sshd. From `DEBUG1` on, sshd also logs to the standard error of each session. Default: `VERBOSE`. */
  readonly logLevel?: string
  /** Further lines for sshd_config. */
  readonly config?: ReadonlyArray<string>
}

/** Makes a key pair, and returns the path of the private key. `args` are further arguments of `ssh-keygen`. */
export const makeKey = (
  file: string,
  options: { readonly type?: string; readonly passphrase?: string; readonly args?: ReadonlyArray<string> } = {}
) => {
  const { args = [], passphrase = "", type = "ed25519" } = options
  execFileSync("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "test", ...args, "-f", file], {
    stdio: "ignore"
  })
  return file
}

/** Starts an agent with these keys. The scope ends it. */
export const agentWith = (folder: string, files: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = join(folder, "agent")
      const child = spawn("ssh-agent", ["-D", "-a", socket], { stdio: ["ignore", "pipe", "ignore"] })
      await once(child.stdout, "data")
      for (const file of files)
        execFileSync("ssh-add", ["-q", file], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: "ignore" })
      return { child, socket }
    }),
    ({ child }) => Effect.sync(() => child.kill())
  )

/** A loopback port on which no program listens. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

/** Starts a host. The scope ends the host and all processes that its sessions left running. */
export const sshd = (options: SshdOptions = {}): Effect.Effect<Sshd, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => start(options)),
      ({ close }) => Effect.promise(close)
    ),
    ({ host }) => host
  )

const start = async (options: SshdOptions) => {
  const program = find("sshd")
  if (program === undefined) throw new Error("sshd is not installed (Debian: openssh-server)")
  const folder = mkdtempSync(join(tmpdir(), "deployer-sshd-"))
  const home = join(folder, "home")
  mkdirSync(home)
  const { path = process.env["PATH"] ?? "", shell = "/bin/sh" } = options

  const hostKeyFile = makeKey(
    join(folder, "host_key"),
    options.hostKeyType === undefined ? {} : { type: options.hostKeyType }
  )
  const keyFile = makeKey(join(folder, "id_test"))
  const authorizedKeys = join(folder, "authorized_keys")
  writeFileSync(authorizedKeys, readFileSync(`${keyFile}.pub`), { mode: 0o600 })

  // All hosts have the same user. A forced command gives each host its own home, shell and programs.
  const session = join(folder, "session")
  const word = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  writeFileSync(
    session,
    `#!/bin/sh
HOME=${word(home)} PATH=${word(path)} SHELL=${word(shell)}
export HOME PATH SHELL
cd "$HOME" || exit 99
if [ -n "$SSH_ORIGINAL_COMMAND" ]; then exec "$SHELL" -c "$SSH_ORIGINAL_COMMAND"; else exec "$SHELL" -l; fi
`
  )
  chmodSync(session, 0o755)

  // As root, sshd does not start without this folder.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true })

  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const config = join(folder, "sshd_config")
    const lines = [
      ...(options.config ?? []),
      "ListenAddress 127.0.0.1",
      `Port ${port}`,
      `HostKey ${hostKeyFile}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PermitRootLogin yes",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      `AuthorizedKeysFile ${authorizedKeys}`,
      // For this keyword, the last line counts, so a line of `options.config` must be the only one.
      ...(options.config?.some((line) => line.startsWith("MaxStartups")) ? [] : ["MaxStartups 100:30:100"]),
      `LogLevel ${options.logLevel ?? "VERBOSE"}`,
      // The user's real shell runs the forced command. With another home, it does not read the user's own startup files.
      `SetEnv HOME=${home}`,
      `ForceCommand ${session}`
    ]
    // A newer sshd refuses an address after a few failed logins. An older sshd does not know the option.
    const write = (more: ReadonlyArray<string>) => writeFileSync(config, [...lines, ...more, ""].join("\n"))
    write(["PerSourcePenalties no"])
    if (spawnSync(program, ["-t", "-f", config], { stdio: "ignore" }).status !== 0) write([])
    const child = spawn("sh", ["-c", guard, "guard", folder, program, "-D", "-e", "-f", config], {
      stdio: ["pipe", "ignore", "pipe"],
      // Without this, Ctrl-C on a terminal would end only the guard, and sshd would keep running.
      detached: true
    })
    let log = ""
    child.stderr.on("data", (chunk) => {
      log = (log + chunk).slice(-1_000_000)
    })
    const kill = async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const pid = child.pid ?? 0
      const descendants = descendantsOf(pid)
      // Ends the guard first. Otherwise it would take the end of its `cat` for the end of this process.
      killOne(pid)
      for (const descendant of descendants) killOne(descendant)
      await once(child, "exit")
    }
    if (!(await answers(port, () => !/fatal|Cannot bind/.test(log)))) {
      await kill()
      if (attempt < 3) continue
      rmSync(folder, { recursive: true, force: true })
      throw new Error(`sshd did not start:\n${log}`)
    }
    const hostKey = readFileSync(`${hostKeyFile}.pub`, "utf8").split(" ").slice(0, 2).join(" ").trim()
    const knownHosts = join(folder, "known_hosts")
    writeFileSync(knownHosts, `[127.0.0.1]:${port} ${hostKey}\n`)
    const host: Sshd = {
      host: "127.0.0.1",
      port,
      user: userInfo().username,
      keyFile,
      knownHosts,
      hostKey,
      home,
      folder,
      log: () => log,
      authorize: (publicKey) => writeFileSync(authorizedKeys, `${publicKey.trim()}\n`, { flag: "a" }),
      endConnections: Effect.sync(() => {
        // sshd itself is a child of the guard.
        const own = parents().flatMap(([pid, parent]) => (parent === child.pid ? [pid] : []))
        for (const descendant of own.flatMap(descendantsOf)) killOne(descendant)
      }),
      stop: Effect.promise(kill)
    }
    const close = async () => {
      await kill()
      rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
    }
    return { host, close }
  }
}

/** Ends sshd and removes its folder if this process is killed before it can do so: the pipe on standard input closes then. */
const guard = `folder=$1
shift
"$@" <&- &
cat > /dev/null
kill -9 $!
rm -rf "$folder"`

const killOne = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It has ended by itself.
  }
}

const parents = (): ReadonlyArray<readonly [pid: number, parent: number]> => {
  try {
    return readdirSync("/proc")
      .filter((name) => /^[0-9]+$/.test(name))
      .flatMap((name) => {
        try {
          const stat = readFileSync(`/proc/${name}/stat`, "latin1")
          return [[Number(name), Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2])] as const]
        } catch {
          return []
        }
      })
  } catch {
    return execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .map(([pid, parent]) => [Number(pid), Number(parent)] as const)
  }
}

const descendantsOf = (pid: number): ReadonlyArray<number> => {
  const all = parents()
  const below = (of: number): ReadonlyArray<number> =>
    all.filter(([, parent]) => parent === of).flatMap(([child]) => [child, ...below(child)])
  return below(pid)
}

const answers = async (port: number, lives: () => boolean): Promise<boolean> => {
  for (let wait = 0; wait < 200 && lives(); wait++) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = tcpConnect(port, "127.0.0.1")
      socket.once("data", () => resolve(true))
      socket.once("error", () => resolve(false))
      socket.once("close", () => {
        resolve(false)
        socket.destroy()
      })
      socket.setTimeout(2000, () => socket.destroy())
      socket.once("data", () => socket.destroy())
    })
    if (answered) return true
    await sleep(50)
  }
  return false
}

/** The SSH settings of a user with an empty home and no agent. The user's known_hosts has the host's key. */
export const settingsFor = (host: Sshd): Context.Tag.Service<typeof SshSettings> => ({
  homeDir: join(host.folder, "nobody"),
  workingDir: join(host.folder, "nobody"),
  userName: host.user,
  machine: "laptop.test",
  variable: () => undefined,
  configFile: join(host.folder, "nobody/.ssh/config"),
  globalConfigFile: join(host.folder, "nobody/ssh_config"),
  agentSocket: undefined,
  knownHostsFile: host.knownHosts,
  globalKnownHostsFiles: [],
  keepAlive: Duration.seconds(10),
  firstAnswer: Duration.seconds(30),
  remembered: makeRemembered()
})

/** The title of a suite, or of a test, which is a whole sentence. If `missing` has a reason to skip the suite or test, the reason is added. */
export const titled = (title: string, missing: string | undefined): string =>
  missing === undefined ? title : `${title} (skipped: ${missing})`
