/**
 * The release store: tarballs in `release_store/` and, in SQLite, what is known about them.
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Manifest } from "../domain/Manifest.ts"
import { type Metadata, Release, shortRef } from "../domain/Release.ts"
import type { WorkspaceNotFound } from "../workspace/Workspace.ts"

/** The store could not be read or written; `operation` says what was tried. */
export class ReleaseStoreError extends Schema.TaggedError<ReleaseStoreError>()("ReleaseStoreError", {
  operation: Schema.String,
  /** What went wrong and what to do, one sentence. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}`
  }
}

/** No release is named by the word. */
export class ReleaseNotFound extends Schema.TaggedError<ReleaseNotFound>()("ReleaseNotFound", {
  /** The id, name or ref that was asked for. */
  selector: Schema.String,
  /** Names of releases that do exist, for the sentence. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const known =
      this.known.length === 0
        ? "the store is empty: run deployer build target=T first"
        : `the store has releases of: ${this.known.join(", ")}; see deployer manage info`
    return `No release has the id, name or ref "${this.selector}" (${known})`
  }
}

/** The beginning of a ref fits several releases. */
export class ReleaseAmbiguous extends Schema.TaggedError<ReleaseAmbiguous>()("ReleaseAmbiguous", {
  selector: Schema.String,
  refs: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `"${this.selector}" is the beginning of several refs (${this.refs.join(", ")}): give more of it`
  }
}

/** The release is recorded but its tarball is gone from `release_store/`. The entry has been cleared. */
export class TarballMissing extends Schema.TaggedError<TarballMissing>()("TarballMissing", { release: Release }) {
  readonly exitStatus = 1
  override get message(): string {
    const { fileName, name, ref } = this.release
    return `The tarball ${fileName} of release ${name} (${shortRef(ref)}) is gone from release_store/, so its entry was cleared: build it again, or deploy another one`
  }
}

/** A finished tarball in `temp/` that is not in the store yet. */
export interface Parcel {
  /** Absolute path, or a name of its own where the store is in memory. */
  readonly path: string
  readonly ref: string
  readonly sha256: string
  /** Bytes. */
  readonly size: number
}

/** What the store is told about a parcel. */
export interface ReleaseDraft {
  readonly name: string
  /** Without `latest`, which the store gives. */
  readonly tags: ReadonlyArray<string>
  /** The file name takes its whole seconds; moved on by a second where that name is taken. */
  readonly createdAt: DateTime.Utc
  readonly metadata: Metadata
  readonly manifest: Manifest
}

/** Which releases to list; all of them where nothing is given. */
export interface ReleaseQuery {
  readonly name?: string
  readonly limit?: number
}

/** Where tarballs and entries had come to disagree. */
export interface StoreCheck {
  /** Entries whose tarball was gone; they are cleared now. */
  readonly cleared: ReadonlyArray<Release>
  /** Files in `release_store/` that no entry knows; left alone. */
  readonly unknown: ReadonlyArray<string>
}

/** The failures that any use of the store may have. */
export type StoreFailure = ReleaseStoreError | WorkspaceNotFound

/** Keeps releases. Opened by the first operation that needs it. */
export class ReleaseStore extends Context.Tag("deployer/ReleaseStore")<
  ReleaseStore,
  {
    /** Newest first (by id). */
    readonly list: (query?: ReleaseQuery) => Effect.Effect<ReadonlyArray<Release>, StoreFailure>
    /** The release with this id, the latest one of this name, or the one whose ref begins like this (at least 4 digits). */
    readonly find: (selector: string) => Effect.Effect<Release, ReleaseNotFound | ReleaseAmbiguous | StoreFailure>
    /** Writes a tarball to `temp/`, hashing it on the way. It is removed with the scope unless it was added. */
    readonly receive: <E, R>(
      tarball: Stream.Stream<Uint8Array, E, R>
    ) => Effect.Effect<Parcel, E | StoreFailure, R | Scope.Scope>
    /** Moves a parcel into `release_store/` and records it as the latest of its name, in one transaction. */
    readonly add: (parcel: Parcel, draft: ReleaseDraft) => Effect.Effect<Release, StoreFailure>
    /** The tarball from byte `offset` (default 0) on. */
    readonly content: (release: Release, offset?: number) => Stream.Stream<Uint8Array, TarballMissing | StoreFailure>
    /** What is in the tarball. */
    readonly manifest: (release: Release) => Effect.Effect<Manifest, StoreFailure>
    /** Removes entries and tarballs. Where that takes `latest` away, the newest one left of that name gets it. */
    readonly remove: (releases: ReadonlyArray<Release>) => Effect.Effect<void, StoreFailure>
    /** Compares entries with tarballs, clears entries without one and removes what killed builds left in `temp/`. */
    readonly check: Effect.Effect<StoreCheck, StoreFailure>
  }
>() {}
