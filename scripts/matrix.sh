#!/bin/sh
# Runs the contract of a host and the crash suite over the userlands of other Debian releases, and prints a table. Needs Debian on amd64.
# With arguments, only the userlands with these titles: scripts/matrix.sh "BusyBox 1.30.1 (Debian 11)"
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
USERLANDS=$(scripts/userlands.sh "$work" "$@")
export USERLANDS MATRIX=1
run() {
  npx vitest run --reporter=json --outputFile="$work/$1.json" "test/real/$1.test.ts" >"$work/$1.log" 2>&1 || :
}
EXHAUSTIVE=1 run shells
run crashGnu
# shellcheck disable=SC2016 # The dollars are JavaScript's.
node -e '
  const { readFileSync } = require("node:fs")
  const [, contract, crashes, userlands] = process.argv
  const results = [contract, crashes].map((file) => JSON.parse(readFileSync(file, "utf8")).testResults.flatMap((file) => file.assertionResults))
  const failures = []
  const cell = (results, title) => {
    const mine = results.filter(({ ancestorTitles: [suite] }) => suite.endsWith(title))
    const failed = mine.filter(({ status }) => status === "failed")
    failures.push(...failed.map(({ fullName }) => fullName))
    if (mine.length === 0) failures.push(`no test ran for ${title}`)
    return `${mine.filter(({ status }) => status === "passed").length} of ${mine.length}`
  }
  console.log("| userland | contract | crashes |\n|---|---|---|")
  for (const line of userlands.split("\n")) {
    const [title] = line.split("=")
    console.log(`| ${title} | ${cell(results[0], title)} | ${cell(results[1], title)} |`)
  }
  for (const failure of failures) console.log(`failed: ${failure}`)
  process.exit(failures.length > 0 ? 1 : 0)
' "$work/shells.json" "$work/crashGnu.json" "$USERLANDS"
