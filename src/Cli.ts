/**
 * The commands, in the order of their listing. Each is defined in its own file. The command line, help, completions and the JSON Schema are
 * derived from this list.
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { restartTask, startTask, stopTask } from "./commands/actions.ts"
import { applyTask } from "./commands/apply.ts"
import { buildTask } from "./commands/build.ts"
import { buildAndDeployTask } from "./commands/buildAndDeploy.ts"
import { completionsTask } from "./commands/completions.ts"
import { deployTask } from "./commands/deploy.ts"
import { doctorTask } from "./commands/doctor.ts"
import { execTask } from "./commands/exec.ts"
import { historyTask } from "./commands/history.ts"
import { initTask } from "./commands/init.ts"
import { lockTask, unlockTask } from "./commands/lock.ts"
import { manageTask } from "./commands/manage/tasks.ts"
import { repairTask } from "./commands/repair.ts"
import { rollbackTask } from "./commands/rollback.ts"
import { type DocumentSchema, type Listed, named, schemaOf, schemaTask } from "./commands/schema.ts"
import { sshTask } from "./commands/ssh.ts"
import { statusTask } from "./commands/status.ts"
import { unitTask } from "./commands/unit.ts"
import { validateTask } from "./commands/validate.ts"

/** All commands. */
export const tasks = [
  initTask,
  buildTask,
  deployTask,
  buildAndDeployTask,
  applyTask,
  statusTask,
  historyTask,
  doctorTask,
  validateTask,
  completionsTask,
  schemaTask((): ReadonlyArray<Listed> => tasks),
  rollbackTask,
  repairTask,
  execTask,
  sshTask,
  startTask,
  stopTask,
  restartTask,
  unitTask,
  lockTask,
  unlockTask,
  manageTask
] as const

/** The schema of each command's report, by the command's name (`manage info`), except for conversations. */
export const reports: Readonly<Record<string, Schema.Schema.All>> = Object.fromEntries(
  named(tasks).flatMap(([name, { document }]) => (document === undefined ? [] : [[name, document]]))
)

/** Commands that are conversations: if data is requested, they answer only with a `Failure`. */
export const conversations: ReadonlyArray<string> = named(tasks).flatMap(([name, { document }]) =>
  document === undefined ? [name] : []
)

/** JSON Schema of everything that stdout may hold if `json` requests data. */
export const jsonSchema: Effect.Effect<DocumentSchema> = schemaOf(tasks)
