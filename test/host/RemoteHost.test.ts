import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import { makeSession } from "../../src/host/session.ts"
import { diskFiles } from "../kit/disk.ts"
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
      shell: true
    }
  })

contract("this machine, its own tools", local(), { shell: true })
contract("this machine, BusyBox", local(userland.busybox()), { shell: true, skip: userland.missingBusybox })
