/**
 * A command about many targets at once: the same effect for each, and one report with every member.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Amount, grouped, type Policy } from "../domain/Rollout.ts"
import { address } from "../domain/Target.ts"
import { answer, type Kind, type View } from "../terminal/Answer.ts"
import { Failure, failureOf, isQuit, statusOf } from "../terminal/Failure.ts"
import { counted } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { sign } from "../terminal/signs.ts"
import { table } from "../terminal/Table.ts"
import { chooseTargets, type FleetWords, isFleet } from "../workspace/Fleet.ts"
import { Workspace } from "../workspace/Workspace.ts"
import {
  choice,
  type Given,
  type Help,
  type Options,
  optional,
  parsed,
  readAll,
  time,
  unless,
  type Values,
  value
} from "./Task.ts"

/** The number of members that are worked on at the same time. */
const atOnce = 10

/** One member of a fleet. */
export interface Member<A> {
  /** The target's key. */
  readonly target: string
  readonly address: string
  /** Undefined if there is none, because the command failed before. */
  readonly report?: A
  /** Undefined if the command succeeded. */
  readonly failure?: Failure
}

/** Some members failed. */
export class FleetFailed extends Schema.TaggedError<FleetFailed>()("FleetFailed", {
  /** The number of members. */
  members: Schema.Int,
  /** Members with the same failure stand together. */
  failures: Schema.Array(Schema.Struct({ targets: Schema.Array(Schema.String), message: Schema.String })),
  /** The exit status that all failures share, or 1. */
  exitStatus: Schema.Int
}) {
  override get message(): string {
    const failed = this.failures.reduce((sum, { targets }) => sum + targets.length, 0)
    const lines = this.failures.map(({ message, targets }) => `  ${targets.join(", ")}: ${message}`)
    return [`${failed} of ${counted(this.members, "target")} failed:`, ...lines].join("\n")
  }
}

/** Runs an effect for each chosen target, ten at a time, and keeps each failure with its member. Only an interruption, a bug or Ctrl-C ends it early. */
export const forEachTarget = <A, E, R, E2, R2>(
  words: FleetWords,
  run: (target: string) => Effect.Effect<A, E, R>,
  check: (report: A) => Effect.Effect<void, E2, R2>
) =>
  Effect.gen(function* () {
    const targets = yield* chooseTargets(yield* (yield* Workspace).config, words)
    return yield* Effect.forEach(
      targets,
      (target) => {
        const member = { target: target.key, address: address(target) }
        return run(target.key).pipe(
          Effect.flatMap((report) =>
            Effect.match(check(report), {
              onFailure: (error): Member<A> => ({ ...member, report, failure: failed(error) }),
              onSuccess: (): Member<A> => ({ ...member, report })
            })
          ),
          Effect.catchAll((error) =>
            isQuit(error) ? Effect.interrupt : Effect.succeed<Member<A>>({ ...member, failure: failed(error) })
          ),
          Reporter.inLines,
          Reporter.asMember(target.key)
        )
      },
      { concurrency: atOnce }
    )
  })

const failed = (error: unknown): Failure => failureOf(error, { exitStatus: statusOf(error) })

/** Fails if a member failed. */
const failUnlessAllGood = (members: ReadonlyArray<Member<unknown>>): Effect.Effect<void, FleetFailed> => {
  const failed = members.flatMap(({ address, failure, target }) =>
    failure === undefined ? [] : [{ target, address, message: failure.message, exitStatus: failure.exitStatus }]
  )
  const statuses = new Set(failed.map(({ exitStatus }) => exitStatus))
  const [status = 1] = statuses
  return failed.length === 0
    ? Effect.void
    : new FleetFailed({
        members: members.length,
        failures: grouped(failed),
        exitStatus: statuses.size === 1 ? status : 1
      })
}

/** The options that choose targets. */
export const fleetOptions = {
  target: unless(
    ["group", "except", "where"],
    value({
      name: "target",
      placeholder: "T",
      completes: "target",
      description: "a key of `targets` in the config, or several: a,b or web*"
    })
  ),
  group: optional(
    value({ name: "group", placeholder: "G", completes: "group", description: "the targets of these groups: web,db" })
  ),
  except: optional(
    value({ name: "except", placeholder: "T", completes: "target", description: "without these targets: web7,db*" })
  ),
  where: optional(
    value({
      name: "where",
      placeholder: "L:V",
      description: "only targets with this label: zone:a; zone:a,zone:b is either"
    })
  )
}

const amount = (texts: Parameters<typeof value>[0]) =>
  parsed(value(texts), (text) =>
    Either.mapLeft(
      decodeAmount(/^[0-9]+$/.test(text) ? Number(text) : text),
      () => `"${texts.name}" takes a number of targets or a share such as 25%, not "${text}"`
    )
  )

const decodeAmount = Schema.decodeUnknownEither(Amount)

/** The options that replace settings of the group's policy. */
const policyOptions = {
  canary: optional(
    amount({
      name: "canary",
      completes: ["1", "10%"],
      placeholder: "N",
      description: "many targets: how many come first, and must not fail"
    })
  ),
  batch: optional(
    parsed(
      value({
        name: "batch",
        completes: ["1", "25%", "1,10%,100%"],
        placeholder: "N",
        description: "many targets: how many together: 2, 25% or 1,10%,100%"
      }),
      (text) =>
        Either.mapLeft(
          decodeBatch(text.split(",").map((part) => (/^[0-9]+$/.test(part) ? Number(part) : part))),
          () => `"batch" takes numbers of targets or shares such as 25%, not "${text}"`
        )
    )
  ),
  spread: optional(
    value({
      name: "spread",
      placeholder: "L",
      description: "many targets: takes them from each value of this label"
    })
  ),
  soak: optional(
    time({
      name: "soak",
      placeholder: "TIME",
      completes: ["1m", "5m"],
      description: "many targets: how long a wave has to stay healthy"
    })
  ),
  maxFailures: optional(
    amount({
      name: "max-failures",
      completes: ["1", "10%"],
      placeholder: "N",
      description: "many targets: how many may fail; default: none"
    })
  ),
  unreachable: optional(
    amount({
      name: "unreachable",
      completes: ["1", "10%"],
      placeholder: "N",
      description: "many targets: how many may be out of reach; default: none"
    })
  ),
  onFailure: optional(
    choice(
      {
        name: "on-failure",
        placeholder: "WORD",
        description: "many targets: back (default) or stop, if too many fail"
      },
      ["back", "stop"]
    )
  )
}

const decodeBatch = Schema.decodeUnknownEither(Schema.NonEmptyArray(Amount))

/** The options of a rollout. */
export const rolloutOptions = { ...fleetOptions, ...policyOptions }

/** The settings of the policy that were given. */
export const policyOf = ({
  batch,
  canary,
  maxFailures,
  onFailure,
  soak,
  spread,
  unreachable
}: Values<typeof policyOptions>): Partial<Policy> => ({
  ...(batch === undefined ? {} : { batch }),
  ...(canary === undefined ? {} : { canary }),
  ...(maxFailures === undefined ? {} : { maxFailures }),
  ...(onFailure === undefined ? {} : { onFailure }),
  ...(soak === undefined ? {} : { soak }),
  ...(spread === undefined ? {} : { spread }),
  ...(unreachable === undefined ? {} : { unreachable })
})

/** The word of the first setting that is given. Undefined if there is none. */
export const policyWord = (policy: Partial<Policy>): string | undefined =>
  Object.entries(policyOptions).find(([key]) => Object.hasOwn(policy, key))?.[1].name

/** The schema of the members of a fleet, whose reports have this schema. */
export const membersSchema = <A, I>(report: Schema.Schema<A, I>) =>
  Schema.Array(
    Schema.Struct({
      /** The target's key. */
      target: Schema.String,
      address: Schema.String,
      report: Schema.optionalWith(report, { exact: true }),
      failure: Schema.optionalWith(Failure, { exact: true })
    })
  )

/** A view with a line for each member. */
export const memberLines =
  <A>(line: (report: A) => string) =>
  ({ members }: { readonly members: ReadonlyArray<Member<A>> }): View =>
  () =>
    table({
      head: ["Target", "Verdict", "Found"],
      rows: members.map(({ failure, report, target }) => [
        target,
        failure === undefined ? `${sign.good} good` : `${sign.bad} failed`,
        report === undefined ? "" : line(report)
      ])
    })

/**
 * Makes a task that works on one target or on many. For one key, it is the task of that target. For many, the report has all members: `gather` makes it.
 */
export const fleetTask = <const O extends Options, A, I, E, R, E2, R2, F, FI>(
  name: string,
  definition: Help & {
    readonly options: O
    readonly report: Kind<A, I>
    readonly fleet: Kind<F, FI> & { readonly gather: (members: ReadonlyArray<Member<A>>) => F }
    readonly run: (target: string, values: Values<O>) => Effect.Effect<A, E, R>
    /** Runs after the report, to fail if the report is a bad one. */
    readonly check: (report: A) => Effect.Effect<void, E2, R2>
  }
) => {
  const { check, description, examples, fleet, group, report, run } = definition
  const ofOne = (target: string, values: Values<O>) =>
    Effect.flatMap(run(target, values), (one) => Effect.zipRight(answer(report)(one), check(one)))
  const ofMany = (words: FleetWords, values: Values<O>) =>
    Effect.gen(function* () {
      const members = yield* forEachTarget(words, (target) => run(target, values), check)
      yield* answer(fleet)(fleet.gather(members))
      yield* failUnlessAllGood(members)
    })
  return {
    name,
    group,
    description,
    examples,
    options: [...Object.values(fleetOptions), ...Object.values(definition.options)],
    document: Schema.Union(report.schema, fleet.schema),
    tasks: [],
    main: (given: Given) =>
      Effect.gen(function* () {
        const words = yield* readAll(fleetOptions, given)
        const values = yield* readAll(definition.options, given)
        const { target } = words
        return yield* target === undefined || isFleet(words) ? ofMany(words, values) : ofOne(target, values)
      })
  }
}
