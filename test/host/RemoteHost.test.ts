import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryHost from "../../src/host/MemoryHost.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { sha256 } from "../kit/tree.ts"
import { contract, type Place } from "./contract.ts"

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
