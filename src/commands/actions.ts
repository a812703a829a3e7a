/**
 * `start`, `stop` and `restart`: commands of the target that do not change the deployed releases.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { locked } from "../deployment/locking.ts"
import { typed } from "../domain/Invocation.ts"
import { type Action, actionCommand, shownCommand } from "../domain/Target.ts"
import type { View } from "../terminal/Answer.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { captureOutput, outputFields } from "./captureOutput.ts"
import { connect } from "./connect.ts"
import { target, task, wait } from "./Task.ts"

/** An action's command ended with an error. Its exit status is passed on. */
export class ActionFailed extends Schema.TaggedError<ActionFailed>()("ActionFailed", {
  address: Schema.String,
  action: Schema.Literal("start", "stop", "restart"),
  command: Schema.String,
  status: Schema.Int,
  ...outputFields
}) {
  get exitStatus(): number {
    return this.status
  }
  override get message(): string {
    return `"${shownCommand(this.command)}" (${this.action}) ended with status ${this.status} on ${this.address}; if it said why, that is above`
  }
}

/** An action of the current release succeeded. */
export class ActionReport extends Schema.TaggedClass<ActionReport>()("ActionReport", {
  address: Schema.String,
  action: Schema.Literal("start", "stop", "restart"),
  command: Schema.String,
  ...outputFields
}) {}

/** How long a start or a restart may take before it looks like a program that never returns. */
const patience = Duration.seconds(10)

/** Says what may be wrong while a command does not return. */
const hinting =
  (target: string, action: Action) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.raceFirst(
      self,
      Effect.zipRight(
        Effect.delay(
          Reporter.warn(
            `${action} has not returned for ${Duration.toSeconds(patience)} seconds. It must start the application in the background, and then return: ${typed("unit", { target })} prints a unit for systemd, and daemon({ command: "…" }) in the config keeps a plain process. Ctrl-C leaves the command running on the host`
          ),
          patience
        ),
        Effect.never
      )
    )

/** Runs the target's own command for an action in the current release's folder. Its output is the result. */
export const runAction = Effect.fn("runAction")(function* (options: {
  readonly target: string
  readonly action: Action
}) {
  const session = yield* connect(options.target)
  const command = actionCommand(session.target, options.action)
  const { address } = session
  const [{ status }, output] = yield* Reporter.note(
    `Running ${options.action} on ${address}: ${shownCommand(command)}`
  ).pipe(
    Effect.zipRight(session.run(command, { name: session.target.name, isResult: true })),
    options.action === "stop" ? (self) => self : hinting(options.target, options.action),
    captureOutput,
    locked(session, options.action)
  )
  if (status !== 0) return yield* new ActionFailed({ address, action: options.action, command, status, ...output })
  return ActionReport.make({ address, action: options.action, command, ...output })
}, Effect.scoped)

/** The failures of `runAction`. */
export type ActionError = Effect.Effect.Error<ReturnType<typeof runAction>>
/** The services that `runAction` needs. */
export type ActionServices = Effect.Effect.Context<ReturnType<typeof runAction>>

/** Empty: the command's output was shown as it arrived. */
export const actionView =
  (_: ActionReport): View =>
  () =>
    ""

const actionTask = (action: Action) =>
  task(action, {
    group: "operate",
    description: `Runs the ${action} command of the current release.`,
    examples: [`deployer ${action} target=prod`, `deployer ${action} target=prod wait=5m`],
    options: { target, wait },
    report: { schema: ActionReport, view: actionView },
    run: ({ target }) => runAction({ target, action })
  })

/** The commands. */
export const [startTask, stopTask, restartTask] = [actionTask("start"), actionTask("stop"), actionTask("restart")]
