/**
 * Time for durations and deadlines. `Clock.currentTimeMillis` follows the machine's clock, which a time service or a person can set while a command
 * runs.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

const toMillis = (nanos: bigint): number => Number(nanos / 1_000_000n)

/** Unix milliseconds as of the first call plus the time since then. It never jumps. */
export const monotonicMillis: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, toMillis)

/** {@link monotonicMillis} of this clock. */
export const monotonicMillisOf = (clock: Clock.Clock): number => toMillis(clock.unsafeCurrentTimeNanos())
