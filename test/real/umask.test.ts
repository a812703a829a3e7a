/** A umask that denies the owner: the real binary still makes files that it can read again. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { project } from "../kit/project.ts"

for (const umask of ["0777", "0277"])
  it.live(`With umask ${umask}, the owner may read and write everything that init and build make.`, () =>
    Effect.gen(function* () {
      const here = yield* project({ init: false })
      const through = ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"]
      const run = (...args: ReadonlyArray<string>) =>
        Effect.map(here.run(args, { through }), (ended) => assert.strictEqual(ended.status, 0, ended.stderr))
      yield* run("init")
      here.configure(
        { prod: { host: "local", name: here.name, path: path.join(here.home, "srv"), builder: "plain" } },
        { plain: `command({ run: "true", releasePath: "bin" })` }
      )
      yield* run("build", "target=prod")
      yield* run("manage", "export", "release=1", `file=${path.join(here.root, "deployer/exported")}`)
      const made = fs.readdirSync(path.join(here.root, "deployer"), { recursive: true, encoding: "utf8" })
      assert.isTrue(made.some((name) => name.endsWith(".tar.gz")))
      for (const name of made) {
        const { mode } = fs.statSync(path.join(here.root, "deployer", name))
        assert.strictEqual(mode & 0o600, 0o600, name)
      }
    }).pipe(Effect.scoped)
  )
