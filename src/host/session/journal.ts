/** The steps about the journal of a target. */
import * as Effect from "effect/Effect"
import { HostState } from "../../domain/HostState.ts"
import type * as Reply from "../protocol/reply.ts"
import { steps } from "../protocol/steps.ts"
import type { HostSession } from "../RemoteHost.ts"
import { type Asking, inLots } from "./Asking.ts"

/** Completes what a host showed with a journal that is too long for `inspect`. This also compacts it for the next `inspect`. */
export const wholeState = ({ ask }: Pick<Asking, "ask">, { lacksJournal, state }: Reply.Seen) =>
  lacksJournal
    ? Effect.map(ask(steps.compact, { doing: "read the journal", args: {} }), (chronicle) =>
        HostState.make({ ...state, ...chronicle })
      )
    : Effect.succeed(state)

/** Reads and writes the journal. */
export const makeJournal = ({ ask, change }: Asking): Pick<HostSession, "history" | "note"> => ({
  history: Effect.fn("RemoteHost.history")((last) =>
    ask(steps.history, { doing: "read the journal", args: { count: String(last) } })
  ),
  note: Effect.fn("RemoteHost.note")((entries, { live = "", unlocks } = {}) =>
    inLots(entries, (lot, isLast) =>
      change(steps.note, {
        doing: "write the journal",
        args: { expect: live },
        entries: lot,
        unlocks: unlocks === true && isLast
      })
    ).pipe(Effect.asVoid)
  )
})
