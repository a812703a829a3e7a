import { createHash } from "node:crypto"
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { exportRelease, importRelease } from "../../src/commands/manage.ts"
import { paddingOf, type TarEntry, tarEnd, tarHeader } from "../../src/internal/tar.ts"
import { unpackTar } from "../../src/internal/unpackTarball.ts"
import { ReleaseStore } from "../../src/store/ReleaseStore.ts"
import { built, projectFolder, run, stored, usualConfig, usualImage, world } from "../kit/world.ts"

/** A store that has two releases, of which the first one is in a file. */
const exported = Effect.gen(function* () {
  const root = yield* projectFolder
  const file = join(root, "my_app.release")
  return yield* Effect.gen(function* () {
    const release = yield* built
    yield* built
    const report = yield* exportRelease({ release: "1", file })
    assert.isUndefined(report.known)
    const manifest = yield* (yield* ReleaseStore).manifest(release)
    return { root, file, release, manifest, bytes: readFileSync(file) }
  }).pipe(Effect.provide(world()))
})

type Parts = { record: Record<string, unknown>; tarball: Uint8Array }

const partsOf = (bytes: Uint8Array): Parts => {
  const [record, tarball] = unpackTar(bytes) ?? []
  return {
    record: JSON.parse(new TextDecoder().decode(record?.content)),
    tarball: tarball?.content ?? new Uint8Array()
  }
}

const entry: TarEntry = { path: "", type: "File", mode: 0o644, mtime: 0, size: 0, to: "" }

const file = (path: string, content: Uint8Array | string, more: Partial<TarEntry> = {}) => {
  const bytes = Buffer.from(content)
  const size = more.size ?? bytes.length
  return Buffer.concat([tarHeader({ ...entry, path, size, ...more }), bytes, new Uint8Array(paddingOf(bytes.length))])
}

const assembled = ({ record, tarball }: Parts, names = ["release.json", "release.tar.gz"]) =>
  Buffer.concat([file(names[0] ?? "", JSON.stringify(record)), file(names[1] ?? "", tarball), tarEnd])

const hash = (kind: "md5" | "sha256", bytes: Uint8Array) => createHash(kind).update(bytes).digest("hex")

/** A file whose record fits the tarball of these entries, as somebody who knows the format would make it. */
const forged = (record: Record<string, unknown>, ...entries: ReadonlyArray<Uint8Array>) => {
  const tarball = gzipSync(Buffer.concat([...entries, tarEnd]))
  const { parts: _, ...rest } = record
  const facts = { ref: hash("md5", tarball).toUpperCase(), sha256: hash("sha256", tarball), size: tarball.length }
  return assembled({ record: { ...rest, ...facts }, tarball })
}

const folder = tarHeader({ ...entry, path: "my_app", type: "Directory", mode: 0o755 })

/** Imports a file into a new store, which must stay empty, and returns the sentence. */
const refusal = (root: string, bytes: Uint8Array) =>
  Effect.gen(function* () {
    const name = join(root, "odd.release")
    writeFileSync(name, bytes)
    const before = readdirSync(root, { recursive: true, encoding: "utf8" })
    const ran = yield* run(`manage import file=${name}`)
    assert.strictEqual(ran.status, 2, ran.stderr)
    assert.lengthOf(yield* stored, 0)
    assert.sameMembers(readdirSync(root, { recursive: true, encoding: "utf8" }), before)
    const [, said = assert.fail(ran.stderr)] =
      /^deployer: \S+odd\.release cannot be imported, and nothing was stored: (.+)\n$/m.exec(ran.stderr) ?? []
    return said
  }).pipe(Effect.provide(world()))

describe("export and import", () => {
  it.scoped("An imported release is the exported one with the next id, and importing it again changes nothing.", () =>
    Effect.gen(function* () {
      const { bytes, file, manifest, release } = yield* exported
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      yield* TestClock.adjust("1 minute")
      yield* Effect.gen(function* () {
        yield* built
        const first = yield* run(`manage import file=${file}`)
        assert.strictEqual(first.status, 0, first.stderr)
        assert.match(first.stdout, /^Imported my_app \w{8} \(id 2, .*\)\n {4}built .* UTC by builder prod, tag prod\n$/)
        const [, imported = assert.fail("nothing was imported")] = yield* stored
        assert.deepEqual({ ...imported }, { ...release, id: 2, tags: ["prod", "latest"] })
        const store = yield* ReleaseStore
        assert.deepEqual(yield* store.manifest(imported), manifest)
        yield* store.prove(imported)
        const again = yield* run(`manage import file=${file}`)
        assert.strictEqual(again.status, 0, again.stderr)
        assert.match(again.stdout, /^my_app \w{8} \(id 2, .*\) is stored already/)
        assert.lengthOf(yield* stored, 2)
        // An export from here gives the same file.
        const back = yield* exportRelease({ release: "2", file })
        assert.isTrue(back.known)
        assert.deepEqual(readFileSync(file), bytes)
        assert.isUndefined((yield* importRelease({ file })).release.metadata.commit)
        const deployed = yield* run(`deploy target=prod release=${release.ref} yes`)
        assert.strictEqual(deployed.status, 0, deployed.stderr)
      }).pipe(Effect.provide(world({ image: () => usualImage("another") })))
    })
  )

  it.scoped("Export keeps another file of the name, and leaves nothing behind when it fails.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const file = join(root, "taken")
      yield* Effect.gen(function* () {
        yield* built
        writeFileSync(file, "mine")
        const taken = yield* run(`manage export release=1 file=${file}`)
        assert.strictEqual(taken.status, 2)
        assert.match(taken.stderr, /There is another file \S+taken, which stays as it is: name a new one/)
        assert.strictEqual(readFileSync(file, "utf8"), "mine")
        const [name = assert.fail("no tarball")] = readdirSync(join(root, "deployer/release_store")).filter((name) =>
          name.endsWith(".tar.gz")
        )
        const tarball = join(root, "deployer/release_store", name)
        const bytes = readFileSync(tarball)
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
        chmodSync(tarball, 0o600)
        writeFileSync(tarball, bytes)
        const damaged = yield* run(`manage export release=1 file=${join(root, "new")}`)
        assert.strictEqual(damaged.status, 1)
        assert.include(damaged.stderr, "is not what was stored")
        assert.sameMembers(readdirSync(root), ["deployer", "taken"])
      }).pipe(Effect.provide(world({ root })))
    })
  )

  it.scoped("The word latest names the latest release of a store with releases of one name.", () =>
    Effect.gen(function* () {
      const root = yield* projectFolder
      const other = { ...usualConfig.targets?.["prod"], host: "other", name: "other", path: "other", builder: "prod" }
      yield* Effect.gen(function* () {
        yield* built
        yield* built
        assert.strictEqual((yield* exportRelease({ release: "latest", file: join(root, "one") })).release.id, 2)
        yield* run("build target=other")
        const several = yield* run(`manage export release=latest file=${join(root, "two")}`)
        assert.strictEqual(several.status, 2)
        assert.include(several.stderr, "(there are my_app, other)")
        assert.isFalse(existsSync(join(root, "two")))
        assert.strictEqual((yield* run(`manage export release=my_app file=${join(root, "two")}`)).status, 0)
      }).pipe(
        Effect.provide(
          world({
            config: { ...usualConfig, targets: { ...usualConfig.targets, other } },
            image: () => ({
              files: { ...usualImage(String(Math.random())).files, "/app/_build/prod/rel/other/file": "other" }
            })
          })
        )
      )
    })
  )

  it.scoped("The manager exports and imports too.", () =>
    Effect.gen(function* () {
      const { file, release, root } = yield* exported
      yield* Effect.gen(function* () {
        const ran = yield* run("manage", "export", `import ${file}`, `export ${release.ref} ${root}/two words`, "q")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.include(ran.stderr, "export needs a ref file")
        assert.match(ran.stdout, /Imported my_app/)
        assert.deepEqual(readFileSync(`${root}/two words`), readFileSync(file))
      }).pipe(Effect.provide(world()))
    })
  )

  it.scoped("A file that was cut or changed anywhere is refused with a sentence.", () =>
    Effect.gen(function* () {
      const { bytes, root } = yield* exported
      for (const size of [0, 1, 511, 512, 600, 1024, 1536, bytes.length - 1025, bytes.length - 1]) {
        assert.match(yield* refusal(root, bytes.subarray(0, size)), /was cut|is not valid/, String(size))
      }
      assert.match(yield* refusal(root, Buffer.concat([bytes, Buffer.from("x")])), /something was added to it/)
      const { record, tarball } = partsOf(bytes)
      const start = bytes.indexOf(tarball)
      for (const at of [0, 10, 20, tarball.length - 1]) {
        const changed = Buffer.from(bytes)
        changed[start + at] = (changed[start + at] ?? 0) ^ 1
        assert.match(yield* refusal(root, changed), /its tarball is damaged/)
      }
      for (const change of [{ sha256: "0".repeat(64) }, { parts: undefined, sha256: "0".repeat(64) }]) {
        assert.match(yield* refusal(root, assembled({ record: { ...record, ...change }, tarball })), /is damaged/)
      }
      assert.match(
        yield* refusal(root, assembled({ record: { ...record, ref: "0".repeat(32) }, tarball })),
        /not the one of its record/
      )
      assert.match(
        yield* refusal(root, assembled({ record: { ...record, name: "other" }, tarball })),
        /"my_app\/?" beside the folder other/
      )
    })
  )

  it.scoped("A foreign file or record is refused with a sentence.", () =>
    Effect.gen(function* () {
      const { bytes, root } = yield* exported
      const { record, tarball } = partsOf(bytes)
      assert.match(yield* refusal(root, tarball), /not a file that "deployer manage export" wrote/)
      assert.match(yield* refusal(root, Buffer.alloc(4096)), /not a file that/)
      const names = ["../../etc/passwd", "release.tar.gz"]
      assert.match(yield* refusal(root, assembled({ record, tarball }, names)), /not a file that/)
      const second = ["release.json", "/etc/passwd"]
      assert.match(yield* refusal(root, assembled({ record, tarball }, second)), /not a file that/)
      const huge = Buffer.concat([file("release.json", "{}", { size: 2 ** 40 }), tarEnd])
      assert.match(yield* refusal(root, huge), /its record is too long/)
      for (const [change, said] of [
        [{ version: 2 }, "version: must be 1; another version of deployer made it"],
        [{ format: "tar" }, "format: must be deployer release"],
        [{ name: "../x" }, "name: must be 1 to 128"],
        [{ tags: ["a b"] }, "tags.0: must be 1 to 128"],
        [{ tags: ["latest"] }, "tags.0: must not be latest"],
        [{ size: -1 }, "size: "],
        [{ createdAt: "+100000-01-01T00:00:00Z" }, "createdAt: must be from 1970 to 9999"],
        [{ metadata: { builder: "\u001b[2J" } }, "metadata: must have only short texts"],
        [{ metadata: { commit: "x".repeat(2000) } }, "metadata: must have only short texts"],
        [{ parts: { bytes: 2 ** 40, lengths: [1], tarBytes: 1 } }, "parts: must be the parts of one tar"],
        [{ parts: { bytes: 1024, lengths: [1], tarBytes: 2 ** 40 } }, "parts: must be the parts of one tar"]
      ] as const) {
        const all = { ...record, ...change }
        const text = yield* refusal(root, assembled({ record: all, tarball }))
        assert.include(text, `its record is not valid (${said}`)
      }
      const parts = { bytes: 1024 * 1024, lengths: [1, 1, tarball.length], tarBytes: 3 * 1024 * 1024 }
      assert.match(yield* refusal(root, assembled({ record: { ...record, parts }, tarball })), /its tarball is damaged/)
      assert.match(
        yield* refusal(root, assembled({ record: { ...record, size: tarball.length + 1 }, tarball })),
        /a tarball of another size/
      )
    })
  )

  it.scoped("A tarball that deployer would not pack is refused, even if its record fits.", () =>
    Effect.gen(function* () {
      const { bytes, root } = yield* exported
      const { record } = partsOf(bytes)
      const good = file("my_app/a", "a")
      const link = (path: string, to: string) => tarHeader({ ...entry, path, type: "Symlink", mode: 0o777, to })
      const hard = (path: string, to: string) => tarHeader({ ...entry, path, type: "Hardlink", to })
      const pax = Buffer.from("20 path=../../evil\n\n")
      const header = Buffer.from(tarHeader({ ...entry, path: "x", size: pax.length }))
      for (const [said, ...entries] of [
        ["leads out of it", folder, file("my_app/../../evil", "x")],
        ["beside the folder", folder, good, file("../evil", "x")],
        ["beside the folder", folder, good, file("/etc/passwd", "x")],
        ["beside the folder", folder, good, file("..", "x")],
        ["beside the folder", folder, good, file(".deployer_manifest", "x")],
        ["beside the folder", folder, good, link("evil", "/etc")],
        ["after the files beside", folder, good, file("env", "x", { mode: 0o600 }), file("my_app/b", "b")],
        ["leads out of the release", folder, good, link("my_app/l", "../../..")],
        ["leads out of the release", folder, good, link("my_app/l", "/etc/passwd")],
        ["out of the release", folder, good, hard("my_app/h", "/etc/passwd")],
        ["is not a file before it", folder, good, hard("my_app/h", "my_app/later")],
        ['below "a", which is no directory', folder, good, file("my_app/a/b", "x")],
        ["twice", folder, good, good],
        ["not written as deployer writes it", folder, file("my_app/s", "x", { mode: 0o4755 })],
        ["not written as deployer writes it", good],
        ["not written as deployer writes it", folder, good, tarEnd, file("my_app/hidden", "x")],
        ["it is empty", folder],
        ["its tar is broken", folder, file("my_app/a", "a", { size: 2 ** 30 })],
        ["its tar is broken", Buffer.alloc(512, 1), header, pax]
      ] as const) {
        const text = yield* refusal(root, forged(record, ...entries))
        assert.include(text, said)
        assert.notMatch(text, /[\p{Cc}]/u)
      }
      // The same way, without a fault, is accepted.
      const name = join(root, "good.release")
      writeFileSync(name, forged(record, folder, good, file("prod.env", "x", { mode: 0o600 })))
      yield* Effect.gen(function* () {
        const ran = yield* run(`manage import file=${name}`)
        assert.strictEqual(ran.status, 0, ran.stderr)
      }).pipe(Effect.provide(world()))
    })
  )
})
