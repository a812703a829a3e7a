/**
 * The requirements of a program on its machine, from its first bytes.
 */

/** The number of bytes to look at. Linkers put everything relevant there; tools that rewrite programs may not. */
export const elfHead = 8192

/** A program. */
export interface Elf {
  /** As `uname -m` calls it, but all of x86 before 64 bits `i386` and all of ARM before 64 bits `arm`. */
  readonly machine: string
  /** The absolute path of the dynamic loader. Undefined for a static program, or if the path is beyond these bytes. */
  readonly interpreter: string | undefined
}

const executable = 2
const shared = 3
const interpreterSegment = 3

/** Reads the beginning of a file. Undefined if it is not a program, but another file, an object or a library. */
export const readElf = (head: Uint8Array): Elf | undefined => {
  if (head.length < 52 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) return undefined
  const wide = head[4] === 2
  const little = head[5] === 1
  if (wide && head.length < 64) return undefined
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const half = (at: number) => view.getUint16(at, little)
  /** A word of the file's own width. An offset too large for a number is beyond the head as well. */
  const word = (at: number) => (wide ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little))

  const type = half(16)
  const table = word(wide ? 32 : 28)
  const size = half(wide ? 54 : 42)
  const count = half(wide ? 56 : 44)
  let dynamic = false
  let interpreter: string | undefined
  for (let index = 0; index < count && size >= (wide ? 56 : 32); index++) {
    const at = table + index * size
    if (at + size > head.length) break
    if (view.getUint32(at, little) !== interpreterSegment) continue
    dynamic = true
    const begin = word(at + (wide ? 8 : 4))
    const end = begin + word(at + (wide ? 32 : 16))
    if (end <= head.length) interpreter = pathIn(head.subarray(begin, end))
  }
  // Libraries are shared objects too; only a program names the loader that starts it.
  if (type !== executable && !(type === shared && dynamic)) return undefined
  return { machine: machineOf(half(18), wide, little), interpreter }
}

/** The path up to its null byte. Undefined if it is not the path of a file. */
const pathIn = (bytes: Uint8Array): string | undefined => {
  const text = new TextDecoder().decode(bytes).split("\0")[0] ?? ""
  return /^\/[^\p{C}]{1,200}$/u.test(text) ? text : undefined
}

const machineOf = (code: number, wide: boolean, little: boolean): string => {
  switch (code) {
    case 3:
      return "i386"
    case 62:
      return wide ? "x86_64" : "x32"
    case 40:
      return "arm"
    case 183:
      return "aarch64"
    case 243:
      return wide ? "riscv64" : "riscv32"
    case 20:
      return "ppc"
    case 21:
      return little ? "ppc64le" : "ppc64"
    case 22:
      return wide ? "s390x" : "s390"
    case 258:
      return "loongarch64"
    default:
      return `machine ${code}`
  }
}
