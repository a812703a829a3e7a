import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { daemon, daemonCommand, daemonLog } from "../../src/workspace/daemon.ts"
import { runs } from "../kit/project.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(tmpdir(), "deployer-daemon-"))),
  (root) =>
    Effect.sync(() => {
      const file = path.join(root, "my_app.pid")
      const pid = fs.existsSync(file) ? Number.parseInt(fs.readFileSync(file, "utf8"), 10) : Number.NaN
      if (pid > 1 && runs(pid)) process.kill(pid, "SIGKILL")
      fs.rmSync(root, { recursive: true })
    })
)

const shells = [["sh"], ["bash", "--norc"], ["busybox", "sh"]].filter(
  ([program = "", ...words]) => spawnSync(program, [...words, "-c", "true"]).status === 0
)

describe("daemon", () => {
  for (const [program = "", ...words] of shells) {
    const inFolder = (root: string) => (line: string) => {
      const began = performance.now()
      const { status, stderr, stdout } = spawnSync(program, [...words, "-c", line], {
        cwd: root,
        env: { PATH: process.env["PATH"], DEPLOYER_PATH: root, DEPLOYER_NAME: "my_app" },
        encoding: "utf8",
        timeout: 30_000
      })
      return { status, stderr, stdout, millis: performance.now() - began }
    }
    const pidIn = (root: string) => Number.parseInt(fs.readFileSync(path.join(root, "my_app.pid"), "utf8"), 10)

    it.scopedLive(
      `With ${program}, a process starts once, restarts as another one, and stops; its output is in the log.`,
      () =>
        Effect.gen(function* () {
          const root = yield* folder
          const sh = inFolder(root)
          const { restart, start, stop } = daemon({
            command: "SAYS=\"it is up\" node -e 'console.log(process.env.SAYS); setInterval(() => {}, 1e6)'"
          })
          assert.deepInclude(sh(start), { status: 0, stderr: "" })
          const first = pidIn(root)
          assert.isTrue(runs(first))
          assert.strictEqual(sh(start).status, 0)
          assert.strictEqual(pidIn(root), first)
          assert.strictEqual(sh(restart).status, 0)
          const second = pidIn(root)
          assert.deepStrictEqual([runs(first), runs(second), first === second], [false, true, false])
          assert.strictEqual(fs.readFileSync(path.join(root, "my_app.log"), "utf8"), "it is up\nit is up\n")
          assert.strictEqual(sh(stop).status, 0)
          assert.isFalse(runs(second))
          assert.isFalse(fs.existsSync(path.join(root, "my_app.pid")))
          assert.deepInclude(sh(stop), { status: 0, stderr: "" })
        }),
      30_000
    )

    it.scopedLive(
      `With ${program}, a process that does not want to end is killed in time, and one that ends at once is a failure.`,
      () =>
        Effect.gen(function* () {
          const root = yield* folder
          const sh = inFolder(root)
          const stubborn = daemon({
            command: "node -e 'process.on(\"SIGTERM\", () => {}); setInterval(() => {}, 1e6)'",
            stopSeconds: 1
          })
          assert.strictEqual(sh(stubborn.start).status, 0)
          const pid = pidIn(root)
          const { millis, status } = sh(stubborn.stop)
          assert.strictEqual(status, 0)
          assert.isAbove(millis, 900)
          assert.isBelow(millis, 5_000)
          assert.isFalse(runs(pid))
          const failed = sh(daemon({ command: "A=no; echo $A luck; false" }).start)
          assert.strictEqual(failed.status, 1)
          assert.match(failed.stderr, /^it ended at once; what it wrote to \S+my_app\.log:\nno luck\n$/)
          // Not the output of the last time.
          const other = sh(daemon({ command: "echo bad luck; false" }).start)
          assert.match(other.stderr, /my_app\.log:\nbad luck\n$/)
        }),
      30_000
    )

    it.scopedLive(`With ${program}, the log since the start is its last lines, also after the log was emptied.`, () =>
      Effect.gen(function* () {
        const root = yield* folder
        const sh = inFolder(root)
        const log = path.join(root, "my_app.log")
        fs.writeFileSync(log, "this is old\n")
        const { start, stop } = daemon({
          command: "i=0; while [ $i -lt 30 ]; do echo $i; i=$((i + 1)); done; exec sleep 60"
        })
        assert.deepInclude(sh(start), { status: 0, stderr: "" })
        const lines = Array.from({ length: 20 }, (_, index) => `${index + 10}\n`).join("")
        assert.deepInclude(sh(daemonLog), { status: 0, stdout: lines })
        fs.writeFileSync(log, "4\u001b[J\tü\r\n")
        assert.deepInclude(sh(daemonLog), { status: 0, stdout: "4[J\tü\n" })
        fs.writeFileSync(log, "")
        assert.deepInclude(sh(daemonLog), { status: 1, stdout: "" })
        assert.strictEqual(sh(stop).status, 0)
        assert.strictEqual(sh(daemonLog).status, 1)
      })
    )

    it.scopedLive(`With ${program}, a process that got the pid of an earlier one is left alone.`, () =>
      Effect.gen(function* () {
        const root = yield* folder
        const stranger = spawn("sleep", ["60"])
        yield* Effect.addFinalizer(() =>
          Effect.promise(async () => {
            stranger.kill("SIGKILL")
            await once(stranger, "exit")
          })
        )
        fs.writeFileSync(path.join(root, "my_app.pid"), `${stranger.pid} 1\n`)
        assert.strictEqual(inFolder(root)(daemon({ command: "x" }).stop).status, 0)
        assert.isTrue(runs(stranger.pid ?? 0))
      })
    )
  }

  it("The command of a daemon can be read from its text.", () => {
    for (const command of ["node server.js", "it's 'quoted'; x", ""]) {
      const { restart, start } = daemon({ command })
      assert.strictEqual(daemonCommand(start), command)
      assert.strictEqual(daemonCommand(restart), command)
      assert.notMatch(start, /[\p{Cc}]/u)
    }
    assert.isUndefined(daemonCommand("node server.js"))
  })
})
