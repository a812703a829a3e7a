/** Networks that cut, stall and change bytes anywhere in a deployment: the current release stays whole, and the next deploy succeeds. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { RemoteHost } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { connect } from "../../src/host/transport/ssh/SshTransport.ts"
import type { Transport } from "../../src/host/transport/Transport.ts"
import { Prompt } from "../../src/terminal/Prompt.ts"
import { triesOf } from "../kit/exhaustive.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { type Proxy, type ProxyOptions, proxy, type Trouble } from "../kit/proxy.ts"
import { missingSshd, settingsFor, sshd, titled } from "../kit/sshd.ts"
import { built, type Ran, run, usualConfig, world } from "../kit/world.ts"

type Services = Layer.Layer.Success<ReturnType<typeof world>>

interface Place {
  readonly network: Proxy
  readonly deploy: (target: "prod" | "good", release: number) => Effect.Effect<Ran, unknown, Services>
  /** The current version; fails if the current release is not whole. */
  readonly current: () => string
  /** Removes all but the current release from the host, so that the next deployment has all to do. */
  readonly forget: () => void
}

/** Two releases of 100 kB, or twice `size`; the first is current on a host that `prod` reaches through the proxy, and `good` directly. */
const behindProxy = (
  mutations: Mutations,
  body: (place: Place) => Effect.Effect<unknown, unknown, Services>,
  { size = 50_000, ...link }: ProxyOptions & { readonly size?: number } = {}
) =>
  Effect.gen(function* () {
    const host = yield* sshd()
    const network = yield* proxy(host, link)
    fs.appendFileSync(host.knownHosts, `[127.0.0.1]:${network.port} ${host.hostKey}\n`)
    const services = Layer.mergeAll(
      NodeFileSystem.layer,
      Prompt.layerScripted([]),
      Layer.succeed(SshSettings, { ...settingsFor(host), keepAlive: Duration.millis(400) })
    )
    const changed = (transport: Transport) => mutant(transport, mutations)
    const remote = Layer.succeed(RemoteHost, {
      connect: (target) =>
        connect(target, host.folder).pipe(
          Effect.map((transport) => makeSession(target, changed(transport))),
          Effect.provide(services)
        )
    })
    const data = [0, 1].map(() => randomBytes(size).toString("hex"))
    let version = 0
    const image = () => {
      const content = data[version] ?? ""
      version += 1
      const folder = "/app/_build/prod/rel/my_app"
      return { files: { [`${folder}/version`]: String(version), [`${folder}/data`]: content } }
    }
    const target = {
      host: host.host,
      user: host.user,
      sshKey: host.keyFile,
      name: "my_app",
      path: "app",
      timeouts: { connect: "4 seconds", transfer: "4 seconds", command: "8 seconds" }
    }
    const config = {
      ...usualConfig,
      targets: { prod: { ...target, port: network.port }, good: { ...target, port: host.port, builder: "prod" } }
    }
    const releases = join(host.home, "app/releases")
    const place: Place = {
      network,
      deploy: (to, release) => run(`deploy target=${to} release=${release} yes`),
      current: () => {
        const folder = join(releases, "current/my_app")
        const found = fs.readFileSync(join(folder, "version"), "utf8")
        assert.strictEqual(fs.readFileSync(join(folder, "data"), "utf8"), data[Number(found) - 1])
        assert.isTrue(fs.existsSync(join(releases, "current/.deployer_manifest")))
        return found
      },
      forget: () => {
        const live = fs.readlinkSync(join(releases, "current"))
        for (const name of fs.readdirSync(releases)) {
          if (name !== "current" && name !== live) fs.rmSync(join(releases, name), { recursive: true })
        }
      }
    }
    yield* Effect.gen(function* () {
      yield* built
      yield* built
      const first = yield* place.deploy("good", 1)
      assert.strictEqual(first.status, 0, first.stderr)
      yield* body(place)
    }).pipe(Effect.provide(Layer.merge(world({ config, image }), remote)))
  }).pipe(Effect.scoped)

/** Deploys as soon as the host has noticed that the holder of the lock is gone. */
const plainDeploy = ({ deploy }: Place, release: number) =>
  Effect.gen(function* () {
    for (let wait = 0; ; wait++) {
      const ran = yield* deploy("good", release)
      if (ran.status !== 4 || wait > 40) return ran
      yield* Effect.sleep("250 millis")
    }
  })

const live = missingSshd === undefined ? it.live : it.live.skip

describe("a network in trouble", () => {
  live(
    titled(
      "A network that cuts, stalls or changes bytes leaves a whole release, and the next deploy succeeds.",
      missingSshd
    ),
    () =>
      behindProxy({}, (place) =>
        Effect.gen(function* () {
          const { current, deploy, forget, network } = place
          // The bytes in each direction when all is well.
          const before = { sent: network.sent(), received: network.received() }
          const good = yield* deploy("prod", 2)
          assert.strictEqual(good.status, 0, good.stderr)
          const total = { sent: network.sent() - before.sent, received: network.received() - before.received }
          assert.isAbove(total.sent, 50_000)

          const failed = { cut: 0, stall: 0, flip: 0 }
          const round = ({ at, direction, kind }: Omit<Trouble, "after"> & { readonly at: number }) =>
            Effect.gen(function* () {
              forget()
              const old = current()
              const next = old === "1" ? 2 : 1
              network.trouble({ kind, direction, after: Math.floor(at * total[direction]) })
              const ran = yield* deploy("prod", next)
              network.trouble()
              network.cut()
              network.resume()
              assert.oneOf(ran.status, [0, 1], ran.stderr)
              if (ran.status === 1) failed[kind] += 1
              else assert.strictEqual(current(), String(next))
              assert.oneOf(current(), [old, String(next)])
              const after = yield* plainDeploy(place, next)
              assert.strictEqual(after.status, 0, after.stderr)
              assert.strictEqual(current(), String(next))
            })
          const services = yield* Effect.context<Services>()
          const troubles = FastCheck.record({
            kind: FastCheck.constantFrom(...(["cut", "cut", "flip", "stall"] as const)),
            direction: FastCheck.constantFrom(...(["sent", "received"] as const)),
            at: FastCheck.double({ min: 0, max: 0.999, noNaN: true, noDefaultInfinity: true })
          })
          yield* Effect.promise(() =>
            FastCheck.assert(
              FastCheck.asyncProperty(troubles, (trouble) =>
                Effect.runPromise(Effect.provide(round(trouble), services))
              ),
              { numRuns: triesOf(16), endOnFailure: true }
            )
          )
          // Bytes at even distances, too: the random ones love the ends.
          for (const kind of ["cut", "flip", "stall"] as const) {
            for (const at of [0.2, 0.7]) yield* round({ kind, direction: "sent", at })
            yield* round({ kind, direction: "received", at: 0.8 })
          }
          assert.isAbove(Math.min(...Object.values(failed)), 0, JSON.stringify(failed))
        })
      )
  )
})

describe("without the protection", () => {
  live(titled("Without staging, a cut connection leaves a broken current.", missingSshd), () =>
    // Unpacks in the place of the live release, and checks afterwards.
    behindProxy(
      {
        stage: [['err=$({ [ -d "$stage" ]', 'rm -f current; ln -s "$stage" current; err=$({ [ -d "$stage" ]']]
      },
      ({ current, deploy, network }) =>
        Effect.gen(function* () {
          network.trouble({ kind: "cut", direction: "sent", after: 450_000 })
          assert.strictEqual((yield* deploy("prod", 2)).status, 1)
          // The host learns of it a moment later.
          const broken = Effect.try(() => current()).pipe(Effect.flip)
          yield* Effect.retry(broken, { times: 40, schedule: Schedule.spaced("100 millis") })
        }),
      // Slow enough for the script to begin before the cut.
      { size: 500_000, rate: 2_000_000 }
    )
  )
})
