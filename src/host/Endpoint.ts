/**
 * Programs on a host's own network, and why one cannot be connected to.
 */
import * as Data from "effect/Data"

/** Where a program listens, by its name or address on the host's own network. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** The host is there, but the endpoint could not be connected to from it. `prohibited`: the host does not pass connections on. */
export class DialFailed extends Data.TaggedError("DialFailed")<{
  readonly to: Endpoint
  readonly reason: "refused" | "unreachable" | "prohibited"
  /** In the host's words, not cleaned. */
  readonly detail: string
}> {}
