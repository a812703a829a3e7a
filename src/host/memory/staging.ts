/** Uploads to a host in memory: the steps `stage` and `discard`. */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { gunzipped, unpackTar, unpackTarball } from "../../internal/unpackTarball.ts"
import { edited, movesOf, type PatchStep, patchStepOf, pieceOf } from "../protocol/assembly.ts"
import { listedFiles, withoutAltered } from "../protocol/manifestText.ts"
import type { HostUnreachable } from "../RemoteHost.ts"
import { alteredIn, check } from "./checking.ts"
import type { MemoryHost } from "./MemoryHost.ts"
import { type Answer, absent, isBegun, isCurrent, note, type Place, type Question, sha256 } from "./Place.ts"

const isOurs = ({ files }: MemoryHost, folder: string): boolean =>
  files.node(folder) === undefined ||
  (files.node(folder)?._tag === "Directory" &&
    (files.node(`${folder}/.deployer_manifest`) !== undefined ||
      files.node(`${folder}/.deployer_release.json`) !== undefined))

/** Receives an upload and unpacks it to a release. */
export const stage = <E>(
  question: Question<"stage">,
  bytes: Stream.Stream<Uint8Array, E>,
  lost: (detail: string) => HostUnreachable
): Effect.Effect<ReadonlyArray<string>, E | HostUnreachable> =>
  Effect.gen(function* () {
    const { args, host, releases } = question
    const { files } = host
    const { note, origin, ref, size, stream } = args
    const missing = absent(question)
    if (missing !== undefined) return missing
    const folder = `${releases}/deployer_${ref}`
    if (!isOurs(host, folder)) {
      return [`fail ${folder} is there, and deployer did not make it: move it away`]
    }
    if (args.replaces === "" && files.node(folder) !== undefined) {
      if (files.node(`${folder}/.deployer_release.json`) !== undefined) {
        return [`fail deployer_${ref} is complete already`]
      }
      if (isCurrent(question, ref)) return [`fail deployer_${ref} is current, though it is not complete`]
      files.remove(folder)
    }
    const staging = `${releases}/.staging_${ref}`
    if (!isBegun(host, staging)) return [`fail ${staging} is there, and deployer did not make it: move it away`]
    const part = `${staging}/release.tar${origin === "" ? ".gz" : ""}`
    files.makeDirectory(staging)
    files.remove(`${staging}/tree`)
    files.write(`${staging}/note`, `${note}\n`)
    files.write(`${staging}/stream`, `${stream}\n`)
    const keep = Number(args.keep)
    const old = files.bytes(part)
    if (keep > 0 && old === undefined) return ["fail the earlier upload is gone: start again"]
    const before = Buffer.from(old ?? new Uint8Array(0))
    if (before.length < keep) {
      return [`fail only ${before.length} of the ${keep} bytes to keep are there: start again`]
    }
    let arrived = Buffer.alloc(0)
    const write = () =>
      files.write(part, Buffer.concat([before.subarray(0, keep), origin === "" ? arrived : gunzipped(arrived)]))
    if (keep === 0) for (const suffix of ["", ".gz"]) files.remove(`${staging}/release.tar${suffix}`)
    write()
    let full = false
    yield* Stream.runForEachWhile(bytes, (chunk) =>
      Effect.gen(function* () {
        const cut = host.cutUploadAfter
        const kept = chunk.subarray(0, Math.min(cut ?? chunk.length, host.freeBytes - arrived.length))
        arrived = Buffer.concat([arrived, kept])
        write()
        if (cut !== undefined) {
          host.cutUploadAfter = cut - kept.length
          if (kept.length < chunk.length) {
            host.cutUploadAfter = undefined
            return yield* lost("connection reset")
          }
        }
        full = kept.length < chunk.length
        return !full
      })
    )
    if (full) return ["fail tee: release.tar.gz: No space left on device"]
    const all = files.bytes(part) ?? arrived
    if (size !== "" && all.length !== Number(size)) return [`fail ${all.length} of ${size} bytes arrived`]
    return unpack(question, all)
  })

const unpack = (question: Question<"stage">, part: Uint8Array): ReadonlyArray<string> => {
  const { args, host, releases } = question
  const { files } = host
  const { edits, keep, origin, ref, size, wanted } = args
  const staging = `${releases}/.staging_${ref}`
  const tree = `${staging}/tree`
  const entries = origin === "" ? unpackTarball(part) : unpackTar(part)
  const isCut = size === "" && entries?.every(({ entry }) => entry.path !== ".deployer_end") === true
  if (entries === undefined || isCut) {
    const mayBeCompleted = size === "" && (isCut || keep === "0")
    files.remove(mayBeCompleted ? tree : staging)
    return ["corrupt tarball"]
  }
  const needed = entries.reduce((total, { content }) => total + content.length, 0)
  if (needed > host.freeBytes || entries.length > (host.freeInodes ?? entries.length)) {
    return ["fail tar: cannot write: No space left on device"]
  }
  files.makeDirectory(tree)
  for (const { content, entry } of entries) {
    const path = `${tree}/${entry.path}`
    if (entry.type === "Directory") files.makeDirectory(path)
    else if (entry.type === "Symlink") files.link(path, entry.to)
    else if (entry.type === "Hardlink") copyFile(host, `${tree}/${entry.to}`, path)
    else files.write(path, content, entry.mode)
  }
  if (edits !== "") files.write(`${tree}/.deployer_edits`, `${edits}\n`)
  if (origin !== "") assemble(question, tree, `${releases}/deployer_${origin}`)
  const manifest = files.read(`${tree}/.deployer_manifest`) ?? ""
  const faults =
    sha256(new TextEncoder().encode(manifest)) === wanted ? check(host, tree, manifest) : ["changed .deployer_manifest"]
  if (faults.length > 0) {
    files.remove(staging)
    return faults.map((fault) => fault.replace(/^[a-z]* /, "corrupt ")).slice(0, 50)
  }
  files.remove(`${releases}/deployer_${ref}`)
  files.rename(tree, `${releases}/deployer_${ref}`)
  files.remove(staging)
  return note(question)
}

const copyFile = ({ files }: MemoryHost, from: string, to: string, mode?: number): void => {
  const node = files.node(from)
  if (node?._tag === "File") files.write(to, node.content, mode ?? node.mode)
}

/** Like `begin_tree` and `complete_tree` of lib/assemble.sh. Failures show in the check that follows. */
const assemble = ({ host, releases }: Place, tree: string, origin: string): void => {
  const { files } = host
  const linesOf = (path: string) => (files.read(path) ?? "").split("\n").slice(0, -1)
  const old = linesOf(`${origin}/.deployer_manifest`)
  const lines = edited(old, linesOf(`${tree}/.deployer_edits`))
  files.write(`${tree}/.deployer_manifest`, lines.map((line) => `${line}\n`).join(""))
  const same = withoutAltered(
    { ref: "", lines: old, files: listedFiles(old) ?? [] },
    alteredIn(host, origin).map(({ path }) => path)
  )
  const there = new Set(same.files.map(({ mode, path, sha256 }) => `${mode} ${sha256} ${path}`))
  for (const { mode, path, sha256 } of listedFiles(lines) ?? []) {
    if (there.has(`${mode} ${sha256} ${path}`)) copyFile(host, `${origin}/${path}`, `${tree}/${path}`)
  }
  const steps = linesOf(`${tree}/.deployer_patches`).flatMap((line) => patchStepOf(line) ?? [])
  patch(host, releases, tree, steps)
  for (const { from, mode, ref, to } of movesOf(linesOf(`${tree}/.deployer_moves`))) {
    copyFile(host, `${ref === undefined ? tree : `${releases}/deployer_${ref}`}/${from}`, `${tree}/${to}`, mode)
  }
  for (const name of ["edits", "begin", "moves", "patches", "pieces", "end"]) files.remove(`${tree}/.deployer_${name}`)
}

const patch = ({ files }: MemoryHost, releases: string, tree: string, steps: ReadonlyArray<PatchStep>): void => {
  const nothing = new Uint8Array(0)
  let base: Uint8Array = nothing
  let block = 0
  let to = ""
  let made: Uint8Array = nothing
  const append = (bytes: Uint8Array) => {
    made = Buffer.concat([made, bytes])
    files.write(to, made)
  }
  for (const step of steps) {
    switch (step._tag) {
      case "Base":
        base = files.bytes(`${releases}/${step.from}`) ?? nothing
        break
      case "Block":
        block = step.size
        break
      case "To":
        to = `${tree}/${step.path}`
        made = nothing
        break
      case "Keep":
        append(base.subarray(step.first * block, step.count && (step.first + step.count) * block))
        break
      case "Add":
        append(files.bytes(`${tree}/${pieceOf(step.piece)}`) ?? nothing)
        break
      case "Mode":
        files.write(to, made, step.mode)
        break
      // The host in memory keeps no times.
      case "Time":
        break
    }
  }
}

/** Removes an upload, or a release that is not complete. */
export const discard: Answer<"discard"> = (question) => {
  const { args, host, releases } = question
  const { kind, ref } = args
  if (kind === "upload") {
    const staging = `${releases}/.staging_${ref}`
    if (!isBegun(host, staging)) return [`fail deployer did not make ${staging}: move it away`]
    host.files.remove(staging)
    return []
  }
  const folder = `${releases}/deployer_${ref}`
  if (kind === "release" && host.files.node(`${folder}/.deployer_release.json`) !== undefined) {
    return [`fail deployer_${ref} is already complete`]
  }
  if (host.files.node(`${releases}/.adopting_${ref}`) !== undefined) return [`fail deployer_${ref} is being adopted`]
  if (!isOurs(host, folder)) return [`fail deployer did not make deployer_${ref}`]
  if (isCurrent(question, ref)) return [`fail deployer_${ref} is current`]
  host.files.remove(folder)
  return []
}
