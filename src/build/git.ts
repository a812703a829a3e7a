import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Metadata } from "../domain/Release.ts"
import { run } from "../internal/process.ts"

/**
 * The commit of the project root, and whether anything below it differs from that; empty where there is no git, no
 * repository or no commit.
 */
export const sourceState = (root: string): Effect.Effect<Pick<Metadata, "commit" | "dirty">> =>
  Effect.gen(function* () {
    const commit = (yield* git(root, ["rev-parse", "--verify", "HEAD"])).trim()
    const changes = yield* git(root, ["status", "--porcelain", "--", "."])
    return { commit, dirty: changes !== "" }
  }).pipe(
    Effect.timeout(patience),
    Effect.orElseSucceed(() => ({}))
  )

/** A work tree on a slow disk must not hold up a build for the sake of a remark. */
const patience = Duration.seconds(20)

const git = (root: string, args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const child = yield* run({ command: "git", args: ["-C", root, ...args], env: { GIT_OPTIONAL_LOCKS: "0" } })
    const [stdout, , status] = yield* Effect.all(
      [Stream.mkString(Stream.decodeText(child.stdout)), Stream.runDrain(child.stderr), child.exitCode],
      { concurrency: "unbounded" }
    )
    return yield* status === 0 ? Effect.succeed(stdout) : Option.none<string>()
  }).pipe(Effect.scoped)
