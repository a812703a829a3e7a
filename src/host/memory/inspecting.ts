/** The steps that look at a host in memory. */

import {
  type Answer,
  isBegun,
  isDirectory,
  namedRefs,
  type Place,
  parent,
  realDirectory,
  realFile,
  refsIn
} from "./Place.ts"
import { switches } from "./switching.ts"

const baseState = ({ base, host }: Place): readonly [base: string, where: string] => {
  const { files } = host
  const readOnly = { has: (path: string) => host.readOnly.has(path) || host.mount?.readOnly === true }
  if (isDirectory(host, base)) {
    let state = "ready"
    for (const folder of [`${base}/config`, `${base}/releases`]) {
      if (isDirectory(host, folder)) {
        if (readOnly.has(folder)) return ["not-writable", folder]
      } else if (files.node(folder) !== undefined) return ["not-a-directory", folder]
      else state = "incomplete"
    }
    return state === "incomplete" && readOnly.has(base) ? ["not-writable", base] : [state, base]
  }
  let where = base
  while (files.node(where) === undefined && where !== "/") where = parent(where)
  if (!isDirectory(host, where)) return ["not-a-directory", where]
  return [readOnly.has(where) ? "not-writable" : "absent", where]
}

const currentOf = ({ host, releases }: Place): string => {
  const node = host.files.node(`${releases}/current`)
  switch (node?._tag) {
    case "Link":
      return `link ${node.to.replaceAll("\n", " ")}`
    case "Directory":
      return "directory"
    case "File":
      return "file"
    default:
      return "absent"
  }
}

const isDangling = ({ host, releases }: Place): boolean =>
  host.files.readLink(`${releases}/current`) !== undefined &&
  host.files.node(host.files.resolve(`${releases}/current`) ?? "") === undefined

const leadsTo = ({ host, releases }: Place): ReadonlyArray<string> => {
  const live = host.files.readLink(`${releases}/current`) === undefined ? "" : host.files.resolve(`${releases}/current`)
  const above = `${host.files.resolve(releases)}/`
  if (live === undefined || !live.startsWith(above) || !isDirectory(host, live)) return []
  const [, ref] = /^deployer_([0-9A-F]{32}(?:\/.*)?)$/.exec(live.slice(above.length)) ?? []
  return ref === undefined ? [] : [ref]
}

const firstLine = (text: string | undefined): string => text?.split("\n")[0] ?? ""

/** Everything about the place that `inspect` reports, besides the lock. */
export const see = (question: Place): ReadonlyArray<string> => {
  const { base, host, now, releases, user } = question
  const { mount } = host
  const [state, where] = baseState(question)
  return [
    `path ${base}`,
    `base ${state} ${where}`,
    `user ${user}`,
    ...(host.clockAhead === undefined ? [] : [`clock ${now}`]),
    `free ${Math.floor(host.freeBytes / 1024)}`,
    ...(host.freeInodes === undefined ? [] : [`inodes ${host.freeInodes}`]),
    ...(mount === undefined
      ? []
      : [`mounted ${mount.type} ${mount.readOnly ? "ro" : "rw"} ${mount.noExec ? "noexec" : "exec"} ${mount.point}`]),
    ...host.loaders.map((loader) => `loader ${loader}`),
    `machine ${host.machine}`,
    ...(host.takesDifferences ? ["can differences"] : []),
    ...[...host.missingTools].map((tool) => `lacks ${tool}`),
    `current ${currentOf(question)}`,
    ...(isDangling(question) ? ["dangling"] : []),
    ...leadsTo(question).map((ref) => `leads ${ref}`),
    ...switches(question, "armed").map(
      ({ back, deadline, id, ref, restore }) => `armed ${id} ${ref} ${back} ${deadline - question.now} ${restore}`
    ),
    ...journalLines(question),
    ...namedRefs(question, "deployer_").flatMap((ref) => {
      if (!realDirectory(host, `${releases}/deployer_${ref}`)) return `foreign ${ref}`
      const file = `${releases}/deployer_${ref}/.deployer_release.json`
      if (host.files.node(file) === undefined) {
        if (isDirectory(host, `${releases}/.adopting_${ref}`)) return []
        return host.files.node(`${releases}/deployer_${ref}/.deployer_manifest`) === undefined
          ? `foreign ${ref}`
          : `unrecorded ${ref}`
      }
      const text = realFile(host, file) ? host.files.read(file) : undefined
      if (text === undefined) return `damaged ${ref} it is unreadable`
      if (text === "") return `damaged ${ref} it is empty`
      if (text.length > 65_536) return `damaged ${ref} it is too large`
      return text.indexOf("\n") === text.length - 1
        ? `release ${ref} ${text.slice(0, -1)}`
        : `damaged ${ref} it is not one line`
    }),
    ...refsIn(question, ".staging_").flatMap((ref) => {
      const stage = `${releases}/.staging_${ref}`
      if (!isBegun(host, stage)) return []
      const stream = firstLine(host.files.read(`${stage}/stream`)) || "-"
      const suffix = stream === "-" || stream === "whole" ? ".gz" : ""
      const received = host.files.bytes(`${stage}/release.tar${suffix}`)?.length ?? 0
      return `upload ${ref} ${received} ${stream} ${firstLine(host.files.read(`${stage}/note`))}`
    }),
    ...refsIn(question, ".adopting_")
      .filter((ref) => isBegun(host, `${releases}/.adopting_${ref}`))
      .map((ref) => `adopting ${ref}`)
  ]
}

/** The last lines of the journal, as the scripts print them. */
export const journalLines = ({ base, host }: Place, last = Number.POSITIVE_INFINITY): ReadonlyArray<string> => {
  const lines = (host.files.read(`${base}/config/journal`) ?? "").split("\n")
  return (lines.at(-1) === "" ? lines.slice(0, -1) : lines)
    .slice(-last)
    .map((line) => (/^\{.*\}$/.test(line) ? `journal ${line}` : "torn"))
}

/** Makes the directories of the place. */
export const prepare: Answer<"prepare"> = (question) => {
  const { base, host, releases } = question
  const [before, where] = baseState(question)
  if (before === "not-writable" || before === "not-a-directory") return [`unfit ${before} ${where}`]
  host.files.makeDirectory(`${base}/config`)
  host.files.makeDirectory(releases)
  return []
}

/** Kibibytes of each release. */
export const usage: Answer<"usage"> = ({ host, refs, releases }) =>
  refs
    .filter((ref) => isDirectory(host, `${releases}/deployer_${ref}`))
    .map((ref) => {
      const blocks = host.files
        .below(`${releases}/deployer_${ref}`)
        .map(([, node]) => (node._tag === "File" ? Math.ceil(node.content.length / 4096) * 4 : 4))
      return `usage ${ref} ${blocks.reduce((total, kibibytes) => total + kibibytes, 4)}`
    })
