/**
 * The host service: the operations of a deployment on a host, independent of the transport.
 */

import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Adoption } from "../domain/Adoption.ts"
import type { Differences, Origin } from "../domain/Differences.ts"
import type { HostRelease, HostState, Unfinished } from "../domain/HostState.ts"
import { commandLine, type Invocation, invocation } from "../domain/Invocation.ts"
import type { JournalEntry } from "../domain/Journal.ts"
import { Lock, type LockDetails, lockOwner, lockState } from "../domain/Lock.ts"
import type { Manifest } from "../domain/Manifest.ts"
import { shownCommand, type Target } from "../domain/Target.ts"
import { unfitFields, unfitText } from "../domain/Unfit.ts"
import type { PromptFailure } from "../terminal/Prompt.ts"

/** The host could not be reached, or the connection to it ended. */
export class HostUnreachable extends Schema.TaggedError<HostUnreachable>()("HostUnreachable", {
  /** As `address` in the domain words it. */
  address: Schema.String,
  /** `unusable`: for any transport whose host is not ready. */
  reason: Schema.Literal(
    "unknown-name",
    "refused",
    "timeout",
    "silent",
    "shell",
    "lost",
    "protocol",
    "proxy",
    "openssh",
    "container",
    "unusable"
  ),
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    switch (this.reason) {
      case "unknown-name":
        return `The name of ${this.address} does not resolve (${this.detail}): check "host" in the config`
      case "refused":
        return `Nothing answers at ${this.address} (${this.detail}): check "host" and "port", and that sshd runs there`
      case "timeout":
        return `${this.address} did not answer in time (${this.detail}): check the network, or raise "timeouts" of the target`
      case "silent":
        return `The login shell on ${this.address} starts no command (${this.detail}): something in its startup files waits, such as a read or another shell in ~/.bashrc or ~/.profile. They must not wait without a terminal: to test this, run the command true there with ssh`
      case "shell":
        return `The login shell on ${this.address} starts no command (${this.detail}): deployer needs a login that may run sh. Change its shell (sudo chsh -s /bin/sh), the ForceCommand of sshd or the command= of its key, or set "user" to another login`
      case "lost":
        return `The connection to ${this.address} was lost (${this.detail}): the next deploy resumes from the state of the host`
      case "protocol":
        return `${this.address} does not answer as expected (${this.detail})`
      case "openssh":
        return `The system's ssh cannot connect to ${this.address} (${this.detail}): try ssh by hand, or set ssh: "ssh2" in the target`
      case "container":
        return `The container ${this.address} cannot be used (${this.detail}): start it, or check "host" in the config`
      case "unusable":
        return `${this.address} cannot be used as a host (${this.detail}): check "host" in the config`
      case "proxy":
        return `There is no way to ${this.address} (${this.detail}): check ProxyJump and ProxyCommand in ~/.ssh/config`
    }
  }
}

/** The host's key differs from the known one, or is not known. */
export class HostKeyRejected extends Schema.TaggedError<HostKeyRejected>()("HostKeyRejected", {
  address: Schema.String,
  /** `pinned`: the key is not the one in the target's `hostKey`. */
  reason: Schema.Literal("unknown", "changed", "revoked", "pinned"),
  keyType: Schema.String,
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: Schema.String,
  /** The known_hosts file that was consulted. */
  file: Schema.String,
  /** The host's name in that file: `host`, `[host]:port`, or its `HostKeyAlias`. */
  knownAs: Schema.String,
  /** The fingerprint in the target's `hostKey`. */
  pinned: Schema.optional(Schema.String),
  /** Whether it is a jump host, which `hostKey` of the target is not about. */
  isJumpHost: Schema.optional(Schema.Boolean)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const shown = `${this.keyType} ${this.fingerprint}`
    switch (this.reason) {
      case "unknown":
        return `The key of ${this.address} (${shown}) is not in ${this.file}: compare it with the host's, then connect once from a terminal, ${
          this.isJumpHost === true
            ? "or add it with ssh-keyscan"
            : `add it with ssh-keyscan, or set hostKey: "${this.fingerprint}" in the target`
        }`
      case "changed":
        return `The key of ${this.address} (${shown}) is not the one in ${this.file}: the host was reinstalled, or somebody intercepts the connection. If you know why, remove the old key: ssh-keygen -f '${this.file}' -R '${this.knownAs}'`
      case "revoked":
        return `The key of ${this.address} (${shown}) is marked as revoked in ${this.file}`
      case "pinned":
        return `The key of ${this.address} (${shown}) is not the one in "hostKey" of the target (${this.pinned ?? "none"}): the host was reinstalled, or somebody intercepts the connection. If you know why, change "hostKey"`
    }
  }
}

/** The host did not accept any of our keys. */
export class AuthenticationFailed extends Schema.TaggedError<AuthenticationFailed>()("AuthenticationFailed", {
  address: Schema.String,
  /** The identities offered, in words: key files and the agent. */
  tried: Schema.Array(Schema.String),
  /** The methods of SSH that the host offered, if it named any: `publickey`, `password`, `keyboard-interactive`. */
  methods: Schema.optional(Schema.Array(Schema.String)),
  /** Whether the host accepted a key and requires one of these methods as well. */
  isPartial: Schema.optional(Schema.Boolean),
  /** The words of the system's `ssh`, if it tried the keys. */
  detail: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const methods = this.methods?.join(" or ") ?? ""
    if (this.isPartial === true)
      return `${this.address} accepted the key and also requires ${methods}, which deployer does not do: allow this login with a key alone (AuthenticationMethods in its sshd_config)`
    if (this.methods !== undefined && !this.methods.includes("publickey"))
      return `${this.address} accepts no keys at all, only ${methods}: allow keys (PubkeyAuthentication in its sshd_config), or set "user" to another login`
    const tried =
      this.detail !== undefined
        ? `ssh says: ${this.detail}`
        : this.tried.length === 0
          ? "there was no key to offer"
          : `offered: ${this.tried.join(", ")}`
    return `${this.address} accepted none of your keys (${tried}): set "sshKey" of the target, or add the key to the agent or to the host's authorized_keys`
  }
}

/** A private key file cannot be used. */
export class KeyUnusable extends Schema.TaggedError<KeyUnusable>()("KeyUnusable", {
  file: Schema.String,
  reason: Schema.Literal("missing", "unreadable", "not-a-key", "public", "putty", "wrong-passphrase")
}) {
  readonly exitStatus = 2
  override get message(): string {
    switch (this.reason) {
      case "missing":
        return `There is no private key at ${this.file}: check "sshKey" of the target`
      case "unreadable":
        return `The private key ${this.file} cannot be read: check its permissions`
      case "not-a-key":
        return `${this.file} is not a private key that can be used: name a private key of type Ed25519, ECDSA or RSA`
      case "public":
        return `${this.file} is a public key, and ssh-agent does not hold its private key: name the private key, or add it to the agent with ssh-add`
      case "putty":
        return `${this.file} is a key in a format of PuTTY that cannot be read: convert it with puttygen ${this.file} -O private-openssh -o FILE`
      case "wrong-passphrase":
        return `The passphrase does not open the private key ${this.file}`
    }
  }
}

/** The private key in a variable cannot be used. */
export class KeyVariableUnusable extends Schema.TaggedError<KeyVariableUnusable>()("KeyVariableUnusable", {
  /** The name of the variable. */
  variable: Schema.String,
  reason: Schema.Literal("missing", "not-a-key", "putty", "wrong-passphrase")
}) {
  readonly exitStatus = 2
  override get message(): string {
    switch (this.reason) {
      case "missing":
        return `The variable ${this.variable}, which "sshKeyVariable" of the target names, is not set or is empty: set it to the text of a private key`
      case "not-a-key":
        return `The variable ${this.variable} does not hold a private key that can be used: it must hold the whole text of the key file, from its BEGIN line to its END line, and not the path or the public key`
      case "putty":
        return `The variable ${this.variable} holds a key in a format of PuTTY that cannot be read: convert it with puttygen KEY -O private-openssh`
      case "wrong-passphrase":
        return `The passphrase does not open the private key in the variable ${this.variable}`
    }
  }
}

/** The host's state does not allow the operation. Nothing was changed. */
export class HostUnfit extends Schema.TaggedError<HostUnfit>()("HostUnfit", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  ...unfitFields
}) {
  readonly exitStatus = 1
  get next(): ReadonlyArray<Invocation> {
    const { next } = unfitText(this, this)
    return next === undefined ? [] : [next]
  }
  override get message(): string {
    const { advice, found } = unfitText(this, this)
    return `${found}: ${advice}`
  }
}

/** The host's answer is invalid, or one of our files there is damaged. */
export class HostReplyInvalid extends Schema.TaggedError<HostReplyInvalid>()("HostReplyInvalid", {
  address: Schema.String,
  /** The file on the host, or the question. */
  what: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `${this.what} on ${this.address} is not what deployer wrote (${this.detail}): look at it, move it away and try again. Nothing was changed`
  }
}

/** The action of taking a target's lock, as in "could not …". */
export const takingLock = "take the lock"

/** A step failed on the host. */
export class HostStepFailed extends Schema.TaggedError<HostStepFailed>()("HostStepFailed", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  /** The action, as in "could not …". */
  step: Schema.String,
  /** The host's message, shortened. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  private get isFull(): boolean {
    return /No space left on device|quota exceeded/i.test(this.detail)
  }
  private get isLock(): boolean {
    return this.step === takingLock
  }
  get next(): ReadonlyArray<Invocation> {
    return this.isFull && !this.isLock ? [invocation("manage prune", { target: this.target })] : []
  }
  private get advice(): string {
    if (!this.isFull) return ""
    const [prune] = this.next
    return prune === undefined
      ? ": remove files there that are not deployer's, because each command that frees space needs the lock too, and try again"
      : `: free space there (${commandLine(prune)} removes older releases), and try again`
  }
  override get message(): string {
    const { advice } = this
    return `Could not ${this.step} on ${this.address}: ${this.detail}${advice}`
  }
}

/** The release on the host differs from the one sent. */
export class ReleaseCorrupt extends Schema.TaggedError<ReleaseCorrupt>()("ReleaseCorrupt", {
  address: Schema.String,
  ref: Schema.String,
  /** `tarball`: its SHA-256 differs; otherwise the first paths that differ from the manifest. */
  what: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Release ${this.ref} arrived damaged on ${this.address} (${this.what.slice(0, 3).join(", ")}); it was removed there and nothing was switched: deploy again. If it happens again, check the disk and the tar and SHA-256 programs of that host`
  }
}

/** The release is not on the host, or is incomplete there. */
export class NotOnHost extends Schema.TaggedError<NotOnHost>()("NotOnHost", {
  address: Schema.String,
  selector: Schema.String,
  /** The releases that could have been meant. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const known = this.known.length === 0 ? "it has no releases" : `it has ${this.known.join(", ")}`
    return `There is no release "${this.selector}" on ${this.address} (${known})`
  }
}

/** Somebody else holds the target's lock, for a running command or on purpose. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String,
  lock: Lock
}) {
  readonly exitStatus = 4
  get next(): readonly [Invocation] {
    return [invocation("unlock", { target: this.target })]
  }
  override get message(): string {
    const first = this.lock.details?.held === true ? "ask them" : "wait for them (wait=5m)"
    return `${this.address} is locked by ${lockOwner(this.lock)}; ${lockState(this.lock)}: ${first}, or remove the lock with ${commandLine(this.next[0])}`
  }
}

/** The lock was lost while it was needed: the connection stalled for too long, or somebody took it away. */
export class LockLost extends Schema.TaggedError<LockLost>()("LockLost", {
  /** The target's key. */
  target: Schema.String,
  address: Schema.String
}) {
  readonly exitStatus = 4
  get next(): readonly [Invocation] {
    return [invocation("status", { target: this.target })]
  }
  override get message(): string {
    return `The lock on ${this.address} now belongs to somebody else, so nothing more was done there: see who holds it with ${commandLine(this.next[0])}, and deploy again`
  }
}

/** A program did not end in time. */
export class CommandTimeout extends Schema.TaggedError<CommandTimeout>()("CommandTimeout", {
  address: Schema.String,
  command: Schema.String,
  /** In words. */
  waited: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `"${shownCommand(this.command)}" did not end on ${this.address} within ${this.waited}: raise "timeouts.command" of the target if it needs longer`
  }
}

/** No connection could be made. */
export type ConnectFailure =
  | HostUnreachable
  | HostKeyRejected
  | AuthenticationFailed
  | KeyUnusable
  | KeyVariableUnusable
  | PromptFailure

/** The failures that any step on a connected host may have. */
export type StepFailure = HostUnreachable | HostStepFailed | HostReplyInvalid | CommandTimeout | LockLost

/** The faults of a release on a host. Empty if it is as it was deployed. */
export interface Verdict {
  readonly ref: string
  /** One line each: `missing bin/my_app`, `changed lib/a.beam`. */
  readonly faults: ReadonlyArray<string>
  /** Paths that this login may not read, so their state is unknown. Undefined if there are none. */
  readonly unreadable?: ReadonlyArray<string>
}

/** How to run a command of the user's on the host. */
export interface RunOptions {
  /** The release whose folder `<path>/releases/deployer_<REF>/<name>` is the working directory. Undefined: the current release. */
  readonly ref?: string
  readonly name: string
  /** Whether the release has to be current when the command begins: it fails otherwise. Default: no. */
  readonly isCurrent?: boolean
  /** Whether files that the release shares with others become copies first, because the command may change them. Default: no. */
  readonly ownsFiles?: boolean
  /** Whether its standard output is the result that the user asked for, and not only progress. Default: no. */
  readonly isResult?: boolean
  /** Whether its output is only kept and not reported. Default: no. */
  readonly isQuiet?: boolean
}

/** A check of the network, as seen from the host. */
export type Probe =
  /** A GET request that does not follow redirects; a status from 200 to 399 is healthy. */
  | { readonly _tag: "Http"; readonly url: string }
  /** Whether the port accepts connections. If `host` is undefined, on the host itself. */
  | { readonly _tag: "Tcp"; readonly port: number; readonly host?: string }

/** The result of a probe. */
export interface Probed {
  readonly ok: boolean
  /** A short sentence that does not repeat the probe: `it answered 503, "starting"`. */
  readonly detail: string
}

/** The outcome of a user's command. */
export interface Ended {
  readonly status: number
  /** The last 1,000 characters of its output. */
  readonly output: string
}

/** The part of a release that is sent to a host. */
export type Shipment<E> =
  /** The whole tarball of `size` bytes. `content` returns it from a byte offset on. */
  | {
      readonly _tag: "Whole"
      readonly size: number
      readonly content: (offset: number) => Stream.Stream<Uint8Array, E>
    }
  /** The entries that complete the files already on the host, as tar bytes without the archive's end. */
  | {
      readonly _tag: "Differences"
      readonly differences: Differences
      /** Whether files already on the host are hard-linked instead of copied. */
      readonly hardLinks: boolean
      /** Whether the host can unpack zstd. If so, zstd is sent if this machine can produce it. Default: no. */
      readonly zstd?: boolean
      readonly content: Stream.Stream<Uint8Array, E>
    }

/** The entries that a step writes into the host's journal. */
export type Entries = ReadonlyArray<JournalEntry>

/** The options of a step that may be the last one. */
export interface Last {
  /** Whether the step also gives the lock back, because no other change of the host follows. This saves a round trip. Default: no. */
  readonly unlocks?: boolean | undefined
}

/** One connection to one target. */
export interface HostSession {
  readonly target: Target
  /** `user@host:port`, for sentences. */
  readonly address: string
  /**
   * Takes the target's lock and keeps it, with a sign of life every ten seconds, until the scope is closed or the connection ends. If somebody else
   * gets the lock, the host refuses all further changes (`LockLost`). A lock whose holder has been silent for a minute is taken over. Only takeovers
   * are journaled. Needs `<path>/config`: fails with `HostUnfit` if nothing was deployed yet. Returns the host's state, like `inspect`, but without
   * the lock itself.
   */
  readonly lock: (
    details: LockDetails,
    takenOver?: Entries
  ) => Effect.Effect<HostState, StepFailure | LockHeld | HostUnfit, Scope.Scope>
  /** Leaves a lock on purpose. It stays until somebody takes it away. */
  readonly hold: (details: LockDetails, entries?: Entries) => Effect.Effect<void, StepFailure | LockHeld | HostUnfit>
  /** Takes a lock away, no matter who holds it. Returns `false` if the lock has changed or is free already. */
  readonly unlock: (lock: Lock, entries?: Entries) => Effect.Effect<boolean, StepFailure>
  /** The host's whole state, in one round trip. */
  readonly inspect: Effect.Effect<HostState, StepFailure>
  /** The last entries of the journal, oldest first, at most 500, and the number of unparsable lines among them. */
  readonly history: (last: number) => Effect.Effect<{ readonly entries: Entries; readonly torn: number }, StepFailure>
  /** Makes `<path>`, `config/` and `releases/` if they are missing. */
  readonly prepare: Effect.Effect<void, StepFailure | HostUnfit>
  /**
   * Sends a release, unpacks it as it arrives, compares every path, type, mode and SHA-256 with the manifest, and gives the folder its name. Keeps
   * the first `from` bytes of an earlier upload; 0 starts again. `note` says who began the upload, in case it stays unfinished. On a mismatch nothing
   * stays.
   */
  readonly stage: <E>(options: {
    readonly ref: string
    readonly manifest: Manifest
    readonly from: number
    readonly note: string
    /** Whether it replaces a damaged folder of the same release, even the current one. Default: no. */
    readonly replaces?: boolean
    readonly shipment: Shipment<E>
    readonly entries?: Entries
  }) => Effect.Effect<void, E | StepFailure | ReleaseCorrupt>
  /**
   * Records the changes that commands made to a release since it was unpacked, and returns their paths. From then on `verify` expects these paths as
   * they are now.
   */
  readonly alterations: (ref: string) => Effect.Effect<ReadonlyArray<string>, StepFailure>
  /** The manifest of a release, as stored on the host, without files that commands changed. Undefined if it cannot be parsed. */
  readonly origin: (ref: string) => Effect.Effect<Origin | undefined, StepFailure>
  /** Writes or rewrites the release's record on the host. From then on the release counts as complete. */
  readonly record: (release: HostRelease) => Effect.Effect<void, StepFailure>
  /**
   * Makes a complete release current by renaming a new link over the old one, and checks the result. Disarms every dead-man's switch except the one
   * that `armed` names. With `record`, the release becomes complete first.
   */
  readonly activate: (
    ref: string,
    options?: Last & {
      readonly entries?: Entries
      readonly armed?: string | undefined
      readonly record?: HostRelease | undefined
    }
  ) => Effect.Effect<void, StepFailure | HostUnfit>
  /**
   * Removes the link `current`, or points it at `restore` again. A missing link is not a failure. A real file or directory in its place stays:
   * `HostUnfit`.
   */
  readonly deactivate: (options?: {
    readonly restore?: string
    readonly entries?: Entries
  }) => Effect.Effect<void, StepFailure | HostUnfit>
  /**
   * Arms a dead-man's switch and returns its name. Unless `confirm` comes within `seconds`, and if `ref` is still current then, the host goes back by
   * itself: to the release `back`, in which it runs `command`. If `back` is undefined, it restores or removes the link.
   */
  readonly arm: (options: {
    readonly ref: string
    readonly back: { readonly ref: string; readonly name: string } | undefined
    readonly seconds: number
    /** The text of the link to restore if `back` is undefined. */
    readonly restore?: string | undefined
    readonly command?: string
    /** The entries that the host journals when it goes back, with the time of that moment. */
    readonly entries?: Entries
  }) => Effect.Effect<string, StepFailure>
  /**
   * Disarms the dead-man's switch that watches the release `ref`. Returns `false` if it has fired already. Fails if another release is current.
   * Call this over a new connection. Repeated calls return the same answer.
   */
  readonly confirm: (armed: string, ref: string, entries?: Entries) => Effect.Effect<boolean, StepFailure>
  /**
   * Looks at the directory in the place of `current`: makes a manifest of it and keeps that on the host. Fails with `HostUnfit` if it is not a
   * directory. Skips everything except files, directories and links.
   */
  readonly survey: (name: string) => Effect.Effect<Adoption, StepFailure | HostUnfit>
  /** Makes a release of the surveyed directory, and `current` a link to it. `current` is missing for a moment between two renames. */
  readonly adopt: (adoption: Adoption, record: HostRelease, entries?: Entries) => Effect.Effect<void, StepFailure>
  /** Finishes an interrupted adoption, or forgets it if nothing was moved yet. */
  readonly finishAdoption: (ref: string) => Effect.Effect<void, StepFailure>
  /**
   * Removes releases with all their files. Fails for the current release, and for one that the host may go back to: these stay. Returns the bytes of
   * files that this login may not remove, which are left aside.
   */
  readonly remove: (refs: ReadonlyArray<string>, entries?: Entries, last?: Last) => Effect.Effect<number, StepFailure>
  /** Removes the remains of an unfinished deployment. Fails for a folder that `current` leads to, which stays. */
  readonly discard: (unfinished: Unfinished) => Effect.Effect<void, StepFailure>
  /**
   * Compares releases with their manifests, file by file. With `paths` it only checks existence and types, which is fast. If `against` is given, it
   * also compares the host's own manifest with it.
   */
  readonly verify: (
    refs: ReadonlyArray<string>,
    depth?: "paths" | "files",
    against?: Manifest
  ) => Effect.Effect<ReadonlyArray<Verdict>, StepFailure>
  /** The bytes that each release takes on the host's disk. */
  readonly usage: (refs: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, number>, StepFailure>
  /** Writes entries into the host's journal that belong to no other step. With `live`, a ref, it fails unless that release is current. */
  readonly note: (entries: Entries, options?: Last & { readonly live?: string }) => Effect.Effect<void, StepFailure>
  /** Runs a shell command in a release's folder; its output goes to the reporter. */
  readonly run: (command: string, options: RunOptions) => Effect.Effect<Ended, StepFailure>
  /** Probes the network once, from the host, and waits `timeout` at most. No answer counts as unhealthy; only a lost host is a failure. */
  readonly probe: (probe: Probe, timeout: Duration.Duration) => Effect.Effect<Probed, StepFailure>
  /** Counts the sessions that one connection allows, up to a number. Undefined if this kind of host has no connections. */
  readonly allowedSessions: ((upTo: number) => Effect.Effect<number, StepFailure>) | undefined
  /** Connects the user's terminal to a login shell in `<path>`. Returns the shell's exit status. */
  readonly shell: Effect.Effect<number, StepFailure | PromptFailure>
}

/** Connects to hosts. */
export class RemoteHost extends Context.Tag("deployer/RemoteHost")<
  RemoteHost,
  {
    /** The connection is closed with the scope. */
    readonly connect: (target: Target) => Effect.Effect<HostSession, ConnectFailure, Scope.Scope>
  }
>() {}
