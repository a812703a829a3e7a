/**
 * `effect-deployer/host`: hosts of your own. A transport runs scripts; `makeSession` makes the operations of a deployment of it.
 */

export type { Differences, Origin } from "./domain/Differences.ts"
/** The hosts that targets name: over SSH, this machine, and containers. */
export * as AnyHost from "./host/AnyHost.ts"
/** This machine as the host of every target. */
export * as LocalHost from "./host/LocalHost.ts"
export { Operator } from "./host/Operator.ts"
export {
  CommandTimeout,
  type ConnectFailure,
  type Ended,
  type Entries,
  HostReplyInvalid,
  type HostSession,
  HostStepFailed,
  HostUnreachable,
  type Last,
  LockLost,
  type Probe,
  type Probed,
  ReleaseCorrupt,
  RemoteHost,
  type RunOptions,
  type Shipment,
  type StepFailure,
  type Verdict
} from "./host/RemoteHost.ts"
export { makeSession } from "./host/session.ts"
/** A running container as a host. */
export * as ContainerTransport from "./host/transport/ContainerTransport.ts"
export { DialFailed, type Endpoint } from "./host/transport/Endpoint.ts"
/** This machine as a host. */
export * as LocalTransport from "./host/transport/LocalTransport.ts"
export { SshSettings } from "./host/transport/ssh/SshSettings.ts"
/** A host over SSH. */
export * as SshTransport from "./host/transport/ssh/SshTransport.ts"
export { type Exec, type ExecResult, quote, type Transport } from "./host/transport/Transport.ts"
