/** Completion in real shells: Tab is pressed on a terminal, in a project. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { binary } from "../kit/build.ts"
import { builders, type Project, project } from "../kit/project.ts"
import { missing as missingProgram, titled } from "../kit/sshd.ts"
import { terminal } from "../kit/terminal.ts"

const missing = missingProgram("tmux", "bash", "zsh", "fish")

/** Names of files that mean something to shells. */
const oddNames = [
  "a b",
  "it's",
  'b"q"',
  "d$HOME",
  "e:f",
  "g[1]",
  "h*",
  "v;j&k",
  "l\\m",
  "n`o`",
  "p(q)",
  "r#s",
  "t~",
  "u{v,w}",
  "x!"
]

/** A project with two targets and two releases. `deployer` is on the search path. */
const prepared = Effect.gen(function* () {
  const here = yield* project()
  here.configure(
    {
      prod: { host: "app1.example.com", user: "deploy", name: "my_app", tags: ["production"], builder: "plain" },
      staging: { host: "app2.example.com", name: "my_app", builder: "plain" }
    },
    builders
  )
  const programs = path.join(here.folder, "programs")
  fs.mkdirSync(programs)
  fs.writeFileSync(path.join(programs, "deployer"), `#!/bin/sh\nexec '${process.execPath}' '${binary}' "$@"\n`, {
    mode: 0o755
  })
  const refs = []
  for (const version of ["1.0", "2.0"]) {
    here.version(version)
    const { release } = JSON.parse(yield* here.good("build", "target=prod", "json"))
    refs.push(String(release.ref).slice(0, 8))
  }
  here.write("plans/my plan.json", "{}")
  for (const name of oddNames) here.write(`odd/${name}`, "{}")
  return { here, programs, refs }
})

/** How a shell is started, and how it takes the script. */
const shells = {
  bash: { start: "bash --norc --noprofile -i", enable: 'eval "$(deployer completions bash)"' },
  zsh: { start: "zsh --no-rcs -i", enable: "source <(deployer completions zsh)" },
  fish: {
    start: "fish",
    enable: "mkdir -p ~/.config/fish/completions; deployer completions fish > ~/.config/fish/completions/deployer.fish"
  }
} as const

/** Opens a terminal with the shell, in the project. */
const open = (name: keyof typeof shells, here: Project, programs: string) =>
  Effect.gen(function* () {
    const { enable, start } = shells[name]
    const folder = path.join(here.folder, name)
    fs.mkdirSync(folder)
    const screen = yield* terminal(folder, { ...here.env, ROOT: here.root, PATH: `${programs}:${here.env["PATH"]}` })
    yield* screen.type(`cd $ROOT; clear; ${start}`)
    yield* screen.type("echo re''ady")
    yield* screen.waitFor(/^ready$/m)
    yield* screen.type(`${enable}; clear; echo en''abled`)
    yield* screen.waitFor(/^enabled$/m)
    const press = (...keys: ReadonlyArray<string>) => Effect.forEach(keys, screen.press)
    /** Types the beginning of a line, Tab and an "x": this shows whether the word is finished. */
    const completes = (typed: string, line: string) =>
      Effect.gen(function* () {
        yield* press(typed, "Tab", "x")
        yield* screen.waitFor(`deployer ${line}x\n`)
        yield* press("C-u")
      })
    return { ...screen, press, completes }
  })

const ask = (here: Project, ...words: ReadonlyArray<string>) =>
  spawnSync(process.execPath, [binary, "complete", "zsh", "", "--", ...words], {
    cwd: here.root,
    env: here.env,
    encoding: "utf8"
  })

const wordsFor = (here: Project, ...words: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = ask(here, ...words)
  assert.deepStrictEqual([status, stderr], [0, ""])
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [line.split("\t")[0]]))
}

const indexesOf = (here: Project) => {
  const cache = path.join(here.home, ".cache/effect-deployer")
  return fs
    .readdirSync(cache)
    .filter((name) => name.endsWith(".index"))
    .map((name) => path.join(cache, name))
}

describe.skipIf(missing !== undefined)(titled("completion in shells", missing), { timeout: 240_000 }, () => {
  for (const name of ["bash", "zsh", "fish"] as const) {
    it.scopedLive(`Tab completes commands, keys, targets, releases and files in ${name}.`, () =>
      Effect.gen(function* () {
        const { here, programs, refs } = yield* prepared
        const [ref = ""] = refs
        const screen = yield* open(name, here, programs)
        yield* screen.completes("deployer dep", "deploy ")
        yield* screen.completes("deployer deploy tar", "deploy target=")
        yield* screen.completes("deployer deploy target=p", "deploy target=prod ")
        yield* screen.completes("deployer deploy --target=s", "deploy --target=staging ")
        yield* screen.completes("deployer deploy --target s", "deploy --target staging ")
        yield* screen.completes("deployer deploy target=prod rel", "deploy target=prod release=")
        yield* screen.completes(`deployer deploy release=${ref.slice(0, 4)}`, `deploy release=${ref} `)
        yield* screen.completes("deployer manage target=prod unp", "manage target=prod unpin ")
        yield* screen.completes("deployer apply plan=plans/m", "apply plan=plans/my\\ plan.json ")
        yield* screen.completes("deployer lock reason='a b' tar", "lock reason='a b' target=")
        yield* screen.completes("deployer completions f", "completions fish ")
        yield* screen.press("deployer deploy target=", "Tab", "Tab")
        yield* screen.waitFor(/\bprod\b[\s\S]*\bstaging\b/)
        if (name !== "bash") yield* screen.waitFor(/deploy@app1\.example\.com[\s\S]*app2\.example\.com/)
        yield* screen.press("C-c", "C-u")
        if (name !== "bash") {
          yield* screen.press("deployer deploy release=", "Tab", "Tab")
          yield* screen.waitFor(/release=1 .*my_app, [0-9A-F]{8}, built .*, production/)
        }
      })
    )
  }

  for (const name of ["bash", "zsh", "fish"] as const) {
    it.scopedLive(
      `Tab quotes names with blanks, quotes and other signs in ${name}, so that deployer gets them as they are.`,
      () =>
        Effect.gen(function* () {
          const { here, programs } = yield* prepared
          const told = path.join(here.folder, "told")
          const screen = yield* open(name, here, programs)
          const program = path.join(programs, "deployer")
          const script = `[ "$1" = complete ] || { printf "%s\\n" "$@" >'${told}.new'; mv '${told}.new' '${told}'; exit; }`
          const real = fs.readFileSync(program, "utf8")
          fs.writeFileSync(program, real.replace("\n", `\n${script}\n`), { mode: 0o755 })
          const run = Effect.gen(function* () {
            yield* screen.press("Enter")
            for (let tries = 0; tries < 100 && !fs.existsSync(told); tries++) yield* Effect.sleep("50 millis")
            const words = fs.readFileSync(told, "utf8").trimEnd().split("\n")
            fs.rmSync(told)
            return words
          })
          for (const odd of oddNames) {
            yield* screen.press(`deployer apply plan=odd/${odd[0]}`, "Tab")
            yield* Effect.sleep("700 millis")
            assert.deepStrictEqual(yield* run, ["apply", `plan=odd/${odd}`], odd)
          }
        })
    )
  }

  it.scopedLive("The script for zsh works as a file of fpath too.", () =>
    Effect.gen(function* () {
      const { here, programs } = yield* prepared
      const functions = path.join(here.folder, "functions")
      fs.mkdirSync(functions)
      fs.writeFileSync(path.join(functions, "_deployer"), yield* here.good("completions", "zsh"))
      fs.mkdirSync(path.join(here.folder, "fpath"))
      const screen = yield* terminal(path.join(here.folder, "fpath"), {
        ...here.env,
        ROOT: here.root,
        PATH: `${programs}:${here.env["PATH"]}`
      })
      yield* screen.type("cd $ROOT; clear; zsh --no-rcs -i")
      yield* screen.type(`fpath+=(${functions}); autoload -Uz compinit; compinit -u; clear; echo re''ady`)
      yield* screen.waitFor(/^ready$/m)
      yield* Effect.forEach(["deployer deploy target=p", "Tab", "x"], screen.press)
      yield* screen.waitFor("deployer deploy target=prod x\n")
    })
  )

  it.scopedLive("A command keeps the index of its project, and completion reads no more than that.", () =>
    Effect.gen(function* () {
      const { here, refs } = yield* prepared
      // The first check of a folder that has not changed for three seconds is recorded in the database.
      yield* Effect.sleep("3200 millis")
      yield* here.good("manage", "info")
      const [index = "", ...others] = indexesOf(here)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(fs.statSync(index).mode & 0o777, 0o600)
      const kept = fs.statSync(index)
      assert.sameMembers(wordsFor(here, "deploy", "release="), [
        ...["latest", "1", "2", "my_app", ...refs].map((word) => `release=${word}`)
      ])
      yield* here.good("manage", "info")
      yield* here.good("validate")
      assert.strictEqual(fs.statSync(index).ino, kept.ino)
      yield* here.good("manage", "delete", "1", "yes")
      assert.notInclude(wordsFor(here, "deploy", "release="), "release=1")
      assert.notStrictEqual(fs.statSync(index).ino, kept.ino)
    })
  )

  it.scopedLive(
    "Completion makes the index again after a change of the config, and keeps the old one if it cannot.",
    () =>
      Effect.gen(function* () {
        const { here } = yield* prepared
        here.configure({ other: { host: "app3.example.com" } })
        assert.deepStrictEqual(wordsFor(here, "status", "target="), ["target=other"])
        const counter = path.join(here.folder, "loaded")
        const slow = `require("node:fs").appendFileSync(${JSON.stringify(counter)}, "x"); while (true) {}`
        here.write("deployer/config/deployer_config.ts", slow)
        const began = performance.now()
        assert.deepStrictEqual(wordsFor(here, "status", "target="), ["target=other"])
        assert.isBelow(performance.now() - began, 10_000)
        // The same config is not tried again.
        assert.deepStrictEqual(wordsFor(here, "status", "target="), ["target=other"])
        assert.strictEqual(fs.readFileSync(counter, "utf8"), "x")
      })
  )

  it.scopedLive("Completion never runs the config of a project in which no command has run.", () =>
    Effect.gen(function* () {
      const { here } = yield* prepared
      for (const file of indexesOf(here)) fs.rmSync(file)
      const ran = path.join(here.folder, "ran")
      here.write("deployer/config/deployer_config.ts", `require("node:fs").writeFileSync(${JSON.stringify(ran)}, "")`)
      assert.deepStrictEqual(wordsFor(here, "status", "target="), [])
      assert.isFalse(fs.existsSync(ran))
      here.configure({ other: { host: "app3.example.com" } })
      yield* here.deployer("validate")
      assert.deepStrictEqual(wordsFor(here, "status", "target="), ["target=other"])
    })
  )

  it.scopedLive("Completion answers without a project, a home or a config that loads, and makes nothing.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      here.write("deployer/config/deployer_config.ts", "throw new Error('no')")
      fs.rmSync(path.join(here.root, "deployer/config/deployer_store.db"), { force: true })
      assert.deepStrictEqual(wordsFor(here, "status", "target="), [])
      assert.isFalse(fs.existsSync(path.join(here.root, "deployer/config/deployer_store.db")))
      assert.deepStrictEqual(wordsFor(here, "status", `root=${here.home}`, "target="), [])
      assert.include(wordsFor(here, "stat"), "status")
      const homeless = { ...here, env: { ...here.env, HOME: "/nonexistent" } }
      assert.deepStrictEqual(wordsFor(homeless, "status", "target="), [])
    })
  )
})
