/** Commands in the folder of a release. */
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { shownCommand } from "../../domain/Target.ts"
import { output } from "../../terminal/Reporter.ts"
import * as Reply from "../protocol/reply.ts"
import { positional } from "../protocol/Step.ts"
import { steps } from "../protocol/steps.ts"
import { CommandTimeout, type HostSession } from "../RemoteHost.ts"
import { type Asking, maxAnswer } from "./Asking.ts"

/** The maximum length of the command output that is kept, in characters. */
const maxTail = 1_000

/** Runs a command and passes its output on while it runs. */
export const makeRunning = ({ address, held, path, settle, transport }: Asking): Pick<HostSession, "run"> => {
  const run: HostSession["run"] = (
    command,
    { isCurrent = false, ownsFiles = false, isQuiet = false, isResult = false, name, ref }
  ) =>
    Effect.suspend(() => {
      const doing = `run "${Reply.clean(shownCommand(command), 80)}"`
      const { decode, script } = steps.run
      const decodeRun = (answer: string) => decode(answer, { refs: [], between: undefined })
      let head: Buffer | undefined = Buffer.alloc(0)
      let stderr = Buffer.alloc(0)
      let tail = ""
      const tell = (chunk: Uint8Array, options?: { readonly isResult: boolean }) => {
        tail = `${tail}${Buffer.from(chunk).toString()}`.slice(-maxTail)
        return isQuiet ? Effect.void : output(chunk, options)
      }
      let decoded: Either.Either<void, Reply.Fault> = decodeRun("")
      const onOutput = (chunk: Uint8Array, from: "stdout" | "stderr") =>
        Effect.suspend(() => {
          if (from === "stderr") {
            if (head !== undefined) stderr = Buffer.concat([stderr, chunk]).subarray(-maxAnswer)
            return tell(chunk)
          }
          if (head === undefined) return tell(chunk, { isResult })
          head = Buffer.concat([head, chunk])
          const end = head.indexOf(`\n${Reply.replyEnd}\n`)
          if (end < 0 && head.length < maxAnswer) return Effect.void
          const answer = end < 0 ? head.length : end + Reply.replyEnd.length + 2
          decoded = decodeRun(head.subarray(0, answer).toString())
          const rest = head.subarray(answer)
          head = undefined
          return rest.length === 0 ? Effect.void : tell(rest, { isResult })
        })
      return transport
        .exec({
          doing,
          step: script.name,
          script: script.text,
          args: positional(script, {
            path,
            args: {
              name,
              ref: ref ?? "",
              fence: String(held.isGivenBack ? 0 : held.fence),
              expect: isCurrent ? "current" : ownsFiles ? "own" : ""
            }
          }),
          stdin: Stream.make(new TextEncoder().encode(command)),
          wait: "command",
          onOutput
        })
        .pipe(
          Effect.catchTag("CommandTimeout", (timeout) =>
            Effect.fail(new CommandTimeout({ address, command, waited: timeout.waited }))
          ),
          Effect.flatMap(({ exitCode }) =>
            Effect.map(settle(doing, { exitCode, stderr: `${stderr}${head ?? ""}` }, decoded), () => ({
              status: exitCode,
              output: Reply.clean(tail, maxTail)
            }))
          )
        )
    }).pipe(Effect.withSpan("RemoteHost.run"))

  return { run }
}
