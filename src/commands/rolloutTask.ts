/** A command that changes one target, or many as one rollout. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Policy, RolloutPlan } from "../domain/Rollout.ts"
import { SavedPlan } from "../domain/SavedPlan.ts"
import { answer, type Kind, type View } from "../terminal/Answer.ts"
import { UsageError } from "../UsageError.ts"
import { type FleetWords, isFleet } from "../workspace/Fleet.ts"
import { policyOf, policyWord, rolloutOptions } from "./fleet.ts"
import { savedPlanView } from "./planView.ts"
import { failUnlessComplete, RolloutReport } from "./rollout.ts"
import { rolloutPlanView, rolloutView } from "./rolloutView.ts"
import {
  type Given,
  type Help,
  type Options,
  planned,
  planning,
  readAll,
  savePlanned,
  surrounded,
  type Values,
  wait,
  yes
} from "./Task.ts"

/** A command, and its plan without a change. */
interface Ways<P, E, R, A, E2, R2> {
  readonly plan: Effect.Effect<P, E, R>
  readonly run: Effect.Effect<A, E2, R2>
}

/** Many targets, and the settings of the command line for them. */
export interface ManyWords extends FleetWords {
  readonly policy: Partial<Policy>
}

const how = { ...planning, wait, yes }
const common = { ...rolloutOptions, ...how }

/** Makes a task that works on one target, or on many as one rollout. */
export const rolloutTask = <
  const O extends Options,
  A extends { readonly _tag: string },
  I,
  E,
  R,
  E2,
  R2,
  E3,
  R3,
  E4,
  R4
>(
  name: string,
  definition: Help & {
    readonly options: O
    /** The report for one target. */
    readonly report: Kind<A, I>
    readonly one: (target: string, values: Values<O>) => Ways<SavedPlan, E, R, A, E2, R2>
    readonly many: (words: ManyWords, values: Values<O>) => Ways<RolloutPlan, E3, R3, RolloutReport, E4, R4>
  }
) => {
  const { description, examples, group, many, one, options, report } = definition
  const schema = Schema.Union(report.schema, SavedPlan, RolloutReport, RolloutPlan)
  const view = (found: typeof schema.Type): View =>
    found instanceof SavedPlan
      ? savedPlanView(found)
      : found instanceof RolloutPlan
        ? rolloutPlanView(found)
        : found instanceof RolloutReport
          ? rolloutView(found)
          : report.view(found)
  const run = ({ plan, save, ...given }: Values<typeof common>, values: Values<O>) =>
    Effect.gen(function* () {
      const { except, group, target, where } = given
      const words = { except, group, target, where }
      const policy = policyOf(given)
      if (target === undefined || isFleet(words)) {
        if (save !== undefined) return yield* new UsageError({ message: '"save" takes a plan of one target' })
        const ways = many({ ...words, policy }, values)
        return yield* plan ? ways.plan : ways.run
      }
      const first = policyWord(policy)
      if (first !== undefined) {
        return yield* new UsageError({ message: `"${first}" is for many targets, as in group=web` })
      }
      return yield* planned({ plan, save }, one(target, values))
    })
  return {
    name,
    group,
    description,
    examples,
    options: [...Object.values(rolloutOptions), ...Object.values(options), ...Object.values(how)],
    document: schema,
    tasks: [],
    main: (given: Given) =>
      Effect.gen(function* () {
        const shared = yield* readAll(common, given)
        const values = yield* readAll(options, given)
        const found = yield* run(shared, values)
        yield* answer({ schema, view })(found)
        if (found instanceof RolloutReport) return yield* failUnlessComplete(found)
        yield* savePlanned(found, shared)
      }).pipe((main) => Effect.flatMap(readAll(how, given), (values) => surrounded(values)(main)))
  }
}
