/**
 * `doctor`: checks whether a target's host can take a release, without changing anything.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { connectTo } from "../deployment/onHost.ts"
import { findOrigins } from "../deployment/origins.ts"
import { Check, checks, sessionsCheck, usedSessions } from "../domain/Checks.ts"
import { needsOf, releaseLabel } from "../domain/Plan.ts"
import { Ref, ReleaseName } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import { unfitText } from "../domain/Unfit.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { counted, duration } from "../terminal/format.ts"
import { sign } from "../terminal/signs.ts"
import { table } from "../terminal/Table.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { fleetTask, memberLines, membersSchema } from "./fleet.ts"
import { release } from "./Task.ts"

/** The results of the checks on a target's host. */
export class DoctorReport extends Schema.TaggedClass<DoctorReport>()("DoctorReport", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  /** The login's name on the host. */
  user: Schema.optional(Schema.String),
  /** The release that the host was checked for. Undefined if the store has none of the target's name. */
  release: Schema.optional(Schema.Struct({ id: Schema.Int, name: ReleaseName, ref: Ref })),
  /** The time to open a session, in milliseconds. */
  connectMillis: Schema.NonNegative,
  /** The time of one look, that is a round trip and the host's work, in milliseconds. */
  lookMillis: Schema.NonNegative,
  checks: Schema.Array(Check)
}) {
  /** The checks that prevent a deployment. */
  get failed(): ReadonlyArray<Check> {
    return this.checks.filter(({ verdict }) => verdict === "failed")
  }
}

/** The results of the checks on many targets' hosts. */
export class DoctorFleet extends Schema.TaggedClass<DoctorFleet>()("DoctorFleet", {
  /** The chosen targets, in their order, with the report or the failure of each, or both. */
  members: membersSchema(DoctorReport)
}) {}

/** A check failed that prevents a deployment. */
export class DoctorFailed extends Schema.TaggedError<DoctorFailed>()("DoctorFailed", {
  address: Schema.String,
  /** The names of the failed checks. */
  failed: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const { failed } = this
    const count = counted(failed.length, "check")
    return `${count} failed on ${this.address} (${failed.join(", ")}): deploy would refuse; each check says what to do`
  }
}

/**
 * Checks whether a target's host can take a release, with the same checks as `deploy`. The release is an id, a name, a ref or the beginning
 * of one. Default: the latest of the target's name, if the store has one.
 */
export const doctor = Effect.fn("doctor")(function* (options: {
  readonly target: string
  readonly release?: string | undefined
}) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  const release = yield* chosen(target, options.release)
  const [connecting, session] = yield* Effect.timed(connectTo(target))
  const [looking, state] = yield* Effect.timed(session.inspect)
  const { allowedSessions } = session
  const sessions = allowedSessions === undefined ? undefined : yield* allowedSessions(usedSessions)
  const needs =
    release === undefined
      ? undefined
      : needsOf(state, { target, ...release, origins: yield* findOrigins(session, state, release.release) })
  return DoctorReport.make({
    target: target.key,
    address: session.address,
    path: state.path,
    ...(state.user === undefined ? {} : { user: state.user }),
    ...(release === undefined ? {} : { release: release.release }),
    connectMillis: Duration.toMillis(connecting),
    lookMillis: Duration.toMillis(looking),
    checks: [
      ...checks(state, needs, target.key).map((check) =>
        withTarget(check, { target: target.key, address: session.address })
      ),
      ...(sessions === undefined ? [] : [sessionsCheck(sessions)])
    ]
  })
}, Effect.scoped)

/** The failures of `doctor`. */
export type DoctorError = Effect.Effect.Error<ReturnType<typeof doctor>>
/** The services that `doctor` needs. */
export type DoctorServices = Effect.Effect.Context<ReturnType<typeof doctor>>

/** A check whose advice names the target, so that its commands can be run as they are. */
const withTarget = (check: Check, at: { readonly target: string; readonly address: string }): Check =>
  check.unfit === undefined ? check : Check.make({ ...check, advice: unfitText(check.unfit, at).advice })

const chosen = Effect.fnUntraced(function* (target: Target, selector: string | undefined) {
  const store = yield* ReleaseStore
  const found = yield* store.find(selector ?? target.name).pipe(
    Effect.map(Option.some),
    Effect.catchTag("ReleaseNotFound", (error) => (selector === undefined ? Effect.succeedNone : error))
  )
  if (Option.isNone(found)) return undefined
  return { release: found.value, manifest: yield* store.manifest(found.value) }
})

/** Fails if a check failed: for scripts, which check the exit status. */
export const failUnlessHealthy = ({ address, failed }: DoctorReport): Effect.Effect<void, DoctorFailed> =>
  failed.length === 0 ? Effect.void : new DoctorFailed({ address, failed: failed.map(({ name }) => name) })

const signOf = { ok: sign.good, warning: sign.caution, failed: sign.bad, unknown: sign.unknown } as const

/** The results, a row for each check. No row is cut, because the advice comes last. */
export const doctorView =
  ({ address, checks, connectMillis, lookMillis, path, release, user }: DoctorReport): View =>
  (columns) =>
    [
      `${address}:${path}${user === undefined ? "" : ` as ${user}`}, connected in ${duration(connectMillis)}, checked in ${duration(lookMillis)}`,
      release === undefined
        ? "The store has no release for it yet: only the checks for any release were made"
        : `For ${releaseLabel(release)} (id ${release.id}):`,
      table({
        head: ["Verdict", "Check", "Found"],
        rows: checks.map(({ advice, found, name, verdict }) => [
          `${signOf[verdict]} ${verdict}`,
          name,
          advice === undefined ? found : `${found}: ${advice}`
        ]),
        columns,
        wraps: true
      })
    ].join("\n")

/** The number of checks with each verdict. */
const doctorLine = ({ checks }: DoctorReport): string =>
  Check.fields.verdict.literals
    .flatMap((verdict) => {
      const count = checks.filter((check) => check.verdict === verdict).length
      return count === 0 ? [] : [`${count} ${verdict}`]
    })
    .join(", ")

/** The command. */
export const doctorTask = fleetTask("doctor", {
  group: "look",
  description: "Checks whether the host is ready for a deployment.",
  examples: ["deployer doctor target=prod", "deployer doctor group=web release=844C"],
  options: { release },
  report: { schema: DoctorReport, view: doctorView },
  fleet: { schema: DoctorFleet, view: memberLines(doctorLine), gather: (members) => DoctorFleet.make({ members }) },
  run: (target, { release }) => doctor({ target, release }),
  check: failUnlessHealthy
})
