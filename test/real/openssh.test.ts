/** Connections through the system's own `ssh`. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { TargetSettings } from "../../src/domain/Target.ts"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { listen } from "../kit/listen.ts"
import { project, reach } from "../kit/project.ts"
import { target } from "../kit/samples.ts"
import { makeKey, missing, missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

const absent = missingSshd ?? missing("ssh")
const scoped = absent === undefined ? it.scopedLive : it.scopedLive.skip

type Settings = Context.Tag.Service<typeof SshSettings>
type Fields = Partial<typeof TargetSettings.Encoded>

const connected = (
  host: Sshd,
  more: Fields = {},
  settings: Partial<Settings> = {},
  answers: ReadonlyArray<string> = []
) => {
  const to = target({
    host: host.host,
    port: host.port,
    user: host.user,
    sshKey: host.keyFile,
    path: "app",
    ssh: "openssh",
    ...more
  })
  return Effect.map(
    Effect.provide(
      connect(to, host.folder),
      Layer.mergeAll(
        NodeFileSystem.layer,
        Prompt.layerScripted(answers),
        Layer.succeed(SshSettings, { ...settingsFor(host), ...settings })
      )
    ),
    (transport) => ({ transport, session: makeSession(to, transport) })
  )
}

const sh = (script: string, args: ReadonlyArray<string> = []) =>
  ({ doing: "try it", script, args, wait: "command" }) as const

describe("the system's ssh", () => {
  scoped(titled("A command gets its words and its input, and returns its outputs and its status.", absent), () =>
    Effect.gen(function* () {
      const { transport } = yield* connected(yield* sshd())
      const words = ["a b", "it's", "$HOME", "\\", "a\nb", "\u0001", "ä", ""]
      const answer = yield* transport.exec({
        ...sh('for word; do printf "<%s>" "$word"; done; cat; echo trouble >&2; exit 7', words),
        stdin: Stream.make(Buffer.from("input\n"))
      })
      assert.strictEqual(answer.stdout, `${words.map((word) => `<${word}>`).join("")}input\n`)
      assert.strictEqual(answer.stderr, "trouble\n")
      assert.strictEqual(answer.exitCode, 7)
      const big = Buffer.alloc(5_000_000, "x")
      const echoed = yield* transport.exec({ ...sh("cat"), stdin: Stream.make(big), wait: "transfer" })
      assert.strictEqual(echoed.stdout.length, big.length)
      const many = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], (n) => transport.exec(sh(`echo ${n}; exit ${n}`)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        many.map(({ exitCode, stdout }) => `${stdout.trim()} ${exitCode}`),
        [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `${n} ${n}`)
      )
    })
  )

  scoped(titled("A command ends even if a program in the background keeps its output open.", absent), () =>
    Effect.gen(function* () {
      const { transport } = yield* connected(yield* sshd())
      let said = ""
      const began = Date.now()
      const { exitCode } = yield* transport.exec({
        ...sh("sleep 20 & echo started; echo oh >&2; exit 3"),
        onOutput: (chunk) =>
          Effect.sync(() => {
            said += Buffer.from(chunk).toString()
          })
      })
      assert.strictEqual(exitCode, 3)
      assert.isBelow(Date.now() - began, 10_000)
      assert.include(said, "started\n")
      assert.include(said, "oh\n")
      assert.notInclude(said, "deployer-")
    })
  )

  scoped(titled("A command is asked to end if its caller is interrupted.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const { transport } = yield* connected(host)
      const mark = path.join(host.folder, "mark")
      const fiber = yield* Effect.fork(
        transport.exec(sh(`trap "echo ended > ${mark}; exit" TERM; echo > ${mark}; while :; do sleep 0.1; done`))
      )
      while (!fs.existsSync(mark)) yield* Effect.sleep(50)
      yield* Fiber.interrupt(fiber)
      yield* Effect.sleep(500)
      assert.strictEqual(fs.readFileSync(mark, "utf8"), "ended\n")
    })
  )

  scoped(titled("Host keys are known, asked about, pinned or refused as they are without it.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const fingerprint = execFileSync("ssh-keygen", ["-lf", host.knownHosts], { encoding: "utf8" }).split(" ")[1] ?? ""
      const empty = path.join(host.folder, "empty")
      fs.writeFileSync(empty, "")
      const unknown = yield* Effect.flip(connected(host, {}, { knownHostsFile: empty }))
      assert.strictEqual(unknown._tag === "HostKeyRejected" && unknown.reason, "unknown", String(unknown))
      yield* connected(host, {}, { knownHostsFile: empty }, ["y"])
      assert.include(fs.readFileSync(empty, "utf8"), host.hostKey)
      yield* connected(host, { hostKey: fingerprint }, { knownHostsFile: "/nowhere" })
      const wrong = yield* Effect.flip(connected(host, { hostKey: `SHA256:${"A".repeat(43)}` }))
      assert.strictEqual(wrong._tag === "HostKeyRejected" && wrong.reason, "pinned", String(wrong))
      const other = execFileSync("ssh-keygen", ["-y", "-f", makeKey(path.join(host.folder, "other"))], {
        encoding: "utf8"
      })
      fs.writeFileSync(empty, `[127.0.0.1]:${host.port} ${other}`)
      const changed = yield* Effect.flip(connected(host, {}, { knownHostsFile: empty }))
      assert.strictEqual(changed._tag === "HostKeyRejected" && changed.reason, "changed", String(changed))
    })
  )

  scoped(
    titled("A passphrase is asked for, and a refused key or a host that is gone fails with its reason.", absent),
    () =>
      Effect.gen(function* () {
        const host = yield* sshd()
        const locked = makeKey(path.join(host.folder, "locked"), { passphrase: "open sesame" })
        const stranger = yield* Effect.flip(connected(host, { sshKey: makeKey(path.join(host.folder, "stranger")) }))
        assert.strictEqual(stranger._tag, "AuthenticationFailed", String(stranger))
        host.authorize(fs.readFileSync(`${locked}.pub`, "utf8"))
        yield* connected(host, { sshKey: locked }, {}, ["open sesame"])
        const nobody = yield* Effect.flip(connected(host, { sshKey: locked }))
        assert.strictEqual(nobody._tag, "PromptUnavailable", String(nobody))
        const { transport } = yield* connected(host)
        yield* host.stop
        const lost = yield* Effect.flip(transport.exec(sh("echo hi"))).pipe(Effect.timeout(Duration.seconds(20)))
        assert.strictEqual(lost._tag === "HostUnreachable" && lost.reason, "lost", String(lost))
        const refused = yield* Effect.flip(connected(host))
        assert.strictEqual(refused._tag === "HostUnreachable" && refused.reason, "refused", String(refused))
      })
  )

  scoped(titled("Nothing of it stays behind when the connection ends, or when this process is killed.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const here = yield* project()
      here.knowHost(host)
      const prod = {
        ...reach(host),
        path: path.join(host.home, "app"),
        builder: "plain",
        ssh: "openssh",
        afterSwitch: "sleep 30"
      }
      here.configure({ prod })
      here.version("1.0")
      yield* here.good("build", "target=prod")
      const masters = () =>
        execFileSync("ps", ["-A", "-o", "args="], { encoding: "utf8" })
          .split("\n")
          .filter((line) => line.startsWith("ssh ") && line.includes(" -M -N "))
      yield* Effect.scoped(connected(host))
      yield* Effect.sleep(500)
      assert.deepStrictEqual(masters(), [])
      const running = yield* here.begin(["deploy", "target=prod", "yes"])
      yield* running.hears(/Running afterSwitch/)
      assert.lengthOf(masters(), 1)
      running.signal("SIGKILL")
      yield* running.ended
      yield* Effect.sleep(1500)
      assert.deepStrictEqual(masters(), [])
    })
  )

  scoped(titled("The key of a variable is in no file once the login has succeeded.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const key = fs.readFileSync(host.keyFile, "utf8")
      const { transport } = yield* Effect.withConfigProvider(
        connected(host, { sshKey: undefined, sshKeyVariable: "DEPLOY_KEY" }),
        ConfigProvider.fromMap(new Map([["DEPLOY_KEY", key]]))
      )
      assert.strictEqual((yield* transport.exec(sh("echo hello"))).stdout, "hello\n")
      const folders = fs.readdirSync(tmpdir()).filter((name) => name.startsWith("deployer-ssh-"))
      for (const folder of folders) assert.isFalse(fs.existsSync(path.join(tmpdir(), folder, "key")))
    })
  )

  scoped(titled("A certificate of a user works, which deployer's own SSH cannot use.", absent), () =>
    Effect.gen(function* () {
      const folder = fs.mkdtempSync("/tmp/deployer-ca-")
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true })))
      const ca = makeKey(path.join(folder, "ca"))
      const host = yield* sshd({ config: [`TrustedUserCAKeys ${ca}.pub`] })
      const mine = makeKey(path.join(host.folder, "mine"))
      execFileSync("ssh-keygen", ["-q", "-s", ca, "-I", "me", "-n", host.user, `${mine}.pub`], { stdio: "ignore" })
      const { transport } = yield* connected(host, { sshKey: mine })
      assert.strictEqual((yield* transport.exec(sh("echo hello"))).stdout, "hello\n")
      assert.strictEqual(
        (yield* Effect.flip(connected(host, { sshKey: mine, ssh: "ssh2" })))._tag,
        "AuthenticationFailed"
      )
    })
  )

  scoped(titled("Connections from the host are opened, and a refusal is told from silence.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const { session } = yield* connected(host)
      const url = `http://127.0.0.1:${yield* listen("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")}/`
      assert.isTrue((yield* session.probe({ _tag: "Http", url }, Duration.seconds(9))).ok)
      assert.isTrue((yield* session.probe({ _tag: "Tcp", port: yield* listen() }, Duration.seconds(9))).ok)
      const refused = yield* session.probe({ _tag: "Tcp", port: 1 }, Duration.seconds(9))
      assert.deepStrictEqual(refused, { ok: false, detail: "nothing listens on port 1" })
    })
  )

  scoped(
    titled("Every command works through it, also if the host allows one session a connection.", absent),
    () =>
      Effect.gen(function* () {
        for (const config of [[], ["MaxSessions 1"]]) {
          const host = yield* sshd({ config })
          const here = yield* project()
          here.knowHost(host)
          here.configure({
            prod: { ...reach(host), path: path.join(host.home, "app"), builder: "plain", ssh: "openssh" }
          })
          yield* here.good("doctor", "target=prod")
          for (const version of ["1.0", "2.0"]) {
            here.version(version)
            yield* here.good("build", "target=prod")
            yield* here.good("deploy", "target=prod", "yes")
          }
          yield* here.good("rollback", "target=prod")
          yield* here.good("lock", "target=prod", "reason=holiday")
          yield* here.good("unlock", "target=prod", "yes")
          yield* here.good("status", "target=prod")
          yield* here.good("repair", "target=prod", "yes")
        }
      }),
    180_000
  )
})
