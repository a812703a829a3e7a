/** A host session over any transport. */
import * as Effect from "effect/Effect"
import type { Target } from "../domain/Target.ts"
import { runProbe } from "./probe.ts"
import type { HostSession } from "./RemoteHost.ts"
import { makeAsking } from "./session/Asking.ts"
import { makeJournal } from "./session/journal.ts"
import { makeLocking } from "./session/locking.ts"
import { makeReading } from "./session/reading.ts"
import { makeRunning } from "./session/running.ts"
import { makeStaging } from "./session/staging.ts"
import { makeSwitching } from "./session/switching.ts"
import type { Transport } from "./transport/Transport.ts"

/** Makes a session over an open connection. */
export const makeSession = (target: Target, transport: Transport): HostSession => {
  const asking = makeAsking(target, transport)
  const { address, path } = asking
  return {
    target,
    address,
    ...makeLocking(asking),
    ...makeJournal(asking),
    ...makeReading(asking),
    ...makeStaging(asking),
    ...makeSwitching(asking),
    ...makeRunning(asking),
    probe: Effect.fn("RemoteHost.probe")((probe, timeout) => runProbe(transport, address, probe, timeout)),
    allowedSessions: transport.allowedSessions,
    shell: transport.shell(path)
  }
}
