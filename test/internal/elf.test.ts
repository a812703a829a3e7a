import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { elfHead, readElf } from "../../src/internal/elf.ts"
import { elf } from "../kit/elf.ts"
import { which } from "../kit/userland.ts"

const glibc = "/lib64/ld-linux-x86-64.so.2"

describe("readElf", () => {
  for (const machine of ["x86_64", "aarch64", "i386", "arm", "ppc64le", "ppc64", "s390x"] as const) {
    it(`The ELF reader recognizes programs for ${machine}.`, () => {
      assert.deepStrictEqual(readElf(elf({ machine })), { machine, interpreter: undefined })
      for (const type of ["executable", "shared"] as const) {
        assert.deepStrictEqual(readElf(elf({ machine, type, interpreter: glibc })), { machine, interpreter: glibc })
      }
    })
  }

  it("The ELF reader calls an unknown machine by its number.", () => {
    assert.strictEqual(readElf(elf({ machine: "vax" }))?.machine, "machine 75")
  })

  it("The ELF reader tells programs from libraries, objects, scripts and cut headers.", () => {
    assert.isUndefined(readElf(elf({ type: "shared" })))
    assert.isUndefined(readElf(elf({ type: "relocatable", interpreter: glibc })))
    assert.isUndefined(readElf(Buffer.from("#!/bin/sh\n".padEnd(100))))
    for (let length = 0; length < 64; length++) assert.isUndefined(readElf(elf().subarray(0, length)))
  })

  it("The ELF reader ignores a loader whose name lies beyond the head or is not a path.", () => {
    const far = elf({ interpreter: glibc, at: elfHead }).subarray(0, elfHead)
    assert.deepStrictEqual(readElf(far), { machine: "x86_64", interpreter: undefined })
    for (const interpreter of ["ld.so", "", "/a\u001b[31m", `/${"x".repeat(300)}`]) {
      assert.deepStrictEqual(readElf(elf({ interpreter })), { machine: "x86_64", interpreter: undefined })
    }
  })

  it("The ELF reader never throws, for any bytes after the first four.", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 300 }), FastCheck.nat(80), (noise, at) => {
        const bytes = Buffer.concat([elf({ interpreter: glibc }), Buffer.alloc(200)])
        bytes.set(noise.subarray(0, bytes.length - at - 4), at + 4)
        readElf(bytes)
      }),
      { numRuns: 2000 }
    )
  })

  it("The ELF reader reads the programs of this machine.", () => {
    const head = readFileSync(process.execPath).subarray(0, elfHead)
    const found = readElf(head)
    assert.strictEqual(found?.machine, execFileSync("uname", ["-m"], { encoding: "utf8" }).trim())
    assert.isTrue(existsSync(found?.interpreter ?? "there is none"))
    assert.isDefined(readElf(readFileSync(which("sh") ?? "/bin/sh").subarray(0, elfHead)))
  })
})
