/**
 * A simulated world: several people run the real commands against one host in memory, while everything fails that may fail. One seed is one
 * world, and the same seed is the same world again.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as RuntimeFlagsPatch from "effect/RuntimeFlagsPatch"
import { DeployReport, deploy } from "../../src/commands/deploy.ts"
import { lock, unlock } from "../../src/commands/lock.ts"
import { Linked } from "../../src/commands/manage/host.ts"
import { deleteFromHost, integrity, link, pin, pruneHost, unpin } from "../../src/commands/manage.ts"
import { repair } from "../../src/commands/repair.ts"
import { RollbackReport, rollback } from "../../src/commands/rollback.ts"
import { RolledBack } from "../../src/deployment/liveFailures.ts"
import { LockWait } from "../../src/deployment/locking.ts"
import { drift } from "../../src/domain/Drift.ts"
import { shortRef } from "../../src/domain/Release.ts"
import type { TargetSettings } from "../../src/domain/Target.ts"
import {
  layer as inMemory,
  type MemoryCommand,
  MemoryHost,
  MemoryHosts,
  type MemoryResult
} from "../../src/host/MemoryHost.ts"
import { Operator } from "../../src/host/Operator.ts"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt, PromptUnavailable } from "../../src/terminal/Prompt.ts"
import { Reporter } from "../../src/terminal/Reporter.ts"
import { type DeployerConfig, findTarget } from "../../src/workspace/Config.ts"
import { decodeConfig } from "../../src/workspace/decode.ts"
import { Workspace, workspacePaths } from "../../src/workspace/Workspace.ts"
import { Dice } from "./dice.ts"
import { type Destiny, type Fate, type Mishap, Process, remoteHost, type Step } from "./network.ts"
import { name, type Prepared } from "./store.ts"
import { VirtualTime } from "./time.ts"
import { type Violation, Watch } from "./watch.ts"

/** Changes of a world: for control tests, and to follow its events. */
export interface WorldOptions {
  /** Called with a line for each thing that happens. */
  readonly trace?: (line: string) => void
  /** Takes a protection out. */
  readonly sabotage?: Destiny["sabotage"]
  /** The same for the files on the host. */
  readonly sabotageHost?: (host: MemoryHost) => void
}

/** How a world went. */
export interface WorldEnd {
  readonly violation: Violation | undefined
  /** Steps that hosts were asked for. */
  readonly steps: number
  /** The events, by their names, and how often: for a look at the worlds as a whole. */
  readonly seen: ReadonlyMap<string, number>
}

const path = "/srv/my_app"
const begin = Date.UTC(2026, 5, 1)
const day = 86_400_000

type Deed =
  | { readonly verb: "deploy"; readonly release: number | undefined; readonly retry: boolean }
  | { readonly verb: "rollback"; readonly to: string | undefined }
  | { readonly verb: "ln" | "delete" | "pin" | "unpin"; readonly ref: string }
  | { readonly verb: "integrity"; readonly fix: boolean }
  | { readonly verb: "prune" | "lock" | "unlock" | "repair" }

type Command = Effect.Effect<unknown, { readonly _tag: string }, RemoteHost | ReleaseStore | Workspace | Prompt>

const commandOf = (deed: Deed): Command => {
  const target = "prod"
  switch (deed.verb) {
    case "deploy":
      return deploy({
        target,
        release: deed.release === undefined ? undefined : String(deed.release),
        retry: deed.retry
      })
    case "rollback":
      return rollback({ target, to: deed.to })
    case "ln":
      return link(target, deed.ref)
    case "delete":
      return deleteFromHost(target, deed.ref)
    case "pin":
      return pin(target, deed.ref)
    case "unpin":
      return unpin(target, deed.ref)
    case "integrity":
      return integrity(target, { deep: true, fix: deed.fix })
    case "prune":
      return pruneHost(target, name)
    case "lock":
      return lock({ target, reason: "nobody touches this" })
    case "unlock":
      return unlock({ target })
    case "repair":
      return repair({ target })
  }
}

const labelOf = (deed: Deed): string =>
  Object.values(deed)
    .map((word) => (typeof word === "string" && word.length === 32 ? shortRef(word) : String(word)))
    .join(" ")

const settingsOf = (dice: Dice): typeof TargetSettings.Encoded => ({
  host: "host.test",
  user: "deploy",
  name,
  path,
  ...(dice.chance(0.6) ? { keep: dice.between(1, 3) } : {}),
  ...(dice.chance(0.5)
    ? { health: { command: "ping", timeout: "20 seconds", interval: "4 seconds", successes: dice.between(1, 2) } }
    : {}),
  ...(dice.chance(0.3) ? { restart: "restart" } : {}),
  ...(dice.chance(0.2) ? { afterUnpack: ["migrate"] } : {}),
  ...(dice.chance(0.2) ? { afterSwitch: ["reload"] } : {}),
  ...(dice.chance(0.35) ? { deadMan: dice.pick(["20 seconds", "2 minutes"]) } : {})
})

const deedOf = (dice: Dice, { stored }: Prepared): Deed => {
  const { id, ref } = dice.pick([stored[0]!, ...stored.slice(1)]).release
  return (
    dice.weighted<Deed>([
      [44, { verb: "deploy", release: dice.chance(0.15) ? undefined : id, retry: dice.chance(0.5) }],
      [14, { verb: "rollback", to: dice.chance(0.3) ? ref : undefined }],
      [8, { verb: "ln", ref }],
      [5, { verb: "delete", ref }],
      [5, { verb: "pin", ref }],
      [2, { verb: "unpin", ref }],
      [6, { verb: "prune" }],
      [4, { verb: "integrity", fix: dice.chance(0.7) }],
      [3, { verb: "lock" }],
      [5, { verb: "unlock" }]
    ]) ?? { verb: "prune" }
  )
}

/** Without the figures that the runtime keeps of its fibers. */
const quiet = Effect.withRuntimeFlagsPatch(RuntimeFlagsPatch.disable(RuntimeFlags.RuntimeMetrics))

/** How much goes wrong, from nothing to a lot. */
const storms = [0, 0.03, 0.03, 0.08, 0.08, 0.15] as const

const mishaps: ReadonlyArray<readonly [number, Mishap]> = [
  [4, "cut"],
  [4, "vanish"],
  [3, "kill"],
  [4, "power"],
  [2, "interrupt"],
  [7, "stall"]
]

const fateOf = (dice: Dice, storm: number): Fate => {
  const usual = () => (dice.chance(storm / 2) ? dice.between(5_000, 150_000) : dice.between(5, 300))
  const mishap = dice.chance(storm) ? dice.weighted(mishaps) : undefined
  const trouble = dice.chance(storm / 2) ? dice.pick(["disk", "journal", "step"] as const) : undefined
  return {
    before: usual(),
    after: usual(),
    ...(mishap === undefined
      ? {}
      : {
          mishap: {
            what: mishap,
            when: dice.pick(["sending", "sent", "done"] as const),
            later: dice.between(0, dice.chance(0.5) ? 400 : 30_000),
            millis: dice.between(20_000, 200_000)
          }
        }),
    ...(trouble === undefined ? {} : { trouble })
  }
}

type Past = ReturnType<MemoryHost["files"]["below"]>

const known = new WeakMap<Prepared, readonly [Past, ...ReadonlyArray<Past>]>()

/** The hosts when worlds begin: untouched, or after one deployment, or after several. */
const pasts = (prepared: Prepared): readonly [Past, ...ReadonlyArray<Past>] => {
  const before = known.get(prepared)
  if (before !== undefined) return before
  const made: [Past, ...Array<Past>] = [[]]
  const config = Either.getOrThrow(
    decodeConfig({ targets: { prod: { host: "host.test", user: "deploy", name, path } } })
  )
  const deployments = Effect.gen(function* () {
    const { files } = (yield* MemoryHosts).host("host.test")
    for (const { release } of prepared.stored.slice(0, 4)) {
      yield* deploy({ target: "prod", release: String(release.id) })
      made.push(files.below("/srv"))
    }
  }).pipe(
    Effect.provide(inMemory),
    Effect.provide(servicesOf(config, prepared)),
    Effect.provideService(
      Prompt,
      promptOf(() => true, "remove")
    ),
    Effect.provideService(Operator, { name: "old@laptop" }),
    Effect.withRandom(Random.make(0))
  )
  const exit = new VirtualTime(begin - day).run(deployments, begin, () => false)
  if (exit === undefined || Exit.isFailure(exit)) throw new Error(`the past went wrong: ${exit?.toString()}`)
  known.set(prepared, made)
  return made
}

const servicesOf = (config: DeployerConfig, { store }: Prepared): Context.Context<Workspace | ReleaseStore> => {
  const paths = workspacePaths("/project")
  return Context.make(Workspace, {
    home: Effect.succeed(paths.root),
    paths: Effect.succeed(paths),
    config: Effect.succeed(config),
    scratch: Effect.dieMessage("nobody builds here")
  }).pipe(Context.add(ReleaseStore, store))
}

/** Answers a question by its safety, and one about unfinished work with that word. */
const promptOf = (answer: (isSafe: boolean) => boolean, unfinished: string): Prompt["Type"] => {
  const unavailable = (question: string) => new PromptUnavailable({ question })
  return {
    canAsk: Effect.succeed(true),
    confirm: ({ safe }) => Effect.sync(() => answer(safe)),
    select: ({ choices, message }) => {
      const choice = choices.find(({ value }) => value === unfinished) ?? choices[0]
      return choice === undefined ? unavailable(message) : Effect.succeed(choice.value)
    },
    secret: ({ message }) => unavailable(message),
    line: () => Effect.succeed(Option.none())
  }
}

/** Runs the world of a seed to its end, or to the first thing that must not be. */
export const runWorld = (prepared: Prepared, seed: number, options: WorldOptions = {}): WorldEnd => {
  const dice = new Dice(seed)
  const time = new VirtualTime(begin)
  const host = new MemoryHost()
  const seen = new Map<string, number>()
  const count = (what: string) => void seen.set(what, (seen.get(what) ?? 0) + 1)
  const trace = (what: () => string) =>
    options.trace?.(`${((time.now - begin) / 1000).toFixed(3).padStart(10)}  ${what()}`)

  const settings = settingsOf(dice)
  const config = Either.getOrThrow(decodeConfig({ targets: { prod: settings } }))
  const target = Either.getOrThrow(findTarget(config, "prod"))
  const worstStorm = dice.pick(storms)
  const bad = new Set(prepared.stored.filter(() => dice.chance(0.25)).map(({ release }) => release.ref))
  let storm: number = 0
  trace(
    () => `seed ${seed}: ${JSON.stringify(settings)}, trouble ${worstStorm}, bad ${[...bad].map(shortRef).join(" ")}`
  )

  for (const [file, node] of dice.pick(pasts(prepared))) {
    if (node._tag === "Directory") host.files.makeDirectory(`/srv/${file}`)
    else if (node._tag === "Link") host.files.link(`/srv/${file}`, node.to)
    else host.files.write(`/srv/${file}`, node.content, node.mode)
  }
  const watch = new Watch(host, {
    path,
    keep: settings.keep,
    stored: prepared.stored,
    now: () => time.now,
    trace,
    count
  })
  options.sabotageHost?.(host)

  host.onRun = ({ command, ref }: MemoryCommand): MemoryResult => {
    const isWell = storm === 0 || !((bad.has(ref) && dice.chance(0.8)) || dice.chance(storm))
    trace(() => `  ${command} in ${shortRef(ref)} ${isWell ? "is well" : "fails"}`)
    return isWell ? {} : dice.chance(0.1) ? { never: true } : { exitCode: 1, output: "no" }
  }

  const destiny: Destiny = {
    fate: (step: Step) => {
      // Seldom taken, and the one with the most to lose.
      const fate = fateOf(dice, step.name === "confirm" ? Math.min(0.6, storm * 6) : storm)
      trace(
        () =>
          `${step.process.name}: ${step.name} ${step.fence ?? ""}${fate.before > 1000 ? `, slow by ${fate.before}` : ""}${fate.trouble === undefined ? "" : `, no ${fate.trouble}`}`
      )
      if (fate.trouble !== undefined) count(`trouble: ${fate.trouble}`)
      if (fate.mishap !== undefined) count(`mishap: ${fate.mishap.what} ${fate.mishap.when}`)
      return fate
    },
    reachable: () => !dice.chance(storm / 2),
    beforeDeed: (step) => watch.beforeDeed(step),
    afterDeed: (step) => watch.afterDeed(step),
    trace: (process, what) => trace(() => `${process.name}: ${what()}`),
    sabotage: options.sabotage
  }

  const shared = servicesOf(config, prepared)
  let processes = 0
  /** Somebody runs a command; the dead return nothing. */
  const perform = (who: string, deed: Deed, questions: Prompt["Type"], wait: Duration.Duration) =>
    Effect.gen(function* () {
      const named = "ref" in deed ? deed.ref : deed.verb === "rollback" ? deed.to : undefined
      const process = new Process(time.clock, `${who}${++processes}`, deed.verb, named)
      const services = shared.pipe(
        Context.add(RemoteHost, remoteHost(host, process, destiny)),
        Context.add(Prompt, questions),
        Context.add(Operator, { name: `${who}@laptop` }),
        Context.add(LockWait, { taken: wait, held: Duration.zero }),
        Context.add(Reporter, {
          emit: (event) =>
            Effect.sync(() => {
              if (event._tag === "Note" || event._tag === "Warning")
                trace(() => `${process.name}:   "${event.message}"`)
            })
        })
      )
      trace(() => `${process.name} begins: ${labelOf(deed)}`)
      const fiber = yield* Effect.forkDaemon(
        judged(process, deed).pipe(Effect.provide(services), Effect.withClock(process.clock))
      )
      process.fiber = fiber
      const exit = yield* Fiber.await(fiber)
      const outcome = Exit.isSuccess(exit)
        ? "ok"
        : Option.match(Cause.failureOption(exit.cause), {
            onNone: () => (Cause.isInterruptedOnly(exit.cause) ? (process.alive ? "interrupted" : "dead") : "bug"),
            onSome: ({ _tag }) => _tag
          })
      count(`${deed.verb}: ${outcome}`)
      trace(
        () =>
          `${process.name} ends: ${outcome}${Exit.isFailure(exit) ? ` ${Cause.pretty(exit.cause).split("\n")[0]}` : ""}`
      )
      if (outcome === "bug" && Exit.isFailure(exit)) watch.broken("errors", Cause.pretty(exit.cause))
      return { exit, outcome }
    })

  /** Compares the report of a command with the host, as long as nobody else had the lock since. */
  const judged = (process: Process, deed: Deed) =>
    commandOf(deed).pipe(
      Effect.tapBoth({
        onSuccess: (report) =>
          Effect.sync(() => {
            const isPlanned = report instanceof DeployReport || report instanceof RollbackReport
            const done =
              isPlanned && report.plan.steps.length > 0 ? report.plan : report instanceof Linked ? report : undefined
            const ref = done?.release.ref
            if (ref !== undefined && watch.isLast(process.token) && watch.current !== ref) {
              watch.broken(
                "verdict",
                `${process.name} says that ${ref} is current, and ${watch.current ?? "nothing"} is`
              )
            }
          }),
        onFailure: (error) =>
          Effect.sync(() => {
            if (!(error instanceof RolledBack) || !watch.isLast(process.token)) return
            const { current } = watch
            const said = error.stays === true ? error.release : (error.back ?? "nothing")
            const found = current === undefined ? "nothing" : `${name} ${shortRef(current)}`
            if (said !== found)
              watch.broken("verdict", `${process.name} says that ${said} is live again, and ${found} is`)
          })
      })
    )

  const person = (who: string) =>
    Effect.gen(function* () {
      for (let left = dice.between(1, 4); left > 0; left--) {
        yield* Effect.sleep(Duration.millis(dice.between(0, dice.chance(0.5) ? 1_000 : 60_000)))
        const brave = dice.chance(0.3)
        const questions = promptOf((isSafe) => isSafe || brave, dice.pick(["remove", "keep", "keep", "abort"]))
        const wait = dice.pick([Duration.zero, Duration.seconds(5), Duration.minutes(3), Duration.minutes(3)])
        yield* perform(who, deedOf(dice, prepared), questions, wait)
      }
    })

  const calmly = promptOf(() => true, "remove")
  const world = Effect.gen(function* () {
    storm = worstStorm
    const people = (["ann", "bob", "cid", "dee"] as const).slice(0, dice.between(2, 4))
    yield* Effect.forEach(people, person, { concurrency: "unbounded", discard: true })
    storm = 0
    yield* afterwards
  })

  /** Once the storm is over and all that is dead is known to be dead, one command must bring everything in order. */
  const afterwards = Effect.gen(function* () {
    yield* Effect.sleep(Duration.minutes(15))
    trace(() => "the storm is over")
    yield* perform("last", { verb: "unlock" }, calmly, Duration.zero)
    const look = Effect.suspend(() =>
      remoteHost(host, new Process(time.clock, "last", "look", undefined), destiny)
        .connect(target)
        .pipe(
          Effect.flatMap((session) => session.inspect),
          Effect.scoped
        )
    )
    const mended = yield* perform("last", { verb: "repair" }, calmly, Duration.zero)
    // Without anything of deployer's there is nothing to repair; a release may prove ill when the unfinished work is done.
    if (!["ok", "HostUnfit", "RolledBack"].includes(mended.outcome)) {
      return watch.broken("agreement", `a repair ends with ${mended.outcome}`)
    }
    const left = drift(yield* look).filter(({ advice }) => advice === "repair")
    if (left.length > 0) {
      watch.broken("agreement", `after a repair: ${left.map(({ found, kind }) => `${kind}: ${found}`).join("; ")}`)
    }
    // Then a plain deployment, of another release than the current one: a release that is live and well already is left alone, with all that lies around it.
    const [first, ...more] = prepared.stored.filter(({ release }) => release.ref !== watch.current)
    const wanted = dice.pick([first!, ...more]).release
    const { outcome } = yield* perform(
      "last",
      { verb: "deploy", release: wanted.id, retry: true },
      calmly,
      Duration.zero
    )
    if (outcome !== "ok") return watch.broken("agreement", `a plain deployment afterwards ends with ${outcome}`)
    const state = yield* look
    const drifted = drift(state)
    if (drifted.length > 0) {
      watch.broken("agreement", drifted.map(({ found, kind }) => `${kind}: ${found}`).join("; "))
    }
    if (state.currentRelease?.ref !== wanted.ref) {
      watch.broken("agreement", `${wanted.ref} was deployed, and ${state.currentRelease?.ref ?? "nothing"} is current`)
    }
    if (state.armed !== undefined || state.lock !== undefined) watch.broken("agreement", "something is armed or locked")
    for (const ref of watch.complete) {
      const fault = watch.faultOf(ref)
      if (fault !== undefined) watch.broken("agreement", `${ref}: ${fault}`)
    }
    const odd = host.files.names(`${path}/releases`).filter((file) => !/^(current|deployer_[0-9A-F]{32})$/.test(file))
    if (odd.length > 0) watch.broken("agreement", `left in releases/: ${odd.join(" ")}`)
  }).pipe(Effect.orDie)

  const exit = time.run(
    world.pipe(Effect.withRandom(Random.make(seed)), Effect.withTracerEnabled(false), quiet),
    begin + day,
    () => watch.violation !== undefined
  )
  if (watch.violation === undefined) {
    if (exit === undefined) watch.broken("errors", "it does not come to its end: somebody waits for ever")
    else if (Exit.isFailure(exit)) watch.broken("errors", Cause.pretty(exit.cause))
  }
  return { violation: watch.violation, steps: host.steps.length, seen }
}

/** A world runs in one go: between two of them the test runner must be let in. */
export const breath = (): Promise<void> => new Promise((resume) => setImmediate(resume))
