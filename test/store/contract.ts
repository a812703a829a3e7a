import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as tar from "tar"
import { pack } from "../../src/build/Tarball.ts"
import type { ManifestEntry } from "../../src/domain/Manifest.ts"
import { latest, Metadata, type Release } from "../../src/domain/Release.ts"
import { type ReleaseDraft, ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { triesOf } from "../kit/exhaustive.ts"
import { sample } from "../kit/packed.ts"
import { dir, file, hardlink, symlink, type Tree, tarOf } from "../kit/tree.ts"

const text = new TextEncoder()

export const bytesOf = (content: string) => Stream.fromIterable([...content].map((letter) => text.encode(letter)))

export const noon = DateTime.unsafeMake("2026-03-01T12:00:00.250Z")

export const draft = (name: string, more: Partial<ReleaseDraft> = {}): ReleaseDraft => ({
  name,
  tags: ["prod"],
  createdAt: noon,
  metadata: Metadata.make({}),
  manifest: [{ _tag: "File", path: `${name}/bin/${name}`, mode: 0o755, size: 3, sha256: "0".repeat(64) }],
  ...more
})

export const store = (content: string, of: ReleaseDraft) =>
  Effect.scoped(
    Effect.gen(function* () {
      const releases = yield* ReleaseStore
      return yield* releases.add(yield* releases.receive(bytesOf(content)), of)
    })
  )

export const textOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
  Effect.map(Stream.runCollect(bytes), (chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)).toString())

const all = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
  Effect.map(Stream.runCollect(bytes), (chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)))

/** Builds a tree, with extra files, into a release whose tarball is cut as a real one is. */
const built = (tree: Tree, { known = true, extra = "" }: { readonly known?: boolean; readonly extra?: string } = {}) =>
  Effect.gen(function* () {
    const releases = yield* ReleaseStore
    const extraFiles = extra === "" ? [] : [{ path: "prod.env", file: extra }]
    const packing = pack(Stream.make<[Uint8Array]>(tarOf(tree)), { name: "my_app", extraFiles, level: 1 })
    const parcel = yield* releases.receive(packing.content)
    const manifest = yield* packing.manifest
    const members = known ? yield* packing.members : undefined
    return yield* releases.add(parcel, draft("my_app", { manifest, members }))
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** The same by hand: the tar is read whole and cut at each header. */
const filtered = (tarball: Uint8Array, paths: ReadonlySet<string>) => {
  const bytes = gunzipSync(tarball)
  const kept: Array<Uint8Array> = []
  for (let at = 0, begin = 0; at + 1024 < bytes.length; ) {
    const header = new tar.Header(bytes, at)
    const end = at + 512 + Math.ceil((header.size ?? 0) / 512) * 512
    if (header.type?.startsWith("NextFile") === true) {
      at = end
      continue
    }
    const long =
      begin === at ? undefined : bytes.subarray(begin + 512, begin + 512 + new tar.Header(bytes, begin).size! - 1)
    const isLongPath = new tar.Header(bytes, begin).type === "NextFileHasLongPath"
    const path = (isLongPath ? long!.toString() : header.path!).replace(/\/$/, "")
    if (paths.has(path)) kept.push(bytes.subarray(begin, end))
    at = end
    begin = end
  }
  return Buffer.concat(kept)
}

const block = (seed: number, size: number) => {
  let state = seed + 1
  return Array.from({ length: size }, () => {
    state = (state * 48271) % 2147483647
    return String.fromCharCode(32 + (state % 90))
  }).join("")
}

/** Several members, files within one and over three of them, names of all lengths. */
const wide: Tree = [
  dir("."),
  dir("bin"),
  file("bin/my_app", "#!/bin/sh\n", 0o755),
  symlink("bin/link", "../lib/a"),
  file("large", block(1, 2_500_000)),
  ...Array.from({ length: 30 }, (_, index) =>
    file(`many/${index}`.padEnd(60 + index * 3, "x"), block(index, index * 4000))
  ),
  file("empty", ""),
  file("last", block(3, 1_048_576)),
  hardlink("second", "large")
]

const action = FastCheck.oneof(
  FastCheck.record({
    add: FastCheck.constantFrom("a", "b"),
    content: FastCheck.stringMatching(/^[a-z]{1,2}$/)
  }),
  FastCheck.record({ remove: FastCheck.array(FastCheck.nat(5), { minLength: 1, maxLength: 3 }) })
)

/** The rules for any release store; the layer makes an empty store each time it is built. */
export const contract = (title: string, layer: Layer.Layer<ReleaseStore>) =>
  describe(title, () => {
    /** A test on an empty store; its title is a whole sentence. */
    const test = (title: string, body: Effect.Effect<void, unknown, ReleaseStore>) =>
      it.effect(title, () => Effect.provide(body, layer))

    test(
      "A new store is empty.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        assert.deepStrictEqual(yield* releases.list(), [])
        assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
        const error = yield* Effect.flip(releases.find("my_app"))
        assert.include(error.message, "the store is empty")
      })
    )

    test(
      "The store returns a release with its hashes, tags, metadata and manifest.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const metadata = Metadata.make({ builder: "prod", commit: "c".repeat(40), dirty: true, buildMillis: 12 })
        const of = draft("my_app", { tags: ["eu", "prod", "eu", latest], metadata })
        const added = yield* store("hello", of)
        assert.strictEqual(added.id, 1)
        assert.strictEqual(added.ref, createHash("md5").update("hello").digest("hex").toUpperCase())
        assert.strictEqual(added.sha256, createHash("sha256").update("hello").digest("hex"))
        assert.strictEqual(added.size, 5)
        assert.deepStrictEqual(added.tags, ["eu", "prod", latest])
        assert.strictEqual(added.fileName, "my_app-1772366400.tar.gz")
        assert.deepStrictEqual(yield* releases.list(), [added])
        assert.deepStrictEqual(added.metadata, metadata)
        assert.deepStrictEqual(yield* releases.manifest(added), of.manifest)
        assert.strictEqual(yield* textOf(releases.content(added)), "hello")
        assert.strictEqual(yield* textOf(releases.content(added, 3)), "lo")
        assert.strictEqual(yield* textOf(releases.content(added, 5)), "")
        assert.strictEqual(yield* textOf(releases.content(added, 9)), "")
      })
    )

    test(
      "The store lists the newest releases first, by name and number, and moves latest within a name.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        yield* store("1", draft("a"))
        yield* store("2", draft("b"))
        yield* store("3", draft("a"))
        assert.deepStrictEqual(
          (yield* releases.list()).map(({ id, isLatest }) => [id, isLatest]),
          [
            [3, true],
            [2, true],
            [1, false]
          ]
        )
        assert.deepStrictEqual(
          (yield* releases.list({ name: "a" })).map(({ id }) => id),
          [3, 1]
        )
        assert.deepStrictEqual(
          (yield* releases.list({ name: "a", limit: 1 })).map(({ id }) => id),
          [3]
        )
        assert.deepStrictEqual(
          (yield* releases.list({ limit: 2 })).map(({ id }) => id),
          [3, 2]
        )
        const counts = [releases.count(), releases.count({ name: "a" }), releases.count({ name: "c" })]
        assert.deepStrictEqual(yield* Effect.all(counts), [3, 2, 0])
        assert.deepStrictEqual(yield* releases.names, ["a", "b"])
        yield* releases.remove(yield* releases.list({ name: "b" }))
        assert.deepStrictEqual(yield* releases.names, ["a"])
      })
    )

    test(
      "The store moves a file name on by a second if it is taken.",
      Effect.gen(function* () {
        yield* store("1", draft("a"))
        const second = yield* store("2", draft("a"))
        const third = yield* store("3", draft("a"))
        assert.strictEqual(second.fileName, "a-1772366401.tar.gz")
        assert.strictEqual(third.fileName, "a-1772366402.tar.gz")
        assert.strictEqual((yield* store("4", draft("b"))).fileName, "b-1772366400.tar.gz")
      })
    )

    test(
      "The store finds a release by id, name, ref or the beginning of a ref, in this order.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const one = yield* store("one", draft("my_app"))
        const two = yield* store("two", draft("my_app"))
        const three = yield* store("three", draft("dead"))
        const find = (word: string) => Effect.map(releases.find(word), ({ id }) => id)
        assert.strictEqual(yield* find("1"), one.id)
        assert.strictEqual(yield* find("my_app"), two.id)
        assert.strictEqual(yield* find(one.ref), one.id)
        assert.strictEqual(yield* find(one.ref.slice(0, 4).toLowerCase()), one.id)
        assert.strictEqual(yield* find("dead"), three.id)
        for (const word of ["9", "my", one.ref.slice(0, 3), "0000", ""]) {
          const error = yield* Effect.flip(releases.find(word))
          assert.strictEqual(error._tag, "ReleaseNotFound", word)
          assert.include(error.message, "dead, my_app")
        }
      })
    )

    test(
      "The store says which refs match an ambiguous beginning.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        // These two begin with the same four digits.
        const seen = new Map<string, string>()
        let pair: readonly [string, string] | undefined
        for (let n = 0; pair === undefined; n++) {
          const start = createHash("md5").update(`${n}`).digest("hex").slice(0, 4)
          const other = seen.get(start)
          if (other === undefined) seen.set(start, `${n}`)
          else pair = [other, `${n}`]
        }
        const [first, second] = [yield* store(pair[0], draft("a")), yield* store(pair[1], draft("a"))]
        const error = yield* Effect.flip(releases.find(first.ref.slice(0, 4)))
        assert.strictEqual(error._tag, "ReleaseAmbiguous")
        assert.include(error.message, first.ref)
        assert.include(error.message, second.ref)
        assert.strictEqual((yield* releases.find(first.ref)).id, first.id)
      })
    )

    test(
      "The store treats the same bytes as the same release.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const first = yield* store("same", draft("a"))
        yield* store("other", draft("a"))
        const again = yield* store("same", draft("a", { tags: ["canary"], createdAt: DateTime.add(noon, { days: 1 }) }))
        assert.strictEqual(again.id, first.id)
        assert.strictEqual(again.fileName, first.fileName)
        assert.deepStrictEqual(again.tags, ["prod", "canary", latest])
        assert.strictEqual((yield* releases.find("a")).id, first.id)
        assert.strictEqual((yield* releases.list()).length, 2)
        assert.strictEqual((yield* releases.list()).filter(({ isLatest }) => isLatest).length, 1)
        const error = yield* Effect.flip(store("same", draft("b")))
        assert.include(error.message, "one of a")
        assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
      })
    )

    test(
      "The store passes latest on to the newest release that is left, and never uses an id again.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const one = yield* store("1", draft("a"))
        const two = yield* store("2", draft("a"))
        const three = yield* store("3", draft("a"))
        yield* releases.remove([three])
        assert.strictEqual((yield* releases.find("a")).id, two.id)
        yield* releases.remove([two, one, one])
        assert.deepStrictEqual(yield* releases.list(), [])
        yield* releases.remove([two])
        assert.strictEqual((yield* store("4", draft("a"))).id, 4)
        assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
        assert.strictEqual((yield* Effect.flip(releases.manifest(one)))._tag, "ReleaseStoreError")
        assert.strictEqual((yield* Effect.flip(textOf(releases.content(one))))._tag, "TarballMissing")
      })
    )

    test(
      "The store keeps no trace of a tarball that fails or is not added.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const broken = Stream.concat(bytesOf("half"), Stream.fail("cut"))
        assert.strictEqual(yield* Effect.flip(Effect.scoped(releases.receive(broken))), "cut")
        const parcel = yield* Effect.scoped(releases.receive(bytesOf("whole")))
        const error = yield* Effect.flip(releases.add(parcel, draft("a")))
        assert.strictEqual(error._tag, "ReleaseStoreError")
        assert.deepStrictEqual(yield* releases.list(), [])
        assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
      })
    )

    test(
      "The store refuses a name or a tag that a file name or a list cannot hold.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        for (const of of [draft("../x"), draft(""), draft("a", { tags: ["two words"] })]) {
          assert.strictEqual((yield* Effect.flip(store("x", of)))._tag, "ReleaseStoreError")
        }
        assert.deepStrictEqual(yield* releases.list(), [])
        assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
      })
    )

    const read = (release: Release, paths: Iterable<string>) =>
      Effect.flatMap(ReleaseStore, (releases) => all(releases.entries(release, new Set(paths))))

    for (const known of [true, false]) {
      const how = known ? "with known member lengths" : "with unknown member lengths"
      test(
        `The store takes single entries out of tarballs ${how}.`,
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const release = yield* built(wide, { known, extra: "package.json" })
          const paths = (yield* releases.manifest(release)).map(({ path }) => path)
          const tarball = yield* all(releases.content(release))
          assert.isAbove(gunzipSync(tarball).length, 5 * 1024 * 1024)
          assert.include(paths, "prod.env")
          for (const path of paths) {
            const taken = yield* read(release, [path])
            assert.isAbove(taken.length, 0, path)
            assert.isTrue(taken.equals(filtered(tarball, new Set([path]))), path)
          }
          assert.isTrue((yield* read(release, paths)).equals(gunzipSync(tarball).subarray(0, -1024)))
          assert.strictEqual((yield* read(release, [])).length, 0)
          assert.strictEqual((yield* read(release, ["nowhere"])).length, 0)
          assert.strictEqual((yield* all(releases.file(release, "my_app/large"))).toString(), block(1, 2_500_000))
          assert.strictEqual((yield* all(releases.file(release, "my_app/second"))).toString(), block(1, 2_500_000))
          assert.strictEqual((yield* all(releases.file(release, "my_app/empty"))).length, 0)
          for (const path of ["my_app/bin", "my_app/bin/link", "nowhere"]) {
            const error = yield* Effect.flip(all(releases.file(release, path)))
            assert.include(error.message, `it holds no file "${path}"`)
          }
        })
      )
    }

    test(
      "The store takes no entry out of a tarball that its manifest does not describe.",
      Effect.gen(function* () {
        const releases = yield* ReleaseStore
        const one: Release = yield* built(wide)
        const manifest = yield* releases.manifest(one)
        const tarball = yield* all(releases.content(one))
        const lying = (change: Partial<ReleaseDraft>, bytes: Uint8Array = tarball) =>
          Effect.scoped(
            Effect.gen(function* () {
              // Another comment in the header of the first member makes it another release.
              const other = Buffer.from(bytes)
              other[4] = (other[4] ?? 0) + 1 + (yield* releases.list()).length
              const parcel = yield* releases.receive(Stream.make(other))
              return yield* releases.add(parcel, draft("my_app", { manifest, ...change }))
            })
          )
        const large = "my_app/large"
        const says = (release: Release, pattern: RegExp) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(read(release, [large]))
            assert.strictEqual(error._tag, "ReleaseStoreError")
            assert.match(error.message, pattern)
            assert.match((yield* Effect.flip(all(releases.file(release, large)))).message, pattern)
          })
        const packing = pack(Stream.make<[Uint8Array]>(tarOf(wide)), { name: "my_app", level: 1 })
        yield* Stream.runDrain(packing.content)
        const members = yield* packing.members
        const edited = (change: (entry: ManifestEntry) => ManifestEntry | undefined) =>
          manifest.flatMap((entry) => change(entry) ?? [])
        const otherHash = edited((entry) => (entry._tag === "File" ? { ...entry, sha256: "0".repeat(64) } : entry))
        const otherSize = edited((entry) => (entry.path === large && "size" in entry ? { ...entry, size: 7 } : entry))
        const otherPlace = edited((entry) => (entry.path === "my_app/bin" ? undefined : entry))
        for (const cut of [undefined, members]) {
          yield* says(yield* lying({ manifest: otherHash, members: cut }), /"my_app\/large" is not as it was packed/)
          yield* says(yield* lying({ manifest: otherSize, members: cut }), /"my_app\/large" is not as it was packed/)
          const damaged = Buffer.from(tarball)
          damaged[Math.floor(tarball.length / 4)]! ^= 1
          yield* says(yield* lying({ members: cut }, damaged), /it is damaged/)
        }
        yield* says(yield* lying({ manifest: otherPlace, members }), /damaged|is not as it was|does not hold/)
        yield* says(yield* lying({}, sample("2").tarball), /it does not hold "my_app\/large"/)
        // A table that cannot be true is not used.
        for (const lengths of [
          [tarball.length],
          members.lengths.slice(1),
          members.lengths.map((length) => length + 1)
        ]) {
          const release = yield* lying({ members: { ...members, lengths } })
          assert.strictEqual((yield* all(releases.file(release, large))).length, 2_500_000)
        }
        const [first = 0, second = 0, ...rest] = members.lengths
        const shifted = yield* lying({ members: { ...members, lengths: [first + 1, second - 1, ...rest] } })
        yield* says(shifted, /it is damaged/)
      }).pipe(Effect.provide(NodeContext.layer))
    )

    it.effect.prop(
      "The store takes the same entries out of a tarball as a full read does, for any tree and any paths.",
      [
        FastCheck.array(
          FastCheck.tuple(FastCheck.nat(130), FastCheck.oneof(FastCheck.nat(3000), FastCheck.nat(900_000))),
          {
            minLength: 1,
            maxLength: 8
          }
        ),
        FastCheck.infiniteStream(FastCheck.boolean()),
        FastCheck.boolean()
      ],
      ([files, wanted, known]) =>
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const tree = files.map(([name, size], index) =>
            file(`${`${index}`.padEnd(name + 1, "ä/b")}z`, block(index, size))
          )
          const release = yield* built([dir("."), ...tree], { known })
          const paths = new Set(
            (yield* releases.manifest(release)).map(({ path }) => path).filter(() => wanted.next().value)
          )
          const tarball = yield* all(releases.content(release))
          assert.isTrue((yield* read(release, paths)).equals(filtered(tarball, paths)))
        }).pipe(Effect.provide(layer), Effect.orDie),
      { fastCheck: { numRuns: triesOf(25) } }
    )

    it.effect.prop(
      "The store keeps one latest per name and never uses an id again, for any additions and removals.",
      [FastCheck.array(action, { maxLength: 10 })],
      ([actions]) =>
        Effect.gen(function* () {
          const releases = yield* ReleaseStore
          const nameOf = new Map<number, string>()
          let highest = 0
          for (const one of actions) {
            const before = yield* releases.list()
            if ("add" in one) {
              const content = `${one.add} ${one.content}`
              const known = before.find(
                ({ ref }) => ref === createHash("md5").update(content).digest("hex").toUpperCase()
              )
              const added = yield* store(content, draft(one.add))
              if (known === undefined) assert.isAbove(added.id, highest)
              else assert.strictEqual(added.id, known.id)
              assert.isTrue(added.isLatest)
              highest = Math.max(highest, added.id)
              assert.strictEqual(nameOf.get(added.id) ?? one.add, one.add)
              nameOf.set(added.id, one.add)
            } else {
              yield* releases.remove(before.filter((_, index) => one.remove.includes(index)))
            }
            const all = yield* releases.list()
            for (const name of new Set(all.map((release) => release.name))) {
              assert.strictEqual(all.filter((release) => release.name === name && release.isLatest).length, 1)
              assert.isTrue((yield* releases.find(name)).isLatest)
            }
          }
          assert.deepStrictEqual(yield* releases.check, { cleared: [], unknown: [] })
        }).pipe(Effect.provide(layer), Effect.orDie),
      { fastCheck: { numRuns: triesOf(15) } }
    )
  })
