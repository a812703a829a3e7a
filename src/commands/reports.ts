/**
 * What each command answers, by its name on the command line: as data by a schema, and in words.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RepairPlan } from "../domain/Repair.ts"
import { SavedPlan } from "../domain/SavedPlan.ts"
import type { Kind } from "../terminal/Answer.ts"
import { Anything, Failure } from "../terminal/Failure.ts"
import { ActionReport } from "./actions.ts"
import { BuildReport } from "./build.ts"
import { BuildAndDeployReport } from "./buildAndDeploy.ts"
import { DeployReport } from "./deploy.ts"
import { DoctorReport } from "./doctor.ts"
import { HistoryReport } from "./history.ts"
import { InitReport } from "./init.ts"
import { LockReport } from "./locking.ts"
import { Adopted } from "./manage/adopt.ts"
import { HostInfo, HostReleaseInfo, Integrity, Linked } from "./manage/host.ts"
import { Pinned } from "./manage/pin.ts"
import { Removal } from "./manage/removal.ts"
import { ReleaseInfo, StoreInfo } from "./manage/store.ts"
import { RepairReport } from "./repair.ts"
import { RollbackReport } from "./rollback.ts"
import { StatusReport } from "./status.ts"
import * as view from "./view.ts"

/** JSON Schema (2020-12) of the documents of all commands. */
export class DocumentSchema extends Schema.Class<DocumentSchema>("DocumentSchema")({
  $schema: Schema.String,
  title: Schema.String,
  /** One for each command, by its name (`manage info`), and one for each thing that these refer to. */
  $defs: Schema.Record({ key: Schema.String, value: Anything })
}) {}

const kind = <A, I>(schema: Schema.Schema<A, I>, view: Kind<A, I>["view"]): Kind<A, I> => ({ schema, view })

const action = kind(ActionReport, view.actionReport)
const lock = kind(LockReport, view.lockReport)
const removal = kind(Removal, view.removal)
const pinned = kind(Pinned, view.pinned)

/** The reports of all commands. */
export const reports = {
  init: kind(InitReport, view.initReport),
  build: kind(BuildReport, view.buildReport),
  deploy: kind(Schema.Union(DeployReport, SavedPlan), (report) =>
    report._tag === "SavedPlan" ? view.savedPlan(report) : view.deployReport(report)
  ),
  build_and_deploy: kind(Schema.Union(BuildAndDeployReport, BuildReport), (report) =>
    report._tag === "BuildReport" ? view.buildReport(report) : view.deployReport(report.deployed)
  ),
  "manage info": kind(Schema.Union(StoreInfo, ReleaseInfo, HostInfo, HostReleaseInfo), (report) => {
    switch (report._tag) {
      case "StoreInfo":
        return view.storeInfo(report)
      case "ReleaseInfo":
        return view.releaseInfo(report)
      case "HostInfo":
        return view.hostInfo(report)
      case "HostReleaseInfo":
        return view.hostReleaseInfo(report)
    }
  }),
  "manage prune": removal,
  "manage delete": removal,
  "manage ln": kind(Linked, view.linked),
  "manage pin": pinned,
  "manage unpin": pinned,
  "manage adopt": kind(Adopted, view.adopted),
  "manage integrity": kind(Integrity, view.integrity),
  rollback: kind(Schema.Union(RollbackReport, SavedPlan), (report) =>
    report._tag === "SavedPlan" ? view.savedPlan(report) : view.rollbackReport(report)
  ),
  apply: kind(Schema.Union(DeployReport, RollbackReport), (report) =>
    report._tag === "DeployReport" ? view.deployReport(report) : view.rollbackReport(report)
  ),
  repair: kind(Schema.Union(RepairReport, RepairPlan), (report) =>
    report._tag === "RepairPlan" ? view.repairPlan(report) : view.repairReport(report)
  ),
  history: kind(HistoryReport, view.historyReport),
  doctor: kind(DoctorReport, view.doctorReport),
  status: kind(StatusReport, view.statusReport),
  lock,
  unlock: lock,
  start: action,
  stop: action,
  restart: action,
  schema: kind(DocumentSchema, view.documentSchema)
}

/** Commands that are conversations: where data is asked for they answer with a `Failure` only. */
export const conversations = ["manage", "ssh"] as const

/**
 * JSON Schema of everything that stdout may hold where `json` asks for data: `$defs` has a schema for each command, which is
 * that of its report or of a `Failure`.
 */
export const jsonSchema: Effect.Effect<DocumentSchema> = Effect.map(
  // Nothing but this needs it, so it is not loaded at every start.
  Effect.promise(() => import("effect/JSONSchema")),
  (JSONSchema) => {
    const documents: Record<string, Schema.Schema.All> = {}
    for (const [name, { schema }] of Object.entries(reports)) documents[name] = Schema.Union(schema, Failure)
    for (const name of conversations) documents[name] = Failure
    const all = JSONSchema.make(Schema.Struct(documents), { target: "jsonSchema2020-12" })
    return DocumentSchema.make({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      title: "What deployer writes to standard output with json, by command",
      $defs: { ...all.$defs, ...("properties" in all ? all.properties : {}) }
    })
  }
)
