/** The pipelines of examples/ci: each is read as its CI system reads it, and its commands run in fresh clones against a real host. */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { binary } from "../kit/build.ts"
import { builders, project } from "../kit/project.ts"
import { missing as missingProgram, missingSshd, sshd, titled } from "../kit/sshd.ts"

const missing = missingSshd ?? missingProgram("git", "jq", "flock", "ssh-keygen")

const read = (file: string): string =>
  fs.readFileSync(path.resolve(import.meta.dirname, "../../examples/ci", file), "utf8")

type Tree = { readonly [key: string]: unknown }

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value)

const tree = (value: unknown, where: string): Tree => (isTree(value) ? value : assert.fail(`${where} is no mapping`))

const list = (value: unknown, where: string): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : assert.fail(`${where} is no list`)

const text = (value: unknown, where: string): string =>
  typeof value === "string" ? value : assert.fail(`${where} is no text`)

const onlyKeys = (value: Tree, known: ReadonlyArray<string>, where: string): void =>
  assert.deepStrictEqual(
    Object.keys(value).filter((key) => !known.includes(key)),
    [],
    where
  )

/** The commands that need the registry or the runner's image. */
const isInstall = (line: string) => /^(npm install --global effect-deployer|apk add .*)$/.test(line.trim())

/** A project in git, whose releases come from a command, and whose target has its key in a variable and its host key in the config. */
const origin = Effect.gen(function* () {
  const host = yield* sshd()
  const here = yield* project()
  const print = execFileSync("ssh-keygen", ["-lf", host.knownHosts], { encoding: "utf8" })
  const [hostKey] = /SHA256:\S+/.exec(print) ?? assert.fail(print)
  const base = path.join(host.home, "app")
  const target = { host: host.host, port: host.port, user: host.user, path: base, tags: ["production"] }
  here.configure({ prod: { ...target, hostKey, sshKeyVariable: "DEPLOY_KEY" } }, { prod: builders.plain })
  const git = (folder: string, ...words: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=eve", "-c", "user.email=eve@example.com", ...words], {
      cwd: folder,
      env: here.env,
      encoding: "utf8"
    }).trim()
  git(here.root, "init", "--quiet", "--initial-branch=main")
  const commit = (version: string) => {
    here.version(version)
    git(here.root, "add", "--all")
    git(here.root, "commit", "--quiet", "--message", version)
    return git(here.root, "rev-parse", "HEAD")
  }
  const programs = path.join(here.folder, "programs")
  fs.mkdirSync(programs)
  fs.writeFileSync(path.join(programs, "deployer"), `#!/bin/sh\nexec '${process.execPath}' '${binary}' "$@"\n`, {
    mode: 0o755
  })
  let count = 0
  /** A clone with a home of its own that holds nothing, as on a fresh runner. */
  const clone = () => {
    const folder = path.join(here.folder, `runner ${++count}`)
    const home = `${folder} home`
    fs.mkdirSync(home)
    git(here.folder, "clone", "--quiet", here.root, folder)
    return { folder, env: { ...here.env, HOME: home, PATH: `${programs}:${process.env["PATH"]}` } }
  }
  const key = fs.readFileSync(host.keyFile, "utf8")
  const live = () => fs.readFileSync(path.join(base, "releases/current", here.name, "VERSION"), "utf8").trim()
  const journal = () =>
    fs
      .readFileSync(path.join(base, "config/journal"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
  /** Nothing on this machine holds the key but the host's own folder. */
  const leaksNothing = () => {
    const secret = key.split("\n")[2] ?? assert.fail("no key")
    const found = spawnSync("grep", ["-rlF", "--", secret, here.folder], { encoding: "utf8" })
    assert.strictEqual(found.stdout, "")
  }
  return { here, host, key, commit, clone, live, journal, leaksNothing }
})

interface Runner {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
}

const shell = (
  { env, folder }: Runner,
  words: readonly [string, ...ReadonlyArray<string>],
  more: Readonly<Record<string, string>>
) => {
  const [program, ...args] = words
  const ran = spawnSync(program, args, { cwd: folder, env: { ...env, ...more }, encoding: "utf8", timeout: 60_000 })
  return { status: ran.status, said: `${ran.stdout}${ran.stderr}` }
}

const me = `${os.userInfo().username}@${os.hostname()}`

// GitHub Actions, https://docs.github.com/en/actions/reference/workflow-syntax-for-github-actions

const workflow = () => tree(parse(read("github/deploy.yml")), "the workflow")

const jobs = () =>
  Object.entries(tree(workflow()["jobs"], "jobs")).map(([name, job]) => [name, tree(job, name)] as const)

const steps = (job: Tree, name: string) =>
  list(job["steps"], `the steps of ${name}`).map((step) => tree(step, `a step of ${name}`))

/** Replaces the expressions of a text. Only secrets are known. */
const evaluated = (value: unknown, secrets: Readonly<Record<string, string>>): string =>
  text(value, "a value").replaceAll(/\$\{\{\s*([^}]*?)\s*\}\}/g, (_, expression: string) => {
    const [, name = ""] = /^secrets\.(\w+)$/.exec(expression) ?? assert.fail(`${expression} is no secret`)
    return secrets[name] ?? ""
  })

describe("the pipeline for GitHub Actions", () => {
  it("The workflow has only keys that GitHub documents, and its jobs and artifacts fit together.", () => {
    const whole = workflow()
    onlyKeys(whole, ["name", "on", "permissions", "concurrency", "defaults", "jobs"], "the workflow")
    assert.deepStrictEqual(whole["concurrency"], { group: "deploy-prod", "cancel-in-progress": false })
    assert.deepStrictEqual(whole["defaults"], { run: { shell: "bash" } })
    const names = jobs().map(([name]) => name)
    for (const [name, job] of jobs()) {
      onlyKeys(job, ["needs", "runs-on", "timeout-minutes", "environment", "steps"], name)
      assert.isString(job["runs-on"], name)
      if (job["needs"] !== undefined) assert.include(names, job["needs"])
      for (const step of steps(job, name)) {
        onlyKeys(step, ["name", "uses", "with", "run", "env", "if"], name)
        assert.strictEqual("uses" in step, !("run" in step), JSON.stringify(step))
        if ("uses" in step) assert.match(text(step["uses"], name), /^actions\/[a-z-]+@v\d+$/)
      }
    }
    const artifacts = jobs().flatMap(([name, job]) =>
      steps(job, name).flatMap((step) =>
        /artifact@/.test(String(step["uses"])) ? [tree(step["with"], name)["name"]] : []
      )
    )
    assert.deepStrictEqual(artifacts, ["release", "release"])
  })

  it.scopedLive.skipIf(missing !== undefined)(
    titled("The workflow's jobs build, pass on and deploy a release, and write a summary and the actor.", missing),
    () =>
      Effect.gen(function* () {
        const { commit, clone, here, journal, key, leaksNothing, live } = yield* origin
        const summary = path.join(here.folder, "summary.md")
        const artifacts = new Map<string, Buffer>()
        const runWorkflow = (secrets: Readonly<Record<string, string>>) => {
          const variables = {
            ...{ CI: "true", GITHUB_ACTIONS: "true", GITHUB_ACTOR: "alice", GITHUB_STEP_SUMMARY: summary },
            ...{ GITHUB_SERVER_URL: "https://github.com", GITHUB_REPOSITORY: "acme/shop", GITHUB_RUN_ID: "7" }
          }
          fs.writeFileSync(summary, "")
          let said = ""
          for (const [name, job] of jobs()) {
            const runner = clone()
            let failed = false
            for (const step of steps(job, name)) {
              if (failed && step["if"] !== "always()") continue
              const words = isTree(step["with"]) ? step["with"] : {}
              const file = path.join(runner.folder, "my_app.release")
              if (/^actions\/upload/.test(String(step["uses"]))) {
                artifacts.set(String(words["name"]), fs.readFileSync(path.join(runner.folder, String(words["path"]))))
              }
              if (/^actions\/download/.test(String(step["uses"]))) {
                fs.writeFileSync(file, artifacts.get(String(words["name"])) ?? assert.fail("no artifact"))
              }
              if (step["run"] === undefined || isInstall(String(step["run"]))) continue
              const env = isTree(step["env"]) ? step["env"] : {}
              const given = Object.fromEntries(
                Object.entries(env).map(([name, value]) => [name, evaluated(value, secrets)])
              )
              const script = path.join(here.folder, "step.sh")
              fs.writeFileSync(script, evaluated(step["run"], secrets))
              // As GitHub calls it for "shell: bash".
              const ran = shell(runner, ["bash", "--noprofile", "--norc", "-eo", "pipefail", script], {
                ...variables,
                ...given
              })
              said += ran.said
              if (ran.status !== 0) failed = true
            }
            if (failed) return { failed: name, said }
          }
          return { failed: undefined, said }
        }

        const head = commit("1.0")
        const ran = runWorkflow({ DEPLOY_KEY: key })
        assert.isUndefined(ran.failed, ran.said)
        assert.strictEqual(live(), "1.0")
        assert.match(
          fs.readFileSync(summary, "utf8"),
          new RegExp(`^### ${here.name} [0-9A-F]{8} is live\n\nCommit ${head}, deployed in \\d+ ms\n$`)
        )
        const last = journal().at(-1)
        assert.strictEqual(last.by, `alice (${me})`)
        assert.strictEqual(last.job, "https://github.com/acme/shop/actions/runs/7")

        commit("2.0")
        const keyless = runWorkflow({})
        assert.strictEqual(keyless.failed, "deploy")
        assert.match(fs.readFileSync(summary, "utf8"), /^### Not deployed\n\nThe variable DEPLOY_KEY, .* is not set/)
        assert.strictEqual(live(), "1.0")
        leaksNothing()
      })
  )
})

// GitLab, https://docs.gitlab.com/ci/yaml/

const pipeline = () => tree(parse(read("gitlab/.gitlab-ci.yml")), "the pipeline")

/** A job with the settings that it takes over from another one. */
const gitlabJob = (name: string): Tree => {
  const job = tree(pipeline()[name], name)
  return job["extends"] === undefined ? job : { ...gitlabJob(text(job["extends"], name)), ...job }
}

const lines = (job: Tree, key: string) =>
  list(job[key] ?? [], key)
    .map((line) => text(line, key))
    .filter((line) => !isInstall(line))

describe("the pipeline for GitLab", () => {
  it("The pipeline has only keys that GitLab documents, and its jobs have stages.", () => {
    const { stages, workflow, ...others } = pipeline()
    assert.deepStrictEqual(stages, ["build", "deploy"])
    onlyKeys(tree(workflow, "workflow"), ["rules"], "workflow")
    assert.deepStrictEqual(Object.keys(others), [".deployer", "build", "deploy"])
    const known = ["extends", "stage", "image", "services", "variables", "before_script", "script", "after_script"]
    for (const name of Object.keys(others)) {
      const job = gitlabJob(name)
      onlyKeys(job, [...known, "artifacts", "environment", "resource_group"], name)
      if (name.startsWith(".")) continue
      assert.strictEqual(job["stage"], name)
      assert.isNotEmpty(lines(job, "script"))
    }
  })

  it.scopedLive.skipIf(missing !== undefined)(
    titled("The pipeline's jobs build and deploy a release with a key in base64, and write the actor.", missing),
    () =>
      Effect.gen(function* () {
        const { clone, commit, journal, key, leaksNothing, live } = yield* origin
        commit("1.0")
        let release: Buffer | undefined
        for (const name of ["build", "deploy"]) {
          const job = gitlabJob(name)
          const runner = clone()
          if (release !== undefined) fs.writeFileSync(path.join(runner.folder, "my_app.release"), release)
          const env = {
            ...{ CI: "true", CI_JOB_URL: "https://gitlab.com/acme/shop/-/jobs/9", GITLAB_USER_LOGIN: "carol" },
            DEPLOY_KEY: Buffer.from(key).toString("base64")
          }
          // One shell for all lines, which ends with the first failure.
          const script = ["set -e", ...lines(job, "before_script"), ...lines(job, "script")].join("\n")
          const ran = shell(runner, ["sh", "-c", script], env)
          assert.strictEqual(ran.status, 0, ran.said)
          const after = shell(runner, ["sh", "-c", ["true", ...lines(job, "after_script")].join("\n")], env)
          assert.strictEqual(after.status, 0, after.said)
          if (name === "deploy") assert.match(after.said, /^\w+ [0-9A-F]{8} is live, deployed in \d+ ms\n$/)
          else {
            const [file] = list(tree(job["artifacts"], name)["paths"], name)
            release = fs.readFileSync(path.join(runner.folder, text(file, name)))
          }
        }
        assert.strictEqual(live(), "1.0")
        const last = journal().at(-1)
        assert.strictEqual(last.by, `carol (${me})`)
        assert.strictEqual(last.job, "https://gitlab.com/acme/shop/-/jobs/9")
        leaksNothing()
      })
  )
})

describe("the script for cron", () => {
  it.scopedLive.skipIf(missing !== undefined)(
    titled("The script for cron deploys each new commit once, and tries again after a failure that may pass.", missing),
    () =>
      Effect.gen(function* () {
        const { clone, commit, here, host, key, live } = yield* origin
        here.write("deploy.sh", read("cron/deploy.sh"), 0o755)
        const head = commit("1.0")
        const runner = clone()
        const run = (deployKey = key) =>
          shell({ ...runner, folder: "/" }, [path.join(runner.folder, "deploy.sh")], { DEPLOY_KEY: deployKey })
        const first = run()
        assert.strictEqual(first.status, 0, first.said)
        assert.include(first.said, `deploying ${head}\n`)
        assert.match(first.said, /^\w+ [0-9A-F]{8} is live$/m)
        assert.strictEqual(live(), "1.0")
        assert.deepStrictEqual(run(), { status: 0, said: "" })
        commit("2.0")
        const keyless = run("")
        assert.strictEqual(keyless.status, 2, keyless.said)
        assert.include(keyless.said, "The variable DEPLOY_KEY")
        const again = run()
        assert.strictEqual(again.status, 0, again.said)
        assert.strictEqual(live(), "2.0")
        // While another run holds the lock, nothing happens.
        commit("3.0")
        const busy = shell(runner, ["flock", "deployer/temp/deploy.lock", "./deploy.sh"], { DEPLOY_KEY: key })
        assert.deepStrictEqual(busy, { status: 0, said: "" })
        assert.strictEqual(live(), "2.0")
        assert.notInclude(fs.readFileSync(path.join(host.home, "app/config/journal"), "utf8"), "PRIVATE KEY")
      })
  )
})
