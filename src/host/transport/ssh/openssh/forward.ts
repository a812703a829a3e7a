/**
 * Connections from the host over the socket of the master `ssh`.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tcp from "../../../../internal/tcp.ts"
import { quote } from "../../Transport.ts"
import { ForwardRefused } from "../Connection.ts"
import { lastLine } from "./failure.ts"
import { type Master, runOnly } from "./master.ts"

/** The time that a host may take to refuse to forward a connection, in milliseconds. */
const patienceForRefusal = 3000

/**
 * Opens a connection from the host. `ssh` reports only a refusal. The host answers requests in order, so the connection counts as open once the host has
 * run a later command.
 */
export const forward = (
  master: Master,
  { host, port }: { readonly host: string; readonly port: number }
): Effect.Effect<Tcp.Duplex, ForwardRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const words = ["ssh", ...master.words, "-W", `[${host}]:${port}`, "--", master.host]
    const stream = yield* Tcp.program(words.map(quote).join(" "))
    const refused = Effect.async<never, ForwardRefused>((resume) => {
      stream.once("error", ({ message }) =>
        resume(new ForwardRefused({ prohibited: /prohibited/i.test(message), detail: lastLine(message) }))
      )
    })
    yield* Effect.raceFirst(refused, Effect.zipRight(runOnly(master, "exit 0", patienceForRefusal), Effect.sleep(50)))
    return stream
  })
