/**
 * Waits until a release is live and healthy, or its time is up.
 */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import { releaseLabel } from "../domain/Plan.ts"
import { type Health, shownCommand } from "../domain/Target.ts"
import type { HostSession } from "../host/RemoteHost.ts"
import { monotonicMillis } from "../internal/monotonic.ts"
import { counted } from "../terminal/format.ts"
import type { Named } from "./journal.ts"

/** A release did not become healthy in time. */
export class Unhealthy extends Schema.TaggedError<Unhealthy>()("Unhealthy", {
  address: Schema.String,
  release: Schema.String,
  /** The check in words. */
  check: Schema.String,
  attempts: Schema.NonNegativeInt,
  /** In words. */
  waited: Schema.String,
  /** The result of the last failed attempt. */
  detail: Schema.String,
  /** The log of the application on the host, if deployer started it. */
  log: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 1
  /** For the journal: without secrets that a command, a query or an answer may contain. */
  get journaled(): string {
    const check = this.check.startsWith('"')
      ? `"${shortened(this.check.slice(1, -1))}"`
      : this.check.replace(/^(GET \w+:\/\/)[^/?#]*@/, "$1").replace(/[?#].*$/s, "")
    const [detail] = this.detail.replace(/(\w:\/\/)[^/?#\s]*@/, "$1").split(/, "|: |\?/)
    return `it was not healthy within ${this.waited} (${check}): ${detail}`
  }
  override get message(): string {
    const tries = `${counted(this.attempts, "attempt")}`
    const log = this.log === undefined ? "" : ` (its log is ${this.log})`
    return `${this.release} was not healthy on ${this.address} within ${this.waited} (${this.check}, ${tries}): ${this.detail}${log}`
  }
}

/** There was nothing to deploy, and the release that is live is not healthy. */
export class LiveUnhealthy extends Schema.TaggedError<LiveUnhealthy>()("LiveUnhealthy", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  /** The check in words. */
  check: Schema.String,
  /** The answer to the check. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation, Invocation] {
    const { target } = this
    return [invocation("start", { target }), invocation("restart", { target })]
  }
  override get message(): string {
    const [start, restart] = this.next
    return `There is nothing to deploy, because ${this.release} is live on ${this.address} already, but it is not healthy (${this.check}: ${this.detail}): start it with ${commandLine(start)}, or restart it with ${commandLine(restart)}`
  }
}

/** A command in a form that others may read: its first word, unless that contains a value (`TOKEN=…`) or a quote. */
export const shortened = (command: string): string => {
  const [program = "", ...more] = shownCommand(command).trim().split(/\s/)
  if (/["'`$=\\]/.test(program)) return "…"
  return more.length === 0 ? program : `${program} …`
}

/** A health check in words: `GET http://127.0.0.1:4000/health`. */
export const healthLabel = ({ command, http, tcp }: Health): string =>
  command !== undefined ? `"${command}"` : http !== undefined ? `GET ${http}` : `port ${tcp ?? 0}`

/** The time limit of one attempt. */
const attemptTime = Duration.seconds(10)

/** One attempt: whether it succeeded, and the answer. */
const attempt = (session: HostSession, release: Named, { command, http, tcp }: Health, time: Duration.Duration) =>
  Effect.gen(function* () {
    if (http !== undefined) return yield* session.probe({ _tag: "Http", url: http }, time)
    if (tcp !== undefined) return yield* session.probe({ _tag: "Tcp", port: tcp }, time)
    const { output, status } = yield* session.run(command ?? "true", {
      ref: release.ref,
      name: release.name,
      isQuiet: true
    })
    return { ok: status === 0, detail: `it ended with status ${status}${output === "" ? "" : `, "${output}"`}` }
  }).pipe(
    Effect.timeoutOption(time),
    Effect.map(Option.getOrElse(() => ({ ok: false, detail: `no answer within ${Duration.format(time)}` })))
  )

/** The result of one attempt. */
export const Checked = Schema.Struct({
  /** The check in words. */
  check: Schema.String,
  ok: Schema.Boolean,
  /** The answer to the check. */
  detail: Schema.String
})

/** Checks the live release once. A host that cannot be checked counts as not healthy. */
export const checkOnce = Effect.fnUntraced(function* (session: HostSession, live: Named, health: Health) {
  const time = Duration.min(health.timeout, attemptTime)
  const { detail, ok } = yield* attempt(session, live, health, time).pipe(
    Effect.catchTag("HostStepFailed", ({ message }) => Effect.succeed({ ok: false, detail: message }))
  )
  return Checked.make({ check: healthLabel(health), ok, detail })
})

/** Checks a release until enough successes in a row. Fails with `Unhealthy`, which names the log, when its time is up. */
export const awaitHealthy = Effect.fn("awaitHealthy")(function* (
  session: HostSession,
  release: Named,
  health: Health,
  log?: string
) {
  const end = (yield* monotonicMillis) + Duration.toMillis(health.timeout)
  let attempts = 0
  let inARow = 0
  let detail: string | undefined
  while (true) {
    const left = end - (yield* monotonicMillis)
    if (left <= 0) break
    // An attempt cut off by the deadline is no evidence against the release.
    const result = yield* Effect.timeoutOption(attempt(session, release, health, attemptTime), left)
    attempts += 1
    if (Option.isNone(result)) break
    const { detail: latest, ok } = result.value
    inARow = ok ? inARow + 1 : 0
    if (inARow >= health.successes) return attempts
    if (!ok) detail = latest
    yield* Effect.sleep(health.interval)
  }
  const partly =
    inARow > 0 ? `it was healthy ${counted(inARow, "time")} in a row, and ${health.successes} are needed` : undefined
  return yield* new Unhealthy({
    address: session.address,
    release: releaseLabel(release),
    check: healthLabel(health),
    attempts,
    waited: Duration.format(health.timeout),
    detail: partly ?? detail ?? "no answer in that time",
    ...(log === undefined ? {} : { log })
  })
})
