import { execFileSync } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:https"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { differences } from "../../src/domain/Differences.ts"
import { Unfinished } from "../../src/domain/HostState.ts"
import { LockDetails } from "../../src/domain/Lock.ts"
import { manifestLines } from "../../src/host/protocol/manifestText.ts"
import type { HostSession } from "../../src/host/RemoteHost.ts"
import { loginPath } from "../../src/host/session/Asking.ts"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { entryAbout, put, stage } from "../host/contract.ts"
import { type CutAndResumed, completing, cutAndResumed } from "../kit/cutAndResumed.ts"
import { bind, disk, missingMount } from "../kit/mount.ts"
import * as nobody from "../kit/nobody.ts"
import { noiseText } from "../kit/noise.ts"
import { hostileNames, oddSample, type Packed, packed, sample } from "../kit/packed.ts"
import { hostRelease, refOf, target as sampleTarget } from "../kit/samples.ts"
import { titled } from "../kit/sshd.ts"
import { dir, file, symlink, tarOf, treeIn } from "../kit/tree.ts"
import * as userland from "../kit/userland.ts"
import { missingZstd, nodeWithZstd } from "../kit/zstd.ts"

const local = (
  path: Effect.Effect<string, never, Scope.Scope> | undefined,
  fields: Parameters<typeof sampleTarget>[0] = {}
) =>
  Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home")
    const env = { HOME: home, ...(path === undefined ? {} : { PATH: yield* path }) }
    const target = sampleTarget({ host: "local", path: "app", ...fields })
    return { home, env, session: makeSession(target, LocalTransport.make(target, env)) }
  })

const needs = (...programs: ReadonlyArray<string>) => {
  const missing = programs.filter((program) => userland.which(program) === undefined)
  const skip = missing.length > 0 && process.env["CI"] !== "true"
  return {
    live: skip ? it.live.skip : it.live,
    because: skip ? ` (skipped: ${missing.join(", ")} not installed)` : ""
  }
}

const { isRoot } = nobody
const asNobody = {
  ...needs(...(isRoot ? ["setpriv"] : [])),
  become: nobody.become
}

const odd = oddSample()

/** Adopts a directory with names that tools stumble over, and finds it whole. */
const adopts = (session: HostSession, releases: string) =>
  Effect.gen(function* () {
    mkdirSync(join(releases, "current"))
    for (const name of hostileNames.filter((name) => !name.includes("/"))) {
      writeFileSync(join(releases, "current", name), name)
      symlinkSync(name, join(releases, "current", `link ${name}`))
    }
    const before = treeIn(join(releases, "current"))
    const adoption = yield* session.survey("my_app")
    yield* session.adopt(adoption, hostRelease({ ref: adoption.ref, sha256: adoption.sha256, id: 0 }))
    assert.strictEqual((yield* session.inspect).currentRelease?.ref, adoption.ref)
    assert.deepStrictEqual(treeIn(join(releases, "current/my_app")), before)
    assert.deepStrictEqual(yield* session.verify([adoption.ref]), [{ ref: adoption.ref, faults: [] }])
    yield* session.deactivate()
  })

/** The command lines of all processes, with null bytes between the words. */
const commandLines = (): ReadonlyArray<string> =>
  readdirSync("/proc").flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) ? [readFileSync(`/proc/${pid}/cmdline`, "utf8")] : []
    } catch {
      return []
    }
  })

describe("other tools and shells", () => {
  for (const [what, without] of [
    ["shasum", ["sha256sum", "openssl"]],
    ["openssl", ["sha256sum", "shasum"]]
  ] as const) {
    const { because, live } = needs(what)
    live(`A host without another SHA-256 program hashes with ${what}${because}.`, () =>
      Effect.gen(function* () {
        const { home, session } = yield* local(userland.own({ without }))
        yield* session.prepare
        yield* put(session, odd)
        assert.deepStrictEqual(yield* session.verify([odd.ref]), [{ ref: odd.ref, faults: [] }])
        writeFileSync(join(home, "app/releases", `deployer_${odd.ref}`, "my_app/names/back\\slash"), "other")
        writeFileSync(join(home, "app/releases", `deployer_${odd.ref}`, "my_app/names/it's"), "other")
        const [verdict] = yield* session.verify([odd.ref])
        assert.sameMembers(
          [...(verdict?.faults ?? [])],
          ["changed my_app/names/back\\slash", "changed my_app/names/it's"]
        )
        yield* adopts(session, join(home, "app/releases"))
      }).pipe(Effect.scoped)
    )
  }

  for (const shell of ["bash", "dash"]) {
    const { because, live } = needs(shell)
    live(`A host whose sh is ${shell} adopts and deploys${because}.`, () =>
      Effect.gen(function* () {
        const { home, session } = yield* local(userland.own({ shell }))
        yield* session.prepare
        yield* adopts(session, join(home, "app/releases"))
        yield* put(session, odd)
        yield* session.activate(odd.ref)
        assert.strictEqual((yield* session.inspect).currentRelease?.ref, odd.ref)
        assert.strictEqual((yield* session.run("exit 3", { name: "my_app" })).status, 3)
        assert.include((yield* Effect.flip(session.remove([odd.ref]))).message, "is current")
      }).pipe(Effect.scoped)
    )
  }

  /** A check before this machine's `mv`, and whether that alone can rename a link over a link. */
  const movers = [
    ["BusyBox 1.30", `case "$1" in -*[Th]*) echo "mv: invalid option -- 'T'" >&2; exit 1 ;; esac`, true],
    [
      "toybox 0.8.9",
      `case "$1" in -*T*) [ ! -d "$3" ] || { echo "mv: '$3' is a directory" >&2; exit 1; } ;; esac`,
      true
    ],
    [
      "uutils 0.0.30",
      [
        'case "$1" in -*h*) echo "Usage: mv [OPTION]... [-T] SOURCE DEST"; exit 0 ;; esac',
        "for to; do :; done",
        'case "$to" in .) to=./current; [ -e "$2" ] || { echo "mv: cannot stat \'$2\'" >&2; exit 1; } ;; esac',
        'case "$to" in *current) [ ! -L "$to" ] || { echo "mv: cannot move: Not a directory" >&2; exit 1; } ;; esac'
      ].join("\n"),
      false
    ]
  ] as const
  for (const [tool, first, isEnough] of movers) {
    it.live(`A host without readlink, with mv as in ${tool}, adopts and switches.`, () =>
      Effect.gen(function* () {
        const { env, home, session } = yield* local(userland.own({ without: ["readlink"] }))
        userland.precede(env.PATH ?? "", "mv", first)
        const [one, two] = [sample("1"), sample("2")]
        const releases = join(home, "app/releases")
        yield* session.prepare
        yield* adopts(session, releases)
        yield* put(session, one)
        yield* put(session, two, 2)
        yield* session.activate(one.ref)
        yield* session.activate(two.ref)
        assert.strictEqual((yield* session.inspect).currentRelease?.ref, two.ref)
        unlinkSync(join(env.PATH ?? "", "perl"))
        if (isEnough) yield* session.activate(one.ref)
        else {
          const failure = yield* Effect.flip(session.activate(one.ref))
          assert.strictEqual(failure._tag, "HostStepFailed")
          assert.include(failure.message, "neither mv nor perl renamed the link: mv: cannot move: Not a directory")
        }
        assert.strictEqual((yield* session.inspect).currentRelease?.ref, (isEnough ? one : two).ref)
        assert.deepStrictEqual(
          readdirSync(releases).filter((name) => /^\.(current|trash)/.test(name)),
          []
        )
      }).pipe(Effect.scoped)
    )
  }
})

describe("modes that the umask would narrow", () => {
  const wide = (version: string) => [
    dir("my_app"),
    file("my_app/version", version),
    file("my_app/big", noiseText(50_000, 1)),
    dir("my_app/private", 0o700),
    file("my_app/private/key", "k", 0o600),
    dir("my_app/group", 0o775),
    file("my_app/group/file", noiseText(2000, 2), 0o664),
    dir("my_app/all", 0o777),
    file("my_app/all/program", "#!/bin/sh\n", 0o777)
  ]
  const { because, live } = needs("busybox", ...(isRoot ? ["setpriv"] : []))
  for (const awk of ["awk", "no awk"]) {
    live(`With BusyBox and ${awk}, the files of a user who is not root arrive with their modes${because}.`, () =>
      Effect.gen(function* () {
        const { env, home, session } = yield* local(userland.busybox(awk === "awk" ? [] : ["awk"]))
        // With this machine's sh, because the one of BusyBox finds its applets without a PATH.
        asNobody.become(env.PATH ?? "", home)
        if (isRoot) chownSync(home, 65534, 65534)
        const [one, two] = [packed(wide("1")), packed(wide("2"))]
        yield* session.prepare
        yield* put(session, one)
        yield* session.activate(one.ref)
        const { takesDifferences } = yield* session.inspect
        assert.strictEqual(takesDifferences, awk === "awk")
        const origin = yield* session.origin(one.ref)
        const found = differences(two.manifest, origin === undefined ? [] : [origin])
        if (found === undefined) return assert.fail("there are no differences")
        if (!takesDifferences) yield* stage(session, two)
        else
          yield* session.stage({
            ref: two.ref,
            manifest: two.manifest,
            from: 0,
            note: "n",
            shipment: {
              _tag: "Differences",
              differences: found,
              hardLinks: false,
              content: Stream.make(tarOf(two.tree.filter(({ path }) => found.sent.has(path))).subarray(0, -1024))
            }
          })
        yield* session.record(Object.assign(two.record, { serial: 2 }))
        yield* session.activate(two.ref)
        const modeOf = (path: string) => lstatSync(path).mode & 0o7777
        for (const release of [one, two])
          for (const { kind, mode, path } of release.tree)
            if (kind === "file" || kind === "dir")
              assert.strictEqual(modeOf(join(home, "app/releases", `deployer_${release.ref}`, path)), mode, path)
        assert.deepStrictEqual(yield* session.verify([one.ref, two.ref]), [
          { ref: one.ref, faults: [] },
          { ref: two.ref, faults: [] }
        ])
      }).pipe(Effect.scoped)
    )
  }
})

describe("hosts that are not fit", () => {
  it.live("A host without tar, gzip and a SHA-256 program says which tools it lacks.", () =>
    Effect.gen(function* () {
      const without = ["tar", "gzip", "sha256sum", "shasum", "openssl"]
      const { session } = yield* local(userland.own({ without }))
      assert.deepStrictEqual((yield* session.inspect).missingTools, ["tar", "gzip", "sha256"])
      yield* session.prepare
      assert.include((yield* Effect.flip(stage(session, odd))).message, "none of sha256sum, shasum and openssl")
    }).pipe(Effect.scoped)
  )

  it.live("A host without dd and tr says so at the first look.", () =>
    Effect.gen(function* () {
      const { session } = yield* local(userland.own({ without: ["dd", "tr"] }))
      assert.deepStrictEqual((yield* session.inspect).missingTools, ["dd", "tr"])
    }).pipe(Effect.scoped)
  )

  const { because, live } = asNobody
  live(`A host says that its user cannot write a path, and does not prepare it${because}.`, () =>
    Effect.gen(function* () {
      const { env, home } = yield* local(userland.own())
      asNobody.become(env.PATH ?? "", home)
      mkdirSync(join(home, "locked"), { mode: 0o555 })
      const at = (path: string) => {
        const target = sampleTarget({ host: "local", path })
        return makeSession(target, LocalTransport.make(target, env))
      }
      for (const path of ["locked", "locked/below/it"]) {
        assert.strictEqual((yield* at(path).inspect).base, "not-writable")
        assert.deepInclude(yield* Effect.flip(at(path).prepare), { _tag: "HostUnfit", reason: "not-writable" })
      }
    }).pipe(Effect.scoped)
  )

  const mounting = missingMount === undefined ? it.live : it.live.skip
  mounting("A host whose disk is mounted read-only since its deployments gives that as the reason.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const folder = join(home, "app")
      yield* session.prepare
      yield* bind(folder, folder, "ro")
      const details = LockDetails.make({
        by: "tester@laptop",
        reason: "rollback",
        since: DateTime.unsafeMake(0),
        nonce: "n-1",
        held: false
      })
      const refused = yield* Effect.flip(Effect.scoped(session.lock(details)))
      assert.deepInclude(refused, { _tag: "HostUnfit", reason: "read-only" })
    }).pipe(Effect.scoped)
  )

  it.live("A host says that its disk is full during an upload.", () =>
    Effect.gen(function* () {
      if (statSync("/dev/full", { throwIfNoEntry: false }) === undefined) assert.fail("there is no /dev/full")
      const { env, session } = yield* local(userland.own())
      const cat = join(env.PATH ?? "", "cat")
      unlinkSync(cat)
      writeFileSync(cat, `#!/bin/sh\nexec ${userland.which("cat")} > /dev/full\n`, { mode: 0o755 })
      yield* session.prepare
      const failure = yield* Effect.flip(put(session, odd))
      assert.strictEqual(failure._tag, "HostStepFailed")
      assert.include(failure.message, "No space left on device")
      assert.lengthOf((yield* session.inspect).unfinished, 1)
    }).pipe(Effect.scoped)
  )

  it.live("A host says that its disk is full when it writes a record, and keeps the old one.", () =>
    Effect.gen(function* () {
      const { env, home, session } = yield* local(userland.own())
      const one = sample("1")
      yield* session.prepare
      yield* put(session, one)
      const cat = join(env.PATH ?? "", "cat")
      unlinkSync(cat)
      writeFileSync(cat, `#!/bin/sh\nexec ${userland.which("cat")} > /dev/full\n`, { mode: 0o755 })
      assert.include((yield* Effect.flip(session.record(one.record))).message, "No space left on device")
      const folder = join(home, "app/releases", `deployer_${one.ref}`)
      assert.sameMembers(readdirSync(folder), [".deployer_manifest", ".deployer_release.json", "my_app"])
      assert.lengthOf((yield* session.inspect).releases, 1)
    }).pipe(Effect.scoped)
  )

  it.live("A host measures the disk that holds the releases.", () =>
    Effect.gen(function* () {
      const { env, home, session } = yield* local(userland.own())
      const df = join(env.PATH ?? "", "df")
      unlinkSync(df)
      const line = `printf "Filesystem 1024-blocks Used Available Capacity Mounted\\ndev 99 1 %s 1%% /x\\n"`
      writeFileSync(df, `#!/bin/sh\ncase "$2" in *releases) ${line} 7 ;; *) ${line} 8 ;; esac\n`, { mode: 0o755 })
      assert.strictEqual((yield* session.inspect).freeBytes, 8 * 1024)
      mkdirSync(join(home, "disk"))
      mkdirSync(join(home, "app"))
      symlinkSync(join(home, "disk"), join(home, "app/releases"))
      assert.strictEqual((yield* session.inspect).freeBytes, 7 * 1024)
    }).pipe(Effect.scoped)
  )

  const mounted = missingMount === undefined ? it.live : it.live.skip
  const becauseMount = missingMount === undefined ? "" : ` (skipped: ${missingMount})`
  for (const [tools, path, skip] of [
    ["its own tools", userland.own(), undefined],
    ["BusyBox", userland.busybox(), userland.missingBusybox]
  ] as const) {
    const test = (missingMount ?? skip) === undefined ? it.live : it.live.skip
    test(`A host with ${tools} tells how its disk is mounted${becauseMount}.`, () =>
      Effect.gen(function* () {
        const { env, home } = yield* local(path)
        const at = (folder: string) => {
          const target = sampleTarget({ host: "local", path: folder })
          return makeSession(target, LocalTransport.make(target, env)).inspect
        }
        const point = join(home, "two words/disk")
        yield* disk(point, "size=1m,nr_inodes=50,noexec")
        // Another mount of the same disk, which BusyBox's df would name.
        yield* bind(point, join(home, "again"), "ro")
        const plain = { type: "tmpfs", point, readOnly: false, noExec: true }
        for (const folder of [point, `${point}/app/of mine`]) {
          const state = yield* at(folder)
          assert.deepStrictEqual(state.mount, plain)
          assert.strictEqual(state.freeBytes, 1024 * 1024)
          assert.isAtMost(state.freeInodes ?? 0, 50)
          assert.isAbove(state.freeInodes ?? 0, 40)
        }
        symlinkSync(point, join(home, "link"))
        assert.deepStrictEqual((yield* at(join(home, "link"))).mount, plain)
        const again = yield* at(join(home, "again"))
        assert.deepInclude(again.mount, { point: join(home, "again"), readOnly: true })
        assert.deepStrictEqual((yield* at(`${point}x`)).mount, (yield* at(home)).mount)
      }).pipe(Effect.scoped))
  }

  mounted(`A host deploys even if its releases folder is a disk of its own${becauseMount}.`, () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(userland.own())
      yield* disk(join(home, "app/releases"), "size=20m")
      yield* session.prepare
      yield* put(session, odd)
      yield* session.activate(odd.ref)
      assert.strictEqual((yield* session.inspect).mount?.point, join(home, "app/releases"))
      yield* session.deactivate()
      yield* session.remove([odd.ref])
    }).pipe(Effect.scoped)
  )

  it.live("A host tells its time, or nothing if it has no date program.", () =>
    Effect.gen(function* () {
      const { env, session } = yield* local(userland.own())
      const date = join(env.PATH ?? "", "date")
      unlinkSync(date)
      assert.isUndefined((yield* session.inspect).clock)
      writeFileSync(date, "#!/bin/sh\necho 86400\n", { mode: 0o755 })
      const { clock } = yield* session.inspect
      assert.closeTo((clock?.aheadMillis ?? 0) + Date.now(), 86_400_000, 10_000)
    }).pipe(Effect.scoped)
  )

  it.live("A login that may not run commands fails with the reason that it prints.", () =>
    Effect.gen(function* () {
      const { env, session } = yield* local(userland.own())
      const sh = join(env.PATH ?? "", "sh")
      unlinkSync(sh)
      writeFileSync(sh, "#!/bin/sh\necho This account is not available.\nexit 1\n", { mode: 0o755 })
      assert.include((yield* Effect.flip(session.inspect)).message, "This account is not available. (exit status 1)")
    }).pipe(Effect.scoped)
  )

  it.live("A host without sh fails with HostUnreachable.", () =>
    Effect.gen(function* () {
      const { session } = yield* local(userland.own({ without: ["sh"] }))
      assert.deepInclude(yield* Effect.flip(session.inspect), { _tag: "HostUnreachable", reason: "protocol" })
    }).pipe(Effect.scoped)
  )

  it.live("A host may print a greeting before its answer, but an answer that is cut fails.", () =>
    Effect.gen(function* () {
      const { env, session } = yield* local(userland.own())
      const sh = join(env.PATH ?? "", "sh")
      const program = userland.which("sh")
      const pretend = (script: string) => {
        unlinkSync(sh)
        writeFileSync(sh, `#!${program}\n${script}\n`, { mode: 0o755 })
      }
      pretend(`printf "Welcome to the host"; exec ${program} "$@"`)
      yield* session.prepare
      yield* put(session, odd)
      assert.strictEqual((yield* session.run("exit 4", { name: "my_app", ref: odd.ref })).status, 4)
      pretend("echo deployer begin; echo path /; exit 0")
      assert.deepInclude(yield* Effect.flip(session.inspect), { _tag: "HostReplyInvalid", detail: "it was cut" })
      pretend("echo it broke >&2; exit 3")
      assert.include((yield* Effect.flip(session.inspect)).message, "it broke (exit status 3)")
      assert.include((yield* Effect.flip(session.run("true", { name: "my_app" }))).message, "it broke")
      pretend("exit 0")
      assert.strictEqual((yield* Effect.flip(session.run("true", { name: "my_app" })))._tag, "HostReplyInvalid")
    }).pipe(Effect.scoped)
  )
})

describe("waits", () => {
  it.live("A command that takes too long is ended, with all that it started.", () =>
    Effect.gen(function* () {
      const { env, home, session: patient } = yield* local(undefined)
      const target = sampleTarget({ host: "local", path: "app", timeouts: { command: "1 second" } })
      const session = makeSession(target, LocalTransport.make(target, env))
      const one = sample("1")
      yield* patient.prepare
      yield* put(patient, one)
      const command = "touch ../../../started; (sleep 1.6; touch ../../../lived) & wait"
      const failure = yield* Effect.flip(session.run(command, { name: "my_app", ref: one.ref }))
      assert.deepInclude(failure, { _tag: "CommandTimeout", command, waited: "1s" })
      yield* Effect.sleep("900 millis")
      assert.include(readdirSync(join(home, "app")), "started")
      assert.notInclude(readdirSync(join(home, "app")), "lived")
    }).pipe(Effect.scoped)
  )

  it.live("The verification of a release may take longer than the time limit of its transfer.", () =>
    Effect.gen(function* () {
      const programs = yield* userland.emptyFolder("programs")
      const slow = `#!/bin/sh\nsleep 1\nexec ${userland.which("sha256sum")} "$@"\n`
      writeFileSync(join(programs, "sha256sum"), slow, { mode: 0o755 })
      const path = Effect.succeed(`${programs}:${process.env["PATH"]}`)
      // Three seconds at least, as it is hashed more than twice.
      const { session } = yield* local(path, { timeouts: { transfer: "2 seconds" } })
      yield* session.prepare
      yield* stage(session, odd)
      assert.deepStrictEqual((yield* session.verify([odd.ref], "files", odd.manifest))[0]?.faults, [
        "missing .deployer_release.json"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("An upload resumes even if the host rereads its beginning for longer than a transfer may stand still.", () =>
    Effect.gen(function* () {
      const programs = yield* userland.emptyFolder("programs")
      const slow = `#!/bin/sh\ncase "$*" in *release.tar*) [ ! -e "${programs}/slow" ] || sleep 6 ;; esac\nexec ${userland.which("cat")} "$@"\n`
      writeFileSync(join(programs, "cat"), slow, { mode: 0o755 })
      const path = Effect.succeed(`${programs}:${process.env["PATH"]}`)
      const { session } = yield* local(path, { timeouts: { transfer: "4 seconds" } })
      yield* session.prepare
      const { message } = yield* Effect.flip(stage(session, odd, { to: Math.floor(odd.tarball.length / 2) }))
      const [, arrived = assert.fail(message)] = /([0-9]+) of [0-9]+ bytes arrived/.exec(message) ?? []
      writeFileSync(join(programs, "slow"), "")
      yield* stage(session, odd, { from: Number(arrived) })
      assert.strictEqual((yield* session.inspect).unfinished[0]?.kind, "release")
    }).pipe(Effect.scoped)
  )

  it.live("A transfer that stands still fails with a timeout, and the host keeps the received bytes.", () =>
    Effect.gen(function* () {
      const { session } = yield* local(undefined, { timeouts: { transfer: "2 seconds" } })
      yield* session.prepare
      const failure = yield* Effect.flip(
        session.stage({
          ref: odd.ref,
          manifest: odd.manifest,
          from: 0,
          note: "n",
          shipment: {
            _tag: "Whole",
            size: 1000,
            content: () => Stream.concat(Stream.make(new Uint8Array(10)), Stream.never)
          }
        })
      )
      assert.deepInclude(failure, { _tag: "HostUnreachable", reason: "timeout" })
      assert.isAbove((yield* session.inspect).unfinished[0]?.received ?? 0, 10)
    }).pipe(Effect.scoped)
  )

  it.live("A command on the host stops soon if its caller is interrupted.", () =>
    Effect.gen(function* () {
      const { session } = yield* local(undefined)
      const one = sample("1")
      yield* session.prepare
      yield* put(session, one)
      const fiber = yield* Effect.fork(session.run("sleep 60", { name: "my_app", ref: one.ref }))
      yield* Effect.sleep("300 millis")
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isBelow(Duration.toMillis(took), 2500)
    }).pipe(Effect.scoped)
  )
})

describe("trees", () => {
  it.live("A host unpacks and removes folders that nobody may write, and releases without files.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const closed = packed([dir("my_app"), dir("my_app/closed", 0o555), file("my_app/closed/file", "x", 0o444)])
      const bare = packed([dir("my_app"), symlink("my_app/link", "nothing")])
      yield* session.prepare
      for (const release of [closed, bare]) {
        yield* put(session, release)
        assert.deepStrictEqual(yield* session.verify([release.ref]), [{ ref: release.ref, faults: [] }])
      }
      yield* session.remove([closed.ref, bare.ref])
      assert.deepStrictEqual(readdirSync(join(home, "app/releases")), [])
    }).pipe(Effect.scoped)
  )

  it.live("A host also checks files whose names its tools cannot write.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const strange = packed([dir("my_app"), file("my_app/end\r", "1"), file("my_app/plain", "1")])
      yield* session.prepare
      yield* put(session, strange)
      assert.deepStrictEqual(yield* session.verify([strange.ref]), [{ ref: strange.ref, faults: [] }])
      const folder = join(home, "app/releases", `deployer_${strange.ref}`, "my_app")
      writeFileSync(join(folder, "end\r"), "2")
      assert.deepStrictEqual((yield* session.verify([strange.ref]))[0]?.faults, ["changed my_app/end"])
      rmSync(join(folder, "end\r"))
      assert.deepStrictEqual((yield* session.verify([strange.ref]))[0]?.faults, ["missing my_app/end"])
    }).pipe(Effect.scoped)
  )

  it.live("A host notices a manifest that was cut.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      yield* session.prepare
      yield* put(session, odd)
      const manifest = join(home, "app/releases", `deployer_${odd.ref}`, ".deployer_manifest")
      const lines = manifestLines(odd.manifest) ?? []
      for (const kept of [[], lines.slice(0, 5), [...lines.slice(0, 4), ...lines.slice(5)]]) {
        writeFileSync(manifest, kept.map((line) => `${line}\n`).join(""))
        assert.include((yield* session.verify([odd.ref]))[0]?.faults ?? [], "changed .deployer_manifest")
      }
    }).pipe(Effect.scoped)
  )

  it.live("A switch and a removal clear the leftovers of dead runs.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const releases = join(home, "app/releases")
      const [one, two] = [sample("1"), sample("2")]
      yield* session.prepare
      yield* put(session, one)
      yield* put(session, two, 2)
      symlinkSync(`deployer_${refOf("F")}`, join(releases, ".current.4194999"))
      // Its end shows that it is somebody else's.
      symlinkSync("/opt/other", join(releases, ".current.4194998"))
      mkdirSync(join(releases, `.trash_${one.ref}_1`))
      yield* session.activate(two.ref)
      yield* session.remove([one.ref])
      assert.sameMembers(readdirSync(releases), ["current", ".current.4194998", `deployer_${two.ref}`])
      rmSync(releases, { recursive: true })
    }).pipe(Effect.scoped)
  )

  it.live("Taking the lock clears the leftovers of killed runs.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const [config, releases] = [join(home, "app/config"), join(home, "app/releases")]
      const one = sample("1")
      yield* session.prepare
      yield* put(session, one)
      const whole = readdirSync(join(releases, `deployer_${one.ref}`))
      // As if they were alive: a dead process that nobody waits for looks the same.
      for (const name of [".lock", ".beat"]) writeFileSync(join(config, `${name}.${process.pid}`), "")
      writeFileSync(join(releases, `deployer_${one.ref}/.deployer_release.json.${process.pid}`), "")
      symlinkSync(`deployer_${refOf("F")}`, join(releases, `.current.${process.pid}`))
      symlinkSync("deployer_old", join(releases, ".current.2026"))
      // A host that went back by itself, or an mv that needs a folder for the link, was interrupted.
      symlinkSync(`deployer_${refOf("F")}`, join(releases, `.back.${process.pid}`))
      for (const name of [".current.1.d", ".back.1.d", ".current.2.d"]) mkdirSync(join(releases, name))
      symlinkSync(`deployer_${refOf("F")}`, join(releases, ".current.1.d/current"))
      symlinkSync("/opt/other", join(releases, ".current.2.d/current"))
      mkdirSync(join(releases, `.trash_${one.ref}_1/bin`), { recursive: true })
      chmodSync(join(releases, `.trash_${one.ref}_1/bin`), 0o500)
      const details = LockDetails.make({
        by: "tester@laptop",
        reason: "deploy",
        since: DateTime.unsafeMake(0),
        nonce: "n-1",
        held: false
      })
      yield* Effect.scoped(session.lock(details))
      assert.sameMembers(readdirSync(releases), [".current.2.d", ".current.2026", `deployer_${one.ref}`])
      assert.sameMembers(readdirSync(join(releases, `deployer_${one.ref}`)), whole)
      assert.sameMembers(readdirSync(config), ["lock.1", "beat.1", ".spare"])
    }).pipe(Effect.scoped)
  )

  it.live("A release whose replacement was cut between its two renames is back when the lock is taken.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const releases = join(home, "app/releases")
      const [one, two] = [sample("1"), sample("2")]
      yield* session.prepare
      yield* put(session, one)
      yield* put(session, two, 2)
      yield* session.activate(one.ref)
      renameSync(join(releases, `deployer_${one.ref}`), join(releases, `.replaced_${one.ref}_1`))
      // This one was cut a moment later.
      mkdirSync(join(releases, `.replaced_${two.ref}_1`))
      writeFileSync(join(releases, `.replaced_${two.ref}_1/.deployer_manifest`), "")
      const details = LockDetails.make({
        by: "tester@laptop",
        reason: "deploy",
        since: DateTime.unsafeMake(0),
        nonce: "n-1",
        held: false
      })
      yield* Effect.scoped(session.lock(details))
      assert.sameMembers(readdirSync(releases), ["current", `deployer_${one.ref}`, `deployer_${two.ref}`])
      assert.deepStrictEqual(
        (yield* session.verify([one.ref, two.ref])).map(({ faults }) => faults),
        [[], []]
      )
    }).pipe(Effect.scoped)
  )
})

describe("surroundings", () => {
  const held = LockDetails.make({
    by: "tester@laptop",
    reason: "deploy",
    since: DateTime.unsafeMake(0),
    nonce: "n-1",
    held: false
  })
  it.live("A home that is not a folder and settings of bash do not disturb a deployment.", () =>
    Effect.gen(function* () {
      const bash = yield* userland.emptyFolder("programs")
      symlinkSync(userland.which("bash") ?? assert.fail("there is no bash"), join(bash, "sh"))
      const settings = {
        PATH: `${bash}:${process.env["PATH"]}`,
        SHELLOPTS: "errexit:keyword:noclobber:noglob:nounset:xtrace",
        BASHOPTS: "failglob:nocasematch"
      }
      for (const env of [{ HOME: "/nonexistent" }, { HOME: "/dev/null" }, settings]) {
        const home = yield* userland.emptyFolder("home")
        const target = sampleTarget({ host: "local", path: join(home, "app") })
        const session = makeSession(target, LocalTransport.make(target, env))
        const one = sample("1")
        yield* session.prepare
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* session.lock(held)
            yield* put(session, one)
            yield* session.activate(one.ref)
          })
        )
        const state = yield* session.inspect
        assert.deepStrictEqual([state.current, state.lock], [{ _tag: "Linked", ref: one.ref }, undefined])
      }
    }).pipe(Effect.scoped)
  )

  it.live("The journal is read correctly even if a link or a folder takes the place of the facts file.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const one = sample("1")
      yield* session.prepare
      const line = JSON.stringify({ event: "locked", at: "2026-01-02T03:04:05.000Z", by: "tester@laptop" })
      writeFileSync(join(home, "app/config/journal"), `${line}\n`.repeat(2000))
      yield* session.note([entryAbout(one, { event: "pinned" })])
      const facts = join(home, "app/config/facts")
      for (const make of [
        () => symlinkSync("/dev/zero", facts),
        () => mkdirSync(join(facts, "deep"), { recursive: true })
      ]) {
        make()
        for (const _ of [1, 2]) {
          assert.strictEqual((yield* session.inspect).journal.at(-1)?.event, "pinned")
        }
        assert.isTrue(lstatSync(facts).isFile())
        rmSync(facts)
      }
    }).pipe(Effect.scoped)
  )

  it.live("The process list never shows the command that a dead-man's switch waits to run.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const one = sample("1")
      yield* session.prepare
      yield* put(session, one)
      const back = { ref: one.ref, name: "my_app" }
      const command = `TOKEN=secret-of-${process.pid} true; echo ran > ${join(home, "ran")}`
      yield* session.arm({ ref: "B".repeat(32), back, command, seconds: 60 })
      const lines = commandLines()
      assert.isTrue(
        lines.some((line) => line.includes(one.ref)),
        "it waits"
      )
      assert.isFalse(lines.some((line) => line.includes(`secret-of-${process.pid}`)))
      yield* session.deactivate()
    }).pipe(Effect.scoped)
  )
})

describe("changes by commands of afterUnpack", () => {
  for (const [title, path, skip] of [
    ["its own tools", undefined, undefined],
    ["BusyBox", userland.busybox(), userland.missingBusybox]
  ] as const) {
    const test = skip === undefined ? it.live : it.live.skip
    test(`A host with ${title} excuses the changes of afterUnpack, but no damage below a directory with a changed mode.`, () =>
      Effect.gen(function* () {
        const { home, session } = yield* local(path)
        const many = Array.from({ length: 300 }, (_, n) => file(`my_app/many/file ${n}`, `${n}`))
        const names = ["it's", "back\\slash", " blank ", "ünï", "a'b\"c$d"].map((name) => file(`my_app/${name}`, name))
        const release = packed([
          dir("my_app"),
          dir("my_app/bin"),
          dir("my_app/many"),
          dir("my_app/sub"),
          ...many,
          ...names,
          file("my_app/bin/run", "x"),
          file("my_app/sub/deep", "x")
        ])
        yield* session.prepare
        yield* put(session, release)
        const folder = join(home, "app/releases", `deployer_${release.ref}`)
        const faults = Effect.map(session.verify([release.ref]), (verdicts) => verdicts[0]?.faults)
        chmodSync(join(folder, "my_app"), 0o775)
        chmodSync(join(folder, "my_app/sub"), 0o770)
        for (const { path } of [...many, ...names]) chmodSync(join(folder, path), 0o664)
        rmSync(join(folder, "my_app/bin"), { recursive: true })
        symlinkSync("/nowhere", join(folder, "my_app/bin"))
        assert.lengthOf(yield* session.alterations(release.ref), 2 + many.length + names.length + 2)
        assert.deepStrictEqual(yield* faults, [])
        writeFileSync(join(folder, "my_app/sub/deep"), "damage")
        writeFileSync(join(folder, "my_app/many/file 7"), "damage")
        writeFileSync(join(folder, "my_app/back\\slash"), "damage")
        rmSync(join(folder, "my_app/many/file 8"))
        assert.sameMembers(
          [...((yield* faults) ?? [])],
          [
            "changed my_app/sub/deep",
            "changed my_app/many/file 7",
            "changed my_app/back\\slash",
            "missing my_app/many/file 8"
          ]
        )
      }).pipe(Effect.scoped))
  }
})

describe("a folder that a team shares", () => {
  /** Everything in the folder below its group, with modes. */
  const permissions = (folder: string): Record<string, string> =>
    Object.fromEntries(
      ["", ...readdirSync(folder, { recursive: true, encoding: "utf8" })].sort().flatMap((name) => {
        const { gid, mode } = lstatSync(join(folder, name))
        return name.startsWith(".deployer_") ? [] : [[name, `${(mode & 0o777).toString(8)} ${gid}`]]
      })
    )
  const group = isRoot ? 54_321 : (process.getgid?.() ?? 0)
  const shared = Effect.fnUntraced(function* (path: Effect.Effect<string, never, Scope.Scope> | undefined) {
    const here = yield* local(path)
    yield* here.session.prepare
    for (const folder of ["", "config", "releases"]) {
      chownSync(join(here.home, "app", folder), process.getuid?.() ?? 0, group)
      chmodSync(join(here.home, "app", folder), 0o2775)
    }
    return here
  })
  const content = (version: string) => [
    dir("my_app"),
    dir("my_app/closed", 0o750),
    dir("my_app/closed/empty", 0o700),
    file("my_app/closed/key", noiseText(3000, 1), 0o640),
    dir(`my_app/lib-${version}`),
    file(`my_app/lib-${version}/code`, noiseText(3000, 3)),
    dir("my_app/moved"),
    file(`my_app/moved/${version}`, noiseText(3000, 4), 0o600),
    file("my_app/program", noiseText(30_000, 2), 0o755),
    file("my_app/version", version),
    symlink("my_app/link", "program")
  ]

  for (const [title, path, skip] of [
    ["its own tools", undefined, undefined],
    ["BusyBox", userland.busybox(), userland.missingBusybox]
  ] as const) {
    const test = skip === undefined ? it.live : it.live.skip
    /** The second of two releases, sent whole to one folder and completed from the first in another. Returns both trees. */
    const bothWays = Effect.fnUntraced(function* (
      prepared: (base: string) => unknown = () => {},
      { changed, hardLinks = false }: { changed?: (release: string) => unknown; hardLinks?: boolean } = {}
    ) {
      const whole = yield* shared(path)
      const completed = yield* shared(path)
      for (const { home } of [whole, completed]) prepared(join(home, "app"))
      const old = packed(content("1"))
      const next = packed(content("2"))
      yield* stage(whole.session, next)
      yield* put(completed.session, old)
      changed?.(join(completed.home, `app/releases/deployer_${old.ref}`))
      const origin = (yield* completed.session.origin(old.ref)) ?? assert.fail("there is no manifest")
      const less = differences(next.manifest, [origin]) ?? assert.fail("there are none")
      assert.isBelow(less.sent.size, 3)
      yield* completed.session.stage({
        ref: next.ref,
        manifest: next.manifest,
        from: 0,
        note: "n",
        shipment: {
          _tag: "Differences",
          differences: less,
          hardLinks,
          content: Stream.make(tarOf(next.tree.filter(({ path }) => less.sent.has(path))).subarray(0, -1024))
        }
      })
      return { whole, completed, old, next }
    })

    const acl = needs("setfacl")
    ;(skip === undefined ? acl.live : it.live.skip)(
      `A shared folder hands its default access list down to whole and completed releases (${title})${acl.because}.`,
      () =>
        Effect.gen(function* () {
          const lists = (base: string) =>
            execFileSync("getfacl", ["-RpnE", "."], { cwd: base, encoding: "utf8" }).replaceAll(
              /^# file: .*\.deployer_[\s\S]*?\n\n/gm,
              ""
            )
          const { completed, next, whole } = yield* bothWays((base) =>
            execFileSync("setfacl", ["-R", "-m", "d:u:23456:rwx,d:g:34567:rx", base])
          )
          const release = `app/releases/deployer_${next.ref}`
          const found = lists(join(completed.home, release))
          assert.strictEqual(found, lists(join(whole.home, release)))
          assert.match(found, /# file: \.\/my_app\/version\n[\s\S]*?\nuser:23456:rwx/)
        }).pipe(Effect.scoped)
    )

    ;(skip === undefined ? acl.live : it.live.skip)(
      `A release takes its access lists from its folder and not from the files that it reuses (${title})${acl.because}.`,
      () =>
        Effect.gen(function* () {
          const listed = (base: string, name: string) =>
            execFileSync("getfacl", ["-cpnE", join(base, name)], { encoding: "utf8" }).includes("user:23456:")
          for (const isAdded of [true, false]) {
            const { completed, next, old } = yield* bothWays(
              (base) => isAdded || execFileSync("setfacl", ["-R", "-m", "d:u:23456:rwx", base]),
              {
                changed: (release) =>
                  execFileSync(
                    "setfacl",
                    isAdded ? ["-m", "d:u:23456:rwx", join(release, "..")] : ["-k", join(release, "..")]
                  )
              }
            )
            const releases = join(completed.home, "app/releases")
            for (const name of [
              "my_app/version",
              "my_app/program",
              "my_app/moved/2",
              "my_app/closed",
              "my_app/closed/key"
            ]) {
              assert.strictEqual(listed(join(releases, `deployer_${next.ref}`), name), isAdded, name)
            }
            assert.strictEqual(listed(join(releases, `deployer_${old.ref}`), "my_app/program"), !isAdded)
          }
        }).pipe(Effect.scoped)
    )

    ;(skip === undefined ? acl.live : it.live.skip)(
      `Releases keep their modes, whatever the default access list of a shared folder (${title})${acl.because}.`,
      () =>
        Effect.gen(function* () {
          for (const list of ["d:o::---", "d:g:34567:rwx,d:o::---", "d:u::rwx,d:g::---,d:o::---,d:u:23456:rx"]) {
            const { completed, next, whole } = yield* bothWays((base) =>
              execFileSync("setfacl", ["-R", "-m", list, base])
            )
            for (const { home } of [completed, whole]) {
              const found = permissions(join(home, `app/releases/deployer_${next.ref}`))
              assert.match(found["my_app/version"] ?? "", /^644 /, list)
              assert.match(found["my_app/program"] ?? "", /^755 /, list)
              assert.match(found["my_app/closed"] ?? "", /^770 /, list)
            }
          }
        }).pipe(Effect.scoped)
    )

    test(`A shared folder on a host with ${title} hands its group down to releases, whole or completed from others.`, () =>
      Effect.gen(function* () {
        const { completed, next, whole } = yield* bothWays()
        const found = permissions(join(completed.home, `app/releases/deployer_${next.ref}`))
        assert.deepStrictEqual(found, permissions(join(whole.home, `app/releases/deployer_${next.ref}`)))
        for (const [name, told] of Object.entries(found)) assert.match(told, new RegExp(` ${group}$`), name)
        assert.match(found["my_app/closed/key"] ?? "", /^640 /)
        // Everybody of the group can remove it again.
        assert.match(found["my_app/closed"] ?? "", /^770 /)
        assert.match(found[`my_app/lib-2`] ?? "", /^775 /)
        // Each member of the group can write to the journal.
        yield* completed.session.note([entryAbout(next)])
        assert.strictEqual(statSync(join(completed.home, "app/config/journal")).mode & 0o060, 0o060)
      }).pipe(Effect.scoped))

    for (const [how, hardLinks] of [
      ["copies", false],
      ["links", true]
    ] as const) {
      const asRoot = isRoot && skip === undefined ? it.live : it.live.skip
      asRoot(`A release that ${how} files of others belongs to its login, not to them (${title}).`, () =>
        Effect.gen(function* () {
          const owners = (folder: string) =>
            Object.fromEntries(
              readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => {
                const { gid, uid } = lstatSync(join(folder, name))
                return [name, `${uid}:${gid}`]
              })
            )
          const unshared = (base: string) => {
            for (const folder of ["", "config", "releases"]) chmodSync(join(base, folder), 0o755)
            for (const folder of ["", "config", "releases"]) chownSync(join(base, folder), 0, 0)
          }
          const { completed, next, old, whole } = yield* bothWays(unshared, {
            hardLinks,
            changed: (release) => execFileSync("chown", ["-hR", "1234:1235", join(release, "my_app")])
          })
          const release = `app/releases/deployer_${next.ref}`
          const found = owners(join(completed.home, release))
          assert.deepStrictEqual(found, owners(join(whole.home, release)))
          const before = owners(join(completed.home, `app/releases/deployer_${old.ref}/my_app`))
          assert.deepStrictEqual([...new Set(Object.values(before))], ["1234:1235"])
        }).pipe(Effect.scoped)
      )
    }

    for (const [where, prepared] of [
      [
        "behind a link",
        (base: string) => {
          renameSync(base, `${base}.real`)
          symlinkSync("app.real", base)
        }
      ],
      [
        "that is only the folder of releases",
        (base: string) => {
          for (const folder of ["", "config"]) {
            chownSync(join(base, folder), process.getuid?.() ?? 0, process.getgid?.() ?? 0)
            chmodSync(join(base, folder), 0o755)
          }
        }
      ]
    ] as const) {
      test(`A shared folder ${where} hands its group down to releases, whole or completed from others (${title}).`, () =>
        Effect.gen(function* () {
          const { completed, next, whole } = yield* bothWays(prepared)
          const found = permissions(join(completed.home, `app/releases/deployer_${next.ref}`))
          assert.deepStrictEqual(found, permissions(join(whole.home, `app/releases/deployer_${next.ref}`)))
          for (const [name, told] of Object.entries(found)) assert.match(told, new RegExp(` ${group}$`), name)
        }).pipe(Effect.scoped))
    }
  }

  asNobody.live(
    `A shared folder is refused at the first look if the journal in it is somebody else's${asNobody.because}.`,
    () =>
      Effect.gen(function* () {
        const { env, home, session } = yield* local(userland.own())
        yield* session.prepare
        yield* session.note([entryAbout(odd)])
        for (const folder of ["", "config", "releases"]) chmodSync(join(home, "app", folder), 0o777)
        chmodSync(join(home, "app/config/journal"), 0o444)
        asNobody.become(env.PATH ?? "", home)
        assert.strictEqual((yield* session.inspect).base, "not-writable")
      }).pipe(Effect.scoped)
  )
})

describe("a connection that is lost", () => {
  it.live("A lost connection costs none of the uploaded bytes.", () =>
    Effect.gen(function* () {
      const { env, session } = yield* local(undefined)
      const target = sampleTarget({ host: "local", path: "app" })
      const transport = LocalTransport.make(target, env)
      // To the script it looks like the end of its input.
      const cut = makeSession(target, {
        ...transport,
        exec: (exec) =>
          transport.exec(
            exec.stdin === undefined
              ? exec
              : {
                  ...exec,
                  stdin: Stream.take(
                    Stream.map(exec.stdin, (chunk) => chunk.subarray(0, 500)),
                    1
                  )
                }
          )
      })
      yield* session.prepare
      assert.match((yield* Effect.flip(stage(cut, odd))).message, /500 of [0-9]+ bytes arrived/)
      assert.deepInclude((yield* session.inspect).unfinished[0], { kind: "upload", received: 500 })
      yield* stage(session, odd, { from: 500 })
    }).pipe(Effect.scoped)
  )

  const goesOn = ({ failure, faults, received, second, size }: CutAndResumed) => {
    assert.strictEqual(failure, "ReleaseCorrupt")
    // Hex digits shrink to half, and a bit more.
    assert.isAbove(received, 2_500_000)
    assert.isBelow(received, size)
    assert.approximately(second / (size - received), 0.55, 0.05)
    assert.deepStrictEqual(faults, ["missing .deployer_release.json"])
  }

  for (const [name, programs] of [
    ["GNU", undefined],
    ["BusyBox", userland.busybox()]
  ] as const) {
    const place = Effect.gen(function* () {
      return { home: yield* userland.emptyFolder("home"), path: programs === undefined ? undefined : yield* programs }
    })
    const there = Effect.flatMap(place, ({ home, path }) => completing(home, path))

    it.live(`An upload of differences resumes after a cut in the middle (${name}).`, () =>
      Effect.gen(function* () {
        const { home, path } = yield* place
        const done = yield* cutAndResumed(home, path, 1_500_000)
        goesOn(done)
        assert.strictEqual(done.magic.slice(0, 4), "1f8b")
      }).pipe(Effect.scoped)
    )

    const zstd = missingZstd === undefined ? it.live : it.live.skip
    zstd(titled(`An upload of differences in zstd resumes after a cut in the middle (${name}).`, missingZstd), () =>
      Effect.gen(function* () {
        const { path } = yield* place
        // BusyBox has none of its own.
        if (path !== undefined) symlinkSync(userland.which("zstd") ?? assert.fail("no zstd"), join(path, "zstd"))
        const program = new URL("../kit/cutAndResumed.ts", import.meta.url).pathname
        const args = [program, ...(path === undefined ? [] : [path])]
        const done: CutAndResumed = JSON.parse(
          execFileSync(nodeWithZstd ?? assert.fail("no NODE_WITH_ZSTD"), args, { encoding: "utf8" })
        )
        goesOn(done)
        assert.strictEqual(done.magic, "28b52ffd")
      }).pipe(Effect.scoped)
    )

    it.live(`An upload of differences resumes if only the end of its compression is missing (${name}).`, () =>
      Effect.gen(function* () {
        const { received, send, session, next } = yield* there
        const all = yield* send(0)
        yield* session.discard(Unfinished.make({ ref: next.ref, kind: "release", received: 0 }))
        assert.strictEqual((yield* Effect.flip(send(0, { after: all.length - 1 })))._tag, "ReleaseCorrupt")
        const from = (yield* received) ?? assert.fail("nothing is left")
        assert.isBelow((yield* send(from)).length, 100_000)
        assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, ["missing .deployer_release.json"])
      }).pipe(Effect.scoped)
    )

    it.live(`An upload of differences keeps nothing that was damaged after a cut (${name}).`, () =>
      Effect.gen(function* () {
        const { part, received, send } = yield* there
        for (const damage of [
          (content: Buffer) =>
            content.fill("x", content.indexOf("my_app/file 1"), content.indexOf("my_app/file 1") + 600),
          (content: Buffer) => content.fill("x", content.length - 5000)
        ]) {
          yield* Effect.flip(send(0, { after: 1_500_000 }))
          writeFileSync(part, damage(readFileSync(part)))
          const refused = yield* Effect.flip(send((yield* received) ?? 0))
          assert.strictEqual(refused._tag, "ReleaseCorrupt")
          assert.isUndefined(yield* received)
        }
        yield* send(0)
      }).pipe(Effect.scoped)
    )

    it.live(
      `An upload of differences is not mixed up with data that an earlier connection still holds (${name}).`,
      () =>
        Effect.gen(function* () {
          const { next, received, send, session } = yield* there
          // The host hears late that this connection is gone, and unpacks the bytes that it has held back then.
          const first = yield* Effect.fork(Effect.flip(send(0, { after: 500_123, hangsUp: "2 seconds" })))
          yield* Effect.sleep("1 second")
          const from = (yield* received) ?? assert.fail("nothing arrived")
          const second = yield* Effect.fork(Effect.flip(send(from, { after: 400_077, hangsUp: "2 seconds" })))
          yield* Fiber.join(first)
          yield* Fiber.join(second)
          const kept = (yield* received) ?? assert.fail("nothing is left")
          assert.isAbove(kept, from)
          yield* send(kept)
          assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, ["missing .deployer_release.json"])
        }).pipe(Effect.scoped)
    )
  }

  it.live("An upload of differences does not resume from another kind of stream.", () =>
    Effect.gen(function* () {
      const { part, received, send } = yield* completing(yield* userland.emptyFolder("home"), undefined)
      yield* Effect.flip(send(0, { after: 1_500_000 }))
      // The leftover of another kind of stream is not used.
      renameSync(part, `${part}.gz`)
      assert.strictEqual(yield* received, 0)
      yield* send(0)
    }).pipe(Effect.scoped)
  )

  it.live("An upload of differences keeps the received bytes even if it is cut right after a file.", () =>
    Effect.gen(function* () {
      const { env, session } = yield* local(undefined)
      const target = sampleTarget({ host: "local", path: "app" })
      const transport = LocalTransport.make(target, env)
      // Only the last entry is missing, an empty one that says so, and the end of the archive.
      const shortened = (all: Uint8Array) => gzipSync(gunzipSync(all).subarray(0, -1536))
      const cut = makeSession(target, {
        ...transport,
        exec: (exec) => {
          if (exec.stdin === undefined) return transport.exec(exec)
          const whole = Stream.runFold(exec.stdin, Buffer.alloc(0), (all, chunk) => Buffer.concat([all, chunk]))
          return transport.exec({
            ...exec,
            stdin: Stream.mapEffect(Stream.make(0), () => Effect.map(whole, shortened))
          })
        }
      })
      const one = sample("1")
      yield* session.prepare
      yield* put(session, one)
      const next = packed(
        one.tree.map((entry) => (entry.path === "my_app/version" ? file(entry.path, "next", entry.mode) : entry))
      )
      const origin = (yield* session.origin(one.ref)) ?? assert.fail("there is none")
      const found = differences(next.manifest, [origin]) ?? assert.fail("there are none")
      const content = Stream.make(tarOf(next.tree.filter(({ path }) => found.sent.has(path))).subarray(0, -1024))
      const send = (to: HostSession) =>
        to.stage({
          ref: next.ref,
          manifest: next.manifest,
          from: 0,
          note: "n",
          shipment: { _tag: "Differences", differences: found, hardLinks: false, content }
        })
      assert.strictEqual((yield* Effect.flip(send(cut)))._tag, "ReleaseCorrupt")
      assert.deepInclude((yield* session.inspect).unfinished[0], { kind: "upload", stream: `from_${one.ref}` })
      yield* send(session)
      assert.deepInclude((yield* session.inspect).unfinished[0], { kind: "release", ref: next.ref })
    }).pipe(Effect.scoped)
  )
})

describe("differences", () => {
  /** Programs that stand before those of this machine. */
  const withPrograms = (scripts: Readonly<Record<string, string>>) =>
    Effect.map(userland.emptyFolder("programs"), (folder) => {
      for (const [name, script] of Object.entries(scripts)) {
        const real = userland.which(name) ?? assert.fail(`there is no ${name}`)
        writeFileSync(join(folder, name), `#!/bin/sh\nreal=${real}\n${script}\nexec "$real" "$@"\n`, { mode: 0o755 })
      }
      return `${folder}:${process.env["PATH"]}`
    })

  const sending = (session: HostSession, old: Packed, next: Packed) =>
    Effect.gen(function* () {
      const origin = (yield* session.origin(old.ref)) ?? assert.fail("there is none")
      const found = differences(next.manifest, [origin]) ?? assert.fail("there are none")
      const content = tarOf(next.tree.filter(({ path }) => found.sent.has(path))).subarray(0, -1024)
      const send = <E>(content: Stream.Stream<Uint8Array, E>) =>
        session.stage({
          ref: next.ref,
          manifest: next.manifest,
          from: 0,
          note: "n",
          shipment: { _tag: "Differences", differences: found, hardLinks: false, content }
        })
      return { content, send }
    })

  it.live("A list that awk cut without an error proves nothing, and a damaged file is refused.", () =>
    Effect.gen(function* () {
      const path = withPrograms({
        awk: `case "$*" in *"proved["*) exit 0 ;; esac`,
        // A full disk cuts a file that is made from another one.
        cp: `case "$*" in --help | *--parents*) ;; *) for to; do :; done; "$real" "$@" && : > "$to"; exit ;; esac`
      })
      const { session } = yield* local(path)
      const long = "0123456789".repeat(100)
      const old = packed([dir("my_app"), file("my_app/old name", long), file("my_app/same", "same")])
      const next = packed([dir("my_app"), file("my_app/new name", long), file("my_app/same", "same")])
      yield* session.prepare
      yield* put(session, old)
      const { content, send } = yield* sending(session, old, next)
      const refused = yield* Effect.flip(send(Stream.make(content)))
      assert.deepInclude(refused, { _tag: "ReleaseCorrupt", what: ["my_app/new name"] })
    }).pipe(Effect.scoped)
  )

  asNobody.live(
    `Differences from a read-only folder are refused, and a whole upload succeeds${asNobody.because}.`,
    () =>
      Effect.gen(function* () {
        const { env, home, session } = yield* local(userland.emptyFolder("programs"))
        const programs = env.PATH ?? ""
        env.PATH = `${programs}:${process.env["PATH"]}`
        if (isRoot) chownSync(home, 65534, 65534)
        asNobody.become(programs, home)
        const same = [dir("my_app"), dir("my_app/lib"), file("my_app/lib/same", "same ".repeat(1000))]
        const [old, next] = [
          packed([...same, file("my_app/version", "1")]),
          packed([...same, file("my_app/version", "2")])
        ]
        yield* session.prepare
        yield* put(session, old)
        chmodSync(join(home, "app/releases", `deployer_${old.ref}`, "my_app/lib"), 0o555)
        const { content, send } = yield* sending(session, old, next)
        assert.deepInclude(yield* Effect.flip(send(Stream.make(content))), { _tag: "ReleaseCorrupt" })
        // The step with which the deployment continues.
        yield* put(session, next, 2)
        assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, [])
      }).pipe(Effect.scoped)
  )

  it.live("Differences that were cut during their copying do not disturb the next upload, and leave nothing.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(withPrograms({ xargs: "sleep 0.4" }))
      const many = Array.from({ length: 1500 }, (_, n) => file(`my_app/file-${n}`, `${n}`))
      const old = packed([dir("my_app"), ...many])
      const next = packed([dir("my_app"), ...many, file("my_app/new", "new")])
      yield* session.prepare
      yield* put(session, old)
      const { content, send } = yield* sending(session, old, next)
      const releases = join(home, "app/releases")
      const late = Stream.fromEffect(Effect.zipRight(Effect.sleep("600 millis"), Effect.fail("cut")))
      assert.strictEqual(yield* Effect.flip(send(late)), "cut")
      yield* session.discard(Unfinished.make({ ref: next.ref, kind: "upload", received: 0 }))
      yield* Effect.sleep("1 second")
      assert.deepStrictEqual(readdirSync(releases), [`deployer_${old.ref}`])
      // Another one right behind it.
      assert.strictEqual(yield* Effect.flip(send(late)), "cut")
      yield* send(Stream.make(content))
      assert.deepStrictEqual((yield* session.verify([next.ref]))[0]?.faults, ["missing .deployer_release.json"])
      yield* Effect.sleep("1 second")
      assert.sameMembers(readdirSync(releases), [`deployer_${old.ref}`, `deployer_${next.ref}`])
    }).pipe(Effect.scoped)
  )
})

describe("each step", () => {
  it.live("Each step is one run of sh.", () =>
    Effect.gen(function* () {
      const home = yield* userland.emptyFolder("home")
      const target = sampleTarget({ host: "local", path: "app" })
      const transport = LocalTransport.make(target, { HOME: home })
      let runs = 0
      const session = makeSession(target, {
        ...transport,
        exec: (exec) => {
          runs += 1
          return transport.exec(exec)
        }
      })
      const one = sample("1")
      const steps: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        session.inspect,
        session.prepare,
        stage(session, one),
        session.origin(one.ref),
        session.record(one.record),
        session.activate(one.ref),
        session.verify([one.ref]),
        session.usage([one.ref]),
        session.note([entryAbout(one)]),
        session.run("true", { name: "my_app" }),
        session.deactivate(),
        session.remove([one.ref]),
        session.discard(Unfinished.make({ ref: one.ref, kind: "upload", received: 0 }))
      ]
      for (const [index, step] of steps.entries()) {
        yield* step
        assert.strictEqual(runs, index + 1)
      }
    }).pipe(Effect.scoped)
  )
})

describe("probes over TLS", () => {
  const { because, live } = needs("openssl")
  live(`A probe over HTTPS refuses a self-signed certificate${because}.`, () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      const key = join(home, "key.pem")
      const certificate = join(home, "cert.pem")
      const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
      execFileSync("openssl", [...request, "-keyout", key, "-out", certificate], { stdio: "ignore" })
      const port = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const options = { key: readFileSync(key), cert: readFileSync(certificate) }
          const server = createServer(options, (_, response) => response.end("well")).listen(0, "127.0.0.1")
          await once(server, "listening")
          return server
        }),
        (server) => Effect.sync(() => server.close())
      ).pipe(Effect.map((server) => Number(Object(server.address()).port)))
      const secure = { _tag: "Http", url: `https://localhost:${port}/` } as const
      assert.deepStrictEqual(yield* session.probe(secure, Duration.seconds(5)), {
        ok: false,
        detail: "no answer (self-signed certificate)"
      })
      const plain = { _tag: "Http", url: `http://localhost:${port}/` } as const
      assert.isFalse((yield* session.probe(plain, Duration.seconds(5))).ok)
    }).pipe(Effect.scoped)
  )
})

describe("loginPath", () => {
  it("The login path leaves out parts that mean nothing.", () => {
    for (const [written, expected] of [
      ["/srv/app/", "/srv/app"],
      ["//srv//./app", "/srv/app"],
      ["~/app", "app"],
      ["~//app/.", "app"],
      ["./app", "app"],
      ["app/~", "app/~"]
    ] as const) {
      assert.strictEqual(loginPath(written), expected)
    }
  })
})

describe("manifestLines", () => {
  it("A manifest that cannot be written line by line is refused.", () => {
    assert.isUndefined(manifestLines([{ _tag: "Directory", path: "a\nb", mode: 0 }]))
    assert.isUndefined(manifestLines([{ _tag: "Symlink", path: "a", to: "b\nc" }]))
    assert.isUndefined(manifestLines([{ _tag: "Hardlink", path: "a", to: "b" }]))
    assert.isUndefined(manifestLines([{ _tag: "Hardlink", path: "a", to: "a" }]))
  })
})

describe("promises that hold over time", () => {
  const one = sample("1")
  const details = LockDetails.make({
    by: "tester@laptop",
    reason: "test",
    since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
    nonce: "n-1",
    held: false
  })

  /** A PATH in which some programs are scripts of the test; `real` is the path of the true one. */
  const replaced = (programs: Readonly<Record<string, (real: string) => string>>) =>
    Effect.map(userland.emptyFolder("bin"), (folder) => {
      for (const [name, text] of Object.entries(programs)) {
        writeFileSync(join(folder, name), `#!/bin/sh\n${text(userland.which(name) ?? name)}\n`, { mode: 0o755 })
      }
      return `${folder}:${process.env["PATH"]}`
    })

  it.live("Before a release becomes current, the host writes its files to the disk.", () =>
    Effect.gen(function* () {
      const log = join(yield* userland.emptyFolder("log"), "log")
      const path = replaced({
        sync: (real) => `echo sync $(readlink app/releases/current) >>"${log}"\nexec ${real} "$@"`,
        mv: (real) => `case "$*" in *" current") echo switch >>"${log}" ;; esac\nexec ${real} "$@"`
      })
      const { home, session } = yield* local(path)
      yield* session.prepare
      yield* put(session, one)
      yield* session.activate(one.ref)
      assert.deepStrictEqual(readFileSync(log, "utf8").trim().split("\n"), ["sync", "switch"])
      assert.isTrue(statSync(join(home, "app/releases/current")).isDirectory())
    }).pipe(Effect.scoped)
  )

  it.live("A removal that was cut is written to the journal when the lock is taken next.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      yield* session.prepare
      yield* put(session, one)
      const config = join(home, "app/config")
      writeFileSync(
        join(config, "removing"),
        `${JSON.stringify({ event: "removed", at: "2026-01-02T03:04:05.000Z", by: 'a "ref":"', release: { name: "my_app", ref: one.ref } })}\n`
      )
      // It was cut before its work began: then the journal has no line about it.
      yield* Effect.scoped(session.lock(details))
      assert.deepStrictEqual((yield* session.inspect).journal, [])
      writeFileSync(
        join(config, "removing"),
        `${JSON.stringify({ event: "removed", at: "2026-01-02T03:04:05.000Z", by: "x", release: { name: "my_app", ref: one.ref } })}\n`
      )
      renameSync(join(home, `app/releases/deployer_${one.ref}`), join(home, `app/releases/.trash_${one.ref}_1`))
      // A login that cannot write it leaves it to the next one.
      mkdirSync(join(config, "journal"))
      yield* Effect.scoped(session.lock(details))
      rmdirSync(join(config, "journal"))
      yield* Effect.scoped(session.lock(details))
      assert.deepStrictEqual(
        (yield* session.history(10)).entries.map(({ event, release }) => [event, release?.ref]),
        [["removed", one.ref]]
      )
      assert.notInclude(readdirSync(config), "removing")
    }).pipe(Effect.scoped)
  )

  ;(isRoot ? asNobody.live : it.live.skip)(
    `Files that may not be removed are named once, the removal is written down, and they cost no later step time${isRoot ? "." : " (skipped: not root)."}`,
    () =>
      Effect.gen(function* () {
        const { env, home, session } = yield* local(userland.own())
        chownSync(home, 65534, 65534)
        asNobody.become(env.PATH ?? "", home)
        yield* session.prepare
        yield* put(session, one)
        const releases = join(home, "app/releases")
        // Of root, in a folder of root's.
        mkdirSync(join(releases, `deployer_${one.ref}/my_app/cache`))
        writeFileSync(join(releases, `deployer_${one.ref}/my_app/cache/of another`), "")
        yield* session.remove([one.ref], [entryAbout(one, { event: "removed" })])
        const journal = readFileSync(join(home, "app/config/journal"), "utf8")
        assert.strictEqual(JSON.parse(journal).event, "removed")
        const [stuck = ""] = readdirSync(releases).filter((name) => name.startsWith(".stuck_"))
        assert.include(stuck, one.ref)
        const began = performance.now()
        yield* Effect.scoped(session.lock(details))
        assert.isBelow(performance.now() - began, 2500)
      }).pipe(Effect.scoped)
  )

  it.live(
    "A journal, a lock or a sign of life that is a pipe or a device blocks no step, and nothing counts as written.",
    () =>
      Effect.gen(function* () {
        const { home, session } = yield* local(userland.own())
        const config = join(home, "app/config")
        yield* session.prepare
        yield* put(session, one)
        yield* Effect.scoped(session.lock(details))
        for (const name of readdirSync(config).filter((name) => /^(?:lock|beat)\./.test(name))) {
          rmSync(join(config, name))
          execFileSync("mkfifo", [join(config, name)])
        }
        const journal = join(config, "journal")
        for (const make of [() => execFileSync("mkfifo", [journal]), () => symlinkSync("/dev/null", journal)]) {
          rmSync(journal, { force: true })
          make()
          assert.deepStrictEqual((yield* session.inspect).journal, [])
          yield* Effect.scoped(session.lock(details))
          const failed = yield* Effect.flip(session.note([entryAbout(one)]))
          assert.include(failed.message, `${journal} is not a file: move it away`)
        }
      }).pipe(Effect.timeout("30 seconds"), Effect.scoped)
  )

  it.live("A SHA-256 program that finds nothing wrong with a wrong line is not believed.", () =>
    Effect.gen(function* () {
      const path = replaced({
        sha256sum: (real) => `case "$1" in -c) cat >/dev/null; exit 0 ;; esac\nexec ${real} "$@"`
      })
      const { home, session } = yield* local(path)
      yield* session.prepare
      yield* put(session, one)
      writeFileSync(join(home, `app/releases/deployer_${one.ref}/my_app/version`), "2")
      assert.deepStrictEqual(yield* session.verify([one.ref]), [{ ref: one.ref, faults: ["changed my_app/version"] }])
    }).pipe(Effect.scoped)
  )

  it.live("A program that computes another SHA-256 is refused in words.", () =>
    Effect.gen(function* () {
      const path = replaced({ sha256sum: () => "cat >/dev/null; echo 0000" })
      const { session } = yield* local(path)
      yield* session.prepare
      const refused = yield* Effect.flip(stage(session, one))
      assert.include(refused.message, "does not compute SHA-256 as it should")
    }).pipe(Effect.scoped)
  )

  it.live("The host's environment does not change a step, and a user's command gets it unchanged.", () =>
    Effect.gen(function* () {
      const home = yield* userland.emptyFolder("home")
      const odd = {
        TAR_OPTIONS: "--exclude=*",
        GZIP: "-t",
        POSIXLY_CORRECT: "1",
        CDPATH: "/tmp",
        QUOTING_STYLE: "c",
        TMPDIR: "/nowhere"
      }
      const target = sampleTarget({ host: "local", path: "app" })
      const session = makeSession(target, LocalTransport.make(target, { HOME: home, ...odd }))
      yield* session.prepare
      yield* put(session, one)
      assert.deepStrictEqual(yield* session.verify([one.ref]), [{ ref: one.ref, faults: [] }])
      const { output } = yield* session.run('echo "$TMPDIR $TAR_OPTIONS"', { ref: one.ref, name: "my_app" })
      assert.strictEqual(output, "/nowhere --exclude=*")
    }).pipe(Effect.scoped)
  )

  it.live("Nobody else may read an upload or the journal.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      yield* session.prepare
      const releases = join(home, "app/releases")
      // A default access list replaces the umask.
      if (userland.which("setfacl") !== undefined) execFileSync("setfacl", ["-d", "-m", "o::rx", releases])
      yield* Effect.flip(stage(session, one, { to: 100, entries: [] }))
      const [staging = ""] = readdirSync(releases).filter((name) => name.startsWith(".staging_"))
      assert.strictEqual(statSync(join(releases, staging)).mode & 0o777, 0o700)
      yield* put(session, one, 1, [entryAbout(one)])
      assert.strictEqual(statSync(join(home, "app/config/journal")).mode & 0o007, 0)
      assert.strictEqual(statSync(join(releases, `deployer_${one.ref}`)).mode & 0o777, 0o755)
    }).pipe(Effect.scoped)
  )

  it.live("A command that the dead-man's switch starts ignores no signals, and is not in the process list.", () =>
    Effect.gen(function* () {
      const { home, session } = yield* local(undefined)
      yield* session.prepare
      yield* put(session, one)
      const two = sample("2")
      yield* put(session, two, 2)
      yield* session.activate(one.ref)
      const out = join(home, "ignored")
      const back = { ref: one.ref, name: "my_app" }
      const command = `grep SigIgn /proc/self/status > "${out}.new"; mv "${out}.new" "${out}"; : secret-of-${process.pid}; sleep 4; echo`
      const armed = yield* session.arm({ ref: two.ref, back, seconds: 5, command })
      yield* session.activate(two.ref, { armed })
      yield* Effect.sleep(Duration.seconds(7))
      const ignored = Number.parseInt(readFileSync(out, "utf8").split(":")[1]?.trim() ?? "f", 16)
      // HUP, INT, QUIT, TERM.
      assert.strictEqual(ignored & (1 | 2 | 4 | (1 << 14)), 0)
      const lines = commandLines()
      assert.isTrue(
        lines.some((line) => line.startsWith("sleep\x004")),
        "it still runs"
      )
      assert.isFalse(lines.some((line) => line.includes(`secret-of-${process.pid}`)))
    }).pipe(Effect.scoped)
  )
})
