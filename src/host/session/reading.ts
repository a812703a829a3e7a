/** The steps that read what is on a host, and the journal. */
import * as Effect from "effect/Effect"
import { manifestLines, originOf, withoutAltered } from "../protocol/manifestText.ts"
import { steps } from "../protocol/steps.ts"
import type { HostSession } from "../RemoteHost.ts"
import { manifestSum } from "../shipment.ts"
import { type Asking, inLots } from "./Asking.ts"

/** Reads the journal and the releases, and writes the journal. */
export const makeReading = ({
  ask,
  change
}: Asking): Pick<HostSession, "history" | "origin" | "verify" | "usage" | "note"> => ({
  history: Effect.fn("RemoteHost.history")((last) =>
    ask(steps.history, { doing: "read the journal", args: { count: String(last) } })
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
  ),
  note: Effect.fn("RemoteHost.note")((entries, { unlocks } = {}) =>
    inLots(entries, (lot, isLast) =>
      change(steps.note, {
        doing: "write the journal",
        args: {},
        entries: lot,
        unlocks: unlocks === true && isLast
      })
    ).pipe(Effect.asVoid)
  )
})
