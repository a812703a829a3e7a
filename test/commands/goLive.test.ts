/** The work after the switch: commands, restart, health, and the way back. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import type { Release } from "../../src/domain/Release.ts"
import { httpAnswer, type MemoryCommand, type MemoryHost, type MemoryResult } from "../../src/host/MemoryHost.ts"
import { HostUnreachable, RemoteHost } from "../../src/host/RemoteHost.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { daemon, daemonLog } from "../../src/workspace/daemon.ts"
import { journalEntry, target } from "../kit/samples.ts"
import { built, currentRef, hostNamed, prodHost, prodPath, type Ran, run, usualConfig, world } from "../kit/world.ts"

const withTarget = (fields: Partial<NonNullable<ConfigInput["targets"]>[string]>): ConfigInput => ({
  ...usualConfig,
  targets: { prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath, ...fields } }
})

const checked = withTarget({
  afterSwitch: "reload",
  restart: "bin/my_app restart",
  health: { command: "bin/my_app ping", timeout: "20 seconds", interval: "1 second", successes: 2 },
  keep: 2
})

/** Runs a command line while time passes as fast as it may. */
const timely = (line: string, ...answers: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(run(line, ...answers))
    const ticking = yield* Effect.fork(
      Effect.forever(
        Effect.zipRight(
          TestClock.adjust("1 second"),
          Effect.promise(() => new Promise(setImmediate))
        )
      )
    )
    const ran: Ran = yield* Fiber.join(fiber)
    yield* Fiber.interrupt(ticking)
    return ran
  })

const events = (host: MemoryHost) => host.journal(prodPath).map(({ event, release }) => [event, release?.ref])

const commands = (host: MemoryHost) => host.commands.map(({ command, ref }) => [command, ref])

/** Commands that contain these words fail in that release. */
const failing =
  (ref: string, word: string, result: MemoryResult = { exitCode: 7, output: "no luck\n" }) =>
  (ran: MemoryCommand): MemoryResult =>
    ran.ref === ref && ran.command.includes(word) ? result : {}

describe("after the switch", () => {
  it.scoped(
    "After the switch come afterSwitch, restart and the health check; then the release counts as healthy.",
    () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        const ran = yield* timely("deploy target=prod yes")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(commands(host), [
          ["reload", ref],
          ["bin/my_app restart", ref],
          ["bin/my_app ping", ref],
          ["bin/my_app ping", ref]
        ])
        assert.deepStrictEqual(events(host), [
          ["staged", ref],
          ["switched", ref],
          ["healthy", ref]
        ])
        assert.include(ran.stderr, "is healthy (2 attempts)")
      }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("Deploy waits for a release that becomes healthy late, and counts successes in a row.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      const answers = [1, 0, 1, 0, 0]
      host.onRun = ({ command }) => ({ exitCode: command.includes("ping") ? (answers.shift() ?? 0) : 0 })
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(ran.stderr, "(5 attempts)")
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scopedLive("A clock that is set during the health check takes no time from the release.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      const clock = Clock.make()
      let ahead = 0
      const dated = () => clock.unsafeCurrentTimeMillis() + ahead
      const settable: Clock.Clock = {
        [Clock.ClockTypeId]: Clock.ClockTypeId,
        unsafeCurrentTimeMillis: dated,
        unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
        currentTimeMillis: Effect.sync(dated),
        currentTimeNanos: clock.currentTimeNanos,
        sleep: (duration) => clock.sleep(duration)
      }
      const answers = [1, 1, 0]
      host.onRun = ({ command }) => {
        if (!command.includes("ping")) return { exitCode: 0 }
        ahead = ahead === 0 ? 3_600_000 : 0
        return { exitCode: answers.shift() ?? 0 }
      }
      const ran = yield* Effect.withClock(run("deploy target=prod yes"), settable)
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.isEmpty(answers)
    }).pipe(
      Effect.provide(world({ config: withTarget({ health: { command: "bin/my_app ping", interval: "10 millis" } }) }))
    )
  )

  for (const [what, word, said] of [
    [
      "its health",
      "ping",
      /was not healthy on deploy@host\.test within 20s \("bin\/my_app ping", \d+ attempts\): it ended with status 7, "no luck"/
    ],
    ["its restart", "restart", /The restart command "bin\/my_app restart" of .* ended with status 7/],
    ["afterSwitch", "reload", /The afterSwitch command "reload" of .* ended with status 7/]
  ] as const) {
    it.scoped(
      `If a new release goes live and ${what} fails, deploy restores, restarts and checks the previous one (status 5).`,
      () =>
        Effect.gen(function* () {
          const good = yield* built
          const bad = yield* built
          const host = yield* hostNamed()
          yield* timely(`deploy target=prod release=${good.id}`)
          host.commands.length = 0
          host.onRun = failing(bad.ref, word)
          const ran = yield* timely(`deploy target=prod release=${bad.id}`)
          assert.strictEqual(ran.status, 5, ran.stderr)
          assert.match(ran.stderr, said)
          assert.match(ran.stderr, /; it went back to my_app [0-9A-F]{8}, which is live again\. /)
          assert.strictEqual(currentRef(host), good.ref)
          assert.deepStrictEqual(commands(host).slice(-4), [
            ["reload", good.ref],
            ["bin/my_app restart", good.ref],
            ["bin/my_app ping", good.ref],
            ["bin/my_app ping", good.ref]
          ])
          assert.deepStrictEqual(events(host).slice(-4), [
            ["switched", bad.ref],
            ["unhealthy", bad.ref],
            ["rolledBack", good.ref],
            ["healthy", good.ref]
          ])
          // More people may read the journal than this terminal.
          const detail = host.journal(prodPath).at(-3)?.detail ?? ""
          assert.match(detail, /"(bin\/my_app …|reload)"/)
          assert.match(detail, /status 7/)
          assert.notMatch(detail, /ping|restart"|no luck/)
          // Its tree stays, so that people can look into it.
          assert.isDefined(host.files.read(`${prodPath}/releases/deployer_${bad.ref}/my_app/version`))
          const info = yield* run("manage info target=prod")
          assert.match(info.stdout, new RegExp(`\ncurrent +my_app +${good.ref.slice(0, 8)} `))
          assert.match(info.stdout, new RegExp(`\nfailed +my_app +${bad.ref.slice(0, 8)} `))
        }).pipe(Effect.provide(world({ config: checked })))
    )
  }

  for (const word of ["reload", "restart", "ping"]) {
    it.scoped(`If somebody makes another release current before "${word}" fails, neither release is judged.`, () =>
      Effect.gen(function* () {
        const good = yield* built
        const bad = yield* built
        const host = yield* hostNamed()
        yield* timely(`deploy target=prod release=${good.id}`)
        const before = events(host)
        host.onRun = ({ command, ref }) => {
          if (ref !== bad.ref || !command.includes(word)) return {}
          host.files.link(`${prodPath}/releases/current`, `deployer_${good.ref}`)
          return { exitCode: 7, output: "no luck\n" }
        }
        const ran = yield* timely(`deploy target=prod release=${bad.id}`)
        assert.strictEqual(ran.status, 1, ran.stderr)
        assert.include(
          ran.stderr,
          `Could not judge my_app ${bad.ref.slice(0, 8)} on deploy@host.test: deployer_${bad.ref} is no longer current: somebody made another release current. Nothing was changed or journaled.`
        )
        assert.deepStrictEqual(events(host).slice(before.length), [
          ["staged", bad.ref],
          ["switched", bad.ref]
        ])
        assert.strictEqual(currentRef(host), good.ref)
      }).pipe(Effect.provide(world({ config: checked })))
    )
  }

  it.scoped("A deployment that fails goes back to the nearest earlier release that is whole.", () =>
    Effect.gen(function* () {
      const [first, gutted, bad] = [yield* built, yield* built, yield* built]
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${first.id}`)
      yield* timely(`deploy target=prod release=${gutted.id}`)
      host.files.write(`${prodPath}/releases/deployer_${gutted.ref}/my_app/version`, "")
      host.onRun = failing(bad.ref, "ping")
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.match(
        ran.stderr,
        /is not whole \(changed my_app\/version\), so the host does not go back to it: repair it with deployer deploy target=prod release=[0-9A-F]{8} retry/
      )
      assert.include(ran.stderr, `it went back to my_app ${first.ref.slice(0, 8)}, which is live again`)
      assert.strictEqual(currentRef(host), first.ref)
      assert.deepStrictEqual(events(host).slice(-3), [
        ["unhealthy", bad.ref],
        ["rolledBack", first.ref],
        ["healthy", first.ref]
      ])
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("A deployment that fails stays current if no earlier release is whole.", () =>
    Effect.gen(function* () {
      const [gutted, bad] = [yield* built, yield* built]
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${gutted.id}`)
      host.files.remove(`${prodPath}/releases/deployer_${gutted.ref}/my_app`)
      host.onRun = failing(bad.ref, "ping")
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.include(ran.stderr, "is not whole (missing my_app")
      assert.match(ran.stderr, /there is nothing to go back to, so it is still current on deploy@host\.test/)
      assert.strictEqual(currentRef(host), bad.ref)
      assert.deepStrictEqual(events(host).at(-1), ["unhealthy", bad.ref])
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("A dead-man's switch does not go back to a release that lacks files.", () =>
    Effect.gen(function* () {
      const [first, gutted, next] = [yield* built, yield* built, yield* built]
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${first.id}`)
      yield* timely(`deploy target=prod release=${gutted.id}`)
      host.files.remove(`${prodPath}/releases/deployer_${gutted.ref}/my_app`)
      let armed = ""
      host.onRun = () => {
        const [name = ""] = host.files.names(`${prodPath}/config`).filter((name) => name.startsWith("armed."))
        armed = host.files.read(`${prodPath}/config/${name}`) ?? ""
        return {}
      }
      const ran = yield* timely(`deploy target=prod release=${next.id}`)
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.include(armed, `${next.ref} ${first.ref} `)
    }).pipe(Effect.provide(world({ config: withTarget({ afterSwitch: "reload", deadMan: "30 seconds" }) })))
  )

  for (const [what, word] of [
    ["an afterSwitch command", "reload"],
    ["the restart", "restart"]
  ] as const) {
    it.scoped(`Deploy goes back to the previous release if ${what} never ends.`, () =>
      Effect.gen(function* () {
        const good = yield* built
        const bad = yield* built
        const host = yield* hostNamed()
        yield* timely(`deploy target=prod release=${good.id}`)
        host.onRun = failing(bad.ref, word, { never: true })
        const ran = yield* timely(`deploy target=prod release=${bad.id}`)
        assert.strictEqual(ran.status, 5, ran.stderr)
        assert.strictEqual(currentRef(host), good.ref)
      }).pipe(Effect.provide(world({ config: checked })))
    )
  }

  const overHttp = (timeout: string) =>
    world({ config: withTarget({ health: { http: "http://127.0.0.1:4000/health", timeout, interval: "1 second" } }) })

  it.scoped("If a plain process is unhealthy, deploy shows its output since its start, and names its log.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = ({ command, ref }) =>
        command === daemonLog
          ? { output: `the port is taken\nby ${ref === bad.ref ? "the new one" : "the old one"}\n` }
          : { exitCode: command === "ping" && ref === bad.ref ? 7 : 0 }
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 5)
      assert.match(
        ran.stderr,
        /The last lines of \/srv\/my_app\/my_app\.log since the start of my_app \w{8}:\nthe port is taken\nby the new one\n/
      )
      assert.include(ran.stderr, "Running restart: daemon 'server'\n")
      assert.include(ran.stderr, "status 7 (its log is /srv/my_app/my_app.log); it went back to")
    }).pipe(
      Effect.provide(
        world({
          config: withTarget({ ...daemon({ command: "server" }), health: { command: "ping", timeout: "3 seconds" } })
        })
      )
    )
  )

  it.scoped("A plain process that ends at once stands in the history, without the values in its command.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      const { restart, stop } = daemon({ command: "TOKEN=secret server" })
      host.onRun = ({ command }) => ({ exitCode: command === restart ? 1 : 0 })
      const { stderr } = yield* timely("deploy target=prod yes")
      assert.match(
        stderr,
        /There is nothing to go back to\. Stopping my_app \w{8}: stop daemon 'TOKEN=secret server'\n/
      )
      assert.isTrue(host.commands.some(({ command }) => command === stop))
      const { stdout } = yield* timely("history target=prod")
      assert.include(
        stdout.replaceAll(/\s+/g, " "),
        'failed tester@laptop the restart command "daemon …" ended with status 1'
      )
      assert.notInclude(stdout, "secret")

      host.onRun = ({ command }) => (command === restart ? { never: true } : { exitCode: 0 })
      const late = yield* timely("deploy target=prod release=1 retry")
      assert.include(late.stderr, `"daemon 'TOKEN=secret server'" did not end`)
      const after = (yield* timely("history target=prod")).stdout
      assert.include(after.replaceAll(/\s+/g, " "), '"daemon …" did not end')
      assert.notInclude(after, "secret")
    }).pipe(Effect.provide(world({ config: withTarget({ ...daemon({ command: "TOKEN=secret server" }) }) })))
  )

  it.scoped("A health attempt cut short by the timeout does not hide the result of the previous attempt.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      let asked = 0
      host.onDial = () => () => {
        asked += 1
        return asked > 12 ? undefined : httpAnswer(503, "no luck")
      }
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.match(ran.stderr, /within 20s \(GET \S+, 13 attempts\): it answered 503, "no luck"; /)
    }).pipe(Effect.provide(overHttp("20 seconds")))
  )

  it.scoped("A health attempt cut short by the timeout is reported if it was the only one.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      host.onDial = () => () => undefined
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.match(ran.stderr, /within 3s \(GET \S+, 1 attempt\): no answer in that time/)
    }).pipe(Effect.provide(overHttp("3 seconds")))
  )

  it.scoped("A release that is healthy too few times in a row is reported with the count.", () =>
    Effect.gen(function* () {
      yield* built
      const host = yield* hostNamed()
      const answers = [1, 0, 0]
      host.onRun = () => ({ exitCode: answers.shift() ?? 0 })
      const ran = yield* timely("deploy target=prod yes")
      assert.match(ran.stderr, /"ping", 3 attempts\): it was healthy 2 times in a row, and 3 are needed/)
    }).pipe(
      Effect.provide(
        world({
          config: withTarget({ health: { command: "ping", timeout: "6 seconds", interval: "2 seconds", successes: 3 } })
        })
      )
    )
  )

  it.scoped("If the first release fails, deploy takes the link away, because there is nothing to go back to.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      host.onRun = failing(ref, "ping")
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 5)
      assert.include(
        ran.stderr,
        "there was nothing to go back to, so nothing is current on deploy@host.test now. Its processes may still run: end them there with deployer ssh target=prod, and set stop in the config, so that deployer does it."
      )
      assert.isUndefined(currentRef(host))
      assert.deepStrictEqual(events(host).slice(-2), [
        ["unhealthy", ref],
        ["unlinked", ref]
      ])
    }).pipe(Effect.provide(world({ config: checked })))
  )

  for (const { exitCode, said, what } of [
    { what: "stops it with the stop command of the target", exitCode: 0, said: /now, and it was stopped\. my_app/ },
    {
      what: "says that it may still run if its stop command fails",
      exitCode: 3,
      said: /Its stop command failed, so its processes may still run: end them there with deployer ssh target=prod\./
    }
  ] as const) {
    it.scoped(`If the first release fails, deploy ${what}.`, () =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        const linked: Array<boolean> = []
        host.onRun = ({ command }) => {
          if (command === "bin/stop") linked.push(currentRef(host) === ref)
          return { exitCode: command === "bin/stop" ? exitCode : command.includes("ping") ? 7 : 0 }
        }
        const ran = yield* timely("deploy target=prod yes")
        assert.strictEqual(ran.status, 5)
        assert.match(ran.stderr, said)
        assert.deepStrictEqual(commands(host).at(-1), ["bin/stop", ref])
        assert.deepStrictEqual(linked, [true])
        assert.isUndefined(currentRef(host))
      }).pipe(
        Effect.provide(
          world({ config: withTarget({ health: { command: "ping", timeout: "3 seconds" }, stop: "bin/stop" }) })
        )
      )
    )
  }

  it.scoped("If a later release fails, deploy does not stop it, because the restart of the previous one does.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = failing(bad.ref, "ping")
      assert.strictEqual((yield* timely(`deploy target=prod release=${bad.id}`)).status, 5)
      assert.notDeepInclude(commands(host), ["bin/stop", bad.ref])
    }).pipe(
      Effect.provide(
        world({
          config: withTarget({ restart: "again", health: { command: "ping", timeout: "3 seconds" }, stop: "bin/stop" })
        })
      )
    )
  )

  it.scoped("If a release fails, deploy puts back the foreign link that was current before.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      host.files.makeDirectory(`${prodPath}/config`)
      host.files.link(`${prodPath}/releases/current`, "/opt/other")
      host.onRun = failing(ref, "ping")
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 5)
      assert.include(ran.stderr, "it went back to the link to /opt/other, which is live again")
      assert.strictEqual(host.files.readLink(`${prodPath}/releases/current`), "/opt/other")
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped(
    "If a release fails, deploy puts back a foreign link rather than a release that was live before that link.",
    () =>
      Effect.gen(function* () {
        const good = yield* built
        const bad = yield* built
        const host = yield* hostNamed()
        yield* timely(`deploy target=prod release=${good.id}`)
        host.files.remove(`${prodPath}/releases/current`)
        host.files.link(`${prodPath}/releases/current`, "/opt/other")
        host.onRun = failing(bad.ref, "ping")
        // Nothing is live if nothing is at the end of the link.
        const dangling = yield* timely(`deploy target=prod release=${bad.id}`)
        assert.include(dangling.stderr, `it went back to my_app ${good.ref.slice(0, 8)}, which is live again`)
        host.files.makeDirectory("/opt/other")
        host.files.remove(`${prodPath}/releases/current`)
        host.files.link(`${prodPath}/releases/current`, "/opt/other")
        const ran = yield* timely(`deploy target=prod release=${bad.id} retry`)
        assert.strictEqual(ran.status, 5, ran.stderr)
        assert.include(ran.stderr, "it went back to the link to /opt/other, which is live again")
        assert.strictEqual(host.files.readLink(`${prodPath}/releases/current`), "/opt/other")
      }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("Deploy goes back even if it cannot record that the previous release is healthy again.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = failing(bad.ref, "ping")
      host.failStep("note", "disk on fire")
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.include(ran.stderr, "is live, but the journal could not be written")
      assert.strictEqual(currentRef(host), good.ref)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("Deploy ends with status 6 if going back fails as well.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = ({ command }) => ({ exitCode: command.includes("ping") ? 1 : 0 })
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 6, ran.stderr)
      assert.match(ran.stderr, /going back to my_app [0-9A-F]{8} failed as well: my_app [0-9A-F]{8} was not healthy/)
      assert.strictEqual(currentRef(host), good.ref)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("A release that failed is no longer offered; if it is named, deploy asks, and retry deploys it.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = failing(bad.ref, "ping")
      yield* timely(`deploy target=prod release=${bad.id}`)
      host.onRun = () => ({})
      const offered = yield* timely("deploy target=prod", "1")
      assert.match(
        offered.stderr,
        /the latest, failed on deploy@host\.test before, so it is not offered: .* \(to deploy it anyway, use deployer deploy target=prod release=[0-9]+ retry\)/
      )
      assert.strictEqual(currentRef(host), good.ref)
      assert.strictEqual((yield* timely("deploy target=prod yes")).status, 3)
      const named = yield* timely(`deploy target=prod release=${bad.id} yes`)
      assert.strictEqual(named.status, 3)
      assert.include(named.stderr, "retry")
      assert.strictEqual((yield* timely(`deploy target=prod release=${bad.id}`, "n")).status, 1)
      assert.strictEqual(currentRef(host), good.ref)
      const retried = yield* timely("deploy target=prod retry yes")
      assert.strictEqual(retried.status, 0, retried.stderr)
      assert.strictEqual(currentRef(host), bad.ref)
      // It is well now, so the earlier failure no longer counts.
      assert.strictEqual((yield* timely("deploy target=prod yes")).status, 0)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("If the connection is lost after the switch, the next deploy does the remaining steps.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      let lost = false
      host.beforeStep = (step) =>
        Effect.sync(() => {
          if (step === "activate" && !lost) host.loseAfterSteps = 2
          if (step === "activate") lost = true
        })
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /warning: my_app .* is current on .* the next deploy of it resumes there/)
      host.commands.length = 0
      const again = yield* timely("deploy target=prod yes")
      assert.strictEqual(again.status, 0, again.stderr)
      assert.match(again.stdout, /was current .* already, and the steps after the switch are done now/)
      assert.deepStrictEqual(commands(host).at(0), ["reload", ref])
      assert.deepStrictEqual(events(host).at(-1), ["healthy", ref])
      assert.match((yield* timely("deploy target=prod yes")).stdout, /nothing to do/)
    }).pipe(Effect.provide(world({ config: checked })))
  )
})

describe("a target without restart", () => {
  const line =
    /^ {4}no restart is configured, so a running program continues with my_app (\w{8}) until it is restarted$/m
  const deployments = Effect.gen(function* () {
    const releases = [yield* built, yield* built, yield* built]
    const told: Array<string | undefined> = []
    for (const { id } of releases) {
      const ran = yield* timely(`deploy target=prod release=${id}`)
      assert.strictEqual(ran.status, 0, ran.stderr)
      told.push(line.exec(ran.stdout)?.[1])
    }
    const back = yield* timely("rollback target=prod")
    assert.strictEqual(back.status, 0, back.stderr)
    told.push(line.exec(back.stdout)?.[1])
    return { told, refs: releases.map(({ ref }) => ref.slice(0, 8)) }
  })

  it.scoped(
    "If a program is configured without restart, each replacement says that it continues with the old release.",
    () =>
      Effect.gen(function* () {
        const { refs, told } = yield* deployments
        assert.deepStrictEqual(told, [undefined, refs[0], refs[1], refs[2]])
      }).pipe(Effect.provide(world({ config: withTarget({ start: "run" }) })))
  )

  it.scoped("If the target may be a static site, only the first replacement says that nothing is restarted.", () =>
    Effect.gen(function* () {
      const { refs, told } = yield* deployments
      assert.deepStrictEqual(told, [undefined, refs[0], undefined, undefined])
    }).pipe(Effect.provide(world()))
  )

  for (const setting of ["restart", "afterSwitch"] as const) {
    it.scoped(`If ${setting} is configured, no replacement says that nothing is restarted.`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual((yield* deployments).told, [undefined, undefined, undefined, undefined])
      }).pipe(Effect.provide(world({ config: withTarget({ [setting]: "again", start: "run" }) })))
    )
  }
})

describe("a deployment with nothing to do", () => {
  const down = { exitCode: 7, output: "no pid file\n" }
  const live = Effect.gen(function* () {
    yield* built
    yield* timely("deploy target=prod yes")
    const host = yield* hostNamed()
    host.commands.length = 0
    return host
  })

  it.scoped("If nothing is to be deployed, deploy checks the health once, and fails if the application is down.", () =>
    Effect.gen(function* () {
      const host = yield* live
      const well = yield* timely("deploy target=prod yes")
      assert.deepStrictEqual([well.status, host.commands.length], [0, 1], well.stderr)
      assert.match(well.stdout, /nothing to do/)
      host.onRun = () => down
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(ran.stdout, "")
      assert.match(
        ran.stderr,
        /There is nothing to deploy, because my_app \w{8} is live on deploy@host\.test already, but it is not healthy \("ping": it ended with status 7, "no pid file"\): start it with deployer start target=prod, or restart it with deployer restart target=prod$/m
      )
    }).pipe(Effect.provide(world({ config: withTarget({ health: { command: "ping", successes: 1 } }) })))
  )

  it.scoped("If nothing is to be deployed to a target without health, deploy runs nothing on the host.", () =>
    Effect.gen(function* () {
      const host = yield* live
      assert.match((yield* timely("deploy target=prod yes")).stdout, /nothing to do/)
      assert.lengthOf(host.commands, 0)
    }).pipe(Effect.provide(world({ config: withTarget({ restart: "again" }) })))
  )
})

describe("keep", () => {
  it.scoped(
    "The keep setting spares that many healthy releases, and the previous, the pinned and the last failed one.",
    () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        const all = [yield* built, yield* built, yield* built, yield* built, yield* built, yield* built]
        const refs = () => all.map(({ ref }) => host.files.node(`${prodPath}/releases/deployer_${ref}`) !== undefined)
        yield* timely("deploy target=prod release=1")
        assert.strictEqual((yield* timely(`manage pin ${all[0]?.ref} target=prod`)).status, 0)
        yield* timely("deploy target=prod release=2")
        host.onRun = (ran) => ({ exitCode: ran.ref === all[2]?.ref && ran.command.includes("ping") ? 1 : 0 })
        assert.strictEqual((yield* timely("deploy target=prod release=3")).status, 5)
        yield* timely("deploy target=prod release=4")
        assert.deepStrictEqual(refs(), [true, true, true, true, false, false])
        const ran = yield* timely("deploy target=prod release=5")
        assert.include(ran.stderr, "Removed old releases")
        assert.deepStrictEqual(refs(), [true, false, true, true, true, false])
        yield* timely(`manage unpin ${all[0]?.ref} target=prod`)
        yield* timely("deploy target=prod release=6")
        assert.deepStrictEqual(refs(), [false, false, true, false, true, true])
        assert.deepInclude(events(host), ["removed", all[0]?.ref])
      }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("Manage pin fails if the pin cannot be written to the journal.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      yield* timely("deploy target=prod yes")
      host.journalFailure = "disk on fire"
      const ran = yield* timely(`manage pin ${ref} target=prod`)
      assert.strictEqual(ran.status, 1, ran.stdout)
      assert.include(ran.stderr, "Could not write the journal on deploy@host.test: disk on fire")
    }).pipe(Effect.provide(world({ config: checked })))
  )

  for (const [what, spoil] of [
    ["the step fails", (host: MemoryHost) => host.failStep("note", "disk on fire")],
    ["the journal is full", (host: MemoryHost) => Object.assign(host, { journalFailure: "disk on fire" })]
  ] as const) {
    it.scoped(`If ${what} before a release is recorded as healthy, the keep setting does not count it.`, () =>
      Effect.gen(function* () {
        const host = yield* hostNamed()
        const all = [yield* built, yield* built, yield* built, yield* built]
        const refs = () => all.map(({ ref }) => host.files.node(`${prodPath}/releases/deployer_${ref}`) !== undefined)
        yield* timely("deploy target=prod release=1")
        yield* timely("deploy target=prod release=2")
        yield* timely("deploy target=prod release=3")
        assert.deepStrictEqual(refs(), [false, true, true, false])
        host.onRun = ({ command, ref }) => {
          if (ref === all[3]?.ref && command.includes("ping")) spoil(host)
          return {}
        }
        const ran = yield* timely("deploy target=prod release=4")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.include(ran.stderr, "is live, but the journal could not be written")
        assert.deepStrictEqual(refs(), [false, true, true, true])
      }).pipe(Effect.provide(world({ config: checked })))
    )
  }

  it.scoped("A deployment succeeds with a warning if older releases cannot be removed.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      yield* built
      yield* built
      yield* built
      yield* timely("deploy target=prod release=1")
      yield* timely("deploy target=prod release=2")
      host.failStep("remove", "disk on fire")
      const ran = yield* timely("deploy target=prod release=3")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stderr, /warning: Older releases could not be removed/)
    }).pipe(Effect.provide(world({ config: checked })))
  )
})

describe("rollback", () => {
  it.scoped("Rollback goes back one healthy release each time, with hooks, restart and health check.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      const [a, b, c] = [yield* built, yield* built, yield* built]
      for (const { id } of [a, b, c]) yield* timely(`deploy target=prod release=${id}`)
      host.commands.length = 0
      const ran = yield* timely("rollback target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /^my_app [0-9A-F]{8} is live again at deploy@host\.test:\/srv\/my_app/)
      assert.strictEqual(currentRef(host), b.ref)
      assert.deepStrictEqual(commands(host).slice(0, 2), [
        ["reload", b.ref],
        ["bin/my_app restart", b.ref]
      ])
      yield* timely("rollback target=prod")
      assert.strictEqual(currentRef(host), a.ref)
      const none = yield* timely("rollback target=prod")
      assert.strictEqual(none.status, 1)
      assert.include(
        none.stderr,
        `There is no previous healthy release on deploy@host.test. It has my_app ${a.ref.slice(0, 8)} (current), my_app `
      )
      assert.include(none.stderr, "Name one with deployer rollback target=prod to=REF")
      yield* timely(`rollback target=prod to=${c.id}`)
      assert.strictEqual(currentRef(host), c.ref)
      assert.match((yield* timely(`rollback target=prod to=${c.ref}`)).stdout, /nothing to do/)
    }).pipe(Effect.provide(world({ config: withTarget({ afterSwitch: "reload", restart: "bin/my_app restart" }) })))
  )

  it.scoped("Rollback skips releases that failed, and comes back if its destination fails.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      const [a, b, c] = [yield* built, yield* built, yield* built]
      yield* timely("deploy target=prod release=1")
      host.onRun = failing(b.ref, "ping")
      yield* timely("deploy target=prod release=2")
      yield* timely("deploy target=prod release=3")
      host.onRun = failing(a.ref, "ping")
      const failed = yield* timely("rollback target=prod")
      assert.strictEqual(failed.status, 5, failed.stderr)
      assert.strictEqual(currentRef(host), c.ref)
      host.onRun = () => ({})
      // A failed when the rollback went back to it, and B before: only the journal knows.
      assert.strictEqual((yield* timely("rollback target=prod")).status, 1)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("History calls a release healthy only if a check passed, and shows one release alone if it is named.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = failing(bad.ref, "ping")
      yield* timely(`deploy target=prod release=${bad.id}`)
      const { stdout } = yield* timely(`history ${bad.ref.slice(0, 6)} target=prod`)
      assert.notInclude(stdout, good.ref.slice(0, 8))
      // The reason is whole, in as many lines as it needs.
      assert.match(
        stdout.replaceAll(/\s+/g, " "),
        /failed tester@laptop it was not healthy within 20s \("bin\/my_app …"\): it ended with status 7/
      )
      assert.match(
        (yield* timely("history 1 target=prod")).stdout,
        /^\S+ \S+ +my_app [0-9A-F]{8} +healthy +tester@laptop$/m
      )
      assert.match(
        (yield* timely("history FFFF target=prod")).stdout,
        /^There is no entry about FFFF in the journal of /
      )
      assert.strictEqual((yield* timely("history nobody target=prod")).status, 2)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("If there is no way back, rollback lists the current and the failed releases as such.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      const good = yield* built
      const bad = yield* built
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = failing(bad.ref, "ping")
      yield* timely(`deploy target=prod release=${bad.id}`)
      const ran = yield* timely("rollback target=prod")
      assert.strictEqual(ran.status, 1)
      const [current, failed] = [good, bad].map(({ ref }) => `my_app ${ref.slice(0, 8)}`)
      const reason = 'failed: it was not healthy within 20s ("bin/my_app …"): it ended with status 7'
      assert.include(ran.stderr, `It has ${current} (current), ${failed} (${reason}). Name one`)
    }).pipe(Effect.provide(world({ config: checked })))
  )

  it.scoped("History shows a rollback and its outcome.", () =>
    Effect.gen(function* () {
      yield* built
      yield* built
      yield* timely("deploy target=prod release=1")
      yield* timely("deploy target=prod release=2")
      yield* timely("rollback target=prod")
      const { stdout } = yield* timely("history target=prod last=3")
      const [head, ...lines] = stdout.trim().split("\n")
      assert.match(head!, /^When \(UTC\) +Release +What +By +Why/)
      assert.match(lines[0]!, /live, not checked +tester@laptop/)
      assert.match(lines[1]!, /became current again/)
      assert.lengthOf(lines, 3)
    }).pipe(Effect.provide(world()))
  )
})

describe("a dead-man's switch", () => {
  const layer = world({
    config: withTarget({ restart: "bin/my_app restart", deadMan: "30 seconds" })
  })

  it.scoped("Deploy confirms a dead-man's switch over a new connection.", () =>
    Effect.gen(function* () {
      const { ref } = yield* built
      const host = yield* hostNamed()
      const ran = yield* timely("deploy target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.strictEqual(host.connections, 2)
      yield* TestClock.adjust(Duration.minutes(5))
      assert.strictEqual(currentRef(host), ref)
      assert.deepStrictEqual(events(host).at(-1), ["healthy", ref])
    }).pipe(Effect.provide(layer))
  )

  it.scoped("The host goes back by itself if a release is not confirmed in time, and deploy says so.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.beforeStep = (step) =>
        Effect.gen(function* () {
          if (step === "confirm") yield* Effect.sleep("40 seconds")
        })
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 5, ran.stderr)
      assert.include(ran.stderr, "was not confirmed in time, and the host went back by itself")
      assert.strictEqual(currentRef(host), good.ref)
      assert.deepStrictEqual(events(host).slice(-2), [
        ["unhealthy", bad.ref],
        ["rolledBack", good.ref]
      ])
      assert.deepInclude(host.commands.at(-1), { command: "bin/my_app restart", ref: good.ref })
    }).pipe(Effect.provide(layer))
  )

  it.scoped("If a dead-man's switch runs out before the new release is current, nothing is switched.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.beforeStep = (step) => (step === "activate" ? Effect.sleep("40 seconds") : Effect.void)
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.include(ran.stderr, "the time of the dead-man switch was up before that, so nothing was switched")
      assert.strictEqual(currentRef(host), good.ref)
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A dead-man's switch goes back if the deployer can no longer reach the host.", () =>
    Effect.gen(function* () {
      const good = yield* built
      const bad = yield* built
      const host = yield* hostNamed()
      yield* timely(`deploy target=prod release=${good.id}`)
      host.onRun = () => {
        host.connectFailure = new HostUnreachable({ address: prodHost, reason: "timeout", detail: "no answer" })
        return {}
      }
      const ran = yield* timely(`deploy target=prod release=${bad.id}`)
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.include(ran.stderr, "could not be confirmed")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(currentRef(host), good.ref)
    }).pipe(Effect.provide(layer))
  )

  describe("of somebody who is gone", () => {
    /** Of two healthy releases the first is current again, and the host is about to go back to the second. */
    const pending = Effect.gen(function* () {
      const [one, two, three] = [yield* built, yield* built, yield* built]
      yield* timely(`deploy target=prod release=${one.id}`)
      yield* timely(`deploy target=prod release=${two.id}`)
      const session = yield* (yield* RemoteHost).connect(target())
      const of = ({ ref }: Release) => ({ release: { name: "my_app", ref } })
      const entries = [
        journalEntry({ event: "unhealthy", ...of(one) }),
        journalEntry({ event: "rolledBack", ...of(two) })
      ]
      const id = yield* session.arm({ ref: one.ref, back: { ref: two.ref, name: "my_app" }, seconds: 30, entries })
      yield* session.activate(one.ref, {
        entries: [journalEntry({ event: "switched", ...of(one) })],
        armed: id
      })
      return { host: yield* hostNamed(), one, two, three }
    })

    it.scoped("Manage ln of the current release disarms a dead-man's switch that was left behind.", () =>
      Effect.gen(function* () {
        const { host, one } = yield* pending
        const ran = yield* timely(`manage ln ${one.ref} target=prod`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(currentRef(host), one.ref)
      }).pipe(Effect.provide(layer))
    )

    for (const deadMan of [undefined, "30 seconds"]) {
      it.scoped(
        `A failed deployment goes back to the release that an abandoned dead-man's switch restored${deadMan === undefined ? "" : ", by its own switch too"}.`,
        () =>
          Effect.gen(function* () {
            const { host, three, two } = yield* pending
            host.beforeStep = (step) => (step === "stage" ? Effect.sleep("40 seconds") : Effect.void)
            host.onRun = ({ ref }) => {
              // With a switch of its own, the deployer never comes back; without one, its restart fails.
              if (ref !== three.ref) return {}
              if (deadMan === undefined) return { exitCode: 1 }
              host.connectFailure = new HostUnreachable({ address: prodHost, reason: "timeout", detail: "no answer" })
              return {}
            }
            const ran = yield* timely(`deploy target=prod release=${three.id}`)
            assert.strictEqual(ran.status, deadMan === undefined ? 5 : 1, ran.stderr)
            yield* TestClock.adjust("2 minutes")
            assert.strictEqual(currentRef(host), two.ref)
          }).pipe(
            Effect.provide(
              world({
                config: withTarget({ restart: "bin/my_app restart", ...(deadMan === undefined ? {} : { deadMan }) })
              })
            )
          )
      )
    }
  })
})
