/**
 * A deployment of differences over a real shell that is cut and resumed. Started as a program, it prints the outcome of
 * one, for Nodes that can do more than the one that runs the tests.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { differences } from "../../src/domain/Differences.ts"
import { makeSession } from "../../src/host/session.ts"
import * as LocalTransport from "../../src/host/transport/LocalTransport.ts"
import { noiseText } from "./noise.ts"
import { packed } from "./packed.ts"
import { target as sampleTarget } from "./samples.ts"
import { dir, file, tarOf } from "./tree.ts"

/** A host with a release, from which another one is completed with four megabytes. */
export const completing = (home: string, path: string | undefined) =>
  Effect.gen(function* () {
    const target = sampleTarget({ host: "local", path: "app" })
    const transport = LocalTransport.make(target, { HOME: home, ...(path === undefined ? {} : { PATH: path }) })
    const session = makeSession(target, transport)
    yield* session.prepare
    const old = packed([dir("my_app"), file("my_app/same", noiseText(1000, 1)), file("my_app/big", noiseText(9e6, 9))])
    yield* session.stage({
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
    const origin = yield* session.origin(old.ref)
    const less = differences(next.manifest, origin === undefined ? [] : [origin])
    if (less === undefined) return yield* Effect.dieMessage("there are no differences")
    const tar = tarOf(next.tree.filter(({ path }) => less.sent.has(path))).subarray(0, -1024)
    const { takesZstd: zstd } = yield* session.inspect

    /** Sends all but the first bytes of it, or only so many bytes of that, and hangs up after a while. Returns the bytes that it sent. */
    const send = (from: number, cut?: { readonly after: number; readonly hangsUp?: Duration.DurationInput }) =>
      Effect.gen(function* () {
        const went: Array<Uint8Array> = []
        let left = cut?.after ?? Number.POSITIVE_INFINITY
        const some = <E>(stdin: Stream.Stream<Uint8Array, E>) =>
          Stream.concat(
            Stream.takeWhile(
              Stream.map(stdin, (chunk) => {
                const piece = chunk.subarray(0, left)
                left -= piece.length
                went.push(piece)
                return piece
              }),
              ({ length }) => length > 0
            ),
            Stream.drain(Stream.fromEffect(Effect.sleep(cut?.hangsUp ?? 0)))
          )
        const over = makeSession(target, {
          ...transport,
          exec: (exec) => transport.exec(exec.stdin === undefined ? exec : { ...exec, stdin: some(exec.stdin) })
        })
        yield* over.stage({
          ref: next.ref,
          manifest: next.manifest,
          from,
          note: "n",
          shipment: { _tag: "Differences", differences: less, hardLinks: false, zstd, content: Stream.make(tar) }
        })
        return Buffer.concat(went)
      })

    /** The inspection of the upload: bytes of tar that are there, to be resumed. */
    const received = Effect.map(
      session.inspect,
      ({ unfinished }) => unfinished.find(({ kind }) => kind === "upload")?.received
    )
    const staging = join(home, "app/releases", `.staging_${next.ref}`)
    return { session, old, next, size: tar.length, send, received, staging, part: join(staging, "release.tar") }
  })

/** The outcome of a deployment that was cut in the middle. */
export interface CutAndResumed {
  /** How the cut one failed. */
  readonly failure: string
  /** Bytes of tar that the host had then, and all that there are. */
  readonly received: number
  readonly size: number
  /** Bytes that went over the wire the second time. */
  readonly second: number
  /** The first of them, in hex. */
  readonly magic: string
  /** The differences from the manifest in the end. */
  readonly faults: ReadonlyArray<string>
}

/** Cuts it after so many bytes of the stream, and resumes it. */
export const cutAndResumed = (home: string, path: string | undefined, after: number) =>
  Effect.gen(function* () {
    const { next, received, send, session, size } = yield* completing(home, path)
    const failure = yield* Effect.flip(send(0, { after }))
    const from = (yield* received) ?? 0
    const second = yield* send(from)
    const [verdict] = yield* session.verify([next.ref])
    return {
      failure: failure._tag,
      received: from,
      size,
      second: second.length,
      magic: second.subarray(0, 4).toString("hex"),
      faults: verdict?.faults ?? []
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
