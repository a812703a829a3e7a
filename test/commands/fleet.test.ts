import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HostUnreachable } from "../../src/host/RemoteHost.ts"
import { hostNamed, run, usualConfig, usualImage, world } from "../kit/world.ts"

const member = (host: string, zone: string) => ({
  host,
  user: "deploy",
  name: "my_app",
  path: "/srv/my_app",
  builder: "prod",
  labels: { zone }
})

const config = {
  ...usualConfig,
  targets: { web1: member("web1.test", "a"), web2: member("web2.test", "b"), db: member("db.test", "a") },
  groups: { web: ["web*"] }
}

const fleet = world({ config, image: () => usualImage("1") })

const deployed = Effect.gen(function* () {
  assert.strictEqual((yield* run("build target=web1")).status, 0)
  for (const key of ["web1", "web2"]) assert.strictEqual((yield* run(`deploy target=${key} yes`)).status, 0)
})

describe("a command about many targets", () => {
  it.scoped("Status shows a line for each member of a group, and one document with all of them.", () =>
    Effect.gen(function* () {
      yield* deployed
      const ran = yield* run("status group=web")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(
        ran.stdout,
        /^Target +Verdict +Found\nweb1 +good +my_app [0-9A-F]{8}, since .* UTC\nweb2 +good +my_app /
      )
      assert.notInclude(ran.stdout, "db")
      const data = yield* run("status group=web json")
      assert.strictEqual(data.status, 0, data.stderr)
      const { _tag, members } = JSON.parse(data.stdout)
      assert.strictEqual(_tag, "StatusFleet")
      assert.deepStrictEqual(
        members.map(({ address, report, target }: Record<string, { readonly _tag: string }>) => [
          target,
          address,
          report?._tag
        ]),
        [
          ["web1", "deploy@web1.test", "StatusReport"],
          ["web2", "deploy@web2.test", "StatusReport"]
        ]
      )
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Members that fail are named, those with the same failure together, and the others are still shown.", () =>
    Effect.gen(function* () {
      yield* deployed
      for (const name of ["web2.test", "db.test"]) {
        const address = `deploy@${name}`
        const host = yield* hostNamed(name)
        host.connectFailure = new HostUnreachable({ address, reason: "refused", detail: `connect ${address}` })
      }
      const ran = yield* run("status target=*")
      assert.match(ran.stdout, /^web1 +good .*\nweb2 +failed *\ndb +failed *\n$/m)
      assert.match(ran.stderr, /2 of 3 targets failed:\n {2}web2, db: .*web2\.test/)
      const data = yield* run("status target=* json")
      const failure = JSON.parse(data.stdout)
      assert.strictEqual(failure._tag, "Failure")
      assert.strictEqual(failure.exitStatus, ran.status)
      assert.strictEqual(failure.error._tag, "FleetFailed")
      assert.deepStrictEqual(failure.error.failures[0].targets, ["web2", "db"])
      assert.strictEqual(failure.report.members[1].failure.error._tag, "HostUnreachable")
      assert.strictEqual(failure.report.members[1].failure.exitStatus, ran.status)
      const mixed = yield* run("status where=zone:a")
      assert.match(mixed.stderr, /1 of 2 targets failed:\n {2}db: /)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Doctor counts each member's checks, and history shows the entries of all in one table.", () =>
    Effect.gen(function* () {
      yield* deployed
      const doctor = yield* run("doctor group=web")
      assert.strictEqual(doctor.status, 0, doctor.stderr)
      assert.match(doctor.stdout, /^web1 +good +[0-9]+ ok/m)
      const history = yield* run("history group=web last=1")
      assert.strictEqual(history.status, 0, history.stderr)
      assert.match(history.stdout, /^When \(UTC\) +Target +Release/)
      assert.match(history.stdout, / web1 +my_app /)
      assert.match(history.stdout, / web2 +my_app /)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("A line without targets names the known ones, and a word that names none is a mistake.", () =>
    Effect.gen(function* () {
      const none = yield* run("status")
      assert.strictEqual(none.status, 2)
      assert.match(none.stderr, /"status" needs target=…/)
      const wrong = yield* run("status group=wbe")
      assert.strictEqual(wrong.status, 2)
      assert.match(wrong.stderr, /no group is named "wbe"/)
      assert.strictEqual((yield* run("status target=web1 json")).status, 1)
    }).pipe(Effect.provide(fleet))
  )

  it.scoped("Exec runs a command on all targets, with each line after the key of its target.", () =>
    Effect.gen(function* () {
      yield* deployed
      for (const key of ["web1", "web2"]) {
        const host = yield* hostNamed(`${key}.test`)
        host.onRun = () => ({ output: `one of ${key}\ntwo`, exitCode: key === "web2" ? 3 : 0 })
      }
      const ran = yield* run("exec group=web -- bin/my_app version")
      assert.strictEqual(ran.status, 3, ran.stderr)
      const lines = ran.stdout.split("\n").filter((line) => line !== "")
      assert.sameMembers(lines, ["web1: one of web1", "web1: two", "web2: one of web2", "web2: two"])
      assert.match(ran.stderr, /1 of 2 targets failed:\n {2}web2: ".*version.*" ended with status 3 on /)
      const data = yield* run("exec group=web json -- bin/my_app version")
      const { members } = JSON.parse(data.stdout).report
      assert.deepStrictEqual(
        members.map(({ report }: { readonly report: { readonly status: number; readonly stdout: string } }) => [
          report.status,
          report.stdout
        ]),
        [
          [0, "one of web1\ntwo"],
          [3, "one of web2\ntwo"]
        ]
      )
    }).pipe(Effect.provide(fleet))
  )
})
