/** Signals at each remote step of a deployment by the real binary: the lock is given back within two seconds, and the current release is whole. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isExhaustive } from "../kit/exhaustive.ts"
import { project, reach } from "../kit/project.ts"
import { missingSshd, sshd, titled } from "../kit/sshd.ts"
import { waitForCommand } from "../kit/waiting.ts"

/** How long the lock may be there after a signal, in milliseconds. */
const patience = 2000

const signals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

const until = (what: string, condition: () => boolean, millis = 20_000) =>
  Effect.gen(function* () {
    const began = performance.now()
    while (!condition()) {
      if (performance.now() - began > millis) return assert.fail(`waited in vain: ${what}`)
      yield* Effect.sleep("10 millis")
    }
    return performance.now() - began
  })

const live = missingSshd === undefined ? it.live : it.live.skip

describe("a signal at each remote step", { timeout: 300_000 }, () => {
  live(
    titled(
      "SIGINT, SIGTERM or SIGHUP at a remote step of a deployment frees the lock within two seconds.",
      missingSshd
    ),
    () =>
      Effect.gen(function* () {
        const here = yield* project()
        const shell = join(here.folder, "login-shell")
        const host = yield* sshd({ shell })
        const state = (name: string) => join(host.folder, name)
        // Each step is one run of the login shell: the one whose turn it is stops there, before or after its work.
        fs.writeFileSync(
          shell,
          `#!/bin/sh
${waitForCommand}
if [ ! -e "${state("turn")}" ]; then exec sh "$@"; fi
n=0
while ! mkdir "${state("step")}.$n" 2>/dev/null; do n=$((n + 1)); done
read -r turn when < "${state("turn")}"
if [ "$n $when" = "1 deaf" ]; then sleep 6 | sh "$@"; exit; fi
stay() { : > "${state("reached")}"; while [ -d "${host.folder}" ] && [ ! -e "${state("over")}" ]; do sleep 0.05; done; }
[ "$n $when" = "$turn before" ] && stay
[ "$n $when" = "$turn after" ] || exec sh "$@"
sh "$@"
status=$?
stay
exit $status
`,
          { mode: 0o755 }
        )
        here.knowHost(host)
        here.configure({
          prod: { ...reach(host), builder: "plain", afterUnpack: "true", afterSwitch: "true" }
        })
        for (const version of ["1.0", "2.0"]) {
          here.version(version)
          here.write("bin/data", randomBytes(20_000).toString("hex"))
          yield* here.good("build", "target=prod")
        }
        yield* here.good("deploy", "target=prod", "release=1")
        const base = join(host.home, "at prod")
        const releases = join(base, "releases")
        const old = fs.readlinkSync(join(releases, "current"))
        const kept = join(here.folder, "kept")
        fs.cpSync(base, kept, { recursive: true, verbatimSymlinks: true })

        const locked = () => {
          const config = join(base, "config")
          const tokens = fs.readdirSync(config).flatMap((name) => /^lock\.([0-9]+)$/.exec(name)?.[1] ?? [])
          const top = `lock.${Math.max(...tokens.map(Number))}`
          return !fs.readFileSync(join(config, top), "utf8").startsWith("free ")
        }
        const steps = () => fs.readdirSync(host.folder).filter((name) => name.startsWith("step."))
        const reset = () => {
          for (const name of [...steps(), "turn", "reached", "over"])
            fs.rmSync(state(name), { recursive: true, force: true })
        }
        const begin = () => here.begin(["deploy", "target=prod", "release=2"])

        // How many steps there are.
        fs.writeFileSync(state("turn"), "none never")
        assert.strictEqual((yield* Effect.flatMap(begin(), ({ ended }) => ended)).status, 0)
        const count = steps().length
        assert.isAtLeast(count, 7)
        const next = fs.readlinkSync(join(releases, "current"))
        assert.notStrictEqual(next, old)

        const names = Object.keys(signals) as ReadonlyArray<keyof typeof signals>
        // The first look needs no lock; the second run is the lock's own.
        for (let step = 1; step < count; step++) {
          for (const [turn, signal] of names.entries()) {
            if (!isExhaustive && turn !== step % names.length) continue
            // The lock's own run does not end before it is given back.
            const when = step === 1 || (step + turn) % 2 === 0 ? "before" : "after"
            reset()
            fs.rmSync(base, { recursive: true })
            fs.cpSync(kept, base, { recursive: true, verbatimSymlinks: true })
            fs.writeFileSync(state("turn"), `${step} ${when}`)
            const running = yield* begin()
            const at = `${signal} ${when} step ${step}`
            yield* until(`${at} is reached\n${running.said()}`, () => fs.existsSync(state("reached")))
            // The last step gives it back itself.
            const isOver = step === count - 1 && when === "after"
            assert.strictEqual(locked(), step > 1 && !isOver, at)
            running.signal(signal)
            yield* until(`${at}: the lock is given back`, () => !locked(), patience)
            const ended = yield* running.ended
            assert.strictEqual(ended.status, signals[signal], `${at}\n${ended.stderr}`)
            fs.writeFileSync(state("over"), "")
            // The step that stopped before its work continues now, without the lock that it needs.
            yield* until(`${at}: nothing goes on`, () => !locked())
            const current = fs.readlinkSync(join(releases, "current"))
            assert.include([old, next], current, at)
            assert.isTrue(fs.existsSync(join(releases, current, ".deployer_release.json")), at)
          }
        }
        reset()
        yield* here.good("deploy", "target=prod", "release=2", "yes", "wait=10s")
        assert.strictEqual(fs.readlinkSync(join(releases, "current")), next)
        assert.include(yield* here.good("manage", "integrity", "target=prod"), "current leads to a complete release")

        // Without the protection: a lock that does not notice the end of its connection is still there.
        reset()
        fs.rmSync(base, { recursive: true })
        fs.cpSync(kept, base, { recursive: true, verbatimSymlinks: true })
        fs.writeFileSync(state("turn"), "1 deaf")
        const running = yield* begin()
        yield* until("the lock is taken", locked)
        running.signal("SIGINT")
        yield* Effect.sleep(patience)
        assert.isTrue(locked())
      }).pipe(Effect.scoped)
  )
})
