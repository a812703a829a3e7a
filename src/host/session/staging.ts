/** The steps that bring a release to a host, and those that remove it. */
import * as Effect from "effect/Effect"
import { manifestLines } from "../protocol/manifestText.ts"
import * as Reply from "../protocol/reply.ts"
import { steps } from "../protocol/steps.ts"
import { type HostSession, ReleaseCorrupt } from "../RemoteHost.ts"
import { pack } from "../shipment.ts"
import { type Asking, inLots } from "./Asking.ts"

/** Uploads, records and removes releases. */
export const makeStaging = ({
  address,
  ask,
  change,
  held,
  recordLine,
  stepFailed,
  target,
  unfitIf
}: Asking): Pick<HostSession, "prepare" | "stage" | "alterations" | "record" | "remove" | "discard"> => ({
  prepare: ask(steps.prepare, { doing: `make ${target.path}`, args: {} }).pipe(
    Effect.flatMap(unfitIf),
    Effect.withSpan("RemoteHost.prepare")
  ),
  stage: Effect.fn("RemoteHost.stage")(function* ({ entries, from, manifest, note, ref, replaces = false, shipment }) {
    const doing = "send the release"
    const lines = manifestLines(manifest)
    if (lines === undefined) {
      return yield* stepFailed(doing, "a path in it has a line break, or is a second name of nothing")
    }
    const { from: kept, origin, sha256, size, stdin, stream } = yield* pack({ manifest, lines, from }, shipment)
    const damaged = yield* change(steps.stage, {
      doing,
      args: {
        ref,
        keep: String(kept),
        size: String(size ?? ""),
        stream,
        note: Reply.clean(note),
        wanted: sha256,
        origin: origin?.ref ?? "",
        hard: origin?.hardLinks === true ? "hard" : "",
        edits: origin?.edits ?? "",
        packing: origin?.packing ?? "",
        replaces: replaces ? "replaces" : ""
      },
      stdin,
      wait: "transfer",
      entries
    })
    if (damaged.length > 0) return yield* new ReleaseCorrupt({ address, ref, what: damaged })
  }),
  alterations: Effect.fn("RemoteHost.alterations")((ref) =>
    change(steps.alterations, { doing: "find the changes of the commands", args: { ref }, wait: "transfer" })
  ),
  record: Effect.fn("RemoteHost.record")(function* (release) {
    const doing = "record the release"
    yield* change(steps.record, { doing, args: { ref: release.ref, record: yield* recordLine(doing, release) } })
  }),
  remove: Effect.fn("RemoteHost.remove")(function* (refs, entries = [], { unlocks } = {}) {
    const before = held.stuck.length
    yield* inLots(refs, (lot, isLast) =>
      change(steps.remove, {
        doing: "remove releases",
        args: {},
        refs: lot,
        entries: entries.filter(
          ({ release }) => release === undefined || lot.includes(release.ref) || (isLast && !refs.includes(release.ref))
        ),
        unlocks: unlocks === true && isLast
      })
    )
    return held.stuck.slice(before).reduce((total, { bytes }) => total + bytes, 0)
  }),
  discard: Effect.fn("RemoteHost.discard")(({ ref, kind }) =>
    change(steps.discard, {
      doing: "remove an unfinished deployment",
      args: { ref, kind }
    })
  )
})
