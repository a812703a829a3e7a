/** Single functions of the host's scripts, from tables of what tools print, under each shell. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as userland from "../kit/userland.ts"

const scripts = path.resolve("src/host/protocol/scripts")

/** How each shell is started; a shell that is not there is left out, but in CI. */
const shells = [
  ["dash", "-c"],
  ["bash", "-c"],
  ["busybox", "sh", "-c"]
].filter(([program = ""]) => process.env["CI"] === "true" || userland.which(program) !== undefined)

/** Runs a text after some of the files that it uses, as when a script is run by hand, and returns what it prints. */
const sh = (
  shell: ReadonlyArray<string>,
  libs: ReadonlyArray<string>,
  text: string,
  ...args: ReadonlyArray<string>
) => {
  const [program = "", ...flags] = shell
  const includes = libs.map((lib) => `. ./lib/${lib}.sh`).join("\n")
  const head = 'nl="\n"\nsay() { printf "%s\\n" "$*"; }\nhas() { command -v "$1" >/dev/null 2>&1; }'
  return execFileSync(program, [...flags, `${head}\n${includes}\n${text}`, "test", ...args], {
    cwd: scripts,
    encoding: "utf8",
    timeout: 20_000
  }).trimEnd()
}

/** What df prints of one file system, and the kibibytes or inodes that are available. */
const tables: ReadonlyArray<readonly [tool: string, text: string, available: string]> = [
  [
    "GNU coreutils 9.1, df -Pk",
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda        32895760 10338432  20860880      34% /",
    "20860880"
  ],
  [
    "GNU coreutils 9.1, df -Pi",
    "Filesystem      Inodes  IUsed   IFree IUse% Mounted on\n/dev/vda       2097152 311231 1785921   15% /",
    "1785921"
  ],
  [
    "BusyBox 1.35, df -Pk",
    "Filesystem           1024-blocks    Used Available Capacity Mounted on\n/dev/root             32895760  10338432  20860880  33% /",
    "20860880"
  ],
  [
    "BusyBox 1.35, df -k with a long name",
    "Filesystem           1K-blocks      Used Available Use% Mounted on\n/dev/mapper/a_long_name_of_a_volume\n                      32895760  10338432  20860880  33% /srv",
    "20860880"
  ],
  [
    "a file system with blanks in its name",
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n//server/my share   1000       10       990       2% /srv/my share",
    "990"
  ],
  [
    "macOS, df -Pk",
    "Filesystem   1024-blocks      Used Available Capacity  Mounted on\n/dev/disk3s1   482797652 250000000 232797652    52%    /",
    "232797652"
  ]
]

for (const shell of shells) {
  describe(`the functions under ${shell.slice(0, -1).join(" ")}`, () => {
    for (const [tool, text, available] of tables) {
      it(`The host's scripts read the available amount from the table of ${tool}.`, () => {
        assert.strictEqual(sh(shell, ["disks"], 'row "$1" && say "$available"', text), available)
      })
    }

    it("The host's scripts read nothing from a text that is not a table.", () => {
      const answer = 'if row "$1"; then say read; else say no; fi'
      for (const text of ["", "df: /srv: No such file or directory", "Filesystem\nnone - - - - /srv"])
        assert.strictEqual(sh(shell, ["disks"], answer, text), "no", text)
    })

    it("The host's scripts accept only numbers of at most 15 digits without leading zeros.", () => {
      const answer = 'for word; do if number "$word"; then say "$word"; fi; done'
      const words = ["7", "123456789012345", "0", "", "07", "1234567890123456", "1e3", "-1", "1 ", "x"]
      assert.deepStrictEqual(sh(shell, ["lock"], answer, ...words).split("\n"), ["7", "123456789012345", "0"])
    })

    it("The host's scripts accept only 32 upper-case hexadecimal digits as a ref.", () => {
      const ref = "0123456789ABCDEF".repeat(2)
      const answer = 'for word; do if is_ref "$word"; then say "$word"; fi; done'
      const words = [ref, ref.toLowerCase(), ref.slice(1), `${ref}0`, ref.replace("0", "."), "*".repeat(32), ""]
      assert.strictEqual(sh(shell, ["files"], answer, ...words), ref)
    })

    it("The host's scripts read the text of a link with and without readlink.", () => {
      const folder = fs.mkdtempSync("/tmp/deployer-shell-")
      try {
        const links = ["plain", "with blanks", "a -> b", "../up", "/absolute"]
        for (const [index, text] of links.entries()) fs.symlinkSync(text, path.join(folder, `${index}`))
        const answer = (has: string) => `${has}\ncd "$1"\nfor link in *; do link_of "$link"; done`
        assert.deepStrictEqual(sh(shell, ["files"], answer(""), folder).split("\n"), links)
        assert.deepStrictEqual(sh(shell, ["files"], answer("has() { return 1; }"), folder).split("\n"), links)
      } finally {
        fs.rmSync(folder, { recursive: true })
      }
    })

    it("The host's scripts report a path as missing even if no folder above it exists.", () => {
      const answer = 'cd /\nfor path; do differs "$path"; done'
      const paths = ["garbage", "/nowhere/file", "./nowhere/deep/file", ""]
      const words = paths.map((path) => `missing ${path.replace("./", "")}`.trimEnd())
      const found = sh(shell, ["files", "check"], answer, ...paths).split("\n")
      assert.deepStrictEqual(
        found.map((line) => line.trimEnd()),
        words
      )
    })

    it("The host's scripts select the journal entries about releases that are gone.", () => {
      const folder = fs.mkdtempSync("/tmp/deployer-shell-")
      try {
        const [gone, there] = ["A".repeat(32), "B".repeat(32)]
        fs.mkdirSync(path.join(folder, `deployer_${there}`))
        const entry = (ref: string) => `{"event":"removed","by":"x","release":{"name":"a","ref":"${ref}"}}`
        const answer = 'releases=$1\nprintf "%s\\n" "$2" | only_gone'
        const kept = sh(shell, ["files", "journal"], answer, folder, [gone, there].map(entry).join("\n"))
        assert.strictEqual(kept, entry(gone))
      } finally {
        fs.rmSync(folder, { recursive: true })
      }
    })
  })
}
