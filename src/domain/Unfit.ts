/**
 * Why a host cannot take a release: facts, and their sentence.
 */

import * as Schema from "effect/Schema"
import { HostTool } from "./HostState.ts"
import { commandLine, type Invocation, invocation } from "./Invocation.ts"
import { bytes } from "./Quantity.ts"

/** Facts about the obstacle. */
export const unfitFields = {
  reason: Schema.Literal(
    "not-a-directory",
    "not-writable",
    "read-only",
    "no-links",
    "no-exec",
    "current-occupied",
    "missing-tools",
    "no-space",
    "no-inodes",
    "wrong-machine",
    "no-loader",
    "other-release",
    "not-a-deployer-path"
  ),
  path: Schema.String,
  tools: Schema.optionalWith(Schema.Array(HostTool), { default: () => [] }),
  /** Bytes for `no-space`, files and directories for `no-inodes`. */
  needed: Schema.optional(Schema.Number),
  free: Schema.optional(Schema.Number),
  /** The platforms of the release's programs: machines for `wrong-machine`, dynamic loaders for `no-loader`. */
  wants: Schema.optional(Schema.Array(Schema.String)),
  /** The host's own machines or loaders. For `no-links` the kind of its file system; for `current-occupied` the kind of file, if known. */
  has: Schema.optional(Schema.Array(Schema.String))
}

/** An obstacle to a deployment. */
export const Unfit = Schema.Struct(unfitFields)
/** An obstacle to a deployment. */
export type Unfit = typeof Unfit.Type

const packages = { tar: "tar", gzip: "gzip", dd: "coreutils", tr: "coreutils", sha256: "coreutils" } as const

const list = (words: ReadonlyArray<string> = []): string => words.join(" and ")

const advised = (next: Invocation, advice: (command: string) => string) => ({
  advice: advice(commandLine(next)),
  next
})

/** The finding, the advice, and the command in the advice. With a target, named by its key, also the place. */
export const unfitText = (
  { free = 0, has, needed = 0, path, reason, tools, wants }: Unfit,
  at?: { readonly target: string; readonly address: string }
): { readonly found: string; readonly advice: string; readonly next?: Invocation } => {
  const where = at === undefined ? path : `${path} on ${at.address}`
  const host = at?.address ?? "the host"
  const next = (command: string) => invocation(command, { target: at?.target })
  switch (reason) {
    case "not-a-directory":
      return {
        found: `${where} cannot hold releases: it, something above it, or config or releases in it is not a directory`,
        advice: `move that away, or choose another "path"`
      }
    case "not-writable":
      return {
        found: `${where} cannot be written by this user`,
        advice: `change its owner, or choose another "path". For several logins: give the target's folder, config/, config/journal and releases/ a group that they share, with write permission (chgrp, chmod g+w), and set the folders' setgid bit (chmod g+s)`
      }
    case "read-only":
      return {
        found: `${where} is on a file system that is mounted read-only`,
        advice: `mount it for writing (if it was writable before, check the kernel's log for disk errors), or choose another "path"`
      }
    case "no-links":
      return {
        found: `${where} is on a file system (${list(has)}) that has no symbolic links, so nothing can be switched`,
        advice: `choose a "path" on another one`
      }
    case "no-exec":
      return {
        found: `${where} is on a file system that is mounted noexec, and the release holds programs`,
        advice: `mount it with exec, choose another "path", or set "platformCheck: false" if none of them is started`
      }
    case "current-occupied":
      return {
        found: `${where} is not a link but a ${has?.[0] ?? "file or directory"} that deployer did not make, so nothing can be switched`,
        ...(has?.[0] === "file"
          ? { advice: "move it away and deploy again" }
          : advised(
              next("manage adopt"),
              (command) => `turn the directory into a release with ${command}, or move it away, and deploy again`
            ))
      }
    case "missing-tools": {
      const names = [...new Set(tools.map((tool) => packages[tool]))].join(" ")
      return {
        found: `${at?.address ?? "The host"} lacks ${list(tools.map((tool) => (tool === "sha256" ? "sha256sum, shasum or openssl" : tool)))}`,
        advice: `install it there (apt-get install ${names}, apk add ${names} or dnf install ${names}) and deploy again`
      }
    }
    case "no-space":
      return {
        found: `${where} has ${bytes(free)} free, and ${bytes(needed)} are needed to send and unpack the release`,
        ...advised(next("manage prune"), (command) => `free space (${command}) and deploy again`)
      }
    case "no-inodes":
      return {
        found: `${where} has room for ${free} more files and directories (inodes), and ${needed} are needed`,
        ...advised(
          next("manage prune"),
          (command) => `free space (${command}, or remove many small files) and deploy again`
        )
      }
    case "wrong-machine":
      return {
        found: `The release holds programs for ${list(wants)}, and ${host} is ${list(has)}`,
        advice: `build it for the host (for Docker: args: ["--platform=…"]), or set "platformCheck: false" if none of them is started`
      }
    case "no-loader":
      return {
        found: `The programs of the release are started by ${list(wants)}, and ${host} has ${has?.length ? `only ${list(has)}` : "no such file"}: it has another C library`,
        advice: `build it on an image with the host's C library (musl for Alpine, glibc for Debian, Ubuntu, Fedora), link it statically, or set "platformCheck: false"`
      }
    case "other-release":
      return {
        found: `${where} is another release with the same ref: its SHA-256 is ${list(has)}, and that of the one in the store is ${list(wants)}`,
        advice: "build again, which gives the release another ref, and find out who made two tarballs with the same MD5"
      }
    case "not-a-deployer-path":
      return {
        found: `Nothing has been deployed to ${where} yet`,
        ...advised(next("deploy"), (command) => `deploy to it first (${command})`)
      }
  }
}
