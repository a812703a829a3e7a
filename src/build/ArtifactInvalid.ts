import * as Schema from "effect/Schema"

/** The artifact of a builder cannot become a release. */
export class ArtifactInvalid extends Schema.TaggedError<ArtifactInvalid>()("ArtifactInvalid", {
  /** The problem and its remedy, as one sentence. */
  reason: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `The release cannot be packed: ${this.reason}`
  }
}

/** Makes the error. `reason` is the problem and its remedy, as one sentence. */
export const invalid = (reason: string): ArtifactInvalid => new ArtifactInvalid({ reason })

/** A path as it appears in a reason: quoted, with its control characters escaped. */
export const show = (path: string): string => JSON.stringify(path)
