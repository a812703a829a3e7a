/**
 * `build_and_deploy`: builds a release and deploys exactly that one.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { lookAhead } from "../deployment/lookAhead.ts"
import { answer } from "../terminal/Answer.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { type BuildOptions, BuildReport, build, buildView, envFileName } from "./build.ts"
import { DeployReport, deployRelease, deployView } from "./deploy.ts"
import { target, task, wait, yes } from "./Task.ts"

/** The result of the build and of the deployment. */
export class BuildAndDeployReport extends Schema.TaggedClass<BuildAndDeployReport>()("BuildAndDeployReport", {
  built: BuildReport,
  deployed: DeployReport
}) {}

/**
 * Builds and deploys. It does not ask which release: it is the one just built. A host that cannot be reached, cannot take any release or is
 * locked on purpose ends the build. `onBuilt` runs between the two, for instance to report the build immediately.
 */
export const buildAndDeploy = Effect.fn("buildAndDeploy")(function* <R = never>(
  options: BuildOptions,
  onBuilt: (report: BuildReport) => Effect.Effect<void, never, R> = () => Effect.void
) {
  const config = yield* (yield* Workspace).config
  const target = yield* findTarget(config, options.target)
  // The inspection continues while the engine builds, and ends the build if the deployment would be refused.
  const looking = yield* Effect.forkScoped(lookAhead(target))
  const built = yield* Effect.raceFirst(build(options), Effect.zipRight(Fiber.join(looking), Effect.never))
  yield* onBuilt(built)
  // The user may just be typing a passphrase: the deployment would ask for it again.
  yield* Fiber.join(looking)
  return BuildAndDeployReport.make({ built, deployed: yield* deployRelease(target, built.release) })
}, Effect.scoped)

/** The failures of `buildAndDeploy`. */
export type BuildAndDeployError = Effect.Effect.Error<ReturnType<typeof buildAndDeploy>>
/** The services that `buildAndDeploy` needs. */
export type BuildAndDeployServices = Effect.Effect.Context<ReturnType<typeof buildAndDeploy>>

const report = {
  schema: Schema.Union(BuildAndDeployReport, BuildReport),
  view: (report: BuildAndDeployReport | BuildReport) =>
    report._tag === "BuildReport" ? buildView(report) : deployView(report.deployed)
}

/** The command. If the deployment fails, the built release is still reported. */
export const buildAndDeployTask = task("build_and_deploy", {
  group: "build and deploy",
  description: "Builds a release and deploys exactly that one.",
  examples: ["deployer build_and_deploy target=prod", "deployer build_and_deploy target=prod wait=10m yes"],
  options: { target, envFileName, wait, yes },
  report,
  run: ({ envFileName, target }) => buildAndDeploy({ target, envFileName }, answer(report))
})
