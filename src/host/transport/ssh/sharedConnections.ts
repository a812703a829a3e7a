/**
 * Connections that several hosts share: all targets behind a jump host use one login there.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as RcMap from "effect/RcMap"
import type { ConnectFailure } from "../../RemoteHost.ts"
import type { Connection } from "./Connection.ts"

/** A jump host, as a target or a Host block of ssh_config names it. Equal ones share a connection. */
export class JumpHost extends Data.Class<{
  readonly host: string
  readonly user: string | undefined
  readonly port: number | undefined
  /** The jump hosts before this one. */
  readonly jump: string | undefined
  /** The number of hosts between it and the target. A circle of jump hosts would otherwise wait for itself. */
  readonly hops: number
  /** The time limit of a connection in milliseconds. Undefined: see `Login`. */
  readonly timeout: number | undefined
  /** The user's ssh_config. */
  readonly configFile: string
}> {}

/** The connections that one program shares. */
export interface Shared {
  readonly jumpHosts: RcMap.RcMap<JumpHost, Connection, ConnectFailure>
  /** Limits the logins that begin at the same time at one endpoint (`host:port`). */
  readonly limit: (endpoint: string) => <A, E, R>(login: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** The shared connections. Undefined: each connection makes its own. */
export class SharedConnections extends Context.Reference<SharedConnections>()("deployer/SharedConnections", {
  defaultValue: (): { readonly shared: Shared | undefined } => ({ shared: undefined })
}) {}

/** The logins that may begin at the same time at one endpoint. By default, sshd turns connections away from the tenth on. */
const atOnce = 8

/** Makes the limits of logins, one for each endpoint. */
export const makeLimit = (): Shared["limit"] => {
  const semaphores = new Map<string, Effect.Semaphore>()
  return (endpoint) => {
    const semaphore = semaphores.get(endpoint) ?? Effect.unsafeMakeSemaphore(atOnce)
    semaphores.set(endpoint, semaphore)
    return semaphore.withPermits(1)
  }
}
