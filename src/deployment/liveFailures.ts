/**
 * The failures of a release that was made live.
 */
import * as Schema from "effect/Schema"
import { commandLine, type Invocation, invocation, typed } from "../domain/Invocation.ts"
import { Hook, shownCommand } from "../domain/Target.ts"
import { shortened } from "./health.ts"

/** One of the target's commands failed on the host. */
export class HookFailed extends Schema.TaggedError<HookFailed>()("HookFailed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  hook: Hook,
  command: Schema.String,
  status: Schema.Int,
  /** The end of its output. */
  output: Schema.String,
  release: Schema.String,
  /** Whether the host goes back by itself afterwards. */
  goesBack: Schema.Boolean,
  /** Whether no release was current before. Default: no. */
  isFirst: Schema.optional(Schema.Boolean),
  /** Whether the release was on the host before, and stays. Default: no. */
  stays: Schema.optional(Schema.Boolean)
}) {
  readonly exitStatus = 1
  /** For the journal, which every login of the host's group may read: a command or its output may contain a token. */
  get journaled(): string {
    return `the ${this.hook} command "${shortened(this.command)}" ended with status ${this.status}`
  }
  override get message(): string {
    const failure = `The ${this.hook} command "${shownCommand(this.command)}" of ${this.release} ended with status ${this.status} on ${this.address}`
    if (this.hook === "afterUnpack") {
      return `${failure}: nothing was switched, and the release ${this.stays === true ? "stays there" : "was removed there again"}`
    }
    if (this.goesBack) return `${failure}${this.output === "" ? "" : `: ${this.output}`}`
    const back = this.isFirst === true ? "" : `, or go back with ${typed("rollback", { target: this.target })}`
    return `${failure}: the release stays current. Fix the command and deploy again${back}`
  }
}

/** The release failed after it became live, and the host is back in its previous state. */
export class RolledBack extends Schema.TaggedError<RolledBack>()("RolledBack", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  /** The label of the release or link that is live again. Undefined if there was nothing to go back to. */
  back: Schema.optional(Schema.String),
  /** Whether the release was current before and still is, because there was nothing to go back to. Default: no. */
  stays: Schema.optional(Schema.Boolean),
  /** Whether the target's stop command stopped the failed release. Undefined if it did not run. */
  stopped: Schema.optional(Schema.Boolean),
  /** Whether the release is marked as failed. Default: yes. */
  isMarked: Schema.optional(Schema.Boolean),
  /** The reason, as a sentence. */
  reason: Schema.String
}) {
  readonly exitStatus = 5
  get next(): readonly [Invocation] {
    return [invocation("history", { target: this.target })]
  }
  /** The state of a first release, which has nothing to go back to. */
  private get gone(): string {
    const nothing = `there was nothing to go back to, so nothing is current on ${this.address} now`
    const ssh = typed("ssh", { target: this.target })
    switch (this.stopped) {
      case true:
        return `${nothing}, and it was stopped`
      case false:
        return `${nothing}. Its stop command failed, so its processes may still run: end them there with ${ssh}`
      case undefined:
        return `${nothing}. Its processes may still run: end them there with ${ssh}, and set stop in the config, so that deployer does it`
    }
  }
  override get message(): string {
    const now =
      this.back !== undefined
        ? `it went back to ${this.back}, which is live again`
        : this.stays === true
          ? `there is nothing to go back to, so it is still current on ${this.address}`
          : this.gone
    const marked =
      this.isMarked === false ? "" : `${this.release} is marked as failed, and its files stay on the host. See `
    return `${this.reason}; ${now}. ${marked}${commandLine(this.next[0])}`
  }
}

/** The release failed after it became live, and so did going back. */
export class RollbackFailed extends Schema.TaggedError<RollbackFailed>()("RollbackFailed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  /** The label of the release or link that should be live again. */
  back: Schema.optional(Schema.String),
  /** The reason of the release's failure. */
  reason: Schema.String,
  /** The reason why going back failed. */
  failure: Schema.String
}) {
  readonly exitStatus = 6
  get next(): readonly [Invocation] {
    return [invocation("status", { target: this.target })]
  }
  override get message(): string {
    const aim = this.back === undefined ? "removing the link" : `going back to ${this.back}`
    return `${this.reason}; ${aim} failed as well: ${this.failure}. See what is live on ${this.address} now: ${commandLine(this.next[0])}`
  }
}

/** The host did not receive the confirmation in time, or it is unknown whether it did. */
export class NotConfirmed extends Schema.TaggedError<NotConfirmed>()("NotConfirmed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  release: Schema.String,
  reason: Schema.String
}) {
  readonly exitStatus = 1
  get next(): readonly [Invocation] {
    return [invocation("status", { target: this.target })]
  }
  override get message(): string {
    return `${this.release} could not be confirmed on ${this.address} over a new connection (${this.reason}), and the host does not answer. If it was not confirmed, the host has gone back by itself: see ${commandLine(this.next[0])}`
  }
}
