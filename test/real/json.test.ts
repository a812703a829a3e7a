/** Data from the real binary: stdout holds one document, whatever the config does and however the command ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Ended, project } from "../kit/project.ts"

const documentOf = ({ stdout }: Ended): Record<string, unknown> => {
  assert.match(stdout, /^[^\n]+\n$/)
  return JSON.parse(stdout)
}

describe("json", () => {
  it.scopedLive(
    "With json, stdout holds one document even if a config, a builder or a command of the host prints.",
    () =>
      Effect.gen(function* () {
        const here = yield* project()
        const loud = `(context) => {
        console.log("printed by the builder")
        process.stdout.write("written by the builder\\n")
        return command({ run: "echo from the build; mkdir -p build && cp -R bin build/", releasePath: "build" })(context)
      }`
        here.configure({ prod: { host: "local", start: "echo started; echo warned >&2" } }, { prod: loud })
        const built = yield* here.deployer("build_and_deploy", "target=prod", "json")
        assert.strictEqual(built.status, 0, built.stderr)
        assert.strictEqual(documentOf(built)["_tag"], "BuildAndDeployReport")
        for (const text of ["printed by the builder", "written by the builder", "from the build", "Switched current"]) {
          assert.include(built.stderr, text)
        }
        const started = yield* here.deployer("start", "target=prod", "json")
        assert.deepInclude(documentOf(started), { stdout: "started\n", stderr: "warned\n" })
        assert.match((yield* here.deployer("--help", "json")).stdout, /^deployer COMMAND /)
      })
  )

  it.scopedLive("With json, a command still reports how it ended after a signal, an early exit or a bug.", () =>
    Effect.gen(function* () {
      const here = yield* project()
      const builders = {
        slow: `command({ run: "echo begun; sleep 60", releasePath: "build" })`,
        leaves: `() => process.exit(0)`,
        throws: `() => { setTimeout(() => { throw new Error("aside") }, 10); return Effect.never }`
      }
      const targets = Object.keys(builders).map((builder) => [builder, { host: "local", builder }] as const)
      here.configure(Object.fromEntries(targets), builders)
      for (const [signal, status] of [
        ["SIGINT", 130],
        ["SIGTERM", 143]
      ] as const) {
        const running = yield* here.begin(["build", "target=slow", "json"])
        yield* running.hears("begun")
        running.signal(signal)
        const ended = yield* running.ended
        assert.strictEqual(ended.status, status, ended.stderr)
        assert.deepInclude(documentOf(ended), { exitStatus: status, message: "interrupted" })
      }
      const left = yield* here.deployer("build", "target=leaves", "json")
      assert.strictEqual(left.status, 1)
      assert.match(String(documentOf(left)["message"]), /process\.exit/)
      const threw = yield* here.deployer("build", "target=throws", "json")
      assert.strictEqual(threw.status, 70)
      assert.deepInclude(documentOf(threw), { exitStatus: 70, message: "this is a bug: aside" })
    })
  )
})
