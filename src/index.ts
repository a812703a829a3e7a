/**
 * The public API: the commands as Effects, the services with their layers, the config, the domain and the errors.
 */

/** All live layers for a project: `Deployer.layer()`. `Deployer.platform` has the services of this machine for builders. */
export * as Deployer from "./Live.ts"
export * from "./library.ts"
