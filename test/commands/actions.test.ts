import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { runAction } from "../../src/commands/actions.ts"
import { HostUnreachable, RemoteHost } from "../../src/host/RemoteHost.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { Reported, Reporter } from "../../src/terminal/Reporter.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { daemon } from "../../src/workspace/daemon.ts"
import { hostRelease, refOf } from "../kit/samples.ts"
import { hostNamed, prodHost, prodPath, run, usualConfig, world } from "../kit/world.ts"

const warnings = Effect.map(
  Effect.flatMap(Reported, ({ events }) => events),
  (events) => events.flatMap((event) => (event._tag === "Warning" ? [event.message] : []))
)

/** A host with one release, which is current. */
const live = Effect.gen(function* () {
  const host = yield* hostNamed()
  host.plantRelease(prodPath, hostRelease({ ref: refOf("A") }), { version: "1" })
  host.link(prodPath, refOf("A"))
  return host
})

const release = `${prodPath}/releases/deployer_${refOf("A")}`

describe("start, stop and restart", () => {
  it.scoped("A start that does not return is explained after ten seconds, and a stop is not.", () =>
    Effect.gen(function* () {
      const host = yield* live
      host.beforeStep = (step) => (step === "run" ? Effect.never : Effect.void)
      for (const [action, count] of [
        ["start", 1],
        ["stop", 0]
      ] as const) {
        yield* Effect.gen(function* () {
          const running = yield* Effect.fork(runAction({ target: "prod", action }))
          yield* TestClock.adjust("9 seconds")
          assert.lengthOf(yield* warnings, 0)
          yield* TestClock.adjust("2 seconds")
          const said = yield* warnings
          assert.lengthOf(said, count)
          for (const sentence of said) {
            assert.match(sentence, /^start has not returned for 10 seconds\..* deployer unit target=prod prints a unit/)
          }
          yield* Fiber.interrupt(running)
        }).pipe(Effect.provide(Reporter.collect))
      }
    }).pipe(Effect.provide(world()), Effect.provide(Prompt.layerScripted([])))
  )

  it.scoped("Start, stop and restart run an Elixir release's own commands in the current release's folder.", () =>
    Effect.gen(function* () {
      const host = yield* live
      host.onRun = ({ command }) => ({ output: `${command}: ok\n` })
      for (const [task, command] of [
        ["start", "bin/my_app daemon"],
        ["stop", "bin/my_app stop"],
        ["restart", "bin/my_app restart"]
      ] as const) {
        host.commands.length = 0
        const ran = yield* run(`${task} target=prod`)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.strictEqual(ran.stdout.trimEnd(), `${command}: ok`)
        assert.strictEqual(ran.stderr, `Running ${task} on deploy@host.test: ${command}\n`)
        assert.deepStrictEqual(host.commands, [
          { command, directory: `${release}/my_app`, name: "my_app", ref: refOf("A"), path: prodPath, release }
        ])
      }
    }).pipe(Effect.provide(world()))
  )

  const own: ConfigInput = {
    ...usualConfig,
    targets: {
      prod: {
        host: prodHost,
        name: "my_app",
        path: prodPath,
        start: "systemctl start 'my app' && echo \"$DEPLOYER_REF\"",
        restart: "systemctl restart my_app"
      }
    }
  }

  it.scoped("Start, stop and restart run the target's own commands word for word if it has some.", () =>
    Effect.gen(function* () {
      const host = yield* live
      for (const task of ["start", "stop", "restart"]) yield* run(`${task} target=prod`)
      assert.deepStrictEqual(
        host.commands.map(({ command }) => command),
        [own.targets!["prod"]!.start, "bin/my_app stop", own.targets!["prod"]!.restart]
      )
    }).pipe(Effect.provide(world({ config: own })))
  )

  it.scoped("Start, stop and restart pass on the exit status and write the output to stdout.", () =>
    Effect.gen(function* () {
      const host = yield* live
      for (const [task, command] of [
        ["start", "bin/my_app daemon"],
        ["stop", "bin/my_app stop"],
        ["restart", "bin/my_app restart"]
      ] as const) {
        for (const exitCode of [1, 3, 127, 255]) {
          host.onRun = () => ({ exitCode, output: "no such node" })
          const ran = yield* run(`${task} target=prod`)
          assert.strictEqual(ran.status, exitCode)
          assert.strictEqual(ran.stdout.trimEnd(), "no such node")
          assert.strictEqual(
            ran.stderr.split("\n").at(-2),
            `deployer: "${command}" (${task}) ended with status ${exitCode} on deploy@host.test; if it said why, that is above`
          )
        }
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Start, stop and restart name the command that they run.", () =>
    Effect.gen(function* () {
      yield* live
      const ran = yield* run("restart target=prod")
      assert.strictEqual(ran.status, 0)
      assert.strictEqual(ran.stdout, "")
      assert.strictEqual(ran.stderr, "Running restart on deploy@host.test: bin/my_app restart\n")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Start, stop and restart need a current release.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      const none = yield* run("start target=prod")
      assert.strictEqual(none.status, 1)
      assert.match(none.stderr, /deployer: Nothing has been deployed to .* yet: deploy to it first/)
      host.plantRelease(prodPath, hostRelease({ ref: refOf("A") }), { version: "1" })
      const unlinked = yield* run("start target=prod")
      assert.strictEqual(unlinked.status, 1)
      assert.match(unlinked.stderr, /no release is current there: deploy first/)
      host.link(prodPath, refOf("B"))
      const dead = yield* run("start target=prod")
      assert.strictEqual(dead.status, 1)
      assert.match(dead.stderr, /there is no .*: deploy it first/)
      assert.deepStrictEqual(host.commands, [])
    }).pipe(Effect.provide(world()))
  )

  const served: ConfigInput = {
    ...usualConfig,
    targets: {
      prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath, ...daemon({ command: "server" }) }
    }
  }

  it.scoped("Failures name the command of a daemon, not the script that does the work.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.plantRelease(prodPath, hostRelease({ ref: refOf("A") }), { version: "1" })
      const none = yield* run("stop target=prod")
      assert.match(
        none.stderr,
        /Could not run "stop daemon 'server'" on .*: no release is current there: deploy first\n$/
      )
      host.link(prodPath, refOf("A"))
      host.onRun = () => ({ never: true })
      const late = yield* run("stop target=prod")
      assert.match(late.stderr, /deployer: "stop daemon 'server'" did not end on deploy@host\.test within 15m/)
    }).pipe(Effect.provide(world({ config: served })))
  )

  it.scoped("Start, stop and restart stop waiting for a command after 15 minutes.", () =>
    Effect.gen(function* () {
      const host = yield* live
      host.onRun = () => ({ never: true })
      const ran = yield* run("start target=prod")
      assert.strictEqual(ran.status, 1)
      assert.match(ran.stderr, /deployer: "bin\/my_app daemon" did not end on deploy@host\.test within 15m/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Start, stop, restart and ssh refuse unknown targets and explain a failed connection.", () =>
    Effect.gen(function* () {
      const host = yield* live
      host.connectFailure = new HostUnreachable({
        address: "deploy@host.test",
        reason: "refused",
        detail: "ECONNREFUSED"
      })
      for (const task of ["start", "stop", "restart", "ssh"]) {
        const unknown = yield* run(`${task} target=prdo`)
        assert.strictEqual(unknown.status, 2)
        assert.strictEqual(unknown.stderr, 'deployer: No target named "prdo" (known: prod; did you mean "prod"?)\n')
        const refused = yield* run(`${task} target=prod`)
        assert.strictEqual(refused.status, 1)
        assert.strictEqual(refused.stderr, `deployer: ${host.connectFailure.message}\n`)
        const missing = yield* run(task)
        assert.strictEqual(missing.status, 2)
        assert.match(missing.stderr, new RegExp(`^deployer: "${task}" needs target`))
      }
    }).pipe(Effect.provide(world()))
  )
})

describe("ssh", () => {
  it.scoped("The ssh command opens a shell in the target's path and says where it is and how to leave it.", () =>
    Effect.gen(function* () {
      const ran = yield* run("ssh target=prod", "somebody is there")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.strictEqual(ran.stdout, "")
      assert.match(ran.stderr, /^A shell in \/srv\/my_app on deploy@host\.test; leave it with exit or Ctrl-D\n$/)
      assert.deepStrictEqual((yield* hostNamed()).shells, [prodPath])
    }).pipe(Effect.provide(world()))
  )

  it.scoped("The ssh command passes on the shell's exit status without a word.", () => {
    const exits = Layer.effect(
      RemoteHost,
      Effect.map(RemoteHost, ({ connect }) => ({
        connect: (target) => Effect.map(connect(target), (session) => ({ ...session, shell: Effect.succeed(130) }))
      }))
    )
    return Effect.gen(function* () {
      const ran = yield* run("ssh target=prod")
      assert.strictEqual(ran.status, 130)
      assert.notInclude(ran.stderr, "deployer:")
    }).pipe(Effect.provide(Layer.provideMerge(exits, world())))
  })
})
