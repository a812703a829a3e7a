/**
 * The public API except `Deployer`: the commands as Effects, the services with their layers, the config, the domain and the errors.
 */

// The commands

/** The schema of each command's report. `jsonSchema` publishes them all. */
export { conversations, jsonSchema, reports } from "./Cli.ts"
export { type ActionError, ActionFailed, ActionReport, type ActionServices, runAction } from "./commands/actions.ts"
export { type ApplyError, type ApplyOptions, type ApplyServices, apply, PlanStale } from "./commands/apply.ts"
export { type BuildError, type BuildOptions, BuildReport, type BuildServices, build } from "./commands/build.ts"
export {
  type BuildAndDeployError,
  BuildAndDeployReport,
  type BuildAndDeployServices,
  buildAndDeploy
} from "./commands/buildAndDeploy.ts"
export { NothingBuilt, ReleaseOnlyOnHost } from "./commands/chooseRelease.ts"
export { Declined } from "./commands/Declined.ts"
export {
  type DeployError,
  type DeployOptions,
  DeployReport,
  type DeployServices,
  deploy,
  deployRelease,
  planDeploy
} from "./commands/deploy.ts"
export {
  type DeployFleetError,
  type DeployFleetOptions,
  type DeployFleetServices,
  deployFleet,
  planFleet
} from "./commands/deployFleet.ts"
export {
  type DoctorError,
  DoctorFailed,
  DoctorFleet,
  DoctorReport,
  type DoctorServices,
  doctor,
  failUnlessHealthy
} from "./commands/doctor.ts"
export {
  type ExecError,
  ExecFailed,
  ExecFleet,
  type ExecOptions,
  ExecReport,
  type ExecServices,
  exec
} from "./commands/exec.ts"
export { FleetFailed, forEachTarget, type Member } from "./commands/fleet.ts"
export {
  type HistoryError,
  HistoryFleet,
  type HistoryOptions,
  HistoryReport,
  type HistoryServices,
  history
} from "./commands/history.ts"
export { AlreadyInitialised, type InitError, InitReport, type InitServices, init } from "./commands/init.ts"
export {
  type LockError,
  LockReport,
  type LockServices,
  lock,
  type UnlockError,
  type UnlockServices,
  unlock
} from "./commands/lock.ts"
export { Adopted, NothingToAdopt } from "./commands/manage/adopt.ts"
export {
  failUnlessIntact,
  HostInfo,
  HostReleaseInfo,
  Integrity,
  type IntegrityOptions,
  IntegrityViolated,
  JournalUnreadable,
  Linked,
  ReleaseIsCurrent
} from "./commands/manage/host.ts"
export { Pinned } from "./commands/manage/pin.ts"
export { ReleaseFileInvalid } from "./commands/manage/releaseFile.ts"
export { Removal } from "./commands/manage/removal.ts"
export { ScriptStopped } from "./commands/manage/repl.ts"
export { NameNotFound, ReleaseInfo, StoreInfo } from "./commands/manage/store.ts"
export { Exported, Imported, ReleaseFileExists, ReleaseNotExported } from "./commands/manage/transfer.ts"
export {
  type AdoptError,
  type AdoptServices,
  adopt,
  type DeleteFromHostError,
  type DeleteFromHostServices,
  type DeleteFromStoreError,
  type DeleteFromStoreServices,
  deleteFromHost,
  deleteFromStore,
  type ExportReleaseError,
  type ExportReleaseServices,
  exportRelease,
  type HostInfoError,
  type HostInfoServices,
  type HostReleaseInfoError,
  type HostReleaseInfoServices,
  hostInfo,
  hostReleaseInfo,
  type ImportReleaseError,
  type ImportReleaseServices,
  type IntegrityError,
  type IntegrityServices,
  importRelease,
  integrity,
  type LinkError,
  type LinkServices,
  link,
  type ManageError,
  type ManageServices,
  manage,
  type PinError,
  type PinServices,
  type PruneHostError,
  type PruneHostServices,
  type PruneStoreError,
  type PruneStoreServices,
  pin,
  pruneHost,
  pruneStore,
  type ReleaseInfoError,
  type ReleaseInfoServices,
  releaseInfo,
  type StoreInfoError,
  type StoreInfoServices,
  storeInfo,
  type UnpinError,
  type UnpinServices,
  unpin
} from "./commands/manage.ts"
export { loadPlan, PlanInvalid, PlanNotSaved, savePlan } from "./commands/planFile.ts"
export {
  failUnlessRepaired,
  type RepairError,
  RepairIncomplete,
  RepairReport,
  type RepairServices,
  repair,
  repairPlan
} from "./commands/repair.ts"
export {
  NothingToRollBackTo,
  planRollback,
  type RollbackError,
  type RollbackOptions,
  RollbackReport,
  type RollbackServices,
  rollback
} from "./commands/rollback.ts"
export {
  planRollbackFleet,
  type RollbackFleetError,
  type RollbackFleetOptions,
  type RollbackFleetServices,
  rollbackFleet
} from "./commands/rollbackFleet.ts"
export { failUnlessComplete, RolloutIncomplete, RolloutReport } from "./commands/rollout.ts"
export { DocumentSchema } from "./commands/schema.ts"
export { ShellExited, type SshError, type SshServices, ssh } from "./commands/ssh.ts"
export {
  failUnlessGood,
  StatusBad,
  type StatusError,
  StatusFleet,
  StatusReport,
  type StatusServices,
  status
} from "./commands/status.ts"
export { UnitCommandMissing, type UnitError, UnitReport, type UnitServices, unit } from "./commands/unit.ts"
export {
  ConfigUnusable,
  type ValidateError,
  ValidateReport,
  type ValidateServices,
  ValidTarget,
  validate
} from "./commands/validate.ts"
export { LiveUnhealthy, Unhealthy } from "./deployment/health.ts"
export { HookFailed, NotConfirmed, RollbackFailed, RolledBack } from "./deployment/liveFailures.ts"
export { LockWait } from "./deployment/locking.ts"
/** A release on a host is not whole. */
export { ReleaseNotWhole } from "./deployment/onHost.ts"

// The services and their layers

export {
  ContainerFailed,
  type DockerBuild,
  DockerBuilder,
  DockerBuilderError,
  DockerfileMissing,
  EngineUnavailable,
  ImageBuildFailed,
  PlatformDiffers,
  ReleasePathMissing
} from "./build/DockerBuilder.ts"
/** The hosts that targets name: this machine, or over SSH. */
export * as AnyHost from "./host/AnyHost.ts"
/** This machine as the host of every target. */
export * as LocalHost from "./host/LocalHost.ts"
export { Operator } from "./host/Operator.ts"
export {
  AuthenticationFailed,
  CommandTimeout,
  type ConnectFailure,
  type Ended,
  type Entries,
  HostKeyRejected,
  HostReplyInvalid,
  type HostSession,
  HostStepFailed,
  HostUnfit,
  HostUnreachable,
  KeyUnusable,
  KeyVariableUnusable,
  LockHeld,
  LockLost,
  NotOnHost,
  type Probe,
  type Probed,
  ReleaseCorrupt,
  RemoteHost,
  type RunOptions,
  type StepFailure,
  type Verdict
} from "./host/RemoteHost.ts"
export { SshSettings } from "./host/transport/ssh/SshSettings.ts"
export * from "./store.ts"
export { type Kind, NotAsData, type View } from "./terminal/Answer.ts"
export { Failure } from "./terminal/Failure.ts"
export { Answer } from "./terminal/Form.ts"
export {
  type Confirm,
  type Line,
  Prompt,
  PromptAborted,
  type PromptFailure,
  PromptUnavailable,
  type Select
} from "./terminal/Prompt.ts"
export {
  about,
  detail,
  during,
  type Event as ReporterEvent,
  note,
  output,
  type Place as ReporterPlace,
  Reporter,
  type Sink,
  transfer,
  warn
} from "./terminal/Reporter.ts"
export {
  ConfigInvalid,
  Workspace,
  WorkspaceError,
  WorkspaceNotFound,
  type WorkspacePaths
} from "./workspace/Workspace.ts"

// The config and its builders

export { type CommandOptions, command, type DockerOptions, docker, fromDirectory, fromFiles } from "./build/Artifact.ts"
export { ArtifactInvalid } from "./build/ArtifactInvalid.ts"
export {
  type Artifact,
  type BuildContext,
  type Builder,
  BuilderOptionsInvalid,
  type BuilderServices,
  BuildFailed,
  type Packed,
  type PostBuildHook,
  type PreBuildHook
} from "./build/Builder.ts"
export { WorkspaceInContext } from "./build/ignoreFiles.ts"
export { ExtraFileInvalid } from "./build/Tarball.ts"
export {
  type ConfigInput,
  config,
  type DeployerConfig,
  findTarget,
  UnknownBuilder,
  UnknownTarget
} from "./workspace/Config.ts"
export { type DaemonOptions, daemon } from "./workspace/daemon.ts"
export { decodeConfig } from "./workspace/decode.ts"
export { chooseTargets, type FleetWords, NoSuchMembers } from "./workspace/Fleet.ts"

// The domain

export { Adoption } from "./domain/Adoption.ts"
export { Check } from "./domain/Checks.ts"
export { Drift } from "./domain/Drift.ts"
export { Current, DeadMan, HostRelease, HostState, Unfinished } from "./domain/HostState.ts"
export { JournalEntry, JournalEvent, Standing } from "./domain/Journal.ts"
export { Lock, LockDetails } from "./domain/Lock.ts"
export { Manifest, ManifestEntry } from "./domain/Manifest.ts"
export { Members } from "./domain/Members.ts"
export { DeployPlan, RollbackPlan, Step } from "./domain/Plan.ts"
export { Binaries, Metadata, Ref, Release, ReleaseName, Sha256, Tag } from "./domain/Release.ts"
export { RepairPlan, RepairStep } from "./domain/Repair.ts"
export {
  Amount,
  Decision,
  type Fact,
  FleetUnfit,
  nextAction,
  Outcome,
  Policy,
  planRollout,
  RolloutPlan,
  rolloutStatus,
  Wave,
  wavesOf
} from "./domain/Rollout.ts"
export { SavedPlan } from "./domain/SavedPlan.ts"
export { type Action, Health, Hook, type Target, TargetSettings, Timeouts } from "./domain/Target.ts"
export { Unfit } from "./domain/Unfit.ts"
export { StepTime, type Work, workName } from "./domain/Work.ts"
