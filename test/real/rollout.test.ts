/** One release for many targets on a real host: in waves, all or none, with a truthful report. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { builders, project, reach } from "../kit/project.ts"
import { freePort, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"

const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip

const keys = Array.from({ length: 6 }, (_, index) => `web${index + 1}`)

/** Six targets on one host, with a file `sick` that makes version 2.0 fail there. */
const fleet = Effect.gen(function* () {
  const host = yield* sshd()
  const here = yield* project()
  here.knowHost(host)
  const dead = yield* Effect.promise(freePort)
  const configure = (group: object, away: ReadonlyArray<string> = [], settings: object = {}) =>
    here.configure(
      Object.fromEntries(
        keys.map((key) => [
          key,
          {
            ...reach(host, away.includes(key) ? { port: dead } : host),
            builder: "here",
            path: `at ${key}`,
            restart: `echo ${key} >> "$DEPLOYER_PATH/restarts"; [ "$(cat VERSION)" != 2.0 ] || [ ! -e "$DEPLOYER_PATH/sick" ]`,
            ...settings
          }
        ])
      ),
      { here: builders.plain },
      { web: { targets: ["web*"], ...group } }
    )
  configure({})
  const place = (key: string, ...file: ReadonlyArray<string>) => path.join(host.home, `at ${key}`, ...file)
  const version = (key: string) => fs.readFileSync(place(key, "releases/current", here.name, "VERSION"), "utf8").trim()
  const build = (text: string) =>
    Effect.suspend(() => {
      here.version(text)
      return here.good("build", "target=web1")
    })
  return { host, here, configure, place, version, build }
})

/** The files of a host, without their content. */
const treeOf = ({ home }: Sshd): ReadonlyArray<string> =>
  fs.readdirSync(home, { recursive: true, encoding: "utf8" }).filter((name) => name.startsWith("at "))

/** Waits until a condition holds, at most 60 seconds. */
const until = (isSo: () => boolean) =>
  Effect.sync(isSo).pipe(
    Effect.filterOrFail(
      (so) => so,
      () => "not yet"
    ),
    Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 600 }),
    Effect.orDie
  )

describe("a rollout to many targets", () => {
  scoped(
    titled("Six targets get a release in waves, or all go back if one of them fails.", missingSshd),
    () =>
      Effect.gen(function* () {
        const { build, configure, here, host, place, version } = yield* fleet
        yield* build("1.0")
        configure({}, ["web5"])
        const refused = yield* here.run(["deploy", "group=web", "yes"])
        assert.strictEqual(refused.status, 1, refused.stderr)
        assert.match(refused.stderr, /1 of 6 targets cannot take part, so nothing was changed:\n {2}web5: /)
        assert.deepStrictEqual(treeOf(host), [])

        configure({})
        yield* here.good("deploy", "group=web", "yes")
        for (const key of keys) assert.strictEqual(version(key), "1.0")

        yield* build("2.0")
        configure({ canary: 1, batch: 2 })
        fs.writeFileSync(place("web5", "sick"), "")
        const back = yield* here.run(["deploy", "group=web", "yes", "json"])
        assert.strictEqual(back.status, 5, back.stderr)
        for (const key of keys) assert.strictEqual(version(key), "1.0", key)
        const restarts = keys.map((key) => fs.readFileSync(place(key, "restarts"), "utf8").trim().split("\n").length)
        assert.deepStrictEqual(restarts, [3, 3, 3, 3, 3, 1])
        const { error, report } = JSON.parse(back.stdout)
        assert.strictEqual(error._tag, "RolloutIncomplete")
        assert.strictEqual(report.members.length, 6)

        const partly = yield* here.run(["deploy", "group=web", "max_failures=1", "retry", "yes"])
        assert.strictEqual(partly.status, 7, partly.stderr)
        for (const key of keys) assert.strictEqual(version(key), key === "web5" ? "1.0" : "2.0", key)
        assert.match(partly.stderr, /is live on 5 of 6 targets, and the others have it:\n {2}web5: /)

        fs.rmSync(place("web5", "sick"))
        const whole = yield* here.run(["deploy", "group=web", "retry", "yes"])
        assert.strictEqual(whole.status, 0, whole.stderr)
        for (const key of keys) assert.strictEqual(version(key), "2.0", key)
        const status = yield* here.good("status", "group=web")
        for (const key of keys) assert.match(status, new RegExp(`^${key} +\\S* *good`, "m"))
      }),
    300_000
  )

  scoped(
    titled("If the deployer is killed in a wave, each host of that wave goes back by itself.", missingSshd),
    () =>
      Effect.gen(function* () {
        const { build, configure, here, version } = yield* fleet
        yield* build("1.0")
        configure({ batch: 3 }, [], {
          deadMan: "5 seconds",
          // The last one of the second wave is never ready.
          restart: '[ "$(cat VERSION)" != 2.0 ] || case "$DEPLOYER_PATH" in *web6) sleep 60 ;; esac'
        })
        yield* here.good("deploy", "group=web", "yes")
        yield* build("2.0")
        const running = yield* here.begin(["deploy", "group=web", "yes"])
        yield* running.hears("Wave 2 of 2: switching")
        const second = keys.slice(3)
        yield* until(() => second.every((key) => version(key) === "2.0"))
        running.signal("SIGKILL")
        yield* running.ended
        yield* until(() => second.every((key) => version(key) === "1.0"))
        for (const key of keys.slice(0, 3)) assert.strictEqual(version(key), "2.0", key)

        configure({ batch: 3 })
        const next = yield* here.run(["deploy", "group=web", "retry", "yes", "wait=60s"])
        assert.strictEqual(next.status, 0, next.stderr)
        for (const key of keys) assert.strictEqual(version(key), "2.0", key)
      }),
    300_000
  )

  it.scopedLive(
    "The locks of all targets are free as soon as a rollout ends.",
    () =>
      Effect.gen(function* () {
        const here = yield* project()
        const keys = ["one", "two", "three"]
        here.configure(
          Object.fromEntries(
            keys.map((key) => [key, { host: "local", path: path.join(here.folder, `at ${key}`), builder: "here" }])
          ),
          { here: builders.plain },
          { all: keys }
        )
        for (const text of ["1.0", "2.0", "3.0"]) {
          here.version(text)
          yield* here.good("build", "target=one")
          yield* here.good("deploy", "group=all", "yes")
          const status = yield* here.run(["status", "group=all", "json"])
          for (const { report, target } of JSON.parse(status.stdout).members) assert.isUndefined(report.lock, target)
        }
      }),
    120_000
  )
})
