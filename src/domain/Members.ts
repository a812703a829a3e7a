/**
 * How a release's tarball is cut: a row of gzip members, each of which can be inflated without those before it.
 */
import * as Schema from "effect/Schema"

const Bytes = Schema.Int.pipe(Schema.positive())

/** The table of a tarball's members. */
export const Members = Schema.Struct({
  /** Of the tar, in each member but the last, which may hold less. */
  bytes: Bytes,
  /** Compressed, of each member, in order; together the tarball. */
  lengths: Schema.Array(Bytes)
})
/** The table of a tarball's members. */
export type Members = typeof Members.Type
