/** The steps about the lock of a target. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { beatSeconds, type LockDetails, LockDetailsJson, staleAfterSeconds } from "../../domain/Lock.ts"
import * as Reply from "../protocol/reply.ts"
import { positional } from "../protocol/Step.ts"
import { steps } from "../protocol/steps.ts"
import {
  CommandTimeout,
  type HostSession,
  type HostUnfit,
  LockHeld,
  type StepFailure,
  takingLock
} from "../RemoteHost.ts"
import { type Asking, journalLines, maxAnswer } from "./Asking.ts"
import { wholeState } from "./journal.ts"

/** A sign of life. */
const beat = new TextEncoder().encode("\n")

/** The maximum length of an answer until the lock is taken, in characters. */
const maxLook = 64 * 1024 * 1024

/** Takes, leaves and frees the lock. */
export const makeLocking = (asking: Asking): Pick<HostSession, "lock" | "hold" | "unlock"> => {
  const { address, ask, held, path, settle, stepFailed, target, tellRemarks, transport, unfit } = asking

  const argsFor = (lock: LockDetails, kind: "taken" | "held", entries: Parameters<typeof journalLines>[0]) =>
    Effect.mapBoth(Schema.encode(LockDetailsJson)(lock), {
      onFailure: (error) => stepFailed(takingLock, error.message),
      onSuccess: (claim) => ({ claim, stale: String(staleAfterSeconds), kind, entries: journalLines(entries) })
    })

  const granted = (
    answer: Reply.Locking
  ): Effect.Effect<Extract<Reply.Locking, { readonly _tag: "Taken" }>, LockHeld | HostUnfit> => {
    switch (answer._tag) {
      case "Taken":
        return Effect.succeed(answer)
      case "Held":
        return Effect.fail(new LockHeld({ target: target.key, address, lock: answer.by }))
      case "Unready":
        return unfit({ reason: "not-a-deployer-path", path: target.path })
      case "Unfit":
        return unfit(answer)
    }
  }

  const lock: HostSession["lock"] = Effect.fn("RemoteHost.lock")(function* (mine, entries) {
    const doing = takingLock
    const { decode, script } = steps.lock
    const args = yield* argsFor(mine, "taken", entries)
    const answered = yield* Deferred.make<readonly [Reply.Locking, Reply.Remarks], StepFailure>()
    const over = yield* Deferred.make<void>()
    const clock = yield* Effect.clock
    const asked = clock.unsafeCurrentTimeMillis()
    const received = { stdout: "", stderr: "" }
    const heard = (answer: string, exitCode: number, between?: Reply.Between) => {
      const { remarks, stdout } = Reply.remarks(answer)
      const decoded = decode(stdout, { refs: [], between })
      return Effect.map(
        settle(doing, { exitCode, stderr: received.stderr }, decoded),
        (locking) => [locking, remarks] as const
      )
    }
    const decoder = new TextDecoder()
    const onOutput = (chunk: Uint8Array, from: "stdout" | "stderr") =>
      Effect.suspend(() => {
        if (from === "stderr") {
          received.stderr = (received.stderr + Buffer.from(chunk).toString()).slice(-maxAnswer)
          return Effect.void
        }
        // Searches only for the end of the answer. The only output after it is the loss of the lock.
        const before = Math.max(0, received.stdout.length - Reply.replyEnd.length - 2)
        received.stdout = (received.stdout + decoder.decode(chunk, { stream: true })).slice(-maxLook)
        const end = received.stdout.indexOf(`\n${Reply.replyEnd}\n`, before)
        if (end < 0) return Effect.void
        const between = { asked, answered: clock.unsafeCurrentTimeMillis() }
        return Deferred.complete(answered, heard(received.stdout.slice(0, end + Reply.replyEnd.length + 2), 0, between))
      })
    const signs = Stream.repeatEffectOption(
      Effect.raceFirst(
        Effect.as(Effect.sleep(Duration.seconds(beatSeconds)), beat),
        Effect.zipRight(Deferred.await(over), Effect.fail(Option.none()))
      )
    )
    const holding = yield* transport
      .exec({
        doing,
        step: script.name,
        script: script.text,
        args: positional(script, { path, args }),
        stdin: signs,
        onOutput,
        wait: "transfer"
      })
      .pipe(
        Effect.flatMap(({ exitCode }) => heard(received.stdout, exitCode)),
        Effect.exit,
        Effect.tap((exit) => Deferred.done(answered, exit)),
        Effect.forkScoped
      )
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        held.fence = 0
        yield* Deferred.succeed(over, undefined)
        if (held.isGivenBack) return
        // Waits for its end, so that the lock is free when this process is gone. A dead connection frees the lock by itself.
        yield* Effect.interruptible(Fiber.await(holding)).pipe(Effect.timeout(Duration.millis(1500)), Effect.ignore)
      })
    )
    const limit = target.timeouts.command
    const answer = Deferred.await(answered).pipe(
      Effect.timeoutFail({
        duration: limit,
        onTimeout: () => new CommandTimeout({ address, command: doing, waited: Duration.format(limit) })
      })
    )
    const [locking, remarks] = yield* answer
    const { seen, token } = yield* granted(locking)
    held.fence = token
    held.isGivenBack = false
    yield* tellRemarks(remarks)
    return yield* wholeState(asking, seen ?? (yield* stepFailed(doing, "the host did not report its state")))
  })

  return {
    lock,
    hold: Effect.fn("RemoteHost.hold")(function* (mine, entries) {
      const args = yield* argsFor(mine, "held", entries)
      yield* Effect.flatMap(ask(steps.lock, { doing: "leave a lock", args }), granted)
    }),
    unlock: Effect.fn("RemoteHost.unlock")(({ token }, entries) =>
      ask(steps.unlock, {
        doing: "remove the lock",
        args: { expected: String(token), entries: journalLines(entries) }
      })
    )
  }
}
