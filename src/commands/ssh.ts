/** `ssh`: a shell on a target's host. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { connect } from "./connect.ts"
import { talk, target } from "./Task.ts"

/** The shell on the host ended with an exit status other than 0. It is passed on without a message, as `ssh` does. */
export class ShellExited extends Schema.TaggedError<ShellExited>()("ShellExited", { status: Schema.Int }) {
  get exitStatus(): number {
    return this.status
  }
  /** The user has already seen all output. */
  readonly isSilent = true
  override get message(): string {
    return `The shell ended with status ${this.status}`
  }
}

/** Gives the terminal to a shell on the host, in the target's path. */
export const ssh = Effect.fn("ssh")(function* (options: { readonly target: string }) {
  const session = yield* connect(options.target)
  if (yield* (yield* Prompt).canAsk)
    yield* Reporter.note(`A shell in ${session.target.path} on ${session.address}; leave it with exit or Ctrl-D`)
  const status = yield* session.shell
  if (status !== 0) return yield* new ShellExited({ status })
}, Effect.scoped)

/** The failures of `ssh`. */
export type SshError = Effect.Effect.Error<ReturnType<typeof ssh>>
/** The services that `ssh` needs. */
export type SshServices = Effect.Effect.Context<ReturnType<typeof ssh>>

/** The command. */
export const sshTask = talk("ssh", {
  group: "operate",
  description: "Opens a shell on the target's host, in the target's path. For one command, see exec.",
  examples: ["deployer ssh target=prod", "deployer ssh --target prod"],
  options: { target },
  instead: "run start, stop, restart or exec instead, or omit json",
  run: ssh
})
