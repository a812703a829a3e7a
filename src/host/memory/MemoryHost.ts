/** One host in memory: files, links and records, which a test can inspect and make fail. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type HostRelease, HostReleaseJson, type HostState, type HostTool } from "../../domain/HostState.ts"
import { type JournalEntry, JournalEntryJson } from "../../domain/Journal.ts"
import type { StepName } from "../protocol/Step.ts"
import type { ConnectFailure } from "../RemoteHost.ts"
import type { DialFailed, Endpoint } from "../transport/Endpoint.ts"
import { MemoryFiles } from "./MemoryFiles.ts"
import { sha256 } from "./Place.ts"

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
