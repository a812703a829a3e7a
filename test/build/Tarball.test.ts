import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as tar from "tar"
import { ArtifactInvalid } from "../../src/build/ArtifactInvalid.ts"
import { extraFile, pack } from "../../src/build/Tarball.ts"
import type { Manifest } from "../../src/domain/Manifest.ts"
import { paddingOf, type TarEntry, tarEnd, tarHeader } from "../../src/internal/tar.ts"
import { elf } from "../kit/elf.ts"
import { dir, file, hardlink, sha256, symlink, type Tree, tarOf, treeIn, treeOf } from "../kit/tree.ts"

const packed = (tree: Uint8Array, options: Partial<Parameters<typeof pack>[1]> & { readonly chunk?: number } = {}) =>
  Effect.gen(function* () {
    const { chunk = 65536, ...rest } = options
    const pieces: Array<Uint8Array> = []
    for (let at = 0; at < tree.length; at += chunk) pieces.push(tree.subarray(at, at + chunk))
    const packing = pack(Stream.fromIterable(pieces), { name: "my_app", ...rest })
    const bytes = Buffer.concat(Chunk.toReadonlyArray(yield* Stream.runCollect(packing.content)))
    return {
      bytes,
      manifest: [...(yield* packing.manifest)],
      binaries: yield* packing.binaries,
      remarks: yield* packing.remarks
    }
  }).pipe(Effect.provide(NodeContext.layer))

const scratch = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-pack-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
)

/** Unpacks with a program of the system. */
const unpack = (bytes: Uint8Array, folder: string, tool: ReadonlyArray<string> = ["tar"]) => {
  fs.mkdirSync(folder, { recursive: true })
  execFileSync(tool[0]!, [...tool.slice(1), "-xzf", "-"], {
    input: bytes,
    cwd: folder,
    stdio: ["pipe", "pipe", "pipe"]
  })
}

const refused = (tree: Uint8Array, says: RegExp) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(packed(tree))
    assert.instanceOf(error, ArtifactInvalid)
    assert.match(error.message, says)
    assert.notMatch(error.message, /[\n\t]/)
  })

const raw = (entries: ReadonlyArray<Partial<TarEntry> & { readonly path: string }>, end = true) =>
  Buffer.concat([
    ...entries.map((entry) => tarHeader({ type: "File", mode: 0o644, mtime: 1, size: 0, to: "", ...entry })),
    ...(end ? [tarEnd] : [])
  ])

const example: Tree = [
  dir(".", 0o755),
  dir("bin"),
  file("bin/my_app", "#!/bin/sh\n", 0o755),
  symlink("bin/link", "../lib/a"),
  dir("lib"),
  file("lib/a", "content"),
  hardlink("lib/b", "lib/a"),
  file("lib/empty", "")
]

describe("pack", () => {
  it.effect("Packing finds the machines and loaders of a release's programs, however the bytes arrive.", () =>
    Effect.gen(function* () {
      const musl = "/lib/ld-musl-aarch64.so.1"
      const glibc = "/lib64/ld-linux-x86-64.so.2"
      const program = (path: string, content: Uint8Array, mode = 0o755) => [
        tarHeader({ path, type: "File", mode, mtime: 1, size: content.length, to: "" }),
        content,
        new Uint8Array(paddingOf(content.length))
      ]
      const tree = Buffer.concat([
        ...program("bin/a", elf({ interpreter: glibc, type: "shared", at: 7000 })),
        ...program("bin/again", Buffer.concat([elf({ interpreter: glibc }), Buffer.alloc(20_000)])),
        ...program("bin/b", elf({ machine: "aarch64", interpreter: musl })),
        ...program("bin/script", Buffer.from("#!/bin/sh\n")),
        ...program("lib/firmware", elf({ machine: "arm" }), 0o644),
        ...program("lib/a.so", elf({ machine: "s390x", type: "shared" })),
        ...program("bin/static", elf({ machine: "i386" })),
        tarEnd
      ])
      for (const chunk of [1, 1000, 65536]) {
        const { binaries } = yield* packed(tree, { chunk })
        assert.deepStrictEqual(binaries, { machines: ["aarch64", "i386", "x86_64"], interpreters: [musl, glibc] })
      }
      const { binaries } = yield* packed(tarOf(example))
      assert.deepStrictEqual(binaries, { machines: [], interpreters: [] })
    })
  )

  it.effect("Packing puts the release below its name and lists its contents.", () =>
    Effect.gen(function* () {
      const { manifest } = yield* packed(tarOf(example))
      assert.deepStrictEqual<Manifest>(manifest, [
        { _tag: "Directory", path: "my_app", mode: 0o755 },
        { _tag: "Directory", path: "my_app/bin", mode: 0o755 },
        { _tag: "File", path: "my_app/bin/my_app", mode: 0o755, size: 10, sha256: sha256("#!/bin/sh\n") },
        { _tag: "Symlink", path: "my_app/bin/link", to: "../lib/a" },
        { _tag: "Directory", path: "my_app/lib", mode: 0o755 },
        { _tag: "File", path: "my_app/lib/a", mode: 0o644, size: 7, sha256: sha256("content") },
        { _tag: "Hardlink", path: "my_app/lib/b", to: "my_app/lib/a" },
        { _tag: "File", path: "my_app/lib/empty", mode: 0o644, size: 0, sha256: sha256("") }
      ])
    })
  )

  it.effect("A tarball belongs to root, keeps times, and has no name or time in its gzip header.", () =>
    Effect.gen(function* () {
      const { bytes } = yield* packed(tarOf(example))
      assert.strictEqual(bytes.readUInt32LE(4), 0)
      assert.strictEqual(bytes[3], 0)
      const entries: Array<tar.ReadEntry> = []
      tar.list({ sync: true, onReadEntry: (entry) => entries.push(entry) }).end(bytes)
      assert.strictEqual(entries.length, example.length)
      for (const entry of entries) {
        assert.strictEqual(entry.uid, 0)
        assert.strictEqual(entry.gid, 0)
        assert.strictEqual(entry.uname, "")
        assert.strictEqual(entry.mtime?.getTime(), 1_600_000_000_000)
      }
    })
  )

  const tools: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["GNU tar", ["tar"]],
    ["BusyBox tar", ["busybox", "tar"]]
  ]
  const hard: Tree = [
    ...example,
    dir(`deep/${"d".repeat(90)}`),
    dir("deep"),
    file(`deep/${"d".repeat(90)}/${"f".repeat(200)}`, "long"),
    file(`deep/${"d".repeat(90)}/grüße-${"ß".repeat(80)}`, "long and not ASCII"),
    file("grüße ＄HOME 'quoted' \"double\" back\\slash", "odd"),
    symlink("far", `deep/${"d".repeat(90)}/${"f".repeat(200)}`),
    hardlink("far2", `deep/${"d".repeat(90)}/${"f".repeat(200)}`),
    file("exactly99".padEnd(99 - "my_app/".length, "x"), "99"),
    dir("d".repeat(91)),
    file(`${"d".repeat(91)}/a file, though its name's first 99 bytes end in a slash`, "file"),
    file("exactly100".padEnd(100 - "my_app/".length, "x"), "100"),
    file("big", "0123456789abcdef".repeat(200_000))
  ]
  for (const [title, tool] of tools) {
    it.scoped(`${title} unpacks a tarball with large files, long names and names that are not ASCII.`, () =>
      Effect.gen(function* () {
        const folder = yield* scratch
        const { bytes } = yield* packed(tarOf(hard))
        unpack(bytes, folder, tool)
        assert.deepStrictEqual(treeIn(path.join(folder, "my_app")), treeOf(hard))
      })
    )
  }

  it.scoped("The node-tar library unpacks a tarball with large files, long names and names that are not ASCII.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const { bytes } = yield* packed(tarOf(hard))
      yield* Effect.promise(
        () =>
          new Promise<void>((resolve, reject) => {
            const out = tar.extract({ cwd: folder, strict: true })
            out.on("close", () => resolve())
            out.on("error", reject)
            out.end(bytes)
          })
      )
      assert.deepStrictEqual(treeIn(path.join(folder, "my_app")), treeOf(hard))
    })
  )

  it.scoped("Packing reads a file whose name ends in a slash after GNU tar has cut it for the header.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const at = `${"d".repeat(97)}/file with a long name`
      fs.mkdirSync(path.dirname(path.join(folder, at)))
      fs.writeFileSync(path.join(folder, at), "content")
      const tree = execFileSync("tar", ["--format=gnu", "-cf", "-", "."], { cwd: folder })
      const { bytes, manifest } = yield* packed(tree)
      assert.deepInclude(manifest.at(-1), { path: `my_app/${at}`, size: 7, sha256: sha256("content") })
      const again = yield* packed(gunzipSync(bytes))
      assert.deepInclude(again.manifest.at(-1), { path: `my_app/my_app/${at}`, size: 7, sha256: sha256("content") })
    })
  )

  it.effect("Packing ignores extended attributes.", () =>
    Effect.gen(function* () {
      const plain = raw([{ path: "a" }])
      const record = "SCHILY.xattr.user.note=x\n"
      const attribute = paxHeader(`${record.length + 3} ${record}`)
      const { bytes } = yield* packed(Buffer.concat([attribute, plain]))
      assert.isTrue(bytes.equals((yield* packed(plain)).bytes))
    })
  )

  it.effect("Packing caps modification times at the newest that is allowed.", () =>
    Effect.gen(function* () {
      const at = (...times: ReadonlyArray<number>) =>
        raw(times.map((mtime, index) => ({ path: `d/${index}`, mtime })).concat({ path: "l", mtime: times[0]! }))
      const { bytes } = yield* packed(at(5, 1000, 1001, 2_000_000_000), { newest: 1000 })
      assert.isTrue(bytes.equals((yield* packed(at(5, 1000, 1000, 1000))).bytes))
      const times: Array<number> = []
      tar.list({ sync: true, onReadEntry: ({ mtime }) => times.push(mtime!.getTime() / 1000) }).end(bytes)
      assert.deepStrictEqual(times, [5, 5, 5, 1000, 1000, 1000, 5])
    })
  )

  it.effect("Packing stores incompressible data as it is, and compresses data that only looks incompressible.", () =>
    Effect.gen(function* () {
      const size = 3 * 1024 * 1024
      const tree = (content: Buffer) =>
        Buffer.concat([
          tarHeader({ path: "a", type: "File", mode: 0o644, mtime: 1, size, to: "" }),
          content,
          new Uint8Array(paddingOf(size)),
          tarEnd
        ])
      const noise = randomBytes(size)
      const stored = yield* packed(tree(noise))
      assert.isBelow(stored.bytes.length, size * 1.001)
      assert.isTrue(gunzipSync(stored.bytes).includes(noise))
      assert.isTrue(stored.bytes.equals((yield* packed(tree(noise), { chunk: 777_777 })).bytes))
      // All bytes occur equally often in it, but again and again in the same order.
      const repeated = Buffer.alloc(size, randomBytes(10_000))
      const shrunk = yield* packed(tree(repeated))
      assert.isBelow(shrunk.bytes.length, size / 20)
      assert.isTrue(gunzipSync(shrunk.bytes).includes(repeated))
    })
  )

  it.effect("Packing gives the same bytes however the stream is cut.", () =>
    Effect.gen(function* () {
      const tree = tarOf(hard)
      const one = yield* packed(tree, { chunk: 1_000_000 })
      const two = yield* packed(tree, { chunk: 1777 })
      assert.isTrue(one.bytes.equals(two.bytes))
      assert.deepStrictEqual(one.manifest, two.manifest)
    })
  )

  it.effect("Packing reads archives of GNU tar in the GNU and the pax format.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      const { bytes } = yield* packed(tarOf(hard))
      unpack(bytes, folder)
      const manifests: Array<Manifest> = []
      for (const format of ["gnu", "pax"]) {
        const tree = execFileSync("tar", ["--format", format, "--sort=name", "-cf", "-", "."], {
          cwd: path.join(folder, "my_app"),
          maxBuffer: 1e9
        })
        manifests.push((yield* packed(tree)).manifest)
      }
      assert.deepStrictEqual(manifests[0], manifests[1])
      assert.strictEqual(manifests[0]?.length, hard.length)
    }).pipe(Effect.scoped)
  )

  const Name = Schema.String.pipe(Schema.pattern(/^[a-zé .'"$-]{1,12}$/))
  const generated: FastCheck.Arbitrary<Tree> = FastCheck.array(
    FastCheck.record({
      path: FastCheck.array(Arbitrary.make(Name), { minLength: 1, maxLength: 4 }),
      kind: FastCheck.constantFrom("file", "dir", "symlink"),
      mode: FastCheck.constantFrom(0o644, 0o755, 0o600, 0o400),
      content: FastCheck.string({ maxLength: 2000 })
    }),
    { maxLength: 15 }
  ).map((made) => {
    const seen = new Map<string, Tree[number]>()
    for (const one of made) {
      const words = one.path.filter((word) => word !== "." && word !== "..")
      const at = words.join("/")
      const parents = words.slice(0, -1).map((_, index) => words.slice(0, index + 1).join("/"))
      if (at === "" || seen.has(at)) continue
      if (parents.some((parent) => seen.has(parent) && seen.get(parent)?.kind !== "dir")) continue
      for (const parent of parents) if (!seen.has(parent)) seen.set(parent, dir(parent))
      if (one.kind === "dir") seen.set(at, dir(at))
      else if (one.kind === "symlink") seen.set(at, symlink(at, words.at(-1)!))
      else seen.set(at, file(at, one.content, one.mode))
    }
    return [dir("."), ...seen.values(), file("always", "there")].filter(
      (entry, index, all) => all.findIndex((other) => other.path === entry.path) === index
    )
  })

  it.effect.prop(
    "Any tree unpacks as it went in, and packs to the same bytes each time.",
    [generated, FastCheck.integer({ min: 1, max: 3000 })],
    ([tree, chunk]) =>
      Effect.gen(function* () {
        const folder = yield* scratch
        const { bytes, manifest } = yield* packed(tarOf(tree), { chunk })
        unpack(bytes, folder)
        assert.deepStrictEqual(treeIn(path.join(folder, "my_app")), treeOf(tree))
        assert.strictEqual(manifest.length, tree.length)
        assert.isTrue(bytes.equals((yield* packed(tarOf(tree))).bytes))
      }).pipe(Effect.scoped),
    { fastCheck: { numRuns: 30 } }
  )

  it.effect("Packing adds the directories that paths imply.", () =>
    Effect.gen(function* () {
      const { manifest } = yield* packed(raw([{ path: "a/b/c" }]))
      assert.deepStrictEqual(
        manifest.map((entry) => entry.path),
        ["my_app", "my_app/a", "my_app/a/b", "my_app/a/b/c"]
      )
    })
  )

  it.effect("Packing leaves the owner access to every path and removes special mode bits.", () =>
    Effect.gen(function* () {
      const { manifest, remarks } = yield* packed(
        raw([
          { path: "d", type: "Directory", mode: 0o1555 },
          { path: "d/f", mode: 0o4011 }
        ])
      )
      assert.deepStrictEqual(
        manifest.map((entry) => ("mode" in entry ? entry.mode : 0)),
        [0o755, 0o755, 0o411]
      )
      assert.lengthOf(remarks, 1)
      assert.match(remarks[0] ?? "", /and 2 paths lose them \(first: "d" with 1555\)/)
      assert.deepStrictEqual((yield* packed(raw([{ path: "f", mode: 0o777 }]))).remarks, [])
    })
  )

  /** A header in which one field holds a number in base 256, with its sum put right. */
  const withNumber = (field: "size" | "mtime", value: bigint) => {
    const header = Buffer.from(tarHeader({ path: "f", type: "File", mode: 0o644, mtime: 1, size: 0, to: "" }))
    const at = field === "size" ? 124 : 136
    const bytes = Buffer.alloc(12)
    bytes.writeBigInt64BE(value, 4)
    bytes.writeInt32BE(value < 0n ? -1 : 0, 0)
    bytes[0] = value < 0n ? 0xff : 0x80
    bytes.copy(header, at)
    header.write("        ", 148)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    return Buffer.concat([header, tarEnd])
  }

  it.effect("Packing refuses a header with a negative size.", () =>
    refused(withNumber("size", -512n), /an incomplete tar stream: a header has no valid size/)
  )

  it.effect("Packing refuses a date that hosts do not take, and accepts the last one that they do.", () =>
    Effect.gen(function* () {
      for (const time of [0o77777777777n + 1n, 1n << 40n]) {
        yield* refused(withNumber("mtime", time), /has a date after the year 2242/)
      }
      yield* refused(withNumber("mtime", 1n << 62n), /a header (is damaged|has no valid date)/)
      yield* refused(Buffer.concat([paxHeader("22 mtime=8589934592.5\n"), raw([{ path: "f" }])]), /after the year 2242/)
      yield* packed(withNumber("mtime", 0o77777777777n))
      yield* packed(withNumber("mtime", 1n << 40n), { newest: 1_600_000_000 })
    })
  )

  it.effect("Packing refuses a release that holds a workspace's store or config at any depth.", () =>
    Effect.gen(function* () {
      for (const [workspace, file] of [
        ["deployer", "release_store/my_app-1772366400.tar.gz"],
        ["packages/api/deployer", "config/deployer_store.db"],
        ["deployer", "config/deployer_store.db-wal"],
        ["deployer", "config/deployer_config.ts"],
        ["deployer", "config/deployer_config.mjs"],
        // Copies under another name.
        ["deployer.bak", "release_store/.deployer_store"],
        ["old/deployer (copy)", "config/deployer_store.db"],
        ["my_deployer", "config/deployer_config.ts"]
      ] as const) {
        const { message } = yield* Effect.flip(packed(raw([{ path: "bin/my_app" }, { path: `${workspace}/${file}` }])))
        assert.include(message, `it holds "${workspace}/${file}", a part of a workspace of deployer`)
        assert.include(message, `keep ${workspace}/ out of`)
      }
      const others = ["deployer/config/prod.ts", "lib/deployer/release_store", "app/release_store/a.tar.gz"]
      yield* packed(raw(others.map((path) => ({ path }))))
    })
  )

  it.effect("Packing stores a hard link to a symbolic link as a symbolic link.", () =>
    Effect.gen(function* () {
      const { manifest } = yield* packed(
        raw([{ path: "f" }, { path: "l", type: "Symlink", to: "f" }, { path: "h", type: "Hardlink", to: "./l" }])
      )
      assert.deepStrictEqual(manifest.at(-1), { _tag: "Symlink", path: "my_app/h", to: "f" })
    })
  )

  it.scoped("Packing adds an extra file at the root, readable only by its owner.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      fs.writeFileSync(path.join(folder, "prod.env"), "SECRET=1\n", { mode: 0o644 })
      const extra = yield* extraFile(path.join(folder, "prod.env"), "my_app")
      const { bytes, manifest } = yield* packed(tarOf(example), { extraFiles: [extra] })
      assert.deepStrictEqual(manifest.at(-1), {
        _tag: "File",
        path: "prod.env",
        mode: 0o600,
        size: 9,
        sha256: sha256("SECRET=1\n")
      })
      unpack(bytes, path.join(folder, "out"))
      assert.strictEqual(fs.readFileSync(path.join(folder, "out/prod.env"), "utf8"), "SECRET=1\n")
      assert.strictEqual(fs.statSync(path.join(folder, "out/prod.env")).mode & 0o777, 0o600)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("Packing refuses an extra file that is missing, is a directory or has a taken name.", () =>
    Effect.gen(function* () {
      const folder = yield* scratch
      fs.writeFileSync(path.join(folder, "my_app"), "")
      const why = (name: string) =>
        Effect.map(Effect.flip(extraFile(path.join(folder, name), "my_app")), (e) => e.message)
      assert.match(yield* why("absent.env"), /absent\.env cannot be added to the release: it does not exist/)
      assert.match(yield* why("../"), /not a regular file/)
      assert.match(yield* why("my_app"), /its name is taken/)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  describe("refuses", () => {
    it.effect("Packing refuses an empty release.", () =>
      refused(tarOf([dir("."), dir("bin"), symlink("a", "bin")]), /is empty/)
    )
    it.effect("Packing refuses an empty stream.", () => refused(Buffer.alloc(0), /ends too early/))
    it.effect("Packing refuses a stream that ends between two entries.", () =>
      refused(raw([{ path: "a" }], false), /ends too early/)
    )
    it.effect("Packing refuses a stream that ends within a file.", () =>
      refused(tarOf([file("a", "x".repeat(5000))]).subarray(0, 3000), /ends too early/)
    )
    it.effect("Packing refuses bytes that are not a tar archive.", () =>
      refused(Buffer.alloc(4096, "garbage "), /header is damaged/)
    )
    it.effect("Packing refuses a header with invalid numbers.", () =>
      refused(Buffer.alloc(4096, 0xc3), /header is damaged/)
    )
    it.effect("Packing refuses a path that leads out of the release through a parent folder.", () =>
      refused(raw([{ path: "a/../../b" }]), /"a\/\.\.\/\.\.\/b", which leads out/)
    )
    it.effect("Packing refuses an absolute path.", () =>
      refused(raw([{ path: "/etc/passwd" }]), /"\/etc\/passwd", which leads out/)
    )
    it.effect("Packing refuses a name with a line break.", () =>
      refused(raw([{ path: "a\nb" }]), /control character: "a\\nb"/)
    )
    it.effect("Packing refuses a pax name with a line break.", () => {
      const record = "11 path=a\nb\n".replace("11", "12")
      return refused(Buffer.concat([paxHeader(record), raw([{ path: "harmless" }])]), /control character: "a\\nb"/)
    })
    it.effect("Packing refuses a name that is not UTF-8.", () => {
      const tree = raw([{ path: "aXb" }])
      const header = Buffer.from(tree)
      header[1] = 0xff
      // The checksum is the plain sum of all bytes.
      header.write(
        (Number.parseInt(header.toString("latin1", 148, 154), 8) - 0x58 + 0xff).toString(8).padStart(6, "0"),
        148
      )
      return refused(header, /not UTF-8/)
    })
    it.effect("Packing refuses a file that appears twice.", () =>
      refused(raw([{ path: "a" }, { path: "./a" }]), /holds "a" twice/)
    )
    it.effect("Packing refuses a file in place of a directory.", () =>
      refused(raw([{ path: "a/b" }, { path: "a" }]), /holds "a" twice/)
    )
    it.effect("Packing refuses a file below a link.", () =>
      refused(
        raw([{ path: "l", type: "Symlink", to: "." }, { path: "l/x" }]),
        /"l\/x" below "l", which is no directory/
      )
    )
    it.effect("Packing refuses an absolute link.", () =>
      refused(
        raw([{ path: "localtime", type: "Symlink", to: "/usr/share/zoneinfo/UTC" }]),
        /the link "localtime" leads out of the release, to "\/usr\/share\/zoneinfo\/UTC"/
      )
    )
    it.effect("Packing refuses a link that leads out of the release.", () =>
      refused(raw([{ path: "a/l", type: "Symlink", to: "../../x" }]), /the link "a\/l" leads out/)
    )
    it.effect("Packing refuses a link that leads out of the release over another link.", () =>
      refused(
        raw([
          { path: "a/b/c" },
          { path: "up", type: "Symlink", to: "a/.." },
          { path: "a/back", type: "Symlink", to: ".." },
          { path: "out", type: "Symlink", to: "a/back/.." }
        ]),
        /the link "out" leads out/
      )
    )
    it.effect("Packing refuses a hard link to a missing file.", () =>
      refused(raw([{ path: "h", type: "Hardlink", to: "a" }]), /hard link "h" leads to "a"/)
    )
    it.effect("Packing refuses a hard link that leads out of the release.", () =>
      refused(raw([{ path: "h", type: "Hardlink", to: "../a" }]), /leads out/)
    )
    for (const format of [
      "gnu",
      "posix --sparse-version=0.0",
      "posix --sparse-version=0.1",
      "posix --sparse-version=1.0"
    ]) {
      it.scoped(`Packing refuses a sparse file that GNU tar stores with --format=${format}.`, () =>
        Effect.gen(function* () {
          const folder = yield* scratch
          fs.writeFileSync(path.join(folder, "holes"), "begin")
          fs.truncateSync(path.join(folder, "holes"), 5_000_000)
          const args = ["--sparse", ...`--format=${format}`.split(" "), "-cf", "-", "."]
          const tree = execFileSync("tar", args, { cwd: folder, maxBuffer: 1e9 })
          assert.isBelow(tree.length, 100_000)
          yield* refused(tree, /"[^"]*holes" is stored as a sparse file/)
        })
      )
    }
    for (const type of ["CharacterDevice", "BlockDevice", "FIFO"] as const) {
      it.effect(`Packing refuses an entry of the type ${type}.`, () => {
        const header = Buffer.alloc(512)
        new tar.Header({ path: "dev", type, mode: 0o644, size: 0 }).encode(header)
        return refused(Buffer.concat([header, tarEnd]), /"dev" is neither a file, a directory nor a link/)
      })
    }
  })

  it.effect("Packing allows links that stay within the release, dangling links and loops.", () =>
    Effect.gen(function* () {
      const { manifest } = yield* packed(
        raw([
          { path: "a/b/c" },
          { path: "deep", type: "Symlink", to: "a/b" },
          { path: "up", type: "Symlink", to: "deep/../.." },
          { path: "dangling", type: "Symlink", to: "nowhere" },
          { path: "loop", type: "Symlink", to: "./loop" }
        ])
      )
      assert.strictEqual(manifest.length, 8)
    })
  )

  it.effect("Packing passes on a failure of the builder's stream.", () =>
    Effect.gen(function* () {
      const tree = Stream.concat(
        Stream.make(tarOf(example).subarray(0, 700)),
        Stream.fail("the builder's own" as const)
      )
      const failure = yield* Effect.flip(Stream.runDrain(pack(tree, { name: "my_app" }).content))
      assert.strictEqual(failure, "the builder's own")
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

const paxHeader = (records: string) => {
  const header = Buffer.alloc(512)
  new tar.Header({ path: "PaxHeader/x", type: "ExtendedHeader", mode: 0o644, size: records.length }).encode(header)
  const body = Buffer.alloc(512)
  body.write(records)
  return Buffer.concat([header, body])
}
