/**
 * A host session over any transport: one script a step, one round trip a script.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type HostRelease, HostReleaseJson, HostState } from "../domain/HostState.ts"
import { type JournalEntry, JournalEntryJson } from "../domain/Journal.ts"
import { beatSeconds, type LockDetails, LockDetailsJson, staleAfterSeconds } from "../domain/Lock.ts"
import { address as addressOf, type Target } from "../domain/Target.ts"
import { output, warn } from "../terminal/Reporter.ts"
import { runProbe } from "./probe.ts"
import { manifestLines, originOf, withoutAltered } from "./protocol/manifestText.ts"
import * as Reply from "./protocol/reply.ts"
import { type Args, type Call, positional, type Script, type Step } from "./protocol/Step.ts"
import { steps } from "./protocol/steps.ts"
import {
  CommandTimeout,
  type Entries,
  HostReplyInvalid,
  type HostSession,
  HostStepFailed,
  HostUnfit,
  type Last,
  LockHeld,
  LockLost,
  ReleaseCorrupt,
  type StepFailure
} from "./RemoteHost.ts"
import { manifestSum, pack } from "./shipment.ts"
import { type Exec, quote, type Transport } from "./Transport.ts"

/** The target's path, normalized: absolute, or relative to the login directory (also if it began with `~/`). */
export const loginPath = (path: string): string => {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".")
  if (path.startsWith("/")) return `/${parts.join("/")}`
  return parts[0] === "~" ? parts.slice(1).join("/") : parts.join("/")
}

/** A sign of life. */
const beat = new TextEncoder().encode("\n")

/** The maximum length of an answer before a command's own output begins, in bytes. */
const longestAnswer = 65_536

/** The maximum length of an answer until the lock is taken, in characters. */
const longestLook = 64 * 1024 * 1024

/** The length of the command output that is kept, in characters. */
const longestTail = 1_000

/** Entries as lines of the host's journal. An entry dated 1970 gets its time on the host, because it is about a later event. */
const journalLines = (entries: Entries = []): string =>
  entries.map((entry: JournalEntry) => Schema.encodeSync(JournalEntryJson)(entry)).join("\n")

/** One argument of a program holds at most 128 KiB, and an entry of the journal may have more than 1,000 characters. */
const lotSize = 80

/** Runs an effect for each lot of a list. Does nothing if the list is empty. */
const inLots = <A, B, E>(
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

/** Makes a session over an open connection. */
export const makeSession = (target: Target, transport: Transport): HostSession => {
  const address = addressOf(target)
  const path = loginPath(target.path)

  const stepFailed = (doing: string, detail: string) =>
    new HostStepFailed({ address, step: doing, detail: detail === "" ? "the host gave no reason" : detail })

  const settle = <A>(
    doing: string,
    result: { readonly exitCode: number; readonly stderr: string },
    decoded: Either.Either<A, Reply.Fault>
  ): Effect.Effect<A, HostStepFailed | HostReplyInvalid | LockLost> => {
    if (Either.isRight(decoded)) return Effect.succeed(decoded.right)
    const fault = decoded.left
    if (fault._tag === "Fenced") return Effect.fail(new LockLost({ address }))
    const said = Reply.clean(result.stderr)
    if (fault._tag === "Failed") return Effect.fail(stepFailed(doing, fault.detail === "" ? said : fault.detail))
    if (fault.what === Reply.answer && result.exitCode !== 0) {
      const why = said === "" ? `the answer cannot be read, ${fault.detail}` : said
      return Effect.fail(stepFailed(doing, `${why} (exit status ${result.exitCode})`))
    }
    const what = fault.what === Reply.answer ? `The answer to "${doing}"` : fault.what
    return Effect.fail(new HostReplyInvalid({ address, what, detail: fault.detail }))
  }

  const ask = <const S extends Script, A, E = never>(
    { decode, script }: Step<S, A>,
    { args, doing, fencing, refs = [], stdin, wait = "command" }: Question<S, E>
  ): Effect.Effect<A, E | StepFailure> =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const asked = clock.unsafeCurrentTimeMillis()
      const call = { path, args, refs, ...(fencing === undefined ? {} : { fencing }) }
      const result = yield* transport.exec({
        doing,
        step: script.name,
        script: script.text,
        args: positional(script, call),
        wait,
        ...(stdin === undefined ? {} : { stdin })
      })
      const { remarks, stdout } = Reply.remarks(result.stdout)
      // For this step, a missing entry is a failure: writing it is all that the step does.
      if (remarks.unnoted !== undefined && script.name === steps.note.script.name)
        return yield* stepFailed(doing, remarks.unnoted)
      const between = { asked, answered: clock.unsafeCurrentTimeMillis() }
      const answer = yield* settle(doing, result, decode(stdout, { refs, between }))
      yield* tellRemarks(remarks)
      return answer
    })

  const tellRemarks = ({ isUnsynced, stuck, unnoted }: Reply.Remarks) =>
    Effect.all(
      [
        ...(unnoted === undefined
          ? []
          : [
              warn(`The journal on ${address} could not be written (${unnoted}): it will not tell of what was done now`)
            ]),
        ...(isUnsynced
          ? [
              warn(
                `${address} has no sync: after a power cut in the next half minute, files of the release that is live may be empty`
              )
            ]
          : []),
        ...stuck.map(({ owner, path }) =>
          warn(
            `Files of ${owner} are left in ${path} on ${address}, and this login may not remove them. Nothing else needs them: remove them there with sudo rm -rf ${quote(path)}, or set "removeWith" of the target (for example "sudo rm -rf")`
          )
        )
      ],
      { discard: true }
    )

  // The token of the lock under which all changes run; 0 without a lock.
  let fence = 0
  // Whether a step has given the lock back already.
  let isGivenBack = false

  const change = <const S extends Script, A, E = never>(
    step: Step<S, A>,
    { entries, unlocks = false, ...question }: Question<S, E> & Last & { readonly entries?: Entries | undefined }
  ) =>
    Effect.suspend(() => ask(step, { ...question, fencing: { fence, entries: journalLines(entries), unlocks } })).pipe(
      // A value is the reason why a step did nothing.
      Effect.tap((value) => Effect.sync(() => (isGivenBack ||= unlocks && value === undefined)))
    )

  const details = (lock: LockDetails) =>
    Effect.mapError(Schema.encode(LockDetailsJson)(lock), (error) => stepFailed("take the lock", error.message))

  const recordLine = (doing: string, release: HostRelease) =>
    Effect.mapError(Schema.encode(HostReleaseJson)(release), (error) => stepFailed(doing, error.message))

  /** Reads a journal that is too long for `inspect`. This also compacts it for the next `inspect`. */
  const whole = ({ lacksJournal, state }: Reply.Seen) =>
    lacksJournal
      ? Effect.map(ask(steps.compact, { doing: "read the journal", args: {} }), (chronicle) =>
          HostState.make({ ...state, ...chronicle })
        )
      : Effect.succeed(state)

  const granted = (
    answer: Reply.Locking
  ): Effect.Effect<Extract<Reply.Locking, { readonly _tag: "Taken" }>, LockHeld | HostUnfit> => {
    switch (answer._tag) {
      case "Taken":
        return Effect.succeed(answer)
      case "Held":
        return Effect.fail(new LockHeld({ target: target.key, address, lock: answer.by }))
      case "Unready":
        return Effect.fail(
          new HostUnfit({ target: target.key, address, reason: "not-a-deployer-path", path: target.path, tools: [] })
        )
      case "Unfit":
        return Effect.fail(
          new HostUnfit({ target: target.key, address, reason: answer.reason, path: answer.path, tools: [] })
        )
    }
  }

  const lock: HostSession["lock"] = Effect.fn("RemoteHost.lock")(function* (mine, entries) {
    const doing = "take the lock"
    const { decode, script } = steps.lock
    const args = {
      claim: yield* details(mine),
      stale: String(staleAfterSeconds),
      kind: "taken",
      entries: journalLines(entries)
    }
    const answered = yield* Deferred.make<Reply.Locking, StepFailure>()
    const over = yield* Deferred.make<void>()
    const clock = yield* Effect.clock
    const asked = clock.unsafeCurrentTimeMillis()
    const said = { stdout: "", stderr: "" }
    const decoder = new TextDecoder()
    const onOutput = (chunk: Uint8Array, from: "stdout" | "stderr") =>
      Effect.suspend(() => {
        if (from === "stderr") {
          said.stderr = (said.stderr + Buffer.from(chunk).toString()).slice(-longestAnswer)
          return Effect.void
        }
        // Searches only for the end of the answer. The only output after it is the loss of the lock.
        const before = Math.max(0, said.stdout.length - Reply.replyEnd.length - 2)
        said.stdout = (said.stdout + decoder.decode(chunk, { stream: true })).slice(-longestLook)
        const end = said.stdout.indexOf(`\n${Reply.replyEnd}\n`, before)
        if (end < 0) return Effect.void
        const { remarks, stdout } = Reply.remarks(said.stdout.slice(0, end + Reply.replyEnd.length + 2))
        const between = { asked, answered: clock.unsafeCurrentTimeMillis() }
        const decoded = decode(stdout, { refs: [], between })
        return Effect.zipRight(
          tellRemarks(remarks),
          Deferred.complete(answered, settle(doing, { exitCode: 0, stderr: said.stderr }, decoded))
        )
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
        Effect.flatMap(({ exitCode }) =>
          settle(doing, { exitCode, stderr: said.stderr }, decode(said.stdout, { refs: [], between: undefined }))
        ),
        Effect.exit,
        Effect.tap((exit) => Deferred.done(answered, exit)),
        Effect.forkScoped
      )
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        fence = 0
        yield* Deferred.succeed(over, undefined)
        if (isGivenBack) return
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
    const { seen, token } = yield* Effect.flatMap(answer, granted)
    fence = token
    isGivenBack = false
    return yield* whole(seen ?? (yield* stepFailed(doing, "the host did not tell what is there")))
  })

  const unfit = (fault: { readonly reason: HostUnfit["reason"]; readonly path: string } | undefined) =>
    fault === undefined ? Effect.void : Effect.fail(new HostUnfit({ target: target.key, address, ...fault, tools: [] }))

  const run: HostSession["run"] = (command, { isQuiet = false, isResult = false, name, ref }) =>
    Effect.suspend(() => {
      const doing = `run "${Reply.clean(command, 80)}"`
      const { decode, script } = steps.run
      const decodeRun = (answer: string) => decode(answer, { refs: [], between: undefined })
      let head: Buffer | undefined = Buffer.alloc(0)
      let said = Buffer.alloc(0)
      let tail = ""
      const tell = (chunk: Uint8Array, options?: { readonly isResult: boolean }) => {
        tail = `${tail}${Buffer.from(chunk).toString()}`.slice(-longestTail)
        return isQuiet ? Effect.void : output(chunk, options)
      }
      let decoded: Either.Either<void, Reply.Fault> = decodeRun("")
      const onOutput = (chunk: Uint8Array, from: "stdout" | "stderr") =>
        Effect.suspend(() => {
          if (from === "stderr") {
            if (head !== undefined) said = Buffer.concat([said, chunk]).subarray(-longestAnswer)
            return tell(chunk)
          }
          if (head === undefined) return tell(chunk, { isResult })
          head = Buffer.concat([head, chunk])
          const end = head.indexOf(`\n${Reply.replyEnd}\n`)
          if (end < 0 && head.length < longestAnswer) return Effect.void
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
          args: positional(script, { path, args: { name, ref: ref ?? "", command } }),
          wait: "command",
          onOutput
        })
        .pipe(
          Effect.catchTag("CommandTimeout", (timeout) =>
            Effect.fail(new CommandTimeout({ address, command, waited: timeout.waited }))
          ),
          Effect.flatMap(({ exitCode }) =>
            Effect.map(settle(doing, { exitCode, stderr: `${said}${head ?? ""}` }, decoded), () => ({
              status: exitCode,
              output: Reply.clean(tail, longestTail)
            }))
          )
        )
    }).pipe(Effect.withSpan("RemoteHost.run"))

  return {
    target,
    address,
    lock,
    hold: Effect.fn("RemoteHost.hold")(function* (mine, entries) {
      const args = {
        claim: yield* details(mine),
        stale: String(staleAfterSeconds),
        kind: "held",
        entries: journalLines(entries)
      }
      yield* Effect.flatMap(ask(steps.lock, { doing: "leave a lock", args }), granted)
    }),
    unlock: Effect.fn("RemoteHost.unlock")(({ token }, entries) =>
      ask(steps.unlock, {
        doing: "take the lock away",
        args: { expected: String(token), entries: journalLines(entries) }
      })
    ),
    inspect: ask(steps.inspect, { doing: "look at the releases", args: {} }).pipe(
      Effect.flatMap(whole),
      Effect.withSpan("RemoteHost.inspect")
    ),
    history: Effect.fn("RemoteHost.history")((last) =>
      ask(steps.history, { doing: "read the journal", args: { count: String(last) } })
    ),
    prepare: ask(steps.prepare, { doing: `make ${target.path}`, args: {} }).pipe(
      Effect.flatMap(unfit),
      Effect.withSpan("RemoteHost.prepare")
    ),
    stage: Effect.fn("RemoteHost.stage")(function* ({
      entries,
      from,
      manifest,
      note,
      ref,
      replaces = false,
      shipment
    }) {
      const doing = "send the release"
      const lines = manifestLines(manifest)
      if (lines === undefined) {
        return yield* stepFailed(doing, "a path in it has a line break, or is a second name of nothing")
      }
      const { from: kept, origin, sha256, size, stdin, stream } = yield* pack({ manifest, lines, from }, shipment)
      const damaged = yield* change(steps.stage, {
        doing,
        args: {
          ref,
          keep: String(kept),
          size: String(size ?? ""),
          stream,
          note: Reply.clean(note),
          wanted: sha256,
          origin: origin?.ref ?? "",
          hard: origin?.hardLinks === true ? "hard" : "",
          edits: origin?.edits ?? "",
          packing: origin?.packing ?? "",
          replaces: replaces ? "replaces" : ""
        },
        stdin,
        wait: "transfer",
        entries
      })
      if (damaged.length > 0) return yield* new ReleaseCorrupt({ address, ref, what: damaged })
    }),
    origin: Effect.fn("RemoteHost.origin")((ref) =>
      Effect.map(ask(steps.manifest, { doing: "read a manifest", args: { ref } }), ({ altered, lines }) => {
        const origin = originOf(ref, lines)
        return origin === undefined ? undefined : withoutAltered(origin, altered)
      })
    ),
    alterations: Effect.fn("RemoteHost.alterations")((ref) =>
      change(steps.alterations, { doing: "see what the commands changed", args: { ref }, wait: "transfer" })
    ),
    record: Effect.fn("RemoteHost.record")(function* (release) {
      const doing = "record the release"
      yield* change(steps.record, { doing, args: { ref: release.ref, record: yield* recordLine(doing, release) } })
    }),
    activate: Effect.fn("RemoteHost.activate")(function* (ref, { armed = "", entries, record, unlocks } = {}) {
      const doing = `switch to ${ref}`
      const line = record === undefined ? "" : yield* recordLine(doing, record)
      const args = { ref, kept: armed, record: line }
      yield* Effect.flatMap(change(steps.activate, { doing, args, entries, ...(unlocks ? { unlocks } : {}) }), unfit)
    }),
    deactivate: Effect.fn("RemoteHost.deactivate")(({ entries, restore = "" } = {}) =>
      Effect.flatMap(change(steps.deactivate, { doing: "take the link away", args: { restore }, entries }), unfit)
    ),
    arm: Effect.fn("RemoteHost.arm")(({ back, command = "", entries, ref, restore = "", seconds }) =>
      change(steps.arm, {
        doing: "arm the dead-man's switch",
        args: {
          ref,
          back: back?.ref ?? "",
          seconds: String(Math.ceil(seconds)),
          name: back?.name ?? "",
          restore
        },
        stdin: Stream.make(new TextEncoder().encode(command)),
        entries
      })
    ),
    confirm: Effect.fn("RemoteHost.confirm")((armed, entries) =>
      ask(steps.confirm, { doing: "confirm the release", args: { id: armed, entries: journalLines(entries) } })
    ),
    survey: Effect.fn("RemoteHost.survey")((name) =>
      Effect.flatMap(
        change(steps.survey, { doing: "look at what is in the place of current", args: { name } }),
        Either.match({
          onLeft: (fault) => Effect.fail(new HostUnfit({ target: target.key, address, ...fault, tools: [] })),
          onRight: Effect.succeed
        })
      )
    ),
    adopt: Effect.fn("RemoteHost.adopt")(function* ({ nested, ref }, release, entries) {
      const doing = "adopt what is in the place of current"
      const args = {
        ref,
        layout: nested ? "nested" : "whole",
        name: release.name,
        record: yield* recordLine(doing, release)
      }
      yield* change(steps.adopt, { doing, args, entries })
    }),
    finishAdoption: Effect.fn("RemoteHost.finishAdoption")((ref) =>
      change(steps.adopt, { doing: "finish an adoption", args: { ref, layout: "", name: "", record: "" } })
    ),
    remove: Effect.fn("RemoteHost.remove")((refs, entries = [], { unlocks } = {}) =>
      inLots(refs, (lot, isLast) =>
        change(steps.remove, {
          doing: "remove releases",
          args: { remover: target.removeWith ?? "" },
          refs: lot,
          entries: entries.filter(
            ({ release }) =>
              release === undefined || lot.includes(release.ref) || (isLast && !refs.includes(release.ref))
          ),
          unlocks: unlocks === true && isLast
        })
      ).pipe(Effect.asVoid)
    ),
    discard: Effect.fn("RemoteHost.discard")(({ ref, kind }) =>
      change(steps.discard, {
        doing: "remove an unfinished deployment",
        args: { ref, kind, remover: target.removeWith ?? "" }
      })
    ),
    verify: Effect.fn("RemoteHost.verify")((refs, depth = "files", against) => {
      const wanted = against === undefined ? "" : manifestSum(manifestLines(against) ?? [])
      return Effect.map(
        inLots(refs, (lot) => ask(steps.verify, { doing: "check the releases", args: { depth, wanted }, refs: lot })),
        (verdicts) => verdicts.flat()
      )
    }),
    usage: Effect.fn("RemoteHost.usage")((refs) =>
      Effect.map(
        inLots(refs, (lot) => ask(steps.usage, { doing: "measure the releases", args: {}, refs: lot })),
        (usages) => new Map(usages.flatMap((usage) => [...usage]))
      )
    ),
    note: Effect.fn("RemoteHost.note")((entries, { unlocks } = {}) =>
      inLots(entries, (lot, isLast) =>
        change(steps.note, {
          doing: "write the journal",
          args: {},
          entries: lot,
          unlocks: unlocks === true && isLast
        })
      ).pipe(Effect.asVoid)
    ),
    run,
    probe: Effect.fn("RemoteHost.probe")((probe, timeout) => runProbe(transport, address, probe, timeout)),
    shell: transport.shell(path)
  }
}
