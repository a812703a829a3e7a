/** The steps that compare a release in memory with its manifest. */

import type { MemoryHost } from "./MemoryHost.ts"
import { type Answer, realDirectory, realFile, sha256 } from "./Place.ts"

/** The lines of a release's manifest, and the paths that its `afterUnpack` commands changed. */
export const manifest: Answer<"manifest"> = ({ args: { ref }, host, releases }) => {
  const name = `deployer_${ref}/.deployer_manifest`
  const text = realFile(host, `${releases}/${name}`) ? host.files.read(`${releases}/${name}`) : undefined
  if (text === undefined) return [`fail there is no ${name}`]
  const lines = text.split("\n")
  return [
    ...(lines.at(-1) === "" ? lines.slice(0, -1) : lines).map((line) => `line ${line}`),
    ...alteredIn(host, `${releases}/deployer_${ref}`).map(({ path }) => `altered ${path}`)
  ]
}

const alteredFile = ".deployer_altered"

/** The state of a path, in one word. */
const stateOf = (host: MemoryHost, at: string): string => {
  const node = host.files.node(at)
  switch (node?._tag) {
    case "Link":
      return `link:${node.to.replaceAll(" ", "?")}`
    case "Directory":
      return "dir"
    case "File":
      return `${sha256(node.content)}:${node.mode.toString(8)}`
    default:
      return "gone"
  }
}

/** The changes that commands made to a release. Empty if the list is incomplete. */
export const alteredIn = ({ files }: MemoryHost, folder: string) => {
  const text = files.read(`${folder}/${alteredFile}`) ?? ""
  const lines = text.split("\n")
  if (!text.endsWith(`\nend ${lines.length - 2}\n`)) return []
  return lines.flatMap((line) => {
    const [, state, path] = /^(\S+) \.\/(.+)$/.exec(line) ?? []
    return state === undefined || path === undefined ? [] : [{ path, state }]
  })
}

const pathOf = (fault: string): string => fault.slice(fault.indexOf(" ") + 1)

/** Lists the changes of the `afterUnpack` commands. */
export const alterations: Answer<"alterations"> = ({ args: { ref }, host, releases }) => {
  const folder = `${releases}/deployer_${ref}`
  const manifest = realFile(host, `${folder}/.deployer_manifest`)
    ? host.files.read(`${folder}/.deployer_manifest`)
    : undefined
  if (manifest === undefined) return [`fail ${folder}/.deployer_manifest is gone`]
  const paths = check(host, folder, manifest).map(pathOf)
  if (paths.includes(".deployer_manifest")) return [`fail ${folder}/.deployer_manifest is not what it was`]
  if (paths.length === 0) host.files.remove(`${folder}/${alteredFile}`)
  else {
    const lines = paths.map((path) => `${stateOf(host, `${folder}/${path}`)} ./${path}\n`)
    host.files.write(`${folder}/${alteredFile}`, `${lines.join("")}end ${lines.length}\n`)
  }
  return paths.map((path) => `altered ${path}`)
}

/** Whether a path is as the commands left it, or lies below a path that they removed or made a link. */
const isKnown = (host: MemoryHost, folder: string) => {
  const states = new Map(alteredIn(host, folder).map(({ path, state }) => [path, state]))
  const isSo = (path: string): boolean => states.get(path) === stateOf(host, `${folder}/${path}`)
  const isBelow = (path: string): boolean => {
    const above = path.slice(0, Math.max(0, path.lastIndexOf("/")))
    return above !== "" && ((states.get(above) !== "dir" && isSo(above)) || isBelow(above))
  }
  return (path: string): boolean => isSo(path) || isBelow(path)
}

/** The differences between a release and its manifest. Without `hashes`, the only fault of a content is to be empty. */
export const check = (host: MemoryHost, tree: string, manifest: string, hashes = true): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const expect = (path: string, holds: (at: string) => boolean) => {
    const at = `${tree}/${path}`
    if (!holds(at))
      faults.push(`${host.files.node(at) === undefined ? "missing" : "changed"} ${path.replace("./", "")}`)
  }
  let link: string | undefined
  let mode: number | undefined
  let lines = 0
  let whole = false
  const all = manifest.split("\n")
  for (const line of all.slice(0, -1)) {
    whole = false
    if (link !== undefined) {
      expect(link, (at) => host.files.readLink(at) === line.replace(/^to /, ""))
      link = undefined
    } else if (line.startsWith("mode ")) mode = Number.parseInt(line.slice(5), 8)
    else if (line.startsWith("dir ")) expect(line.slice(4), (at) => realDirectory(host, at))
    else if (line.startsWith("link ")) link = line.slice(5)
    else if (line.startsWith("end ")) whole = line === `end ${lines}`
    else {
      const [sum, ...path] = line.split("  ")
      expect(path.join("  "), (at) => {
        const node = host.files.node(at)
        const isAsListed = node?._tag === "File" && (mode === undefined || node.mode === mode)
        return isAsListed && ((!hashes && node.content.length > 0) || sha256(node.content) === sum)
      })
    }
    lines += 1
  }
  return whole && all.at(-1) === "" ? faults : [...faults, "changed .deployer_manifest"]
}

/** The faults of each release. */
export const verify: Answer<"verify"> = ({ args: { depth, wanted }, host, refs, releases }) =>
  refs.flatMap((ref) => {
    const folder = `${releases}/deployer_${ref}`
    if (!realDirectory(host, folder)) return [`verdict ${ref}`, `fault ${ref} missing deployer_${ref}`]
    const unrecorded = realFile(host, `${folder}/.deployer_release.json`) ? [] : ["missing .deployer_release.json"]
    const manifest = realFile(host, `${folder}/.deployer_manifest`)
      ? host.files.read(`${folder}/.deployer_manifest`)
      : undefined
    const faults =
      manifest === undefined
        ? ["missing .deployer_manifest"]
        : wanted !== "" && sha256(new TextEncoder().encode(manifest)) !== wanted
          ? ["changed .deployer_manifest"]
          : check(host, folder, manifest, depth === "files").filter(
              (fault) => !isKnown(host, folder)(pathOf(fault)) || fault.includes(" .deployer_")
            )
    return [`verdict ${ref}`, ...[...unrecorded, ...faults].map((fault) => `fault ${ref} ${fault}`)]
  })
