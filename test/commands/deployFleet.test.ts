import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { HostUnreachable } from "../../src/host/RemoteHost.ts"
import { currentRef, hostNamed, run, stored, usualConfig, usualImage, world } from "../kit/world.ts"

const keys = Array.from({ length: 10 }, (_, index) => `web${index + 1}`)

const sick = (key: string) => ({
  host: `${key}.test`,
  user: "deploy",
  name: "my_app",
  path: "/srv/my_app",
  builder: "prod",
  afterUnpack: "bin/my_app migrate",
  health: { command: "bin/my_app ping", successes: 1, timeout: "1 second" }
})

const twin = { ...sick("twin"), sharesPath: true }

const config = {
  ...usualConfig,
  targets: {
    sick1: sick("sick1"),
    sick2: sick("sick2"),
    twin1: twin,
    twin2: twin,
    ...Object.fromEntries(
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
    )
  },
  groups: { web: ["web*"], sick: ["sick*"], careful: { targets: ["web*"], canary: 1, batch: 3 } }
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

/** Lets time pass until a command has ended. */
const passTime = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    while ((yield* fiber.poll)._tag === "None") {
      yield* TestClock.adjust("500 millis")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
    return yield* Fiber.join(fiber)
  })

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
      assert.match(retried.stderr, /1 of 10 targets .*\n {2}web7: my_app [0-9A-F]{8} failed there/)
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

  it.scoped("Rollback takes a group to the previous release in waves, or returns all to their earlier releases.", () =>
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

  it.scoped("A rollback to different releases is refused, and each target names its destination.", () =>
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

  it.scoped("With retry, targets on which the release is live and healthy stay as they are.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web5"], second)
      assert.strictEqual((yield* run("deploy group=web max_failures=1 yes")).status, 7)
      const ran = yield* run("deploy group=web release=2 retry yes json")
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.deepStrictEqual(outcomesIn(ran.stdout), { ...allWith("same"), web5: "back" })
      assert.deepStrictEqual(yield* liveOn(first), ["web5"])
      assert.strictEqual((yield* liveOn(second)).length, 9)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A release that has nothing to go back to is not said to be back.", () =>
    Effect.gen(function* () {
      const { first, second } = yield* started
      yield* failing(["web2"], second)
      // Its way back lacks a file.
      const host = yield* hostNamed("web1.test")
      host.files.remove(`/srv/my_app/releases/deployer_${first}/my_app/version`)
      const ran = yield* run("deploy group=web yes json")
      assert.strictEqual(ran.status, 6, ran.stderr)
      assert.strictEqual(outcomesIn(ran.stdout)["web1"], "stuck")
      assert.strictEqual(currentRef(host), second)
      assert.match(ran.stderr, /web1 is neither proven on it nor back/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped(
    "If there is nothing to deploy and one target is not healthy, the policy decides, and the sick target is named.",
    () =>
      Effect.gen(function* () {
        yield* build
        assert.strictEqual((yield* run("deploy group=sick yes")).status, 0)
        const host = yield* hostNamed("sick2.test")
        host.onRun = ({ command }) => ({ exitCode: command.includes("ping") ? 1 : 0 })
        const ran = yield* run("deploy group=sick yes json")
        assert.strictEqual(ran.status, 1, ran.stderr)
        assert.deepStrictEqual(outcomesIn(ran.stdout), { sick1: "same", sick2: "failed" })
        assert.match(ran.stderr, /sick2: There is nothing to deploy, .* but it is not healthy/)
        assert.strictEqual((yield* run("deploy group=sick max_failures=1 yes")).status, 7)
      }).pipe(Effect.provide(fleet))
  )

  it.scoped("A wave that does not stay healthy for as long as the policy wants goes back.", () =>
    Effect.gen(function* () {
      yield* build
      assert.strictEqual((yield* run("deploy group=sick yes")).status, 0)
      yield* build
      const host = yield* hostNamed("sick1.test")
      let pings = 0
      host.onRun = ({ command }) => ({ exitCode: command.includes("ping") && ++pings === 3 ? 1 : 0 })
      const running = yield* Effect.fork(run("deploy group=sick batch=1 soak=1m yes json"))
      const ran = yield* passTime(running)
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.deepStrictEqual(outcomesIn(ran.stdout), { sick1: "back", sick2: "staged" })
      assert.match(ran.stderr, /Wave 1 of 2: watching sick1 for 1m/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Two targets at one place are refused, because one would wait for the lock of the other.", () =>
    Effect.gen(function* () {
      yield* build
      const ran = yield* run("deploy target=twin1,twin2 yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /twin2: it has the same host and path as twin1/)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A host that is lost after its switch is not said to be live.", () =>
    Effect.gen(function* () {
      const { second } = yield* started
      const host = yield* hostNamed("web3.test")
      host.beforeStep = (step) =>
        Effect.sync(() => {
          if (step === "run") host.loseAfterSteps = 0
        })
      const ran = yield* run("deploy group=web yes json")
      assert.strictEqual(ran.status, 6, ran.stderr)
      assert.strictEqual(outcomesIn(ran.stdout)["web3"], "unknown")
      assert.include(yield* liveOn(second), "web3")
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("The output of a command that fails before the switch stands in lines after the key of its target.", () =>
    Effect.gen(function* () {
      yield* build
      const host = yield* hostNamed("sick2.test")
      host.onRun = ({ command }) => (command.includes("migrate") ? { exitCode: 1, output: "first\nsecond" } : {})
      const ran = yield* run("deploy group=sick yes")
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.match(ran.stderr, /^sick2: first\nsick2: second\n/m)
      assert.match(
        ran.stderr,
        /is live on 0 of 2 targets, and nothing was switched:\n {2}sick2: The afterUnpack command /
      )
    }).pipe(Effect.provide(fleet))
  )
})
