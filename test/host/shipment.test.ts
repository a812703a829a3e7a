import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Manifest } from "../../src/domain/Manifest.ts"
import { manifestLines } from "../../src/host/protocol/manifestText.ts"
import { pack } from "../../src/host/shipment.ts"
import { unpackTar } from "../../src/internal/unpackTarball.ts"

const manifest: Manifest = Array.from({ length: 150_000 }, (_, n) => ({
  _tag: "File" as const,
  path: `my_app/node_modules/package-${n % 700}/lib/module-${n}.js`,
  mode: 0o644,
  size: n,
  sha256: createHash("sha256").update(String(n)).digest("hex")
}))
const lines = manifestLines(manifest) ?? []
const tarball = Buffer.from("the tarball")

const sent = (from: number) =>
  Effect.gen(function* () {
    const content = (at: number) => Stream.make(tarball.subarray(at))
    const packed = yield* pack({ manifest, lines, from }, { _tag: "Whole", size: tarball.length, content })
    return { ...packed, bytes: Buffer.concat(Chunk.toReadonlyArray(yield* Stream.runCollect(packed.stdin))) }
  })

/** A machine on which each look at the clock takes longer than the one before. */
const slowing = Effect.sync((): Clock.Clock => {
  let now = 0n
  let step = 1_000_000n
  return {
    ...Clock.make(),
    unsafeCurrentTimeNanos: () => {
      now += step
      step += 1_000_000n
      return now
    }
  }
})

describe("a release that is sent whole", () => {
  it.live("A whole release of 150,000 files begins with the same bytes at any speed, so a cut upload can resume.", () =>
    Effect.gen(function* () {
      const one = yield* Effect.withClock(sent(0), yield* slowing)
      const two = yield* sent(0)
      assert.isAbove(one.bytes.length, 5 * 1024 * 1024)
      assert.isTrue(one.bytes.equals(two.bytes))
      const begin = one.bytes.subarray(0, one.bytes.length - tarball.length)
      const [entry] = unpackTar(Buffer.concat([gunzipSync(begin), Buffer.alloc(1024)])) ?? []
      assert.strictEqual(entry?.entry.path, ".deployer_manifest")
      assert.isTrue(Buffer.from(entry?.content ?? []).equals(Buffer.from(lines.map((line) => `${line}\n`).join(""))))
      const half = yield* sent(4_500_000)
      assert.strictEqual(half.from, 4_500_000)
      assert.isTrue(half.bytes.equals(one.bytes.subarray(4_500_000)))
    })
  )
})
