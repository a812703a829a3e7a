/**
 * Packs the output of `<engine> cp` from a container into a store, as `build` does, and prints its figures as JSON.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { pack } from "../../src/build/Tarball.ts"
import { Metadata } from "../../src/domain/Release.ts"
import { run } from "../../src/internal/process.ts"
import { keepHeapSmall } from "../../src/process/heap.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Workspace, workspacePaths } from "../../src/workspace/Workspace.ts"

keepHeapSmall()

const [engine = "", from = "", root = ""] = process.argv.slice(2)

const main = Effect.gen(function* () {
  const store = yield* ReleaseStore
  yield* store.list()
  const began = performance.now()
  const child = yield* run({ command: engine, args: ["cp", from, "-"] })
  const packing = pack(child.stdout, { name: "my_app" })
  const parcel = yield* store.receive(packing.content)
  const { temp } = workspacePaths(root)
  const written = fs.readdirSync(temp).reduce((total, name) => total + fs.statSync(path.join(temp, name)).size, 0)
  const release = yield* store.add(parcel, {
    name: "my_app",
    tags: [],
    createdAt: yield* DateTime.now,
    metadata: Metadata.make({}),
    manifest: yield* packing.manifest,
    members: yield* packing.members
  })
  const seconds = (performance.now() - began) / 1000
  process.stdout.write(`${JSON.stringify({ seconds, size: release.size, beside: written - release.size })}\n`)
}).pipe(
  Effect.scoped,
  Effect.provide(Layer.provideMerge(ReleaseStore.layer, Workspace.layerMemory({}, workspacePaths(root)))),
  Effect.provide(NodeContext.layer)
)

Effect.runPromise(main)
