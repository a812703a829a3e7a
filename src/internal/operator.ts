import * as os from "node:os"

type Environment = Readonly<Record<string, string | undefined>>

/** `user@machine`; a user without an entry in the password file is named by number. In a CI job, the person who started it comes first: `alice (runner@machine)`. */
export const operatorName = (env: Environment = process.env): string => {
  const login = `${userName()}@${os.hostname()}`
  const actor = ciActor(env)
  return actor === undefined ? login : `${actor} (${login})`
}

const userName = () => {
  try {
    return os.userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}

/** The first text that is not blank. */
const first = (...texts: ReadonlyArray<string | undefined>): string | undefined =>
  texts.find((text) => text !== undefined && text.trim() !== "")?.trim()

/** A reference to the CI job of this process, at most 500 characters. Undefined outside of a CI job. */
export const ciJob = (env: Environment = process.env): string | undefined => {
  const { GITHUB_REPOSITORY, GITHUB_RUN_ID, GITHUB_SERVER_URL } = env
  const github =
    GITHUB_SERVER_URL === undefined || GITHUB_REPOSITORY === undefined || GITHUB_RUN_ID === undefined
      ? undefined
      : `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}`
  return first(github, env["CI_JOB_URL"], env["CIRCLE_BUILD_URL"], env["BUILDKITE_BUILD_URL"], env["BUILD_URL"])
    ?.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, "")
    .slice(0, 500)
}

/**
 * The person who started the CI job: the one who started it again, if CI tells. The text comes from outside, so only the characters of logins stay, at
 * most 100. Undefined outside of a CI job.
 */
const ciActor = (env: Environment): string | undefined =>
  ciJob(env) === undefined
    ? undefined
    : first(
        env["GITHUB_TRIGGERING_ACTOR"],
        env["GITHUB_ACTOR"],
        env["GITLAB_USER_LOGIN"],
        env["CIRCLE_USERNAME"],
        env["BUILDKITE_BUILD_CREATOR"]
      )
        ?.slice(0, 100)
        .replaceAll(/[^\p{L}\p{N}._@+[\]-]+/gu, "_")
