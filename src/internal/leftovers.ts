/**
 * Names for temporary files, folders and containers, which tell their maker and their time. So the remains of a killed command differ from the files
 * of a running one.
 */
import { createHash } from "node:crypto"
import { readdir, readFile, readlink, rm, stat } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

// Pids mean nothing in another container or on another machine that shares the folder or the engine.
const foreignLifetime = Duration.days(1)

const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8)

const attempt = <A>(run: () => Promise<A>): Effect.Effect<Option.Option<A>> => Effect.option(Effect.tryPromise(run))

/** The place in which pids are comparable: this machine (or container) until it is renamed. */
const place = Effect.map(
  attempt(() => readlink("/proc/self/ns/pid")),
  (namespace) => digest(`${hostname()} ${Option.getOrElse(namespace, () => "")}`)
)

/** The start time of a process, as a token, because pids are used again. `00000000` if the system does not tell. */
const startToken = (pid: number): Effect.Effect<string> =>
  Effect.map(
    Effect.all([
      attempt(() => readFile(`/proc/${pid}/stat`, "utf8")),
      attempt(() => readFile("/proc/sys/kernel/random/boot_id", "utf8"))
    ]),
    ([stat, boot]) => {
      // The second field is the program's name in parentheses and may hold anything; the start is the 22nd field.
      const fields = Option.map(stat, (line) => line.slice(line.lastIndexOf(")") + 2).split(" "))
      return Option.match(
        Option.flatMap(fields, (all) => Option.fromNullable(all[19])),
        {
          onNone: () => "00000000",
          onSome: (ticks) => digest(`${Option.getOrElse(boot, () => "")} ${ticks}`)
        }
      )
    }
  )

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    // It exists but belongs to somebody else.
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

let serial = 0

/** `<kind>-<pid>-<start>-<place>-<seconds>-<n>`: a name that no other process and no other call uses. */
export const temporaryName = (kind: string): Effect.Effect<string> =>
  Effect.map(Effect.all([startToken(process.pid), place, DateTime.now]), ([start, here, now]) => {
    serial += 1
    const seconds = String(Math.floor(now.epochMillis / 1000)).padStart(10, "0")
    return `${kind}-${process.pid}-${start}-${here}-${seconds}-${serial}`
  })

/** Names of earlier versions have no time. */
const pattern = /^\.?[a-z]+-(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-(?:(\d{10,})-)?\d+(?:\.[a-z.]+)?$/

/**
 * Whether the process that gave the {@link temporaryName} is gone. A process in another container or on another machine counts as gone a day after it
 * gave the name. False for any other name.
 */
export const isAbandoned = (
  name: string,
  /** When the thing was made, in Unix milliseconds, if its name does not tell. */
  made: Effect.Effect<Option.Option<number>> = Effect.succeedNone
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const [, digits, start, where, seconds] = pattern.exec(name) ?? []
    if (digits === undefined) return false
    if (where !== (yield* place)) {
      const now = yield* DateTime.now
      const time = seconds === undefined ? yield* made : Option.some(Number(seconds) * 1000)
      return Option.exists(time, (millis) => now.epochMillis - millis > Duration.toMillis(foreignLifetime))
    }
    const pid = Number(digits)
    return !isAlive(pid) || (yield* startToken(pid)) !== start
  })

/** The names in the folder that begin with the kind and are a {@link temporaryName} of a process that is gone. */
export const abandoned = (folder: string, kind = ""): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const names = Option.getOrElse(yield* attempt(() => readdir(folder)), () => [])
    const changedAt = (name: string) =>
      Effect.map(
        attempt(() => stat(join(folder, name))),
        Option.map(({ mtimeMs }) => mtimeMs)
      )
    return yield* Effect.filter(
      names.filter((name) => name.startsWith(kind)),
      (name) => isAbandoned(name, changedAt(name))
    )
  })

/**
 * Removes everything with an {@link abandoned} name from the folder, and returns the names. A folder that also holds other things needs a kind.
 * Anything that cannot be removed stays for the next command; it does no harm.
 */
export const sweep = (folder: string, kind = ""): Effect.Effect<ReadonlyArray<string>> =>
  Effect.flatMap(
    abandoned(folder, kind),
    Effect.filter((name) =>
      Effect.map(
        attempt(() => rm(join(folder, name), { recursive: true, force: true })),
        Option.isSome
      )
    )
  )
