/**
 * The release store: tarballs in `release_store/`, and their metadata in SQLite.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Manifest, ManifestEntry } from "../domain/Manifest.ts"
import type { Members } from "../domain/Members.ts"
import type { Metadata, Release } from "../domain/Release.ts"
import * as files from "../internal/files.ts"
import { once } from "../internal/once.ts"
import * as sqlite from "../internal/sqlite.ts"
import { Workspace, type WorkspaceNotFound, type WorkspacePaths } from "../workspace/Workspace.ts"
import { add } from "./adding.ts"
import { check, remove } from "./clearing.ts"
import * as Entries from "./Entries.ts"
import {
  failed,
  makeDuring,
  type ReleaseAmbiguous,
  type ReleaseNotFound,
  type ReleaseStoreError,
  type TarballDamaged,
  type TarballMissing
} from "./failures.ts"
import { find, list, newest } from "./finding.ts"
import { migrate } from "./migrations.ts"
import { reading } from "./reading.ts"
import { Tarballs, TarballsError } from "./Tarballs.ts"

/** A finished tarball in `temp/` that is not in the store yet. */
export interface Parcel {
  /** Absolute path, or a unique name if the store is in memory. */
  readonly path: string
  readonly ref: string
  readonly sha256: string
  /** Bytes. */
  readonly size: number
}

/** The metadata of a parcel to add. */
export interface ReleaseDraft {
  readonly name: string
  /** Without `latest`, which the store adds. */
  readonly tags: ReadonlyArray<string>
  /** Its whole seconds go into the file name. If that name is taken, the time moves on by a second. */
  readonly createdAt: DateTime.Utc
  readonly metadata: Metadata
  /** In the order of the tarball. */
  readonly manifest: Iterable<ManifestEntry>
  /** How the tarball is divided. If undefined, reading any part of it starts at its beginning. */
  readonly members?: Members | undefined
}

/** Which releases to list. Default: all. */
export interface ReleaseQuery {
  readonly name?: string
  readonly limit?: number
}

/** Disagreements between tarballs and entries. */
export interface StoreCheck {
  /** Entries with a missing tarball. They are cleared. */
  readonly cleared: ReadonlyArray<Release>
  /** Files in `release_store/` without an entry. They stay. */
  readonly unknown: ReadonlyArray<string>
}

/** The failures of any use of the store. */
export type StoreFailure = ReleaseStoreError | WorkspaceNotFound

/** Keeps releases. The first operation opens it. */
export class ReleaseStore extends Context.Tag("deployer/ReleaseStore")<
  ReleaseStore,
  {
    /** Newest first (by id). */
    readonly list: (query?: ReleaseQuery) => Effect.Effect<ReadonlyArray<Release>, StoreFailure>
    /** The number of releases, of this name or of all names. */
    readonly count: (query?: Pick<ReleaseQuery, "name">) => Effect.Effect<number, StoreFailure>
    /** The names of the releases, in alphabetical order. */
    readonly names: Effect.Effect<ReadonlyArray<string>, StoreFailure>
    /** The release with this id, the latest one of this name, or the one with a ref that begins like this (at least 4 digits). */
    readonly find: (selector: string) => Effect.Effect<Release, ReleaseNotFound | ReleaseAmbiguous | StoreFailure>
    /**
     * The newest release of a name that fits, otherwise the newest one. None if there is none of the name. Fails if its tarball is gone: an older
     * release is not what was asked for.
     */
    readonly newest: (
      name: string,
      fits: (release: Release) => boolean
    ) => Effect.Effect<Option.Option<Release>, TarballMissing | StoreFailure>
    /** Writes a tarball to `temp/` and hashes it on the way. It is removed with the scope unless it is added. */
    readonly receive: <E, R>(
      tarball: Stream.Stream<Uint8Array, E, R>
    ) => Effect.Effect<Parcel, E | StoreFailure, R | Scope.Scope>
    /**
     * Moves a parcel into `release_store/` and records it as the latest of its name, in one transaction. If a release with the same bytes
     * exists, that release is returned: it keeps its id, date and metadata, gets the additional tags and is the latest again (a ref names
     * one release). Two builds differ at least in their times, unless they are reproducible.
     */
    readonly add: (parcel: Parcel, draft: ReleaseDraft) => Effect.Effect<Release, StoreFailure>
    /** The tarball from byte `offset` (default 0) on. */
    readonly content: (release: Release, offset?: number) => Stream.Stream<Uint8Array, TarballMissing | StoreFailure>
    /**
     * The tar bytes (headers, content, padding; without the end of the archive) of these paths of the manifest, in the order of the
     * tarball. Reads and inflates only the parts that hold them. Checks all of them against the manifest on the way, and fails if the
     * tarball was changed.
     */
    readonly entries: (
      release: Release,
      paths: ReadonlySet<string>
    ) => Stream.Stream<Uint8Array, TarballMissing | StoreFailure>
    /** The content of one file of the release, also checked against its hash. Fails if the manifest has no such file. */
    readonly file: (release: Release, path: string) => Stream.Stream<Uint8Array, TarballMissing | StoreFailure>
    /** Hashes the tarball. Fails if it is not the one that was stored. */
    readonly prove: (release: Release) => Effect.Effect<void, TarballDamaged | TarballMissing | StoreFailure>
    /** The contents of the tarball. */
    readonly manifest: (release: Release) => Effect.Effect<Manifest, StoreFailure>
    /** How the tarball is divided. Undefined if that is unknown. */
    readonly members: (release: Release) => Effect.Effect<Members | undefined, StoreFailure>
    /** Removes entries and tarballs. If a name loses its `latest` release, its newest remaining one becomes latest. */
    readonly remove: (releases: ReadonlyArray<Release>) => Effect.Effect<void, StoreFailure>
    /**
     * Compares entries with tarballs, clears entries without a tarball and removes leftovers of killed builds from `temp/`. Once they
     * agree, they are not compared again until a file is added to or removed from the tarballs' folder.
     */
    readonly check: Effect.Effect<StoreCheck, StoreFailure>
  }
>() {
  /** On any SQLite `SqlClient` and any place for tarballs. Runs the migrations while the layer is built. */
  static readonly layerSql: Layer.Layer<ReleaseStore, ReleaseStoreError, SqlClient.SqlClient | Tarballs> = Layer.effect(
    this,
    Effect.suspend(() => make)
  )

  /** In the workspace. The first operation finds the workspace, opens the database and creates missing files. */
  static readonly layer: Layer.Layer<ReleaseStore, never, Workspace> = Layer.scoped(
    this,
    Effect.gen(function* () {
      const workspace = yield* Workspace
      return yield* lazily(Effect.flatMap(workspace.paths, openFile))
    })
  )

  /** Creates the database, or migrates an older one. */
  static readonly initialise = (paths: WorkspacePaths): Effect.Effect<void, ReleaseStoreError> =>
    Effect.scoped(Effect.asVoid(openFile(paths)))

  /** SQL and tarballs in memory. Each build of the layer is a separate store. */
  static readonly layerMemory: Layer.Layer<ReleaseStore> = Layer.scoped(
    this,
    Effect.suspend(() => lazily(openStore(":memory:", Tarballs.layerMemory)))
  )
}

type Store = Context.Tag.Service<ReleaseStore>

/** Opens the store of a workspace. Only the owner can read the database and SQLite's files beside it. */
const openFile = (paths: WorkspacePaths) =>
  Effect.gen(function* () {
    // If the file cannot be created, SQLite reports the reason.
    yield* Effect.ignore(files.makeFile(paths.database))
    yield* Effect.forEach(["", "-wal", "-shm"], (end) => files.makePrivate(`${paths.database}${end}`)).pipe(
      Effect.mapError(failed("open the release store"))
    )
    return yield* openStore(paths.database, Tarballs.layerFiles(paths))
  })

/** Opens the database and builds the store on it. Both are closed with the scope. */
const openStore = (database: string, tarballs: Layer.Layer<Tarballs>) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const client = yield* Effect.mapError(sqlite.open(database), failed("open the release store"))
    const context = yield* Layer.buildWithScope(
      Layer.provide(ReleaseStore.layerSql, Layer.merge(tarballs, Layer.succeedContext(client))),
      scope
    )
    return Context.get(context, ReleaseStore)
  })

/** A store that is opened by its first operation and closed with the scope. */
const lazily = (open: Effect.Effect<Store, StoreFailure, Scope.Scope>): Effect.Effect<Store, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const store = yield* once(Scope.extend(open, scope))
    const use = <A, E, R>(operation: (store: Store) => Effect.Effect<A, E, R>) => Effect.flatMap(store, operation)
    return {
      list: (query) => use((store) => store.list(query)),
      find: (selector) => use((store) => store.find(selector)),
      newest: (name, fits) => use((store) => store.newest(name, fits)),
      receive: (tarball) => use((store) => store.receive(tarball)),
      add: (parcel, draft) => use((store) => store.add(parcel, draft)),
      content: (release, offset) => Stream.unwrap(Effect.map(store, (store) => store.content(release, offset))),
      entries: (release, paths) => Stream.unwrap(Effect.map(store, (store) => store.entries(release, paths))),
      file: (release, path) => Stream.unwrap(Effect.map(store, (store) => store.file(release, path))),
      prove: (release) => use((store) => store.prove(release)),
      manifest: (release) => use((store) => store.manifest(release)),
      members: (release) => use((store) => store.members(release)),
      remove: (releases) => use((store) => store.remove(releases)),
      count: (query) => use((store) => store.count(query)),
      names: use((store) => store.names),
      check: use((store) => store.check)
    }
  })

const make: Effect.Effect<Store, ReleaseStoreError, SqlClient.SqlClient | Tarballs> = Effect.gen(function* () {
  const tarballs = yield* Tarballs
  const entries = yield* Entries.make
  const stock = { entries, tarballs }
  const { isReadOnly } = yield* sqlite.DatabaseFile
  const during = yield* makeDuring
  yield* during("open the release store")(migrate(entries.exclusively))
  return {
    ...reading(stock, during),
    list: (query = {}) => during("list the releases")(list(stock, query)),
    find: (selector) => during(`look for the release "${selector}"`)(find(stock, selector)),
    newest: (name, fits) => during(`look for the newest release of ${name}`)(newest(stock, name, fits)),
    receive: (tarball) =>
      tarballs.receive(tarball).pipe(
        Effect.map(({ md5, path, sha256, size }) => ({ path, ref: md5.toUpperCase(), sha256, size })),
        Effect.catchAll((error) =>
          Effect.fail(error instanceof TarballsError ? failed("write the tarball")(error) : error)
        )
      ),
    // Short, and an interruption must not separate the tarball from its entry.
    add: (parcel, draft) => Effect.uninterruptible(during(`add a release of ${draft.name}`)(add(stock, parcel, draft))),
    remove: (releases) => Effect.uninterruptible(during("remove releases")(remove(stock, releases))),
    count: (query = {}) => during("count the releases")(entries.count(query)),
    names: during("list the names of releases")(entries.names),
    check: isReadOnly ? Effect.succeed({ cleared: [], unknown: [] }) : during("check the release store")(check(stock))
  }
})
