/**
 * A step of the protocol between a session and its host: one script, its named arguments, and the decoder of its answer. Only this file knows the
 * order of a script's arguments.
 */
import type { Between, Decoded } from "./reply.ts"
import type * as scripts from "./scripts.generated.ts"

/** The name of a step, which is that of its script. */
export type StepName = keyof typeof scripts

/** A script of scripts.generated.ts. */
export interface Script {
  readonly name: StepName
  /** The names of its arguments after the path, in order. */
  readonly args: ReadonlyArray<string>
  /** Whether any number of refs follow. */
  readonly takesRefs: boolean
  /** Whether it changes something under a lock, and writes into the journal. */
  readonly isFenced: boolean
  /** The script's text, for a POSIX shell. */
  readonly text: string
}

/** The arguments of a script, by name. */
export type Args<S extends Script> = { readonly [Name in S["args"][number]]: string }

/** A step. */
export interface Step<S extends Script, A> {
  readonly script: S
  readonly decode: (stdout: string, asked: Asked) => Decoded<A>
}

/** The parts of a question that a decoder needs. */
export interface Asked {
  readonly refs: ReadonlyArray<string>
  /** Undefined if the time of the question does not matter. */
  readonly between: Between | undefined
}

/** Makes a step. */
export const step = <const S extends Script, A>(
  script: S,
  decode: (stdout: string, asked: Asked) => Decoded<A>
): Step<S, A> => ({ script, decode })

/** The lock under which a step changes something, and the entries that it journals. */
export interface Fencing {
  /** The token of the lock; 0 without one. */
  readonly fence: number
  /** Lines for the journal. */
  readonly entries: string
  /** Whether the step gives the lock back. */
  readonly unlocks: boolean
}

/** The input of a script. */
export interface Call<S extends Script = Script> {
  /** The target's path, as `loginPath` returns it. */
  readonly path: string
  readonly fencing?: Fencing
  readonly args: Args<S>
  readonly refs?: ReadonlyArray<string>
}

/** The positional arguments of a call, from `$1` on. */
export const positional = <S extends Script>(
  script: S,
  { args, fencing, path, refs = [] }: Call<S>
): ReadonlyArray<string> => [
  path,
  ...(fencing === undefined ? [] : [String(fencing.fence), fencing.entries, fencing.unlocks ? "unlocks" : ""]),
  ...script.args.map((name: S["args"][number]) => args[name]),
  ...refs
]

/** The inverse of `positional`. */
export function named<S extends Script>(script: S, words: ReadonlyArray<string>): Call<S>
/** The same for a script that is not known statically. */
export function named(script: Script, words: ReadonlyArray<string>): Call {
  const [path = "", ...rest] = words
  const [fence = "0", entries = "", unlocks = ""] = script.isFenced ? rest.splice(0, 3) : []
  return {
    path,
    ...(script.isFenced ? { fencing: { fence: Number(fence), entries, unlocks: unlocks !== "" } } : {}),
    args: Object.fromEntries(script.args.map((name, index) => [name, rest[index] ?? ""])),
    refs: rest.slice(script.args.length)
  }
}
