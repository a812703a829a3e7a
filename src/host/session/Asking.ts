/** How a session asks its host: one script a step, one round trip a script. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type HostRelease, HostReleaseJson } from "../../domain/HostState.ts"
import { type JournalEntry, JournalEntryJson } from "../../domain/Journal.ts"
import { address as addressOf, type Target } from "../../domain/Target.ts"
import { bytes, duration } from "../../terminal/format.ts"
import { detail, warn } from "../../terminal/Reporter.ts"
import * as Reply from "../protocol/reply.ts"
import { type Args, type Call, positional, type Script, type Step } from "../protocol/Step.ts"
import { steps } from "../protocol/steps.ts"
import {
  type Entries,
  HostReplyInvalid,
  HostStepFailed,
  HostUnfit,
  type Last,
  LockLost,
  type StepFailure
} from "../RemoteHost.ts"
import { type Exec, quote, type Transport } from "../transport/Transport.ts"

/** The target's path, normalized: absolute, or relative to the login directory (also if it began with `~/`). */
export const loginPath = (path: string): string => {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".")
  if (path.startsWith("/")) return `/${parts.join("/")}`
  return parts[0] === "~" ? parts.slice(1).join("/") : parts.join("/")
}

/** The maximum length of an answer before a command's own output begins, in bytes. */
export const maxAnswer = 1_048_576

/** Entries as lines of the host's journal. An entry dated 1970 gets its time on the host, because it is about a later event. */
export const journalLines = (entries: Entries = []): string =>
  entries.map((entry: JournalEntry) => Schema.encodeSync(JournalEntryJson)(entry)).join("\n")

/** One argument of a program holds at most 128 KiB, and an entry of the journal may have more than 1,000 characters. */
const lotSize = 80

/** Runs an effect for each lot of a list. Does nothing if the list is empty. */
export const inLots = <A, B, E>(
  things: ReadonlyArray<A>,
  each: (lot: ReadonlyArray<A>, isLast: boolean) => Effect.Effect<B, E>
): Effect.Effect<ReadonlyArray<B>, E> =>
  Effect.forEach(
    Array.from({ length: Math.ceil(things.length / lotSize) }, (_, number) => number),
    (number) => each(things.slice(number * lotSize, (number + 1) * lotSize), (number + 1) * lotSize >= things.length)
  )

/** The input of a step. */
interface Question<S extends Script, E> extends Pick<Call<S>, "fencing" | "refs">, Pick<Exec<E>, "doing" | "stdin"> {
  readonly args: Args<S>
  /** Default `command`. */
  readonly wait?: Exec<E>["wait"]
}

/** Why nothing can be done at a path. */
type Unfitness = Pick<HostUnfit, "reason" | "path">

/** The lock of a session. */
interface Held {
  /** The token under which all changes run; 0 without a lock. */
  fence: number
  /** Whether a step has given the lock back already. */
  isGivenBack: boolean
  /** The folders with files that could not be removed. */
  readonly stuck: Array<Reply.Stuck>
}

/** Asks one host over one transport. Its members are the words in which the steps of a session are written. */
export const makeAsking = (target: Target, transport: Transport) => {
  const address = addressOf(target)
  const path = loginPath(target.path)
  const held: Held = { fence: 0, isGivenBack: false, stuck: [] }

  const stepFailed = (doing: string, detail: string) =>
    new HostStepFailed({
      target: target.key,
      address,
      step: doing,
      detail: detail === "" ? "the host gave no reason" : detail
    })

  /** The decoded answer, or the failure that a step reports. */
  const settle = <A>(
    doing: string,
    result: { readonly exitCode: number; readonly stderr: string },
    decoded: Either.Either<A, Reply.Fault>
  ): Effect.Effect<A, HostStepFailed | HostReplyInvalid | LockLost> => {
    if (Either.isRight(decoded)) return Effect.succeed(decoded.right)
    const fault = decoded.left
    if (fault._tag === "Fenced") return Effect.fail(new LockLost({ target: target.key, address }))
    const stderr = Reply.clean(result.stderr)
    if (fault._tag === "Failed") return Effect.fail(stepFailed(doing, fault.detail === "" ? stderr : fault.detail))
    if (fault.what === Reply.answer && result.exitCode !== 0) {
      const why = stderr === "" ? `the answer cannot be read, ${fault.detail}` : stderr
      return Effect.fail(stepFailed(doing, `${why} (exit status ${result.exitCode})`))
    }
    const what = fault.what === Reply.answer ? `The answer to "${doing}"` : fault.what
    return Effect.fail(new HostReplyInvalid({ address, what, detail: fault.detail }))
  }

  const tellRemarks = (remarks: Reply.Remarks) =>
    Effect.gen(function* () {
      const stuck = yield* cleared(target, remarks.stuck, (names, stdin) =>
        ask(steps.clear, { doing: "remove files of another user", args: {}, refs: names, stdin, wait: "transfer" })
      )
      held.stuck.push(...stuck)
      yield* Effect.forEach(warnings(target, { ...remarks, stuck }), warn, { discard: true })
    })

  /** Runs a step that needs no lock. */
  const ask = <const S extends Script, A, E = never>(
    { decode, script }: Step<S, A>,
    { args, doing, fencing, refs = [], stdin, wait = "command" }: Question<S, E>
  ): Effect.Effect<A, E | StepFailure> =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const asked = clock.unsafeCurrentTimeMillis()
      const call = { path, args, refs, ...(fencing === undefined ? {} : { fencing }) }
      const words = positional(script, call)
      let sent = script.text.length + words.reduce((sum, word) => sum + word.length + 1, 0)
      const counted = stdin?.pipe(
        Stream.tap((chunk) =>
          Effect.sync(() => {
            sent += chunk.length
          })
        )
      )
      const result = yield* transport.exec({
        doing,
        step: script.name,
        script: script.text,
        args: words,
        wait,
        ...(counted === undefined ? {} : { stdin: counted })
      })
      const took = clock.unsafeCurrentTimeMillis() - asked
      yield* detail(
        `${address}: ${script.name} (${doing}) took ${duration(took)}, sent ${bytes(sent)}, received ${bytes(result.stdout.length)}`
      )
      const { remarks, stdout } = Reply.remarks(result.stdout)
      // For this step, a missing entry is a failure: writing it is all that the step does.
      if (remarks.unnoted !== undefined && script.name === steps.note.script.name)
        return yield* stepFailed(doing, remarks.unnoted)
      const between = { asked, answered: clock.unsafeCurrentTimeMillis() }
      const answer = yield* settle(doing, result, decode(stdout, { refs, between }))
      yield* tellRemarks(remarks)
      return answer
    })

  /** Runs a step that changes something, under the lock. */
  const change = <const S extends Script, A, E = never>(
    step: Step<S, A>,
    { entries, unlocks = false, ...question }: Question<S, E> & Last & { readonly entries?: Entries | undefined }
  ) =>
    Effect.suspend(() =>
      ask(step, { ...question, fencing: { fence: held.fence, entries: journalLines(entries), unlocks } })
    ).pipe(
      // A value is the reason why a step did nothing.
      Effect.tap((value) => Effect.sync(() => (held.isGivenBack ||= unlocks && value === undefined)))
    )

  const recordLine = (doing: string, release: HostRelease) =>
    Effect.mapError(Schema.encode(HostReleaseJson)(release), (error) => stepFailed(doing, error.message))

  const unfit = ({ path, reason }: Unfitness) =>
    Effect.fail(new HostUnfit({ target: target.key, address, reason, path, tools: [] }))

  const unfitIf = (fault: Unfitness | undefined) => (fault === undefined ? Effect.void : unfit(fault))

  return {
    target,
    transport,
    address,
    path,
    held,
    stepFailed,
    settle,
    ask,
    tellRemarks,
    change,
    recordLine,
    unfit,
    unfitIf
  }
}

/** Asks one host over one transport. */
export type Asking = ReturnType<typeof makeAsking>

/** The folders that are still there after the target's command was run for them. */
const cleared = (
  { removeWith }: Target,
  stuck: ReadonlyArray<Reply.Stuck>,
  clear: (
    names: ReadonlyArray<string>,
    command: Stream.Stream<Uint8Array>
  ) => Effect.Effect<ReadonlyMap<string, number>, StepFailure>
): Effect.Effect<ReadonlyArray<Reply.Stuck>> => {
  if (removeWith === undefined || stuck.length === 0) return Effect.succeed(stuck)
  const nameOf = ({ path }: Reply.Stuck) => path.slice(path.lastIndexOf("/") + 1)
  return clear(stuck.map(nameOf), Stream.make(new TextEncoder().encode(removeWith))).pipe(
    Effect.map((left) =>
      stuck.flatMap((folder) => {
        const bytes = left.get(nameOf(folder))
        return bytes === undefined ? [] : { ...folder, bytes }
      })
    ),
    Effect.catchAll(() => Effect.succeed(stuck))
  )
}

const warnings = (
  target: Target,
  { isUnsynced, strangers, stuck, unnoted }: Reply.Remarks,
  address = addressOf(target)
): ReadonlyArray<string> => [
  ...(unnoted === undefined
    ? []
    : [`The journal on ${address} could not be written (${unnoted}): this operation will be missing there`]),
  ...(isUnsynced
    ? [`${address} has no sync: after a power cut in the next half minute, files of the live release may be empty`]
    : []),
  ...stuck.map(({ owner, path }) =>
    owner === undefined
      ? `${path} on ${address} could not be removed, although all its files belong to this login: some may be immutable. Nothing else needs it: remove it there with sudo chattr -R -ia ${quote(path)} and sudo rm -rf ${quote(path)}`
      : `Files of ${owner} are left in ${path} on ${address}, and this login may not remove them. Nothing else needs them: remove them there with sudo rm -rf ${quote(path)}${
          target.removeWith === undefined
            ? ', or set "removeWith" of the target (for example "sudo rm -rf")'
            : `: "removeWith" of the target did not remove them`
        }`
  ),
  ...strangers.map(
    (path) =>
      `${path} on ${address} has a name that deployer uses for unfinished work, but deployer did not make it: it stays. Rename it, so that it is never in the way`
  )
]
