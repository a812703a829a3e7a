/**
 * How a release's tarball is divided: into consecutive gzip members, each of which can be inflated without the previous ones.
 */
import * as Schema from "effect/Schema"

const Bytes = Schema.Int.pipe(Schema.positive())

/** The table of a tarball's members. */
export const Members = Schema.Struct({
  /** Bytes of the tar in each member. The last one may hold fewer. */
  bytes: Bytes,
  /** The compressed length of each member, in order. Together they are the tarball. */
  lengths: Schema.Array(Bytes)
})
/** The table of a tarball's members. */
export type Members = typeof Members.Type
