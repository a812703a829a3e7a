/** Single functions of the host's scripts, from tables of real outputs, under each shell. */
import { execFileSync, spawnSync } from "node:child_process"
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

/** Runs a text after some of the files that it uses, as when a script is run by hand, and returns its output. */
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

/** Runs a text in the same way, with another file in the place of one in /proc. */
const shWith = (
  shell: ReadonlyArray<string>,
  lib: string,
  files: Readonly<Record<string, string>>,
  text: string,
  ...args: ReadonlyArray<string>
) => {
  const folder = fs.mkdtempSync("/tmp/deployer-proc-")
  try {
    let source = fs.readFileSync(path.join(scripts, "lib", `${lib}.sh`), "utf8")
    for (const [index, [file, content]] of Object.entries(files).entries()) {
      assert.include(source, file)
      const other = path.join(folder, `${index}`)
      fs.writeFileSync(other, content)
      source = source.replaceAll(file, other)
    }
    return sh(shell, [], `${source}\n${text}`, ...args)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** The output of df about one file system, and the kibibytes or inodes that are available. */
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
    "BusyBox 1.35, df -k with a long name, which takes a line of its own",
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

/** The same for the report of an inspection about a disk: `df -Pk` and `df -Pi`, and the inodes that are available. Some file systems count none. */
const disks: ReadonlyArray<readonly [tool: string, space: string, nodes: string, said: string]> = [
  [
    "GNU coreutils 9.1, ext4",
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda         264212084 24241356  82149556      23% /",
    "Filesystem       Inodes  IUsed    IFree IUse% Mounted on\n/dev/vda       16777216 456202 16321014    3% /",
    "free 82149556\ninodes 16321014"
  ],
  [
    "GNU coreutils 9.1, btrfs",
    "Filesystem     1024-blocks  Used Available Capacity Mounted on\n/dev/loop0          204800  5920    121856       5% /mnt 1",
    "Filesystem     Inodes IUsed IFree IUse% Mounted on\n/dev/loop0          0     0     0     - /mnt 1",
    "free 121856"
  ],
  [
    "BusyBox 1.35, ext4",
    "Filesystem           1024-blocks    Used Available Capacity Mounted on\n/dev/vda             264212084  24241356  82149556  23% /",
    "Filesystem              Inodes      Used Available Capacity Mounted on\n/dev/vda              16777216    456202  16321014   3% /",
    "free 82149556\ninodes 16321014"
  ],
  [
    "BusyBox 1.35, btrfs",
    "Filesystem           1024-blocks    Used Available Capacity Mounted on\n/dev/loop0              204800      5920    121856   5% /mnt 1",
    "Filesystem              Inodes      Used Available Capacity Mounted on\n/dev/loop0                   0         0         0   0% /mnt 1",
    "free 121856"
  ],
  [
    "uutils 0.0.17, ext4",
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda         264212084 24241356  82149556      23% /",
    "Filesystem       Inodes  IUsed    IFree IUse% Mounted on\n/dev/vda       16777216 456202 16321014    3% /",
    "free 82149556\ninodes 16321014"
  ],
  // It names another mount of the disk, and counts the blocks that only root may use.
  [
    "toybox 0.8.9, ext4",
    "Filesystem     1024-blocks     Used Available Capacity Mounted on\n/dev/vda         264212084 24241356 239970728      10% /tmp/data",
    "Filesystem       Inodes  IUsed    IFree IUse% Mounted on\n/dev/vda       16777216 456202 16321014    3% /tmp/data",
    "free 239970728\ninodes 16321014"
  ],
  [
    "toybox 0.8.9, btrfs",
    "Filesystem     1024-blocks Used Available Capacity Mounted on\n/dev/loop0          204800 5920    198880       3% /mnt 1",
    "Filesystem     Inodes IUsed IFree IUse% Mounted on\n/dev/loop0          0     0     0    0% /mnt 1",
    "free 198880"
  ],
  // As published by a user of macOS 15; there -i adds three columns, and the inodes are not in the place of the blocks.
  [
    "macOS 15, APFS",
    "Filesystem   1024-blocks      Used Available Capacity iused      ifree %iused  Mounted on\n/dev/disk3s5   482797652 378277460  76757888    84% 9110854  767578880    1%   /System/Volumes/Data",
    "Filesystem   1024-blocks      Used Available Capacity iused      ifree %iused  Mounted on\n/dev/disk3s5   482797652 378277460  76757888    84% 9110854  767578880    1%   /System/Volumes/Data",
    "free 76757888"
  ],
  // As published by a user of NetBSD. FreeBSD has the same columns.
  [
    "NetBSD, FFS",
    "Filesystem  1024-blocks     Used    Avail Capacity  Mounted on\n/dev/dk1       20402032  2744672 16637264    14%    /",
    "Filesystem  1024-blocks     Used    Avail Capacity  Mounted on\n/dev/dk1       20402032  2744672 16637264    14%    /",
    "free 16637264"
  ]
]

/** The line of `ls -ld` about a directory `./dir`, and the fields that are read from it. */
const directories: ReadonlyArray<readonly [tool: string, text: string, mode: string, owner: string, group: string]> = [
  ["GNU coreutils 9.1", "drwxr-s--- 2 root adm  4096 Nov 28 14:07 ./dir", "drwxr-s---", "root", "adm"],
  ["GNU coreutils 9.1, with -n", "drwxr-s--- 2 0 4 4096 Nov 28 14:07 ./dir", "drwxr-s---", "0", "4"],
  ["GNU coreutils 9.1, with an ACL", "drwxrwxr-x+ 3 root root 4096 Nov 28 14:07 ./dir", "drwxrwxr-x", "root", "root"],
  [
    "GNU coreutils of a RHEL, with SELinux",
    "drwxr-xr-x. 2 root root 57 Aug 22 03:00 ./dir",
    "drwxr-xr-x",
    "root",
    "root"
  ],
  ["BusyBox 1.35", "drwxr-s---    2 root     adm           4096 Nov 28 14:07 ./dir", "drwxr-s---", "root", "adm"],
  ["BusyBox 1.35, with -n", "drwxr-s---    2 0        4             4096 Nov 28 14:07 ./dir", "drwxr-s---", "0", "4"],
  ["toybox 0.8.9", "drwxr-s--- 2 root adm  4096 2026-11-28 14:07 ./dir", "drwxr-s---", "root", "adm"],
  ["toybox 0.8.9, with -n", "drwxr-s--- 2 0 4 4096 2026-11-28 14:07 ./dir", "drwxr-s---", "0", "4"],
  ["uutils 0.0.17", "drwxr-s--- 2 root adm  4096 Nov 28 14:07 ./dir", "drwxr-s---", "root", "adm"],
  ["macOS, with extended attributes", "drwxr-xr-x@ 5 eve  staff  160 May 21 21:57 ./dir", "drwxr-xr-x", "eve", "staff"],
  ["FreeBSD 11", "drwxr-xr-x   3 root  wheel   3 Sep 23 03:32 ./dir", "drwxr-xr-x", "root", "wheel"]
]

/** The line of `ls -ld` about a link, and the link's text. Each of uutils' hosts has readlink: its ls puts quotes around blanks. */
const links: ReadonlyArray<readonly [tool: string, text: string, to: string]> = [
  ["GNU coreutils 9.1", "lrwxrwxrwx 1 root root    5 Nov 28 14:06 link -> a b/c", "a b/c"],
  [
    "GNU coreutils of a RHEL, with SELinux",
    "lrwxrwxrwx. 1 root root 25 Oct 16 20:00 link -> ../../testpage/index.html",
    "../../testpage/index.html"
  ],
  ["BusyBox 1.35", "lrwxrwxrwx    1 root     root             5 Nov 28 14:06 link -> a b/c", "a b/c"],
  ["toybox 0.8.9", "lrwxrwxrwx 1 root root    5 2026-11-28 14:06 link -> a b/c", "a b/c"],
  ["uutils 0.0.17", "lrwxrwxrwx 1 root root   14 Nov 28 14:07 ./link -> shared/uploads", "shared/uploads"],
  ["macOS, with extended attributes", "lrwxr-xr-x@ 1 root  wheel  11 Mar  4  2018 /etc -> private/etc", "private/etc"],
  ["FreeBSD", "lrwxr-xr-x  1 root  wheel  8 Mar 16  2019 /home -> usr/home", "usr/home"]
]

/** A function in the place of the program. */
const ls = 'ls() { printf "%s\\n" "$table"; }'

/** /proc/uptime and the seconds in it. */
const uptimes: ReadonlyArray<readonly [system: string, text: string, seconds: string]> = [
  ["Linux 6.1 with two processors, of which the second number counts both", "7467.18 7985.49\n", "7467"],
  ["a system without it", "", "0"]
]

/** A mount as a line of /proc/mounts, with FOLDER for a folder. */
interface Mount {
  readonly what: string
  readonly line: string
  /** The name of its point in that folder. */
  readonly point: string
  /** Its type, and how it may be used. */
  readonly mounted: string
}

/** Lines of kernels and how they escape (proc(5)): blanks, tabs, line breaks, backslashes and, from Linux 6 on, number signs. */
const mounts: ReadonlyArray<Mount> = [
  {
    what: "a disk (Linux 6.1)",
    line: "/dev/vda FOLDER/disk ext4 rw,relatime,discard,resuid=65534,resgid=65534 0 0",
    point: "disk",
    mounted: "ext4 rw exec"
  },
  {
    what: "a disk that becomes read-only by an error (the default of Debian's installer)",
    line: "/dev/sda1 FOLDER/disk ext4 rw,relatime,errors=remount-ro 0 0",
    point: "disk",
    mounted: "ext4 rw exec"
  },
  {
    what: "a name with a blank and a digit (Linux 6.1)",
    line: "/dev/loop0 FOLDER/mnt\\0401 btrfs rw,relatime,discard=async,space_cache=v2,subvolid=5,subvol=/ 0 0",
    point: "mnt 1",
    mounted: "btrfs rw exec"
  },
  {
    what: "a name with a blank and a letter",
    line: "/dev/loop0 FOLDER/my\\040disk btrfs ro,relatime,subvolid=5,subvol=/ 0 0",
    point: "my disk",
    mounted: "btrfs ro exec"
  },
  {
    what: "a name with a tab and a digit",
    line: "/dev/loop0 FOLDER/a\\0117 xfs rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,noquota 0 0",
    point: "a\t7",
    mounted: "xfs rw exec"
  },
  {
    what: "a name with a line break",
    line: "tmpfs FOLDER/a\\012b tmpfs rw,relatime 0 0",
    point: "a\nb",
    mounted: "tmpfs rw exec"
  },
  {
    what: "a name with a backslash that looks like an escape",
    line: "tmpfs FOLDER/a\\134040b tmpfs rw,relatime 0 0",
    point: "a\\040b",
    mounted: "tmpfs rw exec"
  },
  {
    what: "a name with a number sign and a digit",
    line: "tmpfs FOLDER/disk\\0432 tmpfs rw,relatime 0 0",
    point: "disk#2",
    mounted: "tmpfs rw exec"
  },
  {
    what: "a name with a percent sign and quotes",
    line: `tmpfs FOLDER/100%d'"$x tmpfs rw,relatime 0 0`,
    point: `100%d'"$x`,
    mounted: "tmpfs rw exec"
  },
  {
    what: "a disk in memory that starts no programs (Linux 6.1)",
    line: "tmpfs FOLDER/srv tmpfs rw,nosuid,nodev,noexec,relatime,size=1024k 0 0",
    point: "srv",
    mounted: "tmpfs rw noexec"
  },
  {
    what: "the root of a container of Docker",
    line: "overlay FOLDER/root overlay rw,relatime,lowerdir=/var/lib/docker/overlay2/l/ABC:/var/lib/docker/overlay2/l/DEF,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/var/lib/docker/overlay2/x/work 0 0",
    point: "root",
    mounted: "overlay rw exec"
  },
  {
    what: "a snap of Ubuntu",
    line: "/dev/loop3 FOLDER/core squashfs ro,nodev,relatime,errors=continue 0 0",
    point: "core",
    mounted: "squashfs ro exec"
  },
  {
    what: "NFS",
    line: "nas.example.com:/export/srv FOLDER/nfs nfs4 rw,relatime,vers=4.2,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,local_lock=none 0 0",
    point: "nfs",
    mounted: "nfs4 rw exec"
  },
  {
    what: "a share of Windows with a blank in its name",
    line: "//nas/my\\040share FOLDER/share cifs rw,relatime,vers=3.1.1,cache=strict 0 0",
    point: "share",
    mounted: "cifs rw exec"
  },
  {
    what: "a drive of Windows (WSL 2)",
    line: "C:\\134 FOLDER/c 9p rw,noatime,dirsync,aname=drvfs;path=C:\\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=65536,trans=fd,rfd=8,wfd=8 0 0",
    point: "c",
    mounted: "9p rw exec"
  }
]

/** The lines before and after each of them: the root, and a name that begins in the same way. */
const around = (line: string) => `/dev/vda / ext4 rw,relatime 0 0\n${line}\ntmpfs FOLDER/di tmpfs ro,noexec 0 0\n`

for (const shell of shells) {
  describe(`the functions under ${shell.slice(0, -1).join(" ")}`, () => {
    for (const [tool, text, available] of tables) {
      it(`The scripts read the free space from the df output of ${tool}.`, () => {
        assert.strictEqual(sh(shell, ["disks"], 'row "$1" && say "$available"', text), available)
      })
    }

    it("The scripts read no free space from a text that is no table.", () => {
      const answer = 'if row "$1"; then say read; else say no; fi'
      for (const text of ["", "df: /srv: No such file or directory", "Filesystem\nnone - - - - /srv"])
        assert.strictEqual(sh(shell, ["disks"], answer, text), "no", text)
    })

    for (const [tool, space, nodes, said] of disks) {
      it(`The scripts report the free space and inodes of a disk by the df output of ${tool}.`, () => {
        const df = 'df() { case "$1" in -Pi) printf "%s\\n" "$nodes" ;; *) printf "%s\\n" "$space" ;; esac; }'
        const text = `flat() { printf "%s" "$1"; }\nbase=/nowhere releases=/nowhere space=$1 nodes=$2\n${df}\n(see)`
        const lines = sh(shell, ["see"], text, space, nodes).split("\n")
        assert.strictEqual(lines.filter((line) => /^(free|inodes) /.test(line)).join("\n"), said)
      })
    }

    for (const [tool, text, mode, owner, group] of directories) {
      it(`The scripts read mode, owner and group of a directory from the ls output of ${tool}.`, () => {
        const folder = fs.mkdtempSync("/tmp/deployer-shell-")
        try {
          fs.mkdirSync(path.join(folder, "dir"))
          const libs = ["files", "check", "alterations"]
          const answer = [
            // BusyBox's xargs would start its own ls.
            `summer= table=$2\n${ls}\nxargs() { cat >/dev/null; shift; "$@"; }\ncd "$1" || exit`,
            'say "$(state_of ./dir) $(owner_of ./dir) $(group_of ./dir)"\nsay ./dir | states'
          ].join("\n")
          assert.strictEqual(sh(shell, libs, answer, folder, text), `dir:${mode} ${owner} ${group}\ndir:${mode} ./dir`)
        } finally {
          fs.rmSync(folder, { recursive: true })
        }
      })
    }

    for (const [tool, text, to] of links) {
      it(`Without readlink, the scripts read the text of a link from the ls output of ${tool}.`, () => {
        const answer = `has() { return 1; }\ntable=$1\n${ls}\nlink_of link`
        assert.strictEqual(sh(shell, ["files"], answer, text), to)
      })
    }

    it("The scripts call the owner of a missing file somebody.", () => {
      assert.strictEqual(sh(shell, ["files"], "owner_of /nowhere/file"), "somebody")
    })

    for (const [system, text, seconds] of uptimes) {
      it(`The scripts read the uptime from /proc/uptime of ${system}.`, () => {
        const files = { "/proc/uptime": text, "/proc/sys/kernel/random/boot_id": "a-boot\n" }
        const boot = text === "" ? "" : "a-boot"
        assert.strictEqual(shWith(shell, "lock", files, 'clock\nsay "$up-$boot"'), `${seconds}-${boot}`)
      })
    }

    for (const { line, mounted, point, what } of mounts) {
      it(`The scripts read from /proc/mounts that ${what} is mounted, and how.`, () => {
        const folder = fs.mkdtempSync("/tmp/deployer-shell-")
        try {
          const at = path.join(folder, point)
          fs.mkdirSync(path.join(at, "below"), { recursive: true })
          const file = { "/proc/mounts": around(line).replaceAll("FOLDER", () => folder) }
          const how = 'mount_of "$1"\nsay "$mounted $point"'
          assert.strictEqual(shWith(shell, "mounts", file, how, path.join(at, "below")), `${mounted} ${at}`)
          assert.strictEqual(shWith(shell, "mounts", file, how, folder), "ext4 rw exec /")
          const within = 'if mounted_in "$1"; then :; else say none; fi'
          assert.strictEqual(shWith(shell, "mounts", file, within, folder), at)
          assert.strictEqual(shWith(shell, "mounts", file, within, at), "none")
        } finally {
          fs.rmSync(folder, { recursive: true })
        }
      })
    }

    it("Of two mounts at one point, the scripts take the last one.", () => {
      const file = { "/proc/mounts": "tmpfs /tmp tmpfs ro,noexec 0 0\ntmpfs /tmp tmpfs rw 0 0\n" }
      assert.strictEqual(shWith(shell, "mounts", file, 'mount_of /tmp\nsay "$mounted"'), "tmpfs rw exec")
    })

    it("The scripts accept only numbers of at most 15 digits without leading zeros.", () => {
      const answer = 'for word; do if number "$word"; then say "$word"; fi; done'
      const words = ["7", "123456789012345", "0", "", "07", "1234567890123456", "1e3", "-1", "1 ", "x"]
      assert.deepStrictEqual(sh(shell, ["lock"], answer, ...words).split("\n"), ["7", "123456789012345", "0"])
    })

    it("The scripts accept only 32 upper-case hex digits as a ref.", () => {
      const ref = "0123456789ABCDEF".repeat(2)
      const answer = 'for word; do if is_ref "$word"; then say "$word"; fi; done'
      const words = [ref, ref.toLowerCase(), ref.slice(1), `${ref}0`, ref.replace("0", "."), "*".repeat(32), ""]
      assert.strictEqual(sh(shell, ["files"], answer, ...words), ref)
    })

    it("The scripts read the text of a link with and without readlink.", () => {
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

    it("The scripts call a path missing if no folder above it exists, and end.", () => {
      const answer = 'cd /\nfor path; do differs "$path"; done'
      const paths = ["garbage", "/nowhere/file", "./nowhere/deep/file", ""]
      const words = paths.map((path) => `missing ${path.replace("./", "")}`.trimEnd())
      const found = sh(shell, ["files", "check"], answer, ...paths).split("\n")
      assert.deepStrictEqual(
        found.map((line) => line.trimEnd()),
        words
      )
    })

    it("The scripts keep only the journal entries about releases that are gone.", () => {
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

describe("a user's command", () => {
  const script = fs.readFileSync(path.join(scripts, "run.sh"), "utf8")
  const last = script.slice(script.indexOf("exec sh -c '"))

  for (const [program = "", ...flags] of shells) {
    const ran = (command: string) => {
      const text = `exec 3<&0 </dev/null\n${last.replace("exec sh -c", `exec ${[program, ...flags].join(" ")}`)}`
      const { status, stderr, stdout } = spawnSync(program, [...flags, text], { input: command, encoding: "utf8" })
      return { status, stdout, stderr }
    }

    it(`With ${program}, a message about a command has only the user's own words.`, () => {
      const { status, stderr } = ran("nosuch a")
      assert.strictEqual(status, 127)
      assert.match(stderr, /nosuch: .*not found\n$/)
      assert.notMatch(stderr, /eval|deployer|environment/)
    })

    it(`With ${program}, a command is run as it is, and its status is passed on.`, () => {
      assert.deepStrictEqual(ran("echo hi # }; cat; exit 4"), { status: 0, stdout: "hi\n", stderr: "" })
      assert.deepStrictEqual(ran("exit 4"), { status: 4, stdout: "", stderr: "" })
      assert.deepStrictEqual(ran("echo a; false"), { status: 1, stdout: "a\n", stderr: "" })
      for (const nothing of ["", "# nothing"])
        assert.deepStrictEqual(ran(nothing), { status: 0, stdout: "", stderr: "" })
      assert.deepInclude(ran("cat <<E\n$((1 + 1))\nE"), { status: 0, stdout: "2\n" })
      assert.notStrictEqual(ran("if x").status, 0)
    })
  }
})

describe("names and contents of leftovers", () => {
  const ref = "0123456789ABCDEF0123456789ABCDEF"
  for (const shell of shells) {
    it(`${shell[0]}: A name of moved files holds a release or an upload, and process ids.`, () => {
      const names = {
        [`.trash_${ref}_7`]: "ours",
        [`.trash_${ref}_4194303`]: "ours",
        [`/srv/my_app/releases/.trash_${ref}_7`]: "ours",
        [`.trash_${ref}_7_.12`]: "ours",
        [`.trash_${ref}_7_.12.notes`]: "ours",
        [`.trash_${ref}_7_`]: "ours",
        ".trash_*": "theirs",
        ".trash_": "theirs",
        ".trash": "theirs",
        [`.trash_${ref}`]: "theirs",
        [`.trash_${ref}_`]: "theirs",
        [`.trash_${ref}_backup`]: "theirs",
        [`.trash_${ref}_7_backup`]: "theirs",
        [`.trash_${ref}_7.bak`]: "theirs",
        [`.trash_${ref.toLowerCase()}_7`]: "theirs",
        [`.trash_${ref}0_7`]: "theirs"
      }
      const text = 'for name; do if is_trash_name "$name"; then say ours; else say theirs; fi; done'
      assert.deepStrictEqual(
        sh(shell, ["files"], text, ...Object.keys(names))
          .split("\n")
          .map((said, index) => [Object.keys(names)[index], said]),
        Object.entries(names)
      )
    })

    it(`${shell[0]}: A folder counts as a leftover only if it holds nothing else than leftovers do.`, () => {
      const folder = fs.mkdtempSync("/tmp/deployer-leftover-")
      const verdict = (...paths: ReadonlyArray<string>) => {
        fs.rmSync(folder, { recursive: true })
        fs.mkdirSync(folder)
        for (const file of paths) {
          const at = path.join(folder, file)
          fs.mkdirSync(file.endsWith("/") ? at : path.dirname(at), { recursive: true })
          if (!file.endsWith("/")) fs.writeFileSync(path.join(folder, file), "")
        }
        const kinds = ["is_begun", "is_remnant"]
        const text = kinds.map((kind) => `if ${kind} "$1"; then say ${kind}; fi`).join("\n")
        return sh(shell, ["files"], text, folder)
          .split("\n")
          .filter((word) => word !== "")
      }
      try {
        assert.deepStrictEqual(verdict(), ["is_begun", "is_remnant"])
        const upload = ["note", "stream", "release.tar", "release.tar.gz.77", "tree.7/my_app/x", "tree.7.notes/lot.1"]
        assert.deepStrictEqual(verdict(...upload), ["is_begun", "is_remnant"])
        assert.deepStrictEqual(verdict("manifest", "record", "entries", "a", "b"), ["is_begun"])
        assert.deepStrictEqual(verdict(".deployer_manifest", ".deployer_pieces/1", "my_app/bin/x"), ["is_remnant"])
        assert.deepStrictEqual(verdict("my_app/"), ["is_remnant"])
        assert.deepStrictEqual(verdict("my_app/", "other/"), [])
        assert.deepStrictEqual(verdict("photo"), [])
        assert.deepStrictEqual(verdict("note", "photo"), [])
        assert.deepStrictEqual(verdict("my\nnote"), [])
        assert.deepStrictEqual(verdict(".hidden"), [])
      } finally {
        fs.rmSync(folder, { recursive: true })
      }
    })
  }
})
