/**
 * Podman for tests.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** The reason why tests with podman cannot run here. Undefined if they can. Also undefined in CI, so that a missing program fails there. */
export const missingPodman: string | undefined =
  process.env["CI"] === "true" || spawnSync("podman", ["--version"]).status === 0 ? undefined : "no podman"

/** Gives podman a storage of its own, which needs no kernel module. Its settings stay in the environment of this process. */
export const preparePodman = (): void => {
  if (process.env["CONTAINERS_STORAGE_CONF"] !== undefined) return
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-podman-"))
  const storage = path.join(folder, "storage.conf")
  const containers = path.join(folder, "containers.conf")
  fs.writeFileSync(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${folder}/graph"\nrunroot = "${folder}/run"\n`)
  // The default limits of podman are above those that a container of a CI machine may set.
  const limits = 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]'
  fs.writeFileSync(containers, `[containers]\n${limits}\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n`)
  Object.assign(process.env, { CONTAINERS_STORAGE_CONF: storage, CONTAINERS_CONF: containers })
  process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }))
}
