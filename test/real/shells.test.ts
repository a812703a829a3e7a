/** The contract of a host over shells of this machine, without a network. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { contract, type Place } from "../host/contract.ts"
import { diskFiles } from "../kit/disk.ts"
import { isExhaustive } from "../kit/exhaustive.ts"
import { listen } from "../kit/listen.ts"
import { freePort } from "../kit/sshd.ts"
import * as userland from "../kit/userland.ts"

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

// With SSH, they are in host.test.ts.
if (isExhaustive) contract("this machine, its own tools", local(), { shell: true })
contract("this machine, BusyBox", local(userland.busybox()), { shell: true, skip: userland.missingBusybox })
contract("this machine, toybox", local(userland.toybox), { shell: true, skip: userland.missingToybox, every: 5 })
for (const { path, title } of userland.others)
  contract(`this machine, ${title}`, local(Effect.succeed(path)), { shell: true, every: 5 })
