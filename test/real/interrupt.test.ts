/** Signals at every step of the real binary: it ends soon, leaves nothing behind, and the host is in its old or its new state. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { missingDocker } from "../kit/docker.ts"
import { builders, type Ended, type Project, project, type Running, reach } from "../kit/project.ts"
import { proxy } from "../kit/proxy.ts"
import { missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"
import { treeIn } from "../kit/tree.ts"
import { own, which } from "../kit/userland.ts"

const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

type Signal = keyof typeof signals

/** How long a command may take to end after a signal, in milliseconds. */
const patience = 3000

/** Two releases of 600 kB are in the store; the first is current on a host. */
interface Place {
  readonly here: Project
  readonly host: Sshd
  /** The target's folder of the first deployment; tests copy it. */
  readonly base: string
  /** A file on the host that is there once unpacking has begun. It takes two seconds. */
  readonly unpacking: string
}

class World extends Context.Tag("test/World")<World, Place>() {}

const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const here = yield* project()
    const tools = yield* own()
    const host = yield* sshd({ path: tools })
    here.knowHost(host)
    here.configure({ prod: { ...reach(host), builder: "plain" } })
    for (const version of ["1.0", "2.0"]) {
      here.version(version)
      here.write("bin/data", randomBytes(300_000).toString("hex"))
      yield* here.good("build", "target=prod")
    }
    yield* here.good("deploy", "target=prod", "release=1")
    const unpacking = path.join(host.folder, "unpacking")
    fs.unlinkSync(path.join(tools, "gzip"))
    fs.writeFileSync(
      path.join(tools, "gzip"),
      `#!/bin/sh\n[ -e "${host.folder}/slow" ] && { : > "${unpacking}"; sleep 2; }\nexec ${which("gzip")} "$@"\n`,
      { mode: 0o755 }
    )
    return { here, host, base: path.join(host.home, "at prod"), unpacking }
  })
)

const until = (what: string, condition: () => boolean, millis = 20_000) =>
  Effect.gen(function* () {
    for (let waited = 0; !condition(); waited += 20) {
      if (waited > millis) throw new Error(`waited in vain: ${what}`)
      yield* Effect.sleep("20 millis")
    }
  })

const interrupted = (ended: Ended, signal: Signal) => {
  assert.strictEqual(ended.status, signals[signal], ended.stderr)
  assert.isBelow(ended.millis, patience, ended.stderr)
  assert.strictEqual(ended.stdout, "")
  assert.match(ended.stderr, /^deployer: interrupted\n$(?![\s\S])/m, JSON.stringify(ended.stderr.slice(-600)))
  assert.notMatch(ended.stderr, /^\s+at /m)
}

/** The tree of a release on the host, without the date of its deployment. */
const wholeTree = (folder: string) => {
  const { ".deployer_release.json": record, ...rest } = treeIn(folder)
  assert.isDefined(record)
  return rest
}

const suite = missingSshd === undefined ? describe : describe.skip

suite(titled("signals", missingSshd), () => {
  layer(world, { excludeTestServices: true, timeout: "5 minutes" })("end", (it) => {
    const nothingLeft = (here: Project) =>
      // The engine removes the containers of an interrupted build in its own time.
      Effect.catchAllDefect(
        until("nothing left", () => here.leftovers().length === 0, 5000),
        () => Effect.sync(() => assert.deepStrictEqual(here.leftovers(), []))
      )

    // Builds

    const dockerfile = (here: Project, run: string) => {
      here.write(
        "image/Dockerfile",
        `FROM scratch\nLABEL deployer.test=${here.marker}\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", ${JSON.stringify(run)}]\n`
      )
      fs.copyFileSync(path.join(here.root, "busybox"), path.join(here.root, "image/busybox"))
    }
    const slowImage = `docker({ dockerfile: "image/Dockerfile", context: "image", releasePath: "/app", args: ["--network", "none"] })`
    /** Tests of a signal during something, which a noun phrase names. */
    const whileBuilding = (
      what: string,
      signals: ReadonlyArray<Signal>,
      options: {
        readonly builder: string
        /** In the Dockerfile. */
        readonly run?: string
        readonly heard: string | RegExp
        readonly missing?: string | undefined
      }
    ) => {
      const { builder, heard, missing, run } = options
      for (const signal of signals) {
        it.scoped.skipIf(missing !== undefined)(
          titled(`${signal} during ${what} ends the build soon and leaves nothing behind.`, missing),
          () =>
            Effect.gen(function* () {
              const { here } = yield* World
              if (run !== undefined) dockerfile(here, run)
              here.configure({ slow: { host: "local", builder: "slow" } }, { slow: builder })
              const store = fs.readdirSync(path.join(here.root, "deployer/release_store"))
              const running = yield* here.begin(["build", "target=slow"])
              yield* running.hears(heard)
              running.signal(signal)
              interrupted(yield* running.ended, signal)
              yield* nothingLeft(here)
              assert.deepStrictEqual(fs.readdirSync(path.join(here.root, "deployer/release_store")), store)
            })
        )
      }
    }
    const kept = "/bin/busybox mkdir /app; echo 1 > /app/file"
    const neverStored = slowImage.replace("})", ", postBuild: [() => Effect.never] })")
    const endless = 'command({ run: "mkdir -p ../sparse; truncate -s 20G ../sparse/file", releasePath: "../sparse" })'

    whileBuilding("a docker build", ["SIGINT", "SIGTERM", "SIGHUP"], {
      builder: slowImage,
      run: "echo now asleep; /bin/busybox sleep 60",
      heard: "\nnow asleep",
      missing: missingDocker
    })
    whileBuilding("the storing of a docker build", ["SIGINT"], {
      builder: neverStored,
      run: kept,
      heard: /packing \w+: .* in /,
      missing: missingDocker
    })
    whileBuilding("a build command", ["SIGINT", "SIGTERM", "SIGHUP"], {
      builder: 'command({ run: "echo begun; sleep 60", releasePath: "x" })',
      heard: "begun\n"
    })
    whileBuilding("packing", ["SIGINT", "SIGTERM"], { builder: endless, heard: /packing / })

    // Deployments

    /** Deploys the second release beside a copy of the first; `when` says whether to send the signal. */
    const whileDeploying = (
      what: string,
      signals: ReadonlyArray<Signal>,
      options: {
        readonly target?: object
        readonly rate?: number
        readonly slowUnpack?: boolean
        readonly when: (place: Place & { readonly at: string; readonly running: Running }) => Effect.Effect<void>
        readonly switched?: boolean
        readonly stall?: boolean
        readonly resumes?: boolean
      }
    ) => {
      for (const signal of signals) {
        it.scoped(`${signal} during ${what} ends the deployment soon, and the next one succeeds.`, () =>
          Effect.gen(function* () {
            const place = yield* World
            const { base, here, host, unpacking } = place
            const name = `${what} ${signal}`.replaceAll(" ", "_")
            const at = path.join(host.home, name)
            // An earlier attempt may have left something.
            for (const left of [at, unpacking, path.join(host.folder, "slow")])
              fs.rmSync(left, { recursive: true, force: true })
            fs.cpSync(base, at, { recursive: true, verbatimSymlinks: true })
            const current = () => fs.readlinkSync(path.join(at, "releases/current"))
            const old = current()
            const tree = wholeTree(path.join(at, "releases", old))
            const network = yield* proxy(host, options.rate === undefined ? {} : { rate: options.rate })
            here.configure({
              slow: { ...reach(host, network), path: name, builder: "plain", ...options.target },
              fast: { ...reach(host), path: name, builder: "plain" }
            })
            // The proxy's port is a host of its own to known_hosts.
            const known = path.join(here.home, ".ssh/known_hosts")
            fs.appendFileSync(known, `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
            if (options.slowUnpack === true) fs.writeFileSync(path.join(host.folder, "slow"), "")
            const running = yield* here.begin(["deploy", "target=slow", "release=2"])
            yield* options.when({ ...place, at, running })
            if (options.stall === true) network.stall()
            running.signal(signal)
            interrupted(yield* running.ended, signal)
            assert.deepStrictEqual(here.leftovers(), [])

            const now = current()
            assert.strictEqual(now !== old, options.switched === true)
            assert.deepStrictEqual(wholeTree(path.join(at, "releases", old)), tree)
            if (now !== old) wholeTree(path.join(at, "releases", now))

            // The work that has begun on the host is brought to an end there.
            if (options.slowUnpack === true) {
              fs.rmSync(path.join(host.folder, "slow"))
              fs.rmSync(unpacking)
              yield* Effect.sleep("2500 millis")
            }
            // A host that cannot know that we are gone keeps the lock until it notices.
            if (options.stall === true) {
              const kept = yield* here.deployer("deploy", "target=fast", "yes")
              assert.strictEqual(kept.status, 4, kept.stderr)
              network.cut()
            }
            const next = yield* here.deployer("deploy", "target=fast", "yes", "wait=10s")
            assert.strictEqual(next.status, 0, next.stderr)
            if (options.resumes === true) assert.match(next.stderr, /Resuming the upload after /)
            assert.notStrictEqual(current(), old)
            assert.deepStrictEqual(fs.readdirSync(path.join(at, "releases")).sort(), ["current", old, current()].sort())
            assert.include(
              yield* here.good("manage", "integrity", "target=fast"),
              "current leads to a complete release"
            )
          })
        )
      }
    }

    const uploading = ({ at }: { readonly at: string }) =>
      until("half of the upload", () => {
        const [stage] = fs.readdirSync(path.join(at, "releases")).filter((name) => name.startsWith(".staging_"))
        const file = path.join(at, "releases", stage ?? "none", "release.tar.gz")
        return (fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 50_000
      })

    whileDeploying("an upload", ["SIGINT", "SIGTERM", "SIGHUP"], { rate: 100_000, when: uploading, resumes: true })
    whileDeploying("an upload over a dead network", ["SIGINT"], {
      rate: 100_000,
      when: uploading,
      stall: true,
      resumes: true
    })
    whileDeploying("unpacking", ["SIGINT"], {
      slowUnpack: true,
      when: ({ unpacking }) => until("unpacking", () => fs.existsSync(unpacking))
    })
    whileDeploying("a hook before the switch", ["SIGINT", "SIGTERM"], {
      target: { afterUnpack: "echo begun; sleep 60" },
      when: ({ running }) => running.hears("begun\n")
    })
    whileDeploying("a hook after the switch", ["SIGINT"], {
      target: { afterSwitch: "echo begun; sleep 60" },
      when: ({ running }) => running.hears("begun\n"),
      switched: true
    })

    // kill -9

    it.scoped("Deploy resumes an upload that SIGKILL cut.", () =>
      Effect.gen(function* () {
        const { base, here, host } = yield* World
        const at = path.join(host.home, "killed")
        fs.cpSync(base, at, { recursive: true, verbatimSymlinks: true })
        const network = yield* proxy(host, { rate: 100_000 })
        fs.appendFileSync(path.join(here.home, ".ssh/known_hosts"), `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
        here.configure({
          slow: { ...reach(host, network), path: "killed", builder: "plain" },
          fast: { ...reach(host), path: "killed", builder: "plain" }
        })
        const running = yield* here.begin(["deploy", "target=slow", "release=2"])
        yield* uploading({ at })
        running.signal("SIGKILL")
        assert.strictEqual((yield* running.ended).status, "SIGKILL")
        const next = yield* here.deployer("deploy", "target=fast", "release=2")
        assert.strictEqual(next.status, 0, next.stderr)
        assert.match(next.stderr, /Resuming the upload after /)
        assert.include(yield* here.good("manage", "integrity", "target=fast"), "current leads to a complete release")
      })
    )

    it.scoped("Build sweeps the leftovers of an earlier build that SIGKILL ended.", () =>
      Effect.gen(function* () {
        const { here } = yield* World
        here.configure(
          { slow: { host: "local", builder: "slow" }, prod: { host: "local", builder: "plain" } },
          { slow: endless, plain: builders.plain }
        )
        const running = yield* here.begin(["build", "target=slow"])
        yield* running.hears(/packing /)
        running.signal("SIGKILL")
        yield* running.ended
        assert.isAbove(here.leftovers().length, 0)
        yield* here.good("build", "target=prod")
        assert.deepStrictEqual(here.leftovers(), [])
      })
    )

    it.scoped.skipIf(missingDocker !== undefined)(
      titled("Build sweeps the folder, container and image of a docker build that SIGKILL ended.", missingDocker),
      () =>
        Effect.gen(function* () {
          const { here } = yield* World
          dockerfile(here, kept)
          here.configure(
            { slow: { host: "local", builder: "slow" }, prod: { host: "local", builder: "image" } },
            { slow: neverStored, image: slowImage }
          )
          const running = yield* here.begin(["build", "target=slow"])
          yield* running.hears(/packing \w+: .* in /)
          running.signal("SIGKILL")
          yield* running.ended
          // A folder in temp/, a container and an image.
          assert.lengthOf(here.leftovers(), 4)
          yield* here.good("build", "target=prod")
          assert.deepStrictEqual(here.leftovers(), [])
        })
    )

    it.scoped.skipIf(missingDocker !== undefined)(
      titled("Build sweeps the leftovers of a build that SIGKILL ended while the engine built.", missingDocker),
      () =>
        Effect.gen(function* () {
          const { here } = yield* World
          dockerfile(here, "echo now asleep; /bin/busybox sleep 2; /bin/busybox mkdir /app; echo 2 > /app/file")
          here.configure({ slow: { host: "local", builder: "slow" } }, { slow: slowImage })
          const running = yield* here.begin(["build", "target=slow"])
          yield* running.hears("\nnow asleep")
          running.signal("SIGKILL")
          yield* running.ended
          // The engine brings its work to an end, or not; nobody hears of it.
          yield* Effect.sleep("3 seconds")
          yield* here.good("build", "target=slow")
          assert.deepStrictEqual(here.leftovers(), [])
        })
    )
  })
})
