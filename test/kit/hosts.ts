/**
 * Real hosts for tests that need many connections: this machine itself, and OpenSSH, with GNU or BusyBox userland.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Target, TargetSettings } from "../../src/domain/Target.ts"
import type { ConnectFailure } from "../../src/host/RemoteHost.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import type { Transport } from "../../src/host/transport/Transport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import * as samples from "./samples.ts"
import { missingSshd, settingsFor, sshd } from "./sshd.ts"
import * as userland from "./userland.ts"

/** A host with an empty login directory. */
export interface RealHost {
  readonly home: string
  /** Makes a target of this host. Its path is `app` unless it is given. */
  readonly target: (fields?: Partial<typeof TargetSettings.Encoded>) => Target
  /** A connection of its own. */
  readonly connect: (target?: Target) => Effect.Effect<Transport, ConnectFailure, Scope.Scope>
}

/** A kind of host. */
export interface Kind {
  readonly title: string
  /** The reason why it cannot run here. */
  readonly skip: string | undefined
  readonly start: Effect.Effect<RealHost, never, Scope.Scope>
}

/** This machine; `path` is the `PATH` of the scripts. */
export const onThisMachine = (
  path?: Effect.Effect<string, never, Scope.Scope>
): Effect.Effect<RealHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home")
    const env = { HOME: home, ...(path === undefined ? {} : { PATH: yield* path }) }
    const target: RealHost["target"] = (fields) => samples.target({ host: "local", path: "app", ...fields })
    return { home, target, connect: (to = target()) => Effect.succeed(LocalTransport.make(to, env)) }
  })

const overSsh = (path?: Effect.Effect<string, never, Scope.Scope>): Effect.Effect<RealHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const tools = path === undefined ? undefined : yield* path
    const host = yield* sshd(tools === undefined ? {} : { path: tools, shell: join(tools, "sh") })
    const services = Layer.mergeAll(
      NodeFileSystem.layer,
      Prompt.layerScripted([]),
      Layer.succeed(SshSettings, settingsFor(host))
    )
    const fields = { host: host.host, port: host.port, user: host.user, sshKey: host.keyFile, path: "app" }
    const target: RealHost["target"] = (more) => samples.target({ ...fields, ...more })
    return {
      home: host.home,
      target,
      connect: (to = target()) => connect(to, host.folder).pipe(Effect.provide(services))
    }
  })

/** This machine with its own tools, and with BusyBox. */
export const local: ReadonlyArray<Kind> = [
  { title: "this machine, its own tools", skip: undefined, start: onThisMachine() },
  { title: "this machine, BusyBox", skip: userland.missingBusybox, start: onThisMachine(userland.busybox()) }
]

/** OpenSSH, with this machine's own tools and with BusyBox. */
export const ssh: ReadonlyArray<Kind> = [
  { title: "OpenSSH, GNU userland", skip: missingSshd, start: overSsh() },
  {
    title: "OpenSSH, BusyBox userland",
    skip: missingSshd ?? userland.missingBusybox,
    start: overSsh(userland.busybox())
  }
]

/** As if somebody had waited for a lock that its holder could not give back. */
export const waitAMinute = (base: string): void => {
  const config = join(base, "config")
  for (const name of fs.existsSync(config) ? fs.readdirSync(config) : []) {
    if (name.startsWith("beat.")) fs.writeFileSync(join(config, name), "1000\n")
  }
}
