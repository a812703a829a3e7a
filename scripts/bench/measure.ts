/**
 * Runs programs and measures them.
 */
import { spawn } from "node:child_process"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { delimiter, join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** A program to run. */
export interface Command {
  readonly words: readonly [string, ...ReadonlyArray<string>]
  readonly cwd?: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** After so many milliseconds it is killed; default: five minutes. */
  readonly millis?: number
}

/** How it ended. */
export interface Ended {
  readonly stdout: string
  readonly stderr: string
  /** Of the whole process. */
  readonly millis: number
}

/** It did not end well: there is nothing to measure. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly command: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.command}: ${this.detail}`
  }
}

/** Runs a program to its good end. */
export const run = (command: Command): Effect.Effect<Ended, CommandFailed> => watched(command, () => {})

/** Runs a program, telling its process's number as soon as it is there. */
const watched = (command: Command, started: (pid: number) => void): Effect.Effect<Ended, CommandFailed> =>
  Effect.async((resume) => {
    const [program, ...args] = command.words
    const fail = (detail: string) =>
      resume(new CommandFailed({ command: command.words.join(" ").slice(0, 300), detail }))
    const began = performance.now()
    const child = spawn(program, args, {
      env: command.env,
      stdio: ["ignore", "pipe", "pipe"],
      ...(command.cwd === undefined ? {} : { cwd: command.cwd })
    })
    const said = { stdout: "", stderr: "" }
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8").on("data", (text: string) => {
        said[stream] += text
      })
    }
    if (child.pid !== undefined) started(child.pid)
    const { millis: patience = 300_000 } = command
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      fail(`did not end within ${patience} ms; it said\n${said.stdout}${said.stderr}`)
    }, patience)
    child.on("error", (error) => fail(error.message))
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const millis = performance.now() - began
      if (code === 0) return resume(Effect.succeed({ ...said, millis }))
      fail(`ended with ${code ?? signal}; it said\n${said.stdout}${said.stderr}`)
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      child.kill("SIGKILL")
    })
  })

const time = "/usr/bin/time"
const hasTime = existsSync(time)

/** The way to take peaks of memory on this machine; undefined if there is none. */
export const peakMethod: string | undefined = hasTime
  ? `${time}: the largest process`
  : existsSync("/proc/self/status")
    ? "/proc: the largest process, looked at every 5 ms"
    : undefined

/** Runs a program; also the peak of resident memory of the largest of its processes, in bytes. */
export const peakOf = (command: Command): Effect.Effect<Ended & { readonly peak: number }, CommandFailed> =>
  Effect.suspend(() => {
    if (hasTime) {
      return Effect.map(
        run({ ...command, words: [time, "-f", "peak of memory: %M kB", ...command.words] }),
        (ended) => ({
          ...ended,
          peak: Number(/peak of memory: (\d+) kB/.exec(ended.stderr)?.[1] ?? Number.NaN) * 1024
        })
      )
    }
    let peak = 0
    let timer: NodeJS.Timeout | undefined
    return watched(command, (pid) => {
      timer = setInterval(() => {
        peak = Math.max(peak, ...treeOf(pid).map(highWater))
      }, 5)
    }).pipe(
      Effect.map((ended) => ({ ...ended, peak })),
      Effect.ensuring(Effect.sync(() => clearInterval(timer)))
    )
  })

const proc = (file: string): string => {
  try {
    return readFileSync(`/proc/${file}`, "utf8")
  } catch {
    // It has ended meanwhile.
    return ""
  }
}

const highWater = (pid: number): number => Number(/VmHWM:\s*(\d+) kB/.exec(proc(`${pid}/status`))?.[1] ?? 0) * 1024

const treeOf = (pid: number): ReadonlyArray<number> => [
  pid,
  ...proc(`${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number).flatMap(treeOf)
]

/** Bytes of all files below folders. */
export const bytesBelow = (...folders: ReadonlyArray<string>): number =>
  folders
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .reduce(
      (total, entry) => total + (entry.isFile() ? sizeOf(join(entry.parentPath ?? entry.path, entry.name)) : 0),
      0
    )

const sizeOf = (file: string): number => {
  try {
    return statSync(file).size
  } catch {
    // It was moved meanwhile.
    return 0
  }
}

/** The file of a program that is installed. */
export const where = (program: string): string | undefined =>
  [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin"]
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file))

/** Whether a program is installed. */
export const has = (program: string): boolean => where(program) !== undefined
