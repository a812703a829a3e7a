/** Bad input, bad files, bad hosts: one sentence, the right status, and nothing changed. The real binary throughout. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { missingDocker } from "../kit/docker.ts"
import { disk, missingMount } from "../kit/mount.ts"
import { assertFailed, builders, type Ended, type Project, project, type RunOptions, reach } from "../kit/project.ts"
import { proxy } from "../kit/proxy.ts"
import { freePort, makeKey, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"
import { treeIn } from "../kit/tree.ts"
import { emptyFolder, own } from "../kit/userland.ts"

interface Place {
  readonly here: Project
  readonly host: Sshd
  /** Two releases in the store, oldest first: their refs. */
  readonly refs: readonly [string, string]
}

class World extends Context.Tag("test/World")<World, Place>() {}

/** A project with two stored releases; the first is on the host, as target `prod`. */
const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const here = yield* project()
    const host = yield* sshd()
    here.knowHost(host)
    here.configure({ prod: { ...reach(host), builder: "plain" } })
    const build = Effect.map(here.good("build", "target=prod"), (said) => /[0-9A-F]{8}/.exec(said)?.[0] ?? said)
    const first = yield* build
    here.version("2.0")
    const second = yield* build
    yield* here.good("deploy", "target=prod", "release=1")
    return { here, host, refs: [first, second] as const }
  })
)

/** Files that a command cannot avoid, and that mean nothing: SQLite's own notes about a database that is open. */
const withoutNotes = (tree: Record<string, string>) =>
  Object.fromEntries(Object.entries(tree).filter(([name]) => !/\.db-(wal|shm)$/.test(name)))

/** Runs a command that must leave project and host as they are, byte for byte. */
/** A check for changes to make holds the lock meanwhile. The lock leaves its number when it is given back. */
const withoutLocks = (tree: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tree).filter(([path]) => !/(^|\/)config\/(journal|(lock|beat)\.[0-9]+)$/.test(path))
  )

const unchanged = (
  { here, host }: Pick<Place, "here" | "host">,
  args: ReadonlyArray<string>,
  options?: RunOptions
): Effect.Effect<Ended> =>
  Effect.gen(function* () {
    const look = () => ({ project: withoutNotes(here.tree()), host: withoutLocks(treeIn(host.home)) })
    const before = look()
    const ended = yield* here.run(args, options)
    assert.deepStrictEqual(look(), before)
    assert.deepStrictEqual(here.leftovers(), [])
    return ended
  })

/** Puts another config there until the scope ends. */
const config = (here: Project, text: string | (() => void)) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const file = path.join(here.root, "deployer/config/deployer_config.ts")
      const before = fs.readFileSync(file)
      if (typeof text === "string") fs.writeFileSync(file, text)
      else text()
      return { file, before }
    }),
    ({ before, file }) => Effect.sync(() => fs.writeFileSync(file, before))
  )

interface Case {
  readonly args: string | ReadonlyArray<string>
  readonly status: number
  readonly says: RegExp
  readonly options?: RunOptions
}

const suite = missingSshd === undefined ? describe : describe.skip

suite(titled("bad input", missingSshd), () => {
  layer(world, { excludeTestServices: true, timeout: "5 minutes" })("and the messages about it", (it) => {
    // Each of these takes the title of a test first: a whole sentence.
    const at = (title: string, body: (place: Place) => Effect.Effect<Case, unknown, Scope.Scope>, missing?: string) =>
      (missing === undefined ? it.scoped : it.scoped.skip)(titled(title, missing), () =>
        Effect.gen(function* () {
          const place = yield* World
          const { args, options, says, status } = yield* body(place)
          const words = typeof args === "string" ? args.split(" ") : args
          assertFailed(yield* unchanged(place, words, options), status, says)
        })
      )
    const plainly = (title: string, args: string, status: number, says: RegExp) =>
      at(title, () => Effect.succeed({ args, status, says }))
    /** With other targets in the config. */
    const targeting = (
      title: string,
      targets: (place: Place) => Effect.Effect<object, unknown, Scope.Scope>,
      status: number,
      says: RegExp,
      more: { readonly args?: string; readonly options?: RunOptions; readonly missing?: string | undefined } = {}
    ) =>
      at(
        title,
        (place) =>
          Effect.gen(function* () {
            const prod = yield* targets(place)
            yield* config(place.here, () => place.here.configure({ prod: { builder: "plain", ...prod } }))
            return { args: more.args ?? "deploy target=prod release=2", status, says, options: more.options ?? {} }
          }),
        more.missing
      )

    describe("the project", () => {
      at("Deploy outside of a project says to run deployer init.", ({ host }) =>
        Effect.succeed({
          args: "deploy target=prod",
          status: 2,
          says: /^deployer: No deployer\/config in \/tmp\/.* or any folder above it: run "deployer init"/,
          options: { cwd: host.home }
        })
      )
      at("Manage names the root= folder if it holds no project.", ({ host }) =>
        Effect.succeed({
          args: ["manage", "info", `root=${host.folder}`],
          status: 2,
          says: /^deployer: No deployer\/config in \/tmp\/.*, which root= names/
        })
      )
      plainly(
        "Init does not replace a config that is there already.",
        "init",
        2,
        /^deployer: This project is set up already \(\/.*deployer_config\.ts\), .*force_init$/
      )
    })

    describe("the config", () => {
      const broken = (title: string, text: string, says: RegExp) =>
        at(title, ({ here }) =>
          Effect.as(config(here, text), { args: "deploy target=prod release=2", status: 2, says })
        )
      broken(
        "Deploy names the line and the column of a syntax error in the config.",
        "export default {\n  targets: { prod: }\n}\n",
        /config \/.*_config\.ts is not usable: line 2, column \d+: /
      )
      broken(
        "Deploy passes on the error of a config that fails while it is imported.",
        'import { config } from "effect-deployer"\nthrow new Error("no vault")\nexport default config({})\n',
        /is not usable: importing it failed: no vault$/
      )
      broken(
        "Deploy names a file that the config imports and that does not exist.",
        'import "./nowhere.ts"\nexport default {}\n',
        /imports "\.\/nowhere\.ts", which does not exist$/
      )
      broken(
        "Deploy says how to end a config that exports nothing.",
        "void 0\n",
        /exports no config: end it with export default/
      )
      it.scoped("Deploy lists all six mistakes of a config, each with its path.", () =>
        Effect.gen(function* () {
          const place = yield* World
          yield* config(
            place.here,
            `export default {
              targets: { prod: { host: "", port: 0, name: "a b", pth: "x", path: "../up" } },
              builders: { prod: 7 }
            }`
          )
          const { status, stderr, stdout } = yield* unchanged(place, ["deploy", "target=prod"])
          const [sentence = "", ...mistakes] = stderr.trimEnd().split("\n")
          assert.deepStrictEqual([status, stdout], [2, ""])
          assert.match(sentence, /^deployer: The config \/.* has 6 mistakes:$/)
          const keys = [
            "targets.prod.host",
            "targets.prod.name",
            "targets.prod.path",
            "targets.prod.port",
            "targets.prod.pth"
          ]
          assert.deepStrictEqual(mistakes.map((line) => line.trim().split(": ")[0]).sort(), ["builders.prod", ...keys])
        })
      )
    })

    describe("words", () => {
      plainly(
        "Deploy refuses an unknown target and suggests a similar one.",
        "deploy target=prd",
        2,
        /^deployer: No target named "prd".*"?prod"?/
      )
      plainly("Build refuses an unknown target.", "build target=prd", 2, /^deployer: No target named "prd"/)
      targeting(
        "Build refuses a target with an unknown builder and suggests a similar one.",
        () => Effect.succeed({ host: "local", builder: "plian" }),
        2,
        /needs the builder "plian".*plain/,
        {
          args: "build target=prod"
        }
      )
      plainly(
        "Deploy refuses an id that no release has.",
        "deploy target=prod release=99",
        2,
        /^deployer: No release has the id, name or ref "99" \(/
      )
      plainly(
        "Deploy refuses a ref that no release has.",
        "deploy target=prod release=FFFFFFFF",
        2,
        /^deployer: No release has the id, name or ref "FFFFFFFF"/
      )
      plainly(
        "Manage info refuses a ref that no release in the store has.",
        "manage info FFFFFFFF",
        2,
        /^deployer: No release has .*"FFFFFFFF"/
      )
      plainly(
        "Manage prune refuses a name that no release in the store has.",
        "manage prune name=nobody yes",
        2,
        /^deployer: No release has .*"nobody"/
      )
      plainly(
        "Manage ln refuses a ref that is not on the host, and names the releases that are.",
        "manage ln FFFFFFFF target=prod",
        2,
        /^deployer: There is no release "FFFFFFFF" on .* \(it has app_/
      )
      plainly(
        "Manage prune refuses a name that no release on the host has.",
        "manage prune nobody target=prod yes",
        2,
        /^deployer: There is no release "nobody" on /
      )
      plainly(
        "Manage delete says that it needs a ref.",
        "manage delete",
        2,
        /^deployer: This needs a ref, as in: deployer manage delete ref=/
      )
      plainly("Build says that it needs a target.", "build", 2, /^deployer: .*target/)
      plainly(
        "An unknown command is refused, and a similar one is suggested.",
        "biuld target=prod",
        2,
        /^deployer: .*biuld.*build/
      )
      plainly(
        "Manage refuses an unknown verb and suggests a similar one.",
        "manage prnue",
        2,
        /^deployer: .*prnue.*prune/
      )
      plainly(
        "Build refuses an unknown key and suggests a similar one.",
        "build traget=prod",
        2,
        /^deployer: .*traget.*target/
      )
      plainly("Build refuses a word that it has no use for.", "build target=prod extra", 2, /^deployer: .*extra/)
      plainly("Build names an env file that does not exist.", "build target=prod env_file_name=no.env", 2, /no\.env/)
    })

    describe("the builder", () => {
      const building = (
        title: string,
        builder: string,
        status: number,
        says: RegExp,
        heard?: string,
        missing?: string,
        options: RunOptions = {}
      ) =>
        (missing === undefined ? it.scoped : it.scoped.skip)(titled(title, missing), () =>
          Effect.gen(function* () {
            const place = yield* World
            yield* config(place.here, () =>
              place.here.configure({ prod: { host: "local", builder: "made" } }, { made: builder })
            )
            const ended = yield* unchanged(place, ["build", "target=prod"], options)
            assertFailed(ended, status, says)
            if (heard !== undefined) assert.include(ended.stderr, heard)
          })
        )
      const file = (text: string) => `Dockerfile.${text.length}`
      const image = (title: string, options: string, text: string, status: number, says: RegExp, heard?: string) =>
        (missingDocker === undefined ? it.scoped : it.scoped.skip)(titled(title, missingDocker), () =>
          Effect.gen(function* () {
            const place = yield* World
            const { here } = place
            here.write(
              file(text),
              `FROM scratch\nLABEL deployer.test=${here.marker}\nCOPY busybox /bin/busybox\n${text}\n`
            )
            yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(path.join(here.root, file(text)))))
            yield* config(here, () =>
              here.configure(
                { prod: { host: "local", builder: "made" } },
                { made: `docker({ dockerfile: "${file(text)}", args: ["--network", "none"], ${options} })` }
              )
            )
            const ended = yield* unchanged(place, ["build", "target=prod"])
            assertFailed(ended, status, says)
            if (heard !== undefined) assert.include(ended.stderr, heard)
          })
        )
      image(
        "Build passes on the output of a docker build that fails.",
        "",
        'RUN ["/bin/busybox", "sh", "-c", "echo no compiler here; exit 9"]',
        1,
        /^deployer: "\S+ build" of \/.*Dockerfile\.\d+ failed with status \d+; its output above says why/,
        "no compiler here"
      )
      image(
        "Build names a releasePath that the image does not have.",
        'releasePath: "/opt/nothing"',
        "# elsewhere",
        1,
        /^deployer: The image has no directory or file \/opt\/nothing to take the release from/
      )
      image(
        "Build refuses an empty release from an image.",
        'releasePath: "/opt/empty"',
        'RUN ["/bin/busybox", "mkdir", "-p", "/opt/empty"]',
        1,
        /^deployer: .*empty/
      )
      building(
        "Build names a Dockerfile that does not exist.",
        'docker({ dockerfile: "Dockerfile.none" })',
        2,
        /^deployer: There is no Dockerfile at \/.*Dockerfile\.none: /
      )
      building(
        "Build says to start an engine that does not answer.",
        "docker({})",
        1,
        /^deployer: Building needs a container engine, and "\S+" did not answer: .*[^.?!][.?!] Start the engine, /,
        undefined,
        missingDocker,
        {
          env: { DOCKER_HOST: "unix:///nonexistent/docker.sock", CONTAINER_HOST: "unix:///nonexistent/podman.sock" }
        }
      )
      it.scoped("Build says that the engine's program is missing, and changes nothing.", () =>
        Effect.gen(function* () {
          const place = yield* World
          const nothing = yield* emptyFolder("bin")
          yield* config(place.here, () =>
            place.here.configure({ prod: { host: "local", builder: "made" } }, { made: "docker({})" })
          )
          const ended = yield* unchanged(place, ["build", "target=prod"], {
            env: { PATH: nothing, DEPLOYER_ENGINE: undefined }
          })
          assertFailed(ended, 1, /"docker" did not answer: there is no such program\. /)
        })
      )
      building(
        "Build passes on the output of a build command that fails.",
        'command({ run: "echo no make; exit 3", releasePath: "build" })',
        1,
        /^deployer: The build command "echo no make; exit 3" failed with status 3; /,
        "no make"
      )
      building(
        "Build names the path at which a build command left no release.",
        'command({ run: "true", releasePath: "nothing" })',
        1,
        /^deployer: There is no directory or file \/.*\/nothing to take the release from/
      )
      building(
        "Build stores nothing if a pre-build hook fails.",
        `Object.assign(${builders.plain}, { preBuild: [() => Effect.fail(new Error("no licence"))] })`,
        1,
        /^deployer: A pre-build hook failed, and nothing was stored: no licence$/
      )
      building(
        "Build stores nothing if a post-build hook fails.",
        `command({ run: "mkdir -p /tmp", releasePath: "bin", postBuild: [() => Effect.fail("too large")] })`,
        1,
        /^deployer: A post-build hook failed, and nothing was stored: too large$/
      )
      building(
        "Build refuses an unknown option of a builder and suggests a similar one.",
        'docker({ dokcerfile: "x" })',
        2,
        /builders\.made\.dokcerfile: is not an option of docker.*dockerfile/
      )
    })

    describe("the disk", () => {
      it.scoped.skipIf(missingMount !== undefined)(
        titled("Build says that the disk is full while it packs, and changes nothing.", missingMount),
        () =>
          Effect.gen(function* () {
            const place = yield* World
            yield* disk(path.join(place.here.root, "deployer/temp"), "size=64k")
            yield* config(place.here, () =>
              place.here.configure(
                { prod: { host: "local", builder: "made" } },
                {
                  made: 'command({ run: "mkdir -p big && head -c 1000000 /dev/urandom > big/file", releasePath: "big" })'
                }
              )
            )
            yield* Effect.addFinalizer(() =>
              Effect.sync(() => fs.rmSync(path.join(place.here.root, "big"), { recursive: true }))
            )
            fs.mkdirSync(path.join(place.here.root, "big"))
            fs.writeFileSync(path.join(place.here.root, "big/file"), "")
            const store = () => treeIn(path.join(place.here.root, "deployer"))
            const before = withoutNotes(store())
            assertFailed(yield* place.here.deployer("build", "target=prod"), 1, /no space left|disk is full/i)
            assert.deepStrictEqual(withoutNotes(store()), before)
          })
      )
      it.scoped("Build fails and changes nothing if the tarball becomes larger than the system allows.", () =>
        Effect.gen(function* () {
          const place = yield* World
          yield* config(place.here, () =>
            place.here.configure(
              { prod: { host: "local", builder: "made" } },
              { made: 'command({ run: "true", releasePath: "big" })' }
            )
          )
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => fs.rmSync(path.join(place.here.root, "big"), { recursive: true }))
          )
          fs.mkdirSync(path.join(place.here.root, "big"))
          fs.writeFileSync(path.join(place.here.root, "big/file"), randomBytes(400_000))
          const through = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh"]
          assertFailed(
            yield* unchanged(place, ["build", "target=prod"], { through }),
            1,
            /^deployer: Could not write the tarball: .* larger than this system allows$/
          )
        })
      )
      targeting(
        "Deploy says how much room it needs if the host's disk is too small.",
        ({ host }) =>
          Effect.map(disk(path.join(host.folder, "small"), "size=8k"), () => {
            fs.writeFileSync(path.join(host.folder, "small/theirs"), Buffer.alloc(8192))
            return { ...reach(host), path: `${host.folder}/small/app` }
          }),
        1,
        /small\/app on .* has [\d.]+ \w+ free, and [\d.]+ \w+ are needed .* free space/,
        { missing: missingMount }
      )
      it.scoped.skipIf(missingMount !== undefined)(
        titled("Deploy leaves no release behind if the host's disk becomes full in the middle.", missingMount),
        () =>
          Effect.gen(function* () {
            const place = yield* World
            const { here, host } = place
            const small = path.join(host.folder, "few")
            // Small files take whole pages: more than a look at the host can foresee.
            yield* disk(small, "size=24k")
            yield* config(here, () =>
              here.configure({ prod: { ...reach(host), path: `${small}/app`, builder: "plain" } })
            )
            const ended = yield* unchanged(place, ["deploy", "target=prod", "release=2"])
            assertFailed(ended, 1, /^deployer: .*(No space left on device|are needed to send)/)
            assert.isFalse(fs.existsSync(`${small}/app/releases/current`))
            assert.deepStrictEqual(
              fs.readdirSync(`${small}/app/releases`).filter((name) => name.startsWith("deployer_")),
              []
            )
          })
      )
    })

    describe("the connection", () => {
      targeting(
        "Deploy says that the name of a host does not resolve.",
        ({ host }) => Effect.succeed({ ...reach(host), host: "no-such-host.invalid" }),
        1,
        /^deployer: The name of \S*no-such-host\.invalid:\d+ does not resolve /
      )
      targeting(
        "Deploy says that nothing answers at a closed port.",
        ({ host }) => Effect.map(Effect.promise(freePort), (port) => ({ ...reach(host), port })),
        1,
        /^deployer: Nothing answers at .*: check "host" and "port"/
      )
      targeting(
        "Deploy says that a silent host did not answer in time.",
        ({ host }) =>
          Effect.map(proxy(host), (hole) => {
            hole.stall()
            return { ...reach(host, hole), timeouts: { connect: "1 second" } }
          }),
        1,
        /^deployer: .* did not answer in time \(.*\): /
      )
      targeting(
        "Deploy names the key that a host did not accept.",
        ({ host }) =>
          Effect.sync(() => ({
            ...reach(host),
            sshKey: fs.existsSync(path.join(host.folder, "wrong"))
              ? path.join(host.folder, "wrong")
              : makeKey(path.join(host.folder, "wrong"))
          })),
        1,
        /^deployer: .* accepted none of your keys \(offered: \/.*wrong\): set "sshKey"/
      )
      targeting(
        "Deploy says that there was no key to offer.",
        ({ host }) => Effect.succeed({ ...reach(host), sshKey: undefined }),
        1,
        /accepted none of your keys \(there was no key to offer\)/
      )
      targeting(
        "Deploy names a private key that does not exist.",
        ({ host }) => Effect.succeed({ ...reach(host), sshKey: "keys/none" }),
        2,
        /^deployer: There is no private key at \/.*\/root\/keys\/none: /
      )
      targeting(
        "Deploy says that a file is not a private key.",
        ({ host }) => Effect.succeed({ ...reach(host), sshKey: host.knownHosts }),
        2,
        /known_hosts is not a private key/
      )
      targeting(
        "Deploy says that it has no terminal to ask for the passphrase of a key.",
        ({ host }) =>
          Effect.sync(() => ({
            ...reach(host),
            sshKey: makeKey(path.join(host.folder, "locked"), { passphrase: "s3cret" })
          })),
        3,
        /^deployer: There is no terminal to ask ".*\/locked.*": .*ssh-agent/
      )
      at("Deploy refuses a host key that it does not know.", ({ host }) =>
        Effect.succeed({
          args: "deploy target=prod release=2",
          status: 1,
          says: /^deployer: The key of .* \(ssh-ed25519 SHA256:\S+\) is not in \/.*known_hosts: /,
          options: { env: { HOME: host.folder } }
        })
      )
      at("Deploy refuses a changed host key and shows how to remove the old one.", ({ here, host }) =>
        Effect.sync(() => {
          const home = path.join(here.folder, "other")
          fs.mkdirSync(path.join(home, ".ssh"), { recursive: true })
          const other = fs.readFileSync(`${host.keyFile}.pub`, "utf8").split(" ").slice(0, 2).join(" ")
          fs.writeFileSync(path.join(home, ".ssh/known_hosts"), `[127.0.0.1]:${host.port} ${other}\n`)
          return {
            args: "deploy target=prod release=2",
            status: 1,
            says: /^deployer: The key of .* is not the one in \/.*known_hosts: .*ssh-keygen .*-R/,
            options: { env: { HOME: home } }
          }
        })
      )
    })

    describe("the host", () => {
      const add = (host: Sshd, name: string, plant: (base: string) => void) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const base = path.join(host.home, name)
            plant(base)
            return { ...reach(host), path: name }
          }),
          () => Effect.sync(() => fs.rmSync(path.join(host.home, name), { recursive: true }))
        )
      targeting(
        "Deploy refuses a path on a file system that is mounted read-only.",
        ({ host }) =>
          Effect.as(disk(path.join(host.folder, "sealed"), "ro"), {
            ...reach(host),
            path: `${host.folder}/sealed/app`
          }),
        1,
        /sealed\/app on .* is on a file system that is mounted read-only: /,
        { missing: missingMount }
      )
      targeting(
        "Deploy refuses a file in the place of the target's path.",
        ({ host }) => add(host, "file", (base) => fs.writeFileSync(base, "")),
        1,
        /\/file on .* cannot hold releases: it, something above it, or config or releases in it is not a directory: /
      )
      targeting(
        "Deploy refuses a file in the place of releases/.",
        ({ host }) =>
          add(host, "half", (base) => {
            fs.mkdirSync(base)
            fs.writeFileSync(path.join(base, "releases"), "")
          }),
        1,
        /\/half\S* on .* cannot hold releases: it, something above it, or config or releases in it is not a directory: /
      )
      targeting(
        "Deploy refuses a directory in the place of current and says how to adopt it.",
        ({ host }) =>
          add(host, "real", (base) => fs.mkdirSync(path.join(base, "releases/current/theirs"), { recursive: true })),
        1,
        /\/real\/releases\/current on .* is not a link but a directory .*: turn the directory into a release with deployer manage adopt target=prod, or move it away/
      )
      targeting(
        "Manage info says to deploy first to a path without a deployment.",
        ({ host }) => Effect.succeed({ ...reach(host), path: "virgin" }),
        1,
        /Nothing has been deployed to \/.*\/virgin on .* yet: deploy to it first/,
        { args: "manage info target=prod" }
      )
      targeting(
        "Start says to deploy first to a path without a deployment.",
        ({ host }) => Effect.succeed({ ...reach(host), path: "virgin" }),
        1,
        /deploy/,
        {
          args: "start target=prod"
        }
      )
      const lacking = (tool: string) =>
        it.scoped(`Deploy refuses a host without ${tool}, and says to install it there.`, () =>
          Effect.gen(function* () {
            const { here } = yield* World
            // BusyBox's own shell finds its applets without a PATH.
            const host = yield* sshd({ path: yield* own({ without: [tool] }) })
            const known = path.join(here.home, ".ssh/known_hosts")
            const before = fs.readFileSync(known)
            here.knowHost(host)
            yield* Effect.addFinalizer(() => Effect.sync(() => fs.writeFileSync(known, before)))
            yield* config(here, () => here.configure({ prod: { ...reach(host), builder: "plain" } }))
            assertFailed(
              yield* unchanged({ here, host }, ["deploy", "target=prod", "release=2"]),
              1,
              new RegExp(`^deployer: .* lacks ${tool}: install it there \\(.*\\) and deploy again$`)
            )
          })
        )
      lacking("tar")
      lacking("gzip")

      for (const [what, content] of [
        ["garbage", "not json\n"],
        ["nothing", ""],
        ["another kind of JSON", '{"version": 1}\n'],
        ["hostile words", '{"name": "$(touch /tmp/owned)", "\u001b]0;owned\u0007": "`id`"}\n'],
        ["100 KB in one line", `${"x".repeat(100_000)}\n`]
      ] as const) {
        at(`Manage reports a record on the host that holds ${what}, and does not use it.`, ({ here, host }) =>
          Effect.gen(function* () {
            const base = path.join(host.home, "at prod/releases")
            const file = path.join(base, fs.readlinkSync(path.join(base, "current")), ".deployer_release.json")
            const before = fs.readFileSync(file)
            yield* Effect.acquireRelease(
              Effect.sync(() => fs.writeFileSync(file, content)),
              () => Effect.sync(() => fs.writeFileSync(file, before))
            )
            const info = yield* here.deployer("manage", "info", "target=prod")
            assert.strictEqual(info.status, 0)
            assert.match(info.stdout, /\nThe record of [0-9A-F]{8} cannot be read: /)
            assert.notMatch(info.stdout + info.stderr, /\u001b|\u0007/)
            const [ref] = /[0-9A-F]{32}/.exec(fs.readlinkSync(path.join(base, "current"))) ?? []
            return {
              args: `manage ln target=prod ref=${ref}`,
              status: 2,
              says: /^deployer: There is no release "[0-9A-F]{32}" on .*$/
            }
          })
        )
      }
    })

    describe("a hook on the host", () => {
      it.scoped("A hook that fails before the switch leaves the host as it was.", () =>
        Effect.gen(function* () {
          const place = yield* World
          const { here, host, refs } = place
          yield* config(here, () =>
            here.configure({
              prod: {
                ...reach(host),
                builder: "plain",
                afterUnpack: ["echo migrating", "echo no database >&2; exit 4"]
              }
            })
          )
          const base = path.join(host.home, "at prod")
          const before = withoutLocks(treeIn(base))
          const ended = yield* here.deployer("deploy", "target=prod", "release=2")
          assertFailed(
            ended,
            1,
            new RegExp(
              `^deployer: The afterUnpack command "echo no database >&2; exit 4" of ${here.name} ${refs[1]} ended with status 4 on .*: nothing was switched, and the release was removed there again$`
            )
          )
          assert.match(ended.stderr, /migrating\n[\s\S]*no database\n/)
          assert.deepStrictEqual(withoutLocks(treeIn(base)), before)
        })
      )
      it.scoped("Deploy says that the release stays current if a hook fails after the switch.", () =>
        Effect.gen(function* () {
          const { here, host } = yield* World
          yield* config(here, () =>
            here.configure({ prod: { ...reach(host), path: "after", builder: "plain", afterSwitch: "exit 5" } })
          )
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => fs.rmSync(path.join(host.home, "after"), { recursive: true }))
          )
          const ended = yield* here.deployer("deploy", "target=prod", "release=2")
          assertFailed(
            ended,
            1,
            /^deployer: The afterSwitch command "exit 5" of .* ended with status 5 on .*: the release stays current/
          )
          assert.include(
            fs.readFileSync(path.join(host.home, "after/releases/current", here.name, "VERSION"), "utf8"),
            "2.0"
          )
        })
      )
    })

    describe("nobody to ask", () => {
      for (const [how, through] of [
        ["stdin is empty", undefined],
        ["stdin is closed", ["sh", "-c", 'exec "$@" <&-', "sh"]],
        ["stdin is a pipe that says yes", ["sh", "-c", 'yes | "$@"', "sh"]]
      ] as const) {
        const options: RunOptions = { millis: 20_000, ...(through === undefined ? {} : { through }) }
        const asking = (title: string, args: string, says: RegExp) =>
          at(title, () => Effect.succeed({ args, status: 3, says, options }))
        asking(
          `Deploy fails instead of asking for a release if ${how}.`,
          "deploy target=prod",
          /^deployer: There is no terminal to ask "app_.* is the latest of app_\w+\. Deploy it to prod\?": name it with release=2, or .*yes$/
        )
        asking(
          `Manage delete fails instead of asking for consent if ${how}.`,
          "manage delete 1",
          /^deployer: There is no terminal to ask "Remove this release and free .*\?": answer with yes$/
        )
        asking(
          `Init fails instead of asking whether to start from scratch if ${how}.`,
          "init force_init",
          /^deployer: There is no terminal to ask "This removes 2 stored releases .*": /
        )
        asking(
          `Manage fails instead of asking for a verb if ${how}.`,
          "manage",
          /^deployer: There is no terminal to ask .*: name a verb, as in: deployer manage info$/
        )
        asking(
          `Manage with a target fails instead of asking for a verb if ${how}.`,
          "manage target=prod",
          /^deployer: .*: name a verb, as in: deployer manage info target=prod$/
        )
        asking(
          `Ssh fails instead of opening a shell if ${how}.`,
          "ssh target=prod",
          /^deployer: There is no terminal to ask ".*/
        )
      }

      const unfinished = (host: Sshd, body: () => void) =>
        Effect.acquireRelease(Effect.sync(body), () =>
          Effect.sync(() =>
            fs.rmSync(path.join(host.home, `at prod/releases/.staging_${"A".repeat(32)}`), {
              recursive: true,
              force: true
            })
          )
        )
      at("Deploy fails instead of asking about an unfinished deployment if there is no terminal.", ({ host }) =>
        Effect.gen(function* () {
          const stage = path.join(host.home, `at prod/releases/.staging_${"A".repeat(32)}`)
          yield* unfinished(host, () => {
            fs.mkdirSync(stage)
            fs.writeFileSync(path.join(stage, "release.tar.gz"), "half")
            fs.writeFileSync(path.join(stage, "note"), "begun by \u001b[31mnobody\n")
          })
          return {
            args: "deploy target=prod release=2",
            status: 3,
            says: /^deployer: There is no terminal to ask "What about it\?": /
          }
        })
      )
    })
  })
})
