/**
 * The record of an exported release: all that a store knows about it, as a JSON document beside its tarball. Pure.
 */
import * as Schema from "effect/Schema"
import { Members } from "./Members.ts"
import { latest, Metadata, Ref, type Release, ReleaseName, Sha256, Tag } from "./Release.ts"

/** The texts in a value, however deep. */
const textsIn = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(textsIn)
      : []

/** Texts from another machine that a terminal may show. */
const PlainMetadata = Metadata.pipe(
  Schema.filter((metadata) =>
    textsIn(metadata).some((text) => /\p{C}/u.test(text) || text.length > 1000)
      ? "must have only short texts without control characters"
      : undefined
  )
)

/** A date with a year of four digits. */
const Date = Schema.DateTimeUtc.pipe(
  Schema.filter(({ epochMillis }) =>
    epochMillis >= 0 && epochMillis < 253_402_300_800_000 ? undefined : "must be from 1970 to 9999"
  )
)

/** An exported release, without its tarball. It has no id: each store gives its own. */
export class ReleaseRecord extends Schema.Class<ReleaseRecord>("ReleaseRecord")({
  format: Schema.Literal("deployer release").annotations({ message: () => "must be deployer release" }),
  /** The version of this format. */
  version: Schema.Literal(1).annotations({ message: () => "must be 1; another version of deployer made it" }),
  name: ReleaseName,
  ref: Ref,
  sha256: Sha256,
  /** Bytes of the tarball. */
  size: Schema.NonNegativeInt,
  /** Without `latest`. */
  tags: Schema.Array(Tag.pipe(Schema.filter((tag) => (tag === latest ? `must not be ${latest}` : undefined)))),
  createdAt: Date,
  metadata: PlainMetadata,
  /** How the tarball is divided into gzip members, and the bytes of its tar. Undefined if that is unknown. */
  parts: Schema.optional(
    Schema.Struct({
      ...Members.fields,
      tarBytes: Schema.NonNegativeInt
    }).pipe(
      Schema.filter(({ bytes, lengths, tarBytes }) =>
        bytes <= 16 * 1024 * 1024 &&
        lengths.every((length) => length <= 2 * bytes) &&
        lengths.length === Math.ceil(tarBytes / bytes)
          ? undefined
          : "must be the parts of one tar"
      )
    )
  )
}) {}

/** A record as JSON text. */
export const ReleaseRecordJson = Schema.parseJson(ReleaseRecord)

/** The record of a stored release. */
export const recordOf = (
  { createdAt, metadata, name, ref, sha256, size, tags }: Release,
  parts: typeof ReleaseRecord.Type.parts
): ReleaseRecord =>
  ReleaseRecord.make({
    format: "deployer release",
    version: 1,
    ...{ name, ref, sha256, size, createdAt, metadata },
    tags: tags.filter((tag) => tag !== latest),
    ...(parts === undefined ? {} : { parts })
  })
