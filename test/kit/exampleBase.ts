/**
 * The base image of the examples' builds, without a registry: packages of this machine's own Debian, which is also the host.
 */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { docker } from "./docker.ts"

/** A system in which a Dockerfile's commands run, and the compilers and interpreters that they call. */
const packages = [
  ...["base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "sed"],
  ...["elixir", "golang-go", "nodejs"]
]

/**
 * Downloads packages with all that they and a bare system need, unpacks them, and imports the result. No install script runs: they make
 * debootstrap take minutes, and the builds need nothing of theirs but the user table. Left out are the largest files that no build reads.
 */
const script = `set -euo pipefail
cd "$1"
tag=$2
shift 2
mkdir -p state/lists/partial cache/archives/partial root
: > status
apt() {
  apt-get -q -o APT::Sandbox::User=root -o Debug::NoLocking=1 \\
    -o "Dir::State=$PWD/state" -o "Dir::State::status=$PWD/status" -o "Dir::Cache=$PWD/cache" "$@"
}
apt update
apt install --download-only --yes --no-install-recommends "$@"
unpack() {
  dpkg-deb --fsys-tarfile "$1" | tar -C root -x --wildcards \\
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \\
    --exclude='./usr/share/perl/*' --exclude='./usr/lib/*/perl/*' \\
    --exclude='./usr/share/go-*/test/*' --exclude='./usr/share/go-*/src/cmd/*' --exclude='./usr/lib/go-*/pkg/*/cmd/*'
}
export -f unpack
printf '%s\\0' cache/archives/*.deb | xargs -0 -n 1 -P 2 bash -euo pipefail -c 'unpack "$1"' unpack
for table in passwd group; do cp "root/usr/share/base-passwd/$table.master" "root/etc/$table"; done
tar -C root -c . | "\${DEPLOYER_ENGINE:-docker}" import - "$tag"
`

/** Makes the image; returns its tag. It is removed with the scope. */
export const exampleBase: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "deployer-example-base-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  )
  const tag = `deployer-example-base:${randomBytes(6).toString("hex")}`
  yield* Effect.addFinalizer(() => Effect.sync(() => docker("rmi", "--force", tag)))
  yield* Effect.async<void>((resume) => {
    const child = spawn("bash", ["-c", script, "base", folder, tag, ...packages], { stdio: ["ignore", "pipe", "pipe"] })
    let said = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-10_000)
      })
    }
    child.on("error", (error) => resume(Effect.die(error)))
    child.on("close", (status) =>
      resume(status === 0 ? Effect.void : Effect.die(new Error(`no base image (${status}):\n${said}`)))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
  // The image has it all.
  fs.rmSync(folder, { recursive: true, force: true })
  return tag
})
