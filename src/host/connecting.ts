/**
 * How to reach a host. Everything that speaks to hosts hangs on this module, and so it is loaded at the first connection: many commands need
 * only the store.
 */
export { makeSession } from "./session.ts"
export * as ContainerTransport from "./transport/ContainerTransport.ts"
export * as LocalTransport from "./transport/LocalTransport.ts"
export { makeShared } from "./transport/ssh/SshConnection.ts"
export * as SshTransport from "./transport/ssh/SshTransport.ts"
export { SharedConnections } from "./transport/ssh/sharedConnections.ts"
