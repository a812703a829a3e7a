/** The real binary on a terminal. `deployer ssh` is in shell.test.ts. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { binary } from "../kit/build.ts"
import { type Project, project, reach } from "../kit/project.ts"
import { proxy } from "../kit/proxy.ts"
import { makeKey, missing, missingSshd, type Sshd, sshd, titled } from "../kit/sshd.ts"
import { terminal } from "../kit/terminal.ts"

/** Two releases are in the store, and none on the host. */
class World extends Context.Tag("test/World")<World, { readonly here: Project; readonly host: Sshd }>() {}

const world = Layer.scoped(
  World,
  Effect.gen(function* () {
    const here = yield* project()
    const host = yield* sshd()
    here.knowHost(host)
    here.configure({ prod: { ...reach(host), builder: "plain" } })
    for (const version of ["1.0", "2.0"]) {
      here.version(version)
      here.write("bin/data", randomBytes(100_000).toString("base64"))
      yield* here.good("build", "target=prod")
    }
    return { here, host }
  })
)

let attempts = 0
/** A path on the host that no other attempt of a test has used. */
const unused = (name: string) => `${name}-${++attempts}`

const absent = missingSshd ?? missing("tmux")
const suite = absent === undefined ? describe : describe.skip

suite(titled("a terminal", absent), () => {
  layer(world, { excludeTestServices: true, timeout: "5 minutes" })("shows and asks", (it) => {
    const open = (here: Project, env: Readonly<Record<string, string>> = {}) =>
      Effect.gen(function* () {
        const folder = fs.mkdtempSync(path.join(here.folder, "terminal-"))
        const raw = path.join(folder, "raw")
        const screen = yield* terminal(folder, {
          ...here.env,
          ...env,
          D: `${process.execPath} ${binary}`,
          ROOT: here.root
        })
        yield* screen.record(raw)
        yield* screen.type("cd $ROOT; clear")
        return { ...screen, raw: () => fs.readFileSync(raw, "utf8") }
      })

    it.scoped("Deploy asks first; no leads to a list of releases, and Ctrl-C ends it and changes nothing.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const asked = unused("asked")
        const at = path.join(host.home, asked)
        here.configure({ prod: { ...reach(host), path: asked, builder: "plain" } })
        const screen = yield* open(here)
        yield* screen.type("$D deploy target=prod; echo aborted status $?")
        yield* screen.waitFor("Deploy it to prod? [Y/n]")
        yield* screen.press("C-c")
        yield* screen.waitFor("aborted status 130")
        assert.isFalse(fs.existsSync(at))
        yield* screen.type("clear; $D deploy target=prod; echo chosen status $?")
        yield* screen.waitFor("Deploy it to prod? [Y/n]")
        yield* screen.type("n")
        yield* screen.waitFor(/^Id +Name .*Builder.*\n2 .*\n1 .*\nId, or/m)
        yield* screen.type("1")
        yield* screen.waitFor(/\(id 1, built .* by builder plain.*\) to prod\? \[Y\/n\]/)
        yield* screen.press("Enter")
        yield* screen.waitFor("chosen status 0")
        assert.match(screen.shown(), /\(id 1\) is live at/)
        yield* screen.type("clear; $D deploy target=prod; echo enter status $?")
        yield* screen.waitFor("Deploy it to prod? [Y/n]")
        yield* screen.press("Enter")
        yield* screen.waitFor("enter status 0")
        assert.match(screen.shown(), /\(id 2\) is live at/)
      })
    )

    it.scoped("The manager works locally and on a host, with Tab and history.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const managed = unused("managed")
        here.configure({ prod: { ...reach(host), path: managed, builder: "plain" } })
        yield* here.good("deploy", "target=prod", "release=1")
        yield* here.good("deploy", "target=prod", "release=2")
        const screen = yield* open(here)
        yield* screen.type("$D manage; echo left with $?")
        yield* screen.waitFor(/connect target[\s\S]*deployer>$/m)
        // Typed by hand: keys that arrive together count as pasted.
        for (const key of ["c", "o", "n", "Tab", "p", "Tab"]) {
          yield* screen.press(key)
          yield* Effect.sleep("150 millis")
        }
        yield* screen.waitFor("deployer> connect prod")
        yield* screen.press("Enter")
        yield* screen.waitFor(/current +app_\w+[\s\S]*\nprod>$/m)
        yield* screen.type("prune nobody")
        yield* screen.waitFor('There is no release "nobody"')
        yield* screen.press("Up")
        yield* screen.waitFor(/prod> prune nobody\s*$/)
        yield* screen.press("C-c")
        yield* screen.type("integrity deep")
        yield* screen.waitFor(/: ✓ whole\n[\s\S]*: ✓ whole\n/)
        yield* screen.type(`prune ${here.name}`)
        yield* screen.waitFor(/free .*\? \[y\/N\]$/m)
        yield* screen.type("y")
        yield* screen.waitFor(/Removed app_\w+ [0-9A-F]{8} from .* freed/)
        yield* screen.type("local")
        yield* screen.waitFor(/freed[\s\S]*deployer>$/m)
        // Lines that are pasted together are run in order, until one fails. The beginning of a line can be completed by hand.
        yield* screen.paste(`info 1\ninfo ${here.name}\ninfo 99\nh\nq\ninf`)
        yield* screen.waitFor(/^ref [\s\S]*^ref [\s\S]*"99"[\s\S]*Not run, because of that: h; q\s+deployer> inf$/m)
        yield* screen.type("o all")
        yield* screen.waitFor(/deployer> info all\n[\s\S]*deployer>$/m)
        yield* screen.press("C-c")
        yield* screen.waitFor("q or Ctrl-D leaves; so does Ctrl-C again")
        yield* screen.press("C-d")
        yield* screen.waitFor("left with 0")
        // A file or a pipe is a script: the first line that fails ends it.
        yield* screen.type("clear; printf 'info 1\\nprune nobody\\nq\\n' | $D manage; echo piped $?")
        yield* screen.waitFor("piped 1")
        assert.match(screen.shown(), /Line 2 \("prune nobody"\) failed, and no later line was run: /)
        yield* screen.type("clear; echo info > script; $D manage target=prod < script; echo read $?; rm script")
        yield* screen.waitFor("read 0")
        assert.lengthOf(fs.readdirSync(path.join(host.home, managed, "releases")), 2)
      })
    )

    it.scoped("An unknown host key is shown in the terminal and asked about, and is known after a yes.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const home = fs.mkdtempSync(path.join(here.folder, "stranger-"))
        here.configure({ prod: { ...reach(host), path: unused("unknown"), builder: "plain" } })
        const screen = yield* open(here, { HOME: home })
        const known = path.join(home, ".ssh/known_hosts")
        yield* screen.type("$D deploy target=prod release=1; echo status $?")
        yield* screen.waitFor(/SHA256:[\s\S]*\[y\/N\]$/m)
        yield* screen.type("n")
        yield* screen.waitFor("status 1")
        assert.isFalse(fs.existsSync(known))
        yield* screen.type("clear; $D deploy target=prod release=1; echo status $?")
        yield* screen.waitFor(/SHA256:[\s\S]*\[y\/N\]$/m)
        yield* screen.type("y")
        yield* screen.waitFor("status 0")
        assert.include(fs.readFileSync(known, "utf8"), host.hostKey)
        assert.deepInclude(yield* here.run(["manage", "info", "target=prod"], { env: { HOME: home } }), {
          status: 0,
          stderr: ""
        })
      })
    )

    it.scoped("A passphrase is asked for in the terminal and never shown.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const key = makeKey(path.join(here.folder, unused("locked")), { passphrase: "open sesame" })
        host.authorize(fs.readFileSync(`${key}.pub`, "utf8"))
        here.configure({ prod: { ...reach(host), sshKey: key, path: unused("locked"), builder: "plain" } })
        const screen = yield* open(here)
        yield* screen.type("$D deploy target=prod release=1; echo status $?")
        yield* screen.waitFor(/assphrase.*locked/)
        yield* Effect.sleep("300 millis")
        yield* screen.type("open sesame")
        yield* screen.waitFor("status 0")
        assert.notInclude(screen.raw(), "sesame")
        // The line discipline is as it was: typed text shows again.
        yield* screen.type("echo seen again")
        yield* screen.waitFor("\nseen again")
      })
    )

    it.scoped("An upload has a bar in a terminal, with colours unless NO_COLOR is set; a pipe gets plain lines.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const network = yield* proxy(host, { rate: 6_000_000 })
        fs.appendFileSync(path.join(here.home, ".ssh/known_hosts"), `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
        const target = (name: string) => ({ ...reach(host, network), path: unused(name), builder: "plain" })
        here.configure({ bar: target("bar"), plain: target("plain") })
        // More than the buffers on the way take at once.
        here.write("bin/data", randomBytes(18_000_000).toString("base64"))
        yield* here.good("build", "target=bar")
        const screen = yield* open(here)
        yield* screen.type("$D deploy target=bar release=3; echo status $?")
        yield* screen.waitFor(/uploading .* \d+\s?%.* of .*\/s/)
        yield* screen.waitFor("status 0")
        // Redrawn in its line, not line by line.
        assert.isAbove(screen.raw().split("\r").length, 6)
        assert.strictEqual(screen.shown().match(/^uploading/gm)?.length, 1)
        yield* screen.type("clear; $D deploy --help; echo helped")
        yield* screen.waitFor(/^helped/m)
        assert.match(screen.raw(), /\u001b\[(?!0?m)[0-9;]*m/)

        const colourless = yield* open(here, { NO_COLOR: "1" })
        yield* colourless.type("clear; $D deploy --help; $D deploy target=plain release=1; echo status $?")
        yield* colourless.waitFor("status 0")
        assert.notMatch(colourless.raw(), /\u001b\[(?!0?m)[0-9;]*m/)

        const { stderr } = yield* here.deployer("build_and_deploy", "target=plain")
        assert.notMatch(stderr, /\u001b|\r/)
        assert.match(stderr, /^uploading .*\n/m)
      })
    )

    it.scoped("A long step has one moving line with its number and its seconds, which leaves nothing behind.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        const restart = "echo begins; sleep 3; echo restarted"
        here.configure({ prod: { ...reach(host), path: unused("steps"), builder: "plain", restart } })
        const screen = yield* open(here)
        const moving = /^[-\\|/] restart \(\d of \d\) {2}(\d) s$/m
        yield* screen.type("$D deploy target=prod release=1; echo status $?")
        yield* screen.waitFor(/^begins\n[-\\|/] restart \(\d of \d\) {2}1 s$/m)
        // It moves, and it is drawn again after a change of the width.
        yield* screen.resize(60, 30)
        yield* screen.waitFor(/^[-\\|/] restart \(\d of \d\) {2}2 s$/m)
        yield* screen.waitFor("status 0")
        const shown = screen.shown()
        assert.match(shown, /^begins\nrestarted\n/m)
        assert.notMatch(shown, moving)
        assert.isAbove(new Set(screen.raw().match(/[-\\|/] restart \(/g)).size, 3)
      })
    )

    it.scoped("A table is cut to the width of the terminal, and a reader that leaves early is no error.", () =>
      Effect.gen(function* () {
        const { here, host } = yield* World
        here.configure({ prod: { ...reach(host), path: `${"long/".repeat(40)}path`, builder: "plain" } })
        const screen = yield* open(here)
        yield* screen.type("$D manage info; echo status $?")
        yield* screen.waitFor("status 0")
        for (const line of screen.shown().split("\n")) assert.isAtMost(line.length, 100)
        assert.include(screen.shown(), "…")
        yield* screen.type("clear; { $D manage info; echo first $? >&2; } | head -1")
        yield* screen.waitFor("first 0")
        assert.match(screen.shown(), /^Id +Name/m)
        assert.notMatch(screen.shown(), /EPIPE|deployer:/)
      })
    )
  })
})
