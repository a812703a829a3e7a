import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import { Disconnected } from "../../src/host/transport/ssh/Connection.ts"
import { failureOf } from "../../src/host/transport/ssh/openssh/failure.ts"
import { makeStatusReader } from "../../src/host/transport/ssh/openssh/statusReader.ts"

const mark = "deployer-0d1ed2d3deed"

/** Reads chunks, and returns the text that was passed on, and the status. */
const readAll = (chunks: ReadonlyArray<string>) => {
  let passed = ""
  const reader = makeStatusReader(mark, (chunk) => {
    passed += Buffer.from(chunk).toString("latin1")
  })
  for (const chunk of chunks) reader.read(Buffer.from(chunk, "latin1"))
  reader.end()
  return { passed, status: reader.status() }
}

describe("the reader of exit statuses", () => {
  it("The line with the status is found, wherever the output is cut.", () => {
    const whole = `de\ndeployer-0d\xff${mark} x\n${mark} 17\nlate`
    const expected = { passed: `de\ndeployer-0d\xff${mark} x\nlate`, status: 17 }
    for (let first = 0; first <= whole.length; first++)
      for (let second = first; second <= whole.length; second++)
        assert.deepStrictEqual(
          readAll([whole.slice(0, first), whole.slice(first, second), whole.slice(second)]),
          expected,
          `${first} ${second}`
        )
    assert.deepStrictEqual(readAll([...whole]), expected)
  })

  it("Text without the line is passed on as it is.", () => {
    const pieces = fc.array(fc.oneof(fc.string(), fc.constantFrom(mark, mark.slice(0, 9), `${mark} 1`, "d", "\n")))
    fc.assert(
      fc.property(pieces, (chunks) => {
        const bytes = chunks.map((chunk) => Buffer.from(chunk).toString("latin1"))
        const whole = bytes.join("")
        fc.pre(!new RegExp(`${mark} \\d+\\n`).test(whole))
        assert.deepStrictEqual(readAll(bytes), { passed: whole, status: undefined })
      })
    )
  })

  it("Text that cannot begin the line is passed on at once.", () => {
    const passed: Array<string> = []
    const reader = makeStatusReader(mark, (chunk) => passed.push(Buffer.from(chunk).toString()))
    reader.read(Buffer.from("progress: 1 d, "))
    reader.read(Buffer.from("done"))
    assert.deepStrictEqual(passed, ["progress: 1 d, ", "done"])
  })
})

const login = { address: "deploy@web1", asked: { host: "web1" }, timeout: undefined }
const shown = { fingerprint: `SHA256:${"A".repeat(43)}`, type: "ssh-ed25519", knownAs: "[10.0.0.1]:2222" }

const cases: ReadonlyArray<readonly [name: string, words: string, expected: Readonly<Record<string, unknown>>]> = [
  [
    "A refused port",
    "ssh: connect to host 10.0.0.1 port 22: Connection refused\r\n",
    { _tag: "Disconnected", reason: "refused", detail: "ssh: connect to host 10.0.0.1 port 22: Connection refused" }
  ],
  [
    "A refused port of a jump host",
    "ssh: connect to host bastion port 22: Connection refused\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n",
    { reason: "proxy", detail: "ssh: connect to host bastion port 22: Connection refused", isBusy: false }
  ],
  [
    "A jump host that cannot reach the host",
    "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\nConnection closed by UNKNOWN port 65535\n",
    { reason: "proxy", detail: "channel 0: open failed: connect failed: Connection refused" }
  ],
  [
    "A jump host that refuses the key",
    "me@bastion: Permission denied (publickey).\nConnection closed by UNKNOWN port 65535\n",
    { _tag: "AuthenticationFailed", address: "me@bastion", detail: "me@bastion: Permission denied (publickey)." }
  ],
  [
    "A host that refuses the key",
    "deploy@10.0.0.1: Permission denied (publickey).\n",
    { _tag: "AuthenticationFailed", address: "deploy@web1", methods: ["publickey"] }
  ],
  [
    "A host without keys",
    "deploy@10.0.0.1: Permission denied (password,keyboard-interactive).\n",
    { _tag: "AuthenticationFailed", methods: ["password", "keyboard-interactive"] }
  ],
  [
    "A host that counts too many keys",
    "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\nDisconnected from 10.0.0.1 port 22\n",
    { _tag: "AuthenticationFailed", address: "deploy@web1" }
  ],
  [
    "A busy host",
    "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22\n",
    { reason: "lost", isBusy: true }
  ],
  [
    "No common algorithm",
    "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: aes128-cbc\n",
    { reason: "protocol" }
  ],
  [
    "No common algorithm behind a jump host",
    "Unable to negotiate with UNKNOWN port 65535: no matching host key type found. Their offer: ssh-ed25519\n",
    { reason: "protocol" }
  ],
  [
    "An option that an old ssh does not know",
    "command-line: line 0: Bad configuration option: knownhostscommand\n",
    { reason: "openssh" }
  ],
  ["An unknown failure", "something odd\n", { reason: "openssh", detail: "something odd" }],
  ["Silence", "", { reason: "openssh", detail: "ssh gave no reason" }],
  [
    "An unknown host key",
    "Host key verification failed.\n",
    { _tag: "HostKeyRejected", reason: "unknown", address: "deploy@web1", file: "/home/me/.ssh/known_hosts" }
  ],
  [
    "A changed host key",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /home/me/.ssh/known_hosts:3\nHost key for [10.0.0.1]:2222 has changed and you have requested strict checking.\nHost key verification failed.\n",
    { reason: "changed", file: "/home/me/.ssh/known_hosts", knownAs: "[10.0.0.1]:2222" }
  ],
  [
    "An unknown host key of a jump host",
    "Host key verification failed.\nConnection closed by UNKNOWN port 65535\n",
    { reason: "unknown", address: "[10.0.0.1]:2222", isJumpHost: true }
  ]
]

describe("the words of the system's ssh", () => {
  for (const [name, words, expected] of cases)
    it(`${name} becomes the right failure.`, () => {
      const failure = failureOf(login, words, { shown, knownHosts: "/home/me/.ssh/known_hosts" })
      for (const [key, value] of Object.entries(expected)) assert.deepStrictEqual(Reflect.get(failure, key), value, key)
      if (failure instanceof Disconnected) assert.notMatch(failure.detail, /^kex_|\n/)
    })
})
