import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import ssh2, { type Connection } from "ssh2"
import { replyBegin } from "../../src/host/protocol/reply.ts"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Reported, Reporter } from "../../src/terminal/Reporter.ts"
import { listen } from "../kit/listen.ts"
import { proxy } from "../kit/proxy.ts"
import {
  bytes,
  connectTo,
  connectWithout,
  type Settings,
  type SettingsShape,
  scripted,
  sh,
  targetOf
} from "../kit/sshClient.ts"
import { freePort, makeKey, missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

class Host extends Context.Tag("test/Host")<Host, Sshd>() {}

const suite = missingSshd === undefined ? describe : describe.skip

suite(titled("SSH", missingSshd), () => {
  layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })("connections", (it) => {
    it.scoped(
      "Details tell the endpoint, the name under which its key is looked up, the offered keys and the agreed algorithms.",
      () =>
        Effect.gen(function* () {
          const host = yield* Host
          yield* connectTo(host)
          const events = yield* Effect.flatMap(Reported, ({ events }) => events)
          const said = events.flatMap((event) => (event._tag === "Detail" ? [event.message] : [])).join("\n")
          assert.include(said, `is ${host.user} at 127.0.0.1 port ${host.port}; its key must be an entry of `)
          assert.include(said, `is offered ${host.keyFile}`)
          assert.match(said, /^ssh: \S+ is logged in, with curve25519-sha256\S*, ssh-ed25519, \S+$/m)
        }).pipe(Effect.provide(Layer.fresh(Reporter.collect)))
    )

    it.scoped("A command over SSH is asked to end when its caller is interrupted.", () =>
      Effect.gen(function* () {
        // sshd passes the signal on to ordinary users' own commands only, so its log has to do.
        const host = yield* sshd({ logLevel: "DEBUG1" })
        const transport = yield* connectTo(host)
        const begun = join(host.folder, "begun")
        const fiber = yield* Effect.fork(transport.exec(sh(`echo > "$1"; sleep 60`, [begun])))
        yield* Effect.repeat(Effect.sleep(10), { until: () => existsSync(begun) })
        assert.notInclude(host.log(), "request signal")
        yield* Fiber.interrupt(fiber)
        yield* Effect.repeat(Effect.sleep(10), { until: () => host.log().includes("request signal") }).pipe(
          Effect.timeout("12 seconds")
        )
        assert.strictEqual((yield* transport.exec(sh("echo still here"))).stdout, "still here\n")
      })
    )
  })

  layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })("the network", (it) => {
    it.scoped("A transfer over SSH fails with HostUnreachable if the network breaks.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const network = yield* proxy(host)
        writeFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`, { flag: "a" })
        const transport = yield* connectTo({ ...host, port: network.port })
        network.cutAfter(5_000_000)
        const exec = sh("cat > /dev/null", [], { stdin: bytes(50_000_000).stream, wait: "transfer" })
        const error = yield* Effect.flip(transport.exec(exec)).pipe(Effect.timeout("12 seconds"))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "lost")
        const again = yield* Effect.flip(transport.exec(sh("echo too late")))
        assert.strictEqual(again._tag === "HostUnreachable" && again.reason, "lost")
      })
    )

    it.scoped("A login shell that waits for something is soon named as the reason of a failure.", () =>
      Effect.gen(function* () {
        const folder = mkdtempSync(join(tmpdir(), "deployer-silent-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
        const shell = join(folder, "shell")
        writeFileSync(shell, "#!/bin/sh\nexec sleep 20\n", { mode: 0o755 })
        const host = yield* sshd({ shell })
        const transport = yield* connectTo(host, {}, { firstAnswer: Duration.seconds(1) })
        for (const wait of ["command", "transfer"] as const) {
          const error = yield* Effect.flip(transport.exec(sh("echo never", [], { wait }))).pipe(
            Effect.timeout("10 seconds")
          )
          assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "silent")
          assert.match(error.message, /starts no command \(no output within 1s\): something in its startup files waits/)
        }
        writeFileSync(shell, "#!/bin/sh\nwhile sleep 0.1; do echo noise; done\n", { mode: 0o755 })
        const noisy = yield* connectTo(host, {}, { firstAnswer: Duration.seconds(1) })
        const error = yield* Effect.flip(noisy.exec(sh(`echo "${replyBegin}"`))).pipe(Effect.timeout("10 seconds"))
        assert.match(error.message, /starts no command \(only output of its own within 1s\)/)
      })
    )

    it.scoped("A network that dies in silence is noticed after a few intervals without a sign of life.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const network = yield* proxy(host)
        writeFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`, { flag: "a" })
        const transport = yield* connectTo({ ...host, port: network.port }, {}, { keepAlive: Duration.millis(200) })
        // A quiet command on a living connection is left alone.
        assert.strictEqual((yield* transport.exec(sh("sleep 1.5"))).exitCode, 0)
        const fiber = yield* Effect.fork(Effect.flip(transport.exec(sh("sleep 60"))))
        yield* Effect.sleep(300)
        network.stall()
        // Three intervals after the last byte, which may have come one before: no less than two, no more than three.
        const [took, error] = yield* Effect.timed(Fiber.join(fiber).pipe(Effect.timeout("12 seconds")))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "lost")
        assert.include(error.message, "no sign of life")
        assert.isAbove(Duration.toMillis(took), 380)
        assert.isBelow(Duration.toMillis(took), 1000)
      })
    )

    it.scoped("A slow network does not count as dead while megabytes are on their way.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        // The bytes on their way take longer than silence is borne.
        const network = yield* proxy(host, { rate: 500_000 })
        writeFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`, { flag: "a" })
        const transport = yield* connectTo({ ...host, port: network.port }, {}, { keepAlive: Duration.millis(600) })
        const { sha256, stream } = bytes(4_000_000)
        const result = yield* transport.exec(sh("sha256sum", [], { stdin: stream, wait: "transfer" }))
        assert.strictEqual(result.stdout, `${sha256}  -\n`)
      })
    )

    it.scoped("A connection fails with the reason if it is refused or the host's name is unknown.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const port = yield* Effect.promise(freePort)
        const refused = yield* Effect.flip(connectTo({ ...host, port }))
        assert.strictEqual(refused._tag === "HostUnreachable" && refused.reason, "refused")
        assert.include(refused.message, "ECONNREFUSED")
        const unknown = yield* Effect.flip(connectTo({ ...host, host: "no-such-host.invalid" }))
        assert.strictEqual(unknown._tag === "HostUnreachable" && unknown.reason, "unknown-name")
      })
    )

    it.scoped("A connection fails if the other side never speaks or speaks another protocol.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const listen = (greeting: string | undefined) =>
          Effect.acquireRelease(
            Effect.promise(async () => {
              const server = createServer((socket) => {
                socket.on("error", () => {})
                if (greeting !== undefined) socket.end(greeting)
              }).listen(0, "127.0.0.1")
              await once(server, "listening")
              return server
            }),
            (server) => Effect.sync(() => server.close())
          ).pipe(Effect.map((server) => Object(server.address()).port))
        const mute = yield* listen(undefined)
        const error = yield* Effect.flip(connectTo({ ...host, port: mute }, { timeouts: { connect: "500 millis" } }))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "timeout")
        const http = yield* listen("HTTP/1.1 400 Bad Request\r\n\r\n")
        const other = yield* Effect.flip(connectTo({ ...host, port: http }))
        assert.strictEqual(other._tag === "HostUnreachable" && other.reason, "protocol")
      })
    )

    it.scoped("A transfer fails with a timeout if the host accepts the login and starts nothing.", () =>
      Effect.gen(function* () {
        const host = yield* strange(() => {})
        const transport = yield* connectTo(host, { timeouts: { transfer: "300 millis" } })
        const error = yield* Effect.flip(
          transport.exec(sh("cat", [], { stdin: bytes(1000).stream, wait: "transfer" }))
        ).pipe(Effect.timeout("12 seconds"))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "timeout")
      })
    )

    it.scoped("A host's farewell is shown without its control characters.", () =>
      Effect.gen(function* () {
        const host = yield* strange((client) => disconnect(client, "\u001b]0;owned\u0007go\u009b2Jaway"))
        const transport = yield* connectTo(host)
        const error = yield* Effect.flip(transport.exec(sh("true")))
        assert.include(error.message, "(]0;owned go 2Jaway)")
      })
    )

    it.scoped("A connection attempt over a silent network can be interrupted.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const network = yield* proxy(host)
        network.stall()
        const fiber = yield* Effect.fork(connectTo({ ...host, port: network.port }))
        yield* Effect.repeat(Effect.sleep(10), { until: () => network.connections() > 0 })
        yield* Fiber.interrupt(fiber).pipe(Effect.timeout("4 seconds"))
      })
    )

    it.scoped("A command over SSH fails with HostUnreachable if the host goes away.", () =>
      Effect.gen(function* () {
        const host = yield* sshd()
        const transport = yield* connectTo(host)
        const fiber = yield* Effect.fork(Effect.flip(transport.exec(sh("sleep 60"))))
        yield* Effect.sleep(200)
        yield* host.stop
        const error = yield* Fiber.join(fiber).pipe(Effect.timeout("12 seconds"))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "lost")
      })
    )
  })

  layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })("probes", (it) => {
    const sessionOn = (host: Sshd) =>
      Effect.map(connectTo(host), (transport) => makeSession(targetOf(host, { user: "me" }), transport))

    it.scoped("A probe says that the host passes no connections on, and suggests a check with a command.", () =>
      Effect.gen(function* () {
        const host = yield* sshd({ config: ["AllowTcpForwarding no"] })
        const session = yield* sessionOn(host)
        const probed = yield* session.probe({ _tag: "Tcp", port: yield* listen() }, Duration.seconds(5))
        assert.isFalse(probed.ok)
        assert.match(probed.detail, /^me@127\.0\.0\.1:[0-9]+ does not let anybody connect to port [0-9]+ through it/)
        assert.include(probed.detail, "check with a command")
      })
    )

    it.scoped("A probe tells a lost host from an application that is down.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const network = yield* proxy(host)
        writeFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`, { flag: "a" })
        const session = yield* sessionOn({ ...host, port: network.port })
        const url = `http://127.0.0.1:${yield* listen()}/`
        const fiber = yield* Effect.fork(Effect.flip(session.probe({ _tag: "Http", url }, Duration.seconds(20))))
        yield* Effect.sleep(300)
        network.cut()
        const error = yield* Fiber.join(fiber).pipe(Effect.timeout("12 seconds"))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "lost")
        const again = yield* Effect.flip(session.probe({ _tag: "Tcp", port: 1 }, Duration.seconds(5)))
        assert.strictEqual(again._tag === "HostUnreachable" && again.reason, "lost")
      })
    )

    it.scoped("Probes leave no connection open.", () =>
      Effect.gen(function* () {
        const host = yield* sshd({ logLevel: "DEBUG1" })
        const session = yield* sessionOn(host)
        const port = yield* listen()
        for (let turn = 0; turn < 30; turn++) {
          assert.isTrue((yield* session.probe({ _tag: "Tcp", port }, Duration.seconds(5))).ok)
          yield* session.probe({ _tag: "Http", url: `http://127.0.0.1:${port}/` }, Duration.millis(20))
        }
        const count = (text: string) => host.log().split(text).length - 1
        yield* Effect.repeat(Effect.sleep(20), {
          until: () =>
            count("confirm direct-tcpip") >= 40 && count("free: direct-tcpip") === count("confirm direct-tcpip")
        }).pipe(Effect.timeout("20 seconds"))
      })
    )
  })

  layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })("host keys", (it) => {
    const withFile = (name: string, content: (host: Sshd) => string | undefined) =>
      Effect.map(Host, (host) => {
        const file = join(host.folder, name)
        const text = content(host)
        if (text !== undefined) writeFileSync(file, text)
        return { ...host, knownHosts: file }
      })

    it.scoped("An unknown host key is refused without a terminal.", () =>
      Effect.gen(function* () {
        const host = yield* withFile("none", () => undefined)
        const error = yield* Effect.flip(connectTo(host))
        assert.strictEqual(error._tag === "HostKeyRejected" && error.reason, "unknown")
        assert.match(error.message, /ssh-ed25519 SHA256:[A-Za-z0-9+/]{43}\)/)
        assert.match(error.message, /, or set hostKey: "SHA256:[A-Za-z0-9+/]{43}" in the target$/)
        assert.isFalse(existsSync(host.knownHosts))
      })
    )

    it.scoped("An unknown host key is asked about, and kept if the user says yes.", () =>
      Effect.gen(function* () {
        const host = yield* withFile("home/.ssh/known_hosts", () => undefined)
        const no = scripted(false)
        const error = yield* Effect.flip(connectTo(host, {}, {}, no))
        assert.strictEqual(error._tag === "HostKeyRejected" && error.reason, "unknown")
        assert.strictEqual(no.asked.length, 1)
        assert.match(no.asked[0] ?? "", /ED25519 SHA256:/)
        const yes = scripted(true)
        const transport = yield* connectTo(host, {}, {}, yes)
        assert.strictEqual((yield* transport.exec(sh("echo hi"))).stdout, "hi\n")
        assert.strictEqual(readFileSync(host.knownHosts, "utf8"), `[127.0.0.1]:${host.port} ${host.hostKey}\n`)
        assert.strictEqual(statSync(host.knownHosts).mode & 0o777, 0o600)
        assert.strictEqual(statSync(join(host.home, ".ssh")).mode & 0o777, 0o700)
        const silent = scripted()
        yield* connectTo(host, {}, {}, silent)
        assert.deepStrictEqual(silent.asked, [])
      })
    )

    it.scoped("An accepted host key is asked about only once, even if it cannot be written down.", () =>
      Effect.gen(function* () {
        const host = yield* withFile("a directory/that is one", () => undefined).pipe(
          Effect.tap((host) => Effect.sync(() => mkdirSync(host.knownHosts, { recursive: true }))),
          Effect.catchAllCause(() => Effect.die("it cannot be made"))
        )
        const settings = settingsFor(host)
        const user = scripted(true)
        yield* connectTo(host, {}, settings, user)
        yield* connectTo(host, {}, settings, user)
        assert.strictEqual(user.asked.length, 1)
      })
    )

    it.scoped("A host key is appended on a line of its own to a file without a final line break.", () =>
      Effect.gen(function* () {
        const host = yield* withFile("open-ended", () => "# a comment")
        yield* connectTo(host, {}, {}, scripted(true))
        assert.strictEqual(
          readFileSync(host.knownHosts, "utf8"),
          `# a comment\n[127.0.0.1]:${host.port} ${host.hostKey}\n`
        )
      })
    )

    it.scoped("A host key that cannot be kept is accepted for this time.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const transport = yield* connectTo(
          { ...host, knownHosts: join(host.keyFile, "known_hosts") },
          {},
          {},
          scripted(true)
        )
        assert.strictEqual((yield* transport.exec(sh("echo hi"))).stdout, "hi\n")
      })
    )

    it.scoped("A changed host key is refused without a question.", () =>
      Effect.gen(function* () {
        const other = makeKey(join((yield* Host).folder, "other-host"))
        const otherRsa = makeKey(join((yield* Host).folder, "other-rsa"), { type: "rsa" })
        for (const key of [other, otherRsa]) {
          const host = yield* withFile(
            "changed",
            ({ port }) => `[127.0.0.1]:${port} ${readFileSync(`${key}.pub`, "utf8")}`
          )
          const terminal = scripted(true)
          const error = yield* Effect.flip(connectTo(host, {}, {}, terminal))
          assert.strictEqual(error._tag === "HostKeyRejected" && error.reason, "changed")
          assert.deepStrictEqual(terminal.asked, [])
        }
      })
    )

    it.scoped("The failure of a changed host key names the ssh-keygen command that removes the old one.", () =>
      Effect.gen(function* () {
        const other = makeKey(join((yield* Host).folder, "another-host"))
        const host = yield* withFile(
          "changed-named",
          ({ port }) => `[127.0.0.1]:${port} ${readFileSync(`${other}.pub`, "utf8")}`
        )
        const error = yield* Effect.flip(connectTo(host))
        const command = /ssh-keygen -f .*$/.exec(error.message)?.[0] ?? ""
        assert.strictEqual(command, `ssh-keygen -f '${host.knownHosts}' -R '[127.0.0.1]:${host.port}'`)
        // It works as promised.
        execFileSync("sh", ["-c", command], { stdio: "ignore" })
        assert.strictEqual(readFileSync(host.knownHosts, "utf8"), "")
      })
    )

    it.scoped("A pinned host key is the only one that is accepted, even if known_hosts has another.", () =>
      Effect.gen(function* () {
        const second = makeKey(join((yield* Host).folder, "pinned-second"), { type: "ecdsa" })
        const host = yield* sshd({ config: [`HostKey ${second}`] })
        const printOf = (file: string) =>
          execFileSync("ssh-keygen", ["-lf", file], { encoding: "utf8" }).split(" ")[1] ?? ""
        const first = printOf(join(host.folder, "host_key.pub"))
        const nowhere = { ...host, knownHosts: join(host.folder, "not-written") }
        // Any of the host's keys may be the one.
        for (const hostKey of [first, printOf(`${second}.pub`)]) {
          const silent = scripted()
          const transport = yield* connectTo(nowhere, { hostKey }, {}, silent)
          assert.strictEqual((yield* transport.exec(sh("echo hi"))).stdout, "hi\n")
          assert.deepStrictEqual(silent.asked, [])
          assert.isFalse(existsSync(nowhere.knownHosts))
        }
        const hostKey = `SHA256:${"A".repeat(43)}`
        const error = yield* Effect.flip(connectTo(host, { hostKey }, {}, scripted(true)))
        assert.deepInclude(error, { _tag: "HostKeyRejected", reason: "pinned", fingerprint: first, pinned: hostKey })
        assert.include(error.message, `is not the one in "hostKey" of the target (${hostKey})`)
      })
    )

    it.scoped("A hashed host key is found, and a revoked one is refused.", () =>
      Effect.gen(function* () {
        const hashed = yield* withFile("hashed", ({ hostKey, port }) => `[127.0.0.1]:${port} ${hostKey}\n`)
        execFileSync("ssh-keygen", ["-H", "-f", hashed.knownHosts], { stdio: "ignore" })
        assert.notInclude(readFileSync(hashed.knownHosts, "utf8"), "127.0.0.1")
        yield* connectTo(hashed)
        const revoked = yield* withFile("revoked", ({ hostKey }) => `* ${hostKey}\n@revoked * ${hostKey}\n`)
        const error = yield* Effect.flip(connectTo(revoked, {}, {}, scripted(true)))
        assert.strictEqual(error._tag === "HostKeyRejected" && error.reason, "revoked")
      })
    )

    it.scoped("SSH asks a host for the type of its known host key.", () =>
      Effect.gen(function* () {
        const folder = (yield* Host).folder
        const second = makeKey(join(folder, "second-host-key"), { type: "ecdsa" })
        const host = yield* sshd({ config: [`HostKey ${second}`] })
        writeFileSync(host.knownHosts, `[127.0.0.1]:${host.port} ${readFileSync(`${second}.pub`, "utf8")}`)
        yield* connectTo(host)
      })
    )
  })

  layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })("keys", (it) => {
    it.scoped("A private key that the host does not know is refused.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const stranger = makeKey(join(host.folder, "stranger"))
        const error = yield* Effect.flip(connectTo(host, { sshKey: stranger }))
        assert.strictEqual(error._tag, "AuthenticationFailed")
        assert.deepStrictEqual(error._tag === "AuthenticationFailed" && error.tried, [stranger])
        const none = yield* Effect.flip(connectWithout(host))
        assert.include(none.message, "there was no key to offer")
      })
    )

    it.scoped("A private key that cannot be used fails with the reason.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const garbage = join(host.folder, "garbage")
        writeFileSync(garbage, "no key\n")
        for (const [sshKey, reason] of [
          [join(host.folder, "nowhere"), "missing"],
          [`${host.keyFile}.pub`, "public"],
          [garbage, "not-a-key"],
          [host.folder, "unreadable"]
        ] as const) {
          const error = yield* Effect.flip(connectTo(host, { sshKey }))
          assert.strictEqual(error._tag === "KeyUnusable" && error.reason, reason)
        }
      })
    )

    it.scoped("A private key may be the text in a variable, however that lost or changed its line ends.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const key = readFileSync(host.keyFile, "utf8")
        const withKey = (text: string | undefined, terminal = scripted()) =>
          connectWithout(host, {}, terminal, { user: host.user, sshKeyVariable: "DEPLOY_KEY" }).pipe(
            Effect.withConfigProvider(ConfigProvider.fromMap(new Map(text === undefined ? [] : [["DEPLOY_KEY", text]])))
          )
        const before = readdirSync(host.folder, { recursive: true })
        for (const text of [
          key,
          key.trimEnd(),
          `\n ${key}\n\n`,
          key.replaceAll("\n", "\r\n"),
          key.replaceAll("\n", "\\n"),
          key.replaceAll("\n", "\\r\\n").replace(/(\\r\\n)$/, ""),
          `${key.trimEnd().replaceAll("\n", "\\n")}\n`,
          Buffer.from(key).toString("base64")
        ]) {
          yield* withKey(text)
        }
        for (const text of [undefined, ""]) {
          const missing = yield* Effect.flip(withKey(text))
          assert.strictEqual(missing._tag === "KeyVariableUnusable" && missing.reason, "missing")
          assert.match(missing.message, /^The variable DEPLOY_KEY, .* is not set or is empty/)
        }
        for (const text of [host.keyFile, readFileSync(`${host.keyFile}.pub`, "utf8"), key.slice(0, -80)]) {
          const garbage = yield* Effect.flip(withKey(text))
          assert.strictEqual(garbage._tag === "KeyVariableUnusable" && garbage.reason, "not-a-key")
          assert.notInclude(JSON.stringify(garbage), text.slice(0, 20))
        }
        const locked = makeKey(join(host.folder, "locked-text"), { passphrase: "open sesame" })
        const stranger = readFileSync(makeKey(join(host.folder, "stranger-text")), "utf8")
        const denied = yield* Effect.flip(withKey(stranger))
        assert.deepStrictEqual(denied._tag === "AuthenticationFailed" && denied.tried, ["the variable DEPLOY_KEY"])
        host.authorize(readFileSync(`${locked}.pub`, "utf8"))
        const user = scripted("wrong", "open sesame")
        yield* withKey(readFileSync(locked, "utf8"), user)
        assert.deepStrictEqual(user.asked, [
          "Passphrase of the variable DEPLOY_KEY",
          "That does not open the variable DEPLOY_KEY. Passphrase"
        ])
        const nobody = yield* Effect.flip(withKey(readFileSync(locked, "utf8")))
        assert.include(nobody.message, "set the variable to a key without a passphrase")
        const added = ["locked-text", "stranger-text"].flatMap((name) => [name, `${name}.pub`])
        assert.sameMembers(readdirSync(host.folder, { recursive: true }), [...before, ...added])
      })
    )

    it.scoped("A private key that others can use is used with a warning, which comes once.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const exposed = join(host.folder, "exposed")
        copyFileSync(host.keyFile, exposed)
        chmodSync(exposed, 0o644)
        const settings = settingsFor(host)
        yield* connectTo(host, { sshKey: exposed }, settings)
        yield* connectTo(host, { sshKey: exposed }, settings)
        yield* connectTo(host, {}, settings)
        const events = yield* Effect.flatMap(Reported, ({ events }) => events)
        const warnings = events.flatMap((event) => (event._tag === "Warning" ? [event.message] : []))
        assert.deepStrictEqual(warnings, [
          `The private key ${exposed} is open to others (mode 0644), and ssh would refuse it: run chmod 600 ${exposed}`
        ])
      }).pipe(Effect.provide(Reporter.collect))
    )

    it.scoped("A private key is found below the home and below the project.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        yield* connectTo(host, { sshKey: "id_test" })
        yield* connectTo(host, { sshKey: "~/id_test" }, { homeDir: host.folder })
      })
    )

    it.scoped("A private key may have any usual type and format.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const rsa = ["-b", "2048"]
        const kinds = [
          ["rsa", rsa],
          ["rsa", [...rsa, "-m", "PEM"]],
          ["rsa", [...rsa, "-m", "PKCS8"]],
          ["ecdsa", []],
          ["ecdsa", ["-m", "PEM"]],
          ["ecdsa", ["-m", "PKCS8"]]
        ] as const
        for (const [index, [type, args]] of kinds.entries()) {
          const plain = makeKey(join(host.folder, `kind-${index}`), { type, args })
          host.authorize(readFileSync(`${plain}.pub`, "utf8"))
          yield* connectTo(host, { sshKey: plain })
          const locked = makeKey(join(host.folder, `locked-${index}`), { type, args, passphrase: "open sesame" })
          host.authorize(readFileSync(`${locked}.pub`, "utf8"))
          yield* connectTo(host, { sshKey: locked }, {}, scripted("open sesame"))
        }
      })
    )

    it.scoped("The passphrase of a locked private key is asked for at most three times.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const locked = makeKey(join(host.folder, "locked"), { passphrase: "open sesame" })
        host.authorize(readFileSync(`${locked}.pub`, "utf8"))
        const second = scripted("wrong", "open sesame")
        yield* connectTo(host, { sshKey: locked }, {}, second)
        assert.strictEqual(second.asked.length, 2)
        const never = scripted("wrong", "worse", "", "open sesame")
        const error = yield* Effect.flip(connectTo(host, { sshKey: locked }, {}, never))
        assert.strictEqual(error._tag === "KeyUnusable" && error.reason, "wrong-passphrase")
        assert.strictEqual(never.asked.length, 3)
        const nobody = yield* Effect.flip(connectTo(host, { sshKey: locked }))
        assert.strictEqual(nobody._tag, "PromptUnavailable")
        assert.include(nobody.message, "ssh-add")
        for (const failure of [error, nobody]) assert.notInclude(JSON.stringify(failure), "sesame")
      })
    )

    it.scoped("A private key that was unlocked once needs no passphrase for the next connection.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const locked = makeKey(join(host.folder, "unlocked-once"), { passphrase: "open sesame" })
        host.authorize(readFileSync(`${locked}.pub`, "utf8"))
        const settings = settingsFor(host)
        const user = scripted("open sesame")
        yield* connectTo(host, { sshKey: locked }, settings, user)
        const transport = yield* connectTo(host, { sshKey: locked }, settings, user)
        assert.strictEqual((yield* transport.exec(sh("echo hi"))).stdout, "hi\n")
        assert.strictEqual(user.asked.length, 1)
      })
    )

    it.scoped("A private key may come from ssh-agent.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const agentSocket = yield* agent
        const add = (file: string, passphrase = "") => {
          const askpass = join(host.folder, "askpass")
          writeFileSync(askpass, `#!/bin/sh\necho '${passphrase}'\n`, { mode: 0o700 })
          const env = { SSH_AUTH_SOCK: agentSocket, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: "force" }
          execFileSync("ssh-add", ["-q", file], { env: { ...process.env, ...env }, stdio: "ignore" })
        }
        const empty = yield* Effect.flip(connectWithout(host, { agentSocket }))
        assert.include(empty.message, "there was no key to offer")
        add(makeKey(join(host.folder, "unrelated")))
        const unrelated = yield* Effect.flip(connectWithout(host, { agentSocket }))
        assert.include(unrelated.message, "ssh-agent with 1 key")
        add(host.keyFile)
        yield* connectWithout(host, { agentSocket })
        // A locked key that the agent holds needs no passphrase, and no other key is offered.
        const locked = makeKey(join(host.folder, "locked-in-agent"), { passphrase: "open sesame", type: "rsa" })
        add(locked, "open sesame")
        const refused = yield* Effect.flip(connectTo(host, { sshKey: locked }, { agentSocket }))
        assert.deepStrictEqual(refused._tag === "AuthenticationFailed" && refused.tried, [`${locked} in ssh-agent`])
        host.authorize(readFileSync(`${locked}.pub`, "utf8"))
        yield* connectTo(host, { sshKey: locked }, { agentSocket })
        // An agent that does not answer is no agent.
        const dead = yield* Effect.flip(connectWithout(host, { agentSocket: join(host.folder, "nowhere") }))
        assert.include(dead.message, "there was no key to offer")
      })
    )

    it.scoped("A private key is offered even if ssh-agent has more keys than the host has patience for.", () =>
      Effect.gen(function* () {
        const host = yield* sshd({ config: ["MaxAuthTries 3"] })
        const agentSocket = yield* agent
        const add = (file: string) =>
          execFileSync("ssh-add", ["-q", file], {
            env: { ...process.env, SSH_AUTH_SOCK: agentSocket },
            stdio: "ignore"
          })
        for (const name of ["a", "b", "c", "d"]) add(makeKey(join(host.folder, name)))
        const homeDir = mkdtempSync(join(host.folder, "home-"))
        const mine = join(homeDir, ".ssh/id_ed25519")
        execFileSync("mkdir", [join(homeDir, ".ssh")])
        execFileSync("cp", [host.keyFile, mine])
        yield* connectWithout(host, { agentSocket, homeDir })
        // The agent's own key for a locked file comes before its others.
        add(mine)
        execFileSync("ssh-keygen", ["-q", "-p", "-N", "open sesame", "-P", "", "-f", mine], { stdio: "ignore" })
        yield* connectWithout(host, { agentSocket, homeDir })
        const elsewhere = { agentSocket, homeDir: host.folder }
        const refused = yield* Effect.flip(connectWithout(host, elsewhere))
        assert.deepStrictEqual(refused._tag === "AuthenticationFailed" && refused.tried, ["ssh-agent with 5 keys"])
      })
    )

    it.scoped("The file ~/.ssh/config gives the private key and other settings that the target leaves open.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const second = makeKey(join(host.folder, "in config"))
        const agentSocket = yield* agent
        execFileSync("ssh-add", ["-q", host.keyFile], {
          env: { ...process.env, SSH_AUTH_SOCK: agentSocket },
          stdio: "ignore"
        })
        const configFile = join(host.folder, "config")
        const config = (lines: string) =>
          writeFileSync(
            configFile,
            `Host web\n  HostName 127.0.0.1\n  Port ${host.port}\n  User ${host.user}\n${lines}\n`
          )
        const web = { ...host, host: "web", port: 0 }
        const options = { configFile, agentSocket, homeDir: host.folder, userName: "nobody-here" }
        config(`IdentityFile "~/in config"\nIdentitiesOnly yes`)
        const error = yield* Effect.flip(connectWithout(web, options))
        assert.strictEqual(error._tag, "AuthenticationFailed", error.message)
        assert.deepStrictEqual(error._tag === "AuthenticationFailed" && error.tried, [second])
        host.authorize(readFileSync(`${second}.pub`, "utf8"))
        yield* connectWithout(web, options)
        config(`IdentityFile ~/nowhere`)
        yield* connectWithout(web, options)
        config(`IdentityFile ~/nowhere\nIdentityAgent none`)
        const none = yield* Effect.flip(connectWithout(web, options))
        assert.include(none.message, "there was no key to offer")
        // The target's own settings come first.
        yield* connectWithout(web, options, scripted(), { sshKey: host.keyFile })
        const stranger = yield* Effect.flip(connectTo(web, { user: "nobody-here" }, options))
        assert.strictEqual(stranger._tag, "AuthenticationFailed")
      })
    )

    it.scoped("A private key may come from ~/.ssh.", () =>
      Effect.gen(function* () {
        const host = yield* Host
        const homeDir = mkdtempSync(join(host.folder, "home-"))
        execFileSync("mkdir", [join(homeDir, ".ssh")])
        const ecdsa = makeKey(join(homeDir, ".ssh/id_ecdsa"), { type: "ecdsa", passphrase: "open sesame" })
        const unattended = yield* Effect.flip(connectWithout(host, { homeDir }))
        assert.strictEqual(unattended._tag, "AuthenticationFailed")
        assert.include(unattended.message, "id_ecdsa, which needs its passphrase")
        host.authorize(readFileSync(`${ecdsa}.pub`, "utf8"))
        yield* connectWithout(host, { homeDir }, scripted("open sesame"))
        execFileSync("cp", [host.keyFile, join(homeDir, ".ssh/id_ed25519")])
        const silent = scripted("not asked")
        yield* connectWithout(host, { homeDir }, silent)
        assert.deepStrictEqual(silent.asked, [])
      })
    )
  })
})

suite(titled("Ways through other hosts", missingSshd), () => {
  const debug = { logLevel: "DEBUG1" }
  const hosts = Effect.all([sshd(debug), sshd(debug), sshd()])

  /** The config's text for one host under a name of its own. */
  const block = (name: string, host: Sshd, more = "") =>
    `Host ${name}\n  HostName ${host.host}\n  Port ${host.port}\n  User ${host.user}\n  IdentityFile ${host.keyFile}\n${more}`

  /** Connects to the name `web` with that config, knowing the keys of the hosts. */
  const connectWith = (
    config: string,
    known: ReadonlyArray<Sshd>,
    {
      folder,
      settings = {},
      terminal = scripted(),
      target = {}
    }: {
      readonly folder: string
      readonly settings?: Partial<SettingsShape>
      readonly terminal?: ReturnType<typeof scripted>
      readonly target?: Settings
    }
  ) => {
    const configFile = join(folder, "way.config")
    const knownHostsFile = join(folder, "way.known_hosts")
    writeFileSync(configFile, config)
    writeFileSync(knownHostsFile, known.map((host) => readFileSync(host.knownHosts, "utf8")).join(""))
    const [first] = known
    return connect(targetOf({ host: "web", port: 0 }, target), folder).pipe(
      Effect.provide(terminal.prompt),
      Effect.provide(NodeFileSystem.layer),
      Effect.provideService(SshSettings, {
        ...settingsFor(first ?? assert.fail("no host")),
        configFile,
        knownHostsFile,
        ...settings
      })
    )
  }

  const passedOn = (host: Sshd) => host.log().split("confirm direct-tcpip").length - 1

  it.live("A connection passes two jump hosts in a row, each with its own key and login.", () =>
    Effect.gen(function* () {
      const [one, two, web] = yield* hosts
      const all = [one, two, web]
      const ends = `${block("one", one)}${block("two", two)}`
      for (const [turn, config] of [
        `${block("web", web, "  ProxyJump one,two\n")}${ends}`,
        // The way to a jump host is in its own block.
        `${block("web", web, "  ProxyJump two\n")}Host two\n  ProxyJump one\n${ends}`
      ].entries()) {
        const transport = yield* connectWith(config, all, web)
        const { sha256, stream } = bytes(5_000_000)
        const result = yield* transport.exec(sh("sha256sum; pwd", [], { stdin: stream, wait: "transfer" }))
        assert.strictEqual(result.stdout, `${sha256}  -\n${web.home}\n`)
        assert.deepStrictEqual([passedOn(one), passedOn(two)], [turn + 1, turn + 1])
      }
    }).pipe(Effect.scoped)
  )

  it.live("A jump host with an unknown key is asked about by its name, and refused without a terminal.", () =>
    Effect.gen(function* () {
      const [one, , web] = yield* hosts
      const config = `${block("web", web, "  ProxyJump one\n")}${block("one", one)}`
      const refused = yield* Effect.flip(connectWith(config, [web], web))
      assert.deepInclude(refused, { _tag: "HostKeyRejected", reason: "unknown", address: "one", isJumpHost: true })
      assert.notInclude(refused.message, "hostKey")
      const terminal = scripted(true)
      yield* connectWith(config, [web], { ...web, terminal })
      assert.lengthOf(terminal.asked, 1)
      assert.include(terminal.asked[0], "The key of one is not known")
    }).pipe(Effect.scoped)
  )

  it.live("A broken way through jump hosts is told apart from a host that is down.", () =>
    Effect.gen(function* () {
      const [one, two, web] = yield* hosts
      const closed = yield* sshd({ config: ["AllowTcpForwarding no"] })
      const jump = (host: Sshd) => `${block("web", web, "  ProxyJump one\n")}${block("one", host)}`
      const forbidden = yield* Effect.flip(connectWith(jump(closed), [closed, web], web))
      assert.deepInclude(forbidden, { _tag: "HostUnreachable", reason: "proxy", address: "web" })
      assert.include(forbidden.message, `one does not connect to 127.0.0.1:${web.port}`)
      const circle = `${block("web", web, "  ProxyJump one\n")}Host one\n  ProxyJump two\n${block("one", one)}Host two\n  ProxyJump one\n${block("two", two)}`
      const round = yield* Effect.flip(connectWith(circle, [one, two, web], web))
      assert.include(round.message, "in a circle")
      const senseless = yield* Effect.flip(connectWith(block("web", web, "  ProxyJump a:b:c\n"), [web], web))
      assert.include(senseless.message, '"a:b:c" names no jump host')
      yield* web.stop
      const down = yield* Effect.flip(connectWith(jump(one), [one, web], web))
      assert.include(down.message, "Connection refused")
    }).pipe(Effect.scoped)
  )

  it.live("A connection is lost together with its jump host.", () =>
    Effect.gen(function* () {
      const [one, , web] = yield* hosts
      const config = `${block("web", web, "  ProxyJump one\n")}${block("one", one)}`
      const transport = yield* connectWith(config, [one, web], web)
      const fiber = yield* Effect.fork(Effect.flip(transport.exec(sh("sleep 60"))))
      yield* Effect.sleep(200)
      yield* one.stop
      const error = yield* Fiber.join(fiber).pipe(Effect.timeout("12 seconds"))
      assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "lost")
    }).pipe(Effect.scoped)
  )

  it.live("A ProxyCommand carries a connection, and ends with it.", () =>
    Effect.gen(function* () {
      const web = yield* sshd()
      const note = join(web.folder, "proxy.pid")
      const program = join(web.folder, "proxy.cjs")
      writeFileSync(
        program,
        `require("fs").writeFileSync(${JSON.stringify(note)}, String(process.pid))
const socket = require("net").connect(Number(process.argv[3]), process.argv[2])
process.stdin.pipe(socket).pipe(process.stdout)
setInterval(() => {}, 1000)`
      )
      const config = block("web", web, `  ProxyCommand cd / && ${process.execPath} ${program} %h %p\n`)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const transport = yield* connectWith(config, [web], web)
          const { sha256, stream } = bytes(5_000_000)
          const result = yield* transport.exec(sh("sha256sum", [], { stdin: stream, wait: "transfer" }))
          assert.strictEqual(result.stdout, `${sha256}  -\n`)
          assert.strictEqual((yield* transport.exec(sh("yes | head -c 3000000"))).stdout.length, 3_000_000)
        })
      )
      const pid = readFileSync(note, "utf8")
      yield* Effect.repeat(Effect.sleep(20), { until: () => !existsSync(`/proc/${pid}/fd`) }).pipe(
        Effect.timeout("12 seconds")
      )
    }).pipe(Effect.scoped)
  )

  it.live("A ProxyCommand that fails says why.", () =>
    Effect.gen(function* () {
      const web = yield* sshd()
      const failing = block("web", web, `  ProxyCommand echo "no route to %h" >&2; exit 7\n`)
      const error = yield* Effect.flip(connectWith(failing, [web], web))
      assert.deepInclude(error, { _tag: "HostUnreachable", reason: "proxy" })
      assert.include(error.message, "ended with exit status 7: no route to 127.0.0.1")
      const hostile = `${block("web", web, "  ProxyCommand nc %h %p\n").replace("HostName 127.0.0.1", `HostName "x;touch y"`)}`
      const refused = yield* Effect.flip(connectWith(hostile, [web], web))
      assert.include(refused.message, '"x;touch y" must not be part of a shell command')
    }).pipe(Effect.scoped)
  )

  it.live("Names, files and rules for host keys come from the SSH config.", () =>
    Effect.gen(function* () {
      const web = yield* sshd()
      const file = join(web.folder, "own known hosts")
      writeFileSync(file, `my-alias ${web.hostKey}\n`)
      const alias = `  HostKeyAlias My-Alias\n  UserKnownHostsFile "${file}" /nowhere\n`
      yield* connectWith(block("web", web, alias), [web], web)
      const other = makeKey(join(web.folder, "other-host-key"))
      writeFileSync(file, `my-alias ${readFileSync(`${other}.pub`, "utf8")}`)
      const changed = yield* Effect.flip(connectWith(block("web", web, alias), [web], web))
      assert.include(changed.message, `ssh-keygen -f '${file}' -R 'my-alias'`)
      writeFileSync(file, "")
      const strict = yield* Effect.flip(
        connectWith(block("web", web, `${alias}  StrictHostKeyChecking yes\n`), [web], {
          ...web,
          terminal: scripted(true)
        })
      )
      assert.deepInclude(strict, { _tag: "HostKeyRejected", reason: "unknown", file })
      yield* connectWith(block("web", web, `${alias}  StrictHostKeyChecking accept-new\n`), [web], web)
      assert.strictEqual(readFileSync(file, "utf8"), `my-alias ${web.hostKey}\n`)
    }).pipe(Effect.scoped)
  )

  it.live("The connect timeout of the SSH config holds unless the target has its own.", () =>
    Effect.gen(function* () {
      const web = yield* sshd()
      const network = yield* proxy(web)
      network.stall()
      const config = block("web", { ...web, port: network.port }, "  ConnectTimeout 1\n")
      const [took, error] = yield* Effect.timed(Effect.flip(connectWith(config, [web], web)))
      assert.deepInclude(error, { _tag: "HostUnreachable", reason: "timeout" })
      assert.isBelow(Duration.toMillis(took), 3000)
      const target = { timeouts: { connect: "200 millis" } }
      assert.include((yield* Effect.flip(connectWith(config, [web], { ...web, target }))).message, "200ms")
    }).pipe(Effect.scoped)
  )
})

/** A host with a key of its own that lets everybody in, and answers a request for a session as it likes. */
const strange = (onSession: (client: Connection) => void) =>
  Effect.gen(function* () {
    const host = yield* Host
    const hostKeys = [readFileSync(join(host.folder, "host_key"))]
    const server = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const server = new ssh2.Server({ hostKeys }, (client) => {
          client.on("error", () => {})
          client.on("authentication", (context) => context.accept())
          client.on("session", () => onSession(client))
        }).listen(0, "127.0.0.1")
        await once(server, "listening")
        return server
      }),
      (server) => Effect.sync(() => server.close())
    )
    const { port } = Object(server.address())
    writeFileSync(host.knownHosts, `[127.0.0.1]:${port} ${host.hostKey}\n`, { flag: "a" })
    return { ...host, port: Number(port) }
  })

/** ssh2 itself gives no reason when it disconnects. */
const disconnect = (client: Connection, reason: string) => {
  const protocol = Object(client)._protocol
  const text = Buffer.from(reason)
  const { write } = protocol._packetRW
  const packet: Buffer = write.alloc(13 + text.length)
  const start: number = write.allocStart
  packet[start] = 1
  packet.writeUInt32BE(2, start + 1)
  packet.writeUInt32BE(text.length, start + 5)
  text.copy(packet, start + 9)
  packet.writeUInt32BE(0, start + 9 + text.length)
  protocol._cipher.encrypt(write.finalize(packet))
}

const agent = Effect.acquireRelease(
  Effect.promise(async () => {
    const folder = mkdtempSync(join(tmpdir(), "deployer-agent-"))
    const socket = join(folder, "agent.sock")
    const child = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" })
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20))
    return { child, folder, socket }
  }),
  ({ child, folder }) =>
    Effect.promise(async () => {
      child.kill()
      await once(child, "exit")
      rmSync(folder, { recursive: true, force: true })
    })
).pipe(Effect.map(({ socket }) => socket))
