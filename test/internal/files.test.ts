import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { attempt, move, readFrom, writeHashed, writeText } from "../../src/internal/files.ts"

const folderIn = (parent: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(parent, "deployer-files-"))),
    (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
  )

const failing = (code: string) => () => Promise.reject(Object.assign(new Error(`${code}: failed`), { code }))

const memory = "/dev/shm"
const isElsewhere = existsSync(memory) && statSync(memory).dev !== statSync(tmpdir()).dev
const skipped = !isElsewhere && process.env["CI"] !== "true"

describe("files", () => {
  it.scoped("A file is written to the disk although the handles of files cannot, as with Yarn's Plug'n'Play.", () =>
    Effect.gen(function* () {
      const root = yield* folderIn(tmpdir())
      const handle = yield* Effect.acquireRelease(
        Effect.promise(() => open(root)),
        (handle) => Effect.promise(() => handle.close())
      )
      const prototype: { sync: () => Promise<void> } = Object.getPrototypeOf(handle)
      const { sync } = prototype
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          prototype.sync = failing("Method not implemented")
        }),
        () =>
          Effect.sync(() => {
            prototype.sync = sync
          })
      )
      const { size } = yield* writeHashed(join(root, "x"), Stream.make(new Uint8Array(3)))
      assert.strictEqual(size, 3)
    })
  )

  it.scoped("The error of a full disk names the place and its free space.", () =>
    Effect.gen(function* () {
      const root = yield* folderIn(tmpdir())
      for (const code of ["ENOSPC", "EDQUOT"]) {
        const error = yield* Effect.flip(attempt(join(root, "x"), failing(code)))
        assert.match(error.detail, /^no space left in \S+ \([\d.]+ MB free\): free some/)
        assert.include(error.detail, root)
        assert.strictEqual(error.code, code)
      }
      const gone = yield* Effect.flip(attempt("/nowhere/at/all", failing("ENOSPC")))
      assert.include(gone.detail, "(unknown space free)")
    })
  )

  it.scoped("A text is written for the owner alone, even over a longer one that others could read.", () =>
    Effect.gen(function* () {
      const root = yield* folderIn(tmpdir())
      const file = join(root, "plan.json")
      writeFileSync(file, "a longer text that was here before", { mode: 0o644 })
      yield* writeText(file, "short\n")
      yield* writeText(join(root, "new"), "short\n")
      for (const each of [file, join(root, "new")]) {
        assert.strictEqual(readFileSync(each, "utf8"), "short\n")
        assert.strictEqual((statSync(each).mode & 0o777).toString(8), "600")
      }
    })
  )

  it.effect("A text can be written to a device, whose mode stays the same.", () =>
    Effect.gen(function* () {
      const before = statSync("/dev/null").mode
      yield* writeText("/dev/null", "text")
      assert.strictEqual(statSync("/dev/null").mode, before)
    })
  )

  it.effect("A file error has a sentence that names the path.", () =>
    Effect.gen(function* () {
      const words = (code: string) => Effect.map(Effect.flip(attempt("/x/y", failing(code))), ({ detail }) => detail)
      assert.strictEqual(yield* words("EACCES"), "no permission for /x/y")
      assert.strictEqual(yield* words("EROFS"), "/x/y is on a read-only file system")
      assert.strictEqual(yield* words("ENOENT"), "/x/y does not exist")
      assert.strictEqual(yield* words("EIO"), "/x/y: EIO: failed")
    })
  )

  it.scoped.skipIf(skipped)(
    `A file can be moved to another file system${skipped ? ` (skipped: ${memory} is not another one here)` : ""}.`,
    () =>
      Effect.gen(function* () {
        const [here, there] = [yield* folderIn(tmpdir()), yield* folderIn(memory)]
        writeFileSync(join(here, "a"), "content")
        yield* move(join(here, "a"), join(there, "b"), join(there, ".between"))
        assert.deepStrictEqual([readdirSync(here), readdirSync(there)], [[], ["b"]])
        assert.strictEqual(readFileSync(join(there, "b"), "utf8"), "content")
        const error = yield* Effect.flip(move(join(here, "gone"), join(there, "c"), join(there, ".between")))
        assert.strictEqual(error.code, "ENOENT")
        assert.deepStrictEqual(readdirSync(there), ["b"])
      })
  )

  it.scoped("A named pipe that nobody writes opens at once, and is empty.", () =>
    Effect.gen(function* () {
      const file = join(yield* folderIn(tmpdir()), "pipe")
      execFileSync("mkfifo", [file])
      const found = yield* readFrom(file, 0)
      assert.strictEqual(Option.getOrThrow(found).size, 0)
    })
  )
})
