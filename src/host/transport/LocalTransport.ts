/**
 * This machine as a host, without SSH. A child `sh` runs the same scripts.
 */
import * as Effect from "effect/Effect"
import type { Target } from "../../domain/Target.ts"
import * as ChildProcess from "../../internal/process.ts"
import * as Tcp from "../../internal/tcp.ts"
import { execBy, shellBy } from "./ChildTransport.ts"
import { DialFailed } from "./Endpoint.ts"
import type { Transport } from "./Transport.ts"

/** Environment variables for scripts and commands. The value `undefined` removes a variable. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Runs everything on this machine, with `env` added to the environment. */
export const make = (target: Target, env: Environment = {}): Transport => ({
  exec: execBy(target, (words) =>
    Effect.gen(function* () {
      const home = yield* ChildProcess.home
      return { command: "sh", args: words, cwd: (yield* ChildProcess.isDirectory(home)) ? home : "/", env }
    })
  ),
  dial: (to, use) =>
    Tcp.connect(to).pipe(
      Effect.mapError(
        ({ code, detail }) =>
          new DialFailed({ to, reason: code === "ECONNREFUSED" ? "refused" : "unreachable", detail })
      ),
      Effect.flatMap(use),
      Effect.scoped
    ),
  shell: (cwd) =>
    shellBy(
      target,
      Effect.gen(function* () {
        const home = yield* ChildProcess.home
        const wanted = cwd.startsWith("/") ? cwd : `${home}/${cwd}`
        return {
          command: (yield* ChildProcess.variable("SHELL")) ?? "/bin/sh",
          args: [],
          cwd: (yield* ChildProcess.isDirectory(wanted)) ? wanted : home,
          env
        }
      })
    )
})
