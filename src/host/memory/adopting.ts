/** Adoptions on a host in memory, with the same folders and files as on a real host. */

import { type Answer, isBegun, note, realDirectory, sha256 } from "./Place.ts"

/** Lists the files of the directory in the place of `current`, as a manifest. */
export const survey: Answer<"survey"> = (question) => {
  const { args, host, releases } = question
  const { files } = host
  const { name } = args
  const current = files.node(`${releases}/current`)
  if (current === undefined || current._tag === "Link") return ["fail there is no directory in the place of current"]
  if (current._tag === "File") return [`unfit current-occupied ${releases}/current`]
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name)) return ["fail that is no name of a release"]
  const below = files.below(`${releases}/current`)
  const odd = below.filter(([path]) => path.includes("\n"))
  if (odd.length > 0) return ["fail a path in current has a line break, which a manifest cannot hold: rename it"]
  const isNested =
    files.names(`${releases}/current`).join("\n") === name && realDirectory(host, `${releases}/current/${name}`)
  const entries = below
    .map(([path, node]) => [isNested ? path : `${name}/${path}`, node] as const)
    .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const lines = [
    ...(isNested ? [] : [`dir ./${name}`]),
    ...entries.flatMap(([path, node]) => (node._tag === "Directory" ? [`dir ./${path}`] : [])),
    ...entries.flatMap(([path, node]) => (node._tag === "Link" ? [`link ./${path}`, `to ${node.to}`] : [])),
    ...entries.flatMap(([path, node]) => (node._tag === "File" ? [`${sha256(node.content)}  ./${path}`] : []))
  ]
  const manifest = new TextEncoder().encode(`${[...lines, `end ${lines.length}`].join("\n")}\n`)
  const digest = sha256(manifest)
  const ref = digest.slice(0, 32).toUpperCase()
  const mark = `${releases}/.adopting_${ref}`
  if (!isBegun(host, mark)) return [`fail deployer did not make ${mark}: move it away`]
  files.remove(mark)
  files.write(`${releases}/.adopting_${ref}/manifest`, manifest)
  const contents = entries.flatMap(([, node]) => (node._tag === "File" ? [node.content.length] : []))
  const bytes = contents.reduce((total, length) => total + length, 0)
  return [`adoption ${ref} ${digest} ${isNested ? "nested" : "whole"} ${contents.length} ${bytes}`]
}

/** Makes the directory in the place of `current` a release, or completes an adoption that was cut. */
export const adopt: Answer<"adopt"> = (question) => {
  const { args, entries, host, releases } = question
  const { files } = host
  const { layout, name, record, ref } = args
  const mark = `${releases}/.adopting_${ref}`
  const folder = `${releases}/deployer_${ref}`
  const current = `${releases}/current`
  if (!realDirectory(host, mark)) return [`fail there is nothing of an adoption of ${ref}: begin again`]
  if (!isBegun(host, mark)) return [`fail deployer did not make ${mark}: move it away`]
  const isBare = () => {
    if (realDirectory(host, folder) && files.names(folder).length === 0) files.remove(folder)
    return files.node(folder) === undefined
  }
  const there = files.node(current)
  if (layout !== "") {
    if (there?._tag !== "Directory") return ["fail current is no longer a directory"]
    if (!isBare()) {
      return [
        `fail there is deployer_${ref} already, a release of the same files: move current away and make that one current`
      ]
    }
    files.write(`${mark}/record`, `${record}\n`)
    files.write(`${mark}/entries`, `${entries}\n`)
    if (layout === "whole") files.makeDirectory(folder)
    files.rename(current, layout === "whole" ? `${folder}/${name}` : folder)
    files.link(current, `deployer_${ref}`)
  } else if (isBare()) {
    files.remove(mark)
    return []
  } else if (there === undefined) files.link(current, `deployer_${ref}`)
  else if (there._tag !== "Link") {
    return [`fail both ${current} and ${folder} hold something: look which of them is whole, and move the other away`]
  }
  const noted = files.readLink(current) === `deployer_${ref}` ? (files.read(`${mark}/entries`) ?? "").trimEnd() : ""
  if (files.node(`${mark}/manifest`) !== undefined) files.rename(`${mark}/manifest`, `${folder}/.deployer_manifest`)
  if (files.node(`${mark}/record`) !== undefined) files.rename(`${mark}/record`, `${folder}/.deployer_release.json`)
  files.remove(mark)
  return note({ ...question, entries: noted })
}
