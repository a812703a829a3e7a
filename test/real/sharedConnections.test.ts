/** Many targets at once behind one sshd. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AnyHost from "../../src/host/AnyHost.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { workspacePaths } from "../../src/internal/projectFolder.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { targetOf } from "../kit/sshClient.ts"
import { missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip

/** The config's text for one host under a name of its own. */
const block = (name: string, host: Sshd, more = "") =>
  `Host ${name}\n  HostName ${host.host}\n  Port ${host.port}\n  User ${host.user}\n  IdentityFile ${host.keyFile}\n${more}`

const loginsAt = (host: Sshd) => host.log().split("Accepted publickey").length - 1

/** Runs an effect with the layer of real hosts, and these blocks of ssh_config. */
const withHosts = <A, E>(config: string, known: ReadonlyArray<Sshd>, use: Effect.Effect<A, E, RemoteHost>) => {
  const [first = assert.fail("no host")] = known
  const configFile = path.join(first.folder, "shared.config")
  const knownHostsFile = path.join(first.folder, "shared.known_hosts")
  fs.writeFileSync(configFile, config)
  fs.writeFileSync(knownHostsFile, known.map((host) => fs.readFileSync(host.knownHosts, "utf8")).join(""))
  return use.pipe(
    Effect.provide(AnyHost.layer),
    Effect.provide(
      Layer.mergeAll(
        NodeFileSystem.layer,
        Prompt.layerScripted([]),
        Workspace.layerMemory({ targets: {}, builders: {} }, workspacePaths(first.folder))
      )
    ),
    Effect.provideService(SshSettings, { ...settingsFor(first), configFile, knownHostsFile })
  )
}

/** Looks at a target that was never deployed to. */
const look = (name: string, number: number) =>
  Effect.gen(function* () {
    const session = yield* (yield* RemoteHost).connect(targetOf({ host: name, port: 0 }, { path: `app${number}` }))
    return (yield* session.inspect).releases.length
  }).pipe(Effect.scoped)

describe("many targets at once", () => {
  const many = Array.from({ length: 50 }, (_, number) => number)

  scoped(
    titled("Fifty targets behind one jump host use one login there.", missingSshd),
    () =>
      Effect.gen(function* () {
        const bastion = yield* sshd({ config: ["MaxStartups 10:30:100"] })
        const web = yield* sshd()
        const config = `${block("web", web, "  ProxyJump bastion\n")}${block("bastion", bastion)}`
        const looks = Effect.forEach(many, (number) => look("web", number), { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(yield* withHosts(config, [bastion, web], looks)), new Set([0]))
        assert.strictEqual(loginsAt(bastion), 1)
        assert.strictEqual(loginsAt(web), many.length)
      }),
    120_000
  )

  scoped(
    titled("Fifty targets on one host are never too many logins at once for its sshd.", missingSshd),
    () =>
      Effect.gen(function* () {
        const web = yield* sshd({ config: ["MaxStartups 10:100:10"] })
        const looks = Effect.forEach(many, (number) => look("web", number), { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(yield* withHosts(block("web", web), [web], looks)), new Set([0]))
        assert.notMatch(web.log(), /drop connection|MaxStartups/)
      }),
    120_000
  )

  scoped(titled("A jump host that was lost is connected to again for the next target.", missingSshd), () =>
    Effect.gen(function* () {
      const bastion = yield* sshd()
      const web = yield* sshd()
      const config = `${block("web", web, "  ProxyJump bastion\n")}${block("bastion", bastion)}`
      const twice = Effect.gen(function* () {
        const host = yield* RemoteHost
        const session = yield* host.connect(targetOf({ host: "web", port: 0 }, { path: "app" }))
        yield* session.inspect
        yield* bastion.endConnections
        const lost = yield* Effect.flip(session.inspect)
        assert.strictEqual(lost._tag, "HostUnreachable")
        assert.strictEqual(yield* look("web", 1), 0)
        assert.strictEqual(loginsAt(bastion), 2)
      })
      yield* withHosts(config, [bastion, web], Effect.scoped(twice))
    })
  )
})
