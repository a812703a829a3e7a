/**
 * A bad network for tests: a TCP proxy on the loopback.
 */
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A proxy that listens until its scope is closed. */
export interface Proxy {
  readonly host: string
  readonly port: number
  /** Bytes that went from the clients to the server. */
  readonly sent: () => number
  /** Bytes that went from the server to the clients. */
  readonly received: () => number
  /** How many connections were made. */
  readonly connections: () => number
  /** Cuts all connections now; new ones are still taken. */
  readonly cut: () => void
  /** From now on cuts each connection once the clients have sent so many bytes more. */
  readonly cutAfter: (bytes: number) => void
  /** Sets a trouble that happens once, to the byte that goes in a direction after so many more. Without an argument, takes it back. */
  readonly trouble: (what?: Trouble) => void
  /** Passes nothing on any more, in either direction, without closing anything: a dead network. */
  readonly stall: () => void
  /** Ends a stall. */
  readonly resume: () => void
}

/** The ways in which a byte fails: the connections are cut at it, nothing moves from it on, or one of its bits is another one. */
export interface Trouble {
  readonly kind: "cut" | "stall" | "flip"
  readonly direction: "sent" | "received"
  readonly after: number
}

/** The properties of a network. */
export interface ProxyOptions {
  /** How long every byte is on its way, in milliseconds: half of a round trip. */
  readonly delay?: number
  /** Bytes per second in each direction; default: as fast as it goes. */
  readonly rate?: number
}

/** Starts a proxy in front of a port of the loopback. */
export const proxy = (
  to: { readonly port: number },
  options: ProxyOptions = {}
): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => start(to.port, options)),
      ({ close }) => Effect.promise(close)
    ),
    ({ proxy }) => proxy
  )

const start = async (to: number, { delay = 0, rate }: ProxyOptions) => {
  const sockets = new Set<Socket>()
  const counts = { sent: 0, received: 0, connections: 0 }
  // Bytes that are on their way in each direction at most.
  const capacity = rate === undefined ? 16_000_000 : 256_000
  let limit = Number.POSITIVE_INFINITY
  let stalled = false
  let trouble: Trouble | undefined

  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }

  // Bytes that wait for the end of a stall.
  const held: Array<() => void> = []

  const pass = (from: Socket, into: Socket, direction: "sent" | "received") => {
    const line: Array<Buffer> = []
    let bytes = 0
    let free = 0
    const arrive = () => {
      if (stalled) return held.push(arrive)
      const chunk = line.shift()
      if (chunk === undefined || into.destroyed) return
      bytes -= chunk.length
      const next = () => {
        if (!stalled && bytes < capacity && !from.destroyed) from.resume()
      }
      into.write(chunk) ? next() : into.once("drain", next)
    }
    from.on("data", (chunk: Buffer) => {
      counts[direction] += chunk.length
      if (counts.sent >= limit) return cut()
      if (trouble?.direction === direction && counts[direction] > trouble.after) {
        const { after, kind } = trouble
        trouble = undefined
        if (kind === "cut") return cut()
        if (kind === "stall") proxy.stall()
        const at = Math.max(0, after - counts[direction] + chunk.length)
        if (kind === "flip") chunk[at] = (chunk[at] ?? 0) ^ 4
      }
      line.push(chunk)
      bytes += chunk.length
      const now = performance.now()
      free = Math.max(free, now) + (rate === undefined ? 0 : (chunk.length * 1000) / rate)
      setTimeout(arrive, free - now + delay)
      // A slow reader and a full line push back on the sender.
      if (bytes >= capacity || into.writableNeedDrain) from.pause()
    })
    from.on("end", () => setTimeout(() => into.end(), Math.max(0, free - performance.now()) + delay + 1))
  }

  const server = createServer((client) => {
    counts.connections++
    const upstream = connect(to, "127.0.0.1")
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client]
    ] as const) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on("error", () => {})
      socket.on("close", () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    pass(client, upstream, "sent")
    pass(upstream, client, "received")
    if (stalled) {
      client.pause()
      upstream.pause()
    }
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")

  const proxy: Proxy = {
    host: "127.0.0.1",
    port: address.port,
    sent: () => counts.sent,
    received: () => counts.received,
    connections: () => counts.connections,
    cut,
    cutAfter: (bytes) => {
      limit = counts.sent + bytes
    },
    trouble: (what) => {
      trouble = what === undefined ? undefined : { ...what, after: counts[what.direction] + what.after }
    },
    stall: () => {
      stalled = true
      for (const socket of sockets) socket.pause()
    },
    resume: () => {
      stalled = false
      for (const arrive of held.splice(0)) arrive()
      for (const socket of sockets) socket.resume()
    }
  }
  const close = async () => {
    cut()
    server.close()
    await once(server, "close")
  }
  return { proxy, close }
}
