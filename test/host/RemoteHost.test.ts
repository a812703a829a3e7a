import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import * as MemoryHost from "../../src/host/MemoryHost.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { diskFiles } from "../kit/disk.ts"
import { listen } from "../kit/listen.ts"
import { freePort } from "../kit/sshd.ts"
import { sha256 } from "../kit/tree.ts"
import * as userland from "../kit/userland.ts"
import { contract, type Place } from "./contract.ts"

const local = (path?: Effect.Effect<string, never, Scope.Scope>): Effect.Effect<Place, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home of it")
    const env = { HOME: home, ...(path === undefined ? {} : { PATH: yield* path }) }
    return {
      connect: (target) => Effect.succeed(makeSession(target, LocalTransport.make(target, env))),
      fields: { host: "local" },
      home,
      files: diskFiles,
      shell: true,
      listen,
      freePort: Effect.promise(freePort)
    }
  })

const memory: Effect.Effect<Place> = Effect.gen(function* () {
  const context = yield* Effect.scoped(Layer.build(MemoryHost.layer))
  const host = Context.get(context, MemoryHost.MemoryHosts).host("host.test")
  const { files } = host
  const listeners = new Map<number, MemoryHost.MemoryListener>()
  host.onDial = ({ port }) => listeners.get(port) ?? "refused"
  const nextPort = Effect.sync(() => 4000 + listeners.size)
  return {
    connect: Context.get(context, RemoteHost).connect,
    fields: { host: "host.test", user: "deploy" },
    home: "/home/deploy",
    shell: false,
    listen: (answer) => Effect.tap(nextPort, (port) => Effect.sync(() => listeners.set(port, () => answer))),
    freePort: nextPort,
    files: {
      write: (path, content) => assert.isTrue(files.write(path, content)),
      makeDirectory: (path) => assert.isTrue(files.makeDirectory(path)),
      link: (path, to) => assert.isTrue(files.link(path, to)),
      remove: (path) => files.remove(path),
      read: (path) => files.read(path),
      readLink: (path) => files.readLink(path),
      names: (path) => files.names(path),
      tree: (path) =>
        Object.fromEntries(
          files.below(path).map(([at, node]) => {
            switch (node._tag) {
              case "Directory":
                return [at, "dir"]
              case "Link":
                return [at, `symlink ${node.to}`]
              default:
                return [at, `file ${node.mode.toString(8)} ${sha256(Buffer.from(node.content).toString())}`]
            }
          })
        )
    }
  }
})

contract("a host in memory", memory, { shell: false })
contract("this machine, its own tools", local(), { shell: true })
contract("this machine, BusyBox", local(userland.busybox()), { shell: true, skip: userland.missingBusybox })
