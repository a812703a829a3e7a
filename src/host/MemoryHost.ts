/**
 * Hosts in memory: faithful models with files, links and records, which a test can inspect and make fail.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type HostRelease, HostReleaseJson, type HostState, type HostTool } from "../domain/HostState.ts"
import { type JournalEntry, JournalEntryJson } from "../domain/Journal.ts"
import { address as addressOf, type Target } from "../domain/Target.ts"
import { sha256Sum } from "../internal/machine.ts"
import { answering } from "../internal/tcp.ts"
import { gunzipped, unpackTar, unpackTarball } from "../internal/unpackTarball.ts"
import { DialFailed, type Endpoint } from "./Endpoint.ts"
import { MemoryFiles } from "./MemoryFiles.ts"
import { listedFiles, withoutAltered } from "./protocol/manifestText.ts"
import { replyBegin, replyEnd } from "./protocol/reply.ts"
import { type Args, named, type StepName } from "./protocol/Step.ts"
import { steps } from "./protocol/steps.ts"
import { CommandTimeout, type ConnectFailure, HostUnreachable, RemoteHost } from "./RemoteHost.ts"
import { loginPath, makeSession } from "./session.ts"
import type { Exec, ExecResult, Transport } from "./Transport.ts"

/** A round trip to a host: a step of the protocol, or a connection for a probe. */
export type MemoryStep = StepName | "probe"

/** A command that was run on a host in memory. */
export interface MemoryCommand {
  readonly command: string
  /** The working directory. */
  readonly directory: string
  /** The command's variables `DEPLOYER_NAME`, `DEPLOYER_REF`, `DEPLOYER_PATH` and `DEPLOYER_RELEASE`. */
  readonly name: string
  readonly ref: string
  readonly path: string
  readonly release: string
}

/** The outcome of a command. By default it ends with status 0 and no output. `never`: it runs into the target's timeout (no time passes). */
export interface MemoryResult {
  readonly exitCode?: number
  readonly output?: string
  readonly never?: boolean
}

/** A program that listens on a host in memory. It gets a request's head, returns its answer and hangs up. Undefined means silence. */
export type MemoryListener = (request: string) => string | undefined

/** An HTTP answer as a listener sends it. */
export const httpAnswer = (status: number, body = ""): string =>
  `HTTP/1.1 ${status} Answer\r\nContent-Length: ${new TextEncoder().encode(body).length}\r\n\r\n${body}`

/** One host in memory. Its members may be changed at any time. */
export class MemoryHost {
  readonly files = new MemoryFiles()
  /** `uname -m`. */
  machine = "x86_64"
  /** Bytes; an upload or a release that needs more fails. */
  freeBytes = 1_000_000_000
  /** Files and directories; a release that needs more fails. Undefined: they are not counted. */
  freeInodes: number | undefined = 1_000_000
  /** How its file system is mounted. If that is read-only, nothing can be written. Undefined: the host does not tell. */
  mount: HostState["mount"] = { point: "/", type: "ext4", readOnly: false, noExec: false }
  /** The paths of its dynamic loaders. */
  loaders: ReadonlyArray<string> = ["/lib64/ld-linux-x86-64.so.2"]
  /** Seconds by which its clock is ahead of ours. Undefined: the host does not tell the time. */
  clockAhead: number | undefined = 0
  readonly missingTools = new Set<typeof HostTool.Type>()
  /** Whether it has awk and xargs. */
  takesDifferences = true
  /** Absolute paths of directories in which nothing can be written. */
  readonly readOnly = new Set<string>()
  /** Decides how a command ends. */
  onRun: (command: MemoryCommand) => MemoryResult = () => ({})
  /** Decides which program listens on an endpoint of the host's network, or why none does. */
  onDial: (to: Endpoint) => MemoryListener | DialFailed["reason"] = () => "refused"
  /** The commands run so far. */
  readonly commands: Array<MemoryCommand> = []
  /** The steps so far, each one round trip. */
  readonly steps: Array<MemoryStep> = []
  /** Directories in which shells were opened, as the target names them. */
  readonly shells: Array<string> = []
  /** Runs at the beginning of each step. It may observe, change something, or never end. */
  beforeStep: (step: MemoryStep) => Effect.Effect<void> = () => Effect.void
  /** How many background processes were started. */
  processes = 0
  /** The number of connections so far. */
  connections = 0
  /** If set, all connections fail with this. */
  connectFailure: ConnectFailure | undefined
  /** If set, the connection is lost once, after this number of bytes of the next upload. */
  cutUploadAfter: number | undefined
  /** If set, the connection is lost once, after this number of steps, at the beginning of the next one. */
  loseAfterSteps: number | undefined
  private readonly failing = new Map<MemoryStep, string>()

  /** Makes a step fail with that reason until it is healed. */
  failStep(step: MemoryStep, detail: string): void {
    this.failing.set(step, detail)
  }

  /** Makes a step work again. */
  healStep(step: MemoryStep): void {
    this.failing.delete(step)
  }

  /** If set, the journal cannot be written, for this reason. */
  journalFailure: string | undefined

  /** The reason why a step fails. Undefined if it works. */
  failureOf(step: MemoryStep): string | undefined {
    return this.failing.get(step)
  }

  /** Leaves the beginning of an upload, as after a lost connection. `path` is absolute, here and in the methods below. */
  plantUpload(
    path: string,
    upload: { readonly ref: string; readonly content: Uint8Array; readonly note?: string; readonly stream?: string }
  ): void {
    const stage = `${path}/releases/.staging_${upload.ref}`
    this.files.makeDirectory(`${path}/config`)
    this.files.write(
      `${stage}/release.tar${upload.stream === undefined || upload.stream === "whole" ? ".gz" : ""}`,
      upload.content
    )
    if (upload.note !== undefined) this.files.write(`${stage}/note`, `${upload.note}\n`)
    if (upload.stream !== undefined) this.files.write(`${stage}/stream`, `${upload.stream}\n`)
  }

  /** Adds a complete release, with files relative to the folder `<name>`. It does not become current. */
  plantRelease(path: string, release: HostRelease, files: Readonly<Record<string, string>> = {}): void {
    this.plantUnrecorded(path, release, files)
    const json = Schema.encodeSync(HostReleaseJson)(release)
    this.files.write(`${path}/releases/deployer_${release.ref}/.deployer_release.json`, `${json}\n`)
  }

  /** The same without the record, as after a deployment that ended after unpacking. */
  plantUnrecorded(
    path: string,
    release: { readonly ref: string; readonly name: string },
    files: Readonly<Record<string, string>> = {}
  ): void {
    const folder = `${path}/releases/deployer_${release.ref}`
    this.files.makeDirectory(`${path}/config`)
    this.files.makeDirectory(`${folder}/${release.name}`)
    const lines = Object.entries(files).map(([file, content]) => {
      this.files.write(`${folder}/${release.name}/${file}`, content)
      return `${sha256(new TextEncoder().encode(content))}  ./${release.name}/${file}`
    })
    this.files.write(`${folder}/.deployer_manifest`, `${[...lines, `end ${lines.length}`].join("\n")}\n`)
  }

  /** Links `current` to a release. */
  link(path: string, ref: string): void {
    this.files.link(`${path}/releases/current`, `deployer_${ref}`)
  }

  /** Appends entries to the journal. */
  plantJournal(path: string, ...entries: ReadonlyArray<JournalEntry>): void {
    const lines = entries.map((entry) => `${Schema.encodeSync(JournalEntryJson)(entry)}\n`)
    this.files.write(`${path}/config/journal`, `${this.files.read(`${path}/config/journal`) ?? ""}${lines.join("")}`)
  }

  /** The entries of the journal, oldest first. */
  journal(path: string): ReadonlyArray<JournalEntry> {
    const lines = (this.files.read(`${path}/config/journal`) ?? "").split("\n").filter((line) => line !== "")
    return lines.map((line) => Schema.decodeSync(JournalEntryJson)(line))
  }
}

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

// Answers in the form of the scripts, so that a session decodes them like those of a real host.

/** A host, and the place and time of a question. */
interface Place {
  readonly host: MemoryHost
  readonly base: string
  readonly releases: string
  /** The token of the lock; 0 without one. */
  readonly fence: number
  /** Lines for the journal. */
  readonly entries: string
  /** Unix seconds by the host's clock. */
  readonly now: number
  /** The login. */
  readonly user: string
}

interface Question<Name extends StepName> extends Place {
  readonly args: Args<(typeof steps)[Name]["script"]>
  readonly refs: ReadonlyArray<string>
}

type Answer<Name extends StepName> = (question: Question<Name>) => ReadonlyArray<string>

/** The connection that a step uses. */
interface Connection {
  readonly target: Target
  /** Ends the connection. */
  readonly lost: (detail: string) => HostUnreachable
  /** Fails once the connection has ended. */
  readonly gone: Effect.Effect<never, HostUnreachable>
}

type Handler<Name extends StepName> = <E>(
  question: Question<Name>,
  exec: Exec<E>,
  connection: Connection
) => Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout>

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

const reply = <E>(exec: Exec<E>, lines: ReadonlyArray<string>, exitCode = 0): Effect.Effect<ExecResult> => {
  const stdout = `${[replyBegin, ...lines, replyEnd].join("\n")}\n`
  if (exec.onOutput === undefined) return Effect.succeed({ exitCode, stdout, stderr: "" })
  return Effect.as(exec.onOutput(new TextEncoder().encode(`\n${stdout}`), "stdout"), {
    exitCode,
    stdout: "",
    stderr: ""
  })
}

const sha256 = (bytes: Uint8Array): string => {
  const sum = sha256Sum()
  sum.update(bytes)
  return sum.digest()
}

/** Appends the entries to the journal. Reports it if it cannot. */
const note = ({ base, entries, host }: Place): ReadonlyArray<string> => {
  if (entries === "") return []
  if (host.journalFailure !== undefined) return [`unnoted ${host.journalFailure}`]
  const before = host.files.read(`${base}/config/journal`) ?? ""
  const torn = before === "" || before.endsWith("\n") ? "" : "\n"
  host.files.write(`${base}/config/journal`, `${before}${torn}${entries}\n`)
  return []
}

const isDirectory = ({ files }: MemoryHost, path: string): boolean => files.target(path)?._tag === "Directory"
const realDirectory = ({ files }: MemoryHost, path: string): boolean => files.node(path)?._tag === "Directory"
const realFile = ({ files }: MemoryHost, path: string): boolean => files.node(path)?._tag === "File"

const parent = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/"

const look = ({ base, host }: Place): readonly [base: string, where: string] => {
  const { files } = host
  const readOnly = { has: (path: string) => host.readOnly.has(path) || host.mount?.readOnly === true }
  if (isDirectory(host, base)) {
    let state = "ready"
    for (const folder of [`${base}/config`, `${base}/releases`]) {
      if (isDirectory(host, folder)) {
        if (readOnly.has(folder)) return ["not-writable", folder]
      } else if (files.node(folder) !== undefined) return ["not-a-directory", folder]
      else state = "incomplete"
    }
    return state === "incomplete" && readOnly.has(base) ? ["not-writable", base] : [state, base]
  }
  let where = base
  while (files.node(where) === undefined && where !== "/") where = parent(where)
  if (!isDirectory(host, where)) return ["not-a-directory", where]
  return [readOnly.has(where) ? "not-writable" : "absent", where]
}

const currentOf = ({ host, releases }: Place): string => {
  const node = host.files.node(`${releases}/current`)
  switch (node?._tag) {
    case "Link":
      return `link ${node.to.replaceAll("\n", " ")}`
    case "Directory":
      return "directory"
    case "File":
      return "file"
    default:
      return "absent"
  }
}

const leadsTo = ({ host, releases }: Place): ReadonlyArray<string> => {
  const live = host.files.readLink(`${releases}/current`) === undefined ? "" : host.files.resolve(`${releases}/current`)
  const above = `${host.files.resolve(releases)}/`
  if (live === undefined || !live.startsWith(above) || !isDirectory(host, live)) return []
  const [, ref] = /^deployer_([0-9A-F]{32})(?:\/|$)/.exec(live.slice(above.length)) ?? []
  return ref === undefined ? [] : [ref]
}

const isOurs = ({ files }: MemoryHost, folder: string): boolean =>
  files.node(folder) === undefined ||
  (files.node(folder)?._tag === "Directory" &&
    (files.node(`${folder}/.deployer_manifest`) !== undefined ||
      files.node(`${folder}/.deployer_release.json`) !== undefined))

const isCurrent = ({ host, releases }: Place, ref: string): boolean => {
  const to = host.files.readLink(`${releases}/current`)
  if (to === undefined) return false
  if (to === `deployer_${ref}`) return true
  const live = host.files.resolve(`${releases}/current`) ?? ""
  return isDirectory(host, live) && `${live}/`.startsWith(`${host.files.resolve(releases)}/deployer_${ref}/`)
}

const namedRefs = ({ host, releases }: Place, prefix: string): ReadonlyArray<string> =>
  host.files
    .names(releases)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((ref) => /^[0-9A-F]{32}$/.test(ref))

const refsIn = (question: Place, prefix: string): ReadonlyArray<string> =>
  namedRefs(question, prefix).filter((ref) => realDirectory(question.host, `${question.releases}/${prefix}${ref}`))

const firstLine = (text: string | undefined): string => text?.split("\n")[0] ?? ""

const inspect = (question: Place): ReadonlyArray<string> => {
  const top = topLock(question)
  return [...(top.state === "free" ? [] : [lockLine(top)]), ...see(question)]
}

const see = (question: Place): ReadonlyArray<string> => {
  const { base, host, now, releases, user } = question
  const { mount } = host
  const [state, where] = look(question)
  return [
    `path ${base}`,
    `base ${state} ${where}`,
    `user ${user}`,
    ...(host.clockAhead === undefined ? [] : [`clock ${now}`]),
    `free ${Math.floor(host.freeBytes / 1024)}`,
    ...(host.freeInodes === undefined ? [] : [`inodes ${host.freeInodes}`]),
    ...(mount === undefined
      ? []
      : [`mounted ${mount.type} ${mount.readOnly ? "ro" : "rw"} ${mount.noExec ? "noexec" : "exec"} ${mount.point}`]),
    ...host.loaders.map((loader) => `loader ${loader}`),
    `machine ${host.machine}`,
    ...(host.takesDifferences ? ["can differences"] : []),
    ...[...host.missingTools].map((tool) => `lacks ${tool}`),
    `current ${currentOf(question)}`,
    ...leadsTo(question).map((ref) => `leads ${ref}`),
    ...switches(question, "armed").map(
      ({ back, deadline, id, ref, restore }) => `armed ${id} ${ref} ${back} ${deadline - question.now} ${restore}`
    ),
    ...journalLines(question),
    ...namedRefs(question, "deployer_").flatMap((ref) => {
      if (!realDirectory(host, `${releases}/deployer_${ref}`)) return `foreign ${ref}`
      const file = `${releases}/deployer_${ref}/.deployer_release.json`
      if (host.files.node(file) === undefined) {
        if (isDirectory(host, `${releases}/.adopting_${ref}`)) return []
        return host.files.node(`${releases}/deployer_${ref}/.deployer_manifest`) === undefined
          ? `foreign ${ref}`
          : `unrecorded ${ref}`
      }
      const text = realFile(host, file) ? host.files.read(file) : undefined
      if (text === undefined) return `damaged ${ref} it is not a file that can be read`
      if (text === "") return `damaged ${ref} it is empty`
      if (text.length > 65_536) return `damaged ${ref} it is larger than 64 KiB`
      return text.indexOf("\n") === text.length - 1
        ? `release ${ref} ${text.slice(0, -1)}`
        : `damaged ${ref} it is not one whole line`
    }),
    ...refsIn(question, ".staging_").map((ref) => {
      const stage = `${releases}/.staging_${ref}`
      const stream = firstLine(host.files.read(`${stage}/stream`)) || "-"
      const suffix = stream === "-" || stream === "whole" ? ".gz" : ""
      const received = host.files.bytes(`${stage}/release.tar${suffix}`)?.length ?? 0
      return `upload ${ref} ${received} ${stream} ${firstLine(host.files.read(`${stage}/note`))}`
    }),
    ...refsIn(question, ".adopting_").map((ref) => `adopting ${ref}`)
  ]
}

const journalLines = ({ base, host }: Place, last = Number.POSITIVE_INFINITY): ReadonlyArray<string> => {
  const lines = (host.files.read(`${base}/config/journal`) ?? "").split("\n")
  return (lines.at(-1) === "" ? lines.slice(0, -1) : lines)
    .slice(-last)
    .map((line) => (/^\{.*\}$/.test(line) ? `journal ${line}` : "torn"))
}

const prepare: Answer<"prepare"> = (question) => {
  const { base, host, releases } = question
  const [before, where] = look(question)
  if (before === "not-writable" || before === "not-a-directory") return [`unfit ${before} ${where}`]
  host.files.makeDirectory(`${base}/config`)
  host.files.makeDirectory(releases)
  return []
}

const absent = ({ host, releases }: Place): ReadonlyArray<string> | undefined =>
  isDirectory(host, releases) ? undefined : [`fail there is no directory ${releases}: deploy first`]

/** Answers at once. */
const plain =
  <Name extends StepName>(answer: Answer<Name>): Handler<Name> =>
  (question, exec) =>
    Effect.suspend(() => reply(exec, answer(question)))

/** The same, if there is a deployment. */
const within = <Name extends StepName>(answer: Answer<Name>): Handler<Name> =>
  plain((question) => absent(question) ?? answer(question))

const stage = <E>(
  question: Question<"stage">,
  bytes: Stream.Stream<Uint8Array, E>,
  lost: (detail: string) => HostUnreachable
): Effect.Effect<ReadonlyArray<string>, E | HostUnreachable> =>
  Effect.gen(function* () {
    const { args, host, releases } = question
    const { files } = host
    const { note, origin, ref, size, stream } = args
    const missing = absent(question)
    if (missing !== undefined) return missing
    const folder = `${releases}/deployer_${ref}`
    if (!isOurs(host, folder)) {
      return [`fail ${folder} is there, and deployer did not make it: move it away`]
    }
    if (args.replaces === "" && files.node(folder) !== undefined) {
      if (files.node(`${folder}/.deployer_release.json`) !== undefined) {
        return [`fail deployer_${ref} is complete already`]
      }
      if (isCurrent(question, ref)) return [`fail deployer_${ref} is current, though it is not complete`]
      files.remove(folder)
    }
    const staging = `${releases}/.staging_${ref}`
    const part = `${staging}/release.tar${origin === "" ? ".gz" : ""}`
    files.makeDirectory(staging)
    files.remove(`${staging}/tree`)
    files.write(`${staging}/note`, `${note}\n`)
    files.write(`${staging}/stream`, `${stream}\n`)
    const keep = Number(args.keep)
    const old = files.bytes(part)
    if (keep > 0 && old === undefined) return ["fail there is nothing of the earlier upload any more: start anew"]
    const before = Buffer.from(old ?? new Uint8Array(0))
    if (before.length < keep) {
      return [`fail only ${before.length} of the ${keep} bytes to keep are there: start anew`]
    }
    let arrived = Buffer.alloc(0)
    const write = () =>
      files.write(part, Buffer.concat([before.subarray(0, keep), origin === "" ? arrived : gunzipped(arrived)]))
    if (keep === 0) for (const suffix of ["", ".gz"]) files.remove(`${staging}/release.tar${suffix}`)
    write()
    let full = false
    yield* Stream.runForEachWhile(bytes, (chunk) =>
      Effect.gen(function* () {
        const cut = host.cutUploadAfter
        const kept = chunk.subarray(0, Math.min(cut ?? chunk.length, host.freeBytes - arrived.length))
        arrived = Buffer.concat([arrived, kept])
        write()
        if (cut !== undefined) {
          host.cutUploadAfter = cut - kept.length
          if (kept.length < chunk.length) {
            host.cutUploadAfter = undefined
            return yield* lost("connection reset")
          }
        }
        full = kept.length < chunk.length
        return !full
      })
    )
    if (full) return ["fail tee: release.tar.gz: No space left on device"]
    const all = files.bytes(part) ?? arrived
    if (size !== "" && all.length !== Number(size)) return [`fail ${all.length} of ${size} bytes arrived`]
    return unpack(question, all)
  })

const unpack = (question: Question<"stage">, part: Uint8Array): ReadonlyArray<string> => {
  const { args, host, releases } = question
  const { files } = host
  const { edits, keep, origin, ref, size, wanted } = args
  const staging = `${releases}/.staging_${ref}`
  const tree = `${staging}/tree`
  const entries = origin === "" ? unpackTarball(part) : unpackTar(part)
  const isCut = size === "" && entries?.every(({ entry }) => entry.path !== ".deployer_end") === true
  if (entries === undefined || isCut) {
    const mayBeCompleted = size === "" && (isCut || keep === "0")
    files.remove(mayBeCompleted ? tree : staging)
    return ["corrupt tarball"]
  }
  const needed = entries.reduce((total, { content }) => total + content.length, 0)
  if (needed > host.freeBytes || entries.length > (host.freeInodes ?? entries.length)) {
    return ["fail tar: cannot write: No space left on device"]
  }
  files.makeDirectory(tree)
  for (const { content, entry } of entries) {
    const path = `${tree}/${entry.path}`
    if (entry.type === "Directory") files.makeDirectory(path)
    else if (entry.type === "Symlink") files.link(path, entry.to)
    else if (entry.type === "Hardlink") copyFile(host, `${tree}/${entry.to}`, path)
    else files.write(path, content, entry.mode)
  }
  if (edits !== "") files.write(`${tree}/.deployer_edits`, `${edits}\n`)
  if (origin !== "") assemble(question, tree, `${releases}/deployer_${origin}`)
  const manifest = files.read(`${tree}/.deployer_manifest`) ?? ""
  const faults =
    sha256(new TextEncoder().encode(manifest)) === wanted ? check(host, tree, manifest) : ["changed .deployer_manifest"]
  if (faults.length > 0) {
    files.remove(staging)
    return faults.map((fault) => fault.replace(/^[a-z]* /, "corrupt ")).slice(0, 50)
  }
  files.remove(`${releases}/deployer_${ref}`)
  files.rename(tree, `${releases}/deployer_${ref}`)
  files.remove(staging)
  return note(question)
}

const copyFile = ({ files }: MemoryHost, from: string, to: string, mode?: number): void => {
  const node = files.node(from)
  if (node?._tag === "File") files.write(to, node.content, mode ?? node.mode)
}

/** Like `begin_tree` and `complete_tree` of lib/assemble.sh. Failures show in the check that follows. */
const assemble = ({ host, releases }: Place, tree: string, origin: string): void => {
  const { files } = host
  const linesOf = (path: string) => (files.read(path) ?? "").split("\n").slice(0, -1)
  const old = linesOf(`${origin}/.deployer_manifest`)
  const lines = linesOf(`${tree}/.deployer_edits`).flatMap((edit) => {
    const [, begin, end] = /^=([0-9]+) ([0-9]+)$/.exec(edit) ?? []
    return begin === undefined ? [edit.slice(1)] : old.slice(Number(begin) - 1, Number(end))
  })
  files.write(`${tree}/.deployer_manifest`, lines.map((line) => `${line}\n`).join(""))
  const same = withoutAltered(
    { ref: "", lines: old, files: listedFiles(old) ?? [] },
    alteredIn(host, origin).map(({ path }) => path)
  )
  const there = new Set(same.files.map(({ mode, path, sha256 }) => `${mode} ${sha256} ${path}`))
  for (const { mode, path, sha256 } of listedFiles(lines) ?? []) {
    if (there.has(`${mode} ${sha256} ${path}`)) copyFile(host, `${origin}/${path}`, `${tree}/${path}`)
  }
  patch(host, releases, tree, linesOf(`${tree}/.deployer_patches`))
  let argument = ""
  let into = ""
  const sourceOf = (path: string) => (path.startsWith("tree/") ? `${tree}/${path.slice(5)}` : `${releases}/${path}`)
  for (const line of linesOf(`${tree}/.deployer_moves`)) {
    const word = line.slice(0, line.indexOf(" "))
    const rest = line.slice(word.length + 1)
    if (word === "into") into = rest
    else if (word === "take") copyFile(host, sourceOf(rest), `${tree}/${into}${rest.slice(rest.lastIndexOf("/") + 1)}`)
    else if (word === "as" || word === "own") copyFile(host, sourceOf(argument), `${tree}/${rest}`)
    else if (word === "of") copyFile(host, `${tree}/${rest}`, `${tree}/${rest}`, Number.parseInt(argument, 8))
    else argument = rest
  }
  for (const name of ["edits", "begin", "moves", "patches", "pieces", "end"]) files.remove(`${tree}/.deployer_${name}`)
}

const patch = ({ files }: MemoryHost, releases: string, tree: string, lines: ReadonlyArray<string>): void => {
  let base = new Uint8Array(0)
  let block = 0
  let to = ""
  let made: Uint8Array = new Uint8Array(0)
  const append = (bytes: Uint8Array) => {
    made = Buffer.concat([made, bytes])
    files.write(to, made)
  }
  for (const line of lines) {
    const word = line.slice(0, line.indexOf(" "))
    const rest = line.slice(word.length + 1)
    const [first = 0, count = 0] = rest.split(" ").map(Number)
    if (word === "base") base = Uint8Array.from(files.bytes(`${releases}/${rest}`) ?? [])
    else if (word === "block") block = first
    else if (word === "to") {
      to = `${tree}/${rest}`
      made = new Uint8Array(0)
    } else if (word === "keep") append(base.subarray(first * block, (first + count) * block))
    else if (word === "rest") append(base.subarray(first * block))
    else if (word === "add") append(files.bytes(`${tree}/.deployer_pieces/${first}`) ?? new Uint8Array(0))
    else if (word === "mode") files.write(to, made, Number.parseInt(rest, 8))
  }
}

const manifest: Answer<"manifest"> = ({ args: { ref }, host, releases }) => {
  const name = `deployer_${ref}/.deployer_manifest`
  const text = realFile(host, `${releases}/${name}`) ? host.files.read(`${releases}/${name}`) : undefined
  if (text === undefined) return [`fail there is no ${name}`]
  const lines = text.split("\n")
  return [
    ...(lines.at(-1) === "" ? lines.slice(0, -1) : lines).map((line) => `line ${line}`),
    ...alteredIn(host, `${releases}/deployer_${ref}`).map(({ path }) => `altered ${path}`)
  ]
}

const alteredFile = ".deployer_altered"

/** The state of a path, in one word. */
const stateOf = (host: MemoryHost, at: string): string => {
  const node = host.files.node(at)
  switch (node?._tag) {
    case "Link":
      return `link:${node.to.replaceAll(" ", "?")}`
    case "Directory":
      return "dir"
    case "File":
      return `${sha256(node.content)}:${node.mode.toString(8)}`
    default:
      return "gone"
  }
}

/** The changes that commands made to a release. Empty if the list is incomplete. */
const alteredIn = ({ files }: MemoryHost, folder: string) => {
  const text = files.read(`${folder}/${alteredFile}`) ?? ""
  const lines = text.split("\n")
  if (!text.endsWith(`\nend ${lines.length - 2}\n`)) return []
  return lines.flatMap((line) => {
    const [, state, path] = /^(\S+) \.\/(.+)$/.exec(line) ?? []
    return state === undefined || path === undefined ? [] : [{ path, state }]
  })
}

const pathOf = (fault: string): string => fault.slice(fault.indexOf(" ") + 1)

const alterations: Answer<"alterations"> = ({ args: { ref }, host, releases }) => {
  const folder = `${releases}/deployer_${ref}`
  const manifest = realFile(host, `${folder}/.deployer_manifest`)
    ? host.files.read(`${folder}/.deployer_manifest`)
    : undefined
  if (manifest === undefined) return [`fail there is no ${folder}/.deployer_manifest any more`]
  const paths = check(host, folder, manifest).map(pathOf)
  if (paths.includes(".deployer_manifest")) return [`fail ${folder}/.deployer_manifest is not what it was`]
  if (paths.length === 0) host.files.remove(`${folder}/${alteredFile}`)
  else {
    const lines = paths.map((path) => `${stateOf(host, `${folder}/${path}`)} ./${path}\n`)
    host.files.write(`${folder}/${alteredFile}`, `${lines.join("")}end ${lines.length}\n`)
  }
  return paths.map((path) => `altered ${path}`)
}

/** Whether a path is as the commands left it, or lies below a path that they removed or made a link. */
const isKnown = (host: MemoryHost, folder: string) => {
  const states = new Map(alteredIn(host, folder).map(({ path, state }) => [path, state]))
  const isSo = (path: string): boolean => states.get(path) === stateOf(host, `${folder}/${path}`)
  const isBelow = (path: string): boolean => {
    const above = path.slice(0, Math.max(0, path.lastIndexOf("/")))
    return above !== "" && ((states.get(above) !== "dir" && isSo(above)) || isBelow(above))
  }
  return (path: string): boolean => isSo(path) || isBelow(path)
}

const check = (host: MemoryHost, tree: string, manifest: string, hashes = true): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const expect = (path: string, holds: (at: string) => boolean) => {
    const at = `${tree}/${path}`
    if (!holds(at))
      faults.push(`${host.files.node(at) === undefined ? "missing" : "changed"} ${path.replace("./", "")}`)
  }
  let link: string | undefined
  let mode: number | undefined
  let lines = 0
  let whole = false
  const all = manifest.split("\n")
  for (const line of all.slice(0, -1)) {
    whole = false
    if (link !== undefined) {
      expect(link, (at) => host.files.readLink(at) === line.replace(/^to /, ""))
      link = undefined
    } else if (line.startsWith("mode ")) mode = Number.parseInt(line.slice(5), 8)
    else if (line.startsWith("dir ")) expect(line.slice(4), (at) => realDirectory(host, at))
    else if (line.startsWith("link ")) link = line.slice(5)
    else if (line.startsWith("end ")) whole = line === `end ${lines}`
    else {
      const [sum, ...path] = line.split("  ")
      expect(path.join("  "), (at) => {
        const node = host.files.node(at)
        const isAsListed = node?._tag === "File" && (mode === undefined || node.mode === mode)
        return isAsListed && (!hashes || sha256(node.content) === sum)
      })
    }
    lines += 1
  }
  return whole && all.at(-1) === "" ? faults : [...faults, "changed .deployer_manifest"]
}

const record: Answer<"record"> = ({ args, host, releases }) => writeRecord(host, releases, args.ref, args.record)

const writeRecord = (host: MemoryHost, releases: string, ref: string, json: string): ReadonlyArray<string> => {
  const folder = `${releases}/deployer_${ref}`
  if (!isDirectory(host, folder)) return [`fail there is no deployer_${ref}`]
  // Replaces anything in its place, even a directory.
  host.files.remove(`${folder}/.deployer_release.json`)
  host.files.write(`${folder}/.deployer_release.json`, `${json}\n`)
  return []
}

const occupied = ({ host, releases }: Place): ReadonlyArray<string> | undefined => {
  const node = host.files.node(`${releases}/current`)
  return node === undefined || node._tag === "Link" ? undefined : [`unfit current-occupied ${releases}/current`]
}

const activate: Answer<"activate"> = (question) => {
  const { args, host, releases } = question
  const { kept, record, ref } = args
  const folder = `${releases}/deployer_${ref}`
  if (!realDirectory(host, folder)) return [`fail there is no deployer_${ref}`]
  if (record === "" && host.files.bytes(`${folder}/.deployer_release.json`) === undefined)
    return [`fail deployer_${ref} is not complete`]
  const refused = occupied(question)
  if (refused !== undefined) return refused
  disarm(question, kept)
  if (kept !== "" && !switches(question, "armed").some(({ id }) => id === kept)) {
    return ["fail the time of the dead-man switch was up before that, so nothing was switched"]
  }
  if (record !== "") writeRecord(host, releases, ref, record)
  host.files.link(`${releases}/current`, `deployer_${ref}`)
  return note(question)
}

const deactivate: Answer<"deactivate"> = (question) => {
  const { args, host, releases } = question
  const { restore } = args
  const refused = occupied(question)
  if (refused !== undefined) return refused
  disarm(question)
  if (restore === "") host.files.remove(`${releases}/current`)
  else host.files.link(`${releases}/current`, restore)
  return note(question)
}

// Dead-man's switches: files as on a real host.

interface Switch {
  readonly id: string
  readonly ref: string
  readonly back: string
  readonly deadline: number
  readonly restore: string
}

const switches = ({ base, host }: Place, state: "armed" | "confirmed"): ReadonlyArray<Switch> =>
  host.files
    .names(`${base}/config`)
    .filter((name) => name.startsWith(`${state}.`))
    .map((name) => {
      const [ref = "", back = "", deadline = "", ...restore] = (host.files.read(`${base}/config/${name}`) ?? "")
        .trim()
        .split(" ")
      return {
        id: name.slice(state.length + 1),
        ref,
        back,
        deadline: Number(deadline),
        restore: restore.join(" ")
      }
    })

const disarm = (question: Place, but?: string): void => {
  for (const { id } of switches(question, "armed")) {
    if (id !== but) question.host.files.remove(`${question.base}/config/armed.${id}`)
  }
}

const arm: Handler<"arm"> = (question, exec) =>
  Effect.gen(function* () {
    const { args, base, entries, fence, host, now, releases } = question
    const { back, name, ref, restore, seconds } = args
    const command = yield* Stream.mkString(Stream.decodeText(exec.stdin ?? Stream.empty))
    disarm(question)
    for (const { id } of switches(question, "confirmed")) host.files.remove(`${base}/config/confirmed.${id}`)
    host.processes += 1
    const id = `${fence}.${host.processes}`
    const armed = `${base}/config/armed.${id}`
    host.files.write(armed, `${ref} ${back === "" ? "-" : back} ${now + Number(seconds)} ${restore}\n`)
    const goBack = Effect.map(Clock.currentTimeMillis, (millis) => {
      if (host.files.node(armed) === undefined) return
      host.files.remove(armed)
      if (host.files.readLink(`${releases}/current`) !== `deployer_${ref}`) return
      const to = back === "" ? restore : `deployer_${back}`
      if (to === "") host.files.remove(`${releases}/current`)
      else host.files.link(`${releases}/current`, to)
      const at = new Date(millis).toISOString()
      note({ ...question, entries: entries.replaceAll("1970-01-01T00:00:00.000Z", at) })
      const directory = `${releases}/deployer_${back}`
      if (back === "" || command === "" || !isDirectory(host, `${directory}/${name}`)) return
      const ran = { command, directory: `${directory}/${name}`, name, ref: back, path: base, release: directory }
      host.commands.push(ran)
      host.onRun(ran)
    })
    yield* Effect.forkDaemon(Effect.delay(goBack, Duration.seconds(Number(seconds))))
    return yield* reply(exec, [`armed ${id}`])
  })

const confirm: Answer<"confirm"> = (question) => {
  const { args, base, host } = question
  const { id } = args
  const armed = host.files.read(`${base}/config/armed.${id}`)
  if (host.files.node(`${base}/config/confirmed.${id}`) !== undefined) return ["confirmed"]
  if (armed === undefined) return ["fired"]
  host.files.remove(`${base}/config/armed.${id}`)
  host.files.write(`${base}/config/confirmed.${id}`, armed)
  return [...note({ ...question, entries: args.entries }), "confirmed"]
}

const remove: Answer<"remove"> = (question) => {
  const { host, refs, releases } = question
  const current = refs.find((ref) => isCurrent(question, ref))
  if (current !== undefined) return [`fail deployer_${current} is current`]
  const needed = switches(question, "armed").find(({ back }) => refs.includes(back))
  if (needed !== undefined) return [`fail the host may go back to deployer_${needed.back} by itself`]
  for (const ref of refs) host.files.remove(`${releases}/deployer_${ref}`)
  return note(question)
}

const discard: Answer<"discard"> = (question) => {
  const { args, host, releases } = question
  const { kind, ref } = args
  if (kind === "upload") {
    host.files.remove(`${releases}/.staging_${ref}`)
    return []
  }
  const folder = `${releases}/deployer_${ref}`
  if (kind === "release" && host.files.node(`${folder}/.deployer_release.json`) !== undefined) {
    return [`fail deployer_${ref} is complete by now`]
  }
  if (host.files.node(`${releases}/.adopting_${ref}`) !== undefined) return [`fail deployer_${ref} is being adopted`]
  if (!isOurs(host, folder)) return [`fail deployer did not make deployer_${ref}`]
  if (isCurrent(question, ref)) return [`fail deployer_${ref} is current`]
  host.files.remove(folder)
  return []
}

// Adoptions: the same folders and files as on a real host.

const survey: Answer<"survey"> = (question) => {
  const { args, host, releases } = question
  const { files } = host
  const { name } = args
  const current = files.node(`${releases}/current`)
  if (current === undefined || current._tag === "Link") return ["fail there is no directory in the place of current"]
  if (current._tag === "File") return [`unfit current-occupied ${releases}/current`]
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name)) return ["fail that is no name of a release"]
  const below = files.below(`${releases}/current`)
  const odd = below.filter(([path]) => path.includes("\n"))
  if (odd.length > 0) return ["fail a path in current has a line break, which a manifest cannot hold: rename it"]
  const isNested =
    files.names(`${releases}/current`).join("\n") === name && realDirectory(host, `${releases}/current/${name}`)
  const entries = below
    .map(([path, node]) => [isNested ? path : `${name}/${path}`, node] as const)
    .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const lines = [
    ...(isNested ? [] : [`dir ./${name}`]),
    ...entries.flatMap(([path, node]) => (node._tag === "Directory" ? [`dir ./${path}`] : [])),
    ...entries.flatMap(([path, node]) => (node._tag === "Link" ? [`link ./${path}`, `to ${node.to}`] : [])),
    ...entries.flatMap(([path, node]) => (node._tag === "File" ? [`${sha256(node.content)}  ./${path}`] : []))
  ]
  const manifest = new TextEncoder().encode(`${[...lines, `end ${lines.length}`].join("\n")}\n`)
  const digest = sha256(manifest)
  const ref = digest.slice(0, 32).toUpperCase()
  files.remove(`${releases}/.adopting_${ref}`)
  files.write(`${releases}/.adopting_${ref}/manifest`, manifest)
  const contents = entries.flatMap(([, node]) => (node._tag === "File" ? [node.content.length] : []))
  const bytes = contents.reduce((total, length) => total + length, 0)
  return [`adoption ${ref} ${digest} ${isNested ? "nested" : "whole"} ${contents.length} ${bytes}`]
}

const adopt: Answer<"adopt"> = (question) => {
  const { args, entries, host, releases } = question
  const { files } = host
  const { layout, name, record, ref } = args
  const mark = `${releases}/.adopting_${ref}`
  const folder = `${releases}/deployer_${ref}`
  const current = `${releases}/current`
  if (!realDirectory(host, mark)) return [`fail there is nothing of an adoption of ${ref}: begin anew`]
  const isBare = () => {
    if (realDirectory(host, folder) && files.names(folder).length === 0) files.remove(folder)
    return files.node(folder) === undefined
  }
  const there = files.node(current)
  if (layout !== "") {
    if (there?._tag !== "Directory") return ["fail there is no directory in the place of current any more"]
    if (!isBare()) {
      return [
        `fail there is deployer_${ref} already, a release of the same files: move current away and make that one current`
      ]
    }
    files.write(`${mark}/record`, `${record}\n`)
    files.write(`${mark}/entries`, `${entries}\n`)
    if (layout === "whole") files.makeDirectory(folder)
    files.rename(current, layout === "whole" ? `${folder}/${name}` : folder)
    files.link(current, `deployer_${ref}`)
  } else if (isBare()) {
    files.remove(mark)
    return []
  } else if (there === undefined) files.link(current, `deployer_${ref}`)
  else if (there._tag !== "Link") {
    return [`fail both ${current} and ${folder} hold something: look which of them is whole, and move the other away`]
  }
  const noted = files.readLink(current) === `deployer_${ref}` ? (files.read(`${mark}/entries`) ?? "").trimEnd() : ""
  if (files.node(`${mark}/manifest`) !== undefined) files.rename(`${mark}/manifest`, `${folder}/.deployer_manifest`)
  if (files.node(`${mark}/record`) !== undefined) files.rename(`${mark}/record`, `${folder}/.deployer_release.json`)
  files.remove(mark)
  return note({ ...question, entries: noted })
}

const verify: Answer<"verify"> = ({ args: { depth, wanted }, host, refs, releases }) =>
  refs.flatMap((ref) => {
    const folder = `${releases}/deployer_${ref}`
    if (!realDirectory(host, folder)) return [`verdict ${ref}`, `fault ${ref} missing deployer_${ref}`]
    const unrecorded = realFile(host, `${folder}/.deployer_release.json`) ? [] : ["missing .deployer_release.json"]
    const manifest = realFile(host, `${folder}/.deployer_manifest`)
      ? host.files.read(`${folder}/.deployer_manifest`)
      : undefined
    const faults =
      manifest === undefined
        ? ["missing .deployer_manifest"]
        : wanted !== "" && sha256(new TextEncoder().encode(manifest)) !== wanted
          ? ["changed .deployer_manifest"]
          : check(host, folder, manifest, depth === "files").filter(
              (fault) => !isKnown(host, folder)(pathOf(fault)) || fault.includes(" .deployer_")
            )
    return [`verdict ${ref}`, ...[...unrecorded, ...faults].map((fault) => `fault ${ref} ${fault}`)]
  })

const usage: Answer<"usage"> = ({ host, refs, releases }) =>
  refs
    .filter((ref) => isDirectory(host, `${releases}/deployer_${ref}`))
    .map((ref) => {
      const blocks = host.files
        .below(`${releases}/deployer_${ref}`)
        .map(([, node]) => (node._tag === "File" ? Math.ceil(node.content.length / 4096) * 4 : 4))
      return `usage ${ref} ${blocks.reduce((total, kibibytes) => total + kibibytes, 4)}`
    })

const run: Handler<"run"> = (question, exec, { target }) =>
  Effect.gen(function* () {
    const { args, base, host, releases } = question
    const { command, name, ref: wanted } = args
    const current = host.files.node(`${releases}/current`)
    const refused =
      absent(question) ??
      (wanted !== "" || current?._tag === "Link"
        ? undefined
        : current === undefined
          ? ["fail no release is current there: deploy first"]
          : [`fail ${releases}/current is not a link: move it away and deploy first`])
    if (refused !== undefined) return yield* reply(exec, refused)
    const linked = /^deployer_([0-9A-F]{32})$/.exec(current?._tag === "Link" ? current.to : "")?.[1] ?? ""
    const ref = wanted === "" ? linked : wanted
    const release = `${releases}/${ref === "" ? "current" : `deployer_${ref}`}`
    if (!isDirectory(host, release)) return yield* reply(exec, [`fail there is no ${release}: deploy it first`])
    const directory = `${release}/${name}`
    if (!isDirectory(host, directory)) {
      return yield* reply(exec, [`fail ${release} holds no folder ${name}: its name is another one`])
    }
    const ran: MemoryCommand = { command, directory, name, ref, path: base, release }
    host.commands.push(ran)
    const { exitCode = 0, never = false, output = "" } = host.onRun(ran)
    const answered = yield* reply(exec, [], exitCode)
    if (output !== "" && exec.onOutput !== undefined) yield* exec.onOutput(new TextEncoder().encode(output), "stdout")
    if (!never) return answered
    const waited = Duration.format(target.timeouts.command)
    return yield* new CommandTimeout({ address: addressOf(target), command, waited })
  })

// Locks: files as on a real host.

interface TopLock {
  readonly token: number
  readonly state: "free" | "taken" | "held"
  readonly details: string
  readonly idle: number
  /** Whether the last sign of life is in the future, by the clock. */
  readonly ahead: boolean
}

const topLock = ({ base, host, now }: Place): TopLock => {
  const tokens = host.files
    .names(`${base}/config`)
    .flatMap((name) => /^lock\.([1-9][0-9]{0,14})$/.exec(name)?.[1] ?? [])
  const token = Math.max(0, ...tokens.map(Number))
  const line = token === 0 ? "free " : (host.files.read(`${base}/config/lock.${token}`) ?? "").split("\n")[0]
  const [word = "", ...details] = (line ?? "").split(" ")
  const beat = Number(/^[1-9][0-9]{0,14}(?=\s)/.exec(host.files.read(`${base}/config/beat.${token}`) ?? "")?.[0] ?? "0")
  return {
    token,
    state: word === "free" || word === "held" ? word : "taken",
    details: details.join(" "),
    idle: Math.max(0, now - beat),
    ahead: beat > now
  }
}

const holds = ({ state, token }: TopLock, mine: number): boolean => token === mine && state === "taken"

const lockLine = ({ details, idle, token }: TopLock): string => `locked ${token} ${idle} ${details}`

const writeLock = ({ base, host }: Place, token: number, state: TopLock["state"], details: string) =>
  host.files.write(`${base}/config/lock.${token}`, `${state} ${details}\n`)

const giveBack = (question: Place, token: number): void => {
  const top = topLock(question)
  if (holds(top, token)) writeLock(question, token, "free", top.details)
}

const lock: Handler<"lock"> = (question, exec, { gone }) =>
  Effect.gen(function* () {
    const { args, base, host, now } = question
    const { claim, entries, kind: state, stale } = args
    if (!isDirectory(host, `${base}/config`)) return yield* reply(exec, ["unready"])
    const top = topLock(question)
    const isNoted = state === "held" || top.state === "taken"
    if (top.state === "held" || (top.state === "taken" && top.idle < Number(stale))) {
      if (top.ahead) host.files.write(`${base}/config/beat.${top.token}`, `${now}\n`)
      return yield* reply(exec, [lockLine(top)])
    }
    const mine = top.token + 1
    const beat = (seconds: number) => host.files.write(`${base}/config/beat.${mine}`, `${seconds}\n`)
    beat(now)
    writeLock(question, mine, state === "held" ? "held" : "taken", claim)
    for (const name of host.files.names(`${base}/config`)) {
      const token = Number(/^(?:lock|beat)\.([0-9]+)$/.exec(name)?.[1] ?? mine)
      if (token < mine) host.files.remove(`${base}/config/${name}`)
    }
    const unnoted = isNoted ? note({ ...question, entries }) : []
    const answered = yield* reply(exec, [...unnoted, `token ${mine}`, ...(state === "held" ? [] : see(question))])
    if (state === "held") return answered
    yield* (exec.stdin ?? Stream.empty).pipe(
      Stream.runForEachWhile(() =>
        Effect.map(Clock.currentTimeMillis, (millis) => {
          if (!holds(topLock(question), mine)) return false
          beat(Math.floor(millis / 1000) + (host.clockAhead ?? 0))
          return true
        })
      ),
      Effect.raceFirst(gone),
      Effect.ensuring(Effect.sync(() => giveBack(question, mine)))
    )
    return answered
  })

const unlock: Answer<"unlock"> = (question) => {
  const { entries, expected } = question.args
  const top = topLock(question)
  if (top.token !== Number(expected) || top.state === "free") return ["changed"]
  writeLock(question, top.token, "free", top.details)
  return note({ ...question, entries })
}

const handlers: { readonly [Name in StepName]: Handler<Name> } = {
  lock,
  unlock: plain(unlock),
  inspect: plain(inspect),
  compact: plain((question) => journalLines(question)),
  history: plain((question) => journalLines(question, Number(question.args.count))),
  prepare: plain(prepare),
  stage: (question, exec, { lost }) =>
    Effect.flatMap(stage(question, exec.stdin ?? Stream.empty, lost), (lines) => reply(exec, lines)),
  manifest: within(manifest),
  record: within(record),
  alterations: within(alterations),
  activate: within(activate),
  deactivate: within(deactivate),
  arm,
  confirm: plain(confirm),
  survey: within(survey),
  adopt: within(adopt),
  remove: within(remove),
  discard: within(discard),
  verify: within(verify),
  usage: within(usage),
  note: plain(note),
  run
}
