/**
 * `init`: creates the workspace.
 */

import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { typed } from "../domain/Invocation.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import type { View } from "../terminal/Answer.ts"
import { bytes, counted } from "../terminal/format.ts"
import { Prompt } from "../terminal/Prompt.ts"
import * as Reporter from "../terminal/Reporter.ts"
import { editorTypes } from "../workspace/editorTypes.generated.ts"
import { projectFacts } from "../workspace/projectFacts.ts"
import { configTemplate, ignoredByDocker, ignoredByGit, withLines } from "../workspace/template.ts"
import { findRoot, Workspace, WorkspaceError, workspacePaths } from "../workspace/Workspace.ts"
import { Declined } from "./Declined.ts"
import { flag, task, yes } from "./Task.ts"

/** There is a workspace already. */
export class AlreadyInitialised extends Schema.TaggedError<AlreadyInitialised>()("AlreadyInitialised", {
  configFile: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `This project is set up already (${this.configFile}), and nothing needs to be made: go on with ${typed("validate")} or ${typed("build", { target: "T" })}. Only to discard the config and all releases, run ${typed("init", { force_init: true })}`
  }
}

/** The files that `init` created. */
export class InitReport extends Schema.TaggedClass<InitReport>()("InitReport", {
  /** The project root, absolute. */
  root: Schema.String,
  /** Absolute. */
  configFile: Schema.String,
  /** Paths created or changed, relative to the root. Folders end with `/`. */
  made: Schema.Array(Schema.String),
  /** The facts that the project's own files tell, a clause each: `mix.exs: Elixir, the name my_app`. */
  found: Schema.Array(Schema.String),
  /** The path to which `force_init` moved the old config, relative to the root. */
  kept: Schema.optional(Schema.String)
}) {}

const worded = <A, R>(effect: Effect.Effect<A, PlatformError, R>) =>
  Effect.mapError(
    effect,
    (cause) => new WorkspaceError({ operation: "make the workspace", detail: cause.message, cause })
  )

/** The number and bytes of the stored tarballs, whether the database knows them or not. */
const stored = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  if (!(yield* fs.exists(folder))) return { count: 0, size: 0 }
  const names = (yield* fs.readDirectory(folder)).filter((name) => name.endsWith(".tar.gz"))
  const sizes = yield* Effect.forEach(names, (name) => fs.stat(path.join(folder, name)))
  return { count: names.length, size: sizes.reduce((total, { size }) => total + Number(size), 0) }
})

const typesName = "deployer/config/deployer-env.d.ts"

/**
 * Writes the types of a config for editors, unless the project has installed the real ones. An existing config need not name them, so only a file that
 * is there is renewed beside it. Returns whether it was written.
 */
const writeTypes = Effect.fnUntraced(function* (root: string, { isNew }: { readonly isNew: boolean }) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(root, typesName)
  const there = yield* fs.exists(file)
  if (isNew ? yield* fs.exists(path.join(root, "node_modules/effect-deployer")) : !there) return false
  if (there && (yield* fs.readFileString(file)) === editorTypes) return false
  yield* fs.writeFileString(file, editorTypes)
  return true
})

/** Files of elixir_deployer. */
const predecessors = ["deployer_config.ex", "deployer_dets"]

/**
 * Creates `deployer/` in the workspace's home. Refuses if there is a config. `forceInit` starts from scratch: it asks before releases are
 * lost, and keeps the old config beside the new one. The config is written last, so the next `init` completes an interrupted one.
 */
export const init = Effect.fn("init")(function* (options: { readonly forceInit?: boolean } = {}) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* (yield* Workspace).home
  const paths = workspacePaths(root)
  const made: Array<string> = []
  const shown = (file: string) => path.relative(root, file)

  const initialised = yield* worded(fs.exists(paths.configFile))
  if (initialised && options.forceInit !== true && (yield* worded(writeTypes(root, { isNew: false })))) {
    yield* Reporter.note(`Wrote ${typesName} for this version of deployer`)
  }
  if (initialised && options.forceInit !== true) return yield* new AlreadyInitialised({ configFile: paths.configFile })
  if (!(yield* worded(fs.exists(root)))) {
    return yield* new WorkspaceError({ operation: "make the workspace", detail: `there is no folder ${root}` })
  }
  const above = findRoot(path.dirname(root))
  if (above !== undefined) {
    yield* Reporter.warn(`${above} has a workspace too: commands that run in ${root} will use the new one`)
  }

  let kept: string | undefined
  if (options.forceInit === true) {
    const { count, size } = yield* worded(stored(paths.releaseStore))
    if (count > 0) {
      const agreed = yield* (yield* Prompt).confirm({
        message: `This removes ${counted(count, "stored release")} (${bytes(size)}) from ${paths.releaseStore}. Start from scratch?`,
        initial: false,
        safe: true,
        hint: "answer it with yes on the command line"
      })
      if (!agreed) return yield* new Declined({ consequence: "the workspace and its releases are unchanged" })
    }
    if (initialised) {
      kept = `${paths.configFile}.old`
      yield* worded(fs.rename(paths.configFile, kept))
    }
    const database = [paths.database, `${paths.database}-wal`, `${paths.database}-shm`]
    yield* worded(
      Effect.forEach([paths.releaseStore, paths.temp, ...database], (each) =>
        fs.remove(each, { recursive: true, force: true })
      )
    )
  }

  const facts = yield* projectFacts(root)
  const old = yield* worded(
    Effect.filter(
      ["", "deployer", "config"].flatMap((folder) => predecessors.map((name) => path.join(folder, name))),
      (file) => fs.exists(path.join(root, file))
    )
  )

  const folder = (each: string, mode: number) =>
    Effect.gen(function* () {
      if (yield* fs.exists(each)) return
      yield* fs.makeDirectory(each, { recursive: true, mode })
      made.push(`${shown(each)}/`)
    })
  const ignoring = (file: string, lines: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const text = (yield* fs.exists(file)) ? yield* fs.readFileString(file) : ""
      const changed = withLines(text, lines)
      if (changed === undefined) return
      yield* fs.writeFileString(file, changed)
      made.push(shown(file))
    })
  const configFile = path.join(path.dirname(paths.configFile), "deployer_config.ts")
  yield* worded(folder(path.dirname(configFile), 0o777))
  // A release may hold an environment file with secrets.
  yield* worded(Effect.forEach([paths.releaseStore, paths.temp], (each) => folder(each, 0o700)))
  const hadDatabase = yield* worded(fs.exists(paths.database))
  yield* ReleaseStore.initialise(paths)
  if (!hadDatabase) made.push(shown(paths.database))
  yield* worded(
    Effect.gen(function* () {
      yield* ignoring(path.join(root, "deployer", ".gitignore"), ignoredByGit)
      yield* ignoring(path.join(root, ".dockerignore"), ignoredByDocker)
      if (yield* writeTypes(root, { isNew: true })) made.push(typesName)
      const unfinished = `${configFile}.new`
      yield* fs.writeFileString(unfinished, configTemplate(facts, yield* fs.exists(path.join(root, typesName))))
      yield* fs.rename(unfinished, configFile)
      made.push(shown(configFile))
    })
  )
  return InitReport.make({
    root,
    configFile,
    made,
    found: [
      ...facts.found,
      ...old.map(
        (file) =>
          `${file}: of elixir_deployer; copy its settings into the new config, and let ${typed("manage adopt", { target: "prod" })} take over what runs on the host`
      )
    ],
    ...(kept === undefined ? {} : { kept: shown(kept) })
  })
})

/** The failures of `init`. */
export type InitError = Effect.Effect.Error<ReturnType<typeof init>>
/** The services that `init` needs. */
export type InitServices = Effect.Effect.Context<ReturnType<typeof init>>

/** The files that `init` created. */
export const initView =
  (report: InitReport): View =>
  () =>
    [
      ...report.found.map((clause) => `found ${clause}`),
      ...report.made.map((path) => `made ${path}`),
      ...(report.kept === undefined ? [] : [`kept the former config as ${report.kept}`]),
      `Now fill in host, user and path in ${report.configFile}, then: deployer build target=prod`,
      "Commit deployer/ and .dockerignore: deployer/.gitignore leaves out the files of this machine"
    ].join("\n")

/** The command. */
export const initTask = task("init", {
  group: "build and deploy",
  description: "Creates deployer/ with a config to fill in and a store.",
  examples: ["deployer init", "deployer init force_init"],
  options: {
    forceInit: flag({
      name: "force-init",
      description: "starts from scratch if deployer/ exists; asks first if there are releases to lose"
    }),
    yes
  },
  report: { schema: InitReport, view: initView },
  run: ({ forceInit }) => init({ forceInit })
})
