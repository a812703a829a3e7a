/**
 * Programs that listen on the loopback.
 */
import { once } from "node:events"
import { createServer, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Answers each request with that text and hangs up; without one it takes connections and keeps silent. Returns its port. */
export const listen = (answer?: string): Effect.Effect<number, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const sockets = new Set<Socket>()
        const server = createServer((socket) => {
          sockets.add(socket)
          socket.on("error", () => {})
          socket.on("data", () => {
            if (answer !== undefined) socket.end(answer)
          })
        }).listen(0, "127.0.0.1")
        await once(server, "listening")
        const address = server.address()
        if (address === null || typeof address === "string") throw new Error("no port")
        const close = () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
        return { port: address.port, close }
      }),
      ({ close }) => Effect.sync(close)
    ),
    ({ port }) => port
  )
