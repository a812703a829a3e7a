/**
 * Patches of changed files. Only the new pieces of a file are sent, with steps that tell the host how to make the file from them and from its old
 * content.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { comparing, type DeltaStep, type Signature, signing } from "../internal/delta.ts"
import { paddingOf, TarBroken, type TarEntry, tarHeader, tarReader } from "../internal/tar.ts"
import { type PatchStep, patchLine, pieceOf } from "./protocol/assembly.ts"

/** The old file from which a new one is made. */
export interface Base {
  /** Its path below `releases/` on the host. */
  readonly from: string
  readonly signature: Signature
}

/**
 * Files up to this size, in bytes, are sent whole if a patch is not worth it. Larger files are patched in any case, because they are not kept in
 * memory.
 */
const small = 1024 * 1024

/** The bytes that must be saved for each program that the host starts. */
const worth = 2048

/** Beyond this number of programs on the host, the remaining files are sent whole: each program takes about a millisecond. */
const maxPrograms = 3000

/** The programs for the mode and the time of each file. */
const ownPrograms = 2

/** The shortest run of equal bytes that is worth a program. */
const shortest = (size: number): number => Math.max(worth, size / 1000)

const isTarBroken = (error: unknown): error is TarBroken => error instanceof TarBroken

/** Pushes a stream into a consumer, and emits the consumer's results as they come. */
const pushed = <A, E>(
  bytes: Stream.Stream<Uint8Array, E>,
  into: { readonly push: (chunk: Uint8Array) => void; readonly finish: () => void },
  taken: () => ReadonlyArray<A>
): Stream.Stream<A, E> => {
  // The store has already read these bytes as a tar, so a failure here is a defect.
  const step = (run: () => void) =>
    Effect.orDie(
      Effect.try({
        try: () => {
          run()
          return taken()
        },
        catch: (error) => (isTarBroken(error) ? error : new TarBroken(String(error)))
      })
    )
  return Stream.flattenIterables(
    Stream.concat(
      Stream.mapEffect(bytes, (chunk) => step(() => into.push(chunk))),
      Stream.fromEffect(Effect.suspend(() => step(into.finish)))
    )
  )
}

const pathOf = ({ path }: TarEntry): string => path.replace(/^\.\//, "")

/** The signatures of all files in tar bytes without the archive's end. */
export const signatures = <E>(
  entries: Stream.Stream<Uint8Array, E>
): Effect.Effect<ReadonlyMap<string, Signature>, E> => {
  const found = new Map<string, Signature>()
  let open: { readonly path: string; readonly signing: DeltaStep<Signature> } | undefined
  const reader = tarReader({
    entry: (entry) => {
      open = entry.type === "File" ? { path: pathOf(entry), signing: signing(entry.size) } : undefined
    },
    data: (piece) => open?.signing.push(piece),
    end: () => {
      if (open !== undefined) found.set(open.path, open.signing.finish())
    }
  })
  return Effect.as(Stream.runDrain(pushed(entries, { push: reader.push, finish: () => {} }, () => [])), found)
}

/** Replaces the files that have a base with pieces, and appends the lines about them. */
export const patching =
  (bases: ReadonlyMap<string, Base>) =>
  <E>(entries: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
    Stream.suspend(() => {
      let out: Array<Uint8Array> = []
      const steps: Array<PatchStep> = []
      let pieces = 0
      let programs = 0
      const write = (...bytes: ReadonlyArray<Uint8Array>) => out.push(...bytes)
      const writeFile = (path: string, content: Uint8Array, mtime: number) =>
        write(
          tarHeader({ path, type: "File", mode: 0o644, mtime, size: content.length, to: "" }),
          // A copy, because the bytes are only lent.
          new Uint8Array(content),
          new Uint8Array(paddingOf(content.length))
        )
      const patch = (entry: TarEntry, path: string, { from, signature }: Base): DeltaStep<void> => {
        const begin: ReadonlyArray<PatchStep> = [
          { _tag: "Base", from },
          { _tag: "Block", size: signature.block },
          { _tag: "To", path }
        ]
        const add = (bytes: Uint8Array) => {
          steps.push({ _tag: "Add", piece: ++pieces })
          writeFile(pieceOf(pieces), bytes, entry.mtime)
        }
        /** Adds an empty piece with the file's time, from which the host sets the time of the file. */
        const end = () => {
          writeFile(pieceOf(++pieces), new Uint8Array(0), entry.mtime)
          steps.push({ _tag: "Mode", mode: entry.mode }, { _tag: "Time", piece: pieces })
          programs += ownPrograms
        }
        if (entry.size > small) {
          steps.push(...begin)
          const delta = comparing(signature, shortest(entry.size), {
            keep: (first, count) => {
              programs += 1
              steps.push({ _tag: "Keep", first, count })
            },
            add: (bytes) => {
              programs += 1
              add(bytes)
            }
          })
          return {
            push: delta.push,
            finish: () => {
              delta.finish()
              end()
            }
          }
        }
        const content: Array<Uint8Array> = []
        const parts: Array<PatchStep | Uint8Array> = []
        let added = 0
        const delta = comparing(signature, shortest(entry.size), {
          keep: (first, count) => parts.push({ _tag: "Keep", first, count }),
          add: (bytes) => {
            added += bytes.length
            parts.push(new Uint8Array(bytes))
          }
        })
        return {
          push: (piece) => {
            content.push(new Uint8Array(piece))
            delta.push(piece)
          },
          finish: () => {
            delta.finish()
            if (entry.size - added < worth * (parts.length + ownPrograms)) {
              write(tarHeader({ ...entry, path }), ...content, new Uint8Array(paddingOf(entry.size)))
              return
            }
            programs += parts.length
            steps.push(...begin)
            for (const part of parts) {
              if (part instanceof Uint8Array) add(part)
              else steps.push(part)
            }
            end()
          }
        }
      }
      let open: DeltaStep<void> | undefined
      let padding = 0
      const reader = tarReader({
        entry: (entry) => {
          const path = pathOf(entry)
          const base = entry.type === "File" && programs < maxPrograms ? bases.get(path) : undefined
          open = base === undefined ? undefined : patch(entry, path, base)
          padding = paddingOf(entry.size)
          if (open === undefined) write(tarHeader({ ...entry, path: path.replace(/\/$/, "") }))
        },
        data: (piece) => {
          if (open === undefined) write(piece)
          else open.push(piece)
        },
        end: () => {
          if (open === undefined) write(new Uint8Array(padding))
          else open.finish()
        }
      })
      const finish = () => {
        const text = steps.map((step) => `${patchLine(step)}\n`).join("")
        if (steps.length > 0) writeFile(".deployer_patches", Buffer.from(text), 0)
      }
      return pushed(entries, { push: reader.push, finish }, () => {
        const now = out.length > 1 ? [Buffer.concat(out)] : out
        out = []
        return now
      })
    })
