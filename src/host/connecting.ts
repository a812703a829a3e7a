/**
 * The transports and the session. This module imports all code for hosts, so it is loaded at the first connection: many commands need only
 * the store.
 */
import type * as Effect from "effect/Effect"
import type { Scheme } from "../domain/HostScheme.ts"
import type { Target } from "../domain/Target.ts"
import type { HostUnreachable } from "./RemoteHost.ts"
import * as ContainerTransport from "./transport/ContainerTransport.ts"
import type { Transport } from "./transport/Transport.ts"

export { makeSession } from "./session.ts"
export * as LocalTransport from "./transport/LocalTransport.ts"
export { makeShared } from "./transport/ssh/SshConnection.ts"
export * as SshTransport from "./transport/ssh/SshTransport.ts"
export { SharedConnections } from "./transport/ssh/sharedConnections.ts"

type Connect = (target: Target, name: string) => Effect.Effect<Transport, HostUnreachable>

/** The transport of each scheme. `name` is the part of `host` after `://`. */
export const transports: Readonly<Record<Scheme, Connect>> = {
  docker: (target, name) => ContainerTransport.connect(target, { engine: "docker", name }),
  podman: (target, name) => ContainerTransport.connect(target, { engine: "podman", name })
}
