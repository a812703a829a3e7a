/**
 * SSH servers other than OpenSSH's, as the current user on a free loopback port. Both servers read the authorized keys from the user's real `.ssh`, so
 * these tests mount a folder over it, which no other process sees. Only root can do that.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createServer, type Socket } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort, makeKey, missing, type Sshd } from "./sshd.ts"

/** The reason why tests with these servers cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export const missingServers: string | undefined =
  missing("dropbear", "dropbearkey", "tinysshd", "tinysshd-makekey", "unshare") ??
  (process.getuid?.() === 0 || process.env["CI"] === "true" ? undefined : "this user is not root")

/** The command line that runs a program with `folder` in place of the user's `.ssh`. */
const withKeys = (folder: string, words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const real = path.join(os.userInfo().homedir, ".ssh")
  fs.mkdirSync(real, { recursive: true, mode: 0o700 })
  const script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
  return ["unshare", "--mount", "sh", "-c", script, "sh", folder, real, ...words]
}

interface Files {
  readonly folder: string
  readonly keyFile: string
  readonly keys: string
}

const files: Effect.Effect<Files, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-server-"))
    const keys = path.join(folder, "keys")
    fs.mkdirSync(keys, { mode: 0o700 })
    fs.mkdirSync(path.join(folder, "home"))
    const keyFile = makeKey(path.join(folder, "id_test"))
    fs.copyFileSync(`${keyFile}.pub`, path.join(keys, "authorized_keys"))
    return { folder, keyFile, keys }
  }),
  ({ folder }) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
)

const hostOf = ({ folder, keyFile, keys }: Files, port: number, hostKey: string, log: () => string): Sshd => {
  const knownHosts = path.join(folder, "known_hosts")
  fs.writeFileSync(knownHosts, `[127.0.0.1]:${port} ${hostKey}\n`)
  return {
    host: "127.0.0.1",
    port,
    user: os.userInfo().username,
    keyFile,
    knownHosts,
    hostKey,
    home: path.join(folder, "home"),
    folder,
    log,
    authorize: (publicKey) => fs.appendFileSync(path.join(keys, "authorized_keys"), `${publicKey.trim()}\n`),
    endConnections: Effect.dieMessage("these servers cannot do this"),
    stop: Effect.void
  }
}

const end = (child: ChildProcess): Effect.Effect<void> =>
  Effect.promise(async () => {
    if (child.exitCode !== null) return
    child.kill("SIGKILL")
    await once(child, "exit")
  })

/** Dropbear, which ends the connection if a command has more than 9,000 bytes. */
export const dropbear: Effect.Effect<Sshd, never, Scope.Scope> = Effect.gen(function* () {
  const here = yield* files
  const key = path.join(here.folder, "host_key")
  const shown = execFileSync("dropbearkey", ["-t", "ed25519", "-f", key], { encoding: "utf8" })
  const hostKey = /^(ssh-ed25519 \S+)/m.exec(shown)?.[1] ?? ""
  const port = yield* Effect.promise(freePort)
  let log = ""
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = ["dropbear", "-F", "-E", "-p", `127.0.0.1:${port}`, "-r", key, "-P", path.join(here.folder, "pid")]
      const [program = "", ...words] = withKeys(here.keys, server)
      const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"] })
      const ready = new Promise<void>((resolve) => {
        child.stderr.on("data", (chunk) => {
          log += String(chunk)
          if (/Not backgrounding/.test(log)) resolve()
        })
        child.on("exit", () => resolve())
      })
      await ready
      return child
    }),
    end
  )
  return hostOf(here, port, hostKey, () => log)
})

/** tinysshd, which allows one session on each connection and forwards nothing. Each connection has a process of its own. */
export const tinysshd: Effect.Effect<Sshd, never, Scope.Scope> = Effect.gen(function* () {
  const here = yield* files
  const keyFolder = path.join(here.folder, "host_keys")
  spawnSync("tinysshd-makekey", [keyFolder])
  const shown = spawnSync("tinysshd-printkey", [keyFolder], { encoding: "utf8" }).stdout
  const hostKey = /(ssh-ed25519 \S+)/.exec(shown)?.[1] ?? ""
  const port = yield* Effect.promise(freePort)
  let log = ""
  const [program = "", ...words] = withKeys(here.keys, ["tinysshd", "-v", "-l", keyFolder])
  const serve = (socket: Socket) => {
    const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] })
    for (const stream of [socket, child.stdin, child.stdout]) stream.on("error", () => {})
    child.stderr.on("data", (chunk) => {
      log += String(chunk)
    })
    socket.pipe(child.stdin)
    child.stdout.pipe(socket)
    child.on("exit", () => socket.end())
    socket.on("close", () => child.kill("SIGTERM"))
  }
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(serve).listen(port, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  )
  return hostOf(here, port, hostKey, () => log)
})

/** The reason why tests with Erlang's server cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export const missingErlang: string | undefined = missing("erl", "ssh-keygen")

/**
 * The server of Erlang. `exec`: the option of `ssh:daemon` for commands, as Erlang writes it. By default, that server takes commands for Erlang, and it
 * never passes input to a function that runs them.
 */
export const erlang = (exec: string): Effect.Effect<Sshd, never, Scope.Scope> =>
  Effect.gen(function* () {
    const here = yield* files
    const key = makeKey(path.join(here.keys, "ssh_host_ed25519_key"))
    fs.copyFileSync(`${here.keyFile}.pub`, path.join(here.keys, "authorized_keys"))
    const port = yield* Effect.promise(freePort)
    const folder = JSON.stringify(here.keys)
    const options = [`{system_dir,${folder}}`, `{user_dir,${folder}}`, '{auth_methods,"publickey"}', exec]
    const daemon = `{ok,_} = ssh:daemon({127,0,0,1}, ${port}, [${options.filter((option) => option !== "").join()}])`
    const program = `{ok,_} = application:ensure_all_started(ssh), ${daemon}, io:format("ready~n"), receive stop -> ok end.`
    yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const child = spawn("erl", ["-noshell", "-eval", program], { stdio: ["ignore", "pipe", "ignore"] })
        await new Promise<void>((resolve) => {
          child.stdout.once("data", () => resolve())
          child.once("exit", () => resolve())
        })
        return child
      }),
      end
    )
    const hostKey = fs.readFileSync(`${key}.pub`, "utf8").split(" ").slice(0, 2).join(" ")
    return hostOf(here, port, hostKey, () => "")
  })
