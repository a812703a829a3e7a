import * as os from "node:os"

/** `user@machine`; a user without an entry in the password file is named by number. */
export const operatorName = (): string => `${userName()}@${os.hostname()}`

const userName = () => {
  try {
    return os.userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}

/** A reference to the CI job of this process, at most 500 characters. Undefined outside of a CI job. */
export const ciJob = (env: Readonly<Record<string, string | undefined>> = process.env): string | undefined => {
  const { BUILD_URL, CI_JOB_URL, GITHUB_REPOSITORY, GITHUB_RUN_ID, GITHUB_SERVER_URL } = env
  const github =
    GITHUB_SERVER_URL === undefined || GITHUB_REPOSITORY === undefined || GITHUB_RUN_ID === undefined
      ? undefined
      : `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}`
  return (github ?? CI_JOB_URL ?? BUILD_URL)?.slice(0, 500)
}
