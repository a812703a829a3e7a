/** A question to a host in memory, and the form of its answer: the same lines as those of the scripts, so that a session decodes both alike. */

import * as Effect from "effect/Effect"
import type { Target } from "../../domain/Target.ts"
import { sha256Sum } from "../../internal/machine.ts"
import { replyBegin, replyEnd } from "../protocol/reply.ts"
import type { Args, StepName } from "../protocol/Step.ts"
import type { steps } from "../protocol/steps.ts"
import type { CommandTimeout, HostUnreachable } from "../RemoteHost.ts"
import type { Exec, ExecResult } from "../transport/Transport.ts"
import type { MemoryHost } from "./MemoryHost.ts"

/** A host, and the place and time of a question. */
export interface Place {
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

/** A question of a step, with its named arguments. */
export interface Question<Name extends StepName> extends Place {
  readonly args: Args<(typeof steps)[Name]["script"]>
  readonly refs: ReadonlyArray<string>
}

/** The lines of the answer to a step. */
export type Answer<Name extends StepName> = (question: Question<Name>) => ReadonlyArray<string>

/** The connection that a step uses. */
export interface Connection {
  readonly target: Target
  /** Ends the connection. */
  readonly lost: (detail: string) => HostUnreachable
  /** Fails once the connection has ended. */
  readonly gone: Effect.Effect<never, HostUnreachable>
}

/** Runs a step. */
export type Handler<Name extends StepName> = <E>(
  question: Question<Name>,
  exec: Exec<E>,
  connection: Connection
) => Effect.Effect<ExecResult, E | HostUnreachable | CommandTimeout>

/** Answers with these lines, in the form of the scripts. */
export const reply = <E>(exec: Exec<E>, lines: ReadonlyArray<string>, exitCode = 0): Effect.Effect<ExecResult> => {
  const stdout = `${[replyBegin, ...lines, replyEnd].join("\n")}\n`
  if (exec.onOutput === undefined) return Effect.succeed({ exitCode, stdout, stderr: "" })
  return Effect.as(exec.onOutput(new TextEncoder().encode(`\n${stdout}`), "stdout"), {
    exitCode,
    stdout: "",
    stderr: ""
  })
}

/** Answers at once. */
export const plain =
  <Name extends StepName>(answer: Answer<Name>): Handler<Name> =>
  (question, exec) =>
    Effect.suspend(() => reply(exec, answer(question)))

/** The failure if nothing was deployed to the place yet. */
export const absent = ({ host, releases }: Place): ReadonlyArray<string> | undefined =>
  isDirectory(host, releases) ? undefined : [`fail there is no directory ${releases}: deploy first`]

/** Answers at once, and fails if nothing was deployed to the place yet. */
export const within = <Name extends StepName>(answer: Answer<Name>): Handler<Name> =>
  plain((question) => absent(question) ?? answer(question))

/** Appends the entries to the journal. Reports it if it cannot. */
export const note = ({ base, entries, host }: Place): ReadonlyArray<string> => {
  if (entries === "") return []
  if (host.journalFailure !== undefined) return [`unnoted ${host.journalFailure}`]
  const before = host.files.read(`${base}/config/journal`) ?? ""
  const torn = before === "" || before.endsWith("\n") ? "" : "\n"
  host.files.write(`${base}/config/journal`, `${before}${torn}${entries}\n`)
  return []
}

/** The SHA-256 of bytes, in hexadecimal digits. */
export const sha256 = (bytes: Uint8Array): string => {
  const sum = sha256Sum()
  sum.update(bytes)
  return sum.digest()
}

/** Whether a path is a directory, or a link to one. */
export const isDirectory = ({ files }: MemoryHost, path: string): boolean => files.target(path)?._tag === "Directory"
/** Whether a path is a directory, and no link. */
export const realDirectory = ({ files }: MemoryHost, path: string): boolean => files.node(path)?._tag === "Directory"
/** Whether a path is a file, and no link. */
export const realFile = ({ files }: MemoryHost, path: string): boolean => files.node(path)?._tag === "File"

/** Whether a path is free, or an upload or an adoption of deployer's. */
export const isBegun = (host: MemoryHost, path: string): boolean =>
  host.files.node(path) === undefined ||
  (realDirectory(host, path) &&
    host.files
      .names(path)
      .every((name) => /^(?:note$|stream$|release\.tar|tree|manifest$|record$|entries$|[ab]$)/.test(name)))

/** The directory that holds a path. */
export const parent = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/"

/** Whether `current` leads into a release. */
export const isCurrent = ({ host, releases }: Place, ref: string): boolean => {
  const to = host.files.readLink(`${releases}/current`)
  if (to === undefined) return false
  if (to === `deployer_${ref}`) return true
  const live = host.files.resolve(`${releases}/current`) ?? ""
  return isDirectory(host, live) && `${live}/`.startsWith(`${host.files.resolve(releases)}/deployer_${ref}/`)
}

/** The refs of the entries of `releases` whose names begin with a prefix. */
export const namedRefs = ({ host, releases }: Place, prefix: string): ReadonlyArray<string> =>
  host.files
    .names(releases)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((ref) => /^[0-9A-F]{32}$/.test(ref))

/** The same, of directories only. */
export const refsIn = (question: Place, prefix: string): ReadonlyArray<string> =>
  namedRefs(question, prefix).filter((ref) => realDirectory(question.host, `${question.releases}/${prefix}${ref}`))
