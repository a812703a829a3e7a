/**
 * The lock of a target: who works on it, so that nobody else does at the same time.
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { VisibleText } from "./VisibleText.ts"

/** How long a reason may be, in characters. */
export const longestReason = 500

const text = VisibleText.pipe(Schema.maxLength(longestReason))

/** What is written beside a lock, for people. */
export class LockDetails extends Schema.Class<LockDetails>("LockDetails")({
  /** `user@machine`. */
  by: text,
  /** What it was taken for: `deploy`, `prune`, or the user's own words. */
  reason: text,
  /** By the clock of the machine that took it. */
  since: Schema.DateTimeUtc,
  /** The CI job it was taken from, where there is one. */
  job: Schema.optional(text),
  /** Tells one holder from all others. */
  nonce: Schema.String.pipe(Schema.pattern(/^[0-9a-z-]{1,64}$/)),
  /** Set on purpose by a person: it has no end, and stays when its connection goes. */
  held: Schema.Boolean
}) {}

/** The details as they stand in the lock file, one line. */
export const LockDetailsJson = Schema.parseJson(LockDetails)

/** A lock as it was found on a host. */
export class Lock extends Schema.Class<Lock>("Lock")({
  /** The fencing token: grows with each lock that is taken. */
  token: Schema.NonNegativeInt,
  /** Absent where the file on the host cannot be read as what deployer writes. */
  details: Schema.optional(LockDetails),
  /** Seconds since its holder last gave a sign of life, by the host's clock. */
  idleSeconds: Schema.NonNegativeInt
}) {}

/** Who has a lock, and what for, as in "locked by …". */
export const lockOwner = ({ details }: Lock): string =>
  details === undefined
    ? "somebody unknown"
    : `${details.by}${details.job === undefined ? "" : ` (${details.job})`} for "${details.reason}" since ${DateTime.formatIso(details.since)}`

/** Since 1970, as far as a host can tell: there was none. */
const neverSeconds = 20 * 365 * 24 * 3600

/** Why a lock is still there. */
export const lockState = ({ details, idleSeconds }: Lock): string => {
  if (details?.held === true) return "it is kept on purpose"
  if (idleSeconds > neverSeconds) return "they never gave a sign of life: the next command takes it over"
  return `they gave a sign of life ${idleSeconds} ${idleSeconds === 1 ? "second" : "seconds"} ago`
}

/** Seconds without a sign of life after which a lock that is not held on purpose counts as left behind. */
export const staleAfterSeconds = 60

/** Seconds between two signs of life of a holder. */
export const beatSeconds = 10
