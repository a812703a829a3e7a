/** One deployment at a time. */

import { Cause, Effect, Exit, Fiber, Option, PubSub, Schema, Stream, SynchronizedRef, Take } from "effect"
import { buildAndDeploy, Deployer, Reporter } from "effect-deployer"
import { Deployed, Failed, makeTranslator, type Progress } from "./Progress.ts"
import { Settings } from "./Settings.ts"

export class DeploymentRuns extends Schema.TaggedError<DeploymentRuns>()("DeploymentRuns", {}) {
  override get message(): string {
    return "A deployment runs already: see GET /progress"
  }
}

export class NoDeployment extends Schema.TaggedError<NoDeployment>()("NoDeployment", {}) {
  override get message(): string {
    return "There is no deployment yet: begin one with POST /deployments"
  }
}

interface Deployment {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly progress: PubSub.PubSub<Take.Take<Progress>>
}

/** A late reader gets so many earlier events. A slow reader loses the oldest ones, and the deployment does not wait for it. */
const remembered = 10_000

export class Deployments extends Effect.Service<Deployments>()("Deployments", {
  dependencies: [Settings.Default],
  scoped: Effect.gen(function* () {
    const { project } = yield* Settings
    const scope = yield* Effect.scope
    const latest = yield* SynchronizedRef.make(Option.none<Deployment>())

    // Each deployment builds these anew, and so reads the current config of the project.
    const services = Deployer.layerSilent({ root: project })

    const deploy = (target: string, progress: Deployment["progress"]) => {
      const translate = makeTranslator()
      return buildAndDeploy({ target }).pipe(
        Effect.provideService(Reporter, {
          emit: (event) => PubSub.publishAll(progress, Option.toArray(Option.map(translate(event), Take.of)))
        }),
        Effect.provide(services),
        Effect.map(({ deployed }) =>
          Deployed.make({ target, release: deployed.plan.release.ref, millis: deployed.millis })
        ),
        // If it is interrupted, too: each stream has an end.
        Effect.onExit((exit) => PubSub.publishAll(progress, [Take.of(lastProgress(exit)), Take.end]))
      )
    }

    return {
      /** Begins a deployment and does not wait for its end. The end of the program interrupts it. */
      begin: (target: string) =>
        SynchronizedRef.updateEffect(latest, (before) =>
          Effect.gen(function* () {
            if (Option.isSome(before) && Option.isNone(yield* Fiber.poll(before.value.fiber))) {
              return yield* new DeploymentRuns()
            }
            const options = { capacity: remembered, replay: remembered }
            const progress = yield* PubSub.sliding<Take.Take<Progress>>(options)
            const fiber = yield* Effect.forkIn(deploy(target, progress), scope)
            return Option.some({ fiber, progress })
          })
        ),

      /** The progress of the latest deployment, from its beginning to its end. */
      progress: SynchronizedRef.get(latest).pipe(
        Effect.flatten,
        Effect.mapBoth({
          onFailure: () => new NoDeployment(),
          onSuccess: ({ progress }) => Stream.flattenTake(Stream.fromPubSub(progress))
        })
      )
    }
  })
}) {}

const lastProgress = (exit: Exit.Exit<Deployed, Error>): Progress =>
  Exit.match(exit, {
    onSuccess: (deployed) => deployed,
    onFailure: (cause) =>
      Failed.make({
        message: Option.match(Cause.failureOption(cause), {
          onSome: ({ message }) => message,
          onNone: () => (Cause.isInterrupted(cause) ? "The deployment was interrupted" : Cause.pretty(cause))
        })
      })
  })
