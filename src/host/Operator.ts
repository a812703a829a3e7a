/**
 * Who works here: written beside what is done to a host.
 */
import * as Context from "effect/Context"
import { operatorName } from "../internal/operator.ts"

/** `user@machine` of whoever runs the deployer, for the host's log and for what it leaves unfinished. */
export class Operator extends Context.Reference<Operator>()("deployer/Operator", {
  defaultValue: () => ({ name: operatorName() })
}) {}
