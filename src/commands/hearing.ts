/** What commands on a host write, for reports. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Reporter from "../terminal/Reporter.ts"

/** What a command wrote. */
export const said = {
  /** Of each at most the last 64 KiB. */
  stdout: Schema.String,
  stderr: Schema.String
}

/** Bytes of each output that a report holds. */
const longest = 64 * 1024

/** Keeps the ends of what is passed on to the reporter meanwhile. */
export const hearing = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const reporter = yield* Reporter.Reporter
    const heard = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
    const emit = (event: Reporter.Event) => {
      if (event._tag === "Output") {
        const from = event.isResult ? "stdout" : "stderr"
        heard[from] = Buffer.concat([heard[from], event.chunk]).subarray(-longest)
      }
      return reporter.emit(event)
    }
    const value = yield* Effect.provideService(self, Reporter.Reporter, { emit })
    return [value, { stdout: heard.stdout.toString(), stderr: heard.stderr.toString() }] as const
  })
