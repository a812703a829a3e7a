/**
 * The files of hosts that are, in the end, this machine.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname } from "node:path"
import type { HostFiles } from "../host/contract.ts"
import { treeIn } from "./tree.ts"

/** The files of a host that is this machine. */
export const diskFiles: HostFiles = {
  write: (path, content) => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  },
  makeDirectory: (path) => void mkdirSync(path, { recursive: true }),
  link: (path, to) => symlinkSync(to, path),
  remove: (path) => rmSync(path, { recursive: true }),
  read: (path) => (existsSync(path) ? readFileSync(path, "utf8") : undefined),
  readLink: (path) => (lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined),
  names: (path) => readdirSync(path).sort(),
  time: (path) => lstatSync(path).mtimeMs / 1000,
  inode: (path) => lstatSync(path).ino,
  tree: treeIn
}
