/** A login that is not root, if the tests run as root: permissions do not bind root. */
import { chmodSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as userland from "./userland.ts"

export const isRoot = process.getuid?.() === 0

/** From now on, somebody who is not root runs the `sh` of these programs, with this home. */
export const become = (programs: string, home: string): void => {
  // Temporary folders are their owner's alone.
  for (const folder of [home, join(home, ".."), programs]) chmodSync(folder, 0o755)
  if (!isRoot) return
  const sh = userland.which("sh") ?? "/bin/sh"
  const change = `exec ${userland.which("setpriv")} --reuid=65534 --regid=65534 --clear-groups`
  rmSync(join(programs, "sh"), { force: true })
  writeFileSync(join(programs, "sh"), `#!${sh}\n[ "$(id -u)" -ne 0 ] || ${change} ${sh} "$@"\nexec ${sh} "$@"\n`, {
    mode: 0o755
  })
}
