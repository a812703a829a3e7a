/**
 * The host service: what a deployment means on a host, whatever lies between here and there.
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
import type { JournalEntry } from "../domain/Journal.ts"
import { Lock, type LockDetails, lockOwner, lockState } from "../domain/Lock.ts"
import type { Manifest } from "../domain/Manifest.ts"
import type { Target } from "../domain/Target.ts"
import { unfitFields, unfitText } from "../domain/Unfit.ts"
import type { PromptFailure } from "../terminal/Prompt.ts"

/** The host could not be reached, or the connection to it ended. */
export class HostUnreachable extends Schema.TaggedError<HostUnreachable>()("HostUnreachable", {
  /** `user@host:port`. */
  address: Schema.String,
  reason: Schema.Literal("unknown-name", "refused", "timeout", "silent", "lost", "protocol", "proxy"),
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
        return `The login shell on ${this.address} begins no command (${this.detail}): something in its startup files waits, such as a read or another shell in ~/.bashrc or ~/.profile. It has to end for commands: see what ssh does there with the command true`
      case "lost":
        return `The connection to ${this.address} was lost (${this.detail}): the next deploy goes on from what the host has`
      case "protocol":
        return `${this.address} does not speak SSH as expected (${this.detail})`
      case "proxy":
        return `There is no way to ${this.address} (${this.detail}): check ProxyJump and ProxyCommand in ~/.ssh/config`
    }
  }
}

/** The host's key is not the one that is known, or not known at all. */
export class HostKeyRejected extends Schema.TaggedError<HostKeyRejected>()("HostKeyRejected", {
  address: Schema.String,
  /** `pinned`: it is not the one that the target's `hostKey` asks for. */
  reason: Schema.Literal("unknown", "changed", "revoked", "pinned"),
  keyType: Schema.String,
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: Schema.String,
  /** The known_hosts file that was asked. */
  file: Schema.String,
  /** What that file calls the host: `host`, `[host]:port`, or its `HostKeyAlias`. */
  knownAs: Schema.String,
  /** The fingerprint that was asked for. */
  pinned: Schema.optional(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const shown = `${this.keyType} ${this.fingerprint}`
    switch (this.reason) {
      case "unknown":
        return `The key of ${this.address} (${shown}) is not in ${this.file}: compare it with the host's, then connect once from a terminal, or add it with ssh-keyscan`
      case "changed":
        return `The key of ${this.address} (${shown}) is not the one in ${this.file}: the host was reinstalled or somebody is in between. If you know why, remove the old key: ssh-keygen -f '${this.file}' -R '${this.knownAs}'`
      case "revoked":
        return `The key of ${this.address} (${shown}) is marked as revoked in ${this.file}`
      case "pinned":
        return `The key of ${this.address} (${shown}) is not the one in "hostKey" of the target (${this.pinned ?? "none"}): the host was reinstalled or somebody is in between. If you know why, change "hostKey"`
    }
  }
}

/** The host did not accept any of our keys. */
export class AuthenticationFailed extends Schema.TaggedError<AuthenticationFailed>()("AuthenticationFailed", {
  address: Schema.String,
  /** What was offered, in words: key files and the agent. */
  tried: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    const tried = this.tried.length === 0 ? "there was no key to offer" : `offered: ${this.tried.join(", ")}`
    return `${this.address} accepted none of our keys (${tried}): set "sshKey" of the target, or add the key to the agent or to the host's authorized_keys`
  }
}

/** A private key file cannot be used. */
export class KeyUnusable extends Schema.TaggedError<KeyUnusable>()("KeyUnusable", {
  file: Schema.String,
  reason: Schema.Literal("missing", "unreadable", "not-a-key", "wrong-passphrase")
}) {
  readonly exitStatus = 2
  override get message(): string {
    switch (this.reason) {
      case "missing":
        return `There is no private key at ${this.file}: check "sshKey" of the target`
      case "unreadable":
        return `The private key ${this.file} cannot be read: check its permissions`
      case "not-a-key":
        return `${this.file} is not a private key that can be used (the public key beside it is another file)`
      case "wrong-passphrase":
        return `The passphrase does not open the private key ${this.file}`
    }
  }
}

/** The host is not in a state in which this can be done; nothing was changed. */
export class HostUnfit extends Schema.TaggedError<HostUnfit>()("HostUnfit", {
  /** Its key. */
  target: Schema.String,
  address: Schema.String,
  ...unfitFields
}) {
  readonly exitStatus = 1
  override get message(): string {
    const { advice, found } = unfitText(this, this)
    return `${found}: ${advice}`
  }
}

/** The host answered with something that is not what was asked for, or a file of ours there is damaged. */
export class HostReplyInvalid extends Schema.TaggedError<HostReplyInvalid>()("HostReplyInvalid", {
  address: Schema.String,
  /** The file on the host or the question that was asked. */
  what: Schema.String,
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `${this.what} on ${this.address} is not what deployer wrote (${this.detail}): look at it, move it away and try again. Nothing was changed`
  }
}

/** A step of ours failed on the host. */
export class HostStepFailed extends Schema.TaggedError<HostStepFailed>()("HostStepFailed", {
  address: Schema.String,
  /** What was being done, as in "could not …". */
  step: Schema.String,
  /** What the host said, shortened. */
  detail: Schema.String
}) {
  readonly exitStatus = 1
  override get message(): string {
    const isFull = /No space left on device|quota exceeded/i.test(this.detail)
    const advice = isFull ? ": make room there (deployer manage prune removes older releases), and try again" : ""
    return `Could not ${this.step} on ${this.address}: ${this.detail}${advice}`
  }
}

/** What arrived on the host is not what was sent. */
export class ReleaseCorrupt extends Schema.TaggedError<ReleaseCorrupt>()("ReleaseCorrupt", {
  address: Schema.String,
  ref: Schema.String,
  /** `tarball`: its SHA-256 differs; otherwise the first paths that differ from the manifest. */
  what: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Release ${this.ref} arrived damaged on ${this.address} (${this.what.slice(0, 3).join(", ")}); it was removed there and nothing was switched: deploy again. If it happens again, look at the disk and at the tar and SHA-256 programs of that host`
  }
}

/** A release is not, or not completely, on the host. */
export class NotOnHost extends Schema.TaggedError<NotOnHost>()("NotOnHost", {
  address: Schema.String,
  selector: Schema.String,
  /** What could have been meant. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const known = this.known.length === 0 ? "it has no releases" : `it has ${this.known.join(", ")}`
    return `There is no release "${this.selector}" on ${this.address} (${known})`
  }
}

/** Somebody else works on the target, or keeps it for a purpose. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", {
  /** Its key. */
  target: Schema.String,
  address: Schema.String,
  lock: Lock
}) {
  readonly exitStatus = 4
  override get message(): string {
    const next = this.lock.details?.held === true ? "ask them" : "wait for them (wait=5m)"
    return `${this.address} is locked by ${lockOwner(this.lock)}; ${lockState(this.lock)}: ${next}, or take it away with deployer unlock target=${this.target}`
  }
}

/** The lock was lost while it was needed: the connection stalled for too long, or somebody took it away. */
export class LockLost extends Schema.TaggedError<LockLost>()("LockLost", { address: Schema.String }) {
  readonly exitStatus = 4
  override get message(): string {
    return `The lock on ${this.address} is somebody else's by now, so nothing more was done there: see who works on it with deployer manage info, and deploy again`
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
    return `"${this.command}" did not end on ${this.address} within ${this.waited}: raise "timeouts.command" of the target if it needs longer`
  }
}

/** No connection could be made. */
export type ConnectFailure = HostUnreachable | HostKeyRejected | AuthenticationFailed | KeyUnusable | PromptFailure

/** The failures that any step on a connected host may have. */
export type StepFailure = HostUnreachable | HostStepFailed | HostReplyInvalid | CommandTimeout | LockLost

/** What is wrong with a release on a host; nothing where it is as it was deployed. */
export interface Verdict {
  readonly ref: string
  /** One line each: `missing bin/my_app`, `changed lib/a.beam`. */
  readonly faults: ReadonlyArray<string>
  /** Paths that this login may not read, so that nothing is known of them. Undefined if there are none. */
  readonly unreadable?: ReadonlyArray<string>
}

/** How to run a command of the user's on the host. */
export interface RunOptions {
  /** The release whose folder `<path>/releases/deployer_<REF>/<name>` is the working directory; absent: the one that is current. */
  readonly ref?: string
  readonly name: string
  /** Whether its standard output is what the user asked for, and not only told on the way. Default: no. */
  readonly isResult?: boolean
  /** Whether its output is only kept and not told. Default: no. */
  readonly isQuiet?: boolean
}

/** A question to the network as the host sees it. */
export type Probe =
  /** A GET request that does not follow redirects; a status from 200 to 399 is well. */
  | { readonly _tag: "Http"; readonly url: string }
  /** Whether connections are taken; without `host` on the host itself. */
  | { readonly _tag: "Tcp"; readonly port: number; readonly host?: string }

/** What a probe found. */
export interface Probed {
  readonly ok: boolean
  /** A short sentence: `503 from http://127.0.0.1:4000/health: starting`. */
  readonly detail: string
}

/** How a command of the user's ended. */
export interface Ended {
  readonly status: number
  /** The last 1,000 characters of what it wrote. */
  readonly output: string
}

/** What of a release travels to a host. */
export type Shipment<E> =
  /** The tarball, of so many bytes, from a given byte on. */
  | {
      readonly _tag: "Whole"
      readonly size: number
      readonly content: (offset: number) => Stream.Stream<Uint8Array, E>
    }
  /** What completes the files that are there: the tar bytes of the entries that are sent, without the end of a tar archive. */
  | {
      readonly _tag: "Differences"
      readonly differences: Differences
      /** Whether the files that are there get a second name instead of a copy. */
      readonly hardLinks: boolean
      /** Whether the host can unpack zstd: then that is sent, where this machine can make it. Default: no. */
      readonly zstd?: boolean
      readonly content: Stream.Stream<Uint8Array, E>
    }

/** What is written into the host's journal by the step that does it. */
export type Entries = ReadonlyArray<JournalEntry>

/** For a step that may be the last one. */
export interface Last {
  /** Whether the lock is given back by it, because nothing follows that changes the host: that saves a round trip. Default: no. */
  readonly unlocks?: boolean | undefined
}

/** One connection to one target. */
export interface HostSession {
  readonly target: Target
  /** `user@host:port`, for sentences. */
  readonly address: string
  /**
   * Takes the target's lock and keeps it, with a sign of life every ten seconds, until the scope is closed or the connection ends. From
   * then on everything that changes the host is refused there (`LockLost`) once the lock is somebody else's. A lock without a
   * sign of life for a minute is taken over; only that is written into the journal. Needs `<path>/config`: `HostUnfit` where nothing
   * was deployed yet. Yields what is on the host then, as `inspect` does but for the lock itself.
   */
  readonly lock: (
    details: LockDetails,
    takenOver?: Entries
  ) => Effect.Effect<HostState, StepFailure | LockHeld | HostUnfit, Scope.Scope>
  /** Leaves a lock that is kept on purpose, until somebody takes it away. */
  readonly hold: (details: LockDetails, entries?: Entries) => Effect.Effect<void, StepFailure | LockHeld | HostUnfit>
  /** Takes a lock away, whoever has it; `false` where it is another one, or none, by now. */
  readonly unlock: (lock: Lock, entries?: Entries) => Effect.Effect<boolean, StepFailure>
  /** Everything at once, in one round trip. */
  readonly inspect: Effect.Effect<HostState, StepFailure>
  /** The last entries of the journal, oldest first, at most 500, and how many lines among them are not entries. */
  readonly history: (last: number) => Effect.Effect<{ readonly entries: Entries; readonly torn: number }, StepFailure>
  /** Makes `<path>`, `config/` and `releases/`, as far as they are missing. */
  readonly prepare: Effect.Effect<void, StepFailure | HostUnfit>
  /**
   * Sends a release, unpacks it as it comes, compares path, type, mode and SHA-256 of everything with the manifest, and gives the folder its
   * name. `from` bytes that are there already are kept; 0 starts anew. `note` says who began it, for whoever finds it unfinished. On a
   * mismatch nothing stays.
   */
  readonly stage: <E>(options: {
    readonly ref: string
    readonly manifest: Manifest
    readonly from: number
    readonly note: string
    /** Whether it takes the place of a folder of that release that is damaged, also of one that is current. Default: no. */
    readonly replaces?: boolean
    readonly shipment: Shipment<E>
    readonly entries?: Entries
  }) => Effect.Effect<void, E | StepFailure | ReleaseCorrupt>
  /**
   * Writes down what commands made of a release since it was unpacked, and returns the paths: from then on `verify` expects them as they are now.
   */
  readonly alterations: (ref: string) => Effect.Effect<ReadonlyArray<string>, StepFailure>
  /** The manifest of a release that is there, as it stands there, without files that commands changed; undefined if it cannot be read as one. */
  readonly origin: (ref: string) => Effect.Effect<Origin | undefined, StepFailure>
  /** Writes (again) what the host knows of the release; from then on it counts as complete. */
  readonly record: (release: HostRelease) => Effect.Effect<void, StepFailure>
  /**
   * Makes a complete release current by renaming a new link over the old one, and looks whether it is. Keeps the host from going
   * back by itself, whoever armed that, but for what `armed` names. With `record` it becomes complete first.
   */
  readonly activate: (
    ref: string,
    options?: Last & {
      readonly entries?: Entries
      readonly armed?: string | undefined
      readonly record?: HostRelease | undefined
    }
  ) => Effect.Effect<void, StepFailure | HostUnfit>
  /** Takes the link `current` away, or makes it again a link to `restore`; no link is no failure. A real file or directory there is left. */
  readonly deactivate: (options?: {
    readonly restore?: string
    readonly entries?: Entries
  }) => Effect.Effect<void, StepFailure | HostUnfit>
  /**
   * Arms a dead-man's switch, whose name it yields: from now on in so many seconds, and for as long as `ref` is current, the host itself goes back to
   * the release `back`, or takes the link away, and runs `command` in it; unless `confirm` comes before that.
   */
  readonly arm: (options: {
    readonly ref: string
    readonly back: { readonly ref: string; readonly name: string } | undefined
    readonly seconds: number
    /** The text of a link that is put back if there is no `back`. */
    readonly restore?: string | undefined
    readonly command?: string
    /** What the host writes into its journal then, with the time of then. */
    readonly entries?: Entries
  }) => Effect.Effect<string, StepFailure>
  /** Disarms it; `false` where it was too late. To be asked over a new connection; the answer stays the same. */
  readonly confirm: (armed: string, entries?: Entries) => Effect.Effect<boolean, StepFailure>
  /**
   * Looks at the directory in the place of `current`: a manifest of it is made and kept on the host. `HostUnfit` where it is none. What
   * is neither file, directory nor link is passed over.
   */
  readonly survey: (name: string) => Effect.Effect<Adoption, StepFailure | HostUnfit>
  /** Makes a release of what was looked at, and `current` a link to it. Between two renames there is no `current`. */
  readonly adopt: (adoption: Adoption, record: HostRelease, entries?: Entries) => Effect.Effect<void, StepFailure>
  /** Finishes an adoption that was cut, or forgets it where nothing was moved yet. */
  readonly finishAdoption: (ref: string) => Effect.Effect<void, StepFailure>
  /** Removes releases with all their files. Never the current one nor one that the host may go back to: it is left, and that is a failure. */
  readonly remove: (refs: ReadonlyArray<string>, entries?: Entries, last?: Last) => Effect.Effect<void, StepFailure>
  /** Removes what an unfinished deployment left. A folder that `current` leads to is left, and that is a failure. */
  readonly discard: (unfinished: Unfinished) => Effect.Effect<void, StepFailure>
  /**
   * Compares releases with their manifests, file by file; with `paths` only what is there and of which type, which takes no time. The host's own
   * manifest is compared with `against`, if it is given.
   */
  readonly verify: (
    refs: ReadonlyArray<string>,
    depth?: "paths" | "files",
    against?: Manifest
  ) => Effect.Effect<ReadonlyArray<Verdict>, StepFailure>
  /** Bytes that each release takes on the host's disk. */
  readonly usage: (refs: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, number>, StepFailure>
  /** Writes into the host's journal what needs no step of its own. */
  readonly note: (entries: Entries, last?: Last) => Effect.Effect<void, StepFailure>
  /** Runs a shell command in a release's folder; its output goes to the reporter. */
  readonly run: (command: string, options: RunOptions) => Effect.Effect<Ended, StepFailure>
  /** Asks the network once, from the host, and waits `timeout` at most. No answer is not well; only a lost host is a failure. */
  readonly probe: (probe: Probe, timeout: Duration.Duration) => Effect.Effect<Probed, StepFailure>
  /** Gives the user's terminal to a login shell in `<path>`. Yields its exit status. */
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
