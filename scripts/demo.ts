/**
 * The main job in front of the reader, in a temporary project: with Docker and sshd if they are available, and otherwise with the
 * plain builder and this machine as the host. Nothing stays, also after a signal.
 */
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { basename, delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { stripVTControlCharacters } from "node:util"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { runMain } from "../src/process/runMain.ts"
import { removeLabelled } from "../test/kit/docker.ts"
import { proxy } from "../test/kit/proxy.ts"
import { freePort, missingSshd, sshd } from "../test/kit/sshd.ts"

const here = fileURLToPath(new URL("..", import.meta.url))
const bin = join(here, "dist/bin.js")

/** Bytes of the release that do not compress. */
const size = 30_000_000
/** Bytes per second of the link to the host. */
const rate = 10_000_000

const hasTerminal = process.stdout.isTTY && process.stderr.isTTY

class DemoFailed extends Data.TaggedError("DemoFailed")<{ readonly message: string }> {}

const say = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const runs = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Ends the application whose number is in the file. */
const stopApplication = (pidFile: string) =>
  Effect.gen(function* () {
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, "utf8")) : 0
    if (pid <= 0 || !runs(pid)) return
    process.kill(pid)
    yield* Effect.repeat(
      Effect.delay(
        Effect.sync(() => runs(pid)),
        20
      ),
      { while: (is) => is, times: 100 }
    )
  })

/** A host behind a slow link, or the reason why there is none: sshd may be installed and still unable to start. */
const findHost = Effect.gen(function* () {
  if (missingSshd !== undefined) return missingSshd
  const path = [dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter)
  const host = yield* sshd({ path })
  return { host, link: yield* proxy(host, { rate }) }
}).pipe(Effect.catchAllDefect((defect) => Effect.succeed(String(defect).split("\n")[0] ?? "")))

/** A project that can be built and that knows its host. */
const prepare = Effect.gen(function* () {
  if (!existsSync(bin)) return yield* new DemoFailed({ message: "there is no dist/bin.js: run npm run build" })
  const project = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "deployer-demo-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  )
  const engine = spawnSync("docker", ["version"], { stdio: "ignore", timeout: 15_000 }).status === 0
  cpSync(join(here, "deployer/demo"), project, { recursive: true })
  if (engine) {
    const label = `deployer.demo=${basename(project)}`
    yield* Effect.addFinalizer(() => Effect.sync(() => removeLabelled(label)))
    writeFileSync(
      join(project, "Dockerfile"),
      readFileSync(join(project, "Dockerfile"), "utf8").replace("FROM scratch", `$&\nLABEL ${label}`)
    )
  }
  const home = join(project, "home")
  mkdirSync(join(home, ".ssh"), { recursive: true, mode: 0o700 })

  const found = yield* findHost
  const path = typeof found === "string" ? join(project, "host") : join(found.host.home, "demo")
  yield* Effect.addFinalizer(() =>
    Effect.zipRight(typeof found === "string" ? Effect.void : found.host.stop, stopApplication(join(path, "demo.pid")))
  )
  if (typeof found !== "string") {
    const { host, link } = found
    writeFileSync(join(home, ".ssh/known_hosts"), `[127.0.0.1]:${link.port} ${host.hostKey}\n`)
    writeFileSync(
      join(home, ".ssh/config"),
      `Host demo-host\n  HostName 127.0.0.1\n  Port ${link.port}\n  User ${host.user}\n  IdentityFile ${host.keyFile}\n`
    )
  }
  const env = {
    ...process.env,
    // The user's own keys and known hosts are not touched.
    HOME: home,
    PATH: [dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter),
    ...(hasTerminal ? { FORCE_COLOR: "1" } : {}),
    DOCKER_CONFIG: process.env["DOCKER_CONFIG"] ?? join(homedir(), ".docker"),
    DEMO_BUILDER: engine ? "docker" : "plain",
    DEMO_HOST: typeof found === "string" ? "local" : "demo-host",
    DEMO_PATH: typeof found === "string" ? path : "demo",
    DEMO_PORT: String(yield* Effect.promise(freePort))
  }
  return { project, env, engine, found }
})

/** Which lines of a command's output are shown. */
type Shows = (line: string) => boolean

const matching =
  (pattern: RegExp): Shows =>
  (line) =>
    pattern.test(line)

/** A terminal shows bars and spinners in place of most of the others. */
const withoutTerminal: Shows = (line) =>
  !/^(Building|packing|First contact|Unpacked| +built)|^uploading .*\)$|^Running restart|^Checking the health/.test(
    line
  )

/** Returns a writer for chunks of output that prints the lines to be shown. */
const printer = (shows: Shows) => {
  let rest = ""
  return (chunk: string) => {
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const text = line.replace(/^\d{4}-\d\d-\d\dT[\d:]+Z /, "")
      if (shows(stripVTControlCharacters(text))) process.stdout.write(`${text}\n`)
    }
  }
}

interface RunOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Default: the command has the terminal. */
  readonly print?: (chunk: string) => void
}

/** Runs `deployer` and returns its exit status. If this is interrupted, the command ends before anything is cleaned up. */
const run = (args: ReadonlyArray<string>, { print, ...options }: RunOptions) =>
  Effect.async<number, DemoFailed>((resume) => {
    const output = print === undefined ? "inherit" : "pipe"
    const child = spawn(process.execPath, [bin, ...args], { ...options, stdio: ["ignore", output, output] })
    if (print !== undefined)
      for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", print)
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
    child.once("error", ({ message }) => resume(Effect.fail(new DemoFailed({ message }))))
    child.once("close", (status) => resume(Effect.succeed(status ?? 1)))
    return Effect.promise(async () => {
      // A terminal sends its signals to the command too.
      const timer = setTimeout(() => child.kill(), 500)
      await ended
      clearTimeout(timer)
    })
  })

const demo = Effect.gen(function* () {
  const { engine, env, found, project } = yield* prepare
  const options = { cwd: project, env }
  const link = typeof found === "string" ? undefined : found.link

  const deployer = (
    words: string,
    { expected = 0, shows }: { readonly expected?: number; readonly shows?: Shows } = {}
  ) =>
    Effect.gen(function* () {
      yield* say(`$ deployer ${words}`)
      const print = hasTerminal && shows === undefined ? {} : { print: printer(shows ?? withoutTerminal) }
      const status = yield* run(words.split(" "), { ...options, ...print })
      if (status !== expected)
        return yield* new DemoFailed({
          message: `"deployer ${words}" ended with status ${status}, and not with ${expected}`
        })
    })
  const version = (text: string) => writeFileSync(join(project, "VERSION"), `${text}\n`)
  const newData = () => writeFileSync(join(project, "data"), randomBytes(size))

  const config = join(project, "deployer/config/deployer_config.ts")
  mkdirSync(dirname(config), { recursive: true })
  cpSync(join(here, "deployer/config/deployer_config.ts"), config)
  const host = link === undefined ? "this machine" : `an sshd of the demo's own, behind a link with ${rate / 1e6} MB/s`
  yield* say(`The host is ${host}. The builder is ${engine ? "docker" : "plain: no Docker engine answers"}.`)
  if (typeof found === "string") yield* say(`A cut upload is not shown, because it needs an sshd: ${found}.`)
  const text = readFileSync(config, "utf8")
  yield* say(text.slice(text.indexOf("export default")).trimEnd())

  version("1.0")
  newData()
  yield* say("\n# The first version, with 30 MB.")
  yield* deployer("build_and_deploy target=demo")

  version("2.0")
  newData()
  if (link === undefined) {
    yield* say("\n# The second version.")
    yield* deployer("build_and_deploy target=demo")
  } else {
    yield* say("\n# The second version. Its upload is cut in the middle, and the next command resumes it.")
    link.cutAfter(size / 2)
    yield* deployer("build_and_deploy target=demo", { expected: 1 })
    link.cutAfter(Number.POSITIVE_INFINITY)
    yield* deployer("deploy target=demo yes")
  }

  version("3.0 sick")
  yield* say(
    "\n# The third version is sick. It differs in one small file, so little is sent. deploy goes back, and ends with status 5."
  )
  yield* deployer("build_and_deploy target=demo", {
    expected: 5,
    shows: matching(/uploading .* in |^deployer:/)
  })
  yield* deployer("status target=demo", { shows: matching(/^(live|health)/) })

  yield* say("\n# Back to the first version.")
  yield* deployer("rollback target=demo yes", { shows: matching(/^✓/) })
  yield* deployer("history target=demo", { shows: matching(/^When|healthy|failed/) })
  yield* deployer("doctor target=demo", { shows: matching(/ (space|current) /) })
  yield* say("Done. Nothing of it stays: no host, no project, no application, no image.")
})

runMain(() => Effect.scoped(demo))
