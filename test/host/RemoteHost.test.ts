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
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LocalTransport from "../../src/host/LocalTransport.ts"
import { makeSession } from "../../src/host/session.ts"
import { treeIn } from "../kit/tree.ts"
import * as userland from "../kit/userland.ts"
import { contract, type HostFiles, type Place } from "./contract.ts"

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
  tree: treeIn
}

const local = (path?: Effect.Effect<string, never, Scope.Scope>): Effect.Effect<Place, never, Scope.Scope> =>
  Effect.gen(function* () {
    const home = yield* userland.emptyFolder("home of it")
    const env = { HOME: home, ...(path === undefined ? {} : { PATH: yield* path }) }
    return {
      connect: (target) => Effect.succeed(makeSession(target, LocalTransport.make(target, env))),
      fields: { host: "local" },
      home,
      files: diskFiles,
      shell: true
    }
  })

contract("this machine, its own tools", local(), { shell: true })
contract("this machine, BusyBox", local(userland.busybox()), { shell: true, skip: userland.missingBusybox })
