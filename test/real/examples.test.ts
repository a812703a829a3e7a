/** Each folder of `examples/`, deployed as its README says: a real engine, a real host, a real application. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHmac } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { missingDocker } from "../kit/docker.ts"
import { type Change, copyExample, type Example, example } from "../kit/example.ts"
import { exampleBase } from "../kit/exampleBase.ts"
import { runs } from "../kit/project.ts"
import { freePort, missing as missingProgram, missingSshd, titled } from "../kit/sshd.ts"

const missing = missingDocker ?? missingSshd ?? missingProgram("apt-get", "dpkg-deb", "xargs", "python3")

/** The base image of the builds, made when a test first needs it. */
class Base extends Context.Tag("test/Base")<Base, Effect.Effect<string>>() {}

const base = Layer.scoped(
  Base,
  Effect.flatMap(Effect.scope, (scope) => Effect.cached(Effect.provideService(exampleBase, Scope.Scope, scope)))
)

/** The same application three times: as it is, with another answer, and ill. */
interface Versions {
  /** The path of the answer. */
  readonly path: string
  readonly hello: string
  readonly again: Change
  readonly ill: Change
  /** Why it is ill, in the sentence of the failure. */
  readonly why: RegExp
}

/** Deploys the first version and the second, and sees that the third is taken back. `onLive` runs when the first two are live. */
const deployEach = (example: Example, versions: Versions, onLive: (ref: string) => void = () => {}) =>
  Effect.gen(function* () {
    const { base, buildAndDeploy, change, get, live, name } = example
    const goesLive = Effect.gen(function* () {
      const { status, stderr, stdout } = yield* buildAndDeploy
      assert.strictEqual(status, 0, stderr)
      const { ref } = live()
      assert.match(
        stdout,
        new RegExp(`^${name} ${ref} \\(id \\d+\\) is live at \\w+@\\w+\\.example\\.com:${base}, deployed in `, "m")
      )
      assert.include(stderr, `Checking the health of ${name} ${ref}: GET http://127.0.0.1:${example.port}/`)
      assert.match(stderr, new RegExp(`^${name} ${ref} is healthy \\(\\d+ attempts\\)$`, "m"))
      onLive(stderr)
      return ref
    })

    yield* goesLive
    assert.include(yield* get(versions.path), versions.hello)

    change(versions.again)
    const second = yield* goesLive
    assert.include(yield* get(versions.path), versions.hello.replace("Hello", "Hello again"))

    change(versions.ill)
    const { status, stderr } = yield* buildAndDeploy
    assert.strictEqual(status, 5, stderr)
    const last = stderr.trimEnd().split("\n").at(-1) ?? ""
    assert.match(last, /^deployer: hello_\w+ \w{8} was not healthy on \w+@\w+\.example\.com within /)
    assert.match(last, versions.why)
    assert.include(last, `it went back to ${name} ${second}, which is live again`)
    assert.strictEqual(live().ref, second)
    assert.include(yield* get(versions.path), versions.hello.replace("Hello", "Hello again"))
  })

/** For applications with `bin/service`: each restart ends the process and starts another one. */
const deployService = (example: Example, versions: Omit<Versions, "path" | "why">) =>
  Effect.gen(function* () {
    const pidOf = () => Number(fs.readFileSync(path.join(example.base, pidFile), "utf8"))
    const pidFile = `${example.name}.pid`
    const pids: Array<number> = []
    yield* deployEach(example, { path: "/", why: /: it answered 50[03]/, ...versions }, (said) => {
      assert.include(said, `PORT=${example.port} bin/service restart`)
      assert.isTrue(runs(pidOf()))
      pids.push(pidOf())
    })
    pids.push(pidOf())
    assert.strictEqual(new Set(pids).size, 3, String(pids))
    assert.deepStrictEqual(pids.map(runs), [false, false, true])
  })

const started = (child: ChildProcess) =>
  Effect.acquireRelease(Effect.succeed(child), (child) =>
    Effect.promise(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill("SIGKILL")
      await once(child, "exit")
    })
  )

const eventually = <A, E>(effect: Effect.Effect<A, E>) =>
  effect.pipe(Effect.sandbox, Effect.retry(Schedule.spaced("100 millis")), Effect.timeout("4 minutes"), Effect.orDie)

describe.skipIf(missing !== undefined)(titled("the examples", missing), { concurrent: true, timeout: 480_000 }, () => {
  layer(base, { excludeTestServices: true })((it) => {
    it.effect("The Elixir example builds and goes live, and an unhealthy version is taken back.", () =>
      Effect.gen(function* () {
        const image = yield* Effect.flatten(Base)
        const elixir = yield* example("elixir", { name: "hello_elixir", image })
        const file = "lib/hello_elixir.ex"
        yield* deployService(elixir, {
          hello: "Hello from Elixir\n",
          again: { file, from: "Hello from", to: "Hello again from" },
          ill: { file, from: `{200, "well`, to: `{503, "ill` }
        })
        assert.includeMembers([...elixir.live().files], ["bin", "lib", "releases"])
      }).pipe(Effect.scoped)
    )

    it.effect("The Node example builds and goes live, and an unhealthy version is taken back.", () =>
      Effect.gen(function* () {
        const image = yield* Effect.flatten(Base)
        const node = yield* example("node", { name: "hello_node", image })
        const file = "server.js"
        yield* deployService(node, {
          hello: "Hello from Node\n",
          again: { file, from: "Hello from", to: "Hello again from" },
          ill: { file, from: `[200, "well`, to: `[503, "ill` }
        })
        yield* node.here.good("stop", "target=prod")
        yield* Effect.flip(Effect.sandbox(node.get("/")))
        yield* node.here.good("start", "target=prod")
        assert.strictEqual(yield* eventually(node.get("/")), "Hello again from Node\n")
        assert.deepStrictEqual(node.live().files, ["bin", "package.json", "server.js"])
      }).pipe(Effect.scoped)
    )

    it.effect("The Go example builds and goes live, and an unhealthy version is taken back.", () =>
      Effect.gen(function* () {
        const image = yield* Effect.flatten(Base)
        const go = yield* example("go", { name: "hello_go", image })
        const file = "main.go"
        yield* deployService(go, {
          hello: "Hello from Go\n",
          again: { file, from: "Hello from", to: "Hello again from" },
          ill: { file, from: "http.StatusOK", to: "http.StatusInternalServerError" }
        })
        assert.deepStrictEqual(go.live().files, ["bin"])
      }).pipe(Effect.scoped)
    )

    it.effect("The static example goes live without a restart, and a version without its page is taken back.", () =>
      Effect.gen(function* () {
        const site = yield* example("static", { name: "hello_site" })
        const folder = path.join(site.base, "releases/current/hello_site")
        const words = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, String(site.port)]
        yield* started(spawn("python3", words, { stdio: "ignore" }))
        yield* eventually(site.get("/"))
        const file = "public/index.html"
        yield* deployEach(site, {
          path: "/",
          hello: "<h1>Hello from a static site</h1>",
          again: { file, from: "<h1>Hello", to: "<h1>Hello again" },
          ill: { file, from: "", to: undefined },
          why: /: it answered 404/
        })
        assert.deepStrictEqual(site.live().files, ["index.html", "style.css"])
      }).pipe(Effect.scoped)
    )

    it.effect(
      "The library example deploys for signed requests, one at a time, and streams the progress to its end.",
      () =>
        Effect.gen(function* () {
          const image = yield* Effect.flatten(Base)
          // A project of its own name: two builds of one name would take turns with its layer cache.
          const app = yield* example("node", { name: "hello_hook", image })
          const { here } = app
          const folder = path.join(here.folder, "library")
          copyExample("library", folder)
          const ours = path.resolve(import.meta.dirname, "../..")
          fs.symlinkSync(path.join(ours, "node_modules"), path.join(folder, "node_modules"))
          const [program = "", ...words] = JSON.parse(
            fs.readFileSync(path.join(folder, "package.json"), "utf8")
          ).scripts.start.split(" ")
          assert.strictEqual(program, "node")
          const port = yield* Effect.promise(freePort)
          const secret = "a secret"
          const child = yield* started(
            spawn(process.execPath, words, {
              cwd: folder,
              env: {
                ...here.env,
                ...{ WEBHOOK_SECRET: secret, PROJECT: here.root, PORT: String(port) },
                // The library as it is here, not as the last installation left it.
                JITI_ALIAS: JSON.stringify({ "effect-deployer": path.join(ours, "src/index.ts") })
              },
              stdio: ["ignore", "ignore", "inherit"]
            })
          )
          const ask = (at: string, init: RequestInit = {}) =>
            Effect.tryPromise(async () => {
              const response = await fetch(`http://127.0.0.1:${port}${at}`, {
                ...init,
                signal: AbortSignal.timeout(120_000)
              })
              return { status: response.status, text: await response.text() }
            })
          const body = JSON.stringify({ target: "prod" })
          const post = (key: string) =>
            ask("/deployments", {
              method: "POST",
              body,
              headers: { "x-hub-signature-256": `sha256=${createHmac("sha256", key).update(body).digest("hex")}` }
            })
          const progress = Effect.map(ask("/progress"), ({ status, text }) => {
            assert.strictEqual(status, 200, text)
            const events = text
              .trimEnd()
              .split("\n\n")
              .map((event) => {
                const [, type, data = ""] = /^event: (\w+)\ndata: (.*)$/.exec(event) ?? assert.fail(event)
                return { type, data: JSON.parse(data) }
              })
            return { text, events, last: events.at(-1) ?? assert.fail(text) }
          })

          const none = yield* eventually(ask("/progress"))
          assert.strictEqual(none.status, 404, none.text)
          assert.strictEqual((yield* ask("/deployments", { method: "POST", body })).status, 401)
          assert.strictEqual((yield* post("another secret")).status, 401)
          assert.strictEqual((yield* ask("/progress")).status, 404)

          assert.strictEqual((yield* post(secret)).status, 202)
          assert.strictEqual((yield* post(secret)).status, 409)
          const first = yield* progress
          assert.strictEqual(first.last.type, "Deployed", first.text)
          assert.strictEqual(first.last.data.release.slice(0, 8), app.live().ref)
          assert.isTrue(
            first.events.some(({ data, type }) => type === "Output" && /Step|COPY/.test(data.text)),
            first.text
          )
          assert.isTrue(
            first.events.some(({ data, type }) => type === "Note" && data.message.startsWith("Checking the health")),
            first.text
          )
          assert.strictEqual(yield* app.get("/"), "Hello from Node\n")
          // A late reader gets the same.
          assert.strictEqual((yield* progress).text, first.text)

          app.change({ file: "server.js", from: `[200, "well`, to: `[503, "ill` })
          assert.strictEqual((yield* post(secret)).status, 202)
          const second = yield* progress
          assert.strictEqual(second.last.type, "Failed", second.text)
          assert.include(second.last.data.message, `it went back to hello_hook ${app.live().ref}, which is live again`)
          assert.strictEqual(app.live().ref, first.last.data.release.slice(0, 8))

          // Its own end interrupts a deployment, and the stream says so.
          assert.strictEqual((yield* post(secret)).status, 202)
          const reader = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/progress`))
          const end = once(child, "exit")
          child.kill("SIGTERM")
          const text = yield* Effect.promise(() => reader.text())
          assert.match(text, /event: Failed\ndata: .*The deployment was interrupted.*\n\n$/)
          yield* Effect.promise(() => end)
        }).pipe(Effect.scoped)
    )
  })
})
