#!/bin/sh
# Does "pnpm add" end the same way in a project and with --global, if an install script was left out?
#
# Guess: yes. It is the same package, the same script and the same message; pnpm 10 ends with 0 both times.
# Found: with pnpm 12.21.0, "pnpm add --global" ends with 0 and "pnpm add" in a project ends with 1 (ERR_PNPM_IGNORED_BUILDS). The package is
# installed and works in both cases. An optional dependency whose script nobody needs makes the status 1, too, so a CI job stops at its install step.
# The status is 0 once pnpm-workspace.yaml says false for each such package under allowBuilds, also with pnpm 10.34.0.
#
# Everything happens in a temporary folder.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir home dep package
cp "$HOME/.npmrc" home/ 2>/dev/null || :
npm install --prefix "$work/old" --no-save --no-audit --no-fund --silent pnpm@10.34.0
npm install --prefix "$work/new" --no-save --no-audit --no-fund --silent pnpm@12.21.0
(cd dep && echo '{ "name": "dep", "version": "1.0.0", "scripts": { "install": "exit 7" } }' >package.json && npm pack --silent >/dev/null)
cat >package/package.json <<JSON
{ "name": "package", "version": "1.0.0", "bin": "run.js", "optionalDependencies": { "dep": "file:$work/dep/dep-1.0.0.tgz" } }
JSON
printf '#!/usr/bin/env node\nconsole.log("works")\n' >package/run.js
(cd package && npm pack --silent >/dev/null)
tarball=$work/package/package-1.0.0.tgz
export HOME="$work/home" PNPM_HOME="$work/home/global" PATH="$work/home/global:$work/home/global/bin:$PATH" CI=true
mkdir -p "$PNPM_HOME/bin"

# How it ended, and whether the package works: title, command that runs it, install command.
try() {
  title=$1 run=$2 status=0
  shift 2
  "$@" >"$work/log" 2>&1 || status=$?
  echo "$title: status $status, $("$run"), $(grep -c ERR_PNPM_IGNORED_BUILDS "$work/log" || :) ERR_PNPM_IGNORED_BUILDS"
}
in_project() {
  rm -rf "$work/project" && mkdir "$work/project" && cd "$work/project" && echo '{ "private": true }' >package.json
  if [ "$3" = decided ]; then printf 'allowBuilds:\n  dep: false\n' >pnpm-workspace.yaml; fi
  try "$1 in a project, $3" node_modules/.bin/package "$2" add "$tarball"
}
node --version
found=$(
  in_project "pnpm 10" "$work/old/node_modules/.bin/pnpm" undecided
  in_project "pnpm 12" "$work/new/node_modules/.bin/pnpm" undecided
  in_project "pnpm 10" "$work/old/node_modules/.bin/pnpm" decided
  in_project "pnpm 12" "$work/new/node_modules/.bin/pnpm" decided
  try "pnpm 12 --global" package "$work/new/node_modules/.bin/pnpm" add --global "$tarball"
)
echo "$found"
expected="pnpm 10 in a project, undecided: status 0, works, 0 ERR_PNPM_IGNORED_BUILDS
pnpm 12 in a project, undecided: status 1, works, 1 ERR_PNPM_IGNORED_BUILDS
pnpm 10 in a project, decided: status 0, works, 0 ERR_PNPM_IGNORED_BUILDS
pnpm 12 in a project, decided: status 0, works, 0 ERR_PNPM_IGNORED_BUILDS
pnpm 12 --global: status 0, works, 0 ERR_PNPM_IGNORED_BUILDS"
[ "$found" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
