/** Login shells and SSH servers of all kinds. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { dropbear, erlang, missingErlang, missingServers, tinysshd } from "../kit/otherServers.ts"
import { target } from "../kit/samples.ts"
import { missing, missingSshd, type Sshd, settingsFor, sshd, titled } from "../kit/sshd.ts"
import { emptyFolder } from "../kit/userland.ts"
import { runUsualCommands } from "../kit/usualCommands.ts"

const connected = (host: Sshd, settings: Partial<ReturnType<typeof settingsFor>> = {}) => {
  const to = target({ host: host.host, port: host.port, user: host.user, sshKey: host.keyFile, path: "app" })
  return Effect.map(
    Effect.provide(
      connect(to, host.folder),
      Layer.mergeAll(
        NodeFileSystem.layer,
        Prompt.layerScripted([]),
        Layer.succeed(SshSettings, { ...settingsFor(host), ...settings })
      )
    ),
    (transport) => ({ transport, session: makeSession(to, transport) })
  )
}

const shells = ["/bin/bash", "/bin/csh", "/bin/tcsh", "fish", "zsh", "elvish", "rc", "mksh", "yash", "xonsh"]

const pathOf = (shell: string) =>
  shell.startsWith("/") ? shell : ["/usr/bin", "/bin"].map((folder) => path.join(folder, shell)).find(fs.existsSync)

describe("login shells", () => {
  for (const shell of shells) {
    const absent = missingSshd ?? missing(path.basename(shell))
    const scoped = absent === undefined ? it.scopedLive : it.scopedLive.skip
    scoped(
      titled(
        `Scripts get their words and their input unchanged if the login shell is ${path.basename(shell)}.`,
        absent
      ),
      () =>
        Effect.gen(function* () {
          const { transport } = yield* connected(yield* sshd({ shell: pathOf(shell) ?? shell }))
          const words = ["a b", "it's", '"', "$HOME", "`id`", "!x !!", "\\", "a\nb", "%s", "*", "~", "(x)", "ä", ""]
          const answer = yield* transport.exec({
            doing: "say",
            script: 'for word; do printf "<%s>" "$word"; done; cat; echo; echo error >&2; exit 3',
            args: words,
            stdin: Stream.make(Buffer.from("deployer go\nwhat it reads\n")),
            wait: "command"
          })
          assert.strictEqual(
            answer.stdout,
            `${words.map((word) => `<${word}>`).join("")}deployer go\nwhat it reads\n\n`
          )
          assert.include(answer.stderr, "error\n")
          assert.strictEqual(answer.exitCode, 3)
        }),
      60_000
    )
  }
})

/** Login shells that start no command, and a part of the message about each. */
const useless = [
  { name: "nologin", text: "exec /usr/sbin/nologin", said: "This account is currently not available." },
  { name: "a restricted shell", text: 'exec rbash "$@"', said: "restricted" },
  { name: "a shell that ends at once", text: "exit 0", said: "exit status 0 and no output" },
  { name: "a shell for git alone", text: "echo only git >&2; exit 128", said: "exit status 128: only git" }
]

/** Login shells that do something of their own before they run a command. This must not matter. */
const odd = [
  { name: "greets", text: "echo welcome; echo hello >&2" },
  { name: "changes the directory", text: "cd /" },
  { name: "sets noclobber, nounset and errexit", text: "set -Cue; set -o allexport" }
]

describe("a login shell", () => {
  const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip
  const shellWith = (text: string) =>
    Effect.map(emptyFolder("login"), (folder) => {
      const shell = path.join(folder, "shell")
      fs.writeFileSync(shell, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
      return shell
    })

  for (const { name, said, text } of useless) {
    scoped(
      titled(
        `With ${name} as the login shell, the connection fails at once, and the message shows the shell's output or status.`,
        missingSshd
      ),
      () =>
        Effect.gen(function* () {
          const { session } = yield* connected(yield* sshd({ shell: yield* shellWith(text) }))
          const error = yield* Effect.flip(session.inspect).pipe(Effect.timeout("10 seconds"))
          assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "shell")
          assert.include(error.message, "deployer needs a login that may run sh")
          assert.include(error.message, said)
        })
    )
  }

  for (const { name, text } of odd) {
    scoped(titled(`A login shell that ${name} does not matter.`, missingSshd), () =>
      Effect.gen(function* () {
        const shell = yield* shellWith(`${text}\nexec sh "$@"`)
        const { transport } = yield* connected(yield* sshd({ shell }))
        const exec = {
          doing: "say",
          script: 'file=$(mktemp); echo "$1" >"$file"; cat "$file"; rm "$file"; echo $-; no=$nothing',
          args: ["word"],
          wait: "command"
        } as const
        const first = yield* transport.exec(exec)
        const { stdout } = yield* transport.exec(exec)
        assert.strictEqual(first.stdout, stdout)
        assert.match(stdout, /^word\n[a-z]*\n$/)
        assert.strictEqual(first.exitCode, 0)
      })
    )
  }
})

/** Ways in which Erlang's server runs a command, and the words about each. */
const erlangs = [
  { name: "takes commands for Erlang", exec: "", said: "syntax error before" },
  { name: "runs no commands", exec: "{exec,disabled}", said: "Prohibited" },
  {
    name: "passes no input to commands",
    exec: `{exec,{direct,fun(Line) -> {ok, os:cmd("sh -c '" ++ Line ++ "'")} end}}`,
    said: "no output"
  }
]

describe("SSH servers", () => {
  const servers = missingServers === undefined ? it.scopedLive : it.scopedLive.skip
  servers(
    titled("The usual commands work with Dropbear.", missingServers),
    () => Effect.flatMap(dropbear, runUsualCommands),
    120_000
  )

  servers(
    titled("The usual commands work with tinysshd, which allows one session per connection.", missingServers),
    () =>
      Effect.map(Effect.flatMap(tinysshd, runUsualCommands), ({ doctor }) =>
        assert.match(doctor, /sessions +at most 1 on a connection: deployer opens further connections/)
      ),
    120_000
  )

  const withErlang = missingErlang === undefined ? it.scopedLive : it.scopedLive.skip
  for (const { exec, name, said } of erlangs) {
    withErlang(titled(`A server of Erlang that ${name} is named as the reason of the failure.`, missingErlang), () =>
      Effect.gen(function* () {
        const { session } = yield* connected(yield* erlang(exec))
        const error = yield* Effect.flip(session.inspect).pipe(Effect.timeout("10 seconds"))
        assert.strictEqual(error._tag === "HostUnreachable" && error.reason, "shell")
        assert.include(error.message, said)
      })
    )
  }

  const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip
  scoped(
    titled(
      "The usual commands work with an sshd that allows few sessions per connection, and doctor says so.",
      missingSshd
    ),
    () =>
      Effect.forEach(
        [
          { allowed: 1, found: "at most 1 on a connection" },
          { allowed: 2, found: "at most 2 on a connection" },
          { allowed: 3, found: "3 or more on a connection" }
        ],
        ({ allowed, found }) =>
          Effect.map(Effect.flatMap(sshd({ config: [`MaxSessions ${allowed}`] }), runUsualCommands), ({ doctor }) =>
            assert.match(doctor, new RegExp(`sessions +${found}`))
          )
      ),
    240_000
  )
})
