import { join } from "node:path"
import * as Effect from "effect/Effect"
import { project, reach } from "./project.ts"
import type { Sshd } from "./sshd.ts"

/** Runs the usual commands on a host, and returns the output of the first one, `doctor`. `more`: further settings of its target. */
export const runUsualCommands = (host: Sshd, more: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const here = yield* project()
    here.knowHost(host)
    here.configure({ prod: { ...reach(host), path: join(host.home, "app"), builder: "plain", ...more } })
    const doctor = yield* here.good("doctor", "target=prod")
    for (const version of ["1.0", "2.0", "3.0"]) {
      here.version(version)
      yield* here.good("build", "target=prod")
      yield* here.good("deploy", "target=prod", "yes")
    }
    yield* here.good("rollback", "target=prod")
    yield* here.good("lock", "target=prod", "reason=holiday")
    yield* here.good("unlock", "target=prod", "yes")
    yield* here.good("status", "target=prod")
    yield* here.good("manage", "integrity", "target=prod", "deep")
    yield* here.good("manage", "prune", "target=prod", `name=${here.name}`, "yes")
    yield* here.good("repair", "target=prod", "yes")
    yield* here.good("history", "target=prod")
    return { doctor }
  })
