#!/bin/sh
# Does a module that jiti imports still have its default export when it is imported again?
#
# Guess: yes. import() gives the same namespace each time, as it does in Node itself.
# Found: with jiti 2.7.0 (node --import jiti/register) the second import() of a CommonJS package gives an object whose "default" can be read, but
# "default" in it is false. Whoever asks with `in` before reading finds the export the first time, and misses it from then on. It takes a module
# path that is no literal, as for an optional package; in Node alone both answers are true.
#
# Everything happens in a temporary folder.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent jiti@2.7.0 semver@7.7.3
cat > look.mjs <<'JS'
export const look = async (load, how) => {
  for (const turn of ["first", "second"]) {
    const module = await load()
    console.log(how, turn, "default" in module, typeof module.default)
  }
}
JS
cat > with-jiti.ts <<'TS'
import { look } from "./look.mjs"
const name: string = "semver/functions/valid.js"
await look(() => import(name), "jiti")
TS
cat > with-node.mjs <<'JS'
import { look } from "./look.mjs"
const name = "semver/functions/valid.js"
await look(() => import(name), "node")
JS
node --version
found=$(node --import jiti/register with-jiti.ts; node with-node.mjs)
echo "$found"
expected="jiti first true function
jiti second false function
node first true function
node second true function"
[ "$found" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
