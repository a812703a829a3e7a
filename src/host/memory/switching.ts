/** The steps that switch a host in memory to another release, its dead-man's switches, and the removal of releases. */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { MemoryHost } from "./MemoryHost.ts"
import { type Answer, type Handler, isCurrent, isDirectory, note, type Place, realDirectory, reply } from "./Place.ts"

/** Writes the record of a release. */
export const record: Answer<"record"> = ({ args, host, releases }) => writeRecord(host, releases, args.ref, args.record)

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

/** Makes a release the current one. */
export const activate: Answer<"activate"> = (question) => {
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

/** Takes the link `current` away, or restores its earlier text. */
export const deactivate: Answer<"deactivate"> = (question) => {
  const { args, host, releases } = question
  const { restore } = args
  const refused = occupied(question)
  if (refused !== undefined) return refused
  disarm(question)
  if (restore === "") host.files.remove(`${releases}/current`)
  else host.files.link(`${releases}/current`, restore)
  return note(question)
}

interface Switch {
  readonly id: string
  readonly ref: string
  readonly back: string
  readonly deadline: number
  readonly restore: string
}

/** The dead-man's switches in a state. */
export const switches = ({ base, host }: Place, state: "armed" | "confirmed"): ReadonlyArray<Switch> =>
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

/** Arms a dead-man's switch. */
export const arm: Handler<"arm"> = (question, exec) =>
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

const displaced = (ref: string): ReadonlyArray<string> => [
  `fail deployer_${ref} is no longer current: somebody made another release current`
]

/** Appends entries to the journal, if the release that they are about is still current. */
export const noteLive: Answer<"note"> = (question) => {
  const { expect } = question.args
  return expect === "" || isCurrent(question, expect) ? note(question) : displaced(expect)
}

/** Confirms a deployment, so that the host does not go back by itself. */
export const confirm: Answer<"confirm"> = (question) => {
  const { args, base, host } = question
  const { expect, id } = args
  const armed = host.files.read(`${base}/config/armed.${id}`)
  if (armed !== undefined && !isCurrent(question, expect)) return displaced(expect)
  if (host.files.node(`${base}/config/confirmed.${id}`) !== undefined) return ["confirmed"]
  if (armed === undefined) return ["fired"]
  host.files.remove(`${base}/config/armed.${id}`)
  host.files.write(`${base}/config/confirmed.${id}`, armed)
  return [...note({ ...question, entries: args.entries }), "confirmed"]
}

/** Removes releases that are not in use. */
export const remove: Answer<"remove"> = (question) => {
  const { host, refs, releases } = question
  const current = refs.find((ref) => isCurrent(question, ref))
  if (current !== undefined) return [`fail deployer_${current} is current`]
  const needed = switches(question, "armed").find(({ back }) => refs.includes(back))
  if (needed !== undefined) return [`fail the host may go back to deployer_${needed.back} by itself`]
  for (const ref of refs) host.files.remove(`${releases}/deployer_${ref}`)
  return note(question)
}
