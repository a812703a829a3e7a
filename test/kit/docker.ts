/**
 * A real container engine for tests, and build contexts that need no registry.
 */
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const engine = process.env["DEPLOYER_ENGINE"] ?? "docker"

/** Runs the engine; returns its output, without the last line end. */
export const docker = (...args: ReadonlyArray<string>): string =>
  spawnSync(engine, args, { encoding: "utf8" }).stdout?.trimEnd() ?? ""

/** The shell and tools of images without a base. */
const busybox = "/bin/busybox"

const missing = (): string | undefined => {
  if (!fs.existsSync(busybox)) return `no static ${busybox}`
  const answer = spawnSync(engine, ["version"], { encoding: "utf8", timeout: 20_000 })
  return answer.status === 0 ? undefined : `no ${engine} engine answers`
}

/** Who builds: Docker itself, its BuildKit, or podman. */
export const builder: "classic" | "BuildKit" | "podman" = engine.endsWith("podman")
  ? "podman"
  : process.env["DOCKER_BUILDKIT"] !== "0" && spawnSync(engine, ["buildx", "version"]).status === 0
    ? "BuildKit"
    : "classic"

/** Lines of a build, without the step and the time that BuildKit puts before each. */
export const buildLines = (shown: string): ReadonlyArray<string> =>
  shown.split(/\r?\n/).map((line) => line.replace(/^#\d+ [\d.]+ /, ""))

/** The reason why tests with a real engine cannot run here. Undefined if they can. Also undefined in CI, so that a missing part fails there. */
export const missingDocker: string | undefined = process.env["CI"] === "true" ? undefined : missing()

/** The program of a release, which the actions of a target call. */
export const program = (name: string): string => `#!/bin/sh
case "$1" in
  daemon) echo "${name} started" ;;
  stop) echo "${name} stopped" ;;
  restart) echo "${name} restarted" ;;
  version) echo "${name} 1.0.0" ;;
  *) echo "unknown: $1" >&2; exit 64 ;;
esac
`

/** A folder with a Dockerfile; removed with the scope, like all that was built from it. */
export interface Context {
  readonly folder: string
  readonly dockerfile: string
  /** The value of the label `deployer.test` on every image and container made from it. */
  readonly marker: string
  /** Containers, and images without a name, that are still there. */
  readonly leftovers: () => ReadonlyArray<string>
}

/** Containers, and images without a name, whose label `deployer.test` has this value. */
export const leftoversOf = (marker: string): ReadonlyArray<string> => {
  const filter = ["--filter", `label=deployer.test=${marker}`]
  return [
    docker("ps", "--all", "--quiet", "--no-trunc", ...filter),
    docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true", ...filter)
  ]
    .join("\n")
    .split("\n")
    .filter((id) => id !== "")
}

/** Removes the leftovers of builds of a release's name, its layer cache too, and everything with the label. */
export const removeBuilt = (name: string, marker: string): void => {
  const tags = docker("images", "--format", "{{.Tag}}", "deployer-cache").split("\n")
  for (const tag of tags) if (tag.startsWith(`${name}.`)) docker("rmi", `deployer-cache:${tag}`)
  for (const id of leftoversOf(marker)) docker("rm", "--force", id)
  for (const id of leftoversOf(marker)) docker("rmi", "--force", id)
}

/** Removes the containers and images with a label, its name in the layer cache too. */
export const removeLabelled = (label: string): void => {
  const filter = ["--quiet", "--no-trunc", "--filter", `label=${label}`]
  const ids = (text: string) => new Set(text.split("\n").filter((id) => id !== ""))
  for (const id of ids(docker("ps", "--all", ...filter))) docker("rm", "--force", id)
  for (const id of ids(docker("images", ...filter))) docker("rmi", "--force", id)
}

/** How the image is to be. */
export interface ContextOptions {
  /** The release's name; images for its layer cache are removed by it. */
  readonly name: string
  /** By path in the image; scripts (`#!`) can be run. */
  readonly files: Readonly<Record<string, string>>
  /** A shell line for a `RUN` at the end. */
  readonly run?: string
  /** Whether the last stage only copies `/app` from a first one. */
  readonly stages?: boolean
  /** Further lines of the Dockerfile. */
  readonly lines?: ReadonlyArray<string>
}

export const buildContext = (options: ContextOptions): Effect.Effect<Context, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-context-"))
      const marker = randomBytes(6).toString("hex")
      fs.copyFileSync(busybox, path.join(folder, "busybox"))
      fs.chmodSync(path.join(folder, "busybox"), 0o755)
      fs.mkdirSync(path.join(folder, "root"))
      for (const [at, content] of Object.entries(options.files)) {
        const file = path.join(folder, "root", at)
        fs.mkdirSync(path.dirname(file), { recursive: true })
        if (at.endsWith("/")) fs.mkdirSync(file, { recursive: true })
        else fs.writeFileSync(file, content, { mode: content.startsWith("#!") ? 0o755 : 0o644 })
      }
      const label = `LABEL deployer.test=${marker}`
      const dockerfile = path.join(folder, "Dockerfile")
      fs.writeFileSync(
        dockerfile,
        [
          "FROM scratch AS first",
          "COPY busybox /bin/busybox",
          // Podman never removes an image that has a label and no layer.
          label,
          "COPY root /",
          `RUN ["/bin/busybox", "sh", "-c", ${JSON.stringify(`echo compiling ${marker}`)}]`,
          ...(options.run === undefined ? [] : [`RUN ["/bin/busybox", "sh", "-c", ${JSON.stringify(options.run)}]`]),
          ...(options.stages === true ? ["FROM scratch", "COPY --from=first /app /app", label] : []),
          ...(options.lines ?? []),
          ""
        ].join("\n")
      )
      const leftovers = () => leftoversOf(marker)
      return { folder, dockerfile, marker, leftovers }
    }),
    ({ folder, marker }) =>
      Effect.sync(() => {
        fs.rmSync(folder, { recursive: true, force: true })
        removeBuilt(options.name, marker)
      })
  )

/** The real engine, behind a script that can act first. Removed with the scope. */
export const engineScript = (lines: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-engine-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const file = path.join(folder, "engine")
      fs.writeFileSync(file, `#!/bin/sh\n${lines}\nexec ${engine} "$@"\n`, { mode: 0o755 })
      return file
    }
  )
