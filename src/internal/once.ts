import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Runs the effect at the first use and remembers its result. A failure or an interruption is not remembered. */
export const once = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> =>
  Effect.map(Effect.makeSemaphore(1), (semaphore) => {
    let known = Option.none<A>()
    const first = Effect.suspend(() =>
      Option.match(known, {
        onNone: () =>
          Effect.tap(effect, (value) => {
            known = Option.some(value)
          }),
        onSome: Effect.succeed
      })
    )
    return Effect.suspend(() =>
      Option.match(known, { onNone: () => semaphore.withPermits(1)(first), onSome: Effect.succeed })
    )
  })
