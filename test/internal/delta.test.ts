import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { comparing, signing } from "../../src/internal/delta.ts"
import { noise } from "../kit/noise.ts"

type Op = { readonly keep: number; readonly count: number | undefined } | { readonly add: Uint8Array }

/** In pieces of uneven sizes. */
const pieces = (bytes: Uint8Array, most: number): ReadonlyArray<Uint8Array> => {
  const cut: Array<Uint8Array> = []
  for (let at = 0, n = 1; at < bytes.length; n = (n * 7 + 3) % most) {
    cut.push(Uint8Array.from(bytes.subarray(at, at + n + 1)))
    at += n + 1
  }
  return cut
}

const signatureOf = (old: Uint8Array, most = 5000) => {
  const signing_ = signing(old.length)
  for (const piece of pieces(old, most)) signing_.push(piece)
  return signing_.finish()
}

const deltaOf = (old: Uint8Array, wanted: Uint8Array, { most = 5000, shortest = 1024 } = {}) => {
  const ops: Array<Op> = []
  const signature = signatureOf(old, most)
  const delta = comparing(signature, shortest, {
    keep: (keep, count) => ops.push({ keep, count }),
    add: (bytes) => ops.push({ add: Uint8Array.from(bytes) })
  })
  for (const piece of pieces(wanted, most)) {
    delta.push(piece)
    // The buffers are only lent.
    piece.fill(0)
  }
  delta.finish()
  const made = Buffer.concat(
    ops.map((op) =>
      "add" in op
        ? op.add
        : old.subarray(
            op.keep * signature.block,
            op.count === undefined ? undefined : (op.keep + op.count) * signature.block
          )
    )
  )
  return { ops, made, added: ops.reduce((sum, op) => sum + ("add" in op ? op.add.length : 0), 0) }
}

describe("delta", () => {
  const old = noise(100_000, 1)

  it("A delta keeps all of an unchanged file.", () => {
    const { made, ops } = deltaOf(old, old)
    assert.deepStrictEqual(ops, [{ keep: 0, count: undefined }])
    assert.isTrue(made.equals(old))
  })

  it("A delta adds little more than the inserted bytes, and finds the bytes that moved.", () => {
    const wanted = Buffer.concat([old.subarray(0, 40_000), Buffer.from("something new"), old.subarray(40_000)])
    const { added, made, ops } = deltaOf(old, wanted)
    assert.isTrue(made.equals(wanted))
    assert.lengthOf(ops, 3)
    assert.isAtMost(added, 13 + 512)
  })

  it("A delta stays small if bytes were overwritten, removed, prepended, appended or moved.", () => {
    const changed = Buffer.from(old)
    noise(1000, 9).copy(changed, 50_000)
    const cases = [
      [changed, 1000 + 2 * 512],
      [Buffer.concat([old.subarray(0, 20_000), old.subarray(30_000)]), 512],
      [Buffer.concat([Buffer.from("new"), old]), 3],
      [Buffer.concat([old, Buffer.from("new")]), 3 + 512],
      [Buffer.concat([old.subarray(50_000), old.subarray(0, 50_000)]), 2 * 512]
    ] as const
    for (const [wanted, most] of cases) {
      const { added, made } = deltaOf(old, wanted)
      assert.isTrue(made.equals(wanted))
      assert.isAtMost(added, most)
    }
  })

  it("A delta is correct and small for content that repeats itself.", () => {
    const zeros = Buffer.alloc(50_000)
    const wanted = Buffer.concat([zeros, Buffer.from("x"), zeros])
    const { added, made } = deltaOf(zeros, wanted)
    assert.isTrue(made.equals(wanted))
    assert.isAtMost(added, 2000)
  })

  it("A delta streams long stretches of matches that are too short to keep, without holding them.", () => {
    const old = Buffer.concat([Buffer.alloc(4096), noise(2_000_000, 1)])
    const wanted = Buffer.alloc(32_000_000)
    let most = 0
    const began = performance.now()
    const delta = comparing(signatureOf(old, 100_000), 32_000, {
      keep: () => assert.fail("there is nothing to keep"),
      add: (bytes) => {
        most = Math.max(most, bytes.length)
      }
    })
    for (let at = 0; at < wanted.length; at += 16_384) delta.push(wanted.subarray(at, at + 16_384))
    delta.finish()
    assert.isAtMost(most, 1024 * 1024)
    // With all of it in memory, this took a quarter of a minute.
    assert.isBelow(performance.now() - began, 8000)
  })

  it("A delta is correct for strings that fool a polynomial hash.", () => {
    const turns = Array.from({ length: 512 }, (_, at) => at.toString(2).replaceAll("0", "").length % 2)
    const old = Buffer.concat(Array.from({ length: 10 }, () => Buffer.from(turns.map((turn) => 97 + turn))))
    const wanted = Buffer.concat(Array.from({ length: 10 }, () => Buffer.from(turns.map((turn) => 98 - turn))))
    assert.isTrue(deltaOf(old, wanted).made.equals(wanted))
  })

  it("A delta of unrelated content adds all of it, in pieces of at most a megabyte.", () => {
    const wanted = noise(2_500_000, 3)
    const { made, ops } = deltaOf(old, wanted, { most: 100_000 })
    assert.isTrue(made.equals(wanted))
    assert.isTrue(ops.every((op) => "add" in op && op.add.length <= 1024 * 1024))
  })

  it("A delta keeps no run of blocks that is shorter than the minimum.", () => {
    const wanted = Buffer.concat([noise(5000, 4), old.subarray(512, 2048), noise(5000, 5), old.subarray(5120, 15_360)])
    const { made, ops } = deltaOf(old, wanted, { shortest: 4096 })
    assert.isTrue(made.equals(wanted))
    assert.deepStrictEqual(
      ops.filter((op) => "keep" in op),
      [{ keep: 10, count: 20 }]
    )
  })

  it("A delta makes the wanted file from any old one, in pieces of any size.", () => {
    const parts = FastCheck.array(
      FastCheck.oneof(
        FastCheck.record({ from: FastCheck.nat(20_000), size: FastCheck.nat(9000) }),
        FastCheck.record({ seed: FastCheck.nat(1000), size: FastCheck.nat(3000) }),
        FastCheck.record({ byte: FastCheck.nat(255), size: FastCheck.nat(3000) })
      ),
      { maxLength: 8 }
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.nat(20_000),
        parts,
        FastCheck.constantFrom(3, 600, 5000, 70_000),
        FastCheck.constantFrom(0, 1024, 8192),
        (size, parts, most, shortest) => {
          const old = noise(size, 7)
          const wanted = Buffer.concat(
            parts.map((part) =>
              "from" in part
                ? old.subarray(part.from, part.from + part.size)
                : "seed" in part
                  ? noise(part.size, part.seed)
                  : Buffer.alloc(part.size, part.byte)
            )
          )
          assert.isTrue(deltaOf(old, wanted, { most, shortest }).made.equals(wanted))
        }
      ),
      { numRuns: 300 }
    )
  })
})
