import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { HostUnreachable } from "../../src/host/RemoteHost.ts"
import { currentRef, hostNamed, run, stored, usualConfig, usualImage, world } from "../kit/world.ts"

const keys = Array.from({ length: 10 }, (_, index) => `web${index + 1}`)

const config = {
  ...usualConfig,
  targets: Object.fromEntries(
    keys.map((key, index) => [
      key,
      {
        host: `${key}.test`,
        user: "deploy",
        name: "my_app",
        path: "/srv/my_app",
        builder: "prod",
        restart: "bin/my_app restart",
        labels: { zone: index < 6 ? "a" : index < 9 ? "b" : "c" }
      }
    ])
  ),
  groups: { web: ["web*"], careful: { targets: ["web*"], canary: 1, batch: 3 } }
}

let version = 0
const fleet = world({ config, image: () => usualImage(String(++version)) })

/** Builds a release, and returns its ref. */
const build = Effect.gen(function* () {
  const built = yield* run("build target=web1")
  assert.strictEqual(built.status, 0, built.stderr)
  const [last] = (yield* stored).slice(-1)
  return last?.ref ?? ""
})

/** Deploys a first release everywhere, and builds a second one. */
const started = Effect.gen(function* () {
  const first = yield* build
  const ran = yield* run("deploy group=web yes")
  assert.strictEqual(ran.status, 0, ran.stderr)
  return { first, second: yield* build }
})

const hosts = Effect.forEach(keys, (key) => hostNamed(`${key}.test`))

/** The targets on which a release is current. */
const liveOn = (ref: string) => Effect.map(hosts, (all) => keys.filter((_, index) => currentRef(all[index]!) === ref))

const restarts = (host: MemoryHost, ref: string) =>
  host.commands.filter((ran) => ran.ref === ref && ran.command.includes("restart")).length

/** Makes the restart of a release fail on some hosts. `also`: that of the earlier release too. */
const failing = (names: ReadonlyArray<string>, ref: string, also = "") =>
  Effect.forEach(names, (key) =>
    Effect.map(hostNamed(`${key}.test`), (host) => {
      host.onRun = (ran) => (ran.ref === ref || ran.ref === also ? { exitCode: 1, output: "no" } : {})
    })
  )

const away = (key: string) =>
  Effect.map(hostNamed(`${key}.test`), (host) => {
    const address = `deploy@${key}.test`
    host.connectFailure = new HostUnreachable({ address, reason: "refused", detail: `connect ${address}` })
  })

/** The report of a command with `json`, also if it failed. */
const reportIn = (stdout: string) => {
  const document = JSON.parse(stdout)
  return document._tag === "Failure" ? document.report : document
}

/** Each member once, with its outcome. */
const outcomesIn = (stdout: string): Readonly<Record<string, string>> => {
  const { members } = reportIn(stdout)
  assert.strictEqual(new Set(members.map(({ target }: { readonly target: string }) => target)).size, members.length)
  return Object.fromEntries(
    members.map(({ outcome, target }: { readonly outcome: string; readonly target: string }) => [target, outcome])
  )
}

const allWith = (outcome: string) => Object.fromEntries(keys.map((key) => [key, outcome]))

/** No lock is left on any host. */
const assertFree = Effect.gen(function* () {
  for (const key of keys) {
    const host = yield* hostNamed(`${key}.test`)
    host.connectFailure = undefined
  }
  const ran = yield* run("status group=web json")
  for (const { report, target } of JSON.parse(ran.stdout).members ?? JSON.parse(ran.stdout).report.members) {
    assert.isUndefined(report?.lock, target)
  }
})

describe("deploy to many targets", () => {
  it.scoped("A group gets a release in waves, canaries first, and the report names every member once.", () =>
    Effect.gen(function* () {
      const ref = yield* build
      const ran = yield* run("deploy group=careful yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(yield* liveOn(ref), keys)
      assert.match(ran.stderr, /Wave 1 of 4 \(canary\): switching web1\n/)
      assert.match(ran.stderr, /Wave 2 of 4: switching web2, web3, web4\n/)
      assert.match(ran.stdout, /^Target +Outcome +Before\nweb1 +live *\n/)
      assert.match(ran.stdout, /is live on 10 of 10 targets, in /)
      const again = yield* run("deploy group=careful yes json")
      assert.strictEqual(again.status, 0, again.stderr)
      assert.deepStrictEqual(outcomesIn(again.stdout), allWith("same"))
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("All targets have the files before the first one is switched.", () =>
    Effect.gen(function* () {
      const { second } = yield* started
      const first = yield* hostNamed("web1.test")
      const last = yield* hostNamed("web10.test")
      let staged = false
      first.beforeStep = (step) =>
        Effect.sync(() => {
          if (step === "activate") staged = last.files.node(`/srv/my_app/releases/deployer_${second}`) !== undefined
        })
      assert.strictEqual((yield* run("deploy group=careful yes")).status, 0)
      assert.isTrue(staged)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("If one target is out of reach, nothing is changed on any other, and only that one is named.", () =>
    Effect.gen(function* () {
      yield* build
      yield* away("web7")
      const ran = yield* run("deploy group=web yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /1 of 10 targets cannot take part, so nothing was changed:\n {2}web7: /)
      assert.notMatch(ran.stderr, /web[1-689]/)
      for (const host of yield* hosts) assert.isUndefined(host.files.node("/srv/my_app"))
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A target out of reach is left out if the policy tolerates that, and the exit status is 7.", () =>
    Effect.gen(function* () {
      const ref = yield* build
      yield* away("web7")
      const ran = yield* run("deploy group=web unreachable=1 yes json")
      assert.strictEqual(ran.status, 7, ran.stderr)
      assert.deepStrictEqual(outcomesIn(ran.stdout), { ...allWith("live"), web7: "left" })
      assert.strictEqual((yield* liveOn(ref)).length, 9)
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("All reasons against a rollout come at once, and nothing is changed on any host.", () =>
    Effect.gen(function* () {
      yield* build
      ;(yield* hostNamed("web2.test")).freeBytes = 1
      ;(yield* hostNamed("web4.test")).missingTools.add("tar")
      ;(yield* hostNamed("web6.test")).mount = { point: "/", type: "ext4", readOnly: true, noExec: false }
      const ran = yield* run("deploy group=web yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /3 of 10 targets cannot take part/)
      for (const key of ["web2", "web4", "web6"]) assert.include(ran.stderr, `${key}: `)
      for (const host of yield* hosts) assert.isUndefined(host.files.node("/srv/my_app"))
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("If a target fails, all that were switched go back and are proven, and the others stay as they were.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web7"], second)
      const ran = yield* run("deploy group=careful yes json")
      assert.strictEqual(ran.status, 5, ran.stderr)
      const back = ["web1", "web2", "web3", "web4", "web5", "web6", "web7"]
      assert.deepStrictEqual(outcomesIn(ran.stdout), {
        ...Object.fromEntries(back.map((key) => [key, "back"])),
        web8: "staged",
        web9: "staged",
        web10: "staged"
      })
      assert.deepStrictEqual(yield* liveOn(first), keys)
      for (const [index, host] of (yield* hosts).entries()) {
        assert.strictEqual(restarts(host, second), index < 7 ? 1 : 0)
        assert.strictEqual(restarts(host, first), index < 7 ? 2 : 1)
      }
      yield* assertFree
      const history = yield* run("history target=web1")
      assert.match(history.stdout, / became current again +tester@laptop +my_app [0-9A-F]{8} failed on web7$/m)
      // The release is marked as failed only on the host on which it failed.
      const retried = yield* run("deploy group=web release=2 yes")
      assert.strictEqual(retried.status, 1)
      assert.match(retried.stderr, /1 of 10 targets .*\n {2}web7: the release failed there/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A target that refuses to go back does not stop the others, and the exit status is 6.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web7"], second)
      const stubborn = yield* hostNamed("web3.test")
      let restarted = 0
      stubborn.onRun = () => (++restarted > 1 ? { exitCode: 1, output: "no" } : {})
      const ran = yield* run("deploy group=careful yes json")
      assert.strictEqual(ran.status, 6, ran.stderr)
      const outcomes = outcomesIn(ran.stdout)
      assert.strictEqual(outcomes["web3"], "stuck")
      for (const key of ["web1", "web2", "web4", "web5", "web6", "web7"]) assert.strictEqual(outcomes[key], "back", key)
      assert.includeMembers([...(yield* liveOn(first))], ["web1", "web2", "web4", "web5", "web6", "web7"])
      assert.match(ran.stderr, /and web3 is neither proven on it nor back: see deployer status target=web3:\n/)
      assert.match(ran.stderr, /web3: .*failed as well/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Within max_failures, a target that fails goes back alone, and the exit status is 7.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web7"], second)
      const ran = yield* run("deploy group=careful max_failures=2 yes json")
      assert.strictEqual(ran.status, 7, ran.stderr)
      assert.deepStrictEqual(outcomesIn(ran.stdout), { ...allWith("live"), web7: "back" })
      assert.deepStrictEqual(yield* liveOn(first), ["web7"])
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A canary that fails ends the rollout whatever max_failures says, and no other target is switched.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web1"], second)
      const ran = yield* run("deploy group=careful max_failures=5 yes json")
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.deepStrictEqual(outcomesIn(ran.stdout), { ...allWith("staged"), web1: "back" })
      assert.deepStrictEqual(yield* liveOn(first), keys)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("With on_failure=stop, all targets stay as they are.", () =>
    Effect.gen(function* () {
      const { second } = yield* started
      yield* failing(["web7"], second)
      const ran = yield* run("deploy group=careful on_failure=stop yes json")
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.deepStrictEqual(yield* liveOn(second), ["web1", "web2", "web3", "web4", "web5", "web6"])
      assert.match(ran.stderr, /live on 6 of 10 targets, and the rollout stopped/)
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("If one target is locked by somebody else, the rollout claims none, and the exit status is 4.", () =>
    Effect.gen(function* () {
      const { first } = yield* started
      assert.strictEqual((yield* run("lock target=web5 reason=maintenance")).status, 0)
      const ran = yield* run("deploy group=web yes")
      assert.strictEqual(ran.status, 4, ran.stderr)
      assert.match(ran.stderr, /web5\.test is locked by .*maintenance/)
      assert.deepStrictEqual(yield* liveOn(first), keys)
      assert.strictEqual((yield* run("unlock target=web5 yes")).status, 0)
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Plan shows the waves, the bytes and the way back, and changes nothing.", () =>
    Effect.gen(function* () {
      const { first } = yield* started
      const ran = yield* run("deploy group=careful spread=zone canary=3 plan")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /^wave 1 +web1, web7, web10 +canary$/m)
      assert.match(ran.stdout, /^if it fails +web1, .* back to my_app /m)
      assert.deepStrictEqual(yield* liveOn(first), keys)
      const data = yield* run("deploy group=careful plan json")
      assert.strictEqual(JSON.parse(data.stdout)._tag, "RolloutPlan")
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Settings of a rollout belong to many targets, and the question names all of these.", () =>
    Effect.gen(function* () {
      yield* build
      const one = yield* run("deploy target=web1 max_failures=1 yes")
      assert.strictEqual(one.status, 2)
      assert.match(one.stderr, /"max-failures" is for many targets/)
      const declined = yield* run("deploy target=web1,web2", "n")
      assert.match(declined.asked.join("\n"), /to 2 targets \(web1, web2\)\?/)
      assert.notStrictEqual(declined.status, 0)
      const wrong = yield* run("deploy group=web canary=many yes")
      assert.match(wrong.stderr, /"canary" takes a number of targets or a share such as 25%, not "many"/)
      const label = yield* run("deploy group=web spread=zoen yes")
      assert.match(label.stderr, /no target has the label "zoen".*zone/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Rollback takes a group to the previous release in waves, or brings all back to where they were.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      assert.strictEqual((yield* run("deploy group=web yes")).status, 0)
      assert.deepStrictEqual(yield* liveOn(second), keys)
      const plan = yield* run("rollback group=careful plan")
      assert.match(plan.stdout, /^back to my_app [0-9A-F]{8} on 10 targets\n/)
      yield* failing(["web7"], first)
      const failed = yield* run("rollback group=careful json")
      assert.strictEqual(failed.status, 5, failed.stderr)
      assert.deepStrictEqual(yield* liveOn(second), keys)
      yield* failing(["web7"], "none")
      const ran = yield* run("rollback group=careful except=web7 json")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(yield* liveOn(second), ["web7"])
      yield* assertFree
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A rollback to different releases is refused, and each target says where it would go.", () =>
    Effect.gen(function* () {
      const { first } = yield* started
      assert.strictEqual((yield* run("deploy group=web except=web5 yes")).status, 0)
      yield* build
      assert.strictEqual((yield* run("deploy group=web yes")).status, 0)
      const ran = yield* run("rollback group=web")
      assert.strictEqual(ran.status, 1)
      assert.match(
        ran.stderr,
        /1 of 10 targets .*\n {2}web5: it would go back to my_app .*, but web1 to my_app .*: name one with to=REF/
      )
      const named = yield* run(`rollback group=web to=${first.slice(0, 8)}`)
      assert.strictEqual(named.status, 0, named.stderr)
      assert.deepStrictEqual(yield* liveOn(first), keys)
      const none = yield* run("rollback group=web")
      assert.strictEqual(none.status, 1)
      assert.match(none.stderr, /10 of 10 targets .*\n {2}web1, web2, .*: it has no previous healthy release/)
    }).pipe(Effect.provide(fleet))
  )
})
