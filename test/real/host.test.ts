import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { afterAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { contract, type Place } from "../host/contract.ts"
import { diskFiles } from "../kit/disk.ts"
import { isExhaustive } from "../kit/exhaustive.ts"
import { listen } from "../kit/listen.ts"
import { freePort, missing, missingSshd, type Sshd, settingsFor, sshd } from "../kit/sshd.ts"
import * as userland from "../kit/userland.ts"

/** Starts a host at its first use, for all tests of this file. */
const shared = (start: Effect.Effect<Sshd, never, Scope.Scope>): Effect.Effect<Sshd> => {
  const scope = Effect.runSync(Scope.make())
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runSync(Effect.cached(Scope.extend(start, scope)))
}

const openSsh = (start: Effect.Effect<Sshd, never, Scope.Scope>, more: Place["fields"] = {}): Effect.Effect<Place> => {
  const one = shared(start)
  return Effect.gen(function* () {
    const host = yield* one
    for (const name of readdirSync(host.home)) rmSync(join(host.home, name), { recursive: true })
    const services = Layer.mergeAll(
      NodeFileSystem.layer,
      Prompt.layerScripted([]),
      Layer.succeed(SshSettings, settingsFor(host))
    )
    return {
      connect: (target) =>
        connect(target, host.folder).pipe(
          Effect.map((transport) => makeSession(target, transport)),
          Effect.provide(services)
        ),
      fields: { host: host.host, port: host.port, user: host.user, sshKey: host.keyFile, ...more },
      home: host.home,
      files: diskFiles,
      shell: true,
      listen,
      freePort: Effect.promise(freePort)
    }
  })
}

const gnu = sshd()
const busybox = Effect.flatMap(userland.busybox(), (path) => sshd({ path, shell: join(path, "sh") }))

contract("OpenSSH, GNU userland", openSsh(gnu), { shell: true, skip: missingSshd })
contract("OpenSSH, through the system's ssh", openSsh(gnu, { ssh: "openssh" }), {
  shell: true,
  skip: missingSshd ?? missing("ssh"),
  every: 5
})
// Without SSH, BusyBox is in shells.test.ts, and with it in the crash suite.
if (isExhaustive) {
  contract("OpenSSH, BusyBox userland", openSsh(busybox), {
    shell: true,
    skip: missingSshd ?? userland.missingBusybox
  })
}
