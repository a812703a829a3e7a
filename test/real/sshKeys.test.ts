/** Private keys in many formats, agents, and hosts that require other methods than a key. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TargetSettings } from "../../src/domain/Target.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { target } from "../kit/samples.ts"
import { agentWith, makeKey, missing, missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

const absent = missingSshd ?? missing("openssl")
const scoped = absent === undefined ? it.scopedLive : it.scopedLive.skip

type Settings = Context.Tag.Service<typeof SshSettings>

const login = (
  host: Pick<Sshd, "host" | "port" | "user">,
  settings: Settings,
  more: Partial<typeof TargetSettings.Encoded> = {},
  answers: ReadonlyArray<string> = []
) =>
  Effect.flatMap(
    Effect.provide(
      connect(
        target({ host: host.host, ...(host.port === 0 ? {} : { port: host.port }), user: host.user, ...more }),
        "/"
      ),
      Layer.mergeAll(NodeFileSystem.layer, Prompt.layerScripted(answers), Layer.succeed(SshSettings, settings))
    ),
    ({ exec }) => exec({ doing: "say hello", script: "echo hello", args: [], wait: "command" })
  )

const authorize = (host: Sshd, privateKey: string) =>
  host.authorize(execFileSync("ssh-keygen", ["-y", "-f", privateKey], { encoding: "utf8" }))

describe("SSH keys", () => {
  scoped(titled("A private key may have any format that OpenSSL writes.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const file = (name: string) => path.join(host.folder, name)
      const openssl = (name: string, ...args: ReadonlyArray<string>) =>
        fs.writeFileSync(file(name), execFileSync("openssl", args), { mode: 0o600 })
      openssl("ed25519", "genpkey", "-algorithm", "ed25519")
      openssl("locked", "pkcs8", "-topk8", "-in", file("ed25519"), "-v2", "aes-256-cbc", "-passout", "pass:sesame")
      openssl("parameters", "ecparam", "-name", "prime256v1", "-genkey")
      openssl("ec", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
      const relabelled = fs.readFileSync(file("ec"), "utf8").replaceAll("PRIVATE KEY", "EC PRIVATE KEY")
      fs.writeFileSync(file("relabelled"), relabelled, { mode: 0o600 })
      // OpenSSH 9.2 does not read OpenSSL's Ed25519 keys, so the test makes the public key. Its bytes are the last 32 bytes of the DER form.
      const wire = execFileSync("openssl", ["pkey", "-in", file("ed25519"), "-pubout", "-outform", "DER"]).subarray(-32)
      const field = (bytes: Uint8Array) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes])
      const blob = Buffer.concat([field(Buffer.from("ssh-ed25519")), field(wire)]).toString("base64")
      host.authorize(`ssh-ed25519 ${blob}`)
      for (const name of ["parameters", "relabelled"]) authorize(host, file(name))
      for (const name of ["ed25519", "parameters", "relabelled"]) {
        const { stdout } = yield* login(host, settingsFor(host), { sshKey: file(name) })
        assert.strictEqual(stdout, "hello\n", name)
      }
      const { stdout } = yield* login(host, settingsFor(host), { sshKey: file("locked") }, ["sesame"])
      assert.strictEqual(stdout, "hello\n")
    })
  )

  scoped(titled("The message about a key in PuTTY's newest format shows how to convert it.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const file = path.join(host.folder, "key.ppk")
      fs.writeFileSync(file, "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", { mode: 0o600 })
      const error = yield* Effect.flip(login(host, settingsFor(host), { sshKey: file }))
      assert.include(error.message, `puttygen ${file} -O private-openssh`)
    })
  )

  scoped(titled("A public key file selects a key of ssh-agent, as with ssh.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd({ config: ["MaxAuthTries 3"] })
      const others = ["a", "b", "c", "d"].map((name) => makeKey(path.join(host.folder, name)))
      const { socket } = yield* agentWith(host.folder, [...others, host.keyFile])
      const configFile = path.join(host.folder, "config")
      const settings = { ...settingsFor(host), agentSocket: socket, configFile }
      const hopeless = yield* Effect.flip(login(host, settings))
      assert.strictEqual(hopeless._tag, "AuthenticationFailed")
      const alone = path.join(host.folder, "alone")
      fs.copyFileSync(`${host.keyFile}.pub`, `${alone}.pub`)
      for (const lines of [
        `IdentityFile ${host.keyFile}.pub`,
        `IdentitiesOnly yes\nIdentityFile ${host.keyFile}.pub`,
        `IdentitiesOnly yes\nIdentityFile ${alone}`
      ]) {
        fs.writeFileSync(configFile, `${lines}\n`)
        assert.strictEqual((yield* login(host, settings)).stdout, "hello\n", lines)
      }
      fs.writeFileSync(configFile, "")
      assert.strictEqual((yield* login(host, settings, { sshKey: `${host.keyFile}.pub` })).stdout, "hello\n")
      const without = { ...settings, agentSocket: undefined }
      const error = yield* Effect.flip(login(host, without, { sshKey: `${host.keyFile}.pub` }))
      assert.include(error.message, "ssh-agent does not hold its private key")
    })
  )

  scoped(titled("Relative paths in ssh_config start in the working directory, as with ssh.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const workingDir = path.join(host.folder, "project")
      fs.mkdirSync(path.join(workingDir, "keys"), { recursive: true })
      fs.copyFileSync(host.keyFile, path.join(workingDir, "keys/id"))
      fs.copyFileSync(host.knownHosts, path.join(workingDir, "keys/known_hosts"))
      const configFile = path.join(host.folder, "config")
      fs.writeFileSync(configFile, "IdentityFile keys/id\nUserKnownHostsFile keys/known_hosts\n")
      const settings = { ...settingsFor(host), configFile, workingDir, knownHostsFile: "/nowhere" }
      assert.strictEqual((yield* login(host, settings)).stdout, "hello\n")
    })
  )
})

describe("SSH hosts", () => {
  scoped(
    titled(
      "The messages about a host that also requires another method, and about one that accepts no keys, name the methods.",
      absent
    ),
    () =>
      Effect.gen(function* () {
        const interactive = "KbdInteractiveAuthentication yes"
        const two = yield* sshd({ config: ["AuthenticationMethods publickey,keyboard-interactive", interactive] })
        const partial = yield* Effect.flip(login(two, settingsFor(two), { sshKey: two.keyFile }))
        assert.include(partial.message, "accepted the key and also requires keyboard-interactive")
        const none = yield* sshd({ config: ["PubkeyAuthentication no", interactive] })
        const refused = yield* Effect.flip(login(none, settingsFor(none), { sshKey: none.keyFile }))
        assert.include(refused.message, "accepts no keys at all, only keyboard-interactive")
      })
  )

  scoped(titled("An old host may prove itself with RSA and SHA-1 if ssh_config allows that.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd({ hostKeyType: "rsa", config: ["HostKeyAlgorithms ssh-rsa"] })
      const configFile = path.join(host.folder, "config")
      const settings = { ...settingsFor(host), configFile }
      const error = yield* Effect.flip(login(host, settings, { sshKey: host.keyFile }))
      assert.include(error.message, "set HostKeyAlgorithms +ssh-rsa for it in ~/.ssh/config")
      fs.writeFileSync(configFile, "HostKeyAlgorithms +ssh-rsa\n")
      assert.strictEqual((yield* login(host, settings, { sshKey: host.keyFile })).stdout, "hello\n")
    })
  )

  scoped(titled("If a busy sshd turns away connections at random, deployer tries again.", absent), () =>
    Effect.gen(function* () {
      const host = yield* sshd({ config: ["MaxStartups 2:80:6"] })
      const all = yield* Effect.forEach(
        Array.from({ length: 24 }),
        () =>
          Effect.scoped(login(host, settingsFor(host), { sshKey: host.keyFile, timeouts: { connect: "60 seconds" } })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(all.map(({ stdout }) => stdout)), new Set(["hello\n"]))
      assert.match(host.log(), /MaxStartups|drop connection/)
    })
  )
})
