/** The demo of this repository, as a newcomer to the project runs it. */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { docker, missingDocker } from "../kit/docker.ts"
import { missingSshd, titled } from "../kit/sshd.ts"
import { unsigned } from "../kit/words.ts"

const root = join(import.meta.dirname, "../..")

/** A run of the demo whose temporary files, the hosts included, have a folder of their own. */
const demo = (program: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "demos-"))
      const { FORCE_COLOR: _, ...env } = process.env
      // In a process group of its own, as a shell on a terminal starts it.
      const child = spawn(program, args, {
        cwd: root,
        env: { ...env, TMPDIR: folder },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true
      })
      let said = ""
      const listeners = new Set<() => void>()
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => {
          said += text
          for (const listener of listeners) listener()
        })
      }
      const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
        child.once("close", (status, signal) => resolve(status ?? signal))
      )
      const hears = (text: string) =>
        Effect.promise(
          () =>
            new Promise<void>((resolve, reject) => {
              const listen = () => {
                if (said.includes(text)) resolve()
              }
              listeners.add(listen)
              listen()
              ended.then((status) => reject(new Error(`it ended (${status}) without saying ${text}:\n${said}`)))
            })
        )
      /** Signals everything in the group, as Ctrl-C does. */
      const signal = (name: NodeJS.Signals) => {
        if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name)
      }
      return { folder, said: () => said, hears, signal, ended: Effect.promise(() => ended) }
    }),
    ({ ended, folder, signal }) =>
      Effect.gen(function* () {
        yield* Effect.sync(() => signal("SIGTERM"))
        yield* Effect.timeoutOption(ended, "40 seconds")
        rmSync(folder, { recursive: true, force: true })
      })
  )

/** Files, processes and images of a demo that are still there. */
const leftovers = (folder: string): ReadonlyArray<string> => {
  const processes = spawnSync("ps", ["-A", "-o", "stat=,args="], { encoding: "utf8" }).stdout.split("\n")
  return [
    ...readdirSync(folder).filter((name) => name.startsWith("deployer-")),
    ...processes.filter((line) => !line.startsWith("Z") && line.includes(folder)),
    ...(missingDocker === undefined
      ? docker("images", "--all", "--quiet", "--filter", "label=deployer.demo").split("\n")
      : [])
  ].filter((line) => line !== "")
}

const live = missingSshd === undefined ? it.live : it.live.skip

describe("npm run demo", { timeout: 240_000 }, () => {
  live(titled("The demo shows the main job in at most 80 lines and leaves nothing behind.", missingSshd), () =>
    Effect.gen(function* () {
      const { ended, folder, said } = yield* demo("npm", "run", "demo")
      assert.strictEqual(yield* ended, 0, said())
      const text = unsigned(said())
      assert.isAtMost(text.trimEnd().split("\n").length, 80, text)
      const milestones = [
        "export default config({",
        "$ deployer build_and_deploy target=demo",
        / is live at demo-host/,
        /^deployer: The connection to demo-host was lost/m,
        /^Resuming the upload after \d+ MB$/m,
        / is live at demo-host/,
        /^deployer: .* was not healthy .* it went back to .*, which is live again/m,
        /^live .*\nhealth +healthy/m,
        "$ deployer rollback target=demo",
        / is live again at demo-host/,
        / failed .* it was not healthy/,
        "$ deployer doctor target=demo",
        /current +leads to/,
        /^Done\./m
      ]
      let rest = text
      for (const milestone of milestones) {
        const at = typeof milestone === "string" ? rest.indexOf(milestone) : rest.search(milestone)
        assert.isAtLeast(at, 0, `${milestone} is missing, or not in this place:\n${text}`)
        rest = rest.slice(at + 1)
      }
      assert.deepStrictEqual(leftovers(folder), [])
    }).pipe(Effect.scoped)
  )

  for (const [signal, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143]
  ] as const) {
    live(titled(`A demo that ${signal} ends in the middle of an upload leaves nothing behind.`, missingSshd), () =>
      Effect.gen(function* () {
        // Without npm, which ends by the signal itself and hides the status.
        const run = yield* demo(process.execPath, "--import", "jiti/register", "scripts/demo.ts")
        yield* run.hears(" %, ")
        assert.isNotEmpty(leftovers(run.folder))
        run.signal(signal)
        assert.strictEqual(yield* run.ended, status, run.said())
        assert.deepStrictEqual(leftovers(run.folder), [], run.said())
      }).pipe(Effect.scoped)
    )
  }
})
