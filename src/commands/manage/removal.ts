/**
 * The common part of every verb that removes releases: it shows them, with the space they free, and asks.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { releaseLabel } from "../../domain/Plan.ts"
import { Ref, ReleaseName } from "../../domain/Release.ts"
import type { View } from "../../terminal/Answer.ts"
import { bytes } from "../../terminal/format.ts"
import { Prompt } from "../../terminal/Prompt.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { Declined } from "../Declined.ts"

/** Releases to remove, or already removed. */
export class Removal extends Schema.TaggedClass<Removal>()("Removal", {
  /** `the store`, or the address of a host. */
  from: Schema.String,
  releases: Schema.Array(
    Schema.Struct({
      /** Undefined if its record is unreadable. */
      name: Schema.optional(ReleaseName),
      ref: Ref,
      /** The space that its removal frees. */
      bytes: Schema.NonNegativeInt,
      createdAt: Schema.optional(Schema.DateTimeUtc)
    })
  ),
  /** The bytes of files that the login may not remove. Undefined if there are none. */
  left: Schema.optional(Schema.NonNegativeInt)
}) {
  /** The space that the whole removal frees. */
  get bytes(): number {
    const total = this.releases.reduce((total, release) => total + release.bytes, 0)
    return Math.max(0, total - (this.left ?? 0))
  }
}

/** Asks whether to remove these releases. After "no" nothing happens. Asks nothing if there is nothing to remove. */
export const askToRemove = Effect.fnUntraced(function* (removal: Removal) {
  if (removal.releases.length === 0) return
  for (const release of removal.releases) {
    yield* Reporter.note(`To be removed from ${removal.from}: ${releaseLabel(release)}, ${bytes(release.bytes)}`)
  }
  const agreed = yield* (yield* Prompt).confirm({
    message: `Remove ${removal.releases.length === 1 ? "this release" : `these ${removal.releases.length} releases`} and free ${bytes(removal.bytes)}?`,
    initial: false,
    safe: true,
    hint: "answer with yes"
  })
  if (!agreed) return yield* new Declined({ consequence: "nothing was removed" })
})

/** The removed releases. */
export const removalView =
  (report: Removal): View =>
  () =>
    report.releases.length === 0
      ? `Nothing to remove from ${report.from}`
      : `Removed ${report.releases.map(releaseLabel).join(", ")} from ${report.from}: ${bytes(report.bytes)} freed`
