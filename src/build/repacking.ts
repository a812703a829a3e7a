/**
 * Proves that a tarball from another machine is one that deployer packed.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ManifestEntry } from "../domain/Manifest.ts"
import type { Binaries } from "../domain/Release.ts"
import { sha256Sum } from "../internal/machine.ts"
import { TarBroken, type TarEntry, tarEnd, tarReader } from "../internal/tar.ts"
import { ArtifactInvalid, invalid, show } from "./ArtifactInvalid.ts"
import { hasControl, rewrite } from "./rewriting.ts"
import { isReserved } from "./Tarball.ts"
import { tarballWriter } from "./TarballWriter.ts"

/** The contents of a tarball. */
export interface Repacked {
  readonly manifest: Iterable<ManifestEntry>
  readonly binaries: Binaries
  /** The size of the tar, in bytes. */
  readonly size: number
}

/** The maximum number of paths. A tar with more of them would fill the memory. */
const mostEntries = 2_000_000

/**
 * Reads a tar and writes it again as a release of this name, with all the checks that the tree of a builder must pass. Fails unless the result has the
 * same bytes. Equal bytes prove that the tar holds only the entries of its manifest, and that every tar program reads it alike.
 */
export const repack = <E, R>(
  tar: Stream.Stream<Uint8Array, E, R>,
  name: string
): Effect.Effect<Repacked, E | ArtifactInvalid, R> =>
  Effect.suspend(() => {
    const [read, written] = [sha256Sum(), sha256Sum()]
    let size = 0
    let entries = 0
    let isBeside = false
    const writer = tarballWriter({ write: written.update }, Number.POSITIVE_INFINITY)
    const { finish, visitor } = rewrite(name, writer)

    const entry = (found: TarEntry) => {
      entries += 1
      if (entries > mostEntries) throw invalid(`it holds more than ${mostEntries} paths`)
      const within = pathWithin(name, found.path)
      if (within === undefined) {
        checkBeside(found)
        if (!isBeside) finish()
        isBeside = true
        return writer.fileBegins(found)
      }
      if (isBeside) throw invalid(`it holds ${show(found.path)} after the files beside the release`)
      visitor.entry({ ...found, path: within, to: found.type === "Hardlink" ? linkWithin(name, found) : found.to })
    }

    const beside = new Set<string>()
    /** Throws unless the entry beside the release's folder is a plain file, as `env_file_name` adds it. */
    const checkBeside = ({ path, type }: TarEntry) => {
      if (
        type !== "File" ||
        path.includes("/") ||
        path === ".." ||
        hasControl(path) ||
        isReserved(path) ||
        beside.has(path)
      ) {
        throw invalid(`it holds ${show(path)} beside the folder ${name}`)
      }
      beside.add(path)
    }

    const reader = tarReader({ ...visitor, entry })
    const step = (run: () => void) =>
      Effect.catchAll(Effect.try(run), ({ error }) =>
        error instanceof ArtifactInvalid
          ? Effect.fail(error)
          : error instanceof TarBroken
            ? Effect.fail(invalid(`its tar is broken: ${error.message}`))
            : Effect.die(error)
      )
    return Stream.runForEach(tar, (chunk) =>
      step(() => {
        read.update(chunk)
        size += chunk.length
        reader.push(chunk)
      })
    ).pipe(
      Effect.zipRight(
        step(() => {
          reader.finish()
          if (!isBeside) finish()
          written.update(tarEnd)
          if (read.digest() !== written.digest()) throw invalid("its tar is not written as deployer writes it")
        })
      ),
      Effect.map(() => ({ manifest: writer.manifest, binaries: writer.binaries(), size }))
    )
  })

/** The path, relative to the release's folder. Undefined if the path is not in that folder. */
const pathWithin = (name: string, path: string): string | undefined =>
  path === name || path === `${name}/` ? "" : path.startsWith(`${name}/`) ? path.slice(name.length + 1) : undefined

const linkWithin = (name: string, { path, to }: TarEntry): string => {
  const within = pathWithin(name, to)
  if (within === undefined) throw invalid(`the hard link ${show(path)} leads to ${show(to)}, out of the release`)
  return within
}
