/**
 * A deployment of differences that is cut in the middle and gone on with, over a real shell. Started as a program it prints what
 * became of it, for Nodes that can do more than the one that runs the tests.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { differences } from "../../src/domain/Differences.ts"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import { makeSession } from "../../src/host/session.ts"
import { noiseText } from "./noise.ts"
import { packed } from "./packed.ts"
import { target as sampleTarget } from "./samples.ts"
import { dir, file, tarOf } from "./tree.ts"

/** What became of it. */
export interface CutAndResumed {
  /** How the cut one failed. */
  readonly failure: string
  /** Bytes of tar that the host had then, and all that there are. */
  readonly received: number
  readonly size: number
  /** Bytes that went over the wire the first time, and the second time. */
  readonly first: number
  readonly second: number
  /** The first bytes of what went the second time, in hex. */
  readonly magic: string
  /** What differs from the manifest in the end. */
  readonly faults: ReadonlyArray<string>
  /** What is left in `releases`. */
  readonly left: ReadonlyArray<string>
}

/** Sends changed files of four megabytes to a target in this folder, first only so many bytes of the stream. */
export const cutAndResumed = (home: string, path: string | undefined, most: number) =>
  Effect.gen(function* () {
    const target = sampleTarget({ host: "local", path: "app" })
    const transport = LocalTransport.make(target, { HOME: home, ...(path === undefined ? {} : { PATH: path }) })
    const went: Array<Uint8Array> = []
    const session = (most: number) =>
      makeSession(target, {
        ...transport,
        exec: (exec) => {
          const { stdin } = exec
          if (stdin === undefined) return transport.exec(exec)
          let left = most
          const cut = Stream.mapEffect(stdin, (chunk) =>
            Effect.sync(() => {
              const piece = chunk.subarray(0, left)
              left -= piece.length
              went.push(piece)
              return piece
            })
          )
          return transport.exec({ ...exec, stdin: cut })
        }
      })
    const whole = session(Number.POSITIVE_INFINITY)
    yield* whole.prepare
    const old = packed([dir("my_app"), file("my_app/same", noiseText(1000, 1)), file("my_app/big", noiseText(9e6, 9))])
    yield* whole.stage({
      ref: old.ref,
      manifest: old.manifest,
      from: 0,
      note: "n",
      shipment: { _tag: "Whole", size: old.tarball.length, content: (at) => Stream.make(old.tarball.subarray(at)) }
    })
    const next = packed([
      ...old.tree,
      ...Array.from({ length: 8 }, (_, n) => file(`my_app/file ${n}`, noiseText(500_000, n + 2)))
    ])
    const origin = yield* whole.origin(old.ref)
    const less = differences(next.manifest, origin === undefined ? [] : [origin])
    if (less === undefined) return yield* Effect.dieMessage("there are no differences")
    const tar = tarOf(next.tree.filter(({ path }) => less.sent.has(path))).subarray(0, -1024)
    const send = (to: typeof whole, from: number) =>
      to.stage({
        ref: next.ref,
        manifest: next.manifest,
        from,
        note: "n",
        shipment: {
          _tag: "Differences",
          differences: less,
          hardLinks: false,
          zstd,
          content: Stream.make(tar)
        }
      })
    const { takesZstd: zstd } = yield* whole.inspect
    const taken = () => {
      const all = Buffer.concat(went.splice(0))
      return { length: all.length, magic: all.subarray(0, 4).toString("hex") }
    }
    taken()
    const failure = yield* Effect.flip(send(session(most), 0))
    const first = taken()
    const { unfinished } = yield* whole.inspect
    const received = unfinished.find(({ kind }) => kind === "upload")?.received ?? 0
    yield* send(whole, received)
    const second = taken()
    const [verdict] = yield* whole.verify([next.ref])
    const after = yield* whole.inspect
    return {
      failure: failure._tag,
      received,
      size: tar.length,
      first: first.length,
      second: second.length,
      magic: second.magic,
      faults: verdict?.faults ?? [],
      left: after.unfinished.map(({ kind, ref }) => `${kind} ${ref === next.ref ? "next" : "old"}`)
    } satisfies CutAndResumed
  })

const [, program = "", path] = process.argv
if (import.meta.url === pathToFileURL(program).href) {
  const home = mkdtempSync(join(tmpdir(), "deployer-zstd-"))
  try {
    console.log(JSON.stringify(await Effect.runPromise(cutAndResumed(home, path, 1_500_000))))
  } finally {
    rmSync(home, { recursive: true })
  }
}
