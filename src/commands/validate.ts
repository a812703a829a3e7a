/** `validate`: whether the config can be used, without contacting anything. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Builder } from "../build/Builder.ts"
import { healthLabel } from "../deployment/health.ts"
import {
  actionCommand,
  address,
  deadManSeconds,
  Hook,
  hookCommands,
  shownCommand,
  type Target
} from "../domain/Target.ts"
import * as files from "../internal/files.ts"
import { homeFolder } from "../internal/homeFolder.ts"
import { variable } from "../internal/process.ts"
import { counted } from "../terminal/format.ts"
import { fields } from "../terminal/Table.ts"
import { type DeployerConfig, findBuilder, findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { optional, task, value } from "./Task.ts"

/** A target as the program reads it from the config. */
export class ValidTarget extends Schema.Class<ValidTarget>("ValidTarget")({
  key: Schema.String,
  /** `user@host:port`. */
  address: Schema.String,
  path: Schema.String,
  /** The name of the target's releases. */
  name: Schema.String,
  /** The key of its builder. */
  builder: Schema.String,
  /** The settings of its builder by name, of `docker` and `command`. */
  build: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** Its private key file, absolute. If undefined, the keys of the agent, of ssh_config and of `~/.ssh` are used. */
  sshKey: Schema.optional(Schema.String),
  /** The variable that holds its private key. */
  sshKeyVariable: Schema.optional(Schema.String),
  /** Added to each release built for it. */
  tags: Schema.Array(Schema.String),
  /** The commands that start and stop the application. */
  start: Schema.String,
  stop: Schema.String,
  /** The commands of each hook that is set. */
  hooks: Schema.Record({ key: Hook, value: Schema.Array(Schema.String) }).pipe(Schema.partial),
  /** The health check, in words. */
  health: Schema.optional(Schema.String),
  /** Seconds after which the host goes back by itself. */
  deadMan: Schema.optional(Schema.Positive),
  /** How many releases stay on the host. */
  keep: Schema.optional(Schema.Int),
  /** Missing requirements, one sentence each. */
  faults: Schema.Array(Schema.String)
}) {}

/** The config as the program reads it. */
export class ValidateReport extends Schema.TaggedClass<ValidateReport>()("ValidateReport", {
  /** Absolute. */
  configFile: Schema.String,
  targets: Schema.Array(ValidTarget)
}) {}

/** A requirement of a target is missing. */
export class ConfigUnusable extends Schema.TaggedError<ConfigUnusable>()("ConfigUnusable", {
  configFile: Schema.String,
  /** One sentence each. */
  faults: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `${this.configFile} cannot be used: ${this.faults.join("; ")}`
  }
}

const hooks: ReadonlyArray<typeof Hook.Type> = Hook.literals

const shownBuilder = ({ postBuild = [], preBuild = [], settings = {} }: Builder): Readonly<Record<string, string>> => ({
  ...settings,
  ...(preBuild.length === 0 ? {} : { preBuild: counted(preBuild.length, "function") }),
  ...(postBuild.length === 0 ? {} : { postBuild: counted(postBuild.length, "function") })
})

const understood = Effect.fnUntraced(function* (config: DeployerConfig, target: Target, root: string) {
  const builder = findBuilder(config, target)
  const key = target.sshKey
  const sshKey =
    key === undefined || key.startsWith("/")
      ? key
      : key.startsWith("~/")
        ? `${homeFolder()}${key.slice(1)}`
        : `${root}/${key}`
  const lacksKey = sshKey !== undefined && Option.isNone(yield* Effect.orElseSucceed(files.sizeOf(sshKey), Option.none))
  const { sshKeyVariable } = target
  const lacksVariable = sshKeyVariable !== undefined && ((yield* variable(sshKeyVariable)) ?? "") === ""
  const deadMan = deadManSeconds(target)
  const commands = Object.fromEntries(
    hooks.flatMap((hook) => {
      const all = hookCommands(target, hook)
      return all.length === 0 ? [] : [[hook, all]]
    })
  )
  return ValidTarget.make({
    key: target.key,
    address: address(target),
    path: target.path,
    name: target.name,
    builder: target.builder ?? target.key,
    build: Either.match(builder, { onLeft: () => ({}), onRight: shownBuilder }),
    tags: target.tags,
    start: actionCommand(target, "start"),
    stop: actionCommand(target, "stop"),
    ...(sshKey === undefined ? {} : { sshKey }),
    ...(sshKeyVariable === undefined ? {} : { sshKeyVariable }),
    hooks: commands,
    ...(target.health === undefined ? {} : { health: healthLabel(target.health) }),
    ...(deadMan === undefined ? {} : { deadMan }),
    ...(target.keep === undefined ? {} : { keep: target.keep }),
    faults: [
      ...Either.match(builder, { onLeft: ({ message }) => [message], onRight: () => [] }),
      ...(lacksKey ? [`Target "${target.key}" needs the key ${sshKey}, which does not exist`] : []),
      ...(lacksVariable
        ? [
            `Target "${target.key}" needs its private key in the variable ${sshKeyVariable}, which is not set or is empty`
          ]
        : [])
    ]
  })
})

/** Reads the config and checks that builders and key files exist: for one target, or for all. Contacts nothing. */
export const validate = Effect.fn("validate")(function* (options: { readonly target?: string | undefined } = {}) {
  const workspace = yield* Workspace
  const config = yield* workspace.config
  const { configFile, root } = yield* workspace.paths
  const keys = options.target === undefined ? Object.keys(config.targets) : [options.target]
  const targets = yield* Effect.forEach(keys, (key) =>
    Effect.flatMap(findTarget(config, key), (target) => understood(config, target, root))
  )
  return ValidateReport.make({ configFile, targets })
})

/** The failures of `validate`. */
export type ValidateError = Effect.Effect.Error<ReturnType<typeof validate>>
/** The services that `validate` needs. */
export type ValidateServices = Effect.Effect.Context<ReturnType<typeof validate>>

const orDefault = (command: string, usual: string): string =>
  command === usual ? `${command} (the default)` : shownCommand(command)

const targetView = ({
  address,
  build,
  builder,
  deadMan,
  health,
  hooks,
  keep,
  key,
  name,
  path,
  sshKey,
  sshKeyVariable,
  start,
  stop,
  tags
}: ValidTarget): string =>
  fields([
    ["target", key],
    ["host", `${address}:${path}`],
    ["name", name],
    ["tags", tags.length === 0 ? undefined : tags.join(", ")],
    ["builder", builder],
    ...Object.entries(build).map(([name, value]): readonly [string, string] => [`  ${name}`, value]),
    ["key", sshKeyVariable === undefined ? sshKey : `in the variable ${sshKeyVariable}`],
    ["afterUnpack", hooks.afterUnpack?.map(shownCommand).join("; ")],
    ["afterSwitch", hooks.afterSwitch?.map(shownCommand).join("; ")],
    ["start", orDefault(start, `bin/${name} daemon`)],
    ["stop", orDefault(stop, `bin/${name} stop`)],
    ["restart", hooks.restart?.map(shownCommand).join("; ") ?? "not set: deployments restart nothing"],
    ["health", health ?? "not checked"],
    ["deadMan", deadMan === undefined ? undefined : `${deadMan} s`],
    ["keep", keep === undefined ? "all releases" : counted(keep, "healthy release")]
  ])

/** The command. */
export const validateTask = task("validate", {
  group: "look",
  description: "Checks the config and shows how deployer reads it. Contacts no host.",
  examples: ["deployer validate", "deployer validate target=prod"],
  options: {
    target: optional(
      value({
        name: "target",
        placeholder: "T",
        completes: "target",
        description: "a key of `targets`; default: all of them"
      })
    )
  },
  report: {
    schema: ValidateReport,
    view:
      ({ configFile, targets }) =>
      () =>
        targets.length === 0 ? `${configFile} has no targets` : [configFile, ...targets.map(targetView)].join("\n\n")
  },
  run: validate,
  check: ({ configFile, targets }) => {
    const faults = targets.flatMap(({ faults }) => faults)
    return faults.length === 0 ? Effect.void : new ConfigUnusable({ configFile, faults })
  }
})
