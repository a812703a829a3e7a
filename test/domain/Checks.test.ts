import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import { type Check, checks, type Needs } from "../../src/domain/Checks.ts"
import { unmeasured } from "../../src/domain/HostState.ts"
import { Lock, LockDetails } from "../../src/domain/Lock.ts"
import { hostState, refOf } from "../kit/samples.ts"

type State = Parameters<typeof hostState>[0]

const mount = { point: "/srv", type: "ext4", readOnly: false, noExec: false }
const healthy: State = {
  mount,
  freeInodes: 1000,
  user: "deploy",
  loaders: ["/lib64/ld-linux-x86-64.so.2"],
  clock: { aheadMillis: 200, toleranceMillis: 550 }
}
const glibc = { machines: ["x86_64"], interpreters: ["/lib64/ld-linux-x86-64.so.2"] }
const needs = (fields: Partial<Needs> = {}): Needs => ({
  bytes: 4000,
  inodes: 9,
  executables: true,
  binaries: glibc,
  platformCheck: true,
  ...fields
})

const check = (name: Check["name"], state: State, wanted?: Needs): Check => {
  const found = checks(hostState({ ...healthy, ...state }), wanted).find((one) => one.name === name)
  return found ?? assert.fail(`there is no check ${name}`)
}
const verdict = (name: Check["name"], state: State, wanted?: Needs) => check(name, state, wanted).verdict

describe("checks", () => {
  it("The checks find nothing wrong with a healthy host, with and without a release.", () => {
    for (const wanted of [undefined, needs()]) {
      const all = checks(hostState(healthy), wanted)
      assert.deepStrictEqual([...new Set(all.map((one) => one.verdict))], ["ok"])
      assert.strictEqual(new Set(all.map(({ name }) => name)).size, all.length)
      assert.isTrue(all.every(({ advice, found }) => advice === undefined && found !== ""))
    }
  })

  it("The advice about a path on a read-only disk is not to change its owner.", () => {
    const found = (where: string) =>
      check("path", { base: "not-writable", where, mount: { ...mount, point: "/srv", readOnly: true } }).unfit?.reason
    assert.strictEqual(found("/srv/my_app/config"), "read-only")
    assert.strictEqual(found("/other/my_app"), "not-writable")
  })

  it("Each check that warns or fails gives advice, and each failed one states the facts.", () => {
    const states: ReadonlyArray<State> = [
      { base: "not-writable", mount: { ...mount, readOnly: true }, missingTools: ["tar", "sha256"], freeBytes: 1 },
      { base: "not-a-directory", mount: { ...mount, type: "vfat" }, freeInodes: 1, machine: "aarch64" },
      { mount: { ...mount, noExec: true }, current: { _tag: "Occupied", by: "file" }, loaders: [] },
      { clock: { aheadMillis: -90_000, toleranceMillis: 500 } }
    ]
    for (const state of states) {
      for (const one of checks(hostState({ ...healthy, ...state }), needs())) {
        const well = one.verdict === "ok" || one.verdict === "unknown"
        assert.strictEqual(one.advice === undefined, well, one.name)
        assert.strictEqual(one.unfit === undefined, one.verdict !== "failed", one.name)
      }
    }
  })

  it("The checks mark as unknown the facts that the host does not tell.", () => {
    const all = checks(hostState({ freeBytes: unmeasured, machine: "vax" }), needs({ binaries: undefined }))
    assert.deepStrictEqual(
      all.filter((one) => one.verdict === "unknown").map(({ name }) => name),
      ["file system", "space", "inodes", "execution", "platform", "clock"]
    )
    assert.isTrue(all.every((one) => one.verdict !== "failed"))
  })

  it("The checks compare free space and inodes with the needs of the release.", () => {
    assert.strictEqual(verdict("space", { freeBytes: 4000 }, needs()), "ok")
    const full = check("space", { freeBytes: 3999 }, needs())
    assert.deepStrictEqual(full.unfit, { reason: "no-space", path: "/srv/my_app", tools: [], needed: 4000, free: 3999 })
    assert.include(full.found, "/srv/my_app has 4.0 kB free, and 4.0 kB are needed")
    assert.strictEqual(verdict("inodes", { freeInodes: 9 }, needs()), "ok")
    assert.strictEqual(verdict("inodes", { freeInodes: 8 }, needs()), "failed")
  })

  it("The checks recognise file systems on which nothing can be switched.", () => {
    assert.include(check("file system", { mount: { ...mount, type: "vfat" } }).found, "no symbolic links")
    assert.include(check("file system", { mount: { ...mount, readOnly: true } }).found, "read-only")
    assert.strictEqual(check("file system", {}).found, "ext4 at /srv")
  })

  it("The checks refuse noexec if programs would not start, and warn if that is uncertain.", () => {
    const noExec = { mount: { ...mount, noExec: true } }
    assert.strictEqual(verdict("execution", noExec, needs()), "failed")
    assert.strictEqual(verdict("execution", noExec, needs({ platformCheck: false })), "warning")
    assert.strictEqual(verdict("execution", noExec, needs({ binaries: undefined })), "warning")
    assert.strictEqual(verdict("execution", noExec, needs({ binaries: { machines: [], interpreters: [] } })), "warning")
    assert.strictEqual(verdict("execution", noExec, needs({ executables: false })), "ok")
    assert.strictEqual(verdict("execution", noExec), "warning")
  })

  describe("of the platform", () => {
    const musl = "/lib/ld-musl-x86_64.so.1"
    for (const [what, state, binaries, expected] of [
      ["programs for the host", {}, glibc, "ok"],
      ["no programs", {}, { machines: [], interpreters: [] }, "ok"],
      ["static programs on a host without a loader", { loaders: [] }, { machines: ["x86_64"], interpreters: [] }, "ok"],
      ["programs for another machine", { machine: "aarch64" }, glibc, "failed"],
      ["static programs for another machine", {}, { machines: ["aarch64"], interpreters: [] }, "failed"],
      ["glibc programs on musl", { loaders: [musl] }, glibc, "failed"],
      ["musl programs on glibc", {}, { machines: ["x86_64"], interpreters: [musl] }, "failed"],
      [
        "programs for two C libraries, of which the host has one",
        {},
        { machines: ["x86_64"], interpreters: [musl, ...glibc.interpreters] },
        "ok"
      ],
      [
        "programs for two machines, of which the host is one",
        {},
        { machines: ["aarch64", "x86_64"], interpreters: glibc.interpreters },
        "ok"
      ],
      [
        "32-bit programs on a 64-bit host",
        { loaders: ["/lib/ld-linux.so.2"] },
        { machines: ["i386"], interpreters: ["/lib/ld-linux.so.2"] },
        "ok"
      ],
      [
        "32-bit programs without their loader",
        {},
        { machines: ["i386"], interpreters: ["/lib/ld-linux.so.2"] },
        "failed"
      ],
      [
        "32-bit ARM programs on a 64-bit host",
        { machine: "aarch64", loaders: ["/lib/ld-linux-armhf.so.3"] },
        { machines: ["arm"], interpreters: ["/lib/ld-linux-armhf.so.3"] },
        "ok"
      ],
      ["64-bit programs on a 32-bit host", { machine: "i686" }, glibc, "failed"],
      [
        "programs whose loader lies elsewhere",
        {},
        { machines: ["x86_64"], interpreters: ["/nix/store/x/ld-linux.so.2"] },
        "unknown"
      ],
      ["programs on an unknown machine", { machine: "vax" }, glibc, "unknown"],
      ["unknown programs", {}, { machines: ["machine 8"], interpreters: [] }, "unknown"]
    ] as const) {
      it(`The verdict of the platform check for ${what} is ${expected}.`, () => {
        assert.strictEqual(verdict("platform", state, needs({ binaries })), expected)
        assert.strictEqual(verdict("platform", state, needs({ binaries, platformCheck: false })), "unknown")
      })
    }

    it("The platform check names the platforms of both the release and the host.", () => {
      assert.strictEqual(
        check("platform", { machine: "aarch64" }, needs()).found,
        "The release holds programs for x86_64, and the host is aarch64"
      )
      assert.include(
        check("platform", { loaders: [musl] }, needs()).found,
        `started by /lib64/ld-linux-x86-64.so.2, and the host has only ${musl}`
      )
    })
  })

  it("The checks warn of a clock that is certainly off by a minute.", () => {
    const clock = (aheadMillis: number, toleranceMillis: number) =>
      check("clock", { clock: { aheadMillis, toleranceMillis } })
    assert.strictEqual(clock(60_000, 0).verdict, "warning")
    assert.strictEqual(clock(60_000, 1).verdict, "ok")
    assert.strictEqual(clock(-60_500, 500).verdict, "warning")
    assert.strictEqual(clock(86_400_000, 500).found, "24 h ahead of this machine's")
    assert.strictEqual(clock(-86_400_000, 500).found, "24 h behind this machine's")
  })

  it("The checks warn of a lock, and name the release that current leads to.", () => {
    const details = LockDetails.make({
      by: "me@laptop",
      reason: "freeze",
      since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
      nonce: "n",
      held: true
    })
    const lock = check("lock", { lock: Lock.make({ token: 1, idleSeconds: 1, details }) })
    assert.deepInclude({ ...lock }, { verdict: "warning" })
    assert.include(lock.found, 'me@laptop for "freeze"')
    assert.include(lock.advice, "deployer unlock")
    const [named] = checks(
      hostState({ lock: Lock.make({ token: 1, idleSeconds: 1, details }) }),
      undefined,
      "prod"
    ).slice(-1)
    assert.include(named?.advice, "deployer unlock target=prod")
    assert.include(check("current", { current: { _tag: "Linked", ref: refOf("A") } }).found, refOf("A").slice(0, 8))
  })
})
