/** The choice between deployer's own SSH and the system's `ssh`. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Reported, Reporter } from "../../src/terminal/Reporter.ts"
import { connectTo, connectWithout, type Settings, type SettingsShape, scripted } from "../kit/sshClient.ts"
import { agentWith, makeKey, missing, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"

const absent = missingSshd ?? missing("ssh", "ssh-add")
const scoped = absent === undefined ? it.scopedLive : it.scopedLive.skip

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync("/tmp/deployer-clients-")),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

/** The words with which a connection says that it needs the system's `ssh`, the warnings, and the failure. */
const connecting = (host: Sshd, more: Settings = {}, settings: Partial<SettingsShape> = {}) =>
  Effect.gen(function* () {
    const result = yield* Effect.either(Effect.asVoid(connectTo(host, more, settings)))
    const events = yield* Effect.flatMap(Reported, ({ events }) => events)
    return {
      failure: result._tag === "Left" ? result.left : undefined,
      reasons: events.flatMap((event) =>
        event._tag === "Detail" && event.message.includes("needs the system's ssh") ? [event.message] : []
      ),
      warnings: events.flatMap((event) => (event._tag === "Warning" ? [event.message] : []))
    }
  }).pipe(Effect.provide(Layer.fresh(Reporter.collect)))

/** Makes `PATH` a folder without `ssh` until the scope ends. */
const withoutSsh = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const before = process.env["PATH"] ?? ""
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      process.env["PATH"] = before
    })
  )
  process.env["PATH"] = folder
})

/** A host that trusts a certificate authority, and a key with a certificate of it. */
const certified = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const ca = makeKey(path.join(folder, "ca"))
  const host = yield* sshd({ config: [`TrustedUserCAKeys ${ca}.pub`] })
  const key = makeKey(path.join(folder, "mine"))
  execFileSync("ssh-keygen", ["-q", "-s", ca, "-I", "me", "-n", host.user, `${key}.pub`], { stdio: "ignore" })
  return { host, key, folder }
})

describe("the client of SSH", () => {
  scoped(titled("An ordinary host is reached by deployer's own SSH.", absent), () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* connecting(yield* sshd()), { failure: undefined, reasons: [], warnings: [] })
    })
  )

  scoped(titled("A certificate beside the key needs the system's ssh.", absent), () =>
    Effect.gen(function* () {
      const { host, key } = yield* certified
      const { failure, reasons } = yield* connecting(host, { sshKey: key })
      assert.isUndefined(failure)
      assert.lengthOf(reasons, 1)
      assert.include(reasons[0], `deployer's own SSH cannot use ${key}-cert.pub`)
    })
  )

  scoped(titled("A certificate in the agent needs the system's ssh.", absent), () =>
    Effect.gen(function* () {
      const { folder, host, key } = yield* certified
      const { socket } = yield* agentWith(folder, [key])
      const transport = yield* connectWithout(host, { agentSocket: socket }, scripted(), { user: host.user })
      const { stdout } = yield* transport.exec({ doing: "say", script: "echo said", args: [], wait: "command" })
      assert.strictEqual(stdout, "said\n")
    })
  )

  scoped(titled("A keyword that only ssh follows needs it, also for a jump host.", absent), () =>
    Effect.gen(function* () {
      const { folder, host, key } = yield* certified
      const configFile = path.join(folder, "config")
      const certificate = path.join(folder, "certificate")
      fs.renameSync(`${key}-cert.pub`, certificate)
      fs.writeFileSync(configFile, `CertificateFile ${certificate}\n`)
      const direct = yield* connecting(host, { sshKey: key }, { configFile })
      assert.isUndefined(direct.failure)
      assert.include(
        direct.reasons.join(),
        `does not follow "CertificateFile ${certificate}" in ssh_config for 127.0.0.1`
      )
      const web = yield* sshd()
      const jump = `Host one\n  HostName ${host.host}\n  Port ${host.port}\n  IdentityFile ${key}\n  CertificateFile ${certificate}\n`
      fs.writeFileSync(configFile, `${jump}Host ${web.host}\n  ProxyJump one\n`)
      const knownHostsFile = path.join(folder, "known_hosts")
      fs.writeFileSync(knownHostsFile, [host, web].map((one) => fs.readFileSync(one.knownHosts, "utf8")).join(""))
      const through = yield* connecting(web, {}, { configFile, knownHostsFile })
      assert.isUndefined(through.failure)
      assert.include(through.reasons.join(), "in ssh_config for one")
    })
  )

  scoped(titled("A certificate authority for hosts needs the system's ssh, unless the key is pinned.", absent), () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const ca = makeKey(path.join(folder, "ca"))
      const hostKey = makeKey(path.join(folder, "host"))
      execFileSync("ssh-keygen", ["-q", "-s", ca, "-h", "-I", "web", "-n", "127.0.0.1", `${hostKey}.pub`], {
        stdio: "ignore"
      })
      const host = yield* sshd({ config: [`HostKey ${hostKey}`, `HostCertificate ${hostKey}-cert.pub`] })
      const knownHostsFile = path.join(folder, "known_hosts")
      fs.writeFileSync(knownHostsFile, `@cert-authority [127.0.0.1]:* ${fs.readFileSync(`${ca}.pub`, "utf8")}`)
      const { failure, reasons } = yield* connecting(host, {}, { knownHostsFile })
      assert.isUndefined(failure)
      assert.include(reasons.join(), `${knownHostsFile} trusts a certificate authority for 127.0.0.1`)
      const fingerprint =
        execFileSync("ssh-keygen", ["-lf", `${hostKey}.pub`], { encoding: "utf8" }).split(" ")[1] ?? ""
      assert.deepStrictEqual(yield* connecting(host, { hostKey: fingerprint }, { knownHostsFile }), {
        failure: undefined,
        reasons: [],
        warnings: []
      })
    })
  )

  scoped(titled("A host that allows only post-quantum key exchanges needs the system's ssh.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd({ config: ["KexAlgorithms sntrup761x25519-sha512@openssh.com"] })
      const { failure, reasons } = yield* connecting(host)
      assert.isUndefined(failure)
      assert.include(reasons.join(), "have no algorithm in common")
    })
  )

  scoped(
    titled(
      "Without ssh on this machine, or with ssh2 in the target, the failure or a warning names the reason.",
      absent
    ),
    () =>
      Effect.gen(function* () {
        const host = yield* sshd({ config: ["KexAlgorithms sntrup761x25519-sha512@openssh.com"] })
        const usual = yield* sshd()
        const { host: trusting, key } = yield* certified
        const configFile = path.join(host.folder, "config")
        fs.writeFileSync(configFile, "CertificateFile mine\n")
        const own = yield* connecting(usual, { ssh: "ssh2" }, { configFile })
        assert.deepStrictEqual(own.reasons, [])
        assert.lengthOf(own.warnings, 1)
        assert.include(own.warnings[0], 'does not follow "CertificateFile mine" in ssh_config for 127.0.0.1')
        yield* withoutSsh
        const there = yield* connecting(usual, {}, { configFile })
        assert.isUndefined(there.failure)
        assert.deepStrictEqual(there.warnings, own.warnings)
        const uncommon = yield* connecting(host)
        assert.include(String(uncommon.failure), "it offers no key exchange that deployer knows")
        const refused = yield* connecting(trusting, { sshKey: key })
        assert.strictEqual(refused.failure?._tag, "AuthenticationFailed")
      })
  )

  scoped(titled("If the system's ssh cannot log in either, the message gives the first failure.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const key = makeKey(path.join(host.folder, "stranger"))
      fs.writeFileSync(`${key}-cert.pub`, "nonsense\n")
      const { failure, reasons } = yield* connecting(host, { sshKey: key })
      assert.lengthOf(reasons, 1)
      assert.strictEqual(failure?._tag, "AuthenticationFailed")
      assert.include(failure?.message, `offered: ${key}`)
    })
  )
})
