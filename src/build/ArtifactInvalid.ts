import * as Schema from "effect/Schema"

/** The artifact of a builder cannot become a release. */
export class ArtifactInvalid extends Schema.TaggedError<ArtifactInvalid>()("ArtifactInvalid", {
  /** The finding and the remedy, one sentence. */
  reason: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The release cannot be packed: ${this.reason}`
  }
}

/** The error for a reason: the finding and the remedy, one sentence. */
export const invalid = (reason: string): ArtifactInvalid => new ArtifactInvalid({ reason })

/** A path in the words of a reason: quoted, and its control characters escaped. */
export const show = (path: string): string => JSON.stringify(path)
