/**
 * Names for temporary files and folders that tell who made them, so that what a killed command left can be told from
 * what a living one is using.
 */
import { createHash } from "node:crypto"
import { readdir, readFile, readlink, rm, stat } from "node:fs/promises"
import { hostname } from "node:os"
import { join } from "node:path"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

// Pids mean nothing in another container or on another machine that shares the folder.
const foreignLifetime = Duration.days(1)

const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 8)

const attempt = <A>(run: () => Promise<A>): Effect.Effect<Option.Option<A>> => Effect.option(Effect.tryPromise(run))

/** Where pids are comparable: this machine (or container) until it is renamed. */
const place = Effect.map(
  attempt(() => readlink("/proc/self/ns/pid")),
  (namespace) => digest(`${hostname()} ${Option.getOrElse(namespace, () => "")}`)
)

/** When a process began, as a token: pids are used again. `00000000` where the system does not say. */
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

/** `<kind>-<pid>-<start>-<place>-<n>`: a name that no other process and no other call uses. */
export const temporaryName = (kind: string): Effect.Effect<string> =>
  Effect.map(Effect.all([startToken(process.pid), place]), ([start, here]) => {
    serial += 1
    return `${kind}-${process.pid}-${start}-${here}-${serial}`
  })

const pattern = /^\.?[a-z]+-(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-\d+(?:\.[a-z.]+)?$/

const isAbandoned = (folder: string, name: string) =>
  Effect.gen(function* () {
    const [, digits, start, where] = pattern.exec(name) ?? []
    if (digits === undefined) return false
    if (where !== (yield* place)) {
      const now = yield* DateTime.now
      const made = yield* attempt(() => stat(join(folder, name)))
      return Option.exists(made, ({ mtimeMs }) => now.epochMillis - mtimeMs > Duration.toMillis(foreignLifetime))
    }
    const pid = Number(digits)
    return !isAlive(pid) || (yield* startToken(pid)) !== start
  })

/** Removes what processes that are gone made in the folder under a {@link temporaryName}; yields the names. */
export const sweep = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const names = Option.getOrElse(yield* attempt(() => readdir(folder)), () => [])
    const abandoned = yield* Effect.filter(names, (name) => isAbandoned(folder, name))
    // What cannot be removed today stays for the next command; it is in nobody's way.
    return yield* Effect.filter(abandoned, (name) =>
      Effect.map(
        attempt(() => rm(join(folder, name), { recursive: true, force: true })),
        Option.isSome
      )
    )
  })

/** Whether the {@link temporaryName} was given here by a process that is gone. False for names of other machines. */
export const isOrphan = (name: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const [, digits, start, where] = pattern.exec(name) ?? []
    if (digits === undefined || where !== (yield* place)) return false
    const pid = Number(digits)
    return !isAlive(pid) || (yield* startToken(pid)) !== start
  })
