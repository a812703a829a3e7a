/**
 * Packs what `docker cp` streams out of a container into a store, as `build` does, and prints what it took as JSON.
 */
import * as fs from "node:fs"
import process from "node:process"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { pack } from "../../src/build/Tarball.ts"
import { Metadata } from "../../src/domain/Release.ts"
import { run } from "../../src/internal/process.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Workspace, workspacePaths } from "../../src/workspace/Workspace.ts"

const [engine = "", from = "", root = ""] = process.argv.slice(2)

const main = Effect.gen(function* () {
  const store = yield* ReleaseStore
  yield* store.list()
  const began = performance.now()
  const child = yield* run({ command: engine, args: ["cp", from, "-"] })
  const packing = pack(child.stdout, { name: "my_app" })
  const parcel = yield* store.receive(packing.content)
  const createdAt = yield* DateTime.now
  const release = yield* store.add(parcel, {
    name: "my_app",
    tags: [],
    createdAt,
    metadata: Metadata.make({}),
    manifest: yield* packing.manifest,
    members: yield* packing.members
  })
  const millis = performance.now() - began
  const peak = Number(/VmHWM:\s*(\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024
  process.stdout.write(`${JSON.stringify({ millis, peak, size: release.size, sha256: release.sha256 })}\n`)
}).pipe(
  Effect.scoped,
  Effect.provide(
    Layer.merge(NodeContext.layer, Layer.provide(ReleaseStore.layer, Workspace.layerMemory({}, workspacePaths(root))))
  )
)

Effect.runPromise(main)
