/**
 * Sessions on hosts that allow only a few of them on each connection, because of sshd's `MaxSessions` or because the server is a small one.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { detail } from "../../../terminal/Reporter.ts"
import * as Connection from "./Connection.ts"
import { keepOnSuccess } from "./keepOnSuccess.ts"

/** Starts a command, which ends with the scope. */
export type Starter = (
  options: Connection.SessionOptions
) => Effect.Effect<Connection.Session, Connection.Disconnected, Scope.Scope>

/** Sessions on a host, as many as a caller needs. */
export interface Sessions {
  readonly start: Starter
  /** Starts a command only if a connection has room for it. */
  readonly startAhead: (
    options: Connection.SessionOptions
  ) => Effect.Effect<Connection.Session, Connection.Disconnected | Connection.NotStarted, Scope.Scope>
  /** Counts the sessions that one connection allows, up to a number. The command must wait. */
  readonly allowed: (options: {
    readonly upTo: number
    readonly command: string
  }) => Effect.Effect<number, Connection.Disconnected>
  /** See {@link Connection.Connection}. */
  readonly statusMark: string | undefined
  /** A connection that is not known to be gone. */
  readonly alive: Effect.Effect<Connection.Connection, Connection.Disconnected>
}

/** One of the connections to a host. */
interface Member {
  readonly connection: Connection.Connection
  /** The sessions that are open or being opened. */
  open: number
  /** Whether a session was ever opened. */
  isProven: boolean
  /** Whether the host refused a further session, and none has ended since. */
  isFull: boolean
}

const noRoom = new Connection.NotStarted({
  isCrowded: true,
  failure: new Connection.Disconnected({ reason: "protocol", detail: "no connection has room for a session" })
})

const isGone = ({ gone }: Connection.Connection) =>
  Effect.match(Effect.timeoutOption(gone, 0), { onFailure: () => true, onSuccess: () => false })

/**
 * Starts commands on the first connection while it has room, and then on further ones, which `again` opens. Hosts that refuse sessions also end
 * connections without a session. So if a host has refused a session, the end of such a connection is not a failure.
 */
export const makeSessions = (
  address: string,
  first: Connection.Connection,
  again: Effect.Effect<Connection.Connection, Connection.Disconnected, Scope.Scope>
): Effect.Effect<Sessions, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const single = yield* Effect.makeSemaphore(1)
    const memberOf = (connection: Connection.Connection): Member => ({
      connection,
      open: 0,
      isProven: false,
      isFull: false
    })
    let members: ReadonlyArray<Member> = [memberOf(first)]
    /** The known limit of sessions on a connection. */
    let room = Number.POSITIVE_INFINITY
    /** Whether the host has refused a session. Only such a host may end connections on purpose. */
    let isSparing = false

    const join = Effect.gen(function* () {
      const why = members.length === 0 ? "has ended the connection" : "allows no further session on this connection"
      yield* detail(`ssh: ${address} ${why}, so another one is opened`)
      const member = memberOf(yield* Scope.extend(again, scope))
      members = [...members, member]
      return member
    })

    const withRoom = () => members.find(({ isFull, open }) => !isFull && open < room)

    /** Occupies the place of a session until the scope ends. */
    const occupy = (member: Member) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          member.open += 1
        }),
        () =>
          Effect.sync(() => {
            member.open -= 1
            member.isFull = false
          })
      )

    const place = single.withPermits(1)(
      Effect.gen(function* () {
        const member = withRoom() ?? (yield* join)
        yield* occupy(member)
        return member
      })
    )

    /** Learns from a refusal, and returns whether another connection may have room. */
    const learn = (member: Member, { isCrowded }: Connection.NotStarted): boolean => {
      const others = member.open - 1
      if (isCrowded) {
        isSparing = true
        member.isFull = true
        if (others > 0) room = Math.min(room, others)
        return member.isProven || others > 0
      }
      const isOnPurpose = isSparing && member.isProven && others === 0
      if (isOnPurpose) members = members.filter((other) => other !== member)
      return isOnPurpose
    }

    const startOn = (member: Member, options: Connection.SessionOptions) =>
      Effect.tap(member.connection.start(options), () => {
        member.isProven = true
      })

    const start = (
      options: Connection.SessionOptions
    ): Effect.Effect<Connection.Session, Connection.Disconnected, Scope.Scope> =>
      Effect.gen(function* () {
        const member = yield* place
        return yield* Effect.mapError(startOn(member, options), (error) =>
          error._tag === "NotStarted" && learn(member, error) ? ("elsewhere" as const) : error
        )
      }).pipe(
        keepOnSuccess,
        Effect.catchAll((error) => {
          if (error === "elsewhere") return start(options)
          return Effect.fail(error._tag === "NotStarted" ? error.failure : error)
        })
      )

    const startAhead: Sessions["startAhead"] = (options) =>
      Effect.gen(function* () {
        const member = withRoom()
        if (member === undefined) return yield* noRoom
        yield* occupy(member)
        return yield* Effect.tapError(startOn(member, options), (error) =>
          Effect.sync(() => error._tag === "NotStarted" && learn(member, error))
        )
      }).pipe(keepOnSuccess)

    const allowed: Sessions["allowed"] = ({ command, upTo }) =>
      Effect.gen(function* () {
        // The sessions that are open already count.
        const isKnown = () => Number.isFinite(room) || (members[0]?.open ?? upTo) >= upTo
        for (let attempt = 0; attempt < upTo && !isKnown(); attempt++)
          yield* startAhead({ command, retries: 0, onData: () => {} }).pipe(
            Effect.catchTag("NotStarted", (refused) => (refused.isCrowded ? Effect.void : refused.failure))
          )
        return Math.min(room, upTo)
      }).pipe(Effect.scoped)

    const alive = Effect.gen(function* () {
      if (!isSparing) return first
      for (const { connection } of members) if (!(yield* isGone(connection))) return connection
      return (yield* single.withPermits(1)(join)).connection
    })

    return { start, startAhead, allowed, statusMark: first.statusMark, alive }
  })
