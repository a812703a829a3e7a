#!/bin/sh
# Runs the contract of a host over other userlands, from Debian's packages, and prints a table. Needs Debian on amd64.
# With arguments, only the userlands whose titles are named: scripts/matrix.sh "BusyBox 1.30"
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# Unpacks packages of a Debian suite, without a trace in this machine's own lists.
unpack() {
  suite=$1
  shift
  at=$work/$suite
  mkdir -p "$at/etc/preferences.d" "$at/lists/partial" "$at/cache/archives/partial" "$at/packages" "$at/root"
  : > "$at/status"
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$keys] http://deb.debian.org/debian $suite main" > "$at/etc/sources.list"
  set -- -qq -o Dir::Etc="$at/etc" -o Dir::Etc::sourcelist="$at/etc/sources.list" -o Dir::State="$at" \
    -o Dir::State::status="$at/status" -o Dir::Cache="$at/cache" -o APT::Sandbox::User=root -- "$@"
  options=
  while [ "$1" != -- ]; do options="$options $1"; shift; done
  shift
  # shellcheck disable=SC2086 # Options, each a word.
  apt-get $options update && (cd "$at/packages" && apt-get $options download "$@")
  for package in "$at"/packages/*.deb; do dpkg-deb -x "$package" "$at/root"; done
}
wanted() {
  title=$1
  shift
  [ "$#" -gt 0 ] || return 0
  for name; do [ "$name" != "$title" ] || return 0; done
  return 1
}
userlands=
add() {
  userlands="$userlands$1=$2
"
}
applets() {
  unpack "$2" busybox-static
  mkdir "$work/$2/bin"
  program=$(find "$work/$2/root" -path "*/bin/busybox" -type f | sed -n 1p)
  for applet in $("$program" --list); do ln -s "$program" "$work/$2/bin/$applet"; done
  add "$1" "$work/$2/bin"
}
if wanted "BusyBox 1.30" "$@"; then applets "BusyBox 1.30" bullseye; fi
if wanted "BusyBox of Debian 13" "$@"; then applets "BusyBox of Debian 13" trixie; fi
if wanted "uutils 0.0.30" "$@"; then
  rm -rf "$work/trixie/packages"
  unpack trixie rust-coreutils libc6 libgcc-s1 libselinux1 libpcre2-8-0
  libraries=$work/trixie/root/usr/lib/x86_64-linux-gnu
  mkdir "$work/uutils"
  # With their own loader: this machine's C library may be older.
  start="$libraries/ld-linux-x86-64.so.2 --library-path $libraries $work/trixie/root/usr/bin/coreutils"
  for name in $($start --list | grep -v "^\[$"); do
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$start" "$name" > "$work/uutils/$name"
    chmod 755 "$work/uutils/$name"
  done
  for name in sh tar gzip find sed awk xargs perl; do ln -s "$(command -v "$name")" "$work/uutils/$name"; done
  add "uutils 0.0.30" "$work/uutils"
fi
if wanted "BusyBox of Debian sid" "$@"; then applets "BusyBox of Debian sid" sid; fi
USERLANDS=$userlands npx vitest run --reporter=json --outputFile="$work/result.json" test/real/shells.test.ts >"$work/log" 2>&1 || :
# shellcheck disable=SC2016 # The dollars are JavaScript's.
node -e '
  const { testResults } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"))
  const rows = new Map()
  for (const { ancestorTitles: [title], fullName, status } of testResults.flatMap((file) => file.assertionResults)) {
    const row = rows.get(title) ?? { passed: 0, failed: [] }
    rows.set(title, row)
    if (status === "passed") row.passed++
    if (status === "failed") row.failed.push(fullName)
  }
  console.log("| userland | passed | failed |\n|---|---|---|")
  for (const [title, { failed, passed }] of rows) console.log(`| ${title} | ${passed} | ${failed.length}${failed.length > 0 ? `: ${failed.slice(0, 3).join("; ")}` : ""} |`)
  process.exit([...rows.values()].some(({ failed }) => failed.length > 0) ? 1 : 0)
' "$work/result.json"
