/**
 * The interactive manager: a prompt with the same verbs on both sides.
 */
import type * as Terminal from "@effect/platform/Terminal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { connectTo, type ReleaseNotWhole } from "../../deployment/onHost.ts"
import { shortRef } from "../../domain/Release.ts"
import type { HostSession, HostUnfit, LockHeld, NotOnHost, StepFailure } from "../../host/RemoteHost.ts"
import { suggest } from "../../internal/suggest.ts"
import type { ReleaseAmbiguous, ReleaseNotFound } from "../../store/failures.ts"
import { ReleaseStore, type StoreFailure } from "../../store/ReleaseStore.ts"
import { print as show, type View } from "../../terminal/Answer.ts"
import { Prompt, type PromptFailure, PromptUnavailable } from "../../terminal/Prompt.ts"
import * as Reporter from "../../terminal/Reporter.ts"
import { findTarget } from "../../workspace/Config.ts"
import { type ConfigInvalid, Workspace } from "../../workspace/Workspace.ts"
import type { Declined } from "../Declined.ts"
import { type DeployError, type DeployServices, deploy, deployView } from "../deploy.ts"
import {
  type DoctorError,
  type DoctorFailed,
  type DoctorServices,
  doctor,
  doctorView,
  failUnlessHealthy
} from "../doctor.ts"
import { type HistoryError, history, historyView } from "../history.ts"
import { failUnlessRepaired, type RepairReport, repairHost, repairView } from "../repair.ts"
import { type RollbackError, rollback, rollbackView } from "../rollback.ts"
import { failUnlessGood, type StatusBad, type StatusError, status, statusView } from "../status.ts"
import { adopt, adoptedView, type NothingToAdopt } from "./adopt.ts"
import * as host from "./host.ts"
import { hostInfoView, hostReleaseInfoView, integrityView, linkedView } from "./host.ts"
import * as pins from "./pin.ts"
import { pinnedView } from "./pin.ts"
import { removalView } from "./removal.ts"
import * as store from "./store.ts"
import { releaseInfoView, storeInfoView } from "./store.ts"
import { exportedView, exportRelease, importedView, importRelease, type TransferFailure } from "./transfer.ts"

/** The manager's next state after a line. */
type Next =
  | { readonly _tag: "Quit" }
  /** `failure`: why the line was not carried out. */
  | { readonly _tag: "Stay"; readonly failure?: string }
  /** Back to the local store. `isNew`: with everything shown at the start. */
  | { readonly _tag: "Local"; readonly isNew: boolean; readonly failure?: string }
  | { readonly _tag: "Connect"; readonly target: string }

const stay: Next = { _tag: "Stay" }

/** The failures of a verb: the manager reports them and continues. */
type VerbFailure =
  | StoreFailure
  | ConfigInvalid
  | ReleaseNotFound
  | store.NameNotFound
  | TransferFailure
  | ReleaseAmbiguous
  | StepFailure
  | HostUnfit
  | NotOnHost
  | LockHeld
  | host.ReleaseIsCurrent
  | host.JournalUnreadable
  | ReleaseNotWhole
  | NothingToAdopt
  | DeployError
  | RollbackError
  | StatusError
  | StatusBad
  | DoctorError
  | DoctorFailed
  | HistoryError
  | Declined
  | PromptFailure

type VerbServices = DeployServices | DoctorServices | Terminal.Terminal

interface Verb {
  readonly name: string
  /** The label of its argument in the help, and the source of its completions. */
  readonly argument?: { readonly label: string; readonly required: boolean; readonly candidates?: keyof Candidates }
  readonly summary: string
  readonly run: (argument: string) => Effect.Effect<Next, VerbFailure, VerbServices>
}

interface Candidates {
  readonly names: ReadonlyArray<string>
  readonly refs: ReadonlyArray<string>
  /** The refs of releases in the local store that a host can get. */
  readonly stored: ReadonlyArray<string>
  readonly targets: ReadonlyArray<string>
  readonly flags: ReadonlyArray<string>
}

/** The verbs that only the other side has, and how to get there. */
interface Elsewhere {
  readonly names: ReadonlyArray<string>
  readonly way: string
}

const onlyOnHost: Elsewhere = {
  names: "ln pin unpin integrity repair adopt status history deploy rollback doctor local".split(" "),
  way: "connect to a host first, with connect TARGET"
}

const onlyInStore: Elsewhere = {
  names: ["export", "import", "connect"],
  way: "return to the local store first, with local"
}

/** One side of the manager: the local store, or a host. */
interface Side {
  readonly prompt: string
  readonly verbs: ReadonlyArray<Verb>
  readonly elsewhere: Elsewhere
  readonly candidates: Effect.Effect<Candidates, VerbFailure, VerbServices>
}

/** A line of a script for the manager failed, and the lines after it were not run. */
export class ScriptStopped extends Schema.TaggedError<ScriptStopped>()("ScriptStopped", {
  /** The number of the line, from 1 on, and its text. */
  line: Schema.Int,
  text: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Line ${this.line} ("${this.text}") failed, and no later line was run: ${this.detail}`
  }
}

/**
 * Runs the manager until the user leaves it. Begins on a host if a target is given. If the standard input is a file or a pipe, its lines are
 * run in order, and the first failure ends the manager.
 */
export const repl = Effect.fn("manage.repl")(function* (target: string | undefined) {
  const prompt = yield* Prompt
  if (!(yield* prompt.canAsk)) {
    const script = prompt.script === undefined ? undefined : yield* prompt.script
    if (script?.some((line) => line.trim() !== "")) return yield* scripted(target, script)
    return yield* new PromptUnavailable({
      question: "What do you want to do?",
      hint: `name a verb, as in: deployer manage info${target === undefined ? "" : ` target=${target}`}`
    })
  }
  let next: Next = target === undefined ? { _tag: "Local", isNew: true } : { _tag: "Connect", target }
  let isFirst = true
  while (next._tag !== "Quit") {
    next = yield* next._tag === "Connect"
      ? onHost(next.target, isFirst)
      : sideLoop(local, next._tag === "Local" && next.isNew)
    isFirst = false
  }
})

/** Runs the lines of a script. */
const scripted = (target: string | undefined, script: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    let at = 0
    const stopped = (detail: string) => new ScriptStopped({ line: at, text: (script[at - 1] ?? "").trim(), detail })
    const line = Effect.sync(() => Option.fromNullable(script[at++]))
    let next: Next = target === undefined ? { _tag: "Local", isNew: false } : { _tag: "Connect", target }
    while (next._tag !== "Quit") {
      next = yield* (next._tag === "Connect" ? onHost(next.target, true, false) : sideLoop(local, false)).pipe(
        Effect.provideService(Prompt, { ...prompt, line: () => line })
      )
      if ("failure" in next && next.failure !== undefined) return yield* stopped(next.failure)
    }
  })

/**
 * A session stays open while the manager is on the host. If a target cannot be reached, the manager stays local, unless the command line
 * named the target: then the command itself fails.
 */
const onHost = (target: string, isWish: boolean, isNew = true) =>
  Effect.gen(function* () {
    const connected = Effect.gen(function* () {
      const config = yield* (yield* Workspace).config
      return yield* connectTo(yield* findTarget(config, target))
    })
    const session = yield* isWish ? Effect.asSome(connected) : Effect.catchAll(Effect.asSome(connected), unreached)
    return Option.isSome(session)
      ? yield* sideLoop(remote(session.value), isNew)
      : ({ _tag: "Local", isNew: false } as const)
  }).pipe(Effect.scoped)

const unreached = (error: Failure) => Effect.as(sayFailure(error), Option.none())

const sideLoop = (side: Side, isNew: boolean) =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    if (isNew) {
      const shown = yield* runLine(side, "info")
      if (shown._tag !== "Stay") return shown
      yield* Console.log(`\n${help(side)}`)
    }
    while (true) {
      const candidates = yield* Effect.orElseSucceed(side.candidates, () => nothing)
      const line = yield* prompt.line({ prompt: side.prompt, complete: (typed) => complete(side, candidates, typed) })
      if (Option.isNone(line)) return { _tag: "Quit" } as const
      const next = yield* runLine(side, line.value)
      if ("failure" in next && next.failure !== undefined) {
        if (!(yield* prompt.canAsk)) return next
        const left = (prompt.dropPasted === undefined ? [] : yield* prompt.dropPasted).filter(
          (line) => line.trim() !== ""
        )
        if (left.length > 0) yield* Reporter.warn(`Not run, because of that: ${left.join("; ")}`)
      }
      if (next._tag !== "Stay") return next
    }
  })

const nothing: Candidates = { names: [], refs: [], stored: [], targets: [], flags: [] }

/** A failed verb is reported, and the manager continues. Only a question that cannot be asked ends the manager. */
const runLine = (side: Side, line: string): Effect.Effect<Next, PromptUnavailable, VerbServices> => {
  const [word = "", ...rest] = line.trim().split(/\s+/)
  const argument = rest.join(" ")
  if (word === "") return Effect.succeed(stay)
  const [verb, ...more] = findVerbs(side.verbs, word)
  if (verb === undefined && side.elsewhere.names.includes(word)) {
    return complain(`"${word}" does not work here: ${side.elsewhere.way}`)
  }
  if (verb === undefined) {
    const meant = suggest(
      word,
      side.verbs.map(({ name }) => name)
    )
    return complain(
      `There is no "${word}" here${meant === undefined ? "" : `; did you mean "${meant}"?`} (h lists the verbs)`
    )
  }
  if (more.length > 0) {
    return complain(`"${word}" could be ${[verb, ...more].map(({ name }) => name).join(" or ")}`)
  }
  if (argument === "" && verb.argument?.required === true) {
    return complain(`${verb.name} needs a ${verb.argument.label}`)
  }
  return verb.run(argument).pipe(
    Effect.catchAll((error): Effect.Effect<Next, PromptUnavailable> => {
      switch (error._tag) {
        case "PromptUnavailable":
          return Effect.fail(error)
        // Nothing more is possible on that host: every further verb would fail in the same way.
        case "HostUnreachable":
          return Effect.as(sayFailure(error), { _tag: "Local", isNew: false, failure: error.message })
        default:
          return Effect.as(sayFailure(error), { _tag: "Stay", failure: error.message })
      }
    })
  )
}

/** Reports the remaining faults of a repair, and the manager continues. */
const sayLeft = (report: RepairReport) =>
  Effect.catchAll(Effect.as(failUnlessRepaired(report), stay), (error) =>
    Effect.as(sayFailure(error), { _tag: "Stay", failure: error.message } satisfies Next)
  )

const complain = (message: string): Effect.Effect<Next> =>
  Effect.as(Reporter.warn(message), { _tag: "Stay", failure: message })

interface Failure {
  readonly _tag: string
  readonly message: string
}

const sayFailure = (error: Failure) =>
  error._tag === "Declined" || error._tag === "PromptAborted"
    ? Reporter.note(error.message)
    : Reporter.warn(error.message)

/** The verb with that name, or those that begin with it. `\q`, `q`, `quit` and `exit` are the same. */
const findVerbs = (verbs: ReadonlyArray<Verb>, word: string): ReadonlyArray<Verb> => {
  const name = ["\\q", "quit", "exit"].includes(word) ? "q" : word === "help" ? "h" : word
  const exact = verbs.filter((verb) => verb.name === name)
  return exact.length > 0 ? exact : verbs.filter((verb) => verb.name.startsWith(name))
}

const complete = (side: Side, candidates: Candidates, typed: string): ReadonlyArray<string> => {
  const [word = "", argument] = typed.split(/\s+/, 2)
  if (argument === undefined) {
    // The blank lets the next Tab complete the argument.
    return side.verbs
      .filter(({ name }) => name.startsWith(word))
      .map(({ argument, name }) => (argument === undefined ? name : `${name} `))
  }
  const [verb, ...more] = findVerbs(side.verbs, word)
  if (verb?.argument?.candidates === undefined || more.length > 0) return []
  return candidates[verb.argument.candidates]
    .filter((candidate) => candidate.toLowerCase().startsWith(argument.toLowerCase()))
    .map((candidate) => `${verb.name} ${candidate}`)
}

const help = (side: Pick<Side, "verbs">): string => {
  const usages = side.verbs.map(({ argument, name }) =>
    argument === undefined ? name : `${name} ${argument.required ? argument.label : `[${argument.label}]`}`
  )
  const width = Math.max(...usages.map(({ length }) => length))
  return side.verbs.map(({ summary }, index) => `  ${(usages[index] ?? "").padEnd(width)}  ${summary}`).join("\n")
}

const print = (text: View) => Effect.as(show(text), stay)

const quit: Verb = {
  name: "q",
  summary: "leaves the manager (also \\q and Ctrl-D)",
  run: () => Effect.succeed({ _tag: "Quit" })
}

const unique = (words: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(words)]

const local = (() => {
  const verbs: ReadonlyArray<Verb> = [
    {
      name: "info",
      argument: { label: "ref", required: false, candidates: "refs" },
      summary: "the newest releases and the targets, all of them (info all), or one release in full",
      run: (ref) =>
        ref === "" || ref === "all"
          ? Effect.flatMap(store.info(ref === "all" ? {} : { limit: store.usualCount }), (report) =>
              print(storeInfoView(report))
            )
          : Effect.flatMap(store.infoOf(ref), (report) => print(releaseInfoView(report)))
    },
    {
      name: "prune",
      argument: { label: "name", required: true, candidates: "names" },
      summary: "removes old releases of that name: all but the latest",
      run: (name) => Effect.flatMap(store.prune(name), (report) => print(removalView(report)))
    },
    {
      name: "delete",
      argument: { label: "ref", required: true, candidates: "refs" },
      summary: "removes one release",
      run: (ref) => Effect.flatMap(store.deleteOne(ref), (report) => print(removalView(report)))
    },
    {
      name: "export",
      argument: { label: "ref file", required: true, candidates: "refs" },
      summary: "writes one release to a file, for another store",
      run: (words) => {
        const [, release, file] = /^(\S+)\s+(\S.*)$/.exec(words) ?? []
        return release === undefined || file === undefined
          ? complain("export needs a ref and a file")
          : Effect.flatMap(exportRelease({ release, file }), (report) => print(exportedView(report)))
      }
    },
    {
      name: "import",
      argument: { label: "file", required: true },
      summary: "adds the release of an exported file",
      run: (file) => Effect.flatMap(importRelease({ file }), (report) => print(importedView(report)))
    },
    {
      name: "connect",
      argument: { label: "target", required: true, candidates: "targets" },
      summary: "connects to that host",
      run: (target) => Effect.succeed({ _tag: "Connect", target })
    }
  ]
  const candidates = Effect.gen(function* () {
    const releases = yield* (yield* ReleaseStore).list({ limit: 200 })
    const config = yield* (yield* Workspace).config
    return {
      ...nothing,
      names: unique(releases.map(({ name }) => name)),
      refs: releases.map(({ ref }) => shortRef(ref)),
      targets: Object.keys(config.targets)
    }
  })
  return makeSide("deployer> ", verbs, candidates, onlyOnHost)
})()

/** The verbs of a host that are commands of their own. Each makes its own connection. */
const commandVerbs = (target: string): ReadonlyArray<Verb> => [
  {
    name: "status",
    summary: "the live release, its health, and the faults of the host",
    run: () =>
      Effect.flatMap(status({ target }), (report) =>
        Effect.zipRight(print(statusView(report)), Effect.as(failUnlessGood(report), stay))
      )
  },
  {
    name: "history",
    argument: { label: "ref", required: false, candidates: "refs" },
    summary: "the history of the host; or all of it about one release",
    run: (ref) =>
      Effect.flatMap(history({ target, ...(ref === "" ? {} : { ref }) }), (report) => print(historyView(report)))
  },
  {
    name: "deploy",
    argument: { label: "release", required: false, candidates: "stored" },
    summary: "deploys a release of the local store, the latest if none is named",
    run: (release) =>
      Effect.flatMap(deploy({ target, ...(release === "" ? {} : { release }) }), (report) => print(deployView(report)))
  },
  {
    name: "rollback",
    argument: { label: "ref", required: false, candidates: "refs" },
    summary: "goes back to the previous healthy release, or to this one",
    run: (to) =>
      Effect.flatMap(rollback({ target, ...(to === "" ? {} : { to }) }), (report) => print(rollbackView(report)))
  },
  {
    name: "doctor",
    summary: "checks whether the host is ready for a deployment",
    run: () =>
      Effect.flatMap(doctor({ target }), (report) =>
        Effect.zipRight(print(doctorView(report)), Effect.as(failUnlessHealthy(report), stay))
      )
  }
]

const remote = (session: HostSession) => {
  const verbs: ReadonlyArray<Verb> = [
    {
      name: "info",
      argument: { label: "ref", required: false, candidates: "refs" },
      summary: "the current release first, then the others; or one release in full",
      run: (ref) =>
        ref === ""
          ? Effect.flatMap(host.info(session), (report) => print(hostInfoView(report)))
          : Effect.flatMap(host.infoOf(session, ref), (report) => print(hostReleaseInfoView(report)))
    },
    {
      name: "ln",
      argument: { label: "ref", required: true, candidates: "refs" },
      summary: "makes another release current",
      run: (ref) => Effect.flatMap(host.link(session, ref), (report) => print(linkedView(report)))
    },
    {
      name: "prune",
      argument: { label: "name", required: true, candidates: "names" },
      summary: "removes old releases of that name: all but the latest, the current and pinned ones",
      run: (name) => Effect.flatMap(host.prune(session, name), (report) => print(removalView(report)))
    },
    {
      name: "delete",
      argument: { label: "ref", required: true, candidates: "refs" },
      summary: "removes one release, never the current one",
      run: (ref) => Effect.flatMap(host.deleteOne(session, ref), (report) => print(removalView(report)))
    },
    {
      name: "pin",
      argument: { label: "ref", required: true, candidates: "refs" },
      summary: "pins one release, so that nothing prunes it",
      run: (ref) => Effect.flatMap(pins.pin(session, ref), (report) => print(pinnedView(report)))
    },
    {
      name: "unpin",
      argument: { label: "ref", required: true, candidates: "refs" },
      summary: "unpins one release",
      run: (ref) => Effect.flatMap(pins.unpin(session, ref), (report) => print(pinnedView(report)))
    },
    {
      name: "integrity",
      argument: { label: "deep -f", required: false, candidates: "flags" },
      summary: "checks the link and each release, with deep every file of it; -f removes the broken ones",
      run: (words) => {
        const flags = words.split(" ").filter((word) => word !== "")
        const odd = flags.find((flag) => flag !== "deep" && flag !== "-f")
        return odd === undefined
          ? Effect.flatMap(
              host.integrity(session, { deep: flags.includes("deep"), fix: flags.includes("-f") }),
              (report) => print(integrityView(report))
            )
          : complain(`integrity takes deep, -f, both or nothing, not "${odd}"`)
      }
    },
    {
      name: "repair",
      summary: "repairs deployer's records on the host, after showing how",
      run: () =>
        Effect.flatMap(repairHost(session), (report) => Effect.zipRight(print(repairView(report)), sayLeft(report)))
    },
    {
      name: "adopt",
      summary: "turns a directory in the place of current into a release",
      run: () => Effect.flatMap(adopt(session), (report) => print(adoptedView(report)))
    },
    ...commandVerbs(session.target.key),
    {
      name: "local",
      summary: "returns to the local store",
      run: () => Effect.succeed({ _tag: "Local", isNew: true })
    }
  ]
  const candidates = Effect.gen(function* () {
    const { releases } = yield* session.inspect
    const stored = yield* (yield* ReleaseStore).list({ name: session.target.name, limit: 200 })
    return {
      ...nothing,
      stored: stored.map(({ ref }) => shortRef(ref)),
      names: unique(releases.map(({ name }) => name)),
      refs: releases.map(({ ref }) => shortRef(ref)),
      flags: ["-f", "deep", "deep -f"]
    }
  })
  return makeSide(`${session.target.key}> `, verbs, candidates, onlyInStore)
}

/** A side, including the verbs that both sides have. */
function makeSide(
  prompt: string,
  verbs: ReadonlyArray<Verb>,
  candidates: Side["candidates"],
  elsewhere: Elsewhere
): Side {
  const all: ReadonlyArray<Verb> = [
    ...verbs,
    { name: "h", summary: "lists the verbs", run: () => print(() => help({ verbs: all })) },
    quit
  ]
  return { prompt, verbs: all, elsewhere, candidates }
}
