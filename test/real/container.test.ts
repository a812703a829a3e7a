import { spawnSync } from "node:child_process"
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { makeSession } from "../../src/host/session.ts"
import { connect } from "../../src/host/transport/ContainerTransport.ts"
import { contract, type Place } from "../host/contract.ts"
import { type ContainerEngine, runningContainer } from "../kit/container.ts"
import { diskFiles } from "../kit/disk.ts"
import { missingDocker } from "../kit/docker.ts"
import { listen } from "../kit/listen.ts"
import { missingPodman } from "../kit/podman.ts"
import { project } from "../kit/project.ts"
import * as samples from "../kit/samples.ts"
import { freePort } from "../kit/sshd.ts"

const scope = Effect.runSync(Scope.make())
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const placeIn = (engine: ContainerEngine): Effect.Effect<Place> => {
  const shared = Effect.runSync(Effect.cached(Scope.extend(runningContainer(engine), scope)))
  return Effect.map(shared, ({ home, name }) => {
    for (const file of readdirSync(home)) rmSync(join(home, file), { recursive: true })
    return {
      connect: (target) => Effect.map(connect(target, { engine, name }), (transport) => makeSession(target, transport)),
      fields: { host: `${engine}://${name}`, user: "root" },
      home,
      files: diskFiles,
      shell: true,
      listen,
      freePort: Effect.promise(freePort)
    }
  })
}

describe("the answers of a container of podman", { skip: missingPodman !== undefined }, () => {
  it.live("No answer of a container is lost if a script ends before it has read its input.", () =>
    Effect.gen(function* () {
      const { name } = yield* runningContainer("podman")
      const transport = yield* connect(samples.target({ host: `podman://${name}`, user: "root" }), {
        engine: "podman",
        name
      })
      const answers = yield* Effect.replicateEffect(
        transport.exec({
          doing: "answer",
          script: "echo answer",
          args: [],
          stdin: Stream.make(new TextEncoder().encode("input that nobody reads\n")),
          wait: "command"
        }),
        40
      )
      assert.deepStrictEqual(
        answers.map(({ stdout }) => stdout),
        answers.map(() => "answer\n")
      )
    }).pipe(Effect.scoped)
  )
})

contract("a running container of Docker", placeIn("docker"), { shell: true, skip: missingDocker, every: 12 })
contract("a running container of podman", placeIn("podman"), { shell: true, skip: missingPodman, every: 24 })

for (const [engine, missing] of [
  ["docker", missingDocker],
  ["podman", missingPodman]
] as const) {
  describe(`a container of ${engine} as a host`, { skip: missing !== undefined }, () => {
    const refusal = (name: string, user = "root") =>
      Effect.flip(connect(samples.target({ host: `${engine}://${name}`, user }), { engine, name }))

    it.live(`A container of ${engine} is refused in one sentence if it is missing, is stopped or lacks the user.`, () =>
      Effect.gen(function* () {
        const { name } = yield* runningContainer(engine)
        const unknown = yield* refusal("nobody-here")
        const nobody = yield* refusal(name, "nobody-here")
        spawnSync(engine, ["stop", "--time", "0", name])
        const stopped = yield* refusal(name)
        for (const [{ message }, found] of [
          [unknown, /no (?:such )?container.* "?nobody-here|No such container: nobody-here/],
          [nobody, /nobody-here: no matching/],
          [stopped, /is not running|only create exec sessions on running containers/]
        ] as const) {
          assert.match(
            message,
            /^The container (?:docker|podman):\/\/[^ ]+ cannot be used \([^\n]+\): start it, or check "host"/
          )
          assert.match(message, found)
        }
      }).pipe(Effect.scoped)
    )

    it.live(`A container of ${engine} takes releases from the command line, is checked, and goes back.`, () =>
      Effect.gen(function* () {
        const { home, name: container } = yield* runningContainer(engine)
        const here = yield* project()
        here.configure(
          {
            box: {
              ...{
                host: `${engine}://${container}`,
                user: "root",
                name: here.name,
                path: `${home}/app`,
                builder: "plain"
              },
              health: { command: "test -f version", interval: "100 millis" }
            }
          },
          { plain: 'command({ run: "true", releasePath: "files" })' }
        )
        here.write("files/version", "1")
        yield* here.good("build", "target=box")
        assert.match(
          yield* here.good("deploy", "target=box", "yes"),
          new RegExp(`is live at ${engine}://${container}:${home}/app`)
        )
        here.write("files/version", "2")
        yield* here.good("build", "target=box")
        yield* here.good("deploy", "target=box", "yes")
        assert.strictEqual(yield* here.good("exec", "target=box", "--", "cat", "version"), "2")
        yield* here.good("rollback", "target=box", "yes")
        assert.strictEqual(yield* here.good("exec", "target=box", "--", "cat", "version"), "1")
        // Its status says all there is to say.
        const { status, stderr } = yield* here.deployer("exec", "target=box", "--", "false")
        assert.deepStrictEqual([status, stderr], [1, ""])
        yield* here.good("status", "target=box")
      }).pipe(Effect.scoped)
    )
  })
}
