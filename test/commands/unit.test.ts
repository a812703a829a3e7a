import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { daemon } from "../../src/workspace/daemon.ts"
import { run, usualConfig, usualImage, world } from "../kit/world.ts"

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0

/** The state of a unit, as systemd reports it. */
const verified = (text: string, isUser: boolean) => {
  const folder = mkdtempSync(join(tmpdir(), "deployer-unit-"))
  try {
    const file = join(folder, "my_app.service")
    writeFileSync(file, text)
    const words = [...(isUser ? ["--user"] : []), "--man=no", "verify", file]
    const { status, stderr, stdout } = spawnSync("systemd-analyze", words, {
      env: { ...process.env, XDG_RUNTIME_DIR: folder },
      encoding: "utf8"
    })
    return { status, said: `${stdout}${stderr}`.split("\n").filter((line) => line.includes("my_app.service")) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const prod = { host: "host.test", user: "deploy", name: "my_app", path: "/srv/my_app" }

const withTarget = (more: object) =>
  world({ config: { targets: { prod: { ...prod, ...more } }, builders: usualConfig.builders ?? {} } })

/** The value of a key of a unit. */
const valueOf = (text: string, key: string): string | undefined => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1]

const printed = (line: string, more: object) =>
  Effect.gen(function* () {
    const ran = yield* run(line)
    assert.strictEqual(ran.status, 0, ran.stderr)
    if (hasSystemd) {
      assert.deepStrictEqual(verified(ran.stdout, / user\b/.test(line)), { status: 0, said: [] }, ran.stdout)
    }
    return ran.stdout
  }).pipe(Effect.provide(withTarget(more)))

describe("unit", () => {
  it.scoped("A command with a line break is refused, because it would add settings to the unit.", () =>
    Effect.gen(function* () {
      const ran = yield* run(["unit", "target=prod", "command=x\nUser=root"])
      assert.strictEqual(ran.status, 2)
      assert.include(ran.stderr, "must be one line")
      assert.strictEqual(ran.stdout, "")
    }).pipe(Effect.provide(withTarget({})))
  )

  it.scoped("A unit of the system runs the start command in the current release, and says how to install it.", () =>
    Effect.gen(function* () {
      const text = yield* printed("unit target=prod", { start: "node server.js" })
      assert.strictEqual(valueOf(text, "User"), "deploy")
      assert.strictEqual(valueOf(text, "WorkingDirectory"), "/srv/my_app/releases/current/my_app")
      assert.strictEqual(valueOf(text, "ExecStart"), '/bin/sh -c "exec node server.js"')
      assert.strictEqual(valueOf(text, "Restart"), "always")
      assert.strictEqual(valueOf(text, "WantedBy"), "multi-user.target")
      assert.include(
        text,
        "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl start my_app, /usr/bin/systemctl stop my_app, /usr/bin/systemctl restart my_app\n"
      )
      assert.include(text, '#      restart: "sudo systemctl restart my_app",\n')
      assert.include(text, "# 1. On the host, as root, write this to /etc/systemd/system/my_app.service.\n")
    })
  )

  it.scoped("A unit of the login's own is below its home, and needs lingering.", () =>
    Effect.gen(function* () {
      const text = yield* printed("unit target=prod user", { start: "node server.js", path: "~/my app" })
      assert.isUndefined(valueOf(text, "User"))
      assert.strictEqual(valueOf(text, "WorkingDirectory"), "%h/my app/releases/current/my_app")
      assert.strictEqual(valueOf(text, "WantedBy"), "default.target")
      assert.include(text, "loginctl enable-linger deploy\n")
      assert.include(text, 'restart: "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user restart my_app"')
      const relative = yield* printed("unit target=prod", { path: "my_app" })
      assert.strictEqual(valueOf(relative, "WorkingDirectory"), "/home/deploy/my_app/releases/current/my_app")
      assert.strictEqual(valueOf(relative, "ExecStart"), '/bin/sh -c "exec bin/my_app start"')
      const root = yield* printed("unit target=prod", { user: "root", path: "app" })
      assert.isUndefined(valueOf(root, "User"))
      assert.notInclude(root, "sudo")
    })
  )

  it.scoped("Any command stands in a unit so that the shell gets it as it is.", () =>
    Effect.gen(function* () {
      for (const [start, line] of [
        ["PORT=4000 node server.js", '"exec env PORT=4000 node server.js"'],
        [`echo "100%" '$HOME' \\n; ./x`, `"echo \\"100%%\\" '$$HOME' \\\\n; ./x"`],
        [daemon({ command: "it's --here" }).start, `"it's --here"`]
      ] as const) {
        const text = yield* printed("unit target=prod", { start })
        assert.strictEqual(valueOf(text, "ExecStart"), `/bin/sh -c ${line}`)
      }
    })
  )

  it.scoped("A start command that starts a service is no program for a unit, but another one can be named.", () =>
    Effect.gen(function* () {
      const start = "sudo systemctl start my_app"
      const ran = yield* Effect.provide(run("unit target=prod"), withTarget({ start }))
      assert.strictEqual(ran.status, 2)
      assert.match(ran.stderr, /starts a service: name the program .* command='node server.js'\n$/)
      const named = yield* Effect.provide(run(["unit", "target=prod", "command=node server.js"]), withTarget({ start }))
      assert.strictEqual(valueOf(named.stdout, "ExecStart"), '/bin/sh -c "exec node server.js"')
    })
  )

  it.scoped("A unit reads the environment file that stands beside the newest release.", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "deployer-unit-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const file = join(folder, "prod.env")
      writeFileSync(file, "A=1\n")
      yield* Effect.gen(function* () {
        const ran = yield* run(`build target=prod env_file_name=${file}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        const { stdout } = yield* run("unit target=prod")
        assert.strictEqual(valueOf(stdout, "EnvironmentFile"), "/srv/my_app/releases/current/prod.env")
      }).pipe(Effect.provide(world({ image: () => usualImage() })))
    })
  )
})
