/**
 * Connections to the hosts of test/kit/sshd.ts.
 */
import { createHash, randomBytes } from "node:crypto"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Target, TargetSettings } from "../../src/domain/Target.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import type { Exec } from "../../src/host/transport/Transport.ts"
import { Prompt, PromptUnavailable } from "../../src/terminal/Prompt.ts"
import { type Sshd, settingsFor } from "./sshd.ts"

const decode = Schema.decodeSync(TargetSettings)

export type Settings = Partial<typeof TargetSettings.Encoded>

/** With port 0 the target names none. */
export const targetOf = (host: { readonly host: string; readonly port: number }, more: Settings = {}): Target => ({
  key: "prod",
  ...decode({ host: host.host, ...(host.port === 0 ? {} : { port: host.port }), name: "my_app", path: "srv", ...more })
})

/** Gives these answers, in this order, and records the questions; without answers there is no terminal. */
export const scripted = (...answers: ReadonlyArray<boolean | string>) => {
  const left = [...answers]
  const asked: Array<string> = []
  const next = (question: string, hint?: string) =>
    Effect.suspend(() => {
      asked.push(question)
      const answer = left.shift()
      return answer === undefined
        ? new PromptUnavailable({ question, ...(hint === undefined ? {} : { hint }) })
        : Effect.succeed(answer)
    })
  const prompt = Layer.succeed(Prompt, {
    canAsk: Effect.sync(() => left.length > 0),
    confirm: ({ message }) => Effect.map(next(message), (answer) => answer === true),
    select: ({ message }) => Effect.zipRight(next(message), Effect.dieMessage("no choices here")),
    secret: ({ hint, message }) => Effect.map(next(message, hint), (answer) => Redacted.make(String(answer))),
    line: () => Effect.succeedNone
  })
  return { prompt, asked }
}

export type SettingsShape = Context.Tag.Service<typeof SshSettings>

/** Connects as somebody whose home holds nothing, and who has no agent. */
export const connectTo = (
  host: Sshd,
  more: Settings = {},
  options: Partial<SettingsShape> = {},
  terminal = scripted()
) => connectWithout(host, options, terminal, { user: host.user, sshKey: host.keyFile, ...more })

/** Connects with a target that names no key. */
export const connectWithout = (
  host: Sshd,
  options: Partial<SettingsShape> = {},
  terminal = scripted(),
  more: Settings = {}
) =>
  connect(targetOf(host, more), host.folder).pipe(
    Effect.provide(terminal.prompt),
    Effect.provide(NodeFileSystem.layer),
    Effect.provideService(SshSettings, { ...settingsFor(host), ...options })
  )

export const sh = <E = never>(
  script: string,
  args: ReadonlyArray<string> = [],
  more: Partial<Exec<E>> = {}
): Exec<E> => ({
  doing: "try things",
  script,
  args,
  wait: "command",
  ...more
})

/** So many random bytes, the same 64 KiB over and over, each block beginning with its number. */
export const bytes = (size: number) => {
  const block = randomBytes(65536)
  const blocks = Math.ceil(size / block.length)
  const at = (index: number) => {
    const copy = Buffer.from(block)
    copy.writeUInt32BE(index)
    return copy.subarray(0, Math.min(block.length, size - index * block.length))
  }
  const hash = createHash("sha256")
  for (let index = 0; index < blocks; index++) hash.update(at(index))
  return { stream: Stream.range(0, blocks - 1).pipe(Stream.rechunk(1), Stream.map(at)), sha256: hash.digest("hex") }
}
