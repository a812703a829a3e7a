/** `exec`: one command in the current release of a target. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { quote } from "../host/transport/Transport.ts"
import { captureOutput, outputFields } from "./captureOutput.ts"
import { connect } from "./connect.ts"
import { fleetTask, membersSchema } from "./fleet.ts"
import { rest } from "./Task.ts"

/** The result of a command in the current release. */
export class ExecReport extends Schema.TaggedClass<ExecReport>()("ExecReport", {
  address: Schema.String,
  command: Schema.String,
  /** Its exit status. */
  status: Schema.Int,
  ...outputFields
}) {}

/** The results of a command on many targets. */
export class ExecFleet extends Schema.TaggedClass<ExecFleet>()("ExecFleet", {
  /** The chosen targets, in their order, with the report or the failure of each, or both. */
  members: membersSchema(ExecReport)
}) {}

/** A command ended with an exit status other than 0. It is passed on without a message. */
export class ExecFailed extends Schema.TaggedError<ExecFailed>()("ExecFailed", {
  address: Schema.String,
  command: Schema.String,
  status: Schema.Int
}) {
  /** The user has already seen all output. */
  readonly isSilent = true
  get exitStatus(): number {
    return this.status
  }
  override get message(): string {
    return `"${this.command}" ended with status ${this.status} on ${this.address}`
  }
}

/** Which command to run, and on which target. */
export interface ExecOptions {
  /** A key of `targets`. */
  readonly target: string
  /** One word is a text for `sh`, like a hook. Several words are a program and its arguments. */
  readonly command: ReadonlyArray<string>
}

/**
 * Runs a command in the folder of the current release, with the environment of a hook and without input. Its output is passed on. It takes
 * no lock, so it also runs during a deployment.
 */
export const exec = Effect.fn("exec")(function* ({ command: words, target }: ExecOptions) {
  const session = yield* connect(target)
  const command = words.length === 1 ? words.join("") : words.map(quote).join(" ")
  const [{ status }, output] = yield* session
    .run(command, { name: session.target.name, isResult: true })
    .pipe(captureOutput)
  return ExecReport.make({ address: session.address, command, status, ...output })
}, Effect.scoped)

/** The failures of `exec`. */
export type ExecError = Effect.Effect.Error<ReturnType<typeof exec>>
/** The services that `exec` needs. */
export type ExecServices = Effect.Effect.Context<ReturnType<typeof exec>>

/** The command. */
export const execTask = fleetTask("exec", {
  group: "operate",
  description: "Runs a command in the current release's folder on the host. Passes on its output and exit status.",
  examples: ["deployer exec target=prod -- bin/my_app version", "deployer exec group=web -- 'date && df -h .'"],
  options: {
    command: rest(
      {
        name: "command",
        description: "after --: a program and its arguments, or a script for the shell as one quoted word"
      },
      "This needs a command, as in: deployer exec target=prod -- bin/my_app version"
    )
  },
  // The command's output was shown as it arrived, with many targets after the key of each.
  report: { schema: ExecReport, view: () => () => "" },
  fleet: {
    schema: ExecFleet,
    view: () => () => "",
    gather: (members) => ExecFleet.make({ members })
  },
  run: (target, { command }) => exec({ target, command }),
  check: ({ address, command, status }) => (status === 0 ? Effect.void : new ExecFailed({ address, command, status }))
})
