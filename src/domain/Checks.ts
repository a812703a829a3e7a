/**
 * A deployment's requirements of a host, one check after another, over the result of one look. Pure: `deploy` refuses a host if `doctor`
 * reports a failed check.
 */

import * as Schema from "effect/Schema"
import { type HostState, type HostTool, unmeasured } from "./HostState.ts"
import { typed } from "./Invocation.ts"
import { lockOwner } from "./Lock.ts"
import { bytes, duration } from "./Quantity.ts"
import { type Binaries, shortRef } from "./Release.ts"
import { Unfit, unfitText } from "./Unfit.ts"

/** The result of one check. */
export class Check extends Schema.Class<Check>("Check")({
  name: Schema.Literal(
    "file system",
    "path",
    "tools",
    "current",
    "records",
    "space",
    "inodes",
    "execution",
    "platform",
    "clock",
    "lock",
    "sessions"
  ),
  /** `failed`: nothing can be deployed; `warning`: look at it; `unknown`: the host does not say. */
  verdict: Schema.Literal("ok", "warning", "failed", "unknown"),
  /** The finding, in words. */
  found: Schema.String,
  /** The advice. Undefined if there is nothing to do. */
  advice: Schema.optional(Schema.String),
  /** The facts, if the check failed. */
  unfit: Schema.optional(Unfit)
}) {}

/** The needs of the release to deploy. */
export interface Needs {
  /** Bytes still to be written. */
  readonly bytes: number
  /** Files and directories still to be made. */
  readonly inodes: number
  /** Whether any file is executable. */
  readonly executables: boolean
  /** The platforms of its programs. Undefined if unknown. */
  readonly binaries: Binaries | undefined
  /** Whether to refuse a host that cannot run them. */
  readonly platformCheck: boolean
}

type Name = Check["name"]

const ok = (name: Name, found: string): Check => Check.make({ name, verdict: "ok", found })
const unknown = (name: Name, found: string): Check => Check.make({ name, verdict: "unknown", found })
const warning = (name: Name, found: string, advice: string): Check =>
  Check.make({ name, verdict: "warning", found, advice })
/** The sessions that a deployment opens on a connection: the lock, a step, and a shell that waits for the next step. */
export const usedSessions = 3

/** The check of the number of sessions that one connection allows. */
export const sessionsCheck = (allowed: number): Check =>
  allowed >= usedSessions
    ? ok("sessions", `${usedSessions} or more on a connection`)
    : warning(
        "sessions",
        `at most ${allowed} on a connection`,
        `deployer opens further connections, which takes longer: if sshd there is yours, set MaxSessions ${usedSessions} or more in its sshd_config`
      )

const failed = (name: Name, facts: Omit<Unfit, "tools"> & { readonly tools?: Unfit["tools"] }): Check => {
  const unfit = Unfit.make(facts)
  const { advice, found } = unfitText(unfit)
  return Check.make({ name, verdict: "failed", unfit, found, advice })
}

/** All checks, the gravest first. Without `needs`, only the checks that apply to any release. `target` is the key that advice names. */
export const checks = (state: HostState, needs?: Needs, target?: string): ReadonlyArray<Check> => [
  fileSystem(state),
  path(state),
  tools(state),
  current(state),
  records(state, target),
  space(state, needs),
  inodes(state, needs),
  execution(state, needs),
  platform(state, needs),
  clock(state),
  lock(state, target)
]

/** Every rename of a deployment stays inside one folder, so `releases` may be a disk of its own. */
const fileSystem = ({ mount, path }: HostState): Check => {
  const name = "file system"
  if (mount === undefined) return unknown(name, "the host does not tell how it is mounted")
  if (mount.readOnly) return failed(name, { reason: "read-only", path })
  if (linkless.includes(mount.type)) return failed(name, { reason: "no-links", path, has: [mount.type] })
  return ok(name, `${mount.type} at ${mount.point}`)
}

const linkless: ReadonlyArray<string> = ["vfat", "msdos", "exfat"]

const path = ({ base, mount, path, user, where = path }: HostState): Check => {
  // Another owner could not write there either.
  if (base === "not-writable" && mount?.readOnly === true && where.startsWith(mount.point))
    return failed("path", { reason: "read-only", path: where })
  const by = user === undefined ? "" : ` by ${user}`
  switch (base) {
    case "not-a-directory":
    case "not-writable":
      return failed("path", { reason: base, path: where })
    case "ready":
      return ok("path", `${path} can be written${by}`)
    case "absent":
      return ok("path", `${path} does not exist yet, and can be created${by}`)
    case "incomplete":
      return ok("path", `${path} lacks config/ or releases/, which can be created${by}`)
  }
}

const tools = ({ missingTools, path }: HostState): Check => {
  const needed: ReadonlyArray<typeof HostTool.Type> = missingTools
  return needed.length === 0
    ? ok("tools", "tar, gzip and a program for SHA-256 are available")
    : failed("tools", { reason: "missing-tools", path, tools: needed })
}

const current = ({ current, currentRelease, path }: HostState): Check => {
  switch (current._tag) {
    case "Occupied":
      return failed("current", { reason: "current-occupied", path: `${path}/releases/current`, has: [current.by] })
    case "Foreign":
      return ok("current", `leads to ${current.to}, which is not a release`)
    case "Linked":
      return currentRelease === undefined
        ? ok("current", `leads to ${shortRef(current.ref)}, which is gone or incomplete`)
        : ok("current", `leads to ${currentRelease.name} ${shortRef(current.ref)}`)
    case "Absent":
      return ok("current", "nothing is current yet")
  }
}

const records = ({ damaged }: HostState, target: string | undefined): Check =>
  damaged.length === 0
    ? ok("records", "the records of all releases are readable")
    : warning(
        "records",
        `the record of ${damaged.map(({ detail, ref }) => `${shortRef(ref)} (${detail})`).join(", ")} cannot be read`,
        `rewrite it or remove that release with ${typed("repair", { target })}; or deploy it again`
      )

const space = ({ freeBytes, path }: HostState, needs: Needs | undefined): Check => {
  if (freeBytes === unmeasured) return unknown("space", "the host does not tell how much is free")
  if (needs === undefined) return ok("space", `${bytes(freeBytes)} free`)
  return needs.bytes > freeBytes
    ? failed("space", { reason: "no-space", path, needed: needs.bytes, free: freeBytes })
    : ok("space", `${bytes(freeBytes)} free, ${bytes(needs.bytes)} needed`)
}

const inodes = ({ freeInodes, path }: HostState, needs: Needs | undefined): Check => {
  if (freeInodes === undefined) return unknown("inodes", "the host does not report them")
  if (needs === undefined) return ok("inodes", `${freeInodes} free`)
  return needs.inodes > freeInodes
    ? failed("inodes", { reason: "no-inodes", path, needed: needs.inodes, free: freeInodes })
    : ok("inodes", `${freeInodes} free, ${needs.inodes} needed`)
}

const execution = ({ mount, path }: HostState, needs: Needs | undefined): Check => {
  const name = "execution"
  if (mount === undefined) return unknown(name, "the host does not tell how it is mounted")
  if (!mount.noExec) return ok(name, "programs can be started there")
  if (needs?.executables === false)
    return ok(name, `${mount.point} is mounted noexec, and the release holds no programs`)
  return needs?.platformCheck === true && (needs.binaries?.machines.length ?? 0) > 0
    ? failed(name, { reason: "no-exec", path })
    : warning(name, `${mount.point} is mounted noexec`, "programs and scripts of a release cannot be started there")
}

/** For each machine, the machines whose programs it runs, by their `uname -m` names. Any other machine runs only its own programs. */
const runs: Readonly<Record<string, ReadonlyArray<string>>> = {
  x86_64: ["x86_64", "i386"],
  amd64: ["x86_64", "i386"],
  i386: ["i386"],
  i486: ["i386"],
  i586: ["i386"],
  i686: ["i386"],
  aarch64: ["aarch64", "arm"],
  arm64: ["aarch64", "arm"],
  armv6l: ["arm"],
  armv7l: ["arm"],
  armv8l: ["arm"],
  riscv64: ["riscv64"],
  ppc64le: ["ppc64le"],
  ppc64: ["ppc64"],
  s390x: ["s390x"],
  loongarch64: ["loongarch64"]
}

const machines: ReadonlySet<string> = new Set(Object.values(runs).flat())

/** Whether the loader is in a place that a look at the host lists. */
const isUsualLoader = (loader: string): boolean => /^\/lib[^/]*\/ld[^/]*$/.test(loader)

const platform = ({ loaders, machine, path }: HostState, needs: Needs | undefined): Check => {
  const name = "platform"
  const here = [machine, ...loaders].join(", ")
  if (needs === undefined) return ok(name, here)
  const { binaries, platformCheck } = needs
  if (!platformCheck) return unknown(name, `${here}; not compared with the release (platformCheck: false)`)
  if (binaries === undefined) return unknown(name, `${here}; the platform of the release is unknown`)
  if (binaries.machines.length === 0) return ok(name, `${here}; the release holds no programs for one machine only`)

  const runnable = runs[machine]
  if (runnable === undefined || binaries.machines.some((other) => !machines.has(other)))
    return unknown(name, `${here}; the release holds programs for ${binaries.machines.join(" and ")}`)
  if (!binaries.machines.some((other) => runnable.includes(other)))
    return failed(name, { reason: "wrong-machine", path, wants: binaries.machines, has: [machine] })

  const { interpreters } = binaries
  if (interpreters.length > 0 && !interpreters.some((loader) => loaders.includes(loader))) {
    return interpreters.every(isUsualLoader)
      ? failed(name, { reason: "no-loader", path, wants: interpreters, has: loaders })
      : unknown(name, `${here}; the programs of the release are started by ${interpreters.join(" and ")}`)
  }
  return ok(name, `${here}; runs the release's programs for ${binaries.machines.join(" and ")}`)
}

/** The clock difference to tolerate without a warning, in milliseconds. */
const skewMillis = 60_000

const clock = ({ clock }: HostState): Check => {
  if (clock === undefined) return unknown("clock", "the host does not tell the time")
  const { aheadMillis, toleranceMillis } = clock
  const off = Math.abs(aheadMillis)
  if (off - toleranceMillis < skewMillis) return ok("clock", "agrees with this machine's within a minute")
  return warning(
    "clock",
    `${duration(off)} ${aheadMillis > 0 ? "ahead of" : "behind"} this machine's`,
    "synchronize both clocks (chrony, systemd-timesyncd); locks use only the host's clock, so nothing is refused"
  )
}

const lock = ({ lock }: HostState, target: string | undefined): Check =>
  lock === undefined
    ? ok("lock", "nobody holds it")
    : warning(
        "lock",
        `locked by ${lockOwner(lock)}`,
        `wait for them (wait=5m), or remove the lock with ${typed("unlock", { target })}`
      )
