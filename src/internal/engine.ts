/**
 * The command line of a container engine.
 */
import { createHash } from "node:crypto"
import { type PlatformError, SystemError } from "@effect/platform/Error"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { run } from "./process.ts"

/** What a short command of the engine said. */
export interface Reply {
  readonly status: number
  readonly stdout: string
  /** The last line that says something. */
  readonly complaint: string
}

/** Runs a short command of the engine; fails only where the program cannot be started, or does not end. */
export const ask = (engine: string, args: ReadonlyArray<string>): Effect.Effect<Reply, PlatformError> =>
  Effect.gen(function* () {
    const child = yield* run({ command: engine, args })
    const [stdout, stderr, status] = yield* Effect.all([text(child.stdout), text(child.stderr), child.exitCode], {
      concurrency: "unbounded"
    })
    return { status, stdout, complaint: lastLine(stderr) }
  }).pipe(
    Effect.scoped,
    Effect.timeoutFail({
      duration: patience,
      onTimeout: () =>
        new SystemError({
          reason: "TimedOut",
          module: "Command",
          method: "ask",
          pathOrDescriptor: engine,
          description: `"${engine} ${args[0] ?? ""}" did not end within ${Duration.format(patience)}`
        })
    })
  )

/** What an engine may take for a small step, also where it creates a container out of a large image. */
const patience = Duration.minutes(2)

const text = (bytes: Stream.Stream<Uint8Array, PlatformError>) => Stream.mkString(Stream.decodeText(bytes))

/** The last line that says something. */
export const lastLine = (said: string): string => linesOf(said).at(-1) ?? ""

/** Lines that say something, without blanks around them. */
export const linesOf = (said: string): ReadonlyArray<string> =>
  said
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")

/** Follows the output of the builders that keep their layers as images: docker's classic one and podman's. */
export interface StageReader {
  readonly push: (chunk: Uint8Array) => void
  /** The last image of each stage so far, without those that only add our label: what the layer cache hangs on. */
  readonly ends: () => ReadonlyArray<string>
}

/** Other builders keep their cache elsewhere, and their output shows no stages. */
export const stageReader = (label: string): StageReader => {
  const decoder = new TextDecoder()
  const stages: Array<string | undefined> = []
  let labelled = false
  let rest = ""
  const line = (said: string) => {
    const step = /^(?:\[\d+\/\d+\] )?step \d+\/\d+ ?: (\w+) ?(.*)$/i.exec(said)
    if (step !== null) {
      const word = step[1]?.toUpperCase()
      if (word === "FROM") stages.push(undefined)
      labelled ||= word === "LABEL" && (step[2] ?? "").includes(label)
      return
    }
    const image = /^(?: -)?--> ([0-9a-f]{11,64})$/.exec(said)
    if (image !== null && !labelled && stages.length > 0) stages[stages.length - 1] = image[1]
  }
  return {
    push: (chunk) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/)
      // A line without an end can be of any length; those of interest are short.
      rest = (lines.pop() ?? "").slice(-4096)
      for (const said of lines) line(said)
    },
    ends: () => stages.filter((image) => image !== undefined)
  }
}

/** A short name for a longer text. */
export const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12)
