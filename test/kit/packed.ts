/**
 * Small releases as they lie in the store: tarball, hashes, manifest and record.
 */
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import type { HostRelease } from "../../src/domain/HostState.ts"
import type { Manifest, ManifestEntry } from "../../src/domain/Manifest.ts"
import { hostRelease } from "./samples.ts"
import { dir, file, hardlink, sha256, symlink, type Tree, type TreeEntry, tarOf } from "./tree.ts"

export interface Packed {
  readonly tree: Tree
  readonly tarball: Uint8Array
  readonly ref: string
  readonly sha256: string
  readonly manifest: Manifest
  readonly record: HostRelease
}

const entryOf = ({ content, kind, mode, path, to }: TreeEntry): ManifestEntry => {
  switch (kind) {
    case "dir":
      return { _tag: "Directory", path, mode }
    case "symlink":
      return { _tag: "Symlink", path, to }
    case "hardlink":
      return { _tag: "Hardlink", path, to }
    case "file":
      return { _tag: "File", path, mode, size: Buffer.byteLength(content), sha256: sha256(content) }
  }
}

/** The tarball is made of several gzip members, as that of a real build is. */
export const packed = (tree: Tree, fields: Partial<HostRelease> = {}): Packed => {
  const tar = tarOf(tree)
  const half = Math.floor(tar.length / 2)
  const tarball = Buffer.concat([gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))])
  const ref = createHash("md5").update(tarball).digest("hex").toUpperCase()
  const hash = createHash("sha256").update(tarball).digest("hex")
  return {
    tree,
    tarball,
    ref,
    sha256: hash,
    manifest: tree.map(entryOf),
    record: hostRelease({ ref, sha256: hash, size: tarball.length, ...fields })
  }
}

/** Names that other tools stumble over. */
export const hostileNames = [
  "two words",
  " leading and trailing ",
  "it's",
  'double "quotes"',
  "back\\slash",
  "\\leading backslash",
  "-rf",
  "$HOME",
  "`id`",
  "$(id)",
  "a;b|c&d",
  "star*",
  "[a-z]?",
  "über/ä.txt",
  "日本語",
  "a: OK",
  "b: FAILED",
  "#comment",
  "tab\there",
  "~"
]

const long = [`my_app/${"long".repeat(22)}`, `my_app/${"long".repeat(22)}/${"name".repeat(22)}`] as const

const plainTree = (version: string): Tree => [
  dir("my_app"),
  dir("my_app/bin"),
  file("my_app/bin/my_app", `#!/bin/sh\necho "version ${version}"\n`, 0o755),
  file("my_app/version", version),
  file("my_app/big", `${version}${"0123456789".repeat(30_000)}`)
]

/** A small release of `my_app`; `version` makes it another one. */
export const sample = (version = "1", fields: Partial<HostRelease> = {}): Packed => packed(plainTree(version), fields)

/** One with all kinds of entries and names. */
export const oddSample = (version = "odd", fields: Partial<HostRelease> = {}): Packed =>
  packed(
    [
      ...plainTree(version),
      file("my_app/empty", ""),
      symlink("my_app/latest", "bin/my_app"),
      symlink("my_app/dangling", "no where"),
      hardlink("my_app/second", "my_app/version"),
      file("env.sh", "export A=1\n", 0o600),
      dir("my_app/names"),
      dir("my_app/names/über"),
      ...hostileNames.map((name) => file(`my_app/names/${name}`, `${name} ${version}`)),
      ...hostileNames.filter((name) => !name.includes("/")).map((name) => symlink(`my_app/names/link ${name}`, name)),
      dir(long[0]),
      file(long[1], version)
    ],
    fields
  )
