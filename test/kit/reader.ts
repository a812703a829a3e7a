/**
 * A program that reads the current release as fast as it can, as an application's own processes do.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as userland from "./userland.ts"

/** The observations of a reader. */
export interface Seen {
  readonly reads: number
  /** How often nothing was there. */
  readonly missing: number
  /** Reads of neither one whole release nor the other; the first few. */
  readonly odd: ReadonlyArray<string>
  /** How often it read another version than the time before. */
  readonly changes: number
}

const program = `
const fs = require("node:fs")
// It would take a core from those who switch.
require("node:os").setPriority(10)
const [current, file, big, stop, begun] = process.argv.slice(1)
const seen = { reads: 0, missing: 0, odd: [], changes: 0 }
let last
const odd = (what) => { if (seen.odd.length < 5) seen.odd.push(what) }
const look = (read) => {
  seen.reads += 1
  try { read() } catch (error) { if (error.code === "ENOENT") seen.missing += 1; else odd(String(error)) }
}
const version = (path) => {
  const found = fs.readFileSync(path, "utf8")
  if (found !== "1" && found !== "2") odd(JSON.stringify(found))
  return found
}
fs.writeFileSync(begun, "")
for (let turn = 1; ; turn++) {
  look(() => {
    const found = version(current + "/" + file)
    if (last !== undefined && last !== found) seen.changes += 1
    last = found
  })
  // From within it is one release, even if the link changes meanwhile.
  if (turn % 10 === 0) look(() => {
    process.chdir(current)
    try {
      const found = version(file)
      const content = fs.readFileSync(big, "utf8")
      if (content[0] !== found || content.length !== 300001) odd(found + " beside " + content.length + " of " + content[0])
    } finally {
      process.chdir("/")
    }
  })
  if (turn % 50 === 0 && fs.existsSync(stop)) break
}
console.log(JSON.stringify(seen))
`

/** Reads releases \`sample("1")\` and \`sample("2")\` of test/kit/packed.ts through the link until the Effect within ends. */
export const whileReading = <A, E, R>(
  current: string,
  body: Effect.Effect<A, E, R>
): Effect.Effect<Seen, E, R | Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* userland.emptyFolder("reader")
    const [stop, begun] = [join(folder, "stop"), join(folder, "begun")]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["-e", program, current, "my_app/version", "my_app/big", stop, begun], {
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (running) => Effect.sync(() => running.kill("SIGKILL"))
    )
    let said = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
    const closed = once(child, "close")
    for (let wait = 0; !fs.existsSync(begun) && wait < 1000; wait++) yield* Effect.sleep("10 millis")
    yield* body
    fs.writeFileSync(stop, "")
    yield* Effect.promise(() => closed)
    const seen: Seen = JSON.parse(said)
    return seen
  })
