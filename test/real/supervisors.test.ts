/** The examples of docs/running.md for supervisors, with the real supervisors as ordinary processes. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { blocksOf, read } from "../kit/pages.ts"
import { project } from "../kit/project.ts"
import { missing, titled } from "../kit/sshd.ts"

const page = "docs/running.md"
const isRoot = process.getuid?.() === 0

/** A block of the page, for this user and this folder. */
const example = (begins: RegExp, base: string, name: string): string => {
  const block = blocksOf(page).find(({ lines }) => begins.test(lines.join("\n")))
  assert.isDefined(block, `${begins} is not on ${page}`)
  const text = block.lines.join("\n")
  // Only root can change to a user.
  const own = isRoot
    ? text.replaceAll(/(chpst -u |s6-setuidgid |^user=)deploy/gm, "$1root")
    : text.replaceAll(/(chpst -u|s6-setuidgid) deploy |^user=deploy\n/gm, "")
  return `${own.replaceAll("/srv/my_app/releases/current/my_app", `${base}/releases/current/${name}`)}\n`
}

/** The setting `restart` of the page that begins like this. */
const restartOf = (program: string): string => {
  const [, command] = new RegExp(`restart: "(${program}[^"]*)"`).exec(read(page)) ?? []
  assert.isDefined(command, `restart with ${program} is not on ${page}`)
  return command
}

/** Runs a program until the scope ends; supervisors end their services when they end. */
const keep = (program: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(program, args, {
        stdio: "ignore",
        env: { ...process.env, PATH: `${path.dirname(process.execPath)}:${process.env["PATH"]}` }
      })
    ),
    (child) =>
      Effect.promise(async () => {
        if (child.exitCode !== null) return
        child.kill("SIGTERM")
        await once(child, "exit")
      })
  )

const freePort = Effect.promise(async () => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  return address === null || typeof address === "string" ? 0 : address.port
})

interface Place {
  /** The target's folder on the host. */
  readonly base: string
  readonly name: string
  /** An empty folder. */
  readonly folder: string
}

/** A service's folder with the page's file `run`. */
const serviceIn = ({ base, folder, name }: Place, begins: RegExp): string => {
  const service = path.join(folder, "my_app")
  fs.mkdirSync(service)
  fs.writeFileSync(path.join(service, "run"), example(begins, base, name), { mode: 0o755 })
  return service
}

/** How each supervisor is started with the page's example, and the page's restart for it. */
const supervisors = {
  runit: {
    programs: ["runsv", "sv", "chpst"],
    begin: (place: Place) => {
      const service = serviceIn(place, /chpst/)
      return Effect.as(keep("runsv", [service]), restartOf("sv ").replace("my_app", service))
    }
  },
  s6: {
    programs: ["s6-supervise", "s6-svc", "s6-setuidgid"],
    begin: (place: Place) => {
      const service = serviceIn(place, /s6-setuidgid/)
      return Effect.as(keep("s6-supervise", [service]), restartOf("s6-svc ").replace("/run/service/my_app", service))
    }
  },
  supervisord: {
    programs: ["supervisord", "supervisorctl"],
    begin: ({ base, folder, name }: Place) => {
      const file = path.join(folder, "supervisord.conf")
      const socket = path.join(folder, "socket")
      const head = [
        `[unix_http_server]\nfile=${socket}`,
        `[supervisord]\nlogfile=${folder}/log\npidfile=${folder}/pid\nchildlogdir=${folder}${isRoot ? "\nuser=root" : ""}`,
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        `[supervisorctl]\nserverurl=unix://${socket}`
      ].join("\n")
      fs.writeFileSync(file, `${head}\n${example(/\[program:my_app\]/, base, name)}`)
      return Effect.as(
        keep("supervisord", ["-n", "-c", file]),
        restartOf("supervisorctl ").replace("supervisorctl", `supervisorctl -c ${file}`)
      )
    }
  }
} as const

const server = (port: number, version: string) =>
  `require("node:http").createServer((_, answer) => answer.end(\`${version} \${process.pid}\`)).listen(${port}, "127.0.0.1")`

for (const [supervisor, { begin, programs }] of Object.entries(supervisors)) {
  const absent = missing(...programs)

  describe.skipIf(absent !== undefined)(titled(supervisor, absent), { timeout: 60_000 }, () => {
    it.scopedLive("The example of the page keeps the application running, and a deployment restarts it.", () =>
      Effect.gen(function* () {
        const here = yield* project()
        const base = path.join(here.folder, "srv")
        const folder = path.join(here.folder, "supervisor")
        fs.mkdirSync(folder)
        const port = yield* freePort
        const url = `http://127.0.0.1:${port}/`
        const restart = yield* begin({ base, name: here.name, folder })
        here.configure(
          {
            prod: { host: "local", path: base, builder: "app", restart, health: { http: url, timeout: "20 seconds" } }
          },
          { app: `command({ run: "true", releasePath: "app" })` }
        )
        const answer = Effect.tryPromise(async () => (await (await fetch(url)).text()).split(" "))
        const deployed = (version: string) =>
          Effect.gen(function* () {
            here.write("app/server.js", server(port, version))
            yield* here.good("build_and_deploy", "target=prod", "yes")
            const [said, pid = ""] = yield* answer
            assert.strictEqual(said, version)
            return pid
          })
        const first = yield* deployed("one")
        const second = yield* deployed("two")
        assert.notStrictEqual(second, first)
        process.kill(Number(second), "SIGKILL")
        const [said, third] = yield* Effect.retry(answer, { times: 100, schedule: Schedule.spaced("100 millis") })
        assert.strictEqual(said, "two")
        assert.notStrictEqual(third, second)
        assert.match(yield* here.good("status", "target=prod"), /^health +healthy/m)
      })
    )
  })
}
