#!/bin/sh
# Does the sync() of a FileHandle work in a project that Yarn installed with Plug'n'Play?
#
# Guess: yes. Plug'n'Play changes how modules are found, and reads from zip files; a file on the disk stays as Node made it.
# Found: with Yarn 4.18.1 every FileHandle of node:fs/promises is one of Yarn's, and its sync() and datasync() throw "Method not implemented.".
# fs.fsync with the number of the same handle works. With nodeLinker: node-modules all three work.
#
# Everything happens in a temporary folder.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --prefix "$work/yarn" --no-save --no-audit --no-fund --silent @yarnpkg/cli-dist@4.18.1
yarn() { node "$work/yarn/node_modules/@yarnpkg/cli-dist/bin/yarn.js" "$@"; }
export YARN_ENABLE_TELEMETRY=0 YARN_GLOBAL_FOLDER="$work/global"
cat >sync.mjs <<'JS'
import { fsync } from "node:fs"
import { open } from "node:fs/promises"
import { promisify } from "node:util"
const file = await open("written", "w")
const attempt = async (name, run) => {
  try {
    await run()
    console.log(process.argv[2], name, "works")
  } catch (error) {
    console.log(process.argv[2], name, error.message)
  }
}
await attempt("sync()", () => file.sync())
await attempt("datasync()", () => file.datasync())
await attempt("fsync(fd)", () => promisify(fsync)(file.fd))
await file.close()
JS
node --version
found=$(
  for linker in pnp node-modules; do
    mkdir "$work/$linker" && cd "$work/$linker"
    echo '{ "private": true }' >package.json
    printf 'nodeLinker: %s\n' "$linker" >.yarnrc.yml
    touch yarn.lock
    cp ../sync.mjs .
    yarn install >/dev/null
    yarn node sync.mjs "$linker"
  done
)
echo "$found"
expected="pnp sync() Method not implemented.
pnp datasync() Method not implemented.
pnp fsync(fd) works
node-modules sync() works
node-modules datasync() works
node-modules fsync(fd) works"
[ "$found" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
