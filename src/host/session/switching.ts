/** The steps that make a release the current one, and the dead-man's switch. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { steps } from "../protocol/steps.ts"
import type { HostSession } from "../RemoteHost.ts"
import { type Asking, journalLines } from "./Asking.ts"

/** Switches to a release, by hand or by itself, and adopts a directory as a release. */
export const makeSwitching = ({
  ask,
  change,
  recordLine,
  unfit,
  unfitIf
}: Asking): Pick<
  HostSession,
  "activate" | "deactivate" | "arm" | "confirm" | "survey" | "adopt" | "finishAdoption"
> => ({
  activate: Effect.fn("RemoteHost.activate")(function* (ref, { armed = "", entries, record, unlocks } = {}) {
    const doing = `switch to ${ref}`
    const line = record === undefined ? "" : yield* recordLine(doing, record)
    const args = { ref, kept: armed, record: line }
    yield* Effect.flatMap(change(steps.activate, { doing, args, entries, ...(unlocks ? { unlocks } : {}) }), unfitIf)
  }),
  deactivate: Effect.fn("RemoteHost.deactivate")(({ entries, restore = "" } = {}) =>
    Effect.flatMap(change(steps.deactivate, { doing: "remove the link", args: { restore }, entries }), unfitIf)
  ),
  arm: Effect.fn("RemoteHost.arm")(({ back, command = "", entries, ref, restore = "", seconds }) =>
    change(steps.arm, {
      doing: "arm the dead-man's switch",
      args: {
        ref,
        back: back?.ref ?? "",
        seconds: String(Math.ceil(seconds)),
        name: back?.name ?? "",
        restore
      },
      stdin: Stream.make(new TextEncoder().encode(command)),
      entries
    })
  ),
  confirm: Effect.fn("RemoteHost.confirm")((armed, ref, entries) =>
    ask(steps.confirm, {
      doing: "confirm the release",
      args: { id: armed, entries: journalLines(entries), expect: ref }
    })
  ),
  survey: Effect.fn("RemoteHost.survey")((name) =>
    Effect.flatMap(
      change(steps.survey, { doing: "inspect the directory in the place of current", args: { name } }),
      Either.match({ onLeft: unfit, onRight: Effect.succeed })
    )
  ),
  adopt: Effect.fn("RemoteHost.adopt")(function* ({ nested, ref }, release, entries) {
    const doing = "adopt the directory in the place of current"
    const args = {
      ref,
      layout: nested ? "nested" : "whole",
      name: release.name,
      record: yield* recordLine(doing, release)
    }
    yield* change(steps.adopt, { doing, args, entries })
  }),
  finishAdoption: Effect.fn("RemoteHost.finishAdoption")((ref) =>
    change(steps.adopt, { doing: "finish an adoption", args: { ref, layout: "", name: "", record: "" } })
  )
})
