import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { binary } from "../kit/build.ts"
import { missing, missingSshd, sshd, titled } from "../kit/sshd.ts"
import { terminal } from "../kit/terminal.ts"

const absent = missingSshd ?? missing("tmux")
const suite = absent === undefined ? describe : describe.skip

suite(titled("A shell on a host", absent), () => {
  const begin = Effect.gen(function* () {
    const host = yield* sshd()
    const project = join(host.folder, "project")
    mkdirSync(join(project, "deployer/config"), { recursive: true })
    mkdirSync(join(host.home, "two words"))
    mkdirSync(join(project, ".ssh"))
    execFileSync("cp", [host.knownHosts, join(project, ".ssh/known_hosts")])
    const { keyFile: sshKey, port, user } = host
    const prod = { host: host.host, port, user, sshKey, name: "my_app", path: "two words" }
    writeFileSync(
      join(project, "deployer/config/deployer_config.ts"),
      `export default ${JSON.stringify({ targets: { prod } })}\n`
    )
    const here = yield* terminal(project, { HOME: project, DEPLOYER: `${process.execPath} ${binary}` })
    yield* here.type(
      "stty -g > before; $DEPLOYER ssh target=prod; echo status $?; stty -g > after; cmp before after && echo same"
    )
    return { here, host }
  })

  it.live("A shell on a host has a real terminal, and leaves the user's own as it was.", () =>
    Effect.gen(function* () {
      const { here, host } = yield* begin
      yield* here.type('echo "[$PWD]" $(stty size) $TERM; tty')
      yield* here.waitFor(`[${host.home}/two words] 30 100 `)
      yield* here.waitFor(/^\/dev\//m)
      yield* here.type("echo 'sleep' ing; sleep 100")
      yield* here.waitFor("sleep ing")
      yield* here.press("C-c")
      yield* here.waitFor("^C")
      yield* here.type("echo interrupted $?")
      yield* here.waitFor("interrupted 130")
      yield* here.resize(80, 20)
      yield* here.type(
        "clear; while [ $(stty size | cut -d ' ' -f 2) != 80 ]; do sleep 0.1; done; stty size; seq 99999 | tail -n 1 | tr 9 x; exit 9"
      )
      yield* here.waitFor("20 80")
      yield* here.waitFor("xxxxx")
      yield* here.waitFor("status 9")
      yield* here.waitFor(/^same$/m)
    }).pipe(Effect.scoped)
  )

  it.live("A shell on a host ends with a sentence when the host is gone.", () =>
    Effect.gen(function* () {
      const { here, host } = yield* begin
      yield* here.type("echo begun $((6 * 7))")
      yield* here.waitFor("begun 42")
      yield* host.stop
      yield* here.waitFor("status 1")
      yield* here.waitFor("was lost")
      yield* here.waitFor(/^same$/m)
    }).pipe(Effect.scoped)
  )

  it.live("A shell on a host is refused without a terminal.", () =>
    Effect.gen(function* () {
      const { here } = yield* begin
      yield* here.type("exit")
      yield* here.waitFor("status 0")
      yield* here.type("clear; echo hi | $DEPLOYER ssh target=prod; echo status $?")
      yield* here.waitFor("status 3")
      yield* here.waitFor("There is no terminal")
    }).pipe(Effect.scoped)
  )
})
