/** Commands on a host in memory. */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { address as addressOf } from "../../domain/Target.ts"
import { CommandTimeout } from "../RemoteHost.ts"
import { holds, topLock } from "./locking.ts"
import type { MemoryCommand } from "./MemoryHost.ts"
import { absent, type Handler, isCurrent, isDirectory, reply } from "./Place.ts"

/** Runs a command in the folder of a release. */
export const run: Handler<"run"> = (question, exec, { target }) =>
  Effect.gen(function* () {
    const { args, base, host, releases } = question
    const { expect, fence, name, ref: wanted } = args
    const command = yield* Stream.mkString(Stream.decodeText(exec.stdin ?? Stream.empty))
    const current = host.files.node(`${releases}/current`)
    const refused =
      absent(question) ??
      (fence !== "0" && !holds(topLock(question), Number(fence)) ? ["fenced"] : undefined) ??
      (expect === "current" && !isCurrent(question, wanted)
        ? [
            `fail deployer_${wanted} is no longer current: the host went back by itself, or somebody made another release current`
          ]
        : undefined) ??
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
