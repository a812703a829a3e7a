/**
 * The hosts of a config: this machine if a target's `host` is `local`, the host of a scheme such as `docker://`, all others over SSH.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { schemeHost } from "../domain/HostScheme.ts"
import { localHost } from "../domain/Target.ts"
import type { Prompt } from "../terminal/Prompt.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { RemoteHost } from "./RemoteHost.ts"

/** Loaded once: connections are made side by side. */
let connecting: Promise<typeof import("./connecting.ts")> | undefined

const load = Effect.promise(() => {
  connecting ??= import("./connecting.ts")
  return connecting
})

/** Needs the workspace for key files that are named relative to the project root, and the prompt for unknown host keys and passphrases. */
export const layer: Layer.Layer<RemoteHost, never, Workspace | Prompt | FileSystem.FileSystem> = Layer.scoped(
  RemoteHost,
  Effect.gen(function* () {
    const workspace = yield* Workspace
    const services = yield* Effect.context<Prompt | FileSystem.FileSystem>()
    const scope = yield* Effect.scope
    const sharing = yield* Effect.cached(
      Effect.flatMap(load, ({ makeShared }) => Effect.provide(Scope.extend(makeShared, scope), services))
    )
    const root = Effect.match(workspace.paths, { onFailure: ({ searched }) => searched, onSuccess: ({ root }) => root })
    return {
      connect: (target) => {
        const withScheme = schemeHost(target.host)
        return Effect.flatMap(load, ({ LocalTransport, makeSession, SharedConnections, SshTransport, transports }) => {
          const overSsh = Effect.gen(function* () {
            const shared = yield* sharing
            return yield* Effect.provideService(SshTransport.connect(target, yield* root), SharedConnections, {
              shared
            })
          })
          const transport =
            target.host === localHost
              ? Effect.succeed(LocalTransport.make(target))
              : withScheme === undefined
                ? overSsh
                : transports[withScheme.scheme](target, withScheme.name)
          return Effect.map(transport, (transport) => makeSession(target, transport))
        }).pipe(Effect.mapInputContext((scope: Context.Context<Scope.Scope>) => Context.merge(services, scope)))
      }
    }
  })
)
