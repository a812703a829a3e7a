/**
 * The benchmark: each goal, measured beside a rival.
 *
 *     npm run bench                        all lines
 *     npm run bench -- redeploy start      these lines
 *     npm run bench -- quick               all of them with a little data, to see that they work
 *     npm run bench -- --json              a JSON document in place of the table
 *     npm run bench -- --json=FILE         the document in a file, besides the table
 */
import { writeFileSync } from "node:fs"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import build from "../test/kit/build.ts"
import { missingSshd } from "../test/kit/sshd.ts"
import { bench } from "./bench/Bench.ts"
import { lines } from "./bench/lines.ts"
import { document, type Measurement, machine, text } from "./bench/report.ts"

const say = (line: string) => process.stderr.write(`${line}\n`)

const args = process.argv.slice(2)
const json = args.find((word) => /^(--)?json(=|$)/.test(word))
const file = json?.split("=")[1]
const quick = args.includes("quick")
const asked = args.filter((word) => word !== json && word !== "quick")
const unknown = asked.filter((word) => !lines.some(({ key }) => key === word))

const measure = Effect.gen(function* () {
  const began = performance.now()
  const here = yield* bench(quick)
  const about = machine()
  const measurements: Array<Measurement> = []
  const result = () => {
    const seconds = (performance.now() - began) / 1000
    return `${JSON.stringify(document({ machine: about, quick, seconds, measurements }), undefined, 2)}\n`
  }
  for (const { key, rows, what } of lines) {
    if (asked.length > 0 && !asked.includes(key)) continue
    say(`${key}: ${what}`)
    const start = performance.now()
    const measured = yield* rows(here).pipe(
      Effect.map((rows) => ({ rows })),
      Effect.sandbox,
      Effect.catchAll((cause) => Effect.succeed({ rows: [], failure: String(cause) }))
    )
    const seconds = (performance.now() - start) / 1000
    measurements.push({ key, seconds, ...measured })
    // A run that is cut short leaves its figures so far.
    if (file !== undefined) writeFileSync(file, result())
    say(`${key}: ${"failure" in measured ? `failed: ${measured.failure}` : "done"} (${Math.round(seconds)} s)`)
  }
  const seconds = (performance.now() - began) / 1000
  if (json !== undefined && file === undefined) process.stdout.write(result())
  else {
    process.stdout.write(`${text(measurements, process.stdout.columns)}\n\n`)
    process.stdout.write(
      `${about.cores} cores, ${about.processor}, Node ${about.node}, ${about.openssh}; ${Math.round(seconds)} s\n`
    )
    if (quick) process.stdout.write("A smoke run: it shows that every line works, and its figures say nothing.\n")
  }
  return measurements.every(({ failure }) => failure === undefined)
})

if (unknown.length > 0) {
  say(`There is no line ${unknown.join(", ")}; there are ${lines.map(({ key }) => key).join(", ")}`)
  process.exitCode = 2
} else if (missingSshd !== undefined) {
  say(`The benchmark needs an OpenSSH server: ${missingSshd}`)
  process.exitCode = 1
} else {
  build()
  // Ctrl-C takes everything away, too.
  NodeRuntime.runMain(
    Effect.map(Effect.scoped(measure), (good) => {
      process.exitCode = good ? 0 : 1
    })
  )
}
