/**
 * The lock of a target: its holder, so that nobody else works on the target at the same time.
 */

import * as Schema from "effect/Schema"
import { counted, dateTime } from "./Quantity.ts"
import { VisibleText } from "./VisibleText.ts"

/** The longest reason, in characters. */
export const maxReason = 500

const text = VisibleText.pipe(Schema.maxLength(maxReason))

/** The details of a lock, for people. */
export class LockDetails extends Schema.Class<LockDetails>("LockDetails")({
  /** `user@machine`. */
  by: text,
  /** Its purpose: `deploy`, `prune`, or the user's own words. */
  reason: text,
  /** By the clock of the machine that took it. */
  since: Schema.DateTimeUtc,
  /** The CI job that took it. Undefined if there is none. */
  job: Schema.optional(text),
  /** Distinguishes one holder from all others. */
  nonce: Schema.String.pipe(Schema.pattern(/^[0-9a-z-]{1,64}$/)),
  /** A person locked the target on purpose: the lock has no end, and stays when its connection closes. */
  held: Schema.Boolean
}) {}

/** The details as one line of the lock file. */
export const LockDetailsJson = Schema.parseJson(LockDetails)

/** A lock found on a host. */
export class Lock extends Schema.Class<Lock>("Lock")({
  /** The fencing token: grows with each lock that is taken. */
  token: Schema.NonNegativeInt,
  /** Undefined if deployer cannot parse the file on the host. */
  details: Schema.optional(LockDetails),
  /** Seconds since its holder last gave a sign of life, by the host's clock. */
  idleSeconds: Schema.NonNegativeInt
}) {}

/** The holder of a lock and its purpose, as in "locked by …". */
export const lockOwner = ({ details }: Lock): string =>
  details === undefined
    ? "somebody unknown"
    : `${details.by}${details.job === undefined ? "" : ` (${details.job})`} for "${details.reason}" since ${dateTime(details.since)} UTC`

/** Since 1970, as far as a host can tell: there was none. */
const neverSeconds = 20 * 365 * 24 * 3600

/** Why a lock is still there. */
export const lockState = ({ details, idleSeconds }: Lock): string => {
  if (details?.held === true) return "it was set on purpose"
  if (idleSeconds > neverSeconds) return "there was never a sign of life: the next command takes it over"
  return `the last sign of life was ${counted(idleSeconds, "second")} ago`
}

/** Seconds without a sign of life after which a lock that is not held on purpose counts as left behind. */
export const staleAfterSeconds = 60

/** Seconds between two signs of life of a holder. */
export const beatSeconds = 10
