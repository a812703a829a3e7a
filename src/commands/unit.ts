/**
 * `unit`: prints a systemd unit for a target's application, and installs nothing.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { typed } from "../domain/Invocation.ts"
import { localHost, type Target } from "../domain/Target.ts"
import { ReleaseStore } from "../store/ReleaseStore.ts"
import { UsageError } from "../UsageError.ts"
import { findTarget } from "../workspace/Config.ts"
import { daemonCommand, shellLine } from "../workspace/daemon.ts"
import { Workspace } from "../workspace/Workspace.ts"
import { flag, optional, target, task, value } from "./Task.ts"

/** The target names no program for a unit: its `start` starts a service, or it has none, and its release is not an Elixir release. */
export class UnitCommandMissing extends Schema.TaggedError<UnitCommandMissing>()("UnitCommandMissing", {
  /** The target's key. */
  target: Schema.String,
  start: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const found =
      this.start === undefined
        ? `"${this.target}" has no start command, and its release has no program of its name in bin/`
        : `The start command of "${this.target}" (${this.start}) starts a service`
    return `${found}: name the program that the unit runs, as in ${typed("unit", { target: this.target, command: "node server.js" })}`
  }
}

/** A systemd unit. */
export class UnitReport extends Schema.TaggedClass<UnitReport>()("UnitReport", {
  /** The target's key. */
  target: Schema.String,
  /** `user`: a unit of the login's own, without root. */
  kind: Schema.Literal("system", "user"),
  /** The file on the host, with `~` for a user unit. */
  file: Schema.String,
  /** The text of the unit, with the steps of its installation as comments. */
  text: Schema.String
}) {}

/** The text of a command in a unit: systemd replaces `%` and `$`. */
const inUnit = (command: string): string =>
  `"${command.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%").replaceAll("$", "$$$$")}"`

/** A line break would end the setting, or the comment, in which the command stands. */
const oneLine = (command: string) =>
  /\p{Cc}/u.test(command)
    ? new UsageError({
        message:
          "The command of a unit must be one line without control characters: put a list of commands into a script"
      })
    : Effect.void

/** The target's folder as systemd takes it. */
const baseOf = ({ path, user }: Target, isUser: boolean): string => {
  const escaped = path.replaceAll("%", "%%").replace(/(?<=.)\/+$/, "")
  if (escaped.startsWith("/")) return escaped
  return `${isUser ? "%h" : user === undefined || user === "root" ? "/root" : `/home/${user}`}/${escaped.replace(/^(~|\.)\//, "")}`
}

/** The files of the newest release. Undefined if nothing was built yet. */
const filesOf = Effect.fnUntraced(function* (target: Target) {
  const store = yield* ReleaseStore
  const newest = yield* store.newest(target.name, () => true)
  if (Option.isNone(newest)) return undefined
  return (yield* store.manifest(newest.value)).flatMap(({ _tag, path }) => (_tag === "File" ? [path] : []))
})

/** Whether it is a file that `env_file_name` put beside the release. */
const isEnvironment = (path: string): boolean => /^[^/]*env[^/]*$/i.test(path)

const steps = (name: string, user: string, isUser: boolean): ReadonlyArray<string> => {
  const systemctl = isUser ? "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user" : "sudo systemctl"
  const settings = ["start", "stop", "restart"].map((verb) => `     ${verb}: "${systemctl} ${verb} ${name}",`)
  const verbs = ["start", "stop", "restart"].map((verb) => `/usr/bin/systemctl ${verb} ${name}`)
  return isUser
    ? [
        `1. On the host, as ${user}, write this to ~/.config/systemd/user/${name}.service.`,
        `2. systemctl --user daemon-reload && systemctl --user enable ${name}`,
        "3. So that it runs without a login, and after a reboot, once as root:",
        `     loginctl enable-linger ${user}`,
        "4. In the target of deployer_config.ts:",
        ...settings
      ]
    : [
        `1. On the host, as root, write this to /etc/systemd/system/${name}.service.`,
        `2. systemctl daemon-reload && systemctl enable ${name}`,
        ...(user === "root"
          ? []
          : [
              `3. So that ${user} may restart it, in a file made with visudo -f /etc/sudoers.d/${name.replaceAll(".", "_")}:`,
              `     ${user} ALL=(root) NOPASSWD: ${verbs.join(", ")}`
            ]),
        `${user === "root" ? 3 : 4}. In the target of deployer_config.ts:`,
        ...(user === "root" ? settings.map((line) => line.replace("sudo ", "")) : settings)
      ]
}

/** Makes a unit for the application of a target. Contacts no host. */
export const unit = Effect.fn("unit")(function* (options: {
  readonly target: string
  /** Whether it is a unit of the login's own. Default: one of the system. */
  readonly user?: boolean | undefined
  /** The program in the foreground. Default: the target's `start`, or `bin/<name> start` of an Elixir release. */
  readonly command?: string | undefined
}) {
  const target = yield* findTarget(yield* (yield* Workspace).config, options.target)
  const { name, start } = target
  const isUser = options.user === true
  const files = yield* filesOf(target)
  const hasProgram = files === undefined || files.includes(`${name}/bin/${name}`)
  if (options.command === undefined && start === undefined && !hasProgram) {
    return yield* new UnitCommandMissing({ target: target.key })
  }
  const command = options.command ?? (start === undefined ? `bin/${name} start` : (daemonCommand(start) ?? start))
  yield* oneLine(command)
  if (options.command === undefined && /\b(systemctl|service|rc-service|sv|s6-svc|supervisorctl)\b/.test(command)) {
    return yield* new UnitCommandMissing({ target: target.key, start: command })
  }
  const isGuessed = target.user === undefined || (!isUser && !target.path.startsWith("/"))
  const user = target.user ?? (target.host === localHost ? "root" : "deploy")
  const current = `${baseOf(target, isUser)}/releases/current`
  const environment = files?.filter(isEnvironment) ?? []
  const text = [
    `# The application ${name} of target ${target.key}, printed by: ${typed("unit", { target: target.key, user: isUser, command: options.command })}`,
    ...(isGuessed
      ? ["# The config names no user or no absolute path: check the login and the folders below, which are a guess."]
      : []),
    ...steps(name, user, isUser).map((line) => `# ${line}`),
    "",
    "[Unit]",
    `Description=${name.replaceAll("%", "%%")}`,
    ...(isUser ? [] : ["After=network-online.target", "Wants=network-online.target"]),
    // A rollback restarts it twice within seconds.
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    ...(isUser || user === "root" ? [] : [`User=${user}`]),
    `WorkingDirectory=${current}/${name}`,
    ...environment.map((file) => `EnvironmentFile=${current}/${file.replaceAll("%", "%%")}`),
    `ExecStart=/bin/sh -c ${inUnit(shellLine(command))}`,
    "Restart=always",
    "RestartSec=1",
    "",
    "[Install]",
    `WantedBy=${isUser ? "default.target" : "multi-user.target"}`
  ].join("\n")
  return UnitReport.make({
    target: target.key,
    kind: isUser ? "user" : "system",
    file: isUser ? `~/.config/systemd/user/${name}.service` : `/etc/systemd/system/${name}.service`,
    text
  })
})

/** The failures of `unit`. */
export type UnitError = Effect.Effect.Error<ReturnType<typeof unit>>
/** The services that `unit` needs. */
export type UnitServices = Effect.Effect.Context<ReturnType<typeof unit>>

/** The command. */
export const unitTask = task("unit", {
  group: "operate",
  description: "Prints a systemd unit for the application.",
  examples: ["deployer unit target=prod", 'deployer unit target=prod user command="node server.js"'],
  options: {
    target,
    user: flag({ name: "user", description: "a unit of the login's own systemd, which needs no root" }),
    command: optional(
      value({
        name: "command",
        placeholder: "COMMAND",
        description: "the program in the foreground; default: the target's start command"
      })
    )
  },
  report: {
    schema: UnitReport,
    view:
      ({ text }) =>
      () =>
        text
  },
  run: unit
})
