/**
 * The world of the pages: a project `my_app`, its host app1.example.com, and a terminal. Real paths, ports and refs are others: commands are
 * translated before they run, and their output is translated back.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { binary } from "./build.ts"
import { type CommandLine, commandsOf, repository, substituteFor } from "./pages.ts"
import { builders, type Project, project } from "./project.ts"
import { freePort, type Sshd, sshd } from "./sshd.ts"
import { terminal } from "./terminal.ts"
import { unsigned } from "./words.ts"

/** The ids of the releases of which the pages tell, by the beginnings of their refs. 3F2A is that of the help texts. */
const refs: Readonly<Record<string, number>> = { D5F3: 1, "844C": 2, "2455": 3, "3F0C": 4, "3F2A": 4 }
const refOnPage = new RegExp(`\\b(${Object.keys(refs).join("|")})([0-9A-F]*)\\b`, "g")

/** A command of a page that needs more than the page says. */
export interface Step {
  /** The command as the page has it. The steps of a page stand in the order of its commands, which may have none. */
  readonly line: string
  /** Comes before it. */
  readonly before?: Effect.Effect<unknown, never, Scope.Scope>
  /** Texts to type, each when the terminal shows the text before it. Questions that the page shows are answered as it does. */
  readonly typed?: ReadonlyArray<readonly [shown: RegExp, text: string]>
  /** Its exit status. Without it: not 0 if the page shows a failure, and otherwise 0. */
  readonly status?: number
}

export interface Site {
  readonly here: Project
  readonly host: Sshd
  /** The target's folder. */
  readonly base: string
  /** A port of 127.0.0.1 in place of 4000. */
  readonly port: number
  /** Writes the config of the target `prod`, with further settings. The builder needs no Docker unless it is given. */
  readonly configure: (settings?: object, builder?: string) => void
  /** Builds the next release, which says this version. */
  readonly build: (version: string) => Effect.Effect<unknown>
  /** Runs a command that must succeed, without a terminal. */
  readonly good: (line: string) => Effect.Effect<string>
  /** Runs each command of a page, from top to bottom, and compares its output with the page. */
  readonly follow: (page: string, steps?: ReadonlyArray<Step>) => Effect.Effect<void, never, Scope.Scope>
}

const program = (name: string): string => `#!/bin/sh
here=$(cd "\${0%/*}/.." && pwd)
case "$1" in
  daemon) echo "${name} started" ;;
  stop) echo "${name} stopped" ;;
  restart) echo "${name} restarted" ;;
  version) echo "${name} $(cat "$here/VERSION")" ;;
  *) exit 64 ;;
esac
`

/** A text without all that differs from run to run: refs, hashes, people, machines, dates, durations, sizes, counts, the widths of a table. */
const shape = (text: string, named: (ref: string) => string): string =>
  unsigned(text)
    .replace(/\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b/g, "HASH")
    .replace(/(?<![0-9A-Za-z])(?:[0-9A-F]{32}|[0-9A-F]{8})(?![0-9A-Za-z])/g, named)
    .replace(/\bx86_64\b|\baarch64\b/g, "MACHINE")
    .replace(/\/lib\S*\/ld-[^\s,;]+(?:, \/lib\S*\/ld-[^\s,;]+)*/g, "LOADER")
    .replace(/\bjust now\b|\b\d+ (?:minute|hour|day)s? ago\b/g, "AGE")
    .replace(/\b1 (second|minute|hour|day)\b/g, "1 $1s")
    .replace(/\b[\w-]+@[\w-]+\b(?!\.)/g, "WHO")
    .replace(/\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+Z)?/g, "DATE")
    .replace(/\b\d+(?:\.\d+)?(?: ?(?:ms|s|m|h|B|kB|MB|GB|kiB)\b)?(?: \d+(?:ms|s|m|h)\b)*/g, "N")
    .replace(/[ \t]+/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .join("\n")

/** Whether an output is the one that the page shows. A line "…" stands for any lines. */
const matches = (output: string, page: string): boolean =>
  new RegExp(
    `^${page
      .split("\n")
      .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${line.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&")}\\n`))
      .join("")}$`
  ).test(`${output}\n`)

/** A site with an initialised project and without releases. It is gone with the scope. */
export const site: Effect.Effect<Site, never, Scope.Scope> = Effect.gen(function* () {
  const host = yield* sshd()
  const here = yield* project()
  const port = yield* Effect.promise(freePort)
  const srv = path.join(host.home, "srv")
  const base = path.join(srv, here.name)
  fs.mkdirSync(srv)
  here.write(`bin/${here.name}`, program(here.name), 0o755)
  here.knowHost(host)
  const lines = [
    "Host app1.example.com app2.example.com app3.example.com",
    "HostName 127.0.0.1",
    `Port ${host.port}`,
    `IdentityFile ${host.keyFile}`
  ]
  fs.writeFileSync(path.join(here.home, ".ssh/config"), `${lines.join("\n  ")}\n`)
  const programs = path.join(here.folder, "programs")
  fs.mkdirSync(programs)
  fs.writeFileSync(path.join(programs, "deployer"), `#!/bin/sh\nexec '${process.execPath}' '${binary}' "$@"\n`, {
    mode: 0o755
  })

  const built = new Map<number, string>()
  const remember = (output: string) => {
    for (const [, ref = "", id = ""] of output.matchAll(/^Stored \S+ ([0-9A-F]{8}) \(id (\d+),/gm))
      built.set(Number(id), ref)
  }
  const refOf = (id: number) => built.get(id) ?? assert.fail(`no release ${id} is built yet`)
  const real = (text: string) =>
    text
      .replaceAll("my_app", here.name)
      .replaceAll("/srv/", `${srv}/`)
      .replaceAll("127.0.0.1:4000", `127.0.0.1:${port}`)
      .replace(refOnPage, (_, prefix: string, rest: string) => refOf(refs[prefix] ?? 0).slice(0, 4 + rest.length))
  const onPage = (text: string) =>
    text
      .replaceAll(here.name, "my_app")
      .replaceAll(srv, "/srv")
      .replaceAll(here.root, "/home/me/my_app")
      .replaceAll(`127.0.0.1:${port}`, "127.0.0.1:4000")
      .replaceAll(`${host.user}@${os.hostname()}`, "eve@desk")
      .replace(new RegExp(`\\b${host.user}\\b`, "g"), "deploy")
  // Each ref becomes the id of its release, if it is one of the project's.
  const idOf = (ref: string) => `REF${[...built].find(([, found]) => ref.startsWith(found))?.[0] ?? ""}`
  const idOnPage = (ref: string) => `REF${refs[ref.slice(0, 4)] ?? ""}`

  const good: Site["good"] = (line) =>
    Effect.tap(here.good(...line.split(" ")), (output) => Effect.sync(() => remember(output)))

  const folder = path.join(here.folder, "terminal")
  fs.mkdirSync(folder)
  const screen = yield* terminal(folder, {
    ...here.env,
    PATH: `${programs}:${process.env["PATH"]}`
  })
  yield* screen.resize(500, 50)
  yield* screen.type(`cd ${here.root}`)
  let count = 0
  const script = path.join(folder, "line")

  /** Runs one command on the terminal, in the same shell as those before it. */
  const runLine = (command: CommandLine, step: Step | undefined) =>
    Effect.gen(function* () {
      const instead = substituteFor(command.text)?.instead
      const line = instead === undefined ? real(command.text) : `(cd '${repository}' && ${instead})`
      const number = ++count
      const [begins, ends] = [`line ${number} begins`, `line ${number} ended:`]
      fs.writeFileSync(script, `echo '${begins}'\n${line}\nprintf '\\n%s\\n' "${ends} $?"\n`)
      yield* screen.type(`clear; . ${script}`)
      const waitFor = (shown: RegExp) => Effect.orDie(Effect.retry(screen.waitFor(shown), { times: 1 }))
      const questions = (command.shown ?? []).flatMap((text) => {
        const [, answer] = /\[(?:Y\/n|y\/N)\](.*)$/.exec(text) ?? []
        return answer === undefined ? [] : [[/\[(?:Y\/n|y\/N)\]$/m, answer.trim()] as const]
      })
      for (const [shown, text] of [...questions, ...(step?.typed ?? [])]) {
        yield* waitFor(shown)
        yield* text === "" ? screen.press("Enter") : screen.type(text)
      }
      yield* waitFor(new RegExp(`^${ends} \\d+$`, "m"))
      const all = screen.shown()
      const output = all
        .slice(all.lastIndexOf(`\n${begins}\n`) + begins.length + 2, all.lastIndexOf(`\n${ends}`))
        .trim()
      remember(output)
      const status = Number(all.slice(all.lastIndexOf(`\n${ends}`) + ends.length + 2).split("\n")[0])
      return { output, status }
    })

  const follow: Site["follow"] = (page, steps = []) =>
    Effect.gen(function* () {
      let next = 0
      for (const command of commandsOf(page)) {
        const step = steps[next]?.line === command.text ? steps[next++] : undefined
        yield* step?.before ?? Effect.void
        const { output, status } = yield* runLine(command, step)
        const where = `${command.at}: ${command.text}`
        const fails = command.shown?.some((text) => text.startsWith("deployer: ")) === true
        if (step?.status === undefined && fails) assert.notStrictEqual(status, 0, `${where} succeeds:\n${output}`)
        else assert.strictEqual(status, step?.status ?? 0, `${where} ends with status ${status}:\n${output}`)
        if (command.shown === undefined) continue
        const [found, shown] = [shape(onPage(output), idOf), shape(command.shown.join("\n"), idOnPage)]
        if (!matches(found, shown)) assert.strictEqual(found, shown, `${where} prints something else`)
      }
      assert.deepStrictEqual(
        steps.slice(next).map(({ line }) => line),
        [],
        `${page} has no such commands, or in another order`
      )
    })

  const configure: Site["configure"] = (settings = {}, builder = builders.plain) =>
    here.configure(
      { prod: { host: "app1.example.com", path: base, tags: ["production"], ...settings } },
      { prod: builder },
      { web: ["prod"] }
    )
  const build: Site["build"] = (version) =>
    Effect.suspend(() => {
      here.version(version)
      return good("build target=prod")
    })

  configure()
  return { here, host, base, port, configure, build, good, follow }
})
