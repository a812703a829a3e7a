import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type CommandOptions, command, type DockerOptions, docker, fromDirectory } from "../../src/build/Artifact.ts"
import type { Artifact, BuildContext, Builder } from "../../src/build/Builder.ts"
import { DockerBuilder, DockerMemory } from "../../src/build/DockerBuilder.ts"
import { sourceState } from "../../src/build/git.ts"
import { pack } from "../../src/build/Tarball.ts"
import { TargetSettings } from "../../src/domain/Target.ts"
import { unpackTar } from "../../src/internal/unpackTarball.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-artifact-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

const write = (folder: string, files: Readonly<Record<string, string>>) => {
  for (const [at, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, at)), { recursive: true })
    fs.writeFileSync(path.join(folder, at), content)
  }
}

const pathsOf = (artifact: Artifact) =>
  Effect.gen(function* () {
    const packing = pack(artifact.tree, { name: "my_app" })
    yield* Stream.runDrain(packing.content)
    return [...(yield* packing.manifest)].map((entry) => entry.path)
  })

const context = (root: string): BuildContext => ({
  name: "my_app",
  target: {
    key: "prod",
    ...Schema.decodeSync(TargetSettings)({ host: "local", name: "my_app", path: "srv/my_app" })
  },
  tags: [],
  timestamp: 1_600_000_000,
  root,
  temp: path.join(root, "temp")
})

const images = DockerBuilder.layerMemory(() => ({ files: { "/app/_build/prod/rel/my_app/a": "" } }))
const services = Layer.merge(NodeContext.layer, images)

describe("fromDirectory", () => {
  it.scoped("Packing a directory gives bytes that do not depend on the order in which it was made.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const files = { "b/two": "2", "b/one": "1", "a/x": "x", "@odd": "", "-odd": "" }
      write(path.join(folder, "one"), files)
      write(path.join(folder, "two"), Object.fromEntries(Object.entries(files).reverse()))
      const bytes = (name: string) =>
        Effect.gen(function* () {
          const at = path.join(folder, name)
          fs.symlinkSync("a/x", path.join(at, "link"))
          execFileSync("find", [at, "-exec", "touch", "-h", "-d", "@1600000000", "{}", "+"])
          const content = pack(fromDirectory(at).tree, { name: "my_app" }).content
          return Buffer.concat(Chunk.toReadonlyArray(yield* Stream.runCollect(content)))
        })
      assert.isTrue((yield* bytes("one")).equals(yield* bytes("two")))
      assert.deepStrictEqual(yield* pathsOf(fromDirectory(path.join(folder, "one"))), [
        "my_app",
        ...["-odd", "@odd", "a", "a/x", "b", "b/one", "b/two", "link"].map((name) => `my_app/${name}`)
      ])
    }).pipe(Effect.provide(services))
  )

  it.scoped("Packing a directory keeps modes, times and hard links.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const modes = { "a/r": 0o444, "a/x": 0o775, "a/all": 0o777, "a/own": 0o600, "a/set": 0o4755 }
      write(folder, Object.fromEntries(Object.keys(modes).map((name) => [name, name])))
      for (const [name, mode] of Object.entries(modes)) fs.chmodSync(path.join(folder, name), mode)
      fs.linkSync(path.join(folder, "a/own"), path.join(folder, "a/zzz"))
      fs.mkdirSync(path.join(folder, "b"))
      fs.chmodSync(path.join(folder, "b"), 0o1777)
      fs.chmodSync(path.join(folder, "a"), 0o775)
      execFileSync("find", [folder, "-exec", "touch", "-h", "-d", "@1500000000", "{}", "+"])
      const tree = Buffer.concat(Chunk.toReadonlyArray(yield* Stream.runCollect(fromDirectory(folder).tree)))
      const entries = (unpackTar(tree) ?? []).map(({ entry }) => entry)
      assert.deepStrictEqual(
        entries.map(({ mode, path, type }) => [path, type, mode.toString(8)]),
        [
          ["./", "Directory", "700"],
          ["./a/", "Directory", "775"],
          ["./a/all", "File", "777"],
          ["./a/own", "File", "600"],
          ["./a/r", "File", "444"],
          ["./a/set", "File", "4755"],
          ["./a/x", "File", "775"],
          ["./a/zzz", "Hardlink", "600"],
          ["./b/", "Directory", "1777"]
        ]
      )
      assert.deepStrictEqual([...new Set(entries.map(({ mtime }) => mtime))], [1_500_000_000])
      const packing = pack(fromDirectory(folder).tree, { name: "my_app" })
      yield* Stream.runDrain(packing.content)
      assert.deepStrictEqual(
        [...(yield* packing.manifest)].map((entry) => ("mode" in entry ? entry.mode.toString(8) : entry._tag)),
        ["700", "775", "777", "600", "444", "755", "775", "Hardlink", "777"]
      )
      assert.match((yield* packing.remarks).join(), /2 paths lose them \(first: "a\/set" with 4755\)/)
    }).pipe(Effect.provide(services))
  )

  it.scoped("Packing a directory names a path that cannot be read, and refuses pipes.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const missing = yield* Effect.flip(pathsOf(fromDirectory(path.join(folder, "absent"))))
      assert.match(missing.message, /could not be read from .*absent: ENOENT/)
      execFileSync("mkfifo", [path.join(folder, "pipe")])
      const pipe = yield* Effect.flip(pathsOf(fromDirectory(folder)))
      assert.match(pipe.message, /pipe: it is neither a file/)
    }).pipe(Effect.provide(services))
  )

  it.scoped("Packing a directory names a file whose name is not UTF-8.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      fs.writeFileSync(Buffer.from(`${folder}/caf\xe9`, "latin1"), "")
      const error = yield* Effect.flip(pathsOf(fromDirectory(folder)))
      assert.match(error.message, /caf\uFFFD: its name is not UTF-8: rename it/)
    }).pipe(Effect.provide(services))
  )

  /** Reads as slowly as a disk writes; `after` runs when the first bytes are there. */
  const slowly = (folder: string, after: () => void) =>
    fromDirectory(folder).tree.pipe(
      Stream.zipWithIndex,
      Stream.tap(([, index]) => Effect.sync(() => (index === 0 ? after() : undefined))),
      Stream.tap(() => Effect.sleep("2 millis")),
      Stream.runDrain,
      Effect.flip
    )

  it.live("Packing a directory names a file that changes while it is read.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      write(folder, { "a-log": "x".repeat(17 * 1024 * 1024 + 1) })
      const log = path.join(folder, "a-log")
      const grown = yield* slowly(folder, () => fs.appendFileSync(log, "more"))
      assert.include(grown.message, `could not be read from ${log}: it changed while it was read: stop what writes`)
      const shrunk = yield* slowly(folder, () => fs.truncateSync(log, 100))
      assert.include(shrunk.message, `could not be read from ${log}: it changed while it was read: stop what writes`)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("Packing a directory names a file that vanishes while it is read.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      write(folder, Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`file-${n}`, "x".repeat(50_000)])))
      const gone = yield* slowly(folder, () => {
        for (const name of fs.readdirSync(folder)) fs.rmSync(path.join(folder, name))
      })
      assert.match(gone.message, /could not be read from .*file-\d+.*ENOENT|ENOENT.*file-\d+/)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})

describe("command", () => {
  const inProject = (options: CommandOptions) =>
    Effect.gen(function* () {
      const root = yield* scratch
      write(root, { "sub/source": "" })
      let shown = ""
      const emit = (event: Event) =>
        Effect.sync(() => {
          if (event._tag === "Output") shown += new TextDecoder().decode(event.chunk)
        })
      const built = yield* command(options)(context(root)).pipe(
        Effect.flatMap((artifact) => pathsOf(artifact)),
        Effect.provideService(Reporter, { emit }),
        Effect.exit
      )
      return { built, shown }
    }).pipe(Effect.provide(services))

  it.scoped("The command builder runs in the project root, shows the output and takes the directory.", () =>
    Effect.gen(function* () {
      const { built, shown } = yield* inProject({
        run: 'cat sub/source && echo "$deployer_name at $deployer_ts" && mkdir out && echo 1 > out/file',
        releasePath: "out"
      })
      assert.strictEqual(shown, "my_app at 1600000000\n")
      assert.deepStrictEqual(built, Exit.succeed(["my_app", "my_app/file"]))
    })
  )

  it.scoped("The command builder runs in its cwd and takes the directory named like the release.", () =>
    Effect.gen(function* () {
      const { built } = yield* inProject({
        run: "cat source && mkdir -p ../out/my_app && echo 1 > ../out/my_app/file",
        cwd: "sub",
        releasePath: "out"
      })
      assert.deepStrictEqual(built, Exit.succeed(["my_app", "my_app/file"]))
    })
  )

  it.scoped("The command builder takes a file if releasePath is one.", () =>
    Effect.gen(function* () {
      const { built } = yield* inProject({ run: "echo 1 > server", releasePath: "server" })
      assert.deepStrictEqual(built, Exit.succeed(["my_app", "my_app/server"]))
    })
  )

  const message = (built: Exit.Exit<unknown, unknown>) => String(Exit.isFailure(built) ? built.cause : "no failure")

  it.scoped("The command builder names the command and its status when it fails.", () =>
    Effect.gen(function* () {
      const { built, shown } = yield* inProject({ run: "echo broken >&2; exit 4", releasePath: "out" })
      assert.strictEqual(shown, "broken\n")
      assert.match(message(built), /"echo broken >&2; exit 4" failed with status 4/)
    })
  )

  it.scoped("The command builder names the folder if it finds no release there or cannot run there.", () =>
    Effect.gen(function* () {
      const nothing = yield* inProject({ run: "true", releasePath: "out" })
      assert.match(message(nothing.built), /no directory or file .*\/out to take the release from/)
      const nowhere = yield* inProject({ run: "true", cwd: "absent", releasePath: "out" })
      assert.match(message(nowhere.built), /could not be run in .*absent/)
    })
  )
})

describe("docker", () => {
  it.scoped("The docker builder passes on its options, with paths from the project root, and sweeps first.", () =>
    Effect.gen(function* () {
      yield* docker()(context("/project"))
      yield* docker({
        dockerfile: "deploy/Dockerfile.prod",
        context: "../shared",
        args: ["--network", "none"],
        buildArgs: { MIX_ENV: "prod" },
        releasePath: "/srv/out/",
        engine: "podman"
      })(context("/project"))
      const memory = yield* DockerMemory
      const fixed = {
        name: "my_app",
        timestamp: 1_600_000_000,
        temp: "/project/temp",
        workspace: "/project/deployer",
        cwd: "/project"
      }
      assert.deepStrictEqual(yield* memory.builds, [
        {
          ...fixed,
          context: "/project",
          dockerfile: "/project/Dockerfile",
          args: [],
          buildArgs: {},
          releasePath: "/app/_build/prod/rel",
          engine: process.env["DEPLOYER_ENGINE"] ?? "docker"
        },
        {
          ...fixed,
          context: "/shared",
          dockerfile: "/project/deploy/Dockerfile.prod",
          args: ["--network", "none"],
          buildArgs: { MIX_ENV: "prod" },
          releasePath: "/srv/out",
          engine: "podman"
        }
      ])
      assert.strictEqual(yield* memory.sweeps, 2)
    }).pipe(
      Effect.provide(
        Layer.merge(
          NodeContext.layer,
          DockerBuilder.layerMemory(() => ({ files: { "/app/_build/prod/rel/a": "", "/srv/out/a": "" } }))
        )
      )
    )
  )

  it("The docker builder carries its hooks.", () => {
    const hook = () => Effect.void
    const made = docker({ preBuild: [hook], postBuild: [hook, hook] })
    assert.deepStrictEqual([made.preBuild?.length, made.postBuild?.length, made.mistakes], [1, 2, undefined])
  })

  it.scoped("The docker builder treats an empty DEPLOYER_ENGINE as unset.", () =>
    Effect.gen(function* () {
      const before = process.env["DEPLOYER_ENGINE"]
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { DEPLOYER_ENGINE: "" })),
        () =>
          Effect.sync(() => {
            if (before === undefined) delete process.env["DEPLOYER_ENGINE"]
            else process.env["DEPLOYER_ENGINE"] = before
          })
      )
      yield* docker()(context("/project"))
      assert.strictEqual((yield* (yield* DockerMemory).builds)[0]?.engine, "docker")
    }).pipe(Effect.provide(services))
  )

  it("The docker builder refuses an engine option that deployer needs for itself.", () => {
    assert.deepStrictEqual(docker({ args: ["--iidfile", "id"] }).mistakes, [
      "args.0: must not be --iidfile: deployer sets it to find the image"
    ])
  })

  it.effect("The docker builder lists all mistakes at once, and fails with them when it is called.", () =>
    Effect.gen(function* () {
      const wrong: unknown = {
        dockerfil: "Dockerfile",
        context: 3,
        releasePath: "rel",
        preBuild: ["hook"],
        buildArgs: { A: 1 },
        engine: ""
      }
      // As a config written without types would call it.
      const call: (options: DockerOptions) => Builder = docker
      const made: Builder = Reflect.apply(call, undefined, [wrong])
      assert.deepStrictEqual(made.mistakes, [
        'dockerfil: is not an option of docker (known: preBuild, postBuild, dockerfile, context, args, buildArgs, releasePath, engine; did you mean "dockerfile"?)',
        "preBuild.0: must be a function from the build context to an Effect",
        "context: must be a string",
        "buildArgs.A: must be a string",
        "releasePath: must be an absolute path in the image",
        "engine: must be a string that is not empty and has no control characters"
      ])
      const error = yield* Effect.flip(made(context("/project")))
      assert.match(String(error), /The options of docker\({ … }\) are not usable: dockerfil: is not an option/)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})

describe("sourceState", () => {
  const git = (folder: string, ...args: ReadonlyArray<string>) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    }).trim()

  /** With one commit. */
  const repository = Effect.tap(scratch, (folder) =>
    Effect.sync(() => {
      write(folder, { file: "1" })
      git(folder, "init", "--quiet")
      git(folder, "add", ".")
      git(folder, "commit", "--quiet", "-m", "one")
    })
  )

  /** With the messages that it reports. */
  const told = <A>(effect: Effect.Effect<A>) =>
    Effect.suspend(() => {
      const said: Array<string> = []
      const emit = (event: Event) => Effect.sync(() => void ("message" in event && said.push(event.message)))
      return Effect.map(Effect.provideService(effect, Reporter, { emit }), (result) => [result, said] as const)
    })

  it.scoped("The source state holds the commit and whether anything differs from it.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      write(folder, { "app/file": "1", other: "1" })
      git(folder, "init", "--quiet")
      assert.deepStrictEqual(yield* sourceState(folder), {})
      git(folder, "add", ".")
      git(folder, "commit", "--quiet", "-m", "one")
      const commit = git(folder, "rev-parse", "HEAD")
      assert.deepStrictEqual(yield* sourceState(folder), { commit, dirty: false })
      write(folder, { other: "2" })
      assert.deepStrictEqual(yield* sourceState(path.join(folder, "app")), { commit, dirty: false })
      assert.deepStrictEqual(yield* sourceState(folder), { commit, dirty: true })
    })
  )

  it.scoped("The source state holds the project's commit even if the environment names another repository.", () =>
    Effect.gen(function* () {
      const folder = yield* repository
      const commit = git(folder, "rev-parse", "HEAD")
      const other = yield* scratch
      git(other, "init", "--quiet")
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { GIT_DIR: path.join(other, ".git"), GIT_WORK_TREE: other })),
        () =>
          Effect.sync(() => {
            delete process.env["GIT_DIR"]
            delete process.env["GIT_WORK_TREE"]
          })
      )
      assert.deepStrictEqual(yield* sourceState(folder), { commit, dirty: false })
    })
  )

  it.scoped("The source state tells how to make git trust a repository of another user.", () =>
    Effect.gen(function* () {
      const folder = yield* repository
      fs.chownSync(path.join(folder, ".git"), 12345, 12345)
      fs.chownSync(folder, 12345, 12345)
      const [state, said] = yield* told(sourceState(folder))
      assert.deepStrictEqual(state, {})
      assert.match(
        said.join("\n"),
        /belongs to another user and git does not trust it: run git config --global --add safe\.directory /
      )
    })
  )

  it.scoped("The source state quotes git's reason if the commit cannot be read.", () =>
    Effect.gen(function* () {
      const folder = yield* repository
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { GIT_CONFIG_COUNT: "many" })),
        () => Effect.sync(() => void delete process.env["GIT_CONFIG_COUNT"])
      )
      assert.deepStrictEqual(yield* told(sourceState(folder)), [
        {},
        ["The commit of this build is not recorded, because git failed: error: bogus count in GIT_CONFIG_COUNT"]
      ])
    })
  )

  it.scoped("The source state is silently empty outside a repository and before the first commit.", () =>
    Effect.gen(function* () {
      const empty = yield* scratch
      git(empty, "init", "--quiet")
      for (const folder of [yield* scratch, "/nonexistent", empty])
        assert.deepStrictEqual(yield* told(sourceState(folder)), [{}, []])
    })
  )
})
