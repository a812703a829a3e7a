import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { compressed, nextLevel } from "../../src/internal/compression.ts"
import { noise } from "../kit/noise.ts"

/** A large program's text: more effort makes it smaller. */
const program = readFileSync(createRequire(import.meta.url).resolve("typescript"))

const text = (bytes: number): Buffer => Buffer.alloc(bytes, program)

const inPieces = (bytes: Uint8Array, size: number) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size))
  ).pipe(Stream.rechunk(1))

/** The output if each piece takes its receiver so many milliseconds. */
const taken = (bytes: Uint8Array, millis: number) =>
  inPieces(bytes, 100_000).pipe(
    compressed("gzip"),
    Stream.tap(() => (millis === 0 ? Effect.void : Effect.sleep(millis))),
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray)
  )

describe("compressed", () => {
  it.live("Compressed bytes unpack to the same bytes with Node and with gzip.", () =>
    Effect.gen(function* () {
      const bytes = Buffer.concat([text(2_500_000), noise(1_300_000, 3), Buffer.alloc(900_000)])
      const all = Buffer.concat(yield* taken(bytes, 0))
      assert.isTrue(gunzipSync(all).equals(bytes))
      const options = { input: all, maxBuffer: 10 * bytes.length }
      assert.isTrue(execFileSync("gzip", ["-dc"], options).equals(bytes))
      const nothing = Buffer.concat(yield* taken(Buffer.alloc(0), 0))
      assert.lengthOf(execFileSync("gzip", ["-dc"], { input: nothing }), 0)
      assert.isAbove(nothing.length, 0)
    })
  )

  it.live("Compression is strongest over a slow link and quickest over a fast one.", () =>
    Effect.gen(function* () {
      const bytes = text(45 * 1024 * 1024)
      const slow = yield* taken(bytes, 40)
      const fast = yield* taken(bytes, 0)
      for (const pieces of [slow, fast]) assert.isTrue(gunzipSync(Buffer.concat(pieces)).equals(bytes))
      const size = (pieces: ReadonlyArray<Uint8Array>) => pieces.reduce((sum, { length }) => sum + length, 0)
      // Before some megabytes have gone, the speed of the link is unknown.
      const early = (pieces: ReadonlyArray<Uint8Array>) => size(pieces.slice(0, 4))
      const late = (pieces: ReadonlyArray<Uint8Array>) => size(pieces.slice(-4))
      assert.strictEqual(early(fast), early(slow))
      assert.isAbove(late(fast), 1.1 * late(slow))
    })
  )

  it("Compression goes a level down for a receiver that waits, up for a slow one, and otherwise stays.", () => {
    assert.strictEqual(nextLevel(2, 3, { waited: 10, taken: 1 }), 1)
    assert.strictEqual(nextLevel(0, 3, { waited: 10, taken: 1 }), 0)
    assert.strictEqual(nextLevel(1, 3, { waited: 1, taken: 10 }), 2)
    assert.strictEqual(nextLevel(2, 3, { waited: 1, taken: 10 }), 2)
    assert.strictEqual(nextLevel(1, 3, { waited: 2, taken: 3 }), 1)
    assert.strictEqual(nextLevel(1, 3, { waited: 0, taken: 0 }), 1)
  })
})
