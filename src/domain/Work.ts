/**
 * The work of a command as data: the steps of its plan, and the work around them.
 */
import * as Schema from "effect/Schema"
import type { Step } from "./Plan.ts"

/** A step of a plan, or a piece of work beside it. */
export type Work =
  | Step
  /** Run the target's builder, given by its key. */
  | { readonly _tag: "Build"; readonly builder: string }
  /** Pack the builder's output into the store. */
  | { readonly _tag: "Pack" }
  /** Log in to the host. */
  | { readonly _tag: "Connect" }
  /** Take the target's lock, and wait for it if somebody else has it. */
  | { readonly _tag: "Lock" }

const names = {
  Arm: "arm",
  Build: "build",
  Check: "health",
  Connect: "connect",
  Discard: "discard",
  Lock: "lock",
  Pack: "pack",
  Prepare: "prepare",
  Prune: "prune",
  Record: "record",
  Settle: "finish",
  Stage: "upload",
  Switch: "switch",
  Verify: "verify"
} as const

/** The time that steps of one name took together. */
export const StepTime = Schema.Struct({
  step: Schema.String,
  /** In milliseconds. */
  millis: Schema.NonNegative
})
/** The time that steps of one name took together. */
export type StepTime = typeof StepTime.Type

/** One word for a piece of work: `upload`, `health`, or the name of a hook. */
export const workName = (work: Work): string => (work._tag === "Run" ? work.hook : names[work._tag])
