/**
 * `doctor`: whether a target's host can take a release, one check after another, without touching anything.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Check, checks } from "../domain/Checks.ts"
import { needsOf, releaseLabel } from "../domain/Plan.ts"
import { Ref, ReleaseName } from "../domain/Release.ts"
import type { Target } from "../domain/Target.ts"
import { RemoteHost } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { duration } from "../terminal/format.ts"
import { table } from "../terminal/Table.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { findOrigins } from "./origins.ts"
import { release, target, task } from "./Task.ts"

/** What was found on a target's host. */
export class DoctorReport extends Schema.TaggedClass<DoctorReport>()("DoctorReport", {
  /** Its key. */
  target: Schema.String,
  address: Schema.String,
  /** Absolute. */
  path: Schema.String,
  /** The login, by its name there. */
  user: Schema.optional(Schema.String),
  /** The release that it was looked at for; absent where the store has none of the target's name. */
  release: Schema.optional(Schema.Struct({ id: Schema.Int, name: ReleaseName, ref: Ref })),
  /** From nothing to a session, in milliseconds. */
  connectMillis: Schema.NonNegative,
  /** One look: a round trip and what the host does meanwhile, in milliseconds. */
  lookMillis: Schema.NonNegative,
  checks: Schema.Array(Check)
}) {
  /** What stands in the way of a deployment. */
  get failed(): ReadonlyArray<Check> {
    return this.checks.filter(({ verdict }) => verdict === "failed")
  }
}

/** Something stands in the way of a deployment. */
export class DoctorFailed extends Schema.TaggedError<DoctorFailed>()("DoctorFailed", {
  address: Schema.String,
  /** The names of the checks. */
  failed: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const { failed } = this
    const count = failed.length === 1 ? "1 check" : `${failed.length} checks`
    return `${count} failed on ${this.address} (${failed.join(", ")}): see there what to do, a deploy would be refused`
  }
}

/**
 * Looks whether a target's host can take a release (id, name, ref or the beginning of one; absent: the latest of the target's name,
 * if the store has one), with the very checks that `deploy` makes.
 */
export const doctor = Effect.fn("doctor")(function* (options: {
  readonly target: string
  readonly release?: string | undefined
}) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  const release = yield* chosen(target, options.release)
  const [connecting, session] = yield* Effect.timed((yield* RemoteHost).connect(target))
  const [looking, state] = yield* Effect.timed(session.inspect)
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
    checks: checks(state, needs)
  })
}, Effect.scoped)

const chosen = Effect.fnUntraced(function* (target: Target, selector: string | undefined) {
  const store = yield* ReleaseStore
  const found = yield* store.find(selector ?? target.name).pipe(
    Effect.map(Option.some),
    Effect.catchTag("ReleaseNotFound", (error) => (selector === undefined ? Effect.succeedNone : error))
  )
  if (Option.isNone(found)) return undefined
  return { release: found.value, manifest: yield* store.manifest(found.value) }
})

/** Fails where something stands in the way: for scripts, whose users look at the exit status. */
export const insistOnHealth = ({ address, failed }: DoctorReport): Effect.Effect<void, DoctorFailed> =>
  failed.length === 0 ? Effect.void : new DoctorFailed({ address, failed: failed.map(({ name }) => name) })

/** Whether a host can take a release, a line for each check; nothing is cut, since what to do comes last. */
export const doctorView =
  ({ address, checks, connectMillis, lookMillis, path, release, user }: DoctorReport): View =>
  () =>
    [
      `${address}:${path}${user === undefined ? "" : ` as ${user}`}, connected in ${duration(connectMillis)}, one look took ${duration(lookMillis)}`,
      release === undefined
        ? "The store has no release for it yet: only what holds for any release was checked"
        : `For ${releaseLabel(release)} (id ${release.id}):`,
      table({
        head: ["Verdict", "Check", "Found"],
        rows: checks.map(({ advice, found, name, verdict }) => [
          verdict,
          name,
          advice === undefined ? found : `${found}: ${advice}`
        ])
      })
    ].join("\n")

/** The command. */
export const doctorTask = task("doctor", {
  description: "Looks whether the target's host can take a release, with the checks that deploy makes.",
  examples: ["deployer doctor target=prod"],
  options: { target, release },
  report: { schema: DoctorReport, view: doctorView },
  run: doctor,
  check: insistOnHealth
})
