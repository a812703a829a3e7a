/** The steps that look at the releases on a host. */
import * as Effect from "effect/Effect"
import { manifestLines, originOf, withoutAltered } from "../protocol/manifestText.ts"
import { steps } from "../protocol/steps.ts"
import type { HostSession } from "../RemoteHost.ts"
import { manifestSum } from "../shipment.ts"
import { type Asking, inLots } from "./Asking.ts"
import { wholeState } from "./journal.ts"

/** Looks at the releases. */
export const makeReading = (asking: Asking): Pick<HostSession, "inspect" | "origin" | "verify" | "usage"> => {
  const { ask } = asking
  return {
    inspect: ask(steps.inspect, { doing: "inspect the releases", args: {} }).pipe(
      Effect.flatMap((seen) => wholeState(asking, seen)),
      Effect.withSpan("RemoteHost.inspect")
    ),
    origin: Effect.fn("RemoteHost.origin")((ref) =>
      Effect.map(ask(steps.manifest, { doing: "read a manifest", args: { ref } }), ({ altered, lines }) => {
        const origin = originOf(ref, lines)
        return origin === undefined ? undefined : withoutAltered(origin, altered)
      })
    ),
    verify: Effect.fn("RemoteHost.verify")((refs, depth = "files", against) => {
      const wanted = against === undefined ? "" : manifestSum(manifestLines(against) ?? [])
      return Effect.map(
        inLots(refs, (lot) => ask(steps.verify, { doing: "check the releases", args: { depth, wanted }, refs: lot })),
        (verdicts) => verdicts.flat()
      )
    }),
    usage: Effect.fn("RemoteHost.usage")((refs) =>
      Effect.map(
        inLots(refs, (lot) => ask(steps.usage, { doing: "measure the releases", args: {}, refs: lot })),
        (usages) => new Map(usages.flatMap((usage) => [...usage]))
      )
    )
  }
}
