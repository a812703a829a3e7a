/** The output of commands on a host, for reports. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Reporter from "../terminal/Reporter.ts"

/** The output of a command. */
export const outputFields = {
  /** At most the last 64 KiB of each. */
  stdout: Schema.String,
  stderr: Schema.String
}

/** The most bytes of each output in a report. */
const maxBytes = 64 * 1024

/** Runs an effect and also returns the end of the output that it sends to the reporter. */
export const captureOutput = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const reporter = yield* Reporter.Reporter
    const heard = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
    const emit = (event: Reporter.Event) => {
      if (event._tag === "Output") {
        const from = event.isResult ? "stdout" : "stderr"
        heard[from] = Buffer.concat([heard[from], event.chunk]).subarray(-maxBytes)
      }
      return reporter.emit(event)
    }
    const value = yield* Effect.provideService(self, Reporter.Reporter, { emit })
    return [value, { stdout: heard.stdout.toString(), stderr: heard.stderr.toString() }] as const
  })
