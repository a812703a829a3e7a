import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { run } from "../../src/internal/process.ts"

const sh = (script: string) => run({ command: "sh", args: ["-c", script] })
const text = <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.mkString(Stream.decodeText(bytes))

/** A killed process that nobody has reaped yet does not count. */
const alive = (pid: number) => {
  try {
    process.kill(pid, 0)
    const stat = `/proc/${pid}/stat`
    return !existsSync(stat) || !readFileSync(stat, "utf8").includes(") Z ")
  } catch {
    return false
  }
}

describe("process.run", () => {
  it.scoped("A process returns its two outputs separately, and its exit status.", () =>
    Effect.gen(function* () {
      const child = yield* sh("echo out; echo err >&2; exit 7")
      const [out, err, code] = yield* Effect.all([text(child.stdout), text(child.stderr), child.exitCode], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual([out, err, code], ["out\n", "err\n", 7])
    })
  )

  it.scoped("A process with a null byte in an argument fails to start.", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(run({ command: "echo", args: ["a\0b"] }))
      assert.match(error.message, /without null bytes/)
    })
  )

  it.scoped("A process that dies by signal n has the exit status 128+n.", () =>
    Effect.gen(function* () {
      const child = yield* sh("kill -9 $$")
      assert.strictEqual(yield* child.exitCode, 137)
    })
  )

  it.scoped("A process that ignores its input still returns its exit status, and the input is no longer pulled.", () =>
    Effect.gen(function* () {
      let pulled = 0
      const child = yield* run({
        command: "sh",
        args: ["-c", "exec <&-; sleep 0.1; exit 3"],
        stdin: Stream.repeatEffect(
          Effect.sync(() => {
            pulled += 1
            return new Uint8Array(65536)
          })
        )
      })
      assert.strictEqual(yield* child.exitCode, 3)
      assert.isBelow(pulled, 100)
    })
  )

  it.live("A process that reads slowly gets all of its input, no faster than it reads.", () =>
    Effect.gen(function* () {
      let pulled = 0
      const child = yield* run({
        command: "sh",
        args: ["-c", "sleep 0.3; wc -c"],
        stdin: Stream.range(1, 200).pipe(
          Stream.rechunk(1),
          Stream.map(() => {
            pulled += 1
            return new Uint8Array(65536)
          })
        )
      })
      yield* Effect.sleep(Duration.millis(150))
      assert.isBelow(pulled, 20)
      assert.strictEqual((yield* text(child.stdout)).trim(), String(200 * 65536))
    }).pipe(Effect.scoped)
  )

  it.scoped("A process fails with the failure of its input, and does not take it for the end of the input.", () =>
    Effect.gen(function* () {
      const child = yield* run({
        command: "sh",
        args: ["-c", "cat; echo complete"],
        stdin: Stream.concat(Stream.make(new Uint8Array([104, 105])), Stream.fail("cut"))
      })
      const [out, exit] = yield* Effect.all([text(child.stdout), Effect.flip(child.exitCode)], { concurrency: 2 })
      assert.strictEqual(exit, "cut")
      assert.notInclude(out, "complete")
    })
  )

  it.scoped("A process fails to start if its program is missing.", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(run({ command: "/no/such/program", args: [] }))
      assert.include(failure.message, "NotFound")
    })
  )

  it.live("The end of a scope ends the whole process group, even a process that ignores SIGTERM.", () =>
    Effect.gen(function* () {
      const pids = yield* Deferred.make<ReadonlyArray<number>>()
      const fiber = yield* Effect.gen(function* () {
        const child = yield* sh(`trap "" TERM; sleep 60 & echo $! $$; while :; do sleep 1; done`)
        yield* Stream.runForEach(Stream.splitLines(Stream.decodeText(child.stdout)), (line) =>
          Deferred.succeed(pids, line.split(" ").map(Number))
        )
      }).pipe(Effect.scoped, Effect.fork)
      const started = yield* Deferred.await(pids)
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.deepStrictEqual(started.map(alive), [false, false])
      assert.isBelow(Duration.toMillis(took), 3500)
    })
  )

  it.live("A process gets the chosen signal and time to end, and its last output is still read.", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "deployer-process-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      )
      const script = `trap 'yes "stopping now" | head -n 20000; sleep 2.5; echo > ${folder}/cleaned; exit 1' HUP
        echo ready; while :; do sleep 0.1; done`
      const ending = { signal: "SIGHUP", patience: 10_000 } as const
      const fiber = yield* run({ command: "sh", args: ["-c", script], ending }).pipe(
        Effect.flatMap(({ stdout }) => Stream.runHead(stdout)),
        Effect.scoped,
        Effect.fork
      )
      yield* Fiber.await(fiber)
      assert.isTrue(existsSync(`${folder}/cleaned`))
    }).pipe(Effect.scoped)
  )

  it.live("The end of a scope leaves the daemon of an ended process alone.", () =>
    Effect.gen(function* () {
      const pid = yield* Effect.gen(function* () {
        const child = yield* sh("sleep 60 >/dev/null 2>&1 & echo $!")
        const out = yield* text(child.stdout)
        yield* child.exitCode
        return Number(out)
      }).pipe(Effect.scoped)
      assert.isTrue(alive(pid))
      process.kill(pid)
    })
  )
})
