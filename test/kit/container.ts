/**
 * A running container with this machine's own programs: its image is empty, and /usr is mounted into it.
 */
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { preparePodman } from "./podman.ts"

/** A container that runs until the end of the scope. */
export interface RunningContainer {
  readonly name: string
  /** The login directory: the same folder inside and outside. */
  readonly home: string
}

/** The links of a merged /usr, and the few files that programs look for. */
const makeRoot = (root: string): void => {
  for (const folder of ["usr", "etc", "tmp", "proc", "dev", "sys"]) fs.mkdirSync(path.join(root, folder))
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    if (fs.existsSync(`/usr/${name}`)) fs.symlinkSync(`usr/${name}`, path.join(root, name))
  }
  fs.writeFileSync(path.join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\n")
  fs.writeFileSync(path.join(root, "etc/hosts"), "127.0.0.1 localhost\n")
}

/** An engine that can hold a running container, by its command. */
export type ContainerEngine = "docker" | "podman"

/** Starts one on this machine's own network. */
export const runningContainer = (engine: ContainerEngine): Effect.Effect<RunningContainer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "deployer-container-")))
      const name = `deployer-test-${randomBytes(6).toString("hex")}`
      const root = path.join(folder, "root")
      const home = path.join(folder, "home")
      fs.mkdirSync(root)
      fs.mkdirSync(home)
      makeRoot(root)
      if (engine === "podman") preparePodman()
      const run = (args: ReadonlyArray<string>, input?: Buffer) => {
        const { status, stderr, stdout } = spawnSync(engine, args, { input })
        if (status !== 0) throw new Error(`${engine} ${args.join(" ")}: ${stderr}`)
        return stdout.toString()
      }
      run(["import", "-", name], spawnSync("tar", ["-C", root, "-cf", "-", "."]).stdout)
      run([
        ...["run", "--detach", "--name", name, "--network", "host", "--env", `HOME=${home}`],
        ...["--volume", "/usr:/usr:ro", "--volume", `${home}:${home}`],
        ...["--volume", "/etc/alternatives:/etc/alternatives:ro"],
        ...[name, "sleep", "infinity"]
      ])
      return { folder, name, home }
    }),
    ({ folder, name }) =>
      Effect.sync(() => {
        spawnSync(engine, ["rm", "--force", name])
        spawnSync(engine, ["rmi", name])
        fs.rmSync(folder, { recursive: true, force: true })
      })
  )
