/**
 * Other userlands on this machine: directories of symlinks for `PATH`.
 */
import { execFileSync } from "node:child_process"
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** The path of a program in this process's PATH. */
export const which = (program: string): string | undefined =>
  (process.env["PATH"] ?? "")
    .split(":")
    .map((folder) => join(folder, program))
    .find(executable)

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The reason why tests with BusyBox cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export const missingBusybox: string | undefined =
  which("busybox") !== undefined || process.env["CI"] === "true" ? undefined : "busybox not installed"

const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "deployer-userland-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** A PATH with nothing but BusyBox's applets, `sh` included; `without` leaves some out. */
export const busybox = (without: ReadonlyArray<string> = []): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(folder, (path) => {
    const program = which("busybox") ?? "/bin/busybox"
    const applets = execFileSync(program, ["--list"], { encoding: "utf8" }).split("\n")
    for (const applet of applets) {
      if (applet !== "" && !without.includes(applet)) symlinkSync(program, join(path, applet))
    }
    return path
  })

/** The reason why tests with toybox cannot run here, in the same way. */
export const missingToybox: string | undefined =
  which("toybox") !== undefined || process.env["CI"] === "true" ? undefined : "toybox not installed"

/** A PATH with toybox's programs, and the few from this machine that it lacks. */
export const toybox: Effect.Effect<string, never, Scope.Scope> = Effect.map(folder, (path) => {
  const program = which("toybox") ?? "/usr/bin/toybox"
  for (const name of execFileSync(program, { encoding: "utf8" }).split(/\s+/))
    if (name !== "") symlinkSync(program, join(path, name))
  for (const name of ["sh", "gzip", "dd", "tr", "awk"]) symlinkSync(which(name) ?? `/bin/${name}`, join(path, name))
  return path
})

/** Userlands of other Debian releases, as scripts/userlands.sh prints them: a title, "=" and a `PATH`, each on a line of its own. */
export const others = (process.env["USERLANDS"] ?? "").split("\n").flatMap((line) => {
  const [, title, path] = /^([^=]+)=(.+)$/.exec(line) ?? []
  return title === undefined || path === undefined ? [] : [{ title, path }]
})

/** The programs that the scripts may use on a host, beside the shell's own words. */
const needed = ["tar", "gzip", "sha256sum", "shasum", "openssl", "perl"]
const basic = [
  "sh",
  "cat",
  "chmod",
  "cut",
  "date",
  "dd",
  "df",
  "du",
  "find",
  "ln",
  "ls",
  "mkdir",
  "mv",
  "readlink",
  "rm",
  "sed",
  "tee"
]
const more = ["sleep", "sort", "tail", "tr", "uname", "wc", "env", "id"]

/** A PATH with this machine's own tools, but for some. `shell` is the program `sh`. */
export const own = (
  options: {
    readonly without?: ReadonlyArray<string>
    readonly besides?: ReadonlyArray<string>
    readonly shell?: string
  } = {}
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(folder, (path) => {
    for (const tool of [...basic, ...more, ...needed, ...(options.besides ?? [])]) {
      const program = which(tool === "sh" ? (options.shell ?? "sh") : tool)
      if (program !== undefined && options.without?.includes(tool) !== true) symlinkSync(program, join(path, tool))
    }
    return path
  })

/** Puts shell commands before a program of such a PATH, for instance to refuse some options. */
export const precede = (path: string, program: string, commands: string): void => {
  const file = join(path, program)
  rmSync(file, { force: true })
  writeFileSync(file, `#!${which("sh")}\n${commands}\nexec ${which(program)} "$@"\n`, { mode: 0o755 })
}

/** A new, empty directory that is gone with the scope. */
export const emptyFolder = (name: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(folder, (path) => {
    mkdirSync(join(path, name))
    return join(path, name)
  })
