/**
 * Deployments over links: the bytes that they send, how often they wait, how long they take.
 */

import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Bench, LinkName } from "./Bench.ts"
import {
  ansible,
  byHand,
  type Contestant,
  cap,
  contest,
  controlMaster,
  deployer,
  firstDeployment,
  hardLinked,
  type Measured,
  original,
  type Result,
  rsync,
  rsyncCopies,
  scpAndUntar,
  shipit
} from "./contestants.ts"
import type { Data, Version } from "./data.ts"
import { atMost, compared, figure, median, missingRow, type Row, within } from "./Row.ts"

/** A figure that is taken of each run. */
interface Figure {
  readonly what: string
  readonly unit: string
  readonly of: (run: Measured) => number
}

const time: Figure = { what: "time", unit: "s", of: ({ millis }) => millis / 1000 }
const sent: Figure = {
  what: "bytes both ways",
  unit: "kB",
  of: (run) => ((run.sent ?? Number.NaN) + (run.received ?? Number.NaN)) / 1000
}
const roundTripsOf: Figure = { what: "round trips", unit: "", of: ({ roundTrips = Number.NaN }) => roundTrips }

/** A smoke run does not need all of them. */
const some = <A>({ quick }: Bench, jobs: ReadonlyArray<A>): ReadonlyArray<A> => (quick ? jobs.slice(0, 2) : jobs)

const runsOf = (results: ReadonlyMap<Contestant, Result>, contestant: Contestant): ReadonlyArray<Measured> => {
  const result = results.get(contestant)
  return result === undefined || "missing" in result ? [] : result.runs
}

const taken = (results: ReadonlyMap<Contestant, Result>, contestant: Contestant, { of }: Figure) =>
  runsOf(results, contestant).map(of)

/** A row for a figure of deployer beside another's; without a limit only for comparison. */
const beside = (
  what: string,
  results: ReadonlyMap<Contestant, Result>,
  [ours, theirs]: readonly [Contestant, Contestant],
  taking: Figure,
  limit?: number
): Row => {
  const line = `${what}: ${taking.what}`
  const { unit } = taking
  const figures = taken(results, ours, taking)
  const other = results.get(theirs)
  if (other === undefined || "missing" in other) {
    const target = limit === undefined ? "" : `at most ${limit}x ${theirs.name}`
    return missingRow({ line, unit, target, ours: figures, missing: `${theirs.name}: ${other?.missing ?? "not run"}` })
  }
  const both = { line, unit, ours: figures, theirs: other.runs.map(taking.of) }
  return limit === undefined
    ? compared({ ...both, note: `beside ${theirs.name}` })
    : within(limit, { ...both, than: theirs.name })
}

// Round trips

/** A small release, for which only waiting costs time. */
export const roundTrips = (bench: Bench) =>
  Effect.gen(function* () {
    const job = { data: bench.data.small(), version: "changed", way: bench.way("r100m100") } as const
    const results = yield* contest(bench, job, [deployer, controlMaster, byHand])
    const what = `redeploy of ${job.data.title}, ${job.way.title}`
    const back = yield* rollbacks(bench, job.data)
    return [
      atMost(12, {
        line: `${what}: round trips`,
        unit: "",
        ours: taken(results, deployer, roundTripsOf),
        note: "one of them TCP's"
      }),
      beside(what, results, [deployer, controlMaster], roundTripsOf),
      beside(what, results, [deployer, controlMaster], time, 0.5),
      beside(what, results, [deployer, byHand], time),
      atMost(10, {
        line: `rollback, ${job.way.title}: round trips`,
        unit: "",
        ours: back.map(roundTripsOf.of),
        note: `one of them TCP's; ${figure(median(back.map(time.of)))} s`
      })
    ]
  })

const rollbacks = (bench: Bench, data: Data) =>
  Effect.gen(function* () {
    const way = bench.way("r100m100")
    const runs: Array<Measured> = []
    for (let round = 0; round < bench.rounds; round++) {
      yield* deployer.reset(bench, data)
      yield* deployer.deploy(bench, { data, version: "changed", way: bench.way("loopback") })
      way.take?.()
      const { millis } = yield* bench.deployer(["rollback", "target=there"], { data, way })
      yield* Effect.sleep(way.roundTrip * 2)
      const { received = 0, roundTrips = 0, sent = 0 } = way.take?.() ?? {}
      const { ref } = yield* bench.built(data, "one")
      const live = fs.readlinkSync(join(bench.host.home, deployer.current(data)))
      if (!live.endsWith(ref)) return yield* Effect.dieMessage(`the rollback led to ${live}`)
      runs.push({ millis, received, roundTrips, sent })
    }
    return runs
  })

// The same again

export const same = (bench: Bench) =>
  Effect.gen(function* () {
    const data = bench.data.node()
    const way = bench.way("r50m20")
    yield* deployer.reset(bench, data)
    const results = yield* contest(bench, { data, version: "one", way }, [deployer])
    const runs = runsOf(results, deployer)
    return [
      atMost(10, {
        line: `the release that is live again, ${data.title}, ${way.title}: sent`,
        unit: "kB",
        ours: runs.map(({ sent = Number.NaN }) => sent / 1000),
        note: `${figure(median(runs.map(({ received = Number.NaN }) => received / 1000)))} kB received, ${figure(median(runs.map(time.of)))} s`
      })
    ]
  })

// The first upload

export const first = (bench: Bench) =>
  Effect.forEach(
    some(bench, [
      [bench.data.erlang(), "loopback"],
      [bench.data.node(), "r50m100"],
      [bench.data.binary(), "r100m100"]
    ] as const satisfies ReadonlyArray<readonly [Data, LinkName]>),
    ([data, link]) =>
      Effect.gen(function* () {
        const job = { data, version: "one", way: bench.way(link) } as const
        const results = yield* contest(bench, job, [firstDeployment, scpAndUntar])
        yield* firstDeployment.reset(bench, data)
        yield* scpAndUntar.reset(bench, data)
        return beside(
          `first upload of ${data.title}, ${job.way.title}`,
          results,
          [firstDeployment, scpAndUntar],
          time,
          1
        )
      })
  )

// Differences

const said: Readonly<Record<Version, string>> = {
  one: "nothing changed",
  changed: "1 % changed",
  half: "half of it new",
  everything: "everything changed",
  times: "only times changed"
}

export const redeploy = (bench: Bench) =>
  Effect.map(
    Effect.forEach(
      some(bench, [
        [bench.data.erlang(), "changed", "loopback"],
        [bench.data.erlang(), "changed", "r50m100"],
        [bench.data.node(), "changed", "r100m20"],
        [bench.data.binary(), "changed", "r50m100"],
        [bench.data.erlang(), "half", "loopback"],
        [bench.data.erlang(), "half", "r50m100"],
        [bench.data.erlang(), "times", "r50m100"],
        [bench.data.node(), "everything", "r100m100"]
      ] as const satisfies ReadonlyArray<readonly [Data, Version, LinkName]>),
      ([data, version, link]) =>
        Effect.gen(function* () {
          const job = { data, version, way: bench.way(link) } as const
          const isTarget = version === "changed"
          const results = yield* contest(bench, job, [deployer, rsync, ...(isTarget ? [hardLinked, rsyncCopies] : [])])
          const what = `redeploy, ${said[version]}, ${data.title}, ${job.way.title}`
          const limit = isTarget ? 1 : undefined
          const figures = job.way.take === undefined ? [time] : [sent, time]
          return [
            ...figures.map((taking) => beside(what, results, [deployer, rsync], taking, limit)),
            ...(isTarget
              ? [
                  beside(`${what}, files copied by both`, results, [deployer, rsyncCopies], time, limit),
                  beside(`${what}, files linked by both`, results, [hardLinked, rsync], time, limit)
                ]
              : [])
          ]
        })
    ),
    (rows) => rows.flat()
  )

/** One job, done by everybody. */
export const others = (bench: Bench) =>
  Effect.gen(function* () {
    const job = { data: bench.data.node(), version: "changed", way: bench.way("r50m100") } as const
    const rivals = [rsync, controlMaster, byHand, original, cap, shipit, ansible] as const
    const results = yield* contest(bench, job, [deployer, ...rivals])
    const what = `redeploy, 1 % changed, ${job.data.title}, ${job.way.title}`
    return rivals.map((rival): Row => {
      const row = beside(what, results, [deployer, rival], time)
      if (row.missing !== undefined) return row
      const each = (contestant: Contestant) =>
        `${figure(median(taken(results, contestant, sent)))} kB and ${figure(median(taken(results, contestant, roundTripsOf)))} round trips`
      return { ...row, note: `beside ${rival.name} (${each(rival)}; deployer: ${each(deployer)})` }
    })
  })
