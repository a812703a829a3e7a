/**
 * The command tree. It holds no layers: tests run this very value over their own.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { dataOption, UsageError } from "./Argv.ts"
import { runAction, ssh } from "./commands/actions.ts"
import { apply, loadPlan, savePlan } from "./commands/apply.ts"
import { build } from "./commands/build.ts"
import { buildAndDeploy } from "./commands/buildAndDeploy.ts"
import { deploy, planDeploy } from "./commands/deploy.ts"
import { doctor, insistOnHealth } from "./commands/doctor.ts"
import { history } from "./commands/history.ts"
import { init } from "./commands/init.ts"
import { LockWait, lock, unlock } from "./commands/locking.ts"
import { insistOnIntegrity } from "./commands/manage/host.ts"
import * as manage from "./commands/manage.ts"
import { insistOnRepair, repair, repairPlan } from "./commands/repair.ts"
import { jsonSchema, reports } from "./commands/reports.ts"
import { planRollback, rollback } from "./commands/rollback.ts"
import { insistOnStatus, status } from "./commands/status.ts"
import type { SavedPlan } from "./domain/SavedPlan.ts"
import type { actions } from "./domain/Target.ts"
import { answer, conversation, type Kind } from "./terminal/Answer.ts"
import { Prompt } from "./terminal/Prompt.ts"

// Options that several commands share

const target = Options.text("target").pipe(
  Options.withPseudoName("T"),
  Options.withDescription("a key of `targets` in deployer/config/deployer_config.ts")
)

const optionalTarget = Options.text("target").pipe(
  Options.withPseudoName("T"),
  Options.withDescription("the host of this target; without it: the local store"),
  Options.optional
)

const yes = Options.boolean("yes").pipe(Options.withDescription("answers the safe questions, for scripts"))

const envFileName = Options.text("env-file-name").pipe(
  Options.withPseudoName("FILE"),
  Options.withDescription("a file to put at the root of the tarball, beside the release"),
  Options.optional
)

const release = Options.text("release").pipe(
  Options.withPseudoName("R"),
  Options.withDescription("an id, a name or a ref (four digits of it are enough where they are unique)"),
  Options.optional
)

/** `yes` on the command line is another way to be asked, not a branch in every command. */
const answering = <Name extends string, R, E, A extends { readonly yes: boolean }>(
  self: Command.Command<Name, R, E, A>
) => Command.provide(self, ({ yes }) => (yes ? Prompt.yes : Layer.effect(Prompt, Prompt)))

const unit: ReadonlyMap<string, string> = new Map([
  ["s", "seconds"],
  ["m", "minutes"],
  ["h", "hours"]
])

/** `90s`, `5m`, `1h`, or as Effect writes durations: `5 minutes`. */
const readDuration = (text: string) => {
  const [, count, short = ""] = /^([0-9]+) *([smh])$/.exec(text) ?? []
  return Option.match(Duration.decodeUnknown(count === undefined ? text : `${count} ${unit.get(short)}`), {
    onNone: () =>
      Effect.fail(ValidationError.invalidValue(HelpDoc.p(`"wait" takes a time such as 90s, 5m or 1h, not "${text}"`))),
    onSome: Effect.succeed
  })
}

const wait = Options.text("wait").pipe(
  // Long enough for any deployment, and yet nothing waits for ever.
  Options.withPseudoName("[TIME=1h]"),
  Options.withDescription(
    "how long to wait while somebody else has the target's lock, such as 5m; otherwise 5 seconds, and not at all where it is kept on purpose"
  ),
  Options.mapEffect(readDuration),
  Options.optional
)

/** How long a command waits for a lock is its surroundings' business. */
const waiting = <Name extends string, R, E, A extends { readonly wait: Option.Option<Duration.Duration> }>(
  self: Command.Command<Name, R, E, A>
) =>
  Command.provide(self, ({ wait }) =>
    Option.match(wait, {
      onNone: () => Layer.empty,
      onSome: (time) => Layer.succeed(LockWait, { taken: time, held: time })
    })
  )

const planning = {
  plan: Options.boolean("plan").pipe(Options.withDescription("shows what would be done, and does nothing")),
  save: Options.text("save").pipe(
    Options.withPseudoName("FILE"),
    Options.withDescription("with plan: a file for it, with which deployer apply does just that later"),
    Options.optional
  )
}

interface Planning {
  readonly plan: boolean
  readonly save: Option.Option<string>
}

/** Does what a command is for, or shows the plan for it and saves that where it was asked to. */
const planned = <A, I, E, R, E2, R2>(
  { plan, save }: Planning,
  kind: Kind<A | SavedPlan, I>,
  ways: { readonly plan: Effect.Effect<SavedPlan, E, R>; readonly run: Effect.Effect<A, E2, R2> }
) =>
  Effect.gen(function* () {
    if (!plan && Option.isSome(save)) {
      return yield* new UsageError({ message: `"save" goes with "plan": plan save=${save.value}` })
    }
    if (!plan) return yield* answer(kind)(yield* ways.run)
    const made = yield* ways.plan
    yield* answer(kind)(made)
    if (Option.isSome(save)) yield* savePlan(made, save.value)
  })

// The tasks

const initTask = Command.make(
  "init",
  {
    forceInit: Options.boolean("force-init").pipe(
      Options.withDescription("starts from scratch where deployer/ exists; asks first when there are releases to lose")
    ),
    yes
  },
  ({ forceInit }) => Effect.flatMap(init({ forceInit }), answer(reports.init))
).pipe(
  answering,
  Command.withDescription("Makes deployer/ with a config to fill in, the release store and its database.")
)

const buildTask = Command.make("build", { target, envFileName }, ({ envFileName, target }) =>
  Effect.flatMap(build({ target, envFileName: Option.getOrUndefined(envFileName) }), answer(reports.build))
).pipe(
  Command.withDescription(
    "Builds a release, packs it and files it in the release store. Example: deployer build target=prod"
  )
)

const deployTask = Command.make(
  "deploy",
  {
    target,
    release,
    ...planning,
    retry: Options.boolean("retry").pipe(
      Options.withDescription(
        "deploys a release that failed on this host before without asking, and proves one that is there again, to send it anew if it is damaged"
      )
    ),
    wait,
    yes
  },
  ({ release, retry, target, ...planning }) => {
    const options = { target, release: Option.getOrUndefined(release), retry }
    return planned(planning, reports.deploy, { plan: planDeploy(options), run: deploy(options) })
  }
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Puts a stored release on the target's host and switches to it. Example: deployer deploy target=prod release=3"
  )
)

const buildAndDeployTask = Command.make(
  "build_and_deploy",
  { target, envFileName, wait, yes },
  ({ envFileName, target }) =>
    Effect.flatMap(
      // The first answer stands where there is no second one: the release is in the store.
      buildAndDeploy({ target, envFileName: Option.getOrUndefined(envFileName) }, answer(reports.build_and_deploy)),
      answer(reports.build_and_deploy)
    )
).pipe(
  answering,
  waiting,
  Command.withDescription("Builds a release and deploys just that. Example: deployer build_and_deploy target=prod")
)

const doctorTask = Command.make("doctor", { target, release }, ({ release, target }) =>
  Effect.flatMap(doctor({ target, release: Option.getOrUndefined(release) }), (report) =>
    Effect.zipRight(answer(reports.doctor)(report), insistOnHealth(report))
  )
).pipe(
  Command.withDescription(
    "Looks whether the target's host can take a release, with the checks that deploy makes. Example: deployer doctor target=prod"
  )
)

const rollbackTask = Command.make(
  "rollback",
  {
    target,
    to: Options.text("to").pipe(
      Options.withPseudoName("R"),
      Options.withDescription(
        "a ref or an id of a release on the host; without it: the last one that was live and healthy before"
      ),
      Options.optional
    ),
    ...planning,
    wait,
    yes
  },
  ({ target, to, ...planning }) => {
    const options = { target, to: Option.getOrUndefined(to) }
    return planned(planning, reports.rollback, { plan: planRollback(options), run: rollback(options) })
  }
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Makes the release live again that was live and healthy before, with hooks, restart and health check. Example: deployer rollback target=prod"
  )
)

const applyTask = Command.make(
  "apply",
  {
    plan: Options.text("plan").pipe(
      Options.withPseudoName("FILE"),
      Options.withDescription("what deploy or rollback saved with plan save=FILE")
    ),
    wait
  },
  ({ plan: file }) =>
    Effect.flatMap(loadPlan(file), (plan) => Effect.flatMap(apply({ plan, file }), answer(reports.apply)))
).pipe(
  waiting,
  Command.withDescription(
    "Does what was planned before exactly so, or refuses where anything has changed since. Example: deployer apply plan=plan.json"
  )
)

const historyTask = Command.make(
  "history",
  {
    target,
    last: Options.integer("last").pipe(
      Options.withPseudoName("N"),
      Options.withDescription("how many entries at most"),
      Options.withDefault(30)
    )
  },
  (options) => Effect.flatMap(history(options), answer(reports.history))
).pipe(
  Command.withDescription(
    "Shows what was done to the target's host, by whom, and what came of it. Example: deployer history target=prod"
  )
)

const statusTask = Command.make("status", { target }, (options) =>
  Effect.flatMap(status(options), (report) => Effect.zipRight(answer(reports.status)(report), insistOnStatus(report)))
).pipe(
  Command.withDescription(
    "Shows what is live on the target's host, how it is, and what is not as it should be. Example: deployer status target=prod"
  )
)

const repairTask = Command.make(
  "repair",
  {
    target,
    plan: Options.boolean("plan").pipe(Options.withDescription("shows what would be done, and does nothing")),
    wait,
    yes
  },
  ({ plan, target }) =>
    plan
      ? Effect.flatMap(repairPlan({ target }), answer(reports.repair))
      : Effect.flatMap(repair({ target }), (report) =>
          Effect.zipRight(answer(reports.repair)(report), insistOnRepair(report))
        )
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Brings journal, link and folders on the target's host to agree again, after showing how. Example: deployer repair target=prod plan"
  )
)

const sshTask = Command.make("ssh", { target }, (options) =>
  conversation("ssh", "run a command of the target's with start, stop or restart, or leave json out")(ssh(options))
).pipe(
  Command.withDescription("Opens a shell on the target's host, in the target's path. Example: deployer ssh target=prod")
)

const actionTask = (action: (typeof actions)[number]) =>
  Command.make(action, { target, wait }, ({ target }) =>
    Effect.flatMap(runAction({ target, action }), answer(reports[action]))
  ).pipe(
    waiting,
    Command.withDescription(
      `Runs the current release's own ${action} command on the target's host. Example: deployer ${action} target=prod`
    )
  )

const lockTask = Command.make(
  "lock",
  {
    target,
    reason: Options.text("reason").pipe(
      Options.withPseudoName("WHY"),
      Options.withDescription("what for; shown to everybody who is kept out")
    )
  },
  (options) => Effect.flatMap(lock(options), answer(reports.lock))
).pipe(
  Command.withDescription(
    'Keeps everybody from changing what is on the target\'s host. Example: deployer lock target=prod reason="migrating the database"'
  )
)

const unlockTask = Command.make("unlock", { target, yes }, (options) =>
  Effect.flatMap(unlock(options), answer(reports.unlock))
).pipe(
  answering,
  Command.withDescription(
    "Takes the target's lock away, after showing whose it is. Example: deployer unlock target=prod"
  )
)

// The manager

const word = (name: string, description: string) => ({
  /** `name=my_app` and `my_app` are the same thing. */
  option: Options.text(name).pipe(Options.withDescription(description), Options.optional),
  argument: Args.text({ name }).pipe(Args.withDescription(description), Args.optional)
})

const ref = word("ref", "a ref or the beginning of one; in the store also an id or a name")
const name = word("name", "the name of releases")

interface Words {
  readonly option: Option.Option<string>
  readonly argument: Option.Option<string>
}

/** Fails if the word is given twice: what was meant by the second one, for instance `plan`, must not be left out. */
const given = ({ argument, option }: Words): Effect.Effect<Option.Option<string>, UsageError> =>
  Option.isSome(argument) && Option.isSome(option)
    ? new UsageError({ message: `"${argument.value}" is not a word of this task, which has "${option.value}" already` })
    : Effect.succeed(Option.orElse(option, () => argument))

const required = (what: string, words: Words) =>
  Effect.flatMap(
    given(words),
    Effect.mapError(() => new manage.WordMissing({ what }))
  )

const listing = {
  all: Options.boolean("all").pipe(Options.withDescription("lists all releases of the store")),
  limit: Options.integer("limit").pipe(
    Options.withPseudoName("N"),
    Options.withDescription(`how many releases of the store at most; otherwise ${manage.usualCount}`),
    Options.filterMap(
      (count) => (count < 1 ? Option.none() : Option.some(count)),
      '"limit" takes a number of releases, from 1 on'
    ),
    Options.optional
  ),
  name: Options.text("name").pipe(
    Options.withDescription("only the releases of the store that have this name"),
    Options.optional
  )
}

const infoTask = Command.make(
  "info",
  { target: optionalTarget, ...ref, ...listing },
  ({ all, limit, name, target, ...words }) =>
    Effect.gen(function* () {
      const ref = yield* given(words)
      if (Option.isNone(target)) {
        if (Option.isSome(ref)) return yield* manage.releaseInfo(ref.value)
        return yield* manage.storeInfo({
          ...(all ? {} : { limit: Option.getOrElse(limit, () => manage.usualCount) }),
          ...(Option.isNone(name) ? {} : { name: name.value })
        })
      }
      if (Option.isSome(limit) || Option.isSome(name)) {
        return yield* new UsageError({
          message: '"limit" and "name" are for the store: of a host all releases are listed'
        })
      }
      return Option.isNone(ref)
        ? yield* manage.hostInfo(target.value)
        : yield* manage.hostReleaseInfo(target.value, ref.value)
    }).pipe(Effect.flatMap(answer(reports["manage info"])))
).pipe(
  Command.withDescription(
    "Lists releases, or shows one in full. Examples: deployer manage info all, deployer manage info 3F2A target=prod"
  )
)

const pruneTask = Command.make("prune", { target: optionalTarget, ...name, wait, yes }, ({ target, ...words }) =>
  Effect.gen(function* () {
    if (Option.isSome(target)) {
      return yield* manage.pruneHost(target.value, Option.getOrUndefined(yield* given(words)))
    }
    return yield* manage.pruneStore(yield* required("a name, as in: deployer manage prune name=my_app", words))
  }).pipe(Effect.flatMap(answer(reports["manage prune"])))
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Removes all releases of a name but the latest, on a host also but the current one; there the name is the target's if none is given. Example: deployer manage prune target=prod yes"
  )
)

const deleteTask = Command.make("delete", { target: optionalTarget, ...ref, wait, yes }, ({ target, ...words }) =>
  Effect.gen(function* () {
    const ref = yield* required("a ref, as in: deployer manage delete ref=3F2A", words)
    return Option.isNone(target) ? yield* manage.deleteFromStore(ref) : yield* manage.deleteFromHost(target.value, ref)
  }).pipe(Effect.flatMap(answer(reports["manage delete"])))
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Removes one release; on a host never the current one. Example: deployer manage delete ref=3F2A"
  )
)

const linkTask = Command.make("ln", { target, ...ref, wait }, ({ target, ...words }) =>
  required("a ref, as in: deployer manage ln ref=3F2A target=prod", words).pipe(
    Effect.flatMap((ref) => manage.link(target, ref)),
    Effect.flatMap(answer(reports["manage ln"]))
  )
).pipe(
  waiting,
  Command.withDescription("Makes another release on a host current. Example: deployer manage ln ref=3F2A target=prod")
)

const pinTask = (verb: "pin" | "unpin", run: typeof manage.pin, description: string) =>
  Command.make(verb, { target, ...ref, wait }, ({ target, ...words }) =>
    required(`a ref, as in: deployer manage ${verb} ref=3F2A target=prod`, words).pipe(
      Effect.flatMap((ref) => run(target, ref)),
      Effect.flatMap(answer(reports[`manage ${verb}`]))
    )
  ).pipe(waiting, Command.withDescription(`${description} Example: deployer manage ${verb} ref=3F2A target=prod`))

const adoptTask = Command.make("adopt", { target, wait, yes }, ({ target }) =>
  Effect.flatMap(manage.adopt(target), answer(reports["manage adopt"]))
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Makes a release of a directory that is in the place of current on a host. Example: deployer manage adopt target=prod"
  )
)

const integrityTask = Command.make(
  "integrity",
  {
    target,
    deep: Options.boolean("deep").pipe(
      Options.withDescription("reads every file and hashes it again; otherwise only paths and types are compared")
    ),
    fix: Options.boolean("fix").pipe(
      Options.withAlias("f"),
      Options.withDescription("removes what is broken, but for the current release and the one that a rollback goes to")
    ),
    wait,
    yes
  },
  ({ deep, fix, target }) =>
    Effect.flatMap(manage.integrity(target, { deep, fix }), (report) =>
      Effect.zipRight(answer(reports["manage integrity"])(report), insistOnIntegrity(report))
    )
).pipe(
  answering,
  waiting,
  Command.withDescription(
    "Checks the link and every release on a host. Example: deployer manage integrity deep target=prod"
  )
)

const manageTask = Command.make("manage", { target: optionalTarget }, ({ target }) =>
  conversation("manage", "name one of its verbs, as in: deployer manage info json")(manage.manage(target))
).pipe(
  Command.withSubcommands([
    infoTask,
    pruneTask,
    deleteTask,
    linkTask,
    pinTask("pin", manage.pin, "Keeps a release on a host whatever is pruned there."),
    pinTask("unpin", manage.unpin, "Lets a release on a host be pruned again."),
    adoptTask,
    integrityTask
  ]),
  Command.withDescription(
    "Looks after releases, in the store or on a host: interactively, or one verb at a time. Example: deployer manage target=prod"
  )
)

const schemaTask = Command.make("schema", {}, () => Effect.flatMap(jsonSchema, answer(reports.schema))).pipe(
  Command.withDescription("Shows the JSON Schema of what each command writes with json.")
)

/** The whole command line. `root` and `json` are parsed in front of every task. */
export const command = Command.make("deployer", {
  root: Options.text("root").pipe(
    Options.withPseudoName("DIR"),
    Options.withDescription("the project root; without it: the nearest folder upwards with deployer/config"),
    Options.optional
  ),
  // Who runs the tree sees to it, so that a line that makes no sense is answered in the same way.
  json: Options.boolean(dataOption).pipe(
    Options.withDescription("writes one JSON document to standard output and nothing else, whatever comes of the task")
  )
}).pipe(
  Command.withSubcommands([
    initTask,
    buildTask,
    deployTask,
    buildAndDeployTask,
    rollbackTask,
    applyTask,
    historyTask,
    doctorTask,
    statusTask,
    repairTask,
    manageTask,
    lockTask,
    unlockTask,
    sshTask,
    actionTask("start"),
    actionTask("stop"),
    actionTask("restart"),
    schemaTask
  ]),
  Command.withDescription("Builds releases in containers and puts them on plain hosts over SSH.")
)
