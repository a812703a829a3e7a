/**
 * A running container as a host. `docker exec` or `podman exec` runs every script.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { address as addressOf, type Target } from "../../domain/Target.ts"
import { ask, lastLine } from "../../internal/engine.ts"
import * as Tcp from "../../internal/tcp.ts"
import { HostUnreachable } from "../RemoteHost.ts"
import { execBy, shellBy } from "./ChildTransport.ts"
import { DialFailed, type Endpoint } from "./Endpoint.ts"
import { quote, type Transport } from "./Transport.ts"

/** A running container: the program of its engine, and its name or id. */
export interface Container {
  readonly engine: "docker" | "podman"
  readonly name: string
}

/** Makes the transport. Fails if the engine does not answer, if the container does not run, or if it has no `sh` or no such user. */
export const connect = (target: Target, { engine, name }: Container): Effect.Effect<Transport, HostUnreachable> => {
  const unreachable = (detail: string) =>
    new HostUnreachable({ address: addressOf(target), reason: "container", detail })
  const user = target.user === undefined ? [] : ["--user", target.user]
  const inside = (options: ReadonlyArray<string>, words: ReadonlyArray<string>) => ({
    command: engine,
    args: ["exec", ...options, ...user, name, "sh", ...words]
  })
  const transport: Transport = {
    // Like a login, a script begins in the home directory.
    exec: execBy(target, (words, { stdin, step }) => {
      const drains = engine === "podman" && stdin !== undefined && step !== "lock"
      return Effect.succeed(
        inside(stdin === undefined ? [] : ["--interactive"], [
          "-c",
          drains ? drainingScript : 'cd 2>/dev/null; exec sh "$@"',
          "sh",
          ...words
        ])
      )
    }),
    dial: (to, use) => {
      const { args, command } = inside(["--interactive"], ["-c", dialScript, "sh", to.host, String(to.port)])
      return Tcp.program([command, ...args].map(quote).join(" ")).pipe(
        Effect.tap(connected(to)),
        Effect.flatMap(use),
        Effect.scoped
      )
    },
    shell: (cwd) =>
      shellBy(
        target,
        Effect.succeed(
          inside(
            ["--interactive", "--tty"],
            ["-c", 'cd; cd "$1" 2>/dev/null; [ -n "$SHELL" ] || SHELL=sh; exec "$SHELL"', "sh", cwd]
          )
        )
      )
  }
  return ask(engine, inside([], ["-c", ":"]).args).pipe(
    Effect.mapError(({ message }) => unreachable(message)),
    Effect.flatMap(({ complaint, status, stdout }) =>
      // The message about an unknown user is on the standard output.
      status === 0 ? Effect.succeed(transport) : unreachable(complaint || lastLine(stdout) || `it ended with ${status}`)
    )
  )
}

/**
 * Reads the rest of the input after a script. If a program ends before it has read its input, podman 4.3 sometimes loses all its output. This
 * does not work for a lock, because its input does not end.
 */
const drainingScript = 'cd 2>/dev/null; sh "$@"; status=$?; cat >/dev/null; exit $status'

/** Connects to `$1` and `$2`. The first line is `connected` or the reason of the failure. The end of either side ends the connection. */
export const dialScript = `
if command -v bash >/dev/null; then
  exec bash -c '
    { exec 3<>"/dev/tcp/$1/$2"; } 2>&1 || exit 0
    echo connected
    exec 4<&0
    cat <&4 >&3 & writer=$!
    cat <&3 & reader=$!
    wait -n
    kill $writer $reader 2>/dev/null
    wait' bash "$@"
fi
command -v nc >/dev/null || { echo "it has neither bash nor nc"; exit; }
# nc does not report that it is connected. So a first connection shows it, if it lasts or if the other side ends it. No
# background process may remain, because a container's first process often waits for none.
nc "$1" "$2" </dev/null >/dev/null 2>&1 & first=$!
sleep 0.5 2>/dev/null || sleep 1
kill $first 2>/dev/null || wait $first || { echo "nc: connection refused"; exit; }
wait $first 2>/dev/null
echo connected
exec nc "$1" "$2"`

/** Waits for the first line of `dialScript`, and fails unless it is `connected`. */
const connected =
  (to: Endpoint) =>
  (stream: Tcp.Duplex): Effect.Effect<void, DialFailed, Scope.Scope> =>
    Effect.async<void, DialFailed>((resume) => {
      let line = ""
      const finish = (detail: string) => {
        stream.off("readable", readLine)
        const reason = /refused/i.test(detail) ? "refused" : "unreachable"
        resume(detail === "connected" ? Effect.void : new DialFailed({ to, reason, detail }))
      }
      const readLine = () => {
        for (let byte = stream.read(1); byte !== null; byte = stream.read(1)) {
          if (String(byte) === "\n") return finish(line)
          line += String(byte)
        }
      }
      stream.on("readable", readLine)
      stream.once("error", ({ message }) => finish(message))
      stream.once("end", () => finish(line))
    })
