/**
 * The manager's verbs on the local store.
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { typed } from "../../domain/Invocation.ts"
import { wholeCommit } from "../../domain/Provenance.ts"
import { toPrune } from "../../domain/Prune.ts"
import { Release, shortRef } from "../../domain/Release.ts"
import { address } from "../../domain/Target.ts"
import { knownWords } from "../../internal/suggest.ts"
import { type ReleaseQuery, ReleaseStore } from "../../store/ReleaseStore.ts"
import type { View } from "../../terminal/Answer.ts"
import { bytes, counted, dateTime, duration } from "../../terminal/format.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { fields, table } from "../../terminal/Table.ts"
import { Workspace } from "../../workspace/Workspace.ts"
import { askToRemove, Removal } from "./removal.ts"

/** A configured target in a list. */
const TargetLine = Schema.Struct({
  key: Schema.String,
  address: Schema.String,
  name: Schema.String,
  path: Schema.String
})

/** Releases of the store, newest first, and the configured targets. */
export class StoreInfo extends Schema.TaggedClass<StoreInfo>()("StoreInfo", {
  releases: Schema.Array(Release),
  /** The number of matching releases, listed or not. */
  total: Schema.NonNegativeInt,
  targets: Schema.Array(TargetLine)
}) {}

/** One release, in full. */
export class ReleaseInfo extends Schema.TaggedClass<ReleaseInfo>()("ReleaseInfo", {
  release: Release,
  /** The number of paths in the tarball. */
  entries: Schema.NonNegativeInt
}) {}

/** No release of the store has this name. */
export class NameNotFound extends Schema.TaggedError<NameNotFound>()("NameNotFound", {
  name: Schema.String,
  /** Names of existing releases. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `No release has the name "${this.name}"${knownWords(this.name, this.known)}`
  }
}

/** How many releases the manager lists by default. */
export const usualCount = 20

/** Lists the store, by default all of it. Clears entries with a missing tarball, and reports files without an entry. */
export const info = Effect.fn("manage.info")(function* (query: ReleaseQuery = {}) {
  const store = yield* ReleaseStore
  const config = yield* (yield* Workspace).config
  const { cleared, unknown } = yield* store.check
  for (const release of cleared) {
    yield* Reporter.warn(`The tarball ${release.fileName} was gone, so its entry was cleared`)
  }
  if (unknown.length > 0) {
    yield* Reporter.warn(`Not in the store, left alone in release_store/: ${unknown.join(", ")}`)
  }
  const releases = yield* store.list(query)
  if (releases.length === 0 && query.name !== undefined) yield* nameNotFound(query.name)
  return StoreInfo.make({
    releases,
    total: yield* store.count(query),
    targets: Object.entries(config.targets).map(([key, target]) => ({
      key,
      address: address(target),
      name: target.name,
      path: target.path
    }))
  })
})

/** Shows one release: an id, a name (its latest) or a ref. */
export const infoOf = Effect.fn("manage.infoOf")(function* (selector: string) {
  const store = yield* ReleaseStore
  const release = yield* store.find(selector)
  return ReleaseInfo.make({ release, entries: (yield* store.manifest(release)).length })
})

/** Removes all releases of a name except its latest, after showing them and asking. */
export const prune = Effect.fn("manage.prune")(function* (name: string) {
  const store = yield* ReleaseStore
  const ofName = yield* store.list({ name })
  if (ofName.length === 0) return yield* nameNotFound(name)
  return yield* removeFromStore(toPrune(ofName, name))
})

const nameNotFound = (name: string) =>
  Effect.flatMap(
    Effect.flatMap(ReleaseStore, ({ names }) => names),
    (known) => new NameNotFound({ name, known })
  )

/** Removes one release, after showing it and asking. */
export const deleteOne = Effect.fn("manage.delete")(function* (selector: string) {
  const store = yield* ReleaseStore
  return yield* removeFromStore([yield* store.find(selector)])
})

const removeFromStore = Effect.fnUntraced(function* (releases: ReadonlyArray<Release>) {
  const removal = Removal.make({
    from: "the store",
    releases: releases.map(({ createdAt, name, ref, size }) => ({ name, ref, bytes: size, createdAt }))
  })
  yield* askToRemove(removal)
  yield* (yield* ReleaseStore).remove(releases)
  return removal
})

const storeRow = (release: Release) => [
  String(release.id),
  release.name,
  shortRef(release.ref),
  dateTime(release.createdAt),
  bytes(release.size),
  release.tags.join(", ")
]

/** Releases of the store and the configured targets. */
export const storeInfoView =
  ({ releases, targets, total }: StoreInfo): View =>
  (columns) => {
    const stored =
      releases.length === 0
        ? `The store is empty: ${typed("build", { target: "T" })}`
        : table({ head: ["Id", "Name", "Ref", "Built (UTC)", "Size", "Tags"], rows: releases.map(storeRow), columns })
    const more = total > releases.length ? `\n… and ${total - releases.length} more: info all` : ""
    const known =
      targets.length === 0
        ? "No targets are configured"
        : table({
            head: ["Target", "Host", "Name", "Path"],
            rows: targets.map(({ address, key, name, path }) => [key, address, name, path]),
            columns
          })
    return `${stored}${more}\n\n${known}`
  }

/** One stored release, in full. */
export const releaseInfoView =
  ({ entries, release }: ReleaseInfo): View =>
  () =>
    fields([
      ["id", String(release.id)],
      ["name", release.name],
      ["ref", release.ref],
      ["sha256", release.sha256],
      ["tarball", `${release.fileName}, ${bytes(release.size)}, ${counted(entries, "entry", "entries")}`],
      ["tags", release.tags.length === 0 ? undefined : release.tags.join(", ")],
      ["built", `${dateTime(release.createdAt)} UTC`],
      ["took", release.metadata.buildMillis === undefined ? undefined : duration(release.metadata.buildMillis)],
      ["builder", release.metadata.builder],
      ["commit", wholeCommit(release.metadata.commit, release.metadata.dirty)],
      ["image", release.metadata.image],
      ["platform", release.metadata.platform]
    ])
