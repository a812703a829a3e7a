/**
 * The release store: tarballs in `release_store/`, and their metadata in SQLite.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlError from "@effect/sql/SqlError"
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Manifest, ManifestEntry } from "../domain/Manifest.ts"
import type { Members } from "../domain/Members.ts"
import { type Metadata, parseSelector, Release, ReleaseName, shortRef, Tag, tarballName } from "../domain/Release.ts"
import * as files from "../internal/files.ts"
import { sha256Sum } from "../internal/machine.ts"
import { once } from "../internal/once.ts"
import * as sqlite from "../internal/sqlite.ts"
import { warn } from "../terminal/Reporter.ts"
import { Workspace, type WorkspaceNotFound, type WorkspacePaths } from "../workspace/Workspace.ts"
import * as Entries from "./Entries.ts"
import { ManifestDamaged, packManifest } from "./manifests.ts"
import { migrations, newest } from "./migrations.ts"
import { type Form, select } from "./Selection.ts"
import { Tarballs, TarballsError } from "./Tarballs.ts"

/** The store could not be read or written. `operation` is the failed operation. */
export class ReleaseStoreError extends Schema.TaggedError<ReleaseStoreError>()("ReleaseStoreError", {
  operation: Schema.String,
  /** The cause and the remedy, one sentence. */
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  readonly exitStatus = 1
  override get message(): string {
    return `Could not ${this.operation}: ${this.detail}`
  }
}

/** No release matches the word. */
export class ReleaseNotFound extends Schema.TaggedError<ReleaseNotFound>()("ReleaseNotFound", {
  /** The id, name or ref that the user gave. */
  selector: Schema.String,
  /** Names of existing releases, for the message. */
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

/** Several refs begin with the word. */
export class ReleaseAmbiguous extends Schema.TaggedError<ReleaseAmbiguous>()("ReleaseAmbiguous", {
  selector: Schema.String,
  refs: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `"${this.selector}" is the beginning of several refs (${this.refs.join(", ")}): give more of it`
  }
}

/** The release is recorded but its tarball is missing from `release_store/`. The entry has been cleared. */
export class TarballMissing extends Schema.TaggedError<TarballMissing>()("TarballMissing", { release: Release }) {
  readonly exitStatus = 1
  override get message(): string {
    const { fileName, name, ref } = this.release
    return `The tarball ${fileName} of release ${name} (${shortRef(ref)}) is gone from release_store/, so its entry was cleared: build it again, or deploy another one`
  }
}

/** The tarball in `release_store/` is not the one that was stored. */
export class TarballDamaged extends Schema.TaggedError<TarballDamaged>()("TarballDamaged", { release: Release }) {
  readonly exitStatus = 1
  override get message(): string {
    const { fileName, id, name, ref } = this.release
    return `The tarball ${fileName} of release ${name} (${shortRef(ref)}) in release_store/ is not what was stored (its SHA-256 is another one): remove it with deployer manage delete ref=${id} and build it again, and look at the disk of this machine`
  }
}

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

const failed = (operation: string) => (error: { readonly detail: string; readonly cause?: unknown }) =>
  new ReleaseStoreError({ operation, detail: error.detail, cause: error.cause })

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
      receive: (tarball) => use((store) => store.receive(tarball)),
      add: (parcel, draft) => use((store) => store.add(parcel, draft)),
      content: (release, offset) => Stream.unwrap(Effect.map(store, (store) => store.content(release, offset))),
      entries: (release, paths) => Stream.unwrap(Effect.map(store, (store) => store.entries(release, paths))),
      file: (release, path) => Stream.unwrap(Effect.map(store, (store) => store.file(release, path))),
      prove: (release) => use((store) => store.prove(release)),
      manifest: (release) => use((store) => store.manifest(release)),
      remove: (releases) => use((store) => store.remove(releases)),
      count: (query) => use((store) => store.count(query)),
      names: use((store) => store.names),
      check: use((store) => store.check)
    }
  })

/** Runs the migrations. Does not take the write lock if there are none to run. */
const migrate = (exclusively: Entries.Entries["exclusively"]) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const table = "migrations"
    const done = Effect.gen(function* () {
      const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`
      if (tables.length === 0) return 0
      const rows = yield* sql`SELECT COALESCE(MAX(migration_id), 0) AS id FROM ${sql(table)}`
      const [row] = yield* Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ id: Schema.Int })))(rows)
      return row.id
    })
    const before = yield* done
    if (before > newest) {
      return yield* new ReleaseStoreError({
        operation: "open the release store",
        detail: `a newer deployer has changed its database (step ${before}, this one knows ${newest}): update deployer`
      })
    }
    if (before < newest) {
      yield* exclusively(Migrator.make({})({ loader: Migrator.fromRecord(migrations), table }))
    }
  })

// A few files are checked one by one, many with one listing of the folder.
const fewFiles = 32

const make: Effect.Effect<Store, ReleaseStoreError, SqlClient.SqlClient | Tarballs> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tarballs = yield* Tarballs
  const entries = yield* Entries.make

  const { isReadOnly, path } = yield* sqlite.DatabaseFile
  const database =
    path ??
    (yield* Effect.match(sql`SELECT file FROM pragma_database_list WHERE name = 'main'`, {
      onFailure: () => "of the store",
      onSuccess: (rows) => {
        const file = rows[0]?.file
        return typeof file === "string" && file !== "" ? file : "in memory"
      }
    }))

  /** Turns any failure of a database or a disk into the one error of this service. */
  const during =
    (operation: string) =>
    <A, E, R>(effect: Effect.Effect<A, E | Internal, R>) =>
      effect.pipe(
        Effect.catchAllDefect(
          (defect): Effect.Effect<never, Internal> =>
            sqlite.isSqlDefect(defect)
              ? Effect.fail(new SqlError.SqlError({ cause: defect }))
              : isInternal(defect)
                ? Effect.fail(defect)
                : Effect.die(defect)
        ),
        Effect.catchIf(isInternal, (error) => Effect.fail(failed(operation)(inWords(database, error))))
      )

  const gone = (releases: ReadonlyArray<Release>) =>
    releases.length <= fewFiles
      ? Effect.filter(releases, ({ fileName }) => tarballs.has(fileName), { negate: true })
      : Effect.map(tarballs.names, (names) => releases.filter(({ fileName }) => !names.has(fileName)))

  /** Removes entries without a tarball. Fails first if the folder is unreachable: a missing disk would otherwise cost all entries. */
  const forget = (lost: ReadonlyArray<Release>) =>
    lost.length === 0 ? Effect.void : Effect.zipRight(tarballs.reachable, entries.remove(lost))

  /** Clears entries, unless another process cleared them or restored their tarballs. Returns the entries it cleared. */
  const clear = (releases: ReadonlyArray<Release>) =>
    entries.exclusively(
      Effect.gen(function* () {
        const recorded = yield* Effect.filter(releases, ({ id }) => Effect.map(entries.withId(id), Option.isSome))
        const lost = yield* gone(recorded)
        yield* forget(lost)
        return lost
      })
    )

  const clearAloud = Effect.fnUntraced(function* (releases: ReadonlyArray<Release>) {
    for (const { fileName, name, ref } of yield* clear(releases)) {
      yield* warn(
        `The tarball ${fileName} is gone from release_store/: the entry of ${name} (${shortRef(ref)}) was cleared`
      )
    }
  })

  const list = (query: ReleaseQuery): Effect.Effect<ReadonlyArray<Release>, Internal> =>
    Effect.gen(function* () {
      const releases = yield* entries.list(query)
      const lost = yield* gone(releases)
      if (lost.length === 0) return releases
      yield* clearAloud(lost)
      return yield* list(query)
    })

  const candidates = (selector: string) =>
    Effect.gen(function* () {
      const { id, name, refPrefix } = parseSelector(selector)
      const byId = id === undefined ? Option.none() : yield* entries.withId(id)
      if (Option.isSome(byId)) return [byId.value]
      const byName = name === undefined ? Option.none() : yield* entries.latestOf(name)
      if (Option.isSome(byName)) return [byName.value]
      return refPrefix === undefined ? [] : yield* entries.withRefPrefix(refPrefix)
    })

  const find = (selector: string): Effect.Effect<Release, ReleaseNotFound | ReleaseAmbiguous | Internal> =>
    Effect.gen(function* () {
      const releases = yield* candidates(selector)
      const lost = yield* gone(releases)
      if (lost.length > 0) {
        yield* clearAloud(lost)
        return yield* find(selector)
      }
      const [release, ...others] = releases
      if (release === undefined) return yield* new ReleaseNotFound({ selector, known: yield* entries.names })
      if (others.length > 0) return yield* new ReleaseAmbiguous({ selector, refs: releases.map(({ ref }) => ref) })
      return release
    })

  const freeDate = (name: string, date: DateTime.Utc): Effect.Effect<DateTime.Utc, Internal> =>
    Effect.gen(function* () {
      const taken =
        (yield* entries.isTaken(name, Math.floor(date.epochMillis / 1000))) ||
        (yield* tarballs.has(tarballName(name, date)))
      return taken ? yield* freeDate(name, DateTime.add(date, { seconds: 1 })) : date
    })

  const add = (parcel: Parcel, draft: ReleaseDraft) =>
    Effect.gen(function* () {
      const { name, tags } = yield* Schema.validate(Named)(draft)
      const manifest = yield* packManifest(draft.manifest)
      let placed: string | undefined
      let settle: Effect.Effect<void> = Effect.void
      const place = (fileName: string) =>
        Effect.map(tarballs.place(parcel.path, fileName), (settled) => {
          placed = fileName
          settle = settled
        })
      return yield* entries
        .exclusively(
          Effect.gen(function* () {
            // Add only to the folder that holds the earlier tarballs: in any other place, those would count as missing.
            if ((yield* entries.count({})) > 0) yield* tarballs.reachable
            const same = yield* entries.withRef(parcel.ref)
            if (Option.isSome(same)) {
              if (same.value.name !== name) {
                return yield* new ReleaseStoreError({
                  operation: `add a release of ${name}`,
                  detail: `its bytes are those of release ${same.value.id}, which is one of ${same.value.name}: delete that one first, or build again`
                })
              }
              if (!(yield* tarballs.has(same.value.fileName))) yield* place(same.value.fileName)
              return yield* entries.renew(same.value, tags)
            }
            const createdAt = yield* freeDate(name, draft.createdAt)
            yield* place(tarballName(name, createdAt))
            const { ref, sha256, size } = parcel
            return yield* entries.insert({
              name,
              ref,
              sha256,
              size,
              tags,
              createdAt,
              metadata: draft.metadata,
              manifest,
              members: draft.members
            })
          })
        )
        .pipe(
          Effect.onError(() =>
            placed === undefined ? Effect.void : Effect.ignore(tarballs.takeBack(parcel.path, placed))
          ),
          Effect.ensuring(Effect.suspend(() => settle))
        )
    })

  const opened = (release: Release, offset: number) =>
    Effect.gen(function* () {
      // Another release may have taken the file name of a removed one.
      const recorded = yield* entries.withId(release.id)
      const found = yield* Option.isNone(recorded) ? Effect.succeedNone : tarballs.open(recorded.value.fileName, offset)
      if (Option.isNone(found)) {
        yield* clear([release])
        return yield* new TarballMissing({ release })
      }
      if (found.value.size !== release.size) {
        return yield* new TarballsError({
          detail: `it has ${found.value.size} bytes, and ${release.size} were stored: delete this release and build it again`
        })
      }
      return found.value
    })

  // A release's contents never change, and decoding them takes a while.
  const decoded = new WeakMap<Release, Manifest>()
  const manifestOf = (release: Release) =>
    Effect.gen(function* () {
      const known = decoded.get(release)
      if (known !== undefined) return known
      const manifest = yield* entries.manifest(release.id)
      if (Option.isNone(manifest)) {
        return yield* new ManifestDamaged({ detail: `release ${release.id} is not in the store any more` })
      }
      decoded.set(release, manifest.value)
      return manifest.value
    })

  const taken = (
    release: Release,
    form: Form,
    choose: (manifest: Manifest) => Effect.Effect<(entry: ManifestEntry) => boolean, TarballsError>
  ) => {
    const operation = `read from the tarball ${release.fileName}`
    return Stream.unwrapScoped(
      Effect.gen(function* () {
        const tarball = yield* opened(release, 0)
        const manifest = yield* manifestOf(release)
        const members = yield* entries.members(release.id)
        const wants = yield* choose(manifest)
        return Stream.mapError(select(tarball, { manifest, members, wants, form }), failed(operation))
      }).pipe(during(operation))
    )
  }

  yield* during("open the release store")(migrate(entries.exclusively))

  const content: Store["content"] = (release, offset = 0) => {
    const operation = `read the tarball ${release.fileName}`
    return Stream.unwrapScoped(
      Effect.map(opened(release, offset), ({ bytes }) => Stream.mapError(bytes, failed(operation))).pipe(
        during(operation)
      )
    )
  }

  return {
    list: (query = {}) => during("list the releases")(list(query)),
    find: (selector) => during(`look for the release "${selector}"`)(find(selector)),
    receive: (tarball) =>
      tarballs.receive(tarball).pipe(
        Effect.map(({ md5, path, sha256, size }) => ({ path, ref: md5.toUpperCase(), sha256, size })),
        Effect.catchAll((error) =>
          Effect.fail(error instanceof TarballsError ? failed("write the tarball")(error) : error)
        )
      ),
    // Short, and an interruption must not separate the tarball from its entry.
    add: (parcel, draft) => Effect.uninterruptible(during(`add a release of ${draft.name}`)(add(parcel, draft))),
    content,
    prove: (release) =>
      Effect.suspend(() => {
        const sum = sha256Sum()
        return Stream.runForEach(content(release), (chunk) => Effect.sync(() => sum.update(chunk))).pipe(
          Effect.flatMap(() => (sum.digest() === release.sha256 ? Effect.void : new TarballDamaged({ release })))
        )
      }),
    entries: (release, paths) => taken(release, "entries", () => Effect.succeed(({ path }) => paths.has(path))),
    file: (release, path) =>
      taken(release, "content", (manifest) => {
        const found = manifest.find((entry) => entry.path === path)
        const first = found?._tag === "Hardlink" ? found.to : path
        return found?._tag === "File" || found?._tag === "Hardlink"
          ? Effect.succeed((entry) => entry.path === first)
          : new TarballsError({ detail: `it holds no file ${JSON.stringify(path)}` })
      }),
    manifest: (release) =>
      manifestOf(release).pipe(during(`read the manifest of ${release.name} (${shortRef(release.ref)})`)),
    remove: (releases) =>
      Effect.gen(function* () {
        const recorded = yield* Effect.filter(releases, ({ id }) => Effect.map(entries.withId(id), Option.isSome))
        // Tarballs first: an entry without a tarball is found and cleared, but a tarball without an entry would stay forever.
        yield* Effect.forEach(recorded, ({ fileName }) => tarballs.remove(fileName), { discard: true })
        yield* entries.remove(recorded)
      }).pipe(entries.exclusively, during("remove releases"), Effect.uninterruptible),
    count: (query = {}) => during("count the releases")(entries.count(query)),
    names: during("list the names of releases")(entries.names),
    check: Effect.gen(function* () {
      if (isReadOnly) return { cleared: [], unknown: [] }
      yield* tarballs.sweep
      const stamp = yield* tarballs.stamp
      const before = yield* entries.checked
      if (Option.isSome(stamp) && Option.contains(before, stamp.value)) return { cleared: [], unknown: [] }
      // While nobody can add: between placing its tarball and writing its entry, a release would look like an unknown file.
      return yield* entries.exclusively(
        Effect.gen(function* () {
          const recorded = yield* entries.fileNames
          const own = new Set(recorded.map(({ fileName }) => fileName))
          const names = yield* tarballs.sweepKept((fileName) => own.has(fileName))
          const lost = recorded.filter(({ fileName }) => !names.has(fileName))
          const cleared = Arr.getSomes(yield* Effect.forEach(lost, ({ id }) => entries.withId(id)))
          yield* forget(cleared)
          const others = [...names].filter((name) => !own.has(name))
          // Do not remember a folder with other files: a file that is still being written may be left there without another change of the
          // folder.
          if (Option.isSome(stamp) && cleared.length + others.length === 0) yield* entries.remember(stamp.value)
          return { cleared, unknown: others.filter((name) => !name.startsWith(".")).toSorted() }
        })
      )
    }).pipe(during("check the release store"))
  }
})

const Named = Schema.Struct({ name: ReleaseName, tags: Schema.Array(Tag) })

/** Errors that must not leave this service unchanged. */
type Internal = SqlError.SqlError | Migrator.MigrationError | ParseResult.ParseError | TarballsError | ManifestDamaged

const isInternal = (error: unknown): error is Internal =>
  error instanceof SqlError.SqlError ||
  ParseResult.isParseError(error) ||
  error instanceof TarballsError ||
  error instanceof Migrator.MigrationError ||
  error instanceof ManifestDamaged

const firstIssue = (error: ParseResult.ParseError): string => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  return issue === undefined ? error.message : `${issue.path.map(String).join(".")}: ${issue.message.split("\n")[0]}`
}

const inWords = (database: string, error: Internal): { readonly detail: string; readonly cause?: unknown } => {
  switch (error._tag) {
    case "SqlError":
    case "MigrationError":
      return sqlite.explain(database, error)
    case "ParseError":
      return { detail: `an entry of the database ${database} makes no sense (${firstIssue(error)})`, cause: error }
    default:
      return error
  }
}
