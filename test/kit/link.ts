/**
 * A link to a host for measuring: a TCP proxy on the loopback with a true delay, a limited rate, and counters.
 *
 * A connection costs a round trip before its first byte, as TCP's does; every byte is half a round trip on its way; all connections
 * share the rate of a direction. There is no loss and no slow start.
 */
import { once } from "node:events"
import { createServer, Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** The properties of a link. */
export interface LinkOptions {
  /** In milliseconds; default: none. */
  readonly roundTrip?: number
  /** Bytes per second in each direction; default: as fast as it goes. */
  readonly rate?: number
}

/** The traffic of a link. */
export interface Traffic {
  /** Bytes that went to the host. */
  readonly sent: number
  /** Bytes that came from it. */
  readonly received: number
  readonly connections: number
  /**
   * The longest chain of messages to the host of which each was sent after the answer to the one before had arrived, TCP's own
   * included: messages side by side count once. While much is on its way, the signs of life of a transfer count as well.
   */
  readonly roundTrips: number
}

/** A link that is up until its scope is closed. */
export interface Link {
  readonly host: string
  readonly port: number
  /** The traffic since the last call. */
  readonly take: () => Traffic
}

/** Puts a link in front of a port of the loopback. */
export const link = (
  to: { readonly port: number },
  options: LinkOptions = {}
): Effect.Effect<Link, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => start(to.port, options)),
      ({ close }) => Effect.promise(close)
    ),
    ({ link }) => link
  )

/** Bits per second as people write them, in bytes per second. */
export const megabits = (count: number): number => (count * 1_000_000) / 8

/** Bytes that wait in front of the narrow place of a direction at most. */
const queue = 256_000
/** The most bytes that one connection has on its way in one direction, if nothing else limits it. */
const flight = 16_000_000
/** The bytes that go at once, so that connections take turns at a narrow place. */
const parcel = 16_384

interface Parcel {
  /** When it arrives, as `performance.now` says. */
  readonly at: number
  /** Default: the end of the stream. */
  readonly bytes?: Buffer
  /** The round trip to which it belongs. */
  readonly trip: number
}

/** One end's view: the latest round trip of which something arrived there. */
type Ends = Record<"client" | "host", number>

const start = async (to: number, { rate, roundTrip = 0 }: LinkOptions) => {
  const delay = roundTrip / 2
  const sockets = new Set<Socket>()
  const timers = new Set<NodeJS.Timeout>()
  const none = { sent: 0, received: 0, connections: 0 }
  let counts = { ...none }
  let ends: Ends = { client: 0, host: 0 }
  // When the narrow place of each direction is free again.
  const free = { sent: 0, received: 0 }

  const later = (millis: number, act: () => void) => {
    if (millis <= 0) return act()
    const timer = setTimeout(() => {
      timers.delete(timer)
      act()
    }, millis)
    timers.add(timer)
  }

  const pass = (from: Socket, into: Socket, direction: "sent" | "received") => {
    const line: Array<Parcel> = []
    let underway = 0
    let isDraining = false
    let isWaiting = false

    const flow = () => {
      if (from.destroyed || isDraining || underway >= flight) return
      const wait = rate === undefined ? 0 : free[direction] - performance.now() - (queue * 1000) / rate
      if (wait <= 0) return void from.resume()
      if (isWaiting) return
      isWaiting = true
      later(wait, () => {
        isWaiting = false
        flow()
      })
    }
    const arrive = () => {
      // A timer may be early by less than a millisecond, which is its unit.
      for (let next = line[0]; next !== undefined && next.at <= performance.now() + 0.5; next = line[0]) {
        line.shift()
        if (into.destroyed) continue
        const end = direction === "sent" ? "host" : "client"
        ends[end] = Math.max(ends[end], next.trip)
        if (next.bytes === undefined) into.end()
        else {
          underway -= next.bytes.length
          if (!into.write(next.bytes) && !isDraining) {
            isDraining = true
            into.once("drain", () => {
              isDraining = false
              flow()
            })
          }
        }
      }
      if (line[0] !== undefined) later(Math.max(1, line[0].at - performance.now()), arrive)
      flow()
    }
    const put = (at: number, bytes?: Buffer) => {
      const trip = direction === "sent" ? ends.client + 1 : ends.host
      line.push(bytes === undefined ? { at, trip } : { at, trip, bytes })
      if (line.length === 1) later(at - performance.now(), arrive)
    }

    from.on("data", (chunk: Buffer) => {
      counts[direction] += chunk.length
      underway += chunk.length
      for (let offset = 0; offset < chunk.length; offset += parcel) {
        const bytes = chunk.subarray(offset, offset + parcel)
        const now = performance.now()
        free[direction] = Math.max(free[direction], now) + (rate === undefined ? 0 : (bytes.length * 1000) / rate)
        put(free[direction] + delay, bytes)
      }
      from.pause()
      flow()
    })
    from.on("end", () => put(Math.max(free[direction], performance.now()) + delay))
  }

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    counts.connections++
    const upstream = new Socket({ allowHalfOpen: true }).pause()
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on("error", () => {})
      socket.on("close", (failed) => {
        sockets.delete(socket)
        // After a proper end, the bytes that are still on their way end the other side.
        if (failed) other.destroy()
      })
    }
    pass(client, upstream, "sent")
    pass(upstream, client, "received")
    // TCP's own round trip. The host accepts when the client's next packet comes, and speaks from then on.
    const trip = ends.client + 1
    later(roundTrip, () => {
      ends.client = Math.max(ends.client, trip)
      upstream.connect(to, "127.0.0.1")
      client.resume()
    })
    later(roundTrip + delay, () => {
      ends.host = Math.max(ends.host, trip + 1)
      upstream.resume()
    })
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")

  const proxy: Link = {
    host: "127.0.0.1",
    port: address.port,
    take: () => {
      const traffic = { ...counts, roundTrips: ends.client }
      counts = { ...none }
      ends = { client: 0, host: 0 }
      return traffic
    }
  }
  const close = async () => {
    for (const timer of timers) clearTimeout(timer)
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, "close")
  }
  return { link: proxy, close }
}
