/** How long a step keeps a command waiting: one round trip, because the shell for it waits on the host already. */
import * as fs from "node:fs"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SshSettings } from "../../src/host/SshSettings.ts"
import { connect } from "../../src/host/SshTransport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { link } from "../kit/link.ts"
import { target } from "../kit/samples.ts"
import { missingSshd, settingsFor, sshd, titled } from "../kit/sshd.ts"

const scoped = missingSshd === undefined ? it.scopedLive : it.scopedLive.skip

/** In milliseconds; longer than what a busy machine takes to start a shell, most of the time. */
const roundTrip = 400

describe("a step over SSH", { timeout: 60_000 }, () => {
  scoped(titled("takes one round trip, but for the first, which takes two", missingSshd), () =>
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
        const { stdout } = yield* transport.exec({ step: "say", script: "echo said", args: [], wait: "command" })
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
