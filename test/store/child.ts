/**
 * A process that uses the store of a project: `add NAME COUNT`, `large`, or `die STEP` (by SIGKILL, no finalizer runs).
 * Prints the message of an expected failure.
 */
import { join } from "node:path"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Metadata } from "../../src/domain/Release.ts"
import * as sqlite from "../../src/internal/sqlite.ts"
import { type ReleaseDraft, ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Tarballs } from "../../src/store/Tarballs.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"

const [root = "", verb, ...words] = process.argv.slice(2)
const deployer = join(root, "deployer")
const folders = { releaseStore: join(deployer, "release_store"), temp: join(deployer, "temp") }
const database = join(deployer, "config/deployer_store.db")

const draft = (name: string): ReleaseDraft => ({
  name,
  tags: [],
  createdAt: DateTime.unsafeMake("2026-03-01T12:00:00Z"),
  metadata: Metadata.make({}),
  manifest: []
})

const bytesOf = (text: string) => Stream.make(new TextEncoder().encode(text))

const add = (name: string, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, n) => `${process.pid} ${n}`),
    (content) =>
      Effect.scoped(
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          yield* releases.add(yield* releases.receive(bytesOf(content)), draft(name))
        })
      ),
    { discard: true }
  )

const large = Effect.scoped(
  Effect.flatMap(ReleaseStore, (releases) =>
    releases.receive(Stream.take(Stream.repeatValue(new Uint8Array(64 * 1024)), 64))
  )
)

const layer = ReleaseStore.layer.pipe(
  Layer.provide(Workspace.layerMemory({}, { root, configFile: "", database, ...folders }))
)

const die = Effect.sync(() => process.kill(process.pid, "SIGKILL"))

const dieAt = (step: string | undefined) =>
  Effect.gen(function* () {
    const client = yield* sqlite.open(database)
    const tarballs = Context.get(yield* Layer.build(Tarballs.layerFiles(folders)), Tarballs)
    const mortal = Layer.succeed(Tarballs, {
      ...tarballs,
      place: (path, fileName) => Effect.tap(tarballs.place(path, fileName), () => die),
      remove: (fileName) => Effect.tap(tarballs.remove(fileName), () => die)
    })
    yield* Effect.gen(function* () {
      const releases = yield* ReleaseStore
      if (step === "receiving")
        return yield* releases.receive(Stream.concat(bytesOf("x"), Stream.fromEffect(die).pipe(Stream.drain)))
      if (step === "removed") return yield* releases.remove(yield* releases.list())
      const parcel = yield* releases.receive(bytesOf("x"))
      if (step === "received") return yield* die
      return yield* releases.add(parcel, draft("a"))
    }).pipe(Effect.provide(Layer.provide(ReleaseStore.layerSql, Layer.merge(Layer.succeedContext(client), mortal))))
  }).pipe(Effect.scoped)

const program =
  verb === "die"
    ? dieAt(words[0])
    : Effect.provide(verb === "large" ? large : add(words[0] ?? "", Number(words[1])), layer)

void Effect.runPromise(
  Effect.catchAll(program, (error) => Effect.sync(() => process.stdout.write(`${error.message}\n`)))
)
