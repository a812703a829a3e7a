/** Whether the links of the benchmark have the properties that they claim. */
import { once } from "node:events"
import { type AddressInfo, createServer, connect as tcpConnect } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { link } from "./link.ts"

/** Sends its input back, after a word of its own. */
const echo = Effect.map(
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {}).write("!")
        socket.pipe(socket)
      }).listen(0, "127.0.0.1")
      await once(server, "listening")
      return server
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => ({ port: (server.address() as AddressInfo).port })
)

const dial = (to: { readonly port: number }) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const began = performance.now()
      const socket = tcpConnect(to.port, "127.0.0.1").setNoDelay(true)
      let got = 0
      const waiting = new Set<() => void>()
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          got += chunk.length
          for (const look of waiting) look()
        })
      /** Waits until so many bytes have come in all. */
      const until = (count: number) =>
        new Promise<void>((resolve) => {
          const look = () => {
            if (got < count) return
            waiting.delete(look)
            resolve()
          }
          waiting.add(look)
          look()
        })
      await until(1)
      return { socket, until, greeted: performance.now() - began, got: () => got }
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

/** Sends bytes and waits for all of them to come back, in milliseconds. */
const there = (dialled: Effect.Effect.Success<ReturnType<typeof dial>>, bytes: number) =>
  Effect.promise(async () => {
    const began = performance.now()
    const before = dialled.got()
    dialled.socket.write(Buffer.alloc(bytes))
    await dialled.until(before + bytes)
    return performance.now() - began
  })

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

describe("a link", () => {
  it.scopedLive("A link delays each byte by half its round trip, and a new connection by one round trip more.", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const roundTrip = 80
      const far = yield* link(server, { roundTrip })
      const bare = yield* dial(server)
      const delayed = yield* dial(far)
      // The host's first word comes on the client's second packet.
      assert.closeTo(delayed.greeted - bare.greeted, 2 * roundTrip, 40)
      const pairs = yield* Effect.replicateEffect(Effect.all([there(bare, 10), there(delayed, 10)]), 9)
      assert.closeTo(median(pairs.map(([bare, delayed]) => delayed - bare)), roundTrip, roundTrip / 10)
    })
  )

  it.scopedLive("A link passes bytes no faster than its rate, and loses none.", () =>
    Effect.gen(function* () {
      const server = yield* echo
      const rate = 4_000_000
      const roundTrip = 100
      const narrow = yield* link(server, { rate, roundTrip })
      const bare = yield* dial(server)
      const slowed = yield* dial(narrow)
      const pairs = yield* Effect.replicateEffect(Effect.all([there(bare, 2_000_000), there(slowed, 2_000_000)]), 3)
      const due = (2_000_000 / rate) * 1000 + roundTrip
      assert.closeTo(median(pairs.map(([bare, slowed]) => slowed - bare)), due, due / 6)
    })
  )

  it.scopedLive("A link shares its rate among its connections.", () =>
    Effect.gen(function* () {
      const narrow = yield* link(yield* echo, { rate: 4_000_000 })
      const both = yield* Effect.all([dial(narrow), dial(narrow)])
      const millis = yield* Effect.forEach(both, (dialled) => there(dialled, 1_000_000), { concurrency: 2 })
      assert.closeTo(Math.max(...millis), 500, 100)
    })
  )

  it.scopedLive("A link reaches its rate at any distance; bytes on their way do not hold up later ones.", () =>
    Effect.gen(function* () {
      const far = yield* link(yield* echo, { rate: 5_000_000, roundTrip: 400 })
      const dialled = yield* dial(far)
      // The line alone holds a megabyte in each direction.
      assert.closeTo(yield* there(dialled, 4_000_000), 1200, 300)
    })
  )

  it.scopedLive("A link counts bytes, connections and round trips.", () =>
    Effect.gen(function* () {
      const far = yield* link(yield* echo, { roundTrip: 40 })
      const dialled = yield* dial(far)
      assert.deepStrictEqual(far.take(), { sent: 0, received: 1, connections: 1, roundTrips: 2 })
      for (const bytes of [10, 20, 30]) yield* there(dialled, bytes)
      assert.deepStrictEqual(far.take(), { sent: 60, received: 60, connections: 0, roundTrips: 3 })
      // Side by side they are one.
      yield* Effect.all([there(dialled, 5), there(dialled, 5), there(dialled, 5)], { concurrency: 3 })
      assert.deepStrictEqual(far.take(), { sent: 15, received: 15, connections: 0, roundTrips: 1 })
    })
  )
})
