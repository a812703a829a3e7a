/**
 * The command line of a container engine.
 */
import { createHash } from "node:crypto"
import process from "node:process"
import { type PlatformError, SystemError } from "@effect/platform/Error"
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { run } from "./process.ts"

/** The output of a short command of the engine. */
export interface Reply {
  readonly status: number
  readonly stdout: string
  /** The last line that is not empty. */
  readonly complaint: string
}

/** Runs a short command of the engine. Fails only if the program cannot be started, or does not end. */
export const ask = (
  engine: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string | undefined>> = {}
): Effect.Effect<Reply, PlatformError> =>
  Effect.gen(function* () {
    const child = yield* run({ command: engine, args, env })
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

/** The time that an engine may take for a small step, even if it creates a container from a large image. */
const patience = Duration.minutes(2)

const text = (bytes: Stream.Stream<Uint8Array, PlatformError>) => Stream.mkString(Stream.decodeText(bytes))

/** The last line that is not empty. */
export const lastLine = (output: string): string => linesOf(output).at(-1) ?? ""

/** The lines that are not empty, without blanks around them. */
export const linesOf = (output: string): ReadonlyArray<string> =>
  output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")

/** The value of an option that is written as one word (`--option=value`) or as two. The last one counts. Undefined if there is none. */
export const optionOf = (args: ReadonlyArray<string>, option: string): string | undefined => {
  const at = args.findLastIndex((word) => word === option || word.startsWith(`${option}=`))
  const word = args[at]
  return word === option ? args[at + 1] : word?.slice(option.length + 1)
}

const otherNames: Readonly<Record<string, string>> = {
  aarch64: "arm64",
  x86_64: "amd64",
  "x86-64": "amd64",
  i386: "386",
  i486: "386",
  i586: "386",
  i686: "386",
  armhf: "arm",
  armel: "arm"
}

/** `os[/architecture[/variant]]` or `architecture`. */
const platformParts = (platform: string) => {
  const [first = "", second] = platform.trim().toLowerCase().split("/")
  const architecture = (name: string) => otherNames[name] ?? name
  if (second !== undefined) return { os: first, architecture: architecture(second) }
  return /^(?:linux|windows|darwin|freebsd)$/.test(first) ? { os: first } : { architecture: architecture(first) }
}

/** Whether an image of the platform `found` satisfies `wanted`, which may leave parts out. */
export const isSamePlatform = (wanted: string, found: string): boolean => {
  const wantedParts = platformParts(wanted)
  const foundParts = platformParts(found)
  const differ = (one: string | undefined, other: string | undefined) =>
    one !== undefined && other !== undefined && one !== other
  return !differ(wantedParts.os, foundParts.os) && !differ(wantedParts.architecture, foundParts.architecture)
}

/** The build arguments in the form for the engine. */
export interface BuildArguments {
  /** For the command line. */
  readonly words: ReadonlyArray<string>
  /** For the engine's environment, which other users cannot see. */
  readonly env: Readonly<Record<string, string>>
  /** The names whose values other users can see on the command line. */
  readonly exposed: ReadonlyArray<string>
}

/** Variables that engines, their plugins and the programs that they start read themselves. */
const enginesOwn = new RegExp(
  `^(${[
    "PATH|HOME|USER|LOGNAME|SHELL|PWD|TMPDIR|TEMP|TMP|TERM|COLORTERM|NO_COLOR|CLICOLOR.*|LANG|LANGUAGE|LC_.*|TZ",
    "DOCKER_.*|BUILDX_.*|BUILDAH_.*|PODMAN_.*|CONTAINERS?_.*|STORAGE_.*|REGISTRY_AUTH_FILE|COMPOSE_.*",
    "BUILDKIT_(HOST|PROGRESS|COLORS|TTY_LOG_LINES|NO_CLIENT_TOKEN)|EXPERIMENTAL_BUILDKIT_.*",
    "https?_proxy|no_proxy|ftp_proxy|all_proxy|socks_proxy",
    "XDG_.*|DBUS_.*|SSH_.*|GIT_.*|GPG_.*|SSL_CERT_(FILE|DIR)|OTEL_.*|NOTIFY_SOCKET|LISTEN_.*",
    "LD_.*|DYLD_.*|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|TRACEBACK|COVERDIR)|_"
  ].join("|")})$`,
  "i"
)

/**
 * Puts the values into the environment, because everybody can read command lines. A value for a variable that the engine reads itself would change
 * the engine, so it goes on the command line, unless this process already has the same value.
 */
export const buildArguments = (
  values: Readonly<Record<string, string>>,
  inherited: Readonly<Record<string, string | undefined>> = process.env
): BuildArguments => {
  const entries = Object.entries(values)
  const [own, free] = Arr.partition(entries, ([key, value]) => !enginesOwn.test(key) || inherited[key] === value)
  const exposed = own.map(([key]) => key)
  return {
    words: entries.flatMap(([key, value]) => ["--build-arg", exposed.includes(key) ? `${key}=${value}` : key]),
    env: Object.fromEntries(free),
    exposed
  }
}

/** BuildKit refuses to draw without a terminal. */
export const plainProgress = (
  inherited: Readonly<Record<string, string | undefined>> = process.env
): Readonly<Record<string, string>> => (inherited["BUILDKIT_PROGRESS"] === "tty" ? { BUILDKIT_PROGRESS: "plain" } : {})

/** Follows the output of the builders that keep their layers as images: docker's classic one and podman's. */
export interface StageReader {
  readonly push: (chunk: Uint8Array) => void
  /**
   * The last image of each stage so far, without those that only add our label. The layer cache depends on these images. If stages are built in
   * parallel, so that an image's stage is unknown, all images.
   */
  readonly ends: () => ReadonlyArray<string>
}

/** Other builders keep their cache elsewhere, and their output shows no stages. */
export const stageReader = (label: string): StageReader => {
  const decoder = new TextDecoder()
  const stages: Array<string | undefined> = []
  const all = new Set<string>()
  let labelled = false
  let isMixed = false
  let rest = ""
  const readLine = (line: string) => {
    const step = /^(?:\[\d+\/\d+\] )?step \d+\/\d+ ?: (\w+) ?(.*)$/i.exec(line)
    if (step !== null) {
      isMixed ||= line.startsWith("[")
      const word = step[1]?.toUpperCase()
      if (word === "FROM") stages.push(undefined)
      labelled ||= word === "LABEL" && (step[2] ?? "").includes(label)
      return
    }
    const image = /^(?: -)?--> ([0-9a-f]{11,64})$/.exec(line)
    const id = image?.[1]
    if (id === undefined || labelled || stages.length === 0) return
    all.add(id)
    stages[stages.length - 1] = id
  }
  return {
    push: (chunk) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/)
      // A line without an end can be of any length; those of interest are short.
      rest = (lines.pop() ?? "").slice(-4096)
      for (const line of lines) readLine(line)
    },
    ends: () => (isMixed ? [...all] : stages.filter((image) => image !== undefined))
  }
}

/** A short name for a longer text. */
export const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12)
