/** Connections through the system's own `ssh`. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { connect as netConnect } from "node:net"
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
import type { TargetSettings } from "../../src/domain/Target.ts"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { listen } from "../kit/listen.ts"
import { project, reach } from "../kit/project.ts"
import { target } from "../kit/samples.ts"
import { makeKey, missing, missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"
import { runUsualCommands } from "../kit/usualCommands.ts"

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

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync("/tmp/deployer-openssh-")),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

/** The fingerprint of the first key in a file. */
const fingerprintOf = (file: string): string =>
  execFileSync("ssh-keygen", ["-lf", file], { encoding: "utf8" }).split(" ")[1] ?? ""

const sh = (script: string, args: ReadonlyArray<string> = []) =>
  ({ doing: "try it", script, args, wait: "command" }) as const

describe("the system's ssh", () => {
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

  scoped(titled("The system's ssh knows, pins and refuses host keys like deployer's own SSH.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const fingerprint = fingerprintOf(host.knownHosts)
      const empty = path.join(host.folder, "empty")
      fs.writeFileSync(empty, "")
      const unknown = yield* Effect.flip(connected(host, {}, { knownHostsFile: empty }))
      assert.deepInclude(unknown, { _tag: "HostKeyRejected", reason: "unknown", fingerprint, file: empty })
      yield* connected(host, {}, { knownHostsFile: empty }, ["y"])
      assert.include(fs.readFileSync(empty, "utf8"), host.hostKey)
      yield* connected(host, { hostKey: fingerprint }, { knownHostsFile: "/nowhere" })
      const wrong = yield* Effect.flip(connected(host, { hostKey: `SHA256:${"A".repeat(43)}` }))
      assert.deepInclude(wrong, { _tag: "HostKeyRejected", reason: "pinned", keyType: "ssh-ed25519", fingerprint })
      const other = execFileSync("ssh-keygen", ["-y", "-f", makeKey(path.join(host.folder, "other"))], {
        encoding: "utf8"
      })
      fs.writeFileSync(empty, `[127.0.0.1]:${host.port} ${other}`)
      const changed = yield* Effect.flip(connected(host, {}, { knownHostsFile: empty }))
      assert.deepInclude(changed, { _tag: "HostKeyRejected", reason: "changed", fingerprint, file: empty })
    })
  )

  scoped(titled("A pinned key may be of any type that the host has.", absent), () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const rsa = makeKey(path.join(folder, "rsa"), { type: "rsa" })
      const ecdsa = makeKey(path.join(folder, "ecdsa"), { type: "ecdsa" })
      const host = yield* sshd({ config: [`HostKey ${rsa}`, `HostKey ${ecdsa}`] })
      for (const file of [host.knownHosts, `${rsa}.pub`, `${ecdsa}.pub`])
        yield* connected(host, { hostKey: fingerprintOf(file) })
    })
  )

  scoped(titled("The user's own connection is used if one is open, and it stays open.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const folder = yield* temporaryFolder
      const configFile = path.join(folder, "config")
      const login = `Port ${host.port}\nUser ${host.user}\nIdentityFile ${host.keyFile}\nUserKnownHostsFile ${host.knownHosts}`
      const lines = `Host web\nHostName ${host.host}\n${login}\nControlMaster auto\nControlPath ${folder}/%C\n`
      fs.writeFileSync(configFile, lines)
      const ssh = (...words: ReadonlyArray<string>) =>
        execFileSync("ssh", ["-F", configFile, ...words, "web"], { encoding: "utf8", stdio: "pipe" })
      const logins = () => host.log().split("Accepted publickey").length - 1
      const to = { host: "web", port: undefined, user: undefined, sshKey: undefined }
      const settings = { configFile, agentSocket: undefined }
      for (const client of ["openssh", "auto"] as const) {
        const own = yield* Effect.scoped(connected(host, { ...to, ssh: client }, settings))
        assert.isDefined(own)
        ssh("-M", "-N", "-f")
        yield* Effect.sleep(200)
        const before = logins()
        // No other login would succeed.
        fs.writeFileSync(configFile, lines.replaceAll(host.keyFile, "/nowhere"))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { session, transport } = yield* connected(host, { ...to, ssh: client }, settings)
            assert.strictEqual((yield* transport.exec(sh("echo hello; exit 0"))).stdout, "hello\n")
            yield* session.prepare
          })
        )
        assert.strictEqual(logins(), before)
        ssh("-O", "check")
        // Nobody knows which host key the host showed to the user's ssh.
        const pinned = yield* Effect.flip(
          connected(host, { ...to, ssh: client, hostKey: fingerprintOf(host.knownHosts) }, settings)
        )
        assert.strictEqual(pinned._tag, "AuthenticationFailed")
        const { transport } = yield* connected(host, { ...to, ssh: client }, settings)
        const running = yield* Effect.fork(Effect.flip(transport.exec(sh("sleep 60"))))
        yield* Effect.sleep(300)
        ssh("-O", "exit")
        assert.deepInclude(yield* Fiber.join(running), { _tag: "HostUnreachable", reason: "lost" })
        // The socket of a dead master leads nowhere.
        fs.writeFileSync(configFile, lines)
      }
    })
  )

  scoped(titled("A host that turns some connections away is asked again.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd({ config: ["MaxStartups 1:100:1"] })
      const blocking = netConnect(host.port, host.host)
      yield* Effect.addFinalizer(() => Effect.sync(() => blocking.destroy()))
      yield* Effect.sleep(300)
      const fiber = yield* Effect.fork(connected(host))
      yield* Effect.sleep(700)
      blocking.destroy()
      const { transport } = yield* Fiber.join(fiber)
      assert.strictEqual((yield* transport.exec(sh("echo hello"))).stdout, "hello\n")
    })
  )

  scoped(titled("The files of the connection fit even if the path of the temporary folder is long.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const long = path.join(yield* temporaryFolder, "x".repeat(90))
      fs.mkdirSync(long)
      const before = process.env["TMPDIR"]
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (before === undefined) delete process.env["TMPDIR"]
          else process.env["TMPDIR"] = before
        })
      )
      process.env["TMPDIR"] = long
      const { transport } = yield* connected(host)
      assert.strictEqual((yield* transport.exec(sh("echo hello"))).stdout, "hello\n")
    })
  )

  scoped(titled("An error says that a machine has no ssh, or one that lacks a feature for the target.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const folder = yield* temporaryFolder
      const before = process.env["PATH"] ?? ""
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          process.env["PATH"] = before
        })
      )
      for (const name of ["sh", "cat"]) fs.symlinkSync(`/bin/${name}`, path.join(folder, name))
      process.env["PATH"] = folder
      const without = yield* Effect.flip(connected(host))
      assert.strictEqual(without._tag === "HostUnreachable" && without.reason, "openssh", String(without))
      assert.include(without.message, "install OpenSSH's client")
      const old = "echo 'command-line: line 0: Bad configuration option: knownhostscommand' >&2; exit 255"
      fs.writeFileSync(path.join(folder, "ssh"), `#!/bin/sh\n${old}\n`, { mode: 0o755 })
      const tooOld = yield* Effect.flip(connected(host))
      assert.strictEqual(tooOld._tag === "HostUnreachable" && tooOld.reason, "openssh", String(tooOld))
      assert.include(
        tooOld.message,
        'Bad configuration option: knownhostscommand: "hostKey" of a target needs OpenSSH 8.5'
      )
    })
  )

  /** The block of ssh_config for one host. */
  const block = (name: string, host: Sshd, more = "") =>
    `Host ${name}\n  HostName ${host.host}\n  Port ${host.port}\n  IdentityFile ${host.keyFile}\n${more}`

  scoped(titled("The target's own settings are not used for its jump hosts.", absent), () =>
    Effect.gen(function* () {
      const [one, web] = yield* Effect.all([sshd(), sshd()])
      const folder = yield* temporaryFolder
      const configFile = path.join(folder, "config")
      const knownHostsFile = path.join(folder, "known_hosts")
      fs.writeFileSync(configFile, `${block("one", one)}${block("web", web, "  ProxyJump one\n")}`)
      fs.copyFileSync(one.knownHosts, knownHostsFile)
      const settings = { configFile, knownHostsFile }
      const own = { host: "web", port: web.port, hostKey: fingerprintOf(web.knownHosts) }
      const { transport } = yield* connected(web, own, settings)
      assert.strictEqual((yield* transport.exec(sh("pwd"))).stdout, `${web.home}\n`)
      assert.include(one.log(), "Accepted publickey")
      // The pinned key is the target's.
      const wrong = yield* Effect.flip(connected(web, { ...own, hostKey: fingerprintOf(one.knownHosts) }, settings))
      assert.deepInclude(wrong, { _tag: "HostKeyRejected", reason: "pinned", address: `${web.user}@web:${web.port}` })
    })
  )

  scoped(titled("A jump host that fails is named, and its key is asked about by its name.", absent), () =>
    Effect.gen(function* () {
      const [one, web, closed] = yield* Effect.all([sshd(), sshd(), sshd({ config: ["AllowTcpForwarding no"] })])
      const folder = yield* temporaryFolder
      const configFile = path.join(folder, "config")
      const knownHostsFile = path.join(folder, "known_hosts")
      const over = (host: Sshd) => {
        fs.writeFileSync(configFile, `${block("one", host)}${block("web", web, "  ProxyJump one\n")}`)
        fs.copyFileSync(web.knownHosts, knownHostsFile)
      }
      const through = (answers: ReadonlyArray<string> = [], more: Fields = {}) =>
        connected(web, { host: "web", port: web.port, ...more }, { configFile, knownHostsFile }, answers)
      over(one)
      const unknown = yield* Effect.flip(through())
      const name = `[127.0.0.1]:${one.port}`
      assert.deepInclude(unknown, { _tag: "HostKeyRejected", reason: "unknown", address: name, isJumpHost: true })
      yield* through(["y"])
      assert.include(fs.readFileSync(knownHostsFile, "utf8"), one.hostKey)
      over(closed)
      fs.appendFileSync(knownHostsFile, fs.readFileSync(closed.knownHosts, "utf8"))
      const forbidden = yield* Effect.flip(through())
      assert.deepInclude(forbidden, { _tag: "HostUnreachable", reason: "proxy" })
      assert.match(forbidden.message, /prohibited/)
      yield* closed.stop
      const gone = yield* Effect.flip(through())
      assert.deepInclude(gone, { _tag: "HostUnreachable", reason: "proxy" })
      assert.match(gone.message, /Connection refused/)
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

  scoped(titled("The system's ssh leaves nothing behind when the connection ends or this process dies.", absent), () =>
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
      // Other tests have masters too.
      const masters = () =>
        execFileSync("ps", ["-A", "-o", "args="], { encoding: "utf8" })
          .split("\n")
          .filter((line) => line.startsWith("ssh ") && line.includes(` Port ${host.port} -`))
      yield* Effect.scoped(connected(host))
      yield* Effect.sleep(500)
      assert.deepStrictEqual(masters(), [])
      const temporary = yield* temporaryFolder
      const folders = () => fs.readdirSync(temporary).filter((name) => name.startsWith("deployer-ssh-"))
      const running = yield* here.begin(["deploy", "target=prod", "yes"], { env: { TMPDIR: temporary } })
      yield* running.hears(/Running afterSwitch/)
      assert.lengthOf(masters(), 1)
      assert.lengthOf(folders(), 1)
      running.signal("SIGKILL")
      yield* running.ended
      yield* Effect.sleep(1500)
      assert.deepStrictEqual(masters(), [])
      // It may hold a private key.
      assert.deepStrictEqual(folders(), [])
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
      const folder = yield* temporaryFolder
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

  scoped(titled("The system's ssh opens connections from the host, and tells a refusal from silence.", absent), () =>
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
    titled("The usual commands work through the system's ssh, even with one session per connection.", absent),
    () =>
      Effect.forEach([[], ["MaxSessions 1"]], (config) =>
        Effect.flatMap(sshd({ config }), (host) => runUsualCommands(host, { ssh: "openssh" }))
      ),
    180_000
  )
})
