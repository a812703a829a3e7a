/** Locks of a host in memory, with the same files as on a real host. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { see } from "./inspecting.ts"
import { type Answer, type Handler, isDirectory, note, type Place, reply } from "./Place.ts"

interface TopLock {
  readonly token: number
  readonly state: "free" | "taken" | "held"
  readonly details: string
  readonly idle: number
  /** Whether the last sign of life is in the future, by the clock. */
  readonly ahead: boolean
}

/** The lock with the highest token. */
export const topLock = ({ base, host, now }: Place): TopLock => {
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

/** Whether a token holds the lock. */
export const holds = ({ state, token }: TopLock, mine: number): boolean => token === mine && state === "taken"

/** The lock as the scripts print it. */
export const lockLine = ({ details, idle, token }: TopLock): string => `locked ${token} ${idle} ${details}`

const writeLock = ({ base, host }: Place, token: number, state: TopLock["state"], details: string) =>
  host.files.write(`${base}/config/lock.${token}`, `${state} ${details}\n`)

/** Frees the lock if the token holds it. */
export const giveBack = (question: Place, token: number): void => {
  const top = topLock(question)
  if (holds(top, token)) writeLock(question, token, "free", top.details)
}

/** Takes the lock, and keeps it until the standard input of the step ends. */
export const lock: Handler<"lock"> = (question, exec, { gone }) =>
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

/** Frees the lock of another holder. */
export const unlock: Answer<"unlock"> = (question) => {
  const { entries, expected } = question.args
  const top = topLock(question)
  if (top.token !== Number(expected) || top.state === "free") return ["changed"]
  writeLock(question, top.token, "free", top.details)
  return note({ ...question, entries })
}
