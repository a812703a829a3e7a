import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { makeSession } from "../../src/host/session.ts"
import { connect } from "../../src/host/transport/ContainerTransport.ts"
import { contract, type Place } from "../host/contract.ts"
import { runningContainer } from "../kit/container.ts"
import { diskFiles } from "../kit/disk.ts"
import { docker, missingDocker } from "../kit/docker.ts"
import { listen } from "../kit/listen.ts"
import { project } from "../kit/project.ts"
import * as samples from "../kit/samples.ts"
import { freePort } from "../kit/sshd.ts"

const scope = Effect.runSync(Scope.make())
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
const shared = Effect.runSync(Effect.cached(Scope.extend(runningContainer, scope)))

const place: Effect.Effect<Place> = Effect.map(shared, ({ home, name }) => {
  for (const file of readdirSync(home)) rmSync(join(home, file), { recursive: true })
  return {
    connect: (target) =>
      Effect.map(connect(target, { engine: "docker", name }), (transport) => makeSession(target, transport)),
    fields: { host: `docker://${name}`, user: "root" },
    home,
    files: diskFiles,
    shell: true,
    listen,
    freePort: Effect.promise(freePort)
  }
})

contract("a running container", place, { shell: true, skip: missingDocker, every: 12 })

describe("a container as a host", { skip: missingDocker !== undefined }, () => {
  const refusal = (name: string, user = "root") =>
    Effect.flip(connect(samples.target({ host: `docker://${name}`, user }), { engine: "docker", name }))

  it.live("is refused in one sentence if it does not exist, does not run, or has no such user", () =>
    Effect.gen(function* () {
      const { name } = yield* runningContainer
      const unknown = yield* refusal("nobody-here")
      const nobody = yield* refusal(name, "nobody-here")
      docker("stop", "--time", "0", name)
      const stopped = yield* refusal(name)
      for (const [{ message }, found] of [
        [unknown, /No such container: nobody-here/],
        [nobody, /nobody-here: no matching/],
        [stopped, /is not running/]
      ] as const) {
        assert.match(message, /^The container docker:\/\/[^ ]+ cannot be used \([^\n]+\): start it, or check "host"/)
        assert.match(message, found)
      }
    }).pipe(Effect.scoped)
  )

  it.live("takes releases from the command line, is checked, and goes back", () =>
    Effect.gen(function* () {
      const { home, name: container } = yield* runningContainer
      const here = yield* project()
      here.configure(
        {
          box: {
            ...{ host: `docker://${container}`, user: "root", name: here.name, path: `${home}/app`, builder: "plain" },
            health: { command: "test -f version", interval: "100 millis" }
          }
        },
        { plain: 'command({ run: "true", releasePath: "files" })' }
      )
      here.write("files/version", "1")
      yield* here.good("build", "target=box")
      assert.match(
        yield* here.good("deploy", "target=box", "yes"),
        new RegExp(`is live at docker://${container}:${home}/app`)
      )
      here.write("files/version", "2")
      yield* here.good("build", "target=box")
      yield* here.good("deploy", "target=box", "yes")
      assert.strictEqual(yield* here.good("exec", "target=box", "--", "cat", "version"), "2")
      yield* here.good("rollback", "target=box", "yes")
      assert.strictEqual(yield* here.good("exec", "target=box", "--", "cat", "version"), "1")
      yield* here.good("status", "target=box")
    }).pipe(Effect.scoped)
  )
})
