/**
 * The main job before one's eyes, in a temporary project: with Docker and sshd where they answer, and with the plain
 * builder and this machine as the host where they do not.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { homedir, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { missingSshd, sshd } from "../test/kit/sshd.ts"

const here = fileURLToPath(new URL("..", import.meta.url))
const bin = join(here, "dist/bin.js")

const say = (text: string) => process.stdout.write(`${text}\n`)

const engine = spawnSync("docker", ["version"], { stdio: "ignore", timeout: 15_000 }).status === 0

// Installed is not yet able to start: not every machine lets everybody run one.
const ownHost =
  missingSshd === undefined
    ? Effect.catchAllDefect(sshd(), (defect) =>
        Effect.succeed(defect instanceof Error ? (defect.message.split("\n")[0] ?? "") : String(defect))
      )
    : Effect.succeed(missingSshd)

const demo = Effect.gen(function* () {
  if (!existsSync(bin)) throw new Error("There is no dist/bin.js: run npm run build first")
  const project = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "deployer-demo-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  const home = join(project, "home")
  mkdirSync(join(home, ".ssh"), { recursive: true, mode: 0o700 })
  cpSync(join(here, "deployer/demo"), project, { recursive: true })

  const found = yield* ownHost
  const host = typeof found === "string" ? undefined : found
  if (host !== undefined) cpSync(host.knownHosts, join(home, ".ssh/known_hosts"))
  say(
    engine
      ? "A container engine answers: releases are built with docker."
      : "No container engine answers: releases are built by a plain command."
  )
  say(
    host === undefined
      ? `No sshd of the demo's own (${found}): the host is this machine, without SSH.\n`
      : `The host is an OpenSSH of this demo's own, at 127.0.0.1:${host.port}.\n`
  )

  const env = {
    ...process.env,
    // Only what is asked for here; the user's own keys and known hosts are not touched.
    HOME: home,
    DOCKER_CONFIG: process.env["DOCKER_CONFIG"] ?? join(homedir(), ".docker"),
    DEMO_BUILDER: engine ? "docker" : "plain",
    ...(host === undefined
      ? { DEMO_PATH: join(project, "host") }
      : { DEMO_PATH: "demo", DEMO_PORT: String(host.port), DEMO_USER: host.user, DEMO_KEY: host.keyFile })
  }
  const deployer = (...args: ReadonlyArray<string>) => {
    say(`\n$ deployer ${args.join(" ")}`)
    const { status } = spawnSync(process.execPath, [bin, ...args], { cwd: project, env, stdio: "inherit" })
    if (status !== 0) throw new Error(`deployer ${args.join(" ")} ended with status ${status}`)
  }
  const version = (text: string) => writeFileSync(join(project, "VERSION"), `${text}\n`)

  version("1.0")
  deployer("init")
  cpSync(join(here, "deployer/config/deployer_config.ts"), join(project, "deployer/config/deployer_config.ts"))
  say("(the config of this repository, deployer/config/deployer_config.ts, is used from here on)")
  deployer("build", "target=demo")
  deployer("deploy", "target=demo", "yes")
  deployer("start", "target=demo")

  say(`\n# a new version: ${readFileSync(join(project, "VERSION"), "utf8").trim()} -> 1.1`)
  version("1.1")
  deployer("build", "target=demo")
  deployer("deploy", "target=demo", "plan")
  deployer("deploy", "target=demo", "yes")
  deployer("start", "target=demo")
  deployer("manage", "info", "target=demo")
  deployer("manage", "integrity", "deep", "target=demo")

  version("1.2")
  deployer("build_and_deploy", "target=demo")
  deployer("manage", "info")
  deployer("manage", "prune", "name=demo", "target=demo", "yes")
  deployer("manage", "prune", "name=demo", "yes")
  deployer("manage", "info", "target=demo")
  say("\nDone: three releases built and deployed, two of them pruned. Everything was temporary.")
})

await Effect.runPromise(Effect.scoped(demo))
