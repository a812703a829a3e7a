/**
 * Time that passes only when nobody has anything to do, and then at once. TestClock does the same, but asks Node's own timers
 * at each step whether all fibers sleep; here the scheduler knows.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scheduler from "effect/Scheduler"

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** A clock with the scheduler that moves it. Everything that runs in it does so in one thread and always in the same order. */
export class VirtualTime {
  /** In milliseconds since 1970. */
  now: number
  /** Who is to be woken last stands first. */
  private readonly sleepers: Array<Sleeper> = []
  private tasks: Array<() => void> = []

  constructor(begin: number) {
    this.now = begin
  }

  readonly scheduler: Scheduler.Scheduler = {
    shouldYield: () => false,
    scheduleTask: (task) => void this.tasks.push(task)
  }

  readonly clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => this.now,
    unsafeCurrentTimeNanos: () => BigInt(Math.floor(this.now)) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => this.now),
    currentTimeNanos: Effect.sync(() => BigInt(Math.floor(this.now)) * 1_000_000n),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const sleeper = { at: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        // After all that are woken at the same time.
        const place = this.sleepers.findLastIndex(({ at }) => at > sleeper.at) + 1
        this.sleepers.splice(place, 0, sleeper)
        return Effect.sync(() => {
          const at = this.sleepers.indexOf(sleeper)
          if (at >= 0) this.sleepers.splice(at, 1)
        })
      })
  }

  /**
   * Runs an Effect to its end, or until `isOver` says that enough was seen. Returns nothing if it does not end: when nobody has anything to
   * do any more, or not before `end`.
   */
  run<A, E>(effect: Effect.Effect<A, E>, end: number, isOver: () => boolean): Exit.Exit<A, E> | undefined {
    const fiber = Effect.runFork(Effect.withClock(effect, this.clock), { scheduler: this.scheduler })
    while (!isOver()) {
      const exit = fiber.unsafePoll()
      if (exit !== null) return exit
      if (this.tasks.length > 0) {
        const tasks = this.tasks
        this.tasks = []
        for (const task of tasks) task()
        continue
      }
      const next = this.sleepers.pop()
      if (next === undefined || next.at > end) return undefined
      this.now = Math.max(this.now, next.at)
      next.wake()
    }
    return undefined
  }
}
