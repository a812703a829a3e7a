import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hostRelease, refOf } from "../kit/samples.ts"
import { built, hostNamed, prodPath, run, stored, world } from "../kit/world.ts"

/** Each option of a line in all its spellings. */
const spellings = (...options: ReadonlyArray<readonly [key: string, value?: string]>): ReadonlyArray<string> => {
  const keys = (key: string) => [...new Set([key, key.replaceAll("_", "-")])]
  const written = ([key, value]: readonly [string, string?]) =>
    keys(key).flatMap((key) =>
      value === undefined
        ? [key, `-${key}`, `--${key}`, `${key}=true`]
        : [`${key}=${value}`, `-${key}=${value}`, `--${key}=${value}`, `--${key} ${value}`]
    )
  return options
    .map(written)
    .reduce((lines, more) => lines.flatMap((line) => more.map((word) => `${line} ${word}`)), [""])
}

describe("every spelling of an option is the same:", () => {
  it.scoped("Every spelling of build's options means the same.", () =>
    Effect.gen(function* () {
      // The file is missing, so that each is refused for the same reason before anything is built.
      const lines = spellings(["target", "prod"], ["env_file_name", "none"])
      assert.lengthOf(lines, 32)
      for (const line of lines) {
        const ran = yield* run(`build${line}`)
        assert.strictEqual(ran.status, 2, line)
        assert.strictEqual(
          ran.stderr,
          "deployer: The file /project/none cannot be added to the release: it does not exist\n"
        )
      }
      assert.deepStrictEqual(yield* stored, [])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Every spelling of deploy's options means the same.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      for (const line of spellings(["target", "prod"], ["plan"], ["release", ref.slice(0, 6)])) {
        const ran = yield* run(`deploy${line}`)
        assert.strictEqual(ran.status, 0, `${line}: ${ran.stderr}`)
        assert.match(ran.stdout, /^my_app [0-9A-F]{8} \(id 1\) to prod: /)
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A manage verb takes its words in any order and spelling.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.plantRelease(prodPath, hostRelease({ ref: refOf("A") }), { version: "1" })
      for (const line of [
        "manage info ref=AAAA target=prod",
        "manage info target=prod ref=AAAA",
        "manage info AAAA target=prod",
        "manage info target=prod AAAA",
        "manage info --target prod AAAA",
        "manage target=prod info AAAA",
        "manage -target=prod info -ref=AAAA",
        "manage info --ref=AAAA --target=prod"
      ]) {
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 0, `${line}: ${ran.stderr}`)
        assert.include(ran.stdout, refOf("A"), line)
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A task's name may be joined with underscores or hyphens.", () =>
    Effect.gen(function* () {
      for (const task of ["build_and_deploy", "build-and-deploy"]) {
        const ran = yield* run(`${task} target=prod yes=true`)
        assert.strictEqual(ran.status, 0, ran.stderr)
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A flag set to false is off, and a missing value is a usage error.", () =>
    Effect.gen(function* () {
      yield* built
      const off = yield* run("deploy target=prod yes=false")
      assert.strictEqual(off.status, 3)
      for (const line of ["deploy target=", "deploy --target", "deploy target=prod release="]) {
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 2, line)
        assert.match(ran.stderr, /^deployer: [^\n]+\n$/, line)
      }
    }).pipe(Effect.provide(world()))
  )
})
