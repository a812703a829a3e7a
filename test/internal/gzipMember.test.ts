import { randomBytes } from "node:crypto"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { gzipMembers } from "../../src/internal/gzipMember.ts"

describe("gzipMembers", () => {
  const blocks = [
    Buffer.from("text ".repeat(200_000)),
    randomBytes(1_000_000),
    Buffer.from("small"),
    Buffer.concat([Buffer.alloc(500_000), randomBytes(400_000)])
  ]

  it.scopedLive("Blocks that are compressed side by side become gzip members that unpack in order.", () =>
    Effect.gen(function* () {
      const compress = yield* gzipMembers(6)
      const members = yield* Effect.forEach(blocks, compress, { concurrency: 3 })
      assert.deepStrictEqual(gunzipSync(Buffer.concat(members)), Buffer.concat(blocks))
    })
  )

  it.live("Gzip compression can be interrupted in the middle of a block.", () =>
    Effect.gen(function* () {
      // An error without a handler would end the test's process.
      for (let time = 0; time < 20; time++) {
        const working = yield* Effect.forkDaemon(
          Effect.scoped(
            Effect.flatMap(gzipMembers(9), (compress) =>
              Effect.forEach([...blocks, ...blocks], compress, { concurrency: 4 })
            )
          )
        )
        yield* Effect.sleep(time)
        yield* Fiber.interrupt(working)
      }
      yield* Effect.sleep("300 millis")
    })
  )
})
