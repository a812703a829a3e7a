/**
 * `start`, `stop`, `restart` and `ssh`: what is run on a host without changing what is deployed there.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Action, actionCommand } from "../domain/Target.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { connect } from "./connect.ts"
import { locked } from "./locking.ts"

const said = {
  /** What the command wrote, of each at most the last 64 KiB. */
  stdout: Schema.String,
  stderr: Schema.String
}

/** A command of the release ended with an error; the exit status is passed on. */
export class ActionFailed extends Schema.TaggedError<ActionFailed>()("ActionFailed", {
  address: Schema.String,
  action: Schema.Literal("start", "stop", "restart"),
  command: Schema.String,
  status: Schema.Int,
  ...said
}) {
  get exitStatus(): number {
    return this.status
  }
  override get message(): string {
    return `"${this.command}" (${this.action}) ended with status ${this.status} on ${this.address}; if it said why, that is above`
  }
}

/** The shell on the host ended with an exit status other than 0, which is passed on without a word, as `ssh` does. */
export class ShellExited extends Schema.TaggedError<ShellExited>()("ShellExited", { status: Schema.Int }) {
  get exitStatus(): number {
    return this.status
  }
  /** The user has seen all of it. */
  readonly isSilent = true
  override get message(): string {
    return `The shell ended with status ${this.status}`
  }
}

/** An action of the current release was done. */
export class ActionReport extends Schema.TaggedClass<ActionReport>()("ActionReport", {
  address: Schema.String,
  action: Schema.Literal("start", "stop", "restart"),
  command: Schema.String,
  ...said
}) {}

/** Bytes of each output that a report holds. */
const longest = 64 * 1024

/** Keeps the ends of what is passed on to the reporter meanwhile. */
const hearing = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const reporter = yield* Reporter.Reporter
    const heard = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
    const emit = (event: Reporter.Event) => {
      if (event._tag === "Output") {
        const from = event.isResult ? "stdout" : "stderr"
        heard[from] = Buffer.concat([heard[from], event.chunk]).subarray(-longest)
      }
      return reporter.emit(event)
    }
    const value = yield* Effect.provideService(self, Reporter.Reporter, { emit })
    return [value, { stdout: heard.stdout.toString(), stderr: heard.stderr.toString() }] as const
  })

/** Runs the target's own command for an action in the current release's folder; its output is the result. */
export const runAction = Effect.fn("runAction")(function* (options: {
  readonly target: string
  readonly action: Action
}) {
  const session = yield* connect(options.target)
  const command = actionCommand(session.target, options.action)
  const { address } = session
  yield* Reporter.note(`Running ${options.action} on ${address}: ${command}`)
  const [{ status }, output] = yield* session
    .run(command, { name: session.target.name, isResult: true })
    .pipe(hearing, locked(session, options.action))
  if (status !== 0) return yield* new ActionFailed({ address, action: options.action, command, status, ...output })
  return ActionReport.make({ address, action: options.action, command, ...output })
}, Effect.scoped)

/** Gives the terminal to a shell on the host, in the target's path. */
export const ssh = Effect.fn("ssh")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  if (yield* (yield* Prompt).canAsk)
    yield* Reporter.note(`A shell in ${session.target.path} on ${session.address}; leave it with exit or Ctrl-D`)
  const status = yield* session.shell
  if (status !== 0) return yield* new ShellExited({ status })
}, Effect.scoped)
