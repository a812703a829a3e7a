/**
 * The host's own log: one line of JSON for each thing that was done to it.
 */
import * as Schema from "effect/Schema"
import { Ref, ReleaseName } from "./Release.ts"

/** One line of `<path>/config/log`. */
export class HostLogEntry extends Schema.Class<HostLogEntry>("HostLogEntry")({
  at: Schema.DateTimeUtc,
  event: Schema.Literal("deployed", "linked", "unlinked", "removed"),
  /** `user@machine`. */
  by: Schema.String,
  releases: Schema.Array(Schema.Struct({ name: ReleaseName, ref: Ref }))
}) {}

/** An entry as it stands in the log. */
export const HostLogEntryJson = Schema.parseJson(HostLogEntry)
