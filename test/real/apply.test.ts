/** Saved plans with the real binary over SSH: done as they are, or refused as stale. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { assertFailed, builders, project, reach } from "../kit/project.ts"
import { missingSshd, sshd, titled } from "../kit/sshd.ts"
import { busybox, missingBusybox } from "../kit/userland.ts"

for (const userland of ["GNU", "BusyBox"] as const) {
  const missing = missingSshd ?? (userland === "BusyBox" ? missingBusybox : undefined)
  describe.skipIf(missing !== undefined)(titled(`apply on ${userland}`, missing), () => {
    it.scopedLive(
      "Apply carries out a saved plan, and refuses it once the host or the config has changed.",
      () =>
        Effect.gen(function* () {
          const here = yield* project()
          const host = yield* sshd(userland === "BusyBox" ? { path: yield* busybox() } : {})
          here.knowHost(host)
          const prod = { ...reach(host), builder: "plain", path: "app", afterUnpack: `bin/${here.name} version` }
          here.configure({ prod }, { plain: builders.plain })
          yield* here.good("build", "target=prod")
          const shown = yield* here.good("deploy", "target=prod", "plan", "save=first.json")
          assert.match(shown, / 1\. make [\s\S]* run afterUnpack: .*\n[\s\S]*\. record that it succeeded\n$/)
          const file = path.join(here.root, "first.json")
          assert.strictEqual(
            yield* here.good("deploy", "target=prod", "plan", "json").pipe(Effect.map(sameMoment)),
            sameMoment(fs.readFileSync(file, "utf8"))
          )
          assert.match(yield* here.good("apply", "plan=first.json"), /is live at .*, deployed in/)
          assertFailed(
            yield* here.deployer("apply", "plan=first.json"),
            1,
            /is stale.*: current was nothing and is .* now/
          )

          here.version("2.0")
          yield* here.good("build", "target=prod")
          yield* here.good("deploy", "target=prod", "plan", "save=second.json")
          // The lock and the free space do not count, the config does.
          yield* here.good("lock", "target=prod", "reason=moving")
          assertFailed(yield* here.deployer("apply", "plan=second.json"), 4, /is locked by .* for "moving"/)
          yield* here.good("unlock", "target=prod", "yes")
          here.configure({ prod: { ...prod, keep: 3 } }, { plain: builders.plain })
          assertFailed(
            yield* here.deployer("apply", "plan=second.json"),
            1,
            /targets\.prod\.keep in the config was not set and is 3 now/
          )
          here.configure({ prod }, { plain: builders.plain })
          yield* here.good("apply", "plan=second.json")

          yield* here.good("rollback", "target=prod", "plan", "save=back.json")
          yield* here.good("apply", "plan=back.json")
          const live = fs.readFileSync(path.join(host.home, "app/releases/current", here.name, "VERSION"), "utf8")
          assert.strictEqual(live, "1.0\n")
          assertFailed(yield* here.deployer("apply", "plan=back.json"), 1, /is stale/)
        }),
      120_000
    )
  })
}

/** Fields that differ between two inspections of the same host. */
const sameMoment = (document: string): string =>
  document.replace(/"(madeAt|freeBytes|freeInodes|aheadMillis|toleranceMillis)":("[^"]*"|[-0-9.e]+)/g, '"$1":0')
