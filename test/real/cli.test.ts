/** The main job from end to end: the real binary, a real engine, real hosts. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { missingDocker } from "../kit/docker.ts"
import { bind, missingMount } from "../kit/mount.ts"
import { assertFailed, builders, type Project, project, reach, runs } from "../kit/project.ts"
import { missing as missingProgram, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"
import { busybox, missingBusybox } from "../kit/userland.ts"

const tarballsIn = (root: string) =>
  fs.readdirSync(path.join(root, "deployer/release_store")).filter((name) => name.endsWith(".tar.gz"))

/** `Stored app 1A2B3C4D (id 1, …) as app-1600000000.tar.gz in 3 s`, taken apart. */
const stored = (output: string) => {
  const [, short = "", id = "", tarball = ""] =
    /^Stored \S+ ([0-9A-F]{8}) \(id (\d+), .*\) as (\S+\.tar\.gz)/m.exec(output) ?? []
  assert.notStrictEqual(tarball, "", output)
  return { short, id, tarball }
}

/** For a regular expression. */
const literal = (text: string): string => text.replace(/[$'()*+.?[\]^{|}\\]/g, "\\$&")

/** The files of the host, with the rights of any user. */
const onHost = (base: string) => ({
  current: () => fs.readlinkSync(path.join(base, "releases/current")),
  releases: () => fs.readdirSync(path.join(base, "releases")).sort(),
  says: (name: string) =>
    execFileSync(path.join(base, "releases/current", name, "bin", name), ["version"], { encoding: "utf8" }).trim(),
  log: () => fs.readFileSync(path.join(base, "config/journal"), "utf8").trim().split("\n")
})

/** Two releases are in the store; `target` has seen nothing yet. */
const mainJob = (here: Project, target: string, base: string, [first, second]: readonly [Stored, Stored]) =>
  Effect.gen(function* () {
    const { deployer, good, name } = here
    const host = onHost(base)
    const t = `target=${target}`

    // The plan changes nothing.
    const plan = yield* good("deploy", t, `release=${first.id}`, "plan")
    assert.match(
      plan,
      new RegExp(
        `^${name} ${first.short} .*\n {4}built .*\n 1\\. make ${literal(base)} [\\s\\S]*switch current to ${name} ${first.short}\n.* record that it succeeded\n$`
      )
    )
    assert.isFalse(fs.existsSync(base))

    const one = yield* deployer("deploy", t, `release=${first.id}`)
    assert.strictEqual(one.status, 0, one.stderr)
    assert.match(
      one.stdout,
      new RegExp(
        `^${name} ${first.short} \\(id ${first.id}\\) is live at .+:${literal(base)}, deployed in .*\n {4}built .*\n {4}connect .*\n$`
      )
    )
    assert.match(one.stderr, /First contact: made .* with config\/ and releases\//)
    assert.strictEqual(host.current(), `deployer_${first.ref}`)
    assert.strictEqual(host.says(name), "1.0")
    assert.deepStrictEqual(fs.readdirSync(path.join(base, "releases/current")).sort(), [
      ".deployer_manifest",
      ".deployer_release.json",
      name
    ])

    const started = yield* deployer("start", t)
    assert.deepInclude(started, { status: 0, stdout: `${name} 1.0 started\n` })
    assert.match(started.stderr, /^Running start on .*: bin\/.* daemon\n$/)
    const pid = Number(fs.readFileSync(path.join(base, "releases/current", name, "pid"), "utf8"))
    assert.isTrue(runs(pid))
    const stopped = yield* deployer("stop", t)
    assert.deepInclude(stopped, { status: 0, stdout: `${name} stopped\n` })
    assert.isFalse(runs(pid))
    const restarted = yield* deployer("restart", t)
    assert.deepInclude(restarted, { status: 7, stdout: `${name} restarting\n` })
    assert.match(
      restarted.stderr,
      /^Running restart on .*\nno luck\ndeployer: "bin\/app_\w+ restart" \(restart\) ended with status 7 on .*\n$/
    )

    // The next one: the latest of the target's name needs no id.
    assert.match(
      yield* good("deploy", t, "plan"),
      new RegExp(
        `switch current from ${name} ${first.short} to ${name} ${second.short}\n.* record that it succeeded\n$`
      )
    )
    assert.strictEqual((yield* deployer("deploy", t)).status, 3)
    yield* good("deploy", t, "yes")
    assert.strictEqual(host.current(), `deployer_${second.ref}`)
    assert.strictEqual(host.says(name), "1.1")
    assert.deepStrictEqual(host.releases(), ["current", `deployer_${first.ref}`, `deployer_${second.ref}`].sort())
    assert.match(yield* good("deploy", t, "yes"), /live at .* already: nothing to do\n$/)

    const info = yield* good("manage", "info", t)
    const rows = info.split("\n").filter((line) => line.includes(name))
    assert.lengthOf(rows, 2)
    assert.match(rows[0] ?? "", new RegExp(`current .*${second.short}.*latest`))
    assert.notMatch(rows[1] ?? "", /current|latest/)
    assert.match(yield* good("manage", "info", first.short, t), new RegExp(`^name +${name}\nref +${first.ref}\n`))

    assert.match(yield* good("manage", "ln", first.short, t), /is current on .* now/)
    assert.strictEqual(host.says(name), "1.0")
    assert.match(yield* good("manage", "ln", first.short, t), /already/)
    assert.match(
      yield* good("manage", "integrity", "deep", t),
      /current leads to a complete release\n.*: whole\n.*: whole\n$/
    )

    // One release is current and the other is the latest: neither may go.
    assert.match(yield* good("manage", "prune", name, t, "yes"), /^Nothing to remove from /)
    assertFailed(
      yield* deployer("manage", "delete", first.short, t, "yes"),
      1,
      /is the current release on .* and was not removed/
    )
    assertFailed(yield* deployer("manage", "delete", second.short, t), 3, /no terminal to ask "Remove this release/)

    // A broken release that rollback would go to stays.
    fs.writeFileSync(path.join(base, "releases", `deployer_${second.ref}`, name, "VERSION"), "1.2\n")
    const broken = yield* deployer("manage", "integrity", "deep", t)
    assert.strictEqual(broken.status, 1)
    assert.match(broken.stdout, /: broken \(1 faults?\)/)
    assert.match(broken.stderr, new RegExp(`changed ${name}/VERSION`))
    assert.match(broken.stderr, /deployer: 1 thing is wrong on /)
    const kept = yield* deployer("manage", "integrity", "deep", "-f", t, "yes")
    assert.strictEqual(kept.status, 1)
    assert.include(kept.stderr, "stays: it is the release that rollback goes to")
    assert.lengthOf(host.releases(), 3)

    // It is repaired, and now the older one may go.
    yield* good("deploy", t, `release=${second.short}`, "retry")
    assert.strictEqual(host.says(name), "1.1")
    assert.match(
      yield* good("manage", "prune", `name=${name}`, t, "yes"),
      new RegExp(`^Removed ${name} ${first.short} from .*: .* freed\n$`)
    )
    assert.deepStrictEqual(host.releases(), ["current", `deployer_${second.ref}`])
    const deployed = ["staged", "switched", "healthy"]
    assert.deepStrictEqual(
      host.log().map((line) => JSON.parse(line).event),
      [...deployed, ...deployed, "linked", ...deployed, "removed"]
    )

    assertFailed(yield* deployer("ssh", t), 3, /terminal/)
    assert.deepStrictEqual(here.leftovers(), [])
  })

interface Stored {
  readonly id: string
  readonly short: string
  readonly ref: string
  readonly tarball: string
}

const md5sum = (file: string): string =>
  execFileSync("md5sum", [file], { encoding: "utf8" }).split(" ")[0]!.toUpperCase()

const release = (here: Project, output: string): Stored => {
  const { id, short, tarball } = stored(output)
  const ref = md5sum(path.join(here.root, "deployer/release_store", tarball))
  assert.strictEqual(ref.slice(0, 8), short)
  return { id, short, ref, tarball: path.join(here.root, "deployer/release_store", tarball) }
}

const names = (tarball: string): ReadonlyArray<string> =>
  execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).trim().split("\n").sort()

class World extends Context.Tag("test/World")<
  World,
  { readonly here: Project; readonly gnu: Sshd; readonly box: Sshd; readonly two: readonly [Stored, Stored] }
>() {}

const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const here = yield* project({ init: false })
    const gnu = yield* sshd()
    const box = yield* sshd({ path: yield* busybox() })
    here.knowHost(gnu)
    here.knowHost(box)

    assertFailed(yield* here.deployer("build", "target=gnu"), 2, /run "deployer init"/)
    const init = yield* here.good("init")
    assert.match(init, /^found Dockerfile: .*\nmade deployer\/config\/\n[\s\S]*Now fill in host, user and path/)
    assert.include(fs.readFileSync(path.join(here.root, ".dockerignore"), "utf8"), "deployer")
    assertFailed(yield* here.deployer("init"), 2, /force_init/)
    here.configure({
      gnu: { ...reach(gnu), path: `${gnu.folder}/it's $HOME`, builder: "image", tags: ["prod"] },
      box: { ...reach(box), path: "srv/app", builder: "image" }
    })

    const built = yield* here.deployer("build", "target=gnu")
    assert.strictEqual(built.status, 0, built.stderr)
    assert.include(built.stderr, `built ${here.name}`)
    assert.match(built.stdout, /^Stored .*, tags: .*prod.* as /)
    const first = release(here, built.stdout)
    assert.deepStrictEqual(here.leftovers(), [])
    fs.writeFileSync(path.join(here.root, "prod.env"), "A=1\n")
    here.version("1.1")
    const second = release(here, yield* here.good("build", "target=gnu", "env_file_name=prod.env"))
    assert.deepStrictEqual(here.leftovers(), [])
    return { here, gnu, box, two: [first, second] as const }
  })
)

const missing = missingDocker ?? missingSshd ?? missingBusybox
const suite = missing === undefined ? describe : describe.skip

suite(titled("the main job", missing), () => {
  layer(world, { excludeTestServices: true, timeout: "5 minutes" })("with Docker and SSH", (it) => {
    it.scoped("Build stores the built files, and manage info shows the release with its hashes and its image.", () =>
      Effect.gen(function* () {
        const {
          here,
          two: [first, second]
        } = yield* World
        const tree = ["", "/VERSION", "/bin", `/bin/${here.name}`].map((at) => `${here.name}${at}`)
        const plain = (tarball: string) => names(tarball).map((name) => name.replace(/\/$/, ""))
        assert.deepStrictEqual(plain(first.tarball), tree)
        assert.deepStrictEqual(plain(second.tarball), [...tree, "prod.env"].sort())
        const info = yield* here.good("manage", "info")
        assert.match(info, new RegExp(`^Id .*\n2 .*${second.short}.*latest.*\n1 .*${first.short}`))
        assert.match(info, /gnu .*127\.0\.0\.1/)
        const one = yield* here.good("manage", "info", first.short.slice(0, 6).toLowerCase())
        assert.match(one, new RegExp(`ref +${first.ref}\n`))
        const sha = execFileSync("sha256sum", [first.tarball], { encoding: "utf8" }).split(" ")[0]
        assert.include(one, `sha256    ${sha}`)
        assert.match(one, /image +sha256:[0-9a-f]{64}/)
        assert.match(one, /platform +linux\//)
      })
    )

    it.scoped(
      "The main job works on a host with GNU tools, at a path that needs quoting.",
      () =>
        Effect.gen(function* () {
          const { gnu, here, two } = yield* World
          yield* mainJob(here, "gnu", `${gnu.folder}/it's $HOME`, two)
        }),
      240_000
    )

    it.scoped(
      "The main job works on a host with only BusyBox, at a path below the login directory.",
      () =>
        Effect.gen(function* () {
          const { box, here, two } = yield* World
          yield* mainJob(here, "box", `${box.home}/srv/app`, two)
        }),
      240_000
    )
  })

  layer(Layer.empty, { excludeTestServices: true, timeout: "5 minutes" })("without Docker and SSH", (it) => {
    it.scoped(
      "The main job works on this machine with a plain builder.",
      () =>
        Effect.gen(function* () {
          const here = yield* project()
          const base = path.join(here.folder, "host")
          here.configure({ here: { host: "local", path: base, builder: "plain" } }, { plain: builders.plain })
          const first = release(here, yield* here.good("build", "target=here"))
          here.version("1.1")
          const second = release(here, yield* here.good("build", "target=here"))
          yield* mainJob(here, "here", base, [first, second])

          here.version("1.2")
          const both = yield* here.good("build_and_deploy", "target=here")
          assert.match(both, /^Stored .*\n.* \(id 3\) is live at /)
          assert.strictEqual(onHost(base).says(here.name), "1.2")
          // From a folder below the root, and from outside with root=.
          const below = yield* here.run(["manage", "info", "target=here"], { cwd: path.join(here.root, "bin") })
          assert.match(below.stdout, /current /)
          const outside = yield* here.run(["manage", "prune", here.name, "yes", `root=${here.root}`], { cwd: "/" })
          assert.match(outside.stdout, /^Removed .* from the store: .* freed\n$/)
          assert.lengthOf(tarballsIn(here.root), 1)
          assert.match(yield* here.good("manage", "delete", "3", "yes"), /^Removed /)
          assert.match(yield* here.good("manage", "info"), /^The store is empty/)
          assert.deepStrictEqual(here.leftovers(), [])
        }),
      240_000
    )

    it.scoped("Links to shared files that afterUnpack makes do not count as damage.", () =>
      Effect.gen(function* () {
        const here = yield* project()
        const base = path.join(here.folder, "host")
        fs.mkdirSync(path.join(base, "shared/uploads"), { recursive: true })
        fs.writeFileSync(path.join(base, "shared/settings"), "of this host\n")
        fs.mkdirSync(path.join(here.root, "uploads"))
        fs.writeFileSync(path.join(here.root, "uploads/keep"), "")
        fs.writeFileSync(path.join(here.root, "settings"), "of nobody\n")
        here.configure(
          {
            here: {
              host: "local",
              path: base,
              builder: "plain",
              afterUnpack: [
                'rm -rf uploads && ln -s "$DEPLOYER_PATH/shared/uploads" uploads',
                'ln -sf "$DEPLOYER_PATH/shared/settings" settings'
              ]
            }
          },
          {
            plain:
              'command({ run: "rm -rf out && mkdir out && cp -R VERSION uploads settings out", releasePath: "out" })'
          }
        )
        for (const version of ["1.0", "2.0"]) {
          here.version(version)
          const done = yield* here.deployer("build_and_deploy", "target=here", "yes")
          assert.strictEqual(done.status, 0, done.stderr)
          assert.include(done.stderr, `afterUnpack changed ${here.name}/`)
          assert.notInclude(done.stderr, "sending the whole release")
          yield* here.good("status", "target=here")
          yield* here.good("manage", "integrity", "deep", "-f", "target=here", "yes")
        }
        assert.lengthOf(onHost(base).releases(), 3)
        yield* here.good("rollback", "target=here")
        const live = path.join(base, "releases/current", here.name)
        fs.rmSync(path.join(live, "settings"))
        assert.match((yield* here.deployer("status", "target=here")).stderr, /missing .*settings.*retry/)
      })
    )

    const missingUser = missingSshd ?? (process.getuid?.() === 0 ? missingProgram("setpriv") : "not root")
    ;(missingUser === undefined ? it.scoped : it.scoped.skip)(
      titled(
        "A user without a name or a home deploys with the key and the host's fingerprint from the config.",
        missingUser
      ),
      () =>
        Effect.gen(function* () {
          const here = yield* project()
          const host = yield* sshd()
          const fingerprint = createHash("sha256").update(Buffer.from(host.hostKey.split(" ")[1] ?? "", "base64"))
          here.configure({
            far: {
              ...reach(host),
              hostKey: `SHA256:${fingerprint.digest("base64").replace(/=+$/, "")}`,
              path: `${host.folder}/app`,
              builder: "plain"
            }
          })
          execFileSync("chown", ["-R", "12345:12345", here.folder])
          // Without the capability it could not read deployer itself below /root.
          const capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
          const through = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", ...capability]
          for (const home of [undefined, ""]) {
            const env = { HOME: home, USER: undefined, LOGNAME: undefined }
            for (const args of [
              ["build_and_deploy", "target=far"],
              ["status", "target=far"]
            ]) {
              const { status, stderr } = yield* here.run(args, { through, env })
              assert.strictEqual(status, 0, `${args.join(" ")}\n${stderr}`)
            }
          }
          assert.strictEqual(onHost(`${host.folder}/app`).says(here.name), "1.0")
        })
    )

    ;(missingMount === undefined ? it.scoped : it.scoped.skip)(
      titled(
        "In a read-only project folder, commands that write nothing there work, and the others say why they fail.",
        missingMount
      ),
      () =>
        Effect.gen(function* () {
          const here = yield* project()
          const base = path.join(here.folder, "host")
          here.configure({ here: { host: "local", path: base, builder: "plain" } }, { plain: builders.plain })
          for (const version of ["1.0", "1.1"]) {
            here.version(version)
            yield* here.good("build", "target=here")
          }
          const cwd = path.join(here.folder, "read only")
          yield* bind(here.root, cwd, "ro")
          const run = (...args: ReadonlyArray<string>) => here.run(args, { cwd })
          for (const args of [
            ["manage", "info"],
            ["doctor", "target=here"],
            ["deploy", "target=here", "release=1"],
            ["deploy", "target=here", "release=2"],
            ["status", "target=here"],
            ["history", "target=here"],
            ["rollback", "target=here"]
          ]) {
            const { status, stderr } = yield* run(...args)
            assert.strictEqual(status, 0, `${args.join(" ")}\n${stderr}`)
          }
          assert.strictEqual(onHost(base).says(here.name), "1.0")
          const building = yield* run("build", "target=here")
          assertFailed(
            building,
            1,
            /Could not make a temporary folder: \S* only\/deployer\/temp is on a read-only file system/
          )
          const removing = yield* run("manage", "delete", "1", "yes")
          assertFailed(
            removing,
            1,
            /Could not remove releases: the database \S* only\/deployer\/config\/\S+ cannot be written/
          )
          assert.lengthOf(tarballsIn(here.root), 2)
        })
    )

    it.scoped("Hooks run in the release on the host.", () =>
      Effect.gen(function* () {
        const here = yield* project()
        const base = path.join(here.folder, "host")
        here.configure(
          {
            here: {
              host: "local",
              path: base,
              builder: "plain",
              afterUnpack: ["pwd", "ls ..; cat VERSION > seen"],
              afterSwitch: 'echo "after $(cat VERSION)"',
              start: "cat seen"
            }
          },
          { plain: builders.plain }
        )
        const done = yield* here.deployer("build_and_deploy", "target=here", "yes")
        assert.strictEqual(done.status, 0, done.stderr)
        const [folder] = onHost(base)
          .releases()
          .filter((name) => name.startsWith("deployer_"))
        assert.include(done.stderr, `${base}/releases/${folder}/${here.name}\n`)
        assert.include(done.stderr, "after 1.0\n")
        assert.deepInclude(yield* here.deployer("start", "target=here"), { status: 0, stdout: "1.0\n" })
      })
    )
  })
})
