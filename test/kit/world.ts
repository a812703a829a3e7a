/**
 * A world in memory for the real command line: the very command tree of `src/Cli.ts`, over stores, engines and hosts that
 * a test can look into and change.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { docker } from "../../src/build/Artifact.ts"
import { DockerBuilder, type MemoryImage } from "../../src/build/DockerBuilder.ts"
import type { MemoryFile } from "../../src/build/MemoryFile.ts"
import * as MemoryHost from "../../src/host/MemoryHost.ts"
import { Operator } from "../../src/host/Operator.ts"
import * as Main from "../../src/process/main.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { Prompt, Script } from "../../src/terminal/Prompt.ts"
import { Reporter } from "../../src/terminal/Reporter.ts"
import { tree } from "../../src/tree.ts"
import type { ConfigInput } from "../../src/workspace/Config.ts"
import { Workspace, workspacePaths } from "../../src/workspace/Workspace.ts"
import { unsigned, untimed } from "./words.ts"

/** The outcome of a command, as its caller sees it. */
export interface Ran {
  readonly status: number
  /** Results. */
  /** Without the signs of verdicts. */
  readonly stdout: string
  /** With them. */
  readonly signed: string
  /** Progress, warnings, and the sentence for a failure. */
  readonly stderr: string
  /** The questions, in order. */
  readonly asked: ReadonlyArray<string>
  /** The values that the Tab key offers at each line of the manager, in order. */
  readonly completions: ReadonlyArray<(typed: string) => ReadonlyArray<string>>
}

/** The folder of the target `prod` of `usualConfig` on its host. */
export const prodPath = "/srv/my_app"

/** The host of the target `prod` of `usualConfig`. */
export const prodHost = "host.test"

/** One target, one builder. */
export const usualConfig: ConfigInput = {
  targets: { prod: { host: prodHost, user: "deploy", name: "my_app", path: prodPath, tags: ["prod"] } },
  builders: { prod: docker({ dockerfile: "Dockerfile" }) }
}

/** A release as the usual Dockerfile leaves it. `version` makes one differ from another. */
export const usualImage = (version = "1"): { readonly files: Readonly<Record<string, MemoryFile>> } => ({
  files: {
    "/app/_build/prod/rel/my_app/bin/my_app": { content: "#!/bin/sh\n", mode: 0o755 },
    "/app/_build/prod/rel/my_app/version": `${version}\n`
  }
})

/** How a world differs from the usual one. */
export interface WorldOptions {
  readonly config?: ConfigInput
  /** Asked at each build. */
  readonly image?: () => MemoryImage | undefined
  /** A folder for the workspace and the store, which are in memory otherwise. */
  readonly root?: string
}

/** Everything but the prompt, which is new for each command. */
export const world = ({ config = usualConfig, root, ...options }: WorldOptions = {}) => {
  let built = 0
  const image = options.image ?? (() => usualImage(String(++built)))
  const workspace = Workspace.layerMemory(config, root === undefined ? undefined : workspacePaths(root))
  return Layer.mergeAll(
    workspace,
    root === undefined ? ReleaseStore.layerMemory : Layer.provide(ReleaseStore.layer, workspace),
    DockerBuilder.layerMemory(image),
    MemoryHost.layer,
    Layer.succeed(Operator, { name: "tester@laptop" })
  ).pipe(Layer.provideMerge(NodeContext.layer))
}

/** Runs a command line, `"deploy target=prod yes"`, with the answers of the user to its questions. */
export const run = (line: string | ReadonlyArray<string>, ...answers: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const argv = typeof line === "string" ? line.split(" ").filter((word) => word !== "") : line
    const out: Array<string> = []
    const err: Array<string> = []
    const script = yield* Layer.build(Prompt.layerScripted(answers))
    const completions: Array<(typed: string) => ReadonlyArray<string>> = []
    const scripted = Context.get(script, Prompt)
    const prompt = Prompt.of({
      ...scripted,
      line: (line) =>
        Effect.zipRight(
          Effect.sync(() => completions.push(line.complete)),
          scripted.line(line)
        )
    })
    const base = yield* Console.consoleWith(Effect.succeed)
    const captured: Console.Console = {
      ...base,
      log: (...words) => Effect.sync(() => void out.push(`${words.join(" ")}\n`)),
      error: (...words) => Effect.sync(() => void err.push(`${words.join(" ")}\n`))
    }
    const reporter = Reporter.to({
      write: (text) => void err.push(typeof text === "string" ? text : new TextDecoder().decode(text)),
      writeResult: (chunk) => void out.push(new TextDecoder().decode(chunk)),
      isTTY: false,
      color: false,
      columns: () => 80
    })
    const exit = yield* Main.run(tree, { version: "0.0.0", color: false })(argv).pipe(
      Effect.withConsole(captured),
      Effect.provide(reporter),
      Effect.provideService(Prompt, prompt),
      Effect.exit
    )
    if (Exit.isFailure(exit) && Cause.isDie(exit.cause)) return yield* Effect.failCause(exit.cause)
    if (Exit.isFailure(exit)) err.push(...Main.report(exit.cause).map((sentence) => `${sentence}\n`))
    const asked = yield* Effect.flatMap(Script, ({ asked }) => asked).pipe(Effect.provide(script))
    return {
      status: Main.exitStatus(exit),
      stdout: unsigned(out.join("")),
      signed: out.join(""),
      stderr: untimed(err.join("")),
      asked,
      completions
    } satisfies Ran
  }).pipe(Effect.scoped)

/** A folder of the test's own with `deployer/config/` in it, removed with the scope. */
export const projectFolder = Effect.acquireRelease(
  Effect.sync(() => {
    const root = mkdtempSync(join(tmpdir(), "deployer-world-"))
    mkdirSync(join(root, "deployer", "config"), { recursive: true })
    return root
  }),
  (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

/** All releases of the store, oldest first. */
export const stored = Effect.flatMap(ReleaseStore, (store) => Effect.map(store.list(), (all) => all.toReversed()))

/** Builds a release and returns it. */
export const built = Effect.gen(function* () {
  const ran = yield* run("build target=prod")
  assert.strictEqual(ran.status, 0, ran.stderr)
  return (yield* stored).at(-1)!
})

/** The host of a target in memory. */
export const hostNamed = (name: string = prodHost) => Effect.map(MemoryHost.MemoryHosts, (hosts) => hosts.host(name))

/** The ref that `current` leads to. */
export const currentRef = (host: MemoryHost.MemoryHost, path = prodPath): string | undefined => {
  const link = host.files.node(`${path}/releases/current`)
  return link?._tag === "Link" ? link.to.replace("deployer_", "") : undefined
}
