/**
 * Crashes at every place of a command's work on a host: a real sshd with a login shell of our own. It counts the steps of a session and the
 * programs that each step starts, stands still at the requested one, and lets the test act there.
 *
 * A shell may run programs of its own instead of those in PATH, as BusyBox does. So each script begins with functions of their names, which
 * call the stand-in.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as scripts from "../../src/host/protocol/scripts.generated.ts"
import { quote } from "../../src/host/transport/Transport.ts"
import { type Proxy, proxy } from "./proxy.ts"
import { type Sshd, sshd } from "./sshd.ts"
import { treeIn } from "./tree.ts"
import { waitForCommand } from "./waiting.ts"

/** A place in a command's work on a host. */
export interface Point {
  /** The step's number in its session, from 1. */
  readonly step: number
  /** The step's script. */
  readonly name: string
  /** Which of the steps with that script. */
  readonly nth: number
  /** A program that the step starts, and which start of it in this step; default: the whole step. */
  readonly program?: { readonly name: string; readonly nth: number }
  /** `halfway`: a part of its work is done. After a step: its answer is not sent. */
  readonly when: "before" | "halfway" | "after"
}

/** As in `unpack (5), before mv 2`. */
export const titleOf = ({ name, program, step, when }: Point): string =>
  `${name} (${step}), ${when} ${program === undefined ? "all of it" : `${program.name} ${program.nth}`}`

/**
 * The ways to crash at a point:
 * - `kill`: the client is killed, or its connection cut; the work that it began on the host continues without it
 * - `late`: the same, but the work on the host stands still until somebody else has deployed, and continues then
 * - `shell`: the step's shell is killed on the host with all that it started; the client learns of it
 */
export type Deed = "kill" | "late" | "shell"

/** A command that works on a host. */
export interface Client {
  /** Ends it without a word to the host. */
  readonly kill: Effect.Effect<void>
  /** Its exit status, or the name of the signal that killed it, and its output. */
  readonly ended: Effect.Effect<{ readonly status: number | string; readonly said: string }>
}

/** One of several places on the host that commands work on side by side. */
export interface Slot {
  /** For a target. */
  readonly path: string
  readonly port: number
  readonly network: Proxy
  /** The same path on this machine. */
  readonly base: string
  /** Prepares for a command that is to stand still at a point, or only to be recorded. */
  readonly arm: (point?: Point) => void
  /** Commands that begin from now on just work. */
  readonly disarm: () => void
  /** The steps of the command, in order, and the programs that each started: as points before them. */
  readonly recorded: () => ReadonlyArray<Point>
  /** The process that stands still. */
  readonly reached: () => number | undefined
  /** Lets it go on; `end` skips a step before which it stands. */
  readonly go: (how: "run" | "end") => void
  /** Steps that go on, but for one. */
  readonly working: (but?: number) => ReadonlyArray<number>
}

export interface CrashHost {
  readonly host: Sshd
  /** Gives one to an Effect for its own use. */
  readonly withSlot: <A, E, R>(use: (slot: Slot) => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly slots: ReadonlyArray<Slot>
}

/** Words of the scripts that are, or may be, the shell's own. */
const builtins = new Set(
  "alias bg break case cd command continue do done echo elif else esac eval exec exit export false fg fi for getopts hash if in jobs kill pwd printf read readonly return set sh shift test then time times trap true type ulimit umask unalias unset until wait while".split(
    " "
  )
)

/** Programs of a PATH that the scripts may start: all that they name. */
const programs = (PATH: string): ReadonlyArray<string> => {
  const words = new Set(Object.values(scripts).flatMap(({ text }) => text.match(/\b[a-z][a-z0-9]*\b/g) ?? []))
  const there = new Set(PATH.split(":").flatMap((folder) => (fs.existsSync(folder) ? fs.readdirSync(folder) : [])))
  return [...words].filter((word) => there.has(word) && !builtins.has(word)).sort()
}

/** Those that change nothing: a crash before them and one after them leave the same. */
const readers = new Set(
  "awk cmp cut date df du env file find free grep head id ls openssl ps readlink sed sha256sum shasum sleep sort stat sync tail tr uname wc".split(
    " "
  )
)

/** Those of which a part can be done. */
const divisible = new Set(["cat", "mkdir", "rm", "tar"])

const stop = `stop() {
  printf "%s\\n" "$$" > "$CRASH/reached"
  read -r go < "$CRASH/../$CRASH_SLOT.go"
}
point=
[ -e "$CRASH/point" ] && read -r point < "$CRASH/point"
`

/** The login shell. */
const loginShell = (folder: string, PATH: string) => `#!/bin/sh
${waitForCommand}
case "$2" in
  "exec sh -c "*@slot_*@* | "(exec sh -c "*@slot_*@*) ;;
  *) exec sh "$@" ;;
esac
CRASH_SLOT=\${2##*@slot_}
CRASH_SLOT=\${CRASH_SLOT%%@*}
CRASH=${folder}/$CRASH_SLOT CRASH_PATH=${quote(PATH)}
if [ ! -d "$CRASH" ] || [ -e "$CRASH/off" ]; then exec sh "$@"; fi
# A command that writes its own exit status, because its connection does not report it in time.
mark=
case "$2" in
  "("*)
    mark=\${2##*; echo \\"}
    set -- -c "\${2#?}"
    set -- -c "\${2%); echo *}" ;;
esac
mark=\${mark%% *}
n=1
set -C
until { printf "%s\\n" "$2" > "$CRASH/$n.step"; } 2>/dev/null; do n=$((n + 1)); done
set +C
CRASH_STEP=$n
export CRASH CRASH_SLOT CRASH_STEP CRASH_PATH
${stop}
command=$2
# The programs to stand in for: all of them while a command is recorded, else the one of the point, in its step.
case "$point" in
  "") command="exec sh -c \\". ${folder}/functions;\\"\${2#exec sh -c }" ;;
  "$n".*) command="exec sh -c \\". $CRASH/functions;\\"\${2#exec sh -c }" ;;
esac
status=0 go=
case "$point" in
  "$n before") stop ;;
esac
if [ "$go" = end ]; then exit 99
elif [ "$point" = "$n after" ]; then
  sh -c "$command" > "$CRASH/out"
  status=$?
  : > "$CRASH/$n.end"
  stop
  while IFS= read -r line; do printf "%s\\n" "$line"; done < "$CRASH/out"
  [ -z "$mark" ] || printf "%s %s\\n" "$mark" "$status" >&2
  exit "$status"
fi
sh -c "$command"
status=$?
: > "$CRASH/$n.end"
[ -z "$mark" ] || printf "%s %s\\n" "$mark" "$status" >&2
exit "$status"
`

/** Stands in for a program. */
const standIn = `#!/bin/sh
PATH=$CRASH_PATH
name=$1
shift
n=1
set -C
until { true > "$CRASH/$CRASH_STEP.$name.$n"; } 2>/dev/null; do n=$((n + 1)); done
set +C
${stop}
at="$CRASH_STEP.$name.$n"
case "$point" in
  "$at before") stop ;;
  "$at after")
    "$name" "$@"
    status=$?
    stop
    exit "$status" ;;
  "$at halfway")
    case "$name" in
      cat)
        [ "$#" -gt 0 ] || dd bs=1 count=40 2>/dev/null
        stop ;;
      tar)
        dd bs=1 count=4000 2>/dev/null > "$CRASH/half"
        tar "$@" < "$CRASH/half" 2>/dev/null
        stop
        { cat "$CRASH/half"; cat; } | tar "$@"
        exit ;;
      rm)
        for last; do :; done
        find "$last" -type f 2>/dev/null | { read -r some && rm -f "$some"; }
        stop ;;
      mkdir)
        [ "$#" -lt 3 ] || mkdir "$1" "$2"
        stop ;;
    esac ;;
esac
exec "$name" "$@"
`

/** Shell functions that send the programs of a script through the stand-in. */
const standingIn = (folder: string, programs: ReadonlyArray<string>): string =>
  programs.map((name) => `${name}() { ${folder}/stand-in ${name} "$@"; }\n`).join("")

/** A host with a userland, on which several commands can be stopped at a time. */
export const crashHost = (PATH: string, slots: number): Effect.Effect<CrashHost, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-crash-"))),
      (folder) => Effect.sync(() => removeAll(folder))
    )
    const shell = path.join(folder, "shell")
    fs.writeFileSync(shell, loginShell(folder, PATH), { mode: 0o755 })
    fs.writeFileSync(path.join(folder, "stand-in"), standIn, { mode: 0o755 })
    fs.writeFileSync(path.join(folder, "functions"), standingIn(folder, programs(PATH)))
    const host = yield* sshd({ path: PATH, shell })
    const all = yield* Effect.forEach(Array.from({ length: slots }).keys(), (number) =>
      Effect.map(proxy(host), (network) => slot(folder, host, network, number))
    )
    const free = [...all]
    const semaphore = Effect.unsafeMakeSemaphore(slots)
    const taken = Effect.acquireRelease(
      Effect.sync(() => free.shift()!),
      (slot) => Effect.sync(() => void free.push(slot))
    )
    return {
      host,
      slots: all,
      withSlot: (use) => semaphore.withPermits(1)(Effect.scoped(Effect.flatMap(taken, use)))
    }
  })

const slot = (folder: string, host: Sshd, network: Proxy, number: number): Slot => {
  const state = path.join(folder, String(number))
  const pipe = `${state}.go`
  const at = `@slot_${number}@`
  const names = () => fs.readdirSync(state)
  const steps = () => names().flatMap((name) => (name.endsWith(".step") ? [Number.parseInt(name, 10)] : []))
  execFileSync("mkfifo", [pipe])
  return {
    path: at,
    port: network.port,
    network,
    base: path.join(host.home, at),
    arm: (point) => {
      removeAll(state)
      fs.mkdirSync(state)
      if (point === undefined) return
      const { program, step, when } = point
      const place = program === undefined ? step : `${step}.${program.name}.${program.nth}`
      fs.writeFileSync(path.join(state, "functions"), standingIn(folder, program === undefined ? [] : [program.name]))
      fs.writeFileSync(path.join(state, "point"), `${place} ${when}\n`)
    },
    disarm: () => fs.writeFileSync(path.join(state, "off"), ""),
    recorded: () => {
      const started = names().flatMap((name) => {
        const [, step, program = "", nth] = /^([0-9]+)\.([a-z0-9]+)\.([0-9]+)$/.exec(name) ?? []
        return step === undefined ? [] : [{ step: Number(step), name: program, nth: Number(nth) }]
      })
      const scriptOf = (step: number) => {
        const command = fs.readFileSync(path.join(state, `${step}.step`), "utf8")
        return Object.values(scripts).find(({ text }) => command.startsWith(`exec sh -c ${quote(text)} `))?.name
      }
      const order = steps().sort((a, b) => a - b)
      const scriptsInOrder = order.map((step) => scriptOf(step) ?? "unknown")
      return scriptsInOrder.flatMap((name, index) => {
        const step = order[index] ?? 0
        const nth = scriptsInOrder.slice(0, index + 1).filter((other) => other === name).length
        const whole = { step, name, nth, when: "before" } as const
        return [whole, ...started.filter((one) => one.step === step).map((program) => ({ ...whole, program }))]
      })
    },
    reached: () => {
      const file = path.join(state, "reached")
      const text = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : ""
      return text.endsWith("\n") ? Number(text) : undefined
    },
    go: (how) => fs.writeFileSync(pipe, `${how}\n`),
    working: (but) => steps().filter((step) => step !== but && !names().includes(`${step}.end`))
  }
}

/**
 * The points at which a command can be stopped, from its recording. Programs that change nothing are left out, except for one in each step that
 * changes nothing.
 */
export const pointsIn = (recorded: ReadonlyArray<Point>): ReadonlyArray<Point> => {
  const changes = ({ program }: Point) => program !== undefined && !readers.has(program.name)
  const steps = new Set(recorded.filter(changes).map(({ step }) => step))
  return recorded.flatMap((point, index): ReadonlyArray<Point> => {
    const { name, program, step } = point
    const after = { ...point, when: "after" } as const
    // The lock's step goes on until the command ends.
    if (program === undefined) return name === "lock" ? [point] : [point, after]
    if (changes(point)) {
      return divisible.has(program.name) ? [point, { ...point, when: "halfway" }, after] : [point, after]
    }
    return steps.has(step) || recorded[index - 1]?.program !== undefined ? [] : [point]
  })
}

/** The group of a process. */
const groupOf = (pid: number): number => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  return Number(stat.slice(stat.lastIndexOf(")")).split(" ")[3])
}

const isRunning = (pid: number): boolean => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return !stat.slice(stat.lastIndexOf(")")).startsWith(") Z")
  } catch {
    return false
  }
}

const until = (condition: () => boolean, millis: number) =>
  Effect.gen(function* () {
    const end = performance.now() + millis
    while (!condition()) {
      if (performance.now() > end) return false
      yield* Effect.sleep("4 millis")
    }
    return true
  })

// The rules

/** The trees of releases by their refs, without the date of their deployment. */
export type Trees = ReadonlyMap<string, Record<string, string>>

const recordFile = ".deployer_release.json"

const isRecorded = (folder: string): boolean => fs.existsSync(path.join(folder, recordFile))

/** The tree of a release on a host, without the date of its deployment. */
export const releaseTree = (folder: string): Record<string, string> => {
  // One that is being written is renamed, or swept by the next command that takes the lock.
  return Object.fromEntries(Object.entries(treeIn(folder)).filter(([name]) => !name.startsWith(recordFile)))
}

const currentOf = (base: string): string | undefined => {
  const link = path.join(base, "releases/current")
  return fs.lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true
    ? fs.readlinkSync(link).replace("deployer_", "")
    : undefined
}

/** Everything under `base` that is not whole; `current` must lead to one of these, or to nothing if that is among them. */
export const notWhole = (
  base: string,
  trees: Trees,
  allowed: ReadonlyArray<string | undefined>
): ReadonlyArray<string> => {
  const releases = path.join(base, "releases")
  const differs = (name: string) => {
    const expected = trees.get(name.replace("deployer_", ""))
    if (expected === undefined) return ["is none of ours"]
    const found = releaseTree(path.join(releases, name))
    return [...new Set([...Object.keys(expected), ...Object.keys(found)])].filter((at) => found[at] !== expected[at])
  }
  const ref = currentOf(base)
  const to = ref === undefined ? undefined : `deployer_${ref}`
  const isThere = fs.lstatSync(path.join(releases, "current"), { throwIfNoEntry: false }) !== undefined
  const folders = fs.existsSync(releases) ? fs.readdirSync(releases) : []
  const complete = folders.filter(
    (name) => name.startsWith("deployer_") && (name === to || isRecorded(path.join(releases, name)))
  )
  return [
    ...(isThere && to === undefined ? ["current is no link"] : []),
    ...(allowed.includes(ref) ? [] : [`current leads to ${to ?? "nothing"}`]),
    ...(to === undefined || isRecorded(path.join(releases, to)) ? [] : ["current has no record"]),
    ...complete.flatMap((name) => differs(name).map((what) => `${name} is not whole: ${what}`))
  ]
}

/** A directory in the place of `current` that becomes a release of that ref and name. */
export interface Heirloom {
  readonly tree: Record<string, string>
  readonly ref: string
  readonly name: string
}

/** The losses of it: it has to be whole in its old place, or in its new one, and never in both. */
export const notAdopted = (base: string, { name, ref, tree }: Heirloom): ReadonlyArray<string> => {
  const releases = path.join(base, "releases")
  const old = path.join(releases, "current")
  const isOld = fs.lstatSync(old, { throwIfNoEntry: false })?.isDirectory() === true
  const place = isOld ? old : path.join(releases, `deployer_${ref}`, name)
  if (!fs.existsSync(place)) return ["the directory is gone"]
  const found = treeIn(place)
  const differs = [...new Set([...Object.keys(tree), ...Object.keys(found)])].filter((at) => found[at] !== tree[at])
  return [
    ...differs.map((at) => `the directory is not whole: ${at}`),
    ...(isOld && fs.existsSync(path.join(releases, `deployer_${ref}`, name)) ? ["the directory is there twice"] : [])
  ]
}

const lockOf = (base: string) => {
  const config = path.join(base, "config")
  const tokens = (fs.existsSync(config) ? fs.readdirSync(config) : [])
    .filter((name) => /^lock\.[0-9]+$/.test(name))
    .map((name) => Number(name.slice(5)))
  const token = Math.max(0, ...tokens)
  const isFree = token === 0 || fs.readFileSync(path.join(config, `lock.${token}`), "utf8").startsWith("free ")
  return { token, isFree }
}

/** The leftovers of dead commands under `base`. */
export const leftovers = (base: string): ReadonlyArray<string> => {
  const { isFree, token } = lockOf(base)
  const config = fs
    .readdirSync(path.join(base, "config"))
    // The room that is kept for a full disk stays.
    .filter((name) => name !== ".spare")
    .filter((name) => name.startsWith(".") || (/^(lock|beat)\./.test(name) && !name.endsWith(`.${token}`)))
  const releases = path.join(base, "releases")
  const folders = fs
    .readdirSync(releases)
    .filter((name) => name !== "current" && !(name.startsWith("deployer_") && isRecorded(path.join(releases, name))))
  const records = fs
    .readdirSync(releases)
    .filter((name) => name.startsWith("deployer_"))
    .flatMap((name) => fs.readdirSync(path.join(releases, name)))
    .filter((name) => name.startsWith(`${recordFile}.`))
  return [...(isFree ? [] : ["the lock is taken"]), ...config, ...folders, ...records]
}

// A case

export interface Crash {
  readonly slot: Slot
  readonly point: Point
  readonly deed: Deed
  /** The folder on the host before the command; default: nothing. */
  readonly from: string | undefined
  readonly trees: Trees
  /** The releases that `current` may lead to after the crash. */
  readonly allowed: ReadonlyArray<string | undefined>
  /** Starts the command. */
  readonly start: (slot: Slot) => Effect.Effect<Client, never, Scope.Scope>
  /** The plain `deploy` that follows, and a change that follows that. */
  readonly deploy: Following
  readonly change: Following
  /** Whether that change is made, even if the deployment left nothing to do. */
  readonly insists?: boolean
  /** Everything that is not whole until the next deployment, in place of `trees` and `allowed`. */
  readonly damage?: ((base: string) => ReadonlyArray<string>) | undefined
}

interface Following {
  readonly start: (slot: Slot) => Effect.Effect<Client, never, Scope.Scope>
  /** The current release then. */
  readonly ref: string
}

/**
 * Removes a folder in which a step of a killed client may still write for a moment. Node's own retries do not look again at the content of a folder that
 * is not empty.
 */
const removeAll = (folder: string, tries = 200): void => {
  try {
    fs.rmSync(folder, { recursive: true, force: true })
  } catch (error) {
    if (tries === 0) throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    removeAll(folder, tries - 1)
  }
}

/** Copies the files of the host before a command. */
export const lay = ({ base }: Slot, from: string | undefined): void => {
  removeAll(base)
  if (from !== undefined) fs.cpSync(from, base, { recursive: true, verbatimSymlinks: true })
}

/** How long anything may take, in milliseconds. */
const patience = 120_000

/** Crashes a command at a point, deploys after that, and returns the broken rules. */
export const crash = ({ allowed, change, damage, deed, deploy, from, point, slot, start, trees, ...more }: Crash) =>
  Effect.gen(function* () {
    const found: Array<string> = []
    const look = (when: string, refs: ReadonlyArray<string | undefined>) =>
      found.push(...notWhole(slot.base, trees, refs).map((what) => `${what} ${when}`))
    lay(slot, from)
    slot.arm(point)
    const client = yield* start(slot)
    const ended = yield* Deferred.make<{ readonly status: number | string; readonly said: string }>()
    yield* Effect.forkScoped(Effect.flatMap(client.ended, (how) => Deferred.succeed(ended, how)))
    let over = false
    const watcher = yield* Effect.forkScoped(Effect.tap(Deferred.await(ended), () => Effect.sync(() => (over = true))))
    yield* until(() => over || slot.reached() !== undefined, patience)
    const pid = slot.reached()
    if (pid === undefined) {
      if (!over) yield* client.kill
      const { said, status } = yield* Fiber.join(watcher)
      return [`it was never reached (${status}): ${said}`]
    }
    const group = groupOf(pid)
    const lookAtDamage = (when: string) =>
      damage === undefined ? look(when, allowed) : found.push(...damage(slot.base).map((what) => `${what} ${when}`))
    lookAtDamage("at that moment")

    const skips = point.program === undefined && point.when === "before"
    if (deed === "shell") {
      process.kill(-group, "SIGKILL")
      yield* until(() => !isRunning(pid), patience)
    } else {
      yield* client.kill
      if (deed === "kill") slot.go(skips ? "end" : "run")
    }
    if (!(yield* until(() => over, patience))) {
      yield* client.kill
      found.push("the command did not end")
    }
    const { said, status } = yield* Deferred.await(ended)
    if (status === 70 || /this is a bug/.test(said)) found.push(`a bug: ${said}`)
    const stopped = deed !== "kill" || skips ? point.step : undefined
    if (!(yield* until(() => slot.working(stopped).length === 0, patience))) {
      found.push(`steps go on: ${slot.working(stopped).join()}`)
    }
    lookAtDamage("after the crash")

    // Only who holds it can give a lock back; after a minute without a sign of life it is anybody's.
    const isHolder = point.name === "lock" && deed !== "kill"
    if (!(yield* until(() => lockOf(slot.base).isFree, isHolder ? 0 : 2000))) {
      if (!isHolder) found.push("the lock is still taken")
      const { token } = lockOf(slot.base)
      fs.writeFileSync(path.join(slot.base, "config", `beat.${token}`), "1000000000\n")
    }

    const follow = (what: string, { ref, start }: Following) =>
      Effect.gen(function* () {
        const { said, status } = yield* Effect.flatMap(start(slot), ({ ended }) => ended)
        if (status !== 0) found.push(`the ${what} failed (${status}): ${said}`)
        look(`after the ${what}`, [ref])
      }).pipe(Effect.scoped)
    slot.disarm()
    const isDone = currentOf(slot.base) === deploy.ref
    yield* follow("next deploy", deploy)
    if (deed === "late") {
      slot.go("run")
      if (!(yield* until(() => slot.working().length === 0, patience))) found.push("the late step goes on")
      look("after the late step", [deploy.ref])
      if (!(yield* until(() => lockOf(slot.base).isFree, 2000))) found.push("the late step keeps the lock")
    }
    // A deploy that has nothing to do touches nothing, and a late step does its part after it: then the next change sweeps.
    const isSwept = leftovers(slot.base).length === 0
    if (more.insists === true || ((isDone || deed === "late") && !isSwept)) yield* follow("next change", change)
    found.push(...leftovers(slot.base).map((name) => `left over: ${name}`))
    return found
  }).pipe(
    Effect.scoped,
    Effect.map((found) => found.map((what) => `${deed} at ${titleOf(point)}: ${what}`))
  )
