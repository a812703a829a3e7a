import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { HostUnreachable } from "../../src/host/RemoteHost.ts"
import { ctrlC, ctrlD } from "../../src/terminal/Prompt.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { hostRelease, refOf } from "../kit/samples.ts"
import { built, currentRef, hostNamed, prodPath, run, stored, usualConfig, world } from "../kit/world.ts"

const two: ConfigInput = {
  ...usualConfig,
  targets: { ...usualConfig.targets, staging: { host: "staging.test", name: "my_app", path: prodPath } }
}

/** A host with the releases A, B and C; B is current. */
const filled = (name?: string) =>
  Effect.map(hostNamed(name), (host) => {
    for (const [index, digit] of ["A", "B", "C"].entries()) {
      host.plantRelease(prodPath, hostRelease({ ref: refOf(digit), serial: index + 1 }), { version: digit })
    }
    host.link(prodPath, refOf("B"))
    return host
  })

const onHost = (host: MemoryHost) =>
  host.files
    .names(`${prodPath}/releases`)
    .filter((name) => name.startsWith("deployer_"))
    .map((name) => name["deployer_".length])

describe("manage", () => {
  it.scoped("Manage shows the releases and its verbs, and can be left in many ways.", () =>
    Effect.gen(function* () {
      yield* built
      for (const leave of ["q", "\\q", "quit", "exit", " q ", ctrlD]) {
        const ran = yield* run("manage", leave)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(ran.asked, ["deployer> "])
        assert.match(ran.stdout, /^Id +Name/)
        assert.match(
          ran.stdout,
          / {2}prune name +removes .*\n {2}delete ref .*\n {2}export ref file .*\n {2}import file .*\n {2}connect target .*\n {2}h .*\n {2}q /
        )
        assert.strictEqual(ran.stderr, "")
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Ctrl-C ends manage with status 130, locally and on a host.", () =>
    Effect.gen(function* () {
      yield* filled()
      assert.strictEqual((yield* run("manage", ctrlC)).status, 130)
      assert.strictEqual((yield* run("manage", "connect prod", ctrlC)).status, 130)
      assert.strictEqual((yield* run("manage target=prod", ctrlC)).status, 130)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage needs a terminal, names the verbs for scripts, and ends when its input closes.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      for (const [line, verb] of [
        ["manage", "deployer manage info"],
        ["manage target=prod", "deployer manage info target=prod"]
      ] as const) {
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 3)
        assert.strictEqual(ran.stdout, "")
        assert.include(ran.stderr, `as in: ${verb}\n`)
      }
      assert.strictEqual(host.connections, 0)
      assert.strictEqual((yield* run("manage", "h")).status, 3)
      assert.strictEqual((yield* run("manage", "connect prod")).status, 3)
      // At a question within a verb as well.
      assert.strictEqual((yield* run("manage target=prod", "delete AAAA")).status, 3)
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage has all verbs for the store.", () =>
    Effect.gen(function* () {
      const [, second, third] = [yield* built, yield* built, yield* built, yield* built]
      const ran = yield* run(
        "manage",
        "info my_app",
        `delete ${second.ref.slice(0, 6)}`,
        "y",
        "",
        `delete ${third.ref}`,
        "n",
        "prune my_app",
        "y",
        "info",
        "h",
        "q"
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /\nid +4\nname +my_app\n/)
      assert.match(ran.stdout, new RegExp(`Removed my_app ${second.ref.slice(0, 8)} from the store`))
      assert.include(ran.stderr, "The answer was no: nothing was removed\n")
      assert.notInclude(ran.stderr, "warning")
      assert.deepStrictEqual(
        (yield* stored).map(({ id }) => id),
        [4]
      )
      assert.lengthOf(ran.stdout.match(/ {2}prune name /g) ?? [], 2)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage has all verbs for a host, over one connection.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      const ran = yield* run(
        "manage target=prod",
        "info aaaa",
        "ln aaaa",
        "delete BBBB",
        "y",
        "prune my_app",
        "integrity deep",
        "q"
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(new Set(ran.asked.filter((question) => question.endsWith("> "))), new Set(["prod> "]))
      assert.match(ran.stdout, /^deploy@host\.test:\/srv\/my_app .*\n.*\ncurrent +my_app +BBBBBBBB/)
      assert.match(ran.stdout, /\nmy_app AAAAAAAA is current on deploy@host\.test now/)
      assert.match(ran.stdout, /\nRemoved my_app BBBBBBBB from deploy@host\.test/)
      assert.match(ran.stdout, /\nNothing to remove from deploy@host\.test\n/)
      assert.match(ran.stdout, /\nmy_app AAAAAAAA \(current\): whole\n/)
      assert.deepStrictEqual(onHost(host), ["A", "C"])
      assert.strictEqual(currentRef(host), refOf("A"))
      assert.strictEqual(host.connections, 1)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage connects to hosts and comes back to the store.", () =>
    Effect.gen(function* () {
      yield* filled()
      yield* filled("staging.test")
      const ran = yield* run("manage", "connect prod", "local", "connect staging", "ln CCCC", "local", "q")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.deepStrictEqual(ran.asked, ["deployer> ", "prod> ", "deployer> ", "staging> ", "staging> ", "deployer> "])
      assert.strictEqual(currentRef(yield* hostNamed()), refOf("B"))
      assert.strictEqual(currentRef(yield* hostNamed("staging.test")), refOf("C"))
    }).pipe(Effect.provide(world({ config: two })))
  )

  it.scoped("Manage stays local if a target is unknown or cannot be reached.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      const staging = yield* hostNamed("staging.test")
      const failure = new HostUnreachable({ address: "staging.test", reason: "refused", detail: "ECONNREFUSED" })
      staging.connectFailure = failure
      for (const [line, before] of [
        ["manage", []],
        ["manage target=prod", ["local"]]
      ] as const) {
        const ran = yield* run(line, ...before, "connect stagin", "connect staging", "connect prod", "q")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(
          ran.stderr,
          `warning: No target named "stagin" (known: prod, staging; did you mean "staging"?)\nwarning: ${failure.message}\n`
        )
        assert.deepStrictEqual(ran.asked.slice(before.length), ["deployer> ", "deployer> ", "deployer> ", "prod> "])
        // A list that stands there already is not shown again.
        assert.lengthOf(ran.stdout.match(/The store is empty/g) ?? [], 1)
      }
      assert.isAbove(host.connections, 0)
      // If the command line names it, no question follows.
      const named = yield* run("manage target=staging", "q")
      assert.strictEqual(named.status, 1)
      assert.strictEqual(named.stderr, `deployer: ${failure.message}\n`)
      assert.deepStrictEqual(named.asked, [])
    }).pipe(Effect.provide(world({ config: two })))
  )

  it.scoped("Manage accepts the beginning of a verb, and suggests verbs for other words.", () =>
    Effect.gen(function* () {
      yield* filled()
      const ran = yield* run(
        "manage target=prod",
        "inf CCCC",
        "int deep",
        "i",
        "inof",
        "frobnicate",
        "export",
        "d",
        "ln",
        "integrity -x",
        "loc",
        "q"
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, new RegExp(`\nref +${refOf("C")}\n`))
      assert.match(ran.stdout, /\nmy_app BBBBBBBB \(current\): whole\n/)
      assert.deepStrictEqual(ran.stderr.split("\n"), [
        'warning: "i" could be info or integrity',
        'warning: There is no "inof" here; did you mean "info"? (h lists the verbs)',
        'warning: There is no "frobnicate" here (h lists the verbs)',
        'warning: "export" does not work here: return to the local store first, with local',
        'warning: "d" could be delete or deploy or doctor',
        "warning: ln needs a ref",
        'warning: integrity takes deep, -f, both or nothing, not "-x"',
        ""
      ])
      assert.strictEqual(ran.asked.at(-1), "deployer> ")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage continues after a verb that failed.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      host.failStep("remove", "Read-only file system")
      const ran = yield* run(
        "manage target=prod",
        "delete FFFF",
        "delete BBBB",
        "delete AAAA",
        "y",
        "delete AAAA",
        ctrlC,
        "prune nothing",
        "info",
        "q"
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(
        ran.stderr,
        /^warning: There is no release "FFFF" on deploy@host\.test .*\nwarning: my_app BBBBBBBB is the current release/
      )
      assert.include(ran.stderr, "warning: Could not remove releases on deploy@host.test: Read-only file system\n")
      assert.include(ran.stderr, "Cancelled: nothing was changed after this question\n")
      assert.match(ran.stderr, /warning: There is no release "nothing" on deploy@host\.test \(it has my_app\)\n$/)
      assert.deepStrictEqual(onHost(host), ["A", "B", "C"])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage deploys, shows status and history, goes back, and checks the host.", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* built, yield* built]
      yield* run("deploy target=prod release=1 yes")
      const ran = yield* run(
        "manage target=prod",
        `deploy ${second.ref.slice(0, 8)}`,
        "status",
        "history",
        "rollback",
        "doctor",
        "q"
      )
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, new RegExp(`${second.ref.slice(0, 8)} \\(id 2\\) is live at .*\n`))
      assert.match(ran.stdout, /^live +my_app .*\n(.*\n)*drift +none$/m)
      assert.match(ran.stdout, /became current/)
      assert.match(ran.stdout, /\bspace\b.* free/)
      assert.strictEqual(currentRef(yield* hostNamed()), first.ref)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage works on a host that nothing was deployed to yet.", () =>
    Effect.gen(function* () {
      const ran = yield* run("manage target=prod", "info", "local", "q")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(
        ran.stderr,
        /^warning: Nothing has been deployed to \/srv\/my_app on deploy@host\.test yet: deploy to it first \(deployer deploy target=prod\)\n/
      )
      assert.deepStrictEqual(ran.asked, ["prod> ", "prod> ", "deployer> "])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage returns to the store when the connection is lost, and says so.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      // One inspection for the first page, one for the completions.
      for (const [steps, asked] of [
        [0, ["deployer> ", "prod> "]],
        [2, ["prod> ", "deployer> ", "prod> "]]
      ] as const) {
        host.loseAfterSteps = steps
        const lines = steps === 0 ? ["connect prod", "q"] : ["ln AAAA", "connect prod", "q"]
        const ran = yield* run("manage target=prod", ...lines)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stderr, /^warning: The connection to deploy@host\.test was lost \(connection reset\)/)
        assert.deepStrictEqual(ran.asked, asked)
      }
      assert.strictEqual(currentRef(host), refOf("B"))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("In manage, integrity -f leaves the current release alone even if it is broken.", () =>
    Effect.gen(function* () {
      const host = yield* filled()
      host.files.write(`${prodPath}/releases/deployer_${refOf("B")}/my_app/version`, "evil")
      const ran = yield* run("manage target=prod", "integrity deep -f", "q")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /my_app BBBBBBBB \(current\): broken \(1 fault\)\n/)
      assert.strictEqual(currentRef(host), refOf("B"))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage completes verbs, names, refs and targets of the store or the connected host.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      yield* filled()
      const ran = yield* run("manage", "connect prod", "q")
      const [local, remote] = ran.completions
      const short = ref.slice(0, 8)
      const cases: ReadonlyArray<
        readonly [typed: string, local: ReadonlyArray<string>, remote: ReadonlyArray<string>]
      > = [
        [
          "",
          ["info ", "prune ", "delete ", "export ", "import ", "connect ", "h", "q"],
          [
            ...["info ", "ln ", "prune ", "delete ", "pin ", "unpin ", "integrity ", "repair", "adopt", "status"],
            ...["history ", "deploy ", "rollback ", "doctor", "local", "h", "q"]
          ]
        ],
        ["in", ["info "], ["info ", "integrity "]],
        ["prune ", ["prune my_app"], ["prune my_app"]],
        ["prune o", [], []],
        ["pr m", ["prune my_app"], ["prune my_app"]],
        ["connect ", ["connect prod", "connect staging"], []],
        ["connect s", ["connect staging"], []],
        [`info ${short.slice(0, 3).toLowerCase()}`, [`info ${short}`], []],
        ["delete b", [], ["delete BBBBBBBB"]],
        ["ln ", [], ["ln AAAAAAAA", "ln BBBBBBBB", "ln CCCCCCCC"]],
        ["deploy ", [], [`deploy ${short}`]],
        ["rollback b", [], ["rollback BBBBBBBB"]],
        ["integrity ", [], ["integrity -f", "integrity deep", "integrity deep -f"]],
        ["nothing ", [], []],
        ["q ", [], []]
      ]
      for (const [typed, expectedLocal, expectedRemote] of cases) {
        assert.deepStrictEqual([...local!(typed)].sort(), [...expectedLocal].sort(), `local: ${typed}`)
        assert.deepStrictEqual([...remote!(typed)].sort(), [...expectedRemote].sort(), `remote: ${typed}`)
      }
    }).pipe(Effect.provide(world({ config: two })))
  )
})
