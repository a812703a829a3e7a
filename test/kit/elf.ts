/** The beginning of programs, for tests. */

const machines = { i386: 3, arm: 40, x86_64: 62, aarch64: 183, ppc64le: 21, ppc64: 21, s390x: 22, vax: 75 } as const

export interface ElfOptions {
  readonly machine?: keyof typeof machines
  /** The dynamic loader that starts it. */
  readonly interpreter?: string
  readonly type?: "executable" | "shared" | "relocatable"
  /** The offset of the name of the loader; its segment always tells. */
  readonly at?: number
}

/** A file with an ELF header and one or two segments, that no system would start. */
export const elf = ({ at, interpreter, machine = "x86_64", type = "executable" }: ElfOptions = {}): Buffer => {
  const wide = machine !== "i386" && machine !== "arm"
  const little = machine !== "ppc64" && machine !== "s390x"
  const name = Buffer.from(`${interpreter ?? ""}\0`)
  const [headerSize, segmentSize] = wide ? [64, 56] : [52, 32]
  const place = at ?? headerSize + 2 * segmentSize
  const bytes = Buffer.alloc(place + name.length)
  const half = (value: number, offset: number) =>
    little ? bytes.writeUInt16LE(value, offset) : bytes.writeUInt16BE(value, offset)
  const single = (value: number, offset: number) =>
    little ? bytes.writeUInt32LE(value, offset) : bytes.writeUInt32BE(value, offset)
  const word = (value: number, offset: number) => {
    if (!wide) return single(value, offset)
    return little ? bytes.writeBigUInt64LE(BigInt(value), offset) : bytes.writeBigUInt64BE(BigInt(value), offset)
  }
  bytes.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, little ? 1 : 2, 1])
  half({ relocatable: 1, executable: 2, shared: 3 }[type], 16)
  half(machines[machine], 18)
  word(headerSize, wide ? 32 : 28)
  half(segmentSize, wide ? 54 : 42)
  half(2, wide ? 56 : 44)
  single(1, headerSize)
  const second = headerSize + segmentSize
  single(interpreter === undefined ? 1 : 3, second)
  word(place, second + (wide ? 8 : 4))
  word(name.length, second + (wide ? 32 : 16))
  bytes.set(name, place)
  return bytes
}
