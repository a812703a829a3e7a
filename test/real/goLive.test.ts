/** Health, going back, and the dead-man's switch: the real binary, a real sshd, and an application that really runs. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { builders, type Project, project, reach, runs } from "../kit/project.ts"
import { freePort, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"
import { busybox, missingBusybox } from "../kit/userland.ts"

class World extends Context.Tag("test/World")<
  World,
  { readonly here: Project; readonly hosts: Readonly<Record<"gnu" | "box", Sshd>>; readonly port: number }
>() {}

/** Answers with 200 and the release's version, or with 503 if the version says that it is bad. */
const server = `
const { createServer } = require("node:http")
const { readFileSync } = require("node:fs")
const version = readFileSync("VERSION", "utf8").trim()
createServer((_, response) => {
  response.statusCode = version.includes("bad") ? 503 : 200
  response.end(version)
}).listen(Number(process.argv[2]), "127.0.0.1")
`

/** Ends the server of the previous release, and starts this one's. */
const restart = (pidFile: string, port: number) =>
  `kill "$(cat '${pidFile}')" 2>/dev/null; ` +
  `'${process.execPath}' bin/server.cjs ${port} </dev/null >/dev/null 2>&1 & echo $! > '${pidFile}'`

const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const here = yield* project()
    const gnu = yield* sshd()
    const box = yield* sshd({ path: yield* busybox() })
    for (const host of [gnu, box]) here.knowHost(host)
    const port = yield* Effect.promise(freePort)
    const pidFile = path.join(here.folder, "server.pid")
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        const pid = Number(fs.existsSync(pidFile) ? fs.readFileSync(pidFile, "utf8") : 0)
        if (pid > 0 && runs(pid)) process.kill(pid)
      })
    )
    const health = { http: `http://127.0.0.1:${port}/health`, timeout: "4 seconds", interval: "200 millis" }
    const common = { builder: "plain", restart: restart(pidFile, port) }
    here.configure(
      {
        gnu: { ...reach(gnu), ...common, health },
        box: { ...reach(box), ...common, health },
        gnuArmed: { ...reach(gnu), ...common, path: "armed", deadMan: "10 seconds" },
        boxArmed: { ...reach(box), ...common, path: "armed", deadMan: "10 seconds" },
        command: {
          ...reach(box),
          builder: "plain",
          path: "by command",
          health: { command: "! grep -q bad VERSION", timeout: "2 seconds" }
        },
        tcp: { ...reach(gnu), ...common, path: "by tcp", health: { tcp: port } }
      },
      { plain: builders.plain }
    )
    here.write("bin/server.cjs", server)
    for (const version of ["1 good", "2 bad", "3 good"]) {
      here.version(version)
      yield* here.good("build", "target=gnu")
    }
    return { here, hosts: { gnu, box }, port }
  })
)

/** The version that `current` leads to. */
const live = (here: Project, base: string) => {
  const file = path.join(base, "releases/current", here.name, "VERSION")
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim() : undefined
}

const answered = (port: number) =>
  Effect.tryPromise(() => fetch(`http://127.0.0.1:${port}/`).then((response) => response.text()))

const until = (what: string, condition: () => boolean) =>
  Effect.gen(function* () {
    for (let waited = 0; !condition(); waited += 50) {
      if (waited > 20_000) throw new Error(`waited in vain: ${what}`)
      yield* Effect.sleep("50 millis")
    }
  })

const missing = missingSshd ?? missingBusybox
const suite = missing === undefined ? describe : describe.skip

suite(titled("a release that goes live", missing), () => {
  layer(world, { excludeTestServices: true, timeout: "5 minutes" })("on a real host", (it) => {
    for (const key of ["gnu", "box"] as const) {
      it.scoped(
        `Deploy checks the health of a release, and goes back if it is unhealthy (${key}).`,
        () =>
          Effect.gen(function* () {
            const { here, hosts, port } = yield* World
            const base = path.join(hosts[key].home, `at ${key}`)
            const first = yield* here.deployer("deploy", `target=${key}`, "release=2")
            assert.strictEqual(first.status, 5, first.stderr)
            assert.include(first.stderr, "nothing is current")
            assert.isFalse(fs.existsSync(path.join(base, "releases/current")))

            yield* here.good("deploy", `target=${key}`, "release=1")
            assert.strictEqual(yield* answered(port), "1 good")
            const bad = yield* here.deployer("deploy", `target=${key}`, "release=2", "retry")
            assert.strictEqual(bad.status, 5, bad.stderr)
            assert.match(bad.stderr, /it answered 503, "2 bad"/)
            assert.strictEqual(live(here, base), "1 good")
            assert.strictEqual(yield* answered(port), "1 good", "the application runs again as well")

            yield* here.good("deploy", `target=${key}`, "release=3")
            assert.match(yield* here.good("rollback", `target=${key}`), /is live again at /)
            assert.strictEqual(live(here, base), "1 good")
            assert.strictEqual(yield* answered(port), "1 good")
            const told = yield* here.good("history", `target=${key}`)
            assert.match(told, /was not healthy/)
            // Others may read the journal: an answer of the application does not stand in it.
            assert.notInclude(told, "2 bad")
          }),
        240_000
      )

      it.scoped(
        `The host goes back by itself if the deployer is killed before the release is confirmed (${key}).`,
        () =>
          Effect.gen(function* () {
            const { here, hosts, port } = yield* World
            const base = path.join(hosts[key].home, "armed")
            const armed = `target=${key}Armed`
            yield* here.good("deploy", armed, "release=1")
            yield* Effect.sleep("11 seconds")
            assert.strictEqual(live(here, base), "1 good", "confirmed: it stays")
            const killed = yield* here.begin(["deploy", armed, "release=3"])
            yield* killed.hears("Running restart")
            killed.signal("SIGKILL")
            yield* killed.ended
            assert.strictEqual(live(here, base), "3 good")
            yield* until("the host goes back", () => live(here, base) === "1 good")
            assert.strictEqual(
              yield* Effect.retry(
                Effect.filterOrFail(answered(port), (text) => text === "1 good"),
                Schedule.spaced("200 millis").pipe(Schedule.upTo("10 seconds"))
              ),
              "1 good",
              "it runs again as well"
            )
            const again = yield* here.deployer("deploy", armed, "release=3", "retry")
            assert.strictEqual(again.status, 0, again.stderr)
            yield* Effect.sleep("11 seconds")
            assert.strictEqual(live(here, base), "3 good")
          }),
        240_000
      )
    }

    it.scoped(
      "Deploy checks the health of a release by a command or by a port.",
      () =>
        Effect.gen(function* () {
          const { here, hosts } = yield* World
          yield* here.good("deploy", "target=command", "release=1")
          const bad = yield* here.deployer("deploy", "target=command", "release=2")
          assert.strictEqual(bad.status, 5, bad.stderr)
          assert.strictEqual(live(here, path.join(hosts.box.home, "by command")), "1 good")
          yield* here.good("deploy", "target=tcp", "release=2")
          assert.strictEqual(
            live(here, path.join(hosts.gnu.home, "by tcp")),
            "2 bad",
            "a port is all that was asked for"
          )
        }),
      240_000
    )
  })
})
