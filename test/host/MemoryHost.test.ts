import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as TestClock from "effect/TestClock"
import { LockDetails } from "../../src/domain/Lock.ts"
import { httpAnswer, layer, MemoryHosts, transport } from "../../src/host/MemoryHost.ts"
import { AuthenticationFailed, HostUnreachable, RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { Reporter } from "../../src/terminal/Reporter.ts"
import { oddSample, sample } from "../kit/packed.ts"
import { hostRelease, refOf, target } from "../kit/samples.ts"
import { put, stage } from "./contract.ts"

const path = "/srv/my_app"
const lockDetails = LockDetails.make({
  by: "tester@laptop",
  reason: "a test",
  since: DateTime.unsafeMake(0),
  nonce: "a",
  held: false
})
const here = Effect.gen(function* () {
  const host = (yield* MemoryHosts).host("host.test")
  const session = yield* (yield* RemoteHost).connect(target())
  return { host, session }
})

describe("MemoryHost", () => {
  it.scoped("MemoryHosts gives the same host for the same name, and another host for another name.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      yield* session.prepare
      const again = yield* (yield* RemoteHost).connect(target({ path: "/srv/other" }))
      assert.strictEqual((yield* again.inspect).base, "absent")
      assert.deepStrictEqual(host.files.names("/srv"), ["my_app"])
      assert.strictEqual(host.connections, 2)
      const other = yield* (yield* RemoteHost).connect(target({ host: "other.test" }))
      assert.strictEqual((yield* other.inspect).base, "absent")
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost has the tools, space, clock and mount that a test gives it.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      host.missingTools.add("tar")
      host.freeBytes = 2048
      host.machine = "aarch64"
      host.readOnly.add("/")
      const state = yield* session.inspect
      assert.deepInclude(
        { ...state },
        { missingTools: ["tar"], freeBytes: 2048, machine: "aarch64", base: "not-writable" }
      )
      assert.deepInclude(yield* Effect.flip(session.prepare), { _tag: "HostUnfit", reason: "not-writable" })
      host.readOnly.clear()
      yield* session.prepare
      host.freeBytes = 100
      assert.include((yield* Effect.flip(put(session, sample()))).message, "No space left")
      assert.include((yield* Effect.flip(put(session, sample()))).message, "(deployer manage prune target=")
      host.freeBytes = oddSample().tarball.length
      assert.include((yield* Effect.flip(put(session, oddSample()))).message, "No space left")
      host.freeBytes = 1_000_000_000
      host.freeInodes = 3
      assert.include((yield* Effect.flip(put(session, oddSample()))).message, "No space left")
      host.clockAhead = 3600
      host.mount = { point: "/srv", type: "xfs", readOnly: true, noExec: true }
      host.loaders = ["/lib/ld-musl-aarch64.so.1"]
      assert.deepInclude(
        { ...(yield* session.inspect) },
        {
          base: "not-writable",
          freeInodes: 3,
          mount: host.mount,
          loaders: host.loaders,
          user: "deploy",
          clock: { aheadMillis: 3_600_500, toleranceMillis: 500 }
        }
      )
      host.clockAhead = undefined
      host.mount = undefined
      host.freeInodes = undefined
      const silent = yield* session.inspect
      assert.deepStrictEqual([silent.clock, silent.mount, silent.freeInodes], [undefined, undefined, undefined])
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost holds the releases, uploads and links that a test plants.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      host.plantRelease(path, hostRelease(), { "bin/my_app": "#!/bin/sh\n" })
      host.plantUnrecorded(path, { ref: refOf("B"), name: "my_app" })
      host.plantUpload(path, { ref: refOf("C"), content: new Uint8Array(7), note: "by x" })
      host.link(path, refOf("A"))
      const state = yield* session.inspect
      assert.strictEqual(state.base, "ready")
      assert.strictEqual(state.currentRelease?.ref, refOf("A"))
      assert.deepStrictEqual(
        state.unfinished.map(({ kind, note, received, ref }) => [ref, kind, received, note]),
        [
          [refOf("B"), "release", 0, undefined],
          [refOf("C"), "upload", 7, "by x"]
        ]
      )
      assert.deepStrictEqual(yield* session.verify([refOf("A")]), [{ ref: refOf("A"), faults: [] }])
      host.files.write(`${path}/releases/deployer_${refOf("A")}/my_app/bin/my_app`, "other")
      assert.deepStrictEqual(yield* session.verify([refOf("A")]), [
        { ref: refOf("A"), faults: ["changed my_app/bin/my_app"] }
      ])
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost answers commands as a test says, and records them.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      host.plantRelease(path, hostRelease())
      host.link(path, refOf("A"))
      const said: Array<string> = []
      const reporter = {
        emit: (event: { readonly _tag: string; readonly chunk?: Uint8Array }) =>
          Effect.sync(() => void said.push(`${event._tag} ${Buffer.from(event.chunk ?? "").toString()}`))
      }
      host.onRun = ({ command }) => (command === "fail" ? { exitCode: 3, output: "no" } : {})
      const run = (command: string) => session.run(command, { name: "my_app" })
      assert.strictEqual((yield* run("fail").pipe(Effect.provideService(Reporter, reporter))).status, 3)
      assert.strictEqual((yield* run("do")).status, 0)
      assert.deepStrictEqual(said, ["Output no"])
      const release = `${path}/releases/deployer_${refOf("A")}`
      assert.deepStrictEqual(host.commands[1], {
        command: "do",
        directory: `${release}/my_app`,
        name: "my_app",
        ref: refOf("A"),
        path,
        release
      })
      host.onRun = () => ({ never: true })
      assert.deepInclude(yield* Effect.flip(run("do")), { _tag: "CommandTimeout", command: "do", waited: "15m" })
      assert.strictEqual(yield* session.shell, 0)
      assert.deepStrictEqual(host.shells, [path])
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost answers probes as a test says, and records them.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      const url = "http://127.0.0.1:4000/health"
      const probe = Effect.map(session.probe({ _tag: "Http", url }, Duration.seconds(5)), ({ detail }) => detail)
      assert.strictEqual(yield* probe, "nothing listens on port 4000 of 127.0.0.1")
      const asked: Array<string> = []
      host.onDial =
        ({ host, port }) =>
        (request) => {
          asked.push(`${host} ${port} ${request.split("\r\n")[0]}`)
          return httpAnswer(503, "no")
        }
      assert.strictEqual(yield* probe, 'it answered 503, "no"')
      assert.deepStrictEqual(asked, ["127.0.0.1 4000 GET /health HTTP/1.1"])
      host.onDial = () => "prohibited"
      assert.include(yield* probe, "deploy@host.test does not let anybody connect")
      host.failStep("probe", "no route")
      assert.strictEqual(yield* probe, "port 4000 of 127.0.0.1 cannot be reached (no route)")
      host.healStep("probe")
      host.onDial = () => () => undefined
      const silent = yield* Effect.fork(probe)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(silent), "no answer within 5s")
      host.loseAfterSteps = 0
      assert.deepInclude(yield* Effect.flip(probe), { _tag: "HostUnreachable", reason: "lost" })
      assert.deepStrictEqual(host.steps, ["probe", "probe", "probe", "probe", "probe"])
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost fails at the step, the byte or the connection that a test chooses.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      const one = sample()
      yield* session.prepare
      host.failStep("stage", "tar: boom")
      assert.include((yield* Effect.flip(put(session, one))).message, "send the release on deploy@host.test: tar: boom")
      host.healStep("stage")
      host.cutUploadAfter = 20
      assert.deepInclude(yield* Effect.flip(put(session, one)), { _tag: "HostUnreachable", reason: "lost" })
      assert.strictEqual((yield* session.inspect).unfinished[0]?.received, 20)
      host.loseAfterSteps = 1
      yield* stage(session, one, { from: 20 })
      assert.deepInclude(yield* Effect.flip(session.record(one.record)), { _tag: "HostUnreachable", reason: "lost" })
      yield* session.record(one.record)
      assert.strictEqual(host.steps.at(-1), "record")
      host.connectFailure = new AuthenticationFailed({ address: "deploy@host.test", tried: [] })
      const refused = yield* Effect.flip(Effect.flatMap(RemoteHost, (remote) => remote.connect(target())))
      assert.strictEqual(refused._tag, "AuthenticationFailed")
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost releases the lock of a connection that is ended from outside.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      yield* session.prepare
      const gone = Deferred.unsafeMake<never, HostUnreachable>(FiberId.none)
      const own = makeSession(target(), transport(host, target(), gone))
      yield* own.lock(lockDetails)
      assert.isDefined((yield* session.inspect).lock)
      yield* Deferred.fail(gone, new HostUnreachable({ address: "host.test", reason: "lost", detail: "reset" }))
      yield* TestClock.adjust("1 second")
      assert.isUndefined((yield* session.inspect).lock)
    }).pipe(Effect.provide(layer))
  )

  it.scoped("A MemoryHost can be interrupted in the middle of a step.", () =>
    Effect.gen(function* () {
      const { host, session } = yield* here
      host.beforeStep = (step) => (step === "prepare" ? Effect.never : Effect.void)
      const fiber = yield* Effect.fork(session.prepare)
      yield* Effect.yieldNow()
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.strictEqual((yield* session.inspect).base, "absent")
    }).pipe(Effect.provide(layer))
  )
})

describe("MemoryFiles", () => {
  it.effect("MemoryFiles reports each change with its real path.", () =>
    Effect.gen(function* () {
      const { files } = (yield* MemoryHosts).host("x")
      const changed: Array<string> = []
      files.onChange = (path) => changed.push(path)
      files.write("/a/file", "1")
      files.link("/b", "a")
      files.write("/b/file", "2")
      files.write("/b/file/below", "3")
      files.remove("/b/none")
      files.rename("/b/file", "/c")
      files.remove("/b")
      files.remove("/a")
      assert.deepStrictEqual(changed, ["/a", "/a/file", "/b", "/a/file", "/a/file", "/c", "/b", "/a"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("MemoryFiles follows links, but not through files or loops.", () =>
    Effect.gen(function* () {
      const { files } = (yield* MemoryHosts).host("x")
      files.write("/a/file", "1")
      files.link("/b", "a")
      files.link("/a/up", "../b/file")
      files.link("/loop", "loop")
      assert.strictEqual(files.read("/b/file"), "1")
      assert.strictEqual(files.read("/b/up"), "1")
      assert.isUndefined(files.read("/loop"))
      assert.isUndefined(files.read("/a/file/below"))
      assert.isFalse(files.write("/a/file/below", ""))
      assert.isFalse(files.makeDirectory("/a/file"))
      files.rename("/a", "/c")
      assert.deepStrictEqual(files.names("/c"), ["file", "up"])
      assert.isUndefined(files.read("/b/file"))
      files.remove("/b")
      assert.deepStrictEqual(files.names("/"), ["c", "loop"])
    }).pipe(Effect.provide(layer))
  )
})
