/**
 * Who works here: written beside what is done to a host.
 */
import * as Context from "effect/Context"
import { ciJob, operatorName } from "../internal/operator.ts"

/** `user@machine` of whoever runs the deployer, and the CI job it runs in, for the host's log, for locks, and for what is left unfinished. */
export class Operator extends Context.Reference<Operator>()("deployer/Operator", {
  defaultValue: (): { readonly name: string; readonly job?: string } => {
    const job = ciJob()
    return { name: operatorName(), ...(job === undefined ? {} : { job }) }
  }
}) {}
