/**
 * Puts a release's files on the host: all of it, or the differences from releases on the host.
 */
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Differences } from "../domain/Differences.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { type DeployPlan, differencesOf, releaseLabel, type Step, type Wanted } from "../domain/Plan.ts"
import type { Release } from "../domain/Release.ts"
import { Operator } from "../host/Operator.ts"
import { type Base, patching, signatures } from "../host/patches.ts"
import type { HostSession, ReleaseCorrupt, Shipment, StepFailure } from "../host/RemoteHost.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { entriesSize } from "../store/Selection.ts"
import { bytes, counted, dateTime } from "../terminal/format.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { entry } from "./journal.ts"

/** The input of the steps besides the plan. */
export type Wish = Pick<Wanted, "manifest" | "origins">

/** The old files of a patch are no longer in the store. */
class BasesMissing extends Data.TaggedError("BasesMissing") {}

/** The old files of the patches, by their paths. */
const basesOf = (store: Context.Tag.Service<ReleaseStore>, { origin: { ref, stored }, patches }: Differences) =>
  Effect.gen(function* () {
    if (stored === undefined) return yield* new BasesMissing()
    const wanted = store.entries(stored.release, new Set(patches.values()))
    const found = yield* Effect.mapError(signatures(wanted), () => new BasesMissing())
    return new Map<string, Base>(
      [...patches].flatMap(([path, before]) => {
        const signature = found.get(before)
        return signature === undefined ? [] : [[path, { from: `deployer_${ref}/${before}`, signature }] as const]
      })
    )
  })

/** The part of an upload that does not depend on its form. */
const staging = Effect.fnUntraced(function* (release: Release, manifest: Manifest) {
  return {
    ref: release.ref,
    manifest,
    note: `begun by ${(yield* Operator).name} at ${dateTime(yield* DateTime.now)} UTC`,
    entries: [yield* entry("staged", release)]
  }
})

/** Sends the whole tarball. If it arrives damaged, the store's own copy is hashed first: the message must accuse the right machine. */
const sendWhole = (
  session: HostSession,
  release: Release,
  options: Omit<Parameters<HostSession["stage"]>[0], "shipment">
) =>
  Effect.flatMap(ReleaseStore, (store) => {
    const label = `uploading ${releaseLabel(release)} to ${session.target.key}`
    return session
      .stage({
        ...options,
        shipment: {
          _tag: "Whole",
          size: release.size,
          content: (offset) =>
            store.content(release, offset).pipe(Reporter.transfer(label, { start: offset, total: release.size }))
        }
      })
      .pipe(Effect.catchTag("ReleaseCorrupt", (corrupt) => Effect.zipRight(store.prove(release), corrupt)))
  })

/** Sends what the host does not have, unpacks it there and verifies every file of it. */
export const stage = Effect.fn("stage")(function* (
  session: HostSession,
  { release, state }: Pick<DeployPlan, "release" | "state">,
  { manifest, origins }: Wish,
  step: Extract<Step, { readonly _tag: "Stage" }>
) {
  const shared = yield* staging(release, manifest)
  const send = <E>(from: number, shipment: Shipment<E>) => session.stage({ ...shared, from, shipment })
  const whole = (from: number) => sendWhole(session, release, { ...shared, from })
  if (step.from > 0) {
    // The stream of differences has more in it than the files that travel.
    const of = step.stream === "whole" ? ` of ${bytes(step.size)}` : ""
    yield* Reporter.note(`Resuming the upload after ${bytes(step.from)}${of}`)
  }
  const less = differencesOf(state, { manifest, origins })
  const rest =
    less === undefined
      ? yield* Effect.as(whole(step.from), "")
      : yield* Effect.catchTag(
          sendDifferences(session, { release, manifest, zstd: state.takesZstd }, less, step, send),
          "ReleaseCorrupt",
          ({ what }) =>
            Effect.zipRight(
              Reporter.warn(
                what.includes("tarball")
                  ? `The upload to ${session.address} could not be unpacked there: sending the whole release`
                  : `Some files of the releases on ${session.address} are not as deployed (${what.slice(0, 3).join(", ")}): sending the whole release`
              ),
              Effect.as(whole(0), "")
            )
        )
  yield* Reporter.note(`Unpacked and verified ${counted(manifest.length, "entry", "entries")}${rest}`)
})

/**
 * Verifies a folder on the host against the store. If it fails, the whole release replaces the folder, and the result is true. With
 * `trustsUnreadable`, files that this login may not read count as whole.
 */
export const verify = Effect.fn("verify")(function* (
  session: HostSession,
  { release }: Pick<DeployPlan, "release">,
  { manifest }: Wish,
  { trustsUnreadable }: Pick<Extract<Step, { readonly _tag: "Verify" }>, "trustsUnreadable">
) {
  const verdicts = yield* session.verify([release.ref], "files", manifest)
  // The record may be missing.
  const faults = verdicts
    .flatMap(({ faults, unreadable }) => [
      ...faults,
      ...(trustsUnreadable ? [] : (unreadable ?? []).map((path) => `unreadable ${path}`))
    ])
    .filter((fault) => !fault.endsWith(" .deployer_release.json"))
  if (faults.length === 0) {
    yield* Reporter.note(`Verified ${counted(manifest.length, "entry", "entries")} that were already there`)
    return false
  }
  yield* Reporter.warn(
    `${releaseLabel(release)} on ${session.address} has changed since it was unpacked (${faults.slice(0, 3).join(", ")}): sending it again`
  )
  yield* sendWhole(session, release, { ...(yield* staging(release, manifest)), from: 0, replaces: true })
  yield* Reporter.note(`Unpacked and verified ${counted(manifest.length, "entry", "entries")}`)
  return true
})

/** Sends the differences, and returns the details for the report. */
const sendDifferences = Effect.fnUntraced(function* (
  session: HostSession,
  { manifest, release, zstd }: Pick<Wanted, "manifest" | "release"> & { readonly zstd: boolean },
  less: Differences,
  step: Extract<Step, { readonly _tag: "Stage" }>,
  send: <E>(from: number, shipment: Shipment<E>) => Effect.Effect<void, E | StepFailure | ReleaseCorrupt>
) {
  const store = yield* ReleaseStore
  const total = entriesSize(manifest, less.sent)
  const label = `uploading the changes of ${releaseLabel(release)} to ${session.target.key}`
  const entriesAfter = (from: number) =>
    store
      .entries(release, less.sent)
      .pipe(Reporter.transfer(label, { start: Math.min(from, total), total, isWhole: true }))
  let went = 0
  // The host already starts its part while the old files are read.
  const patched = Stream.unwrap(
    Effect.map(basesOf(store, less), (bases) => patching(bases)(entriesAfter(step.from)))
  ).pipe(
    Stream.tap(({ length }) =>
      Effect.sync(() => {
        went += length
      })
    )
  )
  const how = { hardLinks: step.hardLinks, zstd }
  const plain = (from: number, differences: Differences) =>
    Effect.as(send(from, { _tag: "Differences", differences, ...how, content: entriesAfter(from) }), false)
  const isPatched =
    less.patches.size === 0
      ? yield* plain(step.from, less)
      : yield* send(step.from, { _tag: "Differences", differences: less, ...how, content: patched }).pipe(
          Effect.as(true),
          Effect.catchTag("BasesMissing", () => plain(0, { ...less, patches: new Map<string, string>() }))
        )
  const taken = `, ${counted(step.taken, "file")} from releases on the host`
  return isPatched ? `${taken}; ${bytes(went)} of the ${bytes(total)} that changed were new` : taken
})
