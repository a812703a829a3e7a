/**
 * The origin of a release in words, and whether it was built for a target. Pure.
 */
import type * as DateTime from "effect/DateTime"
import { age, dateTime } from "./Quantity.ts"
import { latest, type Release, shortRef } from "./Release.ts"
import type { Target } from "./Target.ts"

/** The builder that a target's releases come from. */
export const builderOf = ({ builder, key }: Pick<Target, "builder" | "key">): string => builder ?? key

/** The tags of a release besides `latest`. */
const ownTags = ({ tags }: Pick<Release, "tags">): ReadonlyArray<string> => tags.filter((tag) => tag !== latest)

/**
 * Whether a release was built for a target: by the target's builder, or with all of its tags. Also true if nobody recorded the builder.
 */
export const isBuiltFor = (
  release: Pick<Release, "metadata" | "tags">,
  target: Pick<Target, "builder" | "key" | "tags">
): boolean => {
  const { builder } = release.metadata
  if (builder === undefined || builder === builderOf(target)) return true
  return target.tags.length > 0 && target.tags.every((tag) => release.tags.includes(tag))
}

/** A commit as people recognise it: `a0d5b9a2`, with a mark for uncommitted changes. */
export const commitLabel = (commit: string, dirty: boolean | undefined): string =>
  `${commit.slice(0, 8)}${dirty === true ? " with changes" : ""}`

/** A whole commit, with a mark for uncommitted changes. Undefined if it is unknown. */
export const wholeCommit = (commit: string | undefined, dirty: boolean | undefined): string | undefined =>
  commit === undefined ? undefined : `${commit}${dirty === true ? " (with changes)" : ""}`

/** The origin, a clause: `built by builder prod from commit a0d5b9a2 with changes, tags prod, eu`. With `now`, also its age. */
export const provenance = (release: Release, now?: DateTime.Utc): string => {
  const { builder, commit, dirty } = release.metadata
  const tags = ownTags(release)
  return [
    [
      "built",
      ...(now === undefined
        ? [`${dateTime(release.createdAt)} UTC`]
        : [age(now.epochMillis - release.createdAt.epochMillis)]),
      ...(builder === undefined ? [] : [`by builder ${builder}`]),
      ...(commit === undefined ? [] : [`from commit ${commitLabel(commit, dirty)}`])
    ].join(" "),
    ...(tags.length === 0 ? [] : [`${tags.length === 1 ? "tag" : "tags"} ${tags.join(", ")}`])
  ].join(", ")
}

/** A stored release in a question: `my_app E0BBEE43 (id 1, built 2 hours ago by builder prod)`. */
export const described = (release: Release, now: DateTime.Utc): string =>
  `${release.name} ${shortRef(release.ref)} (id ${release.id}, ${provenance(release, now)})`
