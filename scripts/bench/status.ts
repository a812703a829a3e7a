/**
 * Whether a host that was deployed to for years feels like a new one.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Bench } from "./Bench.ts"
import { within } from "./Row.ts"

export const rows = (bench: Bench) =>
  Effect.gen(function* () {
    const data = bench.data.small()
    const few = { data, path: yield* grown(bench, { releases: 10, lines: 100 }) }
    const size = bench.quick ? { releases: 20, lines: 1000 } : { releases: 200, lines: 100_000 }
    const many = { data, path: yield* grown(bench, size) }
    const ours: Array<number> = []
    const theirs: Array<number> = []
    for (let round = bench.quick ? 0 : -1; round < bench.rounds; round++) {
      const old = yield* bench.deployer(["status", "target=there"], many)
      const young = yield* bench.deployer(["status", "target=there"], few)
      if (round < 0) continue
      ours.push(old.millis)
      theirs.push(young.millis)
    }
    const line = `status, ${size.lines.toLocaleString("en")} lines of journal, ${size.releases} releases`
    return [within(1.3, { line, unit: "ms", ours, theirs, than: "the same with 100 lines, 10 releases" })]
  })

/** Deploys twice, with so many other releases and so many lines of journal from before between the two. Returns the path on the host. */
const grown = (bench: Bench, { lines, releases }: { readonly releases: number; readonly lines: number }) =>
  Effect.gen(function* () {
    const data = bench.data.small()
    const path = `ours/status-${releases}`
    for (const version of ["one", "changed"] as const) yield* bench.built(data, version)
    const deploy = (version: "one" | "changed") =>
      Effect.flatMap(bench.built(data, version), ({ id }) =>
        bench.deployer(["deploy", "target=there", `release=${id}`], { data, version, path })
      )
    yield* deploy("one")
    const base = join(bench.host.home, path)
    const journal = join(base, "config/journal")
    const former = join(base, "releases", readdirSync(join(base, "releases")).find((name) => name !== "current") ?? "")
    const ref = former.slice(-32)
    const renamed = (text: string, index: number) =>
      text.replaceAll(ref, index.toString(16).toUpperCase().padStart(32, "0"))
    const record = readFileSync(join(former, ".deployer_release.json"), "utf8")
    const events = readFileSync(journal, "utf8")
    let told = ""
    for (let index = 1; index <= releases - 2; index++) {
      const folder = renamed(former, index)
      cpSync(former, folder, { recursive: true })
      writeFileSync(join(folder, ".deployer_release.json"), renamed(record, index))
      told += renamed(events, index)
    }
    const aboutLock = ["locked", "unlocked"].map(
      (event) => `{"event":"${event}","at":"2026-01-02T03:04:05.000Z","by":"ops@laptop"}\n`
    )
    const missing = Math.max(0, lines - told.split("\n").length - 6)
    writeFileSync(journal, aboutLock.join("").repeat(Math.ceil(missing / 2)) + told + events)
    yield* deploy("changed")
    return path
  })
