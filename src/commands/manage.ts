/**
 * `manage`: looks after accumulated releases, in the store or on a host.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { HostSession } from "../host/RemoteHost.ts"
import { connect } from "./connect.ts"
import * as adoption from "./manage/adopt.ts"
import * as host from "./manage/host.ts"
import * as pins from "./manage/pin.ts"
import type { repl } from "./manage/repl.ts"
import type * as store from "./manage/store.ts"
import type { exportRelease, importRelease } from "./manage/transfer.ts"

export { repl as manage } from "./manage/repl.ts"
export {
  deleteOne as deleteFromStore,
  info as storeInfo,
  infoOf as releaseInfo,
  prune as pruneStore,
  usualCount
} from "./manage/store.ts"
export { exportRelease, importRelease } from "./manage/transfer.ts"

/** The failures of `manage`. */
export type ManageError = Effect.Effect.Error<ReturnType<typeof repl>>
/** The services that `manage` needs. */
export type ManageServices = Effect.Effect.Context<ReturnType<typeof repl>>

/** The failures of `storeInfo`. */
export type StoreInfoError = Effect.Effect.Error<ReturnType<typeof store.info>>
/** The services that `storeInfo` needs. */
export type StoreInfoServices = Effect.Effect.Context<ReturnType<typeof store.info>>

/** The failures of `releaseInfo`. */
export type ReleaseInfoError = Effect.Effect.Error<ReturnType<typeof store.infoOf>>
/** The services that `releaseInfo` needs. */
export type ReleaseInfoServices = Effect.Effect.Context<ReturnType<typeof store.infoOf>>

/** The failures of `pruneStore`. */
export type PruneStoreError = Effect.Effect.Error<ReturnType<typeof store.prune>>
/** The services that `pruneStore` needs. */
export type PruneStoreServices = Effect.Effect.Context<ReturnType<typeof store.prune>>

/** The failures of `deleteFromStore`. */
export type DeleteFromStoreError = Effect.Effect.Error<ReturnType<typeof store.deleteOne>>
/** The services that `deleteFromStore` needs. */
export type DeleteFromStoreServices = Effect.Effect.Context<ReturnType<typeof store.deleteOne>>

/** The failures of `exportRelease`. */
export type ExportReleaseError = Effect.Effect.Error<ReturnType<typeof exportRelease>>
/** The services that `exportRelease` needs. */
export type ExportReleaseServices = Effect.Effect.Context<ReturnType<typeof exportRelease>>

/** The failures of `importRelease`. */
export type ImportReleaseError = Effect.Effect.Error<ReturnType<typeof importRelease>>
/** The services that `importRelease` needs. */
export type ImportReleaseServices = Effect.Effect.Context<ReturnType<typeof importRelease>>

/** Connects to a target for one verb. */
const on =
  <A, E, R, Rest extends ReadonlyArray<unknown>>(
    name: string,
    verb: (session: HostSession, ...rest: Rest) => Effect.Effect<A, E, R>
  ) =>
  (target: string, ...rest: Rest) =>
    Effect.gen(function* () {
      return yield* verb(yield* connect(target), ...rest)
    }).pipe(Effect.scoped, Effect.withSpan(name))

/** Lists the releases on a target's host. */
export const hostInfo = on("hostInfo", host.info)

/** The failures of `hostInfo`. */
export type HostInfoError = Effect.Effect.Error<ReturnType<typeof hostInfo>>
/** The services that `hostInfo` needs. */
export type HostInfoServices = Effect.Effect.Context<ReturnType<typeof hostInfo>>

/** Shows one release on a target's host, named by its ref or the beginning of it. */
export const hostReleaseInfo = on("hostReleaseInfo", host.infoOf)

/** The failures of `hostReleaseInfo`. */
export type HostReleaseInfoError = Effect.Effect.Error<ReturnType<typeof hostReleaseInfo>>
/** The services that `hostReleaseInfo` needs. */
export type HostReleaseInfoServices = Effect.Effect.Context<ReturnType<typeof hostReleaseInfo>>

/** Removes the releases of a name from a target's host, except the latest and the current one. */
export const pruneHost = on("pruneHost", host.prune)

/** The failures of `pruneHost`. */
export type PruneHostError = Effect.Effect.Error<ReturnType<typeof pruneHost>>
/** The services that `pruneHost` needs. */
export type PruneHostServices = Effect.Effect.Context<ReturnType<typeof pruneHost>>

/** Removes one release from a target's host. Refuses to remove the current one. */
export const deleteFromHost = on("deleteFromHost", host.deleteOne)

/** The failures of `deleteFromHost`. */
export type DeleteFromHostError = Effect.Effect.Error<ReturnType<typeof deleteFromHost>>
/** The services that `deleteFromHost` needs. */
export type DeleteFromHostServices = Effect.Effect.Context<ReturnType<typeof deleteFromHost>>

/** Makes another release current. */
export const link = on("link", host.link)

/** The failures of `link`. */
export type LinkError = Effect.Effect.Error<ReturnType<typeof link>>
/** The services that `link` needs. */
export type LinkServices = Effect.Effect.Context<ReturnType<typeof link>>

/** Protects a release on a target's host from pruning. */
export const pin = on("pin", pins.pin)

/** The failures of `pin`. */
export type PinError = Effect.Effect.Error<ReturnType<typeof pin>>
/** The services that `pin` needs. */
export type PinServices = Effect.Effect.Context<ReturnType<typeof pin>>

/** Lets a release on a target's host be pruned again. */
export const unpin = on("unpin", pins.unpin)

/** The failures of `unpin`. */
export type UnpinError = Effect.Effect.Error<ReturnType<typeof unpin>>
/** The services that `unpin` needs. */
export type UnpinServices = Effect.Effect.Context<ReturnType<typeof unpin>>

/** Makes a release of the directory in place of `current` on a target's host. */
export const adopt = on("adopt", adoption.adopt)

/** The failures of `adopt`. */
export type AdoptError = Effect.Effect.Error<ReturnType<typeof adopt>>
/** The services that `adopt` needs. */
export type AdoptServices = Effect.Effect.Context<ReturnType<typeof adopt>>

/** Compares everything on a target's host with its manifests. With `fix`, removes broken releases. */
export const integrity = on("integrity", host.integrity)

/** The failures of `integrity`. */
export type IntegrityError = Effect.Effect.Error<ReturnType<typeof integrity>>
/** The services that `integrity` needs. */
export type IntegrityServices = Effect.Effect.Context<ReturnType<typeof integrity>>

/** A verb needs a word that is missing. */
export class WordMissing extends Schema.TaggedError<WordMissing>()("WordMissing", {
  /** The missing word, with an example. */
  what: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `This needs ${this.what}`
  }
}
