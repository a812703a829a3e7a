/** Plans that are saved, and applied later: exactly as saved, or not at all. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { refOf } from "../kit/samples.ts"
import {
  built,
  currentRef,
  hostNamed,
  prodHost,
  prodPath,
  projectFolder,
  run,
  usualConfig,
  world
} from "../kit/world.ts"

const withHooks: ConfigInput = {
  ...usualConfig,
  targets: {
    prod: {
      host: prodHost,
      user: "deploy",
      name: "my_app",
      path: prodPath,
      afterUnpack: "migrate",
      restart: "bin/my_app restart"
    }
  }
}

/** In a world with a folder: a test gets the name of a plan in it. */
const inFolder = (test: (file: string) => Effect.Effect<void, unknown, World>) =>
  Effect.flatMap(projectFolder, (root) =>
    test(join(root, "plan.json")).pipe(Effect.provide(world({ root, config: withHooks })))
  )
type World = Layer.Layer.Success<ReturnType<typeof world>>

const good = (line: string, ...answers: ReadonlyArray<string>) =>
  Effect.tap(run(line, ...answers), ({ status, stderr }) => assert.strictEqual(status, 0, `${line}: ${stderr}`))

const edit = (file: string, from: string | RegExp, to: string) => {
  const text = readFileSync(file, "utf8")
  assert.notStrictEqual(text.replace(from, to), text)
  writeFileSync(file, text.replace(from, to))
}

const changing = (host: MemoryHost) => host.steps.filter((step) => step !== "inspect")

describe("apply", () => {
  it.scoped("Apply carries out a saved plan exactly and asks nothing.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        const { ref } = yield* built
        const host = yield* hostNamed()
        const shown = yield* good("deploy target=prod plan")
        const planned = yield* good(`deploy target=prod plan save=${file}`)
        assert.strictEqual(planned.stdout, shown.stdout)
        assert.strictEqual(
          planned.stderr,
          `Saved the plan as ${file}: deployer apply plan=${file} carries it out, or refuses if the host has changed\n`
        )
        assert.strictEqual(
          (yield* good("deploy target=prod plan json")).stdout.length,
          readFileSync(file, "utf8").length
        )
        assert.strictEqual(statSync(file).mode & 0o777, 0o600)
        assert.deepStrictEqual(changing(host), [])
        const document = JSON.parse(readFileSync(file, "utf8"))

        const ran = yield* good(`apply plan=${file} json`)
        assert.deepStrictEqual(ran.asked, [])
        assert.strictEqual(currentRef(host), ref)
        const report = JSON.parse(ran.stdout)
        assert.strictEqual(report._tag, "DeployReport")
        assert.deepStrictEqual(report.plan.steps, document.plan.steps)
        assert.deepStrictEqual(
          host.commands.map(({ command }) => command),
          ["migrate", "bin/my_app restart"]
        )
        // A plan is applied once.
        const again = yield* run(`apply plan=${file}`)
        assert.strictEqual(again.status, 1)
        assert.match(
          again.stderr,
          /^deployer: The plan for deploy@host\.test is stale, and nothing was switched: current was nothing and is my_app [0-9A-F]{8} now; .*\. Make a new plan and check it: deployer deploy target=prod release=[0-9A-F]{8} plan save=\S+plan\.json\n$/
        )
      })
    )
  )

  it.scoped("Apply takes no lock and says that there is nothing to do if the plan has no steps.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good("deploy target=prod yes")
        yield* good(`deploy target=prod plan save=${file}`)
        const host = yield* hostNamed()
        host.steps.length = 0
        assert.match((yield* good(`apply plan=${file}`)).stdout, /nothing to do/)
        assert.deepStrictEqual(host.steps, ["inspect"])
      })
    )
  )

  it.scoped("Apply carries out a planned rollback.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        const { ref } = yield* built
        yield* good("deploy target=prod yes")
        yield* built
        yield* good("deploy target=prod yes")
        const host = yield* hostNamed()
        const planned = yield* good(`rollback target=prod plan save=${file}`)
        assert.match(
          planned.stdout,
          /^back to my_app ([0-9A-F]{8}) on prod: deploy@host\.test:\/srv\/my_app\n 1\. verify that every file of it is there\n 2\. switch current from my_app [0-9A-F]{8} to my_app \1\n 3\. run restart: bin\/my_app restart\n 4\. record that it succeeded\n$/
        )
        assert.notStrictEqual(currentRef(host), ref)
        assert.match((yield* good(`apply plan=${file}`)).stdout, /is live again at/)
        assert.strictEqual(currentRef(host), ref)
        assert.strictEqual(host.journal(prodPath).at(-2)?.event, "rolledBack")
      })
    )
  )

  it.scoped("Apply refuses a plan if anything was done to the host since, and changes nothing.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good("deploy target=prod yes")
        const second = yield* built
        yield* good("deploy target=prod yes")
        yield* built
        const host = yield* hostNamed()
        yield* good(`deploy target=prod plan save=${file}`)
        for (const [line, clause] of [
          ["rollback target=prod", /current was my_app (\w{8}) and is my_app (?!\1)\w{8} now/],
          [`rollback target=prod to=${second.ref}`, /the last entry of the host's journal is "healthy"/]
        ] as const) {
          yield* TestClock.adjust("1 second")
          yield* good(line)
          host.steps.length = 0
          const ran = yield* run(`apply plan=${file}`)
          assert.strictEqual(ran.status, 1, line)
          assert.match(ran.stderr, clause)
          // Refused at the first inspection, before the lock.
          assert.deepStrictEqual(host.steps, ["inspect"])
        }
        host.plantUpload(prodPath, { ref: refOf("B"), content: new Uint8Array(5) })
        assert.include((yield* run(`apply plan=${file}`)).stderr, "the unfinished upload of BBBBBBBB is new")
      })
    )
  )

  it.scoped("Apply refuses a plan if the host changes between the look and the lock.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good("deploy target=prod yes")
        yield* built
        yield* good("deploy target=prod yes")
        const host = yield* hostNamed()
        const current = currentRef(host)
        for (const line of ["deploy target=prod release=1", "rollback target=prod"]) {
          yield* good(`${line} plan save=${file}`)
          host.steps.length = 0
          host.beforeStep = (step) =>
            Effect.sync(() => {
              if (step === "lock") host.plantUpload(prodPath, { ref: refOf("B"), content: new Uint8Array(5) })
            })
          const ran = yield* run(`apply plan=${file}`)
          host.beforeStep = () => Effect.void
          assert.strictEqual(ran.status, 1)
          assert.include(ran.stderr, "the unfinished upload of BBBBBBBB is new")
          assert.deepStrictEqual(
            changing(host).filter((step) => step !== "unlock"),
            ["lock"]
          )
          assert.strictEqual(currentRef(host), current)
          host.files.remove(`${prodPath}/releases/.staging_${refOf("B")}`)
        }
      })
    )
  )

  it.scoped("Apply refuses a plan if the config, the bytes or the plan itself have changed.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good(`deploy target=prod plan save=${file}`)
        const host = yield* hostNamed()
        const whole = readFileSync(file, "utf8")
        for (const [from, to, said] of [
          [
            '"afterUnpack":"migrate"',
            '"afterUnpack":"reboot"',
            'targets.prod.afterUnpack in the config was "reboot" and is "migrate" now'
          ],
          ['"host":"host.test"', '"host":"other.test"', 'targets.prod.host in the config was "other.test"'],
          [/"sha256":"[0-9a-f]{4}/, '"sha256":"0000', "the record of my_app"],
          [/\{"_tag":"Run","hook":"restart"[^}]*\},/, "", "the steps were "]
        ] as const) {
          writeFileSync(file, whole)
          edit(file, from, to)
          const ran = yield* run(`apply plan=${file}`)
          assert.strictEqual(ran.status, 1, said)
          assert.include(ran.stderr, said)
        }
        assert.deepStrictEqual(changing(host), [])
        writeFileSync(file, whole)
        yield* good(`apply plan=${file}`)
      })
    )
  )

  it.scoped("Apply refuses a plan if its release is gone from the store, without contacting the host.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good(`deploy target=prod plan save=${file}`)
        yield* good("manage delete 1 yes")
        const host = yield* hostNamed()
        const connections = host.connections
        const ran = yield* run(`apply plan=${file}`)
        assert.strictEqual(ran.status, 2)
        assert.match(ran.stderr, /^deployer: No release has the id, name or ref "[0-9A-F]{32}"/)
        assert.strictEqual(host.connections, connections)
      })
    )
  )

  it.scoped("Apply fails like a deployment if the host lacks space or is locked.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good(`deploy target=prod plan save=${file}`)
        const host = yield* hostNamed()
        host.freeBytes = 10
        const full = yield* run(`apply plan=${file}`)
        assert.deepStrictEqual([full.status, full.stderr.includes("free space")], [1, true])
        // A change of the free space does not make it stale.
        host.freeBytes = 500_000
        yield* good(`apply plan=${file}`)
        yield* built
        yield* good(`deploy target=prod plan save=${file}`)
        yield* good("lock target=prod reason=moving")
        const locked = yield* run(`apply plan=${file}`)
        assert.strictEqual(locked.status, 4, locked.stderr)
        yield* good("unlock target=prod yes")
        // A lock that somebody held meanwhile does not make it stale.
        yield* good(`apply plan=${file}`)
      })
    )
  )

  it.scoped("Apply asks nothing about a release that failed before, because planning asked already.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good("deploy target=prod yes")
        const bad = yield* built
        const host = yield* hostNamed()
        host.onRun = ({ command, ref }) => ({ exitCode: ref === bad.ref && command.includes("restart") ? 1 : 0 })
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 5)
        host.onRun = () => ({})
        const refused = yield* run(`deploy target=prod plan save=${file}`)
        assert.strictEqual(refused.status, 3)
        assert.include(refused.stderr, "retry")
        assert.isFalse(existsSync(file))
        assert.lengthOf((yield* good(`deploy target=prod plan save=${file}`, "y")).asked, 1)
        yield* good(`deploy target=prod plan retry save=${file}`)
        assert.deepStrictEqual((yield* good(`apply plan=${file}`)).asked, [])
        assert.strictEqual(currentRef(host), bad.ref)
      })
    )
  )

  it.scoped("Apply leaves other unfinished deployments alone.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        const host = yield* hostNamed()
        host.plantUpload(prodPath, { ref: refOf("B"), content: new Uint8Array(5) })
        yield* good(`deploy target=prod plan save=${file}`)
        assert.deepStrictEqual((yield* good(`apply plan=${file}`)).asked, [])
        assert.isDefined(host.files.bytes(`${prodPath}/releases/.staging_${refOf("B")}/release.tar.gz`))
      })
    )
  )

  it.scoped("Apply lists the mistakes in a file that is not a valid plan.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        yield* good(`deploy target=prod plan save=${file}`)
        const whole = readFileSync(file, "utf8")
        const refusal = Effect.fnUntraced(function* (text: string) {
          writeFileSync(file, text)
          const ran = yield* run(`apply plan=${file}`)
          assert.strictEqual(ran.status, 2, ran.stderr)
          assert.isTrue(ran.stderr.startsWith(`deployer: ${file} is not a valid plan`), ran.stderr)
          assert.isBelow(ran.stderr.length, 2_000)
          return ran.stderr
        })
        for (const text of ["", "plan", whole.slice(0, -20), "null", "[]", '"x"', "\u0000"]) yield* refusal(text)
        assert.match(yield* refusal("{}"), /has 5 mistakes:\n {2}version: is missing\n[\s\S]*\n {2}_tag: is missing\n/)
        assert.match(
          yield* refusal(whole.replace('"version":2', '"version":1')),
          /version: must be 2; another version of deployer made it\. Make one with/
        )
        assert.match(yield* refusal(whole.replace('"_tag":"Settle"', '"_tag":"Reboot"')), /plan\.steps\.\d+/)
        assert.match(yield* refusal(whole.replace('"version":2', '"version":2,"run":"reboot"')), /run: is unexpected/)
        rmSync(file)
        const none = yield* run(`apply plan=${file}`)
        assert.strictEqual(none.status, 2)
        assert.include(none.stderr, `${file} does not exist`)
      })
    )
  )

  it.scoped("The save option needs the plan flag and a path that can be written.", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        yield* built
        const host = yield* hostNamed()
        for (const line of [`deploy target=prod yes save=${file}`, `rollback target=prod save=${file}`]) {
          const ran = yield* run(line)
          assert.deepStrictEqual(
            [ran.status, ran.stderr],
            [2, `deployer: "save" goes with "plan": plan save=${file}\n`]
          )
        }
        assert.strictEqual(host.connections, 0)
        const nowhere = yield* run(`deploy target=prod plan save=${file}/plan.json`)
        assert.strictEqual(nowhere.status, 1)
        assert.include(nowhere.stderr, "could not be saved")
      })
    )
  )
})
