/** One program deploys to many targets at once: each independently, and all within a limit of memory. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as path from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { project, reach } from "../kit/project.ts"
import { freePort, missingSshd, sshd, titled } from "../kit/sshd.ts"

const megabyte = 1_000_000
const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip

const run = promisify(execFile)
const jiti = new URL("../../node_modules/jiti/lib/jiti-register.mjs", import.meta.url).pathname
const program = new URL("../kit/deployToMany.ts", import.meta.url).pathname

describe("deployments at once from one program", () => {
  scoped(
    titled("One program deploys to many targets at once, each by itself and with less than 20 MB.", missingSshd),
    () =>
      Effect.gen(function* () {
        const host = yield* sshd()
        const here = yield* project()
        here.knowHost(host)
        const keys = Array.from({ length: 9 }, (_, n) => `t${n}`)
        const [alone = "", ...many] = keys
        const nowhere = { ...reach(host), port: yield* Effect.promise(freePort) }
        here.configure(
          {
            ...Object.fromEntries(keys.map((key) => [key, { ...reach(host), builder: "here" }])),
            nowhere: { ...nowhere, builder: "here" }
          },
          { here: `command({ run: "true", releasePath: "build" })` }
        )
        for (let n = 0; n < 30; n++) here.write(`build/file-${n}`, randomBytes(megabyte).toString("latin1"))
        yield* here.good("build", `target=${alone}`)
        const deployTo = (targets: ReadonlyArray<string>) =>
          Effect.promise(async () => {
            const { stdout } = await run(process.execPath, ["--import", jiti, program, ...targets], {
              cwd: here.root,
              env: here.env
            })
            const told: { readonly outcomes: ReadonlyArray<string>; readonly peak: number } = JSON.parse(stdout)
            return told
          })
        // The first one compiles it.
        yield* deployTo([])
        const one = yield* deployTo([alone])
        assert.deepStrictEqual(one.outcomes, ["deploy"])
        const all = yield* deployTo([...many, "nowhere", alone])
        assert.deepStrictEqual(all.outcomes, [...many.map(() => "deploy"), "HostUnreachable", "nothing"])
        for (const key of many) {
          const link = path.join(host.home, `at ${key}`, "releases/current")
          assert.match(yield* here.good("status", `target=${key}`), /^files +all there$/m, link)
        }
        const each = (all.peak - one.peak) / many.length
        const said = `one: ${Math.round(one.peak / megabyte)} MB, ${many.length} at once: ${Math.round(all.peak / megabyte)} MB`
        console.log(said)
        // The release is more than twice as large.
        assert.isBelow(each, 20 * megabyte, said)
      }),
    240_000
  )

  scoped(titled("Status looks at many targets at once, and names the one that is not reachable.", missingSshd), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const here = yield* project()
      here.knowHost(host)
      const nowhere = { ...reach(host), port: yield* Effect.promise(freePort) }
      const at = (zone: string) => ({ ...reach(host), builder: "here", labels: { zone } })
      here.configure(
        { web1: at("a"), web2: at("b"), nowhere: { ...nowhere, builder: "here" } },
        { here: `command({ run: "true", releasePath: "build" })` }
      )
      here.write("build/file", "text")
      yield* here.good("build", "target=web1")
      for (const key of ["web1", "web2"]) yield* here.good("deploy", `target=${key}`, "yes")
      assert.match(yield* here.good("status", "where=zone:a"), /^web1 +good +\S+ [0-9A-F]{8}, since .* UTC$/m)
      const all = yield* here.run(["status", "target=*", "json"])
      assert.strictEqual(all.status, 1)
      assert.match(all.stderr, /1 of 3 targets failed:\n {2}nowhere: /)
      const { error, report } = JSON.parse(all.stdout)
      assert.deepStrictEqual(error.failures[0].targets, ["nowhere"])
      assert.deepStrictEqual(
        report.members.map(({ failure, target }: Readonly<Record<string, unknown>>) => [target, failure === undefined]),
        [
          ["web1", true],
          ["web2", true],
          ["nowhere", false]
        ]
      )
    })
  )
})
