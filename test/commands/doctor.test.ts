import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { built, hostNamed, prodPath, run, world } from "../kit/world.ts"

const lines = (text: string) => text.split("\n").slice(0, -1)

describe("doctor", () => {
  it.scoped("Doctor reports on the host after one look and touches nothing.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const ran = yield* run("doctor target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      const [where, what, head, ...checks] = lines(ran.stdout)
      assert.match(where!, /^deploy@host\.test:\/srv\/my_app as deploy, connected in \d+ ms, checked in \d+ ms$/)
      assert.strictEqual(what, `For my_app ${ref.slice(0, 8)} (id 1):`)
      assert.match(head!, /^Verdict +Check +Found$/)
      assert.lengthOf(checks, 11)
      for (const line of checks) assert.match(line, /^ok /)
      assert.match(ran.stdout, /\nok +space +1\.0 GB free, [\d.]+ k?B needed\n/)
      const host = yield* hostNamed()
      assert.deepStrictEqual(host.steps, ["inspect"])
      assert.isUndefined(host.files.node(prodPath))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Doctor checks the host for the latest release, for the named one, or without any.", () =>
    Effect.gen(function* () {
      const none = yield* run("doctor target=prod")
      assert.strictEqual(none.status, 0, none.stderr)
      assert.include(none.stdout, "The store has no release for it yet")
      const unknown = yield* run("doctor target=prod release=7")
      assert.deepInclude(unknown, { status: 2, stdout: "" })
      yield* built
      yield* built
      assert.include((yield* run("doctor target=prod release=1")).stdout, "(id 1)")
      assert.include((yield* run("doctor target=prod")).stdout, "(id 2)")
    }).pipe(Effect.provide(world()))
  )

  const cases: ReadonlyArray<readonly [name: string, arrange: (host: MemoryHost) => void]> = [
    ["file system", (host) => Object.assign(host, { mount: { ...host.mount, readOnly: true } })],
    ["path", (host) => host.readOnly.add("/")],
    ["tools", (host) => host.missingTools.add("gzip")],
    ["current", (host) => host.files.makeDirectory(`${prodPath}/releases/current`)],
    ["space", (host) => Object.assign(host, { freeBytes: 0 })],
    ["inodes", (host) => Object.assign(host, { freeInodes: 1 })]
  ]
  for (const [name, arrange] of cases) {
    it.scoped(`Doctor fails the check "${name}" in the same words as deploy.`, () =>
      Effect.gen(function* () {
        yield* built
        const host = yield* hostNamed()
        arrange(host)
        const ran = yield* run("doctor target=prod")
        assert.strictEqual(ran.status, 1)
        assert.match(ran.stderr, /^deployer: \d checks? failed on deploy@host\.test \([^\n]*\n$/)
        assert.include(ran.stderr, name)
        const line = lines(ran.signed).find((line) => /^✗ failed +/.test(line) && line.includes(` ${name} `)) ?? ""
        const deployed = yield* run("deploy target=prod yes")
        assert.strictEqual(deployed.status, 1)
        const said = line
          .replace(/^✗ failed +/, "")
          .slice(name.length)
          .trim()
        // They differ only in the place of the host's name.
        const plain = deployed.stderr.replace("deployer: ", "").replace(" on deploy@host.test", "")
        assert.strictEqual(plain.trim(), said.replace("The host lacks", "deploy@host.test lacks"))
      }).pipe(Effect.provide(world()))
    )
  }

  it.scoped("Doctor warns of a wrong clock and of a lock without failing.", () =>
    Effect.gen(function* () {
      yield* built
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
      assert.strictEqual((yield* run(["lock", "target=prod", "reason=freeze"])).status, 0)
      const host = yield* hostNamed()
      host.clockAhead = 86_400
      const ran = yield* run("doctor target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /\nwarning +clock +24 h ahead of this machine's: synchronize both clocks/)
      assert.match(ran.stdout, /\nwarning +lock +locked by tester@laptop for "freeze" .*deployer unlock target=prod\n/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Doctor marks as unknown the facts that the host does not tell.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.clockAhead = undefined
      host.mount = undefined
      host.freeInodes = undefined
      const ran = yield* run("doctor target=prod")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.lengthOf(
        lines(ran.stdout).filter((line) => line.startsWith("unknown ")),
        4
      )
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Doctor with json returns its checks as data.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.missingTools.add("tar")
      const ran = yield* run("doctor target=prod json")
      assert.strictEqual(ran.status, 1)
      const { error, report } = JSON.parse(ran.stdout)
      assert.deepInclude(error, { _tag: "DoctorFailed", failed: ["tools"] })
      assert.deepInclude(report.checks, {
        name: "tools",
        verdict: "failed",
        found: "The host lacks tar",
        advice: "install it there (apt-get install tar, apk add tar or dnf install tar) and deploy again",
        unfit: { reason: "missing-tools", path: prodPath, tools: ["tar"] }
      })
    }).pipe(Effect.provide(world()))
  )
})
