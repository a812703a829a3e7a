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

export { repl as manage } from "./manage/repl.ts"
export {
  deleteOne as deleteFromStore,
  info as storeInfo,
  infoOf as releaseInfo,
  prune as pruneStore,
  usualCount
} from "./manage/store.ts"
export { exportRelease, importRelease } from "./manage/transfer.ts"

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

/** Shows one release on a target's host, named by its ref or the beginning of it. */
export const hostReleaseInfo = on("hostReleaseInfo", host.infoOf)

/** Removes the releases of a name from a target's host, except the latest and the current one. */
export const pruneHost = on("pruneHost", host.prune)

/** Removes one release from a target's host. Refuses to remove the current one. */
export const deleteFromHost = on("deleteFromHost", host.deleteOne)

/** Makes another release current. */
export const link = on("link", host.link)

/** Protects a release on a target's host from pruning. */
export const pin = on("pin", pins.pin)

/** Lets a release on a target's host be pruned again. */
export const unpin = on("unpin", pins.unpin)

/** Makes a release of the directory in place of `current` on a target's host. */
export const adopt = on("adopt", adoption.adopt)

/** Compares everything on a target's host with its manifests. With `fix`, removes broken releases. */
export const integrity = on("integrity", host.integrity)

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
