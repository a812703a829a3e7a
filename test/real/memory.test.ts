/** The memory of the real binary for releases of very different sizes. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Project, project, reach } from "../kit/project.ts"
import { missingSshd, sshd } from "../kit/sshd.ts"

const megabyte = 1_000_000
const sizes = [60 * megabyte, 360 * megabyte] as const

/** Half of it compresses, and half of it does not. */
const fill = (folder: string, bytes: number) => {
  fs.mkdirSync(folder, { recursive: true })
  // Repeats only beyond the window of gzip.
  const noise = randomBytes(megabyte)
  const text = Buffer.from("a line of text that stands there again and again\n".repeat(30_000)).subarray(0, megabyte)
  for (let written = 0, file = 0; written < bytes; file++) {
    const handle = fs.openSync(path.join(folder, `file-${file}`), "w")
    for (let part = 0; part < 30 && written < bytes; part++, written += megabyte) {
      fs.writeSync(handle, file % 2 === 0 ? noise : text)
    }
    fs.closeSync(handle)
  }
}

/** Writes the peak memory of the process that loads it into a file beside it, at the end of that process. */
const preload = `const fs = require("node:fs")
process.on("exit", () => fs.writeFileSync(__filename + ".peak", /VmHWM:\\s*(\\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1]))
`

/** Runs a command that must succeed; returns its peak of resident memory in bytes. */
const peakOf = (here: Project, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const file = path.join(here.folder, "preload.cjs")
    fs.writeFileSync(file, preload)
    const ended = yield* here.run(args, {
      env: { ...here.env, NODE_OPTIONS: `--require ${file}` },
      millis: 120_000
    })
    assert.strictEqual(ended.status, 0, ended.stderr)
    return Number(fs.readFileSync(`${file}.peak`, "utf8")) * 1024
  })

/**
 * The most memory for each in bytes, and how much more for the larger release. Node and the program alone need some 90 MB. The main point is that it
 * does not grow with the release: the larger one is 300 MB larger, and the garbage varies by less.
 */
const commands = [
  { name: "build", args: ["build", "target=there"], limit: 160 * megabyte, slack: 40 * megabyte },
  { name: "deploy", args: ["deploy", "target=there", "yes"], limit: 280 * megabyte, slack: 70 * megabyte }
] as const

const hasProc = fs.existsSync("/proc/self/status")
const missing = missingSshd ?? (hasProc || process.env["CI"] === "true" ? undefined : "no /proc")

describe(`memory${missing === undefined ? "" : ` (skipped: ${missing})`}`, { skip: missing !== undefined }, () => {
  it.scopedLive(
    "The memory of build and deploy does not grow with the size of the release.",
    () =>
      Effect.gen(function* () {
        const host = yield* sshd()
        const peaks = yield* Effect.forEach(sizes, (size) =>
          Effect.scoped(
            Effect.gen(function* () {
              const here = yield* project()
              here.knowHost(host)
              here.configure(
                { there: { ...reach(host), path: `size ${size}`, builder: "here" } },
                { here: `command({ run: "true", releasePath: "build" })` }
              )
              fill(path.join(here.root, "build"), size)
              return yield* Effect.forEach(commands, ({ args }) => peakOf(here, ...args))
            })
          )
        )
        for (const [index, { limit, name, slack }] of commands.entries()) {
          const [small = 0, large = 0] = peaks.map((row) => row[index])
          const said = `${name}: ${sizes.map((size, at) => `${size / megabyte} MB need ${Math.round((peaks[at]?.[index] ?? 0) / megabyte)} MB`).join(", ")}`
          console.log(said)
          assert.isBelow(large, limit, said)
          assert.isBelow(large - small, slack, said)
        }
      }),
    240_000
  )
})
