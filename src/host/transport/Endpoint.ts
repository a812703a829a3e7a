/**
 * Programs on a host's own network, and the failure to connect to one.
 */
import * as Data from "effect/Data"

/** The address on which a program listens. `host` is its name or address on the host's own network. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** The host could not connect to the endpoint. `prohibited`: the host does not forward connections. */
export class DialFailed extends Data.TaggedError("DialFailed")<{
  readonly to: Endpoint
  readonly reason: "refused" | "unreachable" | "prohibited"
  /** The host's own words, which may hold control characters. */
  readonly detail: string
}> {}
