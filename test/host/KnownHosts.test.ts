import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as KnownHosts from "../../src/host/transport/ssh/KnownHosts.ts"
import { missingSshd, titled } from "../kit/sshd.ts"

// Wire forms of made-up keys: a type and 32 bytes.
const makeKey = (type: string, seed: number): KnownHosts.PublicKey => {
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return Buffer.concat([length, bytes])
  }
  const wire = Buffer.concat([field(Buffer.from(type)), field(Buffer.alloc(32, seed))])
  return { type, blob: wire.toString("base64") }
}
const one = makeKey("ssh-ed25519", 1)
const two = makeKey("ssh-ed25519", 2)
const rsa = makeKey("ssh-rsa", 3)

const judge = (text: string, host: string, key: KnownHosts.PublicKey, port = 22) =>
  KnownHosts.judge(KnownHosts.parse(text), host, port, key)
const entry = (names: string, key: KnownHosts.PublicKey) => `${names} ${key.type} ${key.blob} a comment`

describe("KnownHosts", () => {
  it("Known hosts match a name regardless of case.", () => {
    const text = `# my hosts\n\n${entry("Web.example.com", one)}\r\n`
    assert.strictEqual(judge(text, "web.example.com", one), "known")
    assert.strictEqual(judge(text, "WEB.example.com", one), "known")
    assert.strictEqual(judge(text, "web.example.org", one), "unknown")
    assert.strictEqual(judge(text, "webXexample.com", one), "unknown")
  })

  it("Known hosts tell a changed key from an unknown host.", () => {
    const text = entry("web", one)
    assert.strictEqual(judge(text, "web", two), "changed")
    assert.strictEqual(judge(text, "web", rsa), "changed")
    assert.strictEqual(judge(text, "db", two), "unknown")
  })

  it("Known hosts accept any of several keys.", () => {
    const text = [entry("web", one), entry("web", rsa)].join("\n")
    assert.strictEqual(judge(text, "web", one), "known")
    assert.strictEqual(judge(text, "web", rsa), "known")
    assert.strictEqual(judge(text, "web", two), "changed")
  })

  it("Known hosts treat ports as ssh does.", () => {
    const text = entry("[web]:2222", one)
    assert.strictEqual(judge(text, "web", one, 2222), "known")
    assert.strictEqual(judge(text, "web", two, 2222), "changed")
    assert.strictEqual(judge(text, "web", one), "unknown")
    assert.strictEqual(judge(entry("web", one), "web", one, 2222), "known")
    assert.strictEqual(judge(entry("web", one), "web", two, 2222), "unknown")
  })

  it("Known hosts understand lists, wildcards and negations.", () => {
    const text = entry("*.example.com,10.0.0.?,!db.example.com", one)
    assert.strictEqual(judge(text, "a.b.example.com", one), "known")
    assert.strictEqual(judge(text, "10.0.0.7", one), "known")
    assert.strictEqual(judge(text, "10.0.0.77", one), "unknown")
    assert.strictEqual(judge(text, "db.example.com", one), "unknown")
    assert.strictEqual(judge(text, "example.com", one), "unknown")
  })

  it("KnownHosts refuses a revoked key even if another line accepts it.", () => {
    const text = [entry("web", one), `@revoked ${entry("*", one)}`].join("\n")
    assert.strictEqual(judge(text, "web", one), "revoked")
    assert.strictEqual(judge(text, "web", one, 2222), "revoked")
    assert.strictEqual(judge(text, "web", two), "changed")
  })

  it("KnownHosts ignores certificate authorities and damaged lines.", () => {
    const lines = [
      `@cert-authority ${entry("*", one)}`,
      "web",
      "web ssh-ed25519",
      "web ssh-ed25519 %%%%",
      `web ssh-rsa ${one.blob}`,
      "|1|x web y",
      "\u0000\u0001"
    ]
    assert.deepStrictEqual(KnownHosts.parse(lines.join("\n")), [])
  })

  it("KnownHosts asks a host first for the type of its known key.", () => {
    const algorithms = (text: string, port = 22) => KnownHosts.preferredAlgorithms(KnownHosts.parse(text), "web", port)
    assert.strictEqual(algorithms("")[0], "ssh-ed25519")
    assert.deepStrictEqual(algorithms(entry("web", rsa)).slice(0, 3), ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"])
    assert.strictEqual(algorithms(entry("web", rsa), 2222)[0], "rsa-sha2-512")
    assert.strictEqual(algorithms([entry("web", rsa), entry("[web]:2222", one)].join("\n"), 2222)[0], "ssh-ed25519")
    assert.strictEqual(new Set(algorithms(entry("web", rsa))).size, 6)
  })

  it("A known key of an unsupported type does not make another key count as changed.", () => {
    assert.strictEqual(judge(entry("web", makeKey("ssh-dss", 9)), "web", one), "unknown")
  })

  it("KnownHosts reads the lines that it writes.", () => {
    for (const port of [22, 2222]) {
      assert.strictEqual(judge(KnownHosts.line("Web", port, one), "web", one, port), "known")
    }
  })

  const suite = missingSshd === undefined ? describe : describe.skip
  suite(titled("with ssh-keygen", missingSshd), () => {
    const folder = mkdtempSync(join(tmpdir(), "deployer-known-hosts-"))
    afterAll(() => rmSync(folder, { recursive: true, force: true }))
    const keygen = (...args: Array<string>) => execFileSync("ssh-keygen", args, { stdio: ["ignore", "pipe", "ignore"] })

    it("KnownHosts reads the names that ssh-keygen -H hashed.", () => {
      const file = join(folder, "known_hosts")
      writeFileSync(file, [entry("web.example.com", one), entry("[web.example.com]:2222", two), ""].join("\n"))
      keygen("-H", "-f", file)
      const text = readFileSync(file, "utf8")
      assert.notInclude(text, "web.example.com")
      assert.strictEqual(judge(text, "web.example.com", one), "known")
      assert.strictEqual(judge(text, "Web.Example.com", one), "known")
      assert.strictEqual(judge(text, "web.example.com", two), "changed")
      assert.strictEqual(judge(text, "web.example.com", two, 2222), "known")
      assert.strictEqual(judge(text, "db.example.com", one), "unknown")
    })

    it("KnownHosts prints the same fingerprint as ssh-keygen -l.", () => {
      const file = join(folder, "id")
      keygen("-q", "-t", "ecdsa", "-N", "", "-f", file)
      const [type = "", blob = ""] = readFileSync(`${file}.pub`, "utf8").split(" ")
      const shown = keygen("-l", "-f", `${file}.pub`).toString().split(" ")[1]
      assert.strictEqual(KnownHosts.fingerprint({ type, blob }), shown)
      assert.strictEqual(KnownHosts.describe({ type, blob }), `ECDSA ${shown}`)
    })
  })
})
