/** How often a command waits for its host: counted, so that no change adds a round trip unseen. */
import * as fs from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { link, type Traffic } from "../kit/link.ts"
import { project, reach } from "../kit/project.ts"
import { target } from "../kit/samples.ts"
import { missingSshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip

/** In milliseconds; longer than a busy machine takes to start a shell, most of the time. */
const roundTrip = 400

describe("a step over SSH", () => {
  scoped(titled("A step over SSH takes one round trip, except for the first, which takes three.", missingSshd), () =>
    Effect.gen(function* () {
      const host = yield* sshd()
      const network = yield* link(host, { roundTrip })
      fs.appendFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
      const services = Layer.mergeAll(
        NodeFileSystem.layer,
        Prompt.layerScripted([]),
        Layer.succeed(SshSettings, settingsFor(host))
      )
      const place = { host: "127.0.0.1", port: network.port, user: host.user, sshKey: host.keyFile }
      const transport = yield* Effect.provide(connect(target(place), host.folder), services)
      const step = Effect.gen(function* () {
        const begun = performance.now()
        const { stdout } = yield* transport.exec({ doing: "say", script: "echo said", args: [], wait: "command" })
        assert.strictEqual(stdout, "said\n")
        return (performance.now() - begun) / roundTrip
      })
      assert.isAtLeast(yield* step, 2)
      // The quickest of them: the machine may be busy.
      const steps = yield* Effect.replicateEffect(step, 8)
      assert.isBelow(Math.min(...steps), 1.8)
    })
  )
})

describe("a command over SSH, TCP's round trip and the handshake included,", { timeout: 900_000 }, () => {
  const world = Effect.gen(function* () {
    const host = yield* sshd()
    // Longer than any step works on a slow machine: a channel that is opened ahead meanwhile would count as a trip of its own otherwise.
    // Seven of them are shorter than the pause before a sign of life, whose bytes would count.
    const roundTrip = 2000
    const network = yield* link(host, { roundTrip })
    fs.appendFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
    const here = yield* project()
    here.knowHost(host)
    here.configure({
      near: { ...reach(host), path: "app", name: here.name, builder: "plain" },
      far: { ...reach(host, network), path: "app", name: here.name, builder: "plain" }
    })
    const build = (version: string) =>
      Effect.suspend(() => {
        here.version(version)
        return here.good("build", "target=near")
      })
    yield* build("1.0")
    yield* here.good("deploy", "target=near", "release=1")
    const counted = (...args: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        network.take()
        yield* here.good(...args, "target=far")
        // The last bytes are still on their way.
        yield* Effect.sleep(2 * roundTrip)
        return network.take()
      })
    let next = 2
    /** Deploys a release that the host does not have. */
    const deployment = Effect.suspend(() => {
      const id = next++
      return Effect.zipRight(build(`${id}.0`), counted("deploy", `release=${id}`))
    })
    return { counted, deployment, same: Effect.suspend(() => counted("deploy", `release=${next - 1}`)) }
  })

  /** Now and then, a busy machine takes longer to start a shell than a round trip takes: one good try is enough. */
  const within = <E, R>(limit: number, command: Effect.Effect<Traffic, E, R>) =>
    Effect.gen(function* () {
      const tries: Array<number> = []
      while (tries.length < 6) {
        const traffic = yield* command
        tries.push(traffic.roundTrips)
        if (traffic.roundTrips <= limit) return traffic
      }
      return assert.fail(`${tries.join(", ")} round trips instead of ${limit}`)
    })

  scoped(
    titled(
      "Over SSH a deployment takes 11 round trips, 8 if there is nothing to do, and a rollback takes 10.",
      missingSshd
    ),
    () =>
      Effect.gen(function* () {
        const { counted, deployment, same } = yield* world
        yield* within(11, deployment)
        assert.isBelow((yield* within(8, same)).sent, 10_000)
        yield* within(11, deployment)
        yield* within(10, counted("rollback"))
      })
  )
})
