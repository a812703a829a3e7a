import { assert, describe, it } from "@effect/vitest"
import * as SshConfig from "../../src/host/SshConfig.ts"

const text = `
# mine
User everybody
Host web
  HostName = 10.0.0.7
  User deploy
	port 2222
  IdentityFile "~/.ssh/two words"
  IdentityFile ~/.ssh/%h
host *.example.com !db.example.com
  User example
  IdentitiesOnly YES
  IdentityAgent none
  HostName %h.internal
Match exec "true"
  HostName never
Host WEB
  Port 1
  ProxyJump bastion
Host *
  IdentityFile ~/.ssh/last
  ProxyCommand none
`

describe("SshConfig", () => {
  it("says nothing where nothing is said", () => {
    const nothing = SshConfig.lookup("", "web")
    assert.deepStrictEqual(nothing, {
      hostName: undefined,
      user: undefined,
      port: undefined,
      identityFiles: [],
      identityAgent: undefined,
      identitiesOnly: false,
      proxy: undefined
    })
    assert.deepStrictEqual(SshConfig.lookup("Host\nPort\n= =\nPort none\n\u0000", "web"), nothing)
  })

  it("takes the first value, and all identity files", () => {
    const web = SshConfig.lookup(text, "web")
    assert.strictEqual(web.hostName, "10.0.0.7")
    assert.strictEqual(web.user, "everybody")
    assert.strictEqual(web.port, 2222)
    assert.strictEqual(web.proxy, "bastion")
    assert.deepStrictEqual(web.identityFiles, ["~/.ssh/two words", "~/.ssh/%h", "~/.ssh/last"])
  })

  it("reads patterns and negations", () => {
    const api = SshConfig.lookup(text, "API.example.com")
    assert.strictEqual(api.hostName, "API.example.com.internal")
    assert.isTrue(api.identitiesOnly)
    assert.strictEqual(api.identityAgent, "none")
    assert.strictEqual(api.proxy, undefined)
    assert.strictEqual(SshConfig.lookup(text, "db.example.com").hostName, undefined)
    assert.strictEqual(SshConfig.lookup("Match all\nUser you", "web").user, "you")
  })
})
