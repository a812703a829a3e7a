/**
 * The examples as a newcomer copies them, each in a folder of its own with a real host. The copy differs from the original in its host's
 * user, its port and its base image, which cannot be the same on each machine.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { removeBuilt } from "./docker.ts"
import { type Ended, type Project, project } from "./project.ts"
import { freePort, type Sshd, sshd } from "./sshd.ts"

const examples = path.resolve(import.meta.dirname, "../../examples")

/** A file of an example, a text in it, and the text in its place. */
export interface Change {
  readonly file: string
  readonly from: string
  /** Default: the whole file is removed. */
  readonly to: string | undefined
}

export interface Example {
  readonly here: Project
  readonly host: Sshd
  /** The application listens on it. */
  readonly port: number
  /** The name of the release. */
  readonly name: string
  /** The target's folder on the host. */
  readonly base: string
  readonly change: (change: Change) => void
  /** Runs the command of each README. */
  readonly buildAndDeploy: Effect.Effect<Ended>
  /** The short ref of the release that is live, and the names at its root. */
  readonly live: () => { readonly ref: string; readonly files: ReadonlyArray<string> }
  /** The application's answer. */
  readonly get: (path: string) => Effect.Effect<string>
}

/** Copies an example's folder to another. */
export const copyExample = (name: string, to: string): void =>
  fs.cpSync(path.join(examples, name), to, { recursive: true })

const config = "deployer/config/deployer_config.ts"

/** Copies an example; it is gone with the scope, like all that it started. */
export const example = (
  folder: string,
  options: { readonly name: string; readonly image?: string }
): Effect.Effect<Example, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { image, name } = options
    const host = yield* sshd()
    const here = yield* project({ init: false })
    const port = yield* Effect.promise(freePort)
    const base = path.join(host.home, name)

    fs.rmSync(here.root, { recursive: true })
    copyExample(folder, here.root)
    const change: Example["change"] = ({ file, from, to }) => {
      const at = path.join(here.root, file)
      const text = fs.readFileSync(at, "utf8")
      assert.include(text, from, file)
      if (to === undefined) fs.rmSync(at)
      else
        fs.writeFileSync(
          at,
          text.replaceAll(from, () => to)
        )
    }
    const textOf = (file: string) => fs.readFileSync(path.join(here.root, file), "utf8")
    const found = (pattern: RegExp, file: string) => {
      const [text, part = ""] = pattern.exec(textOf(file)) ?? []
      assert.isDefined(text, `${pattern} in ${file}`)
      return { text: text ?? "", part }
    }

    // OpenSSH's own config says how the host is reached.
    const { part: hostName } = found(/host: "([^"]+)"/, config)
    const lines = [`Host ${hostName}`, "HostName 127.0.0.1", `Port ${host.port}`, `IdentityFile ${host.keyFile}`]
    fs.writeFileSync(path.join(here.home, ".ssh/config"), `${lines.join("\n  ")}\n`)
    here.knowHost(host)
    change({ file: config, from: `user: "deploy"`, to: `user: "${host.user}"` })
    change({ file: config, from: found(/const port = \d+/, config).text, to: `const port = ${port}` })
    const { part: ownName } = found(/name: "([^"]+)"/, config)
    if (ownName !== name) change({ file: config, from: ownName, to: name })
    if (image !== undefined) {
      change({ file: "Dockerfile", from: found(/^ARG BASE=.*$/m, "Dockerfile").text, to: `ARG BASE=${image}` })
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        endDaemons(base)
        removeBuilt(name, here.marker)
      })
    )

    return {
      here,
      host,
      port,
      name,
      base,
      change,
      buildAndDeploy: here.run(["build_and_deploy", "target=prod"], { millis: 150_000 }),
      live: () => {
        const current = path.join(base, "releases/current")
        const ref = fs.readlinkSync(current).replace("deployer_", "").slice(0, 8)
        return { ref, files: fs.readdirSync(path.join(current, name)).sort() }
      },
      get: (at) =>
        Effect.promise(() => fetch(`http://127.0.0.1:${port}${at}`, { signal: AbortSignal.timeout(10_000) })).pipe(
          Effect.flatMap((response) => Effect.promise(() => response.text()))
        )
    }
  })

/** Kills the processes that `bin/service` started below a target's folder. */
const endDaemons = (base: string) => {
  if (!fs.existsSync(base)) return
  for (const file of fs.readdirSync(base).filter((file) => file.endsWith(".pid"))) {
    const pid = Number(fs.readFileSync(path.join(base, file), "utf8"))
    if (!Number.isInteger(pid) || pid <= 1) continue
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It has ended by itself.
    }
  }
}
