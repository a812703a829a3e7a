/**
 * The person or CI job behind a command, as recorded on hosts.
 */
import * as Context from "effect/Context"
import { ciJob, operatorName } from "../internal/operator.ts"

/** `user@machine` of the deployer's process, in a CI job after the person who started it, and the job, if any. They appear in the host's journal, in locks, and in unfinished uploads. */
export class Operator extends Context.Reference<Operator>()("deployer/Operator", {
  defaultValue: (): { readonly name: string; readonly job?: string } => {
    const job = ciJob()
    return { name: operatorName(), ...(job === undefined ? {} : { job }) }
  }
}) {}
