import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Metadata } from "../domain/Release.ts"
import { run } from "../internal/process.ts"
import * as Reporter from "../terminal/Reporter.ts"

/**
 * The commit of the project root, and whether anything below the root differs from that commit. Empty if there is no git, no repository or
 * no commit. Also empty, with a warning, if git fails for another reason, for instance because another user owns the repository.
 */
export const sourceState = (root: string): Effect.Effect<Pick<Metadata, "commit" | "dirty">> =>
  Effect.gen(function* () {
    const commit = (yield* git(root, ["rev-parse", "--verify", "HEAD"])).trim()
    const changes = yield* git(root, ["status", "--porcelain", "--", "."])
    return { commit, dirty: changes !== "" }
  }).pipe(
    Effect.timeout(patience),
    Effect.catchTag("GitFailed", ({ stderr }) => {
      const why = reasonOf(root, stderr)
      return why === undefined ? Effect.void : Reporter.warn(`The commit of this build is not recorded, because ${why}`)
    }),
    Effect.map((state) => state ?? {}),
    Effect.orElseSucceed(() => ({}))
  )

/** The reason why git cannot read a repository. Undefined if there is no repository, or no commit in it. */
const reasonOf = (root: string, stderr: string): string | undefined => {
  if (/not a git repository|Needed a single revision|cannot change to/.test(stderr)) return undefined
  if (/dubious ownership/.test(stderr))
    return `the repository belongs to another user and git does not trust it: run git config --global --add safe.directory ${root}`
  return `git failed: ${stderr.trim().split("\n")[0]}`
}

/** The time limit for git. The commit is only a remark, so a slow disk must not delay the build for it. */
const patience = Duration.seconds(20)

/** git ended with a status other than 0. */
class GitFailed extends Data.TaggedError("GitFailed")<{ readonly stderr: string }> {}

/** Removes the variables that a git hook sets, because they may name another repository. */
const elsewhere = Object.fromEntries(
  [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_NAMESPACE"
  ].map((name) => [name, undefined])
)

const git = (root: string, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const env = { ...elsewhere, GIT_OPTIONAL_LOCKS: "0", LC_ALL: "C" }
    const child = yield* run({ command: "git", args: ["-C", root, ...args], env })
    const [stdout, stderr, status] = yield* Effect.all(
      [
        Stream.mkString(Stream.decodeText(child.stdout)),
        Stream.mkString(Stream.decodeText(child.stderr)),
        child.exitCode
      ],
      { concurrency: "unbounded" }
    )
    return yield* status === 0 ? Effect.succeed(stdout) : new GitFailed({ stderr })
  }).pipe(Effect.scoped)
