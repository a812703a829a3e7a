/**
 * The events of running commands, as data.
 */
import { type Work, workName } from "../domain/Work.ts"
import { duration } from "./format.ts"

/** The place of an event in a command's work. */
export interface Place {
  /** The target's key. */
  readonly target?: string
  readonly release?: { readonly name: string; readonly ref: string }
  /** The step during which it happened. */
  readonly step?: Work
  /** Whether the target is one of many that are worked on together. Default: no. */
  readonly isMember?: boolean
}

type Happening =
  /** A step has begun. `number` counts the steps of a plan from 1 on, and `of` is their number; undefined for work beside a plan. */
  | { readonly _tag: "StepStarted"; readonly step: Work; readonly number?: number; readonly of?: number }
  /** A step has ended; `ok` if it succeeded. */
  | { readonly _tag: "StepEnded"; readonly step: Work; readonly ok: boolean; readonly millis: number }
  /** A sentence: something was done or has begun. */
  | { readonly _tag: "Note"; readonly message: string }
  /** A sentence about a problem that does not stop the command. */
  | { readonly _tag: "Warning"; readonly message: string }
  /** A sentence for those who look for the reason of something: a remote step with its time, a choice and its reason. */
  | { readonly _tag: "Detail"; readonly message: string }
  /**
   * Output of a program, as it arrives. `isResult`: it is the result that the user requested. `isWhole`: the chunk consists of whole lines.
   * Default: no.
   */
  | { readonly _tag: "Output"; readonly chunk: Uint8Array; readonly isResult: boolean; readonly isWhole?: boolean }
  /**
   * Bytes of a transfer so far: `start` were there before it, `total` is undefined if unknown. Events with the same `label` belong to the same
   * transfer.
   */
  | {
      readonly _tag: "Progress"
      readonly label: string
      readonly done: number
      readonly start?: number
      readonly total?: number
    }
  /** The transfer has ended; `ok` if it succeeded. */
  | { readonly _tag: "ProgressEnd"; readonly label: string; readonly ok: boolean }
  /** A question is open, and the command waits for its answer. */
  | { readonly _tag: "Asked"; readonly question: string }
  /** The question was answered or given up. */
  | { readonly _tag: "Answered" }
  /** The command's report in words, as written to standard output. */
  | { readonly _tag: "Reported"; readonly text: string }

/** An event while a command runs, with its place if it has one. */
export type Event = Place & Happening

/** The words of an event. Undefined for those that only move a progress bar. */
export const eventText = (event: Exclude<Event, { readonly _tag: "Output" }>): string | undefined => {
  switch (event._tag) {
    case "StepStarted":
      return `${workName(event.step)} begins${event.number === undefined ? "" : ` (${event.number} of ${event.of})`}`
    case "StepEnded":
      return `${workName(event.step)} ${event.ok ? "ends" : "fails"} after ${duration(event.millis)}`
    case "Note":
    case "Detail":
      return event.message
    case "Warning":
      return `warning: ${event.message}`
    case "ProgressEnd":
      return `${event.label} ${event.ok ? "ends" : "stops"}`
    case "Asked":
      return `asks: ${event.question}`
    case "Answered":
      return "the question is answered"
    case "Reported":
      return event.text
    case "Progress":
      return undefined
  }
}
