/**
 * The rules that a host must always keep, checked after each single change of its files.
 */
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { previousRelease } from "../../src/domain/HostState.ts"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { currentStep, type Step } from "./network.ts"
import { name, type Stored } from "./store.ts"

/** Something was not as it always must be. */
export interface Violation {
  readonly invariant: Invariant
  readonly detail: string
}

/** The rules that must always hold. */
export type Invariant =
  /** `current` is there once it was, and leads to a release that is complete and as it was deployed. */
  | "current"
  /** Each process that changes something has the lock, and nobody takes it from a process that gives signs of life. */
  | "holder"
  /** Going back leads to a release that was healthy, unless somebody named another one. */
  | "rollback"
  /** `keep` leaves as many healthy releases as it says, and the current, the previous and the pinned ones. */
  | "keep"
  /** The report of a command agrees with the host. */
  | "verdict"
  /** In the end a deployment succeeds, and journal, link and trees agree. */
  | "agreement"
  /** Each failure is an error with a name, and comes to an end. */
  | "errors"

interface Entry {
  readonly event: string
  readonly release?: { readonly ref: string }
}

const linesOf = (text: string): ReadonlyArray<Entry> =>
  text.split("\n").flatMap((line) => (line.startsWith("{") && line.endsWith("}") ? [JSON.parse(line) as Entry] : []))

/** The subject of the watch. */
export interface Watched {
  /** Of the target on its host. */
  readonly path: string
  readonly keep: number | undefined
  readonly stored: ReadonlyArray<Stored>
  readonly now: () => number
  readonly trace: (what: () => string) => void
  /** Called with each event that is worth counting. */
  readonly count: (what: string) => void
}

/** Watches one host from now on. */
export class Watch {
  private readonly host: MemoryHost
  private readonly options: Watched
  violation: Violation | undefined
  private readonly files: MemoryHost["files"]
  private readonly config: string
  private readonly releases: string
  private wasLinked = false
  private isDirty = false
  private pruning: { readonly healthy: ReadonlySet<string>; readonly kept: ReadonlyArray<string> } | undefined
  /** When each lock gave its last sign of life, in milliseconds. */
  private readonly beats = new Map<number, number>()
  private top = { token: 0, state: "free" }

  constructor(host: MemoryHost, options: Watched) {
    this.host = host
    this.options = options
    this.files = host.files
    this.config = `${options.path}/config`
    this.releases = `${options.path}/releases`
    this.wasLinked = this.current !== undefined
    for (const file of host.files.names(this.config).filter((name) => name.startsWith("lock."))) {
      this.top = { token: Number(file.slice(5)), state: host.files.read(`${this.config}/${file}`)?.split(" ")[0] ?? "" }
    }
    host.files.onChange = (path) => this.changed(path)
  }

  /** The ref that `current` leads to. */
  get current(): string | undefined {
    return /^deployer_([0-9A-F]{32})$/.exec(this.files.readLink(`${this.releases}/current`) ?? "")?.[1]
  }

  /** Whether nobody has taken the lock since this token was taken. */
  isLast(token: number): boolean {
    return this.top.token === token
  }

  broken(invariant: Invariant, detail: string): void {
    this.options.trace(() => `VIOLATION of ${invariant}: ${detail}`)
    this.violation ??= { invariant, detail }
  }

  /** The entries of the journal, oldest first. */
  get journal(): ReadonlyArray<Entry> {
    return linesOf(this.files.read(`${this.config}/journal`) ?? "")
  }

  /** Whether the last word of the journal on a release is a good one. */
  isHealthy(ref: string, journal = this.journal): boolean {
    const last = journal.findLast(
      ({ event, release }) => release?.ref === ref && ["healthy", "adopted", "unhealthy"].includes(event)
    )
    return last !== undefined && last.event !== "unhealthy"
  }

  beforeDeed(step: Step): void {
    this.pruning = undefined
    if (step.name === "remove" && step.process.verb === "deploy") this.beforePrune()
  }

  afterDeed(step: Step): void {
    if (this.pruning !== undefined) this.afterPrune(step)
    this.pruning = undefined
    this.settled()
  }

  /** The content of the current release's folder is checked once a deed is done: it may take several writes. */
  private settled(): void {
    if (!this.isDirty) return
    this.isDirty = false
    const ref = this.current
    const fault = ref === undefined ? undefined : this.faultOf(ref)
    if (fault !== undefined) this.broken("current", `current leads to ${ref}: ${fault}`)
  }

  private changed(path: string): void {
    const step = Option.getOrUndefined(Fiber.getCurrentFiber())?.getFiberRef(currentStep)
    if (path === `${this.releases}/current`) {
      this.options.trace(
        () =>
          `  ${step?.name ?? "?"} of ${step?.process.name ?? "?"}${step?.over ? ", by the host itself" : ""}: current is ${this.current ?? "gone"}`
      )
      this.linked(step)
    }
    if (path.startsWith(`${this.config}/lock.`)) {
      this.locked(path, step)
      return
    }
    if (path.startsWith(`${this.config}/beat.`)) {
      this.beats.set(Number(path.slice(path.lastIndexOf(".") + 1)), this.options.now())
      return
    }
    this.isDirty = true
    // A staged release is verified before it gets its name: a process that comes too late can only spoil an upload.
    if (step !== undefined && !path.startsWith(`${this.releases}/.staging_`)) this.acts(path, step)
    if (step?.over) this.settled()
  }

  /** Nobody may change anything without the lock, but for the changes that are safe without it, and the host itself. */
  private acts(path: string, step: Step): void {
    if (step.over || step.fence === undefined) {
      const isFree = step.over ? step.name === "arm" : ["prepare", "confirm", "lock", "unlock"].includes(step.name)
      if (!isFree) this.broken("holder", `${step.name} of ${step.process.name} changes ${path} without a lock`)
      return
    }
    const { state, token } = this.top
    if (token !== step.fence || state !== "taken") {
      this.broken(
        "holder",
        `${step.name} of ${step.process.name} changes ${path} under ${step.fence}, and the lock is ${state} with ${token}`
      )
    }
  }

  private locked(path: string, step: Step | undefined): void {
    const token = Number(path.slice(path.lastIndexOf(".") + 1))
    const state = this.files.read(path)?.split(" ")[0]
    if (state === undefined) {
      if (token >= this.top.token) this.broken("holder", `the lock ${token} is gone, so its token may be given again`)
      return
    }
    const before = this.top
    this.top = { token: Math.max(token, before.token), state: token >= before.token ? state : before.state }
    this.options.trace(() => `  lock ${token} is ${state} (${step?.process.name ?? "?"})`)
    if (token < before.token) this.broken("holder", `the old lock ${token} is ${state} again after ${before.token}`)
    if (token <= before.token) return
    if (step !== undefined && state === "taken") step.process.token = token
    const idle = this.options.now() - (this.beats.get(before.token) ?? 0)
    // Hosts count in whole seconds.
    if (before.state === "taken") this.options.count("taken over")
    if (before.state === "held" || (before.state === "taken" && idle < 59_000)) {
      this.broken(
        "holder",
        `lock ${before.token} is ${before.state} and gave a sign of life ${idle} ms ago, and ${step?.process.name} took ${token}`
      )
    }
  }

  /** The releases that were current, the last one at the end. */
  private readonly lived: Array<string> = []

  private linked(step: Step | undefined): void {
    const text = this.files.readLink(`${this.releases}/current`)
    const byItself = step?.over === true
    if (byItself) this.options.count("gone back by itself")
    const events = linesOf(step?.entries ?? "").map((entry) => `${entry.event} ${entry.release?.ref ?? ""}`)
    if (text === undefined) {
      if (!this.wasLinked) return
      this.wasLinked = false
      const isWanted = events.some((event) => event.startsWith("unlinked "))
      if (!isWanted) this.broken("current", `current is gone after ${step?.name} of ${step?.process.name}`)
      return
    }
    this.wasLinked = true
    const ref = this.current
    const fault = ref === undefined ? "it is no release" : this.faultOf(ref)
    if (fault !== undefined || ref === undefined) {
      this.broken("current", `current leads to ${text}: ${fault}`)
      return
    }
    if (!events.some((event) => event.endsWith(ref))) {
      this.broken("agreement", `${step?.name} of ${step?.process.name} switched to ${ref} and says so nowhere`)
    }
    // If nothing is known to be healthy, the release that was current before serves at least. The host may have gone back to it by itself already.
    const wasLive = this.lived.slice(-2).includes(ref)
    if (this.lived.at(-1) !== ref) this.lived.push(ref)
    const isNamed = step?.process.named === ref && !byItself
    if (events.includes(`rolledBack ${ref}`) && !this.isHealthy(ref) && !isNamed && !wasLive) {
      this.broken("rollback", `${step?.process.name} went back to ${ref}, which is not known to be healthy`)
    }
  }

  /** Why a release is not complete, or differs from the deployed one. */
  faultOf(ref: string): string | undefined {
    const folder = `${this.releases}/deployer_${ref}`
    const own = this.options.stored.find(({ release }) => release.ref === ref)
    if (own === undefined) return "nobody built it"
    if (this.files.node(folder)?._tag !== "Directory") return "its folder is gone"
    if (this.files.bytes(`${folder}/.deployer_release.json`) === undefined) return "it has no record"
    if (this.files.bytes(`${folder}/.deployer_manifest`) === undefined) return "it has no manifest"
    for (const { content, kind, path, to } of own.packed.tree) {
      const node = this.files.node(`${folder}/${path}`)
      const isSame =
        kind === "dir"
          ? node?._tag === "Directory"
          : kind === "symlink"
            ? node?._tag === "Link" && node.to === to
            : node?._tag === "File" && Buffer.from(content).equals(node.content)
      if (!isSame) return `${path} differs from the deployed one`
    }
    return undefined
  }

  /** The releases that are there and complete. */
  get complete(): ReadonlyArray<string> {
    return this.options.stored
      .map(({ release }) => release.ref)
      .filter((ref) => this.files.bytes(`${this.releases}/deployer_${ref}/.deployer_release.json`) !== undefined)
  }

  private beforePrune(): void {
    const { complete, journal } = this
    const pinned = new Set<string>()
    for (const { event, release } of journal) {
      if (release === undefined) continue
      if (event === "pinned") pinned.add(release.ref)
      if (event === "unpinned" || event === "removed") pinned.delete(release.ref)
    }
    const [current] = [this.current]
    const previous =
      current === undefined
        ? undefined
        : previousRelease({
            current: { _tag: "Linked", ref: current },
            journal: this.host.journal(this.options.path),
            releases: this.options.stored.map(({ packed }) => packed.record).filter(({ ref }) => complete.includes(ref))
          })
    this.pruning = {
      healthy: new Set(complete.filter((ref) => this.isHealthy(ref, journal))),
      kept: [current, previous?.ref, ...pinned].filter(
        (ref) => ref !== undefined && complete.includes(ref)
      ) as Array<string>
    }
  }

  private afterPrune(step: Step): void {
    const { complete, pruning } = this
    if (pruning === undefined) return
    this.options.count("pruned")
    const left = complete.filter((ref) => pruning.healthy.has(ref)).length
    const least = Math.min(this.options.keep ?? Number.POSITIVE_INFINITY, pruning.healthy.size)
    if (left < least) {
      this.broken("keep", `${step.process.name} left ${left} healthy releases of ${name}, but ${least} are to be kept`)
    }
    const gone = pruning.kept.find((ref) => !complete.includes(ref))
    if (gone !== undefined)
      this.broken("keep", `${step.process.name} removed ${gone}, which is current, previous or pinned`)
  }
}
