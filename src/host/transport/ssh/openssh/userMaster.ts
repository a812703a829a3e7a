/**
 * The user's own master `ssh`, if one has a connection to the host (`ControlPath` in ssh_config). Its sessions need no login.
 */
import { createConnection } from "node:net"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { outputOf } from "../../../../internal/pipes.ts"
import { Disconnected } from "../Connection.ts"
import type { Login } from "../SshConnection.ts"
import { findPlace } from "../SshPlace.ts"
import type { Files } from "./settings.ts"

/** The socket of a master. */
export interface UserMaster {
  readonly socket: string
  /** Fails when the master ends. */
  readonly gone: Effect.Effect<never, Disconnected>
}

/** The time that a master may take to accept a connection to its socket, in milliseconds. */
const patience = 1000

/**
 * Finds the user's master. Undefined if there is none, or if the target has a `hostKey` or a key in a variable, because nobody knows which ones the master
 * took. The scope ends the use of the socket, and not the master.
 */
export const findUserMaster = (login: Login, files: Files) =>
  Effect.gen(function* () {
    const { asked, hostKey } = login
    if (hostKey !== undefined || asked.key?._tag === "Variable") return undefined
    if (!(yield* findPlace(asked)).sharesConnections) return undefined
    const settings = yield* outputOf("ssh", ["-G", "-F", files.config, ...files.options, "--", asked.host], {})
    const [, socket = "none"] = /^controlpath (.+)$/m.exec(settings) ?? []
    return socket === "none" ? undefined : yield* listening(socket)
  })

/** Stays connected to the socket, because the master keeps running then, and because the end of the connection tells the end of the master. */
const listening = (socket: string): Effect.Effect<UserMaster | undefined, never, Scope.Scope> =>
  Effect.gen(function* () {
    const gone = yield* Deferred.make<never, Disconnected>()
    const open = yield* Deferred.make<boolean>()
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const stream = createConnection(socket)
        stream.once("connect", () => Deferred.unsafeDone(open, Effect.succeed(true)))
        stream.on("error", () => Deferred.unsafeDone(open, Effect.succeed(false)))
        stream.on("close", () =>
          Deferred.unsafeDone(gone, new Disconnected({ reason: "lost", detail: `the ssh at ${socket} ended` }))
        )
        // The master's greeting is of no use.
        return stream.resume()
      }),
      (stream) => Effect.sync(() => stream.destroy())
    )
    const isOpen = yield* Effect.timeoutTo(Deferred.await(open), {
      duration: patience,
      onTimeout: () => false,
      onSuccess: (isOpen) => isOpen
    })
    return isOpen ? { socket, gone: Deferred.await(gone) } : undefined
  })
