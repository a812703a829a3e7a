import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { connect, SshSettings } from "../../src/host/SshTransport.ts"
import { makeSession } from "../../src/host/session.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { contract, type Place } from "../host/contract.ts"
import { diskFiles } from "../kit/disk.ts"
import { missingSshd, sshd } from "../kit/sshd.ts"
import * as userland from "../kit/userland.ts"

const openSsh = (path?: Effect.Effect<string, never, Scope.Scope>): Effect.Effect<Place, never, Scope.Scope> =>
  Effect.gen(function* () {
    const tools = path === undefined ? undefined : yield* path
    const host = yield* sshd(tools === undefined ? {} : { path: tools, shell: join(tools, "sh") })
    const services = Layer.mergeAll(
      NodeFileSystem.layer,
      Prompt.layerScripted([]),
      Layer.succeed(SshSettings, {
        homeDir: join(host.folder, "nobody"),
        userName: host.user,
        agentSocket: undefined,
        knownHostsFile: host.knownHosts,
        globalKnownHostsFiles: [],
        keepAlive: Duration.seconds(10)
      })
    )
    return {
      connect: (target) =>
        connect(target, host.folder).pipe(
          Effect.map((transport) => makeSession(target, transport)),
          Effect.provide(services)
        ),
      fields: { host: host.host, port: host.port, user: host.user, sshKey: host.keyFile },
      home: host.home,
      files: diskFiles,
      shell: true
    }
  })

contract("OpenSSH, GNU userland", openSsh(), { shell: true, skip: missingSshd })
contract("OpenSSH, BusyBox userland", openSsh(userland.busybox()), {
  shell: true,
  skip: missingSshd ?? userland.missingBusybox
})
