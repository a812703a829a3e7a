/** Each command of README and docs, run as a reader runs it: in a project, on a terminal, with a real host. */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { missingDocker } from "../kit/docker.ts"
import { elf } from "../kit/elf.ts"
import { disk, missingMount } from "../kit/mount.ts"
import { blocksOf, commandsOf, pages } from "../kit/pages.ts"
import { builders, type Running } from "../kit/project.ts"
import { type Site, type Step, site } from "../kit/site.ts"
import { missing as missingProgram, missingSshd, titled } from "../kit/sshd.ts"

const missing = missingDocker ?? missingSshd ?? missingMount ?? missingProgram("tmux", "git", "jq")

/** Brings a site to the state in which a page begins. Returns the commands that need more. */
type Setting = (site: Site) => Effect.Effect<ReadonlyArray<Step>, never, Scope.Scope>

/** Two releases, one after the other; the second one is live. */
const two = ({ build, good }: Site) =>
  Effect.gen(function* () {
    yield* build("1.4.1")
    yield* good("deploy target=prod yes")
    yield* build("1.4.2")
    yield* good("deploy target=prod yes")
  })

/** The config on the page README.md, for this site. */
const readmeConfig = ({ base, here, host }: Site): string => {
  const [config] = blocksOf("README.md").filter(({ language }) => language === "ts")
  return (config?.lines ?? [])
    .join("\n")
    .replace('"deploy"', `"${host.user}"`)
    .replace('"/srv/my_app"', `"${base}"`)
    .replaceAll("my_app", here.name)
}

/** The pages that begin in a state of their own. All others begin with two releases. */
const settings: Readonly<Record<string, Setting>> = {
  "README.md": (site) =>
    Effect.gen(function* () {
      const { base, build, good, here } = site
      const config = Effect.sync(() => here.write("deployer/config/deployer_config.ts", readmeConfig(site)))
      yield* config
      yield* build("0.0.9")
      here.version("0.1.0")
      here.write("bin/data", randomBytes(3_000_000).toString("latin1"))
      return [
        {
          line: "deployer init",
          before: Effect.sync(() => {
            for (const made of [path.join(here.root, "deployer"), path.join(here.root, ".dockerignore"), base])
              fs.rmSync(made, { recursive: true })
          })
        },
        { line: "deployer build target=prod", before: config },
        {
          line: "deployer rollback target=prod",
          before: Effect.suspend(() => {
            here.version("0.2.0")
            return good("build_and_deploy target=prod")
          })
        }
      ]
    }),

  "CONTRIBUTING.md": () => Effect.succeed([]),

  // A disk that is too small and runs no programs.
  "docs/checks.md": ({ base, build, here }) =>
    Effect.gen(function* () {
      here.write("bin/data", randomBytes(1_500_000).toString("latin1"))
      here.write("bin/program", "", 0o755)
      const program = elf({ machine: process.arch === "arm64" ? "aarch64" : "x86_64" })
      fs.writeFileSync(path.join(here.root, "bin/program"), program)
      yield* build("1.0")
      yield* disk(path.dirname(base), "size=1m,noexec")
      return []
    }),

  "docs/commands.md": ({ build, configure, good, here }) =>
    Effect.gen(function* () {
      const git = (...words: ReadonlyArray<string>) =>
        execFileSync("git", ["-c", "user.name=eve", "-c", "user.email=eve@desk.example.com", ...words], {
          cwd: here.root,
          env: here.env,
          stdio: "ignore"
        })
      git("init")
      git("add", "VERSION")
      git("commit", "--message", "Begin")
      configure({}, builders.image)
      yield* build("1.4.1")
      fs.rmSync(path.join(here.root, ".git"), { recursive: true })
      configure()
      yield* good("deploy target=prod yes")
      yield* build("1.4.2")
      yield* good("deploy target=prod yes")
      let other: Running | undefined
      return [
        {
          line: "deployer deploy target=prod yes",
          before: Effect.gen(function* () {
            yield* build("1.4.3")
            configure({ afterUnpack: "sleep 60" })
            other = yield* here.begin(["deploy", "target=prod", "yes"])
            yield* other.hears("Running afterUnpack")
            configure()
          })
        },
        {
          line: 'deployer lock target=prod reason="migrating the database"',
          before: Effect.gen(function* () {
            other?.signal("SIGINT")
            yield* other?.ended ?? Effect.void
          })
        },
        {
          line: "deployer deploy target=prod plan save=plan.json",
          before: good("repair target=prod yes").pipe(Effect.andThen(good("deploy target=prod release=1")))
        },
        { line: "deployer apply plan=plan.json", before: good("rollback target=prod") },
        { line: "deployer deploy target=prod release=77 json", status: 2 }
      ]
    }),

  // A config with mistakes.
  "docs/configuration.md": ({ here }) =>
    Effect.sync(() => {
      here.write(
        "deployer/config/deployer_config.ts",
        `export default { targets: { prod: { hots: "app1.example.com", path: "my_app" } } }\n`
      )
      return []
    }),

  // Releases with many files, few of which change.
  "docs/how-uploads-work.md": ({ build, good, here }) =>
    Effect.gen(function* () {
      const write = (count: number) => {
        for (let file = 0; file < count; file++) here.write(`bin/data-${file}`, randomBytes(9_000).toString("base64"))
      }
      write(30)
      yield* build("1.0")
      yield* build("2.0")
      yield* good("deploy target=prod yes")
      yield* build("3.0")
      write(3)
      yield* build("4.0")
      return []
    }),

  "docs/repair.md": (site) =>
    Effect.gen(function* () {
      const { base, build, good } = site
      yield* two(site)
      yield* build("1.4.3")
      const { ref } = JSON.parse(yield* good("manage info 3 json")).release
      const releases = path.join(base, "releases")
      const current = path.join(releases, "current")
      return [
        {
          line: "deployer repair target=prod",
          before: Effect.sync(() => {
            fs.unlinkSync(current)
            fs.mkdirSync(path.join(releases, `.staging_${ref}`))
            fs.writeFileSync(path.join(releases, `.staging_${ref}`, "release.tar.gz"), "beginning")
          })
        },
        {
          line: "deployer manage adopt target=prod",
          before: Effect.sync(() => {
            fs.rmSync(base, { recursive: true })
            for (const file of ["bin/my_app", "lib/a", "lib/b"]) {
              fs.mkdirSync(path.dirname(path.join(current, file)), { recursive: true })
              fs.writeFileSync(path.join(current, file), file)
            }
          })
        }
      ]
    }),

  // Three targets, of which the last one is ill.
  "docs/many-targets.md": ({ base, good, here }) =>
    Effect.gen(function* () {
      const at = (key: string) => path.join(path.dirname(base), key)
      const member = (number: number) => ({
        host: `app${number}.example.com`,
        path: at(`web${number}`),
        builder: "prod",
        tags: ["production"],
        restart: "bin/restart"
      })
      here.configure(
        { web1: member(1), web2: member(2), web3: member(3) },
        { prod: builders.plain },
        { web: { targets: ["web*"], canary: 1 } }
      )
      here.write("bin/restart", `#!/bin/sh\n! grep -q 1.4.2 VERSION || [ ! -e "$DEPLOYER_PATH/ill" ]\n`, 0o755)
      here.version("1.4.1")
      yield* good("build target=web1")
      return [
        {
          line: "deployer deploy group=web plan",
          before: Effect.suspend(() => {
            here.version("1.4.2")
            fs.writeFileSync(path.join(at("web3"), "ill"), "")
            return good("build target=web1")
          })
        }
      ]
    }),

  // The third release is ill.
  "docs/rollback.md": (site) =>
    Effect.gen(function* () {
      const { base, build, configure, here, port } = site
      yield* two(site)
      const server = http.createServer((_, response) => {
        const version = fs.readFileSync(path.join(base, "releases/current", here.name, "VERSION"), "utf8").trim()
        response.writeHead(version === "1.4.3" ? 503 : 200).end()
      })
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => void server.listen(port, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => server.close())
      )
      return [
        {
          line: "deployer deploy target=prod release=3",
          before: Effect.gen(function* () {
            yield* build("1.4.3")
            configure({ health: { http: `http://127.0.0.1:${port}/health`, timeout: "4 seconds" } })
          })
        }
      ]
    }),

  "docs/tidying.md": (site) =>
    Effect.gen(function* () {
      yield* two(site)
      const again = site
        .good("deploy target=prod release=1")
        .pipe(Effect.andThen(site.good("deploy target=prod release=2")))
      return [
        { line: "deployer manage delete ref=D5F3 target=prod yes", before: again },
        { line: "deployer manage integrity deep target=prod", before: again }
      ]
    }),

  "docs/reference/commands.md": (site) =>
    Effect.gen(function* () {
      const { configure, good, here } = site
      const agreed = [[/\[(Y\/n|y\/N)\]$/m, "y"]] as const
      const saved = (release: number) => good(`deploy target=prod release=${release} plan save=plan.json`)
      const live = (release: number) => good(`deploy target=prod release=${release} yes`)
      const both = Effect.zipRight(live(2), live(1))
      const lock = "lock target=prod reason=maintenance"
      const steps: ReadonlyArray<Step> = [
        {
          line: "deployer init",
          before: Effect.sync(() => fs.rmSync(path.join(here.root, "deployer"), { recursive: true }))
        },
        {
          line: "deployer build target=prod",
          before: Effect.suspend(() => {
            configure()
            here.write(".env.prod", "PORT=4000")
            return two(site)
          })
        },
        { line: "deployer deploy target=prod", typed: agreed },
        { line: "deployer apply plan=plan.json", before: saved(1) },
        { line: "deployer apply plan=plan.json wait=10m", before: saved(2) },
        {
          line: "deployer completions fish > ~/.config/fish/completions/deployer.fish",
          before: Effect.sync(() => fs.mkdirSync(path.join(here.home, ".config/fish/completions"), { recursive: true }))
        },
        { line: "deployer ssh target=prod", typed: [[/^[#$]$/m, "exit"]] },
        { line: "deployer ssh --target prod", typed: [[/^[#$]$/m, "exit"]] },
        {
          line: 'deployer lock target=prod reason="no deployments before Monday"',
          before: good("unlock target=prod yes")
        },
        { line: "deployer unlock target=prod", typed: agreed },
        { line: "deployer unlock target=prod yes", before: good(lock) },
        { line: "deployer manage target=prod", typed: [[/^prod>$/m, "q"]] },
        { line: "deployer manage prune my_app", typed: [[/\[(Y\/n|y\/N)\]$/m, "n"]], status: 1 },
        { line: "deployer manage delete 3", typed: agreed },
        { line: "deployer manage delete 844C target=prod", before: both, typed: agreed },
        { line: "deployer manage ln 844C target=prod", before: both },
        { line: "deployer manage ln 844C target=prod wait=5m", before: live(1) }
      ]
      return steps
    })
}

const withCommands = pages.filter((page) => commandsOf(page).length > 0)

describe.skipIf(missing !== undefined)(
  titled("the commands in README and docs", missing),
  { concurrent: true, timeout: 480_000 },
  () => {
    it("Pages are set up for the test only if they have commands.", () => {
      assert.deepStrictEqual(
        Object.keys(settings).filter((page) => !withCommands.includes(page)),
        []
      )
    })

    for (const page of withCommands) {
      it.scopedLive(`Each command on ${page} runs and prints the output on the page.`, () =>
        Effect.gen(function* () {
          const here = yield* site
          const setting = settings[page] ?? ((site) => Effect.as(two(site), []))
          yield* here.follow(page, yield* setting(here))
        })
      )
    }
  }
)
