/**
 * This machine as a host.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RemoteHost } from "./RemoteHost.ts"

/** Every target is this machine. Tests can give the scripts another environment. */
export const layerWith = (env: Readonly<Record<string, string | undefined>>): Layer.Layer<RemoteHost> =>
  Layer.succeed(RemoteHost, {
    connect: (target) =>
      Effect.map(
        Effect.promise(() => import("./connecting.ts")),
        ({ LocalTransport, makeSession }) => makeSession(target, LocalTransport.make(target, env))
      )
  })

/** Every target is this machine. */
export const layer: Layer.Layer<RemoteHost> = layerWith({})
