/**
 * Container engines that a script imitates, for builds that need no real one.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type DockerBuild, DockerBuilder } from "../../src/build/DockerBuilder.ts"
import { type Event, Reporter } from "../../src/terminal/Reporter.ts"

/** An engine, and a project with a Dockerfile. Removed with the scope. */
export interface ScriptedEngine {
  readonly folder: string
  readonly build: DockerBuild
  /** The command lines so far, a line each, words in brackets. */
  readonly calls: () => ReadonlyArray<string>
  /** Warnings so far. */
  readonly warnings: () => ReadonlyArray<string>
  /** The output that was shown so far. */
  readonly output: () => string
  /** Runs with a builder that has this engine. */
  readonly use: <A, E>(effect: Effect.Effect<A, E, DockerBuilder | Scope.Scope>) => Effect.Effect<A, E>
}

/**
 * `lines` are those of a POSIX shell script, run with `$folder`, `$idfile` (of a build) and the engine's words. Without a word of theirs a
 * build succeeds with the image `sha256:0…`, of which `cp` hands out the release in `$folder/rel`.
 */
export const scriptedEngine = (lines = ""): Effect.Effect<ScriptedEngine, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "deployer-engine-")))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const engine = path.join(folder, "engine")
      fs.writeFileSync(
        engine,
        `#!/bin/sh
folder='${folder}'
{ for word do printf '[%s]' "$word"; done; echo; } >> "$folder/calls"
idfile=; before=
for word do [ "$before" = --iidfile ] && idfile=$word; before=$word; done
${lines}
case "$1" in
  --version) echo "Docker version 28.5.2, build ecc6942" ;;
  build) printf 'sha256:%064d' 0 > "$idfile" ;;
  cp) case "$2" in */my_app/.|*/my_app) echo "no such directory" >&2; exit 1 ;; *) tar -C "$folder/rel" -cf - . ;; esac ;;
  image) [ "$4" = "{{.Os}}/{{.Architecture}}" ] && echo linux/amd64 ;;
esac
exit 0
`,
        { mode: 0o755 }
      )
      fs.mkdirSync(path.join(folder, "rel"))
      fs.writeFileSync(path.join(folder, "rel/file"), "content\n")
      fs.writeFileSync(path.join(folder, "Dockerfile"), "FROM scratch\n")
      const warnings: Array<string> = []
      let output = ""
      const emit = (event: Event) =>
        Effect.sync(() => {
          if (event._tag === "Warning") warnings.push(event.message)
          if (event._tag === "Output") output += new TextDecoder().decode(event.chunk)
        })
      const calls = path.join(folder, "calls")
      return {
        folder,
        build: {
          name: "my_app",
          timestamp: 1_600_000_000,
          context: folder,
          dockerfile: path.join(folder, "Dockerfile"),
          args: [],
          buildArgs: {},
          releasePath: "/rel",
          engine,
          temp: folder
        },
        calls: () => (fs.existsSync(calls) ? fs.readFileSync(calls, "utf8").trimEnd().split("\n") : []),
        warnings: () => warnings,
        output: () => output,
        use: (effect) =>
          effect.pipe(
            Effect.scoped,
            Effect.provideService(Reporter, { emit }),
            Effect.provide(Layer.provide(DockerBuilder.layer, NodeContext.layer))
          )
      }
    }
  )
