/** Commands over SSH, whichever program speaks the protocol. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { bytes, connectTo, sh } from "../kit/sshClient.ts"
import { missing, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"

class Host extends Context.Tag("test/Host")<Host, Sshd>() {}

const hostile = [
  "",
  " ",
  "two words",
  "it's",
  "''",
  '"quoted"',
  "$HOME `id` $(id)",
  "back\\slash\\",
  "new\nline\n",
  "tab\t*?[a]",
  "-n",
  "ä€😀",
  "!! #comment & | ; < > ( ) { } ~ ^ %",
  "\u0001\u007f"
]

const absent = missingSshd ?? missing("ssh")
const suite = absent === undefined ? describe : describe.skip

const clients = [
  { ssh: "ssh2", name: "SSH" },
  { ssh: "openssh", name: "the system's ssh" }
] as const

suite(titled("SSH commands", absent), () => {
  for (const { name, ssh } of clients) {
    layer(Layer.scoped(Host, sshd()), { excludeTestServices: true, timeout: "5 minutes" })(
      `commands over ${name}`,
      (it) => {
        it.scoped(`A command over ${name} returns its output and its exit status.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const result = yield* transport.exec(sh("echo out; echo err >&2; exit 7"))
            assert.deepStrictEqual(result, { exitCode: 7, stdout: "out\n", stderr: "err\n" })
            const quiet = yield* transport.exec(sh(":"))
            assert.deepStrictEqual(quiet, { exitCode: 0, stdout: "", stderr: "" })
          })
        )

        it.scoped(`A command over ${name} begins in the login directory.`, () =>
          Effect.gen(function* () {
            const host = yield* Host
            const transport = yield* connectTo(host, { ssh })
            assert.strictEqual((yield* transport.exec(sh("pwd; echo $HOME"))).stdout, `${host.home}\n${host.home}\n`)
          })
        )

        it.scoped(`A command over ${name} gets every word as it is.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const result = yield* transport.exec(sh(`for word in "$@"; do printf "%s\\000" "$word"; done`, hostile))
            assert.deepStrictEqual(result.stdout.split("\0").slice(0, -1), hostile)
          })
        )

        it.scoped(`A command over ${name} takes a large input and returns a large output.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const { sha256, stream } = bytes(20_000_000)
            const stdin = yield* transport.exec(sh("sha256sum", [], { stdin: stream, wait: "transfer" }))
            assert.strictEqual(stdin.stdout, `${sha256}  -\n`)
            const stdout = yield* transport.exec(sh("yes | head -c 20000000"))
            assert.strictEqual(stdout.stdout.length, 20_000_000)
            const stderr = yield* transport.exec(sh("yes | head -c 20000000 >&2; echo the end >&2"))
            assert.strictEqual(stderr.stderr.length, 8192)
            assert.isTrue(stderr.stderr.endsWith("y\nthe end\n"))
          })
        )

        it.scoped(`A command over ${name} may end without reading its input.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            for (const wait of ["command", "transfer"] as const) {
              const result = yield* transport.exec(sh("exit 3", [], { stdin: bytes(20_000_000).stream, wait }))
              assert.strictEqual(result.exitCode, 3)
            }
          })
        )

        it.scoped(`A command over ${name} without input reads an end of file.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            assert.strictEqual((yield* transport.exec(sh("cat; echo done"))).stdout, "done\n")
          })
        )

        it.scoped(`A command over ${name} fails with the failure of its input.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            for (const wait of ["command", "transfer"] as const) {
              const stdin = Stream.concat(Stream.make(Buffer.from("abc")), Stream.fail("no more" as const))
              const error = yield* Effect.flip(transport.exec(sh("cat; sleep 60", [], { stdin, wait })))
              assert.strictEqual(error, "no more")
            }
          })
        )

        it.scoped(`A command over ${name} that dies by signal n has the exit status 128+n.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            assert.strictEqual((yield* transport.exec(sh("kill -TERM $$"))).exitCode, 143)
            assert.strictEqual((yield* transport.exec(sh("kill -KILL $$"))).exitCode, 137)
          })
        )

        it.scoped(`More commands run side by side over ${name} than sshd allows sessions.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const numbers = Array.from({ length: 30 }, (_, index) => String(index))
            const results = yield* Effect.forEach(
              numbers,
              (number) => transport.exec(sh(`sleep 0.05; printf %s "$1"; exit "$1"`, [number])),
              { concurrency: "unbounded" }
            )
            assert.deepStrictEqual(
              results.map((result) => [result.stdout, String(result.exitCode)]),
              numbers.map((number) => [number, number])
            )
          })
        )

        it.scoped(`A command over ${name} never loses its output or its exit status, however quickly it ends.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            for (let round = 0; round < 100; round++) {
              const result = yield* transport.exec(sh(`printf x; printf y >&2; exit ${round}`))
              assert.deepStrictEqual(result, { exitCode: round, stdout: "x", stderr: "y" })
            }
          })
        )

        it.scoped(`A command over ${name} passes its output on as it comes.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const seen: Array<string> = []
            const onOutput = (chunk: Uint8Array) => Effect.sync(() => void seen.push(Buffer.from(chunk).toString()))
            const fiber = yield* Effect.fork(
              transport.exec(sh("echo one; read line", [], { onOutput, stdin: Stream.never }))
            )
            yield* Effect.repeat(Effect.sleep(10), { until: () => seen.length > 0 })
            assert.strictEqual(seen.join(""), "one\n")
            yield* Fiber.interrupt(fiber)
            const result = yield* transport.exec(sh("echo two; echo three >&2; exit 4", [], { onOutput }))
            assert.deepStrictEqual(result, { exitCode: 4, stdout: "", stderr: "" })
            assert.include(seen.join(""), "two\n")
            assert.include(seen.join(""), "three\n")
          })
        )

        it.scoped(`A command over ${name} waits for a slow reader of its output.`, () =>
          Effect.gen(function* () {
            const host = yield* Host
            const transport = yield* connectTo(host, { ssh })
            const progress = join(host.home, "progress")
            let size = 0
            const onOutput = (chunk: Uint8Array) => {
              const first = size === 0
              size += chunk.length
              return first ? Effect.sleep(500) : Effect.void
            }
            const script = `dd if=/dev/zero bs=1000000 count=5 2>/dev/null; echo 5 > "$1"
          dd if=/dev/zero bs=1000000 count=15 2>/dev/null; echo 20 > "$1"`
            const fiber = yield* Effect.fork(transport.exec(sh(script, [progress], { onOutput })))
            yield* Effect.sleep(400)
            assert.isFalse(existsSync(progress))
            assert.strictEqual((yield* Fiber.join(fiber)).exitCode, 0)
            assert.strictEqual(size, 20_000_000)
          })
        )

        it.scoped(`A command over ${name} ends even if a program in the background keeps its output open.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const seen: Array<string> = []
            const onOutput = (chunk: Uint8Array) => Effect.sync(() => void seen.push(Buffer.from(chunk).toString()))
            const result = yield* transport.exec(sh("sleep 60 & echo started; exit 5", [], { onOutput }))
            assert.strictEqual(result.exitCode, 5)
            assert.deepStrictEqual(seen, ["started\n"])
          })
        )

        it.scoped(`A command over ${name} ends even if a program in the background keeps writing.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh, timeouts: { command: "15 seconds" } })
            const onOutput = () => Effect.void
            const script = "(while :; do echo tick; sleep 0.2; done) & exit 5"
            assert.strictEqual((yield* transport.exec(sh(script, [], { onOutput }))).exitCode, 5)
          })
        )

        for (const most of [1, 2, 3]) {
          it.scoped(
            `A command over ${name} begins soon if the host allows ${most} ${most === 1 ? "session" : "sessions"} at a time.`,
            () =>
              Effect.gen(function* () {
                const host = yield* sshd({ config: [`MaxSessions ${most}`] })
                const transport = yield* connectTo(host, { ssh })
                // As a lock does it, if there is room for one.
                if (most > 1) yield* Effect.forkScoped(transport.exec(sh("sleep 60")))
                for (let n = 0; n < 4; n++) {
                  yield* Effect.sleep("100 millis")
                  const begun = performance.now()
                  assert.strictEqual((yield* transport.exec(sh("echo said"))).stdout, "said\n")
                  assert.isBelow(performance.now() - begun, 1200)
                }
              })
          )
        }

        it.scoped(`A command over ${name} fails when its time is up.`, () =>
          Effect.gen(function* () {
            // Longer than a busy machine takes to start a shell.
            const timeouts = { command: "2 seconds", transfer: "2 seconds" }
            const transport = yield* connectTo(yield* Host, { ssh, timeouts })
            const slow = yield* Effect.flip(transport.exec(sh("sleep 60")))
            assert.strictEqual(slow._tag, "CommandTimeout")
            assert.include(slow.message, `"try things" did not end on`)
            const deaf = yield* Effect.flip(
              transport.exec(sh("sleep 60", [], { stdin: bytes(20_000_000).stream, wait: "transfer" }))
            )
            assert.strictEqual(deaf._tag === "HostUnreachable" && deaf.reason, "timeout")
            const after = yield* Effect.flip(
              transport.exec(sh("cat; sleep 60", [], { stdin: bytes(1000).stream, wait: "transfer" }))
            )
            assert.strictEqual(after._tag, "CommandTimeout")
            // The connection lives on.
            assert.strictEqual((yield* transport.exec(sh("echo still here"))).stdout, "still here\n")
          })
        )

        it.scoped(`A command over ${name} survives a renewal of the keys of its connection.`, () =>
          Effect.gen(function* () {
            const host = yield* sshd({ config: ["RekeyLimit 1M"], logLevel: "DEBUG1" })
            const transport = yield* connectTo(host, { ssh })
            const { sha256, stream } = bytes(8_000_000)
            const stdin = yield* transport.exec(sh("sha256sum", [], { stdin: stream, wait: "transfer" }))
            assert.strictEqual(stdin.stdout, `${sha256}  -\n`)
            assert.strictEqual((yield* transport.exec(sh("yes | head -c 8000000"))).stdout.length, 8_000_000)
            assert.isAbove(host.log().split("SSH2_MSG_KEXINIT received").length, 5)
          })
        )

        it.scoped(`A command over ${name} fails if it floods its output.`, () =>
          Effect.gen(function* () {
            const transport = yield* connectTo(yield* Host, { ssh })
            const error = yield* Effect.flip(transport.exec(sh("yes | head -c 100000000")))
            assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "protocol")
          })
        )
      }
    )
  }
})
