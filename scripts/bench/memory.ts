/**
 * The memory and disk that commands take for releases of very different sizes.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Bench } from "./Bench.ts"
import { large } from "./data.ts"
import { bytesBelow, peakMethod } from "./measure.ts"
import { atMost, figure, missingRow, type Row, within } from "./Row.ts"

const megabyte = 1_000_000

interface Peaks {
  readonly title: string
  readonly build: number
  readonly deploy: number
  /** Beyond the finished tarball. */
  readonly disk: number
}

export const rows = (bench: Bench) =>
  Effect.gen(function* () {
    if (peakMethod === undefined) {
      const missing = "neither /usr/bin/time nor /proc"
      return [missingRow({ line: "memory", unit: "MB", target: "at most 160 MB", missing })]
    }
    const small = yield* weigh(bench, bench.quick ? 2 : 50)
    const big = yield* weigh(bench, bench.quick ? 6 : 2000)
    const note = `one run; ${peakMethod}`
    return [
      ...[small, big].flatMap(({ build, deploy, title }) => [
        atMost(160, { line: `build of ${title}: memory`, unit: "MB", ours: [build], note }),
        atMost(160, { line: `deploy of ${title}: memory`, unit: "MB", ours: [deploy], note })
      ]),
      // The collector's garbage varies by some megabytes.
      ...(["build", "deploy"] as const).map(
        (command): Row =>
          within(1.1, {
            line: `${command} of ${big.title}: memory`,
            unit: "MB",
            ours: [big[command]],
            theirs: [small[command]],
            than: small.title
          })
      ),
      atMost(1, {
        line: `build of ${big.title}: temporary disk beyond the tarball`,
        unit: "MB",
        ours: [big.disk],
        note: "looked at every 50 ms"
      })
    ]
  })

/** Builds and deploys a tree of so many megabytes, and takes it away. */
const weigh = (bench: Bench, megabytes: number) =>
  Effect.gen(function* () {
    const tree = join(bench.folder, "large")
    const about = { tree, path: "large" }
    large(tree, megabytes * megabyte)
    const places = [join(bench.workspace, "temp"), join(bench.workspace, "release_store")]
    const before = bytesBelow(...places)
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, bytesBelow(...places) - before)
    }, 50)
    const built = yield* Effect.ensuring(
      bench.weighed(["build", "target=there", "json"], about),
      Effect.sync(() => clearInterval(watch))
    )
    const { release } = JSON.parse(built.stdout)
    fs.rmSync(tree, { recursive: true })
    const deployed = yield* bench.weighed(["deploy", "target=there", `release=${release.id}`, "yes"], about)
    yield* bench.deployer(["manage", "delete", `ref=${release.ref}`, "yes"], about)
    yield* Effect.promise(() => fs.promises.rm(join(bench.host.home, "large"), { recursive: true }))
    return {
      title: `${figure(megabytes)} MB`,
      build: built.peak / megabyte,
      deploy: deployed.peak / megabyte,
      disk: Math.max(0, most - release.size) / megabyte
    } satisfies Peaks
  })
