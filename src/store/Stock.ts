import type * as Context from "effect/Context"
import type { Entries } from "./Entries.ts"
import type { Tarballs } from "./Tarballs.ts"

/** The two halves of the store, which hold an entry and a tarball for each release. A killed process or a hand can make them disagree. */
export interface Stock {
  readonly entries: Entries
  readonly tarballs: Context.Tag.Service<Tarballs>
}
