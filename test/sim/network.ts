/**
 * Processes on machines that fail, and the connections between them and one host in memory.
 */
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import { address as addressOf, type Target } from "../../src/domain/Target.ts"
import { type MemoryHost, type MemoryStep, transport as toHost } from "../../src/host/MemoryHost.ts"
import { type Call, named, positional, type Script, type StepName } from "../../src/host/protocol/Step.ts"
import { steps } from "../../src/host/protocol/steps.ts"
import { type CommandTimeout, HostUnreachable, type RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import type { Exec, ExecResult, Transport } from "../../src/host/transport/Transport.ts"

/** One step as the host sees it. */
export interface Step {
  /** The name of its script. */
  readonly name: StepName
  readonly process: Process
  /** The token under which it runs; nothing for those that need none. */
  readonly fence: number | undefined
  /** Its lines of the journal, as JSON. */
  readonly entries: string
  /** Whether its answer was given: the rest of its work is the host's alone. */
  over: boolean
}

/** On whose behalf something is done on the host right now. */
export const currentStep = FiberRef.unsafeMake<Step | undefined>(undefined)

/** The troubles of a process or its connection. */
export type Mishap =
  /** The connection ends, and both sides notice. */
  | "cut"
  /** The connection is dead; the process notices after its keep-alives, the host much later. */
  | "vanish"
  /** The process is killed, and the host notices. */
  | "kill"
  /** Its machine loses power: the host notices much later. */
  | "power"
  /** Ctrl-C. */
  | "interrupt"
  /** The process stands still, for longer than it takes until its lock counts as left behind. */
  | "stall"

/** The fate of one step. Times in milliseconds. */
export interface Fate {
  /** On the way to the host, and in its queue: the host carries out each step that has arrived, even if the process dies. */
  readonly before: number
  /** On the way back. */
  readonly after: number
  readonly mishap?: {
    /** `sending`: it never arrives; `sent`: so many milliseconds later; `done`: before the answer arrives. */
    readonly when: "sending" | "sent" | "done"
    readonly later: number
    readonly what: Mishap
    /** For how long, if not for ever. */
    readonly millis: number
  }
  /** The part of the host that does not work meanwhile. */
  readonly trouble?: "disk" | "journal" | "step"
}

/** The decisions that the network asks for, and the events that it reports. */
export interface Destiny {
  readonly fate: (step: Step) => Fate
  /** Whether a connection can be made now. */
  readonly reachable: () => boolean
  /** Right before and right after something is done on the host. */
  readonly beforeDeed: (step: Step) => void
  readonly afterDeed: (step: Step) => void
  readonly trace: (process: Process, what: () => string) => void
  /** The step that is really sent: to take a protection out. */
  readonly sabotage?: Sabotage | undefined
}

/** Returns the words that a step sends in place of its arguments. */
type Sabotage = (call: Call, step: Step, host: MemoryHost) => Call

interface Connection {
  lost: HostUnreachable | undefined
  silent: boolean
  /** Ends every wait for an answer. */
  readonly waiting: Set<(error: HostUnreachable) => void>
  /** Ends its lock on the host. */
  readonly gone: Deferred.Deferred<never, HostUnreachable>
  /** Steps that the host reads for: they end with the connection. */
  readonly reading: Set<Fiber.RuntimeFiber<unknown, unknown>>
}

const keepAlive = 45_000
const hostTimeout = 300_000

/** One run of a command by somebody. */
export class Process {
  alive = true
  /** Until when it stands still. */
  awakeAt = 0
  /** The highest token that it got on the host. */
  token = 0
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  readonly connections = new Set<Connection>()
  /** Of the world. */
  readonly time: Clock.Clock

  readonly name: string
  readonly verb: string
  /** The ref of the release that its user asked for by name. */
  readonly named: string | undefined

  constructor(time: Clock.Clock, name: string, verb: string, named: string | undefined) {
    this.time = time
    this.name = name
    this.verb = verb
    this.named = named
  }

  /** Waits while the process stands still. */
  readonly awake: Effect.Effect<void> = Effect.suspend(() => {
    const left = this.awakeAt - this.time.unsafeCurrentTimeMillis()
    return left <= 0 ? Effect.void : Effect.zipRight(this.time.sleep(Duration.millis(left)), this.awake)
  })

  /** Its own time: nothing wakes it while it stands still. */
  get clock(): Clock.Clock {
    return { ...this.time, sleep: (duration) => Effect.zipRight(this.time.sleep(duration), this.awake) }
  }

  /** Lets something befall it. */
  befall(what: Mishap, connection: Connection, address: string, millis: number): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      switch (what) {
        case "cut":
          return end(connection, lost(address))
        case "vanish":
          connection.silent = true
          yield* later(this.time, keepAlive, () => leave(connection, lost(address)))
          return yield* later(this.time, hostTimeout, () => notice(connection))
        case "kill":
        case "power": {
          this.alive = false
          this.fiber?.unsafeInterruptAsFork(FiberId.none)
          for (const each of this.connections) {
            each.silent = what === "power"
            leave(each, lost(address))
            if (what === "kill") notice(each)
            else yield* later(this.time, hostTimeout, () => notice(each))
          }
          return
        }
        case "interrupt":
          return this.fiber?.unsafeInterruptAsFork(FiberId.none)
        case "stall":
          this.awakeAt = Math.max(this.awakeAt, this.time.unsafeCurrentTimeMillis() + millis)
          return
      }
    })
  }
}

const lost = (address: string) => new HostUnreachable({ address, reason: "lost", detail: "connection reset" })

const later = (time: Clock.Clock, millis: number, act: () => void) =>
  Effect.forkDaemon(Effect.zipRight(time.sleep(Duration.millis(millis)), Effect.sync(act)))

const leave = (connection: Connection, error: HostUnreachable): void => {
  connection.lost ??= error
  for (const fail of connection.waiting) fail(error)
  connection.waiting.clear()
}

/** The standard input of its lock ends. */
const release = ({ gone }: Connection): void => Deferred.unsafeDone(gone, closed)

const closed = Effect.fail(lost("the host"))

/** The host notices that nobody is there any more. */
const notice = (connection: Connection): void => {
  release(connection)
  for (const step of connection.reading) step.unsafeInterruptAsFork(FiberId.none)
  connection.reading.clear()
}

const end = (connection: Connection, error: HostUnreachable): void => {
  leave(connection, error)
  notice(connection)
}

/** The host as one process reaches it. */
export const remoteHost = (host: MemoryHost, process: Process, destiny: Destiny): RemoteHost["Type"] => ({
  connect: (target) =>
    Effect.gen(function* () {
      yield* process.awake
      const address = addressOf(target)
      if (!process.alive || !destiny.reachable()) {
        destiny.trace(process, () => "cannot connect")
        return yield* new HostUnreachable({ address, reason: "refused", detail: "connection refused" })
      }
      const gone = Deferred.unsafeMake<never, HostUnreachable>(FiberId.none)
      const connection: Connection = { lost: undefined, silent: false, waiting: new Set(), gone, reading: new Set() }
      process.connections.add(connection)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          process.connections.delete(connection)
          if (!connection.silent) end(connection, lost(address))
        })
      )
      return makeSession(target, transport(host, target, process, connection, destiny))
    })
})

const stepOf = ({ args, step: name }: Pick<Exec<never>, "args" | "step">, process: Process): Step => {
  if (name === undefined) throw new Error("it is no step of the protocol")
  const { fencing } = named(steps[name].script, args)
  return { name, process, fence: fencing?.fence, entries: fencing?.entries ?? "", over: false }
}

const transport = (
  host: MemoryHost,
  target: Target,
  process: Process,
  connection: Connection,
  destiny: Destiny
): Transport => {
  const inner = toHost(host, target, connection.gone)
  const address = addressOf(target)
  // Of the process, and of its machine: no signs of life arrive over a dead connection.
  const clock: Clock.Clock = {
    ...process.clock,
    sleep: (duration) =>
      Effect.zipRight(
        process.clock.sleep(duration),
        Effect.suspend(() => (connection.silent ? Effect.never : Effect.void))
      )
  }

  const exec = <E>(sent: Exec<E>): Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout> =>
    Effect.gen(function* () {
      yield* process.awake
      if (connection.lost !== undefined) return yield* connection.lost
      const step = stepOf(sent, process)
      const { after, before, mishap, trouble } = destiny.fate(step)
      const befall = (when: "sending" | "sent" | "done") =>
        Effect.suspend(() => {
          if (mishap === undefined || mishap.when !== when || !process.alive) return Effect.void
          destiny.trace(process, () => `${mishap.what} while ${when} ${step.name}`)
          return process.befall(mishap.what, connection, address, mishap.millis)
        })
      const answer = yield* Deferred.make<ExecResult, E | HostUnreachable | CommandTimeout>()
      const fail = (error: HostUnreachable) => Deferred.unsafeDone(answer, Effect.fail(error))
      connection.waiting.add(fail)
      yield* befall("sending")
      if (connection.silent || connection.lost !== undefined || !process.alive) return yield* Deferred.await(answer)
      yield* process.awake

      let heal = () => {}
      // The way of the answer, once, before the first word of it.
      let answering: Effect.Effect<void> = Effect.suspend(() => {
        answering = Effect.void
        heal()
        return befall("done").pipe(
          Effect.zipRight(process.time.sleep(Duration.millis(after))),
          Effect.zipRight(process.awake)
        )
      })
      const isHeard = () => process.alive && !connection.silent && connection.lost === undefined
      const { onOutput, stdin } = sent
      const hear =
        onOutput === undefined
          ? {}
          : {
              onOutput: (chunk: Uint8Array, from: "stdout" | "stderr") =>
                Effect.zipRight(
                  answering,
                  Effect.suspend(() => (isHeard() ? onOutput(chunk, from) : Effect.void))
                )
            }
      const onHost = Effect.gen(function* () {
        yield* process.time.sleep(Duration.millis(before))
        const { script } = steps[step.name]
        const args = positional(
          script,
          (destiny.sabotage ?? ((call) => call))(named<Script>(script, sent.args), step, host)
        )
        destiny.beforeDeed(step)
        heal = harm(host, step, trouble)
        const exit = yield* Effect.exit(inner.exec({ ...sent, ...hear, args }))
        destiny.afterDeed(step)
        step.over = true
        yield* answering
        if (isHeard()) Deferred.unsafeDone(answer, exit)
      })
      const running = yield* onHost.pipe(
        Effect.locally(currentStep, step),
        Effect.withClock(step.name === "lock" ? clock : process.time),
        Effect.forkDaemon
      )
      if (stdin !== undefined && step.name !== "lock") connection.reading.add(running)
      if (mishap?.when === "sent")
        yield* Effect.forkDaemon(Effect.zipRight(process.time.sleep(Duration.millis(mishap.later)), befall("sent")))
      return yield* Deferred.await(answer).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            connection.waiting.delete(fail)
            connection.reading.delete(running)
            if (step.name === "lock" && !connection.silent) release(connection)
          })
        )
      )
    })

  return { ...inner, exec }
}

/** Takes something of the host away, and returns how it comes back. */
const harm = (host: MemoryHost, step: Step, trouble: Fate["trouble"]): (() => void) => {
  switch (trouble) {
    case "disk": {
      host.freeBytes = 100
      return () => {
        host.freeBytes = 1_000_000_000
      }
    }
    case "journal":
      host.journalFailure = "No space left on device"
      return () => {
        host.journalFailure = undefined
      }
    case "step": {
      const name = step.name as MemoryStep
      host.failStep(name, "Input/output error")
      return () => host.healStep(name)
    }
    case undefined:
      return () => {}
  }
}
