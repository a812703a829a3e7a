/** Hosts in memory: every target is one. A test inspects them and makes them fail. */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import { address as addressOf, type Target } from "../domain/Target.ts"
import { answering } from "../internal/tcp.ts"
import { handlers } from "./memory/handlers.ts"
import { giveBack, holds, topLock } from "./memory/locking.ts"
import { MemoryHost, type MemoryStep } from "./memory/MemoryHost.ts"
import { type Connection, type Question, reply } from "./memory/Place.ts"
import { named, type StepName } from "./protocol/Step.ts"
import { steps } from "./protocol/steps.ts"
import { type CommandTimeout, HostUnreachable, RemoteHost } from "./RemoteHost.ts"
import { loginPath } from "./session/Asking.ts"
import { makeSession } from "./session.ts"
import { DialFailed } from "./transport/Endpoint.ts"
import type { Exec, ExecResult, Transport } from "./transport/Transport.ts"

export * from "./memory/MemoryHost.ts"

/** The hosts in memory, by name. */
export class MemoryHosts extends Context.Tag("deployer/MemoryHosts")<
  MemoryHosts,
  {
    /** The host that targets with this `host` connect to. It is made at its first use. */
    readonly host: (name: string) => MemoryHost
  }
>() {}

/** The login directory of a target's user on a host in memory. */
export const memoryHome = (target: Pick<Target, "user">): string => `/home/${target.user ?? "user"}`

/** Every target is a host in memory; `MemoryHosts` gives access to them. */
export const layer: Layer.Layer<RemoteHost | MemoryHosts> = Layer.effectContext(
  Effect.sync(() => {
    const hosts = new Map<string, MemoryHost>()
    const host = (name: string) => {
      const known = hosts.get(name) ?? new MemoryHost()
      hosts.set(name, known)
      return known
    }
    return Context.make(MemoryHosts, { host }).pipe(
      Context.add(RemoteHost, {
        connect: (target) =>
          Effect.suspend(() => {
            const machine = host(target.host)
            if (machine.connectFailure !== undefined) return Effect.fail(machine.connectFailure)
            machine.connections += 1
            return Effect.succeed(makeSession(target, transport(machine, target)))
          })
      })
    )
  })
)

/**
 * One connection to a host in memory, for code that puts something between a session and its host. `gone` ends its locks, like the end of their
 * standard input on a real host.
 *
 * @internal
 */
export const transport = (
  host: MemoryHost,
  target: Target,
  gone = Deferred.unsafeMake<never, HostUnreachable>(FiberId.none)
): Transport => {
  const address = addressOf(target)
  const lost = (detail: string) => {
    const error = new HostUnreachable({ address, reason: "lost", detail })
    Deferred.unsafeDone(gone, Effect.fail(error))
    return error
  }
  const begin = (step: MemoryStep) =>
    Effect.gen(function* () {
      if (host.loseAfterSteps === 0) {
        host.loseAfterSteps = undefined
        return yield* lost("connection reset")
      }
      if (host.loseAfterSteps !== undefined) host.loseAfterSteps -= 1
      host.steps.push(step)
      yield* host.beforeStep(step)
    })
  return {
    shell: (cwd) => Effect.sync(() => host.shells.push(cwd)).pipe(Effect.as(0)),
    dial: (to, use) =>
      Effect.gen(function* () {
        yield* begin("probe")
        const failure = host.failureOf("probe")
        if (failure !== undefined) return yield* new DialFailed({ to, reason: "unreachable", detail: failure })
        const found = host.onDial(to)
        if (typeof found === "string") return yield* new DialFailed({ to, reason: found, detail: "open failed" })
        return yield* Effect.raceFirst(use(answering(found)), Deferred.await(gone))
      }),
    exec: <E>(exec: Exec<E>): Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout> =>
      Effect.gen(function* () {
        const { step } = exec
        if (step === undefined) return yield* reply(exec, ["fail a host in memory has no shell"])
        yield* begin(step)
        const { args, fencing, path: written, refs = [] } = named(steps[step].script, exec.args)
        const path = loginPath(written)
        const base = path.startsWith("/") ? path : `${memoryHome(target)}/${path}`
        const { entries = "", fence = 0, unlocks = false } = fencing ?? {}
        const now = Math.floor((yield* Clock.currentTimeMillis) / 1000) + (host.clockAhead ?? 0)
        const place = { host, base, releases: `${base}/releases`, fence, entries, now, user: target.user ?? "user" }
        const failure = host.failureOf(step)
        if (failure !== undefined) return yield* reply(exec, [`fail ${failure}`])
        if (fence !== 0 && !holds(topLock(place), fence)) return yield* reply(exec, ["fenced"])
        const result = yield* handle(step, { ...place, args, refs }, exec, {
          target,
          lost,
          gone: Deferred.await(gone)
        })
        if (unlocks && !/^(fail|unfit) /m.test(result.stdout)) giveBack(place, fence)
        return result
      })
  }
}

const handle = <Name extends StepName, E>(
  name: Name,
  question: Question<Name>,
  exec: Exec<E>,
  connection: Connection
) => handlers[name](question, exec, connection)
